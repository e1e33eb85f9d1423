/* packed_write.c -- see packed_write.h. */
#include "model/packed_write.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/replace.h"
#include "model/packed.h"

enum {
    PIECE = VT_PACKED_ALIGN,     /* whole huge pages, so that the file is cached in such */
    FLUSH = 16 * PIECE,          /* handed to the disk at a time */
    MAX_HEAD = (256 + 96) << 20, /* what vt_packed_open takes */
};

typedef struct {
    const vt_weights *w;
    const uint8_t *region;
    uint64_t n_region;
    vt_packed_tensor *tensors;
    size_t n_tensors;
    const vt_progress *progress;
    atomic_bool has_failed;
    atomic_uint_fast64_t done;
    double last_report; /* thread 0 only */
} writing;

static bool is_cancelled(const writing *j)
{
    return vt_progress_cancelled(j->progress);
}

static void hash_tensor(void *ctx, int i_task, int i_thread)
{
    writing *j = ctx;
    vt_packed_tensor *t = &j->tensors[i_task];
    const uint8_t *bytes = j->region + vt_weights_part_at(j->w, (size_t)i_task).at;
    vt_sha256 *hash = vt_sha256_new();
    if (hash == NULL) {
        atomic_store(&j->has_failed, true);
        return;
    }
    for (uint64_t at = 0; at < t->n_bytes && !is_cancelled(j); at += PIECE) {
        size_t n = t->n_bytes - at < PIECE ? (size_t)(t->n_bytes - at) : PIECE;
        vt_sha256_update(hash, vt_slice_of(bytes + at, n));
        uint64_t done = atomic_fetch_add(&j->done, n) + n;
        if (i_thread != 0 || vt_clock_seconds() - j->last_report <= 0.1) continue;
        j->last_report = vt_clock_seconds();
        vt_progress_report(j->progress, "computing checksums", done, j->n_region);
    }
    vt_sha256_finish(hash, t->sha256);
    vt_sha256_free(hash);
}

static void describe_tensors(writing *j)
{
    for (size_t i = 0; i < j->n_tensors; i++) {
        vt_weights_part part = vt_weights_part_at(j->w, i);
        vt_packed_tensor *t = &j->tensors[i];
        *t = (vt_packed_tensor){.name = part.tensor->name,
                                .format_id = part.format_id,
                                .n_dims = part.tensor->n_dims,
                                .n_bytes = part.n_bytes};
        memcpy(t->dims, part.tensor->dims, sizeof t->dims);
    }
}

/* Take the disk space now, so that it cannot run out later. */
static vt_status take_room(int fd, uint64_t n_bytes, vt_err *err)
{
    struct statvfs disk;
    uint64_t n_free = UINT64_MAX;
    if (fstatvfs(fd, &disk) != 0 || !vt_mul_u64(disk.f_bavail, disk.f_frsize, &n_free))
        n_free = UINT64_MAX; /* the writes will tell */
    if (n_free >= n_bytes && (fallocate(fd, 0, 0, (off_t)n_bytes) == 0 || errno != ENOSPC))
        return VT_OK; /* a file system that cannot reserve: the writes will tell */
    return vt_fail(err, VT_ELIMIT, "it would take %.2f GiB, and %.2f GiB are free on that disk",
                   (double)n_bytes / 0x1p30, (double)n_free / 0x1p30);
}

/* The region from the tiles' place on. Each stretch is given to the disk as it is written, and the
 * one before waited for: the progress is the disk's, and the sync at the end is short. */
/* Begin to write a stretch of the file to the disk, or wait for it. Only advice, but a write error
 * is told once: the sync at the end would not know of it any more. */
static vt_status flush_stretch(int fd, off_t at, unsigned how, vt_err *err)
{
    if (sync_file_range(fd, at, FLUSH, how) == 0) return VT_OK;
    if (errno == ENOSYS || errno == EINVAL || errno == ESPIPE || errno == EOPNOTSUPP) return VT_OK;
    return vt_fail_errno(err, VT_EIO, "cannot write");
}

