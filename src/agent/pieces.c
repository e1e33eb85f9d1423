/* pieces.c -- see pieces.h. */
#include "agent/pieces.h"

static vt_slice first_line(vt_slice text)
{
    return vt_slice_take(text, vt_slice_find(text, VT_S("\n")));
}

static vt_slice without_first_line(vt_slice text)
{
    return vt_slice_skip(text, first_line(text).len + 1);
}

static bool is_blank(vt_slice line)
{
    return vt_slice_trim(line).len == 0;
}

/* "- x", "* x", "+ x", a bullet, "12. x", "3) x" */
static bool starts_item(vt_slice line)
{
    line = vt_slice_trim(line);
    size_t n = 0;
    while (n < line.len && line.ptr[n] >= '0' && line.ptr[n] <= '9') n++;
    if (n > 0 && n <= 3 && n < line.len && (line.ptr[n] == '.' || line.ptr[n] == ')')) n++;
    else if (n == 0 && line.len > 0 && memchr("-*+", line.ptr[0], 3) != NULL) n = 1;
    else if (vt_slice_starts(line, VT_S("\xE2\x80\xA2"))) n = 3;
    else return false;
    return n < line.len && (line.ptr[n] == ' ' || line.ptr[n] == '\t');
}

bool vt_passage_is_row(const vt_passage *p)
{
    vt_slice text = vt_slice_cstr(p->text);
    return p->header_line > 0 && vt_slice_find(text, VT_S(" | ")) < text.len;
}

vt_pieces vt_pieces_of(const vt_passage *p)
{
    vt_pieces c = {.rest = vt_slice_cstr(p->text), .line = p->start_line, .passage = p};
    int64_t n_lines = 0;
    size_t n_items = 0, n_blank = 0, n_before = 0;
    for (vt_slice rest = c.rest; rest.len > 0; rest = without_first_line(rest)) {
        n_lines++;
        if (starts_item(first_line(rest))) n_items++;
        else if (n_items == 0) n_before++;
        if (is_blank(first_line(rest))) n_blank++;
    }
    /* Where lines of text and of the document don't pair, nothing can be cut: citations count. */
    if (vt_passage_is_row(p) || n_lines != p->end_line - p->start_line + 1) return c;
    if (n_blank > 0) c.kind = VT_PIECE_BLOCKS;
    else if (n_items > 1) c.kind = VT_PIECE_ITEMS;
    if (c.kind != VT_PIECE_ITEMS) return c;
    const char *start = c.rest.ptr;
    for (; n_before > 0; n_before--, c.line++) c.rest = without_first_line(c.rest);
    c.intro = vt_slice_trim(vt_slice_of(start, (size_t)(c.rest.ptr - start)));
    return c;
}

bool vt_pieces_next(vt_pieces *c, vt_piece_of *out)
{
    if (c->kind == VT_PIECE_WHOLE) {
        if (c->is_done) return false;
        c->is_done = true;
        *out = (vt_piece_of){.text = c->rest,
                             .start_line = c->passage->start_line,
                             .end_line = c->passage->end_line};
        return true;
    }
    for (; c->rest.len > 0 && is_blank(first_line(c->rest)); c->line++)
        c->rest = without_first_line(c->rest);
    if (c->rest.len == 0) return false;
    const char *start = c->rest.ptr, *end;
    int64_t first = c->line;
    do {
        vt_slice line = first_line(c->rest);
        end = line.ptr + line.len;
        c->rest = without_first_line(c->rest);
        c->line++;
    } while (c->rest.len > 0 && !is_blank(first_line(c->rest)) &&
             !(c->kind == VT_PIECE_ITEMS && starts_item(first_line(c->rest))));
    *out = (vt_piece_of){.text = vt_slice_of(start, (size_t)(end - start)),
                         .intro = c->intro,
                         .start_line = first,
                         .end_line = c->line - 1};
    return true;
}
