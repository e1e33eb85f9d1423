/* bench_run.c -- the measuring of `vetro bench`. See bench.h.
 *
 * For each number of threads the model is opened anew. For each depth the sessions are filled once
 * and set back before every run, which costs one token; at depth 0 every run has sessions of its
 * own, as new as a user's. One run in front of the others warms up and does not count. Nothing is
 * pinned, because the engine pins nothing. */
#include "cli/bench.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/env.h"
#include "base/file.h"
#include "base/parse.h"

enum { TOKENS_APART = 61 };

typedef struct {
    vt_bench *b;
    vt_engine *engine;
    int32_t *tokens; /* enough for the deepest test */
    vt_cli_progress *bar;
    const vt_progress *progress; /* of the bar */
    uint32_t depth, n_ctx;
    vt_session *sessions[VT_BATCH_SEQUENCES];
    size_t n_sessions;
} bench_state;

/* ---- figures ---- */

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

void vt_bench_sort(vt_bench_runs *runs)
{
    qsort(runs->values, runs->n, sizeof runs->values[0], by_value);
}

double vt_bench_median(const vt_bench_runs *runs)
{
    const size_t n = runs->n;
    if (n == 0) return 0;
    return n % 2 ? runs->values[n / 2] : (runs->values[n / 2 - 1] + runs->values[n / 2]) / 2;
}

const vt_limits *vt_bench_limits(const vt_bench *b, int n_threads)
{
    for (size_t i = 0; i < b->plan.threads.n; i++)
        if (b->limits[i].n_threads > 0 && b->limits[i].n_threads == n_threads) return &b->limits[i];
    return NULL;
}

vt_bench_share vt_bench_share_of(const vt_bench *b, const vt_bench_test *t)
{
    const vt_limits *limits = vt_bench_limits(b, t->n_threads);
    if (limits == NULL || t->rates.n == 0) return (vt_bench_share){0};
    double seconds = (double)t->length * t->n_sequences / vt_bench_median(&t->rates);
    return (vt_bench_share){
        .memory = (t->work.weight_bytes + t->work.kv_bytes) / seconds / limits->all.memory_bytes,
        .int8 = t->work.int8_ops / seconds / limits->all.int8_ops,
        .f32 = t->work.f32_ops / seconds / limits->all.f32_ops,
    };
}

double vt_bench_closest(const vt_bench_share *share, const char **name)
{
    const double compute = share->int8 + share->f32;
    *name = share->memory > compute ? "memory" : "compute";
    return share->memory > compute ? share->memory : compute;
}

/* ---- how busy the machine is otherwise ---- */

/* CPU seconds that were not idle, of all programs, as /proc/stat counts them since the start;
 * below 0 when it cannot be read. */
static double busy_seconds(void)
{
    vt_buffer text;
    vt_buffer_init(&text, 1 << 20);
    double ticks = -1;
    if (vt_file_read("/proc/stat", 1 << 20, &text, NULL) == VT_OK) {
        vt_slice s = vt_buffer_slice(&text);
        s = vt_slice_take(s, vt_slice_find(s, VT_S("\n")));
        s = vt_slice_trim(vt_slice_skip(s, vt_slice_find(s, VT_S(" "))));
        ticks = 0;
        for (int i = 0; s.len > 0 && i < 8; i++) { /* the rest is counted in the first two */
            size_t end = vt_slice_find(s, VT_S(" "));
            uint64_t value;
            const bool is_idle = i == 3 || i == 4;
            if (vt_parse_u64(vt_slice_take(s, end), &value) && !is_idle) ticks += (double)value;
            s = vt_slice_trim(vt_slice_skip(s, end));
        }
    }
    vt_buffer_deinit(&text);
    return ticks < 0 ? ticks : ticks / (double)sysconf(_SC_CLK_TCK);
}

