/* chatml_render.c -- <|im_start|>role\ntext<|im_end|>\n, as Qwen2, Qwen2.5 and SmolLM2 publish it
 * in their chat templates; the fixtures of tests/data/chat/chatml were made by running those.
 *
 * Tools exist in the Qwen2.5 dialect only; the others' templates have no place for them, which is
 * an error here and not a tool that silently isn't there. <tool_call> in our own text becomes the
 * token where the vocabulary has one, as in the published tokenizer; in anybody else's text it
 * stays text. */
#include "chat/format_ops.h"

static bool has(vt_slice template, const char *marker)
{
    return vt_slice_find(template, vt_slice_cstr(marker)) < template.len;
}

/* A dialect is recognised by what only its template says. A template that does more than we know
 * (reasoning, other tool syntaxes) is none of ours. */
static bool recognise(const vt_chat_hints *h, vt_chat_dialect *dialect)
{
    vt_slice t = h->chat_template;
    if (!has(t, "<|im_start|>") || !has(t, "<|im_end|>") || has(t, "think")) return false;
    if (has(t, "You are Qwen, created by Alibaba Cloud")) {
        if (!has(t, "<tool_call>") || !has(t, "<tool_response>")) return false;
        *dialect =
            has(t, "{{\\\"name\\\": <function-name>") ? VT_DIALECT_QWEN25_TWIN : VT_DIALECT_QWEN25;
        return true;
    }
    if (has(t, "tool") || has(t, "<|im_sep|>") || has(t, "bos_token")) return false;
    if (has(t, "named SmolLM, trained by Hugging Face")) *dialect = VT_DIALECT_SMOLLM2;
    else if (has(t, "You are a helpful assistant")) *dialect = VT_DIALECT_QWEN2;
    else *dialect = VT_DIALECT_PLAIN;
    return *dialect != VT_DIALECT_PLAIN || !has(t, "<|im_start|>system\n");
}

static vt_slice default_system(vt_chat_dialect dialect)
{
    switch (dialect) {
    case VT_DIALECT_QWEN25:
    case VT_DIALECT_QWEN25_TWIN:
        return VT_S("You are Qwen, created by Alibaba Cloud. You are a helpful assistant.");
    case VT_DIALECT_QWEN2: return VT_S("You are a helpful assistant.");
    case VT_DIALECT_SMOLLM2:
        return VT_S("You are a helpful AI assistant named SmolLM, trained by Hugging Face");
    default: return (vt_slice){0};
    }
}

static bool has_tools(vt_chat_dialect dialect)
{
    return dialect == VT_DIALECT_QWEN25 || dialect == VT_DIALECT_QWEN25_TWIN;
}

static void start(vt_emit *e, const char *role)
{
    vt__emit_control(e, VT_S("<|im_start|>"));
    vt__emit_trusted(e, vt_slice_cstr(role));
}

static void end(vt_emit *e)
{
    vt__emit_control(e, VT_S("<|im_end|>"));
    vt__emit_trusted(e, VT_S("\n"));
}

static void tools_block(vt_emit *e, const vt_conversation *c, bool is_twin)
{
    vt__emit_trusted(e, VT_S("\n\n# Tools\n\nYou may call one or more functions to assist with the "
                             "user query.\n\nYou are provided with function signatures within "
                             "<tools></tools> XML tags:\n<tools>"));
    for (size_t i = 0; i < vt_conversation_n_tools(c); i++) {
        vt__emit_trusted(e, VT_S("\n"));
        vt__emit_json(e, vt_conversation_tool(c, i)->declaration, 0);
    }
    vt__emit_trusted(e, VT_S("\n</tools>\n\nFor each function call, return a json object with "
                             "function name and arguments within "));
    vt__emit_tag(e, VT_S("<tool_call>"));
    vt__emit_tag(e, VT_S("</tool_call>"));
    vt__emit_trusted(e, VT_S(" XML tags:\n"));
    vt__emit_tag(e, VT_S("<tool_call>"));
    vt__emit_trusted(e, is_twin ? VT_S("\n{{\"name\": <function-name>, \"arguments\": "
                                       "<args-json-object>}}\n")
                                : VT_S("\n{\"name\": <function-name>, \"arguments\": "
                                       "<args-json-object>}\n"));
    vt__emit_tag(e, VT_S("</tool_call>"));
}

static bool is_system(const vt_item *item)
{
    return item->kind == VT_ITEM_TEXT &&
           (item->role == VT_ROLE_SYSTEM || item->role == VT_ROLE_DEVELOPER);
}

