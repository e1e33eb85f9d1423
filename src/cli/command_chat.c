/* command_chat.c -- `vetro chat`: a conversation in the terminal.
 *
 * The model's turns stay in the conversation as the ids that it sampled, so the KV cache of what
 * was said before is used again and nothing is rendered anew. Ctrl-C while the model answers ends
 * the answer and keeps the chat. What no longer fits is said, with numbers; nothing is dropped. */
#include "cli/live.h"
#include "cli/line_input.h"
#include "cli/prefixes.h"
#include "cli/turn.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/env.h"
#include "base/file.h"

enum { MAX_MESSAGE = 64 << 20 };

typedef struct {
    const vt_args *args;
    vt_cli_model model;
    vt_cli_sampling sampling;
    vt_chat_format format;
    vt_conversation *conversation;
    vt_line_input input;
    vt_buffer message;
    vt_buffer system; /* the system message, kept for /clear */
    vt_live live;
    bool is_reasoning; /* reasoning is being shown */
    bool is_over;
    vt_generate_result last;
} chat;

/* ---- what the model says ---- */

static void on_reasoning(void *ctx, vt_slice text)
{
    chat *c = ctx;
    if (!c->input.is_interactive) return;
    if (!c->is_reasoning) fputs("\033[2m", stdout);
    c->is_reasoning = true;
    vt_live plain;
    vt_live_begin(&plain, stdout, false);
    vt_live_push(&plain, text); /* harmless, but without style */
}

static void end_reasoning(chat *c)
{
    if (c->is_reasoning) fputs("\033[0m\n\n", stdout);
    c->is_reasoning = false;
}

static void on_text(void *ctx, vt_slice text)
{
    chat *c = ctx;
    end_reasoning(c);
    vt_live_push(&c->live, text);
}

/* Let the model answer what was said; on failure the conversation is as before `n_before`. */
static int answer(chat *c, size_t n_before)
{
    vt_err err = {0};
    vt_cli_turn turn = {
        .model = &c->model,
        .sampling = &c->sampling,
        .format = &c->format,
        .conversation = c->conversation,
        .on_text = on_text,
        .on_reasoning = on_reasoning,
        .ctx = c,
    };
    vt_live_begin(&c->live, stdout, !vt_args_flag(c->args, "plain"));
    vt_cli_interrupt_again();
    vt_status st = vt_cli_turn_run(&turn, &c->last, &err);
    end_reasoning(c);
    vt_live_end(&c->live);
    vt_cli_interrupt_off(); /* at the prompt Ctrl-C ends the program, as usual */
    c->sampling.seed++;     /* /retry gives another answer, still reproducible from --seed */
    if (st == VT_OK) {
        vt_cli_note_cut(&c->model, &c->last);
        if (vt_cli_terminated()) return VT_EXIT_INTERRUPTED;
        if (c->last.end == VT_END_CANCELLED) vt_cli_note("(stopped)");
        return VT_EXIT_OK;
    }
    vt_conversation_truncate(c->conversation, n_before);
    return vt_cli_fail(&err, st == VT_ELIMIT
                                 ? "/clear begins anew; --ctx sets how many tokens it may hold"
                                 : NULL);
}

/* ---- the conversation ---- */

static vt_status begin_conversation(chat *c, vt_err *err)
{
    char today[11];
    vt_conversation *fresh = NULL;
    vt_clock_date(today);
    vt_status st = vt_conversation_new(&fresh, err);
    if (st == VT_OK) st = vt_conversation_set_date(fresh, vt_slice_cstr(today), err);
    if (st == VT_OK && c->system.len > 0)
        st = vt_conversation_add_text(fresh, VT_ROLE_SYSTEM, vt_buffer_slice(&c->system), err);
    if (st != VT_OK) {
        vt_conversation_free(fresh);
        return st;
    }
    vt_conversation_free(c->conversation);
    c->conversation = fresh;
    c->last = (vt_generate_result){0};
    return VT_OK;
}

static json_t *messages_json(const vt_conversation *c)
{
    json_t *messages = json_array();
    for (size_t i = 0; i < vt_conversation_n_items(c); i++) {
        const vt_item *item = vt_conversation_item(c, i);
        const char *key = item->kind == VT_ITEM_REASONING ? "reasoning_content" : "content";
        if (item->kind != VT_ITEM_TEXT && item->kind != VT_ITEM_REASONING) continue;
        json_t *message = json_array_get(messages, json_array_size(messages) - 1);
        if (!item->continues || json_object_get(message, key) != NULL) {
            message = json_pack("{s:s}", "role", vt_role_name(item->role));
            json_array_append_new(messages, message);
        }
        json_object_set_new(message, key, vt_json_string(item->text));
    }
    return json_pack("{s:o}", "messages", messages);
}

