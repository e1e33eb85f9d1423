/* harmony_render.c -- conversations as gpt-oss was trained to see them. Follows the published
 * renderer and its description (openai/harmony:src/encoding.rs, docs/format.md); the fixtures of
 * tests/data/chat/harmony were made with it.
 *
 *     <|start|>ROLE[:NAME][ to=RECIPIENT][<|channel|>CHANNEL][ TYPE]<|message|>TEXT<|end|>
 *
 * A call ends in <|call|>. The caller's system message is the *developer* message of harmony; the
 * system message proper is ours (identity, date, effort, built-in tools, channels).
 *
 * Reasoning (the analysis channel, with the calls of built-in tools and their results, which live
 * in it) is left out once a final answer came after it, and kept while the model is inside a tool
 * loop. The published library drops only what lies before the *first* final; its documentation
 * states the rule that is followed here. */
#include "chat/format_ops.h"
#include "chat/json_text.h"

static const char identity[] = "You are ChatGPT, a large language model trained by OpenAI.\n"
                               "Knowledge cutoff: 2024-06";

static const char browser_tools[] =
    "## browser\n\n"
    "// Tool for browsing.\n"
    "// The `cursor` appears in brackets before each browsing display: `[{cursor}]`.\n"
    "// Cite information from the tool using the following format:\n"
    "// `【{cursor}†L{line_start}(-L{line_end})?】`, for example: `【6†L9-L11】` or `【8†L3】`.\n"
    "// Do not quote more than 10 words directly from the tool output.\n"
    "// sources=web (default: web)\n"
    "namespace browser {\n\n"
    "// Searches for information related to `query` and displays `topn` results.\n"
    "type search = (_: {\nquery: string,\ntopn?: number, // default: 10\nsource?: string,\n"
    "}) => any;\n\n"
    "// Opens the link `id` from the page indicated by `cursor` starting at line number `loc`, "
    "showing `num_lines` lines.\n"
    "// Valid link ids are displayed with the formatting: `【{id}†.*】`.\n"
    "// If `cursor` is not provided, the most recent page is implied.\n"
    "// If `id` is a string, it is treated as a fully qualified URL associated with `source`.\n"
    "// If `loc` is not provided, the viewport will be positioned at the beginning of the document "
    "or centered on the most relevant passage, if available.\n"
    "// Use this function without `id` to scroll to a new location of an opened page.\n"
    "type open = (_: {\nid?: number | string, // default: -1\ncursor?: number, // default: -1\n"
    "loc?: number, // default: -1\nnum_lines?: number, // default: -1\n"
    "view_source?: boolean, // default: false\nsource?: string,\n}) => any;\n\n"
    "// Finds exact matches of `pattern` in the current page, or the page given by `cursor`.\n"
    "type find = (_: {\npattern: string,\ncursor?: number, // default: -1\n}) => any;\n\n"
    "} // namespace browser";

static const char python_tools[] =
    "## python\n\n"
    "Use this tool to execute Python code in your chain of thought. The code will not be shown to "
    "the user. This tool should be used for internal reasoning, but not for code that is intended "
    "to be visible to the user (e.g. when creating plots, tables, or files).\n\n"
    "When you send a message containing Python code to python, it will be executed in a stateful "
    "Jupyter notebook environment. python will respond with the output of the execution or time "
    "out after 120.0 seconds. The drive at '/mnt/data' can be used to save and persist user files. "
    "Internet access for this session is UNKNOWN. Depends on the cluster.";

static bool recognise(const vt_chat_hints *h, vt_chat_dialect *dialect)
{
    vt_slice t = h->chat_template;
    *dialect = VT_DIALECT_PLAIN;
    if (t.len == 0)
        return vt_slice_eq(h->architecture, VT_S("gpt-oss")) ||
               vt_slice_eq(h->architecture, VT_S("gptoss"));
    return vt_slice_find(t, VT_S("<|start|>")) < t.len &&
           vt_slice_find(t, VT_S("<|channel|>")) < t.len &&
           vt_slice_find(t, VT_S("<|message|>")) < t.len;
}

static void start(vt_emit *e, const char *role)
{
    vt__emit_control(e, VT_S("<|start|>"));
    vt__emit_trusted(e, vt_slice_cstr(role));
}

static void channel(vt_emit *e, const char *name)
{
    vt__emit_control(e, VT_S("<|channel|>"));
    vt__emit_trusted(e, vt_slice_cstr(name));
}

/* <|message|>text<|end|> */
static void body(vt_emit *e, vt_slice text)
{
    vt__emit_control(e, VT_S("<|message|>"));
    vt__emit_text(e, text);
    vt__emit_control(e, VT_S("<|end|>"));
}

