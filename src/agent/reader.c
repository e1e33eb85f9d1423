/* reader.c -- the reader that asks an engine. See reader.h.
 *
 * The text comes first and the question after it: measured on the questions of docs/answers.md,
 * that order tells right from wrong passages far better than the other one, though only the other
 * would let all candidates share the question as a prefix. What is shared is the text: scoring,
 * answering and confirming differ only at the end of the prompt, so the second and third cost a
 * dozen tokens when the text is the one read last. */
#include "agent/reader.h"

#include <math.h>

#include "base/alloc.h"
#include "base/utf8.h"

enum { MAX_WORDS = 8, PROMPT_BYTES = 16 << 20 };

struct vt_engine_reader {
    vt_session *session;
    const vt_chat_format *format;
    vt_speculate speculate;
    const vt_progress *progress;
    size_t n_vocab;
    int32_t yes[MAX_WORDS], no[MAX_WORDS];
    size_t n_yes, n_no;
    vt_tokens tokens; /* the prompt of the last call, and what was generated after it */
    vt_reader_usage usage;
};

static const char system_text[] = "You answer from the given text only.";
static const char ask_states[] =
    "Does the text state the answer to this question? Reply yes or no.";
static const char ask_answer[] = "Answer the question in one short sentence from the text.";
static const char ask_confirms[] =
    "Does the text state exactly this answer to the question? Reply yes or no.";

/* The ways to write a word that are a single token. */
static vt_status find_words(const vt_tokenizer *t, const char *const *words, size_t n, int32_t *ids,
                            size_t *n_ids, vt_err *err)
{
    vt_tokens tokens = {0};
    vt_status st = VT_OK;
    for (size_t i = 0; i < n && st == VT_OK; i++) {
        tokens.n = 0;
        st = vt_tokenizer_encode(t, vt_slice_cstr(words[i]), &tokens, err);
        if (st == VT_OK && tokens.n == 1) ids[(*n_ids)++] = tokens.ids[0];
    }
    vt_tokens_deinit(&tokens);
    return st;
}

vt_status vt_engine_reader_new(vt_session *session, const vt_chat_format *format,
                               vt_speculate speculate, const vt_progress *progress,
                               vt_engine_reader **out, vt_err *err)
{
    static const char *const yes[] = {"yes", "Yes", " yes", " Yes", "YES"};
    static const char *const no[] = {"no", "No", " no", " No", "NO"};
    if (format->tokenizer == NULL)
        return vt_fail(err, VT_EUNSUPPORTED, "the model has no tokenizer: it can't read questions");
    vt_engine_reader *r = vt_calloc(1, sizeof *r);
    if (r == NULL) return vt_fail(err, VT_ENOMEM, "no memory for a reader");
    *r = (vt_engine_reader){.session = session,
                            .format = format,
                            .speculate = speculate,
                            .progress = progress,
                            .n_vocab = vt_tokenizer_n_vocab(format->tokenizer)};
    vt_status st = find_words(format->tokenizer, yes, 5, r->yes, &r->n_yes, err);
    if (st == VT_OK) st = find_words(format->tokenizer, no, 5, r->no, &r->n_no, err);
    if (st == VT_OK && (r->n_yes == 0 || r->n_no == 0))
        st = vt_fail(err, VT_EUNSUPPORTED, "the model's vocabulary has no token for yes or no");
    if (st != VT_OK) {
        vt_engine_reader_free(r);
        return st;
    }
    *out = r;
    return VT_OK;
}

void vt_engine_reader_free(vt_engine_reader *r)
{
    if (r == NULL) return;
    vt_tokens_deinit(&r->tokens);
    vt_free(r);
}

vt_reader_usage vt_engine_reader_usage(const vt_engine_reader *r)
{
    return r->usage;
}

/* Bring the session to the prompt that ends with `task`. */
static vt_status read_prompt(vt_engine_reader *r, vt_slice text, vt_slice question, vt_slice answer,
                             const char *task, vt_err *err)
{
    vt_conversation *c = NULL;
    vt_buffer user;
    size_t n_reused = 0;
    vt_buffer_init(&user, PROMPT_BYTES);
    vt_buffer_printf(&user, "Text: ");
    vt_buffer_append(&user, text);
    vt_buffer_printf(&user, "\n\nQuestion: ");
    vt_buffer_append(&user, question);
    if (answer.len > 0) {
        vt_buffer_printf(&user, "\n\nProposed answer: ");
        vt_buffer_append(&user, answer);
    }
    vt_buffer_printf(&user, "\n\n%s", task);
    vt_status st = vt_buffer_status(&user, "the question and its text", err);
    r->tokens.n = 0;
    if (st == VT_OK) st = vt_conversation_new(&c, err);
    if (st == VT_OK)
        st = vt_conversation_add_text(c, VT_ROLE_SYSTEM, vt_slice_cstr(system_text), err);
    if (st == VT_OK) st = vt_conversation_add_text(c, VT_ROLE_USER, vt_buffer_slice(&user), err);
    if (st == VT_OK) st = vt_chat_tokens(r->format, c, &r->tokens, err);
    if (st == VT_OK)
        st = vt_session_sync(r->session, r->tokens.ids, r->tokens.n, r->progress, &n_reused, err);
    if (st == VT_OK) {
        r->usage.prompt_tokens += r->tokens.n;
        r->usage.cached_tokens += n_reused;
    }
    vt_conversation_free(c);
    vt_buffer_deinit(&user);
    return st;
}