static void append_markdown(const vt_conversation *c, vt_buffer *out)
{
    for (size_t i = 0; i < vt_conversation_n_items(c); i++) {
        const vt_item *item = vt_conversation_item(c, i);
        if (item->kind != VT_ITEM_TEXT) continue;
        vt_buffer_printf(out, "**%s**\n\n%.*s\n\n", vt_role_name(item->role), VT_ARG(item->text));
    }
}

/* /save FILE: JSON that `tokenize --chat` and the APIs take, or Markdown. Never over a file. */
static int save(const chat *c, vt_slice name)
{
    vt_err err = {0};
    vt_buffer text;
    vt_buffer_init(&text, MAX_MESSAGE * 2);
    vt_status st = VT_OK;
    char *path = vt_strdup(name);
    if (path == NULL) st = vt_fail(&err, VT_ENOMEM, "out of memory");
    else if (vt_slice_ends(name, VT_S(".json"))) {
        json_t *value = messages_json(c->conversation);
        if (value == NULL) st = vt_fail(&err, VT_ENOMEM, "out of memory");
        else st = vt_json_write(value, &text, &err);
        json_decref(value);
        vt_buffer_byte(&text, '\n');
    } else {
        append_markdown(c->conversation, &text);
    }
    if (st == VT_OK) st = vt_buffer_status(&text, "the conversation", &err);
    if (st == VT_OK) {
        int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd < 0) st = vt_fail_errno(&err, VT_EIO, "cannot save to %.200s", path);
        else st = vt_file_write_all(fd, vt_buffer_slice(&text), &err);
        if (fd >= 0 && close(fd) != 0 && st == VT_OK)
            st = vt_fail_errno(&err, VT_EIO, "cannot save to %.200s", path);
    }
    const int code = st == VT_OK ? VT_EXIT_OK : vt_cli_fail(&err, NULL);
    if (st == VT_OK) vt_cli_note("saved to %s", path);
    vt_free(path);
    vt_buffer_deinit(&text);
    return code;
}

/* ---- /commands ---- */

static int do_help(chat *c, vt_slice rest)
{
    (void)c, (void)rest;
    puts("/clear         begin a new conversation\n"
         "/system TEXT   set the system message (and begin anew); /system alone shows it\n"
         "/retry         let the model answer the last message again\n"
         "/save FILE     write the conversation (.json: messages; else Markdown)\n"
         "/stats         tokens and speed of the last answer\n"
         "/exit          leave (also Ctrl-D)\n"
         "A message of several lines is put between \"\"\" and \"\"\". Ctrl-C stops an answer.\n"
         "A message that begins with / is written with //.");
    return VT_EXIT_OK;
}

static int do_clear(chat *c, vt_slice rest)
{
    vt_err err = {0};
    (void)rest;
    if (begin_conversation(c, &err) != VT_OK) return vt_cli_fail(&err, NULL);
    vt_cli_note("a new conversation");
    return VT_EXIT_OK;
}

static int do_system_message(chat *c, vt_slice rest)
{
    if (rest.len == 0) {
        printf("%.*s\n", VT_ARG(vt_buffer_slice(&c->system)));
        return VT_EXIT_OK;
    }
    vt_buffer_clear(&c->system);
    vt_buffer_append(&c->system, rest);
    return do_clear(c, rest);
}

static int do_save(chat *c, vt_slice rest)
{
    if (rest.len > 0) return save(c, rest);
    vt_cli_note("/save FILE");
    return VT_EXIT_USAGE;
}

static int do_stats(chat *c, vt_slice rest)
{
    (void)rest;
    printf(
        "prompt %zu tokens (%zu from the cache), %.1f tokens/s; answer %zu tokens, %.1f tokens/s; "
        "context %zu of %u\n",
        c->last.n_prompt, c->last.n_cached, vt_generate_prefill_rate(&c->last), c->last.n_generated,
        vt_generate_decode_rate(&c->last), vt_session_n_tokens(c->model.session),
        (unsigned)vt_session_n_ctx(c->model.session));
    return VT_EXIT_OK;
}

