/* conversation.c -- see conversation.h. Texts live in an arena of blocks that is freed whole:
 * conversations only grow, and truncation is rare and small. */
#include "chat/conversation.h"

#include "base/alloc.h"
#include "base/checked.h"

enum { BLOCK_BYTES = 64 << 10 };

typedef struct block {
    struct block *next;
    size_t used;
    size_t cap;
    char bytes[];
} block;

struct vt_conversation {
    block *blocks;
    size_t n_bytes; /* handed out of the blocks */
    vt_item *items;
    size_t n_items, cap_items;
    vt_tool *tools; /* declaration is a reference of ours */
    size_t n_tools, cap_tools;
    bool has_browser, has_python;
    vt_effort effort;
    vt_slice date;
    vt_choice choice;
    vt_slice choice_name;
    vt_response_form response; /* schema is a reference of ours */
};

vt_status vt_conversation_new(vt_conversation **out, vt_err *err)
{
    vt_conversation *c = vt_calloc(1, sizeof *c);
    if (c == NULL) return vt_fail(err, VT_ENOMEM, "out of memory for a conversation");
    *out = c;
    return VT_OK;
}

void vt_conversation_free(vt_conversation *c)
{
    if (c == NULL) return;
    for (block *b = c->blocks; b != NULL;) {
        block *next = b->next;
        vt_free(b);
        b = next;
    }
    for (size_t i = 0; i < c->n_tools; i++) json_decref((json_t *)c->tools[i].declaration);
    json_decref((json_t *)c->response.schema);
    vt_free(c->tools);
    vt_free(c->items);
    vt_free(c);
}

/* n bytes aligned for anything stored here (ids are the widest), or NULL with err filled. */
static void *take(vt_conversation *c, size_t n, vt_err *err)
{
    size_t total = 0;
    if (!vt_add_size(c->n_bytes, n, &total) || total > VT_CONVERSATION_BYTES) {
        (void)vt_fail(err, VT_ELIMIT, "a conversation holds at most %d bytes of text",
                      VT_CONVERSATION_BYTES);
        return NULL;
    }
    size_t rounded = (n + 7) & ~(size_t)7;
    if (c->blocks == NULL || c->blocks->cap - c->blocks->used < rounded) {
        size_t cap = rounded > BLOCK_BYTES ? rounded : BLOCK_BYTES;
        block *b = vt_alloc(sizeof *b + cap);
        if (b == NULL) {
            (void)vt_fail(err, VT_ENOMEM, "out of memory for a conversation");
            return NULL;
        }
        *b = (block){.next = c->blocks, .cap = cap};
        c->blocks = b;
    }
    void *at = c->blocks->bytes + c->blocks->used;
    c->blocks->used += rounded;
    c->n_bytes = total;
    return at;
}

static vt_status copy_text(vt_conversation *c, vt_slice s, vt_slice *out, vt_err *err)
{
    *out = (vt_slice){0};
    if (s.len == 0) return VT_OK;
    vt_err why;
    char *bytes = take(c, s.len, &why);
    if (bytes == NULL) return vt_fail(err, why.code, "%s", why.msg);
    memcpy(bytes, s.ptr, s.len);
    *out = vt_slice_of(bytes, s.len);
    return VT_OK;
}

/* The name of the call that a result answers; empty when there is none. */
static vt_slice called_name(const vt_conversation *c, vt_slice call_id)
{
    for (size_t i = c->n_items; i-- > 0;)
        if (c->items[i].kind == VT_ITEM_CALL && vt_slice_eq(c->items[i].call_id, call_id))
            return c->items[i].name;
    return (vt_slice){0};
}

