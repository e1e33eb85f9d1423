/* index_slow_test.c -- indexes under hostile folders, crashes and damage; PDF in the sandbox. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fixture.h"

#include <signal.h>
#include <sys/wait.h>

#include "base/file.h"
#include "docs/library.h"

static vt_library *open_with(const folder *f, const char *data_dir, const vt_sandbox *sb)
{
    vt_library *lib = NULL;
    vt_err err = {0};
    const char *paths[] = {f->path};
    vt_library_options options = {.data_dir = data_dir, .sandbox = sb};
    if (vt_library_open(paths, 1, &options, &lib, &err) != VT_OK) fail_msg("%s", err.msg);
    return lib;
}

static vt_report refresh(vt_library *lib)
{
    vt_report report = {0};
    vt_err err = {0};
    if (vt_library_refresh(lib, NULL, &report, &err) != VT_OK) fail_msg("%s", err.msg);
    return report;
}

static size_t hits(vt_library *lib, const char *query)
{
    vt_passages found = {0};
    vt_err err = {0};
    if (vt_library_search(lib, vt_slice_cstr(query), 8, &found, &err) != VT_OK)
        fail_msg("%s", err.msg);
    size_t n = found.n;
    vt_passages_deinit(&found);
    return n;
}

static const vt_note *note_of(const vt_report *r, const char *name)
{
    for (size_t i = 0; i < r->n_notes; i++)
        if (vt_slice_ends(vt_slice_cstr(r->notes[i].file), vt_slice_cstr(name)))
            return &r->notes[i];
    fail_msg("no note about %s", name);
    return NULL;
}

static void copy_fixture(const folder *f, const char *from, const char *name)
{
    char path[512];
    vt_buffer b;
    vt_buffer_init(&b, 0);
    snprintf(path, sizeof path, "%s/docs/%s", VT_TEST_DATA, from);
    assert_int_equal(vt_file_read(path, 1 << 20, &b, NULL), VT_OK);
    folder_write(f, name, vt_buffer_slice(&b));
    vt_buffer_deinit(&b);
}

static void test_a_hostile_folder_costs_notes_and_nothing_else(void **state)
{
    (void)state;
    char path[128];
    folder f = folder_new();
    vt_sandbox *sb = NULL;
    assert_int_equal(vt_sandbox_open(NULL, &sb, NULL), VT_OK);
    folder_text(&f, "good.txt", "the needle is here\n");
    folder_write(&f, "binary.txt", VT_S("a\0b\0\1\2\3"));
    folder_write(&f, "archive.pdf", VT_S("PK\3\4 not a pdf"));
    copy_fixture(&f, "truncated.pdf", "truncated.pdf");
    folder_text(&f, ".hidden/secret.txt", "hidden\n");
    folder_text(&f, "node_modules/x/readme.md", "generated\n");
    folder_text(&f, "bad\xFF\xFEname.txt", "strangely named\n");
    folder_text(&f, "new\nline.txt", "a line end in the name\n");
    snprintf(path, sizeof path, "%s/pipe.txt", f.path);
    assert_int_equal(mkfifo(path, 0600), 0);
    snprintf(path, sizeof path, "%s/loop", f.path);
    assert_int_equal(symlink(".", path), 0);
    snprintf(path, sizeof path, "%s/passwd.txt", f.path);
    assert_int_equal(symlink("/etc/passwd", path), 0);
    snprintf(path, sizeof path, "%s/huge.txt", f.path);
    folder_text(&f, "huge.txt", "");
    assert_int_equal(truncate(path, (off_t)1 << 30), 0);
    folder_text(&f, "locked.txt", "no\n");
    snprintf(path, sizeof path, "%s/locked.txt", f.path);
    assert_int_equal(chmod(path, 0), 0);

    vt_library *lib = open_with(&f, NULL, sb);
    vt_report r = refresh(lib);
    bool is_root = geteuid() == 0; /* root reads what is locked */
    assert_int_equal(r.n_documents, is_root ? 4 : 3);
    assert_false(note_of(&r, "/binary.txt")->is_error);
    assert_true(note_of(&r, "/archive.pdf")->is_error);
    assert_true(note_of(&r, "/truncated.pdf")->is_error);
    assert_string_equal(note_of(&r, "/pipe.txt")->reason, "not a regular file");
    assert_string_equal(note_of(&r, "/loop")->reason, "symbolic link");
    assert_string_equal(note_of(&r, "/passwd.txt")->reason, "symbolic link");
    assert_string_equal(note_of(&r, "/.hidden")->reason, "hidden");
    assert_true(note_of(&r, "/huge.txt")->is_error);
    assert_non_null(strstr(note_of(&r, "/huge.txt")->reason, "209715200"));
    if (!is_root) assert_true(note_of(&r, "/locked.txt")->is_error);
    vt_report_deinit(&r);
    assert_int_equal(hits(lib, "needle"), 1);
    assert_int_equal(hits(lib, "strangely"), 1);
    assert_int_equal(hits(lib, "hidden generated bash"), 0);

    /* What failed is remembered and still reported, without another try. */
    r = refresh(lib);
    assert_true(note_of(&r, "/truncated.pdf")->is_error);
    vt_report_deinit(&r);
    vt_library_close(lib);
    vt_sandbox_close(sb);
    folder_free(&f);
}