/* ln of the sum of e^logit over the ids, less `top` so that nothing overflows. */
static double log_sum(const float *logits, const int32_t *ids, size_t n, double top)
{
    double sum = 0.0;
    for (size_t i = 0; i < n; i++) sum += exp((double)logits[ids[i]] - top);
    return log(sum);
}

static double yes_over_no(const vt_engine_reader *r)
{
    const float *logits = vt_session_logits(r->session);
    double top = -INFINITY;
    for (size_t i = 0; i < r->n_yes; i++) top = fmax(top, (double)logits[r->yes[i]]);
    for (size_t i = 0; i < r->n_no; i++) top = fmax(top, (double)logits[r->no[i]]);
    return log_sum(logits, r->yes, r->n_yes, top) - log_sum(logits, r->no, r->n_no, top);
}

static vt_status engine_states(void *ctx, vt_slice text, vt_slice question, double *log_odds,
                               vt_err *err)
{
    vt_engine_reader *r = ctx;
    vt_status st = read_prompt(r, text, question, VT_S(""), ask_states, err);
    if (st == VT_OK) *log_odds = yes_over_no(r);
    return st;
}

static vt_status engine_confirms(void *ctx, vt_slice text, vt_slice question, vt_slice answer,
                                 double *log_odds, vt_err *err)
{
    vt_engine_reader *r = ctx;
    vt_status st = read_prompt(r, text, question, answer, ask_confirms, err);
    if (st == VT_OK) *log_odds = yes_over_no(r);
    return st;
}

static int32_t likeliest(const float *logits, size_t n)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        if (logits[i] > logits[best]) best = i;
    return (int32_t)best;
}

/* Greedy until the turn or the line ends: one short sentence was asked for. */
static vt_status engine_answers(void *ctx, vt_slice text, vt_slice question, vt_buffer *out,
                                vt_err *err)
{
    vt_engine_reader *r = ctx;
    const bool speculates = r->speculate != VT_SPECULATE_OFF;
    vt_buffer bytes;
    vt_drafter drafter = {0};
    vt_buffer_init(&bytes, 1 << 16);
    vt_status st = read_prompt(r, text, question, VT_S(""), ask_answer, err);
    if (st == VT_OK && speculates)
        st =
            vt_drafter_init(&drafter, r->speculate == VT_SPECULATE_ALWAYS,
                            r->tokens.n + VT_READER_ANSWER_TOKENS, r->tokens.ids, r->tokens.n, err);
    for (int i = 0; i < VT_READER_ANSWER_TOKENS && st == VT_OK; i++) {
        int32_t id = likeliest(vt_session_logits(r->session), r->n_vocab);
        if (vt_chat_format_is_stop(r->format, id)) break;
        vt_slice piece = vt_tokenizer_bytes(r->format->tokenizer, id);
        bool begun = vt_slice_trim(vt_buffer_slice(&bytes)).len > 0;
        if (begun && vt_slice_find(piece, VT_S("\n")) < piece.len) break;
        vt_buffer_append(&bytes, piece);
        r->usage.completion_tokens++;
        const vt_draft_hints hints = {.n_left = (size_t)(VT_READER_ANSWER_TOKENS - i)};
        st = speculates ? vt_drafter_extend(&drafter, r->session, id, &hints, r->progress, err)
                        : vt_session_extend(r->session, &id, 1, r->progress, err);
    }
    vt_drafter_deinit(&drafter);
    if (st == VT_OK) {
        vt_utf8_replace_invalid(vt_slice_trim(vt_buffer_slice(&bytes)), out);
        st = vt_buffer_status(out, "the answer", err);
    }
    vt_buffer_deinit(&bytes);
    return st;
}

vt_reader vt_engine_reader_as_reader(vt_engine_reader *r)
{
    return (vt_reader){
        .states = engine_states, .answers = engine_answers, .confirms = engine_confirms, .ctx = r};
}
