/* Passages cut into pieces, and the lines that hold a sentence. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "agent/cite.h"
#include "agent/pieces.h"

static vt_passage passage(const char *text, int64_t first, int64_t last)
{
    return (vt_passage){.text = (char *)text,
                        .header = (char *)"",
                        .section = (char *)"",
                        .title = (char *)"",
                        .file = (char *)"f",
                        .start_line = first,
                        .end_line = last};
}

static void expect_piece(vt_pieces *cursor, const char *text, int64_t first, int64_t last)
{
    vt_piece_of piece;
    assert_true(vt_pieces_next(cursor, &piece));
    if (!vt_slice_eq(piece.text, vt_slice_cstr(text)))
        fail_msg("'%.*s' is not '%s'", VT_ARG(piece.text), text);
    assert_int_equal(piece.start_line, first);
    assert_int_equal(piece.end_line, last);
}

static void test_a_list_is_cut_into_items_with_their_lines(void **state)
{
    (void)state;
    vt_passage p =
        passage("We need:\n- paint, blue\n  and red\n\xE2\x80\xA2 brushes\n12. tape", 4, 8);
    vt_pieces c = vt_pieces_of(&p);
    assert_true(vt_slice_eq(c.intro, VT_S("We need:")));
    expect_piece(&c, "- paint, blue\n  and red", 5, 6);
    expect_piece(&c, "\xE2\x80\xA2 brushes", 7, 7);
    expect_piece(&c, "12. tape", 8, 8);
    vt_piece_of piece;
    assert_false(vt_pieces_next(&c, &piece));
}

static void test_a_program_is_cut_into_blocks_with_their_lines(void **state)
{
    (void)state;
    vt_passage p = passage("# speed\nMAX = 3\n\n\n# size\nMIN = 1\n", 10, 16);
    p.end_line = 15;
    vt_pieces c = vt_pieces_of(&p);
    expect_piece(&c, "# speed\nMAX = 3", 10, 11);
    expect_piece(&c, "# size\nMIN = 1", 14, 15);
    vt_piece_of piece;
    assert_false(vt_pieces_next(&c, &piece));
}

static void test_prose_and_single_items_stay_whole(void **state)
{
    (void)state;
    vt_passage p = passage("It is a sentence - of two\nlines.", 1, 2);
    vt_pieces c = vt_pieces_of(&p);
    expect_piece(&c, "It is a sentence - of two\nlines.", 1, 2);
    vt_piece_of piece;
    assert_false(vt_pieces_next(&c, &piece));
}

static void test_nothing_is_cut_where_lines_do_not_pair(void **state)
{
    (void)state;
    vt_passage p = passage("- a\n- b", 1, 9);
    vt_pieces c = vt_pieces_of(&p);
    expect_piece(&c, "- a\n- b", 1, 9);
}

static void expect_lines(const char *const *texts, size_t n, const char *question,
                         const char *sentence, size_t first, size_t last)
{
    vt_line items[8];
    size_t a = 99, b = 99;
    for (size_t i = 0; i < n; i++)
        items[i] = (vt_line){.number = (int64_t)i + 1, .text = (char *)texts[i]};
    vt_lines lines = {.items = items, .n = n};
    assert_int_equal(
        vt_cite_lines(&lines, vt_slice_cstr(question), vt_slice_cstr(sentence), &a, &b, NULL),
        VT_OK);
    assert_int_equal(a, first);
    assert_int_equal(b, last);
}

static void test_the_fewest_lines_that_hold_the_sentence_are_cited(void **state)
{
    (void)state;
    const char *const prose[] = {"The gate is blue. The bridge was", "built in 1904 by Ida Brask.",
                                 "It has five arches.", "The tower has two bells."};
    expect_lines(prose, 4, "When was the bridge built?", "The bridge was built in 1904.", 0, 1);
    expect_lines(prose, 4, "How many arches are there?", "It has 5 arches.", 2, 2);
    const char *const code[] = {"# longest outing", "MAX_OUTING = 3", "MAX_DAYS = 14"};
    expect_lines(code, 3, "How many days ahead?", "14 days.", 2, 2);
}

static void test_a_sentence_that_adds_nothing_cites_where_the_question_is(void **state)
{
    (void)state;
    const char *const lines[] = {"The gate is blue.", "Dogs stay outside."};
    expect_lines(lines, 2, "Do dogs stay outside?", "Yes.", 1, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_list_is_cut_into_items_with_their_lines),
        cmocka_unit_test(test_a_program_is_cut_into_blocks_with_their_lines),
        cmocka_unit_test(test_prose_and_single_items_stay_whole),
        cmocka_unit_test(test_nothing_is_cut_where_lines_do_not_pair),
        cmocka_unit_test(test_the_fewest_lines_that_hold_the_sentence_are_cited),
        cmocka_unit_test(test_a_sentence_that_adds_nothing_cites_where_the_question_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
