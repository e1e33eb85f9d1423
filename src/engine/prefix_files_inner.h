/* prefix_files_inner.h -- private to engine/prefix_files.c and prefix_gc.c. */
#ifndef VT_ENGINE_PREFIX_FILES_INNER_H
#define VT_ENGINE_PREFIX_FILES_INNER_H

#include <dirent.h>

#include "engine/prefix_files.h"

struct vt_prefix_files {
    int dirfd;
};

/* Is it a name of vt_prefix_file_name's form? */
bool vt__prefix_is_name(const char *name);

/* Is there a file of the block with this key, and its header whole? Looks through the directory. */
bool vt__prefix_has(const vt_prefix_files *f, const vt_key *key);

/* An own stream of the directory (closedir); NULL: errno says why. */
DIR *vt__prefix_read_dir(const vt_prefix_files *f);

/* Open a block's file; *n_bytes its size. VT_ENOTFOUND, or VT_ECORRUPT when it is no plain file. */
VT_MUSTUSE vt_status vt__prefix_open_file(const vt_prefix_files *f, const char *name, int *fd,
                                          uint64_t *n_bytes, vt_err *err);

/* The header of an open file of n_bytes; its name must be that of its content. */
VT_MUSTUSE vt_status vt__prefix_read_head(int fd, uint64_t n_bytes, const char *name, vt_block *out,
                                          vt_err *err);

#endif