static void system_message(vt_emit *e, const vt_conversation *c)
{
    static const char *const efforts[] = {
        [VT_EFFORT_DEFAULT] = "medium",
        [VT_EFFORT_LOW] = "low",
        [VT_EFFORT_MEDIUM] = "medium",
        [VT_EFFORT_HIGH] = "high",
    };
    bool has_browser = vt_conversation_has_browser(c), has_python = vt_conversation_has_python(c);
    start(e, "system");
    vt__emit_control(e, VT_S("<|message|>"));
    vt__emit_trusted(e, vt_slice_cstr(identity));
    if (vt_conversation_date(c).len > 0) {
        vt__emit_trusted(e, VT_S("\nCurrent date: "));
        vt__emit_text(e, vt_conversation_date(c));
    }
    vt__emit_trusted(e, VT_S("\n\nReasoning: "));
    vt__emit_trusted(e, vt_slice_cstr(efforts[vt_conversation_effort(c)]));
    if (has_browser || has_python) vt__emit_trusted(e, VT_S("\n\n# Tools"));
    if (has_browser) {
        vt__emit_trusted(e, VT_S("\n\n"));
        vt__emit_trusted(e, vt_slice_cstr(browser_tools));
    }
    if (has_python) {
        vt__emit_trusted(e, VT_S("\n\n"));
        vt__emit_trusted(e, vt_slice_cstr(python_tools));
    }
    vt__emit_trusted(e, VT_S("\n\n# Valid channels: analysis, commentary, final. Channel must be "
                             "included for every message."));
    if (vt_conversation_n_tools(c) > 0)
        vt__emit_trusted(e, VT_S("\nCalls to these tools must go to the commentary channel: "
                                 "'functions'."));
    vt__emit_control(e, VT_S("<|end|>"));
}

/* Every line of a description as a comment; lines end as Rust's str::lines sees it. */
static void description_lines(vt_buffer *out, vt_slice text)
{
    while (text.len > 0) {
        size_t n = vt_slice_find(text, VT_S("\n"));
        vt_slice line = vt_slice_take(text, n);
        bool is_ended = n < text.len; /* a lone \r at the very end is text */
        text = vt_slice_skip(text, n + 1);
        if (is_ended && vt_slice_ends(line, VT_S("\r"))) line.len--;
        vt_buffer_append(out, VT_S("// "));
        vt_buffer_append(out, line);
        vt_buffer_byte(out, '\n');
    }
}

static void function_tools(vt_emit *e, const vt_conversation *c)
{
    vt_buffer out;
    vt_buffer_init(&out, VT_CONVERSATION_BYTES);
    vt_buffer_append(&out, VT_S("# Tools\n\n## functions\n\nnamespace functions {\n\n"));
    for (size_t i = 0; i < vt_conversation_n_tools(c); i++) {
        const vt_tool *tool = vt_conversation_tool(c, i);
        description_lines(&out, tool->description);
        vt_buffer_printf(&out, "type %.*s = (", VT_ARG(tool->name));
        if (tool->parameters != NULL) {
            vt_buffer_append(&out, VT_S("_: "));
            vt__harmony_type(tool->parameters, 0, &out);
        }
        vt_buffer_append(&out, VT_S(") => any;\n\n"));
    }
    vt_buffer_append(&out, VT_S("} // namespace functions"));
    if (e->status == VT_OK) e->status = vt_buffer_status(&out, "the tools' declaration", e->err);
    vt__emit_text(e, vt_buffer_slice(&out));
    vt_buffer_deinit(&out);
}

static void response_format(vt_emit *e, vt_response_form form)
{
    vt_buffer schema;
    vt__emit_trusted(e, VT_S("# Response Formats\n\n## "));
    vt__emit_text(e, form.name);
    vt__emit_trusted(e, VT_S("\n\n"));
    if (form.description.len > 0) {
        vt__emit_trusted(e, VT_S("// "));
        vt__emit_text(e, form.description);
        vt__emit_trusted(e, VT_S("\n"));
    }
    vt_buffer_init(&schema, VT_CONVERSATION_BYTES);
    if (form.schema == NULL) vt_buffer_append(&schema, VT_S("{\"type\":\"object\"}"));
    else if (e->status == VT_OK) e->status = vt_json_write_spaced(form.schema, -1, &schema, e->err);
    vt__emit_text(e, vt_buffer_slice(&schema));
    vt_buffer_deinit(&schema);
}

static bool is_instruction(const vt_item *item)
{
    return item->kind == VT_ITEM_TEXT &&
           (item->role == VT_ROLE_SYSTEM || item->role == VT_ROLE_DEVELOPER);
}

/* The instructions that open the conversation, the tools and the answer's form. Returns the index
 * of the first item that is none of the instructions. */
