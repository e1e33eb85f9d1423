/* gguf_fuzz.c -- any bytes as a GGUF header: an error, or a model all of whose values can be read.
 * The file's size is the bytes' own, so that tensors must fit. */
#include <stdlib.h>

#include "model/gguf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_entry(const vt_gguf *g, const vt_gguf_entry *e, volatile unsigned *sink)
{
    uint64_t u = 0;
    int64_t i = 0;
    double f = 0;
    bool b = false;
    vt_slice s = {0};
    if (vt_gguf_find(g, e->key) != e) abort();
    *sink += vt_gguf_get_u64(g, e->key, &u) + vt_gguf_get_i64(g, e->key, &i);
    *sink += vt_gguf_get_f64(g, e->key, &f) + vt_gguf_get_bool(g, e->key, &b);
    if (vt_gguf_get_string(g, e->key, &s))
        for (size_t k = 0; k < s.len; k++) *sink += (unsigned char)s.ptr[k];
    for (uint64_t k = 0; k <= e->count && k < 65536; k++) {
        *sink += vt_gguf_array_u64(e, k, &u) + vt_gguf_array_i64(e, k, &i);
        *sink += vt_gguf_array_f64(e, k, &f);
        if (vt_gguf_array_string(e, k, &s) && s.len > 0) *sink += (unsigned char)s.ptr[s.len - 1];
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    vt_gguf *g = NULL;
    vt_err err = {0};
    volatile unsigned sink = 0;
    if (vt_gguf_parse(vt_slice_of(data, size), size, &g, &err) != VT_OK) return 0;
    for (size_t i = 0; i < vt_gguf_n_entries(g); i++) read_entry(g, vt_gguf_entry_at(g, i), &sink);
    for (size_t i = 0; i < vt_gguf_n_tensors(g); i++) {
        const vt_gguf_tensor *t = vt_gguf_tensor_at(g, i);
        if (vt_gguf_find_tensor(g, t->name) != t) abort();
        if (t->offset > size || t->n_bytes > size - t->offset) abort();
    }
    vt_gguf_close(g);
    return 0;
}
