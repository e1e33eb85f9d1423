/* avx2.c -- the kernels for AVX2 with FMA and F16C. See avx2_body.h. */
#if defined(__x86_64__)

#define HAS_VNNI 0
#include "kernels/avx2_body.h"

const vt_kernels *vt_kernels_avx2(void)
{
    static const vt_kernels table = VT_KERNEL_TABLE("avx2");
    return &table;
}

#endif
