/* pieces.h -- a passage of several things cut into the things: the items of a list, the blocks of a
 * program. A small model that reads a whole list mixes up its items: asked for the price of one, it
 * gives the price of another. Prose and rows stay whole.
 *
 * Ownership  pieces borrow the passage. Threads safe. */
#ifndef VT_AGENT_PIECES_H
#define VT_AGENT_PIECES_H

#include "docs/library.h"

typedef struct {
    vt_slice text;
    vt_slice intro; /* what stands before the first item of a list; empty otherwise */
    int64_t start_line, end_line;
} vt_piece_of;

typedef struct {
    vt_slice rest, intro;
    int64_t line;
    enum { VT_PIECE_WHOLE, VT_PIECE_ITEMS, VT_PIECE_BLOCKS } kind;
    bool is_done;
    const vt_passage *passage;
} vt_pieces;

vt_pieces vt_pieces_of(const vt_passage *p);
bool vt_pieces_next(vt_pieces *cursor, vt_piece_of *out);

/* A row of a table. */
bool vt_passage_is_row(const vt_passage *p);

#endif
