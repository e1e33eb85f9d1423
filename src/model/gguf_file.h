/* gguf_file.h -- one GGUF file's header in memory: what gguf.c is made of. Private to
 * model/gguf*.c.
 *
 * Ownership  vt__gguf_file owns its descriptor, path, header bytes and lists; deinit releases all
 * of it and may be called on a zeroed one.
 * Failure    vt__gguf_file_open and _parse leave `f` such that deinit releases it. */
#ifndef VT_MODEL_GGUF_FILE_H
#define VT_MODEL_GGUF_FILE_H

#include "model/gguf.h"

enum {
    VT__GGUF_MAX_HEADER = 256 << 20, /* bytes; a 200,000-token vocabulary with merges takes 13 MB */
    VT__GGUF_MAX_NAME = 65535,       /* bytes of a key (the format's rule) or tensor name */
    VT__GGUF_MAX_LIST = 65536,       /* keys, and tensors, of a model */
    VT__GGUF_MAX_PARTS = 512,
};

/* Name -> index, open addressing. Holds no names: the caller compares. */
typedef struct {
    struct vt__gguf_slot {
        uint32_t hash;
        uint32_t i_plus_1; /* 0: empty */
    } *slots;
    size_t n_slots; /* a power of two, or 0 */
} vt__gguf_index;

/* Where an entry's value lies; vt_gguf_entry.impl. */
typedef struct {
    size_t key_at;       /* offset of the key's bytes in the header */
    size_t at;           /* of the value */
    const char *data;    /* the value, once the header has its final address */
    uint64_t *string_at; /* array of strings: where each begins (its length), from data */
} vt__gguf_value;

typedef struct {
    char *path; /* NULL: from memory */
    int fd;     /* -1: from memory */
    uint64_t size;
    uint32_t version;
    uint64_t alignment;
    char *header;
    size_t header_len;
    vt_gguf_entry *entries;
    vt__gguf_value *values; /* beside entries */
    size_t n_entries;
    vt__gguf_index keys;
    vt_gguf_tensor *tensors; /* in the file's order */
    size_t *tensor_at;       /* offset of each one's description, for messages */
    size_t n_tensors;
} vt__gguf_file;

VT_MUSTUSE vt_status vt__gguf_file_open(const char *path, vt__gguf_file *f, vt_err *err);
VT_MUSTUSE vt_status vt__gguf_file_parse(vt_slice bytes, uint64_t file_size, vt__gguf_file *f,
                                         vt_err *err);
void vt__gguf_file_deinit(vt__gguf_file *f);

/* "model.gguf: what (offset 4711)" with VT_EINPUT. A long path keeps its end. */
vt_status vt__gguf_broken(const vt__gguf_file *f, uint64_t offset, vt_err *err, const char *fmt,
                          ...) VT_PRINTF(4, 5);

/* An index for n names, at half load or less. */
VT_MUSTUSE vt_status vt__gguf_index_init(vt__gguf_index *x, size_t n, vt_err *err);
/* The slot that holds `name`, or the empty one where it belongs. name_of(list, i) gives names. */
typedef vt_slice vt__gguf_name_fn(const void *list, size_t i);
struct vt__gguf_slot *vt__gguf_index_slot(const vt__gguf_index *x, vt_slice name,
                                          vt__gguf_name_fn *name_of, const void *list);
/* Put i under `name`; false when the name is there already, *i_other is then its index. */
bool vt__gguf_index_put(vt__gguf_index *x, vt_slice name, size_t i, vt__gguf_name_fn *name_of,
                        const void *list, size_t *i_other);

vt_slice vt__gguf_entry_name(const void *entries, size_t i);
vt_slice vt__gguf_tensor_name(const void *tensors, size_t i);
const vt_gguf_entry *vt__gguf_file_find(const vt__gguf_file *f, vt_slice key);

/* Keys and tensor names end up in messages and on terminals: text without control characters. */
bool vt__gguf_is_clean_name(vt_slice s);

/* Bytes of a scalar of this type in the file; 0 for strings, arrays and unknown types. */
size_t vt__gguf_type_bytes(uint32_t type);
/* n bytes, little-endian; n <= 8. */
static inline uint64_t vt__gguf_load(const char *p, size_t n)
{
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++) v |= (uint64_t)(unsigned char)p[i] << (8 * i);
    return v;
}

#endif
