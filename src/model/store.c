/* store.c -- see store.h: manifests, names, digests, removal. Adding is store_add.c. */
#include "model/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "base/fetch.h"
#include "base/file.h"
#include "base/nearest.h"
#include "base/replace.h"
#include "model/packed.h"
#include "model/store_internal.h"

enum { MANIFEST_VERSION = 1, MAX_MANIFEST = 1 << 20, MAX_MODELS = 65536 };

#define MANIFEST "manifest.json"

/* ---- names and paths ---- */

bool vt__store_name_ok(vt_slice name)
{
    if (name.len == 0 || name.len > VT_STORE_MAX_NAME) return false;
    if (name.ptr[0] == '.' || name.ptr[0] == '-') return false;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        bool ok =
            (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
        if (!ok) return false;
    }
    return true;
}

char *vt__store_path(const vt_store *store, vt_slice name, const char *file)
{
    vt_buffer b;
    vt_buffer_init(&b, 65536);
    vt_buffer_printf(&b, "%s/%.*s", store->dir, VT_ARG(name));
    if (file != NULL) vt_buffer_printf(&b, "/%s", file);
    char *path = b.failed ? NULL : vt_buffer_take(&b);
    vt_buffer_deinit(&b);
    return path;
}

vt_status vt_store_open(const char *dir, vt_store **out, vt_err *err)
{
    vt_store *store = vt_calloc(1, sizeof *store);
    if (store != NULL) store->dir = vt_strdup(vt_slice_cstr(dir));
    if (store == NULL || store->dir == NULL) {
        vt_store_close(store);
        return vt_fail(err, VT_ENOMEM, "out of memory");
    }
    *out = store;
    return VT_OK;
}

void vt_store_close(vt_store *store)
{
    if (store == NULL) return;
    vt_free(store->dir);
    vt_free(store);
}

void vt_store_entry_deinit(vt_store_entry *entry)
{
    vt_free(entry->name);
    vt_free(entry->path);
    vt_free(entry->source);
    vt_free(entry->licence);
    vt_free(entry->added);
    vt_free(entry->packed);
    vt_free(entry->packed_problem);
    vt_free(entry->problem);
    *entry = (vt_store_entry){0};
}

/* ---- writing a manifest ---- */

static vt_status checksum(const json_t *manifest, char hex[VT_SHA256_HEX + 1], vt_err *err)
{
    vt_buffer text;
    vt_buffer_init(&text, MAX_MANIFEST);
    uint8_t digest[VT_SHA256_BYTES];
    vt_status st = vt_json_write(manifest, &text, err);
    if (st == VT_OK) st = vt_sha256_bytes(vt_buffer_slice(&text), digest, err);
    if (st == VT_OK) vt_sha256_hex(digest, hex);
    vt_buffer_deinit(&text);
    return st;
}

static json_int_t mtime_ns(const struct stat *info)
{
    return (json_int_t)info->st_mtim.tv_sec * 1000000000 + (json_int_t)info->st_mtim.tv_nsec;
}

static json_t *describe_file(const vt_store *store, const char *model, const char *file)
{
    struct stat info;
    json_t *result = NULL;
    char *path = vt__store_path(store, vt_slice_cstr(model), file);
    if (path != NULL && stat(path, &info) == 0)
        result = json_pack("{s:o, s:I, s:I, s:I}", "name", vt_json_string(vt_slice_cstr(file)),
                           "bytes", (json_int_t)info.st_size, "mtime_ns", mtime_ns(&info), "inode",
                           (json_int_t)info.st_ino);
    vt_free(path);
    return result;
}

