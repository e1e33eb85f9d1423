/* generate_test.c -- engine/generate: whatever is guessed, what comes out is what comes out without
 * guessing: ids, text, log-probabilities, the end, and what the session holds. Models: the tiny
 * ones of tests/data/tiny, and one with a tokenizer. They speak random tokens, so a bias towards a
 * few makes some guesses come true and others not. */
#include "support/reference.h"

#include "engine/constraint_schema.h"
#include "engine/generate.h"

enum { MOST_TOKENS = 400, MOST_TEXT = 4096, N_TOP = 3 };

/* All that a run shows. */
typedef struct {
    int32_t ids[MOST_TOKENS];
    bool is_stop[MOST_TOKENS];
    vt_logprob_entry top[MOST_TOKENS][N_TOP];
    double logprobs[MOST_TOKENS];
    size_t text_at[MOST_TOKENS]; /* bytes of text before it */
    size_t n;
    char text[MOST_TEXT];
    size_t n_text;
    size_t done_at; /* says that it is done after so many tokens; 0: never */
    vt_end end;
    int i_stop;
    size_t n_held;
    int32_t held[MOST_TOKENS];
} record;

static vt_status keep(void *ctx, const vt_generated *token, bool *is_done, vt_err *err)
{
    (void)err;
    record *r = ctx;
    if (token->id >= 0) {
        assert_true(r->n < MOST_TOKENS);
        r->ids[r->n] = token->id;
        r->is_stop[r->n] = token->is_stop;
        r->logprobs[r->n] = token->logprob;
        for (size_t i = 0; i < token->n_top; i++) {
            r->top[r->n][i].id = token->top[i].id;
            r->top[r->n][i].logprob = token->top[i].logprob;
        }
        r->text_at[r->n++] = r->n_text;
    }
    assert_true(r->n_text + token->text.len <= MOST_TEXT);
    if (token->text.len > 0) memcpy(r->text + r->n_text, token->text.ptr, token->text.len);
    r->n_text += token->text.len;
    if (r->n == r->done_at) *is_done = true;
    return VT_OK;
}

/* ---- a constraint that depends on what came ---- */

typedef struct {
    uint64_t words[8];
    size_t n_vocab;
    uint64_t state;
    bool foresees; /* truly when a single token is allowed, else now and then something wrong */
} walk;

static uint64_t scramble(uint64_t x)
{
    x = (x ^ x >> 31) * 0x9E3779B97F4A7C15u;
    return x ^ x >> 29;
}

/* Of four states one allows a single token, one a few, the others all. */
static int32_t forced_by(const walk *w, uint64_t state)
{
    return state % 4 == 0 ? (int32_t)(scramble(state) % w->n_vocab) : -1;
}

static uint64_t state_after(uint64_t state, int32_t id)
{
    return scramble(state * 31 + (uint64_t)id % 3 + 1);
}

static vt_status allow(void *ctx, vt_token_mask *mask, bool *is_free, vt_err *err)
{
    walk *w = ctx;
    (void)err;
    memset(w->words, 0, sizeof w->words);
    *is_free = w->state % 4 > 1;
    for (uint64_t i = 0; i < 3; i++) {
        const uint64_t id = scramble(w->state + (w->state % 4 == 0 ? 0 : i)) % w->n_vocab;
        w->words[id / 64] |= UINT64_C(1) << id % 64;
    }
    mask->words = w->words;
    return VT_OK;
}

static vt_status accept(void *ctx, int32_t id, vt_err *err)
{
    walk *w = ctx;
    (void)err;
    if (w->state % 4 < 2) assert_true(w->words[id / 64] >> (id % 64) & 1);
    w->state = state_after(w->state, id);
    return VT_OK;
}

