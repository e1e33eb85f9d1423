/* request_test.c -- Chat Completions bodies as conversations: what is understood, what is refused
 * by name, and the JSON text that prompts have. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "chat/json_text.h"
#include "chat/request.h"

static vt_conversation *parse(const char *body)
{
    vt_conversation *c = NULL;
    vt_err err = {0};
    vt_status st = vt_chat_request_parse(vt_slice_cstr(body), &c, &err);
    if (st != VT_OK) fail_msg("%s", err.msg);
    return c;
}

static void refused(const char *body, const char *why)
{
    vt_conversation *c = NULL;
    vt_err err = {0};
    assert_int_equal(vt_chat_request_parse(vt_slice_cstr(body), &c, &err), VT_EINPUT);
    assert_null(c);
    if (strstr(err.msg, why) == NULL) fail_msg("'%s' does not say '%s'", err.msg, why);
}

static void is_text(vt_slice s, const char *text)
{
    assert_int_equal(s.len, strlen(text));
    if (s.len > 0) assert_memory_equal(s.ptr, text, s.len);
}

static void test_a_request_becomes_items_in_order(void **state)
{
    (void)state;
    vt_conversation *c = parse(
        "{\"model\":\"m\",\"temperature\":0,\"messages\":["
        "{\"role\":\"system\",\"content\":\"Be brief.\"},"
        "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},"
        "{\"type\":\"text\",\"text\":\"b\"}],\"name\":\"ann\"},"
        "{\"role\":\"assistant\",\"content\":\"Looking.\",\"reasoning_content\":\"hm\","
        "\"tool_calls\":[{\"id\":\"c1\",\"type\":\"function\",\"function\":{\"name\":\"get\","
        "\"arguments\":\"{\\\"x\\\":1}\"}},{\"id\":\"c2\",\"type\":\"function\",\"function\":{"
        "\"name\":\"put\",\"arguments\":{\"y\":2}}}]},"
        "{\"role\":\"tool\",\"tool_call_id\":\"c2\",\"content\":\"done\"}],"
        "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"get\"}},"
        "{\"type\":\"browser_search\"}],\"reasoning_effort\":\"high\"}");
    assert_int_equal(vt_conversation_n_items(c), 7);
    is_text(vt_conversation_item(c, 1)->text, "ab");
    is_text(vt_conversation_item(c, 1)->name, "ann");
    const vt_item *reasoning = vt_conversation_item(c, 2);
    assert_int_equal(reasoning->kind, VT_ITEM_REASONING);
    assert_false(reasoning->continues);
    const vt_item *preamble = vt_conversation_item(c, 3);
    assert_true(preamble->continues && preamble->is_preamble);
    const vt_item *second = vt_conversation_item(c, 5);
    assert_int_equal(second->kind, VT_ITEM_CALL);
    is_text(second->text, "{\"y\":2}");
    const vt_item *result = vt_conversation_item(c, 6);
    is_text(result->name, "put");
    assert_int_equal(vt_conversation_effort(c), VT_EFFORT_HIGH);
    assert_true(vt_conversation_is_builtin(c, VT_S("browser.open")));
    assert_false(vt_conversation_is_builtin(c, VT_S("python")));
    vt_conversation_free(c);
}

static void test_what_would_change_behaviour_is_refused_by_its_name(void **state)
{
    (void)state;
#define USER "{\"role\":\"user\",\"content\":\"x\"}"
    refused("{\"messages\":[" USER "],\"chat_template\":\"x\"}", "chat_template");
    refused("{\"messages\":[{\"role\":\"user\",\"content\":\"x\",\"weight\":1}]}", "weight");
    refused("{\"messages\":[{\"role\":\"robot\",\"content\":\"x\"}]}", "robot");
    refused("{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\"}]}]}",
            "image_url");
    refused("{\"messages\":[" USER "],\"reasoning_effort\":\"extreme\"}", "extreme");
    refused("{\"messages\":[" USER "],\"response_format\":{\"type\":\"xml\"}}", "xml");
    refused("{\"messages\":[" USER "],\"tools\":[{\"type\":\"rocket\"}]}", "tools[0]");
    refused("{\"messages\":[" USER "],\"tool_choice\":\"required\"}", "required");
    refused("{\"messages\":[" USER "],\"tool_choice\":{\"type\":\"function\",\"function\":{"
            "\"name\":\"gone\"}}}",
            "gone");
    refused("{\"messages\":[{\"role\":\"tool\",\"tool_call_id\":\"z9\",\"content\":\"x\"}]}", "z9");
    refused("{\"messages\":[{\"role\":\"user\",\"content\":\"x\",\"tool_calls\":[{}]}]}",
            "tool_calls");
    refused("{\"messages\":[{\"role\":\"user\"}]}", "messages[0]: content");
}

static void test_hostile_bodies_are_refused_and_nothing_more(void **state)
{
    (void)state;
    refused("", "JSON");
    refused("[]", "not an object");
    refused("{\"messages\":{}}", "array");
    refused("{\"messages\":[]}", "at least one");
    refused("{\"messages\":[1]}", "messages[0]");
    refused("{\"messages\":[{\"role\":1,\"content\":\"x\"}]}", "role");
    refused("{\"messages\":[{\"role\":\"user\",\"content\":7}]}", "content");
    refused("{\"messages\":[{\"role\":\"assistant\",\"tool_calls\":\"x\"}]}", "tool_calls");
    refused("{\"messages\":[{\"role\":\"assistant\",\"tool_calls\":[[]]}]}", "tool_calls[0]");
    refused("{\"messages\":[" USER "],\"tools\":{}}", "tools");
    refused("{\"messages\":[" USER "],\"tools\":[{\"type\":\"function\",\"function\":{\"name\":"
            "\"a b\"}}]}",
            "a b");
    refused("{\"messages\":[" USER "],\"tools\":[{\"type\":\"function\",\"function\":{\"name\":"
            "\"a\"}},{\"type\":\"function\",\"function\":{\"name\":\"a\"}}]}",
            "two tools");
    refused("{\"messages\":[{\"role\":\"assistant\",\"reasoning\":\"a\",\"reasoning_content\":"
            "\"b\"}]}",
            "differ");
}

static void test_null_fields_say_nothing(void **state)
{
    (void)state;
    vt_conversation *c = parse("{\"messages\":[{\"role\":\"assistant\",\"content\":null,"
                               "\"audio\":null,\"tool_calls\":null}],\"tools\":null,"
                               "\"tool_choice\":null,\"functions\":null}");
    assert_int_equal(vt_conversation_n_items(c), 1);
    is_text(vt_conversation_item(c, 0)->text, "");
    vt_conversation_free(c);
}

static void spaced(const char *json, int indent, const char *expected)
{
    json_t *value = NULL;
    vt_buffer out;
    vt_buffer_init(&out, 0);
    assert_int_equal(vt_json_parse(vt_slice_cstr(json), &value, NULL), VT_OK);
    assert_int_equal(vt_json_write_spaced(value, indent, &out, NULL), VT_OK);
    assert_string_equal(out.ptr, expected);
    vt_buffer_deinit(&out);
    json_decref(value);
}

/* Expected texts are what Python's json.dumps(…, ensure_ascii=False) prints. */
static void test_json_is_spaced_as_python_prints_it(void **state)
{
    (void)state;
    spaced("{\"b\":[1,2.0,true,null],\"a\":{}}", 0, "{\"b\": [1, 2.0, true, null], \"a\": {}}");
    spaced("[\"\\u0001é\\n\\\"\\\\/\\u007f\"]", 0, "[\"\\u0001é\\n\\\"\\\\/\x7f\"]");
    spaced("[0.1,1e16,1e15,123456789.125,1e-5,0.0001,-2.5e-7,1e300,100.0,-0.0]", 0,
           "[0.1, 1e+16, 1000000000000000.0, 123456789.125, 1e-05, 0.0001, -2.5e-07, 1e+300, "
           "100.0, -0.0]");
    spaced("{\"a\":[1,{}],\"b\":[]}", 4,
           "{\n    \"a\": [\n        1,\n        {}\n    ],\n    \"b\": []\n}");
}

