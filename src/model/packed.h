/* packed.h -- a model in its packed form: one file whose weights lie as the kernels read them, to
 * be mapped instead of loaded, shared by all processes that run the model.
 *
 * All numbers are little-endian. Parts follow each other in this order:
 *
 *     at      bytes
 *     0       8       "VETROPAK"
 *     8       4       version of this format, 1
 *     12      4       version of the tile layout (VT_TILE_LAYOUT, kernels/matrix.h)
 *     16      8       bytes of the whole file
 *     24      8       bytes of the metadata
 *     32      8       bytes of the names
 *     40      8       number of tensors
 *     48      8       where the tiles begin, a multiple of 2 MiB
 *     56      32      SHA-256 of the model that this was made from: its digest everywhere
 *     88      32      SHA-256 of the metadata, the table and the names, from 192 on
 *     120     32      SHA-256 of bytes 0 to 119
 *     152     40      0
 *     192             metadata: a GGUF header that has the source's keys and no tensors
 *                     0 up to a multiple of 8
 *                     table, a row of 96 bytes for each tensor:
 *                         0    4    where its name begins, in the names
 *                         4    4    bytes of its name
 *                         8    4    number format (GGUF's id); vectors are F32, widened
 *                         12   4    number of dims, 1 to 4
 *                         16   32   dims, as GGUF has them; unused ones are 1
 *                         48   8    where its tiles or values begin in the file, a multiple of 64
 *                         56   8    their bytes
 *                         64   32   SHA-256 of these bytes
 *                     names, one after another
 *                     0 up to the tiles
 *                     tiles and vectors, in ascending order, with 0 between and behind them up to
 *                     a multiple of 2 MiB
 *
 * Opening checks everything but the weights' own bytes: the file's length, both checksums, every
 * length and place. The weights have a checksum each; looking at them takes a second for each
 * gigabyte (vt_packed_verify), which is what a start must not take.
 *
 * Why 2 MiB: the kernel maps a file by huge pages where file offset, address and cached pages are
 * aligned to them; reading weights then costs as few TLB misses as from anonymous memory. The
 * writer writes in such pieces, so that the pages are cached that way from the start.
 *
 * A file that is written into or cut off while it is mapped changes or ends (SIGBUS) the processes
 * that run it, as with any mapped program. vetro itself only ever replaces such files by renaming.
 *
 * Ownership  names and metadata are borrowed from the vt_packed and valid until vt_packed_close.
 * Threads    read-only after open: safe.
 * Failure    VT_ECORRUPT damaged, VT_EUNSUPPORTED of another version, VT_EINPUT not a packed file
 *            at all. */
#ifndef VT_MODEL_PACKED_H
#define VT_MODEL_PACKED_H

#include "base/buffer.h"
#include "base/hash.h"
#include "base/pool.h"
#include "base/progress.h"
#include "model/gguf.h"

enum {
    VT_PACKED_VERSION = 1,
    VT_PACKED_HEADER = 192,
    VT_PACKED_ROW = 96,
    VT_PACKED_ALIGN = 2 << 20,
};

typedef struct {
    vt_slice name;
    uint32_t format_id;
    uint32_t n_dims;
    uint64_t dims[VT_GGUF_MAX_DIMS];
    uint64_t offset; /* in the file */
    uint64_t n_bytes;
    uint8_t sha256[VT_SHA256_BYTES];
} vt_packed_tensor;

/* The header: what can be said of a file without reading on. */
typedef struct {
    uint64_t n_file_bytes;
    uint64_t n_metadata_bytes;
    uint64_t n_name_bytes;
    uint64_t n_tensors;
    uint64_t tiles_at;
    uint8_t source[VT_SHA256_BYTES];
    uint8_t head_sha256[VT_SHA256_BYTES];
} vt_packed_header;

typedef struct vt_packed {
    char *path;
    int fd;
    char *head; /* everything before the tiles but the padding */
    vt_packed_header header;
    vt_slice metadata;
    vt_packed_tensor *tensors;
} vt_packed;

/* Does the file at `path` begin as a packed one? False when it cannot be read. */
bool vt_packed_is_one(const char *path);

VT_MUSTUSE vt_status vt_packed_open(const char *path, vt_packed **out, vt_err *err);
void vt_packed_close(vt_packed *p);

/* Only the header: its checksum, and that the file has the length it says. */
VT_MUSTUSE vt_status vt_packed_peek(const char *path, vt_packed_header *out, vt_err *err);

/* The head (at least all of it before the tiles' padding) of a file of file_size bytes, from
 * memory; for fuzzing and tests. fd is -1. */
VT_MUSTUSE vt_status vt_packed_parse(vt_slice head, uint64_t file_size, vt_packed **out,
                                     vt_err *err);

/* Read every byte of the weights, from the disk where the system allows it, and compare their
 * checksums: VT_ECORRUPT names a tensor that differs. What is read is cached in huge pages. */
VT_MUSTUSE vt_status vt_packed_verify(const vt_packed *p, vt_pool *pool,
                                      const vt_progress *progress, vt_err *err);

/* Have n bytes of a mapping read from the disk where they are not cached; false, with errno, when
 * they can't be: touching them would end the process. */
bool vt_packed_populate(const void *bytes, size_t n);

/* Where the tiles will begin, and the head itself without padding. `keys` are n_keys GGUF keys as
 * bytes; tensor offsets are those in the file. `tiles_bytes` is a multiple of 2 MiB. */
VT_MUSTUSE vt_status vt_packed_tiles_at(vt_slice keys, const vt_packed_tensor *tensors,
                                        size_t n_tensors, uint64_t *tiles_at, vt_err *err);
VT_MUSTUSE vt_status vt_packed_build_head(vt_slice keys, uint64_t n_keys,
                                          const vt_packed_tensor *tensors, size_t n_tensors,
                                          uint64_t tiles_bytes,
                                          const uint8_t source[VT_SHA256_BYTES], vt_buffer *out,
                                          vt_err *err);

#endif
