/* sampler_test.c -- the steps of sampler.h, one by one and against a plain reading of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "engine/sampler.h"

enum { VOCAB = 1000 };

static uint32_t lcg(uint32_t *x)
{
    *x = *x * 1664525u + 1013904223u;
    return *x >> 8;
}

static void random_logits(float *logits, size_t n, uint32_t seed)
{
    for (size_t i = 0; i < n; i++) /* few distinct values: many ties */
        logits[i] = (float)(lcg(&seed) % 64) * 0.25f - 8.0f;
}

static vt_sampler *sampler(const vt_sampling *s, uint64_t seed, size_t n_vocab)
{
    vt_sampler *out = NULL;
    vt_err err = {0};
    vt_sampler_options o = {.sampling = *s, .seed = seed};
    if (vt_sampler_new(&o, n_vocab, &out, &err) != VT_OK) fail_msg("%s", err.msg);
    return out;
}

static int32_t choose(vt_sampler *s, const float *logits, uint64_t position)
{
    int32_t id = -1;
    vt_err err = {0};
    if (vt_sampler_choose(s, logits, position, NULL, &id, &err) != VT_OK) fail_msg("%s", err.msg);
    return id;
}

/* ---- the plain reading: sort everything, sum in the simplest way ---- */

static const float *sort_logits;

static int by_logit_then_id(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a;
    int32_t y = *(const int32_t *)b;
    if (sort_logits[x] > sort_logits[y]) return -1;
    if (sort_logits[x] < sort_logits[y]) return 1;
    return x < y ? -1 : 1;
}

static int32_t plain_choice(const vt_sampling *s, const float *logits, uint64_t seed,
                            uint64_t position)
{
    static int32_t ids[VOCAB];
    static double w[VOCAB];
    for (int32_t i = 0; i < VOCAB; i++) ids[i] = i;
    sort_logits = logits;
    qsort(ids, VOCAB, sizeof *ids, by_logit_then_id);
    size_t n = s->top_k > 0 && s->top_k < VOCAB ? s->top_k : VOCAB;
    double total = 0;
    for (size_t i = 0; i < n; i++) {
        w[i] = exp(((double)logits[ids[i]] - (double)logits[ids[0]]) / s->temperature);
        total += w[i];
    }
    double top_p = s->top_p > 0 ? s->top_p : 1;
    size_t kept = 0;
    double sum = 0;
    while (kept < n && (kept == 0 || top_p >= 1 || sum < top_p * total)) {
        if (w[kept] < s->min_p) break;
        sum += w[kept++];
    }
    uint32_t r[4];
    const uint32_t counter[4] = {(uint32_t)position, 0, 0, 0};
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    vt_philox(counter, key, r);
    double u = (double)(((uint64_t)r[1] << 32 | r[0]) >> 11) / 9007199254740992.0;
    double running = 0;
    for (size_t i = 0; i < kept; i++) {
        running += w[i];
        if (running > u * sum) return ids[i];
    }
    return ids[kept - 1];
}

static void test_choices_are_those_of_a_plain_reading_of_the_steps(void **state)
{
    (void)state;
    static float logits[VOCAB];
    const vt_sampling settings[] = {
        {.temperature = 1},
        {.temperature = 0.2, .top_p = 0.9},
        {.temperature = 0.7, .top_k = 20, .top_p = 0.8},
        {.temperature = 1.5, .top_k = 40},
        {.temperature = 1, .min_p = 0.05},
        {.temperature = 2, .top_p = 0.95, .min_p = 0.1},
        {.temperature = 1, .top_k = 5, .min_p = 0.9, .top_p = 0.99},
        {.temperature = 0.01, .top_p = 0.5},
        {.temperature = 1, .top_k = 5000},
    };
    for (size_t k = 0; k < VT_COUNT(settings); k++) {
        vt_sampler *s = sampler(&settings[k], 77 + k, VOCAB);
        for (uint64_t position = 0; position < 300; position++) {
            random_logits(logits, VOCAB, (uint32_t)(position * 31 + k));
            int32_t want = plain_choice(&settings[k], logits, 77 + k, position);
            if (choose(s, logits, position) != want)
                fail_msg("setting %zu, position %llu", k, (unsigned long long)position);
        }
        vt_sampler_free(s);
    }
}

