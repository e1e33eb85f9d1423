/* tagged_parse_test.c -- the turns of chatml (Qwen) and llama3: text, reasoning, calls with and
 * without tags, malformed ones, random tokens; and the repair of arguments. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "chat/json_repair.h"
#include "chat_small.h"

typedef struct {
    const char *turn;
    const char *expected;
} turn_case;

static const char with_tools[] = SMALL_BODY("");
static const char without_tools[] = "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}";

static vt_parser *run(const vt_chat_format *f, const vt_conversation *c, const vt_tokens *ids,
                      vt_finish reason, transcript *t)
{
    vt_parser *p = NULL;
    vt_err err = {0};
    *t = (transcript){0};
    vt_buffer_init(&t->text, 0);
    assert_int_equal(vt_parser_new(f, c, transcript_event, t, &p, &err), VT_OK);
    for (size_t i = 0; i < ids->n; i++)
        assert_int_equal(vt_parser_feed(p, ids->ids[i], &err), VT_OK);
    assert_int_equal(vt_parser_finish(p, reason, &err), VT_OK);
    assert_true(t->is_ended);
    return p;
}

/* Tags as one token where the text has them so (small_ids does), and, with `spell`, as bytes. */
static void check_turn(const vt_chat_format *f, const vt_conversation *c, const turn_case *tc,
                       vt_finish reason, bool spell)
{
    transcript t;
    vt_tokens ids = {0};
    if (spell)
        assert_int_equal(vt_tokenizer_encode(f->tokenizer, vt_slice_cstr(tc->turn), &ids, NULL),
                         VT_OK);
    else small_ids(f->tokenizer, vt_slice_cstr(tc->turn), &ids);
    vt_parser *p = run(f, c, &ids, reason, &t);
    if (strcmp(t.text.ptr, tc->expected) != 0)
        fail_msg("%s\n  gave     %s\n  expected %s", tc->turn, t.text.ptr, tc->expected);
    vt_parser_free(p);
    vt_tokens_deinit(&ids);
    vt_buffer_deinit(&t.text);
}

static void check_turns(const char *format, const char *body, const turn_case *cases, size_t n,
                        vt_finish reason)
{
    const char *const *merges[] = {no_merges, some_merges};
    for (size_t v = 0; v < VT_COUNT(merges); v++) {
        vt_tokenizer *tokenizer = NULL;
        vt_chat_format f = small_format(format, merges[v], &tokenizer);
        vt_conversation *c = small_conversation(body);
        for (size_t i = 0; i < n; i++) {
            check_turn(&f, c, &cases[i], reason, false);
            bool has_controls = strstr(cases[i].turn, "<|") != NULL;
            if (!has_controls) check_turn(&f, c, &cases[i], reason, true);
        }
        vt_conversation_free(c);
        vt_tokenizer_free(tokenizer);
    }
}

static void test_chatml_turns_become_events(void **state)
{
    (void)state;
    static const turn_case cases[] = {
        {"Hello<|im_end|>", "T(Hello)[stop]"},
        {"Hello", "T(Hello)[stop]"},
        {"", "[stop]"},
        {"  a < b and <tool> \n", "T(  a < b and <tool> \n)[stop]"},
        {"<tool_call>\n{\"name\": \"get\", \"arguments\": {\"n\": 1}}\n</tool_call>",
         "C(get {\"n\":1})[calls]"},
        {"Looking.\n<tool_call>\n{\"name\": \"get\", \"arguments\": {}}\n</tool_call>\n"
         "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"place\": \"è\"}}\n"
         "</tool_call>\n<|im_end|>",
         "T(Looking.)C(get {})C(get_weather {\"place\":\"è\"})[calls]"},
        {"<think>\nHm <b>.\n</think>\n\nSo.", "R(Hm <b>.)T(So.)[stop]"},
        {"<think>\n\n</think>\n\nSo.", "T(So.)[stop]"},
        {"<think>\nHm", "R(Hm)[stop]"},
        {"A <think> inside", "T(A <think> inside)[stop]"},
        {"<think>a</think><tool_call>{\"name\":\"get\"}</tool_call>", "R(a)C(get {})[calls]"},
        {"<|box_start|>x<|im_end|>ignored", "T(x)[stop]"},
        {"x<|im_start|>user\nfoo", "T(x)[stop]"},
    };
    check_turns("chatml", with_tools, cases, VT_COUNT(cases), VT_FINISH_STOP);
}

