/* gguf_file.c -- parse one GGUF header: ggml:docs/gguf.md.
 *
 *     "GGUF"  u32 version  u64 n_tensors  u64 n_entries
 *     n_entries x   string key, u32 type, value
 *     n_tensors x   string name, u32 n_dims, u64 dims[n_dims], u32 format, u64 offset
 *     padding to general.alignment, then the tensors' bytes; offsets count from there
 *     string = u64 length, bytes;  array = u32 element type, u64 count, elements
 *
 * The header's length is stated nowhere, so it is read in steps that double until the parser has
 * what it asks for: memory follows what the file really holds, never what it claims. Reading, not
 * mapping: a file that is cut off while we look at it gives an error, not a signal. As the bytes
 * may move while they grow, names and values are offsets until the end, slices after it. */
#include "model/gguf_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "base/file.h"
#include "base/utf8.h"
#include "kernels/format.h"

enum {
    FIRST_READ = 64 << 10,
    MIN_ALIGNMENT = 8, /* the format's rule */
    MAX_ALIGNMENT = 1 << 20,
    DEFAULT_ALIGNMENT = 32,
    MIN_ENTRY_BYTES = 8 + 1 + 4 + 1,
    MIN_TENSOR_BYTES = 8 + 1 + 4 + 8 + 4 + 8,
};

typedef struct {
    vt__gguf_file *f;
    vt_err *err;
    uint64_t limit; /* the header can't be longer: the file's size, or that of the bytes given */
    size_t pos;
    size_t cap; /* of f->header; f->header_len bytes of it are read */
} reader;

size_t vt__gguf_type_bytes(uint32_t type)
{
    switch (type) {
    case VT_GGUF_U8:
    case VT_GGUF_I8:
    case VT_GGUF_BOOL: return 1;
    case VT_GGUF_U16:
    case VT_GGUF_I16: return 2;
    case VT_GGUF_U32:
    case VT_GGUF_I32:
    case VT_GGUF_F32: return 4;
    case VT_GGUF_U64:
    case VT_GGUF_I64:
    case VT_GGUF_F64: return 8;
    default: return 0;
    }
}

/* ---- messages ---- */

static const char *shown_path(const vt__gguf_file *f)
{
    enum { SHOWN = 140 };
    if (f->path == NULL) return "GGUF header";
    size_t len = strlen(f->path);
    return len <= SHOWN ? f->path : f->path + (len - SHOWN);
}

vt_status vt__gguf_broken(const vt__gguf_file *f, uint64_t offset, vt_err *err, const char *fmt,
                          ...)
{
    char what[240];
    va_list args;
    va_start(args, fmt);
    if (vsnprintf(what, sizeof what, fmt, args) < 0) what[0] = '\0';
    va_end(args);
    return vt_fail(err, VT_EINPUT, "%s: %s (offset %llu)", shown_path(f), what,
                   (unsigned long long)offset);
}

/* For %.*s of a name: enough to know it by. */
static int shown(size_t len)
{
    return len < 80 ? (int)len : 80;
}

static vt_status no_memory(vt_err *err)
{
    return vt_fail(err, VT_ENOMEM, "out of memory for a GGUF header");
}

/* ---- bytes ---- */

/* Make the next n bytes readable at f->header + pos. */
static vt_status need(reader *r, uint64_t n, const char *what)
{
    vt__gguf_file *f = r->f;
    if (n <= f->header_len - r->pos) return VT_OK;
    if (n > r->limit - r->pos)
        return vt__gguf_broken(f, r->pos, r->err, "the file ends at %llu, in the middle of %s",
                               (unsigned long long)r->limit, what);
    if (r->pos + n > VT__GGUF_MAX_HEADER)
        return vt_fail(r->err, VT_ELIMIT, "%s: its header is larger than the limit of %d MiB",
                       shown_path(f), VT__GGUF_MAX_HEADER >> 20);
    uint64_t want = f->header_len < FIRST_READ ? FIRST_READ : 2 * (uint64_t)f->header_len;
    if (want < r->pos + n) want = r->pos + n;
    if (want > r->limit) want = r->limit;
    if (want > r->cap) {
        char *grown = vt_realloc_array(f->header, (size_t)want, 1);
        if (grown == NULL) return no_memory(r->err);
        f->header = grown;
        r->cap = (size_t)want;
    }
    vt_status st = vt_file_pread(f->fd, f->header + f->header_len, (size_t)want - f->header_len,
                                 f->header_len, r->err);
    if (st != VT_OK) return vt_fail_wrap(r->err, st, "%s", shown_path(f));
    f->header_len = (size_t)want;
    return VT_OK;
}