static void test_the_generator_gives_the_published_known_answers(void **state)
{
    (void)state;
    const struct {
        uint32_t counter[4], key[2], out[4];
    } known[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < VT_COUNT(known); i++) {
        uint32_t out[4];
        vt_philox(known[i].counter, known[i].key, out);
        assert_memory_equal(out, known[i].out, sizeof out);
    }
}

static void test_greedy_takes_the_largest_and_of_ties_the_lower_id(void **state)
{
    (void)state;
    const float logits[6] = {-1, 3, 2, 3, -5, 3};
    vt_sampler *s = sampler(&(vt_sampling){0}, 1, 6);
    assert_int_equal(choose(s, logits, 0), 1);
    vt_sampler_free(s);
    s = sampler(&(vt_sampling){.temperature = 1, .top_k = 1}, 1, 6);
    assert_int_equal(choose(s, logits, 9), 1);
    vt_sampler_free(s);
}

static void test_a_choice_depends_on_seed_and_position_only(void **state)
{
    (void)state;
    static float logits[VOCAB];
    random_logits(logits, VOCAB, 5);
    vt_sampling hot = {.temperature = 3};
    vt_sampler *a = sampler(&hot, 42, VOCAB);
    vt_sampler *b = sampler(&hot, 42, VOCAB);
    vt_sampler *c = sampler(&hot, 43, VOCAB);
    int32_t forward[50];
    size_t n_other = 0;
    for (uint64_t i = 0; i < 50; i++) forward[i] = choose(a, logits, i);
    for (uint64_t i = 50; i-- > 0;) {
        assert_int_equal(choose(b, logits, i), forward[i]);
        n_other += choose(c, logits, i) != forward[i];
    }
    assert_true(n_other > 25);
    vt_sampler_free(a);
    vt_sampler_free(b);
    vt_sampler_free(c);
}

static void test_frequencies_are_the_probabilities(void **state)
{
    (void)state;
    enum { N = 20000 };
    const float logits[4] = {0, 1, 2, -1};
    size_t count[4] = {0};
    double p[4];
    double total = 0;
    for (int i = 0; i < 4; i++) total += p[i] = exp((double)logits[i]);
    vt_sampler *s = sampler(&(vt_sampling){.temperature = 1}, 2026, 4);
    for (uint64_t i = 0; i < N; i++) count[choose(s, logits, i)]++;
    double chi2 = 0;
    for (int i = 0; i < 4; i++) {
        double want = (double)N * p[i] / total;
        chi2 += ((double)count[i] - want) * ((double)count[i] - want) / want;
    }
    assert_true(chi2 < 16.27); /* three degrees of freedom, 0.1 % */
    vt_sampler_free(s);
}

static void test_the_repetition_penalty_works_on_prompt_and_answer_and_pulls_to_zero(void **state)
{
    (void)state;
    const float logits[4] = {4, 3.9f, -1, -1.1f};
    vt_sampler *s = sampler(&(vt_sampling){.repetition_penalty = 1.1}, 1, 4);
    assert_int_equal(choose(s, logits, 0), 0);
    vt_sampler_prompt(s, (const int32_t[]){0, 0}, 2); /* 4 / 1.1 = 3.64, once, not twice */
    assert_int_equal(choose(s, logits, 0), 1);
    vt_sampler_accept(s, 1); /* 3.9 / 1.1 = 3.55 */
    assert_int_equal(choose(s, logits, 0), 0);
    vt_sampler_prompt(s, NULL, 0);
    const float negative[4] = {-9, -9, -1, -1.05f};
    assert_int_equal(choose(s, negative, 0), 2);
    vt_sampler_prompt(s, (const int32_t[]){2}, 1); /* -1 * 1.1 */
    assert_int_equal(choose(s, negative, 0), 3);
    vt_sampler_free(s);
}

