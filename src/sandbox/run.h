/* run.h -- start a prepared child, feed on its output, end it: the mechanics under sandbox.h. Knows
 * nothing of which confinement is used; the plan says what the child does before it executes.
 *
 * Between fork and exec the child makes system calls only: everything that allocates or opens was
 * done when the plan was made, so it is safe in a program with threads. */
#ifndef VT_SANDBOX_RUN_H
#define VT_SANDBOX_RUN_H

#include <linux/filter.h>
#include <stdatomic.h>
#include <stdint.h>

#include "base/buffer.h"
#include "sandbox/sandbox.h"

typedef struct {
    const char *path;
    char *const *argv;
    char *const *envp;
    const char *cwd;
    int stdin_fd;
    int extra_fd;     /* becomes descriptor 3; -1: none */
    bool drops_root;  /* become nobody:nogroup first */
    bool is_confined; /* no_new_privs, then ruleset and filter, by the child itself */
    int ruleset_fd;   /* Landlock; -1: none */
    struct sock_fprog filter;
    const vt_sandbox_limits *limits; /* all set */
    const atomic_bool *is_cancelled;
} vt_child_plan;

/* Runs the child to its end. VT_OK whatever its exit code was; VT_ELIMIT and VT_ECANCEL when it was
 * killed for it; VT_EIO when it could not be started. */
VT_MUSTUSE vt_status vt_child_run(const vt_child_plan *plan, vt_buffer *out, vt_buffer *messages,
                                  vt_sandbox_result *result, vt_err *err);

#endif