static int do_retry(chat *c, vt_slice rest)
{
    (void)rest;
    size_t n = vt_conversation_n_items(c->conversation);
    while (n > 0 && vt_conversation_item(c->conversation, n - 1)->role == VT_ROLE_ASSISTANT) n--;
    if (n == 0 || vt_conversation_item(c->conversation, n - 1)->role != VT_ROLE_USER) {
        vt_cli_note("nothing to answer yet");
        return VT_EXIT_USAGE;
    }
    vt_conversation_truncate(c->conversation, n);
    return answer(c, n);
}

static int do_exit(chat *c, vt_slice rest)
{
    (void)rest;
    c->is_over = true;
    return VT_EXIT_OK;
}

static const struct {
    const char *name;
    int (*run)(chat *c, vt_slice rest);
} slash_commands[] = {
    {"help", do_help}, {"clear", do_clear}, {"system", do_system_message},
    {"save", do_save}, {"stats", do_stats}, {"retry", do_retry},
    {"exit", do_exit}, {"quit", do_exit},
};

static int run_slash(chat *c, vt_slice text)
{
    text = vt_slice_skip(text, 1);
    size_t n = 0;
    while (n < text.len && text.ptr[n] != ' ' && text.ptr[n] != '\n') n++;
    vt_slice name = vt_slice_take(text, n);
    for (size_t i = 0; i < VT_COUNT(slash_commands); i++)
        if (vt_slice_eq(name, vt_slice_cstr(slash_commands[i].name)))
            return slash_commands[i].run(c, vt_slice_trim(vt_slice_skip(text, n)));
    vt_cli_note("no command /%.*s; /help lists them", VT_ARG(vt_slice_take(name, 40)));
    return VT_EXIT_USAGE;
}

/* ---- the loop ---- */

static int say(chat *c, vt_slice text)
{
    vt_err err = {0};
    size_t n_before = vt_conversation_n_items(c->conversation);
    if (vt_conversation_add_text(c->conversation, VT_ROLE_USER, text, &err) != VT_OK)
        return vt_cli_fail(&err, NULL);
    return answer(c, n_before);
}

static int too_long(void)
{
    vt_cli_note("the message is too long: the most is %d MiB", MAX_MESSAGE >> 20);
    return VT_EXIT_FAILED;
}

static int loop(chat *c)
{
    int code = VT_EXIT_OK;
    vt_cli_interrupt_off(); /* the bar of loading had set it on */
    if (vt_cli_interrupted()) return VT_EXIT_INTERRUPTED;
    if (c->input.is_interactive)
        printf("%s; /help shows the commands, Ctrl-D leaves\n",
               c->model.entry.name ? c->model.entry.name : c->model.entry.path);
    while (!c->is_over && !ferror(stdout) && vt_line_input_read(&c->input, "> ", &c->message)) {
        vt_slice text = vt_buffer_slice(&c->message);
        if (vt_slice_trim(text).len == 0) continue;
        if (c->message.failed) code = too_long();
        else if (vt_slice_starts(text, VT_S("//"))) code = say(c, vt_slice_skip(text, 1));
        else if (text.ptr[0] == '/') code = run_slash(c, text);
        else code = say(c, text);
        /* A script wants to know; a person has read it and goes on. */
        if (code != VT_EXIT_OK && (!c->input.is_interactive || vt_cli_terminated())) return code;
        fflush(stdout);
    }
    if (c->input.is_interactive && !c->is_over) putchar('\n');
    return VT_EXIT_OK;
}

static int run_loaded(chat *c)
{
    vt_err err = {0};
    const vt_model *model = vt_engine_model(c->model.engine);
    const char *system = vt_args_text(c->args, "system");
    vt_cli_complete_sampling(c->args, &c->model.entry, vt_model_gguf(model), &c->sampling);
    vt_buffer_append(&c->system, vt_slice_cstr(system));
    vt_status st = VT_OK;
    if (vt_engine_tokenizer(c->model.engine) == NULL)
        st = vt_fail(&err, VT_EUNSUPPORTED, "%.200s has no tokenizer", c->model.entry.path);
    if (st == VT_OK)
        st = vt_chat_format_for_gguf(vt_model_gguf(model), vt_engine_tokenizer(c->model.engine),
                                     vt_slice_cstr(vt_args_text(c->args, "format")), &c->format,
                                     &err);
    if (st == VT_OK) st = begin_conversation(c, &err);
    if (st != VT_OK) return vt_cli_fail(&err, NULL);
    return loop(c);
}

