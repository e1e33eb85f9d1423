/* walk.c -- see walk.h. Folders are opened one at a time by their path below the root, so the depth
 * costs no descriptors. */
#include "docs/walk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/alloc.h"

typedef struct {
    char *path; /* "" for the root */
    int depth;
} pending;

typedef struct {
    const vt_index *ix;
    const vt_progress *progress;
    vt_walk *out;
    vt_report *report;
    pending *stack;
    size_t n_stack;
    size_t cap_stack;
} walker;

int vt_walk_open(int dirfd, const char *path, bool is_directory)
{
    uint64_t flags = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
    if (is_directory) flags |= O_DIRECTORY;
    struct open_how how = {.flags = flags, .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};
    int fd = (int)syscall(SYS_openat2, dirfd, path, &how, sizeof how);
    /* Some containers' filters know no openat2. */
    if (fd < 0 && (errno == ENOSYS || errno == EPERM)) fd = openat(dirfd, path, (int)flags);
    return fd;
}

int64_t vt_walk_mtime_ns(const struct stat *info)
{
    return (int64_t)info->st_mtim.tv_sec * 1000000000 + info->st_mtim.tv_nsec;
}

static char *join(const char *folder, const char *name)
{
    vt_buffer b;
    vt_buffer_init(&b, 1 << 20);
    if (folder[0] != '\0') {
        vt_buffer_append(&b, vt_slice_cstr(folder));
        vt_buffer_byte(&b, '/');
    }
    vt_buffer_append(&b, vt_slice_cstr(name));
    char *path = b.failed ? NULL : vt_buffer_take(&b);
    vt_buffer_deinit(&b);
    return path;
}

static bool note(walker *w, const char *path, const char *reason, bool is_error)
{
    return vt_report_note(w->report, vt_index_shown_name(w->ix, vt_slice_cstr(path)), reason,
                          is_error);
}

static vt_status no_memory(vt_err *err)
{
    return vt_fail(err, VT_ENOMEM, "out of memory");
}

/* Takes `path`. */
static vt_status push(walker *w, char *path, int depth, vt_err *err)
{
    if (path == NULL || !vt_grow((void **)&w->stack, &w->cap_stack, w->n_stack + 1,
                                 sizeof *w->stack, VT_WALK_FILES)) {
        vt_free(path);
        return no_memory(err);
    }
    w->stack[w->n_stack++] = (pending){path, depth};
    return VT_OK;
}

/* Takes `path`. */
static vt_status add_file(walker *w, char *path, const struct stat *info, vt_err *err)
{
    vt_walk *out = w->out;
    if (path == NULL ||
        !vt_grow((void **)&out->items, &out->cap, out->n + 1, sizeof *out->items, VT_WALK_FILES)) {
        vt_free(path);
        if (out->n >= VT_WALK_FILES)
            return vt_fail(err, VT_ELIMIT, "more than %d files in one folder", (int)VT_WALK_FILES);
        return no_memory(err);
    }
    out->items[out->n++] = (vt_walk_file){
        .path = path,
        .size = info->st_size,
        .mtime_ns = vt_walk_mtime_ns(info),
        .inode = (int64_t)info->st_ino,
    };
    return VT_OK;
}

/* Why an entry is left out; NULL: it isn't. */
static const char *reason_to_skip(const char *name, mode_t mode, int depth)
{
    if (name[0] == '.') return "hidden";
    if (S_ISLNK(mode)) return "symbolic link";
    if (S_ISDIR(mode)) {
        if (strcmp(name, "node_modules") == 0 || strcmp(name, "__pycache__") == 0)
            return "generated folder";
        return depth >= VT_WALK_DEPTH ? "too deep" : NULL;
    }
    return S_ISREG(mode) ? NULL : "not a regular file";
}

static vt_status visit(walker *w, DIR *dir, const pending *folder, const char *name, vt_err *err)
{
    struct stat info;
    vt_status st = VT_OK;
    char *path = join(folder->path, name);
    if (path == NULL) return no_memory(err);
    if (fstatat(dirfd(dir), name, &info, AT_SYMLINK_NOFOLLOW) != 0) {
        /* Gone between the two calls: it isn't there, which is no error. */
        if (errno != ENOENT) note(w, path, "cannot be examined", true);
        goto out;
    }
    const char *reason = reason_to_skip(name, info.st_mode, folder->depth);
    if (reason != NULL) {
        note(w, path, reason, false);
    } else if (S_ISDIR(info.st_mode)) {
        st = push(w, path, folder->depth + 1, err);
        path = NULL;
    } else {
        st = add_file(w, path, &info, err);
        path = NULL;
    }

out:
    vt_free(path);
    return st;
}

static vt_status read_folder(walker *w, const pending *folder, vt_err *err)
{
    bool is_root = folder->path[0] == '\0';
    int fd = vt_walk_open(w->ix->dirfd, is_root ? "." : folder->path, true);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (dir == NULL) {
        int why = errno;
        if (fd >= 0) close(fd);
        errno = why;
        if (is_root)
            return vt_fail_errno(err, VT_ENOTFOUND, "cannot read the folder %.200s", w->ix->path);
        note(w, folder->path, strerrordesc_np(why), true);
        return VT_OK;
    }
    vt_status st = VT_OK;
    for (struct dirent *e = readdir(dir); e != NULL && st == VT_OK; e = readdir(dir)) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
            strcmp(e->d_name, ".vetro") == 0)
            continue;
        st = visit(w, dir, folder, e->d_name, err);
    }
    closedir(dir);
    return st;
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const vt_walk_file *)a)->path, ((const vt_walk_file *)b)->path);
}

vt_status vt_walk_folder(const vt_index *ix, const vt_progress *progress, vt_walk *out,
                         vt_report *report, vt_err *err)
{
    *out = (vt_walk){0};
    walker w = {.ix = ix, .progress = progress, .out = out, .report = report};
    vt_status st = push(&w, vt_strdup(VT_S("")), 0, err);
    while (st == VT_OK && w.n_stack > 0) {
        pending folder = w.stack[--w.n_stack];
        st = read_folder(&w, &folder, err);
        vt_free(folder.path);
        vt_progress_report(progress, "looking for files", out->n, 0);
        if (st == VT_OK && vt_progress_cancelled(progress))
            st = vt_fail(err, VT_ECANCEL, "cancelled");
    }
    while (w.n_stack > 0) vt_free(w.stack[--w.n_stack].path);
    vt_free(w.stack);
    if (st == VT_OK && out->n > 1) qsort(out->items, out->n, sizeof *out->items, by_path);
    if (st != VT_OK) vt_walk_deinit(out);
    return st;
}

void vt_walk_deinit(vt_walk *walk)
{
    for (size_t i = 0; i < walk->n; i++) vt_free(walk->items[i].path);
    vt_free(walk->items);
    *walk = (vt_walk){0};
}
