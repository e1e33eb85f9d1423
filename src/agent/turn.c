/* turn.c -- see turn.h. */
#include "agent/turn.h"

typedef struct {
    vt_parser *parser;
} feeding;

static vt_status on_token(void *ctx, const vt_generated *token, bool *is_done, vt_err *err)
{
    feeding *f = ctx;
    (void)is_done;
    return token->id >= 0 ? vt_parser_feed(f->parser, token->id, err) : VT_OK;
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

static vt_status generate(vt_engine_turn *t, const vt_tokens *prompt, vt_constraint *constraint,
                          feeding *f, vt_end *end, vt_err *err)
{
    size_t n_vocab = vt_model_get_info(vt_engine_model(t->engine))->n_vocab;
    vt_sampler_options sampling = {.sampling = t->sampling, .seed = t->seed};
    vt_sampler *sampler = NULL;
    vt_generate_constraint rule = {0};
    vt_generate_result result = {0};
    vt_status st = vt_sampler_new(&sampling, n_vocab, &sampler, err);
    if (st == VT_OK && constraint != NULL)
        st = vt_constraint_for_generate(constraint, n_vocab, &rule, err);
    if (st == VT_OK) {
        vt_generate_options o = {.engine = t->engine,
                                 .session = t->session,
                                 .prompt = prompt->ids,
                                 .n_prompt = prompt->n,
                                 .stop_ids = t->format->stop_ids,
                                 .n_stop_ids = t->format->n_stop_ids,
                                 .sampler = sampler,
                                 .constraint = constraint != NULL ? &rule : NULL,
                                 .on_token = on_token,
                                 .ctx = f,
                                 .progress = t->progress,
                                 .speculate = t->speculate};
        st = vt_generate(&o, &result, err);
    }
    vt_sampler_free(sampler);
    if (st != VT_OK) return st;
    *end = result.end;
    t->usage.prompt_tokens += result.n_prompt;
    t->usage.cached_tokens += result.n_cached;
    t->usage.completion_tokens += result.n_generated;
    return VT_OK;
}

static vt_status run(void *ctx, vt_conversation *c, vt_finish *finish, vt_err *err)
{
    vt_engine_turn *t = ctx;
    vt_tokens prompt = {0};
    vt_constraint *constraint = NULL;
    feeding f = {0};
    vt_end end = VT_END_STOP;
    vt_status st = vt_chat_tokens(t->format, c, &prompt, err);
    if (st == VT_OK) st = vt_chat_constraint(t->format, c, &constraint, err);
    if (st == VT_OK) st = vt_parser_new(t->format, c, NULL, NULL, &f.parser, err);
    if (st == VT_OK) st = generate(t, &prompt, constraint, &f, &end, err);
    if (st == VT_OK) st = vt_parser_finish(f.parser, finish_of(end), err);
    if (st == VT_OK) st = vt_parser_append(f.parser, c, err);
    if (st == VT_OK) *finish = finish_of(end);
    vt_parser_free(f.parser);
    vt_constraint_free(constraint);
    vt_tokens_deinit(&prompt);
    return st;
}

vt_turn vt_engine_turn_as_turn(vt_engine_turn *t)
{
    return (vt_turn){.run = run, .ctx = t};
}
