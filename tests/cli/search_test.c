/* search_test.c -- `vetro index` and `vetro search` as a script sees them: output, JSON, exit
 * codes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../docs/fixture.h"

#include <sys/wait.h>

#include "base/json.h"

typedef struct {
    int code;
    vt_buffer out;
} result;

/* Runs the program in the folder; error output is dropped. */
static result vetro(const folder *f, const char *const *args)
{
    const char *argv[16] = {VT_BINARY};
    int pipe_fds[2];
    result r = {.code = -1};
    vt_buffer_init(&r.out, 1 << 20);
    vt_buffer_append(&r.out, VT_S("")); /* never NULL */
    for (size_t i = 0; i < 14 && args[i]; i++) argv[i + 1] = args[i];
    assert_int_equal(pipe(pipe_fds), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        int null = open("/dev/null", O_RDWR);
        if (chdir(f->path) != 0 || dup2(pipe_fds[1], 1) < 0 || dup2(null, 2) < 0) _exit(99);
        close(pipe_fds[0]);
        execv(VT_BINARY, (char *const *)(uintptr_t)argv);
        _exit(98);
    }
    close(pipe_fds[1]);
    char piece[4096];
    for (ssize_t n; (n = read(pipe_fds[0], piece, sizeof piece)) > 0;)
        vt_buffer_append(&r.out, vt_slice_of(piece, (size_t)n));
    close(pipe_fds[0]);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status)) r.code = WEXITSTATUS(status);
    return r;
}

#define VETRO(f, ...) vetro((f), (const char *const[]){__VA_ARGS__, NULL})

static json_t *json_of(const result *r)
{
    json_t *value = NULL;
    vt_err err = {0};
    if (vt_json_parse(vt_buffer_slice(&r->out), &value, &err) != VT_OK) fail_msg("%s", err.msg);
    return value;
}

static folder plant(void)
{
    folder f = folder_new();
    folder_text(&f, "notes/pump.md", "# Pumps\n\nThe pump P-113 is inspected every 14 days.\n");
    folder_text(&f, "broken.pdf", "no pdf");
    return f;
}

static void test_search_finds_lines_and_prints_them_as_the_contract_says(void **state)
{
    (void)state;
    folder f = plant();
    result r = VETRO(&f, "search", "--json", "how", "often", "is", "P-113", "inspected");
    assert_int_equal(r.code, 0);
    json_t *o = json_of(&r);
    json_t *first = json_array_get(json_object_get(o, "results"), 0);
    assert_string_equal(json_string_value(json_object_get(first, "file")), "notes/pump.md");
    assert_int_equal(json_integer_value(json_object_get(first, "start_line")), 3);
    assert_int_equal(json_integer_value(json_object_get(first, "end_line")), 3);
    assert_true(json_real_value(json_object_get(first, "score")) > 0);
    assert_string_equal(json_string_value(json_object_get(first, "text")),
                        "The pump P-113 is inspected every 14 days.");
    json_decref(o);
    vt_buffer_deinit(&r.out);

    r = VETRO(&f, "search", "--show", "notes/pump.md:3");
    assert_int_equal(r.code, 0);
    assert_string_equal(r.out.ptr, "     3  The pump P-113 is inspected every 14 days.\n");
    vt_buffer_deinit(&r.out);
    folder_free(&f);
}

static void test_index_reports_documents_and_the_files_that_failed(void **state)
{
    (void)state;
    folder f = plant();
    result r = VETRO(&f, "index", "--json", ".");
    assert_int_equal(r.code, 0);
    json_t *o = json_of(&r);
    assert_int_equal(json_integer_value(json_object_get(o, "documents")), 1);
    json_t *error = json_array_get(json_object_get(o, "errors"), 0);
    assert_string_equal(json_string_value(json_object_get(error, "file")), "broken.pdf");
    json_decref(o);
    vt_buffer_deinit(&r.out);
    folder_free(&f);
}

static void test_wrong_usage_and_missing_things_have_their_exit_codes(void **state)
{
    (void)state;
    folder f = plant();
    static const struct {
        const char *args[6];
        int code;
    } cases[] = {
        {{"search"}, 2},
        {{"index"}, 2},
        {{"search", "--show", "notes/pump.md"}, 2},
        {{"search", "--show", "notes/pump.md:99"}, 1},
        {{"search", "--show", "nowhere.md:1"}, 1},
        {{"index", "no-such-folder"}, 1},
        {{"search", "-d", "notes/pump.md", "x"}, 1},
        {{"search", "zebra"}, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        result r = vetro(&f, cases[i].args);
        if (r.code != cases[i].code) fail_msg("case %zu: exit code %d", i, r.code);
        vt_buffer_deinit(&r.out);
    }
    folder_free(&f);
}

static void test_control_characters_of_a_document_do_not_reach_the_terminal(void **state)
{
    (void)state;
    folder f = folder_new();
    folder_text(&f, "a.txt", "needle \x1b[31mred\x1b]0;title\x07\n");
    result r = VETRO(&f, "search", "needle");
    assert_int_equal(r.code, 0);
    assert_non_null(strstr(r.out.ptr, "needle"));
    assert_null(strchr(r.out.ptr, '\x1b'));
    assert_null(strchr(r.out.ptr, '\x07'));
    vt_buffer_deinit(&r.out);
    folder_free(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_search_finds_lines_and_prints_them_as_the_contract_says),
        cmocka_unit_test(test_index_reports_documents_and_the_files_that_failed),
        cmocka_unit_test(test_wrong_usage_and_missing_things_have_their_exit_codes),
        cmocka_unit_test(test_control_characters_of_a_document_do_not_reach_the_terminal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
