/* child.h -- runs a program as a child and catches what it prints: for tests of the command line.
 * Failures of the machinery itself abort the test. Free a result with child_free. */
#ifndef VT_TESTS_SUPPORT_CHILD_H
#define VT_TESTS_SUPPORT_CHILD_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/error.h"

enum { CHILD_MAX_ARGUMENTS = 32, CHILD_MAX_OUTPUT = 64 << 20 };

typedef struct {
    int code; /* exit code, or 128 + the signal that ended it */
    vt_buffer out;
    vt_buffer err;
} child_result;

typedef struct {
    const char *home;    /* VETRO_HOME; NULL: as it is */
    const char *input;   /* on standard input; NULL: empty */
    const char *set;     /* NAME=VALUE to add to the environment; may be NULL */
    int close_fd;        /* a descriptor (1 or 2) to start the child without; 0: none */
    int interrupt_after; /* bytes of stdout after which a signal is sent; 0: never */
    int interrupt_after_ms;
    int signal_number; /* 0: SIGINT */
    int timeout_ms;    /* 0: 60,000; the child is killed then, code 137 */
} child_options;

static inline void child_free(child_result *r)
{
    vt_buffer_deinit(&r->out);
    vt_buffer_deinit(&r->err);
}

static inline void child_exec(const child_options *o, const char *const *argv, const int pipes[6])
{
    dup2(pipes[0], 0);
    dup2(pipes[3], 1);
    dup2(pipes[5], 2);
    for (int i = 0; i < 6; i++) close(pipes[i]);
    if (o->close_fd != 0) close(o->close_fd);
    if (o->home != NULL) setenv("VETRO_HOME", o->home, 1);
    if (o->set != NULL) putenv((char *)(uintptr_t)o->set);
    execv(argv[0], (char *const *)(uintptr_t)argv);
    _exit(127);
}

/* Read both pipes until both are closed, feeding nothing: inputs of tests fit into a pipe. */
static inline void child_collect(const child_options *o, pid_t pid, int out, int err,
                                 child_result *r)
{
    struct pollfd fds[2] = {{.fd = out, .events = POLLIN}, {.fd = err, .events = POLLIN}};
    vt_buffer *buffers[2] = {&r->out, &r->err};
    bool was_interrupted = false;
    const int signal_number = o->signal_number != 0 ? o->signal_number : SIGINT;
    if (o->interrupt_after_ms > 0) {
        nanosleep(&(struct timespec){.tv_sec = o->interrupt_after_ms / 1000,
                                     .tv_nsec = o->interrupt_after_ms % 1000 * 1000000L},
                  NULL);
        kill(pid, signal_number);
    }
    int left_ms = o->timeout_ms > 0 ? o->timeout_ms : 60000;
    while (fds[0].fd >= 0 || fds[1].fd >= 0) {
        int n = poll(fds, 2, left_ms > 100 ? 100 : left_ms);
        if (n == 0 && (left_ms -= 100) <= 0) {
            kill(pid, SIGKILL);
            left_ms = 1000;
        }
        for (int i = 0; i < 2; i++) {
            if (fds[i].fd < 0 || fds[i].revents == 0) continue;
            char piece[65536];
            ssize_t got = read(fds[i].fd, piece, sizeof piece);
            if (got <= 0) fds[i].fd = -1;
            else VT_CHECK(vt_buffer_append(buffers[i], vt_slice_of(piece, (size_t)got)));
        }
        if (o->interrupt_after > 0 && !was_interrupted &&
            r->out.len >= (size_t)o->interrupt_after) {
            was_interrupted = true;
            kill(pid, signal_number);
        }
    }
}

/* argv ends with NULL; argv[0] is the program's path. */
static inline child_result child_run(const child_options *options, const char *const *argv)
{
    static const child_options none;
    const child_options *o = options != NULL ? options : &none;
    child_result r = {0};
    vt_buffer_init(&r.out, CHILD_MAX_OUTPUT);
    vt_buffer_init(&r.err, CHILD_MAX_OUTPUT);
    vt_buffer_append(&r.out, VT_S("")); /* ptr is then a C string */
    vt_buffer_append(&r.err, VT_S(""));
    int pipes[6]; /* in: read, write; out: read, write; err: read, write */
    VT_CHECK(pipe(pipes) == 0 && pipe(pipes + 2) == 0 && pipe(pipes + 4) == 0);
    pid_t pid = fork();
    VT_CHECK(pid >= 0);
    if (pid == 0) child_exec(o, argv, pipes);
    close(pipes[0]);
    close(pipes[3]);
    close(pipes[5]);
    signal(SIGPIPE, SIG_IGN);
    if (o->input != NULL) {
        size_t n = strlen(o->input);
        VT_CHECK(n <= 65536);
        ssize_t written = write(pipes[1], o->input, n);
        (void)written; /* a child that does not read is a child's right */
    }
    close(pipes[1]);
    child_collect(o, pid, pipes[2], pipes[4], &r);
    close(pipes[2]);
    close(pipes[4]);
    int status = 0;
    while (waitpid(pid, &status, 0) < 0) VT_CHECK(errno == EINTR);
    r.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return r;
}

/* child_vetro(&options, "run", "--help") runs the program under test. */
#define child_vetro(options, ...) \
    child_run((options), (const char *const[]){VT_BINARY, __VA_ARGS__, NULL})

#endif