static vt_status take_uint(reader *r, size_t n_bytes, const char *what, uint64_t *out)
{
    vt_status st = need(r, n_bytes, what);
    if (st != VT_OK) return st;
    *out = vt__gguf_load(r->f->header + r->pos, n_bytes);
    r->pos += n_bytes;
    return VT_OK;
}

static vt_status take_u32(reader *r, const char *what, uint32_t *out)
{
    uint64_t v = 0;
    vt_status st = take_uint(r, 4, what, &v);
    if (st == VT_OK) *out = (uint32_t)v;
    return st;
}

/* Step over a string; *at is where its bytes begin. */
static vt_status take_string(reader *r, const char *what, size_t *at, size_t *len)
{
    uint64_t n = 0;
    vt_status st = take_uint(r, 8, what, &n);
    if (st == VT_OK) st = need(r, n, what);
    if (st != VT_OK) return st;
    *at = r->pos;
    *len = (size_t)n;
    r->pos += (size_t)n;
    return VT_OK;
}

bool vt__gguf_is_clean_name(vt_slice s)
{
    while (s.len > 0) {
        uint32_t code = 0;
        bool is_valid = false;
        size_t n = vt_utf8_decode(s, &code, &is_valid);
        if (!is_valid || code < 0x20 || (code >= 0x7f && code < 0xa0)) return false;
        s = vt_slice_skip(s, n);
    }
    return true;
}

static vt_status take_name(reader *r, const char *what, size_t *at, size_t *len)
{
    size_t start = r->pos;
    uint64_t n = 0;
    vt_status st = take_uint(r, 8, what, &n);
    if (st != VT_OK) return st;
    if (n == 0) return vt__gguf_broken(r->f, start, r->err, "%s is empty", what);
    if (n > VT__GGUF_MAX_NAME)
        return vt__gguf_broken(r->f, start, r->err, "%s has a length of %llu bytes; at most %d",
                               what, (unsigned long long)n, VT__GGUF_MAX_NAME);
    st = need(r, n, what);
    if (st != VT_OK) return st;
    if (!vt__gguf_is_clean_name(vt_slice_of(r->f->header + r->pos, (size_t)n)))
        return vt__gguf_broken(r->f, r->pos, r->err,
                               "%s is not plain text (invalid UTF-8 or control characters)", what);
    *at = r->pos;
    *len = (size_t)n;
    r->pos += (size_t)n;
    return VT_OK;
}

/* ---- the index ---- */

static uint32_t hash_name(vt_slice s)
{
    uint64_t h = 0xcbf29ce484222325u; /* FNV-1a, high bits folded in */
    for (size_t i = 0; i < s.len; i++) h = (h ^ (unsigned char)s.ptr[i]) * 0x100000001b3u;
    return (uint32_t)(h ^ (h >> 32));
}

vt_status vt__gguf_index_init(vt__gguf_index *x, size_t n, vt_err *err)
{
    size_t n_slots = 16;
    while (n_slots < 2 * n) n_slots *= 2;
    x->slots = vt_calloc(n_slots, sizeof *x->slots);
    if (x->slots == NULL) return no_memory(err);
    x->n_slots = n_slots;
    return VT_OK;
}

struct vt__gguf_slot *vt__gguf_index_slot(const vt__gguf_index *x, vt_slice name,
                                          vt__gguf_name_fn *name_of, const void *list)
{
    uint32_t hash = hash_name(name);
    size_t i = hash & (x->n_slots - 1);
    for (;; i = (i + 1) & (x->n_slots - 1)) {
        struct vt__gguf_slot *slot = &x->slots[i];
        if (slot->i_plus_1 == 0) return slot;
        if (slot->hash == hash && vt_slice_eq(name_of(list, slot->i_plus_1 - 1), name)) return slot;
    }
}

bool vt__gguf_index_put(vt__gguf_index *x, vt_slice name, size_t i, vt__gguf_name_fn *name_of,
                        const void *list, size_t *i_other)
{
    struct vt__gguf_slot *slot = vt__gguf_index_slot(x, name, name_of, list);
    if (slot->i_plus_1 != 0) {
        *i_other = slot->i_plus_1 - 1;
        return false;
    }
    *slot = (struct vt__gguf_slot){hash_name(name), (uint32_t)i + 1};
    return true;
}

