/* command_show.c -- `vetro show`: what a model is, from its header alone. */
#include "cli/models.h"

#include <inttypes.h>
#include <stdio.h>

#include "model/summary.h"

typedef struct {
    vt_store_entry entry;
    vt_model_summary summary;
    vt_sampling sampling;
    const char *sampling_source;
    const char *licence;
    const char *terms; /* may be NULL */
    const char *name;
    const char *source;
    uint64_t memory_bytes;
} shown;

/* Everything but the digest, which is the store's. */
static vt_status read_header(shown *s, uint64_t n_ctx, vt_err *err)
{
    vt_gguf *g = NULL;
    vt_status st = vt_gguf_open(s->entry.path, &g, err);
    if (st == VT_OK) st = vt_model_summarise(g, &s->summary, err);
    if (st == VT_OK) {
        const vt_catalogue_entry *known = vt_catalogue_by_digest(vt_slice_cstr(s->entry.digest));
        s->sampling = vt_catalogue_sampling(known, g, &s->sampling_source);
        s->memory_bytes = vt_model_memory_estimate(g, n_ctx);
        s->licence = known ? known->licence : s->summary.licence;
        s->terms = known ? known->terms : NULL;
        s->name = s->entry.name ? s->entry.name : s->summary.name;
        s->source = s->entry.source ? s->entry.source : s->entry.path;
    }
    vt_gguf_close(g);
    return st;
}

static json_t *shown_json(const shown *s)
{
    const vt_model_summary *m = &s->summary;
    return json_pack(
        "{s:o, s:s, s:o, s:o, s:I, s:o, s:I, s:I, s:o, s:o, s:s, s:o, s:I, s:o, s:o}", "name",
        vt_json_string(vt_slice_cstr(s->name)), "digest", s->entry.digest, "architecture",
        vt_json_string(vt_slice_cstr(m->architecture)), "title",
        vt_json_string(vt_slice_cstr(m->name)), "parameters", (json_int_t)m->n_parameters, "format",
        vt_json_string(vt_slice_cstr(m->format)), "context_length", (json_int_t)m->context_length,
        "memory_bytes", (json_int_t)s->memory_bytes, "licence",
        vt_json_string(vt_slice_cstr(s->licence)), "sampling", vt_cli_sampling_json(&s->sampling),
        "sampling_source", s->sampling_source, "source", vt_json_string(vt_slice_cstr(s->source)),
        "file_bytes", (json_int_t)m->n_file_bytes, "path",
        vt_json_string(vt_slice_cstr(s->entry.path)), "packed",
        s->entry.packed ? vt_json_string(vt_slice_cstr(s->entry.packed)) : json_null());
}

static void print_sampling(const shown *s)
{
    const vt_sampling *p = &s->sampling;
    printf("sampling        ");
    if (p->temperature > 0) printf("temperature %g", p->temperature);
    else printf("greedy");
    if (p->top_k > 0) printf(", top-k %u", p->top_k);
    if (p->top_p > 0) printf(", top-p %g", p->top_p);
    if (p->min_p > 0) printf(", min-p %g", p->min_p);
    if (p->repetition_penalty > 0) printf(", repetition penalty %g", p->repetition_penalty);
    printf("\n                from %s\n", s->sampling_source);
}

static void print_text(const shown *s)
{
    const vt_model_summary *m = &s->summary;
    char text[VT_CLI_SIZE_TEXT];
    printf("name            %s\n", s->name[0] ? s->name : "not stated");
    if (m->name[0] != '\0') printf("title           %s\n", m->name);
    printf("architecture    %s, %" PRIu64 " layers, width %" PRIu64 "\n", m->architecture,
           m->n_layers, m->n_embd);
    printf("parameters      %.4g %s\n",
           (double)m->n_parameters / (m->n_parameters >= 1000000000 ? 1e9 : 1e6),
           m->n_parameters >= 1000000000 ? "billion" : "million");
    printf("format          %s, %s\n", m->format, vt_cli_size_text(m->n_file_bytes, text));
    if (m->context_length > 0) printf("context         %" PRIu64 " tokens\n", m->context_length);
    printf("memory          about %s to run\n", vt_cli_size_text(s->memory_bytes, text));
    printf("licence         %s\n", s->licence[0] ? s->licence : "not stated");
    if (s->terms != NULL) printf("terms           %s\n", s->terms);
    print_sampling(s);
    printf("digest          %s\n", s->entry.digest);
    if (s->entry.packed != NULL)
        printf("packed          %s, %s\n", vt_cli_size_text(s->entry.packed_bytes, text),
               s->entry.packed);
    else if (s->entry.packed_problem != NULL)
        printf("packed          not used: %s\n", s->entry.packed_problem);
    else if (s->entry.name != NULL)
        printf("packed          no ('vetro pack %s' makes it start at once)\n", s->entry.name);
    printf("source          %s\n", s->source);
}

static int run_show(const vt_args *args)
{
    shown s = {0};
    vt_err err = {0};
    int code = vt_cli_find_model(vt_args_operand(args, 0), true, &s.entry);
    if (code == VT_EXIT_OK && read_header(&s, (uint64_t)vt_args_int(args, "ctx"), &err) != VT_OK)
        code = vt_cli_fail(&err, NULL);
    if (code == VT_EXIT_OK) {
        if (vt_args_flag(args, "json")) code = vt_cli_print_json(shown_json(&s));
        else print_text(&s);
    }
    vt_store_entry_deinit(&s.entry);
    return code;
}

static const vt_option options[] = {
    {.name = "ctx",
     .letter = 'c',
     .argument = "N",
     .kind = VT_OPTION_INT,
     .max = 1 << 24,
     .standard = "0",
     .help = "tokens of context for the memory estimate (0: the model's, at most 8192)"},
    {.name = "json", .help = "print the result as JSON"},
    {0},
};

const vt_command vt_command_show = {
    .name = "show",
    .summary = "what a model is, what it needs, how its publisher samples from it",
    .usage = "[OPTION]... MODEL",
    .description =
        "Reads the header only; no weights are loaded. MODEL is a name ('vetro list') or "
        "the path of a GGUF file.",
    .examples = "vetro show qwen2.5-coder-1.5b\n"
                "vetro show ./model.gguf --json\n",
    .options = options,
    .min_operands = 1,
    .max_operands = 1,
    .run = run_show,
};
