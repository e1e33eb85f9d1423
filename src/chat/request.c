/* request.c -- see request.h. One function for each object of the request; `where` is the place for
 * messages. */
#include "chat/request.h"

#include <stdio.h>

#include "chat/json_text.h"

typedef struct {
    vt_conversation *c;
    vt_err *err;
    char where[96];
} reader;

/* Fields of the body that say how to sample or to answer, not what the prompt is. */
static const char *const not_ours[] = {
    "model",
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "n",
    "max_tokens",
    "max_completion_tokens",
    "stop",
    "seed",
    "stream",
    "stream_options",
    "logprobs",
    "top_logprobs",
    "logit_bias",
    "presence_penalty",
    "frequency_penalty",
    "repetition_penalty",
    "parallel_tool_calls",
    "user",
    "metadata",
    "store",
    "service_tier",
    "safety_identifier",
    "prompt_cache_key",
    NULL,
};

static const char *const ours[] = {
    "messages", "tools", "tool_choice", "reasoning_effort", "response_format", NULL,
};

static const char *const message_fields[] = {
    "role",       "content",      "name",    "reasoning_content", "reasoning",
    "tool_calls", "tool_call_id", "refusal", "annotations",       NULL,
};

static bool is_in(const char *name, const char *const *list)
{
    for (size_t i = 0; list[i] != NULL; i++)
        if (strcmp(list[i], name) == 0) return true;
    return false;
}

/* Every field of `object` that is neither null nor in the lists is an error. */
static vt_status only_fields(reader *r, const json_t *object, const char *const *a,
                             const char *const *b)
{
    const char *key = NULL;
    json_t *value = NULL;
    json_object_foreach((json_t *)object, key, value)
    {
        if (json_is_null(value) || is_in(key, a) || (b != NULL && is_in(key, b))) continue;
        return vt_fail(r->err, VT_EINPUT, "%sunknown field '%.64s'", r->where, key);
    }
    return VT_OK;
}

/* The text of `content`, appended to `out`: a string, null, or an array of parts of type text. */
static vt_status read_content(reader *r, const json_t *content, vt_buffer *out)
{
    size_t i = 0;
    json_t *part = NULL;
    if (content == NULL || json_is_null(content)) return VT_OK;
    if (json_is_string(content)) {
        vt_buffer_append(out, vt_json_text(content));
        return vt_buffer_status(out, "a message", r->err);
    }
    if (!json_is_array(content))
        return vt_fail(r->err, VT_EINPUT, "%scontent is neither text nor an array of parts",
                       r->where);
    json_array_foreach(content, i, part)
    {
        vt_slice type = vt_json_text(json_object_get(part, "type"));
        const json_t *text = json_object_get(part, "text");
        if (!vt_slice_eq(type, VT_S("text")))
            return vt_fail(r->err, VT_EINPUT,
                           "%scontent[%zu]: part of type '%.*s', only text is"
                           " understood",
                           r->where, i, VT_ARG(vt_slice_take(type, 40)));
        if (!json_is_string(text))
            return vt_fail(r->err, VT_EINPUT, "%scontent[%zu]: text is missing", r->where, i);
        vt_buffer_append(out, vt_json_text(text));
    }
    return vt_buffer_status(out, "a message", r->err);
}

/* A field that is a string when it is there. */
static vt_status read_string(reader *r, const json_t *object, const char *field, vt_slice *out)
{
    const json_t *value = json_object_get(object, field);
    *out = (vt_slice){0};
    if (value == NULL || json_is_null(value)) return VT_OK;
    if (!json_is_string(value))
        return vt_fail(r->err, VT_EINPUT, "%s%s is not a string", r->where, field);
    *out = vt_json_text(value);
    return VT_OK;
}

static vt_status read_reasoning(reader *r, const json_t *message, bool *has_item)
{
    vt_slice text = {0}, other = {0};
    vt_status st = read_string(r, message, "reasoning_content", &text);
    if (st == VT_OK) st = read_string(r, message, "reasoning", &other);
    if (st != VT_OK) return st;
    if (text.len > 0 && other.len > 0 && !vt_slice_eq(text, other))
        return vt_fail(r->err, VT_EINPUT, "%sreasoning and reasoning_content differ", r->where);
    if (text.len == 0) text = other;
    if (text.len == 0) return VT_OK;
    vt_item item = {.kind = VT_ITEM_REASONING, .role = VT_ROLE_ASSISTANT, .text = text};
    *has_item = true;
    return vt_conversation_add(r->c, &item, r->err);
}