static void test_frequency_and_presence_count_the_answer_only(void **state)
{
    (void)state;
    const float logits[3] = {2, 1.5f, 0};
    vt_sampler *s = sampler(&(vt_sampling){.frequency_penalty = 0.3}, 1, 3);
    vt_sampler_prompt(s, (const int32_t[]){0, 0, 0}, 3);
    assert_int_equal(choose(s, logits, 0), 0);
    vt_sampler_accept(s, 0);
    assert_int_equal(choose(s, logits, 0), 0); /* 1.7 */
    vt_sampler_accept(s, 0);
    assert_int_equal(choose(s, logits, 0), 1); /* 1.4 */
    vt_sampler_free(s);
    s = sampler(&(vt_sampling){.presence_penalty = 0.4}, 1, 3);
    vt_sampler_accept(s, 0);
    vt_sampler_accept(s, 0);
    assert_int_equal(choose(s, logits, 0), 0); /* 1.6, however often */
    vt_sampler_free(s);
}

static void test_a_bias_is_added_and_a_mask_is_obeyed(void **state)
{
    (void)state;
    const float logits[70] = {[3] = 5, [66] = 4, [69] = 3};
    const vt_logit_bias bias[] = {{3, -100}, {69, 0.5}};
    vt_sampler_options o = {.bias = bias, .n_bias = 2};
    vt_sampler *s = NULL;
    assert_int_equal(vt_sampler_new(&o, 70, &s, NULL), VT_OK);
    assert_int_equal(choose(s, logits, 0), 66);
    uint64_t words[2] = {1u << 5, 1u << (69 - 64)};
    vt_token_mask mask = {words};
    int32_t id = -1;
    assert_int_equal(vt_sampler_choose(s, logits, 0, &mask, &id, NULL), VT_OK);
    assert_int_equal(id, 69);
    words[1] = 0;
    assert_int_equal(vt_sampler_choose(s, logits, 0, &mask, &id, NULL), VT_OK);
    assert_int_equal(id, 5);
    words[0] = 0;
    vt_err err = {0};
    assert_int_equal(vt_sampler_choose(s, logits, 12, &mask, &id, &err), VT_EINPUT);
    assert_non_null(strstr(err.msg, "no token can be chosen at position 12"));
    vt_sampler_free(s);
}

static void test_a_mask_is_obeyed_at_every_temperature(void **state)
{
    (void)state;
    static float logits[VOCAB];
    uint64_t words[(VOCAB + 63) / 64] = {0};
    random_logits(logits, VOCAB, 8);
    for (int32_t id = 0; id < VOCAB; id += 7) words[id / 64] |= (uint64_t)1 << (id % 64);
    vt_token_mask mask = {words};
    const vt_sampling settings[] = {
        {.temperature = 5}, {.temperature = 5, .top_k = 200}, {.temperature = 5, .top_p = 0.999}};
    for (size_t k = 0; k < VT_COUNT(settings); k++) {
        vt_sampler *s = sampler(&settings[k], k, VOCAB);
        for (uint64_t i = 0; i < 200; i++) {
            int32_t id = -1;
            assert_int_equal(vt_sampler_choose(s, logits, i, &mask, &id, NULL), VT_OK);
            assert_int_equal(id % 7, 0);
        }
        vt_sampler_free(s);
    }
}