static vt_status save_manifest(const vt_store *store, const char *name, json_t *manifest,
                               vt_err *err)
{
    char sum[VT_SHA256_HEX + 1];
    vt_buffer text;
    vt_buffer_init(&text, MAX_MANIFEST);
    char *path = vt__store_path(store, vt_slice_cstr(name), MANIFEST);
    vt_status st = path ? VT_OK : vt_fail(err, VT_ENOMEM, "out of memory");
    json_object_del(manifest, "checksum");
    if (st == VT_OK) st = checksum(manifest, sum, err);
    if (st == VT_OK && json_object_set_new(manifest, "checksum", json_string(sum)) != 0)
        st = vt_fail(err, VT_ENOMEM, "out of memory");
    if (st == VT_OK) st = vt_json_write(manifest, &text, err);
    if (st == VT_OK && !vt_buffer_byte(&text, '\n')) st = vt_fail(err, VT_ENOMEM, "out of memory");
    if (st == VT_OK) st = vt_file_replace_path(path, vt_buffer_slice(&text), err);
    vt_buffer_deinit(&text);
    vt_free(path);
    return st;
}

vt_status vt__store_write_manifest(const vt_store *store, const vt_store_entry *entry,
                                   const char *const *files, size_t n_files, vt_err *err)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n_files; i++)
        if (json_array_append_new(list, describe_file(store, entry->name, files[i])) != 0) {
            json_decref(list);
            return vt_fail(err, VT_EIO, "cannot describe %.200s for the manifest", files[i]);
        }
    json_t *manifest =
        json_pack("{s:i, s:s, s:o, s:o, s:s, s:s, s:o}", "version", MANIFEST_VERSION, "name",
                  entry->name, "source", vt_json_string(vt_slice_cstr(entry->source)), "licence",
                  vt_json_string(vt_slice_cstr(entry->licence)), "added", entry->added, "digest",
                  entry->digest, "files", list);
    if (manifest == NULL) return vt_fail(err, VT_ENOMEM, "out of memory");
    vt_status st = save_manifest(store, entry->name, manifest, err);
    json_decref(manifest);
    return st;
}

/* ---- reading a manifest ---- */

static vt_status load_manifest(const vt_store *store, vt_slice name, json_t **out, vt_err *err)
{
    vt_buffer text;
    vt_buffer_init(&text, MAX_MANIFEST + 65536);
    json_t *manifest = NULL;
    char want[VT_SHA256_HEX + 1];
    char *path = vt__store_path(store, name, MANIFEST);
    vt_status st = path ? VT_OK : vt_fail(err, VT_ENOMEM, "out of memory");
    if (st == VT_OK) st = vt_file_read(path, MAX_MANIFEST, &text, err);
    if (st != VT_OK) goto out;
    if (vt_json_parse(vt_slice_trim(vt_buffer_slice(&text)), &manifest, err) != VT_OK) {
        st = vt_fail_wrap(err, VT_ECORRUPT, "%.200s", path);
        goto out;
    }
    json_t *sum = json_incref(json_object_get(manifest, "checksum"));
    json_object_del(manifest, "checksum");
    st = json_is_object(manifest) ? checksum(manifest, want, err) : VT_OK;
    if (st == VT_OK && (!json_is_object(manifest) ||
                        !vt_slice_eq(vt_json_text(sum), vt_slice_of(want, VT_SHA256_HEX))))
        st = vt_fail(err, VT_ECORRUPT, "%.200s: its checksum does not fit", path);
    json_decref(sum);
    if (st == VT_OK && json_integer_value(json_object_get(manifest, "version")) != MANIFEST_VERSION)
        st = vt_fail(err, VT_EUNSUPPORTED, "%.200s: of another version of vetro", path);

out:
    if (st == VT_OK) *out = manifest;
    else json_decref(manifest);
    vt_buffer_deinit(&text);
    vt_free(path);
    return st;
}

static bool file_name_ok(vt_slice name)
{
    return name.len > 0 && name.len < 256 && memchr(name.ptr, '/', name.len) == NULL &&
           memchr(name.ptr, '\0', name.len) == NULL && name.ptr[0] != '.';
}

