/* extract.c -- which extractor a file gets, and PDF by a program in the sandbox: see extract.h. */
#include "docs/extract.h"

#include "base/utf8.h"
#include "docs/encoding.h"

typedef struct {
    const char *extension;
    const char *reason; /* NULL: it is read, as `kind` */
    vt_doc_kind kind;
} format;

static const char binary[] = "binary";
static const char office[] = "office format, not read yet";

static const format formats[] = {
    {"md", NULL, VT_DOC_MARKDOWN},
    {"markdown", NULL, VT_DOC_MARKDOWN},
    {"mdx", NULL, VT_DOC_MARKDOWN},
    {"html", NULL, VT_DOC_HTML},
    {"htm", NULL, VT_DOC_HTML},
    {"xhtml", NULL, VT_DOC_HTML},
    {"csv", NULL, VT_DOC_TABLE},
    {"tsv", NULL, VT_DOC_TABLE},
    {"tab", NULL, VT_DOC_TABLE},
    {"pdf", NULL, VT_DOC_PDF},
    {"c", NULL, VT_DOC_SOURCE},
    {"h", NULL, VT_DOC_SOURCE},
    {"cc", NULL, VT_DOC_SOURCE},
    {"cpp", NULL, VT_DOC_SOURCE},
    {"cxx", NULL, VT_DOC_SOURCE},
    {"hpp", NULL, VT_DOC_SOURCE},
    {"m", NULL, VT_DOC_SOURCE},
    {"py", NULL, VT_DOC_SOURCE},
    {"js", NULL, VT_DOC_SOURCE},
    {"mjs", NULL, VT_DOC_SOURCE},
    {"ts", NULL, VT_DOC_SOURCE},
    {"jsx", NULL, VT_DOC_SOURCE},
    {"tsx", NULL, VT_DOC_SOURCE},
    {"go", NULL, VT_DOC_SOURCE},
    {"rs", NULL, VT_DOC_SOURCE},
    {"java", NULL, VT_DOC_SOURCE},
    {"kt", NULL, VT_DOC_SOURCE},
    {"swift", NULL, VT_DOC_SOURCE},
    {"rb", NULL, VT_DOC_SOURCE},
    {"php", NULL, VT_DOC_SOURCE},
    {"pl", NULL, VT_DOC_SOURCE},
    {"lua", NULL, VT_DOC_SOURCE},
    {"cs", NULL, VT_DOC_SOURCE},
    {"scala", NULL, VT_DOC_SOURCE},
    {"hs", NULL, VT_DOC_SOURCE},
    {"ml", NULL, VT_DOC_SOURCE},
    {"r", NULL, VT_DOC_SOURCE},
    {"jl", NULL, VT_DOC_SOURCE},
    {"sql", NULL, VT_DOC_SOURCE},
    {"sh", NULL, VT_DOC_SOURCE},
    {"bash", NULL, VT_DOC_SOURCE},
    {"css", NULL, VT_DOC_SOURCE},
    {"scss", NULL, VT_DOC_SOURCE},
    {"json", NULL, VT_DOC_SOURCE},
    {"yaml", NULL, VT_DOC_SOURCE},
    {"yml", NULL, VT_DOC_SOURCE},
    {"toml", NULL, VT_DOC_SOURCE},
    {"ini", NULL, VT_DOC_SOURCE},
    {"cfg", NULL, VT_DOC_SOURCE},
    {"conf", NULL, VT_DOC_SOURCE},
    {"xml", NULL, VT_DOC_SOURCE},
    {"cmake", NULL, VT_DOC_SOURCE},
    {"mk", NULL, VT_DOC_SOURCE},
    {"s", NULL, VT_DOC_SOURCE},
    {"asm", NULL, VT_DOC_SOURCE},
    {"proto", NULL, VT_DOC_SOURCE},
    {"docx", office, 0},
    {"xlsx", office, 0},
    {"pptx", office, 0},
    {"odt", office, 0},
    {"ods", office, 0},
    {"odp", office, 0},
    {"epub", office, 0},
    {"doc", office, 0},
    {"xls", office, 0},
    {"ppt", office, 0},
    {"rtf", office, 0},
    {"png", binary, 0},
    {"jpg", binary, 0},
    {"jpeg", binary, 0},
    {"gif", binary, 0},
    {"webp", binary, 0},
    {"ico", binary, 0},
    {"mp3", binary, 0},
    {"mp4", binary, 0},
    {"mkv", binary, 0},
    {"wav", binary, 0},
    {"zip", binary, 0},
    {"gz", binary, 0},
    {"xz", binary, 0},
    {"zst", binary, 0},
    {"bz2", binary, 0},
    {"tar", binary, 0},
    {"7z", binary, 0},
    {"so", binary, 0},
    {"o", binary, 0},
    {"a", binary, 0},
    {"bin", binary, 0},
    {"gguf", binary, 0},
    {"safetensors", binary, 0},
    {"db", binary, 0},
    {"sqlite", binary, 0},
    {"woff", binary, 0},
    {"woff2", binary, 0},
    {"ttf", binary, 0},
    {"pyc", binary, 0},
};