vt_status vt_conversation_add(vt_conversation *c, const vt_item *item, vt_err *err)
{
    vt_item copy = *item;
    vt_status st = VT_OK;
    if (copy.kind == VT_ITEM_RESULT && copy.name.len == 0) {
        copy.name = called_name(c, copy.call_id);
        if (copy.name.len == 0)
            return vt_fail(err, VT_EINPUT, "a tool's result answers no call: id '%.*s'",
                           VT_ARG(vt_slice_take(copy.call_id, 64)));
    }
    if (!vt_grow((void **)&c->items, &c->cap_items, c->n_items + 1, sizeof *c->items,
                 VT_CONVERSATION_ITEMS))
        return vt_fail(err, VT_ELIMIT, "a conversation has at most %d items",
                       VT_CONVERSATION_ITEMS);
    if ((st = copy_text(c, item->text, &copy.text, err)) != VT_OK) return st;
    if ((st = copy_text(c, copy.name, &copy.name, err)) != VT_OK) return st;
    if ((st = copy_text(c, item->call_id, &copy.call_id, err)) != VT_OK) return st;
    copy.ids = NULL;
    if (item->n_ids > 0) {
        vt_slice ids = vt_slice_of(item->ids, item->n_ids * sizeof *item->ids);
        if ((st = copy_text(c, ids, &ids, err)) != VT_OK) return st;
        copy.ids = (const int32_t *)(const void *)ids.ptr;
    }
    if (c->n_items == 0) copy.continues = false;
    c->items[c->n_items++] = copy;
    return VT_OK;
}

vt_status vt_conversation_add_text(vt_conversation *c, vt_role role, vt_slice text, vt_err *err)
{
    vt_item item = {.kind = VT_ITEM_TEXT, .role = role, .text = text};
    return vt_conversation_add(c, &item, err);
}

size_t vt_conversation_n_items(const vt_conversation *c)
{
    return c->n_items;
}

const vt_item *vt_conversation_item(const vt_conversation *c, size_t i)
{
    return &c->items[i];
}

void vt_conversation_truncate(vt_conversation *c, size_t i)
{
    if (i < c->n_items) c->n_items = i;
}

static bool is_tool_name(vt_slice name)
{
    if (name.len == 0 || name.len > VT_TOOL_NAME_MAX) return false;
    for (size_t i = 0; i < name.len; i++) {
        char b = name.ptr[i];
        bool is_word = (b >= 'a' && b <= 'z') || (b >= 'A' && b <= 'Z') || (b >= '0' && b <= '9');
        if (!is_word && b != '_' && b != '-' && b != '.') return false;
    }
    return true;
}

vt_status vt_conversation_add_tool(vt_conversation *c, json_t *declaration, vt_err *err)
{
    json_t *function = json_object_get(declaration, "function");
    if (!vt_slice_eq(vt_json_text(json_object_get(declaration, "type")), VT_S("function")) ||
        !json_is_object(function))
        return vt_fail(err, VT_EINPUT, "a tool must be {\"type\": \"function\", \"function\": …}");
    vt_tool tool = {
        .name = vt_json_text(json_object_get(function, "name")),
        .description = vt_json_text(json_object_get(function, "description")),
        .parameters = json_object_get(function, "parameters"),
        .declaration = declaration,
    };
    if (json_is_null(tool.parameters)) tool.parameters = NULL;
    if (!is_tool_name(tool.name))
        return vt_fail(err, VT_EINPUT,
                       "a tool's name has 1 to 64 letters, digits, '_', '-' or '.': '%.*s'",
                       VT_ARG(vt_slice_take(tool.name, 80)));
    if (tool.parameters != NULL && !json_is_object(tool.parameters))
        return vt_fail(err, VT_EINPUT, "parameters of tool '%.*s' are not an object",
                       VT_ARG(tool.name));
    if (vt_conversation_find_tool(c, tool.name) != NULL)
        return vt_fail(err, VT_EINPUT, "two tools have the name '%.*s'", VT_ARG(tool.name));
    if (!vt_grow((void **)&c->tools, &c->cap_tools, c->n_tools + 1, sizeof *c->tools,
                 VT_CONVERSATION_TOOLS))
        return vt_fail(err, VT_ELIMIT, "at most %d tools can be offered", VT_CONVERSATION_TOOLS);
    json_incref(declaration);
    c->tools[c->n_tools++] = tool;
    return VT_OK;
}

size_t vt_conversation_n_tools(const vt_conversation *c)
{
    return c->n_tools;
}

const vt_tool *vt_conversation_tool(const vt_conversation *c, size_t i)
{
    return &c->tools[i];
}

const vt_tool *vt_conversation_find_tool(const vt_conversation *c, vt_slice name)
{
    for (size_t i = 0; i < c->n_tools; i++)
        if (vt_slice_eq(c->tools[i].name, name)) return &c->tools[i];
    return NULL;
}

