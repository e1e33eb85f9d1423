/* command_ask.c -- `vetro ask`: an answer from documents, with citations that were checked. */
#include "cli/documents.h"
#include "cli/models.h"

#include <stdio.h>

#include "agent/ask.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "chat/format.h"

/* Context that one question needs: the prompt of one passage at a time. */
enum { ASK_CONTEXT = 4096, MAX_QUESTION = 64 << 10 };

typedef struct {
    const vt_args *args;
    vt_buffer question;
    vt_cli_documents docs;
    vt_cli_model model;
    vt_chat_format format;
    vt_engine_reader *reader;
    vt_ask_limits limits;
    vt_answer answer;
    double seconds; /* from the question to the answer, without loading the model */
} ask_state;

/* ---- JSON ---- */

static json_t *text_json(const char *text)
{
    return text != NULL ? vt_json_string(vt_slice_cstr(text)) : json_null();
}

static json_t *sentences_json(const vt_answer *a)
{
    json_t *list = json_array();
    for (size_t i = 0; i < a->n_sentences; i++) {
        const vt_sentence *s = &a->sentences[i];
        json_t *cited = json_array();
        for (size_t k = 0; k < s->n_citations; k++)
            json_array_append_new(cited, json_integer((json_int_t)s->citations[k]));
        json_t *o = json_pack("{s:o, s:b, s:o}", "text", text_json(s->text), "supported",
                              (int)s->supported, "citations", cited);
        if (s->problem != NULL) json_object_set_new(o, "problem", text_json(s->problem));
        json_array_append_new(list, o);
    }
    return list;
}

static json_t *citations_json(const vt_answer *a)
{
    json_t *list = json_array();
    for (size_t i = 0; i < a->n_citations; i++) {
        const vt_citation *c = &a->citations[i];
        json_t *o = json_pack("{s:o, s:I, s:I, s:o, s:b}", "file", text_json(c->file), "start_line",
                              (json_int_t)c->start_line, "end_line", (json_int_t)c->end_line,
                              "quote", text_json(c->quote), "verified", (int)c->verified);
        if (c->page > 0) json_object_set_new(o, "page", json_integer(c->page));
        json_array_append_new(list, o);
    }
    return list;
}

static json_t *nearest_json(const vt_answer *a)
{
    json_t *list = json_array();
    for (size_t i = 0; i < a->n_nearest; i++) {
        const vt_nearest *n = &a->nearest[i];
        json_t *o = json_pack("{s:o, s:I, s:I, s:f, s:o}", "file", text_json(n->file), "start_line",
                              (json_int_t)n->start_line, "end_line", (json_int_t)n->end_line,
                              "score", n->score, "text", text_json(n->text));
        if (n->page > 0) json_object_set_new(o, "page", json_integer(n->page));
        json_array_append_new(list, o);
    }
    return list;
}

static json_t *answer_json(const ask_state *s)
{
    vt_reader_usage usage = vt_engine_reader_usage(s->reader);
    const vt_ask_limits *l = &s->limits;
    json_t *o = json_pack(
        "{s:b, s:o, s:o, s:o, s:o, s:o, s:{s:I, s:I, s:I}, s:{s:f, s:f, s:f, s:s}, s:f, s:f}",
        "answered", (int)s->answer.answered, "answer", text_json(s->answer.answer), "sentences",
        sentences_json(&s->answer), "citations", citations_json(&s->answer), "nearest",
        nearest_json(&s->answer), "model", text_json(s->model.entry.digest), "usage",
        "prompt_tokens", (json_int_t)usage.prompt_tokens, "completion_tokens",
        (json_int_t)usage.completion_tokens, "cached_tokens", (json_int_t)usage.cached_tokens,
        "thresholds", "states", l->min_states, "confirms", l->min_confirms, "together",
        l->min_together, "calibrated_on", l->calibrated_on, "seconds", s->seconds, "load_seconds",
        s->model.load_seconds);
    if (o != NULL)
        json_object_set_new(
            o, "log_odds",
            json_pack("{s:f, s:f}", "states", s->answer.states, "confirms", s->answer.confirms));
    if (o != NULL && s->answer.reason != NULL)
        json_object_set_new(o, "reason", text_json(s->answer.reason));
    return o;
}

