/* command_bench.c -- `vetro bench`: how fast this machine runs a model, and how near that is to
 * what the machine can do. Tests are named as llama-bench names them, so that figures can be laid
 * side by side: pp512 reads a prompt of 512 tokens, tg64 generates 64 tokens, tg64@d4096 does so
 * behind 4,096 tokens, tg64@b16 in 16 sequences at once. Each test runs -r times after one warm-up;
 * medians are what to quote. Token ids are pseudo-random: speed does not depend on them, but for a
 * mixture of experts on how they spread over the experts. See bench.h for the parts. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/parse.h"
#include "cli/bench.h"

/* "512,4096" */
static bool parse_list(const char *text, uint32_t most, vt_bench_list *out)
{
    vt_slice rest = vt_slice_cstr(text);
    *out = (vt_bench_list){0};
    while (out->n < VT_BENCH_VALUES) {
        size_t comma = vt_slice_find(rest, VT_S(","));
        uint64_t value;
        if (!vt_parse_u64(vt_slice_take(rest, comma), &value) || value > most) return false;
        out->values[out->n++] = (uint32_t)value;
        if (comma == rest.len) return true;
        rest = vt_slice_skip(rest, comma + 1);
    }
    return false;
}

/* Has it two different values? */
static bool varies(const vt_bench_list *list)
{
    for (size_t i = 1; i < list->n; i++)
        if (list->values[i] != list->values[0]) return true;
    return false;
}

/* The options, checked; VT_EXIT_OK or an exit code. */
static int read_plan(const vt_args *args, vt_bench_plan *p)
{
    const struct {
        const char *name;
        uint32_t most;
        vt_bench_list *list;
    } lists[] = {{"prompt", VT_BENCH_LENGTH, &p->prompts},
                 {"generate", VT_BENCH_LENGTH, &p->answers},
                 {"depth", VT_BENCH_LENGTH, &p->depths},
                 {"batch", VT_BATCH_SEQUENCES, &p->batches},
                 {"threads", VT_POOL_MAX_THREADS, &p->threads}};
    for (size_t i = 0; i < VT_COUNT(lists); i++)
        if (!parse_list(vt_args_text(args, lists[i].name), lists[i].most, lists[i].list))
            return vt_cli_usage(
                args, "--%s: \"%s\" is not a list of up to %d numbers to %u like 1,2",
                lists[i].name, vt_args_text(args, lists[i].name), VT_BENCH_VALUES, lists[i].most);
    int standard;
    if (!vt_cli_standard_threads(&standard)) return VT_EXIT_USAGE;
    for (size_t i = 0; i < p->threads.n; i++)
        if (p->threads.values[i] == 0) p->threads.values[i] = (uint32_t)standard;
    for (size_t i = 0; i < p->batches.n; i++)
        if (p->batches.values[i] == 0)
            return vt_cli_usage(args, "--batch: 0 sequences generate nothing");
    p->n_runs = (int)vt_args_int(args, "repeat");
    p->kv_type = vt_cli_kv_type(args);
    p->wants_limits = vt_args_flag(args, "limits");
    p->wants_load = vt_args_flag(args, "load");
    p->has_model = vt_args_n_operands(args) > 0;
    if (!p->has_model && !p->wants_limits)
        return vt_cli_usage(args, "MODEL is missing (only --limits needs none)");
    if (!p->has_model && (p->wants_load || vt_args_has(args, "svg")))
        return vt_cli_usage(args, "MODEL is missing");
    if (vt_args_has(args, "svg") && !varies(&p->depths) && !varies(&p->threads))
        return vt_cli_usage(args, "--svg draws lines: give two different depths (-d 0,4096) or "
                                  "numbers of threads (-t 1,2)");
    return VT_EXIT_OK;
}

/* The file of --svg. It is the user's own: opened before anything is measured, because what can't
 * be written is best known then, and written as it is, without a word about mode or owner. */
typedef struct {
    const char *path; /* NULL: no picture */
    int fd;
    bool is_new;
} picture_file;

