/* gguf.c -- see gguf.h. One or several parsed files (gguf_file.c) made into one model: the parts
 * of a split found and checked against each other, tensors of all parts under one index, values
 * read in whatever width they were stored.
 *
 * The parts of a split are NAME-00001-of-00003.gguf and so on. Metadata is the first part's; the
 * others' headers hold their tensors and split.no, split.count. */
#include "model/gguf.h"

#include <stdio.h>

#include "base/alloc.h"
#include "model/gguf_file.h"
#include "model/packed.h"

struct vt_gguf {
    vt__gguf_file *files;
    uint32_t n_files;
    vt_gguf_tensor *tensors; /* of all files */
    size_t n_tensors;
    vt__gguf_index names;
    vt_packed *packed; /* NULL: a GGUF file */
};

static vt_status no_memory(vt_err *err)
{
    return vt_fail(err, VT_ENOMEM, "out of memory for GGUF metadata");
}

/* ---- values ---- */

static bool is_signed(vt_gguf_type type)
{
    return type == VT_GGUF_I8 || type == VT_GGUF_I16 || type == VT_GGUF_I32 || type == VT_GGUF_I64;
}

static bool is_unsigned(vt_gguf_type type)
{
    return type == VT_GGUF_U8 || type == VT_GGUF_U16 || type == VT_GGUF_U32 || type == VT_GGUF_U64;
}

static bool load_i64(vt_gguf_type type, const char *p, int64_t *out)
{
    size_t n = vt__gguf_type_bytes(type);
    if (!is_signed(type) && !is_unsigned(type)) return false;
    uint64_t v = vt__gguf_load(p, n);
    if (is_unsigned(type) && v > INT64_MAX) return false;
    if (is_signed(type) && n < 8 && (v >> (8 * n - 1)) != 0) v |= UINT64_MAX << (8 * n);
    *out = (int64_t)v;
    return true;
}

static bool load_u64(vt_gguf_type type, const char *p, uint64_t *out)
{
    int64_t v;
    if (type == VT_GGUF_U64) {
        *out = vt__gguf_load(p, 8);
        return true;
    }
    if (!load_i64(type, p, &v) || v < 0) return false;
    *out = (uint64_t)v;
    return true;
}

static bool load_f64(vt_gguf_type type, const char *p, double *out)
{
    uint64_t u;
    int64_t i;
    if (type == VT_GGUF_F64) {
        u = vt__gguf_load(p, 8);
        memcpy(out, &u, sizeof *out);
        return true;
    }
    if (type == VT_GGUF_F32) {
        uint32_t bits = (uint32_t)vt__gguf_load(p, 4);
        float f;
        memcpy(&f, &bits, sizeof f);
        *out = (double)f;
        return true;
    }
    if (load_u64(type, p, &u)) {
        *out = (double)u;
        return true;
    }
    if (!load_i64(type, p, &i)) return false;
    *out = (double)i;
    return true;
}

static const char *data_of(const vt_gguf_entry *e)
{
    return ((const vt__gguf_value *)e->impl)->data;
}

bool vt_gguf_get_u64(const vt_gguf *g, vt_slice key, uint64_t *out)
{
    const vt_gguf_entry *e = vt_gguf_find(g, key);
    return e != NULL && load_u64(e->type, data_of(e), out);
}

bool vt_gguf_get_i64(const vt_gguf *g, vt_slice key, int64_t *out)
{
    const vt_gguf_entry *e = vt_gguf_find(g, key);
    return e != NULL && load_i64(e->type, data_of(e), out);
}

bool vt_gguf_get_f64(const vt_gguf *g, vt_slice key, double *out)
{
    const vt_gguf_entry *e = vt_gguf_find(g, key);
    return e != NULL && load_f64(e->type, data_of(e), out);
}

bool vt_gguf_get_bool(const vt_gguf *g, vt_slice key, bool *out)
{
    const vt_gguf_entry *e = vt_gguf_find(g, key);
    if (e == NULL || e->type != VT_GGUF_BOOL) return false;
    *out = data_of(e)[0] != 0;
    return true;
}

bool vt_gguf_get_string(const vt_gguf *g, vt_slice key, vt_slice *out)
{
    const vt_gguf_entry *e = vt_gguf_find(g, key);
    if (e == NULL || e->type != VT_GGUF_STRING) return false;
    *out = vt_slice_of(data_of(e) + 8, (size_t)vt__gguf_load(data_of(e), 8));
    return true;
}

