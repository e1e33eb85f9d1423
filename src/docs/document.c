/* document.c -- see document.h. */
#include "docs/document.h"

#include "base/alloc.h"

enum { MAX_SECTIONS = 1 << 20, MAX_SECTION_PATH = 400 };

vt_doc_limits vt_doc_limits_default(const vt_doc_limits *limits)
{
    vt_doc_limits l = limits ? *limits : (vt_doc_limits){0};
    if (l.file_bytes == 0) l.file_bytes = 200ull << 20;
    if (l.text_bytes == 0) l.text_bytes = 200ull << 20;
    if (l.n_lines == 0) l.n_lines = 8u << 20;
    if (l.n_lines > INT32_MAX) l.n_lines = INT32_MAX;
    if (l.wall_ms == 0) l.wall_ms = 120000;
    return l;
}

void vt_document_init(vt_document *doc, vt_doc_kind kind, const vt_doc_limits *limits)
{
    vt_doc_limits l = vt_doc_limits_default(limits);
    *doc = (vt_document){.kind = kind, .max_lines = l.n_lines, .open_section = -1};
    vt_buffer_init(&doc->text, l.text_bytes);
}

void vt_document_deinit(vt_document *doc)
{
    for (size_t i = 0; i < doc->n_sections; i++) vt_free(doc->sections[i].path);
    vt_free(doc->sections);
    vt_free(doc->lines);
    vt_free(doc->title);
    vt_buffer_deinit(&doc->text);
    *doc = (vt_document){.open_section = -1};
}

bool vt_document_add(vt_document *doc, vt_slice text, vt_doc_line like)
{
    if (doc->has_failed) return false;
    if (!vt_grow((void **)&doc->lines, &doc->cap_lines, doc->n_lines + 1, sizeof *doc->lines,
                 doc->max_lines)) {
        doc->has_failed = true;
        return false;
    }
    like.start = doc->text.len;
    like.len = text.len;
    if (!vt_buffer_append(&doc->text, text) || !vt_buffer_byte(&doc->text, '\n')) {
        doc->has_failed = true;
        return false;
    }
    doc->lines[doc->n_lines++] = like;
    return true;
}

/* The heading with its white space collapsed, cut at a character's end. */
static vt_slice cut_heading(vt_slice s)
{
    s = vt_slice_trim(s);
    if (s.len <= 160) return s;
    s.len = 160;
    while (s.len > 0 && ((unsigned char)s.ptr[s.len] & 0xC0) == 0x80) s.len--;
    return s;
}

bool vt_document_open_section(vt_document *doc, int level, vt_slice heading, size_t i_line)
{
    if (doc->has_failed) return false;
    int32_t parent = doc->open_section;
    while (parent >= 0 && doc->sections[parent].level >= level)
        parent = doc->sections[parent].parent;

    vt_buffer path;
    vt_buffer_init(&path, 4 * MAX_SECTION_PATH);
    heading = cut_heading(heading);
    /* A path is context for a reader: past a length only the heading itself is kept. */
    if (parent >= 0 && strlen(doc->sections[parent].path) + heading.len < MAX_SECTION_PATH) {
        vt_buffer_append(&path, vt_slice_cstr(doc->sections[parent].path));
        vt_buffer_append(&path, VT_S(" > "));
    }
    vt_buffer_append(&path, heading);
    char *text = path.failed ? NULL : vt_buffer_take(&path);
    vt_buffer_deinit(&path);
    if (text == NULL || !vt_grow((void **)&doc->sections, &doc->cap_sections, doc->n_sections + 1,
                                 sizeof *doc->sections, MAX_SECTIONS)) {
        vt_free(text);
        doc->has_failed = true;
        return false;
    }
    doc->sections[doc->n_sections] =
        (vt_doc_section){.path = text, .i_line = (int32_t)i_line, .level = level, .parent = parent};
    doc->open_section = (int32_t)doc->n_sections++;
    return true;
}

bool vt_document_set_title(vt_document *doc, vt_slice title)
{
    if (doc->title != NULL && doc->title[0] != '\0') return true;
    char *copy = vt_strdup(cut_heading(title));
    if (copy == NULL) {
        doc->has_failed = true;
        return false;
    }
    vt_free(doc->title);
    doc->title = copy;
    return true;
}

vt_status vt_document_status(const vt_document *doc, vt_err *err)
{
    if (!doc->has_failed) return VT_OK;
    if (doc->n_lines >= doc->max_lines)
        return vt_fail(err, VT_ELIMIT, "more than %zu lines of text", doc->max_lines);
    if (doc->text.failed && doc->text.len + (1u << 20) > doc->text.limit)
        return vt_fail(err, VT_ELIMIT, "more than %zu bytes of text", doc->text.limit);
    if (doc->n_sections >= MAX_SECTIONS)
        return vt_fail(err, VT_ELIMIT, "more than %d sections", (int)MAX_SECTIONS);
    return vt_fail(err, VT_ENOMEM, "out of memory");
}

const char *vt_doc_kind_name(vt_doc_kind kind)
{
    static const char *const names[] = {
        [VT_DOC_TEXT] = "text",   [VT_DOC_MARKDOWN] = "markdown", [VT_DOC_HTML] = "html",
        [VT_DOC_TABLE] = "table", [VT_DOC_SOURCE] = "source",     [VT_DOC_PDF] = "pdf",
    };
    return (size_t)kind < VT_COUNT(names) ? names[kind] : "unknown";
}
