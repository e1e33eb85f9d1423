/* fetch_test.c -- downloads against a server with the faults that downloads meet. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../support/http_server.h"
#include "base/alloc.h"
#include "base/fetch.h"
#include "base/file.h"

enum { BODY = 300000 };

typedef struct {
    char body[BODY];
    uint8_t sha256[VT_SHA256_BYTES];
    http_server server;
    char dir[64];
    char path[128];
    char url[128];
} fixture;

static int setup(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    uint32_t x = 12345;
    for (size_t i = 0; i < BODY; i++) {
        x = x * 1664525u + 1013904223u;
        f->body[i] = (char)(x >> 24);
    }
    if (vt_sha256_bytes(vt_slice_of(f->body, BODY), f->sha256, NULL) != VT_OK) return -1;
    snprintf(f->dir, sizeof f->dir, "/tmp/vetro-fetch-XXXXXX");
    if (mkdtemp(f->dir) == NULL) return -1;
    snprintf(f->path, sizeof f->path, "%s/model.gguf", f->dir);
    f->server = http_start(vt_slice_of(f->body, BODY));
    snprintf(f->url, sizeof f->url, "http://127.0.0.1:%d/file", f->server.port);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    char path[160];
    http_stop(&f->server);
    unlink(f->path);
    snprintf(path, sizeof path, "%s.part", f->path);
    unlink(path);
    snprintf(path, sizeof path, "%s.part.json", f->path);
    unlink(path);
    int left = rmdir(f->dir); /* a stray file makes the test fail */
    free(f);
    return left;
}

static bool exists(const fixture *f, const char *suffix)
{
    char path[160];
    snprintf(path, sizeof path, "%s%s", f->path, suffix);
    return access(path, F_OK) == 0;
}

static void assert_whole(const fixture *f)
{
    vt_buffer b;
    vt_buffer_init(&b, BODY * 2);
    assert_int_equal(vt_file_read(f->path, BODY * 2, &b, NULL), VT_OK);
    assert_int_equal(b.len, BODY);
    assert_memory_equal(b.ptr, f->body, BODY);
    vt_buffer_deinit(&b);
    assert_false(exists(f, ".part"));
    assert_false(exists(f, ".part.json"));
}

static vt_status fetch_it(const fixture *f, const char *url, bool is_pinned,
                          vt_fetch_result *result, vt_err *err)
{
    vt_fetch_options o = {.url = url,
                          .path = f->path,
                          .sha256 = is_pinned ? f->sha256 : NULL,
                          .n_bytes = is_pinned ? BODY : 0,
                          .pause_ms = 1};
    return vt_fetch_file(&o, result, err);
}

/* Leave a part of `n` bytes as a program that was killed leaves it. */
static void leave_part(const fixture *f, const char *url, size_t n, const char *validator)
{
    char path[160];
    char note[512];
    snprintf(path, sizeof path, "%s.part", f->path);
    FILE *out = fopen(path, "wb");
    assert_int_equal(fwrite(f->body, 1, n, out), n);
    fclose(out);
    snprintf(path, sizeof path, "%s.part.json", f->path);
    out = fopen(path, "wb");
    snprintf(note, sizeof note, "{\"version\":1,\"url\":\"%s\",\"validator\":\"%s\"}", url,
             validator);
    fputs(note, out);
    fclose(out);
}

static void test_a_file_is_fetched_whole_and_its_digest_told(void **state)
{
    fixture *f = *state;
    vt_fetch_result r;
    assert_int_equal(fetch_it(f, f->url, false, &r, NULL), VT_OK);
    assert_int_equal(r.n_bytes, BODY);
    assert_int_equal(r.n_resumed, 0);
    assert_memory_equal(r.sha256, f->sha256, VT_SHA256_BYTES);
    assert_whole(f);
}

static void test_a_redirect_is_followed(void **state)
{
    fixture *f = *state;
    vt_fetch_result r;
    char url[128];
    snprintf(url, sizeof url, "http://127.0.0.1:%d/redirect", f->server.port);
    assert_int_equal(fetch_it(f, url, true, &r, NULL), VT_OK);
    assert_whole(f);
}

static void test_broken_connections_are_continued_not_restarted(void **state)
{
    fixture *f = *state;
    vt_fetch_result r;
    f->server.plan->cut_after = 50000;
    f->server.plan->n_cuts = 3;
    assert_int_equal(fetch_it(f, f->url, true, &r, NULL), VT_OK);
    assert_whole(f);
    assert_int_equal(f->server.plan->n_requests, 4);
    assert_int_equal(f->server.plan->n_partial, 3);
    assert_int_equal(f->server.plan->n_sent, BODY);
}

