/* draft_test.c -- engine/draft: what is guessed, and that betting wins where guesses come true and
 * costs next to nothing where they do not. Time is made up here: passes take what a simple machine
 * would take, so the results are exact. That guessing changes no token is shown by generate_test.c.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "base/alloc.h"
#include "engine/draft.h"

static uint64_t random_state = 11;

static uint32_t random_below(uint32_t n)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random_state >> 33) % n;
}

static vt_drafter *new_drafter(bool is_always, size_t n_most, const int32_t *prompt, size_t n)
{
    static vt_drafter d;
    vt_err err = {0};
    if (vt_drafter_init(&d, is_always, n_most, prompt, n, &err) != VT_OK) fail_msg("%s", err.msg);
    return &d;
}

static void expect_guess(vt_drafter *d, const int32_t *want, size_t n)
{
    int32_t ids[VT_DRAFT_MAX];
    assert_int_equal(vt_drafter_propose(d, NULL, 0, n, ids), n);
    assert_memory_equal(ids, want, n * sizeof *want);
}

/* ---- what is guessed ---- */

static void test_the_longest_match_counts_and_of_equal_ones_the_recent_one(void **state)
{
    (void)state;
    const int32_t prompt[] = {9, 1, 2, 3, 50, 51, 7, 2, 3, 60, 61, 8, 2, 3, 70, 71, 9, 1, 2, 3};
    vt_drafter *d = new_drafter(true, 40, prompt, VT_COUNT(prompt));
    expect_guess(d, (int32_t[]){50, 51, 7, 2}, 4); /* behind 9 1 2 3 */
    vt_drafter_push(d, 77);
    int32_t ids[VT_DRAFT_MAX];
    assert_int_equal(vt_drafter_propose(d, NULL, 0, 9, ids), 0); /* 3 77 is new */
    vt_drafter_push(d, 2);
    vt_drafter_push(d, 3);
    expect_guess(d, (int32_t[]){77, 2, 3}, 3); /* 2 3 as before, most recently */
    vt_drafter_deinit(d);
}

static void test_a_guess_that_comes_true_is_followed_on(void **state)
{
    (void)state;
    const int32_t prompt[] = {1, 2, 3, 4, 5, 6, 7, 8, 1, 2};
    vt_drafter *d = new_drafter(true, 40, prompt, VT_COUNT(prompt));
    expect_guess(d, (int32_t[]){3, 4, 5}, 3);
    for (int32_t id = 3; id <= 5; id++) vt_drafter_push(d, id);
    expect_guess(d, (int32_t[]){6, 7, 8, 1, 2, 3, 4, 5, 6, 7}, 10); /* past its own end */
    vt_drafter_deinit(d);
}

static void test_what_is_foreseen_goes_before_what_was_looked_up(void **state)
{
    (void)state;
    const int32_t prompt[] = {1, 2, 3, 4, 1, 2}, foreseen[] = {30, 31, 32};
    vt_drafter *d = new_drafter(true, 40, prompt, VT_COUNT(prompt));
    int32_t ids[VT_DRAFT_MAX];
    assert_int_equal(vt_drafter_propose(d, foreseen, 3, 9, ids), 3);
    assert_memory_equal(ids, foreseen, sizeof foreseen);
    assert_int_equal(vt_drafter_propose(d, foreseen, 3, 2, ids), 2);
    assert_int_equal(vt_drafter_propose(d, NULL, 0, 0, ids), 0);
    vt_drafter_deinit(d);
}

static void test_short_prompts_and_full_drafters_guess_nothing_wrong(void **state)
{
    (void)state;
    const int32_t prompt[] = {5};
    int32_t ids[VT_DRAFT_MAX];
    vt_drafter *d = new_drafter(true, 3, prompt, 1);
    assert_int_equal(vt_drafter_propose(d, NULL, 0, 9, ids), 0);
    vt_drafter_push(d, 5);
    assert_int_equal(vt_drafter_propose(d, NULL, 0, 9, ids), 0); /* a pair that is its own */
    vt_drafter_push(d, 5);
    expect_guess(d, (int32_t[]){5, 5, 5}, 3);
    vt_drafter_push(d, 6); /* no room: left out */
    expect_guess(d, (int32_t[]){5, 5, 5}, 3);
    vt_drafter_deinit(d);
    vt_err err = {0};
    assert_int_equal(vt_drafter_init(d, true, 2, ids, 3, &err), VT_ELIMIT);
}

static void test_every_failing_allocation_is_survived(void **state)
{
    (void)state;
    const int32_t prompt[] = {1, 2, 3};
    vt_drafter d;
    vt_err err = {0};
    for (uint64_t k = 1; k <= 3; k++) {
        (void)vt_alloc_fail_nth(k);
        assert_int_equal(vt_drafter_init(&d, false, 100, prompt, 3, &err), VT_ENOMEM);
        (void)vt_alloc_fail_nth(0);
        assert_null(d.tokens);
    }
}

/* ---- whether it pays ---- */

