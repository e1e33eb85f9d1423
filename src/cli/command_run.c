/* command_run.c -- `vetro run`: one completion to stdout. */
#include "cli/live.h"
#include "cli/prefixes.h"
#include "cli/turn.h"

#include <stdio.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "engine/schema.h"

enum { MAX_PROMPT = 256 << 20, MAX_SCHEMA = 4 << 20 };

typedef struct {
    const vt_args *args;
    vt_cli_model model;
    vt_cli_sampling sampling;
    vt_chat_format format;
    vt_conversation *conversation; /* NULL with --raw */
    vt_tokens tokens;              /* --raw */
    vt_buffer prompt;
    vt_buffer text; /* the answer, for --json */
    vt_buffer reasoning;
    json_t *logprobs;
    json_t *schema; /* of the answer, or NULL */
    bool as_json;
    bool shows_reasoning;
    vt_live live; /* where text is shown */
    vt_live thoughts;
} run_state;

static void on_text(void *ctx, vt_slice text)
{
    run_state *r = ctx;
    if (r->as_json) {
        vt_buffer_append(&r->text, text); /* checked once, at the end */
        return;
    }
    if (r->thoughts.column > 0) vt_live_push(&r->thoughts, VT_S("\n"));
    vt_live_push(&r->live, text);
}

static void on_reasoning(void *ctx, vt_slice text)
{
    run_state *r = ctx;
    if (r->as_json) vt_buffer_append(&r->reasoning, text);
    else if (r->shows_reasoning) vt_live_push(&r->thoughts, text);
}

static int check_usage(const vt_args *args)
{
    if (vt_args_has(args, "logprobs") && !vt_args_flag(args, "json"))
        return vt_cli_usage(args, "--logprobs needs --json");
    static const char *const of_formats[] = {"format", "system", "effort", "date", "reasoning"};
    for (size_t i = 0; i < VT_COUNT(of_formats) && vt_args_flag(args, "raw"); i++)
        if (vt_args_has(args, of_formats[i]))
            return vt_cli_usage(args, "--raw uses no prompt format: no --%s", of_formats[i]);
    if (vt_args_operand(args, 1) == NULL && isatty(STDIN_FILENO) == 1)
        return vt_cli_usage(args, "a prompt is needed, as an argument or on standard input");
    return vt_cli_check_format(args);
}

static int read_prompt(run_state *r)
{
    vt_err err = {0};
    const char *operand = vt_args_operand(r->args, 1);
    vt_status st = VT_OK;
    if (operand != NULL) vt_buffer_append(&r->prompt, vt_slice_cstr(operand));
    else st = vt_file_read("-", MAX_PROMPT, &r->prompt, &err);
    if (st == VT_OK) st = vt_buffer_status(&r->prompt, "the prompt", &err);
    if (st != VT_OK) return vt_cli_fail(&err, NULL);
    if (r->prompt.len == 0) return vt_cli_usage(r->args, "the prompt is empty");
    return VT_EXIT_OK;
}

/* The schema, looked at before a model is loaded for it. */
static int read_schema(run_state *r)
{
    const char *path = vt_args_text(r->args, "schema");
    vt_err err = {0};
    vt_buffer text;
    vt_schema compiled = {0};
    if (path == NULL) return VT_EXIT_OK;
    vt_buffer_init(&text, MAX_SCHEMA);
    vt_status st = vt_file_read(path, MAX_SCHEMA, &text, &err);
    if (st == VT_OK) {
        st = vt_json_parse(vt_buffer_slice(&text), &r->schema, &err);
        if (st == VT_OK) st = vt_schema_compile(r->schema, &compiled, &err);
        vt_schema_deinit(&compiled);
        if (st != VT_OK) st = vt_fail_wrap(&err, st, "%.150s", path);
    }
    vt_buffer_deinit(&text);
    return st == VT_OK ? VT_EXIT_OK : vt_cli_fail(&err, NULL);
}

static void set_effort(run_state *r)
{
    static const char *const names[] = {"default", "low", "medium", "high"};
    const char *effort = vt_args_text(r->args, "effort");
    for (int i = 0; i < 4; i++)
        if (strcmp(effort, names[i]) == 0)
            vt_conversation_set_effort(r->conversation, (vt_effort)i);
}

