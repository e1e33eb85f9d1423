/* tool_match.c -- which offered tool a model means, when it does not say so exactly: namespaces
 * left out or invented (repo_browser.open_file for open_file), a function's prefix before a
 * built-in tool (functions.python), words of the header glued to the name (get_weatherjson). */
#include "chat/parser_ops.h"

static const char *const builtins[] = {
    "browser.search",
    "browser.open",
    "browser.find",
    "python",
};

static bool exact(const vt_conversation *c, vt_slice text, vt_slice *name)
{
    const vt_tool *tool = vt_conversation_find_tool(c, text);
    if (tool != NULL) {
        *name = tool->name;
        return true;
    }
    for (size_t i = 0; i < VT_COUNT(builtins); i++) {
        vt_slice builtin = vt_slice_cstr(builtins[i]);
        if (!vt_slice_eq(text, builtin) || !vt_conversation_is_builtin(c, builtin)) continue;
        *name = builtin;
        return true;
    }
    return false;
}

/* Does `rest`, what follows a name, look like a word of the header or like no name at all? */
static bool is_glue(vt_slice rest)
{
    static const char *const words[] = {"json",       "code",     "assistant",
                                        "commentary", "analysis", "final"};
    char b = rest.len > 0 ? rest.ptr[0] : '<';
    bool is_word = (b >= 'a' && b <= 'z') || (b >= 'A' && b <= 'Z') || (b >= '0' && b <= '9') ||
                   b == '_' || b == '-' || b == '.';
    if (!is_word) return true;
    for (size_t i = 0; i < VT_COUNT(words); i++)
        if (vt_slice_starts(rest, vt_slice_cstr(words[i]))) return true;
    return false;
}

/* The longest known name that `text` begins with, with only glue after it. */
static bool glued(const vt_conversation *c, vt_slice text, vt_slice *name)
{
    for (size_t n = text.len; n > 0; n--)
        if (is_glue(vt_slice_skip(text, n)) && exact(c, vt_slice_take(text, n), name)) return true;
    return false;
}

/* "functions.x" and "x" say the same; then whatever namespace the model made up. */
bool vt__match_tool(const vt_conversation *c, vt_slice recipient, vt_slice *name)
{
    vt_slice text = vt_slice_take(recipient, 4 * VT_TOOL_NAME_MAX);
    if (exact(c, text, name)) return true;
    while (vt_slice_starts(text, VT_S("functions."))) {
        text = vt_slice_skip(text, sizeof "functions." - 1);
        if (exact(c, text, name)) return true;
    }
    if (glued(c, text, name)) return true;
    size_t dot = vt_slice_find(text, VT_S("."));
    bool is_browser = vt_slice_find(vt_slice_take(text, dot), VT_S("browser")) < dot;
    vt_slice last = vt_slice_skip(text, dot + 1);
    if (dot < text.len && glued(c, last, name)) return true;
    for (size_t i = 0; is_browser && i < VT_COUNT(builtins); i++) {
        vt_slice builtin = vt_slice_cstr(builtins[i]);
        bool is_same = vt_slice_ends(builtin, last) && builtin.len == last.len + 8;
        if (is_same && exact(c, builtin, name)) return true;
    }
    *name = text.len > 0 ? text : recipient;
    return false;
}

static bool is_string(const json_t *schema)
{
    return vt_slice_eq(vt_json_text(json_object_get(schema, "type")), VT_S("string"));
}

vt_slice vt__only_text_parameter(const vt_conversation *c, vt_slice tool)
{
    const vt_tool *offered = vt_conversation_find_tool(c, tool);
    if (offered == NULL && vt_conversation_is_builtin(c, tool)) {
        if (vt_slice_eq(tool, VT_S("browser.search"))) return VT_S("query");
        if (vt_slice_eq(tool, VT_S("browser.find"))) return VT_S("pattern");
        return (vt_slice){0};
    }
    if (offered == NULL) return (vt_slice){0};
    const json_t *properties = json_object_get(offered->parameters, "properties");
    const json_t *required = json_object_get(offered->parameters, "required");
    vt_slice key = {0};
    const char *name = NULL;
    size_t len = 0;
    json_t *schema = NULL;
    if (json_array_size(required) == 1) {
        key = vt_json_text(json_array_get(required, 0));
        bool is_text = is_string(json_object_getn(properties, key.ptr ? key.ptr : "", key.len));
        return is_text ? key : (vt_slice){0};
    }
    if (json_object_size(properties) != 1) return key;
    json_object_keylen_foreach((json_t *)properties, name, len, schema)
    {
        if (is_string(schema)) key = vt_slice_of(name, len);
    }
    return key;
}
