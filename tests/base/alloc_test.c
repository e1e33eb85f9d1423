/* Allocation: overflow, failing on purpose, growing arrays within a limit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/alloc.h"

static void test_products_that_overflow_are_refused(void **state)
{
    (void)state;
    assert_null(vt_calloc(SIZE_MAX / 2, 3));
    assert_null(vt_realloc_array(NULL, SIZE_MAX / 2, 3));
    assert_null(vt_alloc_aligned(64, SIZE_MAX - 10));
    assert_null(vt_strdup((vt_slice){"x", SIZE_MAX}));
}

static void test_nothing_can_be_asked_for_and_is_not_null(void **state)
{
    (void)state;
    void *blocks[] = {vt_alloc(0), vt_calloc(0, 0), vt_realloc_array(NULL, 0, 8),
                      vt_alloc_aligned(64, 0), vt_strdup((vt_slice){0})};
    for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++) {
        assert_non_null(blocks[i]);
        vt_free(blocks[i]);
    }
    vt_free(NULL);
}

static void test_aligned_blocks_are_aligned(void **state)
{
    (void)state;
    for (size_t align = 8; align <= 1 << 21; align *= 2) {
        void *p = vt_alloc_aligned(align, align + 1);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % align, 0);
        vt_free(p);
    }
}

static void test_a_copy_of_a_slice_is_terminated_and_keeps_nul_bytes(void **state)
{
    (void)state;
    char *copy = vt_strdup(VT_S("a\0b"));
    assert_non_null(copy);
    assert_memory_equal(copy, "a\0b", 4);
    vt_free(copy);
}

static void test_the_chosen_allocation_fails_once_and_all_are_counted(void **state)
{
    (void)state;
    (void)vt_alloc_fail_nth(2);
    void *first = vt_alloc(1);
    void *second = vt_calloc(1, 1);
    void *third = vt_alloc_aligned(16, 16);
    assert_non_null(first);
    assert_null(second);
    assert_non_null(third);
    assert_null(vt_realloc_array(third, SIZE_MAX, SIZE_MAX));
    assert_int_equal(vt_alloc_fail_nth(0), 4);
    vt_free(first);
    vt_free(third);
}

static void test_growing_doubles_and_keeps_what_is_there(void **state)
{
    (void)state;
    uint32_t *array = NULL;
    size_t cap = 0;
    size_t n_grown = 0;
    for (size_t n = 0; n < 1000; n++) {
        size_t before = cap;
        assert_true(vt_grow((void **)&array, &cap, n + 1, sizeof *array, 2000));
        if (cap != before) n_grown++;
        array[n] = (uint32_t)n;
    }
    for (size_t n = 0; n < 1000; n++) assert_int_equal(array[n], n);
    assert_true(n_grown <= 8); /* 8, 16, ... 1024 */
    vt_free(array);
}

static void test_growing_stops_at_the_limit_and_changes_nothing_then(void **state)
{
    (void)state;
    char *array = NULL;
    size_t cap = 0;
    assert_true(vt_grow((void **)&array, &cap, 5, 1, 5));
    assert_int_equal(cap, 5);
    char *before = array;
    assert_false(vt_grow((void **)&array, &cap, 6, 1, 5));
    assert_ptr_equal(array, before);
    assert_int_equal(cap, 5);
    assert_false(vt_grow((void **)&array, &cap, SIZE_MAX / 2, 8, SIZE_MAX));
    assert_ptr_equal(array, before);
    (void)vt_alloc_fail_nth(1);
    assert_false(vt_grow((void **)&array, &cap, 6, 1, 100));
    (void)vt_alloc_fail_nth(0);
    assert_ptr_equal(array, before);
    assert_int_equal(cap, 5);
    vt_free(array);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_products_that_overflow_are_refused),
        cmocka_unit_test(test_nothing_can_be_asked_for_and_is_not_null),
        cmocka_unit_test(test_aligned_blocks_are_aligned),
        cmocka_unit_test(test_a_copy_of_a_slice_is_terminated_and_keeps_nul_bytes),
        cmocka_unit_test(test_the_chosen_allocation_fails_once_and_all_are_counted),
        cmocka_unit_test(test_growing_doubles_and_keeps_what_is_there),
        cmocka_unit_test(test_growing_stops_at_the_limit_and_changes_nothing_then),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
