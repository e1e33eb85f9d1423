/* rope.h -- rotary position embedding: which angle each pair of dimensions turns by, per position.
 * Sources: RoFormer (Su et al. 2021); Llama 3.1's scaled frequencies (given by the file as
 * divisors, rope_freqs.weight); YaRN (Peng et al. 2023) as gpt-oss publishes it
 * (gpt_oss/torch/model.py: the correction range is not rounded). */
#ifndef VT_MODEL_ROPE_H
#define VT_MODEL_ROPE_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

enum { VT_ROPE_MAX_PAIRS = 128 };

typedef struct {
    uint32_t n_dims;     /* rotated dimensions of a head: twice the number of pairs */
    bool is_interleaved; /* pairs (2i, 2i+1), as GGUF stores the llama family; otherwise (i, i +
                            n_dims/2) */
    float magnitude;     /* of cosine and sine; 1 but for YaRN */
    float frequency[VT_ROPE_MAX_PAIRS]; /* radians per position */
} vt_rope;

typedef struct {
    double base;          /* theta */
    double linear_factor; /* 0 or 1: none; frequencies are divided by it */
    double yarn_factor;   /* 0: no YaRN */
    double yarn_original_context;
    double yarn_beta_fast, yarn_beta_slow;
    bool yarn_is_rounded;  /* the correction range goes out to whole pairs, as everywhere but in
                              gpt-oss */
    const float *divisors; /* [n_dims / 2] or NULL */
} vt_rope_options;

/* n_dims even, at most 2 * VT_ROPE_MAX_PAIRS. VT_EINPUT when the options (which come from the
 * file) give a frequency that is not a number from 0 to 1024. */
VT_MUSTUSE vt_status vt_rope_init(vt_rope *r, uint32_t n_dims, bool is_interleaved,
                                  const vt_rope_options *options, vt_err *err);

/* cosine and sine of every pair at a position: of the float product position * frequency, as
 * published. */
void vt_rope_table(const vt_rope *r, uint32_t position, float *cosine, float *sine);

#endif
