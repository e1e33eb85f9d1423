/* fetch.h -- download one file over HTTP(S) so that it is whole, right, and never fetched twice.
 *
 *     PATH.part        what has arrived so far
 *     PATH.part.json   the address and the server's validator (ETag or Last-Modified) it came from
 *     PATH             appears by rename, only when size and SHA-256 were checked
 *
 * A later call goes on where an earlier one stopped, also after a crash: it asks for the rest with
 * Range and If-Range, so a file that changed on the server starts over instead of being mixed. A
 * server that ignores Range starts over too. Without a validator a part is continued only when a
 * SHA-256 will judge the result. Broken connections and overloaded servers (429, 5xx) are tried
 * again, with growing pauses, as long as it gets on.
 *
 * Only http and https, at most ten redirects, never from https to http. libcurl itself honours the
 * usual proxy variables of the environment.
 *
 * Ownership  borrows its arguments for the call.
 * Threads    safe for different paths; a second download of the same path is VT_EEXIST, also from
 *            another process.
 * Failure    VT_EVERIFY: size or digest is not what was promised, and the part was deleted.
 *            VT_ENOTFOUND: 404 or 410. VT_ECANCEL and VT_EIO leave the part to be continued. */
#ifndef VT_BASE_FETCH_H
#define VT_BASE_FETCH_H

#include "base/hash.h"
#include "base/progress.h"

typedef struct {
    const char *url;
    const char *path;       /* its directory exists */
    uint64_t n_bytes;       /* the size it must have; 0: whatever comes */
    const uint8_t *sha256;  /* VT_SHA256_BYTES that it must have; NULL: whatever comes */
    uint32_t stall_seconds; /* a connection without a byte for so long is broken; 0: 60 */
    uint32_t pause_ms;      /* before the first new try, doubled each time; 0: 1000 */
    const vt_progress *progress;
} vt_fetch_options;

typedef struct {
    uint64_t n_bytes;
    uint64_t n_resumed; /* of these, how many were there from an earlier call */
    uint8_t sha256[VT_SHA256_BYTES];
} vt_fetch_result;

VT_MUSTUSE vt_status vt_fetch_file(const vt_fetch_options *options, vt_fetch_result *result,
                                   vt_err *err);

/* SHA-256 of an open file's bytes [0, n_bytes), with progress; more bytes of a next file can follow
 * in the same hash. */
VT_MUSTUSE vt_status vt_fetch_hash_fd(vt_sha256 *hash, int fd, uint64_t n_bytes,
                                      const vt_progress *progress, vt_err *err);

#endif
