/* tokenizer_nfc.c -- see tokenizer_nfc.h.
 *
 * utf8proc has the data and composes; the canonical ordering between the two is ours, because
 * utf8proc sorts a run of combining marks by insertion, and a hostile document with a megabyte of
 * them would take hours. ASCII is copied: it never changes, but the last ASCII character before
 * anything else may compose with it. */
#include "model/tokenizer_nfc.h"

#include <utf8proc.h>

#include "base/alloc.h"
#include "base/utf8.h"
#include "model/unicode.h"

enum {
    MOST_FOR_ONE = 4, /* code points in the longest canonical decomposition of one */
    FEW_MARKS = 32,   /* insertion sort up to here, counting sort above */
};

typedef struct {
    int32_t *codes;
    size_t n_codes;
    size_t cap_codes;
    int32_t *sorted; /* room for a long run of marks */
    size_t cap_sorted;
} scratch;

/* Code points that stay as they are whatever stands around them: they are starters, don't
 * decompose, and are never the second of a composition. Not all of them; the common ones. */
static bool is_inert(uint32_t code)
{
    return code < 0x300 || (code >= 0x3400 && code < 0xA000) || /* ideographs */
           (code >= 0xAC00 && code < 0xD7A4);                   /* Hangul syllables */
}

static bool all_inert(vt_slice text)
{
    while (text.len > 0) {
        uint32_t code;
        bool is_valid;
        text = vt_slice_skip(text, vt_utf8_decode(text, &code, &is_valid));
        if (!is_inert(code)) return false;
    }
    return true;
}

static bool decompose(scratch *w, vt_slice text)
{
    w->n_codes = 0;
    while (text.len > 0) {
        uint32_t code;
        bool is_valid;
        text = vt_slice_skip(text, vt_utf8_decode(text, &code, &is_valid));
        if (!vt_grow((void **)&w->codes, &w->cap_codes, w->n_codes + MOST_FOR_ONE, sizeof *w->codes,
                     SIZE_MAX / 8))
            return false;
        utf8proc_ssize_t n =
            utf8proc_decompose_char((int32_t)code, w->codes + w->n_codes, MOST_FOR_ONE,
                                    UTF8PROC_DECOMPOSE | UTF8PROC_STABLE, NULL);
        VT_CHECK(n > 0 && n <= MOST_FOR_ONE);
        w->n_codes += (size_t)n;
    }
    return true;
}

static unsigned combining_class(int32_t code)
{
    return (unsigned)utf8proc_get_property(code)->combining_class;
}

/* Sort n marks by combining class, equals in their order. */
static bool sort_marks(scratch *w, int32_t *marks, size_t n)
{
    if (n <= FEW_MARKS) {
        for (size_t i = 1; i < n; i++) {
            int32_t moving = marks[i];
            size_t k = i;
            for (; k > 0 && combining_class(marks[k - 1]) > combining_class(moving); k--)
                marks[k] = marks[k - 1];
            marks[k] = moving;
        }
        return true;
    }
    size_t place[257] = {0};
    if (!vt_grow((void **)&w->sorted, &w->cap_sorted, n, sizeof *w->sorted, SIZE_MAX / 8))
        return false;
    for (size_t i = 0; i < n; i++) place[combining_class(marks[i]) + 1]++;
    for (size_t c = 1; c < 257; c++) place[c] += place[c - 1];
    for (size_t i = 0; i < n; i++) w->sorted[place[combining_class(marks[i])]++] = marks[i];
    memcpy(marks, w->sorted, n * sizeof *marks);
    return true;
}

static bool order(scratch *w)
{
    size_t i = 0;
    while (i < w->n_codes) {
        size_t start = i;
        while (i < w->n_codes && combining_class(w->codes[i]) != 0) i++;
        if (i - start > 1 && !sort_marks(w, w->codes + start, i - start)) return false;
        i++;
    }
    return true;
}

/* One stretch without code points that Unicode 9.0 did not have. */
static bool normalize_stretch(scratch *w, vt_slice text, vt_buffer *out)
{
    if (!decompose(w, text) || !order(w)) return false;
    utf8proc_ssize_t n = utf8proc_normalize_utf32(w->codes, (utf8proc_ssize_t)w->n_codes,
                                                  UTF8PROC_COMPOSE | UTF8PROC_STABLE);
    VT_CHECK(n >= 0 && (size_t)n <= w->n_codes);
    for (size_t i = 0; i < (size_t)n; i++) {
        char utf8[4];
        size_t len = vt_utf8_encode((uint32_t)w->codes[i], utf8);
        if (!vt_buffer_append(out, (vt_slice){utf8, len})) return false;
    }
    return true;
}

static bool normalize(scratch *w, vt_slice text, vt_buffer *out)
{
    if (all_inert(text)) return vt_buffer_append(out, text);
    while (text.len > 0) {
        size_t n = 0;
        size_t len = 0;
        while (n < text.len) {
            uint32_t code;
            bool is_valid;
            len = vt_utf8_decode(vt_slice_skip(text, n), &code, &is_valid);
            if (vt_unicode_is_late(code)) break;
            n += len;
        }
        if (!normalize_stretch(w, vt_slice_take(text, n), out)) return false;
        text = vt_slice_skip(text, n);
        if (text.len == 0) break;
        if (!vt_buffer_append(out, vt_slice_take(text, len))) return false;
        text = vt_slice_skip(text, len);
    }
    return true;
}

static size_t ascii_run(vt_slice text)
{
    size_t n = 0;
    while (n < text.len && (uint8_t)text.ptr[n] < 0x80) n++;
    return n;
}

vt_status vt__nfc(vt_slice text, vt_buffer *out, vt_err *err)
{
    scratch w = {0};
    size_t before = out->len;
    bool ok = true;
    while (ok && text.len > 0) {
        size_t n = ascii_run(text);
        if (n > 0 && n < text.len) n--; /* the last one goes with what follows */
        ok = vt_buffer_append(out, vt_slice_take(text, n));
        text = vt_slice_skip(text, n);
        n = text.len > 0;
        while (n < text.len && (uint8_t)text.ptr[n] >= 0x80) n++;
        ok = ok && normalize(&w, vt_slice_take(text, n), out);
        text = vt_slice_skip(text, n);
    }
    vt_free(w.codes);
    vt_free(w.sorted);
    if (ok) return VT_OK;
    out->len = before;
    return vt_fail(err, VT_ENOMEM, "no memory to normalise a text");
}