vt_slice vt__gguf_entry_name(const void *entries, size_t i)
{
    return ((const vt_gguf_entry *)entries)[i].key;
}

vt_slice vt__gguf_tensor_name(const void *tensors, size_t i)
{
    return ((const vt_gguf_tensor *)tensors)[i].name;
}

const vt_gguf_entry *vt__gguf_file_find(const vt__gguf_file *f, vt_slice key)
{
    if (f->keys.n_slots == 0) return NULL;
    const struct vt__gguf_slot *slot =
        vt__gguf_index_slot(&f->keys, key, vt__gguf_entry_name, f->entries);
    return slot->i_plus_1 == 0 ? NULL : &f->entries[slot->i_plus_1 - 1];
}

/* ---- what the file is ---- */

/* What people hand us instead of GGUF, by its first bytes. */
static const char *other_kind(const char *p, size_t n, uint64_t file_size)
{
    static const struct {
        const char *magic;
        size_t len;
        const char *kind;
    } kinds[] = {
        {"PK\3\4", 4, "a ZIP archive (a PyTorch checkpoint or an archive to unpack), not GGUF"},
        {"\x1f\x8b", 2, "gzip-compressed; unpack it first"},
        {"\x80\x02", 2, "a Python pickle (a PyTorch checkpoint), not GGUF"},
        {"version https://git-lfs", 23, "a Git LFS pointer, not the model itself; fetch the file"},
        {"<!DOCTYPE", 9, "an HTML page, not a model; the download went wrong"},
        {"<!doctype", 9, "an HTML page, not a model; the download went wrong"},
        {"<html", 5, "an HTML page, not a model; the download went wrong"},
        {"lmgg", 4, "in the old GGML format, from before GGUF; convert the model again"},
        {"fmgg", 4, "in the old GGMF format, from before GGUF; convert the model again"},
        {"tjgg", 4, "in the old GGJT format, from before GGUF; convert the model again"},
    };
    for (size_t i = 0; i < VT_COUNT(kinds); i++)
        if (n >= kinds[i].len && memcmp(p, kinds[i].magic, kinds[i].len) == 0) return kinds[i].kind;
    if (n >= 9 && p[8] == '{' && vt__gguf_load(p, 8) <= file_size)
        return "a safetensors file, not GGUF";
    return "not a GGUF file: it doesn't begin with \"GGUF\"";
}

static vt_status check_version(reader *r)
{
    vt__gguf_file *f = r->f;
    uint32_t version = 0;
    size_t at = r->pos;
    vt_status st = take_u32(r, "the version", &version);
    if (st != VT_OK) return st;
    f->version = version;
    if (version == 2 || version == 3) return VT_OK;
    if (version == 1)
        return vt__gguf_broken(f, at, r->err,
                               "GGUF version 1, which was soon withdrawn; convert the model again");
    if (version != 0 && (version & 0xffffu) == 0)
        return vt__gguf_broken(f, at, r->err,
                               "a big-endian GGUF file; only little-endian ones are supported");
    return vt__gguf_broken(f, at, r->err, "GGUF version %u; versions 2 and 3 are supported",
                           version);
}

/* r is after the counts; the one at `at` is of things of at least min_bytes each. */
static vt_status check_count(const reader *r, uint64_t at, uint64_t count, uint64_t min_bytes,
                             const char *what)
{
    if (count > (r->limit - r->pos) / min_bytes)
        return vt__gguf_broken(r->f, at, r->err, "%llu %s, which %llu bytes can't hold",
                               (unsigned long long)count, what, (unsigned long long)r->limit);
    if (count > VT__GGUF_MAX_LIST)
        return vt_fail(r->err, VT_ELIMIT, "%s: %llu %s; at most %d", shown_path(r->f),
                       (unsigned long long)count, what, VT__GGUF_MAX_LIST);
    return VT_OK;
}

