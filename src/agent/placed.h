/* placed.h -- does what an answer claims stand where the question points? That a number is in the
 * passage is not enough: "Late-shift hours carry a supplement of 18 percent, Saturdays one of 30
 * percent" holds an 18, but not for Saturdays.
 *
 *   rows     the answer's cell is in a column whose header has fewer of the question's words than
 *            another column's header
 *   prose    in the same sentence a later part, with another number, has a word of the question
 * that the answer's part has not; or the answer's part has none, and an earlier one has
 *
 * A suspicion, not a proof: whoever asks then falls back to the passage's own words, which are true
 * as they stand. Threads safe. */
#ifndef VT_AGENT_PLACED_H
#define VT_AGENT_PLACED_H

#include "agent/evidence.h"

typedef struct {
    vt_slice text;   /* of the passage; a row as "cell | cell" */
    vt_slice header; /* of a row, likewise; empty for anything else */
} vt_place;

VT_MUSTUSE vt_status vt_answer_is_misplaced(const vt_place *place, vt_slice question,
                                            vt_slice answer, bool *misplaced, vt_err *err);

/* The next cell of a row, trimmed; at the end row->ptr is NULL. */
vt_slice vt_next_cell(vt_slice *row);
size_t vt_n_cells(vt_slice row);

#endif
