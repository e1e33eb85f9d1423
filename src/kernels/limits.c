/* limits.c -- see limits.h: the measuring, and the loops in plain C.
 *
 * Memory is read in blocks that threads take by the pool's counter, as tiles of weights are taken;
 * one block follows another, so the whole is one stream a thread, or several. How a core reads
 * fastest differs (with some the hardware finds a stream by itself, with others it has to be asked
 * for ahead), so several ways are tried and the fastest is the limit. Products run as many rounds
 * as take some 30 ms. Everything is measured REPEATS times, and the best counts: a limit is what
 * the machine can do, not what it did beside other work. */
#include "kernels/limits.h"

#include <string.h>
#include <sys/mman.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/cpu.h"
#include "base/file.h"
#include "base/parse.h"
#include "kernels/limits_loops.h"

enum { REPEATS = 5, BLOCK = 1 << 20, HUGE_PAGE = 2 << 20 };

static const size_t least_bytes = (size_t)512 << 20;
static const double long_enough = 0.03; /* seconds */

/* ---- the loops in plain C ---- */

static uint32_t read_plain(const vt_limit_read *r)
{
    uint64_t sums[8] = {0};
    for (size_t at = 0; at < r->n_bytes; at += VT_LIMIT_STEP)
        for (int s = 0; s < r->n_streams; s++) {
            const uint8_t *p = r->start + (size_t)s * r->stride + at;
            if (r->ahead > 0)
                for (int i = 0; i < VT_LIMIT_STEP; i += 64)
                    __builtin_prefetch(p + r->ahead + i, 0, 2);
            const uint64_t *words = (const uint64_t *)(const void *)p;
            for (int i = 0; i < VT_LIMIT_STEP / 8; i++) sums[i % 8] ^= words[i];
        }
    for (int i = 1; i < 8; i++) sums[0] ^= sums[i];
    return (uint32_t)(sums[0] ^ sums[0] >> 32);
}

enum { PLAIN = 64 };

static uint32_t multiply_int8_plain(uint64_t n_rounds)
{
    uint8_t a[PLAIN];
    int8_t b[PLAIN];
    int32_t sums[PLAIN] = {0};
    memset(a, 3, sizeof a);
    memset(b, -5, sizeof b);
    for (uint64_t i = 0; i < n_rounds; i++) {
        __asm__ volatile("" ::"r"(a), "r"(b) : "memory"); /* may have changed */
        for (int c = 0; c < PLAIN; c++)
            sums[c] = (int32_t)((uint32_t)sums[c] + (uint32_t)(a[c] * b[c]));
    }
    uint32_t sum = 0;
    for (int c = 0; c < PLAIN; c++) sum += (uint32_t)sums[c];
    return sum;
}

static uint32_t multiply_f32_plain(uint64_t n_rounds)
{
    float a = 1e-3f, b[PLAIN], sums[PLAIN] = {0}, sum = 0;
    for (int c = 0; c < PLAIN; c++) b[c] = (float)c;
    for (uint64_t i = 0; i < n_rounds; i++) {
        VT_LIMIT_UNKNOWN(a);
        for (int c = 0; c < PLAIN; c++) sums[c] += a * b[c];
    }
    for (int c = 0; c < PLAIN; c++) sum += sums[c];
    uint32_t bits;
    memcpy(&bits, &sum, sizeof bits);
    return bits;
}

const vt_limit_loops *vt_limit_loops_for(const vt_kernels *kernels)
{
    static const vt_limit_loops plain = {
        .instructions = "plain C",
        .read = read_plain,
        .multiply_int8 = multiply_int8_plain,
        .multiply_f32 = multiply_f32_plain,
        .int8_ops = PLAIN * 2,
        .f32_ops = PLAIN * 2,
    };
    const vt_limit_loops *native = vt_limit_loops_native(kernels->name);
    return native != NULL ? native : &plain;
}

/* ---- memory ---- */

/* Whoever measures: these threads. */
typedef struct {
    vt_pool *pool;
    const vt_limit_loops *loops;
    const vt_progress *progress; /* cancelled: what is measured from then on means nothing */
} meter;

typedef struct {
    const vt_limit_loops *loops;
    vt_limit_read way; /* start and n_bytes are set by each task */
    uint8_t *memory;
    _Atomic uint32_t seen;
} read_job;

static void touch_block(void *ctx, int i_task, int i_thread)
{
    (void)i_thread;
    memset(((read_job *)ctx)->memory + (size_t)i_task * BLOCK, i_task, BLOCK);
}

static void read_block(void *ctx, int i_task, int i_thread)
{
    (void)i_thread;
    read_job *job = ctx;
    vt_limit_read r = job->way;
    r.start = job->memory + (size_t)i_task * BLOCK;
    r.n_bytes = BLOCK / (size_t)r.n_streams;
    r.stride = r.n_bytes;
    job->seen += job->loops->read(&r);
}

static double best_read(const meter *m, read_job *job, int n_blocks)
{
    static const struct {
        int n_streams;
        size_t ahead;
    } ways[] = {{1, 0}, {4, 0}, {1, 4 << 10}, {1, 24 << 10}, {4, 4 << 10}};
    double best = 0;
    for (size_t w = 0; w < VT_COUNT(ways); w++)
        for (int i = 0; i < REPEATS && !vt_progress_cancelled(m->progress); i++) {
            job->way = (vt_limit_read){.n_streams = ways[w].n_streams, .ahead = ways[w].ahead};
            double start = vt_clock_seconds();
            vt_pool_run(m->pool, read_block, job, n_blocks);
            double rate = (double)n_blocks * (double)BLOCK / (vt_clock_seconds() - start);
            if (rate > best) best = rate;
        }
    return best;
}

