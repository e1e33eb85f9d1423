/* html.c -- HTML to lines, by libxml2's parser as a stream of events (no tree, so neither memory
 * nor depth is the document's to choose): see extract.h.
 *
 * The state is: the text of the block being collected, how deep we are in elements whose content is
 * dropped, and the table being read. A block element ends the block before it and the block itself.
 * Inside a table cell blocks only put a space; the row is one line. */
#include "docs/extract.h"

#include <libxml/HTMLparser.h>

#include "base/alloc.h"

enum {
    CHUNK = 64 << 10,
    MAX_BLOCK = 4 << 20, /* one paragraph or table row */
    SENTENCE_LINE = 100, /* a paragraph's line ends with the first sentence past this length */
    MAX_COLUMNS = 64,    /* that a rowspan is carried down in */
    MAX_SPAN = 1000,
};

typedef enum {
    TAG_INLINE, /* every other element */
    TAG_BLOCK,
    TAG_DROP,
    TAG_HEADING,
    TAG_ITEM,
    TAG_PRE,
    TAG_BREAK,
    TAG_TABLE,
    TAG_THEAD,
    TAG_ROW,
    TAG_CELL,
    TAG_HEAD_CELL,
    TAG_TITLE,
    TAG_IMAGE,
} tag_kind;

typedef struct {
    char *text; /* owned; NULL: none */
    int n_left;
} span;

typedef struct {
    vt_document *doc;
    htmlParserCtxtPtr parser;
    vt_buffer block; /* the text of the open block, or of the open row */
    vt_buffer title;
    vt_line_kind kind; /* of the open block */
    int heading_level;
    int n_dropped; /* depth of elements whose content is dropped */
    int n_pre;
    bool in_title;
    bool wants_space; /* white space was seen and not written yet */
    /* the table */
    int n_tables;
    bool in_row, in_cell, in_thead;
    int n_cells, n_head_cells, n_rows;
    size_t cell_start; /* of the open cell in block */
    int cell_rowspan, cell_colspan;
    int32_t header;
    span spans[MAX_COLUMNS];
} reader;

static tag_kind kind_of(const char *name)
{
    static const struct {
        const char *name;
        tag_kind kind;
    } tags[] = {
        {"address", TAG_BLOCK},    {"article", TAG_BLOCK},    {"aside", TAG_BLOCK},
        {"blockquote", TAG_BLOCK}, {"body", TAG_BLOCK},       {"br", TAG_BREAK},
        {"caption", TAG_BLOCK},    {"dd", TAG_BLOCK},         {"details", TAG_BLOCK},
        {"div", TAG_BLOCK},        {"dl", TAG_BLOCK},         {"dt", TAG_BLOCK},
        {"fieldset", TAG_BLOCK},   {"figcaption", TAG_BLOCK}, {"figure", TAG_BLOCK},
        {"footer", TAG_BLOCK},     {"form", TAG_BLOCK},       {"h1", TAG_HEADING},
        {"h2", TAG_HEADING},       {"h3", TAG_HEADING},       {"h4", TAG_HEADING},
        {"h5", TAG_HEADING},       {"h6", TAG_HEADING},       {"header", TAG_BLOCK},
        {"hr", TAG_BLOCK},         {"img", TAG_IMAGE},        {"li", TAG_ITEM},
        {"main", TAG_BLOCK},       {"nav", TAG_BLOCK},        {"ol", TAG_BLOCK},
        {"option", TAG_BLOCK},     {"p", TAG_BLOCK},          {"pre", TAG_PRE},
        {"script", TAG_DROP},      {"section", TAG_BLOCK},    {"style", TAG_DROP},
        {"summary", TAG_BLOCK},    {"table", TAG_TABLE},      {"td", TAG_CELL},
        {"template", TAG_DROP},    {"textarea", TAG_PRE},     {"th", TAG_HEAD_CELL},
        {"thead", TAG_THEAD},      {"title", TAG_TITLE},      {"tr", TAG_ROW},
        {"ul", TAG_BLOCK},
    };
    size_t low = 0;
    size_t high = VT_COUNT(tags);
    while (low < high) {
        size_t mid = (low + high) / 2;
        int order = strcmp(name, tags[mid].name);
        if (order == 0) return tags[mid].kind;
        if (order < 0) high = mid;
        else low = mid + 1;
    }
    return TAG_INLINE;
}

