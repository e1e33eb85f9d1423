/* render_ids_test.c -- prompts as token ids equal the published library's (harmony) and the
 * published tokenizers' (Qwen2.5, Llama 3.1), on cut vocabularies; scripts/make-chat-vocabularies
 * tells how they came to be. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "../model/tokenizer_fixture.h"
#include "chat/format.h"
#include "chat/request.h"

typedef struct {
    vt_chat_format format;
    const int32_t *real_ids;
} renderer;

/* 1 when the line has ids and they are ours. */
static size_t check_line(renderer *r, vt_slice line, const char *const *dialects)
{
    json_t *fixture = NULL;
    vt_conversation *c = NULL;
    vt_tokens ids = {0};
    vt_err err = {0};
    assert_int_equal(vt_json_parse(line, &fixture, NULL), VT_OK);
    const json_t *expected = json_object_get(fixture, "ids");
    size_t n = json_array_size(expected);
    const char *dialect = json_string_value(json_object_get(fixture, "dialect"));
    if (dialect != NULL && strcmp(dialect, dialects[0]) == 0) r->format.dialect = VT_DIALECT_QWEN25;
    if (dialect != NULL && strcmp(dialect, dialects[1]) == 0)
        r->format.dialect = VT_DIALECT_QWEN25_TWIN;
    if (n > 0) {
        assert_int_equal(vt_chat_request(json_object_get(fixture, "request"), &c, NULL), VT_OK);
        vt_slice date = vt_json_text(json_object_get(fixture, "date"));
        assert_int_equal(vt_conversation_set_date(c, date, NULL), VT_OK);
        if (vt_chat_tokens(&r->format, c, &ids, &err) != VT_OK) fail_msg("%s", err.msg);
        for (size_t i = 0; i < n && i < ids.n; i++)
            if (r->real_ids[ids.ids[i]] != json_integer_value(json_array_get(expected, i)))
                fail_msg("%.*s: token %zu is %d",
                         VT_ARG(vt_json_text(json_object_get(fixture, "name"))), i,
                         r->real_ids[ids.ids[i]]);
        assert_int_equal(ids.n, n);
    }
    vt_tokens_deinit(&ids);
    vt_conversation_free(c);
    json_decref(fixture);
    return n > 0;
}

static void check_file(const char *name, vt_split_kind split, vt_chat_dialect dialect,
                       size_t at_least)
{
    static const char *const dialects[] = {"qwen25", "qwen25_twin"};
    char path[64];
    int32_t *real_ids = NULL;
    vt_buffer file;
    size_t n = 0;
    snprintf(path, sizeof path, "../chat/%s", name);
    vt_tokenizer *t = fixture_tokenizer(path, split, &real_ids);
    renderer r = {.real_ids = real_ids};
    vt_chat_hints hints = {.forced = vt_slice_cstr(name), .tokenizer = t};
    assert_int_equal(vt_chat_format_find(&hints, &r.format, NULL), VT_OK);
    r.format.dialect = dialect;
    fixture_read(path, ".jsonl", &file);
    for (vt_slice rest = vt_buffer_slice(&file); rest.len > 0;) {
        size_t end = vt_slice_find(rest, VT_S("\n"));
        n += check_line(&r, vt_slice_take(rest, end), dialects);
        rest = vt_slice_skip(rest, end + 1);
    }
    assert_true(n >= at_least);
    vt_buffer_deinit(&file);
    vt_tokenizer_free(t);
    vt_free(real_ids);
}

static void test_harmony_ids_equal_the_published_library(void **state)
{
    (void)state;
    check_file("harmony", VT_SPLIT_O200K, VT_DIALECT_PLAIN, 42);
}

static void test_qwen_ids_equal_the_published_tokenizer(void **state)
{
    (void)state;
    check_file("chatml", VT_SPLIT_QWEN2, VT_DIALECT_QWEN25, 28);
}

static void test_llama3_ids_equal_the_published_tokenizer(void **state)
{
    (void)state;
    check_file("llama3", VT_SPLIT_LLAMA3, VT_DIALECT_LLAMA31, 24);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_harmony_ids_equal_the_published_library),
        cmocka_unit_test(test_qwen_ids_equal_the_published_tokenizer),
        cmocka_unit_test(test_llama3_ids_equal_the_published_tokenizer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
