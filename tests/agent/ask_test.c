/* Score, answer, verify, with a recorded reader: what the model said is a table, everything else is
 * the real thing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "agent/ask.h"
#include "base/alloc.h"

/* ---- a library of three passages ---- */

typedef struct {
    const char *file;
    int64_t line;
    const char *section, *header, *text;
    int64_t header_line;
} given;

static const given passages[] = {
    {"plant/handbook.md", 28, "Handbook > Machines", "Machine | Hall | Maximum load",
     "Lathe Corvin 5 | B | 420 kg", 26},
    {"plant/handbook.md", 27, "Handbook > Machines", "Machine | Hall | Maximum load",
     "Lathe Corvin 3 | B | 180 kg", 26},
    {"plant/handbook.md", 16, "Handbook > Hours", "",
     "Each shift has a 30-minute break. On the early shift it starts\nat 09:15, on the late shift "
     "at "
     "17:30.",
     0},
    {"plant/handbook.md", 13, "Handbook > Hours", "", "The early shift runs from 05:45 to 13:45.",
     0},
};
enum { N_PASSAGES = sizeof passages / sizeof passages[0] };

static char *copy(const char *text)
{
    char *c = strdup(text); /* not vt_strdup: failing allocations are for the code under test */
    assert_non_null(c);
    return c;
}

static vt_status search(void *ctx, vt_slice query, size_t k, vt_passages *out, vt_err *err)
{
    size_t *n = ctx;
    (void)query;
    (void)err;
    size_t count = *n < k ? *n : k;
    *out = (vt_passages){0};
    if (count == 0) return VT_OK;
    out->items = calloc(count, sizeof out->items[0]);
    assert_non_null(out->items);
    for (size_t i = 0; i < count; i++) {
        const given *g = &passages[i];
        int64_t extra = strchr(g->text, '\n') != NULL;
        out->items[i] = (vt_passage){.file = copy(g->file),
                                     .start_line = g->line,
                                     .end_line = g->line + extra,
                                     .score = 0.5,
                                     .title = copy("Handbook"),
                                     .section = copy(g->section),
                                     .header = copy(g->header),
                                     .text = copy(g->text),
                                     .header_line = g->header_line};
    }
    out->n = count;
    return VT_OK;
}

/* Line n of the handbook: what the passages say of it, or nothing. */
static char *line_text(int64_t n)
{
    for (size_t i = 0; i < N_PASSAGES; i++) {
        vt_slice rest = vt_slice_cstr(passages[i].text);
        for (int64_t at = passages[i].line; rest.len > 0; at++) {
            vt_slice line = vt_slice_take(rest, vt_slice_find(rest, VT_S("\n")));
            if (at == n) return strndup(line.ptr, line.len);
            rest = vt_slice_skip(rest, line.len + 1);
        }
    }
    return strdup("");
}

static vt_status lines(void *ctx, vt_slice file, int64_t first, int64_t last, vt_lines *out,
                       vt_err *err)
{
    enum { N_LINES = 28 };
    (void)ctx;
    (void)file;
    if (first > N_LINES) return vt_fail(err, VT_ENOTFOUND, "no such lines");
    if (last > N_LINES) last = N_LINES;
    *out = (vt_lines){.title = copy(""), .section = copy(""), .n_total = N_LINES};
    out->items = calloc((size_t)(last - first + 1), sizeof out->items[0]);
    assert_non_null(out->items);
    for (int64_t n = first; n <= last; n++)
        out->items[out->n++] = (vt_line){.number = n, .text = line_text(n)};
    return VT_OK;
}

/* ---- a recorded model ---- */

typedef struct {
    const char *text; /* a part of the text it is shown */
    double states;
    const char *answer;
    double confirms;
} recorded;

typedef struct {
    const recorded *says;
    size_t n;
    size_t n_read, n_answered, n_confirmed;
    vt_status fails;
    char confirmed[256]; /* the answer that it was last asked to confirm */
} model;

