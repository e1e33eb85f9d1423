/* limits_loops.h -- private to kernels/limits*.c: the loops that are measured, one set for each
 * kind of instructions that kernels use. Compiled by target attributes, because a loop of ten lines
 * is no reason for a file of its own with its own flags. */
#ifndef VT_KERNELS_LIMITS_LOOPS_H
#define VT_KERNELS_LIMITS_LOOPS_H

#include "base/compiler.h"
#include "kernels/kernels.h"

/* Streams are read side by side, in steps. */
enum { VT_LIMIT_STEP = 256 };

typedef struct {
    const uint8_t *start; /* at a multiple of 64 */
    size_t stride;        /* from one stream to the next */
    size_t n_bytes;       /* of one stream, a multiple of VT_LIMIT_STEP */
    int n_streams;
    size_t ahead; /* bytes ahead that are asked for into the L2 cache; 0: the hardware alone */
} vt_limit_read;

/* What a loop returns depends on all it did, so that no compiler leaves any of it out. */
typedef struct {
    const char *instructions;
    uint32_t (*read)(const vt_limit_read *r);
    uint32_t (*multiply_int8)(uint64_t n_rounds);
    uint32_t (*multiply_f32)(uint64_t n_rounds);
    uint32_t int8_ops, f32_ops; /* of a round */
} vt_limit_loops;

/* The set of the instructions that the table's kernels use. */
const vt_limit_loops *vt_limit_loops_for(const vt_kernels *kernels);

/* By a table's name, among those of this architecture; NULL: none of them (scalar). */
const vt_limit_loops *vt_limit_loops_native(const char *name);

/* The compiler must take the value of `x`, in a vector register, for unknown. */
#if defined(__x86_64__)
#define VT_LIMIT_UNKNOWN(x) __asm__ volatile("" : "+x"(x))
#else
#define VT_LIMIT_UNKNOWN(x) __asm__ volatile("" : "+w"(x))
#endif

#endif