static void test_a_conversation_keeps_copies_and_checks_its_options(void **state)
{
    (void)state;
    vt_conversation *c = NULL;
    assert_int_equal(vt_conversation_new(&c, NULL), VT_OK);
    char text[] = "hello";
    int32_t ids[] = {7, 8, 9};
    vt_item item = {.role = VT_ROLE_ASSISTANT,
                    .continues = true,
                    .text = vt_slice_cstr(text),
                    .ids = ids,
                    .n_ids = 3};
    assert_int_equal(vt_conversation_add(c, &item, NULL), VT_OK);
    text[0] = 'X';
    ids[0] = 0;
    const vt_item *kept = vt_conversation_item(c, 0);
    is_text(kept->text, "hello");
    assert_int_equal(kept->ids[0], 7);
    assert_false(kept->continues); /* nothing to continue */
    assert_int_equal(vt_conversation_set_date(c, VT_S("2026-13-01"), NULL), VT_EINPUT);
    assert_int_equal(vt_conversation_set_date(c, VT_S("2026-12-01"), NULL), VT_OK);
    is_text(vt_conversation_date(c), "2026-12-01");
    vt_conversation_truncate(c, 0);
    assert_int_equal(vt_conversation_n_items(c), 0);
    vt_conversation_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_request_becomes_items_in_order),
        cmocka_unit_test(test_what_would_change_behaviour_is_refused_by_its_name),
        cmocka_unit_test(test_hostile_bodies_are_refused_and_nothing_more),
        cmocka_unit_test(test_null_fields_say_nothing),
        cmocka_unit_test(test_json_is_spaced_as_python_prints_it),
        cmocka_unit_test(test_a_conversation_keeps_copies_and_checks_its_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
