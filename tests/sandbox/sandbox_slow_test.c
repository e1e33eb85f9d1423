/* sandbox_slow_test.c -- real programs in the real sandbox, trying to get out. Each test runs in
 * every kind of sandbox that this machine can make, and says which those are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sandbox/landlock.h"
#include "sandbox/probe.h"
#include "sandbox/sandbox.h"

static const vt_sandbox_kind kinds[] = {VT_SANDBOX_BWRAP, VT_SANDBOX_LANDLOCK};

static vt_sandbox *open_kind(vt_sandbox_kind kind)
{
    vt_sandbox *sb = NULL;
    assert_int_equal(vt_sandbox_open(&(vt_sandbox_options){.only = kind}, &sb, NULL), VT_OK);
    if (vt_sandbox_get_kind(sb) == kind) return sb;
    print_message("not on this machine: %s\n", vt_sandbox_describe(sb));
    vt_sandbox_close(sb);
    return NULL;
}

typedef struct {
    vt_status status;
    vt_sandbox_result result;
    vt_err err;
    vt_buffer out;
    vt_buffer messages;
} outcome;

static outcome run(const vt_sandbox *sb, vt_sandbox_job job)
{
    outcome o = {0};
    vt_buffer_init(&o.out, 64 << 20);
    vt_buffer_init(&o.messages, 0);
    o.status = vt_sandbox_run(sb, &job, &o.out, &o.messages, &o.result, &o.err);
    return o;
}

static void done(outcome *o)
{
    vt_buffer_deinit(&o->out);
    vt_buffer_deinit(&o->messages);
}

#define SHELL(text) ((const char *const[]){"/usr/bin/sh", "-c", (text), NULL})

static void test_every_escape_that_the_probe_knows_is_prevented(void **state)
{
    (void)state;
    int n_tried = 0;
    for (size_t k = 0; k < VT_COUNT(kinds); k++) {
        vt_sandbox *sb = open_kind(kinds[k]);
        if (sb == NULL) continue;
        vt_sandbox_check checks[VT_SANDBOX_CHECKS];
        vt_err err = {0};
        if (vt_sandbox_probe(sb, checks, &err) != VT_OK) fail_msg("%s", err.msg);
        print_message("%s\n", vt_sandbox_describe(sb));
        for (int i = 0; i < VT_SANDBOX_CHECKS; i++) {
            print_message("  %s: %s (%s)\n", checks[i].name, checks[i].ok ? "prevented" : "LEAK",
                          checks[i].detail);
            assert_true(checks[i].ok);
        }
        n_tried++;
        vt_sandbox_close(sb);
    }
    if (n_tried == 0) skip();
}

static void test_input_arrives_and_output_comes_back(void **state)
{
    (void)state;
    for (size_t k = 0; k < VT_COUNT(kinds); k++) {
        vt_sandbox *sb = open_kind(kinds[k]);
        if (sb == NULL) continue;
        const char *const cat[] = {"/usr/bin/cat", NULL};
        outcome o = run(sb, (vt_sandbox_job){.argv = cat, .input = VT_S("through\n")});
        if (o.status != VT_OK) fail_msg("%s", o.err.msg);
        assert_true(vt_slice_eq(vt_buffer_slice(&o.out), VT_S("through\n")));
        assert_int_equal(o.result.exit_code, 0);
        done(&o);

        /* A descriptor is read from its start wherever its position is, and stays where it is. */
        char path[] = "/tmp/vetro-sandbox-XXXXXX";
        int fd = mkstemp(path);
        assert_int_equal(write(fd, "0123456789", 10), 10);
        unlink(path);
        o = run(sb, (vt_sandbox_job){.argv = cat, .input_fd = fd});
        assert_true(vt_slice_eq(vt_buffer_slice(&o.out), VT_S("0123456789")));
        assert_int_equal(lseek(fd, 0, SEEK_CUR), 10);
        done(&o);
        close(fd);

        o = run(sb, (vt_sandbox_job){.argv = SHELL("read x; echo $x; echo $HOME; echo $SECRET")});
        assert_true(vt_slice_eq(vt_buffer_slice(&o.out), VT_S("\n/tmp\n\n")));
        done(&o);
        vt_sandbox_close(sb);
    }
}

