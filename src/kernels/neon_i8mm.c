/* neon_i8mm.c -- the kernels for aarch64 CPUs with the matrix products of bytes (ARMv8.6, optional
 * from 8.2 on). See neon_body.h. */
#if defined(__aarch64__)

#include "kernels/neon_body.h"

const vt_kernels *vt_kernels_neon_i8mm(void)
{
    static const vt_kernels table = VT_KERNEL_TABLE("neon_i8mm");
    return &table;
}

#endif
