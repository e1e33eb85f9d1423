/* The loop of a model that searches by itself, driven by recorded token streams of harmony turns:
 * ids -> parser -> conversation -> browser -> results, and the check of the final text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../chat/chat_small.h"
#include "agent_documents.h"

#include "agent/browse.h"
#include "agent/cites.h"

#define CALL(tool, json) "<|channel|>analysis to=browser." tool " code<|message|>" json "<|call|>"
#define THINK(text)      "<|channel|>analysis<|message|>" text "<|end|><|start|>assistant"
#define FINAL(text)      "<|channel|>final<|message|>" text "<|return|>"
#define MARK(inside)     "\xE3\x80\x90" inside "\xE3\x80\x91"
#define DAGGER           "\xE2\x80\xA0"

typedef struct {
    const char *const *turns;
    size_t n, at;
    vt_tokenizer *tokenizer;
    vt_chat_format format;
    vt_conversation *seen; /* the conversation of the last turn, borrowed */
    char last_result[4096];
    size_t full_at; /* before this turn the context is full, once; 0: never */
    bool was_full;
} recording;

/* A turn: the recorded stream through the parser, token by token. */
static vt_status play(void *ctx, vt_conversation *c, vt_finish *finish, vt_err *err)
{
    recording *r = ctx;
    size_t n = vt_conversation_n_items(c);
    if (n > 0 && vt_conversation_item(c, n - 1)->kind == VT_ITEM_RESULT)
        snprintf(r->last_result, sizeof r->last_result, "%.*s",
                 VT_ARG(vt_conversation_item(c, n - 1)->text));
    if (r->full_at > 0 && r->at == r->full_at && !r->was_full) {
        r->was_full = true;
        return vt_fail(err, VT_ELIMIT, "the prompt does not fit");
    }
    if (r->at >= r->n) fail_msg("the loop asked for a turn that was not recorded");
    vt_tokens ids = {0};
    vt_parser *parser = NULL;
    small_ids(r->tokenizer, vt_slice_cstr(r->turns[r->at++]), &ids);
    vt_status st = vt_parser_new(&r->format, c, NULL, NULL, &parser, err);
    for (size_t i = 0; i < ids.n && st == VT_OK; i++) st = vt_parser_feed(parser, ids.ids[i], err);
    if (st == VT_OK) st = vt_parser_finish(parser, VT_FINISH_STOP, err);
    if (st == VT_OK) st = vt_parser_append(parser, c, err);
    *finish = VT_FINISH_STOP;
    vt_parser_free(parser);
    vt_tokens_deinit(&ids);
    return st;
}

static vt_status browse(recording *r, uint32_t max_turns, vt_answer *out)
{
    vt_err err = {0};
    r->format = small_format("harmony", no_merges, &r->tokenizer);
    vt_browse_options options = {
        .source = documents_source(), .turn = {.run = play, .ctx = r}, .max_turns = max_turns};
    *out = (vt_answer){0};
    vt_status st = vt_browse(&options, VT_S("How fast may a forklift go in the yard?"), out, &err);
    vt_tokenizer_free(r->tokenizer);
    return st;
}

static void test_search_open_and_cite_give_a_checked_answer(void **state)
{
    (void)state;
    const char *const turns[] = {
        THINK("Let me search.") CALL("search", "{\"query\": \"forklifts\"}"),
        CALL("open", "{\"id\": 0}"),
        FINAL("A forklift may go 15 km/h in the yard." MARK("1" DAGGER "L2-L3")),
    };
    recording r = {.turns = turns, .n = 3};
    vt_answer a;
    assert_int_equal(browse(&r, 0, &a), VT_OK);
    assert_true(a.answered);
    assert_string_equal(a.answer, "A forklift may go 15 km/h in the yard.");
    assert_int_equal(a.n_sentences, 1);
    assert_true(a.sentences[0].supported);
    assert_int_equal(a.n_citations, 1);
    assert_string_equal(a.citations[0].file, "plant/rules.md");
    assert_int_equal(a.citations[0].start_line, 3);
    assert_int_equal(a.citations[0].end_line, 3);
    assert_true(a.citations[0].verified);
    assert_non_null(strstr(r.last_result, "[1] Rules (plant/rules.md)"));
    vt_answer_deinit(&a);
}

/* One final text after the rules were opened; the caller looks at the answer. */
static void answer_with(const char *final, vt_answer *a)
{
    const char *const turns[] = {CALL("open", "{\"id\": \"plant/rules.md\"}"), final};
    recording r = {.turns = turns, .n = 2};
    assert_int_equal(browse(&r, 0, a), VT_OK);
}

static void test_a_number_that_the_cited_lines_lack_is_marked(void **state)
{
    (void)state;
    vt_answer a;
    answer_with(FINAL("The limit in the yard is 15 km/h." MARK(
                    "0" DAGGER "L3") " In the halls it is "
                                     "12 km/h." MARK("0" DAGGER "L2")),
                &a);
    assert_true(a.answered);
    assert_int_equal(a.n_sentences, 2);
    assert_false(a.sentences[1].supported);
    assert_non_null(strstr(a.sentences[1].problem, "12"));
    vt_answer_deinit(&a);
}

static void test_citations_that_dangle_are_marked(void **state)
{
    (void)state;
    static const struct {
        const char *mark, *problem;
    } cases[] = {
        {MARK("4" DAGGER "L2"), "never opened"},
        {MARK("0" DAGGER "L2-L9"), "a page of 4 lines"},
    };
    for (size_t i = 0; i < 2; i++) {
        char final[256];
        vt_answer a;
        snprintf(final, sizeof final, FINAL("Forklifts may go 15 km/h.%s"), cases[i].mark);
        answer_with(final, &a);
        assert_false(a.answered);
        assert_false(a.sentences[0].supported);
        assert_non_null(strstr(a.sentences[0].problem, cases[i].problem));
        vt_answer_deinit(&a);
    }
}

