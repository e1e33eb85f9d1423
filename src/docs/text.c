/* text.c -- lines of plain text, Markdown and source code: see extract.h.
 *
 * The text is cut into lines first; a second pass says what each line is, looking at its
 * neighbours. Nothing is parsed further than that: the lines stay as they are in the file. */
#include "docs/extract.h"

#include "base/alloc.h"

size_t vt_layout_row(vt_slice line, vt_buffer *out)
{
    size_t n_cells = 0;
    line = vt_slice_trim(line);
    while (line.len > 0) {
        size_t end = 0; /* of the cell */
        while (end < line.len && line.ptr[end] != '\t' &&
               !(line.ptr[end] == ' ' && end + 1 < line.len &&
                 (line.ptr[end + 1] == ' ' || line.ptr[end + 1] == '\t')))
            end++;
        if (out != NULL) {
            if (n_cells > 0) vt_buffer_append(out, VT_S(" | "));
            vt_buffer_append(out, vt_slice_take(line, end));
        }
        n_cells++;
        line = vt_slice_trim(vt_slice_skip(line, end));
    }
    return n_cells;
}

static size_t indent_of(vt_slice line)
{
    size_t n = 0;
    while (n < line.len && (line.ptr[n] == ' ' || line.ptr[n] == '\t')) n++;
    return n;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c | 32) >= 'a' && (c | 32) <= 'z';
}

size_t vt_list_marker(vt_slice line)
{
    size_t i = indent_of(line);
    vt_slice s = vt_slice_skip(line, i);
    size_t n = 0;
    if (vt_slice_starts(s, VT_S("\xE2\x80\xA2"))) { /* bullet */
        n = 3;
    } else if (s.len > 0 && (s.ptr[0] == '-' || s.ptr[0] == '*' || s.ptr[0] == '+')) {
        n = 1;
    } else {
        bool has_paren = s.len > 0 && s.ptr[0] == '(';
        size_t k = has_paren ? 1 : 0;
        size_t first = k;
        while (k < s.len && k < first + 3 && is_digit(s.ptr[k])) k++;
        if (k == first && k < s.len && is_letter(s.ptr[k])) {
            k++;
            if (k < s.len && s.ptr[k] == '.') return 0; /* "A. Smith" is a name */
        }
        if (k == first || k >= s.len) return 0;
        if (s.ptr[k] != ')' && (has_paren || s.ptr[k] != '.')) return 0;
        n = k + 1;
    }
    if (n >= s.len || (s.ptr[n] != ' ' && s.ptr[n] != '\t')) return 0;
    while (n < s.len && (s.ptr[n] == ' ' || s.ptr[n] == '\t')) n++;
    return n < s.len ? i + n : 0;
}

/* A line of nothing but one character of `set`, at least `min` of them. */
static bool is_all(vt_slice line, const char *set, size_t min)
{
    vt_slice s = vt_slice_trim(line);
    if (s.len < min || strchr(set, s.ptr[0]) == NULL) return false;
    for (size_t i = 1; i < s.len; i++)
        if (s.ptr[i] != s.ptr[0]) return false;
    return true;
}

static bool is_blank_at(const vt_document *doc, size_t i)
{
    return i >= doc->n_lines || vt_slice_trim(vt_document_line(doc, i)).len == 0;
}

