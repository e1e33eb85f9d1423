/* Slices: comparing, cutting, searching, trimming, with NULs and empty slices. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "base/slice.h"

static void test_equal_slices_have_equal_bytes_and_nul_is_a_byte(void **state)
{
    (void)state;
    assert_true(vt_slice_eq(VT_S("a\0b"), VT_S("a\0b")));
    assert_false(vt_slice_eq(VT_S("a\0b"), VT_S("a\0c")));
    assert_false(vt_slice_eq(VT_S("a"), VT_S("ab")));
    assert_true(vt_slice_eq((vt_slice){0}, VT_S("")));
    assert_int_equal(VT_S("a\0b").len, 3);
    assert_int_equal(vt_slice_cstr(NULL).len, 0);
}

static void test_starts_and_ends_hold_for_the_empty_slice_and_never_past_the_length(void **state)
{
    (void)state;
    assert_true(vt_slice_starts(VT_S("vetro"), VT_S("vet")));
    assert_false(vt_slice_starts(VT_S("ve"), VT_S("vet")));
    assert_true(vt_slice_starts((vt_slice){0}, VT_S("")));
    assert_true(vt_slice_ends(VT_S("vetro"), VT_S("tro")));
    assert_false(vt_slice_ends(VT_S("ro"), VT_S("tro")));
    assert_true(vt_slice_ends((vt_slice){0}, (vt_slice){0}));
}

static void test_skip_and_take_are_cut_at_the_end(void **state)
{
    (void)state;
    assert_true(vt_slice_eq(vt_slice_skip(VT_S("abc"), 1), VT_S("bc")));
    assert_int_equal(vt_slice_skip(VT_S("abc"), SIZE_MAX).len, 0);
    assert_true(vt_slice_eq(vt_slice_take(VT_S("abc"), 2), VT_S("ab")));
    assert_int_equal(vt_slice_take(VT_S("abc"), SIZE_MAX).len, 3);
    assert_null(vt_slice_skip((vt_slice){0}, 5).ptr);
}

static void test_find_gives_the_first_place_or_the_length(void **state)
{
    (void)state;
    assert_int_equal(vt_slice_find(VT_S("banana"), VT_S("an")), 1);
    assert_int_equal(vt_slice_find(VT_S("banana"), VT_S("ab")), 6);
    assert_int_equal(vt_slice_find(VT_S("banana"), VT_S("")), 0);
    assert_int_equal(vt_slice_find(VT_S("an"), VT_S("banana")), 2);
    assert_int_equal(vt_slice_find(VT_S("a\0b"), VT_S("\0b")), 1);
    assert_int_equal(vt_slice_find((vt_slice){0}, VT_S("a")), 0);
}

static void test_trim_takes_white_space_from_both_ends_only(void **state)
{
    (void)state;
    assert_true(vt_slice_eq(vt_slice_trim(VT_S(" \t a b\r\n\v\f")), VT_S("a b")));
    assert_int_equal(vt_slice_trim(VT_S(" \n ")).len, 0);
    assert_int_equal(vt_slice_trim((vt_slice){0}).len, 0);
    /* NUL is no white space, though memchr over a literal could take it for one */
    assert_int_equal(vt_slice_trim(VT_S("\0")).len, 1);
}

static void test_an_argument_for_printf_is_cut_to_what_an_int_holds(void **state)
{
    (void)state;
    char text[16];
    snprintf(text, sizeof text, "%.*s", VT_ARG(VT_S("abc")));
    assert_string_equal(text, "abc");
    snprintf(text, sizeof text, "%.*s", VT_ARG((vt_slice){0}));
    assert_string_equal(text, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equal_slices_have_equal_bytes_and_nul_is_a_byte),
        cmocka_unit_test(test_starts_and_ends_hold_for_the_empty_slice_and_never_past_the_length),
        cmocka_unit_test(test_skip_and_take_are_cut_at_the_end),
        cmocka_unit_test(test_find_gives_the_first_place_or_the_length),
        cmocka_unit_test(test_trim_takes_white_space_from_both_ends_only),
        cmocka_unit_test(test_an_argument_for_printf_is_cut_to_what_an_int_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