/* What is said to the model. Needs none yet. */
static int build_conversation(run_state *r)
{
    char today[11];
    const vt_args *args = r->args;
    const char *system = vt_args_text(args, "system");
    const char *date = vt_args_text(args, "date");
    vt_err err = {0};
    if (vt_args_flag(args, "raw")) return VT_EXIT_OK;
    vt_clock_date(today);
    vt_status st = vt_conversation_new(&r->conversation, &err);
    if (st != VT_OK) return vt_cli_fail(&err, NULL);
    if (vt_conversation_set_date(r->conversation, vt_slice_cstr(date ? date : today), &err) !=
        VT_OK)
        return vt_cli_usage(args, "--date: %s", err.msg);
    set_effort(r);
    if (system != NULL)
        st = vt_conversation_add_text(r->conversation, VT_ROLE_SYSTEM, vt_slice_cstr(system), &err);
    if (st == VT_OK)
        st = vt_conversation_add_text(r->conversation, VT_ROLE_USER, vt_buffer_slice(&r->prompt),
                                      &err);
    /* The model is told the schema too: it fills in better what it knows of. */
    if (st == VT_OK && json_is_object(r->schema))
        st = vt_conversation_set_response(r->conversation, VT_S("answer"), (vt_slice){0}, r->schema,
                                          &err);
    return st == VT_OK ? VT_EXIT_OK : vt_cli_fail(&err, NULL);
}

static vt_status build_raw(run_state *r, vt_err *err)
{
    const vt_tokenizer *t = vt_engine_tokenizer(r->model.engine);
    vt_status st = VT_OK;
    if (vt_tokenizer_adds_bos(t) && vt_tokenizer_bos(t) >= 0)
        st = vt_tokens_push(&r->tokens, vt_tokenizer_bos(t), err);
    if (st == VT_OK) st = vt_tokenizer_encode(t, vt_buffer_slice(&r->prompt), &r->tokens, err);
    return st;
}

static json_t *result_json(run_state *r, const vt_generate_result *g)
{
    json_t *usage =
        json_pack("{s:I, s:I, s:I}", "prompt_tokens", (json_int_t)g->n_prompt, "completion_tokens",
                  (json_int_t)g->n_generated, "cached_tokens", (json_int_t)g->n_cached);
    json_t *timings =
        json_pack("{s:f, s:f, s:f, s:I, s:I}", "load", r->model.load_seconds, "prefill_tps",
                  vt_generate_prefill_rate(g), "decode_tps", vt_generate_decode_rate(g), "drafted",
                  (json_int_t)g->n_drafted, "accepted", (json_int_t)g->n_accepted);
    json_t *out =
        json_pack("{s:o, s:s, s:o, s:o, s:I}", "text", vt_json_string(vt_buffer_slice(&r->text)),
                  "finish_reason", vt_end_text(g->end), "usage", usage, "timings", timings, "seed",
                  (json_int_t)r->sampling.seed);
    if (out == NULL) return NULL;
    if (r->reasoning.len > 0)
        json_object_set_new(out, "reasoning", vt_json_string(vt_buffer_slice(&r->reasoning)));
    if (r->logprobs != NULL) json_object_set(out, "logprobs", r->logprobs);
    if (r->model.explained != NULL) json_object_set(out, "cache", r->model.explained);
    if (r->model.entry.digest[0] != '\0')
        json_object_set_new(out, "model", json_string(r->model.entry.digest));
    return out;
}

static int answer(run_state *r)
{
    vt_err err = {0};
    vt_generate_result result = {0};
    vt_cli_turn turn = {
        .model = &r->model,
        .sampling = &r->sampling,
        .format = r->conversation != NULL ? &r->format : NULL,
        .conversation = r->conversation,
        .tokens = &r->tokens,
        .schema = r->schema,
        .n_logprobs = (uint32_t)vt_args_int(r->args, "logprobs"),
        .logprobs = r->logprobs,
        .on_text = on_text,
        .on_reasoning = on_reasoning,
        .ctx = r,
    };
    vt_live_begin(&r->live, stdout, false);
    vt_live_begin(&r->thoughts, stderr, false);
    vt_status st = vt_cli_turn_run(&turn, &result, &err);
    vt_live_end(&r->thoughts);
    vt_live_end(&r->live);
    if (st != VT_OK)
        return vt_cli_fail(&err, st == VT_ELIMIT ? "--ctx sets how many tokens it may hold" : NULL);
    vt_cli_explain_writing(r->args, &r->model);
    int code = VT_EXIT_OK;
    if (r->as_json && (r->text.failed || r->reasoning.failed)) return vt_cli_print_json(NULL);
    if (r->as_json) code = vt_cli_print_json(result_json(r, &result));
    fflush(stdout);
    vt_cli_note_cut(&r->model, &result);
    bool is_cut = result.end == VT_END_LENGTH || result.end == VT_END_CONTEXT;
    if (r->schema != NULL && is_cut)
        vt_cli_note("vetro: the answer was cut after %zu tokens: its JSON is not complete",
                    result.n_generated);
    return result.end == VT_END_CANCELLED ? VT_EXIT_INTERRUPTED : code;
}