static vt_status read_start(reader *r, uint64_t *n_tensors, uint64_t *n_entries)
{
    vt__gguf_file *f = r->f;
    if (r->limit == 0) return vt_fail(r->err, VT_EINPUT, "%s: the file is empty", shown_path(f));
    uint64_t n = r->limit < 32 ? r->limit : 32;
    vt_status st = need(r, n, "the magic");
    if (st != VT_OK) return st;
    if (n < 4 || memcmp(f->header, "GGUF", 4) != 0)
        return vt_fail(r->err, VT_EINPUT, "%s: the file is %s", shown_path(f),
                       other_kind(f->header, (size_t)n, f->size));
    r->pos = 4;
    st = check_version(r);
    if (st == VT_OK) st = take_uint(r, 8, "the number of tensors", n_tensors);
    if (st == VT_OK) st = take_uint(r, 8, "the number of keys", n_entries);
    if (st != VT_OK) return st;
    st = check_count(r, 8, *n_tensors, MIN_TENSOR_BYTES, "tensors");
    if (st == VT_OK) st = check_count(r, 16, *n_entries, MIN_ENTRY_BYTES, "keys");
    return st;
}

/* ---- metadata ---- */

static vt_status check_bools(reader *r, uint64_t n)
{
    const char *p = r->f->header + r->pos;
    for (uint64_t i = 0; i < n; i++)
        if ((unsigned char)p[i] > 1)
            return vt__gguf_broken(r->f, r->pos + i, r->err, "a boolean is %u, not 0 or 1",
                                   (unsigned char)p[i]);
    return VT_OK;
}

static vt_status skip_scalars(reader *r, uint32_t type, uint64_t count)
{
    uint64_t n = 0;
    size_t size = vt__gguf_type_bytes(type);
    if (!vt_mul_u64(count, size, &n)) n = UINT64_MAX;
    vt_status st = need(r, n, "a value");
    if (st == VT_OK && type == VT_GGUF_BOOL) st = check_bools(r, n);
    if (st == VT_OK) r->pos += (size_t)n;
    return st;
}

static vt_status skip_strings(reader *r, uint64_t count, vt__gguf_value *value)
{
    size_t at;
    size_t len;
    uint64_t room = r->limit < VT__GGUF_MAX_HEADER ? r->limit : VT__GGUF_MAX_HEADER;
    if (count > (room - r->pos) / 8)
        return vt__gguf_broken(r->f, r->pos - 8, r->err,
                               "an array of %llu strings, more than the file can hold",
                               (unsigned long long)count);
    value->string_at = vt_alloc((size_t)count * sizeof *value->string_at);
    if (value->string_at == NULL) return no_memory(r->err);
    for (uint64_t i = 0; i < count; i++) {
        value->string_at[i] = r->pos - value->at;
        vt_status st = take_string(r, "a string of an array", &at, &len);
        if (st != VT_OK) return st;
    }
    return VT_OK;
}

static vt_status read_array(reader *r, vt_gguf_entry *e, vt__gguf_value *value)
{
    uint32_t type = 0;
    uint64_t count = 0;
    size_t start = r->pos;
    vt_status st = take_u32(r, "an array's type", &type);
    if (st == VT_OK) st = take_uint(r, 8, "an array's length", &count);
    if (st != VT_OK) return st;
    if (type == VT_GGUF_ARRAY)
        return vt__gguf_broken(r->f, start, r->err, "an array of arrays; they are not supported");
    if (type != VT_GGUF_STRING && vt__gguf_type_bytes(type) == 0)
        return vt__gguf_broken(r->f, start, r->err, "an array of the unknown type %u", type);
    e->element_type = (vt_gguf_type)type;
    e->count = count;
    value->at = r->pos;
    return type == VT_GGUF_STRING ? skip_strings(r, count, value) : skip_scalars(r, type, count);
}

/* e and value are zeroed and already on their lists, so what is allocated here is released with
 * them. */
static vt_status read_entry(reader *r, vt_gguf_entry *e, vt__gguf_value *value)
{
    uint32_t type = 0;
    size_t at = 0;
    size_t len = 0;
    vt_status st = take_name(r, "a key", &value->key_at, &e->key.len);
    if (st != VT_OK) return st;
    size_t type_at = r->pos;
    st = take_u32(r, "a value's type", &type);
    if (st != VT_OK) return st;
    e->type = (vt_gguf_type)type;
    e->element_type = e->type;
    e->count = 1;
    value->at = r->pos;
    if (type == VT_GGUF_ARRAY) st = read_array(r, e, value);
    else if (type == VT_GGUF_STRING) st = take_string(r, "a string", &at, &len);
    else if (vt__gguf_type_bytes(type) != 0) st = skip_scalars(r, type, 1);
    else
        st = vt__gguf_broken(r->f, type_at, r->err, "key '%.*s' has the unknown type %u",
                             shown(e->key.len), r->f->header + value->key_at, type);
    return st;
}