static const recorded *find(const model *m, vt_slice text)
{
    for (size_t i = 0; i < m->n; i++)
        if (vt_slice_find(text, vt_slice_cstr(m->says[i].text)) < text.len) return &m->says[i];
    fail_msg("the model was shown: %.*s", VT_ARG(text));
    return NULL;
}

static vt_status states(void *ctx, vt_slice text, vt_slice question, double *odds, vt_err *err)
{
    model *m = ctx;
    (void)question;
    m->n_read++;
    if (m->fails != VT_OK) return vt_fail(err, m->fails, "the model failed");
    *odds = find(m, text)->states;
    return VT_OK;
}

static vt_status answers(void *ctx, vt_slice text, vt_slice question, vt_buffer *out, vt_err *err)
{
    model *m = ctx;
    (void)question;
    m->n_answered++;
    vt_buffer_append(out, vt_slice_cstr(find(m, text)->answer));
    return vt_buffer_status(out, "the recorded answer", err);
}

static vt_status confirms(void *ctx, vt_slice text, vt_slice question, vt_slice answer,
                          double *odds, vt_err *err)
{
    model *m = ctx;
    (void)question;
    (void)err;
    m->n_confirmed++;
    snprintf(m->confirmed, sizeof m->confirmed, "%.*s", VT_ARG(answer));
    *odds = find(m, text)->confirms;
    return VT_OK;
}

static vt_status ask(model *m, size_t n_passages, const char *question, vt_answer *out)
{
    size_t n = n_passages;
    vt_err err = {0};
    vt_ask_options options = {
        .source = {.search = search, .lines = lines, .ctx = &n},
        .reader = {.states = states, .answers = answers, .confirms = confirms, .ctx = m},
        .limits = {.min_states = 0.6,
                   .min_confirms = 0.0,
                   .min_together = 1.4,
                   .clear_states = 2.5,
                   .n_search = 8,
                   .n_read = 4,
                   .calibrated_on = "test"}};
    *out = (vt_answer){0};
    return vt_ask(&options, vt_slice_cstr(question), out, &err);
}

static void test_an_answer_cites_the_row_it_comes_from(void **state)
{
    (void)state;
    const recorded says[] = {
        {"Corvin 5", 3.0, "The maximum load of Lathe Corvin 5 is 420 kg.", 2.0}};
    model m = {.says = says, .n = 1};
    vt_answer a;
    assert_int_equal(ask(&m, 3, "What is the maximum load of Lathe Corvin 5?", &a), VT_OK);
    assert_true(a.answered);
    assert_string_equal(a.answer, "The maximum load of Lathe Corvin 5 is 420 kg.");
    assert_int_equal(a.n_citations, 1);
    assert_int_equal(a.citations[0].start_line, 28);
    assert_int_equal(a.citations[0].end_line, 28);
    assert_true(a.citations[0].verified);
    assert_string_equal(a.citations[0].quote, "Lathe Corvin 5 | B | 420 kg");
    assert_int_equal(m.n_read, 1); /* so clear that no other passage was read */
    vt_answer_deinit(&a);
}

static void test_a_row_reaches_the_model_with_its_columns(void **state)
{
    (void)state;
    vt_passage p = {.file = (char *)"f",
                    .title = (char *)"",
                    .section = (char *)"Handbook > Machines",
                    .header = (char *)"Machine | Hall | Maximum load",
                    .text = (char *)"Press Udo |  | 40 t",
                    .header_line = 3};
    vt_buffer out;
    vt_buffer_init(&out, 0);
    assert_int_equal(vt_passage_render(&p, &out, NULL), VT_OK);
    assert_string_equal(out.ptr, "Machines: Machine: Press Udo; Maximum load: 40 t");
    vt_buffer_deinit(&out);
}

static void test_the_right_thing_asked_of_the_wrong_object_is_refused_unread(void **state)
{
    (void)state;
    model m = {0};
    vt_answer a;
    assert_int_equal(ask(&m, 3, "What is the maximum load of Lathe Corvin 7?", &a), VT_OK);
    assert_false(a.answered);
    assert_string_equal(a.answer, "not in your documents");
    assert_int_equal(a.n_nearest, 3);
    assert_int_equal(a.nearest[0].start_line, 28);
    assert_int_equal(m.n_read, 0);
    vt_answer_deinit(&a);
}

