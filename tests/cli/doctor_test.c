/* doctor_test.c -- `vetro doctor`: every check of the contract is there, says something, and an
 * unusable data directory is found. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../support/child.h"
#include "base/json.h"

static json_t *doctor_json(const child_options *options, int expected_code)
{
    child_result r = child_vetro(options, "doctor", "--json");
    assert_int_equal(r.code, expected_code);
    json_t *value = NULL;
    assert_int_equal(vt_json_parse(vt_buffer_slice(&r.out), &value, NULL), VT_OK);
    child_free(&r);
    return value;
}

static const json_t *find_check(const json_t *report, const char *name)
{
    const json_t *list = json_object_get(report, "checks");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *check = json_array_get(list, i);
        if (strcmp(json_string_value(json_object_get(check, "name")), name) == 0) return check;
    }
    fail_msg("no check '%s'", name);
    return NULL;
}

static void test_every_check_is_there_with_a_detail_and_a_failed_one_says_what_to_do(void **state)
{
    (void)state;
    static const char *const names[] = {"cpu",     "arithmetic",      "models",  "memory",
                                        "disk",    "landlock",        "seccomp", "bubblewrap",
                                        "sandbox", "user namespaces", "poppler", "tesseract",
                                        "fonts"};
    json_t *report = doctor_json(NULL, 0);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const json_t *check = find_check(report, names[i]);
        const json_t *ok = json_object_get(check, "ok");
        assert_true(json_is_boolean(ok));
        assert_true(json_string_length(json_object_get(check, "detail")) > 0);
        const json_t *remedy = json_object_get(check, "remedy");
        if (json_is_true(ok)) assert_true(json_is_null(remedy));
        else assert_true(json_string_length(remedy) > 0);
    }
    json_decref(report);
}

static void test_a_data_directory_that_cannot_be_made_fails(void **state)
{
    (void)state;
    json_t *report = doctor_json(&(child_options){.home = "/dev/null"}, 1);
    const json_t *check = find_check(report, "data directory");
    assert_true(json_is_false(json_object_get(check, "ok")));
    assert_non_null(strstr(json_string_value(json_object_get(check, "remedy")), "VETRO_HOME"));
    json_decref(report);
}

static void test_the_text_has_a_line_for_each_check_and_the_commit(void **state)
{
    (void)state;
    child_result r = child_vetro(NULL, "doctor");
    assert_int_equal(r.code, 0);
    assert_memory_equal(r.out.ptr, "vetro ", 6);
    assert_non_null(strstr(r.out.ptr, "\nok    data directory"));
    assert_non_null(strstr(r.out.ptr, " seccomp "));
    child_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_check_is_there_with_a_detail_and_a_failed_one_says_what_to_do),
        cmocka_unit_test(test_a_data_directory_that_cannot_be_made_fails),
        cmocka_unit_test(test_the_text_has_a_line_for_each_check_and_the_commit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
