/* format.c -- see format.h: the table of formats, recognition, and the helpers of the renderers. */
#include "chat/format.h"

#include <stdio.h>

#include "base/utf8.h"
#include "chat/format_ops.h"
#include "chat/json_text.h"

/* The first that recognises a model has it. */
static const vt_chat_ops *const formats[] = {
    &vt__chat_harmony,
    &vt__chat_llama3,
    &vt__chat_chatml,
};

static void list_names(char *out, size_t size)
{
    size_t n = 0;
    out[0] = '\0';
    for (size_t i = 0; i < VT_COUNT(formats) && n < size; i++)
        n += (size_t)snprintf(out + n, size - n, "%s%s", i > 0 ? ", " : "", formats[i]->name);
}

static vt_status add_stops(vt_chat_format *f, vt_err *err)
{
    for (size_t i = 0; i < VT_CHAT_MAX_STOPS && f->ops->stops[i] != NULL; i++) {
        int32_t id = vt_tokenizer_control(f->tokenizer, vt_slice_cstr(f->ops->stops[i]));
        if (id >= 0) f->stop_ids[f->n_stop_ids++] = id;
        else if (i == 0)
            return vt_fail(err, VT_EUNSUPPORTED,
                           "prompt format %s needs the token '%s', which this model's vocabulary "
                           "does not have",
                           f->name, f->ops->stops[i]);
    }
    return VT_OK;
}

vt_status vt_chat_format_check_name(vt_slice name, vt_err *err)
{
    char names[128];
    for (size_t i = 0; i < VT_COUNT(formats); i++)
        if (vt_slice_eq(name, vt_slice_cstr(formats[i]->name))) return VT_OK;
    list_names(names, sizeof names);
    return vt_fail(err, VT_EINPUT, "unknown prompt format '%.*s'; the formats are: %s",
                   VT_ARG(vt_slice_take(name, 40)), names);
}

vt_status vt_chat_format_find(const vt_chat_hints *hints, vt_chat_format *out, vt_err *err)
{
    char names[128];
    vt_chat_format f = {.tokenizer = hints->tokenizer};
    list_names(names, sizeof names);
    for (size_t i = 0; i < VT_COUNT(formats) && f.ops == NULL; i++) {
        vt_chat_dialect dialect = VT_DIALECT_PLAIN;
        bool is_forced = vt_slice_eq(hints->forced, vt_slice_cstr(formats[i]->name));
        bool is_recognised = formats[i]->recognise(hints, &dialect);
        if (!is_forced && (hints->forced.len > 0 || !is_recognised)) continue;
        f.ops = formats[i];
        f.name = formats[i]->name;
        f.dialect = is_recognised ? dialect : VT_DIALECT_PLAIN;
    }
    if (f.ops == NULL && hints->forced.len > 0)
        return vt_chat_format_check_name(hints->forced, err);
    if (f.ops == NULL)
        return vt_fail(err, VT_EUNSUPPORTED,
                       "the model's chat template is %s; name its prompt format with --format (%s)",
                       hints->chat_template.len > 0 ? "none that we know" : "missing", names);
    if (f.tokenizer != NULL) {
        vt_status st = add_stops(&f, err);
        if (st != VT_OK) return st;
    }
    *out = f;
    return VT_OK;
}

vt_status vt_chat_format_for_gguf(const vt_gguf *g, const vt_tokenizer *t, vt_slice forced,
                                  vt_chat_format *out, vt_err *err)
{
    vt_chat_hints hints = {.forced = forced, .tokenizer = t};
    (void)vt_gguf_get_string(g, VT_S("tokenizer.chat_template"), &hints.chat_template);
    (void)vt_gguf_get_string(g, VT_S("general.architecture"), &hints.architecture);
    return vt_chat_format_find(&hints, out, err);
}

bool vt_chat_format_is_stop(const vt_chat_format *f, int32_t id)
{
    for (size_t i = 0; i < f->n_stop_ids; i++)
        if (f->stop_ids[i] == id) return true;
    return false;
}

vt_status vt_chat_render(const vt_chat_format *f, const vt_conversation *c, vt_prompt *prompt,
                         vt_err *err)
{
    return f->ops->render(f, c, prompt, err);
}

vt_status vt_chat_tokens(const vt_chat_format *f, const vt_conversation *c, vt_tokens *out,
                         vt_err *err)
{
    vt_prompt *prompt = NULL;
    vt_status st = vt_prompt_new(&prompt, err);
    if (st == VT_OK) st = vt_chat_render(f, c, prompt, err);
    if (st == VT_OK) st = vt_prompt_encode(prompt, f->tokenizer, out, err);
    vt_prompt_free(prompt);
    return st;
}

