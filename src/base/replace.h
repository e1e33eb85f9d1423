/* replace.h -- replace a file so that a reader sees the old bytes or the new bytes, never a
 * mixture.
 *
 * Everything we persist for ourselves goes through here, so crash safety is argued once. Not for
 * the user's own files: mode, owner and links are not kept.
 *
 *     temp file in the same directory -> write -> fsync -> rename -> fsync(dir)
 *
 * Bytes at hand are one call (vt_file_replace). What is too large for memory is written in pieces:
 *
 *     vt_replacement r;
 *     vt_replacement_begin(path, &r, err);       // r.fd is open for reading and writing
 *     ... write to r.fd ...
 *     vt_replacement_commit(&r, err);            // or vt_replacement_abort(&r)
 *
 * There the temp file has no name until the end where the file system can do that (O_TMPFILE): a
 * process that is killed meanwhile leaves nothing behind, not even garbage.
 *
 * Where it has one, `.NAME.PID.NUMBER`, its writer holds a lock on it (flock), which ends with the
 * process: a temp file that can be locked is one that a killed process left. Beginning a
 * replacement removes those of its name; a directory of many names is tidied by who owns it
 * (vt_replacement_is_temp, vt_replacement_remove_left).
 *
 * Ownership  borrows every argument for the call and keeps nothing; a begun replacement owns two
 * descriptors until it is committed or aborted.
 * Threads    safe; of two writers to one name, one whole version wins.
 * Failure    until the rename the old file is untouched and the temp file is removed; VT_EIO from
 * the last step means the new bytes are in place but may not survive power loss. */
#ifndef VT_BASE_REPLACE_H
#define VT_BASE_REPLACE_H

#include <stdint.h>

#include "base/error.h"
#include "base/slice.h"

/* Make `name`, a plain name inside the open directory `dirfd`, hold exactly `data`. The file is
 * created with mode 0600: it may contain user text. */
VT_MUSTUSE vt_status vt_file_replace(int dirfd, const char *name, vt_slice data, vt_err *err);

/* The same for a path; its directory must exist. */
VT_MUSTUSE vt_status vt_file_replace_path(const char *path, vt_slice data, vt_err *err);

enum { VT_REPLACEMENT_NAME = 256 };

typedef struct {
    int fd; /* the caller's to write to, not to close */
    int dirfd;
    char name[VT_REPLACEMENT_NAME];
    char temp[VT_REPLACEMENT_NAME]; /* empty while the file has no name */
} vt_replacement;

/* Mode 0600. On failure there is nothing to abort. */
VT_MUSTUSE vt_status vt_replacement_begin(const char *path, vt_replacement *r, vt_err *err);
/* Ends it either way: on failure it has been aborted. */
VT_MUSTUSE vt_status vt_replacement_commit(vt_replacement *r, vt_err *err);
void vt_replacement_abort(vt_replacement *r);

/* Is `entry` the name of a temp file of `name`? */
bool vt_replacement_is_temp(const char *entry, vt_slice name);

/* Remove the temp file `entry` of the directory, unless its writer lives, or that can't be told:
 * then false. *n_bytes, may be NULL, is what it took. */
bool vt_replacement_remove_left(int dirfd, const char *entry, uint64_t *n_bytes);

#endif