static void test_a_later_run_goes_on_from_the_part_of_an_earlier_one(void **state)
{
    fixture *f = *state;
    vt_fetch_result r;
    leave_part(f, f->url, 123456, "\\\"v1\\\"");
    assert_int_equal(fetch_it(f, f->url, false, &r, NULL), VT_OK);
    assert_whole(f);
    assert_int_equal(r.n_resumed, 123456);
    assert_int_equal(f->server.plan->n_sent, BODY - 123456);
}

static void test_a_file_that_changed_on_the_server_starts_over(void **state)
{
    fixture *f = *state;
    vt_fetch_result r;
    f->server.plan->etag = 2;
    leave_part(f, f->url, 1000, "\\\"v1\\\"");
    assert_int_equal(fetch_it(f, f->url, false, &r, NULL), VT_OK);
    assert_whole(f);
    assert_int_equal(r.n_resumed, 0);
    assert_int_equal(f->server.plan->n_sent, BODY);
}

static void test_a_part_of_another_address_is_not_used(void **state)
{
    fixture *f = *state;
    vt_fetch_result r;
    leave_part(f, "http://127.0.0.1/other", 1000, "\\\"v1\\\"");
    assert_int_equal(fetch_it(f, f->url, false, &r, NULL), VT_OK);
    assert_int_equal(f->server.plan->n_partial, 0);
    assert_whole(f);
}

static void test_a_complete_part_is_not_fetched_again(void **state)
{
    fixture *f = *state;
    vt_fetch_result r;
    leave_part(f, f->url, BODY, "\\\"v1\\\"");
    assert_int_equal(fetch_it(f, f->url, false, &r, NULL), VT_OK);
    assert_int_equal(f->server.plan->n_sent, 0);
    assert_int_equal(r.n_resumed, BODY);
    assert_whole(f);
}

static void test_a_server_without_ranges_starts_over(void **state)
{
    fixture *f = *state;
    vt_fetch_result r;
    char url[128];
    snprintf(url, sizeof url, "http://127.0.0.1:%d/norange", f->server.port);
    f->server.plan->cut_after = 100000;
    f->server.plan->n_cuts = 1;
    assert_int_equal(fetch_it(f, url, true, &r, NULL), VT_OK);
    assert_whole(f);
    assert_int_equal(f->server.plan->n_sent, BODY + 100000);
}

static void test_a_busy_server_is_asked_again(void **state)
{
    fixture *f = *state;
    vt_fetch_result r;
    f->server.plan->n_busy = 2;
    assert_int_equal(fetch_it(f, f->url, true, &r, NULL), VT_OK);
    assert_whole(f);
    assert_int_equal(f->server.plan->n_requests, 3);
}

static void test_a_server_that_stays_busy_is_an_error_with_its_status(void **state)
{
    fixture *f = *state;
    vt_fetch_result r;
    vt_err err = {0};
    f->server.plan->n_busy = 1000;
    assert_int_equal(fetch_it(f, f->url, true, &r, &err), VT_EIO);
    assert_non_null(strstr(err.msg, "HTTP 503"));
    assert_in_range(f->server.plan->n_requests, 2, 10);
    assert_false(exists(f, ""));
}

static void test_wrong_bytes_are_deleted_and_both_digests_told(void **state)
{
    fixture *f = *state;
    vt_fetch_result r;
    vt_err err = {0};
    char want[VT_SHA256_HEX + 1];
    char have[VT_SHA256_HEX + 1];
    vt_sha256_hex(f->sha256, have);
    f->sha256[0] ^= 1;
    vt_sha256_hex(f->sha256, want);
    assert_int_equal(fetch_it(f, f->url, true, &r, &err), VT_EVERIFY);
    assert_non_null(strstr(err.msg, want));
    assert_non_null(strstr(err.msg, have));
    assert_false(exists(f, ""));
    assert_false(exists(f, ".part"));
}

static void test_another_size_than_promised_is_refused_before_the_body(void **state)
{
    fixture *f = *state;
    vt_fetch_result r;
    vt_err err = {0};
    f->server.plan->short_by = 10;
    assert_int_equal(fetch_it(f, f->url, true, &r, &err), VT_EVERIFY);
    assert_non_null(strstr(err.msg, "299990"));
    assert_non_null(strstr(err.msg, "300000"));
    assert_false(exists(f, ""));
}

