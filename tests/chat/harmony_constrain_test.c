/* harmony_constrain_test.c -- the automaton of harmony turns: what it allows is well formed, on ten
 * thousand random walks; what it forbids; tool_choice; what is forced. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "chat_small.h"
#include "engine/constraint_harmony.h"

static uint32_t next_random(uint64_t *s)
{
    *s = *s * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*s >> 33);
}

typedef struct {
    vt_tokenizer *tokenizer;
    vt_chat_format format;
    vt_conversation *conversation;
    vt_constraint *constraint;
} setup;

static setup make(const char *body, const char *const *merges)
{
    setup s = {0};
    s.format = small_format("harmony", merges, &s.tokenizer);
    s.conversation = small_conversation(body);
    vt_err err = {0};
    if (vt_chat_constraint(&s.format, s.conversation, &s.constraint, &err) != VT_OK)
        fail_msg("%s", err.msg);
    return s;
}

static void unmake(setup *s)
{
    vt_constraint_free(s->constraint);
    vt_conversation_free(s->conversation);
    vt_tokenizer_free(s->tokenizer);
}

static int32_t control(const setup *s, const char *name)
{
    return vt_tokenizer_control(s->tokenizer, vt_slice_cstr(name));
}

/* Accept a text with control tokens by their names; false at the first that is not allowed. */
static bool accepts(setup *s, const char *text)
{
    vt_tokens ids = {0};
    bool is_allowed = true;
    small_ids(s->tokenizer, vt_slice_cstr(text), &ids);
    for (size_t i = 0; i < ids.n && is_allowed; i++)
        is_allowed = vt_constraint_accept(s->constraint, ids.ids[i]);
    vt_tokens_deinit(&ids);
    return is_allowed;
}

static void check_accepts(const char *body, const char *text, bool expected)
{
    setup s = make(body, no_merges);
    if (accepts(&s, text) != expected) fail_msg("%s: %s", expected ? "refused" : "allowed", text);
    unmake(&s);
}

static const char tools[] = SMALL_BODY(SMALL_BUILTINS);
static const char plain[] = "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}";

static void test_wellformed_turns_are_allowed(void **state)
{
    (void)state;
    check_accepts(tools, "<|channel|>final<|message|>x<|return|>", true);
    check_accepts(tools,
                  "<|channel|>analysis<|message|><|end|><|start|>assistant<|channel|>final"
                  "<|message|>x<|return|>",
                  true);
    check_accepts(tools,
                  "<|channel|>commentary to=functions.get <|constrain|>json<|message|>{}"
                  "<|call|>",
                  true);
    check_accepts(tools, "<|channel|>commentary to=functions.get_weather<|message|>{}<|call|>",
                  true);
    check_accepts(tools,
                  "<|channel|>commentary<|message|>x<|end|><|start|>assistant<|channel|>"
                  "analysis to=python code<|message|>1<|call|>",
                  true);
    check_accepts(tools, "<|channel|>analysis to=browser.search code<|message|>{}<|call|>", true);
}

static void test_illformed_turns_cannot_be_sampled(void **state)
{
    (void)state;
    check_accepts(tools, "x", false);
    check_accepts(tools, "<|message|>", false);
    check_accepts(tools, "<|channel|>?", false);
    check_accepts(tools, "<|channel|>analysis<|channel|>", false);
    check_accepts(tools, "<|channel|>final<|return|>", false);
    check_accepts(tools, "<|channel|>final<|message|><|return|>", false);
    check_accepts(tools, "<|channel|>final<|message|>x<|end|>", false);
    check_accepts(tools, "<|channel|>final<|message|>x<|call|>", false);
    check_accepts(tools, "<|channel|>final<|message|>x<|reserved|>", false);
    check_accepts(tools, "<|channel|>final<|message|>x<|endoftext|>", false);
    check_accepts(tools, "<|channel|>final <|constrain|>", false);
    check_accepts(tools, "<|channel|>analysis<|message|>x<|return|>", false);
    check_accepts(tools, "<|channel|>analysis<|message|>x<|end|><|channel|>", false);
    check_accepts(tools, "<|channel|>analysis<|message|>x<|end|><|start|>user", false);
    check_accepts(tools, "<|channel|>commentary to=functions.nope<|message|>", false);
    check_accepts(tools, "<|channel|>commentary to=python", false);
    check_accepts(tools, "<|channel|>commentary to=functions.get<|message|><|call|>", false);
    check_accepts(tools, "<|channel|>commentary to=functions.get<|message|>{}<|return|>", false);
    check_accepts(tools, "<|channel|>final<|message|>x<|return|><|return|>", false);
    check_accepts(plain, "<|channel|>commentary", false);
}