/* Without MODEL: the only one in the store, or the catalogue's first that is there. */
static int default_model(char **out)
{
    vt_store *store = NULL;
    vt_store_entry *list = NULL;
    size_t n = 0;
    size_t n_known;
    vt_err err = {0};
    const char *name = NULL;
    const vt_catalogue_entry *known = vt_catalogue_all(&n_known);
    int code = vt_cli_open_store(&store);
    if (code != VT_EXIT_OK) return code;
    if (vt_store_list(store, &list, &n, &err) != VT_OK) n = 0;
    if (n == 1) name = list[0].name;
    for (size_t k = 0; k < n_known && name == NULL; k++)
        for (size_t i = 0; i < n; i++)
            if (strcmp(list[i].name, known[k].name) == 0) name = list[i].name;
    if (name != NULL) *out = vt_strdup(vt_slice_cstr(name));
    for (size_t i = 0; i < n; i++) vt_store_entry_deinit(&list[i]);
    vt_free(list);
    vt_store_close(store);
    if (*out != NULL) return VT_EXIT_OK;
    vt_fail(&err, VT_ENOTFOUND, "%s", n == 0 ? "no models on this machine yet" : "which model?");
    return vt_cli_fail(&err, n == 0 ? "'vetro pull qwen2.5-coder-1.5b' brings one"
                                    : "name one of those that 'vetro list' shows");
}

/* DATA/chat_history; NULL when there is no such directory. */
static char *history_path(void)
{
    char *data = NULL;
    char *path = NULL;
    vt_buffer b;
    vt_buffer_init(&b, 65536);
    if (vt_env_dir(VT_DIR_DATA, &data, NULL) == VT_OK && vt_file_make_dirs(data, NULL) == VT_OK &&
        vt_buffer_printf(&b, "%s/chat_history", data))
        path = vt_buffer_take(&b);
    vt_buffer_deinit(&b);
    vt_free(data);
    return path;
}

static int run_chat(const vt_args *args)
{
    chat c = {.args = args};
    char *name = NULL;
    int code = vt_cli_check_format(args);
    if (code == VT_EXIT_OK) code = vt_cli_read_sampling(args, &c.sampling);
    if (code != VT_EXIT_OK) return code;
    if (vt_args_operand(args, 0) == NULL) code = default_model(&name);
    else name = vt_strdup(vt_slice_cstr(vt_args_operand(args, 0)));
    if (code == VT_EXIT_OK && name != NULL) code = vt_cli_open_model(args, name, NULL, &c.model);
    vt_free(name);
    if (code != VT_EXIT_OK) return code;
    char *history = history_path();
    vt_buffer_init(&c.message, MAX_MESSAGE);
    vt_buffer_init(&c.system, MAX_MESSAGE);
    vt_line_input_begin(&c.input, history);
    code = run_loaded(&c);
    vt_line_input_end(&c.input);
    vt_cli_explain_writing(args, &c.model);
    vt_conversation_free(c.conversation);
    vt_buffer_deinit(&c.message);
    vt_buffer_deinit(&c.system);
    vt_cli_close_model(&c.model);
    vt_free(history);
    return code;
}

static const vt_option options[] = {
    {.name = "system", .argument = "TEXT", .kind = VT_OPTION_TEXT, .help = "the system message"},
    {.name = "format",
     .argument = "NAME",
     .kind = VT_OPTION_TEXT,
     .help = "the prompt format: harmony, chatml, llama3 (else recognised)"},
    {.name = "plain", .help = "show answers as they are written, without Markdown's styles"},
    {0},
};

const vt_command vt_command_chat = {
    .name = "chat",
    .summary = "a conversation in the terminal",
    .usage = "[OPTION]... [MODEL]",
    .description = "Answers appear as they are written, Markdown in style. /help lists what can be "
                   "done meanwhile; several lines go between \"\"\" and \"\"\". Ctrl-C stops an "
                   "answer and keeps the chat, Ctrl-D leaves. Messages are also read from a pipe, "
                   "one a line. Without MODEL it takes the only one on this machine, or the first "
                   "of 'vetro list --known' that is there.",
    .examples = "vetro chat\n"
                "vetro chat qwen2.5-coder-1.5b --system \"Answer in French.\"\n"
                "printf 'Hello\\nAnd in Italian?\\n' | vetro chat smollm2-135m --temperature 0\n",
    .options = options,
    .shared = vt_cli_model_options,
    .caching = vt_cli_caching_options,
    .sampling = vt_cli_sampling_options,
    .max_operands = 1,
    .run = run_chat,
};
