/* sandbox.h -- run a program on input that nobody vouches for, so that it can hurt nothing.
 *
 * The program sees an empty file system with /usr (read-only) and a small /tmp in memory, its input
 * on standard input, and nothing else: no network, no other process, no environment, no privileges,
 * and hard limits on memory, processor time, wall time, files and output.
 *
 * Two ways, tried in this order by vt_sandbox_open:
 *   bubblewrap  own namespaces (user, mount, pid, net, ipc, uts, cgroup) + seccomp + rlimits
 *   landlock    where namespaces are forbidden (many containers): Landlock + seccomp + rlimits +
 *               no_new_privs in a forked child. Weaker: the program sees that other processes exist
 * When neither works, running is refused; nothing ever runs unconfined. Started by root, the
 * program runs as `nobody`, unless the job has a folder of its own.
 *
 * Ownership  the job borrows everything for the call.
 * Threads    a vt_sandbox is constant after open: any number of threads may run jobs. Safe in a
 *            program with threads: between fork and exec only system calls are made.
 * Failure    VT_EUNSUPPORTED no sandbox; VT_ENOTFOUND the program isn't installed; VT_ELIMIT time
 * or output ceiling; VT_ECANCEL; VT_EINPUT the program failed on its input (exit code, signal).
 * `result` is filled in every case where the program was started. */
#ifndef VT_SANDBOX_SANDBOX_H
#define VT_SANDBOX_SANDBOX_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/buffer.h"

typedef struct vt_sandbox vt_sandbox;

typedef enum { VT_SANDBOX_NONE, VT_SANDBOX_LANDLOCK, VT_SANDBOX_BWRAP } vt_sandbox_kind;

/* Zero means the default in brackets. */
typedef struct {
    uint64_t memory_bytes; /* address space [1 GiB] */
    uint64_t file_bytes;   /* largest file written, and the size of /tmp [64 MiB] */
    uint64_t output_bytes; /* of standard output [256 MiB]; error output keeps its first 16 KiB */
    uint32_t cpu_seconds;  /* [60] */
    uint32_t wall_ms;      /* [120,000] */
    uint32_t n_processes;  /* [1: it may not fork; threads are allowed] */
    uint32_t n_files;      /* open at once [64] */
} vt_sandbox_limits;

typedef struct {
    const char *const *argv; /* NULL-terminated; argv[0] is an absolute path below /usr */
    int input_fd;            /* becomes standard input, from its start; 0: nothing to read */
    vt_slice input;          /* instead of input_fd: these bytes */
    const char *work_dir;    /* bound writable at /job, the working directory; NULL: none */
    vt_sandbox_limits limits;
    const atomic_bool *is_cancelled; /* may be NULL */
} vt_sandbox_job;

typedef struct {
    int exit_code; /* -1 when a signal ended it */
    int signal;    /* 0 when it exited */
    bool timed_out;
    bool was_cut; /* the output ceiling was reached */
    double seconds;
} vt_sandbox_result;

/* Zero means default. `only` forbids the other ways (tests, doctor). */
typedef struct {
    vt_sandbox_kind only;
    const char *bwrap_path; /* [/usr/bin/bwrap] */
} vt_sandbox_options;

/* Finds out, by running /usr/bin/true, which way works here (about 20 ms). Always gives an object
 * unless memory ran out: with VT_SANDBOX_NONE, vt_sandbox_run refuses and says why. */
VT_MUSTUSE vt_status vt_sandbox_open(const vt_sandbox_options *options, vt_sandbox **out,
                                     vt_err *err);
void vt_sandbox_close(vt_sandbox *sandbox);

vt_sandbox_kind vt_sandbox_get_kind(const vt_sandbox *sandbox);
/* One line for people: what confines, or why nothing can and what to do about it. Lives as long as
 * the sandbox. */
const char *vt_sandbox_describe(const vt_sandbox *sandbox);

/* Appends the program's standard output to `out`; `messages` (may be NULL) gets the start of its
 * error output, `result` (may be NULL) how it ended. */
VT_MUSTUSE vt_status vt_sandbox_run(const vt_sandbox *sandbox, const vt_sandbox_job *job,
                                    vt_buffer *out, vt_buffer *messages, vt_sandbox_result *result,
                                    vt_err *err);

#endif
