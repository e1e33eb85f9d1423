/* alloc_test.c -- every allocation on the road from a request to a prompt, and from a turn back to
 * the conversation, failed in turn: an error each time, nothing leaked, nothing half done. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "chat_small.h"

typedef struct {
    vt_chat_format format;
    vt_tokens turn;
} road;

/* A conversation is read, rendered, constrained; a turn is parsed and appended. */
static vt_status travel(const road *r, vt_err *err)
{
    vt_conversation *c = NULL;
    vt_tokens prompt = {0};
    vt_parser *p = NULL;
    vt_constraint *constraint = NULL;
    vt_generate_constraint g;
    size_t n_items = 0;
    vt_status st = vt_chat_request_parse(vt_slice_cstr(SMALL_BODY(SMALL_BUILTINS)), &c, err);
    if (st != VT_OK) return st;
    n_items = vt_conversation_n_items(c);
    st = vt_chat_tokens(&r->format, c, &prompt, err);
    if (st == VT_OK) st = vt_chat_constraint(&r->format, c, &constraint, err);
    if (st == VT_OK && constraint != NULL)
        st = vt_constraint_for_generate(constraint, 400, &g, err);
    if (st == VT_OK) st = vt_parser_new(&r->format, c, NULL, NULL, &p, err);
    for (size_t i = 0; st == VT_OK && i < r->turn.n; i++)
        st = vt_parser_feed(p, r->turn.ids[i], err);
    if (st == VT_OK) st = vt_parser_finish(p, VT_FINISH_STOP, err);
    if (st == VT_OK) st = vt_parser_append(p, c, err);
    if (st == VT_OK) assert_int_equal(vt_conversation_n_items(c), n_items + 2);
    if (st == VT_OK) st = vt_chat_tokens(&r->format, c, &prompt, err);
    vt_constraint_free(constraint);
    vt_parser_free(p);
    vt_tokens_deinit(&prompt);
    vt_conversation_free(c);
    return st;
}

static void fail_each(const char *format, const char *turn)
{
    vt_tokenizer *tokenizer = NULL;
    road r = {.format = small_format(format, no_merges, &tokenizer)};
    small_ids(tokenizer, vt_slice_cstr(turn), &r.turn);
    vt_err err = {0};
    vt_status st = VT_ENOMEM;
    uint64_t n = 0;
    while (st != VT_OK) {
        assert_true(++n < 2000);
        vt_alloc_fail_nth(n);
        st = travel(&r, &err);
        vt_alloc_fail_nth(0);
        assert_true(st == VT_OK || st == VT_ENOMEM || st == VT_ELIMIT);
        if (st != VT_OK) assert_true(err.code == st && err.msg[0] != '\0');
    }
    assert_true(n > 30);
    vt_tokens_deinit(&r.turn);
    vt_tokenizer_free(tokenizer);
}

static void test_every_failed_allocation_of_harmony_is_an_error(void **state)
{
    (void)state;
    fail_each("harmony", "<|channel|>analysis<|message|>è<|end|><|start|>assistant<|channel|>"
                         "commentary to=functions.get <|constrain|>json<|message|>{\"n\":1}]"
                         "<|call|>");
}

static void test_every_failed_allocation_of_chatml_is_an_error(void **state)
{
    (void)state;
    fail_each("chatml", "Text.\n<tool_call>\n{\"name\": \"get_weather\", \"arguments\": \"x\"}\n"
                        "</tool_call><|im_end|>");
}

static void test_every_failed_allocation_of_llama3_is_an_error(void **state)
{
    (void)state;
    fail_each("llama3", "{\"name\": \"get\", \"parameters\": {}} Done.<|eot_id|>");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_failed_allocation_of_harmony_is_an_error),
        cmocka_unit_test(test_every_failed_allocation_of_chatml_is_an_error),
        cmocka_unit_test(test_every_failed_allocation_of_llama3_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
