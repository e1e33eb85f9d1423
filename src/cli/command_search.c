/* command_search.c -- `vetro search`: the passages that fit some words best, or lines of a file as
 * they were extracted (what citations count). */
#include "cli/documents.h"

#include <stdio.h>

#include "base/alloc.h"
#include "base/parse.h"

static json_t *passage_json(const vt_passage *p)
{
    json_t *o =
        json_pack("{s:o, s:I, s:I, s:f, s:o}", "file", vt_json_string(vt_slice_cstr(p->file)),
                  "start_line", (json_int_t)p->start_line, "end_line", (json_int_t)p->end_line,
                  "score", p->score, "text", vt_json_string(vt_slice_cstr(p->text)));
    if (o == NULL) return NULL;
    if (p->page > 0) json_object_set_new(o, "page", json_integer(p->page));
    if (p->title[0]) json_object_set_new(o, "title", vt_json_string(vt_slice_cstr(p->title)));
    if (p->section[0]) json_object_set_new(o, "section", vt_json_string(vt_slice_cstr(p->section)));
    if (p->header[0]) json_object_set_new(o, "header", vt_json_string(vt_slice_cstr(p->header)));
    return o;
}

static int print_results_json(const vt_passages *found)
{
    json_t *list = json_array();
    for (size_t i = 0; i < found->n; i++)
        if (json_array_append_new(list, passage_json(&found->items[i])) != 0) {
            json_decref(list);
            return vt_cli_print_json(NULL);
        }
    return vt_cli_print_json(json_pack("{s:o}", "results", list));
}

static void print_place(const vt_passage *p)
{
    vt_cli_print_safe(stdout, vt_slice_cstr(p->file), false);
    printf(":%lld", (long long)p->start_line);
    if (p->end_line > p->start_line) printf("-%lld", (long long)p->end_line);
    if (p->page > 0) printf(" (page %d)", p->page);
    printf("  %.3f", p->score);
    const char *context = p->section[0] ? p->section : p->title;
    if (context[0]) {
        fputs("  ", stdout);
        vt_cli_print_safe(stdout, vt_slice_cstr(context), false);
    }
    putchar('\n');
}

static void print_indented(const char *text)
{
    vt_slice s = vt_slice_cstr(text);
    while (s.len > 0) {
        size_t len = vt_slice_find(s, VT_S("\n"));
        fputs("    ", stdout);
        vt_cli_print_safe(stdout, vt_slice_take(s, len), false);
        putchar('\n');
        s = vt_slice_skip(s, len + 1);
    }
}

static int print_results(const vt_passages *found, bool as_json)
{
    if (as_json) return print_results_json(found);
    if (found->n == 0) vt_cli_note("vetro: nothing found");
    for (size_t i = 0; i < found->n; i++) {
        print_place(&found->items[i]);
        if (found->items[i].header[0]) print_indented(found->items[i].header);
        print_indented(found->items[i].text);
    }
    return VT_EXIT_OK;
}

static int print_lines(const char *file, const vt_lines *lines, bool as_json)
{
    if (!as_json) {
        for (size_t i = 0; i < lines->n; i++) {
            printf("%6lld  ", (long long)lines->items[i].number);
            vt_cli_print_safe(stdout, vt_slice_cstr(lines->items[i].text), true);
            putchar('\n');
        }
        return VT_EXIT_OK;
    }
    json_t *list = json_array();
    for (size_t i = 0; i < lines->n; i++) {
        const vt_line *l = &lines->items[i];
        json_t *o = json_pack("{s:I, s:o}", "line", (json_int_t)l->number, "text",
                              vt_json_string(vt_slice_cstr(l->text)));
        if (l->page > 0) json_object_set_new(o, "page", json_integer(l->page));
        json_array_append_new(list, o);
    }
    return vt_cli_print_json(json_pack("{s:o, s:I, s:o}", "file",
                                       vt_json_string(vt_slice_cstr(file)), "lines_total",
                                       (json_int_t)lines->n_total, "lines", list));
}

/* "notes.md:12-20", "notes.md:12": the last colon separates, names may hold others. */
static bool parse_place(const char *text, vt_slice *file, int64_t *first, int64_t *last)
{
    const char *colon = strrchr(text, ':');
    if (colon == NULL || colon == text) return false;
    vt_slice range = vt_slice_cstr(colon + 1);
    size_t dash = vt_slice_find(range, VT_S("-"));
    *file = vt_slice_of(text, (size_t)(colon - text));
    if (!vt_parse_i64(vt_slice_take(range, dash), first)) return false;
    *last = *first;
    return dash == range.len || vt_parse_i64(vt_slice_skip(range, dash + 1), last);
}

