/* select.c -- which table of kernels this CPU runs. */
#include "base/cpu.h"
#include "kernels/kernels.h"
#include "kernels/tables.h"

#include <string.h>

const vt_kernels *vt_kernels_select(const char *cap)
{
    vt_cpu_features cpu;
    vt_cpu_detect(&cpu);
    const vt_kernels *best = vt_kernels_scalar();
    if (cap != NULL && strcmp(cap, best->name) == 0) return best;
#if defined(__x86_64__)
    if (cpu.has_avx2) best = vt_kernels_avx2();
    if (cap != NULL && strcmp(cap, "avx2") == 0) return cpu.has_avx2 ? best : NULL;
    if (cpu.has_avx512) best = vt_kernels_avx512();
    if (cap != NULL && strcmp(cap, "avx512") == 0) return cpu.has_avx512 ? best : NULL;
#elif defined(__aarch64__)
    if (cpu.has_neon) best = cpu.has_dotprod ? vt_kernels_neon_dotprod() : vt_kernels_neon();
    if (cap != NULL && strcmp(cap, "neon") == 0) return best;
#endif
    return cap == NULL ? best : NULL;
}
