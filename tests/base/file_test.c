/* Reading, writing and making directories: limits, pipes, errors that name the path. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"

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

/* A file of n bytes "0123456789012...". */
static void write_digits(const char *path, size_t n)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    for (size_t i = 0; i < n; i++) fputc((int)('0' + i % 10), f);
    assert_int_equal(fclose(f), 0);
}

static void test_a_file_of_exactly_the_limit_is_read_and_one_byte_more_is_refused(void **state)
{
    (void)state;
    char dir[64], path[128];
    make_temp_dir(dir);
    snprintf(path, sizeof path, "%s/file", dir);
    static const size_t sizes[] = {0, 1, 100, 65535, 65536, 65537, 200000};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        size_t n = sizes[i];
        write_digits(path, n);
        vt_err err;
        vt_buffer b;
        vt_buffer_init(&b, n + 3);
        assert_true(vt_buffer_append(&b, VT_S("abc")));
        assert_int_equal(vt_file_read(path, n, &b, &err), VT_OK);
        assert_int_equal(b.len, n + 3);
        assert_int_equal(b.ptr[b.len], 0);
        if (n > 0) assert_int_equal(b.ptr[b.len - 1], (char)('0' + (n - 1) % 10));
        vt_buffer_clear(&b);
        if (n > 0) {
            assert_int_equal(vt_file_read(path, n - 1, &b, &err), VT_ELIMIT);
            assert_non_null(strstr(err.msg, path));
            assert_int_equal(b.len, 0);
            assert_false(b.failed);
        }
        vt_buffer_deinit(&b);
    }
    remove_tree(dir);
}

static void test_the_ceiling_of_the_buffer_is_a_limit_too_and_leaves_it_usable(void **state)
{
    (void)state;
    char dir[64], path[128];
    make_temp_dir(dir);
    snprintf(path, sizeof path, "%s/file", dir);
    write_digits(path, 100);
    vt_buffer b;
    vt_buffer_init(&b, 102);
    assert_true(vt_buffer_append(&b, VT_S("abc")));
    assert_int_equal(vt_file_read(path, SIZE_MAX, &b, NULL), VT_ELIMIT);
    assert_true(vt_slice_eq(vt_buffer_slice(&b), VT_S("abc")));
    assert_true(vt_buffer_append(&b, VT_S("d")));
    vt_buffer_deinit(&b);
    remove_tree(dir);
}

static void test_what_cannot_be_read_is_named_with_the_systems_reason(void **state)
{
    (void)state;
    char dir[64], path[128];
    vt_err err;
    make_temp_dir(dir);
    vt_buffer b;
    vt_buffer_init(&b, 0);
    snprintf(path, sizeof path, "%s/absent", dir);
    assert_int_equal(vt_file_read(path, 10, &b, &err), VT_ENOTFOUND);
    assert_int_equal(err.sys_errno, ENOENT);
    assert_non_null(strstr(err.msg, path));
    assert_int_equal(vt_file_read(dir, 10, &b, &err), VT_EINPUT);
    assert_non_null(strstr(err.msg, "directory"));
    write_digits(path, 10);
    (void)vt_alloc_fail_nth(1);
    assert_int_equal(vt_file_read(path, 10, &b, &err), VT_ENOMEM);
    (void)vt_alloc_fail_nth(0);
    assert_int_equal(vt_file_read(path, 10, &b, &err), VT_OK);
    vt_buffer_deinit(&b);
    remove_tree(dir);
}

static void test_standard_input_is_read_to_its_end_and_stays_open(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    int saved = dup(STDIN_FILENO);
    assert_int_equal(dup2(ends[0], STDIN_FILENO), STDIN_FILENO);
    assert_int_equal(vt_file_write_all(ends[1], VT_S("from a pipe"), NULL), VT_OK);
    close(ends[1]);
    vt_buffer b;
    vt_buffer_init(&b, 0);
    assert_int_equal(vt_file_read("-", 100, &b, NULL), VT_OK);
    assert_true(vt_slice_eq(vt_buffer_slice(&b), VT_S("from a pipe")));
    assert_true(fcntl(STDIN_FILENO, F_GETFD) >= 0);
    dup2(saved, STDIN_FILENO);
    close(saved);
    close(ends[0]);
    vt_buffer_deinit(&b);
}

