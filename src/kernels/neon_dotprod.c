/* neon_dotprod.c -- the kernels for aarch64 CPUs with the dot-product instructions (Armv8.2 and
 * later). See neon_body.h. */
#if defined(__aarch64__)

#include "kernels/neon_body.h"

const vt_kernels *vt_kernels_neon_dotprod(void)
{
    static const vt_kernels table = VT_KERNEL_TABLE("neon_dotprod");
    return &table;
}

#endif