/* ---- text ---- */

static void print_place(const char *file, int64_t first, int64_t last, int page)
{
    vt_cli_print_safe(stdout, vt_slice_cstr(file), false);
    printf(":%lld", (long long)first);
    if (last > first) printf("-%lld", (long long)last);
    if (page > 0) printf(" (page %d)", page);
    putchar('\n');
}

static void print_quote(const char *text)
{
    vt_slice s = vt_slice_cstr(text);
    do {
        size_t len = vt_slice_find(s, VT_S("\n"));
        fputs("      ", stdout);
        vt_cli_print_safe(stdout, vt_slice_take(s, len), false);
        putchar('\n');
        s = vt_slice_skip(s, len + 1);
    } while (s.len > 0);
}

static void print_sentences(const vt_answer *a)
{
    for (size_t i = 0; i < a->n_sentences; i++) {
        const vt_sentence *s = &a->sentences[i];
        if (i > 0) putchar(' ');
        vt_cli_print_safe(stdout, vt_slice_cstr(s->text), true);
        for (size_t k = 0; k < s->n_citations; k++) printf(" [%zu]", s->citations[k] + 1);
        if (!s->supported) {
            fputs(" (unsupported: ", stdout);
            vt_cli_print_safe(stdout, vt_slice_cstr(s->problem), false);
            putchar(')');
        }
    }
    putchar('\n');
}

static void print_answer(const vt_answer *a)
{
    if (a->n_sentences > 0) print_sentences(a);
    else printf("Not in your documents: %s.\n", a->reason != NULL ? a->reason : "nothing found");
    if (a->n_citations > 0) putchar('\n');
    for (size_t i = 0; i < a->n_citations; i++) {
        const vt_citation *c = &a->citations[i];
        printf("  [%zu] %s", i + 1, c->verified ? "" : "(not verified) ");
        print_place(c->file, c->start_line, c->end_line, c->page);
        print_quote(c->quote);
    }
    if (a->n_nearest > 0) fputs("\nNearest lines, which do not answer it:\n", stdout);
    for (size_t i = 0; i < a->n_nearest; i++) {
        const vt_nearest *n = &a->nearest[i];
        fputs("    ", stdout);
        print_place(n->file, n->start_line, n->end_line, n->page);
        print_quote(n->text);
    }
}

/* ---- running ---- */

static int open_documents(ask_state *s)
{
    size_t n = vt_args_n_list(s->args, "dir");
    vt_report report = {0};
    const char **folders = vt_calloc(n > 0 ? n : 1, sizeof *folders);
    if (folders == NULL) return vt_cli_fail(&(vt_err){.code = VT_ENOMEM}, NULL);
    for (size_t i = 0; i < n; i++) folders[i] = vt_args_list(s->args, "dir", i);
    int code = vt_cli_documents_open(folders, n, &s->docs);
    vt_free(folders);
    if (code == VT_EXIT_OK) code = vt_cli_documents_refresh(&s->docs, &report);
    if (code == VT_EXIT_OK && report.n_documents == 0)
        vt_cli_note("vetro: there is no document in the folder");
    vt_report_deinit(&report);
    return code;
}

static int open_model(ask_state *s)
{
    vt_err err = {0};
    vt_session_options wanted = {.n_ctx = ASK_CONTEXT};
    const char *forced = vt_args_text(s->args, "format");
    const char *name = vt_args_text(s->args, "model");
    int code = vt_cli_open_model(s->args, name, &wanted, &s->model);
    if (code != VT_EXIT_OK) return code;
    const vt_model *model = vt_engine_model(s->model.engine);
    const vt_model_info *info = vt_model_get_info(model);
    vt_status st =
        vt_chat_format_for_gguf(vt_model_gguf(model), vt_engine_tokenizer(s->model.engine),
                                vt_slice_cstr(forced), &s->format, &err);
    s->limits = vt_ask_limits_for(vt_slice_cstr(info->name), vt_slice_cstr(info->architecture));
    return st == VT_OK ? VT_EXIT_OK : vt_cli_fail(&err, NULL);
}

