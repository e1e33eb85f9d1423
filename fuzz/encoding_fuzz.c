/* encoding_fuzz.c -- any bytes to UTF-8, and that to words: text that is valid, words that fold to
 * themselves. */
#include <stdlib.h>

#include "base/utf8.h"
#include "docs/encoding.h"
#include "docs/words.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    vt_buffer b;
    vt_slice text;
    vt_slice bytes = vt_slice_of(data, size);
    vt_buffer_init(&b, 16 << 20);
    if (vt_encoding_to_utf8(bytes, vt_encoding_of_html(bytes), &b, &text, NULL) == VT_OK) {
        if (!vt_utf8_is_valid(text)) abort();
        vt_words words = vt_words_of(text);
        vt_word w;
        size_t before = 0;
        while (vt_words_next(&words, &w)) {
            char stem[VT_WORD_MAX + 1];
            if (w.start < before || w.end > text.len || w.start >= w.end) abort();
            if (w.len > VT_WORD_MAX || !vt_utf8_is_valid(vt_slice_of(w.text, w.len))) abort();
            if (vt_word_stem(w.text, w.len, stem) > VT_WORD_MAX) abort();
            before = w.start;
        }
    }
    vt_buffer_deinit(&b);
    return 0;
}
