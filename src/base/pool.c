/* pool.c -- see pool.h.
 *
 * One job at a time. `job` counts jobs and is the word the sleepers wait on; `next` hands out
 * tasks; `busy` counts the workers that have not finished the job. A worker may only touch the
 * job's fields between seeing a new `job` and lowering `busy`, and the caller returns only when
 * busy is 0, so the fields need no lock. */
#include "base/pool.h"

#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cpu.h"

enum { SPINS = 20000, SPINS_CROWDED = 50 };

struct vt_pool {
    int n_threads;
    int n_started;
    int n_spins;        /* before sleeping */
    pthread_t *threads; /* n_threads - 1 of them */
    struct worker *workers;
    VT_ALIGNED(64) atomic_uint job; /* job number */
    atomic_uint n_sleeping;
    VT_ALIGNED(64) atomic_int next;
    VT_ALIGNED(64) atomic_int busy;
    /* written by the caller before `job` is raised, read by workers after they saw it */
    vt_pool_fn *fn;
    void *ctx;
    int n_tasks;
    bool is_stopping;
};

struct worker {
    vt_pool *pool;
    int i_thread;
};

static void pause_briefly(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void futex_wait(atomic_uint *word, unsigned seen)
{
    syscall(SYS_futex, (void *)word, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
}

static void futex_wake_all(atomic_uint *word)
{
    syscall(SYS_futex, (void *)word, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
}

static void run_tasks(vt_pool *pool, int i_thread)
{
    for (;;) {
        int i = atomic_fetch_add_explicit(&pool->next, 1, memory_order_relaxed);
        if (i >= pool->n_tasks) return;
        pool->fn(pool->ctx, i, i_thread);
    }
}

static unsigned wait_for_job(vt_pool *pool, unsigned seen)
{
    for (int i = 0; i < pool->n_spins; i++) {
        unsigned now = atomic_load_explicit(&pool->job, memory_order_acquire);
        if (now != seen) return now;
        pause_briefly();
    }
    atomic_fetch_add(&pool->n_sleeping, 1);
    unsigned now;
    while ((now = atomic_load(&pool->job)) == seen) futex_wait(&pool->job, seen);
    atomic_fetch_sub(&pool->n_sleeping, 1);
    return now;
}

static void *worker_main(void *arg)
{
    struct worker *me = arg;
    vt_pool *pool = me->pool;
    unsigned seen = 0;
    for (;;) {
        seen = wait_for_job(pool, seen);
        if (pool->is_stopping) return NULL;
        run_tasks(pool, me->i_thread);
        atomic_fetch_sub_explicit(&pool->busy, 1, memory_order_release);
    }
}

static void start_job(vt_pool *pool)
{
    atomic_fetch_add(&pool->job, 1);
    if (atomic_load(&pool->n_sleeping) > 0) futex_wake_all(&pool->job);
}

/* Workers take no signals: Ctrl-C must interrupt the caller's read or poll, not a worker. */
static void start_workers(vt_pool *pool)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (int i = 0; i < pool->n_threads - 1; i++) {
        pool->workers[i] = (struct worker){pool, i + 1};
        if (pthread_create(&pool->threads[i], NULL, worker_main, &pool->workers[i]) != 0) break;
        pool->n_started++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

vt_status vt_pool_new(int n_threads, vt_pool **out, vt_err *err)
{
    if (n_threads < 1 || n_threads > VT_POOL_MAX_THREADS)
        return vt_fail(err, VT_EINPUT, "number of threads is %d, not 1 to %d", n_threads,
                       VT_POOL_MAX_THREADS);
    vt_pool *pool = vt_alloc_aligned(64, sizeof *pool);
    if (pool == NULL) return vt_fail(err, VT_ENOMEM, "out of memory");
    /* With more threads than cores, one that spins keeps another from working. */
    int n_spins = n_threads <= vt_cpu_count() ? SPINS : SPINS_CROWDED;
    *pool = (vt_pool){.n_threads = n_threads, .n_spins = n_spins};
    pool->threads = vt_calloc((size_t)n_threads, sizeof *pool->threads);
    pool->workers = vt_calloc((size_t)n_threads, sizeof *pool->workers);
    if (pool->threads == NULL || pool->workers == NULL) {
        vt_pool_free(pool);
        return vt_fail(err, VT_ENOMEM, "out of memory");
    }
    start_workers(pool);
    if (pool->n_started < n_threads - 1) {
        vt_status st =
            vt_fail(err, VT_ENOMEM, "cannot start thread %d of %d", pool->n_started + 2, n_threads);
        vt_pool_free(pool);
        return st;
    }
    *out = pool;
    return VT_OK;
}

void vt_pool_free(vt_pool *pool)
{
    if (pool == NULL) return;
    pool->is_stopping = true;
    start_job(pool);
    for (int i = 0; i < pool->n_started; i++) pthread_join(pool->threads[i], NULL);
    vt_free(pool->threads);
    vt_free(pool->workers);
    vt_free(pool);
}

int vt_pool_n_threads(const vt_pool *pool)
{
    return pool->n_threads;
}

void vt_pool_run(vt_pool *pool, vt_pool_fn *fn, void *ctx, int n_tasks)
{
    /* `next` runs past n_tasks by one for each thread. */
    VT_CHECK(n_tasks <= INT_MAX - VT_POOL_MAX_THREADS);
    if (pool->n_threads == 1 || n_tasks <= 1) {
        for (int i = 0; i < n_tasks; i++) fn(ctx, i, 0);
        return;
    }
    pool->fn = fn;
    pool->ctx = ctx;
    pool->n_tasks = n_tasks;
    atomic_store_explicit(&pool->next, 0, memory_order_relaxed);
    atomic_store_explicit(&pool->busy, pool->n_threads - 1, memory_order_relaxed);
    start_job(pool);
    run_tasks(pool, 0);
    /* Spin, then give the core away: with more threads than cores a pure spin would wait for a
     * descheduled worker by keeping it from running. */
    for (int i = 0; atomic_load_explicit(&pool->busy, memory_order_acquire) > 0; i++)
        if (i < pool->n_spins) pause_briefly();
        else sched_yield();
}
