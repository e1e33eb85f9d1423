/* packed_fuzz.c -- any bytes as the head of a packed file: an error, or a table whose tensors all
 * lie in the file and have names. Checksums would keep a fuzzer out: they are made to fit first. */
#include <stdlib.h>

#include "base/alloc.h"
#include "model/packed.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FILE_BYTES = 64 << 20 }; /* the length that the file would have */

static void fit_checksums(uint8_t *head, size_t size)
{
    uint8_t length[8] = {0, 0, 0, FILE_BYTES >> 24};
    if (size < VT_PACKED_HEADER) return;
    for (size_t i = 0; i < 8; i++) head[16 + i] = length[i];
    uint64_t n = 0, names = 0, tensors = 0;
    for (size_t i = 8; i-- > 0;) {
        n = n << 8 | head[24 + i];
        names = names << 8 | head[32 + i];
        tensors = tensors << 8 | head[40 + i];
    }
    uint64_t rest = size - VT_PACKED_HEADER;
    if (n > rest || names > rest || tensors > rest) return;
    uint64_t end = (n + 7) / 8 * 8 + tensors * VT_PACKED_ROW + names;
    if (end <= rest && vt_sha256_bytes(vt_slice_of(head + VT_PACKED_HEADER, (size_t)end), head + 88,
                                       NULL) != VT_OK)
        abort();
    if (vt_sha256_bytes(vt_slice_of(head, 120), head + 120, NULL) != VT_OK) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    vt_packed *p = NULL;
    vt_err err = {0};
    uint8_t *head = vt_alloc(size);
    if (head == NULL) return 0;
    if (size > 0) memcpy(head, data, size);
    fit_checksums(head, size);
    vt_status st = vt_packed_parse(vt_slice_of(head, size), FILE_BYTES, &p, &err);
    vt_free(head); /* the result must not borrow from it */
    if (st != VT_OK) return 0;
    uint64_t end = p->header.tiles_at;
    for (uint64_t i = 0; i < p->header.n_tensors; i++) {
        const vt_packed_tensor *t = &p->tensors[i];
        if (t->name.len == 0 || t->offset < end || t->offset % 64 != 0) abort();
        if (t->n_bytes > FILE_BYTES || t->offset > FILE_BYTES - t->n_bytes) abort();
        for (size_t k = 0; k < t->name.len; k++)
            if ((unsigned char)t->name.ptr[k] < 0x20) abort();
        end = t->offset + t->n_bytes;
    }
    vt_gguf *g = NULL;
    if (vt_gguf_parse(p->metadata, FILE_BYTES, &g, &err) == VT_OK) vt_gguf_close(g);
    vt_packed_close(p);
    return 0;
}
