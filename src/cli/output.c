/* output.c -- see output.h. */
#include "cli/output.h"

#include <sys/stat.h>

#include "model/gguf.h"

/* Links are followed here: one that leads to the model is best told so. */
static vt_status check_own_files(const char *path, const char *model, vt_err *err)
{
    struct stat target;
    struct stat own;
    vt_gguf *g = NULL;
    if (stat(path, &target) != 0) return VT_OK;
    vt_status st = vt_gguf_open(model, &g, err);
    for (uint32_t i = 0; st == VT_OK && i < vt_gguf_n_files(g); i++)
        if (fstat(vt_gguf_fd(g, i), &own) == 0 && own.st_dev == target.st_dev &&
            own.st_ino == target.st_ino)
            st =
                vt_fail(err, VT_EINPUT, "%.200s is %s; name another file", path,
                        vt_gguf_n_files(g) > 1 ? "a part of the model itself" : "the model itself");
    vt_gguf_close(g);
    return st;
}

vt_status vt_cli_check_output(const char *path, const char *model, vt_err *err)
{
    struct stat info;
    if (lstat(path, &info) != 0) return VT_OK; /* what else is wrong, creating the file tells */
    if (S_ISDIR(info.st_mode))
        return vt_fail(err, VT_EINPUT, "%.200s is a directory; name a file", path);
    vt_status st = check_own_files(path, model, err);
    if (st != VT_OK) return st;
    if (S_ISLNK(info.st_mode))
        return vt_fail(err, VT_EINPUT, "%.200s is a symbolic link; name a file", path);
    if (!S_ISREG(info.st_mode))
        return vt_fail(err, VT_EINPUT, "%.200s is no regular file; name one", path);
    return VT_OK;
}
