/* replace.c -- see replace.h. */
#include "base/replace.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

enum { TEMP_TRIES = 64 };

#define TEMP_FORMAT ".%s.%ld.%u" /* the name, the process, a number */

static atomic_uint temp_seq; /* keeps two threads of one process apart */

/* Give r->temp the next name for a temp file of r->name. */
static vt_status next_temp(vt_replacement *r, vt_err *err)
{
    int n = snprintf(r->temp, sizeof r->temp, TEMP_FORMAT, r->name, (long)getpid(),
                     atomic_fetch_add(&temp_seq, 1));
    if (n >= 0 && (size_t)n < sizeof r->temp) return VT_OK;
    r->temp[0] = '\0';
    return vt_fail(err, VT_ELIMIT, "file name too long: %.64s", r->name);
}

/* From here on nobody takes it for one that was left. False when somebody did just before: it is
 * locked, or has no name any more. Where locks are not to be had, nobody removes anything. */
static bool hold(int fd)
{
    struct stat info;
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) return errno != EWOULDBLOCK;
    return fstat(fd, &info) == 0 && info.st_nlink > 0;
}

/* A crashed process with our pid (always 1 in a container) may have left a temp file of this very
 * name, so on EEXIST take the next number. */
static vt_status open_named(vt_replacement *r, vt_err *err)
{
    for (int i = 0; i < TEMP_TRIES; i++) {
        vt_status st = next_temp(r, err);
        if (st != VT_OK) return st;
        r->fd = openat(r->dirfd, r->temp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (r->fd >= 0 && hold(r->fd)) return VT_OK;
        if (r->fd < 0 && errno != EEXIST) break;
        if (r->fd >= 0) close(r->fd);
        r->fd = -1;
    }
    vt_status st = vt_fail_errno(err, VT_EIO, "cannot create %s", r->temp);
    r->temp[0] = '\0';
    return st;
}

/* A file without a name: it goes with its last descriptor. It is named through /proc at the end,
 * so that has to be there. */
static bool open_nameless(vt_replacement *r)
{
    if (access("/proc/self/fd", X_OK) != 0) return false;
    r->fd = openat(r->dirfd, ".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
    if (r->fd >= 0) (void)flock(r->fd, LOCK_EX | LOCK_NB); /* it will have a name for a moment */
    return r->fd >= 0;
}

static vt_status give_name(vt_replacement *r, vt_err *err)
{
    char self[40];
    snprintf(self, sizeof self, "/proc/self/fd/%d", r->fd);
    for (int i = 0; i < TEMP_TRIES; i++) {
        vt_status st = next_temp(r, err);
        if (st != VT_OK) return st;
        if (linkat(AT_FDCWD, self, r->dirfd, r->temp, AT_SYMLINK_FOLLOW) == 0) return VT_OK;
        if (errno != EEXIST) break;
    }
    vt_status st = vt_fail_errno(err, VT_EIO, "cannot create %s", r->temp);
    r->temp[0] = '\0';
    return st;
}

static vt_status set_name(vt_replacement *r, const char *name, vt_err *err)
{
    if (name[0] == '\0' || strchr(name, '/') != NULL)
        return vt_fail(err, VT_EINPUT, "not a plain file name: %.64s", name);
    /* Its temp files have longer names: said now, not when all is written. */
    const int n = snprintf(NULL, 0, TEMP_FORMAT, name, (long)getpid(),
                           atomic_load(&temp_seq) + 10 * TEMP_TRIES);
    if (n < 0 || n > NAME_MAX) return vt_fail(err, VT_EINPUT, "file name too long: %.64s", name);
    snprintf(r->name, sizeof r->name, "%s", name);
    return VT_OK;
}

/* The steps from written bytes to their final name; dirfd stays open. */
static vt_status finish(vt_replacement *r, vt_err *err)
{
    vt_status st = VT_OK;
    /* Data must reach the disk before the name does: renaming first can leave an empty file under
     * the final name after a crash. */
    if (fsync(r->fd) != 0) return vt_fail_errno(err, VT_EIO, "cannot sync %.64s", r->name);
    if (r->temp[0] == '\0') st = give_name(r, err);
    if (st != VT_OK) return st;
    if (renameat(r->dirfd, r->temp, r->dirfd, r->name) != 0)
        return vt_fail_errno(err, VT_EIO, "cannot rename %s to %.64s", r->temp, r->name);
    r->temp[0] = '\0'; /* renamed away: nothing left to unlink */
    if (fsync(r->dirfd) != 0)
        return vt_fail_errno(err, VT_EIO, "cannot sync directory of %.64s", r->name);
    return VT_OK;
}

static void drop_file(vt_replacement *r)
{
    if (r->fd >= 0) close(r->fd);
    if (r->temp[0] != '\0') unlinkat(r->dirfd, r->temp, 0);
    r->fd = -1;
    r->temp[0] = '\0';
}

vt_status vt_file_replace(int dirfd, const char *name, vt_slice data, vt_err *err)
{
    vt_replacement r = {.fd = -1, .dirfd = dirfd};
    vt_status st = set_name(&r, name, err);
    if (st == VT_OK) st = open_named(&r, err);
    if (st != VT_OK) return st;
    if (vt_file_write_all(r.fd, data, NULL) != VT_OK)
        st = vt_fail_errno(err, VT_EIO, "cannot write %s", r.temp);
    else st = finish(&r, err);
    drop_file(&r);
    return st;
}

/* The directory that holds `path`, open; *name is the rest. Negative after a failure. */
static int open_directory_of(const char *path, const char **name, vt_err *err)
{
    const char *slash = strrchr(path, '/');
    char dir[PATH_MAX] = ".";
    *name = slash ? slash + 1 : path;
    if (slash != NULL) {
        size_t len = slash == path ? 1 : (size_t)(slash - path);
        if (len >= sizeof dir) {
            (void)vt_fail(err, VT_ELIMIT, "path too long: %.64s", path);
            return -1;
        }
        memcpy(dir, path, len);
        dir[len] = '\0';
    }
    int dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dirfd < 0) (void)vt_fail_errno(err, VT_EIO, "cannot open directory %.200s", dir);
    return dirfd;
}

vt_status vt_file_replace_path(const char *path, vt_slice data, vt_err *err)
{
    vt_err why = {0};
    const char *name;
    int dirfd = open_directory_of(path, &name, &why);
    vt_status st = why.code;
    if (dirfd >= 0) {
        st = vt_file_replace(dirfd, name, data, &why);
        close(dirfd);
    }
    if (st != VT_OK && err != NULL) *err = why;
    return st;
}

/* ---- what killed processes left ---- */

/* "[0-9]+" at *text; *text is then behind it. */
static bool skip_digits(const char **text)
{
    const char *begin = *text;
    while (**text >= '0' && **text <= '9') ++*text;
    return *text > begin;
}

bool vt_replacement_is_temp(const char *entry, vt_slice name)
{
    if (entry[0] != '.' || strncmp(entry + 1, name.ptr, name.len) != 0) return false;
    const char *rest = entry + 1 + name.len;
    return *rest++ == '.' && skip_digits(&rest) && *rest++ == '.' && skip_digits(&rest) &&
           *rest == '\0';
}

bool vt_replacement_remove_left(int dirfd, const char *entry, uint64_t *n_bytes)
{
    struct stat info;
    int fd = openat(dirfd, entry, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) return false;
    /* Removed under the lock: who has created it and not locked it yet sees that its name is gone.
     */
    const bool is_left = fstat(fd, &info) == 0 && S_ISREG(info.st_mode) &&
                         flock(fd, LOCK_EX | LOCK_NB) == 0 && unlinkat(dirfd, entry, 0) == 0;
    close(fd);
    if (is_left && n_bytes != NULL) *n_bytes = (uint64_t)info.st_size;
    return is_left;
}

static void remove_all_left(const vt_replacement *r)
{
    const struct dirent *e;
    const int fd = openat(r->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    if (d == NULL && fd >= 0) close(fd);
    while (d != NULL && (e = readdir(d)) != NULL)
        if (vt_replacement_is_temp(e->d_name, vt_slice_cstr(r->name)))
            (void)vt_replacement_remove_left(r->dirfd, e->d_name, NULL);
    if (d != NULL) closedir(d);
}

vt_status vt_replacement_begin(const char *path, vt_replacement *r, vt_err *err)
{
    vt_err why = {0};
    const char *name;
    vt_replacement own = {.fd = -1};
    own.dirfd = open_directory_of(path, &name, &why);
    if (own.dirfd < 0) {
        if (err != NULL) *err = why;
        return why.code;
    }
    vt_status st = set_name(&own, name, err);
    if (st == VT_OK) remove_all_left(&own);
    if (st == VT_OK && !open_nameless(&own)) st = open_named(&own, err);
    if (st == VT_OK) *r = own;
    else close(own.dirfd);
    return st;
}

vt_status vt_replacement_commit(vt_replacement *r, vt_err *err)
{
    vt_status st = finish(r, err);
    vt_replacement_abort(r);
    return st;
}

void vt_replacement_abort(vt_replacement *r)
{
    drop_file(r);
    close(r->dirfd);
    r->dirfd = -1;
}