static int show(const vt_args *args, vt_cli_documents *docs, const char *place)
{
    vt_slice file;
    int64_t first, last;
    vt_lines lines;
    vt_err err = {0};
    if (!parse_place(place, &file, &first, &last))
        return vt_cli_usage(args, "'%s' is not FILE:LINE or FILE:FIRST-LAST", place);
    if (vt_library_lines(docs->library, file, first, last, &lines, &err) != VT_OK)
        return vt_cli_fail(&err, "'vetro search -d DIR --show DIR/FILE:LINES': DIR is the indexed "
                                 "folder, as in search results");
    char *name = vt_strdup(file);
    int code = print_lines(name ? name : "", &lines, vt_args_flag(args, "json"));
    vt_free(name);
    vt_lines_deinit(&lines);
    return code;
}

static vt_status join_operands(const vt_args *args, vt_buffer *out, vt_err *err)
{
    for (size_t i = 0; i < vt_args_n_operands(args); i++) {
        if (i > 0) vt_buffer_byte(out, ' ');
        vt_buffer_append(out, vt_slice_cstr(vt_args_operand(args, i)));
    }
    return vt_buffer_status(out, "the query", err);
}

static int search(const vt_args *args, vt_cli_documents *docs)
{
    vt_err err = {0};
    vt_buffer query;
    vt_passages found = {0};
    vt_buffer_init(&query, 1 << 20);
    vt_status st = join_operands(args, &query, &err);
    if (st == VT_OK)
        st = vt_library_search(docs->library, vt_buffer_slice(&query),
                               (size_t)vt_args_int(args, "count"), &found, &err);
    int code =
        st == VT_OK ? print_results(&found, vt_args_flag(args, "json")) : vt_cli_fail(&err, NULL);
    vt_passages_deinit(&found);
    vt_buffer_deinit(&query);
    return code;
}

static int run_search(const vt_args *args)
{
    const char *place = vt_args_text(args, "show");
    if (place == NULL && vt_args_n_operands(args) == 0)
        return vt_cli_usage(args, "a query is missing");
    size_t n = vt_args_n_list(args, "dir");
    const char **folders = vt_calloc(n, sizeof *folders);
    vt_cli_documents docs;
    vt_report report = {0};
    if (folders == NULL) return vt_cli_fail(&(vt_err){.code = VT_ENOMEM}, NULL);
    for (size_t i = 0; i < n; i++) folders[i] = vt_args_list(args, "dir", i);
    int code = vt_cli_documents_open(folders, n, &docs);
    vt_free(folders);
    if (code != VT_EXIT_OK) return code;
    if (!vt_args_flag(args, "no-refresh")) code = vt_cli_documents_refresh(&docs, &report);
    vt_report_deinit(&report);
    if (code == VT_EXIT_OK) code = place ? show(args, &docs, place) : search(args, &docs);
    vt_cli_documents_close(&docs);
    return code;
}

static const vt_option options[] = {
    {.name = "dir",
     .letter = 'd',
     .argument = "DIR",
     .kind = VT_OPTION_LIST,
     .help = "folder to search (the current one); may be given several times"},
    {.name = "count",
     .letter = 'k',
     .argument = "N",
     .kind = VT_OPTION_INT,
     .min = 1,
     .max = 1000,
     .standard = "8",
     .help = "how many passages"},
    {.name = "show",
     .argument = "FILE:LINES",
     .kind = VT_OPTION_TEXT,
     .help = "print lines of a document as citations count them"},
    {.name = "no-refresh", .help = "search what is indexed, without looking at the folder"},
    {.name = "json", .help = "print the result as JSON"},
    {0},
};

const vt_command vt_command_search = {
    .name = "search",
    .summary = "search folders of documents",
    .usage = "[OPTION]... QUERY...",
    .description =
        "Prints the passages that fit best: document, lines, score (1: as good as a passage can "
        "fit these words), headings, and the text; table rows with their header row. Any text is a "
        "query, nothing in it is syntax. The index is refreshed first.",
    .examples = "vetro search -d handbook how often is the pump inspected\n"
                "vetro search -k 3 --json 'P-113'\n"
                "vetro search -d handbook --show handbook/pumps.md:4-12\n",
    .options = options,
    .max_operands = -1,
    .run = run_search,
};