static void test_values_out_of_range_are_refused_by_name(void **state)
{
    (void)state;
    const struct {
        vt_sampling s;
        const char *name;
    } bad[] = {
        {{.temperature = -1}, "temperature"},
        {{.temperature = NAN}, "temperature"},
        {{.top_p = 1.5}, "top_p"},
        {{.min_p = -0.1}, "min_p"},
        {{.repetition_penalty = INFINITY}, "repetition_penalty"},
        {{.frequency_penalty = NAN}, "frequency_penalty"},
        {{.presence_penalty = 1000}, "presence_penalty"},
    };
    for (size_t i = 0; i < VT_COUNT(bad); i++) {
        vt_sampler *s = NULL;
        vt_err err = {0};
        vt_sampler_options o = {.sampling = bad[i].s};
        assert_int_equal(vt_sampler_new(&o, 10, &s, &err), VT_EINPUT);
        assert_non_null(strstr(err.msg, bad[i].name));
        assert_null(s);
    }
    const vt_logit_bias far = {10, 1};
    vt_sampler *s = NULL;
    assert_int_equal(vt_sampler_new(&(vt_sampler_options){.bias = &far, .n_bias = 1}, 10, &s, NULL),
                     VT_EINPUT);
}

static void test_choosing_allocates_nothing_and_failing_creation_leaks_nothing(void **state)
{
    (void)state;
    static float logits[VOCAB];
    random_logits(logits, VOCAB, 3);
    vt_sampling all = {.temperature = 1, .top_p = 0.9, .repetition_penalty = 1.1};
    vt_sampler *s = sampler(&all, 1, VOCAB);
    vt_alloc_fail_nth(0);
    vt_sampler_prompt(s, (const int32_t[]){1, 2, 3}, 3);
    for (uint64_t i = 0; i < 20; i++) vt_sampler_accept(s, choose(s, logits, i));
    assert_int_equal(vt_alloc_fail_nth(0), 0);
    vt_sampler_free(s);
    vt_sampler_options o = {.sampling = all};
    for (uint64_t nth = 1; nth <= 7; nth++) {
        vt_alloc_fail_nth(nth);
        assert_int_equal(vt_sampler_new(&o, VOCAB, &s, NULL), VT_ENOMEM);
    }
    vt_alloc_fail_nth(0);
}

static void test_logprobs_are_the_models_own_and_sum_to_one(void **state)
{
    (void)state;
    static float logits[VOCAB];
    random_logits(logits, VOCAB, 4);
    double sum = 0;
    double total = 0;
    for (int32_t i = 0; i < VOCAB; i++) {
        sum += exp(vt_logprob(logits, VOCAB, i));
        total += exp((double)logits[i]);
    }
    assert_true(fabs(sum - 1) < 1e-12);
    vt_logprob_entry top[5];
    assert_int_equal(vt_logprobs_top(logits, VOCAB, 5, top), 5);
    for (int i = 0; i < 5; i++) {
        assert_true(fabs(top[i].logprob - log(exp((double)logits[top[i].id]) / total)) < 1e-12);
        if (i > 0) assert_true(logits[top[i].id] <= logits[top[i - 1].id]);
        if (i > 0 && !(logits[top[i].id] < logits[top[i - 1].id]))
            assert_true(top[i].id > top[i - 1].id);
    }
    assert_int_equal(vt_logprobs_top(logits, 3, 5, top), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_choices_are_those_of_a_plain_reading_of_the_steps),
        cmocka_unit_test(test_the_generator_gives_the_published_known_answers),
        cmocka_unit_test(test_greedy_takes_the_largest_and_of_ties_the_lower_id),
        cmocka_unit_test(test_a_choice_depends_on_seed_and_position_only),
        cmocka_unit_test(test_frequencies_are_the_probabilities),
        cmocka_unit_test(test_the_repetition_penalty_works_on_prompt_and_answer_and_pulls_to_zero),
        cmocka_unit_test(test_frequency_and_presence_count_the_answer_only),
        cmocka_unit_test(test_a_bias_is_added_and_a_mask_is_obeyed),
        cmocka_unit_test(test_a_mask_is_obeyed_at_every_temperature),
        cmocka_unit_test(test_values_out_of_range_are_refused_by_name),
        cmocka_unit_test(test_choosing_allocates_nothing_and_failing_creation_leaks_nothing),
        cmocka_unit_test(test_logprobs_are_the_models_own_and_sum_to_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
