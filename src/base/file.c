/* file.c -- see file.h. */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"

static vt_status fail_open(const char *path, vt_err *err)
{
    return vt_fail_errno(err, errno == ENOENT ? VT_ENOTFOUND : VT_EIO, "cannot open %.200s", path);
}

vt_status vt_file_read(const char *path, size_t limit, vt_buffer *out, vt_err *err)
{
    vt_status st = VT_OK;
    size_t before = out->len;
    bool is_stdin = strcmp(path, "-") == 0;
    int fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return fail_open(path, err);

    struct stat info;
    if (fstat(fd, &info) == 0 && S_ISDIR(info.st_mode)) {
        st = vt_fail(err, VT_EINPUT, "%.200s is a directory, not a file", path);
        goto out;
    }
    for (;;) {
        if (!vt_buffer_reserve(out, 65536)) {
            st = vt_fail(err, VT_ELIMIT, "%.200s: larger than its limit of %zu bytes", path, limit);
            goto out;
        }
        ssize_t n = read(fd, out->ptr + out->len, 65536);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) {
            st = vt_fail_errno(err, VT_EIO, "cannot read %.200s", path);
            goto out;
        }
        if (n == 0) break;
        if (out->len + (size_t)n - before > limit) {
            st = vt_fail(err, VT_ELIMIT, "%.200s: larger than its limit of %zu bytes", path, limit);
            goto out;
        }
        out->len += (size_t)n;
    }

out:
    if (out->ptr) {
        if (st != VT_OK) out->len = before;
        out->ptr[out->len] = '\0';
    }
    if (!is_stdin) close(fd);
    return st;
}

vt_status vt_file_pread(int fd, void *out, size_t n_bytes, uint64_t offset, vt_err *err)
{
    char *p = out;
    while (n_bytes > 0) {
        ssize_t n = pread(fd, p, n_bytes, (off_t)offset);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0)
            return vt_fail_errno(err, VT_EIO, "cannot read at offset %llu",
                                 (unsigned long long)offset);
        if (n == 0)
            return vt_fail(err, VT_EIO, "the file ends at offset %llu, %zu bytes too early",
                           (unsigned long long)offset, n_bytes);
        p += n;
        n_bytes -= (size_t)n;
        offset += (uint64_t)n;
    }
    return VT_OK;
}

vt_status vt_file_write_all(int fd, vt_slice s, vt_err *err)
{
    while (s.len > 0) {
        ssize_t n = write(fd, s.ptr, s.len);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return vt_fail_errno(err, VT_EIO, "cannot write");
        s = vt_slice_skip(s, (size_t)n);
    }
    return VT_OK;
}

vt_status vt_file_make_dirs(const char *path, vt_err *err)
{
    vt_status st = VT_OK;
    char *copy = vt_strdup(vt_slice_cstr(path));
    if (copy == NULL) return vt_fail(err, VT_ENOMEM, "out of memory");
    for (char *p = copy + 1; copy[0] != '\0'; p++) {
        if (*p != '/' && *p != '\0') continue;
        char saved = *p;
        *p = '\0';
        if (mkdir(copy, 0700) != 0 && errno != EEXIST) {
            st = vt_fail_errno(err, VT_EIO, "cannot create directory %.200s", copy);
            break;
        }
        *p = saved;
        if (saved == '\0') break;
    }
    vt_free(copy);
    return st;
}