/* Seconds of a pass: reading the weights takes 1; computing takes `more` for each token, beside. */
typedef struct {
    double more;
    bool is_added; /* as with experts, of which each token reads its own */
} machine;

static double pass_seconds(const machine *m, size_t n)
{
    const double compute = m->more * (double)n;
    if (m->is_added) return 1 + m->more * (double)(n - 1);
    return compute > 1 ? compute : 1;
}

/* How much faster an answer comes than one token at a time. */
static double gain_of(const machine *m, const int32_t *prompt, size_t n_prompt,
                      const int32_t *answer, size_t n)
{
    vt_drafter *d = new_drafter(false, n_prompt + n, prompt, n_prompt);
    double seconds = 0;
    for (size_t i = 0; i + 1 < n;) {
        int32_t ids[VT_DRAFT_MAX];
        vt_drafter_push(d, answer[i++]);
        const size_t n_tried = vt_drafter_propose(d, NULL, 0, n - 1 - i, ids);
        const double took = pass_seconds(m, 1 + n_tried);
        vt_drafter_took(d, 1 + n_tried, took);
        seconds += took;
        for (size_t k = 0; k < n_tried && ids[k] == answer[i]; k++) vt_drafter_push(d, answer[i++]);
    }
    vt_drafter_deinit(d);
    return (double)(n - 1) / seconds;
}

enum { N_PROMPT = 400, N_ANSWER = 600 };
static const machine machines[] = {
    {0.02, false}, {0.1, false}, {0.1, true}, {0.3, true}, {0.7, true}};

static void test_text_without_repetition_costs_at_most_two_percent(void **state)
{
    (void)state;
    int32_t text[N_PROMPT + N_ANSWER];
    /* from words that never come twice in a row the same way, to pairs and triples that come often
     * and go on as they like, which is what deceives */
    static const uint32_t vocabularies[] = {20000, 300, 60, 25, 12, 6};
    for (size_t m = 0; m < VT_COUNT(machines); m++)
        for (size_t v = 0; v < VT_COUNT(vocabularies); v++) {
            for (size_t i = 0; i < VT_COUNT(text); i++)
                text[i] = (int32_t)random_below(vocabularies[v]);
            double gain = gain_of(&machines[m], text, N_PROMPT, text + N_PROMPT, N_ANSWER);
            if (gain < 0.98) fail_msg("machine %zu, vocabulary %zu: %.3f", m, v, gain);
        }
}

/* The prompt again, with an edit now and then. */
static void copy_with_edits(int32_t *answer, const int32_t *prompt, size_t n, uint32_t every)
{
    for (size_t i = 0; i < n; i++)
        answer[i] = random_below(every) == 0 ? (int32_t)(30000 + random_below(9)) : prompt[i];
}

static void test_copying_with_edits_is_much_faster(void **state)
{
    (void)state;
    static const double least[] = {5, 3.5, 2.5, 1.5, 1.02};
    int32_t prompt[N_PROMPT], answer[N_PROMPT];
    for (size_t m = 0; m < VT_COUNT(machines); m++) {
        for (size_t i = 0; i < N_PROMPT; i++) prompt[i] = (int32_t)random_below(20000);
        copy_with_edits(answer, prompt, N_PROMPT, 25);
        double gain = gain_of(&machines[m], prompt, N_PROMPT, answer, N_PROMPT);
        print_message("machine %zu: %.2f times as fast\n", m, gain);
        assert_true(gain > least[m]);
    }
}

static void test_a_win_does_not_pay_for_a_long_row_of_losses(void **state)
{
    (void)state;
    int32_t prompt[N_PROMPT], answer[N_PROMPT + N_ANSWER];
    for (size_t i = 0; i < N_PROMPT; i++) prompt[i] = (int32_t)random_below(20000);
    memcpy(answer, prompt, sizeof prompt);
    for (size_t i = N_PROMPT; i < VT_COUNT(answer); i++) answer[i] = (int32_t)random_below(8);
    for (size_t m = 0; m < VT_COUNT(machines); m++) {
        const double copied = gain_of(&machines[m], prompt, N_PROMPT, answer, N_PROMPT);
        const double all = gain_of(&machines[m], prompt, N_PROMPT, answer, VT_COUNT(answer));
        const double rest = (double)VT_COUNT(answer) / all - (double)N_PROMPT / copied;
        assert_true(rest < 1.02 * (double)N_ANSWER + 4);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_longest_match_counts_and_of_equal_ones_the_recent_one),
        cmocka_unit_test(test_a_guess_that_comes_true_is_followed_on),
        cmocka_unit_test(test_what_is_foreseen_goes_before_what_was_looked_up),
        cmocka_unit_test(test_short_prompts_and_full_drafters_guess_nothing_wrong),
        cmocka_unit_test(test_every_failing_allocation_is_survived),
        cmocka_unit_test(test_text_without_repetition_costs_at_most_two_percent),
        cmocka_unit_test(test_copying_with_edits_is_much_faster),
        cmocka_unit_test(test_a_win_does_not_pay_for_a_long_row_of_losses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