static vt_status read_call(reader *r, const json_t *call, size_t i, bool continues)
{
    const json_t *function = json_object_get(call, "function");
    const json_t *arguments = json_object_get(function, "arguments");
    vt_item item = {.kind = VT_ITEM_CALL,
                    .role = VT_ROLE_ASSISTANT,
                    .continues = continues,
                    .name = vt_json_text(json_object_get(function, "name")),
                    .call_id = vt_json_text(json_object_get(call, "id"))};
    if (item.name.len == 0)
        return vt_fail(r->err, VT_EINPUT, "%stool_calls[%zu]: function.name is missing", r->where,
                       i);
    vt_buffer text;
    vt_buffer_init(&text, 0);
    vt_status st = VT_OK;
    if (json_is_string(arguments)) item.text = vt_json_text(arguments);
    else if (json_is_object(arguments)) {
        st = vt_json_write_spaced(arguments, -1, &text, r->err);
        item.text = vt_buffer_slice(&text);
    } else
        st = vt_fail(r->err, VT_EINPUT, "%stool_calls[%zu]: function.arguments is not text",
                     r->where, i);
    if (st == VT_OK) st = vt_conversation_add(r->c, &item, r->err);
    vt_buffer_deinit(&text);
    return st;
}

static vt_status read_assistant(reader *r, const json_t *message, vt_slice text)
{
    const json_t *calls = json_object_get(message, "tool_calls");
    size_t n_calls = json_array_size(calls);
    bool has_item = false;
    if (calls != NULL && !json_is_null(calls) && !json_is_array(calls))
        return vt_fail(r->err, VT_EINPUT, "%stool_calls is not an array", r->where);
    vt_status st = read_reasoning(r, message, &has_item);
    if (st != VT_OK) return st;
    if (text.len > 0 || n_calls == 0) {
        vt_item item = {.kind = VT_ITEM_TEXT,
                        .role = VT_ROLE_ASSISTANT,
                        .continues = has_item,
                        .is_preamble = n_calls > 0,
                        .name = vt_json_text(json_object_get(message, "name")),
                        .text = text};
        has_item = true;
        if ((st = vt_conversation_add(r->c, &item, r->err)) != VT_OK) return st;
    }
    for (size_t i = 0; i < n_calls; i++) {
        st = read_call(r, json_array_get(calls, i), i, has_item);
        if (st != VT_OK) return st;
        has_item = true;
    }
    return VT_OK;
}

static vt_status add_message(reader *r, const json_t *message, vt_slice role, vt_slice text)
{
    vt_item item = {.text = text};
    vt_status st = read_string(r, message, "name", &item.name);
    if (st != VT_OK) return st;
    if (vt_slice_eq(role, VT_S("assistant"))) return read_assistant(r, message, text);
    if (vt_slice_eq(role, VT_S("tool"))) {
        item.kind = VT_ITEM_RESULT;
        item.role = VT_ROLE_TOOL;
        st = read_string(r, message, "tool_call_id", &item.call_id);
        if (st != VT_OK) return st;
        if (item.call_id.len == 0)
            return vt_fail(r->err, VT_EINPUT, "%stool_call_id is missing", r->where);
    } else if (vt_slice_eq(role, VT_S("system"))) item.role = VT_ROLE_SYSTEM;
    else if (vt_slice_eq(role, VT_S("developer"))) item.role = VT_ROLE_DEVELOPER;
    else if (vt_slice_eq(role, VT_S("user"))) item.role = VT_ROLE_USER;
    else
        return vt_fail(r->err, VT_EINPUT, "%sunknown role '%.*s'", r->where,
                       VT_ARG(vt_slice_take(role, 64)));
    const json_t *content = json_object_get(message, "content");
    if (content == NULL || json_is_null(content))
        return vt_fail(r->err, VT_EINPUT, "%scontent is missing", r->where);
    vt_err why;
    st = vt_conversation_add(r->c, &item, &why);
    return st == VT_OK ? VT_OK : vt_fail(r->err, st, "%s%s", r->where, why.msg);
}

static vt_status read_message(reader *r, const json_t *message)
{
    if (!json_is_object(message)) return vt_fail(r->err, VT_EINPUT, "%snot an object", r->where);
    vt_status st = only_fields(r, message, message_fields, NULL);
    if (st != VT_OK) return st;
    vt_slice role = vt_json_text(json_object_get(message, "role"));
    if (!vt_slice_eq(role, VT_S("assistant")) &&
        (json_array_size(json_object_get(message, "tool_calls")) > 0))
        return vt_fail(r->err, VT_EINPUT, "%stool_calls in a message of role '%.*s'", r->where,
                       VT_ARG(vt_slice_take(role, 64)));
    vt_buffer text;
    vt_buffer_init(&text, VT_CONVERSATION_BYTES);
    st = read_content(r, json_object_get(message, "content"), &text);
    if (st == VT_OK) st = add_message(r, message, role, vt_buffer_slice(&text));
    vt_buffer_deinit(&text);
    return st;
}

static vt_status read_messages(reader *r, const json_t *messages)
{
    size_t i = 0;
    json_t *message = NULL;
    if (!json_is_array(messages) || json_array_size(messages) == 0)
        return vt_fail(r->err, VT_EINPUT, "messages must be an array of at least one message");
    json_array_foreach(messages, i, message)
    {
        snprintf(r->where, sizeof r->where, "messages[%zu]: ", i);
        vt_status st = read_message(r, message);
        if (st != VT_OK) return st;
    }
    r->where[0] = '\0';
    return VT_OK;
}