static size_t foresee(void *ctx, int32_t *ids, size_t n_most)
{
    const walk *w = ctx;
    uint64_t state = w->state;
    size_t n = 0;
    if (scramble(state + 5) % 8 == 0 && n_most > 0) { /* wrong, most likely */
        ids[n++] = (int32_t)(scramble(state + 6) % w->n_vocab);
        return n;
    }
    while (n < n_most && forced_by(w, state) >= 0) {
        ids[n] = forced_by(w, state);
        state = state_after(state, ids[n++]);
    }
    return n;
}

/* ---- runs ---- */

typedef struct {
    vt_engine *engine;
    uint32_t n_ctx, n_chunk;
    vt_kv_type kv_type;
    bool is_constrained;
    const char *schema; /* or NULL */
    size_t done_at;
    vt_sampler_options sampler;
    vt_generate_options options; /* the rest */
} plan;

static vt_constraint *schema_of(vt_engine *e, const char *text, int32_t stop_id)
{
    json_t *schema = NULL;
    vt_constraint *c = NULL;
    vt_err err = {0};
    if (vt_json_parse(vt_slice_cstr(text), &schema, &err) != VT_OK ||
        vt_constraint_schema_new(vt_engine_tokenizer(e), schema, &stop_id, 1, &c, &err) != VT_OK)
        fail_msg("%s", err.msg);
    json_decref(schema);
    return c;
}

static vt_generate_result run(const plan *p, vt_speculate speculate, record *out)
{
    const size_t n_vocab = vt_model_get_info(vt_engine_model(p->engine))->n_vocab;
    const vt_session_options so = {.n_ctx = p->n_ctx, .n_chunk = p->n_chunk, .kv_type = p->kv_type};
    vt_err err = {0};
    vt_session *s = NULL;
    vt_sampler *sampler = NULL;
    vt_generate_result result = {0};
    walk w = {.n_vocab = n_vocab, .state = 3};
    const vt_generate_constraint c = {
        .ctx = &w, .allow = allow, .accept = accept, .foresee = foresee};
    vt_constraint *fitting = NULL;
    vt_generate_constraint fits = {0};
    memset(out, 0, sizeof *out);
    out->done_at = p->done_at;
    if (p->schema != NULL) {
        fitting = schema_of(p->engine, p->schema, p->options.stop_ids[0]);
        if (vt_constraint_for_generate(fitting, n_vocab, &fits, &err) != VT_OK)
            fail_msg("%s", err.msg);
    }
    if (vt_session_new(p->engine, &so, &s, &err) != VT_OK) fail_msg("%s", err.msg);
    if (vt_sampler_new(&p->sampler, n_vocab, &sampler, &err) != VT_OK) fail_msg("%s", err.msg);
    vt_generate_options o = p->options;
    o.engine = p->engine;
    o.session = s;
    o.sampler = sampler;
    o.constraint = fitting != NULL ? &fits : p->is_constrained ? &c : NULL;
    o.on_token = keep;
    o.ctx = out;
    o.speculate = speculate;
    if (vt_generate(&o, &result, &err) != VT_OK) fail_msg("%s", err.msg);
    out->end = result.end;
    out->i_stop = result.i_stop;
    out->n_held = vt_session_n_tokens(s);
    assert_true(out->n_held <= MOST_TOKENS);
    memcpy(out->held, vt_session_tokens(s), out->n_held * sizeof *out->held);
    vt_constraint_free(fitting);
    vt_sampler_free(sampler);
    vt_session_free(s);
    return result;
}

static size_t n_drafted, n_accepted;

/* The same with and without; what was guessed is counted. */
static size_t compare(const plan *p)
{
    static record plain, guessed;
    vt_generate_result a = run(p, VT_SPECULATE_OFF, &plain);
    assert_int_equal(a.n_drafted, 0);
    for (vt_speculate how = VT_SPECULATE_AUTO; how <= VT_SPECULATE_ALWAYS; how++) {
        vt_generate_result b = run(p, how, &guessed);
        assert_memory_equal(&plain, &guessed, sizeof plain);
        assert_int_equal(a.n_generated, b.n_generated);
        assert_true(b.n_accepted <= b.n_drafted && b.n_accepted < b.n_generated);
        n_drafted += b.n_drafted;
        n_accepted += b.n_accepted;
    }
    return a.n_generated;
}

