/* command_pull.c -- `vetro pull`: bring a model onto this machine, by download or from a file. */
#include "cli/models.h"

#include <stdio.h>
#include <sys/stat.h>

static void print_added(const char *what, const vt_store_added *added)
{
    const vt_store_entry *e = &added->entry;
    char size[VT_CLI_SIZE_TEXT];
    if (added->was_there) {
        printf("%s is here already (%s, SHA-256 %s)\n", e->name, vt_cli_size_text(e->n_bytes, size),
               e->digest);
        return;
    }
    printf("%s: %s, SHA-256 %s\n", e->name, vt_cli_size_text(e->n_bytes, size), e->digest);
    if (e->licence[0] != '\0') printf("licence: %s\n", e->licence);
    if (added->was_linked) printf("linked to %s: no disk space was used\n", what);
    if (added->n_resumed > 0)
        printf("went on from %s of an earlier download\n",
               vt_cli_size_text(added->n_resumed, size));
    printf("try: vetro run %s \"Why is the sky blue?\"\n", e->name);
}

static json_t *added_json(const vt_store_added *added)
{
    const vt_store_entry *e = &added->entry;
    return json_pack(
        "{s:s, s:s, s:I, s:o, s:o, s:o, s:b, s:I}", "name", e->name, "digest", e->digest, "bytes",
        (json_int_t)e->n_bytes, "licence", vt_json_string(vt_slice_cstr(e->licence)), "source",
        vt_json_string(vt_slice_cstr(e->source)), "path", vt_json_string(vt_slice_cstr(e->path)),
        "was_there", added->was_there, "resumed_bytes", (json_int_t)added->n_resumed);
}

/* Of a local file nothing arrives and nothing is deleted. */
static const char *local_remedy_for(vt_status status, const vt_store_add_options *o)
{
    if (status != VT_EVERIFY || o->sha256 == NULL) return NULL;
    return "the file is left as it is; give the right --sha256, or another FILE";
}

static const char *remedy_for(vt_status status, const vt_store_add_options *o)
{
    struct stat info;
    if (stat(o->what, &info) == 0) return local_remedy_for(status, o);
    switch (status) {
    case VT_ENOTFOUND: return "'vetro list --known' shows the models known by name";
    case VT_EIO: return "check the network; the same command goes on where this one stopped";
    case VT_EVERIFY: return "what arrived was deleted; pull again, or give the right --sha256";
    case VT_EREFUSED: return "download it with your account, then 'vetro pull FILE'";
    default: return NULL;
    }
}

static int run_pull(const vt_args *args)
{
    const char *what = vt_args_operand(args, 0);
    const char *sha256 = vt_args_text(args, "sha256");
    if (sha256 != NULL &&
        (strlen(sha256) != 64 || strspn(sha256, "0123456789abcdefABCDEF") != 64)) {
        return vt_cli_usage(args, "--sha256: '%.80s' is not 64 hexadecimal digits", sha256);
    }
    vt_store *store = NULL;
    int code = vt_cli_open_store(&store);
    if (code != VT_EXIT_OK) return code;
    const vt_catalogue_entry *known = vt_catalogue_find(vt_slice_cstr(what));
    if (known != NULL) {
        char size[VT_CLI_SIZE_TEXT];
        vt_cli_note("%s, %s, licence %s", known->title, vt_cli_size_text(known->n_bytes, size),
                    known->licence);
    }
    vt_cli_progress bar;
    vt_cli_progress_begin(&bar);
    vt_store_added added = {0};
    vt_err err = {0};
    vt_store_add_options options = {
        .what = what,
        .name = vt_args_text(args, "name"),
        .sha256 = sha256,
        .progress = &bar.progress,
    };
    vt_status st = vt_store_add(store, &options, &added, &err);
    vt_cli_progress_end(&bar);
    if (st != VT_OK) {
        const char *remedy = remedy_for(st, &options);
        code = vt_cli_fail(&err, remedy ? "%s" : NULL, remedy);
    } else {
        known = vt_catalogue_by_digest(vt_slice_cstr(added.entry.digest));
        if (known != NULL && known->terms != NULL) vt_cli_note("%s", known->terms);
        if (vt_args_flag(args, "json")) code = vt_cli_print_json(added_json(&added));
        else print_added(what, &added);
    }
    vt_store_entry_deinit(&added.entry);
    vt_store_close(store);
    return code;
}

static const vt_option options[] = {
    {.name = "name",
     .letter = 'n',
     .argument = "NAME",
     .kind = VT_OPTION_TEXT,
     .help = "what to call it here (else its known name, or one made from the file's)"},
    {.name = "sha256",
     .argument = "HEX",
     .kind = VT_OPTION_TEXT,
     .help = "the SHA-256 that it must have; anything else is deleted (exit 4)"},
    {.name = "json", .help = "print the result as JSON"},
    {0},
};

const vt_command vt_command_pull = {
    .name = "pull",
    .summary = "bring a model onto this machine, by name, address or file",
    .usage = "[OPTION]... NAME|URL|FILE",
    .description =
        "A NAME of the catalogue ('vetro list --known') is downloaded from its publisher and "
        "checked against the known size and SHA-256. A URL (http, https) is downloaded; a broken "
        "download goes on where it stopped. A FILE is linked into the store when it is on the same "
        "file system, else copied; its contents are checked and its SHA-256 is kept. Of a model in "
        "several files name the first one.",
    .examples = "vetro pull qwen2.5-coder-1.5b\n"
                "vetro pull ~/Downloads/model-Q4_K_M.gguf --name my-model\n"
                "vetro pull https://example.org/model.gguf --sha256 0123...cdef\n",
    .options = options,
    .min_operands = 1,
    .max_operands = 1,
    .run = run_pull,
};