/* Where scalar element i of an array is; NULL when e is none or i is past its end. */
static const char *element(const vt_gguf_entry *e, uint64_t i)
{
    if (e->type != VT_GGUF_ARRAY || i >= e->count) return NULL;
    return data_of(e) + i * vt__gguf_type_bytes(e->element_type);
}

bool vt_gguf_array_u64(const vt_gguf_entry *e, uint64_t i, uint64_t *out)
{
    const char *p = element(e, i);
    return p != NULL && load_u64(e->element_type, p, out);
}

bool vt_gguf_array_i64(const vt_gguf_entry *e, uint64_t i, int64_t *out)
{
    const char *p = element(e, i);
    return p != NULL && load_i64(e->element_type, p, out);
}

bool vt_gguf_array_f64(const vt_gguf_entry *e, uint64_t i, double *out)
{
    const char *p = element(e, i);
    return p != NULL && load_f64(e->element_type, p, out);
}

bool vt_gguf_array_string(const vt_gguf_entry *e, uint64_t i, vt_slice *out)
{
    const vt__gguf_value *value = e->impl;
    if (e->type != VT_GGUF_ARRAY || e->element_type != VT_GGUF_STRING || i >= e->count)
        return false;
    const char *p = value->data + value->string_at[i];
    *out = vt_slice_of(p + 8, (size_t)vt__gguf_load(p, 8));
    return true;
}

/* ---- lists and lookups ---- */

uint32_t vt_gguf_n_files(const vt_gguf *g)
{
    return g->n_files;
}

int vt_gguf_fd(const vt_gguf *g, uint32_t i_file)
{
    return g->files[i_file].fd;
}

uint64_t vt_gguf_file_size(const vt_gguf *g, uint32_t i_file)
{
    return g->files[i_file].size;
}

const char *vt_gguf_path(const vt_gguf *g, uint32_t i_file)
{
    return g->files[i_file].path != NULL ? g->files[i_file].path : "(memory)";
}

uint32_t vt_gguf_version(const vt_gguf *g)
{
    return g->files[0].version;
}

size_t vt_gguf_n_tensors(const vt_gguf *g)
{
    return g->n_tensors;
}

const vt_gguf_tensor *vt_gguf_tensor_at(const vt_gguf *g, size_t i)
{
    return &g->tensors[i];
}

const vt_gguf_tensor *vt_gguf_find_tensor(const vt_gguf *g, vt_slice name)
{
    const struct vt__gguf_slot *slot =
        vt__gguf_index_slot(&g->names, name, vt__gguf_tensor_name, g->tensors);
    return slot->i_plus_1 == 0 ? NULL : &g->tensors[slot->i_plus_1 - 1];
}

size_t vt_gguf_n_entries(const vt_gguf *g)
{
    return g->files[0].n_entries;
}

const vt_gguf_entry *vt_gguf_entry_at(const vt_gguf *g, size_t i)
{
    return &g->files[0].entries[i];
}

vt_slice vt_gguf_entries_bytes(const vt_gguf *g)
{
    enum { START = 4 + 4 + 8 + 8 };
    const vt__gguf_file *f = &g->files[0];
    size_t end = f->n_tensors > 0 ? f->tensor_at[0] : f->header_len;
    return vt_slice_of(f->header + START, end - START);
}

const vt_packed *vt_gguf_packed(const vt_gguf *g)
{
    return g->packed;
}

const vt_gguf_entry *vt_gguf_find(const vt_gguf *g, vt_slice key)
{
    return vt__gguf_file_find(&g->files[0], key);
}

/* ---- several parts, one model ---- */

/* All files are parsed: gather their tensors and index the names. */
static vt_status join_tensors(vt_gguf *g, vt_err *err)
{
    size_t n = 0;
    for (uint32_t i = 0; i < g->n_files; i++) n += g->files[i].n_tensors;
    if (n > VT__GGUF_MAX_LIST)
        return vt_fail(err, VT_ELIMIT, "%s and its parts have %zu tensors; at most %d",
                       vt_gguf_path(g, 0), n, VT__GGUF_MAX_LIST);
    g->tensors = vt_alloc(n * sizeof *g->tensors);
    if (g->tensors == NULL) return no_memory(err);
    vt_status st = vt__gguf_index_init(&g->names, n, err);
    if (st != VT_OK) return st;
    for (uint32_t i_file = 0; i_file < g->n_files; i_file++) {
        const vt__gguf_file *f = &g->files[i_file];
        for (size_t i = 0; i < f->n_tensors; i++) {
            size_t i_other = 0;
            vt_gguf_tensor *t = &g->tensors[g->n_tensors];
            *t = f->tensors[i];
            t->i_file = i_file;
            if (!vt__gguf_index_put(&g->names, t->name, g->n_tensors, vt__gguf_tensor_name,
                                    g->tensors, &i_other))
                return vt__gguf_broken(f, f->tensor_at[i], err, "tensor '%.*s' is there twice",
                                       t->name.len < 80 ? (int)t->name.len : 80, t->name.ptr);
            g->n_tensors++;
        }
    }
    return VT_OK;
}

