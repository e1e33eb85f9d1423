/* limits.h -- what this machine can do at most, measured by loops that do nothing else: read
 * memory, multiply bytes, multiply floats. Decode is bound by the first, prefill by the second, so
 * speed is reported as a share of them (`vetro bench`).
 *
 * The loops use the instructions of the table of kernels they are asked about, without what a
 * kernel has to do besides: no decoding, no scales, operands that stay in registers. A kernel can
 * come close to them and never pass them, but for the noise of the machine.
 *
 * Ownership  the result is a value; the memory that is read is given back.
 * Threads    one thread calls; the pool's threads work.
 * Failure    VT_ENOMEM; VT_ECANCEL within a tenth of a second. */
#ifndef VT_KERNELS_LIMITS_H
#define VT_KERNELS_LIMITS_H

#include "base/pool.h"
#include "base/progress.h"
#include "kernels/kernels.h"

/* Per second; a multiplication and an addition are two operations. */
typedef struct {
    double memory_bytes; /* read from memory, not from a cache */
    double int8_ops;     /* products of bytes, added into 32 bits */
    double f32_ops;      /* fused multiply-adds */
} vt_limit_rates;

typedef struct {
    const char *instructions; /* whose products were measured: "avx512 vnni" */
    int n_threads;
    vt_limit_rates one; /* thread */
    vt_limit_rates all; /* threads of the pool together */
} vt_limits;

/* Takes some three seconds and 512 MiB (more where the caches of so many threads could hold much of
 * that; at most a quarter of the memory that is available). Each figure is the best of several. */
VT_MUSTUSE vt_status vt_limits_measure(vt_pool *pool, const vt_kernels *kernels,
                                       const vt_progress *progress, vt_limits *out, vt_err *err);

#endif
