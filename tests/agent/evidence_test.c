/* The checks that code makes without a model. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/evidence.h"
#include "agent/placed.h"

static bool supports(const char *evidence, const char *answer)
{
    vt_evidence e = {0};
    assert_int_equal(vt_evidence_add(&e, vt_slice_cstr(evidence), NULL), VT_OK);
    vt_slice bad = vt_evidence_unsupported(&e, vt_slice_cstr(answer), VT_STRICT_WORDS);
    vt_evidence_deinit(&e);
    return bad.ptr == NULL;
}

static vt_subject subject(const char *evidence, const char *question)
{
    vt_evidence e = {0};
    assert_int_equal(vt_evidence_add(&e, vt_slice_cstr(evidence), NULL), VT_OK);
    vt_subject s = vt_evidence_subject(&e, vt_slice_cstr(question));
    vt_evidence_deinit(&e);
    return s;
}

static bool adds(const char *question, const char *answer)
{
    bool result = false;
    assert_int_equal(
        vt_evidence_adds(vt_slice_cstr(question), vt_slice_cstr(answer), &result, NULL), VT_OK);
    return result;
}

static void test_numbers_are_the_same_however_they_are_written(void **state)
{
    (void)state;
    assert_true(supports("1,480 degrees", "1480 degrees"));
    assert_true(supports("1480", "1,480.00"));
    assert_true(supports("1.480.000 inhabitants", "1,480,000 inhabitants"));
    assert_true(supports("weighs 7,5 kg", "weighs 7.5 kg"));
    assert_true(supports("at least four hours", "at least 4 hours"));
    assert_true(supports("on the 25th of each month", "on the 25 of each month"));
    assert_true(supports("EUR 239.00", "239 euros"));
    assert_true(supports("18 percent", "18 %"));
    assert_true(supports("costs 12 euros", "costs \xE2\x82\xAC"
                                           "12"));
}

static void test_other_numbers_are_not_supported(void **state)
{
    (void)state;
    assert_false(supports("the break starts at 17:30", "It starts at 17:45."));
    assert_false(supports("1,480 degrees", "148 degrees"));
    assert_false(supports("7.5 bar", "75 bar"));
    assert_false(supports("three minutes", "four minutes"));
    assert_false(supports("0.75 kW", "75 kW"));
    assert_false(supports("1,530", "1.53"));
}

static void test_times_of_day_match_in_twelve_and_twenty_four_hours(void **state)
{
    (void)state;
    assert_true(supports("starts at 17:30", "It starts at 5:30 pm."));
    assert_true(supports("starts at 17:00", "It starts at 5 p.m."));
    assert_true(supports("opens at 09:15", "opens at 9:15 AM"));
    assert_false(supports("opens at 09:15", "opens at 9:15 PM"));
    assert_true(supports("at 12:00 am", "at 0:00"));
}

static void test_dates_match_in_words_and_in_digits(void **state)
{
    (void)state;
    assert_true(supports("replaced on 2026-06-19", "replaced on 19 June 2026"));
    assert_true(supports("replaced on 19 June 2026", "replaced on June 19th, 2026"));
    assert_false(supports("replaced on 2026-06-19", "replaced on 19 July 2026"));
    assert_true(supports("training: Tue and Sat", "training on Tuesdays and Saturdays"));
}

static void test_names_that_are_not_there_are_found(void **state)
{
    (void)state;
    assert_true(supports("Shift leader, early | Bastian Krol", "The leader is Bastian Krol."));
    assert_false(supports("Shift leader, early | Bastian Krol", "The leader is Basti Kroll-Li."));
    assert_false(supports("Shift leader, early | Bastian Krol", "The leader is Mirela Krol."));
    assert_false(supports("the part TB-1520", "the part TB-1530"));
    assert_false(supports("shoes of class S3", "shoes of class S1"));
}

static void test_longer_words_must_stand_there_in_some_form(void **state)
{
    (void)state;
    assert_true(supports("The furnace stands still.", "The furnace stood still."));
    assert_true(supports("trainer: Ida Brask", "Ida Brask trains."));
    assert_false(supports("The housing is made of cast iron.", "The housing is white and shiny."));
}

static void test_quoted_words_must_stand_side_by_side(void **state)
{
    (void)state;
    assert_true(supports("a machine with a red tag", "It says \"a red tag\"."));
    assert_false(supports("a red machine with a tag", "It says \"a red tag\"."));
}

static void test_the_wrong_object_is_noticed(void **state)
{
    (void)state;
    const char *row = "Lathe Corvin 5 | B | 420 kg | 1,800 rpm | class 7 Machine Maximum load";
    assert_int_equal(subject(row, "What is the maximum load of Lathe Corvin 5?").missing.len, 0);
    assert_true(subject(row, "What is the maximum load of Lathe Corvin 3?").missing.len > 0);
    /* A 7 is there, but not beside the name. */
    vt_slice apart = subject(row, "What is the maximum load of Lathe Corvin 7?").missing;
    assert_true(vt_slice_eq(apart, VT_S("Corvin 7")));
    assert_true(subject(row, "What is the maximum load of Press Udo?").missing.len > 0);
}

