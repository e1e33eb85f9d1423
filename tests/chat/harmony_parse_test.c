/* harmony_parse_test.c -- gpt-oss's turns: the well-formed, each known malformed kind, and random
 * tokens. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "chat_small.h"

typedef struct {
    const char *turn;     /* what the model writes after <|start|>assistant */
    const char *expected; /* the transcript */
} turn_case;

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

/* On a vocabulary of bytes and on one of longer tokens: the same events. Well-formed turns need no
 * repair, the others do. */
static void check_turns(const turn_case *cases, size_t n, bool is_wellformed, vt_finish reason)
{
    const char *const *merges[] = {no_merges, some_merges};
    for (size_t v = 0; v < VT_COUNT(merges); v++) {
        vt_tokenizer *tokenizer = NULL;
        vt_chat_format f = small_format("harmony", merges[v], &tokenizer);
        vt_conversation *c = small_conversation(SMALL_BODY(SMALL_BUILTINS));
        for (size_t i = 0; i < n; i++) {
            transcript t;
            vt_tokens ids = {0};
            small_ids(tokenizer, vt_slice_cstr(cases[i].turn), &ids);
            vt_parser *p = run(&f, c, &ids, reason, &t);
            if (strcmp(t.text.ptr, cases[i].expected) != 0)
                fail_msg("%s\n  gave     %s\n  expected %s", cases[i].turn, t.text.ptr,
                         cases[i].expected);
            if ((vt_parser_n_repairs(p) == 0) != is_wellformed)
                fail_msg("%s: %zu repairs", cases[i].turn, vt_parser_n_repairs(p));
            vt_parser_free(p);
            vt_tokens_deinit(&ids);
            vt_buffer_deinit(&t.text);
        }
        vt_conversation_free(c);
        vt_tokenizer_free(tokenizer);
    }
}

#define ANALYSIS   "<|channel|>analysis<|message|>"
#define FINAL      "<|channel|>final<|message|>"
#define COMMENTARY "<|channel|>commentary<|message|>"
#define NEXT       "<|end|><|start|>assistant"

static void test_wellformed_turns_become_events(void **state)
{
    (void)state;
    static const turn_case cases[] = {
        {FINAL "Hello<|return|>", "T(Hello)[stop]"},
        {ANALYSIS "Hm." NEXT FINAL "42<|return|>", "R(Hm.)T(42)[stop]"},
        {ANALYSIS "Hm." NEXT "<|channel|>commentary to=functions.get_weather <|constrain|>json"
                  "<|message|>{\"place\":\"Roma\"}<|call|>",
         "R(Hm.)C(get_weather {\"place\":\"Roma\"})[calls]"},
        {COMMENTARY "I will look." NEXT "<|channel|>commentary to=functions.get<|message|>{}"
                    "<|call|>",
         "P(I will look.)C(get {})[calls]"},
        {"<|channel|>analysis to=python code<|message|>print(1)\n<|call|>",
         "C(python print(1)\n)[calls]"},
        {"<|channel|>analysis to=browser.search code<|message|>{\"query\":\"x\"}<|call|>",
         "C(browser.search {\"query\":\"x\"})[calls]"},
        {"<|channel|>final <|constrain|>json<|message|>{\"a\":1}<|return|>", "T({\"a\":1})[stop]"},
        {ANALYSIS NEXT FINAL "été 👩‍💻<|return|>", "T(été 👩‍💻)[stop]"},
        {"", "[stop]"},
    };
    check_turns(cases, VT_COUNT(cases), true, VT_FINISH_STOP);
}

