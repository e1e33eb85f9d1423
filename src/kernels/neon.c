/* neon.c -- the kernels for every aarch64 CPU. See neon_body.h. */
#if defined(__aarch64__)

#include "kernels/neon_body.h"

const vt_kernels *vt_kernels_neon(void)
{
    static const vt_kernels table = VT_KERNEL_TABLE("neon");
    return &table;
}

#endif
