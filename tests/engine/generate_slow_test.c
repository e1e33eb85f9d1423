/* generate_slow_test.c -- engine/generate on real weights (smollm2-135m, as in cli/real_slow_test):
 * with every guess tried, whatever it costs, ids, log-probabilities and the session are those of a
 * run without guessing, greedy and sampled, with penalties, and by a schema. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "base/json.h"
#include "engine/constraint_schema.h"
#include "engine/generate.h"

enum { N_MAX = 100, N_CTX = 512 };

static const char prompt[] =
    "Shopping list: 3 apples, 4 pears, 12 eggs, 2 bottles of milk, 3 loaves of bread.\n"
    "The same list with 5 apples: 5 apples, 4 pears, 12";
static const char schema[] =
    "{\"properties\":{\"fruits\":{\"type\":\"array\",\"minItems\":2,\"maxItems\":4,\"items\":{"
    "\"properties\":{\"name_of_fruit\":{\"type\":\"string\",\"maxLength\":12},\"how_many\":{"
    "\"type\":"
    "\"integer\"}},\"required\":[\"name_of_fruit\",\"how_many\"]}}},\"required\":[\"fruits\"]}";

typedef struct {
    int32_t ids[N_MAX];
    double logprobs[N_MAX];
    size_t n;
    size_t n_held;
    int32_t held[N_CTX];
} record;

static vt_status keep(void *ctx, const vt_generated *token, bool *is_done, vt_err *err)
{
    record *r = ctx;
    (void)is_done;
    (void)err;
    if (token->id < 0) return VT_OK;
    assert_true(r->n < N_MAX);
    r->ids[r->n] = token->id;
    r->logprobs[r->n++] = token->logprob;
    return VT_OK;
}

static void must(vt_status st, const vt_err *err)
{
    if (st != VT_OK) fail_msg("%s", err->msg);
}

static vt_generate_result run(vt_engine *e, const vt_tokens *tokens, const vt_sampling *sampling,
                              const json_t *fits, vt_speculate speculate, record *out)
{
    const vt_tokenizer *t = vt_engine_tokenizer(e);
    const size_t n_vocab = vt_model_get_info(vt_engine_model(e))->n_vocab;
    const int32_t end = vt_tokenizer_eos(t);
    const vt_sampler_options so = {.sampling = *sampling, .seed = 3};
    vt_session *s = NULL;
    vt_sampler *sampler = NULL;
    vt_constraint *c = NULL;
    vt_generate_constraint rule = {0};
    vt_generate_result result = {0};
    vt_err err = {0};
    memset(out, 0, sizeof *out);
    must(vt_session_new(e, &(vt_session_options){.n_ctx = N_CTX}, &s, &err), &err);
    must(vt_sampler_new(&so, n_vocab, &sampler, &err), &err);
    if (fits != NULL) {
        must(vt_constraint_schema_new(t, fits, &end, 1, &c, &err), &err);
        must(vt_constraint_for_generate(c, n_vocab, &rule, &err), &err);
    }
    const vt_generate_options o = {.engine = e,
                                   .session = s,
                                   .tokenizer = t,
                                   .prompt = tokens->ids,
                                   .n_prompt = tokens->n,
                                   .n_max = N_MAX,
                                   .stop_ids = &end,
                                   .n_stop_ids = 1,
                                   .sampler = sampler,
                                   .constraint = fits != NULL ? &rule : NULL,
                                   .n_logprobs = 1,
                                   .on_token = keep,
                                   .ctx = out,
                                   .speculate = speculate};
    must(vt_generate(&o, &result, &err), &err);
    out->n_held = vt_session_n_tokens(s);
    memcpy(out->held, vt_session_tokens(s), out->n_held * sizeof *out->held);
    vt_constraint_free(c);
    vt_sampler_free(sampler);
    vt_session_free(s);
    return result;
}

static void test_every_guess_tried_changes_nothing(void **state)
{
    (void)state;
    static const vt_sampling samplings[] = {
        {.temperature = 0},
        {.temperature = 0.6, .top_p = 0.9},
        {.temperature = 1, .top_k = 40, .repetition_penalty = 1.1},
        {.temperature = 0, .frequency_penalty = 0.2, .presence_penalty = 0.1},
    };
    static record plain, guessed;
    const vt_engine_options eo = {.path = VT_TEST_MODELS "/smollm2-135m.gguf"};
    vt_engine *e = NULL;
    vt_tokens tokens = {0};
    json_t *fits = NULL;
    vt_err err = {0};
    size_t n_accepted = 0, n_drafted = 0;
    must(vt_engine_open(&eo, &e, &err), &err);
    must(vt_tokenizer_encode(vt_engine_tokenizer(e), vt_slice_cstr(prompt), &tokens, &err), &err);
    must(vt_json_parse(vt_slice_cstr(schema), &fits, &err), &err);
    for (size_t i = 0; i < VT_COUNT(samplings); i++)
        for (int k = 0; k < 2; k++) {
            const json_t *rule = k == 0 ? NULL : fits;
            (void)run(e, &tokens, &samplings[i], rule, VT_SPECULATE_OFF, &plain);
            vt_generate_result r =
                run(e, &tokens, &samplings[i], rule, VT_SPECULATE_ALWAYS, &guessed);
            assert_memory_equal(&plain, &guessed, sizeof plain);
            n_drafted += r.n_drafted;
            n_accepted += r.n_accepted;
        }
    print_message("%zu tokens drafted, %zu accepted\n", n_drafted, n_accepted);
    assert_true(n_accepted > 100 && n_accepted < n_drafted);
    json_decref(fits);
    vt_tokens_deinit(&tokens);
    vt_engine_close(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_guess_tried_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
