/* packed.c -- see packed.h: reading, checking and laying out a packed file's head, and the check of
 * its weights. Writing the file is packed_write.c, mapping it weights.c. */
#include "model/packed.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "base/clock.h"
#include "base/file.h"
#include "kernels/matrix.h"
#include "model/gguf_file.h"

#define MAGIC "VETROPAK"

enum {
    MAGIC_BYTES = 8,
    HEADER_SUM_AT = 120, /* and what it covers */
    MAX_NAMES = 64 << 20,
    VERIFY_PIECE = 8 << 20, /* one read of vt_packed_verify, per thread */
};

/* ---- numbers ---- */

static uint64_t load(const char *p, size_t n)
{
    return vt__gguf_load(p, n);
}

static void store(char *p, size_t n, uint64_t v)
{
    for (size_t i = 0; i < n; i++) p[i] = (char)(unsigned char)(v >> (8 * i));
}

/* ---- the header ---- */

static void put_header(const vt_packed_header *h, char out[VT_PACKED_HEADER], vt_sha256 *hash)
{
    memset(out, 0, VT_PACKED_HEADER);
    memcpy(out, MAGIC, MAGIC_BYTES);
    store(out + 8, 4, VT_PACKED_VERSION);
    store(out + 12, 4, VT_TILE_LAYOUT);
    store(out + 16, 8, h->n_file_bytes);
    store(out + 24, 8, h->n_metadata_bytes);
    store(out + 32, 8, h->n_name_bytes);
    store(out + 40, 8, h->n_tensors);
    store(out + 48, 8, h->tiles_at);
    memcpy(out + 56, h->source, VT_SHA256_BYTES);
    memcpy(out + 88, h->head_sha256, VT_SHA256_BYTES);
    vt_sha256_update(hash, vt_slice_of(out, HEADER_SUM_AT));
    vt_sha256_finish(hash, (uint8_t *)out + HEADER_SUM_AT);
}

/* Bytes before the tiles' padding; false when they overflow. */
static bool head_bytes(const vt_packed_header *h, uint64_t *out)
{
    uint64_t at, table;
    return vt_align_u64(h->n_metadata_bytes, 8, &at) &&
           vt_mul_u64(h->n_tensors, VT_PACKED_ROW, &table) && vt_add_u64(at, table, &at) &&
           vt_add_u64(at, h->n_name_bytes, &at) && vt_add_u64(at, VT_PACKED_HEADER, out);
}

static vt_status check_lengths(const vt_packed_header *h, uint64_t file_size, vt_err *err)
{
    uint64_t head;
    if (h->n_file_bytes != file_size)
        return vt_fail(err, VT_ECORRUPT, "it has %llu bytes, not %llu as it says: %s",
                       (unsigned long long)file_size, (unsigned long long)h->n_file_bytes,
                       file_size < h->n_file_bytes ? "it was cut off" : "something was appended");
    if (h->n_metadata_bytes > VT__GGUF_MAX_HEADER || h->n_tensors > VT__GGUF_MAX_LIST ||
        h->n_name_bytes > MAX_NAMES || !head_bytes(h, &head) || h->tiles_at < head ||
        h->tiles_at > h->n_file_bytes || h->tiles_at % VT_PACKED_ALIGN != 0 ||
        h->n_file_bytes % VT_PACKED_ALIGN != 0)
        return vt_fail(err, VT_ECORRUPT, "the lengths in its header do not fit each other");
    return VT_OK;
}