static bool add_line(reader *r, vt_slice text, vt_line_kind kind, int32_t header)
{
    return vt_document_add(
        r->doc, text,
        (vt_doc_line){.kind = (uint8_t)kind, .section = r->doc->open_section, .header = header});
}

static bool needs_blank(const reader *r)
{
    return r->doc->n_lines > 0 && r->doc->lines[r->doc->n_lines - 1].kind != VT_LINE_BLANK;
}

/* Where a line of a paragraph ends: after the first sentence past SENTENCE_LINE bytes. */
static size_t sentence_end(vt_slice s)
{
    for (size_t i = SENTENCE_LINE; i + 1 < s.len; i++)
        if ((s.ptr[i - 1] == '.' || s.ptr[i - 1] == '!' || s.ptr[i - 1] == '?') && s.ptr[i] == ' ')
            return i;
    return s.len;
}

static void add_preformatted(reader *r, vt_slice s)
{
    while (s.len > 0 && (s.ptr[0] == '\n' || s.ptr[0] == '\r')) s = vt_slice_skip(s, 1);
    while (s.len > 0 && strchr("\n\r \t", s.ptr[s.len - 1]) && s.ptr[s.len - 1]) s.len--;
    while (s.len > 0) {
        size_t len = vt_slice_find(s, VT_S("\n"));
        vt_slice line = vt_slice_take(s, len);
        if (line.len > 0 && line.ptr[line.len - 1] == '\r') line.len--;
        bool is_blank = vt_slice_trim(line).len == 0;
        if (!add_line(r, line, is_blank ? VT_LINE_BLANK : VT_LINE_CODE, -1)) return;
        s = vt_slice_skip(s, len + 1);
    }
}

/* The open block becomes lines; a heading opens its section first. */
static void end_block(reader *r)
{
    vt_slice s = vt_buffer_slice(&r->block);
    vt_line_kind kind = r->kind;
    r->kind = VT_LINE_TEXT;
    r->wants_space = false;
    if (kind != VT_LINE_CODE) s = vt_slice_trim(s);
    if (vt_slice_trim(s).len > 0) {
        /* Items of a list stay together, everything else is a paragraph of its own. */
        uint8_t before = r->doc->n_lines > 0 ? r->doc->lines[r->doc->n_lines - 1].kind : 0;
        bool joins = kind == VT_LINE_ITEM && (before == VT_LINE_ITEM || before == VT_LINE_MORE);
        if (needs_blank(r) && !joins) add_line(r, (vt_slice){NULL, 0}, VT_LINE_BLANK, -1);
        if (kind == VT_LINE_HEADING) {
            vt_document_open_section(r->doc, r->heading_level, s, r->doc->n_lines);
            add_line(r, s, kind, -1);
        } else if (kind == VT_LINE_CODE) {
            add_preformatted(r, s);
        } else {
            while (s.len > 0) {
                size_t n = sentence_end(s);
                if (!add_line(r, vt_slice_take(s, n), kind, -1)) break;
                s = vt_slice_trim(vt_slice_skip(s, n));
                if (kind == VT_LINE_ITEM) kind = VT_LINE_MORE;
            }
        }
    }
    vt_buffer_clear(&r->block);
}

static void clear_spans(reader *r)
{
    for (int i = 0; i < MAX_COLUMNS; i++) {
        vt_free(r->spans[i].text);
        r->spans[i] = (span){NULL, 0};
    }
}

/* Cells that reach down from rows above into the columns that come next. */
static void fill_spans(reader *r)
{
    while (r->n_cells < MAX_COLUMNS && r->spans[r->n_cells].n_left > 0) {
        span *s = &r->spans[r->n_cells];
        if (r->n_cells > 0) vt_buffer_append(&r->block, VT_S(" | "));
        vt_buffer_append(&r->block, vt_slice_cstr(s->text));
        r->n_cells++;
        if (--s->n_left == 0) {
            vt_free(s->text);
            s->text = NULL;
        }
    }
}