/* Take one element of "files" into the entry: its size, and whether it was touched. */
static vt_status check_file(const vt_store *store, const json_t *file, vt_store_entry *e,
                            vt_err *err)
{
    struct stat info;
    vt_slice name = vt_json_text(json_object_get(file, "name"));
    json_int_t bytes = json_integer_value(json_object_get(file, "bytes"));
    if (!file_name_ok(name) || bytes < 0)
        return vt_fail(err, VT_ECORRUPT, "model %s: its manifest lists an impossible file",
                       e->name);
    char *path = vt__store_path(store, vt_slice_cstr(e->name),
                                vt_json_text(json_object_get(file, "name")).ptr);
    if (path == NULL) return vt_fail(err, VT_ENOMEM, "out of memory");
    vt_status st = VT_OK;
    if (stat(path, &info) != 0)
        st = vt_fail_errno(err, VT_ECORRUPT, "model %s: cannot read %.200s", e->name, path);
    else if (info.st_size != bytes)
        st = vt_fail(err, VT_ECORRUPT, "model %s: %.200s has %lld bytes, its manifest says %lld",
                     e->name, path, (long long)info.st_size, (long long)bytes);
    if (st == VT_OK) {
        e->n_bytes += (uint64_t)bytes;
        if (mtime_ns(&info) != json_integer_value(json_object_get(file, "mtime_ns")) ||
            (json_int_t)info.st_ino != json_integer_value(json_object_get(file, "inode")))
            e->is_stale = true;
    }
    if (st == VT_OK && e->path == NULL) e->path = path;
    else vt_free(path);
    return st;
}

static char *copy_field(const json_t *manifest, const char *key)
{
    return vt_strdup(vt_json_text(json_object_get(manifest, key)));
}

/* Fill in the packed form: to be used only while it belongs to the very model of the manifest. Its
 * own header says which one it was made from, so no times need to be kept. */
static vt_status find_packed(const vt_store *store, vt_store_entry *e, vt_err *err)
{
    vt_packed_header header;
    char source[VT_SHA256_HEX + 1];
    vt_err why = {0};
    char *path = vt_store_packed_path(store, e);
    if (path == NULL) return vt_fail(err, VT_ENOMEM, "out of memory");
    vt_status st = vt_packed_peek(path, &header, &why);
    if (st == VT_OK) {
        vt_sha256_hex(header.source, source);
        if (memcmp(source, e->digest, VT_SHA256_HEX) != 0)
            st = vt_fail(&why, VT_EVERIFY, "%.200s: it was made from another model", path);
        else if (e->is_stale)
            st = vt_fail(&why, VT_EVERIFY, "the model's files were touched since it was packed");
    }
    if (st == VT_OK) {
        e->packed = path;
        e->packed_bytes = header.n_file_bytes;
        return VT_OK;
    }
    vt_free(path);
    e->packed_problem = vt_strdup(vt_slice_cstr(why.msg));
    return e->packed_problem ? VT_OK : vt_fail(err, VT_ENOMEM, "out of memory");
}

static vt_status read_entry(const vt_store *store, vt_slice name, vt_store_entry *out, vt_err *err)
{
    json_t *manifest = NULL;
    vt_store_entry e = {0};
    vt_status st = load_manifest(store, name, &manifest, err);
    if (st != VT_OK) return st;
    e.name = vt_strdup(name);
    e.source = copy_field(manifest, "source");
    e.licence = copy_field(manifest, "licence");
    e.added = copy_field(manifest, "added");
    vt_slice digest = vt_json_text(json_object_get(manifest, "digest"));
    const json_t *files = json_object_get(manifest, "files");
    if (!e.name || !e.source || !e.licence || !e.added) {
        st = vt_fail(err, VT_ENOMEM, "out of memory");
    } else if (digest.len != VT_SHA256_HEX || json_array_size(files) == 0 ||
               json_array_size(files) > VT_STORE_MAX_FILES) {
        st = vt_fail(err, VT_ECORRUPT, "model %s: its manifest is not complete", e.name);
    } else {
        memcpy(e.digest, digest.ptr, VT_SHA256_HEX);
        for (size_t i = 0; i < json_array_size(files) && st == VT_OK; i++)
            st = check_file(store, json_array_get(files, i), &e, err);
        if (st == VT_OK && json_is_true(json_object_get(manifest, "packed")))
            st = find_packed(store, &e, err);
    }
    json_decref(manifest);
    if (st == VT_OK) *out = e;
    else vt_store_entry_deinit(&e);
    return st;
}

/* ---- list, find, resolve ---- */

