/* json_repair.c -- see json_repair.h. The repairs are tried from the mildest on; each gives text
 * that a strict parser must accept. */
#include "chat/json_repair.h"

#include "chat/json_text.h"

enum { MAX_DEPTH = 256 }; /* of brackets that are closed for the model */

static vt_slice without_fence(vt_slice s)
{
    if (!vt_slice_starts(s, VT_S("```"))) return s;
    size_t line = vt_slice_find(s, VT_S("\n"));
    if (line == s.len) return s;
    s = vt_slice_skip(s, line + 1);
    return vt_slice_trim(vt_slice_take(s, vt_slice_find(s, VT_S("```"))));
}

/* A value at the start of s with nothing but closing rubbish after it; NULL otherwise. */
static json_t *parse(vt_slice s)
{
    json_error_t why;
    const size_t flags = JSON_DISABLE_EOF_CHECK | JSON_DECODE_ANY | JSON_ALLOW_NUL;
    if (s.len == 0) return NULL;
    json_t *value = json_loadb(s.ptr, s.len, flags, &why);
    if (value == NULL) return NULL;
    vt_slice rest = vt_slice_skip(s, (size_t)(why.position > 0 ? why.position : 0));
    for (size_t i = 0; i < rest.len; i++) {
        if (memchr("]})`;, \t\r\n", rest.ptr[i], 10) != NULL && rest.ptr[i] != '\0') continue;
        json_decref(value);
        return NULL;
    }
    return value;
}

/* Copy s with raw control characters inside strings escaped, and what is open at its end closed. */
static bool mend(vt_slice s, vt_buffer *out)
{
    char open[MAX_DEPTH];
    size_t depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < s.len; i++) {
        char b = s.ptr[i];
        if (in_string && (unsigned char)b < 0x20) {
            vt_buffer_printf(out, "\\u%04x", (unsigned)b);
            continue;
        }
        vt_buffer_byte(out, b);
        if (in_string && b == '\\' && i + 1 < s.len && (unsigned char)s.ptr[i + 1] >= 0x20)
            vt_buffer_byte(out, s.ptr[++i]);
        else if (b == '"') in_string = !in_string;
        else if (!in_string && (b == '{' || b == '[')) {
            if (depth == MAX_DEPTH) return false;
            open[depth++] = b == '{' ? '}' : ']';
        } else if (!in_string && (b == '}' || b == ']') && depth > 0 && open[depth - 1] == b)
            depth--;
    }
    if (in_string) return false; /* a string cut short is not ours to end */
    while (depth > 0) vt_buffer_byte(out, open[--depth]);
    return !out->failed;
}

/* The value in s, mended where needed; NULL when it is none. */
static json_t *read_value(vt_slice s, bool *is_failed)
{
    json_t *value = parse(s);
    if (value != NULL || s.len == 0 || (s.ptr[0] != '{' && s.ptr[0] != '[')) return value;
    vt_buffer mended;
    vt_buffer_init(&mended, s.len * 6 + MAX_DEPTH);
    if (mend(s, &mended)) value = parse(vt_buffer_slice(&mended));
    if (mended.failed) *is_failed = true;
    vt_buffer_deinit(&mended);
    return value;
}

/* An object out of what it may be wrapped in; takes over `value`. */
static json_t *unwrap(json_t *value, bool *is_failed)
{
    for (int i = 0; i < 4 && value != NULL && !json_is_object(value); i++) {
        json_t *inner = NULL;
        if (json_is_array(value) && json_array_size(value) == 1)
            inner = json_incref(json_array_get(value, 0));
        else if (json_is_string(value))
            inner = read_value(vt_slice_trim(vt_json_text(value)), is_failed);
        json_decref(value);
        value = inner;
    }
    if (value != NULL && json_is_object(value)) return value;
    json_decref(value);
    return NULL;
}

static json_t *as_only_parameter(vt_slice text, vt_slice key)
{
    json_t *object = json_object();
    json_t *value = vt_json_string(text);
    if (object == NULL || value == NULL ||
        json_object_setn_new(object, key.ptr, key.len, json_incref(value)) != 0) {
        json_decref(object);
        object = NULL;
    }
    json_decref(value);
    return object;
}

bool vt_json_repair(vt_slice raw, vt_slice key, vt_buffer *out, bool *is_repaired)
{
    json_t *value = NULL;
    vt_slice text = vt_slice_trim(raw);
    size_t before = out->len;
    *is_repaired = false;
    if (vt_json_parse(text, &value, NULL) == VT_OK && json_is_object(value)) {
        json_decref(value);
        return vt_buffer_append(out, text);
    }
    json_decref(value);
    *is_repaired = true;
    if (text.len == 0) return vt_buffer_append(out, VT_S("{}"));
    value = unwrap(read_value(without_fence(text), &out->failed), &out->failed);
    bool looks_like_json = text.ptr[0] == '{' || text.ptr[0] == '[';
    if (value == NULL && key.len > 0 && !looks_like_json) {
        json_t *bare = parse(text); /* a quoted text is that text */
        value = as_only_parameter(json_is_string(bare) ? vt_json_text(bare) : raw, key);
        json_decref(bare);
    }
    if (value == NULL) return false;
    bool is_written = vt_json_write_spaced(value, -1, out, NULL) == VT_OK;
    if (!is_written) out->len = before;
    json_decref(value);
    return is_written;
}
