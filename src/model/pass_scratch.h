/* pass_scratch.h -- private to model/pass*.c: the buffers of a pass that families do not see. */
#ifndef VT_MODEL_PASS_SCRATCH_H
#define VT_MODEL_PASS_SCRATCH_H

#include <stdatomic.h>

#include "model/pass.h"

/* Quantised activations of one kind (blocks of 32 or of 256), made once per group of matrices that
 * share them. */
typedef struct {
    int8_t *q;
    float *d;
    int16_t *sum16; /* NULL for blocks of 32 */
    int16_t *sum32;
} vt_quantized;

enum { VT_ATTEND_FEW = 4 }; /* see pass_attend.c */

typedef struct vt_pass_scratch {
    uint32_t max_tokens;
    uint32_t max_slots; /* tokens x experts used, at least max_tokens */
    uint64_t n_bytes;
    vt_quantized by32, by256; /* max_slots rows of the widest input */
    float *cosine, *sine;     /* [max_tokens][rope_dims / 2] */
    uint32_t *position;       /* [max_tokens] */
    const vt_run **run_of;    /* [max_tokens] */
    float *selected;          /* [max_logits][E] rows whose logits are wanted */
    uint32_t max_logits;
    float *attend; /* [threads][VT_ATTEND_SCRATCH] */
    size_t attend_stride;
    float *parts; /* attention of at most VT_ATTEND_FEW tokens in pieces: [D] each */
    vt_attend_state *part_states; /* [tokens][H][parts] */
    uint32_t i_layer;
    /* experts */
    float *router; /* [max_tokens][router_stride] */
    uint32_t router_stride;
    uint32_t *chosen;       /* [max_tokens][used]: expert of each rank */
    float *chosen_weight;   /* [max_tokens][used] */
    uint32_t *slot_of;      /* [max_tokens][used]: where its row lies, slots sorted by expert */
    uint32_t *token_of;     /* [max_slots] */
    uint32_t *expert_begin; /* [X + 1] first slot of each expert */
    uint32_t *active;       /* [X] the experts that have slots */
    uint32_t n_active;
    float *gathered;   /* [max_slots][E] inputs by slot */
    float *expert_out; /* [max_slots][E] */
} vt_pass_scratch;

static inline uint32_t vt_round_up_16(uint32_t n)
{
    return (n + 15) & ~15u;
}

/* Fail the pass unless it has failed already. */
vt_status vt__pass_fail(vt_pass *p, vt_status code, const char *fmt, ...) VT_PRINTF(3, 4);

/* "non-finite activation in layer L", L the layer that runs. */
void vt__pass_fail_non_finite(vt_pass *p);

static inline bool vt__pass_ok(const vt_pass *p)
{
    return p->error.code == VT_OK;
}

/* The activations x [n][n_cols] as a matrix of this format wants them; quantises into the scratch
 * on the pool. */
vt_activations vt__pass_activations(vt_pass *p, const float *x, uint32_t n, uint32_t n_cols,
                                    vt_format format);

/* The same where row t is wanted n_copies times, as rows rows_of[t][0 ..] of the result: quantised
 * once and copied. Floats (formats without quantised activations) are left as they are, x. */
vt_activations vt__pass_spread_activations(vt_pass *p, const float *x, uint32_t n, uint32_t n_cols,
                                           vt_format format, const uint32_t *rows_of,
                                           uint32_t n_copies);

/* Tokens that go through a tile together, so that their activations stay in the L2 cache. */
uint32_t vt__pass_token_block(uint32_t n_cols);

#endif