static void test_a_line_that_was_not_shown_can_not_be_cited(void **state)
{
    (void)state;
    const char *const turns[] = {
        CALL("open", "{\"id\": \"long.txt\", \"num_lines\": 5}"),
        FINAL("It is line 100." MARK("0" DAGGER "L99")),
    };
    recording r = {.turns = turns, .n = 2};
    vt_answer a;
    assert_int_equal(browse(&r, 0, &a), VT_OK);
    assert_false(a.answered);
    assert_non_null(strstr(a.sentences[0].problem, "not shown"));
    vt_answer_deinit(&a);
}

static void test_sentences_without_a_mark_rest_on_what_is_cited_elsewhere(void **state)
{
    (void)state;
    vt_answer a;
    answer_with(FINAL("Forklifts may go 15 km/h in the yard." MARK(
                    "0" DAGGER "L2-L3") " Inside the halls it is 8 km/h. Bicycles may go 20 km/h."),
                &a);
    assert_int_equal(a.n_sentences, 3);
    assert_true(a.sentences[1].supported);
    assert_int_equal(a.sentences[1].n_citations, 1);
    assert_false(a.sentences[2].supported);
    vt_answer_deinit(&a);
}

static void test_an_answer_without_any_support_is_no_answer(void **state)
{
    (void)state;
    vt_answer a;
    answer_with(FINAL("The documents do not say it."), &a);
    assert_false(a.answered);
    assert_string_equal(a.sentences[0].text, "The documents do not say it.");
    assert_non_null(a.reason);
    vt_answer_deinit(&a);
}

static void test_the_same_call_twice_gets_a_note(void **state)
{
    (void)state;
    const char *const turns[] = {
        CALL("search", "{\"query\": \"forklifts\"}"),
        CALL("search", "{\"query\": \"forklifts\"}"),
        FINAL("It is 15 km/h in the yard." MARK("0" DAGGER "L3-L4")),
    };
    recording r = {.turns = turns, .n = 3};
    vt_answer a;
    assert_int_equal(browse(&r, 0, &a), VT_OK);
    assert_non_null(strstr(r.last_result, "this very call before"));
    assert_true(a.answered); /* the search page's lines are the document's lines */
    assert_int_equal(a.citations[0].start_line, 3);
    vt_answer_deinit(&a);
}

static void test_a_model_that_never_answers_is_stopped(void **state)
{
    (void)state;
    const char *const turns[] = {
        CALL("search", "{\"query\": \"a\"}"),
        CALL("search", "{\"query\": \"b\"}"),
        CALL("search", "{\"query\": \"c\"}"),
    };
    recording r = {.turns = turns, .n = 3};
    vt_answer a;
    assert_int_equal(browse(&r, 2, &a), VT_OK);
    assert_int_equal(r.at, 3);
    assert_false(a.answered);
    assert_string_equal(a.answer, "not in your documents");
    vt_answer_deinit(&a);
}

static void test_a_full_context_ends_the_search_and_says_so(void **state)
{
    (void)state;
    const char *const turns[] = {
        CALL("open", "{\"id\": \"plant/rules.md\"}"),
        CALL("open", "{\"id\": \"long.txt\"}"),
        FINAL("It is 15 km/h in the yard." MARK("0" DAGGER "L3")),
    };
    recording r = {.turns = turns, .n = 3, .full_at = 2};
    vt_answer a;
    assert_int_equal(browse(&r, 0, &a), VT_OK);
    assert_non_null(strstr(r.last_result, "The context is full"));
    assert_true(a.answered);
    assert_non_null(strstr(a.reason, "context was full"));
    vt_answer_deinit(&a);
}

static void test_marks_are_read_in_every_form_and_other_brackets_stay(void **state)
{
    (void)state;
    vt_mark marks[VT_MARKS_MAX];
    size_t n = 0;
    vt_buffer clean;
    vt_buffer_init(&clean, 0);
    vt_slice text = VT_S("A" MARK("4" DAGGER "L10-L12") MARK("5" DAGGER "L3") " b " MARK(
        "6" DAGGER "L1-L2,L7") ", c " MARK("x") MARK("4" DAGGER "L9-L3") "\xE3\x80\x90");
    assert_int_equal(vt_marks_take(text, &clean, marks, &n, NULL), VT_OK);
    assert_string_equal(clean.ptr, "A b, c " MARK("x") MARK("4" DAGGER "L9-L3") "\xE3\x80\x90");
    assert_int_equal(n, 4);
    assert_int_equal(marks[0].cursor, 4);
    assert_int_equal(marks[0].last, 12);
    assert_int_equal(marks[1].first, 3);
    assert_int_equal(marks[3].first, 7);
    vt_buffer_deinit(&clean);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_search_open_and_cite_give_a_checked_answer),
        cmocka_unit_test(test_a_number_that_the_cited_lines_lack_is_marked),
        cmocka_unit_test(test_citations_that_dangle_are_marked),
        cmocka_unit_test(test_a_line_that_was_not_shown_can_not_be_cited),
        cmocka_unit_test(test_sentences_without_a_mark_rest_on_what_is_cited_elsewhere),
        cmocka_unit_test(test_an_answer_without_any_support_is_no_answer),
        cmocka_unit_test(test_the_same_call_twice_gets_a_note),
        cmocka_unit_test(test_a_model_that_never_answers_is_stopped),
        cmocka_unit_test(test_a_full_context_ends_the_search_and_says_so),
        cmocka_unit_test(test_marks_are_read_in_every_form_and_other_brackets_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