static vt_status read_entries(reader *r, uint64_t n)
{
    vt__gguf_file *f = r->f;
    void *entries = NULL;
    void *values = NULL;
    size_t cap_entries = 0;
    size_t cap_values = 0;
    for (size_t i = 0; i < n; i++) {
        bool has_room =
            vt_grow(&entries, &cap_entries, i + 1, sizeof *f->entries, VT__GGUF_MAX_LIST) &&
            vt_grow(&values, &cap_values, i + 1, sizeof *f->values, VT__GGUF_MAX_LIST);
        f->entries = entries;
        f->values = values;
        if (!has_room) return no_memory(r->err);
        f->entries[i] = (vt_gguf_entry){0};
        f->values[i] = (vt__gguf_value){0};
        f->n_entries = i + 1;
        vt_status st = read_entry(r, &f->entries[i], &f->values[i]);
        if (st != VT_OK) return st;
    }
    return VT_OK;
}

/* ---- tensors ---- */

static vt_status read_dims(reader *r, vt_gguf_tensor *t, size_t name_at)
{
    size_t start = r->pos;
    vt_status st = take_u32(r, "a tensor's shape", &t->n_dims);
    if (st != VT_OK) return st;
    if (t->n_dims < 1 || t->n_dims > VT_GGUF_MAX_DIMS)
        return vt__gguf_broken(r->f, start, r->err, "tensor '%.*s' has %u dimensions, not 1 to %d",
                               shown(t->name.len), r->f->header + name_at, t->n_dims,
                               VT_GGUF_MAX_DIMS);
    for (size_t d = 0; d < VT_GGUF_MAX_DIMS; d++) t->dims[d] = 1;
    for (size_t d = 0; d < t->n_dims; d++) {
        st = take_uint(r, 8, "a tensor's shape", &t->dims[d]);
        if (st != VT_OK) return st;
    }
    return VT_OK;
}

/* dims and format_id to n_bytes (0 for a format that is not ours). */
static vt_status size_tensor(const reader *r, vt_gguf_tensor *t, size_t at, const char *name)
{
    const vt_format_info *format = vt_format_by_id(t->format_id);
    uint64_t n_weights = 1;
    for (size_t d = 0; d < t->n_dims; d++)
        if (t->dims[d] == 0)
            return vt__gguf_broken(r->f, at, r->err, "tensor '%.*s' has a dimension of 0",
                                   shown(t->name.len), name);
    for (size_t d = 0; d < t->n_dims; d++)
        if (!vt_mul_u64(n_weights, t->dims[d], &n_weights))
            return vt__gguf_broken(r->f, at, r->err, "tensor '%.*s' has over 2^64 weights",
                                   shown(t->name.len), name);
    if (format == NULL) return VT_OK;
    if (t->dims[0] % format->block_len != 0)
        return vt__gguf_broken(r->f, at, r->err,
                               "tensor '%.*s' has rows of %llu weights, not in blocks of %u (%s)",
                               shown(t->name.len), name, (unsigned long long)t->dims[0],
                               format->block_len, format->name);
    if (!vt_mul_u64(n_weights / format->block_len, format->block_bytes, &t->n_bytes))
        return vt__gguf_broken(r->f, at, r->err, "tensor '%.*s' has over 2^64 bytes",
                               shown(t->name.len), name);
    return VT_OK;
}

static vt_status read_tensor(reader *r, vt_gguf_tensor *t, size_t *at)
{
    size_t name_at = 0;
    *at = r->pos;
    vt_status st = take_name(r, "a tensor's name", &name_at, &t->name.len);
    if (st == VT_OK) st = read_dims(r, t, name_at);
    if (st == VT_OK) st = take_u32(r, "a tensor's format", &t->format_id);
    if (st == VT_OK) st = take_uint(r, 8, "a tensor's offset", &t->offset);
    if (st == VT_OK) st = size_tensor(r, t, *at, r->f->header + name_at);
    return st;
}

