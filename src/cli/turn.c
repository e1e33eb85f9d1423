/* turn.c -- see turn.h.
 *
 *     ids -> vt_generate -> [parser -> text events] -> stop filter -> on_text
 *
 * With a prompt format the stop strings look at the text that a user sees, not at the raw stream:
 * a stop string inside the reasoning or in a header ends nothing. */
#include "cli/turn.h"

#include <stdio.h>
#include <sys/random.h>

#include "base/parse.h"
#include "chat/parser.h"
#include "engine/constraint_harmony.h"
#include "engine/constraint_schema.h"

/* ---- options ---- */

static int read_bias(const vt_args *args, vt_cli_sampling *out)
{
    size_t n = vt_args_n_list(args, "logit-bias");
    if (n > VT_CLI_MAX_BIAS)
        return vt_cli_usage(args, "--logit-bias: %zu of them; the most is %d", n, VT_CLI_MAX_BIAS);
    for (size_t i = 0; i < n; i++) {
        vt_slice text = vt_slice_cstr(vt_args_list(args, "logit-bias", i));
        size_t equals = vt_slice_find(text, VT_S("="));
        uint64_t id = 0;
        if (!vt_parse_u64(vt_slice_take(text, equals), &id) || id > INT32_MAX ||
            !vt_parse_double(vt_slice_skip(text, equals + 1), &out->bias[i].bias))
            return vt_cli_usage(args, "--logit-bias: '%.*s' is not ID=NUMBER", VT_ARG(text));
        out->bias[i].id = (int32_t)id;
    }
    out->n_bias = n;
    return VT_EXIT_OK;
}

static int read_stops(const vt_args *args, vt_cli_sampling *out)
{
    size_t n = vt_args_n_list(args, "stop");
    if (n > VT_STOP_MAX)
        return vt_cli_usage(args, "--stop: %zu of them; the most is %d", n, VT_STOP_MAX);
    for (size_t i = 0; i < n; i++) {
        out->stops[i] = vt_slice_cstr(vt_args_list(args, "stop", i));
        if (out->stops[i].len == 0 || out->stops[i].len > VT_STOP_MAX_LEN)
            return vt_cli_usage(args, "--stop: a text of 1 to %d bytes is needed", VT_STOP_MAX_LEN);
    }
    out->n_stops = n;
    return VT_EXIT_OK;
}

static void take_real(const vt_args *args, const char *name, double *value)
{
    if (vt_args_has(args, name)) *value = vt_args_real(args, name);
}

vt_speculate vt_cli_speculate(const vt_args *args)
{
    bool is_off = strcmp(vt_args_text(args, "speculate"), "off") == 0;
    return is_off ? VT_SPECULATE_OFF : VT_SPECULATE_AUTO;
}

void vt_cli_complete_sampling(const vt_args *args, const vt_store_entry *entry, const vt_gguf *g,
                              vt_cli_sampling *out)
{
    const char *source;
    const vt_catalogue_entry *known = vt_catalogue_by_digest(vt_slice_cstr(entry->digest));
    out->sampling = vt_catalogue_sampling(known, g, &source);
    vt_sampling *s = &out->sampling;
    take_real(args, "temperature", &s->temperature);
    take_real(args, "top-p", &s->top_p);
    take_real(args, "min-p", &s->min_p);
    take_real(args, "repetition-penalty", &s->repetition_penalty);
    take_real(args, "frequency-penalty", &s->frequency_penalty);
    take_real(args, "presence-penalty", &s->presence_penalty);
    if (vt_args_has(args, "top-k")) s->top_k = (uint32_t)vt_args_int(args, "top-k");
}

int vt_cli_read_sampling(const vt_args *args, vt_cli_sampling *out)
{
    *out = (vt_cli_sampling){0};
    out->n_max = (uint32_t)vt_args_int(args, "max-tokens");
    out->speculate = vt_cli_speculate(args);
    out->seed = (uint64_t)vt_args_int(args, "seed");
    if (!vt_args_has(args, "seed")) {
        uint64_t random = 0;
        if (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random) random = 1;
        out->seed = random >> 12; /* short enough to be typed, and exact in every JSON reader */
    }
    int code = read_bias(args, out);
    return code == VT_EXIT_OK ? read_stops(args, out) : code;
}

int vt_cli_check_format(const vt_args *args)
{
    const char *name = vt_args_text(args, "format");
    vt_err err = {0};
    if (name == NULL || name[0] == '\0' ||
        vt_chat_format_check_name(vt_slice_cstr(name), &err) == VT_OK)
        return VT_EXIT_OK;
    return vt_cli_usage(args, "--format: %s", err.msg);
}

/* ---- a turn ---- */