static int answer(ask_state *s)
{
    vt_err err = {0};
    vt_cli_progress bar;
    vt_cli_interrupt_flag();
    vt_cli_progress_begin(&bar);
    double start = vt_clock_seconds();
    vt_status st =
        vt_engine_reader_new(s->model.session, &s->format, &bar.progress, &s->reader, &err);
    if (st == VT_OK) {
        vt_ask_options options = {.source = vt_library_source(s->docs.library),
                                  .reader = vt_engine_reader_as_reader(s->reader),
                                  .limits = s->limits,
                                  .progress = &bar.progress};
        st = vt_ask(&options, vt_buffer_slice(&s->question), &s->answer, &err);
    }
    s->seconds = vt_clock_seconds() - start;
    vt_cli_progress_end(&bar);
    return st == VT_OK ? VT_EXIT_OK : vt_cli_fail(&err, NULL);
}

/* The operands, joined: quoting the question is a courtesy, not a must. */
static int read_question(ask_state *s)
{
    vt_buffer_init(&s->question, MAX_QUESTION);
    for (size_t i = 0; i < vt_args_n_operands(s->args); i++) {
        if (i > 0) vt_buffer_byte(&s->question, ' ');
        vt_buffer_append(&s->question, vt_slice_cstr(vt_args_operand(s->args, i)));
    }
    vt_err err = {0};
    if (vt_buffer_status(&s->question, "the question", &err) != VT_OK)
        return vt_cli_fail(&err, NULL);
    if (vt_slice_trim(vt_buffer_slice(&s->question)).len == 0)
        return vt_cli_usage(s->args, "the question is empty");
    return VT_EXIT_OK;
}

static int run_ask(const vt_args *args)
{
    ask_state s = {.args = args};
    int code = read_question(&s);
    if (code == VT_EXIT_OK) code = open_documents(&s);
    if (code == VT_EXIT_OK) code = open_model(&s);
    if (code == VT_EXIT_OK) code = answer(&s);
    if (code == VT_EXIT_OK) {
        if (vt_args_flag(args, "json")) code = vt_cli_print_json(answer_json(&s));
        else print_answer(&s.answer);
    }
    vt_answer_deinit(&s.answer);
    vt_engine_reader_free(s.reader);
    vt_cli_close_model(&s.model);
    vt_cli_documents_close(&s.docs);
    vt_buffer_deinit(&s.question);
    return code;
}

static const vt_option options[] = {
    {.name = "dir",
     .letter = 'd',
     .argument = "DIR",
     .kind = VT_OPTION_LIST,
     .help = "folder of documents (the current one); may be given several times"},
    {.name = "model",
     .letter = 'm',
     .argument = "MODEL",
     .kind = VT_OPTION_TEXT,
     .standard = "qwen2.5-coder-1.5b",
     .help = "model that reads and answers"},
    {.name = "format",
     .argument = "NAME",
     .kind = VT_OPTION_TEXT,
     .help = "prompt format, when the model's file does not tell: harmony, chatml, llama3"},
    {.name = "json", .help = "print the result as JSON"},
    {0},
};

const vt_command vt_command_ask = {
    .name = "ask",
    .summary = "answer a question from your documents, with checked citations",
    .usage = "[OPTION]... QUESTION...",
    .description =
        "Searches the folders, lets the model read the best passages, and answers with the lines "
        "that hold the answer. Numbers, names and quoted words of every sentence are checked "
        "against those lines; what fails is marked. A question that the documents don't answer "
        "gets 'not in your documents' and the nearest lines (that is a result, not a failure: "
        "exit 0). The index is refreshed first.",
    .examples = "vetro ask -d share/demo 'Where do people gather when there is a fire?'\n"
                "vetro ask -d contracts -d letters --json 'When does the lease end?'\n"
                "vetro ask --model ./model.gguf 'Who is the treasurer?'\n",
    .options = options,
    .shared = vt_cli_model_options,
    .min_operands = 1,
    .max_operands = -1,
    .run = run_ask,
};
