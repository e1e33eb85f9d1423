/* command_tokenize.c -- `vetro tokenize`: text to token ids and back, and whole prompts as every
 * other command would build them. Reads the model's header only. */
#include "cli/models.h"

#include <stdio.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/parse.h"
#include "chat/format.h"
#include "chat/request.h"

enum { MAX_TEXT = 1 << 30 };

/* The operand, else standard input. */
static vt_status read_input(const vt_args *args, vt_buffer *out, vt_err *err)
{
    const char *text = vt_args_operand(args, 1);
    if (text == NULL) return vt_file_read("-", MAX_TEXT, out, err);
    vt_buffer_append(out, vt_slice_cstr(text));
    return vt_buffer_status(out, "the text", err);
}

/* Ids in any of the forms that programs print: "1 2 3", "1,2,3", "[1, 2, 3]". */
static vt_status read_ids(vt_slice text, size_t n_vocab, vt_tokens *out, vt_err *err)
{
    static const char between[] = " \t\r\n,[]";
    vt_status st = VT_OK;
    while (st == VT_OK && text.len > 0) {
        size_t n = 0;
        if (strchr(between, text.ptr[0]) != NULL && text.ptr[0] != '\0') {
            text = vt_slice_skip(text, 1);
            continue;
        }
        while (n < text.len && strchr(between, text.ptr[n]) == NULL) n++;
        if (n == 0) n = 1; /* a NUL byte */
        uint64_t id = 0;
        if (!vt_parse_u64(vt_slice_take(text, n), &id) || id >= n_vocab)
            return vt_fail(err, VT_EINPUT, "'%.*s' is no token id from 0 to %zu",
                           VT_ARG(vt_slice_take(text, n < 40 ? n : 40)), n_vocab - 1);
        st = vt_tokens_push(out, (int32_t)id, err);
        text = vt_slice_skip(text, n);
    }
    return st;
}

static vt_status render_chat(const vt_args *args, const vt_cli_header *h, vt_tokens *out,
                             vt_err *err)
{
    vt_buffer body;
    vt_buffer_init(&body, MAX_TEXT);
    vt_conversation *c = NULL;
    vt_chat_format format;
    char today[11];
    const char *date = vt_args_text(args, "date");
    vt_clock_date(today);
    vt_status st = vt_chat_format_for_gguf(
        h->gguf, h->tokenizer, vt_slice_cstr(vt_args_text(args, "format")), &format, err);
    if (st == VT_OK) st = vt_file_read(vt_args_text(args, "chat"), MAX_TEXT, &body, err);
    if (st == VT_OK) st = vt_chat_request_parse(vt_buffer_slice(&body), &c, err);
    if (st == VT_OK) st = vt_conversation_set_date(c, vt_slice_cstr(date ? date : today), err);
    if (st == VT_OK) st = vt_chat_tokens(&format, c, out, err);
    vt_conversation_free(c);
    vt_buffer_deinit(&body);
    return st;
}

static json_t *tokens_json(const vt_tokenizer *t, const vt_tokens *tokens)
{
    json_t *ids = json_array();
    json_t *pieces = json_array();
    for (size_t i = 0; i < tokens->n; i++) {
        json_array_append_new(ids, json_integer(tokens->ids[i]));
        json_array_append_new(pieces, vt_json_string(vt_tokenizer_bytes(t, tokens->ids[i])));
    }
    return json_pack("{s:o, s:o}", "ids", ids, "pieces", pieces);
}

static int print_ids(const vt_args *args, const vt_tokenizer *t, const vt_tokens *tokens)
{
    if (vt_args_flag(args, "json")) return vt_cli_print_json(tokens_json(t, tokens));
    if (vt_args_flag(args, "count")) printf("%zu\n", tokens->n);
    else {
        for (size_t i = 0; i < tokens->n; i++)
            printf("%s%d", i > 0 ? " " : "", (int)tokens->ids[i]);
        putchar('\n');
    }
    return VT_EXIT_OK;
}

