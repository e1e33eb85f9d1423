/* sampler.h -- from logits to the next token, with one defined result (NUMERICS.md, rule 12).
 *
 * The steps, in this order:
 *
 *     1. constraint   tokens that are not allowed leave (-inf)
 *     2. penalties    repetition: logit > 0 is divided by it, else multiplied, for every token of
 * the prompt and the answer, as transformers defines it; frequency (times its count) and presence
 * are subtracted for tokens of the answer, as OpenAI's API says
 *     3. bias         added
 *     4. temperature  x = (logit - largest) / temperature; 0 is greedy: the largest, ties to the
 *                     lower id, and nothing below happens
 *     5. top-k        the k largest, ties to the lower id
 *     6. top-p        the shortest run, from the likeliest on, whose weights reach p of the total
 *     7. min-p        of these, weights of at least min_p times the largest
 *     8. draw         u from the generator; the first whose running sum exceeds u times the total
 *
 * Temperature comes before the cuts because the publishers' values (generation_config.json, model
 * cards) are made with transformers and vLLM, which do it so; llama.cpp cuts first.
 *
 * Weights are vt_expf(x), floats; sums are doubles, over all tokens in the fixed shape of rule 7,
 * over cut candidates from the likeliest on. The generator is Philox4x32-10 with the seed as key
 * and the position in the sequence as counter: a draw depends on nothing else, so a restarted or
 * replayed run makes the same choices.
 *
 * Ownership  borrows logits and mask for a call. The options' bias is copied.
 * Threads    one thread at a time.
 * Memory     all of it at creation (some 20 bytes for each token of the vocabulary). */
#ifndef VT_ENGINE_SAMPLER_H
#define VT_ENGINE_SAMPLER_H

#include "base/error.h"
#include "base/slice.h"
#include "model/sampling.h"

typedef struct vt_sampler vt_sampler;

typedef struct {
    int32_t id;
    double bias; /* -inf is never chosen; +-100 practically bans and forces */
} vt_logit_bias;

typedef struct {
    vt_sampling sampling;
    uint64_t seed;
    const vt_logit_bias *bias;
    size_t n_bias;
} vt_sampler_options;

/* VT_EINPUT for a value out of its range, by name, or a bias for a token that does not exist. */
VT_MUSTUSE vt_status vt_sampler_new(const vt_sampler_options *options, size_t n_vocab,
                                    vt_sampler **out, vt_err *err);
void vt_sampler_free(vt_sampler *s);

/* Forget all tokens, and start the penalties with these of the prompt. */
void vt_sampler_prompt(vt_sampler *s, const int32_t *ids, size_t n);
/* A token of the answer was taken. */
void vt_sampler_accept(vt_sampler *s, int32_t id);

/* Which tokens a constraint allows: bit id % 64 of word id / 64. */
typedef struct {
    const uint64_t *words; /* (n_vocab + 63) / 64 of them */
} vt_token_mask;

static inline bool vt_token_mask_has(const vt_token_mask *mask, int32_t id)
{
    return (mask->words[(uint32_t)id / 64] >> ((uint32_t)id % 64) & 1) != 0;
}

/* The token after `position` tokens. `allowed` NULL: all. VT_EINPUT when none can be chosen. */
VT_MUSTUSE vt_status vt_sampler_choose(vt_sampler *s, const float *logits, uint64_t position,
                                       const vt_token_mask *allowed, int32_t *id, vt_err *err);

/* ---- the model's own probabilities, whatever the sampler does to them ---- */

/* log softmax(logits)[id], natural logarithm. */
double vt_logprob(const float *logits, size_t n_vocab, int32_t id);

typedef struct {
    int32_t id;
    double logprob;
} vt_logprob_entry;

enum { VT_LOGPROBS_MAX = 64 };

/* The k likeliest, from the likeliest on, ties to the lower id. Returns how many (min(k, n_vocab,
 * VT_LOGPROBS_MAX)). */
size_t vt_logprobs_top(const float *logits, size_t n_vocab, size_t k, vt_logprob_entry *out);

/* Philox4x32-10 (Salmon et al., SC'11): the generator, open for its test. */
void vt_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

#endif