static int run_loaded(run_state *r)
{
    vt_err err = {0};
    const vt_model *model = vt_engine_model(r->model.engine);
    if (vt_engine_tokenizer(r->model.engine) == NULL) {
        vt_fail(&err, VT_EUNSUPPORTED, "%.200s has no tokenizer", r->model.entry.path);
        return vt_cli_fail(&err, "'vetro logits' works on token ids");
    }
    vt_cli_complete_sampling(r->args, &r->model.entry, vt_model_gguf(model), &r->sampling);
    vt_status st = r->conversation == NULL
                       ? build_raw(r, &err)
                       : vt_chat_format_for_gguf(
                             vt_model_gguf(model), vt_engine_tokenizer(r->model.engine),
                             vt_slice_cstr(vt_args_text(r->args, "format")), &r->format, &err);
    if (st != VT_OK)
        return vt_cli_fail(&err, st == VT_EUNSUPPORTED
                                     ? "--format names the prompt format, --raw uses none"
                                     : NULL);
    return answer(r);
}

static int run_run(const vt_args *args)
{
    run_state r = {.args = args,
                   .as_json = vt_args_flag(args, "json"),
                   .shows_reasoning = vt_args_flag(args, "reasoning")};
    int code = check_usage(args);
    if (code != VT_EXIT_OK) return code;
    vt_buffer_init(&r.prompt, MAX_PROMPT);
    vt_buffer_init(&r.text, MAX_PROMPT);
    vt_buffer_init(&r.reasoning, MAX_PROMPT);
    if (vt_args_int(args, "logprobs") > 0) r.logprobs = json_array();
    code = vt_cli_read_sampling(args, &r.sampling);
    if (code == VT_EXIT_OK) code = read_schema(&r);
    if (code == VT_EXIT_OK) code = read_prompt(&r);
    if (code == VT_EXIT_OK) code = build_conversation(&r);
    if (code == VT_EXIT_OK) {
        code = vt_cli_open_model(args, vt_args_operand(args, 0), NULL, &r.model);
        if (r.as_json && vt_args_flag(args, "explain-cache")) r.model.explained = json_array();
        if (code == VT_EXIT_OK) code = run_loaded(&r);
    }
    json_decref(r.logprobs);
    json_decref(r.schema);
    vt_conversation_free(r.conversation);
    vt_tokens_deinit(&r.tokens);
    vt_buffer_deinit(&r.prompt);
    vt_buffer_deinit(&r.text);
    vt_buffer_deinit(&r.reasoning);
    vt_cli_close_model(&r.model);
    return code;
}

static const vt_option options[] = {
    {.name = "raw", .help = "no prompt format: continue the text as it is"},
    {.name = "system", .argument = "TEXT", .kind = VT_OPTION_TEXT, .help = "the system message"},
    {.name = "format",
     .argument = "NAME",
     .kind = VT_OPTION_TEXT,
     .help = "the prompt format: harmony, chatml, llama3 (else recognised)"},
    {.name = "effort",
     .argument = "LEVEL",
     .kind = VT_OPTION_CHOICE,
     .choices = "default|low|medium|high",
     .standard = "default",
     .help = "how much a reasoning model thinks"},
    {.name = "date",
     .argument = "YYYY-MM-DD",
     .kind = VT_OPTION_TEXT,
     .help = "the date that the prompt names (else today)"},
    {.name = "reasoning", .help = "show the model's reasoning, on standard error"},
    {.name = "schema",
     .argument = "FILE",
     .kind = VT_OPTION_TEXT,
     .help = "the answer is JSON that fits this JSON schema"},
    {.name = "logprobs",
     .argument = "K",
     .kind = VT_OPTION_INT,
     .max = VT_LOGPROBS_MAX,
     .help = "with --json: each token's log-probability, and those of the K likeliest"},
    {.name = "json", .help = "print the result as JSON, at the end"},
    {0},
};

const vt_command vt_command_run = {
    .name = "run",
    .summary = "one answer to one prompt",
    .usage = "[OPTION]... MODEL [PROMPT]",
    .description = "PROMPT, or standard input, is given to the model in the prompt format it was "
                   "trained on; the answer streams to standard output. Sampling is as the model's "
                   "publisher says ('vetro show') unless options say otherwise. Ctrl-C ends it.",
    .examples = "vetro run qwen2.5-coder-1.5b \"Write a C function that reverses a list.\"\n"
                "vetro run smollm2-135m --raw \"Once upon a time\" -n 50 --temperature 0\n"
                "git diff | vetro run qwen2.5-coder-1.5b --system \"Review this change.\"\n"
                "vetro run qwen2.5-coder-1.5b \"Name three rivers.\" --schema rivers.json\n"
                "vetro run ./model.gguf \"Hello\" --json --logprobs 5 --seed 1\n",
    .options = options,
    .shared = vt_cli_model_options,
    .caching = vt_cli_caching_options,
    .sampling = vt_cli_sampling_options,
    .min_operands = 1,
    .max_operands = 2,
    .run = run_run,
};
