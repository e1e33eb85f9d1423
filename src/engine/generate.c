/* generate.c -- see generate.h. The loop allocates nothing: the sampler, the stop filter, the
 * drafter and the session have what they need before it begins.
 *
 * Speculation stays out of what is chosen: each token is chosen from the session's logits, which
 * are the same bits whether they were computed for this token or tried before. */
#include "engine/generate.h"

#include "base/clock.h"
#include "engine/stop.h"

typedef struct {
    const vt_generate_options *o;
    vt_generate_result r;
    vt_stop_filter filter;
    size_t n_vocab;
    vt_logprob_entry top[VT_LOGPROBS_MAX];
    bool is_done;
    vt_drafter drafter;
} generation;

const char *vt_end_text(vt_end end)
{
    static const char *const names[] = {"stop", "length", "length", "cancelled"};
    return names[end];
}

static bool is_stop_id(const vt_generate_options *o, int32_t id)
{
    for (size_t i = 0; i < o->n_stop_ids; i++)
        if (o->stop_ids[i] == id) return true;
    return false;
}

static vt_status prefill(generation *g, vt_err *err)
{
    const vt_generate_options *o = g->o;
    uint32_t n_ctx = vt_session_n_ctx(o->session);
    if (o->n_prompt == 0) return vt_fail(err, VT_EINPUT, "the prompt is empty");
    if (o->n_prompt >= n_ctx)
        return vt_fail(err, VT_ELIMIT,
                       "the prompt has %zu tokens; a context of %u leaves no room for an answer",
                       o->n_prompt, (unsigned)n_ctx);
    double start = vt_clock_seconds();
    vt_status st =
        vt_session_sync(o->session, o->prompt, o->n_prompt, o->progress, &g->r.n_cached, err);
    g->r.prefill_seconds = vt_clock_seconds() - start;
    g->r.n_prompt = o->n_prompt;
    const size_t n_held = vt_session_n_tokens(o->session); /* fewer when it was cancelled */
    g->r.n_prefilled = n_held > g->r.n_cached ? n_held - g->r.n_cached : 0;
    return st;
}

static vt_status begin_drafts(generation *g, vt_err *err)
{
    const vt_generate_options *o = g->o;
    size_t n_most = vt_session_n_ctx(o->session);
    if (o->speculate == VT_SPECULATE_OFF) return VT_OK;
    if (o->n_max > 0 && o->n_max < n_most - o->n_prompt) n_most = o->n_prompt + o->n_max;
    return vt_drafter_init(&g->drafter, o->speculate == VT_SPECULATE_ALWAYS, n_most, o->prompt,
                           o->n_prompt, err);
}

static vt_status choose(generation *g, int32_t *id, vt_err *err)
{
    const vt_generate_options *o = g->o;
    const float *logits = vt_session_logits(o->session);
    vt_token_mask mask = {0};
    bool is_free = true;
    vt_status st = VT_OK;
    if (o->constraint != NULL) st = o->constraint->allow(o->constraint->ctx, &mask, &is_free, err);
    if (st == VT_OK)
        st = vt_sampler_choose(o->sampler, logits, vt_session_n_tokens(o->session),
                               is_free ? NULL : &mask, id, err);
    if (st == VT_OK) vt_sampler_accept(o->sampler, *id);
    if (st == VT_OK && o->constraint != NULL)
        st = o->constraint->accept(o->constraint->ctx, *id, err);
    return st;
}

/* Hand out token `id`, or (-1) what is left at the end. */
static vt_status hand_out(generation *g, int32_t id, bool is_stop, vt_err *err)
{
    const vt_generate_options *o = g->o;
    vt_generated token = {.id = id, .is_stop = is_stop};
    vt_status st = VT_OK;
    if (id < 0) st = vt_stop_finish(&g->filter, &token.text, err);
    else if (o->tokenizer != NULL && !is_stop && !vt_tokenizer_is_control(o->tokenizer, id))
        st = vt_stop_push(&g->filter, vt_tokenizer_bytes(o->tokenizer, id), &token.text, err);
    if (st != VT_OK || o->on_token == NULL || (id < 0 && token.text.len == 0)) return st;
    if (o->n_logprobs > 0 && id >= 0) {
        const float *logits = vt_session_logits(o->session);
        token.logprob = vt_logprob(logits, g->n_vocab, id);
        token.n_top = vt_logprobs_top(logits, g->n_vocab, o->n_logprobs, g->top);
        token.top = g->top;
    }
    return o->on_token(o->ctx, &token, &g->is_done, err);
}

