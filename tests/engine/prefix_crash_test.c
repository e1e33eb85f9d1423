/* prefix_crash_test.c -- processes that are killed while they write, and several that share the
 * directory: whatever is left there is whole, and what is restored from it has the bits of a cold
 * start. */
#include "support/prefixes.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

enum { N_PROMPTS = 6, N = 333, N_KILLS = 40, N_CHILDREN = 3 };

/* Prompts of which each shares 100 tokens with the one before, and their cold logits. */
static int32_t prompts[N_PROMPTS][N];
static float *cold[N_PROMPTS];
static size_t n_vocab;

static int make_prompts(void **state)
{
    (void)state;
    vt_engine *e = prefix_engine("gpt-oss");
    n_vocab = vt_model_get_info(vt_engine_model(e))->n_vocab;
    for (int i = 0; i < N_PROMPTS; i++) {
        vt_session *s = NULL;
        vt_err err = {0};
        prefix_tokens(prompts[i], N, (uint64_t)i + 1);
        if (i % 3 != 0) memcpy(prompts[i], prompts[i - 1], 100 * sizeof **prompts);
        prefix_ok(vt_session_new(e, &(vt_session_options){.n_ctx = N}, &s, &err), &err);
        prefix_ok(vt_session_extend(s, prompts[i], N, NULL, &err), &err);
        cold[i] = vt_alloc(n_vocab * sizeof(float));
        memcpy(cold[i], vt_session_logits(s), n_vocab * sizeof(float));
        vt_session_free(s);
    }
    vt_engine_close(e);
    return 0;
}

static int free_prompts(void **state)
{
    (void)state;
    for (int i = 0; i < N_PROMPTS; i++) vt_free(cold[i]);
    return 0;
}

/* In a child: no assertion, as it would go on as the test program. 0: every answer was right. After
 * the first one a byte goes to `ready`. */
static int work(const char *dir, uint64_t budget, uint64_t seed, int n_rounds, int ready)
{
    vt_engine *e = NULL;
    int code = 0;
    if (vt_engine_open(
            &(vt_engine_options){.path = VT_TEST_DATA "/tiny/gpt-oss.gguf", .n_threads = 1}, &e,
            NULL) != VT_OK)
        return 3;
    if (vt_engine_keep_prefixes(
            e,
            &(vt_prefix_options){
                .dir = dir, .digest = PREFIX_DIGEST, .disk_bytes = budget, .ram_bytes = 1},
            NULL) != VT_OK)
        return 4;
    for (int round = 0; round < n_rounds && code == 0; round++) {
        vt_session *s = NULL;
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        const size_t i = (size_t)(seed >> 33) % N_PROMPTS;
        const vt_session_options options = {.n_ctx = N, .n_chunk = 16 + (uint32_t)(seed >> 60)};
        if (vt_session_new(e, &options, &s, NULL) != VT_OK) return 5;
        if (vt_session_sync(s, prompts[i], N, NULL, NULL, NULL) != VT_OK) code = 6;
        else if (memcmp(vt_session_logits(s), cold[i], n_vocab * sizeof(float)) != 0) code = 7;
        vt_session_free(s);
        if (round == 0 && write(ready, "", 1) != 1) code = 8;
        if (seed >> 62 == 0) (void)vt_engine_flush_prefixes(e, 10000);
    }
    vt_engine_close(e);
    return code;
}

/* A child that has begun. */
static pid_t start(const char *dir, uint64_t budget, uint64_t seed, int n_rounds)
{
    int pipes[2];
    char byte;
    fflush(stdout);
    assert_int_equal(pipe(pipes), 0);
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) _exit(work(dir, budget, seed, n_rounds, pipes[1]));
    close(pipes[1]);
    (void)!read(pipes[0], &byte, 1); /* or it has ended, which its code tells */
    close(pipes[0]);
    return pid;
}

static int wait_for(pid_t pid)
{
    int status = 0;
    while (waitpid(pid, &status, 0) < 0) assert_int_equal(errno, EINTR);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void test_a_process_killed_at_any_moment_leaves_only_whole_blocks(void **state)
{
    (void)state;
    char dir[64];
    size_t n_killed = 0, n_unfinished = 0, n_blocks = 0;
    uint64_t x = 99;
    prefix_make_dir(dir);
    for (uint64_t i = 0; i < N_KILLS; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        const pid_t pid = start(dir, 400000, i, 100000); /* a dozen blocks: it collects, too */
        const struct timespec pause = {0, (long)((x >> 33) % 50) * 1000000};
        nanosleep(&pause, NULL);
        kill(pid, SIGKILL);
        const int code = wait_for(pid);
        n_killed += code == 128 + SIGKILL;
        if (code != 128 + SIGKILL) fail_msg("the child ended by itself: %d", code);
        assert_int_equal(prefix_n_damaged(dir), 0);
        vt_prefix_listing l = prefix_list(dir);
        n_unfinished += l.n_temporary;
        n_blocks += l.n;
        vt_prefix_listing_deinit(&l);
    }
    print_message("%zu kills: %zu blocks seen, %zu unfinished files left\n", n_killed, n_blocks,
                  n_unfinished);
    assert_true(n_blocks > 0);
    /* every unfinished file is one of the last process, and goes at once: nobody holds it */
    vt_prefix_files *killed = prefix_files(dir);
    vt_prefix_listing left = prefix_list(dir);
    uint64_t n_bytes = 0;
    assert_true(left.n_temporary <= 1); /* each process removed what the one before left */
    assert_int_equal(vt_prefix_files_tidy(killed, &n_bytes), left.n_temporary);
    vt_prefix_listing_deinit(&left);
    left = prefix_list(dir);
    assert_int_equal(left.n_temporary, 0);
    vt_prefix_listing_deinit(&left);
    vt_prefix_files_close(killed);
    /* and what is there is used */
    assert_int_equal(wait_for(start(dir, 400000, 7, 30)), 0);
    vt_prefix_files *f = prefix_files(dir);
    vt_prefix_gc_result r;
    vt_err err = {0};
    prefix_ok(vt_prefix_files_gc(f, &(vt_prefix_gc){.all = true}, &r, &err), &err);
    assert_int_equal(r.n_left, 0);
    vt_prefix_listing l = prefix_list(dir);
    assert_int_equal(l.n + l.n_temporary, 0);
    vt_prefix_listing_deinit(&l);
    vt_prefix_files_close(f);
    prefix_remove_dir(dir);
}

static void test_processes_that_share_the_directory_do_not_disturb_each_other(void **state)
{
    (void)state;
    char dir[64];
    pid_t pids[N_CHILDREN];
    prefix_make_dir(dir);
    for (uint64_t i = 0; i < N_CHILDREN; i++) pids[i] = start(dir, 500000, 1000 + i, 60);
    for (int i = 0; i < N_CHILDREN; i++) assert_int_equal(wait_for(pids[i]), 0);
    assert_int_equal(prefix_n_damaged(dir), 0);
    prefix_remove_dir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_process_killed_at_any_moment_leaves_only_whole_blocks),
        cmocka_unit_test(test_processes_that_share_the_directory_do_not_disturb_each_other),
    };
    return cmocka_run_group_tests(tests, make_prompts, free_prompts);
}
