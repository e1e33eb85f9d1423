/* reader.h -- the three things that answering asks of a model, whatever model it is: does this text
 * state the answer, what is the answer, does the text state this very answer.
 *
 * answer.c knows only this; the tests put a recorded reader here, the program an engine
 * (vt_engine_reader). Scores are log odds: ln(P(yes) / P(no)) of the next token, summed over the
 * ways of writing yes and no; 0 is undecided.
 *
 * Ownership  everything is borrowed for the call.
 * Threads    one thread at a time. */
#ifndef VT_AGENT_READER_H
#define VT_AGENT_READER_H

#include "base/progress.h"
#include "chat/format.h"
#include "engine/draft.h"

typedef struct {
    vt_status (*states)(void *ctx, vt_slice text, vt_slice question, double *log_odds, vt_err *err);
    /* One short answer, appended to out. */
    vt_status (*answers)(void *ctx, vt_slice text, vt_slice question, vt_buffer *out, vt_err *err);
    vt_status (*confirms)(void *ctx, vt_slice text, vt_slice question, vt_slice answer,
                          double *log_odds, vt_err *err);
    void *ctx;
} vt_reader;

typedef struct {
    uint64_t prompt_tokens; /* all tokens of all prompts */
    uint64_t cached_tokens; /* of them, those that the session held already */
    uint64_t completion_tokens;
} vt_reader_usage;

/* A reader that asks a session of the engine. Greedy: the same answer each time. */
typedef struct vt_engine_reader vt_engine_reader;

enum { VT_READER_ANSWER_TOKENS = 96 };

/* `progress` is for cancelling; may be NULL. Answers quote their text, so `speculate` makes them
 * faster; it changes none. VT_EUNSUPPORTED when the model has no tokenizer, or
 * no single token that says yes. Everything borrowed outlives the reader. */
VT_MUSTUSE vt_status vt_engine_reader_new(vt_session *session, const vt_chat_format *format,
                                          vt_speculate speculate, const vt_progress *progress,
                                          vt_engine_reader **out, vt_err *err);
void vt_engine_reader_free(vt_engine_reader *r);
vt_reader vt_engine_reader_as_reader(vt_engine_reader *r);
vt_reader_usage vt_engine_reader_usage(const vt_engine_reader *r);

#endif