static void expect_guesses(size_t least_drafted, size_t least_accepted)
{
    print_message("%zu tokens drafted, %zu accepted\n", n_drafted, n_accepted);
    assert_true(n_drafted >= least_drafted);
    assert_true(n_accepted >= least_accepted && n_accepted < n_drafted);
    n_drafted = n_accepted = 0;
}

/* Sampling among a few tokens, so that pairs of them come again. */
static vt_logit_bias few[] = {{3, 40}, {17, 40}, {40, 40}, {41, 39}, {99, 40}};

static plan sampled_plan(vt_engine *e, const reference *r, uint64_t seed)
{
    /* Q8_0 needs heads of whole blocks */
    const uint32_t n_kv_types = vt_model_get_info(vt_engine_model(e))->head_dim % 32 == 0 ? 3 : 2;
    static const vt_sampling samplings[] = {
        {.temperature = 0},
        {.temperature = 1},
        {.temperature = 0.5, .top_k = 3, .repetition_penalty = 1.3},
        {.temperature = 2, .top_p = 0.8, .presence_penalty = 0.5, .frequency_penalty = 0.3},
        {.temperature = 0, .repetition_penalty = 1.1, .frequency_penalty = 1},
    };
    return (plan){
        .engine = e,
        .n_ctx = 300,
        .n_chunk = seed % 3 == 0   ? 16
                   : seed % 3 == 1 ? 2
                                   : 64,
        .kv_type = (vt_kv_type)(seed % n_kv_types),
        .sampler = {.sampling = samplings[seed % VT_COUNT(samplings)],
                    .seed = seed,
                    .bias = few,
                    .n_bias = seed % 7 == 0 ? 0 : VT_COUNT(few)},
        .options = {.prompt = r->tokens,
                    .n_prompt = 20 + seed % 11,
                    .n_max = 40 + (uint32_t)(seed * 13 % 90),
                    .n_logprobs = N_TOP},
    };
}

static void check_seeds(const char *name, uint64_t n_seeds)
{
    reference r = reference_load(name);
    vt_engine *e = reference_engine(name, NULL, 2);
    for (uint64_t seed = 0; seed < n_seeds; seed++) {
        plan p = sampled_plan(e, &r, seed);
        compare(&p);
        p.is_constrained = true;
        compare(&p);
    }
    vt_engine_close(e);
    reference_free(&r);
}

static void test_guessing_changes_nothing_with_full_attention(void **state)
{
    (void)state;
    check_seeds("llama", 20);
    check_seeds("qwen2", 20);
    expect_guesses(4000, 1000);
}

static void test_guessing_changes_nothing_with_a_sliding_window(void **state)
{
    (void)state;
    check_seeds("gpt-oss", 15);
    check_seeds("gpt-oss-mxfp4", 15);
    expect_guesses(3000, 700);
}

static void test_guessing_changes_nothing_of_how_it_ends(void **state)
{
    (void)state;
    reference r = reference_load("llama");
    vt_engine *e = reference_engine("llama", NULL, 2);
    const int32_t stop_ids[] = {99, 5};
    for (uint64_t seed = 1; seed < 30; seed++) {
        plan p = sampled_plan(e, &r, seed);
        p.options.n_max = (uint32_t)(seed % 12);
        p.n_ctx = 30 + (uint32_t)seed * 3; /* full, where n_max is 0 */
        p.options.n_prompt = 28;
        compare(&p);
        p.done_at = seed;
        compare(&p);
        p.options.stop_ids = stop_ids;
        p.options.n_stop_ids = 2;
        p.done_at = 0;
        p.options.n_max = 0;
        compare(&p);
    }
    expect_guesses(500, 30);
    vt_engine_close(e);
    reference_free(&r);
}