static void test_reading_at_an_offset_gives_all_bytes_or_says_where_the_file_ends(void **state)
{
    (void)state;
    char dir[64], path[128], bytes[16];
    vt_err err;
    make_temp_dir(dir);
    snprintf(path, sizeof path, "%s/file", dir);
    write_digits(path, 100);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(vt_file_pread(fd, bytes, 5, 95, &err), VT_OK);
    assert_memory_equal(bytes, "56789", 5);
    assert_int_equal(vt_file_pread(fd, bytes, 0, 500, &err), VT_OK);
    assert_int_equal(vt_file_pread(fd, bytes, 6, 95, &err), VT_EIO);
    assert_non_null(strstr(err.msg, "ends at offset 100, 1 bytes too early"));
    assert_int_equal(vt_file_pread(fd, bytes, 1, UINT64_MAX, &err), VT_EIO);
    close(fd);
    assert_int_equal(vt_file_pread(-1, bytes, 1, 0, &err), VT_EIO);
    assert_int_equal(err.sys_errno, EBADF);
    remove_tree(dir);
}

static void test_writing_to_a_full_device_fails_with_its_reason(void **state)
{
    (void)state;
    vt_err err;
    int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(vt_file_write_all(fd, (vt_slice){0}, &err), VT_OK);
    assert_int_equal(vt_file_write_all(fd, VT_S("x"), &err), VT_EIO);
    assert_int_equal(err.sys_errno, ENOSPC);
    close(fd);
}

static void test_directories_are_made_with_their_parents_private_and_once(void **state)
{
    (void)state;
    char dir[64], path[128];
    make_temp_dir(dir);
    snprintf(path, sizeof path, "%s/a//b/c/", dir);
    assert_int_equal(vt_file_make_dirs(path, NULL), VT_OK);
    assert_int_equal(vt_file_make_dirs(path, NULL), VT_OK);
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    assert_true(S_ISDIR(info.st_mode));
    assert_int_equal(info.st_mode & 0777, 0700);
    assert_int_equal(vt_file_make_dirs("/", NULL), VT_OK);
    assert_int_equal(vt_file_make_dirs("", NULL), VT_EINPUT);
    remove_tree(dir);
}

static void test_a_file_in_the_way_of_a_directory_is_an_error(void **state)
{
    (void)state;
    char dir[64], path[128];
    vt_err err;
    make_temp_dir(dir);
    snprintf(path, sizeof path, "%s/file", dir);
    write_digits(path, 1);
    assert_int_equal(vt_file_make_dirs(path, &err), VT_EIO);
    assert_int_equal(err.sys_errno, ENOTDIR);
    snprintf(path, sizeof path, "%s/file/below", dir);
    assert_int_equal(vt_file_make_dirs(path, &err), VT_EIO);
    assert_int_equal(err.sys_errno, ENOTDIR);
    remove_tree(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_file_of_exactly_the_limit_is_read_and_one_byte_more_is_refused),
        cmocka_unit_test(test_the_ceiling_of_the_buffer_is_a_limit_too_and_leaves_it_usable),
        cmocka_unit_test(test_what_cannot_be_read_is_named_with_the_systems_reason),
        cmocka_unit_test(test_standard_input_is_read_to_its_end_and_stays_open),
        cmocka_unit_test(test_reading_at_an_offset_gives_all_bytes_or_says_where_the_file_ends),
        cmocka_unit_test(test_writing_to_a_full_device_fails_with_its_reason),
        cmocka_unit_test(test_directories_are_made_with_their_parents_private_and_once),
        cmocka_unit_test(test_a_file_in_the_way_of_a_directory_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