static void test_a_program_that_runs_too_long_is_ended(void **state)
{
    (void)state;
    for (size_t k = 0; k < VT_COUNT(kinds); k++) {
        vt_sandbox *sb = open_kind(kinds[k]);
        if (sb == NULL) continue;
        const char *const sleeping[] = {"/usr/bin/sleep", "60", NULL};
        outcome o = run(sb, (vt_sandbox_job){.argv = sleeping, .limits = {.wall_ms = 300}});
        assert_int_equal(o.status, VT_ELIMIT);
        assert_true(o.result.timed_out);
        assert_true(o.result.seconds < 5);
        done(&o);
        /* Output closed, still running. */
        o = run(sb, (vt_sandbox_job){.argv = SHELL("exec >&- 2>&-; exec sleep 60"),
                                     .limits = {.wall_ms = 300}});
        assert_int_equal(o.status, VT_ELIMIT);
        assert_true(o.result.timed_out);
        done(&o);
        o = run(sb, (vt_sandbox_job){.argv = SHELL("while :; do :; done"),
                                     .limits = {.cpu_seconds = 1, .wall_ms = 20000}});
        assert_int_equal(o.status, VT_EINPUT);
        assert_true(o.result.signal != 0);
        assert_false(o.result.timed_out);
        done(&o);
        vt_sandbox_close(sb);
    }
}

static void test_output_past_its_ceiling_ends_the_program(void **state)
{
    (void)state;
    for (size_t k = 0; k < VT_COUNT(kinds); k++) {
        vt_sandbox *sb = open_kind(kinds[k]);
        if (sb == NULL) continue;
        outcome o = run(sb, (vt_sandbox_job){.argv = SHELL("while :; do echo spam; done"),
                                             .limits = {.output_bytes = 1 << 20}});
        assert_int_equal(o.status, VT_ELIMIT);
        assert_true(o.result.was_cut);
        assert_int_equal(o.out.len, 1 << 20);
        done(&o);
        /* Error output is cut, not fatal. */
        o = run(sb, (vt_sandbox_job){
                        .argv = SHELL("i=0; while [ $i -lt 20000 ]; do echo error >&2; i=$((i+1)); "
                                      "done; echo fine")});
        assert_int_equal(o.status, VT_OK);
        assert_true(vt_slice_eq(vt_buffer_slice(&o.out), VT_S("fine\n")));
        assert_true(o.messages.len > 0 && o.messages.len <= 64 << 10);
        done(&o);
        vt_sandbox_close(sb);
    }
}

static void test_a_failing_program_is_reported_with_its_own_words(void **state)
{
    (void)state;
    for (size_t k = 0; k < VT_COUNT(kinds); k++) {
        vt_sandbox *sb = open_kind(kinds[k]);
        if (sb == NULL) continue;
        outcome o = run(sb, (vt_sandbox_job){.argv = SHELL("echo broken input >&2; exit 3")});
        assert_int_equal(o.status, VT_EINPUT);
        assert_int_equal(o.result.exit_code, 3);
        assert_non_null(strstr(o.err.msg, "broken input"));
        done(&o);
        o = run(sb, (vt_sandbox_job){.argv = (const char *const[]){"/usr/bin/no-such", NULL}});
        assert_int_equal(o.status, VT_ENOTFOUND);
        done(&o);
        vt_sandbox_close(sb);
    }
}

static void test_a_fork_bomb_in_a_job_with_processes_stops_at_its_limit(void **state)
{
    (void)state;
    vt_sandbox *sb = open_kind(VT_SANDBOX_BWRAP);
    if (sb == NULL) skip();
    static const char bomb[] =
        "my $n = 0; while ($n < 500) { my $c = fork(); last unless defined $c;"
        "if (!$c) { sleep 30; exit } $n++; } print $n; kill 9, -1;";
    const char *const argv[] = {"/usr/bin/perl", "-e", bomb, NULL};
    outcome o =
        run(sb, (vt_sandbox_job){.argv = argv, .limits = {.n_processes = 20, .wall_ms = 20000}});
    uint64_t n = 0;
    for (size_t i = 0; i < o.out.len; i++) n = n * 10 + (uint64_t)(o.out.ptr[i] - '0');
    assert_true(o.out.len > 0);
    assert_true(n > 2 && n <= 20);
    done(&o);
    vt_sandbox_close(sb);
}

static void test_a_work_folder_is_the_only_place_to_write(void **state)
{
    (void)state;
    for (size_t k = 0; k < VT_COUNT(kinds); k++) {
        vt_sandbox *sb = open_kind(kinds[k]);
        if (sb == NULL) continue;
        char folder[] = "/tmp/vetro-job-XXXXXX";
        assert_non_null(mkdtemp(folder));
        outcome o =
            run(sb, (vt_sandbox_job){.argv = SHELL("echo made > made; read x < made; echo $x; "
                                                   "echo x > ../outside; echo x > /usr/x"),
                                     .work_dir = folder});
        assert_true(vt_slice_eq(vt_buffer_slice(&o.out), VT_S("made\n")));
        char path[64];
        snprintf(path, sizeof path, "%s/made", folder);
        assert_int_equal(unlink(path), 0);
        assert_int_equal(rmdir(folder), 0);
        assert_int_not_equal(access("/tmp/outside", F_OK), 0);
        done(&o);
        vt_sandbox_close(sb);
    }
}

