/* bench_slow_test.c -- `vetro bench --limits`, which measures the machine for some seconds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../support/child_json.h"

#define TINY VT_TEST_DATA "/cli/tiny-chat.gguf"

static const child_options home = {.home = "/tmp/vetro-no-such-home"};

static void test_with_limits_each_test_has_its_share(void **state)
{
    (void)state;
    child_result r =
        child_vetro(&home, "bench", TINY, "-p", "8", "-n", "0", "-r", "1", "--limits", "--json");
    json_t *o = child_json(&r);
    const json_t *limits = json_object_get(o, "limits");
    assert_true(child_number(limits, "memory_gbps") > 0 && child_number(limits, "int8_tops") > 0);
    assert_true(child_number(json_object_get(limits, "one_thread"), "f32_gflops") > 0);
    const json_t *test = json_array_get(json_object_get(o, "tests"), 0);
    const json_t *share = json_object_get(test, "share");
    assert_true(child_number(share, "memory") > 0 && child_number(share, "memory") < 1);
    assert_true(child_number(share, "f32") > 0 && child_number(share, "f32") < 1);
    json_decref(o);
    child_free(&r);
}

static void test_limits_need_no_model(void **state)
{
    (void)state;
    static const char *const parts[] = {"limits (", "1 thread ", "GB/s", "TOPS", "GFLOPS"};
    child_result r = child_vetro(&home, "bench", "--limits", "-t", "1");
    assert_int_equal(r.code, 0);
    for (size_t i = 0; i < VT_COUNT(parts); i++)
        if (strstr(r.out.ptr, parts[i]) == NULL) fail_msg("'%s' lacks '%s'", r.out.ptr, parts[i]);
    assert_null(strstr(r.out.ptr, "load to first token"));
    child_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_with_limits_each_test_has_its_share),
        cmocka_unit_test(test_limits_need_no_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