/* Plain text: a short line between blank lines, in capitals or numbered like "3.2 Title". */
static int plain_heading_level(const vt_document *doc, size_t i)
{
    vt_slice s = vt_slice_trim(vt_document_line(doc, i));
    if (s.len < 4 || s.len > 80 || !is_blank_at(doc, i + 1) || (i > 0 && !is_blank_at(doc, i - 1)))
        return 0;
    char last = s.ptr[s.len - 1];
    if (last == '.' || last == ',' || last == ';' || last == ':') return 0;
    size_t n_upper = 0;
    size_t n_lower = 0;
    for (size_t k = 0; k < s.len; k++) {
        if (s.ptr[k] >= 'A' && s.ptr[k] <= 'Z') n_upper++;
        else if (s.ptr[k] >= 'a' && s.ptr[k] <= 'z') n_lower++;
    }
    if (n_upper >= 4 && n_lower == 0) return 1;
    size_t k = 0;
    int dots = 0;
    while (k < s.len && (is_digit(s.ptr[k]) || (s.ptr[k] == '.' && k > 0))) {
        if (s.ptr[k] == '.' && k + 1 < s.len && is_digit(s.ptr[k + 1])) dots++;
        k++;
    }
    if (k > 0 && k < 10 && k + 1 < s.len && s.ptr[k] == ' ' && s.ptr[k + 1] >= 'A' &&
        s.ptr[k + 1] <= 'Z' && n_lower > 0)
        return 1 + dots;
    return 0;
}

/* Columns laid out with spaces: at least three lines in a row with the same number of cells, two or
 * more. Returns how many lines the table has from line i on; 0: none starts here. */
static size_t layout_table(const vt_document *doc, size_t i)
{
    size_t n_cells = vt_layout_row(vt_document_line(doc, i), NULL);
    if (n_cells < 2 || vt_list_marker(vt_document_line(doc, i)) > 0) return 0;
    size_t n = 1;
    while (i + n < doc->n_lines && vt_layout_row(vt_document_line(doc, i + n), NULL) == n_cells)
        n++;
    return n >= 3 ? n : 0;
}

static void mark_rows(vt_document *doc, size_t first, size_t n)
{
    for (size_t k = 0; k < n; k++) {
        vt_doc_line *l = &doc->lines[first + k];
        l->kind = k == 0 ? VT_LINE_HEADER : VT_LINE_ROW;
        l->header = k == 0 ? -1 : (int32_t)first;
        l->section = doc->open_section;
    }
}

static bool open_heading(vt_document *doc, size_t i, int level, vt_slice text)
{
    if (!vt_document_open_section(doc, level, text, i)) return false;
    doc->lines[i].kind = VT_LINE_HEADING;
    doc->lines[i].section = doc->open_section;
    return level > 1 || vt_document_set_title(doc, text);
}

/* An item's following lines, indented and without a blank line between. */
static bool goes_on(const vt_document *doc, size_t i)
{
    if (i == 0 || is_blank_at(doc, i - 1)) return false;
    uint8_t before = doc->lines[i - 1].kind;
    return (before == VT_LINE_ITEM || before == VT_LINE_MORE) &&
           indent_of(vt_document_line(doc, i)) > 0;
}

static void mark_prose(vt_document *doc, size_t i)
{
    vt_doc_line *l = &doc->lines[i];
    l->section = doc->open_section;
    if (is_blank_at(doc, i)) l->kind = VT_LINE_BLANK;
    else if (vt_list_marker(vt_document_line(doc, i)) > 0) l->kind = VT_LINE_ITEM;
    else if (goes_on(doc, i)) l->kind = VT_LINE_MORE;
    else l->kind = VT_LINE_TEXT;
}

static bool mark_plain(vt_document *doc)
{
    for (size_t i = 0; i < doc->n_lines; i++) {
        vt_slice line = vt_document_line(doc, i);
        size_t n_rows = layout_table(doc, i);
        if (n_rows > 0) {
            mark_rows(doc, i, n_rows);
            i += n_rows - 1;
            continue;
        }
        bool is_underlined = !is_blank_at(doc, i) && line.len < 120 && i + 1 < doc->n_lines &&
                             is_all(vt_document_line(doc, i + 1), "=-~", 4) &&
                             (i == 0 || is_blank_at(doc, i - 1));
        int level = is_underlined
                        ? (vt_slice_trim(vt_document_line(doc, i + 1)).ptr[0] == '=' ? 1 : 2)
                        : plain_heading_level(doc, i);
        if (level > 0) {
            if (!open_heading(doc, i, level, line)) return false;
            if (is_underlined) {
                doc->lines[++i].kind = VT_LINE_RULE;
                doc->lines[i].section = doc->open_section;
            }
            continue;
        }
        mark_prose(doc, i);
    }
    return true;
}

