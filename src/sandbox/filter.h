/* filter.h -- the list of system calls that a sandboxed program may make, as a seccomp program.
 *
 * What isn't on the list fails with EPERM (clone3 with ENOSYS, so that the C library falls back to
 * clone, whose flags can be looked at). Not on it: sockets of every kind, ptrace and its relatives,
 * namespaces, mounts, keys, BPF, io_uring, modules, clocks, and, unless the job may have processes,
 * fork. Another architecture's calls (32-bit on x86-64) kill the program. */
#ifndef VT_SANDBOX_FILTER_H
#define VT_SANDBOX_FILTER_H

#include "base/buffer.h"

typedef struct {
    bool can_fork;
    bool is_only_wall; /* no namespaces around it: signals to other processes are refused, too */
} vt_filter_options;

/* Appends the BPF program, an array of struct sock_filter. */
VT_MUSTUSE vt_status vt_filter_build(const vt_filter_options *options, vt_buffer *out, vt_err *err);

#endif
