/* harmony_schema_test.c -- a schema inside a harmony turn: it holds for the final message only. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "chat_small.h"
#include "engine/constraint_harmony.h"
#include "engine/constraint_schema.h"

static void check(const char *text, bool expected)
{
    vt_tokenizer *t = NULL;
    vt_constraint *fitting = NULL, *turn = NULL;
    vt_tokens ids = {0};
    vt_err err = {0};
    bool is_allowed = true;
    small_format("harmony", some_merges, &t);
    json_t *schema =
        json_pack("{s:{s:{s:s}}, s:[s]}", "properties", "n", "type", "integer", "required", "n");
    int32_t end = vt_tokenizer_control(t, VT_S("<|return|>"));
    if (vt_constraint_schema_new(t, schema, &end, 1, &fitting, &err) != VT_OK)
        fail_msg("%s", err.msg);
    const vt_harmony_options options = {.has_json_final = true, .final_text = fitting};
    assert_int_equal(vt_constraint_harmony_new(t, &options, &turn, &err), VT_OK);
    small_ids(t, vt_slice_cstr(text), &ids);
    for (size_t i = 0; i < ids.n && is_allowed; i++)
        is_allowed = vt_constraint_accept(turn, ids.ids[i]);
    if (is_allowed != expected) fail_msg("%s: %s", expected ? "refused" : "allowed", text);
    vt_tokens_deinit(&ids);
    vt_constraint_free(turn);
    vt_constraint_free(fitting);
    json_decref(schema);
    vt_tokenizer_free(t);
}

#define THINKS "<|channel|>analysis<|message|>any {] text<|end|><|start|>assistant"

static void test_the_final_message_fits_and_reasoning_is_free(void **state)
{
    (void)state;
    check(THINKS "<|channel|>final<|message|>{\"n\": 12}<|return|>", true);
    check("<|channel|>final <|constrain|>json<|message|>{\"n\":-1}<|return|>", true);
    check(THINKS "<|channel|>final<|message|>text", false);
    check("<|channel|>final<|message|>{\"m", false);
    check("<|channel|>final<|message|>{\"n\":1<|return|>", false);
    check("<|channel|>final<|message|><|return|>", false);
    check("<|channel|>final<|message|>{\"n\":1}<|end|>", false);
    check("<|channel|>final<|message|>{\"n\":1}x", false);
    check("<|channel|>final<|message|>{\"n\":1}<|return|><|return|>", false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_final_message_fits_and_reasoning_is_free),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
