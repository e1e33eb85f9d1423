/* stop.h -- text on its way to a reader: whole characters only, and nothing of a stop string.
 *
 * Pieces of text come in as tokens give them. What may still become part of a stop string, or of a
 * character, is held back; once a stop string is complete, it and what follows never come out. Of
 * several stop strings the one that is complete first counts, so the result does not depend on how
 * the text was cut. Invalid UTF-8 comes out as U+FFFD.
 *
 * Ownership  copies the stop strings; emitted text is valid during the call.
 * Threads    one thread at a time.
 * Memory     all of it at creation, unless a single piece is longer than 4 KiB. */
#ifndef VT_ENGINE_STOP_H
#define VT_ENGINE_STOP_H

#include "base/buffer.h"

enum { VT_STOP_MAX = 16, VT_STOP_MAX_LEN = 256 };

typedef struct {
    char stops[VT_STOP_MAX][VT_STOP_MAX_LEN];
    size_t lengths[VT_STOP_MAX];
    size_t n_stops;
    vt_buffer pending; /* came in, not out yet */
    vt_buffer clean;   /* the last text that came out */
    int i_stop;        /* the stop string that was found, or -1 */
} vt_stop_filter;

/* VT_ELIMIT for more than VT_STOP_MAX stop strings or a longer one than VT_STOP_MAX_LEN; VT_EINPUT
 * for an empty one. */
VT_MUSTUSE vt_status vt_stop_init(vt_stop_filter *f, const vt_slice *stops, size_t n, vt_err *err);
void vt_stop_deinit(vt_stop_filter *f);

/* Give a piece, get in *out what can be shown now (may be empty). After a stop was found everything
 * is swallowed. */
VT_MUSTUSE vt_status vt_stop_push(vt_stop_filter *f, vt_slice piece, vt_slice *out, vt_err *err);
/* The end: what was held back comes out, unless a stop was found. */
VT_MUSTUSE vt_status vt_stop_finish(vt_stop_filter *f, vt_slice *out, vt_err *err);

static inline bool vt_stop_found(const vt_stop_filter *f)
{
    return f->i_stop >= 0;
}

#endif