static void test_malformed_calls_are_repaired_or_text(void **state)
{
    (void)state;
    static const turn_case cases[] = {
        /* the end tag forgotten; another call begun instead */
        {"<tool_call>{\"name\":\"get\",\"arguments\":{\"n\":1}}<|im_end|>",
         "C(get {\"n\":1})[calls]"},
        {"<tool_call>{\"name\":\"get\"}<tool_call>{\"name\":\"get\"}", "C(get {})C(get {})[calls]"},
        {"<tool_call>{{\"name\": \"get\", \"arguments\": {\"n\": 1}}}</tool_call>",
         "C(get {\"n\":1})[calls]"},
        {"<tool_call>{\"name\":\"get\",\"arguments\":{\"n\":1}</tool_call>",
         "C(get {\"n\":1})[calls]"},
        {"<tool_call>{\"name\":\"get\",\"arguments\":\"{\\\"n\\\":1}\"}</tool_call>",
         "C(get {\"n\":1})[calls]"},
        {"<tool_call>{\"name\":\"get\",\"parameters\":{\"n\":1}}</tool_call>",
         "C(get {\"n\":1})[calls]"},
        {"<tool_call>{\"function\":{\"name\":\"get\",\"arguments\":{}}}</tool_call>",
         "C(get {})[calls]"},
        {"<tool_call>{\"name\":\"nope\",\"arguments\":{}}</tool_call>", "U(nope {})[calls]"},
        {"<tool_call>{\"name\":\"open_file\",\"arguments\":\"x\"}</tool_call>",
         "X(open_file x)[calls]"},
        /* no call at all: the text that it was */
        {"<tool_call>later</tool_call> ok", "T(<tool_call>later</tool_call> ok)[stop]"},
        {"a <tool_call>{\"x\":1}", "T(a)T(<tool_call>{\"x\":1})[stop]"},
        /* Qwen without its tags */
        {"{\"name\": \"get\", \"arguments\": {\"n\": 2}}", "C(get {\"n\":2})[calls]"},
        {"```json\n{\"name\": \"get\", \"arguments\": {\"n\": 2}}\n```", "C(get {\"n\":2})[calls]"},
        {"{\"name\": \"Ann\", \"age\": 3}", "T({\"name\": \"Ann\", \"age\": 3})[stop]"},
        {"```json\n{\"a\": 1}\n```", "T(```json\n{\"a\": 1}\n```)[stop]"},
        {"{\"list\": [\"long enough to tell that this is an answer in JSON\", \"and not a call\", "
         "\"at all\"]}",
         "T({\"list\": [\"long enough to tell that this is an answer in JSON\", \"and not a "
         "call\", "
         "\"at all\"]})[stop]"},
    };
    check_turns("chatml", with_tools, cases, VT_COUNT(cases), VT_FINISH_STOP);
}

static void test_without_tools_nothing_is_a_call(void **state)
{
    (void)state;
    static const turn_case cases[] = {
        {"<tool_call>{\"name\":\"get\"}</tool_call>",
         "T(<tool_call>{\"name\":\"get\"}</tool_call>)[stop]"},
        {"{\"name\": \"get\", \"arguments\": {}}",
         "T({\"name\": \"get\", \"arguments\": {}})[stop]"},
    };
    check_turns("chatml", without_tools, cases, VT_COUNT(cases), VT_FINISH_STOP);
}

static void test_a_turn_cut_off_makes_no_call(void **state)
{
    (void)state;
    static const turn_case cases[] = {
        {"So.\n<tool_call>{\"name\":\"get\",\"arguments\":{}}", "T(So.)[length]"},
        {"So <tool_c", "T(So <tool_c)[length]"},
        {"{\"name\": \"get\", \"argu", "T({\"name\": \"get\", \"argu)[length]"},
        {"<thi", "T(<thi)[length]"},
    };
    check_turns("chatml", with_tools, cases, VT_COUNT(cases), VT_FINISH_LENGTH);
}

