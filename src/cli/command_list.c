/* command_list.c -- `vetro list`: the models of this machine, or those known by name. */
#include "cli/models.h"

#include <stdio.h>

#include "base/alloc.h"

static json_t *entry_json(const vt_store_entry *e)
{
    if (e->problem != NULL)
        return json_pack("{s:s, s:o}", "name", e->name, "problem",
                         vt_json_string(vt_slice_cstr(e->problem)));
    return json_pack(
        "{s:s, s:s, s:I, s:o, s:s, s:o, s:o, s:I}", "name", e->name, "digest", e->digest, "bytes",
        (json_int_t)e->n_bytes, "licence", vt_json_string(vt_slice_cstr(e->licence)), "added",
        e->added, "source", vt_json_string(vt_slice_cstr(e->source)), "path",
        vt_json_string(vt_slice_cstr(e->path)), "packed_bytes", (json_int_t)e->packed_bytes);
}

static int print_json(const vt_store_entry *list, size_t n)
{
    json_t *models = json_array();
    for (size_t i = 0; i < n; i++)
        if (json_array_append_new(models, entry_json(&list[i])) != 0) {
            json_decref(models);
            return vt_cli_print_json(NULL);
        }
    return vt_cli_print_json(json_pack("{s:o}", "models", models));
}

static int print_table(const vt_store_entry *list, size_t n)
{
    if (n == 0) {
        puts("no models yet; 'vetro pull qwen2.5-coder-1.5b' brings one, 'vetro list --known' "
             "shows others");
        return VT_EXIT_OK;
    }
    printf("%-28s %10s  %10s  %-12s  %-10s  %s\n", "NAME", "SIZE", "PACKED", "DIGEST", "ADDED",
           "LICENCE");
    for (size_t i = 0; i < n; i++) {
        char size[VT_CLI_SIZE_TEXT];
        char packed[VT_CLI_SIZE_TEXT] = "-";
        if (list[i].packed != NULL) vt_cli_size_text(list[i].packed_bytes, packed);
        else if (list[i].packed_problem != NULL) snprintf(packed, sizeof packed, "stale");
        if (list[i].problem != NULL)
            printf("%-28s %10s  %s\n", list[i].name, "damaged", list[i].problem);
        else
            printf("%-28s %10s  %10s  %.12s  %-10s  %s\n", list[i].name,
                   vt_cli_size_text(list[i].n_bytes, size), packed, list[i].digest, list[i].added,
                   list[i].licence[0] ? list[i].licence : "not stated");
    }
    return VT_EXIT_OK;
}

static int print_known(bool as_json)
{
    size_t n;
    const vt_catalogue_entry *known = vt_catalogue_all(&n);
    json_t *models = json_array();
    if (!as_json) printf("%-22s %10s  %-12s  %s\n", "NAME", "SIZE", "LICENCE", "WHAT");
    for (size_t i = 0; i < n; i++) {
        char size[VT_CLI_SIZE_TEXT];
        if (as_json)
            json_array_append_new(
                models, json_pack("{s:s, s:s, s:I, s:s, s:s, s:s?, s:s?}", "name", known[i].name,
                                  "title", known[i].title, "bytes", (json_int_t)known[i].n_bytes,
                                  "digest", known[i].sha256, "licence", known[i].licence, "source",
                                  known[i].url, "caveat", known[i].caveat));
        else
            printf("%-22s %10s  %-12s  %s%s%s\n", known[i].name,
                   vt_cli_size_text(known[i].n_bytes, size), known[i].licence, known[i].title,
                   known[i].caveat ? ": " : "", known[i].caveat ? known[i].caveat : "");
    }
    if (as_json) return vt_cli_print_json(json_pack("{s:o}", "known", models));
    json_decref(models);
    puts("\n'vetro pull NAME' brings one onto this machine");
    return VT_EXIT_OK;
}

/* Files that were touched are read: a model that was changed is damaged, one that was not is not.
 */
static vt_status look_into_touched(vt_store *store, vt_store_entry *list, size_t n, vt_err *err)
{
    vt_cli_progress bar;
    vt_status st = VT_OK;
    vt_cli_progress_begin(&bar);
    for (size_t i = 0; i < n && st == VT_OK; i++) {
        vt_err why = {0};
        if (list[i].problem != NULL || !list[i].is_stale) continue;
        const vt_status found = vt_store_digest(store, &list[i], &bar.progress, &why);
        if (found == VT_OK) continue;
        if (found != VT_ECANCEL) list[i].problem = vt_strdup(vt_slice_cstr(why.msg));
        if (list[i].problem == NULL) st = vt_fail(err, found, "%s", why.msg);
    }
    vt_cli_progress_end(&bar);
    return st;
}

static int run_list(const vt_args *args)
{
    bool as_json = vt_args_flag(args, "json");
    if (vt_args_flag(args, "known")) return print_known(as_json);
    vt_store *store = NULL;
    vt_store_entry *list = NULL;
    size_t n = 0;
    vt_err err = {0};
    int code = vt_cli_open_store(&store);
    if (code != VT_EXIT_OK) return code;
    vt_status st = vt_store_list(store, &list, &n, &err);
    if (st == VT_OK) st = look_into_touched(store, list, n, &err);
    if (st != VT_OK) code = vt_cli_fail(&err, NULL);
    else code = as_json ? print_json(list, n) : print_table(list, n);
    for (size_t i = 0; i < n; i++) vt_store_entry_deinit(&list[i]);
    vt_free(list);
    vt_store_close(store);
    return code;
}

static const vt_option options[] = {
    {.name = "known", .help = "the models that 'vetro pull' knows by name"},
    {.name = "json", .help = "print the result as JSON"},
    {0},
};

const vt_command vt_command_list = {
    .name = "list",
    .summary = "the models on this machine",
    .usage = "[OPTION]...",
    .examples = "vetro list\n"
                "vetro list --known\n"
                "vetro list --json\n",
    .options = options,
    .run = run_list,
};