static vt_status read_tensors(reader *r, uint64_t n)
{
    vt__gguf_file *f = r->f;
    void *tensors = NULL;
    void *at = NULL;
    size_t cap_tensors = 0;
    size_t cap_at = 0;
    for (size_t i = 0; i < n; i++) {
        bool has_room =
            vt_grow(&tensors, &cap_tensors, i + 1, sizeof *f->tensors, VT__GGUF_MAX_LIST) &&
            vt_grow(&at, &cap_at, i + 1, sizeof *f->tensor_at, VT__GGUF_MAX_LIST);
        f->tensors = tensors;
        f->tensor_at = at;
        if (!has_room) return no_memory(r->err);
        f->tensors[i] = (vt_gguf_tensor){0};
        f->n_tensors = i + 1;
        vt_status st = read_tensor(r, &f->tensors[i], &f->tensor_at[i]);
        if (st != VT_OK) return st;
    }
    return VT_OK;
}

/* ---- the whole: names, places ---- */

/* The header has its final address: give keys, values and tensor names theirs, and index the
 * keys. */
static vt_status finish_names(reader *r)
{
    vt__gguf_file *f = r->f;
    char *shrunk = vt_realloc_array(f->header, r->pos, 1);
    if (shrunk == NULL) return no_memory(r->err);
    f->header = shrunk;
    f->header_len = r->pos;
    for (size_t i = 0; i < f->n_tensors; i++)
        f->tensors[i].name.ptr = f->header + f->tensor_at[i] + 8;
    vt_status st = vt__gguf_index_init(&f->keys, f->n_entries, r->err);
    if (st != VT_OK) return st;
    for (size_t i = 0; i < f->n_entries; i++) {
        size_t i_other = 0;
        vt_gguf_entry *e = &f->entries[i];
        e->key.ptr = f->header + f->values[i].key_at;
        e->impl = &f->values[i];
        f->values[i].data = f->header + f->values[i].at;
        if (!vt__gguf_index_put(&f->keys, e->key, i, vt__gguf_entry_name, f->entries, &i_other))
            return vt__gguf_broken(f, f->values[i].key_at, r->err, "key '%.*s' is there twice",
                                   shown(e->key.len), e->key.ptr);
    }
    return VT_OK;
}

static vt_status read_alignment(reader *r)
{
    vt__gguf_file *f = r->f;
    const vt_gguf_entry *e = vt__gguf_file_find(f, VT_S("general.alignment"));
    f->alignment = DEFAULT_ALIGNMENT;
    if (e == NULL) return VT_OK;
    const vt__gguf_value *value = e->impl;
    if (e->type != VT_GGUF_U32)
        return vt__gguf_broken(f, value->at, r->err, "general.alignment is not a 32-bit number");
    uint64_t a = vt__gguf_load(value->data, 4);
    if (a < MIN_ALIGNMENT || a > MAX_ALIGNMENT || (a & (a - 1)) != 0)
        return vt__gguf_broken(f, value->at, r->err,
                               "general.alignment is %llu, not a power of two from %d to %d",
                               (unsigned long long)a, MIN_ALIGNMENT, MAX_ALIGNMENT);
    f->alignment = a;
    return VT_OK;
}

static int by_offset(const void *a, const void *b)
{
    const vt_gguf_tensor *x = *(const vt_gguf_tensor *const *)a;
    const vt_gguf_tensor *y = *(const vt_gguf_tensor *const *)b;
    if (x->offset != y->offset) return x->offset < y->offset ? -1 : 1;
    return (x->n_bytes > y->n_bytes) - (x->n_bytes < y->n_bytes);
}

static vt_status check_overlaps(reader *r)
{
    const vt__gguf_file *f = r->f;
    vt_status st = VT_OK;
    const vt_gguf_tensor **sorted = vt_alloc(f->n_tensors * sizeof(const vt_gguf_tensor *));
    if (sorted == NULL) return no_memory(r->err);
    for (size_t i = 0; i < f->n_tensors; i++) sorted[i] = &f->tensors[i];
    qsort(sorted, f->n_tensors, sizeof(const vt_gguf_tensor *), by_offset);
    for (size_t i = 1; i < f->n_tensors && st == VT_OK; i++) {
        const vt_gguf_tensor *a = sorted[i - 1];
        const vt_gguf_tensor *b = sorted[i];
        if (b->offset < a->offset + a->n_bytes) /* no overflow: both are inside the file */
            st = vt__gguf_broken(f, f->tensor_at[b - f->tensors], r->err,
                                 "tensors '%.*s' and '%.*s' overlap at %llu", shown(a->name.len),
                                 a->name.ptr, shown(b->name.len), b->name.ptr,
                                 (unsigned long long)b->offset);
    }
    vt_free(sorted);
    return st;
}

