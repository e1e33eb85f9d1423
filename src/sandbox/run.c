/* run.c -- see run.h. */
#include "sandbox/run.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "sandbox/landlock.h"

enum { NOBODY = 65534, MESSAGE_BYTES = 16 << 10, TICK_MS = 50, HIGH_FD = 64 };

/* What the child tells when it can't get as far as exec. */
typedef struct {
    int step;
    int why;
} child_failure;

enum { STEP_FDS, STEP_LIMITS, STEP_USER, STEP_CWD, STEP_LANDLOCK, STEP_FILTER, STEP_EXEC };

static const char *const steps[] = {
    [STEP_FDS] = "pass its files",      [STEP_LIMITS] = "set its limits",
    [STEP_USER] = "become nobody",      [STEP_CWD] = "enter its folder",
    [STEP_LANDLOCK] = "enter Landlock", [STEP_FILTER] = "load the system call filter",
    [STEP_EXEC] = "execute it",
};

static bool set_limit(int which, uint64_t soft, uint64_t hard)
{
    struct rlimit limit = {.rlim_cur = (rlim_t)soft, .rlim_max = (rlim_t)hard};
    struct rlimit now;
    if (getrlimit((__rlimit_resource_t)which, &now) != 0) return false;
    if (limit.rlim_max > now.rlim_max) limit.rlim_max = now.rlim_max;
    if (limit.rlim_cur > limit.rlim_max) limit.rlim_cur = limit.rlim_max;
    return setrlimit((__rlimit_resource_t)which, &limit) == 0;
}

static bool set_limits(const vt_sandbox_limits *l)
{
    return set_limit(RLIMIT_AS, l->memory_bytes, l->memory_bytes) &&
           set_limit(RLIMIT_CPU, l->cpu_seconds, (uint64_t)l->cpu_seconds + 1) &&
           set_limit(RLIMIT_FSIZE, l->file_bytes, l->file_bytes) &&
           set_limit(RLIMIT_NOFILE, l->n_files, l->n_files) && set_limit(RLIMIT_CORE, 0, 0);
}

/* The raw calls: glibc's would signal the other threads, which this process hasn't any more. */
static bool become_nobody(void)
{
    return syscall(SYS_setgroups, 0, NULL) == 0 &&
           syscall(SYS_setresgid, NOBODY, NOBODY, NOBODY) == 0 &&
           syscall(SYS_setresuid, NOBODY, NOBODY, NOBODY) == 0;
}

/* Move what we need out of the way first: any of them may be 0 to 3 already. */
static bool place_fds(const vt_child_plan *plan, int out, int messages, int report)
{
    int sources[4] = {plan->stdin_fd, out, messages, plan->extra_fd};
    int n = plan->extra_fd >= 0 ? 4 : 3;
    for (int i = 0; i < n; i++) {
        sources[i] = fcntl(sources[i], F_DUPFD, HIGH_FD);
        if (sources[i] < 0) return false;
    }
    for (int i = 0; i < n; i++)
        if (dup2(sources[i], i) < 0) return false;
    for (int i = 0; i < n; i++) close(sources[i]);
    /* Everything else goes with exec; `report` and the rule set are needed until then. */
    (void)report;
    return syscall(SYS_close_range, (unsigned)n, ~0u, (unsigned)(1U << 2) /* CLOEXEC */) == 0;
}

static void reset_signals(const sigset_t *unblocked)
{
    struct sigaction dflt = {.sa_handler = SIG_DFL};
    for (int s = 1; s < NSIG; s++) sigaction(s, &dflt, NULL); /* exec keeps what is ignored */
    sigprocmask(SIG_SETMASK, unblocked, NULL);
}

static VT_NORETURN void child(const vt_child_plan *plan, int out, int messages, int report)
{
    sigset_t none;
    sigemptyset(&none);
    child_failure f = {.step = STEP_FDS};
    setsid();
    reset_signals(&none);
    if (!place_fds(plan, out, messages, report)) goto failed;
    f.step = STEP_CWD;
    if (chdir(plan->cwd) != 0) goto failed;
    f.step = STEP_LIMITS;
    if (!set_limits(plan->limits)) goto failed;
    f.step = STEP_USER;
    if (plan->drops_root && !become_nobody()) goto failed;
    if (plan->is_confined) {
        f.step = STEP_LANDLOCK;
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
            goto failed;
        if (plan->ruleset_fd >= 0 && !vt_landlock_enter(plan->ruleset_fd)) goto failed;
        f.step = STEP_FILTER;
        if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &plan->filter) != 0) goto failed;
    }
    f.step = STEP_EXEC;
    execve(plan->path, plan->argv, plan->envp);

failed:
    f.why = errno;
    ssize_t n = write(report, &f, sizeof f);
    (void)n;
    _exit(127);
}

typedef struct {
    pid_t pid;
    int pidfd;
    int out, messages, report; /* our ends; -1 once closed */
} running;

static void close_fd(int *fd)
{
    if (*fd >= 0) close(*fd);
    *fd = -1;
}

