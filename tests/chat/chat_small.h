/* chat_small.h -- for tests: small tokenizers with the control tokens of a format, texts with
 * control tokens written by their names as ids, and what a parser tells as one line of text. */
#ifndef VT_TESTS_CHAT_SMALL_H
#define VT_TESTS_CHAT_SMALL_H

#include "../model/tokenizer_small.h"
#include "chat/parser.h"
#include "chat/request.h"

static const char *const harmony_controls[] = {
    "<|start|>",  "<|end|>",  "<|message|>",   "<|channel|>",  "<|constrain|>",
    "<|return|>", "<|call|>", "<|endoftext|>", "<|reserved|>", NULL,
};
static const char *const chatml_controls[] = {"<|im_start|>", "<|im_end|>", "<|endoftext|>",
                                              "<|box_start|>", NULL};
static const char *const llama3_controls[] = {
    "<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>",
    "<|eom_id|>",        "<|python_tag|>",      "<|end_of_text|>",   NULL,
};
static const char *const no_merges[] = {NULL};
/* Tokens that lie across the borders of words and tags. */
static const char *const some_merges[] = {
    "a n",         "an a", "i n",  "t o",   "o n",
    "to o",        "c a",  "l l",  "ca ll", "_ call",
    "\xC4\xA0 to", "f u",  "fu n", "e r",   "\xC3\xA2 \xC4\xA4",
    "{ \"",        "\" }", "< /",  NULL};

/* The format by its name, on a small vocabulary. */
static inline vt_chat_format small_format(const char *name, const char *const *merges,
                                          vt_tokenizer **tokenizer)
{
    static small_vocabulary v;
    vt_chat_format f = {0};
    bool is_harmony = strcmp(name, "harmony") == 0, is_chatml = strcmp(name, "chatml") == 0;
    /* Not Qwen's split: it normalises, and these texts must come back as they were. */
    small_init(&v, is_harmony ? VT_SPLIT_O200K : VT_SPLIT_LLAMA3, merges,
               is_harmony  ? harmony_controls
               : is_chatml ? chatml_controls
                           : llama3_controls);
    if (is_chatml) {
        small_add(&v, VT_S("<tool_call>"), VT_TOKEN_USER_DEFINED);
        small_add(&v, VT_S("</tool_call>"), VT_TOKEN_USER_DEFINED);
        small_add(&v, VT_S("<think>"), VT_TOKEN_CONTROL);
        small_add(&v, VT_S("</think>"), VT_TOKEN_CONTROL);
    }
    VT_CHECK(vt__tokenizer_new(&v.source, tokenizer, NULL) == VT_OK);
    vt_chat_hints hints = {.forced = vt_slice_cstr(name), .tokenizer = *tokenizer};
    VT_CHECK(vt_chat_format_find(&hints, &f, NULL) == VT_OK);
    f.dialect = is_chatml ? VT_DIALECT_QWEN25 : is_harmony ? VT_DIALECT_PLAIN : VT_DIALECT_LLAMA31;
    return f;
}

/* Ids of a text in which control tokens stand by their names. */
static inline void small_ids(const vt_tokenizer *t, vt_slice text, vt_tokens *out)
{
    size_t start = 0;
    for (size_t i = 0; i <= text.len; i++) {
        size_t n = 0;
        int32_t id = -1;
        if (i < text.len && text.ptr[i] == '<') {
            n = vt_slice_find(vt_slice_skip(text, i), VT_S(">")) + 1;
            if (i + n <= text.len) id = vt_tokenizer_control(t, vt_slice_of(text.ptr + i, n));
        }
        if (id < 0 && i < text.len) continue;
        VT_CHECK(vt_tokenizer_encode(t, vt_slice_of(text.ptr + start, i - start), out, NULL) ==
                 VT_OK);
        if (id >= 0) {
            VT_CHECK(vt_tokens_push(out, id, NULL) == VT_OK);
            i += n - 1;
        }
        start = i + 1;
    }
}

/* "R(thought)T(text)P(preamble)C(name {json})U(unknown tool {json})X(name invalid)[calls]". */
typedef struct {
    vt_buffer text;
    char open; /* R, T or P: the item being told */
    size_t n_events;
    bool is_ended;
} transcript;

static inline void transcript_close(transcript *t)
{
    if (t->open) vt_buffer_byte(&t->text, ')');
    t->open = '\0';
}

static inline void transcript_event(void *ctx, const vt_event *e)
{
    static const char *const ends[] = {"stop", "calls", "length", "cancel"};
    transcript *t = ctx;
    t->n_events++;
    VT_CHECK(!t->is_ended);
    VT_CHECK(vt_utf8_is_valid(e->text));
    if (e->kind == VT_EVENT_REASONING || e->kind == VT_EVENT_TEXT) {
        char kind = e->kind == VT_EVENT_REASONING ? 'R' : e->is_preamble ? 'P' : 'T';
        VT_CHECK(e->text.len > 0 && (t->open == '\0' || t->open == kind));
        if (!t->open) vt_buffer_printf(&t->text, "%c(", kind);
        t->open = kind;
        vt_buffer_append(&t->text, e->text);
    } else if (e->kind == VT_EVENT_ITEM_END) {
        transcript_close(t);
    } else if (e->kind == VT_EVENT_CALL) {
        VT_CHECK(t->open == '\0' && e->call_id.len > 0 && e->name.len > 0);
        vt_buffer_printf(&t->text, "%c(%.*s ",
                         !e->is_known  ? 'U'
                         : e->is_valid ? 'C'
                                       : 'X',
                         VT_ARG(e->name));
        vt_buffer_append(&t->text, e->text);
        vt_buffer_byte(&t->text, ')');
    } else {
        VT_CHECK(t->open == '\0');
        vt_buffer_printf(&t->text, "[%s]", ends[e->finish]);
        t->is_ended = true;
    }
}

static inline vt_conversation *small_conversation(const char *body)
{
    vt_conversation *c = NULL;
    vt_err err = {0};
    vt_status st = vt_chat_request_parse(vt_slice_cstr(body), &c, &err);
    VT_CHECK(st == VT_OK);
    return c;
}

#define SMALL_TOOL(name, properties, required)                                             \
    "{\"type\":\"function\",\"function\":{\"name\":\"" name "\",\"parameters\":{\"type\":" \
    "\"object\",\"properties\":{" properties "},\"required\":[" required "]}}}"

#define SMALL_BODY(builtins)                                                                 \
    "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"tools\":[" SMALL_TOOL(         \
        "get_weather", "\"place\":{\"type\":\"string\"},\"days\":{\"type\":\"integer\"}",    \
        "\"place\"") "," SMALL_TOOL("get", "\"n\":{\"type\":\"integer\"}",                   \
                                    "") "," SMALL_TOOL("open_file",                          \
                                                       "\"a\":{\"type\":\"string\"},\"b\":{" \
                                                       "\"type\":\"string\"}",               \
                                                       "\"a\",\"b\"") builtins "]}"

#define SMALL_BUILTINS ",{\"type\":\"browser_search\"},{\"type\":\"code_interpreter\"}"

#endif