static void test_a_wrong_number_gives_way_to_the_documents_own_words(void **state)
{
    (void)state;
    const recorded says[] = {
        {"30-minute", 1.5, "The break on the late shift starts at 17:45.", 0.5}};
    model m = {.says = says, .n = 1};
    vt_answer a;
    assert_int_equal(ask(&m, 3, "When does the break on the late shift start?", &a), VT_OK);
    assert_true(a.answered);
    assert_non_null(strstr(a.answer, "17:30"));
    assert_null(strstr(a.answer, "17:45"));
    assert_non_null(strstr(m.confirmed, "17:30"));
    assert_int_equal(a.n_citations, 1);
    assert_int_equal(a.citations[0].start_line, 16);
    assert_int_equal(a.citations[0].end_line, 17);
    for (size_t i = 0; i < a.n_sentences; i++) assert_true(a.sentences[i].supported);
    vt_answer_deinit(&a);
}

static void test_a_passage_torn_from_its_page_gives_way_to_the_one_that_was_meant(void **state)
{
    (void)state;
    const recorded says[] = {
        {"13:45.\n", 0.0, "The early shift starts at 05:45.", 0.0}, /* both, as the page has them */
        {"30-minute", 3.0, "The early shift starts at 09:15.", 1.5},
        {"13:45.", 2.5, "", 1.6},
    };
    model m = {.says = says, .n = 3};
    vt_answer a;
    assert_int_equal(ask(&m, 4, "When does the early shift start?", &a), VT_OK);
    assert_true(a.answered);
    assert_string_equal(a.answer, "The early shift starts at 05:45.");
    assert_int_equal(a.n_citations, 1);
    assert_int_equal(a.citations[0].start_line, 13);
    assert_true(a.citations[0].verified);
    vt_answer_deinit(&a);
}

static void test_a_passage_that_does_not_state_the_answer_is_not_answered_from(void **state)
{
    (void)state;
    const recorded says[] = {{"", -1.0, "", 0.0}};
    model m = {.says = says, .n = 1};
    vt_answer a;
    assert_int_equal(ask(&m, 3, "Who mends the lathe on the late shift?", &a), VT_OK);
    assert_false(a.answered);
    assert_int_equal(m.n_answered, 0);
    assert_int_equal(a.n_citations, 0);
    vt_answer_deinit(&a);
}

static void test_an_answer_that_the_model_does_not_confirm_is_refused(void **state)
{
    (void)state;
    const recorded says[] = {
        {"Corvin 5", 1.0, "The maximum load of Lathe Corvin 5 is 420 kg.", -0.5},
        {"", -1.0, "", 0.0}};
    model m = {.says = says, .n = 2};
    vt_answer a;
    assert_int_equal(ask(&m, 3, "What is the maximum load of Lathe Corvin 5?", &a), VT_OK);
    assert_false(a.answered);
    vt_answer_deinit(&a);
}

static void test_an_answer_that_repeats_the_question_is_refused_unconfirmed(void **state)
{
    (void)state;
    const recorded says[] = {{"30-minute", 2.0, "The break on the late shift starts.", 2.0},
                             {"", -1.0, "", 0.0}};
    model m = {.says = says, .n = 2};
    vt_answer a;
    assert_int_equal(ask(&m, 3, "When does the break on the late shift start?", &a), VT_OK);
    assert_false(a.answered);
    assert_int_equal(m.n_confirmed, 0);
    vt_answer_deinit(&a);
}

static void test_what_the_model_says_is_not_there_is_not_there(void **state)
{
    (void)state;
    const recorded says[] = {{"Corvin 5", 2.6, "The text does not state a colour.", 2.0}};
    model m = {.says = says, .n = 1};
    vt_answer a;
    assert_int_equal(ask(&m, 1, "What is the maximum load of Lathe Corvin 5?", &a), VT_OK);
    assert_false(a.answered);
    vt_answer_deinit(&a);
}

