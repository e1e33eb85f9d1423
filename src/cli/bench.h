/* bench.h -- private to `vetro bench`: a plan of tests, the measuring, and what is made of the
 * figures.
 *
 * command_bench.c reads the options, bench_run.c measures, bench_report.c prints the table and the
 * JSON object, bench_picture.c draws. */
#ifndef VT_CLI_BENCH_H
#define VT_CLI_BENCH_H

#include "base/cpu.h"
#include "cli/models.h"
#include "engine/batch.h"
#include "kernels/limits.h"
#include "model/work.h"

enum {
    VT_BENCH_VALUES = 16, /* of one option */
    VT_BENCH_RUNS = 100,
    VT_BENCH_LENGTH = 1 << 20, /* tokens, and depth */
};

typedef struct {
    uint32_t values[VT_BENCH_VALUES];
    size_t n;
} vt_bench_list;

/* What the options ask for. */
typedef struct {
    vt_bench_list prompts, answers, depths, batches, threads;
    int n_runs;
    vt_kv_type kv_type;
    bool wants_limits, wants_load, has_model;
} vt_bench_plan;

/* Least, median and most of some runs. */
typedef struct {
    double values[VT_BENCH_RUNS]; /* sorted by vt_bench_sort */
    size_t n;
} vt_bench_runs;

void vt_bench_sort(vt_bench_runs *runs);
double vt_bench_median(const vt_bench_runs *runs);

typedef struct {
    bool is_answer; /* tokens come one by one; else a prompt is read */
    uint32_t length, depth, n_sequences;
    int n_threads;
    char name[64];       /* "pp512", "tg64@b16@d4096" */
    vt_bench_runs rates; /* tokens per second, of all sequences together */
    vt_work work;        /* of one run */
} vt_bench_test;

/* Seconds; opening with the weights in the page cache. */
typedef struct {
    vt_bench_runs open, session, first_token, total;
} vt_bench_load;

typedef struct {
    vt_bench_plan plan;
    vt_store_entry model; /* empty when only limits were asked for */
    bool is_packed;       /* what was opened is a packed form */
    char format[64];
    const char *isa;
    vt_cpu_features cpu;
    vt_bench_test *tests;
    size_t n_tests;
    vt_limits limits[VT_BENCH_VALUES]; /* one for each number of threads; n_threads 0: none */
    bool is_complete;                  /* every test ran, and the limits */
    vt_bench_load load;                /* with the first number of threads */
    uint64_t memory_high_water;        /* of this process, before the limits were measured */
    double others; /* CPUs that other programs kept busy meanwhile; below 0: not known */
} vt_bench;

/* Run the plan. Interrupted or failed, *b still has the tests that were finished. */
VT_MUSTUSE vt_status vt_bench_run(vt_bench *b, vt_cli_progress *bar, vt_err *err);

/* The limits for a number of threads; NULL when they were not measured. */
const vt_limits *vt_bench_limits(const vt_bench *b, int n_threads);

/* What of the limits a test reached, 1 being all; 0 where not known. */
typedef struct {
    double memory, int8, f32;
} vt_bench_share;

vt_bench_share vt_bench_share_of(const vt_bench *b, const vt_bench_test *t);
/* How near a test comes to what bounds it: reading memory, or computing, where products of bytes
 * and of floats take turns on the same units. *name is "memory" or "compute". */
double vt_bench_closest(const vt_bench_share *share, const char **name);

void vt_bench_print(const vt_bench *b);
int vt_bench_print_json(const vt_bench *b);
/* Speed against depth and against threads, as far as the plan has two of them. */
VT_MUSTUSE vt_status vt_bench_picture(const vt_bench *b, vt_buffer *svg, vt_err *err);

#endif