static void test_tool_choice_is_part_of_the_automaton(void **state)
{
    (void)state;
#define CHOICE(choice)                                                               \
    "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"tools\":[" SMALL_TOOL( \
        "get", "", "") "," SMALL_TOOL("put", "", "") "],\"tool_choice\":" choice "}"
    static const char none[] = CHOICE("\"none\"");
    static const char required[] = CHOICE("\"required\"");
    static const char named[] = CHOICE("{\"type\":\"function\",\"function\":{\"name\":\"put\"}}");
    check_accepts(none, "<|channel|>final<|message|>x<|return|>", true);
    check_accepts(none, "<|channel|>commentary to=functions.get", false);
    check_accepts(required, "<|channel|>final", false);
    check_accepts(required, "<|channel|>commentary to=functions.get<|message|>{}<|call|>", true);
    check_accepts(named, "<|channel|>commentary to=functions.get", false);
    check_accepts(named, "<|channel|>commentary to=functions.put<|message|>{}<|call|>", true);
}

static void test_a_json_answer_may_say_so_in_its_header(void **state)
{
    (void)state;
    static const char json[] = "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],"
                               "\"response_format\":{\"type\":\"json_object\"}}";
    check_accepts(json, "<|channel|>final <|constrain|>json<|message|>{}<|return|>", true);
    check_accepts(json, "<|channel|>final<|message|>{}<|return|>", true);
}

static void test_what_has_one_way_on_is_forced(void **state)
{
    (void)state;
    setup s = make(tools, no_merges);
    assert_int_equal(vt_constraint_forced(s.constraint), control(&s, "<|channel|>"));
    assert_true(accepts(&s, "<|channel|>analysis<|message|>x"));
    assert_int_equal(vt_constraint_forced(s.constraint), -1);
    assert_true(accepts(&s, "<|end|>"));
    vt_buffer forced;
    vt_buffer_init(&forced, 0);
    int32_t ahead[16];
    size_t n_forced = 0, n_ahead = vt_constraint_foresee(s.constraint, ahead, 16);
    for (int32_t id; (id = vt_constraint_forced(s.constraint)) >= 0;) {
        vt_buffer_append(&forced, vt_tokenizer_bytes(s.tokenizer, id));
        assert_true(n_forced < n_ahead && ahead[n_forced] == id);
        assert_true(vt_constraint_accept(s.constraint, id));
        n_forced++;
    }
    assert_int_equal(n_forced, n_ahead);
    assert_int_equal(vt_constraint_foresee(s.constraint, ahead, 16), 0);
    assert_string_equal(forced.ptr, "<|start|>assistant<|channel|>");
    vt_buffer_deinit(&forced);
    unmake(&s);
}

/* The mask says what accept says, for every id, in states of both kinds; and rows past the
 * vocabulary are never allowed. */
static void test_the_mask_agrees_with_accept(void **state)
{
    (void)state;
    static const char *const states[] = {"", "<|channel|>", "<|channel|>final<|message|>",
                                         "<|channel|>final<|message|>x",
                                         "<|channel|>final<|message|>x<|return|>"};
    for (size_t k = 0; k < VT_COUNT(states); k++) {
        setup s = make(tools, some_merges);
        vt_generate_constraint g = {0};
        vt_token_mask mask = {0};
        bool is_free = true;
        size_t n = vt_tokenizer_n_vocab(s.tokenizer) + 77; /* rows that no token has */
        assert_true(accepts(&s, states[k]));
        assert_int_equal(vt_constraint_for_generate(s.constraint, n, &g, NULL), VT_OK);
        assert_int_equal(g.allow(g.ctx, &mask, &is_free, NULL), VT_OK);
        assert_false(is_free);
        for (size_t i = 0; i < n; i++)
            assert_int_equal(vt_token_mask_has(&mask, (int32_t)i),
                             vt_constraint_allows(s.constraint, (int32_t)i));
        assert_int_equal(g.accept(g.ctx, control(&s, "<|reserved|>"), NULL), VT_EINPUT);
        unmake(&s);
    }
}