/* The table of facts about what real models emit, row by row. */
static void test_every_known_malformed_turn_is_survived(void **state)
{
    (void)state;
    static const turn_case cases[] = {
        /* free text, "??", an unknown word after <|channel|> */
        {"<|channel|>?? what<|message|>Hm." NEXT FINAL "x<|return|>", "R(Hm.)T(x)[stop]"},
        {"<|channel|>thinking<|message|>Hm.<|return|>", "R(Hm.)[stop]"},
        /* doubled header: the last one wins */
        {"<|channel|>commentary to=assistant<|channel|>analysis<|message|>Hm.<|end|>",
         "R(Hm.)[stop]"},
        {"<|channel|>analysis<|channel|>final<|message|>x<|return|>", "T(x)[stop]"},
        /* a refusal before any header */
        {"I'm sorry, but I can't help with that.<|return|>",
         "T(I'm sorry, but I can't help with that.)[stop]"},
        {"I can't." NEXT ANALYSIS "Hm.<|end|>", "T(I can't.)R(Hm.)[stop]"},
        {"final answers are hard<|return|>", "T(final answers are hard)[stop]"},
        /* the role twice */
        {"<|start|>assistant" FINAL "x<|return|>", "T(x)[stop]"},
        {"assistant" FINAL "x<|return|>", "T(x)[stop]"},
        {ANALYSIS "a<|end|><|start|>assistantassistant" FINAL "x<|return|>", "R(a)T(x)[stop]"},
        /* no <|message|> before the stop: the body is the rest of the header */
        {"<|channel|>final Hello there<|return|>", "T(Hello there)[stop]"},
        {"<|channel|>analysis Hm." NEXT FINAL "x<|return|>", "R(Hm.)T(x)[stop]"},
        {"<|channel|>commentary to=functions.get {\"n\":1}<|call|>", "C(get {\"n\":1})[calls]"},
        {"<|channel|>final <|constrain|>json{\"a\":1}<|return|>", "T({\"a\":1})[stop]"},
        {"<|channel|>commentary to=functions.get<|call|>", "C(get {})[calls]"},
        /* glued recipients */
        {"<|channel|>commentary to=functions.get_weatherjson<|message|>{\"place\":\"x\"}<|call|>",
         "C(get_weather {\"place\":\"x\"})[calls]"},
        {" to=functions.get_weather<|channel|>commentary json<|message|>{\"place\":\"x\"}<|call|>",
         "C(get_weather {\"place\":\"x\"})[calls]"},
        {"<|channel|>commentary to=functions.get<|channel|>commentary<|message|>{}<|call|>",
         "C(get {})[calls]"},
        {"<|channel|>commentary to=functions.get<|constrain|>json<|message|>{}<|call|>",
         "C(get {})[calls]"},
        /* a recipient in the role's place, as the library renders it */
        {" to=functions.get<|channel|>commentary <|constrain|>json<|message|>{}<|call|>",
         "C(get {})[calls]"},
        /* tools that are not offered; aliases that are meant */
        {"<|channel|>commentary to=container.exec<|message|>{\"cmd\":1}<|call|>",
         "U(container.exec {\"cmd\":1})[calls]"},
        {"<|channel|>commentary to=functions.python<|message|>print(1)<|call|>",
         "C(python print(1))[calls]"},
        {"<|channel|>commentary to=functions.browser.search<|message|>{\"query\":\"x\"}<|call|>",
         "C(browser.search {\"query\":\"x\"})[calls]"},
        {"<|channel|>commentary "
         "to=repo_browser.open_file<|message|>{\"a\":\"\",\"b\":\"\"}<|call|>",
         "C(open_file {\"a\":\"\",\"b\":\"\"})[calls]"},
        {"<|channel|>commentary to=repo_browser.search<|message|>{\"query\":\"x\"}<|call|>",
         "C(browser.search {\"query\":\"x\"})[calls]"},
        {"<|channel|>commentary to=get_weather<|message|>{\"place\":\"x\"}<|call|>",
         "C(get_weather {\"place\":\"x\"})[calls]"},
        {"<|channel|>commentary to=functions.get_all<|message|>{}<|call|>", "U(get_all {})[calls]"},
        /* arguments */
        {"<|channel|>commentary to=functions.get<|message|>{\"n\":1}]<|call|>",
         "C(get {\"n\":1})[calls]"},
        {"<|channel|>commentary to=functions.get<|message|>[{\"n\":1}]<|call|>",
         "C(get {\"n\":1})[calls]"},
        {"<|channel|>commentary to=functions.get<|message|>\"{\\\"n\\\":1}\"<|call|>",
         "C(get {\"n\":1})[calls]"},
        {"<|channel|>commentary to=functions.get_weather<|message|>Roma<|call|>",
         "C(get_weather {\"place\":\"Roma\"})[calls]"},
        {"<|channel|>commentary to=functions.open_file<|message|>what<|call|>",
         "X(open_file what)[calls]"},
        /* recipients that are people: a plain message */
        {"<|channel|>commentary to=user<|message|>Look!<|end|>", "P(Look!)[stop]"},
        {"<|channel|>final to=all<|message|>x<|return|>", "T(x)[stop]"},
        {"<|channel|>analysis to=assistant<|message|>x<|end|>", "R(x)[stop]"},
        /* ends that are missing, headers that are */
        {ANALYSIS "a<|start|>assistant" FINAL "x<|return|>", "R(a)T(x)[stop]"},
        {ANALYSIS "a" FINAL "x<|return|>", "R(a)T(x)[stop]"},
        {ANALYSIS "a<|end|>" FINAL "x<|return|>", "R(a)T(x)[stop]"},
        {"<|message|>x<|return|>", "T(x)[stop]"},
        {ANALYSIS "<|message|>a<|reserved|>b<|end|>", "R(ab)[stop]"},
        /* a turn that is not the model's: dropped */
        {FINAL "x<|end|><|start|>user<|message|>thanks<|end|>", "T(x)[stop]"},
        {"<|channel|>commentary to=functions.get<|message|>{}<|call|><|start|>functions.get "
         "to=assistant<|channel|>commentary<|message|>7<|end|>",
         "C(get {})[calls]"},
    };
    check_turns(cases, VT_COUNT(cases), false, VT_FINISH_STOP);
}