static void test_a_pdf_is_read_in_the_sandbox_with_its_pages(void **state)
{
    (void)state;
    static const vt_sandbox_kind kinds[] = {VT_SANDBOX_BWRAP, VT_SANDBOX_LANDLOCK};
    for (size_t k = 0; k < VT_COUNT(kinds); k++) {
        vt_sandbox *sb = NULL;
        vt_sandbox_options options = {.only = kinds[k]};
        assert_int_equal(vt_sandbox_open(&options, &sb, NULL), VT_OK);
        if (vt_sandbox_get_kind(sb) != kinds[k] || access("/usr/bin/pdftotext", X_OK) != 0) {
            print_message("skipped: %s\n", vt_sandbox_describe(sb));
            vt_sandbox_close(sb);
            continue;
        }
        folder f = folder_new();
        copy_fixture(&f, "report.pdf", "report.pdf");
        vt_library *lib = open_with(&f, NULL, sb);
        vt_report r = refresh(lib);
        assert_int_equal(r.n_errors, 0);
        vt_report_deinit(&r);
        vt_passages found = {0};
        assert_int_equal(vt_library_search(lib, VT_S("repair cost of Press Udo"), 3, &found, NULL),
                         VT_OK);
        assert_true(found.n > 0);
        assert_string_equal(found.items[0].text, "Press Udo | 4 | 420");
        assert_string_equal(found.items[0].header, "Machine | Standstill hours | Repair cost EUR");
        assert_int_equal(found.items[0].page, 2);
        vt_passages_deinit(&found);
        vt_library_close(lib);
        vt_sandbox_close(sb);
        folder_free(&f);
    }
}

static void test_without_a_sandbox_a_pdf_is_refused_and_tried_again_later(void **state)
{
    (void)state;
    folder f = folder_new();
    copy_fixture(&f, "report.pdf", "report.pdf");
    vt_library *lib = open_with(&f, NULL, NULL);
    vt_report r = refresh(lib);
    assert_int_equal(r.n_errors, 1);
    assert_int_equal(r.n_documents, 0);
    vt_report_deinit(&r);
    vt_library_close(lib);
    vt_sandbox *sb = NULL;
    assert_int_equal(vt_sandbox_open(NULL, &sb, NULL), VT_OK);
    lib = open_with(&f, NULL, sb);
    r = refresh(lib);
    if (vt_sandbox_get_kind(sb) != VT_SANDBOX_NONE) assert_int_equal(r.n_documents, 1);
    vt_report_deinit(&r);
    vt_library_close(lib);
    vt_sandbox_close(sb);
    folder_free(&f);
}

static void write_many(const folder *f, int n)
{
    for (int i = 0; i < n; i++) {
        char name[64];
        char text[256];
        snprintf(name, sizeof name, "d%d/file%d.txt", i % 7, i);
        snprintf(text, sizeof text, "file number%d of many\n\nneedle%d\n\n%d words more\n", i, i,
                 i);
        folder_text(f, name, text);
    }
}

