/* avxvnni.c -- the kernels for AVX2 with AVX-VNNI, the byte dot products in their short encoding:
 * CPUs that have them but no AVX-512. See avx2_body.h. */
#if defined(__x86_64__)

#define HAS_VNNI          1
#define DPBUSD(sum, w, x) _mm256_dpbusd_avx_epi32(sum, w, x)
#define DPWSSD            "%{vex%} vpdpwssd"
#include "kernels/avx2_body.h"

const vt_kernels *vt_kernels_avxvnni(void)
{
    static const vt_kernels table = VT_KERNEL_TABLE("avxvnni");
    return &table;
}

#endif