vt_status vt_chat_constraint(const vt_chat_format *f, const vt_conversation *c, vt_constraint **out,
                             vt_err *err)
{
    vt_choice choice = vt_conversation_choice(c, NULL);
    if (f->ops->constrain != NULL) return f->ops->constrain(f, c, out, err);
    if (choice == VT_CHOICE_REQUIRED || choice == VT_CHOICE_NAMED)
        return vt_fail(err, VT_EUNSUPPORTED,
                       "a required tool call cannot be enforced with prompt format %s", f->name);
    *out = NULL;
    return VT_OK;
}

void vt__emit_control(vt_emit *e, vt_slice name)
{
    if (e->status == VT_OK) e->status = vt_prompt_control(e->prompt, name, e->err);
}

void vt__emit_trusted(vt_emit *e, vt_slice text)
{
    if (e->status == VT_OK && text.len > 0) e->status = vt_prompt_trusted(e->prompt, text, e->err);
}

void vt__emit_text(vt_emit *e, vt_slice text)
{
    if (e->status == VT_OK && text.len > 0)
        e->status = vt_prompt_untrusted(e->prompt, text, e->err);
}

void vt__emit_ids(vt_emit *e, const int32_t *ids, size_t n)
{
    if (e->status == VT_OK) e->status = vt_prompt_ids(e->prompt, ids, n, e->err);
}

void vt__emit_tag(vt_emit *e, vt_slice tag)
{
    if (e->tokenizer != NULL && vt_tokenizer_control(e->tokenizer, tag) >= 0)
        vt__emit_control(e, tag);
    else vt__emit_trusted(e, tag);
}

void vt__emit_json(vt_emit *e, const json_t *value, int indent)
{
    vt_buffer text;
    if (e->status != VT_OK) return;
    vt_buffer_init(&text, VT_CONVERSATION_BYTES);
    e->status = vt_json_write_spaced(value, indent, &text, e->err);
    vt__emit_text(e, vt_buffer_slice(&text));
    vt_buffer_deinit(&text);
}

void vt__emit_json_text(vt_emit *e, vt_slice json)
{
    json_t *value = NULL;
    if (e->status != VT_OK) return;
    if (vt_json_parse(json, &value, NULL) != VT_OK) value = vt_json_string(json);
    if (value == NULL) {
        e->status = vt_fail(e->err, VT_ENOMEM, "out of memory for JSON in a prompt");
        return;
    }
    vt__emit_json(e, value, 0);
    json_decref(value);
}

size_t vt__message_end(const vt_conversation *c, size_t i)
{
    size_t n = vt_conversation_n_items(c);
    size_t end = i + 1;
    while (end < n && vt_conversation_item(c, end)->continues) end++;
    return end;
}

bool vt__emit_replay(vt_emit *e, const vt_conversation *c, size_t i, size_t end)
{
    for (size_t k = i; k < end; k++)
        if (vt_conversation_item(c, k)->n_ids == 0) return false;
    for (size_t k = i; k < end; k++) {
        const vt_item *item = vt_conversation_item(c, k);
        vt__emit_ids(e, item->ids, item->n_ids);
    }
    return true;
}

void vt__emit_response_form(vt_emit *e, const vt_conversation *c, bool is_after_text)
{
    vt_response_form form = vt_conversation_response(c);
    if (!form.is_json) return;
    if (is_after_text) vt__emit_trusted(e, VT_S("\n\n"));
    if (form.schema == NULL) {
        vt__emit_trusted(e, VT_S("Answer with one JSON object and nothing else."));
        return;
    }
    vt__emit_trusted(e,
                     VT_S("Answer with one JSON value that fits this schema, and nothing else:\n"));
    vt__emit_json(e, form.schema, 0);
}

static bool is_space(uint32_t code)
{
    return (code >= 0x09 && code <= 0x0D) || (code >= 0x1C && code <= 0x20) || code == 0x85 ||
           code == 0xA0 || code == 0x1680 || (code >= 0x2000 && code <= 0x200A) || code == 0x2028 ||
           code == 0x2029 || code == 0x202F || code == 0x205F || code == 0x3000;
}

vt_slice vt__strip(vt_slice s)
{
    uint32_t code = 0;
    bool is_valid = false;
    while (s.len > 0) {
        size_t n = vt_utf8_decode(s, &code, &is_valid);
        if (!is_valid || !is_space(code)) break;
        s = vt_slice_skip(s, n);
    }
    while (s.len > 0) {
        size_t n = 1; /* the last character: back over continuation bytes */
        while (n < s.len && n < 4 && ((unsigned char)s.ptr[s.len - n] & 0xC0) == 0x80) n++;
        size_t used = vt_utf8_decode(vt_slice_skip(s, s.len - n), &code, &is_valid);
        if (used != n || !is_valid || !is_space(code)) break;
        s.len -= n;
    }
    return s;
}