static void test_words_of_asking_are_not_the_subject(void **state)
{
    (void)state;
    vt_subject s = subject("The boathouse is locked at 22:00.", "When is the boathouse locked?");
    assert_int_equal(s.n_terms, 2);
    assert_int_equal(s.n_covered, 2);
}

static void test_languages_that_capitalise_nouns_have_no_names_by_capitals(void **state)
{
    (void)state;
    vt_subject s = subject("Die Halle wird um acht geschlossen",
                           "Wann wird die Werkstatt am Samstag vom Meister geschlossen?");
    assert_int_equal(s.missing.len, 0);
}

static void test_an_answer_that_only_repeats_the_question_adds_nothing(void **state)
{
    (void)state;
    assert_false(adds("When is the counter open on Sundays?", "The counter is open on Sundays."));
    assert_true(adds("When is the counter open?", "The counter is open on Saturdays."));
    assert_false(adds("How many seats does it have?", "It has seats for the crew."));
    assert_true(adds("How many seats does it have?", "It has four seats."));
    assert_false(adds("Where is the fair on 3 May?", "The fair is on 3 May 2026."));
    assert_true(adds("Where is the fair on 3 May?", "The fair is on the green."));
    assert_true(adds("Is the counter open on Sundays?", "The counter is open on Sundays."));
}

static void test_two_words_that_are_both_missing_are_told(void **state)
{
    (void)state;
    const char *text = "The club room may be hired for 80 euros an evening.";
    assert_true(subject(text, "What does it cost to hire the sports hall?").lacks_pair);
    assert_false(subject(text, "What does it cost to hire the large room?").lacks_pair);
    assert_false(subject(text, "What does it cost to rent the room for parties?").lacks_pair);
}

static bool misplaced(const char *text, const char *header, const char *question,
                      const char *answer)
{
    bool result = false;
    vt_place place = {.text = vt_slice_cstr(text), .header = vt_slice_cstr(header)};
    assert_int_equal(vt_answer_is_misplaced(&place, vt_slice_cstr(question), vt_slice_cstr(answer),
                                            &result, NULL),
                     VT_OK);
    return result;
}

static void test_a_number_of_another_part_of_the_sentence_is_misplaced(void **state)
{
    (void)state;
    const char *speed = "Bicycles may go 12 km/h inside the gate and\n20 km/h on the bridge.";
    assert_true(misplaced(speed, "", "How fast may bicycles go on the bridge?", "12 km/h."));
    assert_false(misplaced(speed, "", "How fast may bicycles go on the bridge?", "20 km/h."));
    assert_false(misplaced(speed, "", "How fast may bicycles go inside the gate?", "12 km/h."));
    assert_true(misplaced("The mill opens at 8:00, the bakery at 6:00.", "",
                          "When does the mill open?", "At 6:00."));
    assert_false(misplaced("It cost 900 euros, of which the town paid 300 euros.", "",
                           "How much did it cost?", "900 euros"));
}

static void test_a_cell_of_another_column_is_misplaced(void **state)
{
    (void)state;
    const char *header = "Hall | Monday opening | Sunday opening";
    const char *row = "East | 07:00 | 09:30";
    assert_true(misplaced(row, header, "When is the Sunday opening of East?", "At 07:00."));
    assert_false(misplaced(row, header, "When is the Sunday opening of East?", "At 09:30."));
    assert_false(misplaced("Bolt | 4.10", "Part | Price", "What does the bolt cost?", "4.10"));
}

static void test_every_prefix_of_odd_bytes_is_read_to_its_end(void **state)
{
    (void)state;
    const char text[] = "7, 1.2.3 \xFF\xFE 12:5 2026-13-01 5 p \xE2\x82 25th\0 x \xE3\x80\x90 9:";
    for (size_t n = 0; n < sizeof text; n++) {
        vt_atoms cursor = vt_atoms_of(vt_slice_of(text, n));
        vt_atom atom;
        size_t count = 0;
        while (vt_atoms_next(&cursor, &atom)) {
            assert_true(atom.start < atom.end && atom.end <= n);
            assert_true(++count < 64);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers_are_the_same_however_they_are_written),
        cmocka_unit_test(test_other_numbers_are_not_supported),
        cmocka_unit_test(test_times_of_day_match_in_twelve_and_twenty_four_hours),
        cmocka_unit_test(test_dates_match_in_words_and_in_digits),
        cmocka_unit_test(test_names_that_are_not_there_are_found),
        cmocka_unit_test(test_longer_words_must_stand_there_in_some_form),
        cmocka_unit_test(test_quoted_words_must_stand_side_by_side),
        cmocka_unit_test(test_the_wrong_object_is_noticed),
        cmocka_unit_test(test_words_of_asking_are_not_the_subject),
        cmocka_unit_test(test_languages_that_capitalise_nouns_have_no_names_by_capitals),
        cmocka_unit_test(test_an_answer_that_only_repeats_the_question_adds_nothing),
        cmocka_unit_test(test_a_number_of_another_part_of_the_sentence_is_misplaced),
        cmocka_unit_test(test_a_cell_of_another_column_is_misplaced),
        cmocka_unit_test(test_two_words_that_are_both_missing_are_told),
        cmocka_unit_test(test_every_prefix_of_odd_bytes_is_read_to_its_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