static vt_status start(const vt_child_plan *plan, running *r, vt_err *err)
{
    int pipes[3][2] = {{-1, -1}, {-1, -1}, {-1, -1}};
    vt_status st = VT_OK;
    for (int i = 0; i < 3; i++)
        if (pipe2(pipes[i], O_CLOEXEC) != 0) {
            st = vt_fail_errno(err, VT_EIO, "cannot make a pipe");
            goto out;
        }
    /* No handler of ours may run in the child. */
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    r->pid = fork();
    if (r->pid == 0) child(plan, pipes[0][1], pipes[1][1], pipes[2][1]);
    int why = errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = why;
    if (r->pid < 0) {
        st = vt_fail_errno(err, VT_EIO, "cannot start a process");
        goto out;
    }
    r->pidfd = (int)syscall(SYS_pidfd_open, r->pid, 0u); /* -1: the tick looks */
    r->out = pipes[0][0];
    r->messages = pipes[1][0];
    r->report = pipes[2][0];
    for (int i = 0; i < 3; i++) pipes[i][0] = -1;

out:
    for (int i = 0; i < 3; i++) {
        close_fd(&pipes[i][0]);
        close_fd(&pipes[i][1]);
    }
    return st;
}

/* Reads what is there. False when the ceiling is passed. */
static bool drain(int *fd, vt_buffer *to, size_t limit, size_t *n_read)
{
    char piece[65536];
    ssize_t n = read(*fd, piece, sizeof piece);
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) return true;
    if (n <= 0) {
        close_fd(fd);
        return true;
    }
    size_t room = limit > *n_read ? limit - *n_read : 0;
    size_t take = (size_t)n < room ? (size_t)n : room;
    *n_read += (size_t)n;
    if (to != NULL && take > 0 && !vt_buffer_append(to, vt_slice_of(piece, take))) return false;
    return (size_t)n <= room;
}

static void end(running *r, vt_sandbox_result *result, bool kill_it)
{
    int status = 0;
    pid_t rc;
    if (kill_it) {
        kill(-r->pid, SIGKILL); /* its session */
        kill(r->pid, SIGKILL);
    }
    do rc = waitpid(r->pid, &status, 0);
    while (rc < 0 && errno == EINTR);
    if (rc == r->pid && WIFEXITED(status)) result->exit_code = WEXITSTATUS(status);
    else if (rc == r->pid && WIFSIGNALED(status)) result->signal = WTERMSIG(status);
}

/* Until the output ends: with it the program, or what it left behind. */
static vt_status pump(const vt_child_plan *plan, running *r, vt_buffer *out, vt_buffer *messages,
                      vt_sandbox_result *result, vt_err *err)
{
    double deadline = vt_clock_seconds() + plan->limits->wall_ms / 1000.0;
    size_t n_out = 0;
    size_t n_messages = 0;
    bool has_ended = false;
    while (r->out >= 0 || (r->messages >= 0 && !has_ended)) {
        struct pollfd fds[3] = {
            {.fd = r->out, .events = POLLIN},
            {.fd = r->messages, .events = POLLIN},
            {.fd = has_ended ? -1 : r->pidfd, .events = POLLIN},
        };
        int n = poll(fds, 3, TICK_MS);
        if (n > 0 && fds[0].revents && !drain(&r->out, out, plan->limits->output_bytes, &n_out)) {
            result->was_cut = true;
            return vt_fail(err, VT_ELIMIT, "more than %llu bytes of output",
                           (unsigned long long)plan->limits->output_bytes);
        }
        /* Past its ceiling the error output is read on and dropped. */
        if (n > 0 && fds[1].revents) drain(&r->messages, messages, MESSAGE_BYTES, &n_messages);
        if (n > 0 && fds[2].revents) has_ended = true;
        if (plan->is_cancelled && atomic_load_explicit(plan->is_cancelled, memory_order_relaxed))
            return vt_fail(err, VT_ECANCEL, "cancelled");
        if (vt_clock_seconds() > deadline) {
            result->timed_out = true;
            return vt_fail(err, VT_ELIMIT, "more than %.1f s", plan->limits->wall_ms / 1000.0);
        }
    }
    /* It closed its output but may run on: wait for it, within the same time. */
    while (!has_ended && r->pidfd >= 0) {
        struct pollfd one = {.fd = r->pidfd, .events = POLLIN};
        if (poll(&one, 1, TICK_MS) > 0) break;
        if (plan->is_cancelled && atomic_load_explicit(plan->is_cancelled, memory_order_relaxed))
            return vt_fail(err, VT_ECANCEL, "cancelled");
        if (vt_clock_seconds() > deadline) {
            result->timed_out = true;
            return vt_fail(err, VT_ELIMIT, "more than %.1f s", plan->limits->wall_ms / 1000.0);
        }
    }
    return VT_OK;
}

vt_status vt_child_run(const vt_child_plan *plan, vt_buffer *out, vt_buffer *messages,
                       vt_sandbox_result *result, vt_err *err)
{
    running r = {.pid = -1, .pidfd = -1, .out = -1, .messages = -1, .report = -1};
    double begun = vt_clock_seconds();
    *result = (vt_sandbox_result){.exit_code = -1};
    vt_status st = start(plan, &r, err);
    if (st != VT_OK) return st;

    st = pump(plan, &r, out, messages, result, err);
    end(&r, result, st != VT_OK);
    child_failure f;
    ssize_t n = read(r.report, &f, sizeof f);
    if (st == VT_OK && n == (ssize_t)sizeof f) {
        errno = f.why;
        st = vt_fail_errno(err, VT_EIO, "cannot %s", steps[f.step]);
    }
    close_fd(&r.out);
    close_fd(&r.messages);
    close_fd(&r.report);
    close_fd(&r.pidfd);
    result->seconds = vt_clock_seconds() - begun;
    return st;
}
