/* command_remove.c -- `vetro remove`: take models off this machine. */
#include "cli/models.h"

#include <stdio.h>

static int run_remove(const vt_args *args)
{
    vt_store *store = NULL;
    vt_err err = {0};
    int code = vt_cli_open_store(&store);
    for (size_t i = 0; i < vt_args_n_operands(args) && code == VT_EXIT_OK; i++) {
        const char *name = vt_args_operand(args, i);
        uint64_t n_freed = 0;
        char size[VT_CLI_SIZE_TEXT];
        if (vt_store_remove(store, vt_slice_cstr(name), &n_freed, &err) != VT_OK)
            code = vt_cli_fail(&err, "'vetro list' shows the models that can be removed");
        else if (n_freed > 4096)
            printf("removed %s: %s freed\n", name, vt_cli_size_text(n_freed, size));
        else
            printf("removed %s: the file it was linked from still exists, so no space was freed\n",
                   name);
    }
    vt_store_close(store);
    return code;
}

static const vt_option options[] = {{0}};

const vt_command vt_command_remove = {
    .name = "remove",
    .summary = "take a model off this machine",
    .usage = "NAME...",
    .description =
        "Removes the model's files and what broken downloads of it left, without asking. "
        "A file that the model was linked from stays.",
    .examples = "vetro remove smollm2-135m\n",
    .options = options,
    .min_operands = 1,
    .max_operands = -1,
    .run = run_remove,
};
