/* file.h -- reading files whole or in pieces, and making directories. Writing goes through
 * replace.h.
 *
 * Failure  VT_ENOTFOUND when the file is not there, VT_ELIMIT past `limit`, VT_EIO otherwise; the
 * message names the path and the system's reason.
 * Threads  safe. */
#ifndef VT_BASE_FILE_H
#define VT_BASE_FILE_H

#include <stdint.h>

#include "base/buffer.h"

/* Append the whole file to `out`; more than `limit` bytes, or than `out` may still take, is
 * VT_ELIMIT. On failure `out` is as it was.
 * Works on pipes and "-" (standard input) too. */
VT_MUSTUSE vt_status vt_file_read(const char *path, size_t limit, vt_buffer *out, vt_err *err);

/* Exactly n_bytes at `offset`, restarting short and interrupted reads; fewer is VT_EIO. */
VT_MUSTUSE vt_status vt_file_pread(int fd, void *out, size_t n_bytes, uint64_t offset, vt_err *err);

/* All of `s` to fd, restarting short and interrupted writes. */
VT_MUSTUSE vt_status vt_file_write_all(int fd, vt_slice s, vt_err *err);

/* mkdir -p with mode 0700 for what is created: it will hold user data. */
VT_MUSTUSE vt_status vt_file_make_dirs(const char *path, vt_err *err);

#endif