static vt_status write_tiles(writing *j, int fd, uint64_t tiles_at, vt_err *err)
{
    const uint64_t n = j->n_region;
    const unsigned now = SYNC_FILE_RANGE_WRITE;
    for (uint64_t at = 0; at < n; at += PIECE) {
        if (is_cancelled(j)) return vt_fail(err, VT_ECANCEL, "stopped");
        vt_status st = vt_file_write_all(fd, vt_slice_of(j->region + at, PIECE), err);
        if (st != VT_OK) return st;
        uint64_t end = at + PIECE;
        if (end % FLUSH != 0) continue;
        off_t begin = (off_t)(tiles_at + end - FLUSH);
        st = flush_stretch(fd, begin, now, err);
        if (st == VT_OK && end > FLUSH)
            st = flush_stretch(fd, begin - FLUSH,
                               SYNC_FILE_RANGE_WAIT_BEFORE | now | SYNC_FILE_RANGE_WAIT_AFTER, err);
        if (st != VT_OK) return st;
        vt_progress_report(j->progress, "writing", end, n);
    }
    return VT_OK;
}

static vt_status compute_checksums(writing *j, vt_pool *pool, vt_err *err)
{
    vt_pool_run(pool, hash_tensor, j, (int)j->n_tensors);
    if (is_cancelled(j)) return vt_fail(err, VT_ECANCEL, "stopped");
    if (atomic_load(&j->has_failed)) return vt_fail(err, VT_ENOMEM, "out of memory");
    return VT_OK;
}

/* The head for tiles at `tiles_at`, then the tiles, into fd. */
static vt_status write_file(writing *j, int fd, const vt_gguf *gguf, uint64_t tiles_at,
                            const uint8_t source[VT_SHA256_BYTES], vt_err *err)
{
    vt_buffer head;
    vt_buffer_init(&head, MAX_HEAD);
    for (size_t i = 0; i < j->n_tensors; i++)
        j->tensors[i].offset = tiles_at + vt_weights_part_at(j->w, i).at;
    vt_status st = vt_packed_build_head(vt_gguf_entries_bytes(gguf), vt_gguf_n_entries(gguf),
                                        j->tensors, j->n_tensors, j->n_region, source, &head, err);
    if (st == VT_OK) st = vt_file_write_all(fd, vt_buffer_slice(&head), err);
    if (st == VT_OK && lseek(fd, (off_t)tiles_at, SEEK_SET) < 0)
        st = vt_fail_errno(err, VT_EIO, "cannot write");
    if (st == VT_OK) st = write_tiles(j, fd, tiles_at, err);
    vt_buffer_deinit(&head);
    return st;
}

/* What can be refused is refused first: the place and the room. */
static vt_status write_at(writing *j, const char *path, const vt_gguf *gguf, vt_pool *pool,
                          const uint8_t source[VT_SHA256_BYTES], uint64_t *n_bytes, vt_err *err)
{
    vt_replacement r;
    uint64_t tiles_at = 0;
    vt_status st =
        vt_packed_tiles_at(vt_gguf_entries_bytes(gguf), j->tensors, j->n_tensors, &tiles_at, err);
    if (st == VT_OK) st = vt_replacement_begin(path, &r, err);
    if (st != VT_OK) return st;
    *n_bytes = tiles_at + j->n_region;
    st = take_room(r.fd, *n_bytes, err);
    if (st == VT_OK) st = compute_checksums(j, pool, err);
    if (st == VT_OK) st = write_file(j, r.fd, gguf, tiles_at, source, err);
    if (st != VT_OK) {
        vt_replacement_abort(&r);
        return st;
    }
    vt_progress_report(j->progress, "waiting for the disk", 0, 0);
    return vt_replacement_commit(&r, err);
}

vt_status vt_packed_write(const char *path, const vt_gguf *gguf, const vt_weights *w,
                          const uint8_t source[VT_SHA256_BYTES], vt_pool *pool,
                          const vt_progress *progress, uint64_t *n_bytes, vt_err *err)
{
    writing j = {.w = w, .n_tensors = vt_weights_n_parts(w), .progress = progress};
    uint64_t n = 0;
    j.region = vt_weights_region(w, &j.n_region);
    if (j.region == NULL || vt_gguf_packed(gguf) != NULL)
        return vt_fail(err, VT_EINPUT, "only a model loaded from a GGUF file can be packed");
    j.tensors = vt_calloc(j.n_tensors, sizeof *j.tensors);
    if (j.tensors == NULL) return vt_fail(err, VT_ENOMEM, "out of memory");
    describe_tensors(&j);
    vt_status st = write_at(&j, path, gguf, pool, source, &n, err);
    if (st != VT_OK && st != VT_ECANCEL) st = vt_fail_wrap(err, st, "%.150s", path);
    if (st == VT_OK && n_bytes != NULL) *n_bytes = n;
    vt_free(j.tensors);
    return st;
}
