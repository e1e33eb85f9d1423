/* prefix_slow_test.c -- the prefix store on a real model: a later start on a prompt of 1,000 tokens
 * has the bits of a cold one and does not compute the prompt again. */
#include "support/prefixes.h"

#include "base/clock.h"

enum { N = 1000 };

static vt_engine *open_real(const char *dir)
{
    vt_engine *e = NULL;
    vt_err err = {0};
    const vt_engine_options options = {.path = VT_TEST_MODELS "/smollm2-135m.gguf"};
    prefix_ok(vt_engine_open(&options, &e, &err), &err);
    const vt_prefix_options prefixes = {
        .dir = dir, .digest = PREFIX_DIGEST, .disk_bytes = UINT64_C(1) << 30, .flush_ms = 60000};
    prefix_ok(vt_engine_keep_prefixes(e, &prefixes, &err), &err);
    return e;
}

/* Seconds to the logits after the prompt, which are copied to *logits. */
static double start(vt_engine *e, const int32_t *prompt, size_t want_reused, float *logits)
{
    vt_session *s = NULL;
    vt_err err = {0};
    size_t n_reused = 0;
    prefix_ok(vt_session_new(e, &(vt_session_options){.n_ctx = 2 * N}, &s, &err), &err);
    const double begin = vt_clock_seconds();
    prefix_ok(vt_session_sync(s, prompt, N, NULL, &n_reused, &err), &err);
    const double seconds = vt_clock_seconds() - begin;
    assert_int_equal(n_reused, want_reused);
    const size_t n_vocab = vt_model_get_info(vt_engine_model(e))->n_vocab;
    memcpy(logits, vt_session_logits(s), n_vocab * sizeof *logits);
    vt_session_free(s);
    return seconds;
}

static void test_a_later_start_has_the_bits_of_a_cold_one_in_a_fraction_of_the_time(void **state)
{
    (void)state;
    char dir[64];
    int32_t prompt[N];
    prefix_tokens(prompt, N, 5);
    prefix_make_dir(dir);
    vt_engine *e = open_real(dir);
    const size_t n_bytes = vt_model_get_info(vt_engine_model(e))->n_vocab * sizeof(float);
    float *cold = vt_alloc(n_bytes), *warm = vt_alloc(n_bytes);
    assert_true(cold != NULL && warm != NULL);
    const double cold_seconds = start(e, prompt, 0, cold);
    const double ram_seconds = start(e, prompt, N - 1, warm);
    assert_memory_equal(warm, cold, n_bytes);
    vt_engine_close(e);
    e = open_real(dir);
    const double disk_seconds = start(e, prompt, N - 1, warm);
    assert_memory_equal(warm, cold, n_bytes);
    vt_engine_close(e);
    print_message("cold %.0f ms, from RAM %.0f ms, from disk %.0f ms\n", 1e3 * cold_seconds,
                  1e3 * ram_seconds, 1e3 * disk_seconds);
    /* it is some thirty times; a busy machine may cost a part of that */
    assert_true(ram_seconds < cold_seconds / 4 && disk_seconds < cold_seconds / 4);
    vt_free(cold);
    vt_free(warm);
    prefix_remove_dir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_later_start_has_the_bits_of_a_cold_one_in_a_fraction_of_the_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