static void test_guessing_changes_nothing_of_text_and_stop_strings(void **state)
{
    (void)state;
    const vt_engine_options eo = {.path = VT_TEST_DATA "/cli/tiny-chat.gguf", .n_threads = 2};
    const int32_t prompt[] = {72, 101, 108, 108, 111};
    const vt_slice stops[] = {VT_S("((c"), VT_S("cab("),
                              VT_S("\xc3\xa9"
                                   "a")};
    vt_logit_bias letters[] = {{'(', 40}, {'a', 40}, {'b', 39}, {'c', 40}, {0xc3, 38}, {0xa9, 38}};
    vt_engine *e = NULL;
    vt_err err = {0};
    size_t n_stopped = 0;
    if (vt_engine_open(&eo, &e, &err) != VT_OK) fail_msg("%s", err.msg);
    for (uint64_t seed = 0; seed < 30; seed++) {
        plan p = {.engine = e,
                  .n_ctx = 256,
                  .sampler = {.sampling = {.temperature = 1 + (double)(seed % 3)},
                              .seed = seed,
                              .bias = letters,
                              .n_bias = VT_COUNT(letters)},
                  .options = {.tokenizer = vt_engine_tokenizer(e),
                              .prompt = prompt,
                              .n_prompt = VT_COUNT(prompt),
                              .n_max = 100,
                              .stops = stops,
                              .n_stops = seed % 4}};
        n_stopped += compare(&p) < 100;
    }
    assert_true(n_stopped > 3 && n_stopped < 30);
    expect_guesses(500, 100);
    vt_engine_close(e);
}

static void test_guessing_changes_nothing_of_answers_that_fit_a_schema(void **state)
{
    (void)state;
    const vt_engine_options eo = {.path = VT_TEST_DATA "/cli/tiny-chat.gguf", .n_threads = 2};
    const int32_t prompt[] = {72, 101, 108, 108, 111}, end = 260;
    vt_engine *e = NULL;
    vt_err err = {0};
    size_t n_whole = 0;
    if (vt_engine_open(&eo, &e, &err) != VT_OK) fail_msg("%s", err.msg);
    for (uint64_t seed = 0; seed < 12; seed++) {
        plan p = {.engine = e,
                  .n_ctx = 256,
                  .schema =
                      "{\"properties\":{\"first\":{\"type\":\"string\",\"maxLength\":9},\"list\":{"
                      "\"type\":\"array\",\"minItems\":2,\"maxItems\":3,\"items\":{\"properties\":{"
                      "\"alpha\":{\"type\":\"boolean\"},\"beta\":{\"enum\":[\"one\",\"two\"]}},"
                      "\"required\":[\"alpha\",\"beta\"]}}},\"required\":[\"first\",\"list\"]}",
                  .sampler = {.sampling = {.temperature = (double)(seed % 4)}, .seed = seed},
                  .options = {.tokenizer = vt_engine_tokenizer(e),
                              .prompt = prompt,
                              .n_prompt = VT_COUNT(prompt),
                              .n_max = 200,
                              .n_logprobs = N_TOP,
                              .stop_ids = &end,
                              .n_stop_ids = 1}};
        n_whole += compare(&p) < 200;
    }
    assert_true(n_whole > 3);
    expect_guesses(500, 300);
    vt_engine_close(e);
}

