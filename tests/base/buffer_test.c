/* Growing buffers: the ceiling, the sticky failure, the NUL behind the text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/alloc.h"
#include "base/buffer.h"

static void test_appends_add_up_and_the_text_is_always_terminated(void **state)
{
    (void)state;
    vt_buffer b;
    vt_buffer_init(&b, 0);
    assert_true(vt_buffer_append(&b, VT_S("one")));
    assert_true(vt_buffer_byte(&b, ' '));
    assert_true(vt_buffer_printf(&b, "%d%s", 2, "!"));
    assert_true(vt_buffer_append(&b, (vt_slice){0}));
    assert_string_equal(b.ptr, "one 2!");
    assert_true(vt_slice_eq(vt_buffer_slice(&b), VT_S("one 2!")));
    vt_buffer_clear(&b);
    assert_int_equal(b.len, 0);
    assert_string_equal(b.ptr, "");
    vt_buffer_deinit(&b);
    vt_buffer_deinit(&b); /* twice does no harm */
}

static void test_exactly_the_ceiling_fits_and_one_byte_more_does_not(void **state)
{
    (void)state;
    vt_buffer b;
    vt_err err;
    vt_buffer_init(&b, 4);
    assert_int_equal(vt_buffer_room(&b), 4);
    assert_true(vt_buffer_append(&b, VT_S("1234")));
    assert_int_equal(vt_buffer_status(&b, "text", &err), VT_OK);
    assert_int_equal(vt_buffer_room(&b), 0);
    assert_false(vt_buffer_byte(&b, '5'));
    assert_string_equal(b.ptr, "1234");
    assert_int_equal(vt_buffer_status(&b, "the text", &err), VT_ELIMIT);
    assert_non_null(strstr(err.msg, "the text is larger than 4 bytes"));
    vt_buffer_deinit(&b);
}

static void test_a_failure_sticks_until_the_buffer_is_cleared(void **state)
{
    (void)state;
    vt_buffer b;
    vt_buffer_init(&b, 4);
    assert_false(vt_buffer_printf(&b, "%s", "12345"));
    assert_false(vt_buffer_byte(&b, 'x'));
    assert_null(vt_buffer_take(&b));
    assert_true(b.failed);
    vt_buffer_clear(&b);
    assert_true(vt_buffer_byte(&b, 'x'));
    assert_string_equal(b.ptr, "x");
    vt_buffer_deinit(&b);
}

static void test_no_ceiling_overflows(void **state)
{
    (void)state;
    vt_buffer b;
    vt_buffer_init(&b, SIZE_MAX);
    assert_true(vt_buffer_append(&b, VT_S("abc")));
    assert_false(vt_buffer_reserve(&b, SIZE_MAX));
    vt_buffer_clear(&b);
    assert_false(vt_buffer_reserve(&b, SIZE_MAX - 1)); /* fits the ceiling, but not memory */
    vt_buffer_deinit(&b);
}

static void test_failing_memory_leaves_the_text_as_it_was(void **state)
{
    (void)state;
    vt_buffer b;
    vt_buffer_init(&b, 0);
    assert_true(vt_buffer_append(&b, VT_S("keep")));
    (void)vt_alloc_fail_nth(1);
    assert_false(vt_buffer_printf(&b, "%100s", "x"));
    (void)vt_alloc_fail_nth(0);
    assert_string_equal(b.ptr, "keep");
    assert_int_equal(vt_buffer_status(&b, "x", NULL), VT_ELIMIT);
    vt_buffer_deinit(&b);
}

static void test_taking_hands_the_text_over_and_leaves_an_empty_buffer(void **state)
{
    (void)state;
    vt_buffer b;
    vt_buffer_init(&b, 10);
    char *empty = vt_buffer_take(&b);
    assert_string_equal(empty, "");
    vt_free(empty);
    assert_true(vt_buffer_append(&b, VT_S("text")));
    char *text = vt_buffer_take(&b);
    assert_string_equal(text, "text");
    assert_int_equal(b.len, 0);
    assert_null(b.ptr);
    assert_int_equal(b.limit, 10);
    vt_free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_appends_add_up_and_the_text_is_always_terminated),
        cmocka_unit_test(test_exactly_the_ceiling_fits_and_one_byte_more_does_not),
        cmocka_unit_test(test_a_failure_sticks_until_the_buffer_is_cleared),
        cmocka_unit_test(test_no_ceiling_overflows),
        cmocka_unit_test(test_failing_memory_leaves_the_text_as_it_was),
        cmocka_unit_test(test_taking_hands_the_text_over_and_leaves_an_empty_buffer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
