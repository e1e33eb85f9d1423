/* landlock.h -- file access rules by the kernel, without namespaces or privileges.
 *
 * Prepared in the parent (it opens files and makes the rule set), entered in the child by two
 * system calls. Debian's headers know ABI 2; newer constants are here and used when the kernel says
 * so. */
#ifndef VT_SANDBOX_LANDLOCK_H
#define VT_SANDBOX_LANDLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/* 0: not available. */
int vt_landlock_abi(void);

/* A rule set (file descriptor, close-on-exec) under which /usr and its links may be read and run,
 * `work_dir` (may be NULL) read and written, and nothing else; TCP is refused (ABI 4), signals to
 * and abstract sockets of processes outside, too (ABI 6). */
VT_MUSTUSE vt_status vt_landlock_prepare(const char *work_dir, int *ruleset_fd, vt_err *err);

/* In the child, after no_new_privs: async-signal-safe. False with errno. */
bool vt_landlock_enter(int ruleset_fd);

#endif