static int by_name(const void *a, const void *b)
{
    return strcmp(((const vt_store_entry *)a)->name, ((const vt_store_entry *)b)->name);
}

/* An entry for DIR/NAME; *is_model false when there is no manifest. */
static vt_status list_one(vt_store *store, const char *name, vt_store_entry *out, bool *is_model,
                          vt_err *err)
{
    vt_err why = {0};
    vt_status st = read_entry(store, vt_slice_cstr(name), out, &why);
    *is_model = st != VT_ENOTFOUND;
    if (st == VT_OK || st == VT_ENOTFOUND) return VT_OK;
    *out = (vt_store_entry){.name = vt_strdup(vt_slice_cstr(name)),
                            .problem = vt_strdup(vt_slice_cstr(why.msg))};
    if (out->name != NULL && out->problem != NULL) return VT_OK;
    vt_store_entry_deinit(out);
    return vt_fail(err, VT_ENOMEM, "out of memory");
}

vt_status vt_store_list(vt_store *store, vt_store_entry **out, size_t *n, vt_err *err)
{
    vt_store_entry *list = NULL;
    size_t count = 0;
    size_t cap = 0;
    vt_status st = VT_OK;
    DIR *dir = opendir(store->dir);
    if (dir == NULL && errno != ENOENT)
        return vt_fail_errno(err, VT_EIO, "cannot read %.200s", store->dir);
    const struct dirent *item;
    while (dir != NULL && st == VT_OK && (item = readdir(dir)) != NULL) {
        bool is_model = false;
        if (!vt__store_name_ok(vt_slice_cstr(item->d_name))) continue;
        if (!vt_grow((void **)&list, &cap, count + 1, sizeof *list, MAX_MODELS))
            st = vt_fail(err, VT_ENOMEM, "out of memory");
        else st = list_one(store, item->d_name, &list[count], &is_model, err);
        if (st == VT_OK && is_model) count++;
    }
    if (dir != NULL) closedir(dir);
    if (st == VT_OK) {
        if (count > 1) qsort(list, count, sizeof *list, by_name);
        *out = list;
        *n = count;
        return VT_OK;
    }
    for (size_t i = 0; i < count; i++) vt_store_entry_deinit(&list[i]);
    vt_free(list);
    return st;
}

/* The stored or known name that is nearest to `name`, into `near`; false when none is near. */
static bool find_near(vt_store *store, vt_slice name, char near[VT_STORE_MAX_NAME + 1])
{
    size_t best = SIZE_MAX;
    size_t n = 0;
    vt_store_entry *list = NULL;
    size_t n_known;
    const vt_catalogue_entry *known = vt_catalogue_all(&n_known);
    if (vt_store_list(store, &list, &n, NULL) != VT_OK) n = 0;
    for (size_t i = 0; i < n + n_known; i++) {
        vt_slice candidate = vt_slice_cstr(i < n ? list[i].name : known[i - n].name);
        size_t distance = vt_nearness(name, candidate);
        if (distance >= best) continue;
        best = distance;
        snprintf(near, VT_STORE_MAX_NAME + 1, "%.*s", VT_ARG(candidate));
    }
    for (size_t i = 0; i < n; i++) vt_store_entry_deinit(&list[i]);
    vt_free(list);
    return best != SIZE_MAX;
}

static vt_status fail_missing(vt_store *store, vt_slice name, vt_err *err)
{
    char near[VT_STORE_MAX_NAME + 1];
    if (vt_catalogue_find(name) != NULL)
        return vt_fail(err, VT_ENOTFOUND,
                       "model '%.*s' is known but not on this machine yet: get it with 'vetro pull "
                       "%.*s'",
                       VT_ARG(name), VT_ARG(name));
    if (find_near(store, name, near))
        return vt_fail(err, VT_ENOTFOUND, "no model '%.*s'; did you mean '%s'?",
                       VT_ARG(vt_slice_take(name, 100)), near);
    return vt_fail(err, VT_ENOTFOUND, "no model and no file '%.*s'; 'vetro list' shows the models",
                   VT_ARG(vt_slice_take(name, 100)));
}