static double own_seconds(void)
{
    struct rusage u;
    if (getrusage(RUSAGE_SELF, &u) != 0) return 0;
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           1e-6 * (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

/* ---- one test ---- */

/* The passes of one run, as the engine makes them. */
static void count_work(const bench_state *s, vt_bench_test *t)
{
    enum { CHUNK = 512 }; /* the engine's standard prefill step */
    const uint32_t step = t->is_answer ? 1 : CHUNK;
    for (uint32_t done = 0; done < t->length;) {
        uint32_t n = t->length - done < step ? t->length - done : step;
        vt_work_pass pass = {.n_sequences = t->n_sequences,
                             .first_position = t->depth + done,
                             .n_tokens = n,
                             .n_logits = t->n_sequences,
                             .kv_type = s->b->plan.kv_type};
        vt_work_add(vt_engine_model(s->engine), &pass, &t->work);
        done += n;
    }
}

static void free_sessions(bench_state *s)
{
    while (s->n_sessions > 0) vt_session_free(s->sessions[--s->n_sessions]);
}

/* Each sequence has tokens of its own: alike ones would all choose the same experts. */
static const int32_t *tokens_of(const bench_state *s, uint32_t i_sequence)
{
    return s->tokens + (size_t)i_sequence * TOKENS_APART;
}

/* As many sessions as the test needs, each holding `depth` tokens. */
static vt_status prepare(bench_state *s, const vt_bench_test *t, vt_err *err)
{
    const vt_session_options options = {.n_ctx = s->n_ctx, .kv_type = s->b->plan.kv_type};
    vt_status st = VT_OK;
    if (s->depth == 0) free_sessions(s);
    while (s->n_sessions < t->n_sequences && st == VT_OK) {
        st = vt_session_new(s->engine, &options, &s->sessions[s->n_sessions], err);
        if (st == VT_OK) s->n_sessions++;
    }
    for (uint32_t i = 0; i < t->n_sequences && s->depth > 0 && st == VT_OK; i++)
        st = vt_session_sync(s->sessions[i], tokens_of(s, i), s->depth, s->progress, NULL, err);
    return st;
}

/* Token i of the answer in each of the test's sessions. */
static vt_status decode(bench_state *s, const vt_bench_test *t, uint32_t i_token,
                        const vt_progress *progress, vt_err *err)
{
    vt_batch_item items[VT_BATCH_SEQUENCES];
    for (uint32_t i = 0; i < t->n_sequences; i++)
        items[i] = (vt_batch_item){.session = s->sessions[i],
                                   .tokens = tokens_of(s, i) + s->depth + i_token,
                                   .n_tokens = 1};
    return vt_batch_extend(s->engine, items, t->n_sequences, progress, err);
}

static vt_status run_once(bench_state *s, const vt_bench_test *t, double *seconds, vt_err *err)
{
    const vt_progress quiet = {.is_cancelled = s->progress->is_cancelled};
    vt_status st = prepare(s, t, err);
    double start = vt_clock_seconds();
    if (st == VT_OK && !t->is_answer)
        st = vt_session_extend(s->sessions[0], s->tokens + s->depth, t->length, &quiet, err);
    for (uint32_t i = 0; i < t->length && t->is_answer && st == VT_OK; i++)
        st = decode(s, t, i, &quiet, err);
    *seconds = vt_clock_seconds() - start;
    return st;
}

static vt_status run_test(bench_state *s, vt_bench_test *t, vt_err *err)
{
    vt_bench *b = s->b;
    char batch[24] = "", depth[24] = "";
    if (t->n_sequences > 1) snprintf(batch, sizeof batch, "@b%u", t->n_sequences);
    if (t->depth > 0) snprintf(depth, sizeof depth, "@d%u", t->depth);
    snprintf(t->name, sizeof t->name, "%s%u%s%s", t->is_answer ? "tg" : "pp", t->length, batch,
             depth);
    count_work(s, t);
    vt_status st = VT_OK;
    const int n_runs = b->plan.n_runs;
    for (int i = -1; i < n_runs && st == VT_OK; i++) {
        double seconds = 0;
        st = run_once(s, t, &seconds, err);
        if (i >= 0 && st == VT_OK)
            t->rates.values[t->rates.n++] = (double)t->length * t->n_sequences / seconds;
        vt_progress_report(s->progress, t->name, (uint64_t)i + 2, (uint64_t)n_runs + 1);
    }
    vt_bench_sort(&t->rates);
    if (st == VT_OK) b->n_tests++; /* a test that was broken off is none */
    return st;
}

/* ---- all tests ---- */

static uint32_t largest(const vt_bench_list *list)
{
    uint32_t most = 0;
    for (size_t i = 0; i < list->n; i++)
        if (list->values[i] > most) most = list->values[i];
    return most;
}

static uint32_t context_for(const vt_bench_plan *plan, uint32_t depth)
{
    uint32_t longest = largest(&plan->prompts), answer = largest(&plan->answers);
    if (answer > longest) longest = answer;
    return depth + (longest > 0 ? longest : 1);
}

/* Does the longest test fit into the model's context? Asked before anything is measured, loading
 * too: what is too deep comes last. */
static vt_status check_depths(const bench_state *s, vt_err *err)
{
    const vt_bench_plan *plan = &s->b->plan;
    const vt_session_options options = {.n_ctx = context_for(plan, largest(&plan->depths)),
                                        .kv_type = plan->kv_type};
    vt_session *session = NULL;
    const vt_status st = vt_session_new(s->engine, &options, &session, err);
    vt_session_free(session);
    return st;
}

/* Reading and writing at one depth. */
static vt_status run_depth(bench_state *s, uint32_t depth, vt_err *err)
{
    const vt_bench_plan *plan = &s->b->plan;
    const vt_bench_list one = {.values = {1}, .n = 1};
    s->depth = depth;
    s->n_ctx = context_for(plan, depth);
    vt_status st = VT_OK;
    for (int is_answer = 0; is_answer < 2; is_answer++) {
        const vt_bench_list *lengths = is_answer ? &plan->answers : &plan->prompts;
        const vt_bench_list *batches = is_answer ? &plan->batches : &one;
        for (size_t i = 0; i < lengths->n; i++)
            for (size_t k = 0; k < batches->n && lengths->values[i] > 0 && st == VT_OK; k++) {
                vt_bench_test *t = &s->b->tests[s->b->n_tests];
                *t = (vt_bench_test){.is_answer = is_answer != 0,
                                     .length = lengths->values[i],
                                     .depth = depth,
                                     .n_sequences = batches->values[k],
                                     .n_threads = vt_engine_n_threads(s->engine)};
                st = run_test(s, t, err);
            }
    }
    free_sessions(s);
    return st;
}

static void add_run(vt_bench_runs *runs, double seconds)
{
    if (runs->n < VT_BENCH_RUNS) runs->values[runs->n++] = seconds;
}

/* Known from the first opening on: whatever is broken off later, the figures name their model. */
static void describe_model(bench_state *s)
{
    const vt_model *model = vt_engine_model(s->engine);
    snprintf(s->b->format, sizeof s->b->format, "%s", vt_model_get_info(model)->format);
    s->b->is_packed = vt_gguf_packed(vt_model_gguf(model)) != NULL;
}

/* Open the model, up to the first token's logits; how long that took is added to `load`, where
 * there is one. */
static vt_status open_engine(bench_state *s, int n_threads, vt_bench_load *load, vt_err *err)
{
    vt_engine_options options = {
        .n_threads = n_threads, .isa = vt_env_isa(), .progress = s->progress};
    const vt_session_options session_options = {.kv_type = s->b->plan.kv_type};
    vt_session *session = NULL;
    double start = vt_clock_seconds();
    vt_status st = vt_cli_open_engine(&options, &s->b->model, s->bar, &s->engine, err);
    double opened = vt_clock_seconds();
    if (st == VT_OK) st = vt_session_new(s->engine, &session_options, &session, err);
    double made = vt_clock_seconds();
    if (st == VT_OK) st = vt_session_extend(session, (const int32_t[]){0}, 1, s->progress, err);
    double end = vt_clock_seconds();
    if (st == VT_OK) describe_model(s);
    if (st == VT_OK && load != NULL) {
        add_run(&load->open, opened - start);
        add_run(&load->session, made - opened);
        add_run(&load->first_token, end - made);
        add_run(&load->total, end - start);
    }
    vt_session_free(session);
    return st;
}

static void close_engine(bench_state *s)
{
    vt_engine_close(s->engine);
    s->engine = NULL;
}

/* The first opening may have to read the disk: it warms the page cache up and does not count. */
static vt_status measure_load(bench_state *s, int n_threads, vt_err *err)
{
    vt_bench_load *load = &s->b->load;
    const int n_runs = s->b->plan.n_runs;
    vt_status st = VT_OK;
    for (int i = -1; i < n_runs && st == VT_OK; i++) {
        st = open_engine(s, n_threads, i < 0 ? NULL : load, err);
        if (i < 0 && st == VT_OK) st = check_depths(s, err);
        close_engine(s);
        vt_progress_report(s->progress, "load", (uint64_t)i + 2, (uint64_t)n_runs + 1);
    }
    vt_bench_sort(&load->open);
    vt_bench_sort(&load->session);
    vt_bench_sort(&load->first_token);
    vt_bench_sort(&load->total);
    return st;
}

static vt_status make_tokens(bench_state *s, vt_err *err)
{
    const vt_bench_plan *plan = &s->b->plan;
    const uint32_t n_vocab = vt_model_get_info(vt_engine_model(s->engine))->n_vocab;
    size_t n = (size_t)largest(&plan->prompts) + largest(&plan->answers) + largest(&plan->depths) +
               VT_BATCH_SEQUENCES * TOKENS_APART;
    uint32_t random = 12345;
    s->tokens = vt_calloc(n, sizeof *s->tokens);
    if (s->tokens == NULL) return vt_fail(err, VT_ENOMEM, "out of memory");
    for (size_t i = 0; i < n; i++) {
        random = random * 1664525u + 1013904223u;
        s->tokens[i] = (int32_t)((random >> 8) % n_vocab);
    }
    return VT_OK;
}

static vt_status run_threads(bench_state *s, int n_threads, vt_err *err)
{
    vt_bench_load *load = &s->b->load;
    vt_status st = open_engine(s, n_threads, load->total.n == 0 ? load : NULL, err);
    if (st == VT_OK) st = check_depths(s, err);
    if (st == VT_OK && s->tokens == NULL) st = make_tokens(s, err);
    for (size_t i = 0; i < s->b->plan.depths.n && st == VT_OK; i++)
        st = run_depth(s, s->b->plan.depths.values[i], err);
    close_engine(s);
    return st;
}

static vt_status pick_isa(vt_bench *b, const vt_kernels **out, vt_err *err)
{
    *out = vt_kernels_select(vt_env_isa());
    if (*out == NULL)
        return vt_fail(err, VT_EUNSUPPORTED,
                       "instruction set \"%.32s\" is unknown or this CPU lacks it (this CPU's best "
                       "is %s)",
                       vt_env_isa(), vt_kernels_select(NULL)->name);
    b->isa = (*out)->name;
    return VT_OK;
}

static vt_status measure_limits(vt_bench *b, const vt_kernels *kernels, const vt_progress *progress,
                                vt_err *err)
{
    vt_status st = VT_OK;
    for (size_t i = 0; i < b->plan.threads.n && st == VT_OK; i++) {
        vt_pool *pool = NULL;
        st = vt_pool_new((int)b->plan.threads.values[i], &pool, err);
        if (st == VT_OK) st = vt_limits_measure(pool, kernels, progress, &b->limits[i], err);
        vt_pool_free(pool);
    }
    return st;
}

static uint64_t memory_high_water(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? (uint64_t)usage.ru_maxrss * 1024 : 0;
}

vt_status vt_bench_run(vt_bench *b, vt_cli_progress *bar, vt_err *err)
{
    bench_state s = {.b = b, .bar = bar, .progress = &bar->progress};
    const vt_bench_plan *plan = &b->plan;
    double start = vt_clock_seconds(), busy = busy_seconds(), own = own_seconds();
    vt_cpu_detect(&b->cpu);
    size_t lengths = plan->prompts.n + plan->answers.n * plan->batches.n;
    b->tests = vt_calloc(lengths * plan->depths.n * plan->threads.n + 1, sizeof *b->tests);
    vt_status st = b->tests != NULL ? VT_OK : vt_fail(err, VT_ENOMEM, "out of memory");
    const vt_kernels *kernels = NULL;
    if (st == VT_OK) st = pick_isa(b, &kernels, err);
    if (st == VT_OK && plan->has_model && plan->wants_load)
        st = measure_load(&s, (int)plan->threads.values[0], err);
    for (size_t i = 0; i < plan->threads.n && plan->has_model && st == VT_OK; i++)
        st = run_threads(&s, (int)plan->threads.values[i], err);
    vt_free(s.tokens);
    b->memory_high_water = memory_high_water(); /* the limits' own memory is not the model's */
    if (st == VT_OK && plan->wants_limits) st = measure_limits(b, kernels, &bar->progress, err);
    b->is_complete = st == VT_OK;
    double now = busy_seconds(), elapsed = vt_clock_seconds() - start;
    b->others = busy < 0 || now < 0 ? -1 : (now - busy - (own_seconds() - own)) / elapsed;
    if (b->others > -1 && b->others < 0) b->others = 0; /* ticks are coarse */
    return st;
}
