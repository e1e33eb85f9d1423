/* JSON: strict, duplicates and trailing bytes refused, any text can be put in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/json.h"

static void test_what_is_not_json_is_refused_with_a_place(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      " ",
                                      "{",
                                      "{\"a\":1,}",
                                      "{'a':1}",
                                      "[1] 2",
                                      "{\"a\":1,\"a\":2}",
                                      "nan",
                                      "\"\xff\"",
                                      "01",
                                      "1e400",
                                      "99999999999999999999",
                                      "[1,]",
                                      "\"\\ud800\"",
                                      "tru",
                                      "\"\n\""};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        vt_err err = {0};
        json_t *value = NULL;
        if (vt_json_parse(vt_slice_cstr(bad[i]), &value, &err) != VT_EINPUT)
            fail_msg("accepted: %s", bad[i]);
        assert_null(value);
        assert_non_null(strstr(err.msg, "line "));
    }
}

static void test_a_deep_nesting_is_refused_without_a_crash(void **state)
{
    (void)state;
    static char deep[200000];
    memset(deep, '[', sizeof deep);
    json_t *value = NULL;
    assert_int_equal(vt_json_parse((vt_slice){deep, sizeof deep}, &value, NULL), VT_EINPUT);
    assert_null(value);
}

static void test_a_value_goes_out_and_comes_back_with_integers_and_nul_exact(void **state)
{
    (void)state;
    vt_slice text = VT_S("{\"big\":9223372036854775807,\"z\":\"a\\u0000b\",\"a\":[true,null,0.5]}");
    json_t *value = NULL;
    assert_int_equal(vt_json_parse(text, &value, NULL), VT_OK);
    assert_true(vt_slice_eq(vt_json_text(json_object_get(value, "z")), VT_S("a\0b")));
    assert_int_equal(vt_json_text(json_object_get(value, "big")).len, 0);
    assert_int_equal(vt_json_text(NULL).len, 0);
    vt_buffer out;
    vt_buffer_init(&out, 0);
    assert_int_equal(vt_json_write(value, &out, NULL), VT_OK);
    assert_true(vt_slice_eq(vt_buffer_slice(&out), text)); /* the order of the keys is kept */
    vt_buffer_deinit(&out);
    json_decref(value);
}

static void test_writing_past_the_ceiling_leaves_the_buffer_as_long_as_it_was(void **state)
{
    (void)state;
    json_t *value = json_string("0123456789");
    vt_buffer out;
    vt_buffer_init(&out, 8);
    assert_true(vt_buffer_append(&out, VT_S("abc")));
    assert_int_equal(vt_json_write(value, &out, NULL), VT_ELIMIT);
    assert_string_equal(out.ptr, "abc");
    assert_int_equal(out.len, 3);
    vt_buffer_deinit(&out);
    json_decref(value);
}

static void test_text_with_invalid_bytes_becomes_a_string_all_the_same(void **state)
{
    (void)state;
    json_t *value = vt_json_string(VT_S("a\xFF\0z"));
    assert_true(vt_slice_eq(vt_json_text(value), VT_S("a\uFFFD\0z")));
    json_decref(value);
    value = vt_json_string((vt_slice){0});
    assert_true(json_is_string(value));
    json_decref(value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_not_json_is_refused_with_a_place),
        cmocka_unit_test(test_a_deep_nesting_is_refused_without_a_crash),
        cmocka_unit_test(test_a_value_goes_out_and_comes_back_with_integers_and_nul_exact),
        cmocka_unit_test(test_writing_past_the_ceiling_leaves_the_buffer_as_long_as_it_was),
        cmocka_unit_test(test_text_with_invalid_bytes_becomes_a_string_all_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