vt_status vt_store_find(vt_store *store, vt_slice name, vt_store_entry *out, vt_err *err)
{
    vt_status st = VT_ENOTFOUND;
    if (vt__store_name_ok(name)) st = read_entry(store, name, out, err);
    return st == VT_ENOTFOUND ? fail_missing(store, name, err) : st;
}

/* Is this file one of a stored model's? Then the entry is that model. */
static vt_status entry_of_path(vt_store *store, const char *path, const struct stat *info,
                               vt_store_entry *out, vt_err *err)
{
    vt_store_entry *list = NULL;
    size_t n = 0;
    bool found = false;
    if (vt_store_list(store, &list, &n, NULL) != VT_OK) n = 0; /* a broken store is no obstacle */
    for (size_t i = 0; i < n; i++) {
        struct stat have;
        if (!found && list[i].problem == NULL && stat(list[i].path, &have) == 0 &&
            have.st_dev == info->st_dev && have.st_ino == info->st_ino) {
            *out = list[i];
            found = true;
        } else {
            vt_store_entry_deinit(&list[i]);
        }
    }
    vt_free(list);
    if (found) return VT_OK;
    vt_store_entry e = {.path = vt_strdup(vt_slice_cstr(path)), .n_bytes = (uint64_t)info->st_size};
    if (e.path == NULL) return vt_fail(err, VT_ENOMEM, "out of memory");
    *out = e;
    return VT_OK;
}

vt_status vt_store_resolve(vt_store *store, const char *model, vt_store_entry *out, vt_err *err)
{
    struct stat info;
    vt_slice text = vt_slice_cstr(model);
    bool exists = text.len > 0 && stat(model, &info) == 0;
    bool is_path = strchr(model, '/') != NULL;
    if (exists && (is_path || vt_slice_ends(text, VT_S(".gguf"))))
        return entry_of_path(store, model, &info, out, err);
    if (is_path) {
        errno = exists ? EIO : errno;
        return vt_fail_errno(err, VT_ENOTFOUND, "cannot open model %.200s", model);
    }
    vt_err why = {0};
    vt_status st = vt_store_find(store, text, out, &why);
    if (st == VT_ENOTFOUND && exists) return entry_of_path(store, model, &info, out, err);
    if (st != VT_OK && err != NULL) *err = why;
    return st;
}

/* ---- the packed form ---- */

char *vt_store_packed_path(const vt_store *store, const vt_store_entry *entry)
{
    char file[VT_STORE_MAX_NAME + sizeof ".packed"];
    snprintf(file, sizeof file, "%.*s.packed", VT_STORE_MAX_NAME, entry->name);
    return vt__store_path(store, vt_slice_cstr(entry->name), file);
}

vt_status vt_store_set_packed(vt_store *store, vt_store_entry *entry, bool is_there, vt_err *err)
{
    json_t *manifest = NULL;
    char *path = vt_store_packed_path(store, entry);
    if (path == NULL) return vt_fail(err, VT_ENOMEM, "out of memory");
    vt_status st = load_manifest(store, vt_slice_cstr(entry->name), &manifest, err);
    if (st == VT_OK && json_object_set_new(manifest, "packed", json_boolean(is_there)) != 0)
        st = vt_fail(err, VT_ENOMEM, "out of memory");
    if (st == VT_OK) st = save_manifest(store, entry->name, manifest, err);
    if (st == VT_OK && !is_there && unlink(path) != 0 && errno != ENOENT)
        st = vt_fail_errno(err, VT_EIO, "cannot remove %.200s", path);
    if (st == VT_OK) {
        vt_free(entry->packed);
        vt_free(entry->packed_problem);
        entry->packed = entry->packed_problem = NULL;
        entry->packed_bytes = 0;
        if (is_there) st = find_packed(store, entry, err);
    }
    json_decref(manifest);
    vt_free(path);
    return st;
}

/* ---- digests ---- */

/* A packed file names the model it was made from. */
static bool digest_of_packed(const vt_gguf *g, char digest[VT_SHA256_HEX + 1])
{
    const vt_packed *packed = vt_gguf_packed(g);
    if (packed != NULL) vt_sha256_hex(packed->header.source, digest);
    return packed != NULL;
}