static void test_no_passage_at_all_is_an_answer_too(void **state)
{
    (void)state;
    model m = {0};
    vt_answer a;
    assert_int_equal(ask(&m, 0, "Where is the moon?", &a), VT_OK);
    assert_false(a.answered);
    assert_int_equal(a.n_nearest, 0);
    assert_non_null(a.reason);
    vt_answer_deinit(&a);
}

static void test_an_empty_question_is_refused(void **state)
{
    (void)state;
    model m = {0};
    vt_answer a;
    assert_int_equal(ask(&m, 3, "  ", &a), VT_EINPUT);
}

static void test_a_failing_model_leaves_no_answer(void **state)
{
    (void)state;
    model m = {.fails = VT_ECANCEL};
    vt_answer a;
    assert_int_equal(ask(&m, 3, "What is the maximum load of Lathe Corvin 5?", &a), VT_ECANCEL);
    assert_null(a.answer);
    assert_int_equal(a.n_sentences, 0);
}

static void test_every_failing_allocation_is_reported_and_leaks_nothing(void **state)
{
    (void)state;
    const recorded says[] = {
        {"Corvin 5", 1.0, "The maximum load of Lathe Corvin 5 is 420 kg.", 2.0},
        {"", 0.7, "It is 180 kg.", 0.0}};
    for (uint64_t n = 1; n < 400; n++) {
        model m = {.says = says, .n = 2};
        vt_answer a = {0};
        size_t k = 2;
        vt_err err = {0};
        vt_ask_options options = {
            .source = {.search = search, .lines = lines, .ctx = &k},
            .reader = {.states = states, .answers = answers, .confirms = confirms, .ctx = &m},
            .limits = {.min_states = 0.6, .clear_states = 9, .n_search = 8, .n_read = 4}};
        (void)vt_alloc_fail_nth(n);
        vt_status st =
            vt_ask(&options, VT_S("What is the maximum load of Lathe Corvin 5?"), &a, &err);
        uint64_t made = vt_alloc_fail_nth(0);
        if (st == VT_OK) {
            assert_true(a.answered);
            vt_answer_deinit(&a);
            if (made < n) return; /* nothing was left to fail */
        } else {
            assert_true(st == VT_ENOMEM || st == VT_ELIMIT);
            assert_null(a.answer);
        }
    }
    fail_msg("never came to an end");
}

static void test_limits_are_chosen_by_the_models_name(void **state)
{
    (void)state;
    vt_ask_limits a = vt_ask_limits_for(VT_S("Qwen2.5 Coder 1.5B Instruct"), VT_S("qwen2"));
    assert_string_equal(a.calibrated_on, "qwen2.5-coder-1.5b");
    vt_ask_limits b = vt_ask_limits_for(VT_S("Something else"), VT_S("llama"));
    assert_string_equal(b.calibrated_on, "default");
    assert_true(b.n_read > 0 && b.n_search >= b.n_read);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_answer_cites_the_row_it_comes_from),
        cmocka_unit_test(test_a_row_reaches_the_model_with_its_columns),
        cmocka_unit_test(test_the_right_thing_asked_of_the_wrong_object_is_refused_unread),
        cmocka_unit_test(test_a_wrong_number_gives_way_to_the_documents_own_words),
        cmocka_unit_test(test_a_passage_torn_from_its_page_gives_way_to_the_one_that_was_meant),
        cmocka_unit_test(test_a_passage_that_does_not_state_the_answer_is_not_answered_from),
        cmocka_unit_test(test_an_answer_that_the_model_does_not_confirm_is_refused),
        cmocka_unit_test(test_an_answer_that_repeats_the_question_is_refused_unconfirmed),
        cmocka_unit_test(test_what_the_model_says_is_not_there_is_not_there),
        cmocka_unit_test(test_no_passage_at_all_is_an_answer_too),
        cmocka_unit_test(test_an_empty_question_is_refused),
        cmocka_unit_test(test_a_failing_model_leaves_no_answer),
        cmocka_unit_test(test_every_failing_allocation_is_reported_and_leaks_nothing),
        cmocka_unit_test(test_limits_are_chosen_by_the_models_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
