/* tokenizer_fixture.h -- for tests: reads tests/data/tokenizer (its format is told in
 * scripts/make-tokenizer-fixtures) and compares a tokenizer with it, record by record.
 * Include cmocka.h first. */
#ifndef VT_TESTS_TOKENIZER_FIXTURE_H
#define VT_TESTS_TOKENIZER_FIXTURE_H

#include <stdio.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/utf8.h"
#include "model/tokenizer_bpe.h"
#include "model/tokenizer_nfc.h"

static inline void fixture_read(const char *name, const char *ending, vt_buffer *out)
{
    char path[512];
    vt_err err = {0};
    snprintf(path, sizeof path, "%s/tokenizer/%s%s", VT_TEST_DATA, name, ending);
    vt_buffer_init(out, 0);
    if (vt_file_read(path, 16 << 20, out, &err) != VT_OK) fail_msg("%s", err.msg);
}

static inline size_t fixture_varint(vt_slice *in)
{
    size_t value = 0;
    for (unsigned shift = 0;; shift += 7) {
        assert_true(in->len > 0 && shift < 35);
        uint8_t b = (uint8_t)in->ptr[0];
        *in = vt_slice_skip(*in, 1);
        value |= (size_t)(b & 0x7F) << shift;
        if (b < 0x80) return value;
    }
}

static inline vt_slice fixture_bytes(vt_slice *in, size_t n)
{
    assert_true(n <= in->len);
    vt_slice bytes = vt_slice_take(*in, n);
    *in = vt_slice_skip(*in, n);
    return bytes;
}

/* A tokenizer of the cut vocabulary; *real_ids, which the caller frees, maps its ids to the
 * published ones. */
static inline vt_tokenizer *fixture_tokenizer(const char *name, vt_split_kind split,
                                              int32_t **real_ids)
{
    vt_buffer file;
    fixture_read(name, ".vocab", &file);
    vt_slice in = vt_buffer_slice(&file);
    vt_tokenizer_source source = {.split = split, .bos = -1, .eos = -1};
    source.n_tokens = fixture_varint(&in);
    vt_slice *tokens = vt_calloc(source.n_tokens, sizeof *tokens);
    int32_t *types = vt_calloc(source.n_tokens, sizeof *types);
    *real_ids = vt_calloc(source.n_tokens, sizeof **real_ids);
    assert_true(tokens && types && *real_ids);
    size_t id = 0;
    for (size_t i = 0; i < source.n_tokens; i++) {
        id += fixture_varint(&in);
        (*real_ids)[i] = (int32_t)id;
        types[i] = fixture_bytes(&in, 1).ptr[0];
        tokens[i] = fixture_bytes(&in, fixture_varint(&in));
    }
    source.n_merges = fixture_varint(&in);
    vt_slice *merges = vt_calloc(source.n_merges, sizeof *merges);
    vt_buffer text;
    vt_buffer_init(&text, 0);
    assert_non_null(merges);
    assert_true(vt_buffer_reserve(&text, 4 << 20)); /* slices of it must not move */
    for (size_t i = 0; i < source.n_merges; i++) {
        size_t left = fixture_varint(&in);
        size_t right = fixture_varint(&in);
        size_t start = text.len;
        assert_true(left < source.n_tokens && right < source.n_tokens);
        assert_true(vt_buffer_append(&text, tokens[left]) && vt_buffer_byte(&text, ' ') &&
                    vt_buffer_append(&text, tokens[right]) && text.len < 4 << 20);
        merges[i] = (vt_slice){text.ptr + start, text.len - start};
    }
    assert_int_equal(in.len, 0);
    source.tokens = tokens;
    source.types = types;
    source.merges = merges;
    vt_tokenizer *t = NULL;
    vt_err err = {0};
    if (vt__tokenizer_new(&source, &t, &err) != VT_OK) fail_msg("%s", err.msg);
    vt_free(tokens);
    vt_free(types);
    vt_free(merges);
    vt_buffer_deinit(&text);
    vt_buffer_deinit(&file);
    return t;
}

/* What a tokenizer sees of a record, and what its ids must decode to. */
static inline void fixture_seen(const vt_tokenizer *t, vt_slice record, vt_buffer *out)
{
    vt_buffer valid;
    vt_buffer_init(&valid, 0);
    vt_buffer_clear(out);
    assert_true(vt_utf8_replace_invalid(record, &valid));
    if (t->is_nfc) assert_int_equal(vt__nfc(vt_buffer_slice(&valid), out, NULL), VT_OK);
    else assert_true(vt_buffer_append(out, vt_buffer_slice(&valid)));
    vt_buffer_deinit(&valid);
}

/* Every record of the corpus must become the published ids, and they must decode to what was
 * encoded unless the vocabulary lacks bytes. real_ids NULL: ids are the published ones already.
 * Returns how many records there were. */
static inline size_t fixture_compare(const vt_tokenizer *t, const char *name,
                                     const int32_t *real_ids)
{
    vt_buffer corpus, expected, seen, decoded;
    vt_tokens got = {0};
    bool lacks_bytes = false;
    for (int b = 0; b < 256; b++) lacks_bytes |= t->byte_ids[b] < 0;
    fixture_read("corpus", ".bin", &corpus);
    fixture_read(name, ".ids", &expected);
    vt_buffer_init(&seen, 0);
    vt_buffer_init(&decoded, 0);
    vt_slice records = vt_buffer_slice(&corpus);
    vt_slice ids = vt_buffer_slice(&expected);
    size_t n_records = 0;
    for (; records.len > 0; n_records++) {
        vt_slice record = fixture_bytes(&records, fixture_varint(&records));
        got.n = 0;
        assert_int_equal(vt_tokenizer_encode(t, record, &got, NULL), VT_OK);
        size_t n = fixture_varint(&ids);
        for (size_t i = 0; i < n; i++) {
            int32_t want = (int32_t)fixture_varint(&ids);
            int32_t have = i < got.n ? (real_ids ? real_ids[got.ids[i]] : got.ids[i]) : -1;
            if (have != want)
                fail_msg("%s, record %zu, token %zu: %d, published %d; the record: %.*s", name,
                         n_records, i, have, want, VT_ARG(record));
        }
        if (got.n != n)
            fail_msg("%s, record %zu: %zu tokens, published %zu", name, n_records, got.n, n);
        if (lacks_bytes) continue;
        fixture_seen(t, record, &seen);
        vt_buffer_clear(&decoded);
        assert_int_equal(vt_tokenizer_decode(t, got.ids, got.n, true, &decoded, NULL), VT_OK);
        assert_true(vt_slice_eq(vt_buffer_slice(&decoded), vt_buffer_slice(&seen)));
    }
    assert_int_equal(ids.len, 0);
    vt_tokens_deinit(&got);
    vt_buffer_deinit(&corpus);
    vt_buffer_deinit(&expected);
    vt_buffer_deinit(&seen);
    vt_buffer_deinit(&decoded);
    return n_records;
}

#endif
