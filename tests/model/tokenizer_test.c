/* tokenizer_test.c -- encoding, decoding and refusing, on vocabularies small enough to read. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <time.h>

#include "base/alloc.h"
#include "model/tokenizer_nfc.h"
#include "tokenizer_small.h"

/* Processor time, so that a busy machine does not fail a test. */
static double cpu_seconds(void)
{
    return (double)clock() / CLOCKS_PER_SEC;
}

static const char *const no_names[] = {NULL};
static const char *const merges[] = {"a b", "b c", "ab c", "\xC4\xA0 x", "a a", "aa aa", NULL};
enum { AB = 256, BC, ABC, SPACE_X, AA, AAAA };
static const char *const added[] = {"<|im_start|>", "<|im_end|>", NULL};
enum { IM_START = 262, IM_END };

static vt_tokenizer *make(vt_split_kind split)
{
    static small_vocabulary v;
    small_init(&v, split, merges, added);
    vt_tokenizer *t = NULL;
    vt_err err = {0};
    if (vt__tokenizer_new(&v.source, &t, &err) != VT_OK) fail_msg("%s", err.msg);
    return t;
}

static void check_ids(const vt_tokenizer *t, vt_slice text, const int32_t *ids, size_t n)
{
    vt_tokens got = {0};
    assert_int_equal(vt_tokenizer_encode(t, text, &got, NULL), VT_OK);
    assert_int_equal(got.n, n);
    if (n > 0) assert_memory_equal(got.ids, ids, n * sizeof *ids);
    vt_tokens_deinit(&got);
}

#define CHECK_IDS(t, text, ...)                                   \
    do {                                                          \
        const int32_t expected_[] = {__VA_ARGS__};                \
        check_ids(t, VT_S(text), expected_, VT_COUNT(expected_)); \
    } while (0)

static void test_the_lowest_rank_is_merged_first_and_the_leftmost_of_equals(void **state)
{
    (void)state;
    vt_tokenizer *t = make(VT_SPLIT_GPT2);
    CHECK_IDS(t, "abc", ABC);
    CHECK_IDS(t, "bc", BC);
    CHECK_IDS(t, "abbc x", AB, BC, SPACE_X);
    CHECK_IDS(t, "aaa", AA, 'a');
    CHECK_IDS(t, "aaaaaaa", AAAA, AA, 'a');
    check_ids(t, VT_S(""), NULL, 0);
    vt_tokenizer_free(t);
}

static void test_a_whole_word_of_the_vocabulary_needs_no_merges_where_so_published(void **state)
{
    (void)state;
    static small_vocabulary v;
    vt_tokenizer *t = NULL;
    small_init(&v, VT_SPLIT_LLAMA3, merges, no_names);
    small_add(&v, VT_S("xyz"), VT_TOKEN_NORMAL);
    assert_int_equal(vt__tokenizer_new(&v.source, &t, NULL), VT_OK);
    CHECK_IDS(t, "xyz", 262);
    CHECK_IDS(t, "xyza", 'x', 'y', 'z', 'a');
    vt_tokenizer_free(t);
    v.source.split = VT_SPLIT_GPT2;
    assert_int_equal(vt__tokenizer_new(&v.source, &t, NULL), VT_OK);
    CHECK_IDS(t, "xyz", 'x', 'y', 'z');
    vt_tokenizer_free(t);
}

static void test_tokens_outside_the_alphabet_and_empty_ones_are_only_ids(void **state)
{
    (void)state;
    static small_vocabulary v;
    vt_tokenizer *t = NULL;
    small_init(&v, VT_SPLIT_LLAMA3, merges, no_names);
    small_add(&v, VT_S("\xE4\xB8\xAD"), VT_TOKEN_NORMAL); /* not in printable form */
    small_add(&v, VT_S(""), VT_TOKEN_NORMAL);
    small_add(&v, VT_S(""), VT_TOKEN_NORMAL);
    assert_int_equal(vt__tokenizer_new(&v.source, &t, NULL), VT_OK);
    CHECK_IDS(t, "\xE4\xB8\xAD", 0xE4, 0xB8, 0xAD);
    assert_true(vt_slice_eq(vt_tokenizer_bytes(t, 262), VT_S("\xE4\xB8\xAD")));
    assert_int_equal(vt_tokenizer_bytes(t, 263).len, 0);
    vt_tokenizer_free(t);
}

