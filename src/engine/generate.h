/* generate.h -- the decode loop: choose a token, hand it out, feed it back, until something ends
 * it.
 *
 * What comes out is token ids with their text; prompt formats are parsed from the ids (chat/). Text
 * is held back until it is whole characters and cannot be part of a stop string (stop.h), so a
 * token's `text` may belong to tokens before it and is often empty.
 *
 * Tokens that can be guessed are computed together with the one before them (draft.h), when that is
 * faster. What comes out (ids, text, log-probabilities, the end) is the same with and without.
 *
 * Nothing is ever cut silently: a full context ends with VT_END_CONTEXT, and a prompt that does
 * not fit is an error with numbers.
 *
 * Ownership  everything in the options is borrowed for the call.
 * Threads    that of the session. */
#ifndef VT_ENGINE_GENERATE_H
#define VT_ENGINE_GENERATE_H

#include "engine/draft.h"
#include "engine/engine.h"
#include "engine/sampler.h"

typedef enum {
    VT_END_STOP,      /* a stop id, a stop string, or the callback's wish */
    VT_END_LENGTH,    /* n_max tokens */
    VT_END_CONTEXT,   /* the session holds no more tokens */
    VT_END_CANCELLED, /* progress->is_cancelled */
} vt_end;

/* "stop", "length" (also for a full context), "cancelled": OpenAI's words, and one more. */
const char *vt_end_text(vt_end end);

typedef struct {
    int32_t id;
    bool is_stop;   /* a stop id: its text is never shown */
    vt_slice text;  /* what can be shown now; may be empty */
    double logprob; /* of id, of the model's own distribution; only with n_logprobs > 0 */
    const vt_logprob_entry *top;
    size_t n_top;
} vt_generated;

/* Called for each token, the stop id included, and once more with id -1 when text was held back at
 * the end. *is_done = true ends the generation as VT_END_STOP. An error ends it with that
 * error. */
typedef vt_status vt_generate_fn(void *ctx, const vt_generated *token, bool *is_done, vt_err *err);

/* Something that says, before each token, what is allowed; after it, what was taken. */
typedef struct {
    void *ctx;
    vt_status (*allow)(void *ctx, vt_token_mask *mask, bool *is_free, vt_err *err);
    vt_status (*accept)(void *ctx, int32_t id, vt_err *err);
    /* Ids that must come next, or are likely to, at most n_most; for speculation. May be NULL. */
    size_t (*foresee)(void *ctx, int32_t *ids, size_t n_most);
} vt_generate_constraint;

typedef struct {
    vt_engine *engine;
    vt_session *session;           /* of that engine */
    const vt_tokenizer *tokenizer; /* NULL: no text is made */
    const int32_t *prompt;
    size_t n_prompt;
    uint32_t n_max; /* most tokens of the answer; 0: as many as the context holds */
    const int32_t *stop_ids;
    size_t n_stop_ids;
    const vt_slice *stops; /* stop strings */
    size_t n_stops;
    vt_sampler *sampler;                      /* its penalties are started with the prompt */
    const vt_generate_constraint *constraint; /* may be NULL */
    uint32_t n_logprobs;                      /* at most VT_LOGPROBS_MAX */
    vt_generate_fn *on_token;                 /* may be NULL */
    void *ctx;
    const vt_progress *progress; /* prefill; and the flag that cancels */
    vt_speculate speculate;
} vt_generate_options;

typedef struct {
    vt_end end;
    int i_stop; /* the stop string that ended it, or -1 */
    size_t n_prompt;
    size_t n_cached;    /* of the prompt, in the session or in the prefix store */
    size_t n_prefilled; /* of the prompt, computed now */
    size_t n_generated; /* the stop id included */
    size_t n_drafted;   /* tokens that were guessed and tried */
    size_t n_accepted;  /* of them, those that came */
    double prefill_seconds;
    double decode_seconds; /* from the first token to the last */
} vt_generate_result;

/* The session then holds the prompt and the answer but its last token. */
VT_MUSTUSE vt_status vt_generate(const vt_generate_options *options, vt_generate_result *result,
                                 vt_err *err);

/* Tokens per second, 0 when nothing was measured. */
double vt_generate_prefill_rate(const vt_generate_result *r);
double vt_generate_decode_rate(const vt_generate_result *r);

#endif