static void test_a_call_in_the_analysis_channel_is_a_call(void **state)
{
    (void)state;
    static const turn_case cases[] = {
        {"<|channel|>analysis to=functions.get <|constrain|>json<|message|>{}<|call|>",
         "C(get {})[calls]"},
        {"<|channel|>commentary to=python code<|message|>1<|call|>", "C(python 1)[calls]"},
    };
    check_turns(cases, VT_COUNT(cases), true, VT_FINISH_STOP);
}

static void test_stray_ends_after_a_complete_message_are_ignored(void **state)
{
    (void)state;
    static const turn_case cases[] = {
        {FINAL "x<|end|><|return|>", "T(x)[stop]"},
        {FINAL "x<|return|><|end|><|end|>", "T(x)[stop]"},
        {"<|channel|>commentary to=functions.get<|message|>{}<|call|><|call|>", "C(get {})[calls]"},
        {FINAL "x<|call|>", "T(x)[stop]"}, /* a call without a recipient is none */
        {ANALYSIS "a<|end|><|start|><|start|>assistant" FINAL "x<|return|>", "R(a)T(x)[stop]"},
    };
    check_turns(cases, VT_COUNT(cases), true, VT_FINISH_STOP);
}

static void test_a_turn_cut_off_keeps_its_text_and_makes_no_call(void **state)
{
    (void)state;
    static const turn_case cases[] = {
        {FINAL "Hel", "T(Hel)[length]"},
        {ANALYSIS "a" NEXT "<|channel|>commentary to=functions.get <|constrain|>json<|message|>"
                  "{\"n\":",
         "R(a)[length]"},
        {ANALYSIS "a" NEXT "<|channel|>fin", "R(a)[length]"},
        {FINAL "caf\xC3", "T(caf\xEF\xBF\xBD)[length]"},
    };
    check_turns(cases, VT_COUNT(cases), true, VT_FINISH_LENGTH);
}

static void test_characters_are_whole_whatever_the_tokens(void **state)
{
    (void)state;
    vt_tokenizer *tokenizer = NULL;
    transcript t;
    vt_tokens ids = {0};
    vt_chat_format f = small_format("harmony", no_merges, &tokenizer);
    vt_conversation *c = small_conversation(SMALL_BODY(""));
    /* bytes one by one; the transcript checks that every event is valid UTF-8 */
    small_ids(tokenizer, VT_S(FINAL "è€𝄞"), &ids);
    assert_int_equal(vt_tokens_push(&ids, 0xF0, NULL), VT_OK); /* never completed */
    assert_int_equal(vt_tokens_push(&ids, 0x9F, NULL), VT_OK);
    small_ids(tokenizer,
              VT_S(NEXT FINAL "\x9F"
                              "b<|return|>"),
              &ids);
    vt_parser *p = run(&f, c, &ids, VT_FINISH_STOP, &t);
    assert_string_equal(t.text.ptr, "T(è€𝄞\xEF\xBF\xBD)T(\xEF\xBF\xBD"
                                    "b)[stop]");
    vt_parser_free(p);
    vt_tokens_deinit(&ids);
    vt_buffer_deinit(&t.text);
    vt_conversation_free(c);
    vt_tokenizer_free(tokenizer);
}