static vt_slice extension_of(vt_slice name)
{
    for (size_t i = name.len; i-- > 1;) {
        if (name.ptr[i] == '/') break;
        if (name.ptr[i] == '.') return vt_slice_skip(name, i + 1);
    }
    return (vt_slice){NULL, 0};
}

bool vt_extract_kind(vt_slice name, vt_doc_kind *kind, const char **reason)
{
    vt_slice ext = extension_of(name);
    *kind = VT_DOC_TEXT;
    for (size_t i = 0; i < VT_COUNT(formats); i++) {
        if (ext.len != strlen(formats[i].extension) ||
            strncasecmp(ext.ptr, formats[i].extension, ext.len) != 0)
            continue;
        if (formats[i].reason != NULL) {
            *reason = formats[i].reason;
            return false;
        }
        *kind = formats[i].kind;
        break;
    }
    return true;
}

static vt_status extract_pdf(int fd, vt_slice bytes, const vt_extract_options *options,
                             vt_document *out, vt_err *err)
{
    static const char *const argv[] = {
        "/usr/bin/pdftotext", "-layout", "-enc", "UTF-8", "-", "-", NULL};
    /* Readers accept some bytes before the header, as mail systems leave them. */
    if (vt_slice_find(vt_slice_take(bytes, 1024), VT_S("%PDF-")) >= vt_slice_take(bytes, 1024).len)
        return vt_fail(err, VT_EINPUT, "not a PDF file: it has no %%PDF- header");
    if (options->sandbox == NULL)
        return vt_fail(err, VT_EREFUSED, "PDF is read in a sandbox only, and there is none");

    vt_doc_limits limits = vt_doc_limits_default(&options->limits);
    vt_buffer text;
    vt_buffer messages;
    vt_buffer_init(&text, limits.text_bytes);
    vt_buffer_init(&messages, 0);
    vt_sandbox_job job = {
        .argv = argv,
        .input_fd = fd,
        .limits = {.output_bytes = limits.text_bytes, .wall_ms = limits.wall_ms},
        .is_cancelled = options->is_cancelled,
    };
    vt_status st = vt_sandbox_run(options->sandbox, &job, &text, &messages, NULL, err);
    if (st == VT_ENOTFOUND)
        vt_fail(err, st, "pdftotext is not installed (Debian: apt install poppler-utils)");
    if (st == VT_EUNSUPPORTED) st = vt_fail_wrap(err, VT_EREFUSED, "cannot read PDF");
    for (size_t i = 0; st == VT_OK && i < text.len; i++)
        if (text.ptr[i] == '\0') text.ptr[i] = ' ';
    if (st == VT_OK && !vt_utf8_is_valid(vt_buffer_slice(&text)))
        st = vt_fail(err, VT_EINPUT, "pdftotext printed invalid UTF-8");
    if (st == VT_OK) st = vt_extract_pdf_text(vt_buffer_slice(&text), &limits, out, err);
    vt_buffer_deinit(&text);
    vt_buffer_deinit(&messages);
    return st;
}

vt_status vt_extract_file(int fd, vt_slice bytes, vt_slice name, const vt_extract_options *options,
                          vt_document *out, vt_err *err)
{
    vt_doc_kind kind;
    const char *reason;
    vt_document_init(out, VT_DOC_TEXT, &options->limits);
    if (!vt_extract_kind(name, &kind, &reason)) return vt_fail(err, VT_EUNSUPPORTED, "%s", reason);
    if (kind == VT_DOC_TEXT && vt_slice_starts(bytes, VT_S("%PDF-"))) kind = VT_DOC_PDF;
    if (kind == VT_DOC_PDF) return extract_pdf(fd, bytes, options, out, err);

    vt_doc_limits limits = vt_doc_limits_default(&options->limits);
    vt_slice charset = kind == VT_DOC_HTML ? vt_encoding_of_html(bytes) : (vt_slice){NULL, 0};
    vt_buffer converted;
    vt_buffer_init(&converted, limits.text_bytes);
    vt_slice text;
    vt_status st = vt_encoding_to_utf8(bytes, charset, &converted, &text, err);
    if (st == VT_OK) {
        bool is_tab = kind == VT_DOC_TABLE && extension_of(name).len == 3 &&
                      strncasecmp(extension_of(name).ptr, "csv", 3) != 0;
        switch (kind) {
        case VT_DOC_TABLE: st = vt_extract_table(text, is_tab ? '\t' : 0, &limits, out, err); break;
        case VT_DOC_HTML: st = vt_extract_html(text, &limits, out, err); break;
        case VT_DOC_TEXT:
        case VT_DOC_MARKDOWN:
        case VT_DOC_SOURCE:
        case VT_DOC_PDF: st = vt_extract_text(text, kind, &limits, out, err); break;
        }
    }
    vt_buffer_deinit(&converted);
    return st;
}
