/* pool.h -- a fixed set of threads that run one job together and wait for each other.
 *
 *     static void work(void *ctx, int i_task, int i_thread);
 *     vt_pool_run(pool, work, &ctx, n_tasks);     // returns when all tasks are done
 *
 * Tasks are handed out by an atomic counter, in order, so a slow core takes fewer; which thread
 * runs a task must not matter to the result (NUMERICS.md, rule 11). The caller's thread works too:
 * a pool of n has n - 1 threads of its own. Between jobs the threads spin for a while and then
 * sleep on a futex: a decode step has hundreds of jobs, microseconds apart.
 *
 * Ownership  ctx is borrowed for the call.
 * Threads    vt_pool_run from one thread at a time; not from inside a task. */
#ifndef VT_BASE_POOL_H
#define VT_BASE_POOL_H

#include "base/error.h"

#include <stdint.h>

typedef struct vt_pool vt_pool;
typedef void vt_pool_fn(void *ctx, int i_task, int i_thread);

enum { VT_POOL_MAX_THREADS = 256 };

/* n_threads: 1 to VT_POOL_MAX_THREADS. */
VT_MUSTUSE vt_status vt_pool_new(int n_threads, vt_pool **out, vt_err *err);
void vt_pool_free(vt_pool *pool);
int vt_pool_n_threads(const vt_pool *pool);
void vt_pool_run(vt_pool *pool, vt_pool_fn *fn, void *ctx, int n_tasks);

/* n items as tasks of falling size: each round, a stretch for every thread, takes half of what is
 * left. So a thread walks long stretches of neighbours, which memory likes, and at the end nobody
 * waits long for the last one. Stretch i of vt_pool_n_stretches is [*begin, *end). */
uint32_t vt_pool_n_stretches(const vt_pool *pool, uint32_t n);
void vt_pool_stretch(const vt_pool *pool, uint32_t n, uint32_t i, uint32_t *begin, uint32_t *end);

#endif