/* The system message; returns 1 when the first item was it. */
static size_t system_message(vt_emit *e, const vt_chat_format *f, const vt_conversation *c)
{
    bool has_own = vt_conversation_n_items(c) > 0 && is_system(vt_conversation_item(c, 0));
    vt_slice text = has_own ? vt_conversation_item(c, 0)->text : default_system(f->dialect);
    bool has_more = vt_conversation_n_tools(c) > 0 || vt_conversation_response(c).is_json;
    if (has_own || text.len > 0 || has_more) {
        start(e, "system\n");
        vt__emit_text(e, text);
        if (vt_conversation_n_tools(c) > 0) tools_block(e, c, f->dialect == VT_DIALECT_QWEN25_TWIN);
        vt__emit_response_form(e, c, text.len > 0 || vt_conversation_n_tools(c) > 0);
        end(e);
    }
    return has_own;
}

static void call(vt_emit *e, const vt_item *item)
{
    vt__emit_trusted(e, VT_S("\n"));
    vt__emit_tag(e, VT_S("<tool_call>"));
    vt__emit_trusted(e, VT_S("\n{\"name\": \""));
    vt__emit_text(e, item->name);
    vt__emit_trusted(e, VT_S("\", \"arguments\": "));
    vt__emit_json_text(e, item->text);
    vt__emit_trusted(e, VT_S("}\n"));
    vt__emit_tag(e, VT_S("</tool_call>"));
}

/* One assistant message, items [i, last). Its reasoning is not part of the format. */
static void assistant(vt_emit *e, const vt_conversation *c, size_t i, size_t last)
{
    size_t n_calls = 0;
    start(e, "assistant");
    for (size_t k = i; k < last; k++) n_calls += vt_conversation_item(c, k)->kind == VT_ITEM_CALL;
    bool has_ids = vt_conversation_item(c, i)->n_ids > 0;
    if (has_ids || n_calls == 0) vt__emit_trusted(e, VT_S("\n"));
    if (!has_ids || !vt__emit_replay(e, c, i, last)) {
        bool is_first = true;
        for (size_t k = i; k < last; k++) {
            const vt_item *item = vt_conversation_item(c, k);
            if (item->kind == VT_ITEM_TEXT && item->text.len > 0) {
                if (n_calls > 0 && is_first && !has_ids) vt__emit_trusted(e, VT_S("\n"));
                is_first = false;
                vt__emit_text(e, item->text);
            } else if (item->kind == VT_ITEM_CALL) call(e, item);
        }
    }
    end(e);
}

static void result(vt_emit *e, const vt_conversation *c, size_t i)
{
    size_t n = vt_conversation_n_items(c);
    if (i == 0 || vt_conversation_item(c, i - 1)->kind != VT_ITEM_RESULT) start(e, "user");
    vt__emit_trusted(e, VT_S("\n"));
    vt__emit_tag(e, VT_S("<tool_response>"));
    vt__emit_trusted(e, VT_S("\n"));
    vt__emit_text(e, vt_conversation_item(c, i)->text);
    vt__emit_trusted(e, VT_S("\n"));
    vt__emit_tag(e, VT_S("</tool_response>"));
    if (i + 1 == n || vt_conversation_item(c, i + 1)->kind != VT_ITEM_RESULT) end(e);
}

static vt_status check_tools(const vt_chat_format *f, const vt_conversation *c, vt_err *err)
{
    bool uses_tools = vt_conversation_n_tools(c) > 0;
    for (size_t i = 0; i < vt_conversation_n_items(c); i++) {
        vt_item_kind kind = vt_conversation_item(c, i)->kind;
        uses_tools = uses_tools || kind == VT_ITEM_CALL || kind == VT_ITEM_RESULT;
    }
    if (!uses_tools || has_tools(f->dialect)) return VT_OK;
    return vt_fail(err, VT_EUNSUPPORTED,
                   "the conversation uses tools, and this model's prompt format has none");
}

static vt_status render(const vt_chat_format *f, const vt_conversation *c, vt_prompt *prompt,
                        vt_err *err)
{
    vt_emit e = {.prompt = prompt, .tokenizer = f->tokenizer, .err = err};
    size_t n = vt_conversation_n_items(c);
    vt_status st = check_tools(f, c, err);
    if (st != VT_OK) return st;
    for (size_t i = system_message(&e, f, c); i < n;) {
        const vt_item *item = vt_conversation_item(c, i);
        size_t last = vt__message_end(c, i);
        if (item->role == VT_ROLE_ASSISTANT) assistant(&e, c, i, last);
        else if (item->kind == VT_ITEM_RESULT) result(&e, c, i);
        else {
            start(&e, is_system(item) ? "system\n" : "user\n");
            vt__emit_text(&e, item->text);
            end(&e);
        }
        i = item->role == VT_ROLE_ASSISTANT ? last : i + 1;
    }
    start(&e, "assistant\n");
    return e.status;
}

const vt_chat_ops vt__chat_chatml = {
    .name = "chatml",
    .recognise = recognise,
    .render = render,
    .stops = {"<|im_end|>", "<|endoftext|>"},
    .parser = &vt__parser_tagged,
};
