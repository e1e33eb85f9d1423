/* store_test.c -- models coming, being found, damaged, and going; on tiny files and a server in the
 * test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/stat.h>

#include "../support/http_server.h"
#include "base/alloc.h"
#include "base/file.h"
#include "model/store.h"

#define TINY  VT_TEST_DATA "/tiny/format-F16.gguf"
#define OTHER VT_TEST_DATA "/tiny/format-Q4_0.gguf"

typedef struct {
    char dir[64];
    char models[96];
    char file[96]; /* a copy of TINY beside the store */
    vt_store *store;
} fixture;

static void copy_file(const char *from, const char *to)
{
    vt_buffer b;
    vt_buffer_init(&b, 1 << 24);
    assert_int_equal(vt_file_read(from, 1 << 24, &b, NULL), VT_OK);
    FILE *f = fopen(to, "wb");
    assert_int_equal(fwrite(b.ptr, 1, b.len, f), b.len);
    fclose(f);
    vt_buffer_deinit(&b);
}

static int setup(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    snprintf(f->dir, sizeof f->dir, "/tmp/vetro-store-XXXXXX");
    if (mkdtemp(f->dir) == NULL) return -1;
    snprintf(f->models, sizeof f->models, "%s/models", f->dir);
    snprintf(f->file, sizeof f->file, "%s/My Model-F16.gguf", f->dir);
    copy_file(TINY, f->file);
    *state = f;
    return vt_store_open(f->models, &f->store, NULL) == VT_OK ? 0 : -1;
}

static int teardown(void **state)
{
    fixture *f = *state;
    char command[128];
    vt_store_close(f->store);
    pid_t pid = fork();
    snprintf(command, sizeof command, "%s", f->dir);
    if (pid == 0) {
        execl("/bin/rm", "rm", "-rf", command, (char *)NULL);
        _exit(1);
    }
    waitpid(pid, NULL, 0);
    free(f);
    return 0;
}

static vt_status add(fixture *f, const char *what, const char *name, const char *sha256,
                     vt_store_added *out, vt_err *err)
{
    vt_store_add_options o = {.what = what, .name = name, .sha256 = sha256, .pause_ms = 1};
    return vt_store_add(f->store, &o, out, err);
}

static void must_add(fixture *f, const char *what, const char *name)
{
    vt_store_added added = {0};
    vt_err err = {0};
    if (add(f, what, name, NULL, &added, &err) != VT_OK) fail_msg("%s", err.msg);
    vt_store_entry_deinit(&added.entry);
}

static size_t count(fixture *f)
{
    vt_store_entry *list = NULL;
    size_t n = 0;
    assert_int_equal(vt_store_list(f->store, &list, &n, NULL), VT_OK);
    for (size_t i = 0; i < n; i++) vt_store_entry_deinit(&list[i]);
    vt_free(list);
    return n;
}

static void test_a_local_file_is_linked_named_and_found(void **state)
{
    fixture *f = *state;
    vt_store_added added = {0};
    vt_store_entry e = {0};
    assert_int_equal(count(f), 0);
    assert_int_equal(add(f, f->file, NULL, NULL, &added, NULL), VT_OK);
    assert_string_equal(added.entry.name, "my-model-f16");
    assert_true(added.was_linked);
    assert_string_equal(added.entry.source, f->file);
    assert_int_equal(unlink(f->file), 0); /* the model stays when the original goes */
    assert_int_equal(vt_store_find(f->store, VT_S("my-model-f16"), &e, NULL), VT_OK);
    assert_string_equal(e.digest, added.entry.digest);
    assert_false(e.is_stale);
    assert_int_equal(access(e.path, R_OK), 0);
    assert_int_equal(count(f), 1);
    vt_store_entry_deinit(&e);
    vt_store_entry_deinit(&added.entry);
}

static void test_the_digest_is_the_sha256_of_the_file(void **state)
{
    fixture *f = *state;
    vt_buffer b;
    uint8_t digest[VT_SHA256_BYTES];
    char hex[VT_SHA256_HEX + 1];
    vt_store_added added = {0};
    vt_buffer_init(&b, 1 << 24);
    assert_int_equal(vt_file_read(f->file, 1 << 24, &b, NULL), VT_OK);
    assert_int_equal(vt_sha256_bytes(vt_buffer_slice(&b), digest, NULL), VT_OK);
    vt_sha256_hex(digest, hex);
    assert_int_equal(add(f, f->file, "x", hex, &added, NULL), VT_OK);
    assert_string_equal(added.entry.digest, hex);
    assert_int_equal(added.entry.n_bytes, b.len);
    vt_buffer_deinit(&b);
    vt_store_entry_deinit(&added.entry);
}

