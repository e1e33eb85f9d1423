/* work.h -- how much a forward pass has to do at least: bytes that must come from memory and
 * operations that must be made. Against a machine's limits (kernels/limits.h) this tells how fast a
 * model could run at most, whatever the program.
 *
 * Counted are weights, each once a pass; keys and values that are looked at; and the operations of
 * matrix products and attention, where a multiplication and an addition are two. Left out is what
 * is small or could stay in a cache: activations, norms, the quantising, softmax, sampling. Of a
 * mixture of experts only what is chosen counts; for several tokens, as many experts as evenly
 * spread choices would take. */
#ifndef VT_MODEL_WORK_H
#define VT_MODEL_WORK_H

#include "kernels/kv_type.h"
#include "model/model.h"

typedef struct {
    uint32_t n_sequences;    /* in the pass, all alike */
    uint32_t first_position; /* of each */
    uint32_t n_tokens;       /* of each */
    uint32_t n_logits;       /* rows of logits that are wanted, of all together */
    vt_kv_type kv_type;
} vt_work_pass;

typedef struct {
    double weight_bytes;
    double kv_bytes;
    double int8_ops; /* of quantised matrices; attention over Q8_0: its 16 bits count twice */
    double f32_ops;  /* of floating matrices, and of other attention */
} vt_work;

/* Add one pass to *work. */
void vt_work_add(const vt_model *m, const vt_work_pass *pass, vt_work *work);

#endif
