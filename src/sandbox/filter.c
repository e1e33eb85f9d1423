/* filter.c -- see filter.h. libseccomp knows the numbers of every architecture; it is used once per
 * vt_sandbox, never between fork and exec. */
#include "sandbox/filter.h"

#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/file.h"

/* By name: a name that this architecture or libseccomp lacks is left out. */
static const char *const allowed[] = {
    /* files */
    "read",
    "write",
    "readv",
    "writev",
    "pread64",
    "pwrite64",
    "preadv",
    "pwritev",
    "preadv2",
    "pwritev2",
    "open",
    "openat",
    "openat2",
    "creat",
    "close",
    "close_range",
    "lseek",
    "_llseek",
    "stat",
    "fstat",
    "lstat",
    "newfstatat",
    "statx",
    "statfs",
    "fstatfs",
    "access",
    "faccessat",
    "faccessat2",
    "readlink",
    "readlinkat",
    "getdents",
    "getdents64",
    "getcwd",
    "chdir",
    "fchdir",
    "mkdir",
    "mkdirat",
    "rmdir",
    "unlink",
    "unlinkat",
    "rename",
    "renameat",
    "renameat2",
    "link",
    "linkat",
    "symlink",
    "symlinkat",
    "truncate",
    "ftruncate",
    "fallocate",
    "fsync",
    "fdatasync",
    "sync_file_range",
    "chmod",
    "fchmod",
    "fchmodat",
    "umask",
    "utime",
    "utimes",
    "utimensat",
    "futimesat",
    "dup",
    "dup2",
    "dup3",
    "fcntl",
    "flock",
    "ioctl",
    "pipe",
    "pipe2",
    "splice",
    "tee",
    "sendfile",
    "copy_file_range",
    "fadvise64",
    "readahead",
    "memfd_create",
    "eventfd",
    "eventfd2",
    "poll",
    "ppoll",
    "select",
    "pselect6",
    "epoll_create",
    "epoll_create1",
    "epoll_ctl",
    "epoll_wait",
    "epoll_pwait",
    "epoll_pwait2",
    "inotify_init1",
    "inotify_add_watch",
    "inotify_rm_watch",
    /* memory */
    "brk",
    "mmap",
    "munmap",
    "mremap",
    "mprotect",
    "madvise",
    "mincore",
    "msync",
    "mlock",
    "munlock",
    "membarrier",
    /* threads and this process */
    "execve",
    "exit",
    "exit_group",
    "wait4",
    "waitid",
    "futex",
    "set_robust_list",
    "get_robust_list",
    "set_tid_address",
    "rseq",
    "sched_yield",
    "sched_getaffinity",
    "sched_getparam",
    "sched_getscheduler",
    "sched_get_priority_max",
    "sched_get_priority_min",
    "gettid",
    "getpid",
    "getppid",
    "getpgrp",
    "getpgid",
    "getsid",
    "getuid",
    "geteuid",
    "getgid",
    "getegid",
    "getresuid",
    "getresgid",
    "getgroups",
    "getrlimit",
    "setrlimit",
    "getrusage",
    "times",
    "uname",
    "sysinfo",
    "getcpu",
    "getpriority",
    "prctl",
    "arch_prctl",
    "getrandom",
    "capget",
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "rt_sigpending",
    "rt_sigsuspend",
    "rt_sigtimedwait",
    "sigaltstack",
    "tgkill",
    "pause",
    "restart_syscall",
    /* time */
    "clock_gettime",
    "clock_getres",
    "clock_nanosleep",
    "nanosleep",
    "gettimeofday",
    "time",
    "alarm",
    "setitimer",
    "getitimer",
    "timer_create",
    "timer_settime",
    "timer_gettime",
    "timer_delete",
    "timer_getoverrun",
    "timerfd_create",
    "timerfd_settime",
    "timerfd_gettime",
    "signalfd4",
};

/* Harmless where the namespaces hold every process that could be meant. */
static const char *const in_namespace[] = {
    "kill", "tkill", "rt_sigqueueinfo", "setsid", "setpgid", "prlimit64", "sched_setaffinity",
};

static const char *const forking[] = {"fork", "vfork"};

/* New namespaces by clone's flags. */
static const unsigned long new_namespaces = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID |
                                            CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS |
                                            CLONE_NEWCGROUP;

static int allow(scmp_filter_ctx ctx, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int number = seccomp_syscall_resolve_name(names[i]);
        if (number == __NR_SCMP_ERROR) continue;
        int rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, number, 0);
        if (rc != 0 && rc != -EDOM) return rc;
    }
    return 0;
}

static int add_rules(scmp_filter_ctx ctx, const vt_filter_options *options)
{
    int rc = allow(ctx, allowed, VT_COUNT(allowed));
    if (rc == 0 && !options->is_only_wall) rc = allow(ctx, in_namespace, VT_COUNT(in_namespace));
    if (rc == 0 && options->is_only_wall) /* its own limits only */
        rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 1, SCMP_A0(SCMP_CMP_EQ, 0));
    if (rc == 0)
        rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), seccomp_syscall_resolve_name("clone3"),
                              0);
    if (rc != 0) return rc;
    if (!options->can_fork)
        return seccomp_rule_add(
            ctx, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
            SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD | new_namespaces, CLONE_THREAD));
    rc = allow(ctx, forking, VT_COUNT(forking));
    if (rc == 0)
        rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                              SCMP_A0(SCMP_CMP_MASKED_EQ, new_namespaces, 0));
    return rc;
}

/* libseccomp exports to a file only. */
static vt_status export_to(scmp_filter_ctx ctx, vt_buffer *out, vt_err *err)
{
    vt_status st = VT_OK;
    int fd = memfd_create("vetro-filter", MFD_CLOEXEC);
    if (fd < 0) return vt_fail_errno(err, VT_EIO, "cannot make a file in memory");
    int rc = seccomp_export_bpf(ctx, fd);
    off_t size = rc == 0 ? lseek(fd, 0, SEEK_END) : -1;
    if (size <= 0) st = vt_fail(err, VT_EIO, "cannot export the system call filter");
    else if (!vt_buffer_reserve(out, (size_t)size)) st = vt_buffer_status(out, "the filter", err);
    else st = vt_file_pread(fd, out->ptr + out->len, (size_t)size, 0, err);
    if (st == VT_OK) out->len += (size_t)size;
    close(fd);
    return st;
}

vt_status vt_filter_build(const vt_filter_options *options, vt_buffer *out, vt_err *err)
{
    scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    if (ctx == NULL) return vt_fail(err, VT_ENOMEM, "cannot make a system call filter");
    int rc = add_rules(ctx, options);
    vt_status st = rc == 0 ? export_to(ctx, out, err)
                           : vt_fail(err, VT_EIO, "cannot make a system call filter (%d)", rc);
    seccomp_release(ctx);
    return st;
}
