/* select.c -- which tables of kernels this CPU runs. */
#include "base/cpu.h"
#include "kernels/kernels.h"
#include "kernels/tables.h"

#include <string.h>

size_t vt_kernels_list(const vt_kernels *out[VT_KERNELS_MOST])
{
    vt_cpu_features cpu;
    vt_cpu_detect(&cpu);
    size_t n = 0;
    out[n++] = vt_kernels_scalar();
#if defined(__x86_64__)
    if (cpu.has_avx2) out[n++] = vt_kernels_avx2();
    /* With AVX-512 the same 256-bit kernels in its encoding: they have 32 registers. */
    if (cpu.has_avx512) out[n++] = vt_kernels_avxvnni_evex();
    else if (cpu.has_avx_vnni) out[n++] = vt_kernels_avxvnni();
    if (cpu.has_avx512) out[n++] = vt_kernels_avx512();
#elif defined(__aarch64__)
    if (cpu.has_neon) out[n++] = vt_kernels_neon();
    if (cpu.has_dotprod) out[n++] = vt_kernels_neon_dotprod();
    if (cpu.has_i8mm) out[n++] = vt_kernels_neon_i8mm();
#endif
    return n;
}

const vt_kernels *vt_kernels_select(const char *name)
{
    const vt_kernels *all[VT_KERNELS_MOST];
    const size_t n = vt_kernels_list(all);
    if (name == NULL) return all[n - 1];
    for (size_t i = 0; i < n; i++)
        if (strcmp(all[i]->name, name) == 0) return all[i];
    return NULL;
}
