/* pdf.c -- the text that `pdftotext -layout` made of a PDF, to lines: see extract.h.
 *
 * pdftotext keeps the page's layout with spaces. That keeps a table's row on one line, which is
 * what a citation needs, but prints two columns of prose side by side; those pages are recognised
 * by their gutter and read column by column. Runs of spaces are layout, not text: they become " | "
 * in tables and one space elsewhere. */
#include "docs/extract.h"

#include "base/alloc.h"
#include "base/utf8.h"

enum { MAX_PAGE_LINES = 20000, MAX_COLUMN = 400 };

typedef struct {
    vt_slice *lines;
    size_t n;
    size_t cap;
} page;

static bool cut_page(page *p, vt_slice text)
{
    p->n = 0;
    while (text.len > 0) {
        size_t len = vt_slice_find(text, VT_S("\n"));
        if (!vt_grow((void **)&p->lines, &p->cap, p->n + 1, sizeof *p->lines, MAX_PAGE_LINES))
            return false;
        p->lines[p->n++] = vt_slice_take(text, len);
        text = vt_slice_skip(text, len + 1);
    }
    while (p->n > 0 && vt_slice_trim(p->lines[p->n - 1]).len == 0) p->n--;
    return true;
}

/* The byte offset of character column `column` in a line, or its length. */
static size_t offset_of(vt_slice line, size_t column)
{
    size_t i = 0;
    for (; i < line.len && column > 0; column--) {
        i++;
        while (i < line.len && ((unsigned char)line.ptr[i] & 0xC0) == 0x80) i++;
    }
    return i;
}

static size_t n_words(vt_slice s)
{
    size_t n = 0;
    bool in_word = false;
    for (size_t i = 0; i < s.len; i++) {
        bool is_space = s.ptr[i] == ' ' || s.ptr[i] == '\t';
        if (!is_space && !in_word) n++;
        in_word = !is_space;
    }
    return n;
}

/* Whether a line has three blank columns or more that end at `column`, with text on the right. */
static bool has_gutter_at(vt_slice line, size_t column)
{
    size_t at = offset_of(line, column);
    if (at < 3 || at >= line.len || line.ptr[at] == ' ') return false;
    return line.ptr[at - 1] == ' ' && line.ptr[at - 2] == ' ';
}

/* The column where a page's right half begins when it is set in two columns of prose; 0: it isn't.
 * Prose: most lines have both halves, and both halves have several words (a table's cells don't).
 */
static size_t find_gutter(const page *p)
{
    if (p->n < 12) return 0;
    size_t starts[MAX_COLUMN] = {0};
    size_t n_text = 0;
    for (size_t i = 0; i < p->n; i++) {
        vt_slice line = p->lines[i];
        if (vt_slice_trim(line).len == 0) continue;
        n_text++;
        size_t column = 0;
        for (size_t k = 0; k < line.len && column < MAX_COLUMN; k++) {
            if (((unsigned char)line.ptr[k] & 0xC0) == 0x80) continue;
            if (k >= 3 && line.ptr[k] != ' ' && line.ptr[k - 1] == ' ' && line.ptr[k - 2] == ' ' &&
                vt_slice_trim(vt_slice_take(line, k)).len > 0)
                starts[column]++;
            column++;
        }
    }
    size_t best = 0;
    for (size_t c = 1; c < MAX_COLUMN; c++)
        if (starts[c] > starts[best]) best = c;
    if (best < 20 || starts[best] * 2 < n_text) return 0;
    size_t left = 0;
    size_t right = 0;
    for (size_t i = 0; i < p->n; i++) {
        if (!has_gutter_at(p->lines[i], best)) continue;
        size_t at = offset_of(p->lines[i], best);
        left += n_words(vt_slice_take(p->lines[i], at));
        right += n_words(vt_slice_skip(p->lines[i], at));
    }
    return left >= 4 * starts[best] && right >= 4 * starts[best] ? best : 0;
}

