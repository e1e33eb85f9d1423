/* Replacing a file: the old bytes or the new, never a mixture, and no temp file left behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/replace.h"

/* The program's own fsync and renameat: what a replacement calls, in order, while `watched`; call
 * number fail_at (from 1) fails. */
static struct {
    bool watched;
    int n_calls, fail_at;
    char calls[8];
} disk;

static bool is_call_to_fail(char what)
{
    if (!disk.watched) return false;
    if (disk.n_calls < (int)sizeof disk.calls - 1) disk.calls[disk.n_calls] = what;
    errno = EIO;
    return ++disk.n_calls == disk.fail_at;
}

int fsync(int fd)
{
    struct stat info;
    const bool is_directory = fstat(fd, &info) == 0 && S_ISDIR(info.st_mode);
    return is_call_to_fail(is_directory ? 'd' : 'f') ? -1 : (int)syscall(SYS_fsync, fd);
}

int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    return is_call_to_fail('r') ? -1 : (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, 0);
}

static void watch_disk(int fail_at)
{
    memset(&disk, 0, sizeof disk);
    disk.watched = true;
    disk.fail_at = fail_at;
}

/* A folder of our own for one test; its name is in `dir`. */
static void make_temp_dir(char dir[64])
{
    memcpy(dir, "/tmp/vetro-test-XXXXXX", 23);
    assert_non_null(mkdtemp(dir));
}

static void remove_tree(const char *dir)
{
    DIR *open_dir = opendir(dir);
    assert_non_null(open_dir);
    for (struct dirent *e; (e = readdir(open_dir)) != NULL;) {
        char path[512];
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
        snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        if (unlink(path) != 0) remove_tree(path);
    }
    closedir(open_dir);
    assert_int_equal(rmdir(dir), 0);
}

static int open_dir_fd(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static size_t count_files(const char *dir)
{
    size_t n = 0;
    DIR *d = opendir(dir);
    assert_non_null(d);
    while (readdir(d) != NULL) n++;
    closedir(d);
    return n - 2; /* "." and ".." */
}

static void assert_file_holds(const char *dir, const char *name, vt_slice text)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    vt_buffer b;
    vt_buffer_init(&b, 0);
    assert_int_equal(vt_file_read(path, 1 << 20, &b, NULL), VT_OK);
    assert_true(vt_slice_eq(vt_buffer_slice(&b), text));
    vt_buffer_deinit(&b);
}

static void test_a_file_is_made_and_replaced_and_is_private(void **state)
{
    (void)state;
    char dir[64], path[128];
    make_temp_dir(dir);
    int fd = open_dir_fd(dir);
    assert_int_equal(vt_file_replace(fd, "name", VT_S("old"), NULL), VT_OK);
    assert_int_equal(vt_file_replace(fd, "name", VT_S("new\0er"), NULL), VT_OK);
    assert_file_holds(dir, "name", VT_S("new\0er"));
    assert_int_equal(vt_file_replace(fd, "name", (vt_slice){0}, NULL), VT_OK);
    assert_file_holds(dir, "name", (vt_slice){0});
    struct stat info;
    snprintf(path, sizeof path, "%s/name", dir);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    assert_int_equal(count_files(dir), 1);
    close(fd);
    remove_tree(dir);
}

static void test_a_name_with_a_slash_or_too_long_or_empty_is_refused(void **state)
{
    (void)state;
    char dir[64], name[300];
    make_temp_dir(dir);
    int fd = open_dir_fd(dir);
    memset(name, 'x', sizeof name);
    name[299] = '\0';
    assert_int_equal(vt_file_replace(fd, "", VT_S("x"), NULL), VT_EINPUT);
    assert_int_equal(vt_file_replace(fd, "a/b", VT_S("x"), NULL), VT_EINPUT);
    assert_int_equal(vt_file_replace(fd, "..", VT_S("x"), NULL), VT_EIO);
    assert_int_equal(vt_file_replace(fd, name, VT_S("x"), NULL), VT_EINPUT);
    assert_int_equal(count_files(dir), 0);
    close(fd);
    remove_tree(dir);
}

static void test_a_failing_rename_leaves_the_target_and_no_temp_file(void **state)
{
    (void)state;
    char dir[64], path[128];
    vt_err err;
    make_temp_dir(dir);
    snprintf(path, sizeof path, "%s/name", dir);
    assert_int_equal(mkdir(path, 0700), 0); /* a file can't be renamed over a directory */
    int fd = open_dir_fd(dir);
    assert_int_equal(vt_file_replace(fd, "name", VT_S("x"), &err), VT_EIO);
    assert_int_equal(err.sys_errno, EISDIR);
    assert_int_equal(count_files(dir), 1);
    close(fd);
    remove_tree(dir);
}