static void test_the_same_model_twice_is_done_once_and_another_is_not_overwritten(void **state)
{
    fixture *f = *state;
    vt_store_added added = {0};
    vt_err err = {0};
    must_add(f, f->file, "x");
    assert_int_equal(add(f, f->file, "x", NULL, &added, NULL), VT_OK);
    assert_true(added.was_there);
    vt_store_entry_deinit(&added.entry);
    assert_int_equal(add(f, OTHER, "x", NULL, &added, &err), VT_EEXIST);
    assert_non_null(strstr(err.msg, "--name"));
    vt_store_entry e = {0};
    assert_int_equal(vt_store_find(f->store, VT_S("x"), &e, NULL), VT_OK);
    assert_int_equal(vt_store_digest(f->store, &e, NULL, NULL), VT_OK);
    vt_store_entry_deinit(&e);
}

static void test_what_is_no_model_leaves_nothing_behind(void **state)
{
    fixture *f = *state;
    vt_store_added added = {0};
    vt_err err = {0};
    const char zeros[] = "0000000000000000000000000000000000000000000000000000000000000000";
    assert_int_equal(add(f, f->file, "x", zeros, &added, &err), VT_EVERIFY);
    assert_non_null(strstr(err.msg, zeros));
    assert_int_equal(truncate(f->file, 1000), 0);
    assert_int_equal(add(f, f->file, "x", NULL, &added, &err), VT_EINPUT);
    assert_ptr_equal(strstr(err.msg, f->file), err.msg); /* as the user has named it */
    assert_null(strstr(err.msg, f->models));
    assert_int_equal(add(f, "/etc/passwd", "x", NULL, &added, NULL), VT_EINPUT);
    assert_int_equal(add(f, "/dev/null", "x", NULL, &added, NULL), VT_EINPUT);
    assert_int_equal(add(f, f->dir, "x", NULL, &added, NULL), VT_EUNSUPPORTED);
    assert_int_equal(add(f, "/no/such.gguf", "x", NULL, &added, NULL), VT_ENOTFOUND);
    char path[160];
    snprintf(path, sizeof path, "%s/x", f->models);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(access(f->file, F_OK), 0); /* the user's file is never touched */
}

static void test_names_that_would_leave_the_store_are_refused(void **state)
{
    fixture *f = *state;
    vt_store_added added = {0};
    uint64_t freed = 0;
    const char *const bad[] = {"../x", "a/b", "", ".hidden", "UPPER", "-x", "a b"};
    for (size_t i = 0; i < VT_COUNT(bad); i++) {
        assert_int_equal(add(f, f->file, bad[i], NULL, &added, NULL), VT_EINPUT);
        assert_int_equal(vt_store_remove(f->store, vt_slice_cstr(bad[i]), &freed, NULL),
                         VT_ENOTFOUND);
    }
}

static void test_a_path_of_a_stored_file_is_that_model(void **state)
{
    fixture *f = *state;
    vt_store_entry e = {0};
    must_add(f, f->file, "x");
    assert_int_equal(vt_store_resolve(f->store, f->file, &e, NULL), VT_OK);
    assert_string_equal(e.name, "x");
    vt_store_entry_deinit(&e);
    assert_int_equal(vt_store_resolve(f->store, OTHER, &e, NULL), VT_OK);
    assert_null(e.name);
    assert_string_equal(e.path, OTHER);
    assert_int_equal(vt_store_digest(f->store, &e, NULL, NULL), VT_OK);
    assert_int_equal(strlen(e.digest), VT_SHA256_HEX);
    vt_store_entry_deinit(&e);
}

static void test_a_miss_names_the_near_model_or_the_command_that_gets_it(void **state)
{
    fixture *f = *state;
    vt_store_entry e = {0};
    vt_err err = {0};
    must_add(f, f->file, "harbour-7b");
    assert_int_equal(vt_store_resolve(f->store, "harbor-7b", &e, &err), VT_ENOTFOUND);
    assert_non_null(strstr(err.msg, "did you mean 'harbour-7b'"));
    assert_int_equal(vt_store_resolve(f->store, "smollm2-135m", &e, &err), VT_ENOTFOUND);
    assert_non_null(strstr(err.msg, "vetro pull smollm2-135m"));
    assert_int_equal(vt_store_resolve(f->store, "", &e, &err), VT_ENOTFOUND);
}