static bool add(vt_document *doc, vt_slice text, vt_line_kind kind, int32_t header)
{
    return vt_document_add(doc, text,
                           (vt_doc_line){.kind = (uint8_t)kind,
                                         .page = doc->n_pages,
                                         .section = doc->open_section,
                                         .header = header});
}

/* Text with its runs of spaces collapsed. */
static void squeeze(vt_slice line, vt_buffer *out)
{
    vt_buffer_clear(out);
    vt_slice s = vt_slice_trim(line);
    for (size_t i = 0; i < s.len; i++) {
        bool is_space = s.ptr[i] == ' ' || s.ptr[i] == '\t';
        if (is_space && out->len > 0 && out->ptr[out->len - 1] == ' ') continue;
        vt_buffer_byte(out, is_space ? ' ' : s.ptr[i]);
    }
}

static bool is_lower(char c)
{
    return (c >= 'a' && c <= 'z') || ((unsigned char)c >= 0x80);
}

/* "thermocou-" before "ple was": the rest of the word comes up to its beginning, so that it can be
 * found. A hyphen that belongs to the word is lost with it; the typesetter's are far more common.
 */
static void join_hyphen(page *p, size_t i, vt_buffer *text)
{
    if (i + 1 >= p->n || text->len < 2 || text->ptr[text->len - 1] != '-' ||
        !is_lower(text->ptr[text->len - 2]))
        return;
    vt_slice next = vt_slice_trim(p->lines[i + 1]);
    size_t n = vt_slice_find(next, VT_S(" "));
    if (n == next.len || !is_lower(next.ptr[0])) return;
    text->ptr[--text->len] = '\0';
    vt_buffer_append(text, vt_slice_take(next, n));
    size_t indent = (size_t)(next.ptr - p->lines[i + 1].ptr);
    p->lines[i + 1] = vt_slice_skip(p->lines[i + 1], indent + n);
}

static bool is_numbered_heading(vt_slice s)
{
    size_t k = 0;
    while (k < s.len && k < 10 &&
           ((s.ptr[k] >= '0' && s.ptr[k] <= '9') || (k > 0 && s.ptr[k] == '.')))
        k++;
    return k > 0 && k + 1 < s.len && s.ptr[k] == ' ' && s.ptr[k + 1] >= 'A' && s.ptr[k + 1] <= 'Z';
}

static bool is_blank(const page *p, size_t i)
{
    return i >= p->n || vt_slice_trim(p->lines[i]).len == 0;
}

/* A short line with a blank one before it that doesn't end like a sentence. */
static bool is_short_line(const page *p, size_t i)
{
    vt_slice s = vt_slice_trim(p->lines[i]);
    if (s.len < 3 || s.len > 80 || (i > 0 && !is_blank(p, i - 1))) return false;
    return strchr(".,;:!?", s.ptr[s.len - 1]) == NULL && vt_layout_row(p->lines[i], NULL) == 1;
}

static bool is_alone(const page *p, size_t i)
{
    vt_slice s = vt_slice_trim(p->lines[i]);
    size_t n_letters = 0;
    for (size_t k = 0; k < s.len; k++)
        n_letters += (s.ptr[k] | 32) >= 'a' && (s.ptr[k] | 32) <= 'z';
    return is_short_line(p, i) && is_blank(p, i + 1) && n_letters * 2 > s.len && s.ptr[0] >= 'A' &&
           s.ptr[0] <= 'Z' && n_words(s) <= 8;
}

/* "3. Lathes" before its text (but "3. Close the valve" before "4. Wait" is a list), or a short
 * line alone before text (several such lines in a row are a title page or an address). */
static bool is_heading(const page *p, size_t i)
{
    if (is_short_line(p, i) && is_numbered_heading(vt_slice_trim(p->lines[i])))
        return is_blank(p, i + 1) || !is_numbered_heading(vt_slice_trim(p->lines[i + 1]));
    if (!is_alone(p, i)) return false;
    size_t next = i + 1;
    while (next < p->n && is_blank(p, next)) next++;
    return next < p->n &&
           (!is_alone(p, next) || is_numbered_heading(vt_slice_trim(p->lines[next])));
}

