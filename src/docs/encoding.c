/* encoding.c -- see encoding.h. */
#include "docs/encoding.h"

#include <errno.h>
#include <iconv.h>
#include <uchardet/uchardet.h>

#include "base/utf8.h"

enum { SAMPLE = 256 << 10, NAME_MAX_BYTES = 40 };

/* How well bytes fit UTF-8: whole multi-byte characters, and broken parts. */
typedef struct {
    size_t n_good;
    size_t n_bad;
} fit;

static fit utf8_fit(vt_slice s)
{
    fit f = {0, 0};
    while (s.len > 0) {
        if ((unsigned char)s.ptr[0] < 0x80) {
            s = vt_slice_skip(s, 1);
            continue;
        }
        uint32_t code;
        bool is_valid;
        size_t n = vt_utf8_decode(s, &code, &is_valid);
        if (is_valid) f.n_good++;
        else f.n_bad++;
        s = vt_slice_skip(s, n);
    }
    return f;
}

static bool looks_binary(vt_slice bytes)
{
    if (bytes.len > 0 && memchr(bytes.ptr, '\0', bytes.len) != NULL) return true;
    vt_slice sample = vt_slice_take(bytes, SAMPLE);
    size_t n_control = 0;
    for (size_t i = 0; i < sample.len; i++) {
        unsigned char c = (unsigned char)sample.ptr[i];
        if (c < 32 && memchr("\t\n\v\f\r\b\033", c, 7) == NULL) n_control++;
    }
    return n_control > 4 && n_control * 50 > sample.len; /* a short note may hold a few */
}

/* UTF-16 of mostly Latin text has a zero in every other byte: "UTF-16LE", "UTF-16BE" or NULL. */
static const char *utf16_by_zeros(vt_slice bytes)
{
    vt_slice sample = vt_slice_take(bytes, 4096);
    size_t zeros[2] = {0, 0};
    for (size_t i = 0; i < sample.len; i++)
        if (sample.ptr[i] == '\0') zeros[i & 1]++;
    size_t half = sample.len / 2;
    if (half < 4 || bytes.len % 2 != 0) return NULL;
    if (zeros[1] * 10 >= half * 7 && zeros[0] * 20 < half) return "UTF-16LE";
    if (zeros[0] * 10 >= half * 7 && zeros[1] * 20 < half) return "UTF-16BE";
    return NULL;
}

/* Bytes that iconv refuses become U+FFFD, one each. */
static vt_status convert(vt_slice bytes, const char *charset, vt_buffer *out, vt_err *err)
{
    iconv_t cd = iconv_open("UTF-8", charset);
    if (cd == (iconv_t)-1)
        return vt_fail(err, VT_EUNSUPPORTED, "unknown character set %.40s", charset);
    vt_status st = VT_OK;
    char *in = (char *)(uintptr_t)bytes.ptr; /* iconv's prototype lacks const; it only reads */
    size_t n_in = bytes.len;
    while (n_in > 0) {
        char piece[4096];
        char *to = piece;
        size_t n_to = sizeof piece;
        size_t rc = iconv(cd, &in, &n_in, &to, &n_to);
        int why = errno;
        vt_buffer_append(out, vt_slice_of(piece, (size_t)(to - piece)));
        if (rc == (size_t)-1 && why != E2BIG) {
            vt_buffer_append(out, VT_S("\xEF\xBF\xBD"));
            in++;
            n_in--;
        }
        if (out->failed) break;
    }
    iconv_close(cd);
    st = vt_buffer_status(out, "the text in UTF-8", err);
    /* UTF-16 can spell U+0000; in our text it would end C strings. */
    for (size_t i = 0; st == VT_OK && i < out->len; i++)
        if (out->ptr[i] == '\0') out->ptr[i] = ' ';
    return st;
}