static vt_status go_on(generation *g, int32_t id, vt_err *err)
{
    const vt_generate_options *o = g->o;
    vt_draft_hints hints = {0};
    if (o->speculate == VT_SPECULATE_OFF)
        return vt_session_extend(o->session, &id, 1, o->progress, err);
    if (o->n_max > 0) hints.n_left = o->n_max - g->r.n_generated;
    if (o->constraint != NULL) {
        hints.foresee = o->constraint->foresee;
        hints.ctx = o->constraint->ctx;
    }
    return vt_drafter_extend(&g->drafter, o->session, id, &hints, o->progress, err);
}

/* One token; *is_over when it was the last. */
static vt_status step(generation *g, bool *is_over, vt_err *err)
{
    const vt_generate_options *o = g->o;
    int32_t id = -1;
    vt_status st = choose(g, &id, err);
    if (st != VT_OK) return st;
    g->r.n_generated++;
    bool is_stop = is_stop_id(o, id);
    st = hand_out(g, id, is_stop, err);
    if (st != VT_OK) return st;
    *is_over = true;
    if (is_stop || g->is_done || vt_stop_found(&g->filter)) {
        g->r.end = VT_END_STOP;
        return VT_OK;
    }
    if (o->n_max > 0 && g->r.n_generated >= o->n_max) {
        g->r.end = VT_END_LENGTH;
        return VT_OK;
    }
    if (vt_session_n_tokens(o->session) >= vt_session_n_ctx(o->session)) {
        g->r.end = VT_END_CONTEXT;
        return VT_OK;
    }
    *is_over = false;
    return go_on(g, id, err);
}

static vt_status decode(generation *g, vt_err *err)
{
    vt_status st = VT_OK;
    bool is_over = false;
    double start = vt_clock_seconds();
    while (st == VT_OK && !is_over) {
        if (vt_progress_cancelled(g->o->progress)) st = VT_ECANCEL;
        else st = step(g, &is_over, err);
    }
    g->r.decode_seconds = vt_clock_seconds() - start;
    return st;
}

vt_status vt_generate(const vt_generate_options *options, vt_generate_result *result, vt_err *err)
{
    generation g = {.o = options, .r.i_stop = -1};
    g.n_vocab = vt_model_get_info(vt_engine_model(options->engine))->n_vocab;
    vt_status st = vt_stop_init(&g.filter, options->stops, options->n_stops, err);
    if (st != VT_OK) return st;
    st = prefill(&g, err);
    if (st == VT_OK) st = begin_drafts(&g, err);
    if (st == VT_OK) {
        vt_sampler_prompt(options->sampler, options->prompt, options->n_prompt);
        st = decode(&g, err);
    }
    /* A callback's own VT_ECANCEL is its failure, not this. */
    if (st == VT_ECANCEL && vt_progress_cancelled(options->progress)) {
        g.r.end = VT_END_CANCELLED;
        st = VT_OK;
    }
    if (st == VT_OK) st = hand_out(&g, -1, false, err);
    g.r.i_stop = g.filter.i_stop;
    vt_stop_deinit(&g.filter);
    g.r.n_drafted = g.drafter.n_drafted;
    g.r.n_accepted = g.drafter.n_accepted;
    vt_drafter_deinit(&g.drafter);
    if (st == VT_OK) *result = g.r;
    return st;
}

double vt_generate_prefill_rate(const vt_generate_result *r)
{
    return r->prefill_seconds > 0 ? (double)r->n_prefilled / r->prefill_seconds : 0;
}

double vt_generate_decode_rate(const vt_generate_result *r)
{
    /* The first token comes from the prefill; the time is that of the steps between. */
    double n = r->n_generated > 1 ? (double)(r->n_generated - 1) : 0;
    return r->decode_seconds > 0 ? n / r->decode_seconds : 0;
}
