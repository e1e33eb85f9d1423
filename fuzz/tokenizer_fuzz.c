/* tokenizer_fuzz.c -- any bytes as text, for each split: ids are in range and never added tokens,
 * and they decode to what was encoded, that is, the text with invalid UTF-8 replaced (and, for
 * qwen2, normalised).
 *
 * The first byte chooses the split, the rest is the text. The vocabulary has all bytes, and merges
 * of common pairs, so that words merge in several steps; long words take the heap. */
#include <stdlib.h>

#include "base/alloc.h"
#include "base/utf8.h"
#include "model/tokenizer_bpe.h"
#include "model/tokenizer_nfc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { N_LETTERS = 10, N_MERGES = N_LETTERS * N_LETTERS, N_ADDED = 2 };
enum { N_TOKENS = 256 + N_MERGES + N_ADDED, TEXT = 16 };

typedef struct {
    char texts[N_TOKENS + N_MERGES][TEXT];
    vt_slice tokens[N_TOKENS];
    vt_slice merges[N_MERGES];
    int32_t types[N_TOKENS];
} vocabulary;

static void set(vocabulary *v, size_t id, vt_slice text, int32_t type)
{
    memcpy(v->texts[id], text.ptr, text.len);
    v->tokens[id] = (vt_slice){v->texts[id], text.len};
    v->types[id] = type;
}

/* Merges of pairs of the first letters, then of some of what they make. */
static vt_tokenizer *make(vt_split_kind split)
{
    static vocabulary v;
    static const char *const letters[N_LETTERS] = {"a", "e", "\xC4\xA0", "1",        "'",
                                                   "s", ".", "\xC4\x8A", "\xC3\x8C", "\xC4\xA3"};
    uint32_t spare = 0x100;
    for (uint32_t b = 0; b < 256; b++) {
        bool is_printable = (b > 0x20 && b < 0x7F) || (b > 0xA0 && b != 0xAD);
        char utf8[4];
        set(&v, b, vt_slice_of(utf8, vt_utf8_encode(is_printable ? b : spare++, utf8)),
            VT_TOKEN_NORMAL);
    }
    for (size_t i = 0; i < N_MERGES; i++) {
        vt_slice left = vt_slice_cstr(letters[i * 7 % N_MERGES / N_LETTERS]);
        vt_slice right = vt_slice_cstr(letters[i * 7 % N_LETTERS]);
        char *text = v.texts[N_TOKENS + i];
        memcpy(text, left.ptr, left.len);
        memcpy(text + left.len, right.ptr, right.len);
        set(&v, 256 + i, (vt_slice){text, left.len + right.len}, VT_TOKEN_NORMAL);
        memcpy(text, left.ptr, left.len);
        text[left.len] = ' ';
        memcpy(text + left.len + 1, right.ptr, right.len);
        v.merges[i] = (vt_slice){text, left.len + 1 + right.len};
    }
    set(&v, 256 + N_MERGES, VT_S("<|a|>"), VT_TOKEN_CONTROL);
    set(&v, 256 + N_MERGES + 1, VT_S("<a>"), VT_TOKEN_USER_DEFINED);
    vt_tokenizer_source source = {.tokens = v.tokens,
                                  .types = v.types,
                                  .n_tokens = N_TOKENS,
                                  .merges = v.merges,
                                  .n_merges = N_MERGES,
                                  .split = split,
                                  .bos = -1,
                                  .eos = -1};
    vt_tokenizer *t = NULL;
    if (vt__tokenizer_new(&source, &t, NULL) != VT_OK) abort();
    return t;
}

static void check(const vt_tokenizer *t, vt_slice text)
{
    vt_tokens ids = {0};
    vt_buffer valid, seen, decoded;
    vt_buffer_init(&valid, 0);
    vt_buffer_init(&seen, 0);
    vt_buffer_init(&decoded, 0);
    if (vt_tokenizer_encode(t, text, &ids, NULL) != VT_OK) abort();
    for (size_t i = 0; i < ids.n; i++)
        if (ids.ids[i] < 0 || ids.ids[i] >= 256 + N_MERGES) abort();
    if (vt_tokenizer_decode(t, ids.ids, ids.n, true, &decoded, NULL) != VT_OK) abort();
    if (!vt_utf8_replace_invalid(text, &valid)) abort();
    vt_slice expected = vt_buffer_slice(&valid);
    if (t->is_nfc) {
        if (vt__nfc(expected, &seen, NULL) != VT_OK) abort();
        expected = vt_buffer_slice(&seen);
    }
    if (!vt_slice_eq(vt_buffer_slice(&decoded), expected)) abort();
    vt_tokens_deinit(&ids);
    vt_buffer_deinit(&valid);
    vt_buffer_deinit(&seen);
    vt_buffer_deinit(&decoded);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static vt_tokenizer *tokenizers[VT_SPLIT_O200K + 1];
    if (size == 0) return 0;
    size_t split = data[0] % VT_COUNT(tokenizers);
    if (tokenizers[split] == NULL) tokenizers[split] = make((vt_split_kind)split);
    check(tokenizers[split], vt_slice_of(data + 1, size - 1));
    return 0;
}