/* One turn by the mask alone: a random choice of what is allowed, ends now and then. */
static bool walk(setup *s, uint64_t *seed, vt_tokens *ids)
{
    static const char *const ends[] = {"<|end|>", "<|return|>", "<|call|>"};
    for (int i = 0; i < 300; i++) {
        vt_allowed a = vt_constraint_allowed(s->constraint);
        int32_t id = -1;
        if (a.kind == VT_ALLOW_ONLY && a.n == 0) return true;
        if (a.kind == VT_ALLOW_ONLY) id = a.ids[next_random(seed) % a.n];
        else if (ids->ids[ids->n - 1] == control(s, "<|message|>"))
            id = '0'; /* "0…" would not do as arguments: see below */
        else if (next_random(seed) % 3 == 0)
            for (size_t k = 0; k < 3 && id < 0; k++)
                if (vt_constraint_allows(s->constraint, control(s, ends[k])))
                    id = control(s, ends[k]);
        while (id < 0 || !vt_constraint_allows(s->constraint, id))
            id = (int32_t)(next_random(seed) % vt_tokenizer_n_vocab(s->tokenizer));
        int32_t ahead[2] = {-1, -1};
        if (vt_constraint_foresee(s->constraint, ahead, 1) == 1) assert_int_equal(ahead[0], id);
        assert_int_equal(ahead[1], -1);
        assert_true(vt_constraint_accept(s->constraint, id));
        assert_int_equal(vt_tokens_push(ids, id, NULL), VT_OK);
    }
    return false;
}

static size_t n_bad_arguments;

static void count_invalid(void *ctx, const vt_event *e)
{
    transcript_event(ctx, e);
    if (e->kind != VT_EVENT_CALL) return;
    assert_true(e->is_known);
    n_bad_arguments += !vt_slice_eq(e->name, VT_S("python"));
}

/* The content of calls is free here (a schema's constraint is another one), so random arguments may
 * be invalid: those are the only repairs there can be. */
static void test_ten_thousand_walks_by_the_mask_are_wellformed_turns(void **state)
{
    (void)state;
    uint64_t seed = 20261124;
    size_t n_whole = 0;
    for (int i = 0; i < 10000; i += 100) {
        setup s = make(i % 200 == 0 ? tools : plain, i % 400 == 0 ? no_merges : some_merges);
        for (int k = 0; k < 100; k++) {
            vt_parser *p = NULL;
            vt_tokens ids = {0};
            transcript t = {0};
            vt_buffer_init(&t.text, 0);
            n_bad_arguments = 0;
            bool is_whole = walk(&s, &seed, &ids);
            n_whole += is_whole;
            assert_int_equal(vt_parser_new(&s.format, s.conversation, count_invalid, &t, &p, NULL),
                             VT_OK);
            for (size_t j = 0; j < ids.n; j++)
                assert_int_equal(vt_parser_feed(p, ids.ids[j], NULL), VT_OK);
            assert_int_equal(
                vt_parser_finish(p, is_whole ? VT_FINISH_STOP : VT_FINISH_LENGTH, NULL), VT_OK);
            assert_int_equal(vt_parser_n_repairs(p), n_bad_arguments);
            vt_parser_free(p);
            vt_tokens_deinit(&ids);
            vt_buffer_deinit(&t.text);
            vt_constraint_free(s.constraint);
            assert_int_equal(vt_chat_constraint(&s.format, s.conversation, &s.constraint, NULL),
                             VT_OK);
        }
        unmake(&s);
    }
    assert_true(n_whole > 9000);
}

static void test_other_formats_have_no_constraint_and_say_so(void **state)
{
    (void)state;
    vt_tokenizer *tokenizer = NULL;
    vt_constraint *constraint = NULL;
    vt_chat_format f = small_format("chatml", no_merges, &tokenizer);
    vt_conversation *c = small_conversation(tools);
    assert_int_equal(vt_chat_constraint(&f, c, &constraint, NULL), VT_OK);
    assert_null(constraint);
    assert_int_equal(vt_conversation_set_choice(c, VT_CHOICE_REQUIRED, (vt_slice){0}, NULL), VT_OK);
    assert_int_equal(vt_chat_constraint(&f, c, &constraint, NULL), VT_EUNSUPPORTED);
    vt_harmony_options options = {0};
    assert_int_equal(vt_constraint_harmony_new(tokenizer, &options, &constraint, NULL),
                     VT_EUNSUPPORTED);
    vt_conversation_free(c);
    vt_tokenizer_free(tokenizer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wellformed_turns_are_allowed),
        cmocka_unit_test(test_illformed_turns_cannot_be_sampled),
        cmocka_unit_test(test_tool_choice_is_part_of_the_automaton),
        cmocka_unit_test(test_a_json_answer_may_say_so_in_its_header),
        cmocka_unit_test(test_what_has_one_way_on_is_forced),
        cmocka_unit_test(test_the_mask_agrees_with_accept),
        cmocka_unit_test(test_ten_thousand_walks_by_the_mask_are_wellformed_turns),
        cmocka_unit_test(test_other_formats_have_no_constraint_and_say_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
