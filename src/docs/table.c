/* table.c -- CSV, TSV and relatives: see extract.h. The lines stay as they are in the file; what is
 * found out is where rows begin and which is the header. */
#include "docs/extract.h"

#include "base/parse.h"

enum { MAX_ROW_BYTES = 256 << 10, SNIFF_ROWS = 20 };

/* Walks over one cell from `at`: its content between *start and *end (quotes outside), whether it
 * is quoted; returns where the delimiter, line end or text end is. is_open: a quote is not closed.
 */
typedef struct {
    size_t start, end;
    bool is_quoted;
    bool is_open;
} cell;

static size_t scan_cell(vt_slice s, size_t at, char delimiter, cell *out)
{
    *out = (cell){.start = at, .end = at};
    while (delimiter != ' ' && at < s.len && s.ptr[at] == ' ') at++;
    if (at < s.len && s.ptr[at] == '"') {
        out->is_quoted = true;
        out->start = ++at;
        for (;;) {
            const char *quote = at < s.len ? memchr(s.ptr + at, '"', s.len - at) : NULL;
            if (quote == NULL) {
                out->is_open = true;
                out->end = s.len;
                return s.len;
            }
            at = (size_t)(quote - s.ptr) + 1;
            if (at < s.len && s.ptr[at] == '"') {
                at++;
                continue;
            }
            break;
        }
        out->end = at - 1;
    }
    while (at < s.len && s.ptr[at] != delimiter && s.ptr[at] != '\n') at++;
    if (!out->is_quoted) out->end = at;
    return at;
}

static size_t line_end(vt_slice s, size_t at)
{
    const char *end = at < s.len ? memchr(s.ptr + at, '\n', s.len - at) : NULL;
    return end ? (size_t)(end - s.ptr) : s.len;
}

/* Where the row that starts at `at` ends (its \n or the text's end) and how many cells it has. */
static size_t scan_row(vt_slice text, size_t at, char delimiter, size_t *n_cells)
{
    size_t begin = at;
    vt_slice s = vt_slice_take(text, begin + MAX_ROW_BYTES);
    if (s.len < text.len) s.len = line_end(text, s.len); /* never in the middle of a line */
    *n_cells = 0;
    for (;;) {
        cell c;
        at = scan_cell(s, at, delimiter, &c);
        if (c.is_open) { /* nothing closes it in reach: the row is this line */
            at = line_end(s, begin);
            for (size_t i = begin; i < at; i++) *n_cells += s.ptr[i] == delimiter;
            ++*n_cells;
            return at;
        }
        ++*n_cells;
        if (at >= s.len || s.ptr[at] == '\n') return at;
        at++;
    }
}

/* The delimiter whose first rows agree best on a number of cells above one. */
static char sniff(vt_slice text)
{
    static const char candidates[] = {',', ';', '\t', '|'};
    char best = ',';
    size_t best_score = 0;
    for (size_t k = 0; k < sizeof candidates; k++) {
        size_t at = 0;
        size_t first = 0;
        size_t n_same = 0;
        for (int row = 0; row < SNIFF_ROWS && at < text.len; row++) {
            size_t n_cells;
            size_t end = scan_row(text, at, candidates[k], &n_cells);
            if (row == 0) first = n_cells;
            n_same += n_cells == first;
            at = end + 1;
        }
        size_t score = first < 2 ? 0 : n_same * 64 + (first < 64 ? first : 63);
        if (score > best_score) {
            best_score = score;
            best = candidates[k];
        }
    }
    return best;
}

static bool append_cell(vt_slice content, bool is_quoted, vt_buffer *out)
{
    vt_slice s = vt_slice_trim(content);
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (is_quoted && c == '"' && i + 1 < s.len && s.ptr[i + 1] == '"') i++;
        if (c == '\r') continue;
        if (!vt_buffer_byte(out, c == '\n' ? ' ' : c)) return false;
    }
    return true;
}

bool vt_table_row(vt_slice row, char delimiter, vt_buffer *out)
{
    size_t at = 0;
    for (bool is_first = true;; is_first = false) {
        cell c;
        at = scan_cell(row, at, delimiter, &c);
        if (!is_first && !vt_buffer_append(out, VT_S(" | "))) return false;
        if (!append_cell((vt_slice){row.ptr + c.start, c.end - c.start}, c.is_quoted, out))
            return false;
        if (at >= row.len) return true;
        at++;
    }
}

static bool is_number(vt_slice s)
{
    double x;
    char digits[32];
    size_t n = 0;
    for (size_t i = 0; i < s.len && n < sizeof digits; i++)
        if (s.ptr[i] != ',' && s.ptr[i] != ' ' && s.ptr[i] != '%') digits[n++] = s.ptr[i];
    return n > 0 && vt_parse_double((vt_slice){digits, n}, &x);
}

static bool is_header(vt_slice row, char delimiter)
{
    size_t n_cells = 0;
    for (size_t at = 0;;) {
        cell c;
        at = scan_cell(row, at, delimiter, &c);
        vt_slice content = vt_slice_trim((vt_slice){row.ptr + c.start, c.end - c.start});
        if (content.len == 0 || is_number(content)) return false;
        n_cells++;
        if (at >= row.len) return n_cells >= 2;
        at++;
    }
}

static bool add_row(vt_document *doc, vt_slice row, vt_doc_line like)
{
    for (bool is_first = true; is_first || row.len > 0; is_first = false) {
        size_t len = line_end(row, 0);
        vt_slice line = vt_slice_take(row, len);
        if (line.len > 0 && line.ptr[line.len - 1] == '\r') line.len--;
        if (!is_first) like.kind = VT_LINE_MORE;
        if (is_first && vt_slice_trim(row).len == 0) like.kind = VT_LINE_BLANK;
        if (!vt_document_add(doc, line, like)) return false;
        row = vt_slice_skip(row, len + 1);
    }
    return true;
}

vt_status vt_extract_table(vt_slice text, char delimiter, const vt_doc_limits *limits,
                           vt_document *out, vt_err *err)
{
    vt_document_init(out, VT_DOC_TABLE, limits);
    out->delimiter = delimiter ? delimiter : sniff(text);
    int32_t header = -1;
    bool is_first = true;
    for (size_t at = 0; at < text.len;) {
        size_t n_cells;
        size_t end = scan_row(text, at, out->delimiter, &n_cells);
        vt_slice row = {text.ptr + at, end - at};
        vt_doc_line like = {.kind = VT_LINE_ROW, .section = -1, .header = header};
        vt_slice bare = row;
        if (bare.len > 0 && bare.ptr[bare.len - 1] == '\r') bare.len--;
        if (is_first && vt_slice_trim(bare).len > 0) {
            is_first = false;
            if (is_header(bare, out->delimiter)) {
                header = (int32_t)out->n_lines;
                like.kind = VT_LINE_HEADER;
            }
        }
        if (!add_row(out, row, like)) break;
        at = end + 1;
    }
    vt_status st = vt_document_status(out, err);
    if (st != VT_OK) vt_document_deinit(out);
    return st;
}
