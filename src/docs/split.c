/* split.c -- see split.h. */
#include "docs/split.h"

#include "docs/extract.h"

enum {
    MAX_PASSAGE = 64 << 20, /* one line may be this long before it is cut into pieces */
    CODE_MIN = 12,
    CODE_MAX = 26,
    CODE_OVERLAP = 4,
    CODE_BYTES = 2000,
};

typedef struct {
    const vt_document *doc;
    vt_piece_fn *fn;
    void *ctx;
    vt_buffer text;
    bool was_stopped;
} splitter;

static vt_line_kind kind_at(const splitter *s, size_t i)
{
    return i < s->doc->n_lines ? (vt_line_kind)s->doc->lines[i].kind : VT_LINE_BLANK;
}

/* Where to cut text that is longer than `limit`: after the last sentence in it, else the last word,
 * else the last character. */
static size_t cut_at(vt_slice s, size_t limit)
{
    if (s.len <= limit) return s.len;
    for (size_t i = limit; i > limit / 2; i--)
        if (s.ptr[i] == ' ' && strchr(".!?;\n", s.ptr[i - 1]) != NULL && s.ptr[i - 1] != '\0')
            return i;
    for (size_t i = limit; i > limit / 2; i--)
        if (s.ptr[i] == ' ' || s.ptr[i] == '\n') return i;
    size_t n = limit;
    while (n > 1 && ((unsigned char)s.ptr[n] & 0xC0) == 0x80) n--;
    return n;
}

static void emit(splitter *s, size_t first, size_t last, int32_t header, vt_slice text)
{
    const vt_doc_line *l = &s->doc->lines[first];
    if (s->was_stopped || vt_slice_trim(text).len == 0) return;
    vt_piece piece = {
        .first = first,
        .last = last,
        .page = l->page,
        .section = l->section,
        .header = header,
        .text = text,
    };
    if (!s->fn(s->ctx, &piece)) s->was_stopped = true;
}

/* Emit one line (or row), in pieces when it is long. */
static void emit_long(splitter *s, size_t first, size_t last, int32_t header, vt_slice text)
{
    if (text.len <= VT_SPLIT_BYTES + VT_SPLIT_BYTES / 2) {
        emit(s, first, last, header, text);
        return;
    }
    while (text.len > 0 && !s->was_stopped) {
        size_t n = cut_at(text, VT_SPLIT_BYTES);
        emit(s, first, last, header, vt_slice_trim(vt_slice_take(text, n)));
        text = vt_slice_skip(text, n);
    }
}

static size_t row_end(const vt_document *doc, size_t i)
{
    while (i + 1 < doc->n_lines && doc->lines[i + 1].kind == VT_LINE_MORE) i++;
    return i;
}

bool vt_split_render(const vt_document *doc, size_t i, vt_buffer *out)
{
    vt_slice line = vt_document_line(doc, i);
    bool is_row = doc->lines[i].kind == VT_LINE_ROW || doc->lines[i].kind == VT_LINE_HEADER;
    if (is_row && doc->kind == VT_DOC_TABLE) {
        const vt_doc_line *end = &doc->lines[row_end(doc, i)];
        size_t start = doc->lines[i].start;
        return vt_table_row((vt_slice){doc->text.ptr + start, end->start + end->len - start},
                            doc->delimiter, out);
    }
    if (is_row && doc->kind == VT_DOC_TEXT) {
        vt_layout_row(line, out);
        return !out->failed;
    }
    if (is_row && doc->kind == VT_DOC_MARKDOWN) {
        vt_slice s = vt_slice_trim(line);
        if (s.len > 0 && s.ptr[0] == '|') s = vt_slice_skip(s, 1);
        if (s.len > 0 && s.ptr[s.len - 1] == '|') s.len--;
        /* Cells are padded to line up; one space is enough. */
        for (size_t k = 0; k < s.len; k++) {
            bool is_padding = (s.ptr[k] == ' ' || s.ptr[k] == '\t') &&
                              (out->len == 0 || out->ptr[out->len - 1] == ' ');
            if (!is_padding && !vt_buffer_byte(out, s.ptr[k] == '\t' ? ' ' : s.ptr[k]))
                return false;
        }
        while (out->len > 0 && out->ptr[out->len - 1] == ' ') out->ptr[--out->len] = '\0';
        return true;
    }
    return vt_buffer_append(out, line);
}

/* A heading is a passage when the next thing after it is another heading, or the end. */
static size_t split_heading(splitter *s, size_t i)
{
    size_t next = i + 1;
    while (next < s->doc->n_lines &&
           (kind_at(s, next) == VT_LINE_BLANK || kind_at(s, next) == VT_LINE_RULE))
        next++;
    if (next >= s->doc->n_lines || kind_at(s, next) == VT_LINE_HEADING)
        emit(s, i, i, -1, vt_slice_trim(vt_document_line(s->doc, i)));
    return i + 1;
}

static size_t split_row(splitter *s, size_t i)
{
    size_t last = row_end(s->doc, i);
    bool is_header = kind_at(s, i) == VT_LINE_HEADER;
    size_t next = last + 1;
    if (kind_at(s, next) == VT_LINE_RULE) next++;
    /* A header row is beside its rows; alone it is what there is. */
    if (!is_header || kind_at(s, next) != VT_LINE_ROW) {
        vt_buffer_clear(&s->text);
        if (vt_split_render(s->doc, i, &s->text))
            emit_long(s, i, last, s->doc->lines[i].header, vt_buffer_slice(&s->text));
    }
    return last + 1;
}