static void test_llama3_turns_become_events(void **state)
{
    (void)state;
    static const turn_case cases[] = {
        {"Hello<|eot_id|>", "T(Hello)[stop]"},
        {"{\"name\": \"get\", \"parameters\": {\"n\": 1}}<|eot_id|>", "C(get {\"n\":1})[calls]"},
        {"<|python_tag|>{\"name\": \"get\", \"parameters\": {}}<|eom_id|>", "C(get {})[calls]"},
        {"{\"name\": \"get\", \"parameters\": {}}; {\"name\": \"get\", \"parameters\": {\"n\": 2}}",
         "C(get {})C(get {\"n\":2})[calls]"},
        {"{\"name\": \"get\", \"parameters\": {}} Done.", "C(get {})T(Done.)[calls]"},
        {"<|python_tag|>print(1)<|eom_id|>", "T(print(1))[stop]"},
        {"x<|start_header_id|>user", "T(x)[stop]"},
    };
    check_turns("llama3", with_tools, cases, VT_COUNT(cases), VT_FINISH_STOP);
}

static void test_the_next_prompt_continues_the_sampled_ids(void **state)
{
    (void)state;
    vt_tokenizer *tokenizer = NULL;
    transcript t;
    vt_tokens ids = {0}, before = {0}, after = {0};
    vt_chat_format f = small_format("chatml", some_merges, &tokenizer);
    vt_conversation *c = small_conversation(with_tools);
    assert_int_equal(vt_chat_tokens(&f, c, &before, NULL), VT_OK);
    small_ids(tokenizer,
              VT_S("Wait.\n\n<tool_call>\n{ \"name\":\"get\", \"arguments\":{}}\n</tool_call>\n"
                   "<tool_call>{\"name\":\"get\",\"arguments\":{}}</tool_call>\n\n<|im_end|>"),
              &ids);
    vt_parser *p = run(&f, c, &ids, VT_FINISH_STOP, &t);
    assert_int_equal(vt_parser_n_repairs(p), 0);
    assert_int_equal(vt_parser_append(p, c, NULL), VT_OK);
    assert_int_equal(vt_chat_tokens(&f, c, &after, NULL), VT_OK);
    assert_true(after.n > before.n + ids.n);
    assert_memory_equal(after.ids, before.ids, before.n * sizeof(int32_t));
    assert_memory_equal(after.ids + before.n, ids.ids, ids.n * sizeof(int32_t));
    vt_parser_free(p);
    vt_tokens_deinit(&ids);
    vt_tokens_deinit(&before);
    vt_tokens_deinit(&after);
    vt_buffer_deinit(&t.text);
    vt_conversation_free(c);
    vt_tokenizer_free(tokenizer);
}

static uint32_t next_random(uint64_t *s)
{
    *s = *s * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*s >> 33);
}

static void random_turn(const vt_tokenizer *t, uint64_t *seed, vt_tokens *ids)
{
    static const char *const words[] = {"<tool_call>", "</tool_call>",      "<think>",
                                        "</think>",    "{\"name\":\"get\"", ",\"arguments\":{}",
                                        "}",           "```json\n",         "\n"};
    size_t n_vocab = vt_tokenizer_n_vocab(t);
    size_t n = next_random(seed) % 40;
    for (size_t i = 0; i < n; i++) {
        uint32_t r = next_random(seed);
        if (r % 4 ==
            0) /* the last are the control tokens; stops are rare, or nothing would follow */
            assert_int_equal(vt_tokens_push(ids, (int32_t)(n_vocab - 1 - r / 4 % 8), NULL), VT_OK);
        else if (r % 4 == 1) {
            vt_slice word = vt_slice_cstr(words[r / 4 % VT_COUNT(words)]);
            if (r % 8 == 1) small_ids(t, word, ids);
            else assert_int_equal(vt_tokenizer_encode(t, word, ids, NULL), VT_OK);
        } else assert_int_equal(vt_tokens_push(ids, (int32_t)(r / 4 % 256), NULL), VT_OK);
    }
}

