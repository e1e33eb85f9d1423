/* kernels.h -- arithmetic on rows and blocks behind one table of functions, one table per
 * instruction set. No model knows an intrinsic; no kernel knows a model.
 *
 * The scalar table is the definition (NUMERICS.md); every other one gives the same bits, proved by
 * memcmp in tests/kernels/. All functions are pure, take caller's memory, and may be called by many
 * threads on different outputs. Vectors need no alignment; tiles do (matrix.h). */
#ifndef VT_KERNELS_KERNELS_H
#define VT_KERNELS_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/kv_type.h"
#include "kernels/matrix.h"

#define VT_NUMERICS_VERSION 3

/* Activations ready for a matrix product: n_tokens rows of n_cols values. Floating formats read x;
 * 32-block formats read q, d (one per 32 values) and sum32; 256-block formats read q, d (one per
 * 256), sum16 and sum32. The sums are exact sums of the quantised values of 16 or 32 columns. */
typedef struct {
    const float *x;       /* [n_tokens][n_cols] */
    const int8_t *q;      /* [n_tokens][n_cols] */
    const float *d;       /* [n_tokens][n_cols / 32 or 256] */
    const int16_t *sum16; /* [n_tokens][n_cols / 16], 256-block formats */
    const int16_t *sum32; /* [n_tokens][n_cols / 32] */
    uint32_t n_cols;
} vt_activations;

/* Rows of one tile against tokens i_first .. i_first + n_tokens - 1: y[t * y_stride + lane] = sum
 * over columns, for t from 0 and lane 0..15. y must have room for 16 lanes a token. */
typedef void vt_tile_fn(const uint8_t *tile, const vt_activations *a, uint32_t i_first,
                        uint32_t n_tokens, float *y, size_t y_stride);

/* One KV head of one layer as the attention kernel sees it: tiles of 32 keys at absolute positions
 * 32 i .. 32 i + 31; tile i lies in slot i mod n_slots (a ring, for sliding windows; otherwise
 * n_slots covers the whole context).
 *
 *   k  [n_slots][head_dim][32]   lane = key
 *   v  [n_slots][32][head_dim]   lane = output dimension
 *
 * F16 and F32 are just these numbers. Q8_0 has bytes in blocks of 32 dimensions, and behind the
 * bytes of each tile their scales, halves:
 *
 *   k  [head_dim / 32][16][32][2]  lane = key, the pair are dimensions 16 apart; scales
 *                                  [head_dim / 32][32], lane = key
 *   v  [head_dim / 32][16][32][2]  lane = output dimension, the pair are keys 16 apart; scales
 *                                  [head_dim / 32][32], lane = key
 *
 * so that an instruction that adds up the products of pairs of 16 bits finds both numbers of a lane
 * side by side, keys and values alike (vt_kv_q8_at). */
typedef struct {
    const void *k;
    const void *v;
    uint32_t n_slots;
    uint32_t head_dim; /* multiple of 16, at most 256 */
    vt_kv_type type;
} vt_kv_head;

enum {
    VT_ATTEND_GROUP_TILES = 256, /* tiles of one partial result, always (NUMERICS.md, rule 8) */
    VT_ATTEND_GROUP = VT_ATTEND_GROUP_TILES * VT_KEY_TILE, /* positions */
    VT_ATTEND_MAX_ROWS = 64,
    VT_MAX_HEAD_DIM = 256,
};

/* What a row has gathered: the largest score and the sum of exp(score - max); a sink begins it. */
typedef struct {
    float max;
    float sum;
} vt_attend_state;

/* Attention of n_rows (at most VT_ATTEND_MAX_ROWS) query vectors on one KV head. Row r sees keys
 * begin[r] <= position < end[r], at least one. */
typedef struct {
    vt_kv_head kv;
    uint32_t n_rows;
    const float *const *q; /* [n_rows] -> [head_dim] */
    float *const *out;     /* [n_rows] -> [head_dim] */
    const uint32_t *begin;
    const uint32_t *end;
    const float *sink; /* [n_rows], logits that only join the denominator; or NULL. For attend */
    vt_attend_state *state; /* [n_rows] for attend_part */
    float scale;            /* multiplies each finished dot product */
    float *scratch;         /* VT_ATTEND_SCRATCH(head_dim) floats, this thread's */
} vt_attend_job;

#define VT_ATTEND_SCRATCH(head_dim) ((size_t)(head_dim) * (2 * VT_KEY_TILE + VT_ATTEND_MAX_ROWS))

typedef struct {
    const char *name; /* of the instruction set: "scalar", "avx2", "avxvnni", "avx512", "neon",
                         "neon_dotprod", "neon_i8mm" */

    /* The tile product for a format; never NULL. */
    vt_tile_fn *(*tile)(vt_format format);

    /* Quantise n values (a multiple of `block`, 32 or 256) by rule 3. sum16 may be NULL. False when
     * a value is a NaN or an infinity; the outputs are then unspecified. */
    bool (*quantize)(const float *x, uint32_t n, uint32_t block, int8_t *q, float *d,
                     int16_t *sum16, int16_t *sum32);

    /* y = x / sqrt(mean(x^2) + eps) * weight; n a multiple of 16. False when the sum of squares is
     * not finite. */
    bool (*rms_norm)(const float *x, const float *weight, uint32_t n, float eps, float *y);

    void (*add)(float *y, const float *x, uint32_t n); /* y += x */
    void (*add_scaled)(float *y, const float *x, float weight,
                       uint32_t n); /* y = fma(weight, x, y) */
    void (*silu_mul)(const float *gate, const float *up, uint32_t n,
                     float *y); /* silu(gate) * up */
    /* gpt-oss' SwiGLU: g = min(gate, limit), u = clamp(up, -limit, limit), g / (1 + exp(-alpha g))
     * * (u + 1). */
    void (*swiglu_clamped)(const float *gate, const float *up, uint32_t n, float alpha, float limit,
                           float *y);

    /* Rotate one head vector in place. Pair i is (i, i + n/2), or (2i, 2i + 1) when interleaved:
     * a' = a cos - b sin, b' = b cos + a sin, each as fma(a, cos, -(b sin)) and fma(b, cos, a sin).
     */
    void (*rope)(float *head, const float *cosine, const float *sine, uint32_t n,
                 bool is_interleaved);

    /* Narrow to half; false when a finite value overflows. */
    bool (*to_f16)(const float *x, uint32_t n, uint16_t *out);

    /* All of it. */
    void (*attend)(const vt_attend_job *job);
    /* The same in pieces, for one long sequence on many threads: what the rows gather among the
     * positions VT_ATTEND_GROUP i_group .. (i_group + 1) - 1, in out and state (sum 0: they see
     * none of them); then a row's n_parts parts [n_parts][head_dim], in order, make its result. */
    void (*attend_part)(const vt_attend_job *job, uint32_t i_group);
    void (*attend_merge)(float *out, uint32_t head_dim, const float *sink,
                         const vt_attend_state *states, const float *parts, uint32_t n_parts);
} vt_kernels;

const vt_kernels *vt_kernels_scalar(void);

enum { VT_KERNELS_MOST = 4 };

/* The tables that this CPU can run, the slowest (scalar) first, the best last; how many. */
size_t vt_kernels_list(const vt_kernels *out[VT_KERNELS_MOST]);

/* The table of that name, or the best one (NULL). NULL when the name is unknown or the CPU lacks
 * it. */
const vt_kernels *vt_kernels_select(const char *name);

#endif