/* Which files these are, and when each was changed last. */
static vt_status stamp_of(const vt_gguf *g, uint8_t out[VT_SHA256_BYTES], vt_err *err)
{
    struct stat info;
    vt_sha256 *hash = vt_sha256_new();
    if (hash == NULL) return vt_fail(err, VT_ENOMEM, "out of memory");
    vt_status st = VT_OK;
    for (uint32_t i = 0; i < vt_gguf_n_files(g) && st == VT_OK; i++) {
        if (fstat(vt_gguf_fd(g, i), &info) != 0) {
            st = vt_fail_errno(err, VT_EIO, "cannot look at %.200s", vt_gguf_path(g, i));
            break;
        }
        const int64_t facts[] = {(int64_t)info.st_dev, (int64_t)info.st_ino, info.st_size,
                                 mtime_ns(&info),      info.st_ctim.tv_sec,  info.st_ctim.tv_nsec};
        vt_sha256_update(hash, vt_slice_of((const char *)facts, sizeof facts));
    }
    vt_sha256_finish(hash, out);
    vt_sha256_free(hash);
    return st;
}

vt_status vt__store_hash_gguf(const char *path, char digest[VT_SHA256_HEX + 1],
                              uint8_t stamp[VT_SHA256_BYTES], const vt_progress *progress,
                              vt_err *err)
{
    vt_gguf *g = NULL;
    uint8_t bytes[VT_SHA256_BYTES];
    vt_status st = vt_gguf_open(path, &g, err);
    if (st != VT_OK) return st;
    st = stamp_of(g, stamp, err); /* before the bytes: what changes meanwhile is noticed */
    if (st != VT_OK) {
        vt_gguf_close(g);
        return st;
    }
    if (digest_of_packed(g, digest)) {
        vt_gguf_close(g);
        return VT_OK;
    }
    vt_sha256 *hash = vt_sha256_new();
    if (hash == NULL) st = vt_fail(err, VT_ENOMEM, "out of memory");
    for (uint32_t i = 0; i < vt_gguf_n_files(g) && st == VT_OK; i++)
        st = vt_fetch_hash_fd(hash, vt_gguf_fd(g, i), vt_gguf_file_size(g, i), progress, err);
    if (st == VT_OK) {
        vt_sha256_finish(hash, bytes);
        vt_sha256_hex(bytes, digest);
    }
    vt_sha256_free(hash);
    vt_gguf_close(g);
    return st;
}

/* Are the files those that the digest was computed from, untouched since? */
static vt_status check_stamp(const vt_store_entry *e, vt_err *err)
{
    uint8_t stamp[VT_SHA256_BYTES];
    vt_gguf *g = NULL;
    vt_status st = vt_gguf_open(e->path, &g, NULL);
    if (st == VT_OK) st = stamp_of(g, stamp, NULL);
    vt_gguf_close(g);
    if (st == VT_OK && memcmp(stamp, e->stamp, sizeof stamp) == 0) return VT_OK;
    return vt_fail(err, VT_EVERIFY, "%.200s was changed while it was read", e->path);
}

/* The bytes are as they were pulled: remember the files' new times. */
static vt_status refresh_manifest(const vt_store *store, const vt_store_entry *e, vt_err *err)
{
    json_t *manifest = NULL;
    vt_status st = load_manifest(store, vt_slice_cstr(e->name), &manifest, err);
    if (st != VT_OK) return st;
    json_t *files = json_object_get(manifest, "files");
    for (size_t i = 0; i < json_array_size(files) && st == VT_OK; i++) {
        const char *name = json_string_value(json_object_get(json_array_get(files, i), "name"));
        json_t *file = name ? describe_file(store, e->name, name) : NULL;
        if (json_array_set_new(files, i, file) != 0)
            st = vt_fail(err, VT_EIO, "cannot describe %.200s", e->path);
    }
    if (st == VT_OK) st = check_stamp(e, err); /* they are the files whose bytes were read */
    if (st == VT_OK) st = save_manifest(store, e->name, manifest, err);
    json_decref(manifest);
    return st;
}