static void test_a_write_that_fails_midway_leaves_the_old_bytes_and_no_temp_file(void **state)
{
    (void)state;
    char dir[64];
    make_temp_dir(dir);
    int fd = open_dir_fd(dir);
    assert_int_equal(vt_file_replace(fd, "name", VT_S("old"), NULL), VT_OK);
    /* In a child, because the limit on the size of files can't be raised again by everyone. */
    pid_t child = fork();
    if (child == 0) {
        static char big[100000];
        vt_err err;
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &(struct rlimit){4096, 4096});
        vt_status st = vt_file_replace(fd, "name", (vt_slice){big, sizeof big}, &err);
        _exit(st == VT_EIO && err.sys_errno == EFBIG ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_file_holds(dir, "name", VT_S("old"));
    assert_int_equal(count_files(dir), 1);
    close(fd);
    remove_tree(dir);
}

static void test_temp_files_that_a_crash_left_are_stepped_over(void **state)
{
    (void)state;
    char dir[64], temp[128];
    make_temp_dir(dir);
    int fd = open_dir_fd(dir);
    /* What a crashed process with our pid would have left, for the next numbers. */
    for (unsigned i = 0; i < 40; i++) {
        snprintf(temp, sizeof temp, ".name.%ld.%u", (long)getpid(), i);
        int left = openat(fd, temp, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        assert_true(left >= 0);
        close(left);
    }
    assert_int_equal(vt_file_replace(fd, "name", VT_S("new"), NULL), VT_OK);
    assert_file_holds(dir, "name", VT_S("new"));
    close(fd);
    remove_tree(dir);
}

static void test_killing_the_writer_at_any_moment_leaves_one_whole_version(void **state)
{
    (void)state;
    enum { SIZE = 64 << 10, ROUNDS = 25 };
    static char version[2][SIZE];
    char dir[64], path[128];
    make_temp_dir(dir);
    snprintf(path, sizeof path, "%s/name", dir);
    memset(version[0], 'a', SIZE);
    memset(version[1], 'b', SIZE);
    assert_int_equal(vt_file_replace_path(path, (vt_slice){version[0], SIZE}, NULL), VT_OK);
    for (int round = 0; round < ROUNDS; round++) {
        pid_t child = fork();
        if (child == 0)
            for (unsigned i = 0;; i++)
                if (vt_file_replace_path(path, (vt_slice){version[i % 2], SIZE}, NULL) != VT_OK)
                    _exit(1);
        nanosleep(&(struct timespec){.tv_nsec = 200000 + 370000 * round}, NULL);
        kill(child, SIGKILL);
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        vt_buffer b;
        vt_buffer_init(&b, 0);
        assert_int_equal(vt_file_read(path, 2 * SIZE, &b, NULL), VT_OK);
        assert_int_equal(b.len, SIZE);
        assert_true(memcmp(b.ptr, version[0], SIZE) == 0 || memcmp(b.ptr, version[1], SIZE) == 0);
        vt_buffer_deinit(&b);
    }
    remove_tree(dir);
}

struct writer {
    const char *path;
    char letter;
    vt_status worst;
};

static void *write_often(void *arg)
{
    struct writer *w = arg;
    char text[5000];
    memset(text, w->letter, sizeof text);
    for (int i = 0; i < 20; i++) {
        vt_status st = vt_file_replace_path(w->path, (vt_slice){text, sizeof text}, NULL);
        if (st != VT_OK) w->worst = st;
    }
    return NULL;
}

static void test_of_several_writers_to_one_name_one_whole_version_wins(void **state)
{
    (void)state;
    char dir[64], path[128];
    make_temp_dir(dir);
    snprintf(path, sizeof path, "%s/name", dir);
    struct writer writers[4];
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        writers[i] = (struct writer){path, (char)('a' + i), VT_OK};
        assert_int_equal(pthread_create(&threads[i], NULL, write_often, &writers[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(writers[i].worst, VT_OK);
    }
    vt_buffer b;
    vt_buffer_init(&b, 0);
    assert_int_equal(vt_file_read(path, 1 << 20, &b, NULL), VT_OK);
    assert_int_equal(b.len, 5000);
    for (size_t i = 1; i < b.len; i++) assert_int_equal(b.ptr[i], b.ptr[0]);
    assert_int_equal(count_files(dir), 1);
    vt_buffer_deinit(&b);
    remove_tree(dir);
}

static void test_a_path_needs_its_directory_and_works_without_one(void **state)
{
    (void)state;
    char dir[64], path[128];
    vt_err err;
    make_temp_dir(dir);
    snprintf(path, sizeof path, "%s/absent/name", dir);
    assert_int_equal(vt_file_replace_path(path, VT_S("x"), &err), VT_EIO);
    assert_int_equal(err.sys_errno, ENOENT);
    snprintf(path, sizeof path, "%s/", dir);
    assert_int_equal(vt_file_replace_path(path, VT_S("x"), &err), VT_EINPUT);
    int saved = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(chdir(dir), 0);
    assert_int_equal(vt_file_replace_path("plain", VT_S("x"), &err), VT_OK);
    assert_int_equal(fchdir(saved), 0);
    close(saved);
    assert_file_holds(dir, "plain", VT_S("x"));
    remove_tree(dir);
}

static void test_a_replacement_in_pieces_shows_nothing_until_it_is_committed(void **state)
{
    (void)state;
    char dir[64], path[128];
    vt_replacement r;
    make_temp_dir(dir);
    snprintf(path, sizeof path, "%s/name", dir);
    for (int round = 0; round < 2; round++) { /* a new name, then one that is there */
        assert_int_equal(vt_replacement_begin(path, &r, NULL), VT_OK);
        assert_int_equal(vt_file_write_all(r.fd, VT_S("one "), NULL), VT_OK);
        assert_int_equal(vt_file_write_all(r.fd, round ? VT_S("four") : VT_S("two"), NULL), VT_OK);
        if (round == 0) assert_int_equal(access(path, F_OK), -1);
        else assert_file_holds(dir, "name", VT_S("one two"));
        assert_int_equal(vt_replacement_commit(&r, NULL), VT_OK);
        assert_file_holds(dir, "name", round ? VT_S("one four") : VT_S("one two"));
        assert_int_equal(count_files(dir), 1);
    }
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    remove_tree(dir);
}

/* Bytes, name, directory: in another order a power cut could leave a name without its bytes. */
static void test_bytes_are_synced_before_the_name_and_a_failing_sync_is_an_error(void **state)
{
    (void)state;
    char dir[64], path[128];
    vt_replacement r;
    make_temp_dir(dir);
    snprintf(path, sizeof path, "%s/name", dir);
    for (int in_pieces = 0; in_pieces < 2; in_pieces++)
        for (int fail_at = 0; fail_at <= 3; fail_at++) {
            assert_int_equal(vt_file_replace_path(path, VT_S("old"), NULL), VT_OK);
            vt_err err = {0};
            vt_status st = VT_OK;
            if (in_pieces) {
                assert_int_equal(vt_replacement_begin(path, &r, NULL), VT_OK);
                assert_int_equal(vt_file_write_all(r.fd, VT_S("new"), NULL), VT_OK);
            }
            watch_disk(fail_at);
            if (in_pieces) st = vt_replacement_commit(&r, &err);
            else st = vt_file_replace_path(path, VT_S("new"), &err);
            disk.watched = false;
            assert_int_equal(st, fail_at == 0 ? VT_OK : VT_EIO);
            assert_string_equal(disk.calls, fail_at == 1 ? "f" : fail_at == 2 ? "fr" : "frd");
            assert_file_holds(dir, "name",
                              fail_at == 1 || fail_at == 2 ? VT_S("old") : VT_S("new"));
            assert_int_equal(count_files(dir), 1);
        }
    remove_tree(dir);
}

static void test_an_aborted_or_failing_replacement_leaves_the_old_file_alone(void **state)
{
    (void)state;
    char dir[64], path[128];
    vt_replacement r;
    vt_err err = {0};
    make_temp_dir(dir);
    snprintf(path, sizeof path, "%s/name", dir);
    assert_int_equal(vt_file_replace_path(path, VT_S("old"), NULL), VT_OK);
    assert_int_equal(vt_replacement_begin(path, &r, NULL), VT_OK);
    assert_int_equal(vt_file_write_all(r.fd, VT_S("new"), NULL), VT_OK);
    vt_replacement_abort(&r);
    assert_file_holds(dir, "name", VT_S("old"));
    assert_int_equal(count_files(dir), 1);
    /* a directory with something in it cannot be renamed over */
    char taken[160], inside[192];
    snprintf(taken, sizeof taken, "%s/taken", dir);
    snprintf(inside, sizeof inside, "%s/x", taken);
    assert_int_equal(mkdir(taken, 0700), 0);
    assert_int_equal(vt_file_replace_path(inside, VT_S("x"), NULL), VT_OK);
    assert_int_equal(vt_replacement_begin(taken, &r, NULL), VT_OK);
    assert_int_equal(vt_replacement_commit(&r, &err), VT_EIO);
    assert_int_equal(count_files(dir), 2);
    /* begun where nothing can be: nothing to abort */
    snprintf(taken, sizeof taken, "%s/absent/name", dir);
    assert_int_equal(vt_replacement_begin(taken, &r, &err), VT_EIO);
    assert_int_equal(err.sys_errno, ENOENT);
    snprintf(taken, sizeof taken, "%s/", dir);
    assert_int_equal(vt_replacement_begin(taken, &r, &err), VT_EINPUT);
    remove_tree(dir);
}

/* A child that holds a temp file of "name", as a writer does, until it is killed. */
static pid_t start_writer(const char *dir, const char *temp)
{
    int pipes[2];
    char byte, path[160];
    snprintf(path, sizeof path, "%s/%s", dir, temp);
    assert_int_equal(pipe(pipes), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        int fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
        if (flock(fd, LOCK_EX | LOCK_NB) != 0 || write(fd, "half", 4) != 4) _exit(1);
        if (write(pipes[1], "", 1) != 1) _exit(1);
        for (;;) pause();
    }
    close(pipes[1]);
    assert_int_equal(read(pipes[0], &byte, 1), 1);
    close(pipes[0]);
    return child;
}

static void test_what_a_killed_writer_left_goes_and_a_living_ones_stays(void **state)
{
    (void)state;
    char dir[64], path[128], temp[160];
    vt_replacement r;
    uint64_t n_bytes = 0;
    make_temp_dir(dir);
    int fd = open_dir_fd(dir);
    snprintf(path, sizeof path, "%s/name", dir);
    snprintf(temp, sizeof temp, "%s/.name.1.0", dir);
    pid_t child = start_writer(dir, ".name.1.0");
    assert_false(vt_replacement_remove_left(fd, ".name.1.0", &n_bytes));
    assert_int_equal(vt_replacement_begin(path, &r, NULL), VT_OK);
    assert_int_equal(vt_replacement_commit(&r, NULL), VT_OK);
    assert_int_equal(access(temp, F_OK), 0);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    /* beginning the same name removes it, another name leaves it */
    snprintf(path, sizeof path, "%s/nam", dir);
    assert_int_equal(vt_replacement_begin(path, &r, NULL), VT_OK);
    vt_replacement_abort(&r);
    assert_int_equal(access(temp, F_OK), 0);
    snprintf(path, sizeof path, "%s/name", dir);
    assert_int_equal(vt_replacement_begin(path, &r, NULL), VT_OK);
    assert_int_equal(access(temp, F_OK), -1);
    vt_replacement_abort(&r);
    child = start_writer(dir, ".name.1.0");
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_true(vt_replacement_remove_left(fd, ".name.1.0", &n_bytes));
    assert_int_equal(n_bytes, 4);
    assert_int_equal(count_files(dir), 1); /* "name" */
    close(fd);
    remove_tree(dir);
}

static void test_only_names_of_temp_files_are_taken_for_such(void **state)
{
    (void)state;
    assert_true(vt_replacement_is_temp(".a.kv.12.0", VT_S("a.kv")));
    const char *const others[] = {
        "a.kv.12.0",  ".a.kv.12", ".a.kv.12.",   ".a.kv..0", ".a.kv.12.0x", ".a.kv.12.0.",
        ".b.kv.12.0", ".a.kv",    ".a.kvs.12.0", "",         ".a.kv.x12.0", ".a.kv.1.2.3"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (vt_replacement_is_temp(others[i], VT_S("a.kv"))) fail_msg("%s", others[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_file_is_made_and_replaced_and_is_private),
        cmocka_unit_test(test_a_name_with_a_slash_or_too_long_or_empty_is_refused),
        cmocka_unit_test(test_a_failing_rename_leaves_the_target_and_no_temp_file),
        cmocka_unit_test(test_a_write_that_fails_midway_leaves_the_old_bytes_and_no_temp_file),
        cmocka_unit_test(test_temp_files_that_a_crash_left_are_stepped_over),
        cmocka_unit_test(test_killing_the_writer_at_any_moment_leaves_one_whole_version),
        cmocka_unit_test(test_of_several_writers_to_one_name_one_whole_version_wins),
        cmocka_unit_test(test_a_path_needs_its_directory_and_works_without_one),
        cmocka_unit_test(test_a_replacement_in_pieces_shows_nothing_until_it_is_committed),
        cmocka_unit_test(test_bytes_are_synced_before_the_name_and_a_failing_sync_is_an_error),
        cmocka_unit_test(test_an_aborted_or_failing_replacement_leaves_the_old_file_alone),
        cmocka_unit_test(test_what_a_killed_writer_left_goes_and_a_living_ones_stays),
        cmocka_unit_test(test_only_names_of_temp_files_are_taken_for_such),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