typedef struct {
    const vt_cli_turn *turn;
    vt_parser *parser;
    vt_constraint *automaton; /* harmony: makes ill-formed turns impossible */
    vt_constraint *fitting;   /* the answer, or harmony's final message, fits the schema */
    vt_generate_constraint constraint;
    vt_stop_filter filter;
    const vt_tokenizer *tokenizer;
    vt_cli_progress bar; /* of the prompt; gone when the answer begins */
    bool is_stopped;
    vt_status status; /* of the event callback, which cannot return it */
    vt_err err;
} running;

static void on_event(void *ctx, const vt_event *event)
{
    running *r = ctx;
    vt_slice out = {0};
    if (event->kind == VT_EVENT_REASONING) {
        if (r->turn->on_reasoning != NULL) r->turn->on_reasoning(r->turn->ctx, event->text);
    } else if (event->kind == VT_EVENT_TEXT && r->status == VT_OK) {
        r->status = vt_stop_push(&r->filter, event->text, &out, &r->err);
        if (out.len > 0) r->turn->on_text(r->turn->ctx, out);
        r->is_stopped = vt_stop_found(&r->filter);
    } else if (event->kind == VT_EVENT_CALL) {
        fputs("vetro: the model called '", stderr);
        vt_cli_print_safe(stderr, vt_slice_take(event->name, 64), false);
        fputs("', but no tools are offered here\n", stderr);
    }
}

static void add_logprobs(running *r, const vt_generated *token)
{
    json_t *top = json_array();
    for (size_t i = 0; i < token->n_top; i++) {
        vt_slice bytes = vt_tokenizer_bytes(r->tokenizer, token->top[i].id);
        json_array_append_new(top,
                              json_pack("{s:i, s:o, s:f}", "id", (int)token->top[i].id, "token",
                                        vt_json_string(bytes), "logprob", token->top[i].logprob));
    }
    vt_slice bytes = vt_tokenizer_bytes(r->tokenizer, token->id);
    json_array_append_new(r->turn->logprobs,
                          json_pack("{s:i, s:o, s:f, s:o}", "id", (int)token->id, "token",
                                    vt_json_string(bytes), "logprob", token->logprob, "top", top));
}

static vt_status on_token(void *ctx, const vt_generated *token, bool *is_done, vt_err *err)
{
    running *r = ctx;
    vt_status st = VT_OK;
    vt_cli_progress_end(&r->bar);
    if (token->id >= 0 && r->turn->logprobs != NULL) add_logprobs(r, token);
    if (r->parser == NULL) {
        if (token->text.len > 0) r->turn->on_text(r->turn->ctx, token->text);
    } else if (token->id >= 0) {
        st = vt_parser_feed(r->parser, token->id, err);
        if (st == VT_OK && r->status != VT_OK) {
            st = r->status;
            if (err != NULL) *err = r->err;
        }
        *is_done = r->is_stopped;
    }
    if (ferror(stdout)) *is_done = true; /* nobody reads any more */
    return st;
}

static vt_finish finish_of(vt_end end)
{
    switch (end) {
    case VT_END_LENGTH:
    case VT_END_CONTEXT: return VT_FINISH_LENGTH;
    case VT_END_CANCELLED: return VT_FINISH_CANCEL;
    default: return VT_FINISH_STOP;
    }
}

/* The parser's end: the rest of the text, and the turn's items into the conversation. */
static vt_status finish_turn(running *r, vt_end end, vt_err *err)
{
    vt_slice out = {0};
    vt_status st = vt_parser_finish(r->parser, finish_of(end), err);
    if (st == VT_OK) st = vt_stop_finish(&r->filter, &out, err);
    if (st == VT_OK && out.len > 0) r->turn->on_text(r->turn->ctx, out);
    if (st == VT_OK) st = vt_parser_append(r->parser, r->turn->conversation, err);
    return st;
}

static bool is_harmony(const vt_cli_turn *t)
{
    return t->format != NULL && strcmp(t->format->name, "harmony") == 0;
}

/* What may be sampled: harmony's turns are well formed, and an answer fits its schema. Of a harmony
 * turn that is the final message: reasoning is free. */
