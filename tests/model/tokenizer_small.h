/* tokenizer_small.h -- for tests: a tokenizer with a token for each byte (ids 0 to 255), one for
 * each merge of a short list (from 256 on), and then added tokens. */
#ifndef VT_TESTS_TOKENIZER_SMALL_H
#define VT_TESTS_TOKENIZER_SMALL_H

#include "base/utf8.h"
#include "model/tokenizer_bpe.h"

enum { SMALL_MAX = 320, SMALL_NAME = 64 };

typedef struct {
    char names[SMALL_MAX][SMALL_NAME];
    vt_slice tokens[SMALL_MAX];
    int32_t types[SMALL_MAX];
    vt_slice merges[SMALL_MAX];
    vt_tokenizer_source source;
} small_vocabulary;

static inline void small_add(small_vocabulary *v, vt_slice name, vt_token_type type)
{
    size_t i = v->source.n_tokens++;
    memcpy(v->names[i], name.ptr, name.len);
    v->tokens[i] = (vt_slice){v->names[i], name.len};
    v->types[i] = type;
}

/* `merges` and `added` end with NULL. Merges in the printable form: "\xC4\xA0 a" is space, a. */
static inline void small_init(small_vocabulary *v, vt_split_kind split, const char *const *merges,
                              const char *const *added)
{
    *v = (small_vocabulary){0};
    uint32_t spare = 0x100;
    for (uint32_t b = 0; b < 256; b++) {
        bool is_printable = (b > 0x20 && b < 0x7F) || (b > 0xA0 && b != 0xAD);
        char utf8[4];
        size_t n = vt_utf8_encode(is_printable ? b : spare++, utf8);
        small_add(v, (vt_slice){utf8, n}, VT_TOKEN_NORMAL);
    }
    for (; *merges; merges++) {
        vt_slice merge = vt_slice_cstr(*merges);
        size_t space = vt_slice_find(merge, VT_S(" "));
        char joined[SMALL_NAME];
        memcpy(joined, merge.ptr, space);
        memcpy(joined + space, merge.ptr + space + 1, merge.len - space - 1);
        v->merges[v->source.n_merges++] = merge;
        small_add(v, (vt_slice){joined, merge.len - 1}, VT_TOKEN_NORMAL);
    }
    for (; *added; added++) small_add(v, vt_slice_cstr(*added), VT_TOKEN_CONTROL);
    v->source.tokens = v->tokens;
    v->source.types = v->types;
    v->source.merges = v->merges;
    v->source.split = split;
    v->source.bos = -1;
    v->source.eos = -1;
}

#endif
