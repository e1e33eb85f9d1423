/* draft.h -- guesses at the tokens to come, and whether to bet on them.
 *
 * A guess is looked up, not computed: the longest recent place in prompt and answer that ends as
 * the sequence does now, and what followed there. Code that is edited, tables, quotations and names
 * come back word for word. Guesses are tried in one pass with the next token (vt_session_try),
 * and of them comes what the sampler chooses anyway: a guess changes the speed,
 * never a token.
 *
 * vt_drafter_extend is vt_session_extend by one token, with guessing; the three functions behind it
 * are what it does, apart from the session.
 *
 * Whether trying pays is measured on the way:
 *   - how often guesses come true, by the length of the match. That costs nothing: each token that
 *     comes is compared with the guess, whether it was tried or not
 *   - what a pass of one token takes, and each further one, by the size of the pass
 * From these follows the number of tokens with the best expected rate, which is often 0. Besides,
 * losses are paid from a purse, which gets one hundredth of the time that passes and what was won,
 * and holds two tokens' time at most: once it is empty nothing is tried. So the worst case costs
 * 1 % and the time of a few tokens.
 *
 * Ownership  caller's struct, init/deinit.   Threads  one at a time.
 * Memory     all of it at init: 8 bytes for each token, and a table of 4 to 8 more. */
#ifndef VT_ENGINE_DRAFT_H
#define VT_ENGINE_DRAFT_H

#include "engine/engine.h"

typedef enum {
    VT_SPECULATE_AUTO,
    VT_SPECULATE_OFF,
    VT_SPECULATE_ALWAYS, /* on every guess, whatever it costs: for tests */
} vt_speculate;

enum {
    VT_DRAFT_MAX = VT_TRY_MAX - 1,
    VT_DRAFT_KINDS = 7, /* of guesses: matches by length, and what a constraint foresees */
    VT_DRAFT_SIZES = 4, /* of passes: 1, up to 4, up to 8, more */
};

typedef struct {
    bool is_always;
    /* lookup */
    int32_t *tokens; /* [cap] */
    int32_t *before; /* [cap] the place before with the same pair of tokens, or -1 */
    int32_t *last;   /* [1 << bits] by the pair's hash: the last place that has it, or -1 */
    uint32_t bits;
    size_t n, cap;
    size_t n_match; /* tokens that end the sequence and the place before `from`; 0: no guess */
    size_t from;    /* the guess: tokens[from], tokens[from + 1], ... */
    /* what was tried last and has not come or failed yet */
    int32_t tried[VT_DRAFT_MAX];
    size_t n_tried, i_tried;
    bool is_foreseen; /* by the constraint */
    /* measured */
    double hits[VT_DRAFT_KINDS], guesses[VT_DRAFT_KINDS]; /* recent ones count more */
    double seconds[VT_DRAFT_SIZES]; /* [0] a pass of one token; else each further one; 0: unknown */
    double purse;                   /* seconds */
    /* so far */
    size_t n_drafted, n_accepted;
} vt_drafter;

/* For a sequence of at most n_most tokens that begins with the prompt. */
VT_MUSTUSE vt_status vt_drafter_init(vt_drafter *d, bool is_always, size_t n_most,
                                     const int32_t *prompt, size_t n_prompt, vt_err *err);
void vt_drafter_deinit(vt_drafter *d);

/* What the caller knows of the tokens to come. Zero: nothing. */
typedef struct {
    size_t n_left; /* so many come at most after this one; 0: as many as the context holds */
    /* Ids that must come next, or are likely to; at most n_most. May be NULL. */
    size_t (*foresee)(void *ctx, int32_t *ids, size_t n_most);
    void *ctx;
} vt_draft_hints;

/* The token was chosen: make the session, whose tokens are those of the drafter, go on with it.
 * Fails as vt_session_extend does, never because of a guess. */
VT_MUSTUSE vt_status vt_drafter_extend(vt_drafter *d, vt_session *s, int32_t id,
                                       const vt_draft_hints *hints, const vt_progress *progress,
                                       vt_err *err);

/* ---- its parts ---- */

/* The next token of the answer. */
void vt_drafter_push(vt_drafter *d, int32_t id);

/* What to try behind the token pushed last: *ids gets at most n_most (and VT_DRAFT_MAX) tokens.
 * What is foreseen (n_foreseen may be 0) goes before what was looked up. */
size_t vt_drafter_propose(vt_drafter *d, const int32_t *foreseen, size_t n_foreseen, size_t n_most,
                          int32_t ids[VT_DRAFT_MAX]);

/* The pass with the token pushed last and what was proposed, together n_tokens, took so long. */
void vt_drafter_took(vt_drafter *d, size_t n_tokens, double seconds);

#endif