static vt_status place_tensors(reader *r)
{
    vt__gguf_file *f = r->f;
    uint64_t data_at = 0;
    if (!vt_align_u64(r->pos, f->alignment, &data_at)) data_at = UINT64_MAX;
    for (size_t i = 0; i < f->n_tensors; i++) {
        vt_gguf_tensor *t = &f->tensors[i];
        uint64_t end = 0;
        if (t->offset % f->alignment != 0)
            return vt__gguf_broken(f, f->tensor_at[i], r->err,
                                   "tensor '%.*s' begins at %llu, no multiple of the alignment %u",
                                   shown(t->name.len), t->name.ptr, (unsigned long long)t->offset,
                                   (unsigned)f->alignment);
        if (!vt_add_u64(data_at, t->offset, &t->offset) || !vt_add_u64(t->offset, t->n_bytes, &end))
            end = UINT64_MAX;
        if (end > f->size)
            return vt__gguf_broken(f, f->tensor_at[i], r->err,
                                   "tensor '%.*s' ends at %llu, past the file's end at %llu",
                                   shown(t->name.len), t->name.ptr, (unsigned long long)end,
                                   (unsigned long long)f->size);
    }
    return check_overlaps(r);
}

static vt_status read_header(reader *r)
{
    uint64_t n_tensors = 0;
    uint64_t n_entries = 0;
    vt_status st = read_start(r, &n_tensors, &n_entries);
    if (st == VT_OK) st = read_entries(r, n_entries);
    if (st == VT_OK) st = read_tensors(r, n_tensors);
    if (st == VT_OK) st = finish_names(r);
    if (st == VT_OK) st = read_alignment(r);
    if (st == VT_OK) st = place_tensors(r);
    return st;
}

vt_status vt__gguf_file_open(const char *path, vt__gguf_file *f, vt_err *err)
{
    struct stat info;
    *f = (vt__gguf_file){.fd = -1};
    f->path = vt_strdup(vt_slice_cstr(path));
    if (f->path == NULL) return no_memory(err);
    /* O_NONBLOCK: opening a named pipe must not wait for a writer; files don't mind. */
    f->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (f->fd < 0)
        return vt_fail_errno(err, errno == ENOENT ? VT_ENOTFOUND : VT_EIO, "cannot open %s",
                             shown_path(f));
    if (fstat(f->fd, &info) != 0)
        return vt_fail_errno(err, VT_EIO, "cannot look at %s", shown_path(f));
    if (S_ISDIR(info.st_mode))
        return vt_fail(err, VT_EINPUT, "%s is a directory, not a GGUF file", shown_path(f));
    if (!S_ISREG(info.st_mode))
        return vt_fail(err, VT_EINPUT, "%s is not a regular file", shown_path(f));
    f->size = (uint64_t)info.st_size;
    reader r = {.f = f, .err = err, .limit = f->size};
    return read_header(&r);
}

vt_status vt__gguf_file_parse(vt_slice bytes, uint64_t file_size, vt__gguf_file *f, vt_err *err)
{
    *f = (vt__gguf_file){.fd = -1, .size = file_size, .header_len = bytes.len};
    f->header = vt_alloc(bytes.len);
    if (f->header == NULL) return no_memory(err);
    if (bytes.len > 0) memcpy(f->header, bytes.ptr, bytes.len);
    reader r = {.f = f, .err = err, .limit = bytes.len, .cap = bytes.len};
    return read_header(&r);
}

void vt__gguf_file_deinit(vt__gguf_file *f)
{
    for (size_t i = 0; i < f->n_entries; i++) vt_free(f->values[i].string_at);
    vt_free(f->entries);
    vt_free(f->values);
    vt_free(f->keys.slots);
    vt_free(f->tensors);
    vt_free(f->tensor_at);
    vt_free(f->header);
    if (f->path != NULL && f->fd >= 0) close(f->fd); /* fd of a zeroed one is not ours */
    vt_free(f->path);
    *f = (vt__gguf_file){.fd = -1};
}
