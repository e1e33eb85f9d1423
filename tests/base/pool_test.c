/* The thread pool: every task runs once, whatever the number of threads, and a job's writes are
 * seen after it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/pool.h"

enum { MAX_TASKS = 1000 };

struct job {
    int n_runs[MAX_TASKS]; /* plain on purpose: TSan sees a task handed out twice or a missing
                              barrier */
    int worker_of[MAX_TASKS];
    atomic_int n_threads_seen;
    int n_threads;
};

static void count_task(void *ctx, int i_task, int i_thread)
{
    struct job *job = ctx;
    job->n_runs[i_task]++;
    job->worker_of[i_task] = i_thread;
    if (i_thread < 0 || i_thread >= job->n_threads) atomic_store(&job->n_threads_seen, -1);
}

static void test_every_task_of_every_job_runs_once_on_1_to_8_threads(void **state)
{
    (void)state;
    static const int counts[] = {0, 1, 2, 3, 7, 64, MAX_TASKS};
    for (int n_threads = 1; n_threads <= 8; n_threads++) {
        vt_pool *pool = NULL;
        assert_int_equal(vt_pool_new(n_threads, &pool, NULL), VT_OK);
        assert_int_equal(vt_pool_n_threads(pool), n_threads);
        for (int i_job = 0; i_job < 200; i_job++) {
            struct job job = {.n_threads = n_threads};
            int n = counts[i_job % 7];
            vt_pool_run(pool, count_task, &job, n);
            for (int i = 0; i < n; i++) assert_int_equal(job.n_runs[i], 1);
            for (int i = n; i < MAX_TASKS; i++) assert_int_equal(job.n_runs[i], 0);
            assert_int_equal(atomic_load(&job.n_threads_seen), 0);
        }
        vt_pool_free(pool);
    }
}

static void test_workers_that_fell_asleep_wake_for_the_next_job(void **state)
{
    (void)state;
    vt_pool *pool = NULL;
    assert_int_equal(vt_pool_new(4, &pool, NULL), VT_OK);
    for (int i = 0; i < 5; i++) {
        struct job job = {.n_threads = 4};
        nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
        vt_pool_run(pool, count_task, &job, 100);
        for (int k = 0; k < 100; k++) assert_int_equal(job.n_runs[k], 1);
    }
    vt_pool_free(pool);
}

static void test_a_pool_that_never_ran_a_job_stops_at_once(void **state)
{
    (void)state;
    for (int i = 0; i < 50; i++) {
        vt_pool *pool = NULL;
        assert_int_equal(vt_pool_new(1 + i % 8, &pool, NULL), VT_OK);
        vt_pool_free(pool);
    }
    vt_pool_free(NULL);
}

static void test_a_number_of_threads_out_of_range_is_refused_with_the_number(void **state)
{
    (void)state;
    vt_err err;
    vt_pool *pool = NULL;
    assert_int_equal(vt_pool_new(0, &pool, &err), VT_EINPUT);
    assert_int_equal(vt_pool_new(-3, &pool, &err), VT_EINPUT);
    assert_non_null(strstr(err.msg, "-3"));
    assert_int_equal(vt_pool_new(VT_POOL_MAX_THREADS + 1, &pool, &err), VT_EINPUT);
    assert_null(pool);
}

static void test_failing_each_allocation_of_a_new_pool_is_reported_and_leaks_nothing(void **state)
{
    (void)state;
    int n_failures = 0;
    for (uint64_t n = 1;; n++) {
        vt_pool *pool = NULL;
        vt_alloc_fail_nth(n);
        vt_status st = vt_pool_new(3, &pool, NULL);
        uint64_t n_made = vt_alloc_fail_nth(0);
        if (st == VT_ENOMEM) n_failures++;
        else assert_int_equal(st, VT_OK);
        assert_int_equal(st == VT_OK, pool != NULL);
        vt_pool_free(pool);
        if (n_made < n) break; /* nothing was left to fail */
    }
    assert_true(n_failures >= 3);
}