/* "12", "Page 3", "Page 3 of 9" as a page's first or last line. */
static bool is_page_number(vt_slice line)
{
    vt_slice s = vt_slice_trim(line);
    if (s.len >= 5 && strncasecmp(s.ptr, "page ", 5) == 0) s = vt_slice_skip(s, 5);
    bool has_digit = false;
    for (size_t i = 0; i < s.len; i++) {
        has_digit |= s.ptr[i] >= '0' && s.ptr[i] <= '9';
        if (memchr("0123456789/- of", s.ptr[i], 15) == NULL) return false;
    }
    return has_digit && s.len < 16;
}

static int heading_level(vt_slice s)
{
    int dots = 0;
    size_t k = 0;
    while (k < s.len && ((s.ptr[k] >= '0' && s.ptr[k] <= '9') || s.ptr[k] == '.')) {
        if (s.ptr[k] == '.' && k + 1 < s.len && s.ptr[k + 1] != ' ') dots++;
        k++;
    }
    return 1 + dots;
}

/* Rows of a table from line i on: at least two lines with the same number of cells, two or more;
 * blank lines between them don't end it. */
static size_t table_lines(const page *p, size_t i)
{
    size_t n_cells = vt_layout_row(p->lines[i], NULL);
    if (n_cells < 2) return 0;
    size_t n_rows = 1;
    size_t last = i;
    for (size_t k = i + 1; k < p->n; k++) {
        size_t n = vt_layout_row(p->lines[k], NULL);
        if (n == 0 && k + 1 < p->n && k == last + 1) continue;
        if (n != n_cells) break;
        n_rows++;
        last = k;
    }
    return n_rows >= 3 || (n_rows == 2 && n_cells >= 3) ? last - i + 1 : 0;
}

static bool add_table(vt_document *doc, const page *p, size_t first, size_t n, vt_buffer *scratch)
{
    int32_t header = -1;
    for (size_t k = first; k < first + n; k++) {
        if (vt_slice_trim(p->lines[k]).len == 0) continue;
        vt_buffer_clear(scratch);
        vt_layout_row(p->lines[k], scratch);
        if (scratch->failed) return false;
        bool is_first = header < 0;
        if (is_first) header = (int32_t)doc->n_lines;
        if (!add(doc, vt_buffer_slice(scratch), is_first ? VT_LINE_HEADER : VT_LINE_ROW,
                 is_first ? -1 : header))
            return false;
    }
    return true;
}

static bool add_heading(vt_document *doc, vt_slice line, vt_buffer *scratch)
{
    squeeze(line, scratch);
    return !scratch->failed && add(doc, vt_buffer_slice(scratch), VT_LINE_HEADING, -1);
}

static bool add_lines(vt_document *doc, page *p, vt_buffer *scratch)
{
    size_t first = 0;
    while (is_blank(p, first) && first < p->n) first++;
    for (size_t i = 0; i < p->n; i++) {
        vt_slice line = p->lines[i];
        vt_slice s = vt_slice_trim(line);
        size_t n = vt_list_marker(line) > 0 ? 0 : table_lines(p, i);
        if (n > 0) {
            if (!add_table(doc, p, i, n, scratch)) return false;
            i += n - 1;
            continue;
        }
        bool is_ok;
        if (doc->title == NULL && doc->n_pages == 1 && i == first && is_alone(p, i))
            vt_document_set_title(doc, s);
        if (s.len == 0) {
            is_ok = add(doc, s, VT_LINE_BLANK, -1);
        } else if ((i == first || i + 1 == p->n) && is_page_number(s)) {
            is_ok = add(doc, s, VT_LINE_RULE, -1);
        } else if (is_heading(p, i)) {
            is_ok = vt_document_open_section(doc, heading_level(s), s, doc->n_lines) &&
                    add_heading(doc, line, scratch);
        } else {
            bool is_item = vt_list_marker(line) > 0;
            uint8_t before = doc->n_lines > 0 ? doc->lines[doc->n_lines - 1].kind : VT_LINE_BLANK;
            bool goes_on = (before == VT_LINE_ITEM || before == VT_LINE_MORE) && line.ptr[0] == ' ';
            squeeze(line, scratch);
            join_hyphen(p, i, scratch);
            is_ok = !scratch->failed && add(doc, vt_buffer_slice(scratch),
                                            is_item   ? VT_LINE_ITEM
                                            : goes_on ? VT_LINE_MORE
                                                      : VT_LINE_TEXT,
                                            -1);
        }
        if (!is_ok) return false;
    }
    return true;
}

