/* cites.h -- citation marks in a model's text: 【4†L10-L12】, 【4†L10】, also with more than one
 * range or several marks in a row. Parsing only; what they point at is checked in cited.c.
 *
 * Threads safe. Any text is fine: what is no citation mark is left as it is. */
#ifndef VT_AGENT_CITES_H
#define VT_AGENT_CITES_H

#include <stdint.h>

#include "base/buffer.h"

typedef struct {
    uint64_t cursor;
    uint64_t first, last; /* lines as the page counts them; first <= last */
} vt_mark;

enum { VT_MARKS_MAX = 16 };

/* Append `text` without its citation marks (and the spaces before them) to `clean`, and give the
 * marks. More than VT_MARKS_MAX are VT_ELIMIT. */
VT_MUSTUSE vt_status vt_marks_take(vt_slice text, vt_buffer *clean, vt_mark marks[VT_MARKS_MAX],
                                   size_t *n, vt_err *err);

#endif