static void test_text_never_becomes_a_control_token(void **state)
{
    (void)state;
    vt_tokenizer *t = make(VT_SPLIT_O200K);
    vt_tokens got = {0};
    assert_int_equal(vt_tokenizer_encode(t, VT_S("<|im_start|>"), &got, NULL), VT_OK);
    assert_int_equal(got.n, 12);
    for (size_t i = 0; i < got.n; i++) assert_true(got.ids[i] < 256);
    assert_int_equal(vt_tokenizer_control(t, VT_S("<|im_start|>")), IM_START);
    assert_int_equal(vt_tokenizer_control(t, VT_S("<|im_end|>")), IM_END);
    assert_int_equal(vt_tokenizer_control(t, VT_S("abc")), -1);
    assert_int_equal(vt_tokenizer_control(t, VT_S("")), -1);
    assert_true(vt_tokenizer_is_control(t, IM_END));
    assert_false(vt_tokenizer_is_control(t, ABC));
    assert_false(vt_tokenizer_is_control(t, -1));
    assert_false(vt_tokenizer_is_control(t, 264));
    vt_tokens_deinit(&got);
    vt_tokenizer_free(t);
}

static void test_user_defined_tokens_are_found_by_name_but_are_text_when_decoded(void **state)
{
    (void)state;
    static small_vocabulary v;
    vt_tokenizer *t = NULL;
    small_init(&v, VT_SPLIT_QWEN2, merges, added);
    small_add(&v, VT_S("<tool_call>"), VT_TOKEN_USER_DEFINED);
    assert_int_equal(vt__tokenizer_new(&v.source, &t, NULL), VT_OK);
    assert_int_equal(vt_tokenizer_control(t, VT_S("<tool_call>")), 264);
    assert_false(vt_tokenizer_is_control(t, 264));
    const int32_t ids[] = {IM_START, 264, ABC, IM_END, -1, 9999};
    vt_buffer text;
    vt_buffer_init(&text, 0);
    assert_int_equal(vt_tokenizer_decode(t, ids, VT_COUNT(ids), false, &text, NULL), VT_OK);
    assert_string_equal(text.ptr, "<tool_call>abc");
    vt_buffer_clear(&text);
    assert_int_equal(vt_tokenizer_decode(t, ids, VT_COUNT(ids), true, &text, NULL), VT_OK);
    assert_string_equal(text.ptr, "<|im_start|><tool_call>abc<|im_end|>");
    vt_buffer_deinit(&text);
    vt_tokenizer_free(t);
}

static void test_every_byte_comes_back_from_its_token(void **state)
{
    (void)state;
    vt_tokenizer *t = make(VT_SPLIT_GPT2);
    for (int32_t b = 0; b < 256; b++) {
        vt_slice bytes = vt_tokenizer_bytes(t, b);
        assert_int_equal(bytes.len, 1);
        assert_int_equal((uint8_t)bytes.ptr[0], b);
    }
    assert_int_equal(vt_tokenizer_bytes(t, 264).len, 0);
    assert_int_equal(vt_tokenizer_bytes(t, -1).len, 0);
    vt_tokenizer_free(t);
}

static void test_invalid_utf8_is_replaced_before_splitting(void **state)
{
    (void)state;
    vt_tokenizer *t = make(VT_SPLIT_O200K);
    CHECK_IDS(t,
              "\xFF"
              "ab\xE2\x82",
              0xEF, 0xBF, 0xBD, AB, 0xEF, 0xBF, 0xBD);
    CHECK_IDS(t,
              "\xEF\xBF\xBD"
              "ab\xEF\xBF\xBD",
              0xEF, 0xBF, 0xBD, AB, 0xEF, 0xBF, 0xBD);
    vt_tokenizer_free(t);
}

static void test_a_byte_without_a_token_is_left_out_as_published(void **state)
{
    (void)state;
    static small_vocabulary v;
    vt_tokenizer *t = NULL;
    small_init(&v, VT_SPLIT_GPT2, merges, no_names);
    v.types[4] = VT_TOKEN_UNUSED;
    assert_int_equal(vt__tokenizer_new(&v.source, &t, NULL), VT_OK);
    CHECK_IDS(t,
              "a\x04"
              "b\x04\x05",
              'a', 'b', 5);
    vt_tokenizer_free(t);
}

