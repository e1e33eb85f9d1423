/* parse.c -- see parse.h. The only file that may call strtod: the text is checked against the
 * decimal grammar first, and the conversion runs in the "C" locale object, so neither locale nor
 * "nan" can slip in. */
#include "base/parse.h"

#include <locale.h>
#include <math.h>
#include <stdlib.h>

bool vt_parse_u64(vt_slice text, uint64_t *out)
{
    uint64_t value = 0;
    if (text.len == 0) return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9') return false;
        if (__builtin_mul_overflow(value, 10u, &value)) return false;
        if (__builtin_add_overflow(value, (uint64_t)(text.ptr[i] - '0'), &value)) return false;
    }
    *out = value;
    return true;
}

bool vt_parse_i64(vt_slice text, int64_t *out)
{
    bool negative = text.len > 0 && text.ptr[0] == '-';
    uint64_t magnitude;
    if (!vt_parse_u64(negative ? vt_slice_skip(text, 1) : text, &magnitude)) return false;
    if (magnitude > (uint64_t)INT64_MAX + (negative ? 1 : 0)) return false;
    *out = negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
    return true;
}

static size_t skip_digits(const char *p, size_t len)
{
    size_t n = 0;
    while (n < len && p[n] >= '0' && p[n] <= '9') n++;
    return n;
}

static bool is_decimal(vt_slice s)
{
    if (s.len > 0 && (s.ptr[0] == '-' || s.ptr[0] == '+')) s = vt_slice_skip(s, 1);
    size_t whole = skip_digits(s.ptr, s.len);
    s = vt_slice_skip(s, whole);
    size_t fraction = 0;
    if (s.len > 0 && s.ptr[0] == '.') {
        s = vt_slice_skip(s, 1);
        fraction = skip_digits(s.ptr, s.len);
        s = vt_slice_skip(s, fraction);
    }
    if (whole + fraction == 0) return false;
    if (s.len == 0) return true;
    if (s.ptr[0] != 'e' && s.ptr[0] != 'E') return false;
    s = vt_slice_skip(s, 1);
    if (s.len > 0 && (s.ptr[0] == '-' || s.ptr[0] == '+')) s = vt_slice_skip(s, 1);
    return s.len > 0 && skip_digits(s.ptr, s.len) == s.len;
}

bool vt_parse_double(vt_slice text, double *out)
{
    char copy[128];
    if (text.len >= sizeof copy || !is_decimal(text)) return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    locale_t c_locale = newlocale(LC_NUMERIC_MASK, "C", (locale_t)0);
    if (c_locale == (locale_t)0) return false;
    double value = strtod_l(copy, NULL, c_locale);
    freelocale(c_locale);
    if (!isfinite(value)) return false;
    *out = value;
    return true;
}