static void test_killed_in_the_middle_the_index_goes_on_where_it_was(void **state)
{
    (void)state;
    enum { FILES = 600, ROUNDS = 8 };
    folder f = folder_new();
    write_many(&f, FILES);
    for (int round = 0; round < ROUNDS; round++) {
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            vt_library *lib = open_with(&f, NULL, NULL);
            vt_status st = vt_library_refresh(lib, NULL, NULL, NULL);
            _exit(st == VT_OK ? 0 : 1);
        }
        usleep((useconds_t)(3000 + 9000 * round));
        kill(pid, SIGKILL);
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        /* Whatever was there at that moment can be searched. */
        vt_library *lib = open_with(&f, NULL, NULL);
        hits(lib, "needle3");
        vt_library_close(lib);
    }
    vt_library *lib = open_with(&f, NULL, NULL);
    vt_report r = refresh(lib);
    assert_int_equal(r.n_documents, FILES);
    assert_false(r.was_rebuilt);
    vt_report_deinit(&r);
    for (int i = 0; i < FILES; i += 37) {
        char query[32];
        snprintf(query, sizeof query, "needle%d", i);
        assert_int_equal(hits(lib, query), 1);
    }
    vt_library_close(lib);
    folder_free(&f);
}

static void damage(const folder *f, off_t at, size_t n)
{
    char path[128];
    snprintf(path, sizeof path, "%s/.vetro/index.db", f->path);
    int fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    struct stat info;
    assert_int_equal(fstat(fd, &info), 0);
    for (size_t i = 0; i < n && at + (off_t)i < info.st_size; i++)
        assert_int_equal(pwrite(fd, "\xA5", 1, at + (off_t)i), 1);
    close(fd);
}

static void test_a_damaged_index_is_rebuilt_with_a_notice(void **state)
{
    (void)state;
    folder f = folder_new();
    write_many(&f, 50);
    static const off_t places[] = {0, 20, 100, 4096, 4200, 8192, 12288, 20480};
    for (size_t i = 0; i < VT_COUNT(places); i++) {
        vt_library *lib = open_with(&f, NULL, NULL);
        vt_report r = refresh(lib);
        assert_int_equal(r.n_documents, 50);
        vt_report_deinit(&r);
        vt_library_close(lib);
        damage(&f, places[i], 4000);
        lib = open_with(&f, NULL, NULL);
        r = refresh(lib);
        /* Damage that is met is repaired; damage in pages that nothing reads yet may lie there. */
        if (places[i] <= 4096) assert_true(r.was_rebuilt);
        vt_report_deinit(&r);
        hits(lib, "needle7");
        vt_library_close(lib);
    }
    char path[128];
    snprintf(path, sizeof path, "%s/.vetro/index.db", f.path);
    assert_int_equal(unlink(path), 0);
    vt_library *lib = open_with(&f, NULL, NULL);
    vt_report r = refresh(lib);
    assert_int_equal(r.n_documents, 50);
    vt_report_deinit(&r);
    assert_int_equal(hits(lib, "needle7"), 1);
    vt_library_close(lib);
    folder_free(&f);
}

static void test_two_processes_refresh_one_folder_at_once(void **state)
{
    (void)state;
    enum { PROCESSES = 4, FILES = 300 };
    folder f = folder_new();
    write_many(&f, FILES);
    pid_t pids[PROCESSES];
    for (int i = 0; i < PROCESSES; i++) {
        pids[i] = fork();
        assert_true(pids[i] >= 0);
        if (pids[i] == 0) {
            vt_library *lib = open_with(&f, NULL, NULL);
            vt_err err = {0};
            vt_status st = vt_library_refresh(lib, NULL, NULL, &err);
            if (st != VT_OK) fprintf(stderr, "%s\n", err.msg);
            vt_library_close(lib);
            _exit(st == VT_OK ? 0 : 1);
        }
    }
    for (int i = 0; i < PROCESSES; i++) {
        int status = -1;
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_int_equal(status, 0);
    }
    vt_library *lib = open_with(&f, NULL, NULL);
    vt_report r = refresh(lib);
    assert_int_equal(r.n_documents, FILES);
    assert_int_equal(r.n_added, 0);
    vt_report_deinit(&r);
    assert_int_equal(hits(lib, "needle7"), 1);
    vt_library_close(lib);
    folder_free(&f);
}

