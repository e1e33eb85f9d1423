/* commands.h -- every command of the program, in the order in which `vetro help` lists them. A new
 * command is one line here and one file command_NAME.c. */
#ifndef VT_CLI_COMMANDS_H
#define VT_CLI_COMMANDS_H

#define VT_COMMAND_MAP(X) \
    X(doctor)             \
    X(help)

#endif
