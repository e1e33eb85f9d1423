/* replace.c -- see replace.h. */
#include "base/replace.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "base/file.h"

enum { TEMP_TRIES = 64 };

static atomic_uint temp_seq; /* keeps two threads of one process apart */

vt_status vt_file_replace(int dirfd, const char *name, vt_slice data, vt_err *err)
{
    vt_status st = VT_OK;
    char temp[256];
    int fd = -1;

    if (name[0] == '\0' || strchr(name, '/') != NULL)
        return vt_fail(err, VT_EINPUT, "not a plain file name: %.64s", name);

    /* A crashed process with our pid (always 1 in a container) may have left a temp file of this
     * very name, so on EEXIST take the next number. */
    for (int i = 0; i < TEMP_TRIES && fd < 0; i++) {
        int n = snprintf(temp, sizeof temp, ".%s.%ld.%u", name, (long)getpid(),
                         atomic_fetch_add(&temp_seq, 1));
        if (n < 0 || (size_t)n >= sizeof temp)
            return vt_fail(err, VT_ELIMIT, "file name too long: %.64s", name);
        fd = openat(dirfd, temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd < 0 && errno != EEXIST) break;
    }
    if (fd < 0) return vt_fail_errno(err, VT_EIO, "cannot create %s", temp);

    if (vt_file_write_all(fd, data, NULL) != VT_OK) {
        st = vt_fail_errno(err, VT_EIO, "cannot write %s", temp);
        goto out;
    }
    /* Data must reach the disk before the name does: renaming first can leave an empty file under
     * the final name after a crash. */
    if (fsync(fd) != 0) {
        st = vt_fail_errno(err, VT_EIO, "cannot sync %s", temp);
        goto out;
    }
    if (renameat(dirfd, temp, dirfd, name) != 0) {
        st = vt_fail_errno(err, VT_EIO, "cannot rename %s to %.64s", temp, name);
        goto out;
    }
    temp[0] = '\0'; /* renamed away: nothing left to unlink */
    if (fsync(dirfd) != 0) st = vt_fail_errno(err, VT_EIO, "cannot sync directory of %.64s", name);

out:
    close(fd);
    if (temp[0] != '\0') unlinkat(dirfd, temp, 0);
    return st;
}

vt_status vt_file_replace_path(const char *path, vt_slice data, vt_err *err)
{
    const char *slash = strrchr(path, '/');
    char dir[PATH_MAX] = ".";
    if (slash != NULL) {
        size_t len = slash == path ? 1 : (size_t)(slash - path);
        if (len >= sizeof dir) return vt_fail(err, VT_ELIMIT, "path too long: %.64s", path);
        memcpy(dir, path, len);
        dir[len] = '\0';
    }
    int dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dirfd < 0) return vt_fail_errno(err, VT_EIO, "cannot open directory %.200s", dir);
    vt_status st = vt_file_replace(dirfd, slash ? slash + 1 : path, data, err);
    close(dirfd);
    return st;
}
