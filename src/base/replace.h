/* replace.h -- replace a file so that a reader sees the old bytes or the new bytes, never a
 * mixture.
 *
 * Everything we persist for ourselves goes through this one function, so crash safety is argued
 * once. Not for the user's own files: mode, owner and links are not kept.
 *
 *     temp file in the same directory -> write -> fsync -> rename -> fsync(dir)
 *
 * Ownership  borrows every argument for the call and keeps nothing.
 * Threads    safe; of two writers to one name, one whole version wins.
 * Failure    until the rename the old file is untouched and the temp file is removed; VT_EIO from
 * the last step means the new bytes are in place but may not survive power loss. */
#ifndef VT_BASE_REPLACE_H
#define VT_BASE_REPLACE_H

#include "base/error.h"
#include "base/slice.h"

/* Make `name`, a plain name inside the open directory `dirfd`, hold exactly `data`. The file is
 * created with mode 0600: it may contain user text. */
VT_MUSTUSE vt_status vt_file_replace(int dirfd, const char *name, vt_slice data, vt_err *err);

/* The same for a path; its directory must exist. */
VT_MUSTUSE vt_status vt_file_replace_path(const char *path, vt_slice data, vt_err *err);

#endif