static vt_status parse_header(vt_slice bytes, uint64_t file_size, vt_packed_header *out,
                              vt_err *err)
{
    uint8_t sum[VT_SHA256_BYTES];
    const char *p = bytes.ptr;
    if (bytes.len < MAGIC_BYTES || memcmp(p, MAGIC, MAGIC_BYTES) != 0)
        return vt_fail(err, VT_EINPUT, "it is no packed model");
    if (bytes.len < VT_PACKED_HEADER)
        return vt_fail(err, VT_ECORRUPT, "it is cut off in its header");
    vt_status st = vt_sha256_bytes(vt_slice_of(p, HEADER_SUM_AT), sum, err);
    if (st != VT_OK) return st;
    uint64_t version = load(p + 8, 4), layout = load(p + 12, 4);
    /* Other versions may keep their checksum elsewhere: they are told apart first. */
    if (version != VT_PACKED_VERSION)
        return vt_fail(err, VT_EUNSUPPORTED, "it is of format version %u; this vetro reads %d",
                       (unsigned)version, VT_PACKED_VERSION);
    if (memcmp(sum, p + HEADER_SUM_AT, sizeof sum) != 0)
        return vt_fail(err, VT_ECORRUPT, "the checksum of its header does not fit");
    if (layout != VT_TILE_LAYOUT)
        return vt_fail(err, VT_EUNSUPPORTED,
                       "its weights are in tile layout %u; this vetro computes with %d",
                       (unsigned)layout, VT_TILE_LAYOUT);
    vt_packed_header h = {
        .n_file_bytes = load(p + 16, 8),
        .n_metadata_bytes = load(p + 24, 8),
        .n_name_bytes = load(p + 32, 8),
        .n_tensors = load(p + 40, 8),
        .tiles_at = load(p + 48, 8),
    };
    memcpy(h.source, p + 56, VT_SHA256_BYTES);
    memcpy(h.head_sha256, p + 88, VT_SHA256_BYTES);
    st = check_lengths(&h, file_size, err);
    if (st == VT_OK) *out = h;
    return st;
}

/* ---- the table ---- */

static bool dims_ok(const vt_packed_tensor *t)
{
    uint64_t n = 1;
    if (t->n_dims < 1 || t->n_dims > VT_GGUF_MAX_DIMS) return false;
    for (uint32_t d = 0; d < VT_GGUF_MAX_DIMS; d++) {
        if (t->dims[d] == 0 || (d >= t->n_dims && t->dims[d] != 1)) return false;
        if (!vt_mul_u64(n, t->dims[d], &n)) return false;
    }
    return true;
}

/* One row; *names_end and *tiles_end move on. */
static vt_status parse_row(const vt_packed_header *h, const char *row, vt_slice names,
                           vt_packed_tensor *t, uint64_t *names_end, uint64_t *tiles_end,
                           vt_err *err)
{
    uint64_t name_at = load(row, 4), name_len = load(row + 4, 4), end;
    t->format_id = (uint32_t)load(row + 8, 4);
    t->n_dims = (uint32_t)load(row + 12, 4);
    for (size_t d = 0; d < VT_GGUF_MAX_DIMS; d++) t->dims[d] = load(row + 16 + 8 * d, 8);
    t->offset = load(row + 48, 8);
    t->n_bytes = load(row + 56, 8);
    memcpy(t->sha256, row + 64, VT_SHA256_BYTES);
    if (name_at != *names_end || name_len == 0 || name_len > names.len - *names_end)
        return vt_fail(err, VT_ECORRUPT, "the name of a tensor is not where it should be");
    t->name = vt_slice_of(names.ptr + name_at, (size_t)name_len);
    *names_end += name_len;
    if (!vt__gguf_is_clean_name(t->name))
        return vt_fail(err, VT_ECORRUPT, "the name of a tensor is not plain text");
    vt_slice shown = vt_slice_take(t->name, 80);
    if (!dims_ok(t))
        return vt_fail(err, VT_ECORRUPT, "tensor %.*s has an impossible shape", VT_ARG(shown));
    if (t->offset < *tiles_end || t->offset % VT_TILE_ALIGN != 0 || t->n_bytes == 0 ||
        !vt_add_u64(t->offset, t->n_bytes, &end) || end > h->n_file_bytes)
        return vt_fail(err, VT_ECORRUPT, "tensor %.*s is not where it should be", VT_ARG(shown));
    *tiles_end = end;
    return VT_OK;
}

