/* avxvnni_evex.c -- the same kernels as avxvnni.c for CPUs with AVX-512 VL and VNNI, where 256-bit
 * vectors are asked for: the same dot products in the other encoding, with 32 registers. */
#if defined(__x86_64__)

#define HAS_VNNI          1
#define DPBUSD(sum, w, x) _mm256_dpbusd_epi32(sum, w, x)
#define DPWSSD            "vpdpwssd"
#include "kernels/avx2_body.h"

const vt_kernels *vt_kernels_avxvnni_evex(void)
{
    static const vt_kernels table = VT_KERNEL_TABLE("avxvnni");
    return &table;
}

#endif
