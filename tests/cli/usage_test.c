/* usage_test.c -- what every command shares: help, wrong usage, exit codes, a stdout that fails. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../support/child.h"
#include "base/nearest.h"

static bool contains(const vt_buffer *b, const char *text)
{
    return strstr(b->ptr, text) != NULL;
}

static void test_no_command_is_wrong_usage_and_shows_the_commands(void **state)
{
    (void)state;
    child_result r = child_run(NULL, (const char *const[]){VT_BINARY, NULL});
    assert_int_equal(r.code, 2);
    assert_int_equal(r.out.len, 0);
    assert_true(contains(&r.err, "commands:"));
    child_free(&r);
}

static void test_an_unknown_command_is_refused_and_the_near_one_is_named(void **state)
{
    (void)state;
    child_result r = child_vetro(NULL, "hepl");
    assert_int_equal(r.code, 2);
    assert_true(contains(&r.err, "unknown command 'hepl'; did you mean 'help'?"));
    child_free(&r);
}

static void test_version_prints_one_line(void **state)
{
    (void)state;
    child_result r = child_vetro(NULL, "--version");
    assert_int_equal(r.code, 0);
    assert_memory_equal(r.out.ptr, "vetro ", 6);
    assert_ptr_equal(strchr(r.out.ptr, '\n'), r.out.ptr + r.out.len - 1);
    child_free(&r);
}

/* The names in the list of `vetro help`: two spaces, the name, spaces. */
static size_t command_names(const char *text, char names[][32], size_t limit)
{
    size_t n = 0;
    const char *p = strstr(text, "commands:\n");
    assert_non_null(p);
    for (p = strchr(p, '\n') + 1; strncmp(p, "  ", 2) == 0 && n < limit; p = strchr(p, '\n') + 1) {
        size_t len = strcspn(p + 2, " ");
        assert_in_range(len, 1, 31);
        memcpy(names[n], p + 2, len);
        names[n++][len] = '\0';
    }
    return n;
}

static void test_every_command_has_help_with_examples_and_refuses_unknown_options(void **state)
{
    (void)state;
    char names[64][32];
    child_result list = child_vetro(NULL, "help");
    size_t n = command_names(list.out.ptr, names, 64);
    assert_true(n >= 1);
    for (size_t i = 0; i < n; i++) {
        child_result help = child_vetro(NULL, names[i], "--help");
        assert_int_equal(help.code, 0);
        const char *examples = strstr(help.out.ptr, "\nexamples:\n  vetro ");
        if (examples == NULL) print_error("%s --help has no example\n", names[i]);
        assert_non_null(examples);
        assert_int_equal(help.err.len, 0);
        child_result same = child_vetro(NULL, "help", names[i]);
        assert_string_equal(same.out.ptr, help.out.ptr);
        child_result manual = child_vetro(NULL, "help", "--man", names[i]);
        assert_memory_equal(manual.out.ptr, ".TH VETRO-", 10);
        child_result bad = child_vetro(NULL, names[i], "--no-such-option");
        assert_int_equal(bad.code, 2);
        assert_true(contains(&bad.err, "--no-such-option"));
        assert_int_equal(bad.out.len, 0);
        child_free(&help);
        child_free(&same);
        child_free(&manual);
        child_free(&bad);
    }
    child_free(&list);
}

static void test_a_near_option_is_named(void **state)
{
    (void)state;
    child_result r = child_vetro(NULL, "help", "--mna");
    assert_int_equal(r.code, 2);
    assert_true(contains(&r.err, "unknown option '--mna'; did you mean --man?"));
    child_free(&r);
}

static void test_a_closed_stdout_fails_instead_of_writing_into_a_file(void **state)
{
    (void)state;
    child_result r = child_vetro(&(child_options){.close_fd = 1}, "help");
    assert_int_equal(r.code, 1);
    assert_true(contains(&r.err, "cannot write to standard output"));
    child_free(&r);
}

static void test_edit_distance_counts_a_swap_as_one_edit(void **state)
{
    (void)state;
    assert_int_equal(vt_edit_distance(VT_S("hepl"), VT_S("help")), 1);
    assert_int_equal(vt_edit_distance(VT_S(""), VT_S("abc")), 3);
    assert_int_equal(vt_edit_distance(VT_S("kitten"), VT_S("SITTING")), 3);
    assert_true(vt_nearness(VT_S("x"), VT_S("y")) == SIZE_MAX);
    assert_true(vt_nearness(VT_S("llama"), VT_S("qwen2.5-coder-1.5b")) == SIZE_MAX);
    assert_int_equal(vt_nearness(VT_S("qwen2.5-coder"), VT_S("qwen2.5-coder-1.5b")), 1);
    assert_int_equal(vt_nearness(VT_S("temp"), VT_S("temperature")), 1);
    assert_int_equal(vt_nearness(VT_S("temp"), VT_S("help")), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_command_is_wrong_usage_and_shows_the_commands),
        cmocka_unit_test(test_an_unknown_command_is_refused_and_the_near_one_is_named),
        cmocka_unit_test(test_version_prints_one_line),
        cmocka_unit_test(test_every_command_has_help_with_examples_and_refuses_unknown_options),
        cmocka_unit_test(test_a_near_option_is_named),
        cmocka_unit_test(test_a_closed_stdout_fails_instead_of_writing_into_a_file),
        cmocka_unit_test(test_edit_distance_counts_a_swap_as_one_edit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
