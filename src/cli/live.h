/* live.h -- an answer on a terminal while it is being written: every piece appears at once as plain
 * text, and each block of Markdown (a paragraph, a list, a piece of code) is drawn again in style
 * as soon as it is complete.
 *
 * Drawing again means going up as many rows as the plain text took; a block that is higher than the
 * terminal stays plain. Without style (no terminal, or not wanted) text passes through; control
 * characters never do, on a terminal.
 *
 * Threads  one thread at a time. */
#ifndef VT_CLI_LIVE_H
#define VT_CLI_LIVE_H

#include <stdio.h>

#include "base/buffer.h"

typedef struct {
    FILE *out;
    bool is_terminal;
    bool has_style;
    vt_buffer block; /* the plain text of the block under way */
    vt_buffer drawn; /* scratch */
    size_t line;     /* where the last line begins in the block */
    int n_columns, n_screen_rows;
    int column, n_rows; /* of the cursor, relative to the block's begin */
    bool is_fenced;     /* inside ``` */
    char fence;
} vt_live;

void vt_live_begin(vt_live *l, FILE *out, bool wants_style);
void vt_live_push(vt_live *l, vt_slice text);
/* The end of the answer: the last block gets its style, and the cursor is on a new line. */
void vt_live_end(vt_live *l);

#endif