/* "## Heading ##": its level and text. */
static int atx_level(vt_slice line, vt_slice *text)
{
    size_t i = indent_of(line);
    if (i > 3) return 0;
    vt_slice s = vt_slice_skip(line, i);
    int level = 0;
    while ((size_t)level < s.len && s.ptr[level] == '#') level++;
    if (level == 0 || level > 6) return 0;
    if ((size_t)level < s.len && s.ptr[level] != ' ' && s.ptr[level] != '\t') return 0;
    s = vt_slice_trim(vt_slice_skip(s, (size_t)level));
    size_t end = s.len;
    while (end > 0 && s.ptr[end - 1] == '#') end--;
    if (end == 0 || s.ptr[end - 1] == ' ') s = vt_slice_trim(vt_slice_take(s, end));
    *text = s;
    return s.len > 0 ? level : 0;
}

/* The length of a code fence's ``` or ~~~ at the start of a line; 0: none. */
static size_t fence_length(vt_slice line)
{
    vt_slice s = vt_slice_trim(line);
    size_t n = 0;
    if (s.len < 3 || (s.ptr[0] != '`' && s.ptr[0] != '~')) return 0;
    while (n < s.len && s.ptr[n] == s.ptr[0]) n++;
    return n >= 3 ? n : 0;
}

/* |---|:--:| */
static bool is_delimiter_row(vt_slice line)
{
    vt_slice s = vt_slice_trim(line);
    bool has_dash = false;
    bool has_bar = false;
    for (size_t i = 0; i < s.len; i++) {
        if (strchr("-:| \t", s.ptr[i]) == NULL || s.ptr[i] == '\0') return false;
        has_dash |= s.ptr[i] == '-';
        has_bar |= s.ptr[i] == '|';
    }
    return has_dash && has_bar;
}

static size_t mark_fence(vt_document *doc, size_t i)
{
    size_t fence = fence_length(vt_document_line(doc, i));
    char c = vt_slice_trim(vt_document_line(doc, i)).ptr[0];
    doc->lines[i].kind = VT_LINE_RULE;
    doc->lines[i].section = doc->open_section;
    for (i++; i < doc->n_lines; i++) {
        vt_slice line = vt_document_line(doc, i);
        char closing[2] = {c, '\0'};
        doc->lines[i].section = doc->open_section;
        if (is_all(line, closing, fence)) {
            doc->lines[i].kind = VT_LINE_RULE;
            return i;
        }
        doc->lines[i].kind = is_blank_at(doc, i) ? VT_LINE_BLANK : VT_LINE_CODE;
    }
    return doc->n_lines - 1;
}

static size_t mark_pipe_table(vt_document *doc, size_t i)
{
    size_t header = i;
    doc->lines[i].kind = VT_LINE_HEADER;
    doc->lines[i + 1].kind = VT_LINE_RULE;
    doc->lines[i].section = doc->lines[i + 1].section = doc->open_section;
    for (i += 2; i < doc->n_lines; i++) {
        vt_slice line = vt_document_line(doc, i);
        if (vt_slice_find(line, VT_S("|")) == line.len) break;
        doc->lines[i].kind = VT_LINE_ROW;
        doc->lines[i].header = (int32_t)header;
        doc->lines[i].section = doc->open_section;
    }
    return i - 1;
}