static void end_cell(reader *r)
{
    if (!r->in_cell) return;
    r->in_cell = r->wants_space = false;
    vt_slice text = vt_slice_skip(vt_buffer_slice(&r->block), r->cell_start);
    int i = r->n_cells;
    if (r->cell_rowspan > 1 && i < MAX_COLUMNS && r->spans[i].n_left == 0) {
        r->spans[i].text = vt_strdup(vt_slice_trim(text));
        if (r->spans[i].text != NULL) r->spans[i].n_left = r->cell_rowspan - 1;
    }
    r->n_cells++;
    /* An empty cell for each column more that this one covers keeps the columns in step. */
    for (int k = 1; k < r->cell_colspan && k < MAX_COLUMNS; k++, r->n_cells++)
        vt_buffer_append(&r->block, VT_S(" | "));
}

static void end_row(reader *r)
{
    if (!r->in_row) return;
    end_cell(r);
    fill_spans(r);
    r->in_row = false;
    vt_slice s = vt_buffer_slice(&r->block);
    bool is_empty = true;
    for (size_t i = 0; i < s.len && is_empty; i++) is_empty = s.ptr[i] == ' ' || s.ptr[i] == '|';
    if (!is_empty) {
        /* A row of header cells at the top, or, in a table that has none, a first row of names. */
        bool all_head = r->n_head_cells == r->n_cells && r->n_cells >= 2;
        bool has_digit = false;
        for (size_t i = 0; i < s.len; i++) has_digit |= s.ptr[i] >= '0' && s.ptr[i] <= '9';
        bool names = r->n_rows == 0 && r->n_head_cells == 0 && r->n_cells >= 2 && !has_digit;
        bool is_header = r->in_thead || all_head || names;
        if (needs_blank(r) && r->n_rows == 0) add_line(r, (vt_slice){NULL, 0}, VT_LINE_BLANK, -1);
        if (is_header) r->header = (int32_t)r->doc->n_lines;
        add_line(r, s, is_header ? VT_LINE_HEADER : VT_LINE_ROW, is_header ? -1 : r->header);
        r->n_rows++;
    }
    vt_buffer_clear(&r->block);
}

static int number_of(const char *text)
{
    int n = 0;
    for (; text != NULL && *text >= '0' && *text <= '9' && n < MAX_SPAN; text++)
        n = 10 * n + (*text - '0');
    return n < 1 ? 1 : n > MAX_SPAN ? MAX_SPAN : n;
}

static const char *attribute(const xmlChar **atts, const char *name)
{
    for (int i = 0; atts != NULL && atts[i] != NULL; i += 2)
        if (strcasecmp((const char *)atts[i], name) == 0) return (const char *)atts[i + 1];
    return NULL;
}

static void start_row(reader *r)
{
    end_row(r);
    if (r->n_tables == 0) return;
    end_block(r);
    r->in_row = true;
    r->n_cells = r->n_head_cells = 0;
}

static void start_cell(reader *r, bool is_head, const xmlChar **atts)
{
    if (r->n_tables == 0) return;
    if (!r->in_row) start_row(r);
    end_cell(r);
    fill_spans(r);
    if (r->n_cells > 0) vt_buffer_append(&r->block, VT_S(" | "));
    r->in_cell = true;
    r->cell_start = r->block.len;
    r->cell_rowspan = number_of(attribute(atts, "rowspan"));
    r->cell_colspan = number_of(attribute(atts, "colspan"));
    if (is_head) r->n_head_cells++;
}

static void start_table(reader *r)
{
    end_row(r); /* of the table around this one */
    end_block(r);
    clear_spans(r);
    r->n_tables++;
    r->header = -1;
    r->n_rows = 0;
    r->in_thead = false;
}