static vt_status parse_table(vt_packed *p, vt_slice table, vt_slice names, vt_err *err)
{
    uint64_t names_end = 0, tiles_end = p->header.tiles_at;
    size_t n = (size_t)p->header.n_tensors;
    p->tensors = vt_calloc(n, sizeof *p->tensors);
    if (p->tensors == NULL) return vt_fail(err, VT_ENOMEM, "out of memory");
    for (size_t i = 0; i < n; i++) {
        vt_status st = parse_row(&p->header, table.ptr + i * VT_PACKED_ROW, names, &p->tensors[i],
                                 &names_end, &tiles_end, err);
        if (st != VT_OK) return st;
    }
    if (names_end == names.len) return VT_OK;
    return vt_fail(err, VT_ECORRUPT, "there is more in its names than its tensors have");
}

/* p->header is there; p->head holds n bytes, all of the head. */
static vt_status parse_rest(vt_packed *p, uint64_t n, vt_err *err)
{
    uint8_t sum[VT_SHA256_BYTES];
    const vt_packed_header *h = &p->header;
    vt_slice rest = vt_slice_skip(vt_slice_of(p->head, (size_t)n), VT_PACKED_HEADER);
    vt_status st = vt_sha256_bytes(rest, sum, err);
    if (st != VT_OK) return st;
    if (memcmp(sum, h->head_sha256, sizeof sum) != 0)
        return vt_fail(err, VT_ECORRUPT, "the checksum of its metadata and table does not fit");
    uint64_t table_at = 0;
    if (!vt_align_u64(h->n_metadata_bytes, 8, &table_at)) return VT_ECORRUPT; /* was checked */
    p->metadata = vt_slice_take(rest, (size_t)h->n_metadata_bytes);
    vt_slice table = vt_slice_skip(rest, (size_t)table_at);
    size_t table_bytes = (size_t)h->n_tensors * VT_PACKED_ROW;
    return parse_table(p, vt_slice_take(table, table_bytes), vt_slice_skip(table, table_bytes),
                       err);
}

vt_status vt_packed_parse(vt_slice head, uint64_t file_size, vt_packed **out, vt_err *err)
{
    uint64_t n = 0;
    vt_packed *p = vt_calloc(1, sizeof *p);
    if (p == NULL) return vt_fail(err, VT_ENOMEM, "out of memory");
    p->fd = -1;
    vt_status st = parse_header(head, file_size, &p->header, err);
    if (st == VT_OK && (!head_bytes(&p->header, &n) || n > head.len))
        st = vt_fail(err, VT_ECORRUPT, "it is cut off in its metadata");
    if (st == VT_OK && (p->head = vt_alloc((size_t)n)) == NULL)
        st = vt_fail(err, VT_ENOMEM, "out of memory");
    if (st == VT_OK) {
        memcpy(p->head, head.ptr, (size_t)n);
        st = parse_rest(p, n, err);
    }
    if (st == VT_OK) *out = p;
    else vt_packed_close(p);
    return st;
}

/* ---- files ---- */

/* O_NONBLOCK: opening a named pipe must not wait for a writer; files don't mind. */
static int open_file(const char *path)
{
    return open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
}

bool vt_packed_is_one(const char *path)
{
    char magic[MAGIC_BYTES];
    int fd = open_file(path);
    if (fd < 0) return false;
    bool is_one = pread(fd, magic, sizeof magic, 0) == (ssize_t)sizeof magic &&
                  memcmp(magic, MAGIC, sizeof magic) == 0;
    close(fd);
    return is_one;
}

