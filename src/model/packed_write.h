/* packed_write.h -- a loaded model to its packed form (packed.h).
 *
 * The weights are written as they lie in memory, so a packed file is the loader's own work, kept.
 * The file appears under its name when every byte of it is on the disk, or not at all.
 *
 * Failure  VT_ELIMIT: not enough room on the disk, with both numbers. VT_ECANCEL. Nothing is left
 * behind. Threads  one; the checksums are computed by the pool. */
#ifndef VT_MODEL_PACKED_WRITE_H
#define VT_MODEL_PACKED_WRITE_H

#include "base/hash.h"
#include "base/pool.h"
#include "base/progress.h"
#include "model/weights.h"

/* `w` is loaded from `gguf`, no packed file; `source` is the model's digest. An older file at
 * `path` is replaced. *n_bytes, may be NULL, is the file's length. */
VT_MUSTUSE vt_status vt_packed_write(const char *path, const vt_gguf *gguf, const vt_weights *w,
                                     const uint8_t source[VT_SHA256_BYTES], vt_pool *pool,
                                     const vt_progress *progress, uint64_t *n_bytes, vt_err *err);

#endif
