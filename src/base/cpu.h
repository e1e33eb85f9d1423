/* cpu.h -- what this machine offers: instruction sets, and how much of it this process may really
 * use (affinity mask, cgroups, cores), not what the machine has. */
#ifndef VT_BASE_CPU_H
#define VT_BASE_CPU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

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

/* CPUs are what Linux schedules on; with hyperthreading several of them share one core. */
typedef struct {
    int n_online;  /* of the machine */
    int n_allowed; /* by the affinity mask */
    int n_cores;   /* those that the allowed CPUs belong to */
    int n_quota;   /* CPU time that the cgroups leave, in CPUs, rounded up; 0: no limit */
} vt_cpu_usable;

/* Every field but n_quota is at least 1. */
void vt_cpu_find_usable(vt_cpu_usable *out);

/* Threads that can run at the same time: the allowed CPUs, within the cgroups' limit. At least 1.
 */
int vt_cpu_concurrent(const vt_cpu_usable *usable);
/* Threads to compute with: one a core, within the cgroups' limit. Threads that share a core share
 * the units that multiply and the requests to memory, which are what inference waits for. Where
 * there is but one core, two of its CPUs, if allowed: docs/decisions.md. At least 1. */
int vt_cpu_threads(const vt_cpu_usable *usable);
/* vt_cpu_threads of this process now. */
int vt_cpu_count(void);

uint64_t vt_cpu_memory_bytes(void);     /* physical, or the cgroups' limit when lower */
uint64_t vt_cpu_memory_available(void); /* now, without swapping; 0 when not known */

/* For cpu.c and its tests.
 * The lowest CPU in a list as sysfs writes it ("0-3,8\n") for which is_allowed (n flags) is true;
 * n when there is none or the list can't be read. */
size_t vt_cpu_lowest_of(vt_slice list, const bool *is_allowed, size_t n);
/* The model's name in /proc/cpuinfo; on Arm, which has no names there, implementer and part.
 * "unknown CPU" when there is neither. Cut to what `out` holds. */
void vt_cpu_model_name(vt_slice cpuinfo, char *out, size_t cap);

#endif
