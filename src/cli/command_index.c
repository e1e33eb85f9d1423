/* command_index.c -- `vetro index`: builds or refreshes the index of folders. */
#include "cli/documents.h"

#include <stdio.h>

#include "base/alloc.h"

static json_t *notes_json(const vt_report *r, bool errors)
{
    json_t *list = json_array();
    for (size_t i = 0; i < r->n_notes; i++) {
        if (r->notes[i].is_error != errors) continue;
        json_array_append_new(
            list, json_pack("{s:o, s:o}", "file", vt_json_string(vt_slice_cstr(r->notes[i].file)),
                            "reason", vt_json_string(vt_slice_cstr(r->notes[i].reason))));
    }
    return list;
}

static json_t *report_json(const vt_report *r)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:f, s:o, s:o}", "documents",
                     (json_int_t)r->n_documents, "passages", (json_int_t)r->n_passages, "lines",
                     (json_int_t)r->n_lines, "added", (json_int_t)r->n_added, "updated",
                     (json_int_t)r->n_updated, "renamed", (json_int_t)r->n_renamed, "removed",
                     (json_int_t)r->n_removed, "unchanged", (json_int_t)r->n_unchanged, "rebuilt",
                     (int)r->was_rebuilt, "seconds", r->seconds, "skipped", notes_json(r, false),
                     "errors", notes_json(r, true));
}

static void plural(uint64_t n, const char *what, const char *end)
{
    printf("%llu %s%s%s", (unsigned long long)n, what, n == 1 ? "" : "s", end);
}

/* "skipped: 3 binary, 2 hidden": how often each reason, in order of appearance. */
static void print_skipped(const vt_report *r)
{
    bool is_first = true;
    for (size_t i = 0; i < r->n_notes; i++) {
        const char *reason = r->notes[i].reason;
        uint64_t n = 0;
        bool is_new = !r->notes[i].is_error;
        for (size_t k = 0; k < r->n_notes && is_new; k++) {
            if (r->notes[k].is_error || strcmp(r->notes[k].reason, reason) != 0) continue;
            if (k < i) is_new = false;
            n++;
        }
        if (!is_new) continue;
        printf("%s%llu %s", is_first ? "skipped: " : ", ", (unsigned long long)n, reason);
        is_first = false;
    }
    if (!is_first) putchar('\n');
}

static void print_report(const vt_report *r, bool verbose)
{
    plural(r->n_documents, "document", ", ");
    plural(r->n_passages, "passage", ", ");
    plural(r->n_lines, "line", "");
    printf(" in %.2f s (%llu new, %llu changed, %llu renamed, %llu gone, %llu unchanged)\n",
           r->seconds, (unsigned long long)r->n_added, (unsigned long long)r->n_updated,
           (unsigned long long)r->n_renamed, (unsigned long long)r->n_removed,
           (unsigned long long)r->n_unchanged);
    if (r->n_errors > 0) {
        plural(r->n_errors, "file", " could not be read\n");
    }
    if (!verbose) {
        print_skipped(r);
        return;
    }
    for (size_t i = 0; i < r->n_notes; i++) {
        if (r->notes[i].is_error) continue;
        fputs("skipped ", stdout);
        vt_cli_print_safe(stdout, vt_slice_cstr(r->notes[i].file), false);
        printf(": %s\n", r->notes[i].reason);
    }
}

static int run_index(const vt_args *args)
{
    vt_cli_documents docs;
    vt_report report = {0};
    size_t n = vt_args_n_operands(args);
    const char **folders = vt_calloc(n, sizeof *folders);
    if (folders == NULL) return vt_cli_fail(&(vt_err){.code = VT_ENOMEM}, NULL);
    for (size_t i = 0; i < n; i++) folders[i] = vt_args_operand(args, i);
    int code = vt_cli_documents_open(folders, n, &docs);
    vt_free(folders);
    if (code != VT_EXIT_OK) return code;
    code = vt_cli_documents_refresh(&docs, &report);
    if (code == VT_EXIT_OK) {
        if (vt_args_flag(args, "json")) code = vt_cli_print_json(report_json(&report));
        else print_report(&report, vt_args_flag(args, "verbose"));
    }
    vt_report_deinit(&report);
    vt_cli_documents_close(&docs);
    return code;
}

static const vt_option options[] = {
    {.name = "verbose", .letter = 'v', .help = "name every file that was skipped, and why"},
    {.name = "json", .help = "print the result as JSON"},
    {0},
};

const vt_command vt_command_index = {
    .name = "index",
    .summary = "build or refresh the index of folders of documents",
    .usage = "[OPTION]... DIR...",
    .description =
        "Reads text, Markdown, HTML, CSV, PDF and source code below each DIR. Unchanged files cost "
        "nothing; a file that can't be read is named on stderr and doesn't stop the others. The "
        "index is DIR/.vetro/index.db, or in the data directory when DIR can't be written. 'ask' "
        "and 'search' refresh it themselves.",
    .examples = "vetro index handbook\n"
                "vetro index --verbose handbook contracts\n"
                "vetro index --json .\n",
    .options = options,
    .min_operands = 1,
    .max_operands = -1,
    .run = run_index,
};
