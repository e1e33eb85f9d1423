/* bench_report.c -- the table and the JSON object of `vetro bench`. See bench.h. */
#include <stdio.h>

#include "base/clock.h"
#include "base/version.h"
#include "cli/bench.h"

/* CPUs' worth of other programs from which on the figures are not to be believed. */
static const double busy_machine = 0.1;

/* Its name in the store, or its path when it is not there. */
static const char *model_name(const vt_bench *b)
{
    return b->model.name != NULL ? b->model.name : b->model.path;
}

static uint32_t most_threads(const vt_bench *b)
{
    uint32_t most = 0;
    for (size_t i = 0; i < b->plan.threads.n; i++)
        if (b->plan.threads.values[i] > most) most = b->plan.threads.values[i];
    return most;
}

/* ---- JSON ---- */

static json_t *rates_json(const vt_limit_rates *r)
{
    return json_pack("{s:f, s:f, s:f}", "memory_gbps", r->memory_bytes / 1e9, "int8_tops",
                     r->int8_ops / 1e12, "f32_gflops", r->f32_ops / 1e9);
}

static json_t *limits_json(const vt_limits *l)
{
    json_t *o = rates_json(&l->all);
    json_object_set_new(o, "threads", json_integer(l->n_threads));
    json_object_set_new(o, "instructions", json_string(l->instructions));
    json_object_set_new(o, "one_thread", rates_json(&l->one));
    return o;
}

static json_t *test_json(const vt_bench *b, const vt_bench_test *t)
{
    json_t *o =
        json_pack("{s:s, s:i, s:f, s:f, s:f, s:I}", "name", t->name, "threads", t->n_threads,
                  "tokens_per_second", vt_bench_median(&t->rates), "min", t->rates.values[0], "max",
                  t->rates.values[t->rates.n - 1], "runs", (json_int_t)t->rates.n);
    json_object_set_new(o, "work",
                        json_pack("{s:f, s:f, s:f}", "bytes",
                                  t->work.weight_bytes + t->work.kv_bytes, "int8_ops",
                                  t->work.int8_ops, "f32_ops", t->work.f32_ops));
    if (vt_bench_limits(b, t->n_threads) == NULL) return o;
    vt_bench_share share = vt_bench_share_of(b, t);
    json_object_set_new(
        o, "share",
        json_pack("{s:f, s:f, s:f}", "memory", share.memory, "int8", share.int8, "f32", share.f32));
    return o;
}

static json_t *load_json(const vt_bench_load *load)
{
    const vt_bench_runs *total = &load->total;
    return json_pack("{s:f, s:f, s:f, s:f, s:f, s:f, s:I}", "seconds", vt_bench_median(total),
                     "min", total->values[0], "max", total->values[total->n - 1], "open",
                     vt_bench_median(&load->open), "session", vt_bench_median(&load->session),
                     "first_token", vt_bench_median(&load->first_token), "runs",
                     (json_int_t)total->n);
}

int vt_bench_print_json(const vt_bench *b)
{
    char date[11];
    vt_clock_date(date);
    json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:i, s:I}", "commit", vt_commit(), "date", date,
                          "cpu", b->cpu.model, "isa", b->isa, "threads", (int)most_threads(b),
                          "memory_high_water", (json_int_t)b->memory_high_water);
    if (b->others >= 0) json_object_set_new(o, "other_cpus", json_real(b->others));
    const vt_limits *limits = vt_bench_limits(b, (int)most_threads(b));
    if (limits != NULL) {
        json_t *each = json_array(); /* of every number of threads that was asked for */
        for (size_t i = 0; i < b->plan.threads.n; i++)
            if (b->limits[i].n_threads > 0) json_array_append_new(each, limits_json(&b->limits[i]));
        json_object_set_new(o, "limits", limits_json(limits));
        json_object_set_new(o, "limits_by_threads", each);
    }
    json_t *tests = json_array();
    for (size_t i = 0; i < b->n_tests; i++)
        json_array_append_new(tests, test_json(b, &b->tests[i]));
    json_object_set_new(o, "tests", tests);
    json_object_set_new(o, "complete", json_boolean(b->is_complete));
    if (b->plan.has_model) {
        json_object_set_new(o, "model", vt_json_string(vt_slice_cstr(model_name(b))));
        json_object_set_new(o, "digest", json_string(b->model.digest));
        json_object_set_new(o, "format", json_string(b->format));
        json_object_set_new(o, "packed", json_boolean(b->is_packed));
        json_object_set_new(o, "kv_type", json_string(vt_kv_type_name(b->plan.kv_type)));
        json_object_set_new(o, "load_seconds", json_real(vt_bench_median(&b->load.open)));
        json_object_set_new(o, "load", load_json(&b->load));
    }
    return vt_cli_print_json(o);
}

