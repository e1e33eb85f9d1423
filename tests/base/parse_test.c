/* Numbers from text: strict, whole, in range, whatever the locale. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/parse.h"

static void test_integers_are_whole_decimal_and_in_range(void **state)
{
    (void)state;
    uint64_t u = 7;
    int64_t i = 7;
    assert_true(vt_parse_u64(VT_S("18446744073709551615"), &u) && u == UINT64_MAX);
    assert_true(vt_parse_u64(VT_S("007"), &u) && u == 7);
    assert_true(vt_parse_i64(VT_S("-9223372036854775808"), &i) && i == INT64_MIN);
    assert_true(vt_parse_i64(VT_S("9223372036854775807"), &i) && i == INT64_MAX);
    assert_true(vt_parse_i64(VT_S("-0"), &i) && i == 0);
    u = 7;
    i = 7;
    static const char *const bad[] = {"",
                                      " 1",
                                      "1 ",
                                      "+1",
                                      "0x10",
                                      "1.0",
                                      "1e3",
                                      "--1",
                                      "-",
                                      "a",
                                      "18446744073709551616",
                                      "99999999999999999999999"};
    for (size_t k = 0; k < sizeof bad / sizeof bad[0]; k++) {
        assert_false(vt_parse_u64(vt_slice_cstr(bad[k]), &u));
        assert_false(vt_parse_i64(vt_slice_cstr(bad[k]), &i));
    }
    assert_false(vt_parse_u64(VT_S("-1"), &u));
    assert_false(vt_parse_u64(VT_S("1\0"), &u));
    assert_false(vt_parse_i64(VT_S("9223372036854775808"), &i));
    assert_false(vt_parse_i64(VT_S("-9223372036854775809"), &i));
    assert_true(u == 7 && i == 7);
}

static void test_decimals_are_those_of_the_grammar_and_nothing_else(void **state)
{
    (void)state;
    double d = 7;
    assert_true(vt_parse_double(VT_S("0.7"), &d) && d == 0.7);
    assert_true(vt_parse_double(VT_S("-1e-3"), &d) && d == -1e-3);
    assert_true(vt_parse_double(VT_S("+5."), &d) && d == 5);
    assert_true(vt_parse_double(VT_S(".5E+2"), &d) && d == 50);
    assert_true(vt_parse_double(VT_S("1e-400"), &d) && d == 0);
    d = 7;
    static const char *const bad[] = {"",      ".",    "e5",    "1e",       "1e+", "nan",
                                      "inf",   "-inf", "0x1p3", " 1",       "1 ",  "1,5",
                                      "1e400", "--1",  "1.2.3", "infinity", "+-1"};
    for (size_t k = 0; k < sizeof bad / sizeof bad[0]; k++)
        assert_false(vt_parse_double(vt_slice_cstr(bad[k]), &d));
    assert_false(vt_parse_double(VT_S("1\0"), &d));
    char longest[200];
    memset(longest, '1', sizeof longest);
    assert_false(vt_parse_double((vt_slice){longest, 128}, &d));
    assert_true(d == 7);
    assert_true(vt_parse_double((vt_slice){longest, 127}, &d));
}

static void test_a_slice_is_not_read_past_its_end(void **state)
{
    (void)state;
    uint64_t u;
    double d;
    assert_true(vt_parse_u64((vt_slice){"123456", 3}, &u) && u == 123);
    assert_true(vt_parse_double((vt_slice){"1.256", 3}, &d) && d == 1.2);
}

static void test_a_locale_with_a_decimal_comma_changes_nothing(void **state)
{
    (void)state;
    /* Where no such locale is installed, the C locale stands in: the assertions hold all the same.
     */
    static const char *const names[] = {"de_DE.UTF-8", "it_IT.UTF-8", "fr_FR.UTF-8"};
    for (size_t i = 0; i < 3 && setlocale(LC_NUMERIC, names[i]) == NULL; i++) continue;
    double d = 0;
    assert_true(vt_parse_double(VT_S("1.5"), &d) && d == 1.5);
    assert_false(vt_parse_double(VT_S("1,5"), &d));
    setlocale(LC_NUMERIC, "C");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_integers_are_whole_decimal_and_in_range),
        cmocka_unit_test(test_decimals_are_those_of_the_grammar_and_nothing_else),
        cmocka_unit_test(test_a_slice_is_not_read_past_its_end),
        cmocka_unit_test(test_a_locale_with_a_decimal_comma_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