void vt_conversation_set_builtin(vt_conversation *c, bool has_browser, bool has_python)
{
    c->has_browser = has_browser;
    c->has_python = has_python;
}

bool vt_conversation_has_browser(const vt_conversation *c)
{
    return c->has_browser;
}

bool vt_conversation_has_python(const vt_conversation *c)
{
    return c->has_python;
}

bool vt_conversation_is_builtin(const vt_conversation *c, vt_slice name)
{
    if (c->has_python && vt_slice_eq(name, VT_S("python"))) return true;
    return c->has_browser &&
           (vt_slice_eq(name, VT_S("browser.search")) || vt_slice_eq(name, VT_S("browser.open")) ||
            vt_slice_eq(name, VT_S("browser.find")));
}

void vt_conversation_set_effort(vt_conversation *c, vt_effort effort)
{
    c->effort = effort;
}

vt_effort vt_conversation_effort(const vt_conversation *c)
{
    return c->effort;
}

vt_status vt_conversation_set_date(vt_conversation *c, vt_slice date, vt_err *err)
{
    bool is_date = date.len == 0 || date.len == 10;
    for (size_t i = 0; is_date && i < date.len; i++) {
        char b = date.ptr[i];
        is_date = i == 4 || i == 7 ? b == '-' : b >= '0' && b <= '9';
    }
    if (is_date && date.len == 10) {
        int month = (date.ptr[5] - '0') * 10 + date.ptr[6] - '0';
        int day = (date.ptr[8] - '0') * 10 + date.ptr[9] - '0';
        is_date = month >= 1 && month <= 12 && day >= 1 && day <= 31;
    }
    if (!is_date)
        return vt_fail(err, VT_EINPUT, "not a date (YYYY-MM-DD): '%.*s'",
                       VT_ARG(vt_slice_take(date, 32)));
    return copy_text(c, date, &c->date, err);
}

vt_slice vt_conversation_date(const vt_conversation *c)
{
    return c->date;
}

vt_status vt_conversation_set_choice(vt_conversation *c, vt_choice choice, vt_slice name,
                                     vt_err *err)
{
    vt_slice kept = {0};
    if (choice == VT_CHOICE_NAMED) {
        const vt_tool *tool = vt_conversation_find_tool(c, name);
        if (tool == NULL && !vt_conversation_is_builtin(c, name))
            return vt_fail(err, VT_EINPUT, "tool_choice names a tool that is not offered: '%.*s'",
                           VT_ARG(vt_slice_take(name, 80)));
        vt_status st = copy_text(c, name, &kept, err);
        if (st != VT_OK) return st;
    }
    if (choice == VT_CHOICE_REQUIRED && c->n_tools == 0 && !c->has_browser && !c->has_python)
        return vt_fail(err, VT_EINPUT, "tool_choice 'required', but no tool is offered");
    c->choice = choice;
    c->choice_name = kept;
    return VT_OK;
}

vt_choice vt_conversation_choice(const vt_conversation *c, vt_slice *name)
{
    if (name != NULL) *name = c->choice_name;
    return c->choice;
}

vt_status vt_conversation_set_response(vt_conversation *c, vt_slice name, vt_slice description,
                                       json_t *schema, vt_err *err)
{
    vt_response_form form = {.is_json = true, .schema = schema};
    if (schema != NULL && !json_is_object(schema))
        return vt_fail(err, VT_EINPUT, "the answer's schema is not an object");
    vt_status st = copy_text(c, name, &form.name, err);
    if (st == VT_OK) st = copy_text(c, description, &form.description, err);
    if (st != VT_OK) return st;
    json_incref(schema);
    json_decref((json_t *)c->response.schema);
    c->response = form;
    return VT_OK;
}

vt_response_form vt_conversation_response(const vt_conversation *c)
{
    return c->response;
}

const char *vt_role_name(vt_role role)
{
    switch (role) {
    case VT_ROLE_USER: return "user";
    case VT_ROLE_SYSTEM: return "system";
    case VT_ROLE_DEVELOPER: return "developer";
    case VT_ROLE_ASSISTANT: return "assistant";
    case VT_ROLE_TOOL: return "tool";
    }
    return "user";
}
