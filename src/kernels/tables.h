/* tables.h -- private to kernels/: constant tables and the per-instruction-set tables' accessors.
 */
#ifndef VT_KERNELS_TABLES_H
#define VT_KERNELS_TABLES_H

#include "kernels/kernels.h"

/* MXFP4: the doubled values 0 1 2 3 4 6 8 12 and their negatives, plus 12. */
static const uint8_t vt_mxfp4_plus_12[16] VT_UNUSED = {12, 13, 14, 15, 16, 18, 20, 24,
                                                       12, 11, 10, 9,  8,  6,  4,  0};

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
