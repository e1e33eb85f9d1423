/* hash.h -- SHA-256 (FIPS 180-4, by OpenSSL): of bytes at once, in pieces, or of a file.
 * Threads: one vt_sha256 by one thread at a time. */
#ifndef VT_BASE_HASH_H
#define VT_BASE_HASH_H

#include <stdint.h>

#include "base/error.h"
#include "base/slice.h"

enum { VT_SHA256_BYTES = 32, VT_SHA256_HEX = 64 };

typedef struct vt_sha256 vt_sha256;

vt_sha256 *vt_sha256_new(void); /* NULL when memory ran out */
void vt_sha256_free(vt_sha256 *h);
void vt_sha256_update(vt_sha256 *h, vt_slice data);
void vt_sha256_finish(vt_sha256 *h,
                      uint8_t out[VT_SHA256_BYTES]); /* h may only be freed afterwards */

VT_MUSTUSE vt_status vt_sha256_bytes(vt_slice data, uint8_t out[VT_SHA256_BYTES], vt_err *err);
void vt_sha256_hex(const uint8_t digest[VT_SHA256_BYTES], char out[VT_SHA256_HEX + 1]);

#endif
