/* tokenizer_corpus_test.c -- four published tokenizers, id for id, on a corpus of many languages,
 * with vocabularies cut to what the corpus needs. The whole ones: tokenizer_slow_test.c. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "tokenizer_fixture.h"

static void check(const char *name, vt_split_kind split)
{
    int32_t *real_ids = NULL;
    vt_tokenizer *t = fixture_tokenizer(name, split, &real_ids);
    assert_string_equal(vt_tokenizer_split_name(t), name);
    assert_true(fixture_compare(t, name, real_ids) >= 2000);
    vt_free(real_ids);
    vt_tokenizer_free(t);
}

static void test_o200k_ids_equal_the_published_ones(void **state)
{
    (void)state;
    check("o200k", VT_SPLIT_O200K);
}

static void test_llama3_ids_equal_the_published_ones(void **state)
{
    (void)state;
    check("llama3", VT_SPLIT_LLAMA3);
}

static void test_qwen2_ids_equal_the_published_ones(void **state)
{
    (void)state;
    check("qwen2", VT_SPLIT_QWEN2);
}

static void test_smollm_ids_equal_the_published_ones(void **state)
{
    (void)state;
    check("smollm", VT_SPLIT_SMOLLM);
}

/* Control tokens' names stand in the corpus as text; none may come out as a token. */
static void test_no_text_of_the_corpus_becomes_an_added_token(void **state)
{
    (void)state;
    int32_t *real_ids = NULL;
    vt_tokenizer *t = fixture_tokenizer("o200k", VT_SPLIT_O200K, &real_ids);
    assert_int_not_equal(vt_tokenizer_control(t, VT_S("<|start|>")), -1);
    assert_int_equal(real_ids[vt_tokenizer_control(t, VT_S("<|start|>"))], 200006);
    vt_buffer corpus;
    fixture_read("corpus", ".bin", &corpus);
    assert_true(vt_slice_find(vt_buffer_slice(&corpus), VT_S("<|start|>")) < corpus.len);
    vt_slice records = vt_buffer_slice(&corpus);
    vt_tokens ids = {0};
    while (records.len > 0) {
        vt_slice record = fixture_bytes(&records, fixture_varint(&records));
        assert_int_equal(vt_tokenizer_encode(t, record, &ids, NULL), VT_OK);
    }
    for (size_t i = 0; i < ids.n; i++) assert_int_equal(t->types[ids.ids[i]], VT_TOKEN_NORMAL);
    vt_tokens_deinit(&ids);
    vt_buffer_deinit(&corpus);
    vt_free(real_ids);
    vt_tokenizer_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_o200k_ids_equal_the_published_ones),
        cmocka_unit_test(test_llama3_ids_equal_the_published_ones),
        cmocka_unit_test(test_qwen2_ids_equal_the_published_ones),
        cmocka_unit_test(test_smollm_ids_equal_the_published_ones),
        cmocka_unit_test(test_no_text_of_the_corpus_becomes_an_added_token),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