/* The header of an open file. */
static vt_status read_header(int fd, vt_packed_header *out, vt_err *err)
{
    struct stat info;
    char header[VT_PACKED_HEADER];
    if (fstat(fd, &info) != 0) return vt_fail_errno(err, VT_EIO, "cannot look at it");
    if (!S_ISREG(info.st_mode)) return vt_fail(err, VT_EINPUT, "it is not a regular file");
    uint64_t size = (uint64_t)info.st_size;
    size_t n = size < sizeof header ? (size_t)size : sizeof header;
    vt_status st = vt_file_pread(fd, header, n, 0, err);
    if (st == VT_OK) st = parse_header(vt_slice_of(header, n), size, out, err);
    return st;
}

vt_status vt_packed_peek(const char *path, vt_packed_header *out, vt_err *err)
{
    int fd = open_file(path);
    if (fd < 0)
        return vt_fail_errno(err, errno == ENOENT ? VT_ENOTFOUND : VT_EIO, "cannot open %.200s",
                             path);
    vt_status st = read_header(fd, out, err);
    if (st != VT_OK) st = vt_fail_wrap(err, st, "%.200s", path);
    close(fd);
    return st;
}

vt_status vt_packed_open(const char *path, vt_packed **out, vt_err *err)
{
    uint64_t n = 0;
    vt_packed *p = vt_calloc(1, sizeof *p);
    if (p == NULL) return vt_fail(err, VT_ENOMEM, "out of memory");
    p->fd = open_file(path);
    vt_status st = VT_OK;
    if (p->fd < 0)
        st =
            vt_fail_errno(err, errno == ENOENT ? VT_ENOTFOUND : VT_EIO, "cannot open %.200s", path);
    else {
        st = read_header(p->fd, &p->header, err);
        if (st == VT_OK && !head_bytes(&p->header, &n)) st = VT_ECORRUPT; /* was checked */
        if (st == VT_OK) {
            p->path = vt_strdup(vt_slice_cstr(path));
            p->head = vt_alloc((size_t)n);
            if (p->path == NULL || p->head == NULL) st = vt_fail(err, VT_ENOMEM, "out of memory");
        }
        if (st == VT_OK) st = vt_file_pread(p->fd, p->head, (size_t)n, 0, err);
        if (st == VT_OK) st = parse_rest(p, n, err);
        if (st != VT_OK) st = vt_fail_wrap(err, st, "%.200s", path);
    }
    if (st == VT_OK) *out = p;
    else vt_packed_close(p);
    return st;
}

void vt_packed_close(vt_packed *p)
{
    if (p == NULL) return;
    if (p->fd >= 0) close(p->fd);
    vt_free(p->path);
    vt_free(p->head);
    vt_free(p->tensors);
    vt_free(p);
}

/* ---- the weights' own bytes ---- */

typedef struct {
    const vt_packed *p;
    const vt_progress *progress;
    const uint8_t *tiles; /* mapped */
    uint64_t n_tiles_bytes;
    atomic_bool has_stopped;
    atomic_uint_fast64_t done;
    double last_report; /* thread 0 only */
    vt_err *error;      /* [n_threads] */
} verify_job;

static void report(verify_job *job, int i_thread, uint64_t bytes)
{
    uint64_t done = atomic_fetch_add(&job->done, bytes) + bytes;
    if (i_thread != 0 || vt_clock_seconds() - job->last_report <= 0.1) return;
    job->last_report = vt_clock_seconds();
    vt_progress_report(job->progress, "checking", done, job->n_tiles_bytes);
}

bool vt_packed_populate(const void *bytes, size_t n)
{
    const uintptr_t page = 4096, at = (uintptr_t)bytes / page * page;
    if (madvise((void *)at, n + ((uintptr_t)bytes - at), MADV_POPULATE_READ) == 0) return true;
    /* an older kernel does not know this advice */
    return errno != EFAULT && errno != EIO && errno != EHWPOISON;
}