static size_t developer_message(vt_emit *e, const vt_conversation *c)
{
    size_t n = 0;
    vt_response_form form = vt_conversation_response(c);
    while (n < vt_conversation_n_items(c) && is_instruction(vt_conversation_item(c, n))) n++;
    if (n == 0 && vt_conversation_n_tools(c) == 0 && !form.is_json) return 0;
    start(e, "developer");
    vt__emit_control(e, VT_S("<|message|>"));
    const char *gap = "";
    if (n > 0) vt__emit_trusted(e, VT_S("# Instructions"));
    for (size_t i = 0; i < n; i++) {
        vt__emit_trusted(e, VT_S("\n\n"));
        vt__emit_text(e, vt_conversation_item(c, i)->text);
        gap = "\n\n";
    }
    if (vt_conversation_n_tools(c) > 0) {
        vt__emit_trusted(e, vt_slice_cstr(gap));
        function_tools(e, c);
        gap = "\n\n";
    }
    if (form.is_json) {
        vt__emit_trusted(e, vt_slice_cstr(gap));
        response_format(e, form);
    }
    vt__emit_control(e, VT_S("<|end|>"));
    return n;
}

/* "functions.get", or the bare name of a built-in tool. */
static void tool_name(vt_emit *e, vt_slice name, bool is_builtin)
{
    if (!is_builtin) vt__emit_trusted(e, VT_S("functions."));
    vt__emit_text(e, name);
}

static void call(vt_emit *e, const vt_item *item, bool is_builtin)
{
    start(e, "assistant to=");
    tool_name(e, item->name, is_builtin);
    channel(e, is_builtin ? "analysis" : "commentary");
    if (is_builtin) vt__emit_trusted(e, VT_S(" code"));
    else {
        vt__emit_trusted(e, VT_S(" "));
        vt__emit_control(e, VT_S("<|constrain|>"));
        vt__emit_trusted(e, VT_S("json"));
    }
    vt__emit_control(e, VT_S("<|message|>"));
    vt__emit_text(e, item->text);
    vt__emit_control(e, VT_S("<|call|>"));
}

static void result(vt_emit *e, const vt_item *item, bool is_builtin)
{
    vt__emit_control(e, VT_S("<|start|>"));
    tool_name(e, item->name, is_builtin);
    vt__emit_trusted(e, VT_S(" to=assistant"));
    channel(e, is_builtin ? "analysis" : "commentary");
    body(e, item->text);
}

/* What the model sampled: <|channel|>…<|message|>…, without its first and last tokens. */
static void replay(vt_emit *e, const vt_item *item)
{
    start(e, "assistant");
    vt__emit_ids(e, item->ids, item->n_ids);
    vt__emit_control(e, item->kind == VT_ITEM_CALL ? VT_S("<|call|>") : VT_S("<|end|>"));
}

static void author(vt_emit *e, const vt_item *item)
{
    start(e, vt_role_name(item->role));
    if (item->name.len == 0) return;
    vt__emit_trusted(e, VT_S(":"));
    vt__emit_text(e, item->name);
}

static void text(vt_emit *e, const vt_item *item)
{
    if (is_instruction(item)) {
        start(e, "developer");
        vt__emit_control(e, VT_S("<|message|>"));
        vt__emit_trusted(e, VT_S("# Instructions\n\n"));
        vt__emit_text(e, item->text);
        vt__emit_control(e, VT_S("<|end|>"));
        return;
    }
    author(e, item);
    if (item->role == VT_ROLE_ASSISTANT) channel(e, item->is_preamble ? "commentary" : "final");
    body(e, item->text);
}

/* The index of the last final answer, or 0: the analysis before it is left out. */
static size_t last_final(const vt_conversation *c)
{
    for (size_t i = vt_conversation_n_items(c); i-- > 0;) {
        const vt_item *item = vt_conversation_item(c, i);
        if (item->kind == VT_ITEM_TEXT && item->role == VT_ROLE_ASSISTANT && !item->is_preamble)
            return i;
    }
    return 0;
}

static vt_status render(const vt_chat_format *f, const vt_conversation *c, vt_prompt *prompt,
                        vt_err *err)
{
    vt_emit e = {.prompt = prompt, .tokenizer = f->tokenizer, .err = err};
    size_t final = last_final(c);
    system_message(&e, c);
    for (size_t i = developer_message(&e, c); i < vt_conversation_n_items(c); i++) {
        const vt_item *item = vt_conversation_item(c, i);
        bool is_tool = item->kind == VT_ITEM_CALL || item->kind == VT_ITEM_RESULT;
        bool is_builtin = is_tool && vt_conversation_is_builtin(c, item->name);
        if (i < final && (is_builtin || item->kind == VT_ITEM_REASONING)) continue;
        if (item->n_ids > 0) replay(&e, item);
        else if (item->kind == VT_ITEM_CALL) call(&e, item, is_builtin);
        else if (item->kind == VT_ITEM_RESULT) result(&e, item, is_builtin);
        else if (item->kind == VT_ITEM_REASONING) {
            start(&e, "assistant");
            channel(&e, "analysis");
            body(&e, item->text);
        } else text(&e, item);
    }
    start(&e, "assistant");
    return e.status;
}

const vt_chat_ops vt__chat_harmony = {
    .name = "harmony",
    .recognise = recognise,
    .render = render,
    .stops = {"<|return|>", "<|call|>", "<|endoftext|>"},
    .parser = &vt__parser_harmony,
    .constrain = vt__harmony_constrain,
};
