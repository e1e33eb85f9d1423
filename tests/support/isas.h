/* isas.h -- the tables of kernels to test: those that this CPU would choose among, and the one that
 * only CPUs without AVX-512 choose, where it runs too. */
#ifndef VT_TESTS_SUPPORT_ISAS_H
#define VT_TESTS_SUPPORT_ISAS_H

#include "base/cpu.h"
#include "kernels/kernels.h"
#include "kernels/tables.h"

enum { ISAS_MOST = VT_KERNELS_MOST + 1 };

/* The scalar one first. */
static inline size_t isas_to_test(const vt_kernels *out[ISAS_MOST])
{
    size_t n = vt_kernels_list(out);
#if defined(__x86_64__)
    vt_cpu_features cpu;
    vt_cpu_detect(&cpu);
    if (cpu.has_avx512 && cpu.has_avx_vnni) out[n++] = vt_kernels_avxvnni();
#endif
    return n;
}

#endif