/* A page in two columns: its lines are cut at the gutter, the left halves read first. Lines that
 * run through the gutter (titles, wide figures) end what is beside each other above them. */
static bool add_columns(vt_document *doc, page *p, size_t gutter, vt_buffer *scratch)
{
    page half = {0};
    bool is_ok = true;
    for (size_t begin = 0; begin < p->n && is_ok;) {
        size_t end = begin;
        bool is_wide = false;
        for (; end < p->n; end++) {
            size_t at = offset_of(p->lines[end], gutter);
            vt_slice line = p->lines[end];
            is_wide = at < line.len && !has_gutter_at(line, gutter) &&
                      !(at >= 2 && line.ptr[at - 1] == ' ' && line.ptr[at - 2] == ' ');
            if (is_wide) break;
        }
        for (int side = 0; side < 2 && is_ok; side++) {
            half.n = 0;
            for (size_t i = begin; i < end && is_ok; i++) {
                size_t at = offset_of(p->lines[i], gutter);
                is_ok = vt_grow((void **)&half.lines, &half.cap, half.n + 1, sizeof *half.lines,
                                MAX_PAGE_LINES);
                if (is_ok)
                    half.lines[half.n++] =
                        side == 0 ? vt_slice_take(p->lines[i], at) : vt_slice_skip(p->lines[i], at);
            }
            is_ok = is_ok && add_lines(doc, &half, scratch);
        }
        if (is_ok && is_wide) {
            page one = {.lines = &p->lines[end], .n = 1};
            is_ok = add_lines(doc, &one, scratch);
            end++;
        }
        begin = end;
    }
    vt_free(half.lines);
    return is_ok;
}

static bool add_page(vt_document *doc, page *p, vt_slice text, vt_buffer *scratch)
{
    doc->n_pages++;
    if (!cut_page(p, text)) return false;
    size_t gutter = find_gutter(p);
    bool is_ok = gutter > 0 ? add_columns(doc, p, gutter, scratch) : add_lines(doc, p, scratch);
    /* A blank line between pages keeps a paragraph to its page, as its citation needs. */
    return is_ok && (p->n == 0 || add(doc, (vt_slice){NULL, 0}, VT_LINE_BLANK, -1));
}

vt_status vt_extract_pdf_text(vt_slice text, const vt_doc_limits *limits, vt_document *out,
                              vt_err *err)
{
    vt_document_init(out, VT_DOC_PDF, limits);
    page p = {0};
    vt_buffer scratch;
    vt_buffer_init(&scratch, 16 << 20);
    bool is_ok = true;
    while (text.len > 0 && is_ok) {
        size_t len = vt_slice_find(text, VT_S("\f"));
        is_ok = add_page(out, &p, vt_slice_take(text, len), &scratch);
        text = vt_slice_skip(text, len + 1);
    }
    vt_status st = vt_document_status(out, err);
    if (st == VT_OK && !is_ok)
        st = vt_fail(err, VT_ELIMIT, "page %d has too many or too long lines", out->n_pages);
    vt_free(p.lines);
    vt_buffer_deinit(&scratch);
    if (st != VT_OK) vt_document_deinit(out);
    return st;
}
