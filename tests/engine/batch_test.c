/* batch_test.c -- engine/batch: how batches are checked, cut into passes, and what a failure
 * leaves. That neighbours do not change bits is shown by bits_batch_test.c. */
#include "support/reference.h"

#include <stdatomic.h>
#include <string.h>

#include "engine/batch.h"
#include "engine/engine_parts.h"

static void expect_same_logits(const vt_session *a, const vt_session *b, size_t n_vocab)
{
    assert_int_equal(vt_session_n_tokens(a), vt_session_n_tokens(b));
    assert_memory_equal(vt_session_logits(a), vt_session_logits(b), n_vocab * sizeof(float));
}

static void must(vt_status st, const vt_err *err)
{
    if (st != VT_OK) fail_msg("status %d: %s", st, err->msg);
}

static void test_a_hundred_sequences_of_many_tokens_are_several_passes(void **state)
{
    (void)state;
    enum { N = 100 };
    reference r = reference_load("gpt-oss");
    vt_engine *e = reference_engine("gpt-oss", NULL, 2);
    vt_session *s[N];
    vt_batch_item items[N];
    vt_err err = {0};
    for (size_t i = 0; i < N; i++) {
        s[i] = reference_session(e, 16, VT_KV_F16);
        items[i] = (vt_batch_item){s[i], r.tokens + i, 1 + i % 50};
    }
    assert_int_equal(e->pass_tokens, VT_BATCH_SEQUENCES);
    must(vt_batch_extend(e, items, N, NULL, &err), &err);
    (void)vt_alloc_fail_nth(0);
    for (size_t i = 0; i < N; i++) items[i] = (vt_batch_item){s[i], r.tokens + i + 1 + i % 50, 1};
    must(vt_batch_extend(e, items, N, NULL, &err), &err);
    assert_int_equal(vt_alloc_fail_nth(0), 0); /* nothing is allocated while it runs */
    for (size_t i = 0; i < N; i++) {
        vt_session *alone = reference_session(e, 16, VT_KV_F16);
        must(vt_session_extend(alone, r.tokens + i, 2 + i % 50, NULL, &err), &err);
        expect_same_logits(s[i], alone, r.n_vocab);
        vt_session_free(alone);
    }
    for (size_t i = 0; i < N; i++) vt_session_free(s[i]);
    vt_engine_close(e);
    reference_free(&r);
}

static void expect_refused(vt_engine *e, const vt_batch_item *items, size_t n, vt_status want,
                           const char *message)
{
    vt_err err = {0};
    assert_int_equal(vt_batch_extend(e, items, n, NULL, &err), want);
    assert_string_equal(err.msg, message);
}

static void test_what_is_wrong_with_a_batch_is_found_before_anything_is_done(void **state)
{
    (void)state;
    reference r = reference_load("llama");
    vt_engine *e = reference_engine("llama", NULL, 2), *other = reference_engine("llama", NULL, 1);
    vt_session *a = reference_session(e, 0, VT_KV_F16), *b = reference_session(e, 0, VT_KV_F16);
    vt_session *c = reference_session(other, 0, VT_KV_F16), *small = NULL;
    vt_err err = {0};
    const int32_t bad[] = {1, 283};
    must(vt_session_new(e, &(vt_session_options){.n_ctx = 8}, &small, &err), &err);
    must(vt_session_extend(small, r.tokens, 5, NULL, &err), &err);
    must(vt_session_extend(a, r.tokens, 9, NULL, &err), &err);
    const vt_batch_item one = {a, r.tokens, 3};
    expect_refused(e, (vt_batch_item[]){one, {b, r.tokens, 0}}, 2, VT_EINPUT,
                   "sequence 1 of the batch has no tokens to go on with");
    expect_refused(e, (vt_batch_item[]){one, {b, r.tokens, 1}, one}, 3, VT_EINPUT,
                   "sequence 2 of the batch is in it twice");
    expect_refused(e, (vt_batch_item[]){one, {c, r.tokens, 1}}, 2, VT_EINPUT,
                   "sequence 1 of the batch is of another engine");
    expect_refused(e, (vt_batch_item[]){one, {b, bad, 2}}, 2, VT_EINPUT,
                   "token id 283 in sequence 1 of the batch is not in the vocabulary of 283");
    expect_refused(e, (vt_batch_item[]){one, {small, r.tokens, 4}}, 2, VT_ELIMIT,
                   "4 tokens of sequence 1 of the batch do not fit: its context holds 8 (--ctx) "
                   "and 5 are used");
    must(vt_batch_extend(e, NULL, 0, NULL, &err), &err);
    assert_int_equal(vt_session_n_tokens(a), 9);
    assert_int_equal(vt_session_n_tokens(b), 0);
    assert_non_null(vt_session_logits(a));
    must(vt_batch_extend(e, (vt_batch_item[]){one, {small, r.tokens, 3}}, 2, NULL, &err), &err);
    assert_int_equal(vt_session_n_tokens(a), 12);
    assert_int_equal(vt_session_n_tokens(small), 8);
    vt_session_free(a);
    vt_session_free(b);
    vt_session_free(c);
    vt_session_free(small);
    vt_engine_close(e);
    vt_engine_close(other);
    reference_free(&r);
}

static void cancel_after_the_first(void *ctx, const char *what, uint64_t done, uint64_t total)
{
    (void)what;
    assert_true(done < total);
    atomic_store((atomic_bool *)ctx, true);
}

static void test_a_cancelled_batch_keeps_its_finished_passes_and_can_go_on(void **state)
{
    (void)state;
    reference r = reference_load("llama");
    vt_engine *e = reference_engine("llama", NULL, 2);
    vt_session *a = reference_session(e, 64, VT_KV_F16), *b = reference_session(e, 64, VT_KV_F16);
    vt_session *c = reference_session(e, 64, VT_KV_F16);
    vt_err err = {0};
    atomic_bool is_cancelled = false;
    const vt_progress p = {
        .report = cancel_after_the_first, .ctx = &is_cancelled, .is_cancelled = &is_cancelled};
    must(vt_session_extend(c, r.tokens, 4, NULL, &err), &err);
    const vt_batch_item items[] = {{a, r.tokens, 30}, {b, r.tokens, 90}, {c, r.tokens + 4, 9}};
    assert_int_equal(vt_batch_extend(e, items, 3, &p, &err), VT_ECANCEL);
    assert_int_equal(vt_session_n_tokens(a), 30);
    assert_int_equal(vt_session_n_tokens(b), 34);
    assert_int_equal(vt_session_n_tokens(c), 4);
    assert_non_null(vt_session_logits(a));
    assert_null(vt_session_logits(b));
    const vt_batch_item rest[] = {
        {b, r.tokens + 34, 56}, {c, r.tokens + 4, 86}, {a, r.tokens + 30, 60}};
    must(vt_batch_extend(e, rest, 3, NULL, &err), &err);
    expect_same_logits(a, b, r.n_vocab);
    expect_same_logits(a, c, r.n_vocab);
    vt_session *alone = reference_session(e, 0, VT_KV_F16);
    must(vt_session_extend(alone, r.tokens, 90, NULL, &err), &err);
    expect_same_logits(a, alone, r.n_vocab);
    vt_session_free(a);
    vt_session_free(b);
    vt_session_free(c);
    vt_session_free(alone);
    vt_engine_close(e);
    reference_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_hundred_sequences_of_many_tokens_are_several_passes),
        cmocka_unit_test(test_what_is_wrong_with_a_batch_is_found_before_anything_is_done),
        cmocka_unit_test(test_a_cancelled_batch_keeps_its_finished_passes_and_can_go_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