static void test_a_touched_file_is_hashed_again_and_a_changed_one_is_found_out(void **state)
{
    fixture *f = *state;
    vt_store_entry e = {0};
    vt_err err = {0};
    must_add(f, f->file, "x");
    const struct timespec old[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};
    assert_int_equal(utimensat(AT_FDCWD, f->file, old, 0), 0); /* the same inode as in the store */
    assert_int_equal(vt_store_find(f->store, VT_S("x"), &e, NULL), VT_OK);
    assert_true(e.is_stale);
    assert_int_equal(vt_store_digest(f->store, &e, NULL, NULL), VT_OK);
    assert_false(e.is_stale);
    vt_store_entry_deinit(&e);
    assert_int_equal(vt_store_find(f->store, VT_S("x"), &e, NULL), VT_OK);
    assert_false(e.is_stale); /* remembered */
    vt_store_entry_deinit(&e);
    int fd = open(f->file, O_WRONLY);
    assert_int_equal(pwrite(fd, "x", 1, 100000), 1);
    close(fd);
    assert_int_equal(vt_store_find(f->store, VT_S("x"), &e, NULL), VT_OK);
    assert_int_equal(vt_store_digest(f->store, &e, NULL, &err), VT_EVERIFY);
    assert_non_null(strstr(err.msg, "was changed"));
    vt_store_entry_deinit(&e);
}

static void test_a_damaged_manifest_or_file_is_said_and_can_be_removed(void **state)
{
    fixture *f = *state;
    char path[192];
    vt_store_entry e = {0};
    vt_store_entry *list = NULL;
    size_t n = 0;
    uint64_t freed = 0;
    vt_buffer b;
    must_add(f, f->file, "x");
    snprintf(path, sizeof path, "%s/x/manifest.json", f->models);
    vt_buffer_init(&b, 1 << 20);
    assert_int_equal(vt_file_read(path, 1 << 20, &b, NULL), VT_OK);
    /* Each bit of it counts: flip one in every byte, the last (a newline) aside. */
    for (size_t i = 0; i + 1 < b.len; i++) {
        b.ptr[i] ^= 1;
        FILE *out = fopen(path, "wb");
        fwrite(b.ptr, 1, b.len, out);
        fclose(out);
        b.ptr[i] ^= 1;
        if (vt_store_find(f->store, VT_S("x"), &e, NULL) == VT_OK)
            fail_msg("byte %zu of the manifest does not count", i);
    }
    vt_buffer_deinit(&b);
    assert_int_equal(vt_store_list(f->store, &list, &n, NULL), VT_OK);
    assert_int_equal(n, 1);
    assert_non_null(list[0].problem);
    vt_store_entry_deinit(&list[0]);
    vt_free(list);
    assert_int_equal(vt_store_remove(f->store, VT_S("x"), &freed, NULL), VT_OK);
    assert_int_equal(count(f), 0);
}

static void test_removing_tells_what_was_freed(void **state)
{
    fixture *f = *state;
    uint64_t freed = 1;
    must_add(f, f->file, "x");
    assert_int_equal(vt_store_remove(f->store, VT_S("x"), &freed, NULL), VT_OK);
    assert_true(freed <= 8192); /* the manifest: the weights have another name */
    must_add(f, f->file, "y");
    assert_int_equal(unlink(f->file), 0);
    assert_int_equal(vt_store_remove(f->store, VT_S("y"), &freed, NULL), VT_OK);
    assert_true(freed >= 200000);
    assert_int_equal(vt_store_remove(f->store, VT_S("y"), &freed, NULL), VT_ENOTFOUND);
}

static void test_a_download_is_checked_and_registered_and_goes_on_after_a_break(void **state)
{
    fixture *f = *state;
    vt_buffer body;
    vt_store_added added = {0};
    char url[128];
    vt_buffer_init(&body, 1 << 24);
    assert_int_equal(vt_file_read(TINY, 1 << 24, &body, NULL), VT_OK);
    http_server server = http_start(vt_buffer_slice(&body));
    snprintf(url, sizeof url, "http://127.0.0.1:%d/file/Some-Model.gguf?download=true",
             server.port);
    server.plan->cut_after = 50000;
    server.plan->n_cuts = 2;
    assert_int_equal(add(f, url, NULL, NULL, &added, NULL), VT_OK);
    assert_string_equal(added.entry.name, "some-model");
    assert_string_equal(added.entry.source, url);
    assert_int_equal(server.plan->n_sent, body.len);
    vt_store_entry_deinit(&added.entry);
    assert_int_equal(add(f, url, NULL, NULL, &added, NULL), VT_OK);
    assert_true(added.was_there);
    assert_int_equal(server.plan->n_sent, body.len); /* not fetched again */
    vt_store_entry_deinit(&added.entry);
    http_stop(&server);
    vt_buffer_deinit(&body);
}

