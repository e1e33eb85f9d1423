/* cite.h -- from a sentence and the lines it was taken from to the few lines that hold it.
 *
 * Not for checking: evidence.h does that. Threads safe. */
#ifndef VT_AGENT_CITE_H
#define VT_AGENT_CITE_H

#include "docs/library.h"

/* The smallest run of lines that holds all that `sentence` adds to the question (numbers, names,
 * words), as far as the lines hold it; of equal runs the one with most of the question's words. A
 * sentence of the document that goes over a line end is not cut. Indexes into `lines`; all of them
 * when the sentence adds nothing that can be found. */
VT_MUSTUSE vt_status vt_cite_lines(const vt_lines *lines, vt_slice question, vt_slice sentence,
                                   size_t *first, size_t *last, vt_err *err);

#endif
