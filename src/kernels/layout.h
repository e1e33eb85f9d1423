/* layout.h -- private to kernels/: where things lie inside a tile (the table in matrix.h, as
 * constants). */
#ifndef VT_KERNELS_LAYOUT_H
#define VT_KERNELS_LAYOUT_H

#include "kernels/matrix.h"

enum {
    VT_Q8_0_QUANTS = 512,
    VT_Q4_QUANTS = 256, /* Q4_0, Q4_1, MXFP4 */
    VT_Q5_0_QUANTS = 320,
    VT_Q4_K_QUANTS = 2048,
    VT_Q5_K_QUANTS = 2560,
    VT_Q6_K_QUANTS = 3072,
    VT_HALF_SCALES = 32, /* 16 halves */
    VT_Q4_1_SCALES = 64,
    VT_MXFP4_SCALES = 16,
    VT_Q45_K_SCALES = 256,
    VT_Q6_K_SCALES = 288,
};

/* Quant bytes of one block (16 rows). */
static inline size_t vt_block_quants(vt_format format)
{
    switch (format) {
    case VT_FORMAT_F32: return 64;
    case VT_FORMAT_F16:
    case VT_FORMAT_BF16: return 32;
    case VT_FORMAT_Q8_0: return VT_Q8_0_QUANTS;
    case VT_FORMAT_Q4_0:
    case VT_FORMAT_Q4_1:
    case VT_FORMAT_MXFP4: return VT_Q4_QUANTS;
    case VT_FORMAT_Q5_0: return VT_Q5_0_QUANTS;
    case VT_FORMAT_Q4_K: return VT_Q4_K_QUANTS;
    case VT_FORMAT_Q5_K: return VT_Q5_K_QUANTS;
    case VT_FORMAT_Q6_K: return VT_Q6_K_QUANTS;
    }
    return 0;
}

/* Scale bytes of one block (16 rows). */
static inline size_t vt_block_scales(vt_format format)
{
    switch (format) {
    case VT_FORMAT_F32:
    case VT_FORMAT_F16:
    case VT_FORMAT_BF16: return 0;
    case VT_FORMAT_Q8_0:
    case VT_FORMAT_Q4_0:
    case VT_FORMAT_Q5_0: return VT_HALF_SCALES;
    case VT_FORMAT_Q4_1: return VT_Q4_1_SCALES;
    case VT_FORMAT_MXFP4: return VT_MXFP4_SCALES;
    case VT_FORMAT_Q4_K:
    case VT_FORMAT_Q5_K: return VT_Q45_K_SCALES;
    case VT_FORMAT_Q6_K: return VT_Q6_K_SCALES;
    }
    return 0;
}

#endif