static void interrupt_self(void *ctx, int i_task, int i_thread)
{
    (void)i_task;
    sigset_t blocked;
    pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    if (i_thread > 0 && !sigismember(&blocked, SIGINT)) atomic_fetch_add((atomic_int *)ctx, 1);
}

static void test_workers_take_no_signals_and_the_caller_still_does(void **state)
{
    (void)state;
    vt_pool *pool = NULL;
    assert_int_equal(vt_pool_new(4, &pool, NULL), VT_OK);
    atomic_int n_open = 0;
    vt_pool_run(pool, interrupt_self, &n_open, 1000);
    assert_int_equal(atomic_load(&n_open), 0);
    sigset_t blocked;
    pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    assert_false(sigismember(&blocked, SIGINT));
    vt_pool_free(pool);
}

enum { HELD_MS = 200 };

/* Each of the two threads takes one task, and the worker's takes long. */
static void hold_worker(void *ctx, int i_task, int i_thread)
{
    (void)i_task;
    atomic_int *n_taken = ctx;
    atomic_fetch_add(n_taken, 1);
    while (atomic_load(n_taken) < 2) nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
    if (i_thread != 0) nanosleep(&(struct timespec){.tv_nsec = HELD_MS * 1000000}, NULL);
}

static double thread_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void test_the_caller_sleeps_until_a_long_task_of_a_worker_is_done(void **state)
{
    (void)state;
    vt_pool *pool = NULL;
    assert_int_equal(vt_pool_new(2, &pool, NULL), VT_OK);
    for (int i = 0; i < 3; i++) {
        atomic_int n_taken = 0;
        const double start = thread_seconds();
        vt_pool_run(pool, hold_worker, &n_taken, 2);
        assert_int_equal(atomic_load(&n_taken), 2);
        assert_true(thread_seconds() - start < (double)HELD_MS * 1e-3 / 2);
    }
    vt_pool_free(pool);
}

static void test_stretches_cover_everything_once_and_shrink(void **state)
{
    (void)state;
    const int n_threads[] = {1, 2, 3, 8, 64};
    for (size_t t = 0; t < sizeof n_threads / sizeof n_threads[0]; t++) {
        vt_pool *pool = NULL;
        assert_int_equal(vt_pool_new(n_threads[t], &pool, NULL), VT_OK);
        assert_int_equal(vt_pool_n_stretches(pool, 0), 0);
        for (uint32_t n = 1; n < 3000; n += n < 70 ? 1 : 97) {
            uint32_t next = 0, last = UINT32_MAX;
            const uint32_t count = vt_pool_n_stretches(pool, n);
            for (uint32_t i = 0; i < count; i++) {
                uint32_t begin, end;
                vt_pool_stretch(pool, n, i, &begin, &end);
                assert_int_equal(begin, next);
                assert_true(end > begin && end - begin <= last);
                last = end - begin;
                next = end;
            }
            assert_int_equal(next, n);
            assert_int_equal(last, 1);
        }
        vt_pool_free(pool);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_task_of_every_job_runs_once_on_1_to_8_threads),
        cmocka_unit_test(test_workers_that_fell_asleep_wake_for_the_next_job),
        cmocka_unit_test(test_a_pool_that_never_ran_a_job_stops_at_once),
        cmocka_unit_test(test_a_number_of_threads_out_of_range_is_refused_with_the_number),
        cmocka_unit_test(test_failing_each_allocation_of_a_new_pool_is_reported_and_leaks_nothing),
        cmocka_unit_test(test_the_caller_sleeps_until_a_long_task_of_a_worker_is_done),
        cmocka_unit_test(test_stretches_cover_everything_once_and_shrink),
        cmocka_unit_test(test_workers_take_no_signals_and_the_caller_still_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
