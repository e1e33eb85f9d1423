/* tables.h -- private to kernels/: constant tables and the per-instruction-set tables' accessors.
 */
#ifndef VT_KERNELS_TABLES_H
#define VT_KERNELS_TABLES_H

#include "kernels/kernels.h"

/* MXFP4: the doubled values 0 1 2 3 4 6 8 12 and their negatives, plus 12. */
static const uint8_t vt_mxfp4_plus_12[16] VT_UNUSED = {12, 13, 14, 15, 16, 18, 20, 24,
                                                       12, 11, 10, 9,  8,  6,  4,  0};

/* How many bytes ahead of use a line of weights, keys or values is asked for, each time: see
 * avx512.c. */
static const size_t vt_prefetch_distances[4] VT_UNUSED = {48 << 10, 24 << 10, 12 << 10, 4 << 10};

/* The end of a tile function whose bodies take the number of tokens as a constant: the last 4, 2
 * and 1 of n_tokens, of which t are done. */
#define VT_LAST_TOKENS(body, format)                                             \
    if (n_tokens & 4) {                                                          \
        body(format, 4, true, tile, a, i_first + t, y + t * y_stride, y_stride); \
        t += 4;                                                                  \
    }                                                                            \
    if (n_tokens & 2) {                                                          \
        body(format, 2, true, tile, a, i_first + t, y + t * y_stride, y_stride); \
        t += 2;                                                                  \
    }                                                                            \
    if (n_tokens & 1) body(format, 1, true, tile, a, i_first + t, y + t * y_stride, y_stride);

/* A DEFINE_TILE (table_body.h) out of such bodies: eight tokens at a time, then 4, 2, 1; each width
 * is its own unrolled copy. is_fresh: the tile's weights may still be in memory. After eight tokens
 * they are in the cache; that the last 4, 2 and 1 ask again costs less than a second copy of each.
 */
#define VT_DEFINE_TILE_8_4_2_1(name, body, format)                                    \
    static void name(const uint8_t *tile, const vt_activations *a, uint32_t i_first,  \
                     uint32_t n_tokens, float *y, size_t y_stride)                    \
    {                                                                                 \
        uint32_t t = 0;                                                               \
        if (n_tokens >= 8) {                                                          \
            body(format, 8, true, tile, a, i_first, y, y_stride);                     \
            t = 8;                                                                    \
        }                                                                             \
        for (; t + 8 <= n_tokens; t += 8)                                             \
            body(format, 8, false, tile, a, i_first + t, y + t * y_stride, y_stride); \
        VT_LAST_TOKENS(body, format)                                                  \
    }

#if defined(__aarch64__)
const vt_kernels *vt_kernels_neon(void);
const vt_kernels *vt_kernels_neon_dotprod(void);
const vt_kernels *vt_kernels_neon_i8mm(void);
#endif
#if defined(__x86_64__)
const vt_kernels *vt_kernels_avx2(void);
const vt_kernels *vt_kernels_avxvnni(void);
const vt_kernels *vt_kernels_avxvnni_evex(void);
const vt_kernels *vt_kernels_avx512(void);
#endif

#endif