static void append_text(reader *r, vt_slice s)
{
    if (r->n_tables > 0 && r->in_row && !r->in_cell) return; /* white space between cells */
    /* After a block inside <pre> its text goes on as it was. */
    if (r->n_pre > 0 && !r->in_cell && r->kind == VT_LINE_TEXT && r->block.len == 0)
        r->kind = VT_LINE_CODE;
    if (r->kind == VT_LINE_CODE && !r->in_cell) {
        vt_buffer_append(&r->block, s);
        return;
    }
    size_t i = 0;
    while (i < s.len) {
        size_t n = 0;
        while (i + n < s.len && !memchr(" \t\r\n\f", s.ptr[i + n], 5)) n++;
        if (n > 0) {
            bool is_start = r->in_cell ? r->block.len == r->cell_start : r->block.len == 0;
            if (r->wants_space && !is_start) vt_buffer_byte(&r->block, ' ');
            r->wants_space = false;
            vt_buffer_append(&r->block, vt_slice_take(vt_slice_skip(s, i), n));
            i += n;
        } else {
            r->wants_space = true;
            i++;
        }
    }
}

static void stop_if_full(reader *r)
{
    if (r->doc->has_failed || r->block.failed || r->title.failed) xmlStopParser(r->parser);
}

static void start_block(reader *r, tag_kind tag, const char *name)
{
    if (r->in_cell) {
        r->wants_space = true;
        return;
    }
    end_block(r);
    if (tag == TAG_HEADING) {
        r->kind = VT_LINE_HEADING;
        r->heading_level = name[1] - '0';
    } else if (tag == TAG_ITEM) {
        r->kind = VT_LINE_ITEM;
        vt_buffer_append(&r->block, VT_S("- "));
    } else if (tag == TAG_PRE) {
        r->kind = VT_LINE_CODE;
    }
}

static void on_start(void *ctx, const xmlChar *xml_name, const xmlChar **atts)
{
    reader *r = ctx;
    const char *name = (const char *)xml_name;
    tag_kind tag = kind_of(name);
    if (tag == TAG_DROP) r->n_dropped++;
    if (r->n_dropped > 0) return;
    switch (tag) {
    case TAG_TITLE: r->in_title = true; break;
    case TAG_BREAK:
        if (r->kind == VT_LINE_CODE && !r->in_cell) vt_buffer_byte(&r->block, '\n');
        else r->wants_space = true;
        break;
    case TAG_IMAGE:
        r->wants_space = true;
        append_text(r, vt_slice_cstr(attribute(atts, "alt")));
        r->wants_space = true;
        break;
    case TAG_TABLE: start_table(r); break;
    case TAG_THEAD: r->in_thead = true; break;
    case TAG_ROW: start_row(r); break;
    case TAG_CELL:
    case TAG_HEAD_CELL: start_cell(r, tag == TAG_HEAD_CELL, atts); break;
    case TAG_PRE:
        r->n_pre++;
        start_block(r, tag, name);
        break;
    case TAG_BLOCK:
        /* "<li><p>text": the paragraph is the item. */
        if (r->kind == VT_LINE_ITEM && r->block.len == 2) break;
        start_block(r, tag, name);
        break;
    case TAG_HEADING:
    case TAG_ITEM: start_block(r, tag, name); break;
    case TAG_INLINE:
    case TAG_DROP: break;
    }
    stop_if_full(r);
}

static void on_end(void *ctx, const xmlChar *xml_name)
{
    reader *r = ctx;
    tag_kind tag = kind_of((const char *)xml_name);
    if (tag == TAG_DROP) {
        if (r->n_dropped > 0) r->n_dropped--;
        return;
    }
    if (r->n_dropped > 0) return;
    switch (tag) {
    case TAG_TITLE: r->in_title = false; break;
    case TAG_TABLE:
        end_row(r);
        clear_spans(r);
        if (r->n_tables > 0) r->n_tables--;
        r->header = -1;
        r->in_thead = false;
        break;
    case TAG_THEAD:
        end_row(r);
        r->in_thead = false;
        break;
    case TAG_ROW: end_row(r); break;
    case TAG_CELL:
    case TAG_HEAD_CELL: end_cell(r); break;
    case TAG_PRE:
        if (!r->in_cell) end_block(r);
        if (r->n_pre > 0) r->n_pre--;
        break;
    case TAG_BLOCK:
    case TAG_HEADING:
    case TAG_ITEM:
        if (r->in_cell) r->wants_space = true;
        else if (!r->in_row) end_block(r);
        break;
    case TAG_INLINE:
    case TAG_BREAK:
    case TAG_IMAGE:
    case TAG_DROP: break;
    }
    stop_if_full(r);
}

