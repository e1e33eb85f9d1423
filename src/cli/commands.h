/* commands.h -- every command of the program, in the order in which `vetro help` lists them. A new
 * command is one line here and one file command_NAME.c. */
#ifndef VT_CLI_COMMANDS_H
#define VT_CLI_COMMANDS_H

/* One command a line, so that adding one touches no other. */
/* clang-format off */
#define VT_COMMAND_MAP(X) \
    X(pull) \
    X(list) \
    X(show) \
    X(remove) \
    X(pack) \
    X(run) \
    X(chat) \
    X(tokenize) \
    X(logits) \
    X(perplexity) \
    X(bench) \
    X(kv) \
    X(index) \
    X(search) \
    X(ask) \
    X(doctor) \
    X(help)
/* clang-format on */

#endif