static void test_a_missing_file_and_a_private_one_have_their_own_errors(void **state)
{
    fixture *f = *state;
    vt_fetch_result r;
    vt_err err = {0};
    char url[128];
    snprintf(url, sizeof url, "http://127.0.0.1:%d/gone", f->server.port);
    assert_int_equal(fetch_it(f, url, false, &r, &err), VT_ENOTFOUND);
    assert_non_null(strstr(err.msg, "404"));
    snprintf(url, sizeof url, "http://127.0.0.1:%d/private", f->server.port);
    assert_int_equal(fetch_it(f, url, false, &r, &err), VT_EREFUSED);
    assert_int_equal(f->server.plan->n_requests, 2);
    assert_false(exists(f, ".part"));
}

static void test_a_server_that_is_not_there_is_said_at_once(void **state)
{
    fixture *f = *state;
    vt_fetch_result r;
    vt_err err = {0};
    assert_int_equal(fetch_it(f, "http://127.0.0.1:1/x", false, &r, &err), VT_EIO);
    assert_int_equal(fetch_it(f, "ftp://127.0.0.1/x", false, &r, &err), VT_EINPUT);
    assert_int_equal(fetch_it(f, "file:///etc/passwd", false, &r, &err), VT_EINPUT);
}

static void test_a_cancelled_download_keeps_its_part_and_goes_on_later(void **state)
{
    fixture *f = *state;
    vt_fetch_result r;
    vt_err err = {0};
    atomic_bool stop = false;
    vt_progress progress = {.is_cancelled = &stop};
    vt_fetch_options o = {.url = f->url,
                          .path = f->path,
                          .sha256 = f->sha256,
                          .n_bytes = BODY,
                          .progress = &progress};
    f->server.plan->sleep_ms = 20;
    pid_t pid = fork(); /* kill -9 in the middle: the hardest kind of cancelling */
    if (pid == 0) {
        vt_status st = vt_fetch_file(&o, &r, NULL);
        _exit(st == VT_OK ? 0 : 1);
    }
    while (f->server.plan->n_sent < 60000) usleep(1000);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    f->server.plan->sleep_ms = 0;
    assert_true(exists(f, ".part"));
    stop = true;
    assert_int_equal(vt_fetch_file(&o, &r, &err), VT_ECANCEL);
    assert_true(exists(f, ".part"));
    stop = false;
    assert_int_equal(vt_fetch_file(&o, &r, &err), VT_OK);
    assert_true(r.n_resumed >= 4096);
    assert_whole(f);
}

static void test_every_failed_allocation_is_an_error(void **state)
{
    fixture *f = *state;
    vt_fetch_result r;
    uint64_t nth = 1;
    for (; nth < 1000; nth++) {
        vt_alloc_fail_nth(nth);
        vt_status st = fetch_it(f, f->url, true, &r, NULL);
        vt_alloc_fail_nth(0);
        if (st == VT_OK) break;
        assert_false(exists(f, ""));
    }
    assert_in_range(nth, 3, 999);
    assert_whole(f);
}

#define WITH_SERVER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_SERVER(test_a_file_is_fetched_whole_and_its_digest_told),
        WITH_SERVER(test_a_redirect_is_followed),
        WITH_SERVER(test_broken_connections_are_continued_not_restarted),
        WITH_SERVER(test_a_later_run_goes_on_from_the_part_of_an_earlier_one),
        WITH_SERVER(test_a_file_that_changed_on_the_server_starts_over),
        WITH_SERVER(test_a_part_of_another_address_is_not_used),
        WITH_SERVER(test_a_complete_part_is_not_fetched_again),
        WITH_SERVER(test_a_server_without_ranges_starts_over),
        WITH_SERVER(test_a_busy_server_is_asked_again),
        WITH_SERVER(test_a_server_that_stays_busy_is_an_error_with_its_status),
        WITH_SERVER(test_wrong_bytes_are_deleted_and_both_digests_told),
        WITH_SERVER(test_another_size_than_promised_is_refused_before_the_body),
        WITH_SERVER(test_a_missing_file_and_a_private_one_have_their_own_errors),
        WITH_SERVER(test_a_server_that_is_not_there_is_said_at_once),
        WITH_SERVER(test_every_failed_allocation_is_an_error),
        WITH_SERVER(test_a_cancelled_download_keeps_its_part_and_goes_on_later),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
