/* gguf.h -- the GGUF container (v2 and v3, little-endian, single and split): metadata and where
 * each tensor lies. Source: ggml:docs/gguf.md. Reads headers only; tensor bytes are read by whoever
 * wants them, at (fd, offset).
 *
 * Every count, size, offset, type, alignment and string is checked against the real length of its
 * file before it is used; nothing larger than the file justifies is allocated. A broken file is
 * VT_EINPUT with what, where and the byte offset ("model.gguf: tensor 'blk.0.ffn_up.weight' ends at
 * 123456, past the file's end at 120000 (offset 4711)").
 *
 * Ownership  slices and tensors are borrowed from the vt_gguf and valid until vt_gguf_close.
 * Threads    read-only after open: safe. */
#ifndef VT_MODEL_GGUF_H
#define VT_MODEL_GGUF_H

#include "base/error.h"
#include "base/slice.h"

#include <stdint.h>

typedef struct vt_gguf vt_gguf;
struct vt_packed;

typedef enum {
    VT_GGUF_U8,
    VT_GGUF_I8,
    VT_GGUF_U16,
    VT_GGUF_I16,
    VT_GGUF_U32,
    VT_GGUF_I32,
    VT_GGUF_F32,
    VT_GGUF_BOOL,
    VT_GGUF_STRING,
    VT_GGUF_ARRAY,
    VT_GGUF_U64,
    VT_GGUF_I64,
    VT_GGUF_F64,
} vt_gguf_type; /* the values are the file's */

enum { VT_GGUF_MAX_DIMS = 4 };

typedef struct {
    vt_slice name;
    uint32_t n_dims; /* 1 to 4 */
    uint64_t
        dims[VT_GGUF_MAX_DIMS]; /* dims[0] is the contiguous one (columns); unused ones are 1 */
    uint32_t format_id;         /* ggml type id; may be one that kernels/format.h does not know */
    uint64_t offset;            /* absolute, in bytes, in file i_file */
    uint64_t n_bytes;           /* 0 when the format is unknown to us */
    uint32_t i_file;
} vt_gguf_tensor;

typedef struct {
    vt_slice key;
    vt_gguf_type type;
    vt_gguf_type element_type; /* of an array */
    uint64_t count;            /* of an array; 1 otherwise */
    const void *impl;          /* use the getters below */
} vt_gguf_entry;

/* Open a file; a packed one (packed.h) too: its keys are the source's, its tensors those of its
 * table, with the places and bytes that they have there. For one of a split
 * ("name-00001-of-00003.gguf", or metadata split.count) open them all, whichever of them was named,
 * and check that they belong together. */
VT_MUSTUSE vt_status vt_gguf_open(const char *path, vt_gguf **out, vt_err *err);
void vt_gguf_close(vt_gguf *g);
/* The packed file that this is the header of; NULL for a GGUF file. */
const struct vt_packed *vt_gguf_packed(const vt_gguf *g);

/* Parse a header from memory as if the file had file_size bytes (for fuzzing and tests; fd is -1).
 */
VT_MUSTUSE vt_status vt_gguf_parse(vt_slice bytes, uint64_t file_size, vt_gguf **out, vt_err *err);

uint32_t vt_gguf_n_files(const vt_gguf *g);
int vt_gguf_fd(const vt_gguf *g, uint32_t i_file);
uint64_t vt_gguf_file_size(const vt_gguf *g, uint32_t i_file);
const char *vt_gguf_path(const vt_gguf *g, uint32_t i_file);
uint32_t vt_gguf_version(const vt_gguf *g);

size_t vt_gguf_n_tensors(const vt_gguf *g);
const vt_gguf_tensor *vt_gguf_tensor_at(const vt_gguf *g, size_t i);
const vt_gguf_tensor *vt_gguf_find_tensor(const vt_gguf *g,
                                          vt_slice name); /* NULL when absent; O(1) */

size_t vt_gguf_n_entries(const vt_gguf *g);
const vt_gguf_entry *vt_gguf_entry_at(const vt_gguf *g, size_t i);
vt_slice vt_gguf_entries_bytes(const vt_gguf *g); /* all of them, as they stand in the file */
const vt_gguf_entry *vt_gguf_find(const vt_gguf *g, vt_slice key); /* NULL when absent; O(1) */

/* Getters: false when the key is absent or of another type. Integers of any width that fit are
 * accepted. */
bool vt_gguf_get_u64(const vt_gguf *g, vt_slice key, uint64_t *out);
bool vt_gguf_get_i64(const vt_gguf *g, vt_slice key, int64_t *out);
bool vt_gguf_get_f64(const vt_gguf *g, vt_slice key, double *out); /* F32, F64 and integers */
bool vt_gguf_get_bool(const vt_gguf *g, vt_slice key, bool *out);
bool vt_gguf_get_string(const vt_gguf *g, vt_slice key, vt_slice *out);

/* Element i of an array entry (i < count). */
bool vt_gguf_array_u64(const vt_gguf_entry *e, uint64_t i, uint64_t *out);
bool vt_gguf_array_i64(const vt_gguf_entry *e, uint64_t i, int64_t *out);
bool vt_gguf_array_f64(const vt_gguf_entry *e, uint64_t i, double *out);
bool vt_gguf_array_string(const vt_gguf_entry *e, uint64_t i, vt_slice *out); /* O(1) */

#endif