/* Bytes of the last cache that cpu0 sees ("32768K"); 0 when not known. */
static size_t last_cache_bytes(void)
{
    vt_buffer text;
    vt_buffer_init(&text, 4096);
    uint64_t kib = 0;
    if (vt_file_read("/sys/devices/system/cpu/cpu0/cache/index3/size", 64, &text, NULL) == VT_OK) {
        vt_slice s = vt_buffer_slice(&text);
        if (!vt_parse_u64(vt_slice_take(s, vt_slice_find(s, VT_S("K"))), &kib) || kib > 1 << 22)
            kib = 0;
    }
    vt_buffer_deinit(&text);
    return (size_t)kib * 1024;
}

/* So much that the caches hold no part worth speaking of, even if each thread has one of its own.
 */
static size_t bytes_to_read(int n_threads)
{
    size_t n = least_bytes, caches = last_cache_bytes() * 2 * (size_t)n_threads;
    if (n < caches) n = caches;
    uint64_t available = vt_cpu_memory_available();
    if (available > 0 && n > available / 4) n = (size_t)(available / 4);
    n = n / HUGE_PAGE * HUGE_PAGE;
    return n > 0 ? n : HUGE_PAGE;
}

static vt_status measure_memory(const meter *one, const meter *all, vt_limits *out, vt_err *err)
{
    if (vt_progress_cancelled(all->progress)) return VT_OK; /* the caller looks, too */
    size_t n_bytes = bytes_to_read(out->n_threads);
    read_job job = {.loops = all->loops, .memory = vt_alloc_aligned(HUGE_PAGE, n_bytes)};
    if (job.memory == NULL) return vt_fail(err, VT_ENOMEM, "no memory to measure its speed with");
    int n_blocks = (int)(n_bytes / BLOCK);
    (void)madvise(job.memory, n_bytes, MADV_HUGEPAGE); /* as weights are */
    vt_pool_run(all->pool, touch_block, &job, n_blocks);
    out->all.memory_bytes = best_read(all, &job, n_blocks);
    out->one.memory_bytes = all == one ? out->all.memory_bytes : best_read(one, &job, n_blocks);
    vt_free(job.memory);
    return VT_OK;
}

/* ---- products ---- */

typedef struct {
    uint32_t (*multiply)(uint64_t n_rounds);
    uint64_t n_rounds;
    _Atomic uint32_t seen;
} product_job;

static void multiply_task(void *ctx, int i_task, int i_thread)
{
    (void)i_task;
    (void)i_thread;
    product_job *job = ctx;
    job->seen += job->multiply(job->n_rounds);
}

static double best_products(const meter *m, uint32_t (*multiply)(uint64_t), uint32_t ops)
{
    product_job job = {.multiply = multiply, .n_rounds = 1 << 10};
    const int n = vt_pool_n_threads(m->pool);
    double best = 0;
    for (int i = 0; i < REPEATS && !vt_progress_cancelled(m->progress);) {
        double start = vt_clock_seconds();
        vt_pool_run(m->pool, multiply_task, &job, n);
        double seconds = vt_clock_seconds() - start;
        if (seconds < long_enough / 2) { /* too short to be measured: find how many rounds are */
            job.n_rounds *= 2;
            continue;
        }
        double rate = (double)ops * (double)job.n_rounds * n / seconds;
        if (rate > best) best = rate;
        i++;
    }
    return best;
}

static void measure_products(const meter *m, vt_limit_rates *out)
{
    out->int8_ops = best_products(m, m->loops->multiply_int8, m->loops->int8_ops);
    out->f32_ops = best_products(m, m->loops->multiply_f32, m->loops->f32_ops);
}

vt_status vt_limits_measure(vt_pool *pool, const vt_kernels *kernels, const vt_progress *progress,
                            vt_limits *out, vt_err *err)
{
    static const char what[] = "limits of this machine";
    const vt_limit_loops *loops = vt_limit_loops_for(kernels);
    const meter all = {.pool = pool, .loops = loops, .progress = progress};
    meter single = all;
    const meter *one = &all;
    vt_limits limits = {.instructions = loops->instructions, .n_threads = vt_pool_n_threads(pool)};
    if (limits.n_threads > 1) {
        vt_status st = vt_pool_new(1, &single.pool, err);
        if (st != VT_OK) return st;
        one = &single;
    }
    vt_progress_report(progress, what, 0, 3);
    measure_products(&all, &limits.all);
    vt_progress_report(progress, what, 1, 3);
    if (one == &all) limits.one = limits.all;
    else measure_products(one, &limits.one);
    vt_progress_report(progress, what, 2, 3);
    vt_status st = measure_memory(one, &all, &limits, err);
    vt_progress_report(progress, what, 3, 3);
    if (st == VT_OK && vt_progress_cancelled(progress)) st = vt_fail(err, VT_ECANCEL, "cancelled");
    if (one != &all) vt_pool_free(single.pool);
    if (st == VT_OK) *out = limits;
    return st;
}
