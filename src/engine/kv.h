/* kv.h -- the memory of one sequence: keys and values of every layer, in tiles of 32 positions
 * (model/pass.h).
 *
 * A layer with full attention has a slot for every tile of the context; one with a sliding window
 * has a ring just long enough for its window and one prefill step. Pages are touched only as
 * positions fill, so memory grows with use.
 *
 * Ownership  caller's struct, init/deinit.   Threads  one thread at a time. */
#ifndef VT_ENGINE_KV_H
#define VT_ENGINE_KV_H

#include "model/pass.h"

typedef struct {
    vt_kv view; /* what a forward pass takes */
    uint32_t n_layers;
    uint8_t *memory;
    uint64_t n_bytes;
} vt_kv_memory;

/* n_ctx: most positions; n_step: most tokens of one forward pass. */
VT_MUSTUSE vt_status vt_kv_init(vt_kv_memory *kv, const vt_model *m, uint32_t n_ctx,
                                uint32_t n_step, bool is_f32, vt_err *err);
void vt_kv_deinit(vt_kv_memory *kv);

/* May a sequence whose positions reached `high` (one past the last ever written) be continued at
 * position `from`, that is, are the positions that it sees still there? */
bool vt_kv_can_continue(const vt_kv_memory *kv, const vt_model *m, uint32_t from, uint32_t high);

#endif
