/* limits_slow_test.c -- the machine is measured. Slow only where loops are: under a sanitizer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kernels/limits.h"

static void test_limits_are_measured_with_one_thread_and_with_all(void **state)
{
    (void)state;
    vt_pool *pool = NULL;
    vt_limits limits = {0};
    assert_int_equal(vt_pool_new(2, &pool, NULL), VT_OK);
    assert_int_equal(vt_limits_measure(pool, vt_kernels_select(NULL), NULL, &limits, NULL), VT_OK);
    assert_int_equal(limits.n_threads, 2);
    const vt_limit_rates *rates[] = {&limits.one, &limits.all};
    for (size_t i = 0; i < 2; i++) {
        /* No machine is a thousand times slower or faster than this one. */
        assert_true(rates[i]->memory_bytes > 2e7 && rates[i]->memory_bytes < 2e13);
        assert_true(rates[i]->int8_ops > 1e7 && rates[i]->int8_ops < 1e14);
        assert_true(rates[i]->f32_ops > 1e7 && rates[i]->f32_ops < 1e14);
    }
    vt_pool_free(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limits_are_measured_with_one_thread_and_with_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
