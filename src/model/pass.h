/* pass.h -- one forward pass: some tokens of one or several sequences, the buffers they flow
 * through, and the operations a family's forward function is written in. Shapes are
 * [tokens][width], rows stride `width` unless said otherwise.
 *
 * Operations keep a sticky first error (vt_pass_status), so a family reads like the paper. A
 * token's result depends on its own sequence only, never on what else is in the pass.
 *
 * Ownership  buffers belong to the pass; the KV caches are the caller's and are written by
 * vt_pass_attend. Threads    one thread; the operations use the pool. */
#ifndef VT_MODEL_PASS_H
#define VT_MODEL_PASS_H

#include "kernels/kernels.h"
#include "model/network.h"

/* The keys and values of one sequence. One allocation a layer: n_heads_kv heads, each as vt_kv_head
 * describes. */
typedef struct {
    uint8_t *k, *v;
    uint32_t n_slots; /* tiles of 32 positions kept, a ring when fewer than the context needs */
} vt_kv_layer;

typedef struct {
    vt_kv_layer *layers; /* [n_layers] */
    vt_kv_type type;
} vt_kv;

/* n_tokens tokens at positions first_position, first_position + 1, ... of one sequence. */
typedef struct {
    vt_kv *kv; /* of this sequence alone: no other run of the pass has it */
    const int32_t *tokens;
    uint32_t n_tokens;
    uint32_t first_position;
    uint32_t n_logits; /* of how many of its last tokens logits are wanted; may be 0 */
} vt_run;

struct vt_pass {
    const vt_model *model;
    const vt_kernels *kernels;
    vt_pool *pool;
    const vt_progress *progress; /* is_cancelled is looked at once a layer */
    uint32_t n_tokens;           /* of all runs together, in order */
    const vt_run *runs;
    size_t n_runs;
    /* buffers; widths are in tokens of max_tokens */
    float *hidden;     /* [E] the residual stream */
    float *normed;     /* [E] */
    float *q, *k, *v;  /* [H D], [G D], [G D] */
    float *attended;   /* [H D] */
    float *gate, *up;  /* [F]; with experts [experts used][F] */
    float *logits;     /* [n_logits][vt_pass_logits_stride] */
    uint32_t n_logits; /* rows of the last call that made some */
    struct vt_pass_scratch *scratch;
    vt_err error; /* sticky */
};

/* max_tokens: most tokens of a pass; max_logits: most tokens whose logits are wanted at once. */
VT_MUSTUSE vt_status vt_pass_new(const vt_model *m, const vt_kernels *kernels, vt_pool *pool,
                                 uint32_t max_tokens, uint32_t max_logits, vt_pass **out,
                                 vt_err *err);
void vt_pass_free(vt_pass *p);
uint64_t vt_pass_bytes(const vt_pass *p);
/* Floats from one row of logits to the next: the vocabulary rounded up to whole tiles. */
uint32_t vt_pass_logits_stride(const vt_pass *p);

/* Run the model; `logits` gets the rows that the runs want (together at most max_logits), in order.
 * Token ids are checked; positions and KV capacity are the caller's to check. */
VT_MUSTUSE vt_status vt_pass_forward(vt_pass *p, const vt_run *runs, size_t n_runs,
                                     const vt_progress *progress, vt_err *err);

/* After a pass that succeeded: `logits` gets the rows of its tokens first .. first + n - 1 (counted
 * through all runs; n at most max_logits) instead of those it has. */
VT_MUSTUSE vt_status vt_pass_logits(vt_pass *p, uint32_t first, uint32_t n, vt_err *err);

/* ---- operations, for model/family ---- */

/* Called at the start of each layer: notices a cancellation. False when the pass should stop. */
bool vt_pass_begin_layer(vt_pass *p, uint32_t i_layer);

/* normed = RMS norm of x [E], times weight; returns p->normed. */
const float *vt_pass_rms_norm(vt_pass *p, const float *x, const float *weight);

typedef struct {
    const vt_matrix *matrix;
    const float *bias; /* or NULL */
    float *y;          /* [tokens][stride] */
    uint32_t stride;   /* 0: the matrix' rows; else at least these rounded up to 16 */
    bool adds;         /* y += W x + b, a residual */
} vt_linear;

/* y = W x + b for up to 4 matrices that share x [tokens][n_cols]. */
void vt_pass_linear(vt_pass *p, const float *x, const vt_linear *outs, int n_outs);

/* Rotate n_heads heads of each token by its position. */
void vt_pass_rope(vt_pass *p, float *x, uint32_t n_heads);

/* Store k and v in the cache, then attend: q [H D] -> out [H D]. Where keys are stored as Q8_0,
 * they and q are rotated (hadamard.h), q in place. */
void vt_pass_attend(vt_pass *p, const vt_layer *l, uint32_t i_layer, float *q, const float *k,
                    const float *v, float *out);

/* gate = silu(gate) * up, [F] */
void vt_pass_silu_mul(vt_pass *p, float *gate, const float *up);

/* The experts of gpt-oss: route x [E], run the chosen ones, add their weighted outputs to `hidden`.
 */
typedef struct {
    float swiglu_alpha, swiglu_limit;
} vt_experts_options;
void vt_pass_experts(vt_pass *p, const vt_layer *l, const float *x,
                     const vt_experts_options *options, float *hidden);

#endif