static vt_status constrain(running *r, vt_err *err)
{
    const vt_cli_turn *t = r->turn;
    size_t n_vocab = vt_model_get_info(vt_engine_model(t->model->engine))->n_vocab;
    int32_t end = vt_tokenizer_eos(r->tokenizer);
    const int32_t *stops = &end;
    size_t n_stops = end >= 0 ? 1 : 0;
    vt_status st = VT_OK;
    if (is_harmony(t)) {
        end = vt_tokenizer_control(r->tokenizer, VT_S("<|return|>"));
    } else if (t->format != NULL) {
        stops = t->format->stop_ids;
        n_stops = t->format->n_stop_ids;
    }
    if (t->schema != NULL)
        st = vt_constraint_schema_new(r->tokenizer, t->schema, stops, n_stops, &r->fitting, err);
    if (st == VT_OK && is_harmony(t)) {
        const vt_harmony_options no_tools = {.has_json_final = t->schema != NULL,
                                             .final_text = r->fitting};
        st = vt_constraint_harmony_new(r->tokenizer, &no_tools, &r->automaton, err);
    }
    vt_constraint *whole = r->automaton != NULL ? r->automaton : r->fitting;
    if (st == VT_OK && whole != NULL)
        st = vt_constraint_for_generate(whole, n_vocab, &r->constraint, err);
    return st;
}

static vt_status prepare(running *r, vt_tokens *tokens, vt_err *err)
{
    const vt_cli_turn *t = r->turn;
    if (r->tokenizer == NULL)
        return vt_fail(err, VT_EUNSUPPORTED,
                       "the model has no tokenizer: only 'vetro logits' can "
                       "use it");
    vt_status st = constrain(r, err);
    if (st != VT_OK) return st;
    if (t->format == NULL) return vt_tokens_append(tokens, t->tokens->ids, t->tokens->n, err);
    st = vt_chat_tokens(t->format, t->conversation, tokens, err);
    if (st == VT_OK) st = vt_stop_init(&r->filter, t->sampling->stops, t->sampling->n_stops, err);
    if (st == VT_OK) st = vt_parser_new(t->format, t->conversation, on_event, r, &r->parser, err);
    return st;
}

static vt_status generate(running *r, const vt_tokens *tokens, vt_generate_result *result,
                          vt_err *err)
{
    const vt_cli_turn *t = r->turn;
    const vt_cli_sampling *s = t->sampling;
    vt_sampler *sampler = NULL;
    int32_t eos = vt_tokenizer_eos(r->tokenizer);
    bool is_raw = t->format == NULL;
    size_t n_vocab = vt_model_get_info(vt_engine_model(t->model->engine))->n_vocab;
    vt_sampler_options so = {
        .sampling = s->sampling, .seed = s->seed, .bias = s->bias, .n_bias = s->n_bias};
    vt_status st = vt_sampler_new(&so, n_vocab, &sampler, err);
    if (st != VT_OK) return st;
    vt_cli_progress_begin(&r->bar);
    vt_generate_options o = {
        .engine = t->model->engine,
        .session = t->model->session,
        .tokenizer = is_raw ? r->tokenizer : NULL,
        .prompt = tokens->ids,
        .n_prompt = tokens->n,
        .n_max = s->n_max,
        .stop_ids = is_raw ? &eos : t->format->stop_ids,
        .n_stop_ids = is_raw ? (eos >= 0 ? 1 : 0) : t->format->n_stop_ids,
        .stops = is_raw ? s->stops : NULL,
        .n_stops = is_raw ? s->n_stops : 0,
        .sampler = sampler,
        .constraint = r->constraint.allow != NULL ? &r->constraint : NULL,
        .n_logprobs = t->n_logprobs,
        .on_token = on_token,
        .ctx = r,
        .progress = &r->bar.progress,
        .speculate = s->speculate,
    };
    st = vt_generate(&o, result, err);
    vt_cli_progress_end(&r->bar);
    vt_sampler_free(sampler);
    return st;
}

vt_status vt_cli_turn_run(const vt_cli_turn *turn, vt_generate_result *result, vt_err *err)
{
    running r = {.turn = turn, .tokenizer = vt_engine_tokenizer(turn->model->engine)};
    vt_generate_result got = {0};
    vt_tokens tokens = {0};
    vt_status st = prepare(&r, &tokens, err);
    if (st == VT_OK) st = generate(&r, &tokens, &got, err);
    if (st == VT_OK && r.parser != NULL) st = finish_turn(&r, got.end, err);
    vt_parser_free(r.parser);
    vt_constraint_free(r.automaton);
    vt_constraint_free(r.fitting);
    vt_stop_deinit(&r.filter);
    vt_tokens_deinit(&tokens);
    if (st == VT_OK) *result = got;
    return st;
}

void vt_cli_note_cut(const vt_cli_model *m, const vt_generate_result *r)
{
    if (r->end != VT_END_CONTEXT) return;
    uint32_t n_ctx = vt_session_n_ctx(m->session);
    bool can_grow = n_ctx < vt_model_get_info(vt_engine_model(m->engine))->n_ctx_train;
    vt_cli_note(
        "vetro: the context of %u tokens is full (%zu of prompt, %zu of answer): the answer "
        "stops here; %s",
        (unsigned)n_ctx, r->n_prompt, r->n_generated,
        can_grow ? "--ctx makes room" : "the model was trained for no more");
}