static void test_the_loop_allocates_nothing(void **state)
{
    (void)state;
    static record r;
    reference text = reference_load("gpt-oss");
    vt_engine *e = reference_engine("gpt-oss", NULL, 2);
    for (int is_constrained = 0; is_constrained < 2; is_constrained++) {
        plan p = sampled_plan(e, &text, 3);
        p.is_constrained = is_constrained;
        p.options.n_max = 10;
        (void)run(&p, VT_SPECULATE_OFF, &r); /* makes the engine's pass */
        (void)vt_alloc_fail_nth(0);
        (void)run(&p, VT_SPECULATE_ALWAYS, &r);
        const uint64_t n_short = vt_alloc_fail_nth(0);
        p.options.n_max = 200;
        (void)run(&p, VT_SPECULATE_ALWAYS, &r);
        assert_int_equal(vt_alloc_fail_nth(0), n_short);
    }
    vt_engine_close(e);
    reference_free(&text);
}

/* ---- broken off ---- */

typedef struct {
    atomic_bool is_cancelled;
    uint64_t after;
} breaker;

static void on_progress(void *ctx, const char *what, uint64_t done, uint64_t total)
{
    (void)what, (void)total;
    breaker *b = ctx;
    if (done >= b->after) atomic_store(&b->is_cancelled, true);
}

static vt_status give_up(void *ctx, const vt_generated *token, bool *is_done, vt_err *err)
{
    (void)ctx, (void)token, (void)is_done;
    return vt_fail(err, VT_ECANCEL, "the callback's own");
}

static void test_a_prompt_that_was_broken_off_counts_what_was_read(void **state)
{
    (void)state;
    reference text = reference_load("gpt-oss");
    vt_engine *e = reference_engine("gpt-oss", NULL, 1);
    const vt_session_options so = {.n_ctx = 300, .n_chunk = 16};
    vt_session *s = NULL;
    vt_sampler *sampler = NULL;
    vt_generate_result result = {0};
    breaker b = {.after = 16};
    const vt_progress progress = {
        .report = on_progress, .ctx = &b, .is_cancelled = &b.is_cancelled};
    const size_t n_vocab = vt_model_get_info(vt_engine_model(e))->n_vocab;
    assert_int_equal(vt_session_new(e, &so, &s, NULL), VT_OK);
    assert_int_equal(vt_sampler_new(&(vt_sampler_options){0}, n_vocab, &sampler, NULL), VT_OK);
    vt_generate_options o = {.engine = e,
                             .session = s,
                             .sampler = sampler,
                             .prompt = text.tokens,
                             .n_prompt = 60,
                             .n_max = 5,
                             .progress = &progress};
    assert_int_equal(vt_generate(&o, &result, NULL), VT_OK);
    assert_int_equal(result.end, VT_END_CANCELLED);
    assert_int_equal(result.n_prompt, 60);
    assert_int_equal(result.n_prefilled, 16);
    assert_int_equal(result.n_generated, 0);
    const double rate = vt_generate_prefill_rate(&result) * result.prefill_seconds;
    assert_true(rate > 15.99 && rate < 16.01);
    /* going on counts the rest; a callback that gives up is a failure, not the user's wish */
    o.progress = NULL;
    assert_int_equal(vt_generate(&o, &result, NULL), VT_OK);
    assert_int_equal(result.n_cached, 16);
    assert_int_equal(result.n_prefilled, 44);
    o.on_token = give_up;
    vt_err err = {0};
    assert_int_equal(vt_generate(&o, &result, &err), VT_ECANCEL);
    assert_string_equal(err.msg, "the callback's own");
    vt_sampler_free(sampler);
    vt_session_free(s);
    vt_engine_close(e);
    reference_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_guessing_changes_nothing_with_full_attention),
        cmocka_unit_test(test_guessing_changes_nothing_with_a_sliding_window),
        cmocka_unit_test(test_guessing_changes_nothing_of_how_it_ends),
        cmocka_unit_test(test_guessing_changes_nothing_of_text_and_stop_strings),
        cmocka_unit_test(test_guessing_changes_nothing_of_answers_that_fit_a_schema),
        cmocka_unit_test(test_the_loop_allocates_nothing),
        cmocka_unit_test(test_a_prompt_that_was_broken_off_counts_what_was_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