static vt_status read_tools(reader *r, const json_t *tools)
{
    size_t i = 0;
    json_t *tool = NULL;
    bool has_browser = false, has_python = false;
    if (tools == NULL || json_is_null(tools)) return VT_OK;
    if (!json_is_array(tools)) return vt_fail(r->err, VT_EINPUT, "tools is not an array");
    json_array_foreach(tools, i, tool)
    {
        vt_slice type = vt_json_text(json_object_get(tool, "type"));
        if (vt_slice_eq(type, VT_S("browser_search"))) has_browser = true;
        else if (vt_slice_eq(type, VT_S("code_interpreter"))) has_python = true;
        else {
            vt_err why;
            vt_status st = vt_conversation_add_tool(r->c, tool, &why);
            if (st != VT_OK) return vt_fail(r->err, st, "tools[%zu]: %s", i, why.msg);
        }
    }
    vt_conversation_set_builtin(r->c, has_browser, has_python);
    return VT_OK;
}

static vt_status read_choice(reader *r, const json_t *choice)
{
    vt_slice text = vt_json_text(choice);
    if (choice == NULL || json_is_null(choice) || vt_slice_eq(text, VT_S("auto"))) return VT_OK;
    if (vt_slice_eq(text, VT_S("none")))
        return vt_conversation_set_choice(r->c, VT_CHOICE_NONE, (vt_slice){0}, r->err);
    if (vt_slice_eq(text, VT_S("required")))
        return vt_conversation_set_choice(r->c, VT_CHOICE_REQUIRED, (vt_slice){0}, r->err);
    vt_slice name = vt_json_text(json_object_get(json_object_get(choice, "function"), "name"));
    if (!vt_slice_eq(vt_json_text(json_object_get(choice, "type")), VT_S("function")) ||
        name.len == 0)
        return vt_fail(r->err, VT_EINPUT, "tool_choice is not auto, none, required or a function");
    return vt_conversation_set_choice(r->c, VT_CHOICE_NAMED, name, r->err);
}

static vt_status read_effort(reader *r, const json_t *effort)
{
    vt_slice text = vt_json_text(effort);
    if (effort == NULL || json_is_null(effort)) return VT_OK;
    if (vt_slice_eq(text, VT_S("low"))) vt_conversation_set_effort(r->c, VT_EFFORT_LOW);
    else if (vt_slice_eq(text, VT_S("medium"))) vt_conversation_set_effort(r->c, VT_EFFORT_MEDIUM);
    else if (vt_slice_eq(text, VT_S("high"))) vt_conversation_set_effort(r->c, VT_EFFORT_HIGH);
    else
        return vt_fail(r->err, VT_EINPUT, "reasoning_effort is low, medium or high, not '%.*s'",
                       VT_ARG(vt_slice_take(text, 40)));
    return VT_OK;
}

static vt_status read_response(reader *r, const json_t *form)
{
    vt_slice type = vt_json_text(json_object_get(form, "type"));
    if (form == NULL || json_is_null(form) || vt_slice_eq(type, VT_S("text"))) return VT_OK;
    if (vt_slice_eq(type, VT_S("json_object")))
        return vt_conversation_set_response(r->c, VT_S("json"), (vt_slice){0}, NULL, r->err);
    if (!vt_slice_eq(type, VT_S("json_schema")))
        return vt_fail(r->err, VT_EINPUT, "response_format of unknown type '%.*s'",
                       VT_ARG(vt_slice_take(type, 40)));
    const json_t *named = json_object_get(form, "json_schema");
    vt_slice name = vt_json_text(json_object_get(named, "name"));
    json_t *schema = json_object_get(named, "schema");
    if (name.len == 0 || !json_is_object(schema))
        return vt_fail(r->err, VT_EINPUT, "response_format.json_schema needs a name and a schema");
    return vt_conversation_set_response(
        r->c, name, vt_json_text(json_object_get(named, "description")), schema, r->err);
}

static vt_status read_body(reader *r, const json_t *body)
{
    if (!json_is_object(body)) return vt_fail(r->err, VT_EINPUT, "the request is not an object");
    vt_status st = only_fields(r, body, ours, not_ours);
    if (st == VT_OK) st = read_tools(r, json_object_get(body, "tools"));
    if (st == VT_OK) st = read_choice(r, json_object_get(body, "tool_choice"));
    if (st == VT_OK) st = read_effort(r, json_object_get(body, "reasoning_effort"));
    if (st == VT_OK) st = read_response(r, json_object_get(body, "response_format"));
    if (st == VT_OK) st = read_messages(r, json_object_get(body, "messages"));
    return st;
}

vt_status vt_chat_request(const json_t *body, vt_conversation **out, vt_err *err)
{
    reader r = {.err = err};
    vt_status st = vt_conversation_new(&r.c, err);
    if (st == VT_OK) st = read_body(&r, body);
    if (st == VT_OK) *out = r.c;
    else vt_conversation_free(r.c);
    return st;
}

vt_status vt_chat_request_parse(vt_slice body, vt_conversation **out, vt_err *err)
{
    json_t *value = NULL;
    vt_status st = vt_json_parse(body, &value, err);
    if (st != VT_OK) return st;
    st = vt_chat_request(value, out, err);
    json_decref(value);
    return st;
}
