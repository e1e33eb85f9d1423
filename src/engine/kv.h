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
    uint64_t head_tile_bytes; /* the keys, or the values, of one head in one tile */
    uint32_t n_heads_kv;
    uint8_t *memory;
    uint64_t n_bytes;
} vt_kv_memory;

/* n_ctx: most positions; n_step: most tokens of one forward pass. */
VT_MUSTUSE vt_status vt_kv_init(vt_kv_memory *kv, const vt_model *m, uint32_t n_ctx,
                                uint32_t n_step, vt_kv_type type, vt_err *err);
void vt_kv_deinit(vt_kv_memory *kv);

/* May a sequence whose positions reached `high` (one past the last ever written) be continued at
 * position `from`, that is, are the positions that it sees still there? */
bool vt_kv_can_continue(const vt_kv_memory *kv, const vt_model *m, uint32_t from, uint32_t high);

/* ---- tiles as bytes: for the prefix store, which keeps them and does not look inside ----
 *
 * A tile is named by its absolute index, position / VT_KEY_TILE; where it lies in a ring is known
 * here. Its bytes are the keys of every head in order, then the values, as pass.h lays them out:
 * the same for every context length and ring size. */

/* The number format, as files on disk name it, fixed for ever: the type and one more. */
uint32_t vt_kv_code(const vt_kv_memory *kv);
const char *vt_kv_code_name(uint32_t code); /* as --kv-type takes it; "unknown" */

/* Bytes of one tile of one layer; the same for all layers. */
size_t vt_kv_tile_bytes(const vt_kv_memory *kv);

/* Is tile i of that layer still there, when positions reached `high`? (In a ring a later one takes
 * its place.) */
bool vt_kv_has_tile(const vt_kv_memory *kv, uint32_t i_layer, uint32_t i_tile, uint32_t high);

/* Copy vt_kv_tile_bytes out of, or into, tile i of a layer. */
void vt_kv_read_tile(const vt_kv_memory *kv, uint32_t i_layer, uint32_t i_tile, uint8_t *out);
void vt_kv_write_tile(vt_kv_memory *kv, uint32_t i_layer, uint32_t i_tile, const uint8_t *in);

#endif