static void verify_tensor(void *ctx, int i_task, int i_thread)
{
    verify_job *job = ctx;
    const vt_packed_tensor *t = &job->p->tensors[i_task];
    const uint8_t *bytes = job->tiles + (t->offset - job->p->header.tiles_at);
    vt_err *err = &job->error[i_thread];
    uint8_t sum[VT_SHA256_BYTES];
    if (atomic_load(&job->has_stopped)) return;
    vt_sha256 *hash = vt_sha256_new();
    vt_status st = hash ? VT_OK : vt_fail(err, VT_ENOMEM, "out of memory");
    for (uint64_t at = 0; at < t->n_bytes && st == VT_OK; at += VERIFY_PIECE) {
        size_t n = t->n_bytes - at < VERIFY_PIECE ? (size_t)(t->n_bytes - at) : VERIFY_PIECE;
        if (!vt_packed_populate(bytes + at, n)) {
            st = vt_fail_errno(err, VT_EIO, "%.200s: cannot read the bytes of tensor %.*s",
                               job->p->path, VT_ARG(vt_slice_take(t->name, 80)));
            break;
        }
        vt_sha256_update(hash, vt_slice_of(bytes + at, n));
        report(job, i_thread, n);
        if (vt_progress_cancelled(job->progress)) st = vt_fail(err, VT_ECANCEL, "stopped");
    }
    if (st == VT_OK) {
        vt_sha256_finish(hash, sum);
        if (memcmp(sum, t->sha256, sizeof sum) != 0)
            st = vt_fail(err, VT_ECORRUPT,
                         "%.200s: the bytes of tensor %.*s do not fit their "
                         "checksum",
                         job->p->path, VT_ARG(vt_slice_take(t->name, 80)));
    }
    vt_sha256_free(hash);
    if (st != VT_OK) atomic_store(&job->has_stopped, true);
}

vt_status vt_packed_verify(const vt_packed *p, vt_pool *pool, const vt_progress *progress,
                           vt_err *err)
{
    const int n_threads = vt_pool_n_threads(pool);
    verify_job job = {
        .p = p, .progress = progress, .n_tiles_bytes = p->header.n_file_bytes - p->header.tiles_at};
    vt_status st = VT_OK;
    if (job.n_tiles_bytes == 0 || p->header.n_tensors == 0) return VT_OK;
    job.error = vt_calloc((size_t)n_threads, sizeof *job.error);
    if (job.error == NULL) return vt_fail(err, VT_ENOMEM, "out of memory");
    /* From the disk, not from the cache: that is where bytes rot. And mapped as a run maps it, so
     * that what comes from the disk now is cached in the pages that a run wants. Advice, both. */
    (void)posix_fadvise(p->fd, (off_t)p->header.tiles_at, (off_t)job.n_tiles_bytes,
                        POSIX_FADV_DONTNEED);
    void *tiles = mmap(NULL, (size_t)job.n_tiles_bytes, PROT_READ, MAP_SHARED, p->fd,
                       (off_t)p->header.tiles_at);
    if (tiles == MAP_FAILED) {
        st = vt_fail_errno(err, VT_EIO, "cannot map %.200s", p->path);
        goto out;
    }
    (void)madvise(tiles, (size_t)job.n_tiles_bytes, MADV_HUGEPAGE);
    job.tiles = tiles;
    vt_pool_run(pool, verify_tensor, &job, (int)p->header.n_tensors);
    munmap(tiles, (size_t)job.n_tiles_bytes);
    for (int i = 0; i < n_threads && st == VT_OK; i++) {
        st = job.error[i].code;
        if (st != VT_OK && err != NULL) *err = job.error[i];
    }

out:
    vt_free(job.error);
    return st;
}

/* ---- laying out a head ---- */