static void test_an_error_page_never_becomes_a_model(void **state)
{
    fixture *f = *state;
    vt_store_added added = {0};
    vt_err err = {0};
    char url[128];
    http_server server = http_start(VT_S("<html>please log in</html>"));
    snprintf(url, sizeof url, "http://127.0.0.1:%d/file/page.gguf", server.port);
    assert_int_equal(add(f, url, NULL, NULL, &added, &err), VT_EINPUT);
    snprintf(url, sizeof url, "http://127.0.0.1:%d/gone/x.gguf", server.port);
    assert_int_equal(add(f, url, NULL, NULL, &added, &err), VT_ENOTFOUND);
    snprintf(url, sizeof url, "http://127.0.0.1:%d/", server.port);
    assert_int_equal(add(f, url, "x", NULL, &added, &err), VT_EINPUT);
    assert_int_equal(count(f), 0);
    http_stop(&server);
}

static void test_every_failed_allocation_is_an_error_that_leaves_no_model(void **state)
{
    fixture *f = *state;
    vt_store_added added = {0};
    vt_err err = {0};
    uint64_t nth = 1;
    for (; nth < 10000; nth++) {
        vt_alloc_fail_nth(nth);
        vt_status st = add(f, f->file, "x", NULL, &added, &err);
        vt_alloc_fail_nth(0);
        if (st == VT_OK) break;
        assert_int_equal(count(f), 0);
    }
    assert_in_range(nth, 10, 9999);
    vt_store_entry_deinit(&added.entry);
    for (nth = 1; nth < 10000; nth++) {
        vt_store_entry e = {0};
        vt_alloc_fail_nth(nth);
        vt_status st = vt_store_resolve(f->store, "x", &e, &err);
        vt_alloc_fail_nth(0);
        if (st == VT_OK) {
            vt_store_entry_deinit(&e);
            break;
        }
        assert_null(e.name);
    }
    assert_in_range(nth, 3, 9999);
}

static void test_the_catalogue_is_consistent(void **state)
{
    (void)state;
    size_t n;
    const vt_catalogue_entry *all = vt_catalogue_all(&n);
    assert_true(n >= 3);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(strlen(all[i].sha256), VT_SHA256_HEX);
        assert_ptr_equal(vt_catalogue_find(vt_slice_cstr(all[i].name)), &all[i]);
        assert_ptr_equal(vt_catalogue_by_digest(vt_slice_cstr(all[i].sha256)), &all[i]);
        assert_non_null(all[i].sampling_source);
        if (all[i].url == NULL) assert_non_null(all[i].caveat);
        if (all[i].url == NULL) continue;
        assert_true(vt_slice_starts(vt_slice_cstr(all[i].url), VT_S("https://huggingface.co/")));
        assert_true(vt_slice_ends(vt_slice_cstr(all[i].url), vt_slice_cstr(all[i].file_name)));
    }
}

#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_STORE(test_a_local_file_is_linked_named_and_found),
        WITH_STORE(test_the_digest_is_the_sha256_of_the_file),
        WITH_STORE(test_the_same_model_twice_is_done_once_and_another_is_not_overwritten),
        WITH_STORE(test_what_is_no_model_leaves_nothing_behind),
        WITH_STORE(test_names_that_would_leave_the_store_are_refused),
        WITH_STORE(test_a_path_of_a_stored_file_is_that_model),
        WITH_STORE(test_a_miss_names_the_near_model_or_the_command_that_gets_it),
        WITH_STORE(test_a_touched_file_is_hashed_again_and_a_changed_one_is_found_out),
        WITH_STORE(test_a_damaged_manifest_or_file_is_said_and_can_be_removed),
        WITH_STORE(test_removing_tells_what_was_freed),
        WITH_STORE(test_a_download_is_checked_and_registered_and_goes_on_after_a_break),
        WITH_STORE(test_an_error_page_never_becomes_a_model),
        WITH_STORE(test_every_failed_allocation_is_an_error_that_leaves_no_model),
        cmocka_unit_test(test_the_catalogue_is_consistent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