static bool is_front_matter(const vt_document *doc, size_t *end)
{
    if (doc->n_lines < 3 || !vt_slice_eq(vt_slice_trim(vt_document_line(doc, 0)), VT_S("---")))
        return false;
    for (size_t i = 1; i < doc->n_lines && i < 100; i++) {
        if (!vt_slice_eq(vt_slice_trim(vt_document_line(doc, i)), VT_S("---"))) continue;
        *end = i;
        return true;
    }
    return false;
}

static bool mark_front_matter(vt_document *doc, size_t end)
{
    for (size_t i = 0; i <= end; i++) {
        vt_slice line = vt_document_line(doc, i);
        doc->lines[i].kind = i == 0 || i == end ? VT_LINE_RULE : VT_LINE_TEXT;
        if (!vt_slice_starts(line, VT_S("title:"))) continue;
        vt_slice title = vt_slice_trim(vt_slice_skip(line, 6));
        if (title.len >= 2 && (title.ptr[0] == '"' || title.ptr[0] == '\'') &&
            title.ptr[title.len - 1] == title.ptr[0])
            title = (vt_slice){title.ptr + 1, title.len - 2};
        if (!vt_document_set_title(doc, title)) return false;
    }
    return true;
}

static bool mark_markdown(vt_document *doc)
{
    size_t i = 0;
    if (is_front_matter(doc, &i)) {
        if (!mark_front_matter(doc, i)) return false;
        i++;
    }
    for (; i < doc->n_lines; i++) {
        vt_slice line = vt_document_line(doc, i);
        vt_slice heading = {NULL, 0};
        vt_slice next = i + 1 < doc->n_lines ? vt_document_line(doc, i + 1) : (vt_slice){NULL, 0};
        bool was_blank = i == 0 || is_blank_at(doc, i - 1);
        int level = atx_level(line, &heading);
        if (level > 0) {
            if (!open_heading(doc, i, level, heading)) return false;
        } else if (fence_length(line) > 0) {
            i = mark_fence(doc, i);
        } else if (is_delimiter_row(next) && vt_slice_find(line, VT_S("|")) < line.len) {
            i = mark_pipe_table(doc, i);
        } else if (was_blank && !is_blank_at(doc, i) && vt_list_marker(line) == 0 &&
                   (is_all(next, "=", 2) || is_all(next, "-", 2))) {
            if (!open_heading(doc, i, next.ptr[indent_of(next)] == '=' ? 1 : 2, line)) return false;
            doc->lines[++i].kind = VT_LINE_RULE;
            doc->lines[i].section = doc->open_section;
        } else if (is_all(line, "-*_", 3)) {
            doc->lines[i].kind = VT_LINE_RULE;
            doc->lines[i].section = doc->open_section;
        } else {
            mark_prose(doc, i);
        }
    }
    return true;
}

static void mark_source(vt_document *doc)
{
    for (size_t i = 0; i < doc->n_lines; i++)
        doc->lines[i].kind = is_blank_at(doc, i) ? VT_LINE_BLANK : VT_LINE_CODE;
}

vt_status vt_extract_text(vt_slice text, vt_doc_kind kind, const vt_doc_limits *limits,
                          vt_document *out, vt_err *err)
{
    vt_document_init(out, kind, limits);
    bool is_ok = true;
    while (text.len > 0 && is_ok) {
        const char *end = memchr(text.ptr, '\n', text.len);
        size_t len = end ? (size_t)(end - text.ptr) : text.len;
        vt_slice line = vt_slice_take(text, len);
        if (line.len > 0 && line.ptr[line.len - 1] == '\r') line.len--;
        is_ok = vt_document_add(out, line, (vt_doc_line){.section = -1, .header = -1});
        text = vt_slice_skip(text, len + 1);
    }
    if (is_ok) {
        if (kind == VT_DOC_MARKDOWN) mark_markdown(out);
        else if (kind == VT_DOC_SOURCE) mark_source(out);
        else mark_plain(out);
    }
    vt_status st = vt_document_status(out, err);
    if (st != VT_OK) vt_document_deinit(out);
    return st;
}
