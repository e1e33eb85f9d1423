/* cpu.h -- what this machine offers: instruction sets, and how many CPUs this process may really
 * use (affinity mask and cgroup quota, not what the machine has). */
#ifndef VT_BASE_CPU_H
#define VT_BASE_CPU_H

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    bool has_avx2;     /* with FMA and F16C */
    bool has_avx_vnni; /* AVX2 with the dot products of AVX-VNNI (256 bits) */
    bool has_avx512;   /* F, BW, VL, DQ, VNNI */
    bool has_neon;
    bool has_dotprod; /* NEON's dot-product instructions */
    bool has_i8mm;    /* and its matrix products of bytes */
    char model[80];   /* "AMD EPYC ..." */
} vt_cpu_features;

void vt_cpu_detect(vt_cpu_features *out);
int vt_cpu_count(void);                 /* at least 1 */
uint64_t vt_cpu_memory_bytes(void);     /* physical, or the cgroup's limit when lower */
uint64_t vt_cpu_memory_available(void); /* now, without swapping; 0 when not known */

#endif