static bool get_split(const vt__gguf_file *f, vt_slice key, uint64_t *out)
{
    const vt_gguf_entry *e = vt__gguf_file_find(f, key);
    return e != NULL && load_u64(e->type, data_of(e), out);
}

enum { SPLIT_SUFFIX = sizeof("-00001-of-00003.gguf") - 1 };

static void split_suffix(uint32_t no, uint32_t count, char out[SPLIT_SUFFIX + 1])
{
    snprintf(out, SPLIT_SUFFIX + 1, "-%05u-of-%05u.gguf", (no + 1) % 100000, count % 100000);
}

/* Is `f` the part that it should be? */
static vt_status check_part(const vt__gguf_file *f, uint32_t no, uint32_t count, vt_err *err)
{
    uint64_t its_no = 0;
    uint64_t its_count = 0;
    if (!get_split(f, VT_S("split.no"), &its_no) ||
        !get_split(f, VT_S("split.count"), &its_count) || its_no != no || its_count != count)
        return vt_fail(err, VT_EINPUT,
                       "%s: should be part %u of %u of a split model, but its split.no and "
                       "split.count don't say so",
                       f->path, no + 1, count);
    return VT_OK;
}

static vt_status check_split_total(const vt_gguf *g, vt_err *err)
{
    uint64_t want = 0;
    uint64_t n = 0;
    for (uint32_t i = 0; i < g->n_files; i++) n += g->files[i].n_tensors;
    if (!get_split(&g->files[0], VT_S("split.tensors.count"), &want) || want == n) return VT_OK;
    return vt_fail(err, VT_EINPUT,
                   "%s: split.tensors.count is %llu, but its %u parts have %llu tensors",
                   vt_gguf_path(g, 0), (unsigned long long)want, g->n_files, (unsigned long long)n);
}

static vt_status open_part(const vt__gguf_file *named, uint32_t no, uint32_t count,
                           vt__gguf_file *out, vt_err *err)
{
    size_t len = strlen(named->path);
    char *path = vt_strdup(vt_slice_of(named->path, len));
    if (path == NULL) return no_memory(err);
    split_suffix(no, count, path + (len - SPLIT_SUFFIX));
    vt_status st = vt__gguf_file_open(path, out, err);
    if (st != VT_OK) st = vt_fail_wrap(err, st, "part %u of %u of a split model", no + 1, count);
    else st = check_part(out, no, count, err);
    vt_free(path);
    return st;
}

/* g->files[0] is the file that was named, part `no` of `count`: open the others around it. */
static vt_status open_parts(vt_gguf *g, uint64_t no, uint64_t count, vt_err *err)
{
    char suffix[SPLIT_SUFFIX + 1];
    vt__gguf_file named = g->files[0];
    vt_slice path = vt_slice_cstr(named.path);
    if (count > VT__GGUF_MAX_PARTS || no >= count)
        return vt_fail(err, VT_EINPUT, "%s: it is part %llu of %llu of a split model; at most %d",
                       named.path, (unsigned long long)no + 1, (unsigned long long)count,
                       VT__GGUF_MAX_PARTS);
    split_suffix((uint32_t)no, (uint32_t)count, suffix);
    if (!vt_slice_ends(path, vt_slice_cstr(suffix)))
        return vt_fail(err, VT_EINPUT,
                       "%s: it is part %u of %u of a split model; the others can't be found, as "
                       "its name doesn't end in %s",
                       named.path, (unsigned)no + 1, (unsigned)count, suffix);
    vt__gguf_file *files = vt_calloc((size_t)count, sizeof *files);
    if (files == NULL) return no_memory(err);
    vt_free(g->files);
    g->files = files;
    g->n_files = (uint32_t)count;
    g->files[no] = named;
    vt_status st = VT_OK;
    for (uint32_t i = 0; i < count && st == VT_OK; i++)
        if (i != no) st = open_part(&named, i, (uint32_t)count, &g->files[i], err);
    if (st == VT_OK) st = check_split_total(g, err);
    return st;
}