static void *cancel_soon(void *flag)
{
    usleep(200000);
    atomic_store((atomic_bool *)flag, true);
    return NULL;
}

static void test_a_cancelled_job_ends_at_once(void **state)
{
    (void)state;
    for (size_t k = 0; k < VT_COUNT(kinds); k++) {
        vt_sandbox *sb = open_kind(kinds[k]);
        if (sb == NULL) continue;
        atomic_bool flag = false;
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, cancel_soon, &flag), 0);
        const char *const sleeping[] = {"/usr/bin/sleep", "60", NULL};
        outcome o = run(sb, (vt_sandbox_job){.argv = sleeping, .is_cancelled = &flag});
        assert_int_equal(o.status, VT_ECANCEL);
        assert_true(o.result.seconds < 3);
        pthread_join(thread, NULL);
        done(&o);
        vt_sandbox_close(sb);
    }
}

static void *many_jobs(void *sandbox)
{
    for (int i = 0; i < 5; i++) {
        outcome o =
            run(sandbox, (vt_sandbox_job){.argv = (const char *const[]){"/usr/bin/cat", NULL},
                                          .input = VT_S("thread\n")});
        bool is_same = vt_slice_eq(vt_buffer_slice(&o.out), VT_S("thread\n"));
        done(&o);
        if (o.status != VT_OK || !is_same) return (void *)1;
    }
    return NULL;
}

static void test_threads_may_run_jobs_side_by_side(void **state)
{
    (void)state;
    for (size_t k = 0; k < VT_COUNT(kinds); k++) {
        vt_sandbox *sb = open_kind(kinds[k]);
        if (sb == NULL) continue;
        pthread_t threads[4];
        for (int i = 0; i < 4; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, many_jobs, sb), 0);
        for (int i = 0; i < 4; i++) {
            void *failed;
            pthread_join(threads[i], &failed);
            assert_null(failed);
        }
        vt_sandbox_close(sb);
    }
}

static void test_without_bubblewrap_landlock_takes_over_and_says_so(void **state)
{
    (void)state;
    vt_sandbox *sb = NULL;
    vt_sandbox_options options = {.bwrap_path = "/nonexistent/bwrap"};
    assert_int_equal(vt_sandbox_open(&options, &sb, NULL), VT_OK);
    if (vt_landlock_abi() > 0) {
        assert_int_equal(vt_sandbox_get_kind(sb), VT_SANDBOX_LANDLOCK);
        assert_non_null(strstr(vt_sandbox_describe(sb), "bwrap is not installed"));
    } else {
        assert_int_equal(vt_sandbox_get_kind(sb), VT_SANDBOX_NONE);
    }
    vt_sandbox_close(sb);
}

static void test_without_any_sandbox_nothing_runs(void **state)
{
    (void)state;
    vt_sandbox *sb = NULL;
    vt_sandbox_options options = {.only = VT_SANDBOX_BWRAP, .bwrap_path = "/nonexistent/bwrap"};
    assert_int_equal(vt_sandbox_open(&options, &sb, NULL), VT_OK);
    assert_int_equal(vt_sandbox_get_kind(sb), VT_SANDBOX_NONE);
    outcome o = run(sb, (vt_sandbox_job){.argv = (const char *const[]){"/usr/bin/true", NULL}});
    assert_int_equal(o.status, VT_EUNSUPPORTED);
    assert_non_null(strstr(o.err.msg, "apt install bubblewrap"));
    done(&o);
    vt_sandbox_close(sb);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_escape_that_the_probe_knows_is_prevented),
        cmocka_unit_test(test_input_arrives_and_output_comes_back),
        cmocka_unit_test(test_a_program_that_runs_too_long_is_ended),
        cmocka_unit_test(test_output_past_its_ceiling_ends_the_program),
        cmocka_unit_test(test_a_failing_program_is_reported_with_its_own_words),
        cmocka_unit_test(test_a_fork_bomb_in_a_job_with_processes_stops_at_its_limit),
        cmocka_unit_test(test_a_work_folder_is_the_only_place_to_write),
        cmocka_unit_test(test_a_cancelled_job_ends_at_once),
        cmocka_unit_test(test_threads_may_run_jobs_side_by_side),
        cmocka_unit_test(test_without_bubblewrap_landlock_takes_over_and_says_so),
        cmocka_unit_test(test_without_any_sandbox_nothing_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
