/* split.h -- a document cut into passages: the pieces that search finds and that an answer cites.
 *
 *   prose   a paragraph; a long one in pieces of about VT_SPLIT_BYTES at line or sentence ends
 *   tables  one row each, with the header row beside it
 *   lists   the list when it is short, else one item each; the line that introduces it beside it
 *   code    about 20 lines, a few of them shared with the piece before
 * A heading is the context of what stands under it, and a passage itself only when nothing does. A
 * line too long for one passage gives several with the same line number.
 *
 * Ownership  a piece's text is valid during the callback only. Threads safe. */
#ifndef VT_DOCS_SPLIT_H
#define VT_DOCS_SPLIT_H

#include "docs/document.h"

enum { VT_SPLIT_BYTES = 800, VT_SPLIT_LIST_BYTES = 500, VT_SPLIT_CODE_LINES = 20 };

typedef struct {
    size_t first, last; /* line indexes */
    int32_t page;
    int32_t section; /* index of its section; -1: none */
    int32_t header; /* index of the line that gives it its meaning (header row, introduction); -1 */
    vt_slice text;  /* rows as "cell | cell" */
} vt_piece;

/* Returning false ends the splitting (VT_ECANCEL). */
typedef bool vt_piece_fn(void *ctx, const vt_piece *piece);

VT_MUSTUSE vt_status vt_split(const vt_document *doc, vt_piece_fn *fn, void *ctx, vt_err *err);

/* Append what the row, header row or line at index i says, as it would stand in a passage; a row
 * that goes on over several lines whole. False when out's ceiling or memory ran out. */
bool vt_split_render(const vt_document *doc, size_t i, vt_buffer *out);

#endif