/* A new database is changed to WAL by whoever comes first; nobody may be turned away for it. */
static void test_many_processes_open_a_new_index_at_the_same_moment(void **state)
{
    (void)state;
    enum { PROCESSES = 8, ROUNDS = 25 };
    for (int round = 0; round < ROUNDS; round++) {
        folder f = folder_new();
        folder_text(&f, "a.txt", "the needle is here\n");
        int start[2];
        assert_int_equal(pipe(start), 0);
        pid_t pids[PROCESSES];
        for (int i = 0; i < PROCESSES; i++) {
            pids[i] = fork();
            assert_true(pids[i] >= 0);
            if (pids[i] == 0) {
                char byte;
                close(start[1]);
                if (read(start[0], &byte, 1) != 0) _exit(2); /* until the parent closes its end */
                vt_library_close(open_with(&f, NULL, NULL));
                _exit(0);
            }
        }
        close(start[0]);
        close(start[1]);
        for (int i = 0; i < PROCESSES; i++) {
            int status = -1;
            assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
            assert_int_equal(status, 0);
        }
        folder_free(&f);
    }
}

static void test_a_link_in_place_of_the_index_is_not_followed(void **state)
{
    (void)state;
    folder f = folder_new();
    folder outside = folder_new();
    char path[128];
    folder_text(&f, "a.txt", "alpha\n");
    snprintf(path, sizeof path, "%s/.vetro", f.path);
    assert_int_equal(symlink(outside.path, path), 0);
    vt_library *lib = NULL;
    const char *paths[] = {f.path};
    assert_int_not_equal(vt_library_open(paths, 1, &(vt_library_options){0}, &lib, NULL), VT_OK);
    /* With a data directory the index goes there. */
    folder data = folder_new();
    lib = open_with(&f, data.path, NULL);
    vt_report r = refresh(lib);
    assert_int_equal(r.n_documents, 1);
    vt_report_deinit(&r);
    vt_library_close(lib);
    snprintf(path, sizeof path, "%s/index.db", outside.path);
    assert_int_not_equal(access(path, F_OK), 0);
    folder_free(&f);
    folder_free(&outside);
    folder_free(&data);
}

static void test_a_cancelled_refresh_keeps_what_it_did(void **state)
{
    (void)state;
    folder f = folder_new();
    write_many(&f, 20);
    vt_library *lib = open_with(&f, NULL, NULL);
    const atomic_bool flag = true;
    vt_progress progress = {.is_cancelled = &flag};
    vt_report r = {0};
    assert_int_equal(vt_library_refresh(lib, &progress, &r, NULL), VT_ECANCEL);
    vt_report_deinit(&r);
    r = refresh(lib);
    assert_int_equal(r.n_documents, 20);
    vt_report_deinit(&r);
    vt_library_close(lib);
    folder_free(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_hostile_folder_costs_notes_and_nothing_else),
        cmocka_unit_test(test_a_pdf_is_read_in_the_sandbox_with_its_pages),
        cmocka_unit_test(test_without_a_sandbox_a_pdf_is_refused_and_tried_again_later),
        cmocka_unit_test(test_killed_in_the_middle_the_index_goes_on_where_it_was),
        cmocka_unit_test(test_a_damaged_index_is_rebuilt_with_a_notice),
        cmocka_unit_test(test_two_processes_refresh_one_folder_at_once),
        cmocka_unit_test(test_many_processes_open_a_new_index_at_the_same_moment),
        cmocka_unit_test(test_a_link_in_place_of_the_index_is_not_followed),
        cmocka_unit_test(test_a_cancelled_refresh_keeps_what_it_did),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
