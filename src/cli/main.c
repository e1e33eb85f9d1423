/* main.c -- the program's entry: finds the command, runs it, and makes sure that what was printed
 * really went out. */
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "base/log.h"
#include "base/nearest.h"
#include "base/version.h"
#include "cli/commands.h"

#define X(name) extern const vt_command vt_command_##name;
VT_COMMAND_MAP(X)
#undef X

static const vt_command *const commands[] = {
#define X(name) &vt_command_##name,
    VT_COMMAND_MAP(X)
#undef X
};

const vt_command *const *vt_cli_commands(size_t *n)
{
    *n = VT_COUNT(commands);
    return commands;
}

static void on_log(void *ctx, vt_log_level level, const char *message)
{
    (void)ctx;
    if (level != VT_LOG_INFO) fprintf(stderr, "vetro: %s\n", message);
}

/* A program started with a closed stdout would write its answer into the next file it opens. */
static void fill_standard_fds(void)
{
    for (int fd = 0; fd <= 2; fd++) {
        if (fcntl(fd, F_GETFD) != -1 || errno != EBADF) continue;
        int got = open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY); /* using it is an error */
        if (got != -1 && got != fd) close(got);
    }
}

static int unknown_command(const char *name)
{
    const char *near = NULL;
    size_t best = SIZE_MAX;
    for (size_t i = 0; i < VT_COUNT(commands); i++) {
        vt_slice candidate = vt_slice_cstr(commands[i]->name);
        size_t distance = vt_nearness(vt_slice_cstr(name), candidate);
        if (distance >= best) continue;
        best = distance;
        near = commands[i]->name;
    }
    if (near != NULL)
        fprintf(stderr, "vetro: unknown command '%.80s'; did you mean '%s'?\n", name, near);
    else fprintf(stderr, "vetro: unknown command '%.80s'\n", name);
    fputs("  'vetro help' lists the commands\n", stderr);
    return VT_EXIT_USAGE;
}

static int run(int argc, char **argv)
{
    if (argc < 2) {
        vt_cli_print_overview(stderr);
        return VT_EXIT_USAGE;
    }
    const char *name = argv[1];
    if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0) {
        printf("vetro %s (%s)\n", vt_version(), vt_commit());
        return VT_EXIT_OK;
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        vt_cli_print_overview(stdout);
        return VT_EXIT_OK;
    }
    for (size_t i = 0; i < VT_COUNT(commands); i++) {
        if (strcmp(commands[i]->name, name) != 0) continue;
        vt_args *args;
        int code = vt_args_parse(commands[i], argc - 2, argv + 2, &args);
        if (args == NULL) return code;
        code = commands[i]->run(args);
        vt_args_free(args);
        return code;
    }
    return unknown_command(name);
}

/* Shells look at *how* a program died: a loop around us stops only when SIGINT ended us. */
static void end_by_interrupt(void)
{
    vt_cli_interrupt_off();
    raise(vt_cli_terminated() ? SIGTERM : SIGINT);
}

int main(int argc, char **argv)
{
    fill_standard_fds();
    signal(SIGPIPE, SIG_IGN); /* a closed pipe is a failed write, which is reported below */
    setlocale(LC_CTYPE, "C.UTF-8");
    vt_log_set_sink(on_log, NULL);
    int code = run(argc, argv);
    errno = 0;
    if (fflush(stdout) != 0 || ferror(stdout)) {
        /* Whoever closed the pipe (`| head`) knows; anything else needs to be said. */
        if (errno != EPIPE)
            fprintf(stderr, "vetro: cannot write to standard output: %s\n",
                    errno != 0 ? strerror(errno) : "an earlier write failed");
        if (code == VT_EXIT_OK) code = VT_EXIT_FAILED;
    }
    if (code == VT_EXIT_INTERRUPTED) end_by_interrupt();
    return code;
}
