/* pool.c -- see pool.h.
 *
 * One job at a time. `state` is the job's number and how many of its tasks are not taken yet, in
 * one word: a thread takes a task by lowering the count with a compare-and-swap, which can only
 * succeed while that very job has tasks left. The caller returns when as many tasks are done as
 * there were, so it waits for tasks, never for threads: a worker that the system has taken off its
 * core holds nothing up unless it has a task in hand. A late worker finds the count at 0 and
 * touches nothing; the job's fields are atomic because it may read them while the next job is being
 * set up (the swap then fails). `n_jobs` is the word that workers sleep on, `n_done` the caller's:
 * who does the last task wakes it. */
#include "base/pool.h"

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

/* The caller has tasks of its own until the last ones: it yields a while before it sleeps, as being
 * woken takes longer than most waits for these. */
enum { SPINS = 4000, SPINS_CROWDED = 50, YIELDS = 1000 };

struct vt_pool {
    int n_threads;
    int n_started;
    int n_spins;        /* before sleeping */
    pthread_t *threads; /* n_threads - 1 of them */
    struct worker *workers;
    VT_ALIGNED(64) atomic_uint n_jobs;
    atomic_uint n_sleeping;
    atomic_bool is_stopping;
    VT_ALIGNED(64) atomic_uint_fast64_t state; /* job number << 32 | tasks not taken */
    VT_ALIGNED(64) atomic_uint n_done;
    atomic_bool is_caller_sleeping;
    /* the job: written by the caller while the count is 0 */
    _Atomic(vt_pool_fn *) fn;
    _Atomic(void *) ctx;
    atomic_int n_tasks;
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
    uint_fast64_t state = atomic_load_explicit(&pool->state, memory_order_acquire);
    while ((uint32_t)state > 0) {
        vt_pool_fn *fn = atomic_load_explicit(&pool->fn, memory_order_relaxed);
        void *ctx = atomic_load_explicit(&pool->ctx, memory_order_relaxed);
        int i_task =
            atomic_load_explicit(&pool->n_tasks, memory_order_relaxed) - (int)(uint32_t)state;
        if (!atomic_compare_exchange_weak_explicit(&pool->state, &state, state - 1,
                                                   memory_order_acquire, memory_order_acquire))
            continue;
        fn(ctx, i_task, i_thread);
        /* The job may be over with this task: n_tasks is read before. */
        const unsigned n_tasks =
            (unsigned)atomic_load_explicit(&pool->n_tasks, memory_order_relaxed);
        if (atomic_fetch_add(&pool->n_done, 1) + 1 == n_tasks &&
            atomic_load(&pool->is_caller_sleeping))
            futex_wake_all(&pool->n_done);
        state = atomic_load_explicit(&pool->state, memory_order_acquire);
    }
}

static unsigned wait_for_job(vt_pool *pool, unsigned seen)
{
    for (int i = 0; i < pool->n_spins; i++) {
        unsigned now = atomic_load_explicit(&pool->n_jobs, memory_order_acquire);
        if (now != seen) return now;
        pause_briefly();
    }
    atomic_fetch_add(&pool->n_sleeping, 1);
    unsigned now;
    while ((now = atomic_load(&pool->n_jobs)) == seen) futex_wait(&pool->n_jobs, seen);
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
        if (atomic_load(&pool->is_stopping)) return NULL;
        run_tasks(pool, me->i_thread);
    }
}

static void wake_workers(vt_pool *pool)
{
    atomic_fetch_add(&pool->n_jobs, 1);
    if (atomic_load(&pool->n_sleeping) > 0) futex_wake_all(&pool->n_jobs);
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
    /* With more threads than CPUs, one that spins keeps another from working. */
    vt_cpu_usable usable;
    vt_cpu_find_usable(&usable);
    int n_spins = n_threads <= vt_cpu_concurrent(&usable) ? SPINS : SPINS_CROWDED;
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
    atomic_store(&pool->is_stopping, true);
    wake_workers(pool);
    for (int i = 0; i < pool->n_started; i++) pthread_join(pool->threads[i], NULL);
    vt_free(pool->threads);
    vt_free(pool->workers);
    vt_free(pool);
}

int vt_pool_n_threads(const vt_pool *pool)
{
    return pool->n_threads;
}

/* Until so many are done. With more threads than cores a pure spin would wait for a descheduled
 * worker by keeping it from running. */
static void wait_for_tasks(vt_pool *pool, unsigned n)
{
    unsigned done;
    for (int i = 0; i < pool->n_spins + YIELDS; i++) {
        if (atomic_load_explicit(&pool->n_done, memory_order_acquire) == n) return;
        if (i < pool->n_spins) pause_briefly();
        else sched_yield();
    }
    atomic_store(&pool->is_caller_sleeping, true);
    while ((done = atomic_load(&pool->n_done)) < n) futex_wait(&pool->n_done, done);
    atomic_store(&pool->is_caller_sleeping, false);
}

void vt_pool_run(vt_pool *pool, vt_pool_fn *fn, void *ctx, int n_tasks)
{
    if (pool->n_threads == 1 || n_tasks <= 1) {
        for (int i = 0; i < n_tasks; i++) fn(ctx, i, 0);
        return;
    }
    atomic_store_explicit(&pool->fn, fn, memory_order_relaxed);
    atomic_store_explicit(&pool->ctx, ctx, memory_order_relaxed);
    atomic_store_explicit(&pool->n_tasks, n_tasks, memory_order_relaxed);
    atomic_store_explicit(&pool->n_done, 0, memory_order_relaxed);
    uint_fast64_t job = (atomic_load_explicit(&pool->state, memory_order_relaxed) >> 32) + 1;
    atomic_store_explicit(&pool->state, job << 32 | (uint32_t)n_tasks, memory_order_release);
    wake_workers(pool);
    run_tasks(pool, 0);
    wait_for_tasks(pool, (unsigned)n_tasks);
}

/* Items of a stretch in a round that begins with `left` of them. */
static uint32_t stretch_size(const vt_pool *pool, uint32_t left)
{
    const uint32_t size = left / (2 * (uint32_t)pool->n_threads);
    return size == 0 ? 1 : size;
}

uint32_t vt_pool_n_stretches(const vt_pool *pool, uint32_t n)
{
    const uint32_t n_threads = (uint32_t)pool->n_threads;
    uint32_t count = 0;
    for (uint32_t left = n; left > 0;) {
        const uint32_t size = stretch_size(pool, left);
        const uint32_t round = left / size < n_threads ? left / size : n_threads;
        count += round;
        left -= round * size;
    }
    return count;
}

void vt_pool_stretch(const vt_pool *pool, uint32_t n, uint32_t i, uint32_t *begin, uint32_t *end)
{
    const uint32_t n_threads = (uint32_t)pool->n_threads;
    uint32_t left = n, size = stretch_size(pool, left);
    while (i >= n_threads) {
        left -= n_threads * size;
        size = stretch_size(pool, left);
        i -= n_threads;
    }
    *begin = n - left + i * size;
    *end = *begin + size;
}