static bool guess(vt_slice bytes, char out[NAME_MAX_BYTES])
{
    uchardet_t ud = uchardet_new();
    if (ud == NULL) return false;
    vt_slice sample = vt_slice_take(bytes, SAMPLE);
    bool is_known = false;
    if (uchardet_handle_data(ud, sample.ptr, sample.len) == 0) {
        uchardet_data_end(ud);
        const char *name = uchardet_get_charset(ud);
        size_t len = strlen(name);
        /* Its answer for what is no valid UTF-8 may still be UTF-8 or ASCII: then it knows nothing.
         */
        is_known = len > 0 && len < NAME_MAX_BYTES && strcmp(name, "UTF-8") != 0 &&
                   strcmp(name, "ASCII") != 0;
        if (is_known) memcpy(out, name, len + 1);
    }
    uchardet_delete(ud);
    return is_known;
}

static vt_status from_charset(vt_slice bytes, vt_slice charset, vt_buffer *out, vt_err *err)
{
    char name[NAME_MAX_BYTES];
    if (charset.len > 0 && charset.len < sizeof name) {
        memcpy(name, charset.ptr, charset.len);
        name[charset.len] = '\0';
        if (strcasecmp(name, "utf-8") != 0 && strcasecmp(name, "utf8") != 0) {
            vt_status st = convert(bytes, name, out, err);
            if (st != VT_EUNSUPPORTED) return st;
        }
    }
    if (guess(bytes, name)) {
        vt_status st = convert(bytes, name, out, err);
        if (st != VT_EUNSUPPORTED) return st;
    }
    return convert(bytes, "WINDOWS-1252", out, err);
}

vt_status vt_encoding_to_utf8(vt_slice bytes, vt_slice charset, vt_buffer *out, vt_slice *text,
                              vt_err *err)
{
    static const struct {
        vt_slice mark;
        const char *charset; /* NULL: UTF-8 */
    } marks[] = {
        {{"\xEF\xBB\xBF", 3}, NULL},       {{"\xFF\xFE\0\0", 4}, "UTF-32LE"},
        {{"\0\0\xFE\xFF", 4}, "UTF-32BE"}, {{"\xFF\xFE", 2}, "UTF-16LE"},
        {{"\xFE\xFF", 2}, "UTF-16BE"},
    };
    vt_status st = VT_OK;
    const char *certain = NULL;
    for (size_t i = 0; i < VT_COUNT(marks); i++) {
        if (!vt_slice_starts(bytes, marks[i].mark)) continue;
        bytes = vt_slice_skip(bytes, marks[i].mark.len);
        certain = marks[i].charset;
        break;
    }
    if (certain == NULL) certain = utf16_by_zeros(bytes);
    if (certain != NULL) {
        st = convert(bytes, certain, out, err);
    } else if (looks_binary(bytes)) {
        return vt_fail(err, VT_EUNSUPPORTED, "not a text file");
    } else {
        fit f = utf8_fit(bytes);
        if (f.n_bad == 0) {
            *text = bytes;
            return VT_OK;
        }
        if (f.n_good >= 8 * f.n_bad) {
            vt_utf8_replace_invalid(bytes, out);
            st = vt_buffer_status(out, "the text in UTF-8", err);
        } else {
            st = from_charset(bytes, charset, out, err);
        }
    }
    if (st == VT_OK) *text = vt_buffer_slice(out);
    return st;
}

vt_slice vt_encoding_of_html(vt_slice bytes)
{
    vt_slice head = vt_slice_take(bytes, 1024);
    for (size_t i = 0; i + 8 < head.len; i++) {
        if (strncasecmp(head.ptr + i, "charset=", 8) != 0) continue;
        vt_slice s = vt_slice_skip(head, i + 8);
        if (s.len > 0 && (s.ptr[0] == '"' || s.ptr[0] == '\'')) s = vt_slice_skip(s, 1);
        size_t n = 0;
        while (n < s.len && (s.ptr[n] == '-' || s.ptr[n] == '_' || s.ptr[n] == ':' ||
                             (s.ptr[n] >= '0' && s.ptr[n] <= '9') ||
                             ((s.ptr[n] | 32) >= 'a' && (s.ptr[n] | 32) <= 'z')))
            n++;
        return vt_slice_take(s, n);
    }
    return (vt_slice){NULL, 0};
}
