/* json.c -- see json.h. */
#include "base/json.h"

#include "base/utf8.h"

vt_status vt_json_parse(vt_slice text, json_t **out, vt_err *err)
{
    json_error_t why;
    size_t flags = JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL;
    json_t *value = json_loadb(text.ptr ? text.ptr : "", text.len, flags, &why);
    if (value == NULL)
        return vt_fail(err, VT_EINPUT, "not valid JSON: %s (line %d, column %d)", why.text,
                       why.line, why.column);
    *out = value;
    return VT_OK;
}

static int append_piece(const char *piece, size_t len, void *out)
{
    return vt_buffer_append(out, vt_slice_of(piece, len)) ? 0 : -1;
}

vt_status vt_json_write(const json_t *value, vt_buffer *out, vt_err *err)
{
    size_t before = out->len;
    if (json_dump_callback(value, append_piece, out, VT_JSON_COMPACT) == 0) return VT_OK;
    out->len = before;
    if (out->ptr != NULL) out->ptr[before] = '\0';
    return vt_fail(err, VT_ELIMIT, "cannot write JSON: too large, or memory ran out");
}

vt_slice vt_json_text(const json_t *value)
{
    if (!json_is_string(value)) return (vt_slice){0};
    return vt_slice_of(json_string_value(value), json_string_length(value));
}

json_t *vt_json_string(vt_slice text)
{
    if (vt_utf8_is_valid(text)) return json_stringn(text.ptr ? text.ptr : "", text.len);
    vt_buffer clean;
    vt_buffer_init(&clean, text.len * 3 + 3);
    json_t *value = NULL;
    if (vt_utf8_replace_invalid(text, &clean)) value = json_stringn(clean.ptr, clean.len);
    vt_buffer_deinit(&clean);
    return value;
}