static vt_slice lines_text(const vt_document *doc, size_t first, size_t last)
{
    size_t start = doc->lines[first].start;
    const vt_doc_line *end = &doc->lines[last];
    return (vt_slice){doc->text.ptr + start, end->start + end->len - start};
}

static size_t split_paragraph(splitter *s, size_t i)
{
    const vt_document *doc = s->doc;
    while (kind_at(s, i) == VT_LINE_TEXT && i < doc->n_lines) {
        size_t last = i;
        while (last + 1 < doc->n_lines && kind_at(s, last + 1) == VT_LINE_TEXT &&
               doc->lines[last + 1].page == doc->lines[i].page &&
               lines_text(doc, i, last + 1).len <= VT_SPLIT_BYTES)
            last++;
        emit_long(s, i, last, -1, lines_text(doc, i, last));
        i = last + 1;
    }
    return i;
}

/* The paragraph line that introduces a list: right before it (a blank line may lie between), and it
 * ends with a colon. */
static int32_t introduction(const splitter *s, size_t i)
{
    size_t k = i;
    while (k > 0 && i - k < 2 && kind_at(s, k - 1) == VT_LINE_BLANK) k--;
    if (k == 0 || kind_at(s, k - 1) != VT_LINE_TEXT) return -1;
    vt_slice line = vt_slice_trim(vt_document_line(s->doc, k - 1));
    return line.len > 0 && line.ptr[line.len - 1] == ':' ? (int32_t)(k - 1) : -1;
}

static size_t split_list(splitter *s, size_t i)
{
    const vt_document *doc = s->doc;
    size_t end = i; /* one past the list */
    for (size_t k = i; k < doc->n_lines && doc->lines[k].page == doc->lines[i].page; k++) {
        vt_line_kind kind = kind_at(s, k);
        if (kind == VT_LINE_ITEM || kind == VT_LINE_MORE) end = k + 1;
        else if (kind != VT_LINE_BLANK || kind_at(s, k + 1) != VT_LINE_ITEM) break;
    }
    if (end == i) end = i + 1;
    int32_t header = introduction(s, i);
    if (lines_text(doc, i, end - 1).len <= VT_SPLIT_LIST_BYTES) {
        emit(s, i, end - 1, header, lines_text(doc, i, end - 1));
        return end;
    }
    while (i < end) {
        size_t last = i;
        while (last + 1 < end && kind_at(s, last + 1) == VT_LINE_MORE) last++;
        if (kind_at(s, i) != VT_LINE_BLANK) emit_long(s, i, last, header, lines_text(doc, i, last));
        i = last + 1;
    }
    return end;
}

static bool is_code(const splitter *s, size_t i)
{
    return i < s->doc->n_lines && (kind_at(s, i) == VT_LINE_CODE || kind_at(s, i) == VT_LINE_BLANK);
}

/* The last line of the piece of code that starts at i: a blank line or the end of a block past
 * CODE_MIN lines, at most CODE_MAX lines. */
static size_t code_end(const splitter *s, size_t i, size_t end)
{
    size_t limit = i + CODE_MAX < end ? i + CODE_MAX : end;
    while (limit > i + 1 && lines_text(s->doc, i, limit - 1).len > CODE_BYTES) limit--;
    if (limit == end) return end;
    for (size_t k = limit; k > i + CODE_MIN; k--) {
        vt_slice line = vt_document_line(s->doc, k - 1);
        if (line.len == 0 || line.ptr[0] == '}') return k;
    }
    return limit > i + VT_SPLIT_CODE_LINES ? i + VT_SPLIT_CODE_LINES : limit;
}

static size_t split_code(splitter *s, size_t i)
{
    size_t end = i;
    while (is_code(s, end)) end++;
    size_t next = end;
    while (end > i && kind_at(s, end - 1) == VT_LINE_BLANK) end--;
    while (i < end && !s->was_stopped) {
        size_t stop = code_end(s, i, end);
        emit_long(s, i, stop - 1, -1, lines_text(s->doc, i, stop - 1));
        if (stop == end) break;
        bool is_clean = vt_document_line(s->doc, stop - 1).len == 0;
        i = is_clean || stop - i <= CODE_OVERLAP ? stop : stop - CODE_OVERLAP;
        while (i < end && kind_at(s, i) == VT_LINE_BLANK) i++;
    }
    return next;
}

vt_status vt_split(const vt_document *doc, vt_piece_fn *fn, void *ctx, vt_err *err)
{
    splitter s = {.doc = doc, .fn = fn, .ctx = ctx};
    vt_buffer_init(&s.text, MAX_PASSAGE);
    size_t i = 0;
    while (i < doc->n_lines && !s.was_stopped && !s.text.failed) {
        switch (kind_at(&s, i)) {
        case VT_LINE_HEADING: i = split_heading(&s, i); break;
        case VT_LINE_ROW:
        case VT_LINE_HEADER: i = split_row(&s, i); break;
        case VT_LINE_ITEM:
        case VT_LINE_MORE: i = split_list(&s, i); break;
        case VT_LINE_CODE: i = split_code(&s, i); break;
        case VT_LINE_TEXT: i = split_paragraph(&s, i); break;
        case VT_LINE_BLANK:
        case VT_LINE_RULE: i++; break;
        }
    }
    vt_status st = vt_buffer_status(&s.text, "a table row", err);
    vt_buffer_deinit(&s.text);
    if (st == VT_OK && s.was_stopped) st = vt_fail(err, VT_ECANCEL, "stopped by the caller");
    return st;
}
