/* tokenizer_slow_test.c -- the whole vocabularies, from real model files: the same corpus must give
 * the same ids as with the cut ones, loading must be quick, and no text may take long. A model that
 * is not there is skipped with a line that says so. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <time.h>
#include <unistd.h>

#include "tokenizer_fixture.h"

enum { MIB = 1 << 20 };

/* Processor time, so that a busy machine does not fail the test. */
static double cpu_seconds(void)
{
    return (double)clock() / CLOCKS_PER_SEC;
}

/* NULL after saying so when the model is not there. */
static vt_tokenizer *open_model(const char *model, double most_seconds)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s.gguf", VT_TEST_MODELS, model);
    if (access(path, R_OK) != 0) {
        print_message("skipped: no %s\n", path);
        return NULL;
    }
    vt_gguf *g = NULL;
    vt_tokenizer *t = NULL;
    vt_err err = {0};
    if (vt_gguf_open(path, &g, &err) != VT_OK) fail_msg("%s", err.msg);
    double start = cpu_seconds();
    if (vt_tokenizer_from_gguf(g, &t, &err) != VT_OK) fail_msg("%s", err.msg);
    double took = cpu_seconds() - start;
    print_message("%s: tables built in %.3f s\n", model, took);
#ifdef NDEBUG
    assert_true(took < most_seconds);
#else
    (void)most_seconds;
#endif
    vt_gguf_close(g);
    return t;
}

static void encode_quickly(const vt_tokenizer *t, vt_slice text, const char *what)
{
    vt_tokens ids = {0};
    double start = cpu_seconds();
    assert_int_equal(vt_tokenizer_encode(t, text, &ids, NULL), VT_OK);
    double took = cpu_seconds() - start;
    print_message("  1 MiB of %s: %zu tokens in %.3f s\n", what, ids.n, took);
#ifdef NDEBUG
    assert_true(took < 1.0);
#endif
    vt_tokens_deinit(&ids);
}

static void check_unbroken(const vt_tokenizer *t)
{
    static const char *const units[] = {
        "a", " ", "\n", "=", "7", "ab", "\xE7\x9A\x84", "\xCC\x96\xCC\x81", "\xE0\xA4\xA8"};
    char *text = vt_alloc(MIB);
    assert_non_null(text);
    for (size_t k = 0; k < VT_COUNT(units); k++) {
        size_t n = strlen(units[k]);
        size_t len = 0;
        for (; len + n <= MIB; len += n) memcpy(text + len, units[k], n);
        encode_quickly(t, (vt_slice){text, len}, units[k][0] == '\n' ? "newlines" : units[k]);
    }
    uint32_t random = 7;
    for (size_t i = 0; i < MIB; i++) {
        random = random * 1664525 + 1013904223;
        text[i] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"[(random >> 16) % 52];
    }
    encode_quickly(t, (vt_slice){text, MIB}, "random letters");
    for (size_t i = 0; i + 3 <= MIB; i += 3) {
        random = random * 1664525 + 1013904223;
        vt_utf8_encode(0x4E00 + (random >> 16) % 0x5000, text + i);
    }
    encode_quickly(t, (vt_slice){text, MIB / 3 * 3}, "random ideographs");
    vt_free(text);
}

static void check(const char *model, const char *fixture, double most_seconds)
{
    vt_tokenizer *t = open_model(model, most_seconds);
    if (t == NULL) skip();
    assert_string_equal(vt_tokenizer_split_name(t), fixture);
    size_t n = fixture_compare(t, fixture, NULL);
    assert_true(n >= 2000);
    print_message("%s: %zu records equal\n", model, n);
    check_unbroken(t);
    vt_tokenizer_free(t);
}

static void test_smollm2_from_its_model_file_equals_the_published_ids(void **state)
{
    (void)state;
    check("smollm2-135m", "smollm", 0.15);
}

static void test_qwen_from_its_model_file_equals_the_published_ids(void **state)
{
    (void)state;
    check("qwen2.5-coder-0.5b", "qwen2", 0.3);
}

static void test_qwen_tool_call_marks_are_added_tokens_and_not_control(void **state)
{
    (void)state;
    vt_tokenizer *t = open_model("qwen2.5-coder-0.5b", 0.3);
    if (t == NULL) skip();
    assert_int_equal(vt_tokenizer_control(t, VT_S("<tool_call>")), 151657);
    assert_false(vt_tokenizer_is_control(t, 151657));
    assert_int_equal(vt_tokenizer_control(t, VT_S("<|im_start|>")), 151644);
    assert_true(vt_tokenizer_is_control(t, 151644));
    assert_int_equal(vt_tokenizer_control(t, VT_S("[PAD151700]")), -1);
    assert_int_equal(vt_tokenizer_eos(t), 151645);
    assert_false(vt_tokenizer_adds_bos(t));
    vt_tokenizer_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_smollm2_from_its_model_file_equals_the_published_ids),
        cmocka_unit_test(test_qwen_from_its_model_file_equals_the_published_ids),
        cmocka_unit_test(test_qwen_tool_call_marks_are_added_tokens_and_not_control),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
