/* Arithmetic on sizes from outside, at its edges. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/checked.h"

static void test_sums_that_fit_are_stored_and_others_leave_the_result_alone(void **state)
{
    (void)state;
    uint64_t r = 7;
    assert_true(vt_add_u64(UINT64_MAX - 1, 1, &r));
    assert_true(r == UINT64_MAX);
    r = 7;
    assert_false(vt_add_u64(UINT64_MAX, 1, &r));
    assert_true(r == 7);
    size_t s = 7;
    assert_false(vt_add_size(SIZE_MAX, SIZE_MAX, &s));
    assert_true(s == 7);
    assert_true(vt_add_size(1, 2, &s));
    assert_true(s == 3);
}

static void test_products_that_fit_are_stored_and_others_leave_the_result_alone(void **state)
{
    (void)state;
    uint64_t r = 7;
    assert_true(vt_mul_u64(UINT32_MAX, UINT32_MAX, &r));
    assert_true(r == 0xFFFFFFFE00000001u);
    r = 7;
    assert_false(vt_mul_u64(UINT64_C(1) << 32, UINT64_C(1) << 32, &r));
    assert_true(r == 7);
    size_t s = 7;
    assert_true(vt_mul_size(SIZE_MAX, 1, &s));
    assert_true(s == SIZE_MAX);
    s = 7;
    assert_false(vt_mul_size(SIZE_MAX, 2, &s));
    assert_true(s == 7);
}

static void test_rounding_up_keeps_multiples_and_refuses_to_pass_the_top(void **state)
{
    (void)state;
    uint64_t r = 7;
    assert_true(vt_align_u64(0, 32, &r) && r == 0);
    assert_true(vt_align_u64(1, 32, &r) && r == 32);
    assert_true(vt_align_u64(32, 32, &r) && r == 32);
    assert_true(vt_align_u64(5, 1, &r) && r == 5);
    assert_true(vt_align_u64(UINT64_MAX - 31, 32, &r) && r == UINT64_MAX - 31);
    r = 7;
    assert_false(vt_align_u64(UINT64_MAX - 30, 32, &r));
    assert_true(r == 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sums_that_fit_are_stored_and_others_leave_the_result_alone),
        cmocka_unit_test(test_products_that_fit_are_stored_and_others_leave_the_result_alone),
        cmocka_unit_test(test_rounding_up_keeps_multiples_and_refuses_to_pass_the_top),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