/* What was sampled is replayed, so that the next prompt begins with the last one and its turn. */
static void test_the_next_prompt_continues_the_sampled_ids(void **state)
{
    (void)state;
    vt_tokenizer *tokenizer = NULL;
    transcript t;
    vt_tokens ids = {0}, before = {0}, after = {0};
    vt_chat_format f = small_format("harmony", some_merges, &tokenizer);
    vt_conversation *c = small_conversation(SMALL_BODY(""));
    assert_int_equal(vt_chat_tokens(&f, c, &before, NULL), VT_OK);
    small_ids(tokenizer,
              VT_S(ANALYSIS "Hm." NEXT COMMENTARY "Wait." NEXT
                            "<|channel|>commentary to=functions.get <|constrain|>json<|message|>"
                            "{ \"n\" : 1 }<|call|>"),
              &ids);
    vt_parser *p = run(&f, c, &ids, VT_FINISH_STOP, &t);
    assert_int_equal(vt_parser_append(p, c, NULL), VT_OK);
    assert_int_equal(vt_chat_tokens(&f, c, &after, NULL), VT_OK);
    assert_true(after.n > before.n + ids.n);
    assert_memory_equal(after.ids, before.ids, before.n * sizeof(int32_t));
    assert_memory_equal(after.ids + before.n, ids.ids, ids.n * sizeof(int32_t));
    const vt_item *call = vt_conversation_item(c, vt_conversation_n_items(c) - 1);
    assert_int_equal(call->kind, VT_ITEM_CALL);
    assert_true(call->continues && call->n_ids > 0);
    vt_parser_free(p);
    vt_tokens_deinit(&ids);
    vt_tokens_deinit(&before);
    vt_tokens_deinit(&after);
    vt_buffer_deinit(&t.text);
    vt_conversation_free(c);
    vt_tokenizer_free(tokenizer);
}

static void test_a_bent_turn_is_rendered_anew(void **state)
{
    (void)state;
    vt_tokenizer *tokenizer = NULL;
    transcript t;
    vt_tokens ids = {0};
    vt_chat_format f = small_format("harmony", no_merges, &tokenizer);
    vt_conversation *c = small_conversation(SMALL_BODY(""));
    small_ids(tokenizer, VT_S("<|channel|>?<|channel|>final<|message|>x<|return|>"), &ids);
    vt_parser *p = run(&f, c, &ids, VT_FINISH_STOP, &t);
    assert_int_equal(vt_parser_append(p, c, NULL), VT_OK);
    const vt_item *item = vt_conversation_item(c, vt_conversation_n_items(c) - 1);
    assert_int_equal(item->n_ids, 0);
    assert_true(vt_slice_eq(item->text, VT_S("x")));
    vt_parser_free(p);
    vt_tokens_deinit(&ids);
    vt_buffer_deinit(&t.text);
    vt_conversation_free(c);
    vt_tokenizer_free(tokenizer);
}

static uint32_t next_random(uint64_t *s)
{
    *s = *s * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*s >> 33);
}

/* Random tokens, half of them control tokens, a third of the rest words of headers. */
static void random_turn(const vt_tokenizer *t, uint64_t *seed, vt_tokens *ids)
{
    static const char *const words[] = {
        "assistant", "analysis", "commentary", "final",      " to=",   "functions.get",
        "json",      " code",    "{\"n\":1}",  "functions.", "python", "user",
    };
    size_t n = next_random(seed) % 40;
    for (size_t i = 0; i < n; i++) {
        uint32_t r = next_random(seed);
        if (r % 2 == 0) {
            const char *name = harmony_controls[r / 2 % 9];
            assert_int_equal(
                vt_tokens_push(ids, vt_tokenizer_control(t, vt_slice_cstr(name)), NULL), VT_OK);
        } else if (r % 3 == 0) small_ids(t, vt_slice_cstr(words[r / 6 % VT_COUNT(words)]), ids);
        else assert_int_equal(vt_tokens_push(ids, (int32_t)(r / 6 % 256), NULL), VT_OK);
    }
}

static void test_ten_thousand_random_turns_are_no_error(void **state)
{
    (void)state;
    uint64_t seed = 20261124;
    vt_tokenizer *tokenizer = NULL;
    vt_chat_format f = small_format("harmony", no_merges, &tokenizer);
    vt_conversation *c = small_conversation(SMALL_BODY(SMALL_BUILTINS));
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wellformed_turns_become_events),
        cmocka_unit_test(test_every_known_malformed_turn_is_survived),
        cmocka_unit_test(test_a_call_in_the_analysis_channel_is_a_call),
        cmocka_unit_test(test_stray_ends_after_a_complete_message_are_ignored),
        cmocka_unit_test(test_a_turn_cut_off_keeps_its_text_and_makes_no_call),
        cmocka_unit_test(test_characters_are_whole_whatever_the_tokens),
        cmocka_unit_test(test_the_next_prompt_continues_the_sampled_ids),
        cmocka_unit_test(test_a_bent_turn_is_rendered_anew),
        cmocka_unit_test(test_ten_thousand_random_turns_are_no_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