static void random_turns(const char *format)
{
    uint64_t seed = 20261124;
    vt_tokenizer *tokenizer = NULL;
    vt_chat_format f = small_format(format, no_merges, &tokenizer);
    vt_conversation *c = small_conversation(with_tools);
    size_t n_items = vt_conversation_n_items(c);
    for (int i = 0; i < 10000; i++) {
        transcript t;
        vt_tokens ids = {0}, prompt = {0};
        random_turn(tokenizer, &seed, &ids);
        vt_parser *p = run(&f, c, &ids, (vt_finish)(i % 4 == 1 ? 0 : i % 4), &t);
        assert_int_equal(vt_parser_append(p, c, NULL), VT_OK);
        if (i % 16 == 0) assert_int_equal(vt_chat_tokens(&f, c, &prompt, NULL), VT_OK);
        vt_conversation_truncate(c, n_items);
        vt_parser_free(p);
        vt_tokens_deinit(&ids);
        vt_tokens_deinit(&prompt);
        vt_buffer_deinit(&t.text);
    }
    vt_conversation_free(c);
    vt_tokenizer_free(tokenizer);
}

static void test_ten_thousand_random_chatml_turns_are_no_error(void **state)
{
    (void)state;
    random_turns("chatml");
}

static void test_ten_thousand_random_llama3_turns_are_no_error(void **state)
{
    (void)state;
    random_turns("llama3");
}

static void repairs(const char *raw, const char *key, const char *expected)
{
    bool is_repaired = false;
    vt_buffer out;
    vt_buffer_init(&out, 0);
    bool is_json = vt_json_repair(vt_slice_cstr(raw), vt_slice_cstr(key), &out, &is_repaired);
    if (is_json != (expected != NULL)) fail_msg("%s", raw);
    if (expected) assert_string_equal(out.ptr, expected);
    if (!expected) assert_int_equal(out.len, 0);
    vt_buffer_deinit(&out);
}

static void test_arguments_are_repaired_and_never_guessed(void **state)
{
    (void)state;
    repairs("{\"a\" : 1.50}", "", "{\"a\" : 1.50}"); /* as written */
    repairs(" \n{}\n", "", "{}");
    repairs("", "", "{}");
    repairs("{\"a\":1}]}", "", "{\"a\":1}");
    repairs("[{\"a\":1}]", "", "{\"a\":1}");
    repairs("\"{\\\"a\\\":1}\"", "", "{\"a\":1}");
    repairs("{\"a\":\"x\ny\tz\"}", "", "{\"a\":\"x\\ny\\tz\"}");
    repairs("{\"a\":{\"b\":[1", "", "{\"a\":{\"b\":[1]}}");
    repairs("```json\n{\"a\":1}\n```", "", "{\"a\":1}");
    repairs("{\"a\":1,\"a\":2}", "", "{\"a\":2}");
    repairs("ls -l", "command", "{\"command\":\"ls -l\"}");
    repairs("\"ls -l\"", "command", "{\"command\":\"ls -l\"}");
    repairs("*** Begin Patch\n", "patch", "{\"patch\":\"*** Begin Patch\\n\"}");
    repairs("ls -l", "", NULL);
    repairs("{\"a\":\"cut", "", NULL);
    repairs("{\"a\":1} and more", "x", NULL);
    repairs("{a:1}", "x", NULL);
    repairs("[1,2]", "", NULL);
    repairs("{\"a\":\"\\", "", NULL);
    repairs("7", "", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chatml_turns_become_events),
        cmocka_unit_test(test_malformed_calls_are_repaired_or_text),
        cmocka_unit_test(test_without_tools_nothing_is_a_call),
        cmocka_unit_test(test_a_turn_cut_off_makes_no_call),
        cmocka_unit_test(test_llama3_turns_become_events),
        cmocka_unit_test(test_the_next_prompt_continues_the_sampled_ids),
        cmocka_unit_test(test_ten_thousand_random_chatml_turns_are_no_error),
        cmocka_unit_test(test_ten_thousand_random_llama3_turns_are_no_error),
        cmocka_unit_test(test_arguments_are_repaired_and_never_guessed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
