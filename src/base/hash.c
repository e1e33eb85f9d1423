/* hash.c -- see hash.h. */
#include "base/hash.h"

#include <openssl/evp.h>

#include "base/alloc.h"

struct vt_sha256 {
    EVP_MD_CTX *ctx;
};

vt_sha256 *vt_sha256_new(void)
{
    vt_sha256 *h = vt_calloc(1, sizeof *h);
    if (h == NULL) return NULL;
    h->ctx = EVP_MD_CTX_new();
    if (h->ctx == NULL || EVP_DigestInit_ex(h->ctx, EVP_sha256(), NULL) != 1) {
        vt_sha256_free(h);
        return NULL;
    }
    return h;
}

void vt_sha256_free(vt_sha256 *h)
{
    if (h == NULL) return;
    EVP_MD_CTX_free(h->ctx);
    vt_free(h);
}

void vt_sha256_update(vt_sha256 *h, vt_slice data)
{
    VT_CHECK(EVP_DigestUpdate(h->ctx, data.ptr, data.len) == 1);
}

void vt_sha256_finish(vt_sha256 *h, uint8_t out[VT_SHA256_BYTES])
{
    unsigned n = 0;
    VT_CHECK(EVP_DigestFinal_ex(h->ctx, out, &n) == 1 && n == VT_SHA256_BYTES);
}

vt_status vt_sha256_bytes(vt_slice data, uint8_t out[VT_SHA256_BYTES], vt_err *err)
{
    vt_sha256 *h = vt_sha256_new();
    if (h == NULL) return vt_fail(err, VT_ENOMEM, "out of memory");
    vt_sha256_update(h, data);
    vt_sha256_finish(h, out);
    vt_sha256_free(h);
    return VT_OK;
}

void vt_sha256_hex(const uint8_t digest[VT_SHA256_BYTES], char out[VT_SHA256_HEX + 1])
{
    static const char digits[] = "0123456789abcdef";
    for (int i = 0; i < VT_SHA256_BYTES; i++) {
        out[2 * i] = digits[digest[i] >> 4];
        out[2 * i + 1] = digits[digest[i] & 15];
    }
    out[VT_SHA256_HEX] = '\0';
}
