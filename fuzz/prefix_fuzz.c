/* prefix_fuzz.c -- any bytes as the file of a stored block: damaged, or the very bytes that sealing
 * what was read from them gives. Damage of the checksum hides everything else, so what the header
 * says is also sealed anew, with the key that belongs to it, and must then be read back. */
#include <stdlib.h>

#include "base/alloc.h"
#include "engine/prefix_block.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect_sealed(const vt_block *b, const uint8_t *data, size_t size, bool same)
{
    vt_block again;
    uint8_t *image = vt_alloc(size);
    if (image == NULL) return;
    memcpy(image, data, size);
    if (vt_block_bytes(b) != size || vt_block_seal(b, image, NULL) != VT_OK) abort();
    if (same && memcmp(image, data, size) != 0) abort();
    if (vt_block_open(vt_slice_of(image, size), &again, NULL) != VT_OK) abort();
    if (memcmp(&again, b, sizeof again) != 0) abort();
    vt_free(image);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    vt_block b, head;
    vt_err err = {0};
    const vt_slice image = vt_slice_of(data, size);
    const vt_status st = vt_block_open(image, &b, &err);
    if (st == VT_OK) expect_sealed(&b, data, size, true);
    else if (st != VT_ECORRUPT || err.msg[0] == '\0') abort();
    if (vt_block_peek(image, size, &head, NULL) != VT_OK) return 0;
    if (head.position == 0 &&
        vt_block_root(&head.model, head.numerics, head.kv_code, &head.previous, NULL) != VT_OK)
        return 0;
    if (vt_block_key(&head.previous, head.tokens, head.n_tokens, &head.key, NULL) != VT_OK)
        return 0;
    expect_sealed(&head, data, size, false);
    return 0;
}