/* A model with room for one file. */
static vt_gguf *new_single(void)
{
    vt_gguf *g = vt_calloc(1, sizeof *g);
    if (g == NULL) return NULL;
    g->files = vt_calloc(1, sizeof *g->files);
    if (g->files == NULL) {
        vt_free(g);
        return NULL;
    }
    g->n_files = 1;
    return g;
}

/* ---- a packed file ---- */

static vt_status list_packed_tensors(vt_gguf *g, vt_err *err)
{
    size_t n = (size_t)g->packed->header.n_tensors;
    g->tensors = vt_alloc(n * sizeof *g->tensors);
    if (g->tensors == NULL) return no_memory(err);
    vt_status st = vt__gguf_index_init(&g->names, n, err);
    if (st != VT_OK) return st;
    for (size_t i = 0; i < n; i++) {
        size_t i_other = 0;
        const vt_packed_tensor *from = &g->packed->tensors[i];
        vt_gguf_tensor *t = &g->tensors[i];
        *t = (vt_gguf_tensor){.name = from->name,
                              .n_dims = from->n_dims,
                              .format_id = from->format_id,
                              .offset = from->offset,
                              .n_bytes = from->n_bytes};
        memcpy(t->dims, from->dims, sizeof t->dims);
        if (!vt__gguf_index_put(&g->names, t->name, i, vt__gguf_tensor_name, g->tensors, &i_other))
            return vt_fail(err, VT_ECORRUPT, "%.200s: tensor '%.*s' is there twice",
                           vt_gguf_path(g, 0), VT_ARG(vt_slice_take(t->name, 80)));
        g->n_tensors++;
    }
    return VT_OK;
}

/* Its one file gets the packed file's descriptor and path. */
static vt_status open_packed(vt_gguf *g, const char *path, vt_err *err)
{
    vt__gguf_file *f = &g->files[0];
    vt_status st = vt_packed_open(path, &g->packed, err);
    if (st != VT_OK) return st;
    uint64_t size = g->packed->header.n_file_bytes;
    st = vt__gguf_file_parse(g->packed->metadata, size, f, err);
    if (st != VT_OK) return vt_fail_wrap(err, VT_ECORRUPT, "%.150s", path);
    if (f->n_tensors != 0)
        return vt_fail(err, VT_ECORRUPT, "%.200s: there are tensors in its metadata", path);
    f->path = vt_strdup(vt_slice_cstr(path));
    if (f->path == NULL) return no_memory(err);
    f->fd = g->packed->fd;
    g->packed->fd = -1; /* the file closes it */
    return list_packed_tensors(g, err);
}

static vt_status open_gguf(vt_gguf *g, const char *path, vt_err *err)
{
    uint64_t no = 0;
    uint64_t count = 1;
    vt_status st = vt__gguf_file_open(path, &g->files[0], err);
    if (st != VT_OK) return st;
    if (get_split(&g->files[0], VT_S("split.count"), &count) && count > 1) {
        if (!get_split(&g->files[0], VT_S("split.no"), &no))
            return vt_fail(err, VT_EINPUT, "%s: split.count is there without split.no", path);
        st = open_parts(g, no, count, err);
        if (st != VT_OK) return st;
    }
    return join_tensors(g, err);
}

vt_status vt_gguf_open(const char *path, vt_gguf **out, vt_err *err)
{
    vt_gguf *g = new_single();
    if (g == NULL) return no_memory(err);
    vt_status st = vt_packed_is_one(path) ? open_packed(g, path, err) : open_gguf(g, path, err);
    if (st == VT_OK) *out = g;
    else vt_gguf_close(g);
    return st;
}

vt_status vt_gguf_parse(vt_slice bytes, uint64_t file_size, vt_gguf **out, vt_err *err)
{
    vt_gguf *g = new_single();
    if (g == NULL) return no_memory(err);
    vt_status st = vt__gguf_file_parse(bytes, file_size, &g->files[0], err);
    if (st == VT_OK) st = join_tensors(g, err);
    if (st == VT_OK) *out = g;
    else vt_gguf_close(g);
    return st;
}

void vt_gguf_close(vt_gguf *g)
{
    if (g == NULL) return;
    for (uint32_t i = 0; i < g->n_files; i++) vt__gguf_file_deinit(&g->files[i]);
    vt_free(g->files);
    vt_free(g->tensors);
    vt_free(g->names.slots);
    vt_packed_close(g->packed);
    vt_free(g);
}
