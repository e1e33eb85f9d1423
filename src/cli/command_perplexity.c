/* command_perplexity.c -- `vetro perplexity`: how well a model predicts a text, by llama.cpp's
 * definition, so that the figures compare.
 *
 * The text becomes tokens, with a beginning-of-text token in front when the model wants one. They
 * are cut into windows of --ctx tokens without overlap; what is left over at the end is not used.
 * The first token of each window is replaced by that beginning token (again: when the model wants
 * one). Of a window of n tokens the predictions of tokens n/2 + 1 to n - 1 (counted from 0) are
 * scored: the first half is context only. The result is exp of the mean negative log-likelihood. */
#include "cli/models.h"

#include <stdio.h>

#include "base/alloc.h"
#include "base/file.h"
#include "engine/sampler.h"
#include "kernels/math.h"

enum { DEFAULT_WINDOW = 512, MAX_TEXT = 1 << 30 };

typedef struct {
    const int32_t *window;
    size_t n_window;
    size_t n_vocab;
    double sum; /* of negative log-likelihoods, in the order of the text */
    double sum_squares;
    size_t n_scored;
} scoring;

static vt_status on_logits(void *ctx, size_t position, const float *logits, vt_err *err)
{
    scoring *s = ctx;
    (void)err;
    if (position < s->n_window / 2 || position + 1 >= s->n_window) return VT_OK;
    double nll = -vt_logprob(logits, s->n_vocab, s->window[position + 1]);
    s->sum += nll;
    s->sum_squares += nll * nll;
    s->n_scored++;
    return VT_OK;
}

static vt_status encode(const vt_tokenizer *t, vt_slice text, vt_tokens *out, vt_err *err)
{
    vt_status st = VT_OK;
    if (t == NULL) return vt_fail(err, VT_EUNSUPPORTED, "the model has no tokenizer");
    if (vt_tokenizer_adds_bos(t) && vt_tokenizer_bos(t) >= 0)
        st = vt_tokens_push(out, vt_tokenizer_bos(t), err);
    if (st == VT_OK) st = vt_tokenizer_encode(t, text, out, err);
    return st;
}

static vt_status score(vt_cli_model *m, vt_tokens *tokens, size_t n_windows, scoring *s,
                       vt_cli_progress *bar, vt_err *err)
{
    const vt_tokenizer *t = vt_engine_tokenizer(m->engine);
    bool has_bos = vt_tokenizer_adds_bos(t) && vt_tokenizer_bos(t) >= 0;
    vt_progress quiet = {.is_cancelled = bar->progress.is_cancelled};
    vt_status st = VT_OK;
    for (size_t i = 0; i < n_windows && st == VT_OK; i++) {
        int32_t *window = tokens->ids + i * s->n_window;
        if (has_bos) window[0] = vt_tokenizer_bos(t);
        s->window = window;
        vt_session_free(m->session); /* each window begins with nothing before it */
        m->session = NULL;
        st = vt_session_new(m->engine, &m->session_options, &m->session, err);
        const size_t half = s->n_window / 2; /* no logits are needed of the first one */
        if (st == VT_OK && half > 0) st = vt_session_extend(m->session, window, half, &quiet, err);
        if (st == VT_OK)
            st = vt_session_extend_all(m->session, window + half, s->n_window - half, on_logits, s,
                                       &quiet, err);
        vt_progress_report(&bar->progress, "window", i + 1, n_windows);
    }
    return st;
}

static int print_result(const vt_args *args, const scoring *s, size_t n_windows)
{
    double n = (double)s->n_scored;
    double mean = s->sum / n;
    double perplexity = vt_exp(mean);
    double variance = s->n_scored > 1 ? (s->sum_squares - n * mean * mean) / (n - 1) : 0;
    double error = variance > 0 ? perplexity * sqrt(variance / n) : 0;
    if (vt_args_flag(args, "json"))
        return vt_cli_print_json(json_pack("{s:f, s:I, s:I, s:f}", "perplexity", perplexity,
                                           "tokens", (json_int_t)s->n_scored, "windows",
                                           (json_int_t)n_windows, "standard_error", error));
    printf("perplexity %.4f +/- %.4f over %zu tokens in %zu windows of %zu\n", perplexity, error,
           s->n_scored, n_windows, s->n_window);
    return VT_EXIT_OK;
}

static int measure(const vt_args *args, vt_cli_model *m, vt_slice text, size_t n_window)
{
    vt_tokens tokens = {0};
    vt_err err = {0};
    vt_cli_progress bar;
    const char *path = vt_args_operand(args, 1);
    scoring s = {.n_window = n_window,
                 .n_vocab = vt_model_get_info(vt_engine_model(m->engine))->n_vocab};
    vt_status st = encode(vt_engine_tokenizer(m->engine), text, &tokens, &err);
    size_t n_windows = tokens.n / n_window;
    int64_t most = vt_args_int(args, "windows");
    if (most > 0 && (size_t)most < n_windows) n_windows = (size_t)most;
    if (st == VT_OK && n_windows == 0)
        st = vt_fail(&err, VT_EINPUT, "%.200s has %zu tokens, less than one window of %zu", path,
                     tokens.n, n_window);
    vt_cli_progress_begin(&bar);
    if (st == VT_OK) st = score(m, &tokens, n_windows, &s, &bar, &err);
    vt_cli_progress_end(&bar);
    vt_tokens_deinit(&tokens);
    if (st != VT_OK) return vt_cli_fail(&err, NULL);
    return print_result(args, &s, n_windows);
}

static int run_perplexity(const vt_args *args)
{
    vt_cli_model m = {0};
    int64_t n_window = vt_args_int(args, "ctx");
    if (n_window == 0) n_window = DEFAULT_WINDOW;
    if (n_window < 4) return vt_cli_usage(args, "--ctx: windows have at least 4 tokens");
    vt_session_options wanted = {.n_ctx = (uint32_t)n_window};
    vt_err err = {0};
    vt_buffer text;
    vt_buffer_init(&text, MAX_TEXT);
    int code = VT_EXIT_OK;
    if (vt_file_read(vt_args_operand(args, 1), MAX_TEXT, &text, &err) != VT_OK)
        code = vt_cli_fail(&err, NULL);
    if (code == VT_EXIT_OK) code = vt_cli_open_model(args, vt_args_operand(args, 0), &wanted, &m);
    if (code == VT_EXIT_OK) code = measure(args, &m, vt_buffer_slice(&text), (size_t)n_window);
    vt_buffer_deinit(&text);
    vt_cli_close_model(&m);
    return code;
}

static const vt_option options[] = {
    {.name = "windows",
     .argument = "N",
     .kind = VT_OPTION_INT,
     .max = 1e9,
     .standard = "0",
     .help = "score only the first N windows (0: all)"},
    {.name = "json", .help = "print the result as JSON"},
    {0},
};

const vt_command vt_command_perplexity = {
    .name = "perplexity",
    .summary = "how well a model predicts a text",
    .usage = "[OPTION]... MODEL FILE",
    .description =
        "The mean over windows of --ctx tokens (512 when it is not given) without overlap, "
        "the second half of each window scored: llama.cpp's definition, so the figures "
        "compare.",
    .examples = "vetro perplexity smollm2-135m book.txt\n"
                "vetro perplexity smollm2-135m book.txt --ctx 2048 --windows 20 --json\n",
    .options = options,
    .shared = vt_cli_model_options,
    .min_operands = 2,
    .max_operands = 2,
    .run = run_perplexity,
};
