/* kv_type.h -- the number formats of a KV cache, and how many bytes a tile of it has. How a tile is
 * laid out is told at vt_kv_head (kernels.h). */
#ifndef VT_KERNELS_KV_TYPE_H
#define VT_KERNELS_KV_TYPE_H

#include <stddef.h>
#include <stdint.h>

typedef enum {
    VT_KV_F16,
    VT_KV_F32,
    VT_KV_Q8_0, /* 32 values along the head dimension share a scale; head_dim a multiple of 32 */
} vt_kv_type;

/* As --kv-type takes it. */
static inline const char *vt_kv_type_name(vt_kv_type type)
{
    return type == VT_KV_F32 ? "f32" : type == VT_KV_F16 ? "f16" : "q8_0";
}

enum { VT_KEY_TILE = 32 }; /* positions */

/* Bytes of the keys, or of the values, of one head in one tile. */
static inline size_t vt_kv_head_tile_bytes(vt_kv_type type, uint32_t head_dim)
{
    const size_t n = (size_t)VT_KEY_TILE * head_dim;
    return type == VT_KV_F32 ? n * 4 : type == VT_KV_F16 ? n * 2 : n + n / 32 * 2;
}

enum { VT_KV_Q8_BLOCK = 32 * VT_KEY_TILE }; /* bytes: 32 dimensions of a tile's keys or values */

/* Q8_0: where number i (0 .. 31) of a lane is in a block [16][32][2]. A block of keys has a key in
 * each lane and i counts dimensions, one of values has a dimension in each lane and i counts keys.
 */
static inline size_t vt_kv_q8_at(uint32_t i, uint32_t lane)
{
    return ((size_t)(i % 16) * 32 + lane) * 2 + i / 16;
}

#endif
