/* llama3_render.c -- <|start_header_id|>role<|end_header_id|>\n\ntext<|eot_id|>, as the Llama 3 and
 * 3.1 templates have it (3.2 and 3.3 say the same); the fixtures of tests/data/chat/llama3 were
 * made by running those.
 *
 * Llama 3.1 gets a system message always, with two dates, and its tools inside the first user
 * message. Its template takes one call a turn: several become several turns. What was said beside
 * a call is dropped by the template, and here. */
#include "chat/format_ops.h"

static bool recognise(const vt_chat_hints *h, vt_chat_dialect *dialect)
{
    vt_slice t = h->chat_template;
    if (vt_slice_find(t, VT_S("<|start_header_id|>")) == t.len ||
        vt_slice_find(t, VT_S("<|eot_id|>")) == t.len)
        return false;
    bool has_dates = vt_slice_find(t, VT_S("Cutting Knowledge Date")) < t.len;
    bool has_tools = vt_slice_find(t, VT_S("tool")) < t.len;
    *dialect = has_dates ? VT_DIALECT_LLAMA31 : VT_DIALECT_PLAIN;
    return has_dates == has_tools; /* anything else is somebody's own template */
}

static void start(vt_emit *e, const char *role)
{
    vt__emit_control(e, VT_S("<|start_header_id|>"));
    vt__emit_trusted(e, vt_slice_cstr(role));
    vt__emit_control(e, VT_S("<|end_header_id|>"));
    vt__emit_trusted(e, VT_S("\n\n"));
}

static void end(vt_emit *e)
{
    vt__emit_control(e, VT_S("<|eot_id|>"));
}

/* "2024-07-26" as "26 Jul 2024". */
static void date(vt_emit *e, vt_slice iso)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    if (iso.len != 10) {
        vt__emit_trusted(e, VT_S("26 Jul 2024"));
        return;
    }
    size_t month = (size_t)((iso.ptr[5] - '0') * 10 + iso.ptr[6] - '0');
    vt__emit_text(e, vt_slice_skip(iso, 8));
    vt__emit_trusted(e, VT_S(" "));
    vt__emit_trusted(e, vt_slice_of(months + (month - 1) * 3, 3));
    vt__emit_trusted(e, VT_S(" "));
    vt__emit_text(e, vt_slice_take(iso, 4));
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
    bool is_31 = f->dialect == VT_DIALECT_LLAMA31;
    if (!is_31 && !has_own && !vt_conversation_response(c).is_json) return 0;
    start(e, "system");
    if (is_31) {
        if (vt_conversation_n_tools(c) > 0) vt__emit_trusted(e, VT_S("Environment: ipython\n"));
        vt__emit_trusted(e, VT_S("Cutting Knowledge Date: December 2023\nToday Date: "));
        date(e, vt_conversation_date(c));
        vt__emit_trusted(e, VT_S("\n\n"));
    }
    vt_slice own = has_own ? vt__strip(vt_conversation_item(c, 0)->text) : (vt_slice){0};
    vt__emit_text(e, own);
    vt__emit_response_form(e, c, own.len > 0);
    end(e);
    return has_own;
}

static void tools_block(vt_emit *e, const vt_conversation *c)
{
    vt__emit_trusted(e, VT_S("Given the following functions, please respond with a JSON for a "
                             "function call with its proper arguments that best answers the given "
                             "prompt.\n\nRespond in the format {\"name\": function name, "
                             "\"parameters\": dictionary of argument name and its value}.Do not "
                             "use variables.\n\n"));
    for (size_t i = 0; i < vt_conversation_n_tools(c); i++) {
        vt__emit_json(e, vt_conversation_tool(c, i)->declaration, 4);
        vt__emit_trusted(e, VT_S("\n\n"));
    }
}

static void call(vt_emit *e, const vt_item *item)
{
    start(e, "assistant");
    vt__emit_trusted(e, VT_S("{\"name\": \""));
    vt__emit_text(e, item->name);
    vt__emit_trusted(e, VT_S("\", \"parameters\": "));
    vt__emit_json_text(e, item->text);
    vt__emit_trusted(e, VT_S("}"));
    end(e);
}

/* One assistant message, items [i, last): replayed, or its calls, or its text. */
static void assistant(vt_emit *e, const vt_conversation *c, size_t i, size_t last)
{
    size_t n_calls = 0, n_ids = 0;
    for (size_t k = i; k < last; k++) {
        n_calls += vt_conversation_item(c, k)->kind == VT_ITEM_CALL;
        n_ids += vt_conversation_item(c, k)->n_ids > 0;
    }
    if (n_ids == last - i) {
        start(e, "assistant");
        (void)vt__emit_replay(e, c, i, last);
        end(e);
        return;
    }
    for (size_t k = i; k < last; k++)
        if (vt_conversation_item(c, k)->kind == VT_ITEM_CALL) call(e, vt_conversation_item(c, k));
    if (n_calls > 0) return;
    start(e, "assistant");
    for (size_t k = i; k < last; k++)
        if (vt_conversation_item(c, k)->kind == VT_ITEM_TEXT)
            vt__emit_text(e, vt__strip(vt_conversation_item(c, k)->text));
    end(e);
}

static vt_status check_tools(const vt_chat_format *f, const vt_conversation *c, size_t first,
                             vt_err *err)
{
    bool has_tools = vt_conversation_n_tools(c) > 0;
    bool has_user =
        first < vt_conversation_n_items(c) && vt_conversation_item(c, first)->role == VT_ROLE_USER;
    if (has_tools && f->dialect != VT_DIALECT_LLAMA31)
        return vt_fail(err, VT_EUNSUPPORTED,
                       "the conversation uses tools, and this model's prompt format has none");
    if (has_tools && !has_user)
        return vt_fail(err, VT_EINPUT,
                       "with tools, the first message after the system's must be the user's: its "
                       "prompt declares them there");
    return VT_OK;
}

static vt_status render(const vt_chat_format *f, const vt_conversation *c, vt_prompt *prompt,
                        vt_err *err)
{
    vt_emit e = {.prompt = prompt, .tokenizer = f->tokenizer, .err = err};
    size_t n = vt_conversation_n_items(c);
    vt__emit_control(&e, VT_S("<|begin_of_text|>"));
    size_t first = system_message(&e, f, c);
    vt_status st = check_tools(f, c, first, err);
    if (st != VT_OK) return st;
    for (size_t i = first; i < n;) {
        const vt_item *item = vt_conversation_item(c, i);
        size_t last = vt__message_end(c, i);
        if (item->role == VT_ROLE_ASSISTANT) {
            assistant(&e, c, i, last);
            i = last;
            continue;
        }
        bool is_result = item->kind == VT_ITEM_RESULT;
        start(&e, is_result ? "ipython" : is_system(item) ? "system" : "user");
        if (i == first && vt_conversation_n_tools(c) > 0) tools_block(&e, c);
        if (is_result) { /* the template prints a text as JSON here */
            json_t *text = vt_json_string(item->text);
            if (text != NULL) vt__emit_json(&e, text, 0);
            else e.status = vt_fail(err, VT_ENOMEM, "out of memory for a tool's result");
            json_decref(text);
        } else vt__emit_text(&e, vt__strip(item->text));
        end(&e);
        i++;
    }
    start(&e, "assistant");
    return e.status;
}

const vt_chat_ops vt__chat_llama3 = {
    .name = "llama3",
    .recognise = recognise,
    .render = render,
    .stops = {"<|eot_id|>", "<|eom_id|>", "<|end_of_text|>"},
    .parser = &vt__parser_tagged,
};