static int print_text(const vt_args *args, const vt_tokenizer *t, const vt_tokens *tokens,
                      vt_err *err)
{
    vt_buffer text;
    vt_buffer_init(&text, MAX_TEXT);
    int code = VT_EXIT_OK;
    if (vt_tokenizer_decode(t, tokens->ids, tokens->n, true, &text, err) != VT_OK)
        code = vt_cli_fail(err, NULL);
    else if (vt_args_flag(args, "json"))
        code =
            vt_cli_print_json(json_pack("{s:o}", "text", vt_json_string(vt_buffer_slice(&text))));
    else fwrite(text.ptr ? text.ptr : "", 1, text.len, stdout);
    vt_buffer_deinit(&text);
    return code;
}

static int check_usage(const vt_args *args)
{
    bool has_chat = vt_args_has(args, "chat");
    if (has_chat && vt_args_flag(args, "decode"))
        return vt_cli_usage(args, "--chat and --decode exclude each other");
    if (has_chat && vt_args_operand(args, 1) != NULL)
        return vt_cli_usage(args, "--chat takes the text from its FILE, not from an argument");
    if (!has_chat && (vt_args_has(args, "date") || vt_args_has(args, "format")))
        return vt_cli_usage(args, "--date and --format belong to --chat");
    return VT_EXIT_OK;
}

static int run_tokenize(const vt_args *args)
{
    vt_cli_header h = {0};
    vt_tokens tokens = {0};
    vt_buffer text;
    vt_err err = {0};
    int code = check_usage(args);
    if (code == VT_EXIT_OK) code = vt_cli_open_header(vt_args_operand(args, 0), &h);
    if (code != VT_EXIT_OK) return code;
    vt_buffer_init(&text, MAX_TEXT);
    bool decode = vt_args_flag(args, "decode");
    vt_status st = VT_OK;
    if (vt_args_has(args, "chat")) st = render_chat(args, &h, &tokens, &err);
    else st = read_input(args, &text, &err);
    if (st == VT_OK && decode)
        st = read_ids(vt_buffer_slice(&text), vt_tokenizer_n_vocab(h.tokenizer), &tokens, &err);
    else if (st == VT_OK && !vt_args_has(args, "chat"))
        st = vt_tokenizer_encode(h.tokenizer, vt_buffer_slice(&text), &tokens, &err);
    if (st != VT_OK) code = vt_cli_fail(&err, NULL);
    else if (decode) code = print_text(args, h.tokenizer, &tokens, &err);
    else code = print_ids(args, h.tokenizer, &tokens);
    vt_buffer_deinit(&text);
    vt_tokens_deinit(&tokens);
    vt_cli_close_header(&h);
    return code;
}

static const vt_option options[] = {
    {.name = "decode", .letter = 'd', .help = "from ids (separated by spaces or commas) to text"},
    {.name = "count", .help = "print only how many tokens there are"},
    {.name = "chat",
     .argument = "FILE",
     .kind = VT_OPTION_TEXT,
     .help = "the whole prompt for a Chat Completions request body (\"-\": standard input)"},
    {.name = "date",
     .argument = "YYYY-MM-DD",
     .kind = VT_OPTION_TEXT,
     .help = "with --chat: the date that the prompt names (else today)"},
    {.name = "format",
     .argument = "NAME",
     .kind = VT_OPTION_TEXT,
     .help = "with --chat: the prompt format: harmony, chatml, llama3 (else recognised)"},
    {.name = "json", .help = "print the result as JSON"},
    {0},
};

const vt_command vt_command_tokenize = {
    .name = "tokenize",
    .summary = "text to token ids and back",
    .usage = "[OPTION]... MODEL [TEXT]",
    .description =
        "TEXT, or standard input, is encoded exactly as the published tokenizer does it, "
        "without a beginning-of-text token; what looks like a control token in it is "
        "ordinary text. Only --chat makes control tokens.",
    .examples = "vetro tokenize smollm2-135m \"Hello, world\"\n"
                "vetro tokenize smollm2-135m --decode \"19556 28 905\"\n"
                "vetro tokenize qwen2.5-coder-1.5b --json < notes.txt\n"
                "vetro tokenize qwen2.5-coder-1.5b --chat request.json --count\n",
    .options = options,
    .min_operands = 1,
    .max_operands = 2,
    .run = run_tokenize,
};