/* ---- the table ---- */

static void print_rates(int n_threads, const vt_limit_rates *r)
{
    printf("  %3d thread%s %10.1f GB/s %10.3f TOPS %10.0f GFLOPS\n", n_threads,
           n_threads == 1 ? " " : "s", r->memory_bytes / 1e9, r->int8_ops / 1e12, r->f32_ops / 1e9);
}

static void print_limits(const vt_bench *b)
{
    bool has_one = false;
    printf("limits (%s)   memory            int8              f32\n", b->limits[0].instructions);
    for (size_t i = 0; i < b->plan.threads.n; i++) {
        const vt_limits *l = &b->limits[i];
        if (l->n_threads == 0) continue;
        if (!has_one) print_rates(1, &l->one);
        has_one = true;
        if (l->n_threads > 1) print_rates(l->n_threads, &l->all);
    }
}

static void print_tests(const vt_bench *b)
{
    const bool has_limits = b->limits[0].n_threads > 0;
    printf("%-20s %7s %10s %10s %10s  tokens per second%s\n", "test", "threads", "median", "min",
           "max", has_limits ? ", share of the limit" : "");
    for (size_t i = 0; i < b->n_tests; i++) {
        const vt_bench_test *t = &b->tests[i];
        printf("%-20s %7d %10.2f %10.2f %10.2f", t->name, t->n_threads, vt_bench_median(&t->rates),
               t->rates.values[0], t->rates.values[t->rates.n - 1]);
        if (has_limits) {
            const char *name;
            vt_bench_share share = vt_bench_share_of(b, t);
            double most = vt_bench_closest(&share, &name);
            printf("  %3.0f %% of %s", 100 * most, name);
        }
        putchar('\n');
    }
}

static void print_model(const vt_bench *b)
{
    const vt_bench_load *load = &b->load;
    printf("%s (%.12s), %s%s, %s, KV cache %s\n", model_name(b), b->model.digest, b->format,
           b->is_packed ? ", packed" : "", b->isa, vt_kv_type_name(b->plan.kv_type));
    if (load->total.n > 0)
        printf("load to first token %.3f s: open %.3f, session %.3f, token %.3f (%zu run%s)\n",
               vt_bench_median(&load->total), vt_bench_median(&load->open),
               vt_bench_median(&load->session), vt_bench_median(&load->first_token), load->total.n,
               load->total.n == 1 ? "" : "s, warm page cache");
}

void vt_bench_print(const vt_bench *b)
{
    char date[11], size[VT_CLI_SIZE_TEXT];
    vt_clock_date(date);
    printf("%s, vetro %s, %s, peak memory %s\n", b->cpu.model, vt_commit(), date,
           vt_cli_size_text(b->memory_high_water, size));
    if (b->plan.has_model) print_model(b);
    if (b->limits[0].n_threads > 0) print_limits(b);
    if (b->n_tests > 0) print_tests(b);
    if (b->others > busy_machine)
        vt_cli_note("vetro: other programs used %.1f CPUs meanwhile: the figures are too low",
                    b->others);
}