/* The same ids from the short way and the long one: a word padded past 48 bytes takes the heap. */
static void test_long_words_are_merged_by_the_same_rule_as_short_ones(void **state)
{
    (void)state;
    vt_tokenizer *t = make(VT_SPLIT_GPT2);
    uint32_t random = 12345;
    for (int round = 0; round < 200; round++) {
        char word[400];
        size_t n = 0;
        for (; n < 40; n++) {
            random = random * 1664525 + 1013904223;
            word[n] = "abc"[(random >> 16) % 3];
        }
        vt_tokens short_ids = {0};
        vt_tokens long_ids = {0};
        assert_int_equal(vt_tokenizer_encode(t, (vt_slice){word, n}, &short_ids, NULL), VT_OK);
        memset(word + n, 'z', sizeof word - n); /* z merges with nothing */
        assert_int_equal(vt_tokenizer_encode(t, (vt_slice){word, sizeof word}, &long_ids, NULL),
                         VT_OK);
        assert_int_equal(long_ids.n, short_ids.n + sizeof word - n);
        assert_memory_equal(long_ids.ids, short_ids.ids, short_ids.n * sizeof(int32_t));
        vt_tokens_deinit(&short_ids);
        vt_tokens_deinit(&long_ids);
    }
    vt_tokenizer_free(t);
}

static void test_a_megabyte_without_a_break_takes_under_a_second(void **state)
{
    (void)state;
    vt_tokenizer *t = make(VT_SPLIT_O200K);
    enum { N = 1 << 20 };
    char *text = vt_alloc(N);
    assert_non_null(text);
    for (int kind = 0; kind < 4; kind++) {
        for (int i = 0; i < N; i++) text[i] = "a 7="[kind];
        vt_tokens got = {0};
        double start = cpu_seconds();
        assert_int_equal(vt_tokenizer_encode(t, (vt_slice){text, N}, &got, NULL), VT_OK);
        double took = cpu_seconds() - start;
        assert_int_equal(got.n, kind == 0 ? N / 4 : N);
#ifdef NDEBUG
        assert_true(took < 1.0);
#else
        assert_true(took < 20.0);
#endif
        vt_tokens_deinit(&got);
    }
    vt_free(text);
    vt_tokenizer_free(t);
}

static void test_a_word_past_the_limit_is_an_error_with_numbers(void **state)
{
    (void)state;
    vt_tokenizer *t = make(VT_SPLIT_QWEN2);
    vt_tokens got = {0};
    vt_err err = {0};
    size_t n = (16 << 20) + 1;
    char *text = vt_alloc(n);
    assert_non_null(text);
    memset(text, 'z', n);
    assert_int_equal(vt_tokens_push(&got, 7, NULL), VT_OK);
    assert_int_equal(vt_tokenizer_encode(t, (vt_slice){text, n}, &got, &err), VT_ELIMIT);
    assert_non_null(
        strstr(err.msg, "a word of 16777217 bytes without a break, more than 16777216"));
    assert_int_equal(got.n, 1);
    vt_tokens_deinit(&got);
    vt_free(text);
    vt_tokenizer_free(t);
}

static void check_nfc(const char *text, const char *expected)
{
    vt_buffer out;
    vt_buffer_init(&out, 0);
    assert_int_equal(vt__nfc(vt_slice_cstr(text), &out, NULL), VT_OK);
    assert_string_equal(out.ptr, expected);
    vt_buffer_deinit(&out);
}

static void test_nfc_composes_and_orders_marks(void **state)
{
    (void)state;
    check_nfc("plain", "plain");
    check_nfc("cafe\xCC\x81 e\xCC\x81", "caf\xC3\xA9 \xC3\xA9");
    check_nfc("a\xCC\x81\xCC\xA3", "\xE1\xBA\xA1\xCC\x81");            /* below goes before above */
    check_nfc("\xE2\x84\xAB", "\xC3\x85");                             /* angstrom sign */
    check_nfc("\xE1\x84\x92\xE1\x85\xA1\xE1\x86\xAB", "\xED\x95\x9C"); /* Hangul */
    check_nfc("\xEF\xAC\x81", "\xEF\xAC\x81");             /* a ligature is not canonical */
    check_nfc("\xE0\xA5\x98", "\xE0\xA4\x95\xE0\xA4\xBC"); /* a composition exclusion */
}

