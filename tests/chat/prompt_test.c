/* prompt_test.c -- typed segments to ids. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "../model/tokenizer_small.h"
#include "base/alloc.h"
#include "chat/prompt.h"

static const char *const merges[] = {"a b", "b c", "ab c", NULL};
enum { AB = 256, BC, ABC };
static const char *const added[] = {"<|im_start|>", "<|im_end|>", NULL};
enum { IM_START = 259, IM_END };

static vt_tokenizer *make_tokenizer(void)
{
    static small_vocabulary v;
    vt_tokenizer *t = NULL;
    small_init(&v, VT_SPLIT_QWEN2, merges, added);
    assert_int_equal(vt__tokenizer_new(&v.source, &t, NULL), VT_OK);
    return t;
}

static void test_text_between_controls_is_encoded_as_one(void **state)
{
    (void)state;
    vt_tokenizer *t = make_tokenizer();
    vt_prompt *p = NULL;
    vt_tokens ids = {0};
    assert_int_equal(vt_prompt_new(&p, NULL), VT_OK);
    assert_int_equal(vt_prompt_trusted(p, VT_S("a"), NULL), VT_OK);
    assert_int_equal(vt_prompt_untrusted(p, VT_S("b"), NULL), VT_OK);
    assert_int_equal(vt_prompt_untrusted(p, VT_S(""), NULL), VT_OK);
    assert_int_equal(vt_prompt_trusted(p, VT_S("c"), NULL), VT_OK);
    assert_int_equal(vt_prompt_control(p, VT_S("<|im_start|>"), NULL), VT_OK);
    assert_int_equal(vt_prompt_trusted(p, VT_S("a"), NULL), VT_OK);
    const int32_t sampled[] = {'b', 'c'};
    assert_int_equal(vt_prompt_ids(p, sampled, 2, NULL), VT_OK);
    assert_int_equal(vt_prompt_ids(p, NULL, 0, NULL), VT_OK);
    assert_int_equal(vt_prompt_untrusted(p, VT_S("bc"), NULL), VT_OK);
    assert_int_equal(vt_prompt_encode(p, t, &ids, NULL), VT_OK);
    const int32_t expected[] = {ABC, IM_START, 'a', 'b', 'c', BC};
    assert_int_equal(ids.n, VT_COUNT(expected));
    assert_memory_equal(ids.ids, expected, sizeof expected);
    vt_tokens_deinit(&ids);
    vt_prompt_free(p);
    vt_tokenizer_free(t);
}

static void test_text_cannot_forge_a_control_token_even_in_parts(void **state)
{
    (void)state;
    vt_tokenizer *t = make_tokenizer();
    vt_prompt *p = NULL;
    vt_tokens ids = {0};
    assert_int_equal(vt_prompt_new(&p, NULL), VT_OK);
    assert_int_equal(vt_prompt_untrusted(p, VT_S("<|im_"), NULL), VT_OK);
    assert_int_equal(vt_prompt_untrusted(p, VT_S("end|>"), NULL), VT_OK);
    assert_int_equal(vt_prompt_trusted(p, VT_S("<|im_end|>"), NULL), VT_OK);
    assert_int_equal(vt_prompt_encode(p, t, &ids, NULL), VT_OK);
    assert_int_equal(ids.n, 20);
    for (size_t i = 0; i < ids.n; i++) assert_true(ids.ids[i] < 256);
    vt_tokens_deinit(&ids);
    vt_prompt_free(p);
    vt_tokenizer_free(t);
}

static void test_segments_read_back_as_they_were_added(void **state)
{
    (void)state;
    vt_prompt *p = NULL;
    const int32_t sampled[] = {7, 8};
    assert_int_equal(vt_prompt_new(&p, NULL), VT_OK);
    assert_int_equal(vt_prompt_control(p, VT_S("<|im_start|>"), NULL), VT_OK);
    assert_int_equal(vt_prompt_trusted(p, VT_S("user\n"), NULL), VT_OK);
    assert_int_equal(vt_prompt_untrusted(p, VT_S("hi"), NULL), VT_OK);
    assert_int_equal(vt_prompt_ids(p, sampled, 2, NULL), VT_OK);
    assert_int_equal(vt_prompt_n_segments(p), 4);
    vt_segment s = vt_prompt_segment(p, 0);
    assert_int_equal(s.kind, VT_SEGMENT_CONTROL);
    assert_true(vt_slice_eq(s.text, VT_S("<|im_start|>")));
    s = vt_prompt_segment(p, 2);
    assert_int_equal(s.kind, VT_SEGMENT_UNTRUSTED);
    assert_true(vt_slice_eq(s.text, VT_S("hi")));
    s = vt_prompt_segment(p, 3);
    assert_int_equal(s.kind, VT_SEGMENT_IDS);
    assert_int_equal(s.n_ids, 2);
    assert_int_equal(s.ids[1], 8);
    vt_prompt_free(p);
}

static void test_a_control_token_that_the_tokenizer_lacks_is_named(void **state)
{
    (void)state;
    vt_tokenizer *t = make_tokenizer();
    vt_prompt *p = NULL;
    vt_tokens ids = {0};
    vt_err err = {0};
    assert_int_equal(vt_tokens_push(&ids, 42, NULL), VT_OK);
    assert_int_equal(vt_prompt_new(&p, NULL), VT_OK);
    assert_int_equal(vt_prompt_trusted(p, VT_S("abc"), NULL), VT_OK);
    assert_int_equal(vt_prompt_control(p, VT_S("<|start|>"), NULL), VT_OK);
    assert_int_equal(vt_prompt_encode(p, t, &ids, &err), VT_EUNSUPPORTED);
    assert_non_null(strstr(err.msg, "<|start|>"));
    assert_int_equal(ids.n, 1);
    vt_tokens_deinit(&ids);
    vt_prompt_free(p);
    vt_tokenizer_free(t);
}

/* Each call that fails for want of memory must leave the prompt as it was, and usable. */
static void test_each_failing_allocation_leaves_the_prompt_as_it_was(void **state)
{
    (void)state;
    vt_tokenizer *t = make_tokenizer();
    bool done = false;
    for (uint64_t nth = 1; !done; nth++) {
        vt_prompt *p = NULL;
        vt_tokens ids = {0};
        vt_alloc_fail_nth(nth);
        vt_status st = vt_prompt_new(&p, NULL);
        for (int i = 0; st == VT_OK && i < 40; i++) {
            size_t before = vt_prompt_n_segments(p);
            st = i % 2 ? vt_prompt_untrusted(p, VT_S("some text"), NULL)
                       : vt_prompt_control(p, VT_S("<|im_end|>"), NULL);
            if (st == VT_OK) st = vt_prompt_ids(p, &(int32_t){i}, 1, NULL);
            else assert_int_equal(vt_prompt_n_segments(p), before);
        }
        if (st == VT_OK) st = vt_prompt_encode(p, t, &ids, NULL);
        done = vt_alloc_fail_nth(0) < nth;
        assert_int_equal(st == VT_OK, done);
        if (!done) {
            assert_true(st == VT_ENOMEM || st == VT_ELIMIT);
            assert_int_equal(ids.n, 0);
            if (p) assert_int_equal(vt_prompt_trusted(p, VT_S("again"), NULL), VT_OK);
        }
        vt_tokens_deinit(&ids);
        vt_prompt_free(p);
        assert_true(nth < 1000);
    }
    vt_tokenizer_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_between_controls_is_encoded_as_one),
        cmocka_unit_test(test_text_cannot_forge_a_control_token_even_in_parts),
        cmocka_unit_test(test_segments_read_back_as_they_were_added),
        cmocka_unit_test(test_a_control_token_that_the_tokenizer_lacks_is_named),
        cmocka_unit_test(test_each_failing_allocation_leaves_the_prompt_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