static vt_status open_picture(const vt_args *args, picture_file *p, vt_err *err)
{
    *p = (picture_file){.path = vt_args_text(args, "svg"), .fd = -1};
    if (p->path == NULL) return VT_OK;
    struct stat info;
    p->is_new = lstat(p->path, &info) != 0;
    p->fd = open(p->path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    return p->fd >= 0 ? VT_OK : vt_fail_errno(err, VT_EIO, "cannot write %.200s", p->path);
}

static vt_status write_picture(const vt_bench *b, const picture_file *p, vt_err *err)
{
    vt_buffer svg;
    struct stat info;
    vt_buffer_init(&svg, 1 << 20);
    vt_status st = vt_bench_picture(b, &svg, err);
    if (st == VT_OK && fstat(p->fd, &info) == 0 && S_ISREG(info.st_mode) &&
        ftruncate(p->fd, 0) != 0)
        st = vt_fail_errno(err, VT_EIO, "cannot write %.200s", p->path);
    if (st == VT_OK) st = vt_file_write_all(p->fd, vt_buffer_slice(&svg), err);
    vt_buffer_deinit(&svg);
    return st;
}

static vt_status close_picture(picture_file *p, vt_status st, vt_err *err)
{
    if (p->fd >= 0 && close(p->fd) != 0 && st == VT_OK)
        st = vt_fail_errno(err, VT_EIO, "cannot write %.200s", p->path);
    if (st != VT_OK && p->is_new) unlink(p->path); /* nothing of use is in it */
    return st;
}

/* Was anything measured that was asked for? */
static bool has_figures(const vt_bench *b)
{
    return b->n_tests > 0 || (b->plan.wants_load && b->load.total.n > 0) ||
           b->limits[0].n_threads > 0;
}

static int measure(const vt_args *args, vt_bench *b)
{
    vt_cli_progress bar;
    picture_file picture;
    vt_err err = {0};
    vt_status st = open_picture(args, &picture, &err);
    if (st != VT_OK) return vt_cli_fail(&err, NULL);
    vt_cli_progress_begin(&bar);
    st = vt_bench_run(b, &bar, &err);
    vt_cli_progress_end(&bar);
    int code = VT_EXIT_OK;
    /* What was measured before Ctrl-C, or before a test that failed, is shown. */
    if (st == VT_OK || has_figures(b)) {
        if (vt_args_flag(args, "json")) code = vt_bench_print_json(b);
        else vt_bench_print(b);
    }
    if (st == VT_OK && picture.path != NULL) st = write_picture(b, &picture, &err);
    st = close_picture(&picture, st, &err);
    return st == VT_OK ? code : vt_cli_fail(&err, NULL);
}

static int run_bench(const vt_args *args)
{
    vt_bench b = {0};
    int code = read_plan(args, &b.plan);
    if (code == VT_EXIT_OK && b.plan.has_model)
        code = vt_cli_find_model(vt_args_operand(args, 0), true, &b.model);
    if (code == VT_EXIT_OK) code = measure(args, &b);
    vt_store_entry_deinit(&b.model);
    vt_free(b.tests);
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
    {.name = "batch",
     .letter = 'b',
     .argument = "N,...",
     .kind = VT_OPTION_TEXT,
     .standard = "1",
     .help = "sequences that generate together; rates count the tokens of all"},
    {.name = "threads",
     .letter = 't',
     .argument = "N,...",
     .kind = VT_OPTION_TEXT,
     .standard = "0",
     .help = "threads to compute with (0: VETRO_THREADS, else all CPUs it may use)"},
    {.name = "repeat",
     .letter = 'r',
     .argument = "N",
     .kind = VT_OPTION_INT,
     .min = 1,
     .max = VT_BENCH_RUNS,
     .standard = "5",
     .help = "runs of each test, after one warm-up"},
    VT_CLI_KV_TYPE_OPTION,
    {.name = "limits",
     .help = "measure what this machine can do at most, and give each test's share of it"},
    {.name = "load", .help = "measure loading too, -r times, up to the first token"},
    {.name = "svg",
     .argument = "FILE",
     .kind = VT_OPTION_TEXT,
     .help = "draw speed against depth and against threads into FILE"},
    {.name = "json", .help = "print the result as JSON"},
    {0},
};

const vt_command vt_command_bench = {
    .name = "bench",
    .summary = "how fast this machine runs a model",
    .usage = "[OPTION]... [MODEL]",
    .description =
        "Reads prompts (pp) and generates tokens (tg) and prints tokens per second: median, least "
        "and most of the runs. Tests are named as llama-bench names them. With --limits also what "
        "the machine can do at most (reading memory, products of bytes, of floats) and how much "
        "of that each test reached; without MODEL only that.",
    .examples = "vetro bench qwen2.5-coder-1.5b --limits\n"
                "vetro bench smollm2-135m -p 512,2048 -n 64 -d 0,4096 -t 1,2 -r 3 --json\n"
                "vetro bench smollm2-135m -p 0 -d 0,1024,4096 -t 1,2 --limits --svg speed.svg\n"
                "vetro bench smollm2-135m -p 0 -n 32 -b 1,8,32\n"
                "vetro bench --limits\n",
    .options = options,
    .min_operands = 0,
    .max_operands = 1,
    .run = run_bench,
};