static void on_text(void *ctx, const xmlChar *text, int len)
{
    reader *r = ctx;
    vt_slice s = vt_slice_of(text, (size_t)len);
    if (r->n_dropped > 0) return;
    if (r->in_title) vt_buffer_append(&r->title, s);
    else append_text(r, s);
    stop_if_full(r);
}

/* libxml2 hands every complaint to a handler; broken HTML is normal, so they are dropped. */
static void on_error(void *ctx, xmlErrorPtr error)
{
    (void)ctx;
    (void)error;
}

static bool set_title(reader *r)
{
    /* White space in a title is layout. */
    vt_buffer collapsed;
    vt_buffer_init(&collapsed, MAX_BLOCK);
    vt_slice s = vt_slice_trim(vt_buffer_slice(&r->title));
    for (size_t i = 0; i < s.len; i++) {
        bool is_space = strchr(" \t\r\n\f", s.ptr[i]) != NULL;
        if (is_space && collapsed.len > 0 && collapsed.ptr[collapsed.len - 1] == ' ') continue;
        vt_buffer_byte(&collapsed, is_space ? ' ' : s.ptr[i]);
    }
    bool is_ok = !collapsed.failed;
    if (is_ok && collapsed.len > 0)
        is_ok = vt_document_set_title(r->doc, vt_buffer_slice(&collapsed));
    vt_buffer_deinit(&collapsed);
    return is_ok;
}

static bool parse(reader *r, vt_slice text)
{
    htmlSAXHandler sax = {
        .startElement = on_start,
        .endElement = on_end,
        .characters = on_text,
        .ignorableWhitespace = on_text,
        .cdataBlock = on_text,
        .serror = on_error,
        .initialized = XML_SAX2_MAGIC,
    };
    r->parser = htmlCreatePushParserCtxt(&sax, r, NULL, 0, NULL, XML_CHAR_ENCODING_UTF8);
    if (r->parser == NULL) return false;
    htmlCtxtUseOptions(r->parser, HTML_PARSE_NONET | HTML_PARSE_NOERROR | HTML_PARSE_NOWARNING |
                                      HTML_PARSE_RECOVER | HTML_PARSE_IGNORE_ENC);
    while (text.len > 0 && !r->doc->has_failed && !r->block.failed) {
        vt_slice piece = vt_slice_take(text, CHUNK);
        htmlParseChunk(r->parser, piece.ptr, (int)piece.len, 0);
        text = vt_slice_skip(text, piece.len);
    }
    htmlParseChunk(r->parser, "", 0, 1);
    htmlFreeParserCtxt(r->parser);
    return true;
}

vt_status vt_extract_html(vt_slice text, const vt_doc_limits *limits, vt_document *out, vt_err *err)
{
    vt_document_init(out, VT_DOC_HTML, limits);
    reader *r = vt_calloc(1, sizeof *r);
    if (r == NULL) return vt_fail(err, VT_ENOMEM, "out of memory");
    r->doc = out;
    r->header = -1;
    r->kind = VT_LINE_TEXT;
    vt_buffer_init(&r->block, MAX_BLOCK);
    vt_buffer_init(&r->title, MAX_BLOCK);

    bool is_ok = parse(r, text);
    end_row(r);
    end_block(r);
    if (is_ok) is_ok = set_title(r);
    vt_status st = vt_document_status(out, err);
    if (st == VT_OK) st = vt_buffer_status(&r->block, "a paragraph", err);
    if (st == VT_OK && !is_ok) st = vt_fail(err, VT_ENOMEM, "out of memory");
    clear_spans(r);
    vt_buffer_deinit(&r->block);
    vt_buffer_deinit(&r->title);
    vt_free(r);
    if (st != VT_OK) vt_document_deinit(out);
    return st;
}
