/* The directories that vetro uses, by the rules of the XDG specification. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/env.h"

static void set(const char *name, const char *value)
{
    if (value == NULL) assert_int_equal(unsetenv(name), 0);
    else assert_int_equal(setenv(name, value, 1), 0);
}

static void assert_dirs(const char *config, const char *data, const char *cache)
{
    const char *expected[] = {config, data, cache};
    for (int kind = VT_DIR_CONFIG; kind <= VT_DIR_CACHE; kind++) {
        char *path = NULL;
        assert_int_equal(vt_env_dir((vt_dir_kind)kind, &path, NULL), VT_OK);
        assert_string_equal(path, expected[kind]);
        vt_free(path);
    }
}

static int clear(void **state)
{
    (void)state;
    static const char *const names[] = {"VETRO_HOME",     "XDG_CONFIG_HOME", "XDG_DATA_HOME",
                                        "XDG_CACHE_HOME", "VETRO_ISA",       "VETRO_THREADS"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) set(names[i], NULL);
    set("HOME", "/home/anna");
    return 0;
}

static void test_without_settings_they_are_below_home(void **state)
{
    (void)state;
    clear(NULL);
    assert_dirs("/home/anna/.config/vetro", "/home/anna/.local/share/vetro",
                "/home/anna/.cache/vetro");
}

static void test_xdg_directories_win_when_absolute_and_are_ignored_when_not(void **state)
{
    (void)state;
    clear(NULL);
    set("XDG_CONFIG_HOME", "/c");
    set("XDG_DATA_HOME", "relative");
    set("XDG_CACHE_HOME", "");
    assert_dirs("/c/vetro", "/home/anna/.local/share/vetro", "/home/anna/.cache/vetro");
}

static void test_vetro_home_wins_over_all_and_empty_is_as_if_unset(void **state)
{
    (void)state;
    clear(NULL);
    set("XDG_DATA_HOME", "/d");
    set("VETRO_HOME", "/v");
    assert_dirs("/v/config", "/v/data", "/v/cache");
    set("VETRO_HOME", "");
    assert_dirs("/home/anna/.config/vetro", "/d/vetro", "/home/anna/.cache/vetro");
}

static void test_no_home_or_one_too_long_is_an_error_that_says_what_to_do(void **state)
{
    (void)state;
    clear(NULL);
    vt_err err;
    char *path = NULL;
    set("HOME", NULL);
    assert_int_equal(vt_env_dir(VT_DIR_DATA, &path, &err), VT_ENOTFOUND);
    assert_non_null(strstr(err.msg, "VETRO_HOME"));
    set("HOME", "relative");
    assert_int_equal(vt_env_dir(VT_DIR_DATA, &path, &err), VT_ENOTFOUND);
    char big[5000];
    memset(big, 'x', sizeof big - 1);
    big[0] = '/';
    big[sizeof big - 1] = '\0';
    set("VETRO_HOME", big);
    assert_int_equal(vt_env_dir(VT_DIR_DATA, &path, &err), VT_ELIMIT);
    assert_null(path);
}

static void test_the_other_two_variables_are_handed_on_as_they_are(void **state)
{
    (void)state;
    clear(NULL);
    assert_null(vt_env_isa());
    assert_null(vt_env_threads());
    set("VETRO_ISA", "scalar");
    set("VETRO_THREADS", "3");
    assert_string_equal(vt_env_isa(), "scalar");
    assert_string_equal(vt_env_threads(), "3");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_settings_they_are_below_home),
        cmocka_unit_test(test_xdg_directories_win_when_absolute_and_are_ignored_when_not),
        cmocka_unit_test(test_vetro_home_wins_over_all_and_empty_is_as_if_unset),
        cmocka_unit_test(test_no_home_or_one_too_long_is_an_error_that_says_what_to_do),
        cmocka_unit_test(test_the_other_two_variables_are_handed_on_as_they_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