static void test_nfc_is_that_of_unicode_9_as_published(void **state)
{
    (void)state;
    /* U+1DF6 came with Unicode 10 and would go behind the cedilla, which would join the c. */
    check_nfc("c\xE1\xB7\xB6\xCC\xA7", "c\xE1\xB7\xB6\xCC\xA7");
    check_nfc("c\xCC\x88\xCC\xA7", "\xC3\xA7\xCC\x88");
    /* a composition of Unicode 13 */
    check_nfc("\xF0\x91\xA4\xB5\xF0\x91\xA4\xB0", "\xF0\x91\xA4\xB5\xF0\x91\xA4\xB0");
}

static void test_nfc_of_a_megabyte_of_unordered_marks_is_linear(void **state)
{
    (void)state;
    vt_buffer text;
    vt_buffer out;
    vt_buffer_init(&text, 0);
    vt_buffer_init(&out, 0);
    for (int i = 0; i < 1 << 18; i++)
        assert_true(vt_buffer_append(&text, VT_S("\xCC\x96\xCC\x81"))); /* below, above */
    double start = cpu_seconds();
    assert_int_equal(vt__nfc(vt_buffer_slice(&text), &out, NULL), VT_OK);
    assert_true(cpu_seconds() - start < 5.0);
    assert_int_equal(out.len, text.len);
    assert_memory_equal(out.ptr, "\xCC\x96\xCC\x96", 4);
    assert_memory_equal(out.ptr + out.len - 4, "\xCC\x81\xCC\x81", 4);
    vt_buffer_deinit(&text);
    vt_buffer_deinit(&out);
}

/* Change one thing in a good vocabulary: it must be refused, and the message must tell. */
static void check_refused(small_vocabulary *v, const char *part_of_message)
{
    vt_tokenizer *t = NULL;
    vt_err err = {0};
    assert_int_equal(vt__tokenizer_new(&v->source, &t, &err), VT_EINPUT);
    assert_null(t);
    if (strstr(err.msg, part_of_message) == NULL) fail_msg("\"%s\"", err.msg);
    small_init(v, VT_SPLIT_GPT2, merges, added);
}

static void test_a_vocabulary_that_contradicts_itself_is_refused(void **state)
{
    (void)state;
    static small_vocabulary v;
    small_init(&v, VT_SPLIT_GPT2, merges, added);
    v.tokens[250] = VT_S("ab");
    check_refused(&v, "tokens 250 and 256 are the same: \"ab\"");
    v.tokens[IM_END] = v.tokens[IM_START];
    check_refused(&v, "tokens 262 and 263 are the same");
    v.types[9] = 7;
    check_refused(&v, "token 9 has type 7");
    v.merges[1] = VT_S("ab d");
    check_refused(&v, "merge 1 names or makes a token that the vocabulary lacks: \"ab d\"");
    v.merges[1] = VT_S("<|im_start|> a");
    check_refused(&v, "merge 1 names");
    v.merges[2] = VT_S("abc");
    check_refused(&v, "merge 2 is not two tokens");
    v.merges[2] = VT_S("a b c");
    check_refused(&v, "merge 2 is not two tokens");
    v.merges[2] = VT_S("a ");
    check_refused(&v, "merge 2 is not two tokens");
    v.merges[2] = v.merges[0];
    check_refused(&v, "merges 0 and 2 are the same: \"a b\"");
    v.source.bos = 264;
    check_refused(&v, "outside the vocabulary");
    v.source.n_tokens = 0;
    check_refused(&v, "a vocabulary of 0 tokens");
}

