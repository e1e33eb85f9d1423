/* utf8.c -- see utf8.h. */
#include "base/utf8.h"

/* Table 3-7 of the Unicode Standard: by lead byte, the length and the range of the second byte. */
static size_t lead(uint8_t b, uint8_t *low, uint8_t *high)
{
    *low = 0x80;
    *high = 0xBF;
    if (b < 0x80) return 1;
    if (b < 0xC2) return 0;
    if (b < 0xE0) return 2;
    if (b < 0xF0) {
        if (b == 0xE0) *low = 0xA0;
        if (b == 0xED) *high = 0x9F;
        return 3;
    }
    if (b > 0xF4) return 0;
    if (b == 0xF0) *low = 0x90;
    if (b == 0xF4) *high = 0x8F;
    return 4;
}

/* Length of the valid prefix of one character: n bytes looked right; *need is the whole length, 0
 * for a bad lead. */
static size_t scan(vt_slice s, size_t *need)
{
    uint8_t low, high;
    *need = lead((uint8_t)s.ptr[0], &low, &high);
    if (*need == 0) return 1;
    size_t n = 1;
    while (n < *need && n < s.len) {
        uint8_t b = (uint8_t)s.ptr[n];
        if (b < low || b > high) break;
        low = 0x80;
        high = 0xBF;
        n++;
    }
    return n;
}

size_t vt_utf8_decode(vt_slice s, uint32_t *code, bool *is_valid)
{
    static const uint8_t lead_mask[5] = {0, 0x7F, 0x1F, 0x0F, 0x07};
    size_t need;
    size_t n = scan(s, &need);
    *is_valid = need == n && need != 0;
    *code = VT_UTF8_REPLACEMENT;
    if (!*is_valid) return n;
    uint32_t value = (uint8_t)s.ptr[0] & lead_mask[need];
    for (size_t i = 1; i < n; i++) value = value << 6 | ((uint8_t)s.ptr[i] & 0x3F);
    *code = value;
    return n;
}

size_t vt_utf8_encode(uint32_t code, char out[4])
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xC0 | code >> 6);
        out[1] = (char)(0x80 | (code & 0x3F));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (char)(0xE0 | code >> 12);
        out[1] = (char)(0x80 | (code >> 6 & 0x3F));
        out[2] = (char)(0x80 | (code & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | code >> 18);
    out[1] = (char)(0x80 | (code >> 12 & 0x3F));
    out[2] = (char)(0x80 | (code >> 6 & 0x3F));
    out[3] = (char)(0x80 | (code & 0x3F));
    return 4;
}

bool vt_utf8_is_valid(vt_slice s)
{
    while (s.len > 0) {
        size_t need;
        size_t n = scan(s, &need);
        if (need != n) return false;
        s = vt_slice_skip(s, n);
    }
    return true;
}

bool vt_utf8_replace_invalid(vt_slice s, vt_buffer *out)
{
    while (s.len > 0) {
        size_t need;
        size_t n = scan(s, &need);
        if (!vt_buffer_append(out, need == n ? vt_slice_take(s, n) : VT_S("\xEF\xBF\xBD")))
            return false;
        s = vt_slice_skip(s, n);
    }
    return true;
}

size_t vt_utf8_incomplete_tail(vt_slice s)
{
    size_t most = s.len < 3 ? s.len : 3;
    for (size_t back = 1; back <= most; back++) {
        vt_slice tail = vt_slice_skip(s, s.len - back);
        if (((uint8_t)tail.ptr[0] & 0xC0) == 0x80)
            continue; /* a continuation byte: look further back */
        size_t need;
        size_t n = scan(tail, &need);
        return n == back && need > n ? back : 0;
    }
    return 0;
}

bool vt_utf8_is_control(uint32_t code)
{
    if (code < 0x20) return code != '\n' && code != '\t';
    return (code >= 0x7F && code < 0xA0) || (code >= 0x202A && code <= 0x202E) ||
           (code >= 0x2066 && code <= 0x2069);
}

void vt_utf8_make_printable(char *text)
{
    vt_slice rest = vt_slice_cstr(text);
    rest.len -= vt_utf8_incomplete_tail(rest);
    text[rest.len] = '\0';
    while (rest.len > 0) {
        uint32_t code;
        bool is_valid;
        size_t n = vt_utf8_decode(rest, &code, &is_valid);
        if (!is_valid || vt_utf8_is_control(code)) memset(text, '?', n);
        else if (code == '\n' || code == '\t') *text = ' ';
        text += n;
        rest = vt_slice_skip(rest, n);
    }
}
