/* command_ask.c -- `vetro ask`: an answer from documents, with citations that were checked. */
#include "cli/documents.h"
#include "cli/turn.h"
#include "cli/prefixes.h"

#include <stdio.h>

#include "agent/ask.h"
#include "agent/turn.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "chat/format.h"

/* Context: the prompt of one passage at a time, or a conversation with the pages it opened. */
enum { ASK_CONTEXT = 4096, BROWSE_CONTEXT = 32768, MAX_QUESTION = 64 << 10 };

typedef struct {
    const vt_args *args;
    vt_buffer question;
    vt_cli_documents docs;
    vt_cli_model model;
    vt_chat_format format;
    bool searches_itself; /* trained on the browser (gpt-oss): agent/browse.h; else agent/ask.h */
    vt_ask_limits limits;
    vt_reader_usage usage;
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

static json_t *limits_json(const vt_ask_limits *l)
{
    return json_pack("{s:f, s:f, s:f, s:s}", "states", l->min_states, "confirms", l->min_confirms,
                     "together", l->min_together, "calibrated_on", l->calibrated_on);
}

static json_t *answer_json(const ask_state *s)
{
    const vt_answer *a = &s->answer;
    const vt_reader_usage *u = &s->usage;
    json_t *usage = json_pack("{s:I, s:I, s:I}", "prompt_tokens", (json_int_t)u->prompt_tokens,
                              "completion_tokens", (json_int_t)u->completion_tokens,
                              "cached_tokens", (json_int_t)u->cached_tokens);
    json_t *o =
        json_pack("{s:b, s:o, s:o, s:o, s:o, s:s, s:o, s:f, s:f}", "answered", (int)a->answered,
                  "answer", text_json(a->answer), "sentences", sentences_json(a), "citations",
                  citations_json(a), "nearest", nearest_json(a), "model", s->model.entry.digest,
                  "usage", usage, "seconds", s->seconds, "load_seconds", s->model.load_seconds);
    if (o == NULL) return NULL;
    if (a->reason != NULL) json_object_set_new(o, "reason", text_json(a->reason));
    if (s->model.explained != NULL) json_object_set(o, "cache", s->model.explained);
    if (s->searches_itself) return o;
    json_object_set_new(o, "thresholds", limits_json(&s->limits));
    json_object_set_new(o, "log_odds",
                        json_pack("{s:f, s:f}", "states", a->states, "confirms", a->confirms));
    return o;
}

/* Scripts want to know which model it was; a file that is not in the store is read for that. */
static int print_json(ask_state *s)
{
    if (s->model.entry.digest[0] == '\0') {
        vt_store_entry entry = {0};
        int code = vt_cli_find_model(vt_args_text(s->args, "model"), true, &entry);
        if (code != VT_EXIT_OK) return code;
        memcpy(s->model.entry.digest, entry.digest, sizeof entry.digest);
        vt_store_entry_deinit(&entry);
    }
    return vt_cli_print_json(answer_json(s));
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
    if (a->n_sentences > 0 && a->reason != NULL) {
        fflush(stdout);
        vt_cli_note("vetro: %s", a->reason);
    }
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

/* A model that searches by itself keeps the pages it opened in its context: a longer session. */
static vt_status make_room(ask_state *s, vt_err *err)
{
    vt_session *longer = NULL;
    vt_session_options wanted = s->model.session_options;
    if (vt_args_has(s->args, "ctx")) return VT_OK;
    uint32_t trained = vt_model_get_info(vt_engine_model(s->model.engine))->n_ctx_train;
    wanted.n_ctx = trained > 0 && trained < BROWSE_CONTEXT ? trained : BROWSE_CONTEXT;
    vt_session_free(s->model.session);
    s->model.session = NULL;
    vt_status st = vt_session_new(s->model.engine, &wanted, &longer, err);
    s->model.session = longer;
    return st;
}

static int open_model(ask_state *s)
{
    vt_err err = {0};
    vt_session_options wanted = {.n_ctx = ASK_CONTEXT};
    int code = vt_cli_open_model(s->args, vt_args_text(s->args, "model"), &wanted, &s->model);
    if (code != VT_EXIT_OK) return code;
    const vt_model *model = vt_engine_model(s->model.engine);
    const vt_model_info *info = vt_model_get_info(model);
    vt_slice forced = vt_slice_cstr(vt_args_text(s->args, "format"));
    vt_status st = vt_chat_format_for_gguf(
        vt_model_gguf(model), vt_engine_tokenizer(s->model.engine), forced, &s->format, &err);
    s->limits = vt_ask_limits_for(vt_slice_cstr(info->name), vt_slice_cstr(info->architecture));
    s->searches_itself = st == VT_OK && strcmp(s->format.name, "harmony") == 0;
    if (s->searches_itself) st = make_room(s, &err);
    return st == VT_OK ? VT_EXIT_OK : vt_cli_fail(&err, NULL);
}

/* Score, answer, verify: for models that were not trained on tools. */
static vt_status read_and_answer(ask_state *s, const vt_progress *progress, vt_err *err)
{
    vt_engine_reader *reader = NULL;
    vt_status st = vt_engine_reader_new(s->model.session, &s->format, vt_cli_speculate(s->args),
                                        progress, &reader, err);
    if (st != VT_OK) return st;
    vt_ask_options options = {.source = vt_library_source(s->docs.library),
                              .reader = vt_engine_reader_as_reader(reader),
                              .limits = s->limits,
                              .progress = progress};
    st = vt_ask(&options, vt_buffer_slice(&s->question), &s->answer, err);
    s->usage = vt_engine_reader_usage(reader);
    vt_engine_reader_free(reader);
    return st;
}

/* The model's own search, open and find, sampled as its publisher says, the seed fixed: the same
 * question gets the same answer. */
static vt_status search_and_answer(ask_state *s, const vt_progress *progress, vt_err *err)
{
    char date[11];
    const char *source = NULL;
    const vt_gguf *g = vt_model_gguf(vt_engine_model(s->model.engine));
    vt_engine_turn turn = {
        .engine = s->model.engine,
        .session = s->model.session,
        .format = &s->format,
        .sampling = vt_catalogue_sampling(
            vt_catalogue_by_digest(vt_slice_cstr(s->model.entry.digest)), g, &source),
        .seed = 1,
        .progress = progress,
        .speculate = vt_cli_speculate(s->args)};
    vt_clock_date(date);
    vt_browse_options options = {.source = vt_library_source(s->docs.library),
                                 .turn = vt_engine_turn_as_turn(&turn),
                                 .date = vt_slice_cstr(date),
                                 .progress = progress};
    vt_status st = vt_browse(&options, vt_buffer_slice(&s->question), &s->answer, err);
    s->usage = turn.usage;
    return st;
}

static int answer(ask_state *s)
{
    vt_err err = {0};
    vt_cli_progress bar;
    vt_cli_interrupt_flag();
    vt_cli_progress_begin(&bar);
    double start = vt_clock_seconds();
    vt_status st = s->searches_itself ? search_and_answer(s, &bar.progress, &err)
                                      : read_and_answer(s, &bar.progress, &err);
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

/* A model that is not here is told before the folders are indexed. */
static int check_model(const vt_args *args)
{
    vt_store_entry entry = {0};
    int code = vt_cli_find_model(vt_args_text(args, "model"), false, &entry);
    if (code == VT_EXIT_OK) vt_store_entry_deinit(&entry);
    return code;
}

static int run_ask(const vt_args *args)
{
    ask_state s = {.args = args};
    const bool as_json = vt_args_flag(args, "json");
    int code = read_question(&s);
    if (code == VT_EXIT_OK) code = check_model(args);
    if (code == VT_EXIT_OK) code = open_documents(&s);
    if (code == VT_EXIT_OK) code = open_model(&s);
    if (as_json && vt_args_flag(args, "explain-cache")) s.model.explained = json_array();
    if (code == VT_EXIT_OK) code = answer(&s);
    if (code == VT_EXIT_OK && !as_json) print_answer(&s.answer);
    vt_cli_explain_writing(args, &s.model); /* part of the JSON, but no reason to wait for text */
    if (code == VT_EXIT_OK && as_json) code = print_json(&s);
    vt_answer_deinit(&s.answer);
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
    {.name = "speculate",
     .argument = "WHEN",
     .kind = VT_OPTION_CHOICE,
     .choices = "auto|off",
     .standard = "auto",
     .help = "compute tokens that can be guessed together; same answer, only faster"},
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
    .caching = vt_cli_caching_options,
    .min_operands = 1,
    .max_operands = -1,
    .run = run_ask,
};