static vt_status plan_head(vt_slice keys, const vt_packed_tensor *tensors, size_t n_tensors,
                           vt_packed_header *h, uint64_t *n_head, vt_err *err)
{
    *h = (vt_packed_header){.n_metadata_bytes = 24 + (uint64_t)keys.len, .n_tensors = n_tensors};
    for (size_t i = 0; i < n_tensors; i++) h->n_name_bytes += tensors[i].name.len;
    if (head_bytes(h, n_head) && vt_align_u64(*n_head, VT_PACKED_ALIGN, &h->tiles_at) &&
        h->n_metadata_bytes <= VT__GGUF_MAX_HEADER && h->n_name_bytes <= MAX_NAMES &&
        n_tensors <= VT__GGUF_MAX_LIST)
        return VT_OK;
    return vt_fail(err, VT_ELIMIT, "the model's metadata is too large to be packed");
}

vt_status vt_packed_tiles_at(vt_slice keys, const vt_packed_tensor *tensors, size_t n_tensors,
                             uint64_t *tiles_at, vt_err *err)
{
    vt_packed_header h;
    uint64_t n_head;
    vt_status st = plan_head(keys, tensors, n_tensors, &h, &n_head, err);
    if (st == VT_OK) *tiles_at = h.tiles_at;
    return st;
}

static void put_row(const vt_packed_tensor *t, uint64_t name_at, char row[VT_PACKED_ROW])
{
    store(row, 4, name_at);
    store(row + 4, 4, t->name.len);
    store(row + 8, 4, t->format_id);
    store(row + 12, 4, t->n_dims);
    for (size_t d = 0; d < VT_GGUF_MAX_DIMS; d++) store(row + 16 + 8 * d, 8, t->dims[d]);
    store(row + 48, 8, t->offset);
    store(row + 56, 8, t->n_bytes);
    memcpy(row + 64, t->sha256, VT_SHA256_BYTES);
}

vt_status vt_packed_build_head(vt_slice keys, uint64_t n_keys, const vt_packed_tensor *tensors,
                               size_t n_tensors, uint64_t tiles_bytes,
                               const uint8_t source[VT_SHA256_BYTES], vt_buffer *out, vt_err *err)
{
    vt_packed_header h;
    uint64_t n_head = 0;
    static const char gguf[4] = {'G', 'G', 'U', 'F'};
    char part[VT_PACKED_HEADER] = {0};
    vt_status st = plan_head(keys, tensors, n_tensors, &h, &n_head, err);
    if (st != VT_OK) return st;
    size_t start = out->len;
    vt_buffer_append(out, vt_slice_of(part, sizeof part)); /* its place */
    memcpy(part, gguf, sizeof gguf);
    store(part + 4, 4, 3);
    store(part + 8, 8, 0);
    store(part + 16, 8, n_keys);
    vt_buffer_append(out, vt_slice_of(part, 24));
    vt_buffer_append(out, keys);
    while ((out->len - start) % 8 != 0 && vt_buffer_byte(out, 0)) {}
    uint64_t name_at = 0;
    for (size_t i = 0; i < n_tensors; i++) {
        put_row(&tensors[i], name_at, part);
        vt_buffer_append(out, vt_slice_of(part, VT_PACKED_ROW));
        name_at += tensors[i].name.len;
    }
    for (size_t i = 0; i < n_tensors; i++) vt_buffer_append(out, tensors[i].name);
    st = vt_buffer_status(out, "the head of the packed file", err);
    if (st != VT_OK) return st;
    h.n_file_bytes = h.tiles_at + tiles_bytes;
    memcpy(h.source, source, VT_SHA256_BYTES);
    vt_slice rest = vt_slice_skip(vt_buffer_slice(out), start + VT_PACKED_HEADER);
    st = vt_sha256_bytes(rest, h.head_sha256, err);
    vt_sha256 *hash = st == VT_OK ? vt_sha256_new() : NULL;
    if (hash == NULL) return st == VT_OK ? vt_fail(err, VT_ENOMEM, "out of memory") : st;
    put_header(&h, out->ptr + start, hash);
    vt_sha256_free(hash);
    return VT_OK;
}
