/* tokenizer_split_test.c -- the splits of published tokenizers, at the corners where scanners go
 * wrong. Whole texts are compared in tokenizer_corpus_test.c. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/buffer.h"
#include "model/tokenizer_split.h"

/* The pieces of `text`, each behind a bar, must read `expected`. */
static void check(vt_split_kind kind, const char *text, const char *expected)
{
    vt_buffer got;
    vt_buffer_init(&got, 0);
    vt_splitter s = vt__splitter(kind, vt_slice_cstr(text));
    vt_slice piece;
    while (vt__split_next(&s, &piece)) {
        assert_true(piece.len > 0);
        assert_true(vt_buffer_byte(&got, '|') && vt_buffer_append(&got, piece));
    }
    assert_string_equal(got.ptr ? got.ptr : "", expected);
    vt_buffer_deinit(&got);
}

static void test_an_empty_text_has_no_pieces(void **state)
{
    (void)state;
    for (int kind = VT_SPLIT_GPT2; kind <= VT_SPLIT_O200K; kind++)
        check((vt_split_kind)kind, "", "");
}

static void test_words_take_the_space_before_them(void **state)
{
    (void)state;
    check(VT_SPLIT_GPT2, "one  two\tthree", "|one| | two|\t|three");
    check(VT_SPLIT_QWEN2, "one  two\tthree", "|one| | two|\tthree");
    check(VT_SPLIT_LLAMA3, "(one)", "|(one|)");
    check(VT_SPLIT_O200K, "(one)", "|(one|)");
    check(VT_SPLIT_GPT2, "(one)", "|(|one|)");
}

static void test_white_space_at_the_end_stays_together(void **state)
{
    (void)state;
    check(VT_SPLIT_GPT2, "a   ", "|a|   ");
    check(VT_SPLIT_O200K, "a  \n  b", "|a|  \n| | b");
    check(VT_SPLIT_LLAMA3, "a \r\n\n  ", "|a| \r\n\n|  ");
    check(VT_SPLIT_GPT2, "a \n\n b", "|a| \n\n| b");
}

static void test_digits_go_alone_in_threes_or_all_together(void **state)
{
    (void)state;
    check(VT_SPLIT_GPT2, "x 12345", "|x| 12345");
    check(VT_SPLIT_SMOLLM, "x 123", "|x| |1|2|3");
    check(VT_SPLIT_QWEN2, "x 123", "|x| |1|2|3");
    check(VT_SPLIT_LLAMA3, "x 12345", "|x| |123|45");
    check(VT_SPLIT_O200K, "x 12345", "|x| |123|45");
}

static void test_smollm_sees_an_end_of_text_before_each_digit(void **state)
{
    (void)state;
    check(VT_SPLIT_SMOLLM, "a  1", "|a|  |1");
    check(VT_SPLIT_SMOLLM, "\xD9\xA1 \xE2\x85\xA7", "|\xD9\xA1| |\xE2\x85\xA7");
}

static void test_contractions_in_any_case_where_the_pattern_says_so(void **state)
{
    (void)state;
    check(VT_SPLIT_GPT2, "it's IT'S", "|it|'s| IT|'|S");
    check(VT_SPLIT_LLAMA3, "it's IT'S we'LL'reX", "|it|'s| IT|'S| we|'LL|'re|X");
    check(VT_SPLIT_O200K, "it's IT'S we'LL", "|it's| IT'S| we'LL");
    check(VT_SPLIT_QWEN2, "'lx 'rs", "|'lx| '|rs");
}

static void test_the_long_s_is_an_s_when_case_is_ignored(void **state)
{
    (void)state;
    check(VT_SPLIT_LLAMA3, "it'\xC5\xBFx", "|it|'\xC5\xBF|x");
    check(VT_SPLIT_O200K, "it'\xC5\xBFx", "|it'\xC5\xBF|x");
    check(VT_SPLIT_GPT2, "it'\xC5\xBFx", "|it|'|\xC5\xBFx");
}

static void test_o200k_cuts_where_lower_case_meets_upper(void **state)
{
    (void)state;
    check(VT_SPLIT_O200K, "helloWorld HTTPServer ABC", "|hello|World| HTTPServer| ABC");
    check(VT_SPLIT_O200K, "Hello\xC3\x89world", "|Hello|\xC3\x89world");
    /* the caseless letter is the last that B+ can take; upper case behind it starts a new piece */
    check(VT_SPLIT_O200K,
          "AB\xE4\xB8\xAD"
          "CD",
          "|AB\xE4\xB8\xAD|CD");
}

static void test_o200k_keeps_combining_marks_in_the_word(void **state)
{
    (void)state;
    const char *namaste =
        "\xE0\xA4\xA8\xE0\xA4\xAE\xE0\xA4\xB8\xE0\xA5\x8D\xE0\xA4\xA4\xE0\xA5\x87";
    char expected[64] = "|";
    memcpy(expected + 1, namaste, strlen(namaste) + 1);
    check(VT_SPLIT_O200K, namaste, expected);
    check(VT_SPLIT_O200K, "cafe\xCC\x81s", "|cafe\xCC\x81s");
    check(VT_SPLIT_QWEN2, "cafe\xCC\x81s", "|cafe|\xCC\x81s");
    /* a mark alone: prefix or word, whichever lets the pattern match */
    check(VT_SPLIT_O200K,
          "\xCC\x81"
          "AB",
          "|\xCC\x81|AB");
    check(VT_SPLIT_O200K, "\xCC\x81 \xCC\x81", "|\xCC\x81| \xCC\x81");
}

static void test_symbols_take_newlines_and_o200k_slashes(void **state)
{
    (void)state;
    check(VT_SPLIT_O200K, "};\n/\nx", "|};\n/\n|x");
    check(VT_SPLIT_LLAMA3, "};\n/\nx", "|};\n|/\n|x");
    check(VT_SPLIT_GPT2, "};\nx", "|};|\n|x");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_empty_text_has_no_pieces),
        cmocka_unit_test(test_words_take_the_space_before_them),
        cmocka_unit_test(test_white_space_at_the_end_stays_together),
        cmocka_unit_test(test_digits_go_alone_in_threes_or_all_together),
        cmocka_unit_test(test_smollm_sees_an_end_of_text_before_each_digit),
        cmocka_unit_test(test_contractions_in_any_case_where_the_pattern_says_so),
        cmocka_unit_test(test_the_long_s_is_an_s_when_case_is_ignored),
        cmocka_unit_test(test_o200k_cuts_where_lower_case_meets_upper),
        cmocka_unit_test(test_o200k_keeps_combining_marks_in_the_word),
        cmocka_unit_test(test_symbols_take_newlines_and_o200k_slashes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
