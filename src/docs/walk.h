/* walk.h -- the files of a folder that may be documents.
 *
 * Left out, with a note each: hidden files and folders (.git, .env), node_modules and __pycache__,
 * symbolic links (one could lead anywhere, or round in a circle), pipes, sockets and devices, and
 * what is deeper than VT_WALK_DEPTH. `.vetro` is left out without a note.
 *
 * Failure  a folder that can't be read costs it a note; VT_ENOTFOUND when the root is gone;
 * VT_ELIMIT past VT_WALK_FILES. Threads safe. */
#ifndef VT_DOCS_WALK_H
#define VT_DOCS_WALK_H

#include <sys/stat.h>

#include "base/progress.h"
#include "docs/index.h"

enum { VT_WALK_DEPTH = 64, VT_WALK_FILES = 4 << 20 };

typedef struct {
    char *path; /* below the root, no leading slash; any bytes but NUL */
    int64_t size;
    int64_t mtime_ns;
    int64_t inode;
} vt_walk_file;

typedef struct {
    vt_walk_file *items; /* by path, bytewise */
    size_t n;
    size_t cap;
} vt_walk;

VT_MUSTUSE vt_status vt_walk_folder(const vt_index *ix, const vt_progress *progress, vt_walk *out,
                                    vt_report *report, vt_err *err);
void vt_walk_deinit(vt_walk *walk);

/* Open a path below the root for reading, following no link on the way; never blocks on a pipe.
 * -1 and errno on failure. */
int vt_walk_open(int dirfd, const char *path, bool is_directory);

int64_t vt_walk_mtime_ns(const struct stat *info);

#endif
