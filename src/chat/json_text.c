/* json_text.c -- see json_text.h. Numbers follow Python's repr: the shortest digits that read back
 * as the same double, in positional form for exponents from -4 to 15. */
#include "chat/json_text.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "base/parse.h"
#include "base/utf8.h"

static void put_real(double x, vt_buffer *out)
{
    char e[40] = ""; /* d.ddde±xx with the fewest digits that read back */
    for (int digits = 0; digits <= 16; digits++) {
        int n = snprintf(e, sizeof e, "%.*e", digits, x);
        double back = 0;
        if (n > 0 && vt_parse_double(vt_slice_of(e, (size_t)n), &back) && back == x) break;
    }
    vt_slice s = vt_slice_cstr(e);
    size_t at = vt_slice_find(s, VT_S("e"));
    vt_slice mantissa = vt_slice_take(s, at);
    vt_slice power = vt_slice_skip(s, at + 1);
    int64_t exponent = 0;
    if (power.len > 0 && power.ptr[0] == '+') power = vt_slice_skip(power, 1);
    (void)vt_parse_i64(power, &exponent);
    if (exponent < -4 || exponent >= 16) {
        vt_buffer_printf(out, "%.*se%c%02d", VT_ARG(mantissa), exponent < 0 ? '-' : '+',
                         (int)(exponent < 0 ? -exponent : exponent));
        return;
    }
    int64_t n_digits = (int64_t)mantissa.len - (signbit(x) ? 1 : 0) - (mantissa.len > 2 ? 1 : 0);
    if (mantissa.len <= 2) n_digits = 1;
    int64_t decimals = n_digits - 1 - exponent;
    vt_buffer_printf(out, "%.*f", decimals < 1 ? 1 : (int)decimals, x);
}

static void put_string(vt_slice s, vt_buffer *out)
{
    vt_buffer_byte(out, '"');
    for (size_t i = 0; i < s.len; i++) {
        unsigned char b = (unsigned char)s.ptr[i];
        switch (b) {
        case '"': vt_buffer_append(out, VT_S("\\\"")); break;
        case '\\': vt_buffer_append(out, VT_S("\\\\")); break;
        case '\n': vt_buffer_append(out, VT_S("\\n")); break;
        case '\r': vt_buffer_append(out, VT_S("\\r")); break;
        case '\t': vt_buffer_append(out, VT_S("\\t")); break;
        case '\b': vt_buffer_append(out, VT_S("\\b")); break;
        case '\f': vt_buffer_append(out, VT_S("\\f")); break;
        default:
            if (b < 0x20) vt_buffer_printf(out, "\\u%04x", b);
            else vt_buffer_byte(out, (char)b);
        }
    }
    vt_buffer_byte(out, '"');
}

static void put_line(int indent, int depth, vt_buffer *out)
{
    if (indent <= 0) return;
    vt_buffer_byte(out, '\n');
    for (int i = 0; i < indent * depth; i++) vt_buffer_byte(out, ' ');
}

/* Recursion is as deep as the parser allowed (jansson: 2048 levels). */
static void put_value(const json_t *value, int indent, int depth, vt_buffer *out)
{
    vt_slice comma = indent == 0 ? VT_S(", ") : VT_S(",");
    vt_slice colon = indent < 0 ? VT_S(":") : VT_S(": ");
    const char *key = NULL;
    size_t len = 0, i = 0;
    json_t *child = NULL;
    switch (json_typeof(value)) {
    case JSON_NULL: vt_buffer_append(out, VT_S("null")); break;
    case JSON_TRUE: vt_buffer_append(out, VT_S("true")); break;
    case JSON_FALSE: vt_buffer_append(out, VT_S("false")); break;
    case JSON_INTEGER: vt_buffer_printf(out, "%" PRId64, (int64_t)json_integer_value(value)); break;
    case JSON_REAL: put_real(json_real_value(value), out); break;
    case JSON_STRING: put_string(vt_json_text(value), out); break;
    case JSON_ARRAY:
        vt_buffer_byte(out, '[');
        json_array_foreach(value, i, child)
        {
            if (i > 0) vt_buffer_append(out, comma);
            put_line(indent, depth + 1, out);
            put_value(child, indent, depth + 1, out);
        }
        if (i > 0) put_line(indent, depth, out);
        vt_buffer_byte(out, ']');
        break;
    case JSON_OBJECT:
        vt_buffer_byte(out, '{');
        json_object_keylen_foreach((json_t *)value, key, len, child)
        {
            if (i++ > 0) vt_buffer_append(out, comma);
            put_line(indent, depth + 1, out);
            put_string(vt_slice_of(key, len), out);
            vt_buffer_append(out, colon);
            put_value(child, indent, depth + 1, out);
        }
        if (i > 0) put_line(indent, depth, out);
        vt_buffer_byte(out, '}');
        break;
    }
}

vt_status vt_json_write_spaced(const json_t *value, int indent, vt_buffer *out, vt_err *err)
{
    put_value(value, indent, 0, out);
    return vt_buffer_status(out, "JSON in a prompt", err);
}

vt_status vt_json_write_text(vt_slice text, vt_buffer *out, vt_err *err)
{
    if (vt_utf8_is_valid(text)) {
        put_string(text, out);
        return vt_buffer_status(out, "JSON in a prompt", err);
    }
    vt_buffer clean;
    vt_buffer_init(&clean, text.len * 3 + 3);
    vt_utf8_replace_invalid(text, &clean);
    vt_status st = vt_buffer_status(&clean, "JSON in a prompt", err);
    if (st == VT_OK) {
        put_string(vt_buffer_slice(&clean), out);
        st = vt_buffer_status(out, "JSON in a prompt", err);
    }
    vt_buffer_deinit(&clean);
    return st;
}
