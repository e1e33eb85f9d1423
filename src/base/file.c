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

static vt_status fail_limit(const char *path, size_t limit, vt_err *err)
{
    return vt_fail(err, VT_ELIMIT, "%.200s: larger than its limit of %zu bytes", path, limit);
}

/* Read fd to its end, appending; at most `limit` bytes. */
static vt_status read_to_end(int fd, const char *path, size_t limit, vt_buffer *out, vt_err *err)
{
    enum { CHUNK = 65536 };
    for (;;) {
        /* At the limit one byte more is asked for, into the side: is there an end, or more? */
        char extra;
        size_t want = limit < CHUNK ? limit : CHUNK;
        if (want > 0 && !vt_buffer_reserve(out, want))
            return vt_fail(err, VT_ENOMEM, "out of memory reading %.200s", path);
        ssize_t n = want > 0 ? read(fd, out->ptr + out->len, want) : read(fd, &extra, 1);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return vt_fail_errno(err, VT_EIO, "cannot read %.200s", path);
        if (n == 0) return VT_OK;
        if (want == 0) return VT_ELIMIT;
        out->len += (size_t)n;
        limit -= (size_t)n;
    }
}

vt_status vt_file_read(const char *path, size_t limit, vt_buffer *out, vt_err *err)
{
    vt_status st;
    size_t before = out->len;
    bool had_failed = out->failed;
    bool is_stdin = strcmp(path, "-") == 0;
    int fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return fail_open(path, err);

    size_t room = vt_buffer_room(out);
    if (limit > room) limit = room;
    struct stat info;
    if (fstat(fd, &info) == 0 && S_ISDIR(info.st_mode)) {
        st = vt_fail(err, VT_EINPUT, "%.200s is a directory, not a file", path);
        goto out;
    }
    st = read_to_end(fd, path, limit, out, err);
    if (st == VT_ELIMIT) st = fail_limit(path, limit, err);

out:
    if (st != VT_OK) {
        out->len = before;
        out->failed = had_failed;
    }
    if (out->ptr != NULL) out->ptr[out->len] = '\0';
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
        if (n == 0) errno = EIO; /* no progress and no reason: don't try for ever */
        if (n <= 0) return vt_fail_errno(err, VT_EIO, "cannot write");
        s = vt_slice_skip(s, (size_t)n);
    }
    return VT_OK;
}

vt_status vt_file_make_dirs(const char *path, vt_err *err)
{
    vt_status st = VT_OK;
    struct stat info;
    if (path[0] == '\0') return vt_fail(err, VT_EINPUT, "the path of a directory is empty");
    char *copy = vt_strdup(vt_slice_cstr(path));
    if (copy == NULL) return vt_fail(err, VT_ENOMEM, "out of memory");
    for (char *p = copy + 1;; p++) {
        if (*p != '/' && *p != '\0') continue;
        char saved = *p;
        *p = '\0';
        const int why = mkdir(copy, 0700) == 0 ? 0 : errno;
        if (why != 0 && (why != EEXIST || stat(copy, &info) != 0 || !S_ISDIR(info.st_mode))) {
            errno = why == EEXIST ? ENOTDIR : why;
            st = vt_fail_errno(err, VT_EIO, "cannot create directory %.200s", copy);
            break;
        }
        *p = saved;
        if (saved == '\0') break;
    }
    vt_free(copy);
    return st;
}
