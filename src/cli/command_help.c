/* command_help.c -- `vetro help [COMMAND]`. */
#include "cli/cli.h"

#include <stdio.h>

static int run_help(const vt_args *args)
{
    const char *name = vt_args_operand(args, 0);
    if (name == NULL) {
        vt_cli_print_overview(stdout);
        return VT_EXIT_OK;
    }
    size_t n;
    const vt_command *const *commands = vt_cli_commands(&n);
    for (size_t i = 0; i < n; i++) {
        if (strcmp(commands[i]->name, name) != 0) continue;
        if (vt_args_flag(args, "man")) vt_cli_print_manual(commands[i], stdout);
        else vt_cli_print_help(commands[i], stdout);
        return VT_EXIT_OK;
    }
    return vt_cli_usage(args, "no command '%.80s'; 'vetro help' lists them", name);
}

static const vt_option options[] = {
    {.name = "man", .help = "as a manual page, in roff"},
    {0},
};

const vt_command vt_command_help = {
    .name = "help",
    .summary = "explain a command, with examples",
    .usage = "[COMMAND]",
    .examples = "vetro help\n"
                "vetro help run\n"
                "vetro help --man run | man -l -\n",
    .options = options,
    .max_operands = 1,
    .run = run_help,
};