/* Tables are built a batch at a time: what is wrong behind the first one is found as well. */
static void test_merges_and_names_of_every_batch_are_indexed_and_checked(void **state)
{
    (void)state;
    enum { N = 45 };
    static small_vocabulary v;
    static char texts[N][4];
    const char *list[N + 1] = {NULL};
    static const char *const none[] = {NULL};
    for (int i = 0; i < N; i++) {
        memcpy(texts[i], (char[]){(char)('0' + i), ' ', (char)('1' + i), '\0'}, 4);
        list[i] = texts[i];
    }
    small_init(&v, VT_SPLIT_GPT2, list, none);
    vt_tokenizer *t = NULL;
    vt_err err = {0};
    if (vt__tokenizer_new(&v.source, &t, &err) != VT_OK) fail_msg("%s", err.msg);
    for (int i = 0; i < N; i++) {
        int32_t left = vt__names_find(t, &t->text, vt_slice_of(&texts[i][0], 1));
        int32_t right = vt__names_find(t, &t->text, vt_slice_of(&texts[i][2], 1));
        const vt_merge *m = vt__merge_find(t, left, right);
        assert_non_null(m);
        assert_int_equal(m->rank, i);
        assert_int_equal(m->id, 256 + i);
        assert_null(vt__merge_find(t, right, left));
    }
    vt_tokenizer_free(t);
    v.merges[37] = v.merges[3];
    assert_int_equal(vt__tokenizer_new(&v.source, &t, &err), VT_EINPUT);
    assert_non_null(strstr(err.msg, "merges 3 and 37 are the same"));
    v.merges[37] = VT_S("U\x7f V");
    assert_int_equal(vt__tokenizer_new(&v.source, &t, &err), VT_EINPUT);
    assert_non_null(strstr(err.msg, "merge 37 is not two tokens"));
    v.merges[37] = vt_slice_cstr(texts[37]);
    v.tokens[256 + 40] = v.tokens[256 + 2];
    assert_int_equal(vt__tokenizer_new(&v.source, &t, &err), VT_EINPUT);
    assert_non_null(strstr(err.msg, "tokens 258 and 296 are the same"));
}

static void test_each_failing_allocation_leaves_nothing_behind(void **state)
{
    (void)state;
    static small_vocabulary v;
    small_init(&v, VT_SPLIT_QWEN2, merges, added);
    char text[200];
    memset(text, 'a', sizeof text); /* long, so that the heap is used; marks and a bad byte too */
    memcpy(text + 100, " e\xCC\x81\xFF ", 6);
    bool done = false;
    for (uint64_t nth = 1; !done; nth++) {
        vt_tokenizer *t = NULL;
        vt_tokens ids = {0};
        vt_alloc_fail_nth(nth);
        vt_status st = vt__tokenizer_new(&v.source, &t, NULL);
        if (st == VT_OK) st = vt_tokenizer_encode(t, (vt_slice){text, sizeof text}, &ids, NULL);
        done = vt_alloc_fail_nth(0) < nth;
        assert_int_equal(st, done ? VT_OK : VT_ENOMEM);
        if (!done) assert_int_equal(ids.n, 0);
        vt_tokens_deinit(&ids);
        vt_tokenizer_free(t);
        assert_true(nth < 1000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_lowest_rank_is_merged_first_and_the_leftmost_of_equals),
        cmocka_unit_test(test_a_whole_word_of_the_vocabulary_needs_no_merges_where_so_published),
        cmocka_unit_test(test_tokens_outside_the_alphabet_and_empty_ones_are_only_ids),
        cmocka_unit_test(test_text_never_becomes_a_control_token),
        cmocka_unit_test(test_user_defined_tokens_are_found_by_name_but_are_text_when_decoded),
        cmocka_unit_test(test_every_byte_comes_back_from_its_token),
        cmocka_unit_test(test_invalid_utf8_is_replaced_before_splitting),
        cmocka_unit_test(test_a_byte_without_a_token_is_left_out_as_published),
        cmocka_unit_test(test_long_words_are_merged_by_the_same_rule_as_short_ones),
        cmocka_unit_test(test_a_megabyte_without_a_break_takes_under_a_second),
        cmocka_unit_test(test_a_word_past_the_limit_is_an_error_with_numbers),
        cmocka_unit_test(test_nfc_composes_and_orders_marks),
        cmocka_unit_test(test_nfc_is_that_of_unicode_9_as_published),
        cmocka_unit_test(test_nfc_of_a_megabyte_of_unordered_marks_is_linear),
        cmocka_unit_test(test_a_vocabulary_that_contradicts_itself_is_refused),
        cmocka_unit_test(test_merges_and_names_of_every_batch_are_indexed_and_checked),
        cmocka_unit_test(test_each_failing_allocation_leaves_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
