/* format.h -- the number formats weights come in: names, block shapes, sizes. The layouts are
 * GGUF's (ggml:src/ggml-common.h); the ids are those of the GGUF file format and of ours. */
#ifndef VT_KERNELS_FORMAT_H
#define VT_KERNELS_FORMAT_H

#include "base/error.h"
#include "base/slice.h"

#include <stdint.h>

/* id (GGUF's), name, weights in a block, bytes of a block, weights that share one activation scale
 * (0: floating) */
#define VT_FORMAT_MAP(X)       \
    X(F32, 0, 1, 4, 0)         \
    X(F16, 1, 1, 2, 0)         \
    X(Q4_0, 2, 32, 18, 32)     \
    X(Q4_1, 3, 32, 20, 32)     \
    X(Q5_0, 6, 32, 22, 32)     \
    X(Q8_0, 8, 32, 34, 32)     \
    X(Q4_K, 12, 256, 144, 256) \
    X(Q5_K, 13, 256, 176, 256) \
    X(Q6_K, 14, 256, 210, 256) \
    X(BF16, 30, 1, 2, 0)       \
    X(MXFP4, 39, 32, 17, 32)

typedef enum {
#define X(name, id, block, bytes, activation) VT_FORMAT_##name = (id),
    VT_FORMAT_MAP(X)
#undef X
} vt_format;

typedef struct {
    vt_format id;
    const char *name;
    uint32_t block_len;      /* weights in a block */
    uint32_t block_bytes;    /* bytes of a block in the file */
    uint32_t activation_len; /* activations quantised together for it: 32, 256; 0 for the floating
                                formats */
} vt_format_info;

/* NULL when the id is none of ours. */
const vt_format_info *vt_format_by_id(uint32_t id);
const vt_format_info *vt_format_by_name(vt_slice name);
/* All of them; *n is their number. */
const vt_format_info *vt_format_all(size_t *n);

#endif
