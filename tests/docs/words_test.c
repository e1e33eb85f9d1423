/* words_test.c -- text to words: folding, scripts without spaces, stems. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "docs/words.h"

static void assert_words(const char *text, const char *expected)
{
    vt_buffer b;
    vt_words words = vt_words_of(vt_slice_cstr(text));
    vt_word w;
    vt_buffer_init(&b, 0);
    vt_buffer_append(&b, VT_S(""));
    while (vt_words_next(&words, &w)) {
        if (b.len > 0) vt_buffer_byte(&b, ' ');
        vt_buffer_append(&b, vt_slice_cstr(w.text));
    }
    assert_string_equal(b.ptr, expected);
    vt_buffer_deinit(&b);
}

static void test_words_are_folded(void **state)
{
    (void)state;
    assert_words("Hello, World!", "hello world");
    assert_words("Pr\xC3\xBC"
                 "fung STRASSE stra\xC3\x9F"
                 "e",
                 "prufung strasse strasse");
    assert_words("re\xCC\x81sume\xCC\x81 r\xC3\xA9sum\xC3\xA9", "resume resume");
    assert_words("A-113, 10.5 M8x20", "a 113 10 5 m8x20");
    assert_words("\xEF\xAC\x81ne \xEF\xBC\xA1\xEF\xBC\xA2", "fine ab");
    assert_words("\xCE\x9F\xCE\x94\xCE\x9F\xCE\xA3 \xCE\xBF\xCE\xB4\xCF\x8C\xCF\x82",
                 "\xCE\xBF\xCE\xB4\xCE\xBF\xCF\x83 \xCE\xBF\xCE\xB4\xCE\xBF\xCF\x83");
    assert_words("\xFF\xFE bad \xC3", "bad");
    assert_words("", "");
}

static void test_scripts_without_spaces_give_pairs(void **state)
{
    (void)state;
    assert_words("\xE6\x9D\xB1\xE4\xBA\xAC\xE9\x83\xBD", /* three Han characters */
                 "\xE6\x9D\xB1\xE4\xBA\xAC \xE4\xBA\xAC\xE9\x83\xBD \xE9\x83\xBD");
    assert_words("\xE6\x9D\xB1 x", "\xE6\x9D\xB1 x");
    assert_words("\xE6\x9D\xB1"
                 "abc\xE4\xBA\xAC",
                 "\xE6\x9D\xB1 abc \xE4\xBA\xAC");
}

static void test_a_word_of_any_length_fits(void **state)
{
    (void)state;
    char text[1000];
    memset(text, 'x', sizeof text);
    vt_words words = vt_words_of(vt_slice_of(text, sizeof text));
    vt_word w;
    assert_true(vt_words_next(&words, &w));
    assert_int_equal(w.len, VT_WORD_MAX);
    assert_int_equal(w.end, sizeof text);
    assert_false(vt_words_next(&words, &w));
}

static void test_stems_are_those_of_the_published_examples(void **state)
{
    (void)state;
    /* The examples of Porter's paper, each carried through all steps. */
    static const char *const pairs[][2] = {
        {"caresses", "caress"},
        {"ponies", "poni"},
        {"ties", "ti"},
        {"caress", "caress"},
        {"cats", "cat"},
        {"feed", "feed"},
        {"agreed", "agre"},
        {"plastered", "plaster"},
        {"motoring", "motor"},
        {"sing", "sing"},
        {"conflated", "conflat"},
        {"troubled", "troubl"},
        {"sized", "size"},
        {"hopping", "hop"},
        {"tanned", "tan"},
        {"falling", "fall"},
        {"hissing", "hiss"},
        {"fizzed", "fizz"},
        {"failing", "fail"},
        {"filing", "file"},
        {"happy", "happi"},
        {"sky", "sky"},
        {"relational", "relat"},
        {"conditional", "condit"},
        {"rational", "ration"},
        {"valenci", "valenc"},
        {"digitizer", "digit"},
        {"radicalli", "radic"},
        {"vietnamization", "vietnam"},
        {"predication", "predic"},
        {"operator", "oper"},
        {"feudalism", "feudal"},
        {"decisiveness", "decis"},
        {"hopefulness", "hope"},
        {"callousness", "callous"},
        {"formaliti", "formal"},
        {"sensitiviti", "sensit"},
        {"triplicate", "triplic"},
        {"formative", "form"},
        {"formalize", "formal"},
        {"electrical", "electr"},
        {"hopeful", "hope"},
        {"goodness", "good"},
        {"revival", "reviv"},
        {"allowance", "allow"},
        {"inference", "infer"},
        {"airliner", "airlin"},
        {"adjustable", "adjust"},
        {"defensible", "defens"},
        {"irritant", "irrit"},
        {"replacement", "replac"},
        {"adjustment", "adjust"},
        {"dependent", "depend"},
        {"adoption", "adopt"},
        {"communism", "commun"},
        {"activate", "activ"},
        {"effective", "effect"},
        {"bowdlerize", "bowdler"},
        {"probate", "probat"},
        {"rate", "rate"},
        {"cease", "ceas"},
        {"controll", "control"},
        {"roll", "roll"},
        {"is", "is"},
        {"m8x20", "m8x20"},
        {"generalizations", "gener"},
        {"oscillators", "oscil"},
    };
    for (size_t i = 0; i < VT_COUNT(pairs); i++) {
        char stem[VT_WORD_MAX + 1];
        vt_word_stem(pairs[i][0], strlen(pairs[i][0]), stem);
        assert_string_equal(stem, pairs[i][1]);
    }
}

static void test_stop_words_are_known_whole(void **state)
{
    (void)state;
    assert_true(vt_word_is_stop("the", 3));
    assert_true(vt_word_is_stop("a", 1));
    assert_true(vt_word_is_stop("your", 4));
    assert_false(vt_word_is_stop("th", 2));
    assert_false(vt_word_is_stop("thesis", 6));
    assert_false(vt_word_is_stop("pump", 4));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words_are_folded),
        cmocka_unit_test(test_scripts_without_spaces_give_pairs),
        cmocka_unit_test(test_a_word_of_any_length_fits),
        cmocka_unit_test(test_stems_are_those_of_the_published_examples),
        cmocka_unit_test(test_stop_words_are_known_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
