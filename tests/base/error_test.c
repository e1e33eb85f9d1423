/* Errors: what a failure leaves in the record, with and without a record. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/utf8.h"

static void test_fail_returns_the_status_and_fills_the_record(void **state)
{
    (void)state;
    vt_err err = {0};
    assert_int_equal(vt_fail(&err, VT_EINPUT, "bad %s at %d", "thing", 7), VT_EINPUT);
    assert_int_equal(err.code, VT_EINPUT);
    assert_int_equal(err.sys_errno, 0);
    assert_string_equal(err.msg, "bad thing at 7");
    assert_int_equal(vt_fail(NULL, VT_EIO, "nobody listens"), VT_EIO);
}

static void test_fail_errno_keeps_the_number_and_says_the_systems_reason(void **state)
{
    (void)state;
    vt_err err = {0};
    errno = ENOENT;
    assert_int_equal(vt_fail_errno(&err, VT_EIO, "cannot open %s", "x"), VT_EIO);
    assert_int_equal(err.sys_errno, ENOENT);
    assert_string_equal(err.msg, "cannot open x: No such file or directory");
    assert_int_equal(vt_fail_errno(NULL, VT_EIO, "x"), VT_EIO);
}

static void test_wrap_puts_the_context_before_the_reason_and_keeps_errno(void **state)
{
    (void)state;
    vt_err err = {0};
    errno = EACCES;
    (void)vt_fail_errno(&err, VT_EIO, "cannot open x");
    assert_int_equal(vt_fail_wrap(&err, VT_ECORRUPT, "model %d", 3), VT_ECORRUPT);
    assert_int_equal(err.code, VT_ECORRUPT);
    assert_int_equal(err.sys_errno, EACCES);
    assert_string_equal(err.msg, "model 3: cannot open x: Permission denied");
    assert_int_equal(vt_fail_wrap(NULL, VT_EIO, "x"), VT_EIO);
}

static void test_a_message_longer_than_the_record_is_cut_and_terminated(void **state)
{
    (void)state;
    vt_err err;
    char big[1000];
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    errno = EIO;
    (void)vt_fail_errno(&err, VT_EIO, "%s", big);
    assert_int_equal(strlen(err.msg), sizeof err.msg - 1);
    (void)vt_fail_wrap(&err, VT_EIO, "%s", big);
    assert_int_equal(strlen(err.msg), sizeof err.msg - 1);
    (void)vt_fail(&err, VT_EIO, "short");
    (void)vt_fail_wrap(&err, VT_EIO, "%.380s", big);
    assert_int_equal(strlen(err.msg), sizeof err.msg - 1);
}

static void test_a_message_quotes_nothing_that_commands_a_terminal(void **state)
{
    (void)state;
    vt_err err = {0};
    char big[500];
    (void)vt_fail(&err, VT_EINPUT, "architecture \"%s\"", "\033]0;x\007\xc2\x9b");
    assert_string_equal(err.msg, "architecture \"?]0;x???\"");
    (void)vt_fail_wrap(&err, VT_EINPUT, "%s", "\033c");
    assert_string_equal(err.msg, "?c: architecture \"?]0;x???\"");
    /* where the record ends within a character, that one is left out */
    for (size_t i = 0; i + 3 < sizeof big; i += 3) memcpy(big + i, "\u20ac", 4);
    for (size_t pad = 0; pad < 3; pad++) {
        (void)vt_fail(&err, VT_EINPUT, "%.*s%s", (int)pad, "xy", big);
        assert_true(vt_utf8_is_valid(vt_slice_cstr(err.msg)));
        assert_null(strchr(err.msg, '?'));
        assert_true(strlen(err.msg) > sizeof err.msg - 4);
    }
}

static void test_every_status_has_a_text_and_an_http_status_of_its_kind(void **state)
{
    (void)state;
    static const vt_status all[] = {
#define X(name, value, http, text) VT_##name,
        VT_STATUS_MAP(X)
#undef X
    };
    for (size_t i = 0; i < VT_COUNT(all); i++) {
        assert_true(vt_status_text(all[i])[0] != '\0');
        assert_int_equal(vt_status_http(all[i]) < 400, all[i] == VT_OK);
        for (size_t k = 0; k < i; k++) assert_int_not_equal(all[i], all[k]);
    }
    assert_string_equal(vt_status_text((vt_status)-999), "unknown status");
    assert_int_equal(vt_status_http((vt_status)-999), 500);
}

static void test_a_broken_invariant_aborts_and_says_where(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        VT_CHECK(child != 0);
        _exit(0);
    }
    close(ends[1]);
    char text[256] = "";
    ssize_t n = read(ends[0], text, sizeof text - 1);
    close(ends[0]);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_true(n > 0);
    assert_non_null(strstr(text, "error_test.c"));
    assert_non_null(strstr(text, "child != 0"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fail_returns_the_status_and_fills_the_record),
        cmocka_unit_test(test_fail_errno_keeps_the_number_and_says_the_systems_reason),
        cmocka_unit_test(test_wrap_puts_the_context_before_the_reason_and_keeps_errno),
        cmocka_unit_test(test_a_message_longer_than_the_record_is_cut_and_terminated),
        cmocka_unit_test(test_a_message_quotes_nothing_that_commands_a_terminal),
        cmocka_unit_test(test_every_status_has_a_text_and_an_http_status_of_its_kind),
        cmocka_unit_test(test_a_broken_invariant_aborts_and_says_where),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