/* The packed form was not used because of the touched files: now it can be. */
static vt_status look_at_packed_again(const vt_store *store, vt_store_entry *entry, vt_err *err)
{
    if (entry->packed_problem == NULL) return VT_OK;
    vt_free(entry->packed_problem);
    entry->packed_problem = NULL;
    return find_packed(store, entry, err);
}

vt_status vt_store_digest(vt_store *store, vt_store_entry *entry, const vt_progress *progress,
                          vt_err *err)
{
    char digest[VT_SHA256_HEX + 1] = "";
    if (entry->digest[0] != '\0' && !entry->is_stale) return VT_OK;
    vt_status st = vt__store_hash_gguf(entry->path, digest, entry->stamp, progress, err);
    if (st != VT_OK) return st;
    entry->is_stamped = true;
    if (entry->name != NULL && entry->is_stale) {
        if (memcmp(digest, entry->digest, VT_SHA256_HEX) != 0)
            return vt_fail(err, VT_EVERIFY,
                           "model %s was changed since it was pulled: its SHA-256 is %s, not %s",
                           entry->name, digest, entry->digest);
        st = check_stamp(entry, err);
        if (st != VT_OK) return st;
        /* When this cannot be written, the next call computes again: slower, not wrong. */
        if (refresh_manifest(store, entry, NULL) == VT_OK) {
            entry->is_stale = false;
            st = look_at_packed_again(store, entry, err);
            if (st != VT_OK) return st;
        }
    }
    memcpy(entry->digest, digest, sizeof digest);
    return VT_OK;
}

vt_status vt_store_recheck(vt_store *store, const vt_store_entry *entry, vt_err *err)
{
    vt_store_entry now = {0};
    if (entry->is_stamped || entry->name == NULL) return check_stamp(entry, err);
    const bool is_same = read_entry(store, vt_slice_cstr(entry->name), &now, NULL) == VT_OK &&
                         !now.is_stale && memcmp(now.digest, entry->digest, VT_SHA256_HEX) == 0 &&
                         strcmp(now.path, entry->path) == 0;
    vt_store_entry_deinit(&now);
    if (is_same) return VT_OK;
    return vt_fail(err, VT_EVERIFY, "%.200s was changed while it was read", entry->path);
}

/* ---- removal ---- */

vt_status vt_store_remove(vt_store *store, vt_slice name, uint64_t *n_freed, vt_err *err)
{
    struct stat info;
    uint64_t freed = 0;
    char *path = vt__store_path(store, name, NULL);
    if (path == NULL) return vt_fail(err, VT_ENOMEM, "out of memory");
    DIR *dir = vt__store_name_ok(name) ? opendir(path) : NULL;
    vt_free(path);
    if (dir == NULL) return fail_missing(store, name, err);
    int fd = dirfd(dir);
    vt_status st = VT_OK;
    /* The manifest first: a model that is half removed must not look whole. */
    if (unlinkat(fd, MANIFEST, 0) != 0 && errno != ENOENT)
        st = vt_fail_errno(err, VT_EIO, "cannot remove model %.*s", VT_ARG(name));
    const struct dirent *item;
    while (st == VT_OK && (item = readdir(dir)) != NULL) {
        if (strcmp(item->d_name, ".") == 0 || strcmp(item->d_name, "..") == 0) continue;
        bool is_last_link =
            fstatat(fd, item->d_name, &info, AT_SYMLINK_NOFOLLOW) == 0 && info.st_nlink == 1;
        if (unlinkat(fd, item->d_name, 0) != 0 && errno != ENOENT)
            st = vt_fail_errno(err, VT_EIO, "cannot remove %.200s", item->d_name);
        else if (is_last_link) freed += (uint64_t)info.st_blocks * 512;
    }
    closedir(dir);
    path = vt__store_path(store, name, NULL);
    if (st == VT_OK && path != NULL && rmdir(path) != 0)
        st = vt_fail_errno(err, VT_EIO, "cannot remove %.200s", path);
    vt_free(path);
    if (st == VT_OK) *n_freed = freed;
    return st;
}
