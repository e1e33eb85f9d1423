/* command_bench.c -- `vetro bench`: how fast this machine runs a model. Tests are named as
 * llama-bench names them, so that figures can be laid side by side: pp512 reads a prompt of 512
 * tokens, tg64 generates 64 tokens, tg64@d4096 does so behind 4,096 tokens. Each test runs -r times
 * after one warm-up; medians are what to quote. Token ids are pseudo-random: speed does not depend
 * on them, but for a mixture of experts on how they spread over the experts. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/parse.h"
#include "base/version.h"
#include "cli/models.h"

enum { MAX_VALUES = 16, MAX_RUNS = 100, MAX_LENGTH = 1 << 20 };

typedef struct {
    uint32_t values[MAX_VALUES];
    size_t n;
} value_list;

typedef struct {
    char name[48];
    double rates[MAX_RUNS]; /* tokens per second, sorted */
    size_t n;
} result;

/* "512,4096" */
static bool parse_list(const char *text, value_list *out)
{
    vt_slice rest = vt_slice_cstr(text);
    *out = (value_list){0};
    while (out->n < MAX_VALUES) {
        size_t comma = vt_slice_find(rest, VT_S(","));
        uint64_t value;
        if (!vt_parse_u64(vt_slice_take(rest, comma), &value) || value > MAX_LENGTH) return false;
        out->values[out->n++] = (uint32_t)value;
        if (comma == rest.len) return true;
        rest = vt_slice_skip(rest, comma + 1);
    }
    return false;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(const result *r)
{
    return r->n % 2 ? r->rates[r->n / 2] : (r->rates[r->n / 2 - 1] + r->rates[r->n / 2]) / 2;
}

typedef struct {
    vt_cli_model *m;
    int32_t *tokens;
    uint32_t n_prompt, n_generate, depth;
    vt_cli_progress *bar;
} plan;

/* One run: seconds of the measured part. */
static vt_status run_once(const plan *p, double *seconds, vt_err *err)
{
    vt_progress quiet = {.is_cancelled = p->bar->progress.is_cancelled};
    vt_session *s = NULL;
    vt_session_options options = p->m->session_options;
    options.n_ctx = p->depth + p->n_prompt + p->n_generate + 1;
    vt_status st = vt_session_new(p->m->engine, &options, &s, err);
    if (st == VT_OK && p->depth > 0) st = vt_session_extend(s, p->tokens, p->depth, &quiet, err);
    double start = vt_clock_seconds();
    if (st == VT_OK && p->n_prompt > 0)
        st = vt_session_extend(s, p->tokens + p->depth, p->n_prompt, &quiet, err);
    for (uint32_t i = 0; i < p->n_generate && st == VT_OK; i++)
        st = vt_session_extend(s, p->tokens + p->depth + i, 1, &quiet, err);
    *seconds = vt_clock_seconds() - start;
    vt_session_free(s);
    return st;
}

static vt_status run_test(const plan *p, int64_t n_runs, result *out, vt_err *err)
{
    char depth[24] = "";
    if (p->depth > 0) snprintf(depth, sizeof depth, "@d%u", p->depth);
    snprintf(out->name, sizeof out->name, "%s%u%s", p->n_prompt ? "pp" : "tg",
             p->n_prompt ? p->n_prompt : p->n_generate, depth);
    vt_status st = VT_OK;
    out->n = 0;
    for (int64_t i = -1; i < n_runs && st == VT_OK; i++) {
        double seconds = 0;
        st = run_once(p, &seconds, err);
        if (i >= 0) out->rates[out->n++] = (double)(p->n_prompt + p->n_generate) / seconds;
        vt_progress_report(&p->bar->progress, out->name, (uint64_t)(i + 2), (uint64_t)(n_runs + 1));
    }
    qsort(out->rates, out->n, sizeof out->rates[0], by_value);
    return st;
}

static uint64_t memory_high_water(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? (uint64_t)usage.ru_maxrss * 1024 : 0;
}

/* Its name in the store, or its path when it is not there. */
static const char *model_name(const vt_cli_model *m)
{
    return m->entry.name != NULL ? m->entry.name : m->entry.path;
}

static int print_json(const vt_cli_model *m, const result *results, size_t n)
{
    json_t *tests = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(tests, json_pack("{s:s, s:f, s:f, s:f, s:I}", "name", results[i].name,
                                               "tokens_per_second", median(&results[i]), "min",
                                               results[i].rates[0], "max",
                                               results[i].rates[results[i].n - 1], "runs",
                                               (json_int_t)results[i].n));
    return vt_cli_print_json(json_pack(
        "{s:s, s:s, s:s, s:s, s:i, s:I, s:f, s:o}", "model", model_name(m), "digest",
        m->entry.digest, "commit", vt_commit(), "isa", vt_engine_isa(m->engine), "threads",
        vt_engine_n_threads(m->engine), "memory_high_water", (json_int_t)memory_high_water(),
        "load_seconds", m->load_seconds, "tests", tests));
}

static void print_table(const vt_cli_model *m, const result *results, size_t n)
{
    char size[VT_CLI_SIZE_TEXT];
    printf("%s, %s, %d threads, vetro %s, peak memory %s, loaded in %.2f s\n", model_name(m),
           vt_engine_isa(m->engine), vt_engine_n_threads(m->engine), vt_commit(),
           vt_cli_size_text(memory_high_water(), size), m->load_seconds);
    printf("%-14s %10s %10s %10s  (tokens per second)\n", "test", "median", "min", "max");
    for (size_t i = 0; i < n; i++)
        printf("%-14s %10.2f %10.2f %10.2f\n", results[i].name, median(&results[i]),
               results[i].rates[0], results[i].rates[results[i].n - 1]);
}

/* Every (prompt length, depth) and every (generation length, depth). */
static vt_status run_all(const vt_args *args, plan *p, const value_list lists[3], result *results,
                         size_t *n, vt_err *err)
{
    const int64_t n_runs = vt_args_int(args, "repeat");
    vt_status st = VT_OK;
    for (int is_generation = 0; is_generation < 2; is_generation++)
        for (size_t d = 0; d < lists[2].n; d++)
            for (size_t i = 0; i < lists[is_generation].n && st == VT_OK; i++) {
                uint32_t length = lists[is_generation].values[i];
                if (length == 0) continue;
                p->n_prompt = is_generation ? 0 : length;
                p->n_generate = is_generation ? length : 0;
                p->depth = lists[2].values[d];
                st = run_test(p, n_runs, &results[*n], err);
                if (st == VT_OK) ++*n;
            }
    return st;
}

static int measure(const vt_args *args, vt_cli_model *m, const value_list lists[3])
{
    vt_cli_progress bar;
    vt_err err = {0};
    size_t n = 0;
    const uint32_t n_vocab = vt_model_get_info(vt_engine_model(m->engine))->n_vocab;
    plan p = {.m = m, .tokens = vt_calloc(3 * (size_t)MAX_LENGTH, sizeof(int32_t)), .bar = &bar};
    result *results = vt_calloc(2 * (size_t)MAX_VALUES * MAX_VALUES, sizeof *results);
    vt_status st = VT_OK;
    vt_cli_progress_begin(&bar);
    if (p.tokens == NULL || results == NULL) st = vt_fail(&err, VT_ENOMEM, "out of memory");
    uint32_t random = 12345;
    for (size_t i = 0; st == VT_OK && i < 3 * (size_t)MAX_LENGTH; i++) {
        random = random * 1664525u + 1013904223u;
        p.tokens[i] = (int32_t)((random >> 8) % n_vocab);
    }
    if (st == VT_OK) st = run_all(args, &p, lists, results, &n, &err);
    vt_cli_progress_end(&bar);
    int code = st != VT_OK ? vt_cli_fail(&err, NULL) : VT_EXIT_OK;
    if (st == VT_OK && vt_args_flag(args, "json")) code = print_json(m, results, n);
    else if (st == VT_OK) print_table(m, results, n);
    vt_free(p.tokens);
    vt_free(results);
    return code;
}

static int run_bench(const vt_args *args)
{
    static const char *const names[3] = {"prompt", "generate", "depth"};
    value_list lists[3];
    for (int i = 0; i < 3; i++)
        if (!parse_list(vt_args_text(args, names[i]), &lists[i]))
            return vt_cli_usage(args,
                                "--%s: \"%s\" is not a list of up to %d lengths like 512,4096",
                                names[i], vt_args_text(args, names[i]), MAX_VALUES);
    vt_cli_model m = {0};
    vt_session_options small = {.n_ctx = 16}; /* every run makes its own */
    int code = vt_cli_open_model(args, vt_args_operand(args, 0), &small, &m);
    if (code != VT_EXIT_OK) return code;
    code = measure(args, &m, lists);
    vt_cli_close_model(&m);
    return code;
}

static const vt_option options[] = {
    {.name = "prompt",
     .letter = 'p',
     .argument = "N,...",
     .kind = VT_OPTION_TEXT,
     .standard = "512",
     .help = "lengths of prompts to read (0: none)"},
    {.name = "generate",
     .letter = 'n',
     .argument = "N,...",
     .kind = VT_OPTION_TEXT,
     .standard = "64",
     .help = "numbers of tokens to generate (0: none)"},
    {.name = "depth",
     .letter = 'd',
     .argument = "N,...",
     .kind = VT_OPTION_TEXT,
     .standard = "0",
     .help = "tokens already in the context when a test starts"},
    {.name = "repeat",
     .letter = 'r',
     .argument = "N",
     .kind = VT_OPTION_INT,
     .min = 1,
     .max = MAX_RUNS,
     .standard = "5",
     .help = "runs of each test, after one warm-up"},
    {.name = "json", .help = "print the result as JSON"},
    {0},
};

const vt_command vt_command_bench = {
    .name = "bench",
    .summary = "how fast this machine runs a model",
    .usage = "[OPTION]... MODEL",
    .description = "Reads prompts (pp) and generates tokens (tg) and prints tokens per second: "
                   "median, least and most of "
                   "the runs. Tests are named as llama-bench names them.",
    .examples = "vetro bench qwen2.5-coder-1.5b\n"
                "vetro bench smollm2-135m -p 512,2048 -n 64 -d 0,4096 -r 3 --json\n",
    .options = options,
    .shared = vt_cli_model_options,
    .min_operands = 1,
    .max_operands = 1,
    .run = run_bench,
};
