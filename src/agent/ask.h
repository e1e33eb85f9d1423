/* ask.h -- answering from documents with a model that was not trained on tools: score, answer,
 * verify.
 *
 *     search       the best passages of the library                          docs/library.h
 *     pieces       lists and programs are cut into items and blocks          pieces.h
 *     subject      those that lack a name or number of the question, or are
 *                  another row of the same table, are not read               evidence.h
 *     states       does the passage state the answer? the model's odds       reader.h
 *     answers      one short sentence from the best passage                  reader.h
 *     check        every number, name, quoted and longer word of it stands
 *                  in the passage, its heading or header row, or the question
 *     placed       and stands where the question points                      placed.h
 *     adds         it says something that the question did not; a number when asked how many
 *     confirms     does the text state exactly this answer? the model's odds
 *     cite         the lines of the passage that hold what the answer claims
 *
 * A sentence that fails the check is replaced by the passage's own words if the model confirms
 * those; otherwise the question is refused: "not in your documents", with the nearest lines.
 *
 * For models that were trained to search by themselves see browse.h.
 *
 * Threads    one thread at a time.
 * Failure    VT_ECANCEL when progress says so; VT_ELIMIT with numbers when a passage does not fit
 *            the model's context. The answer is then empty. */
#ifndef VT_AGENT_ASK_H
#define VT_AGENT_ASK_H

#include "agent/answer.h"
#include "agent/reader.h"
#include "agent/source.h"

/* What counts as enough, in log odds. They depend on the model: see vt_ask_limits_for. */
typedef struct {
    double min_states;         /* the passage states the answer */
    double min_confirms;       /* the text states exactly this answer */
    double min_together;       /* the two added */
    double clear_states;       /* so sure that no other passage is read */
    uint32_t n_search;         /* passages taken from the search */
    uint32_t n_read;           /* at most so many of them are read by the model */
    uint32_t read_bytes;       /* once one is good enough, no more text than this is read */
    const char *calibrated_on; /* "qwen2.5-coder-1.5b"; "default" when the model has no entry */
} vt_ask_limits;

/* By the model's general.name and architecture, from the table in ask_limits.c. */
vt_ask_limits vt_ask_limits_for(vt_slice model_name, vt_slice architecture);

typedef struct {
    vt_source source;
    vt_reader reader;
    vt_ask_limits limits;
    const vt_progress *progress; /* may be NULL */
} vt_ask_options;

/* `out` is filled on VT_OK only. */
VT_MUSTUSE vt_status vt_ask(const vt_ask_options *options, vt_slice question, vt_answer *out,
                            vt_err *err);

/* The passage as the model is shown it: the heading, then the text; a table's row as "column: cell;
 * column: cell". */
VT_MUSTUSE vt_status vt_passage_render(const vt_passage *p, vt_buffer *out, vt_err *err);

#endif
