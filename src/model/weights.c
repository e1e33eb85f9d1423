/* weights.c -- see weights.h. */
#include "model/weights.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "base/clock.h"
#include "base/cpu.h"
#include "base/file.h"
#include "kernels/math.h"
#include "model/packed.h"

enum {
    MAX_BINDINGS = 1 << 16,
    MAX_ROWS = 1 << 26,
    READ_BYTES =
        256 << 10, /* read and packed in one piece, at least one tile: stays in the cache */
    HUGE_PAGE = 2 << 20,
    POPULATE_BYTES = 16 << 20, /* of a mapping, by one task */
};

/* One tensor on its way to memory. */
typedef struct {
    const vt_gguf_tensor *tensor;
    const vt_format_info *format;
    vt_matrix *matrix; /* one of these two */
    const float **vector;
    uint64_t at; /* in the region */
    uint64_t n_bytes;
    uint32_t n_stack, n_rows, n_cols;
} binding;

/* A stretch of tiles of one matrix, or a whole vector: the unit of work of a thread. */
typedef struct {
    uint32_t i_binding;
    uint32_t i_stack;
    uint32_t first_tile;
    uint32_t n_tiles;
} chunk;

struct vt_weights {
    const vt_gguf *gguf;
    const vt_packed *packed; /* NULL: the file is a GGUF file, to be loaded */
    bool *is_used;           /* for each tensor of the file */
    binding *bindings;
    size_t n_bindings, cap_bindings;
    chunk *chunks;
    size_t n_chunks, cap_chunks;
    uint8_t *region;
    uint64_t n_bytes;  /* of the matrices and vectors, with what is between them */
    uint64_t n_region; /* of the region: whole huge pages */
    vt_err error;      /* sticky; code VT_OK while there is none */
};

vt_status vt_weights_new(const vt_gguf *gguf, vt_weights **out, vt_err *err)
{
    vt_weights *w = vt_calloc(1, sizeof *w);
    if (w == NULL) return vt_fail(err, VT_ENOMEM, "out of memory");
    w->is_used = vt_calloc(vt_gguf_n_tensors(gguf), sizeof *w->is_used);
    if (w->is_used == NULL) {
        vt_free(w);
        return vt_fail(err, VT_ENOMEM, "out of memory");
    }
    w->gguf = gguf;
    w->packed = vt_gguf_packed(gguf);
    *out = w;
    return VT_OK;
}

void vt_weights_free(vt_weights *w)
{
    if (w == NULL) return;
    if (w->region != NULL) munmap(w->region, w->n_region);
    vt_free(w->bindings);
    vt_free(w->chunks);
    vt_free(w->is_used);
    vt_free(w);
}

vt_status vt_weights_status(const vt_weights *w, vt_err *err)
{
    if (w->error.code != VT_OK && err != NULL) *err = w->error;
    return w->error.code;
}

static vt_slice tensor_name(char *buffer, size_t size, const char *pattern, uint32_t layer,
                            const char *suffix)
{
    /* The pattern has at most one %u; it is written by the families, never by a file. */
    int n = 0;
    const char *mark = strstr(pattern, "%u");
    if (mark == NULL) n = snprintf(buffer, size, "%s%s", pattern, suffix);
    else
        n = snprintf(buffer, size, "%.*s%u%s%s", (int)(mark - pattern), pattern, layer, mark + 2,
                     suffix);
    return vt_slice_of(buffer, n < 0 ? 0 : (size_t)n < size ? (size_t)n : size - 1);
}

bool vt_weights_has(const vt_weights *w, const char *pattern, uint32_t layer, const char *suffix)
{
    char name[128];
    return vt_gguf_find_tensor(w->gguf, tensor_name(name, sizeof name, pattern, layer, suffix)) !=
           NULL;
}

/* "4096 x 1536" as the file would write it */
static void write_dims(char *out, size_t size, const uint64_t *dims, uint32_t n_dims)
{
    size_t used = 0;
    out[0] = '\0';
    for (uint32_t i = 0; i < n_dims && used < size; i++) {
        int n = snprintf(out + used, size - used, "%s%llu", i ? " x " : "",
                         (unsigned long long)dims[i]);
        if (n < 0) return;
        used += (size_t)n;
    }
}

static bool same_dims(const vt_gguf_tensor *t, const uint64_t *dims, uint32_t n_dims)
{
    for (uint32_t i = 0; i < VT_GGUF_MAX_DIMS; i++)
        if (t->dims[i] != (i < n_dims ? dims[i] : 1)) return false;
    return true;
}

/* Find the tensor, check its shape, and reserve its place. NULL after a failure (now or before). */
static binding *bind(vt_weights *w, vt_slice name, const uint64_t *dims, uint32_t n_dims)
{
    if (w->error.code != VT_OK) return NULL;
    const vt_gguf_tensor *t = vt_gguf_find_tensor(w->gguf, name);
    char want[96], has[96];
    if (t == NULL) {
        vt_fail(&w->error, VT_EINPUT, "tensor %.*s is missing from the file", VT_ARG(name));
        return NULL;
    }
    if (dims != NULL && !same_dims(t, dims, n_dims)) {
        write_dims(want, sizeof want, dims, n_dims);
        write_dims(has, sizeof has, t->dims, t->n_dims);
        vt_fail(&w->error, VT_EINPUT, "tensor %.*s is %s, but the hyper-parameters ask for %s",
                VT_ARG(name), has, want);
        return NULL;
    }
    const vt_format_info *format = vt_format_by_id(t->format_id);
    if (format == NULL) {
        vt_fail(&w->error, VT_EUNSUPPORTED,
                "tensor %.*s has number format %u, which vetro does not know (it knows F32 F16 "
                "BF16 Q8_0 Q4_0 Q4_1 Q5_0 "
                "Q4_K Q5_K Q6_K MXFP4)",
                VT_ARG(name), t->format_id);
        return NULL;
    }
    if (!vt_grow((void **)&w->bindings, &w->cap_bindings, w->n_bindings + 1, sizeof *w->bindings,
                 MAX_BINDINGS)) {
        vt_fail(&w->error, VT_ENOMEM, "out of memory");
        return NULL;
    }
    binding *b = &w->bindings[w->n_bindings++];
    *b = (binding){.tensor = t, .format = format, .at = w->n_bytes};
    w->is_used[t - vt_gguf_tensor_at(w->gguf, 0)] = true;
    return b;
}

static void reserve(vt_weights *w, binding *b, uint64_t bytes)
{
    uint64_t end;
    b->n_bytes = bytes;
    if (w->packed != NULL) b->at = b->tensor->offset - w->packed->header.tiles_at;
    if (!vt_add_u64(b->at, bytes, &end) || !vt_align_u64(end, VT_TILE_ALIGN, &end))
        vt_fail(&w->error, VT_ELIMIT, "tensor %.*s is too large", VT_ARG(b->tensor->name));
    else if (w->packed != NULL && bytes != b->tensor->n_bytes)
        vt_fail(&w->error, VT_ECORRUPT, "tensor %.*s has %llu bytes, not the %llu of its tiles",
                VT_ARG(b->tensor->name), (unsigned long long)b->tensor->n_bytes,
                (unsigned long long)bytes);
    else if (end > w->n_bytes) w->n_bytes = end;
}

void vt_weights_stack(vt_weights *w, const char *pattern, uint32_t layer, uint32_t n_stack,
                      uint32_t n_rows, uint32_t n_cols, vt_matrix *out)
{
    char name[128];
    const uint64_t dims[3] = {n_cols, n_rows, n_stack};
    binding *b = bind(w, tensor_name(name, sizeof name, pattern, layer, ".weight"), dims,
                      n_stack == 1 ? 2 : 3);
    if (b == NULL) return;
    if (n_rows == 0 || n_rows > MAX_ROWS || n_cols == 0 || n_cols % b->format->block_len != 0) {
        vt_fail(&w->error, VT_EINPUT,
                "tensor %s: %u columns are no multiple of %u, the block of %s", name, n_cols,
                b->format->block_len, b->format->name);
        return;
    }
    b->matrix = out;
    b->n_stack = n_stack;
    b->n_rows = n_rows;
    b->n_cols = n_cols;
    uint64_t bytes;
    if (!vt_mul_u64(vt_tile_bytes(b->format->id, n_cols), (uint64_t)vt_tiles_of(n_rows) * n_stack,
                    &bytes))
        bytes = UINT64_MAX;
    reserve(w, b, bytes);
}

void vt_weights_matrix(vt_weights *w, const char *pattern, uint32_t layer, uint32_t n_rows,
                       uint32_t n_cols, vt_matrix *out)
{
    vt_weights_stack(w, pattern, layer, 1, n_rows, n_cols, out);
}

void vt_weights_float_matrix(vt_weights *w, const char *pattern, uint32_t layer, uint32_t n_rows,
                             uint32_t n_cols, vt_matrix *out)
{
    vt_weights_matrix(w, pattern, layer, n_rows, n_cols, out);
    if (w->error.code != VT_OK) return;
    const binding *b = &w->bindings[w->n_bindings - 1];
    if (b->format->activation_len != 0)
        vt_fail(&w->error, VT_EUNSUPPORTED, "tensor %.*s is %s; it must be F32, F16 or BF16",
                VT_ARG(b->tensor->name), b->format->name);
}

void vt_weights_vector(vt_weights *w, const char *pattern, uint32_t layer, const char *suffix,
                       uint32_t n, const float **out)
{
    char name[128];
    binding *b = bind(w, tensor_name(name, sizeof name, pattern, layer, suffix), NULL, 0);
    if (b == NULL) return;
    const uint64_t *d = b->tensor->dims;
    uint64_t n_values; /* the reader has checked the product for overflow */
    if (!vt_mul_u64(d[0] * d[1], d[2] * d[3], &n_values) || n_values != n ||
        b->format->block_len != 1) {
        char has[96];
        write_dims(has, sizeof has, d, b->tensor->n_dims);
        vt_fail(&w->error, VT_EINPUT, "tensor %s is %s %s, not %u values of F32, F16 or BF16", name,
                has, b->format->name, n);
        return;
    }
    b->vector = out;
    b->n_stack = 1;
    b->n_rows = 1;
    b->n_cols = n;
    reserve(w, b, (uint64_t)n * sizeof(float));
}

uint64_t vt_weights_bytes(const vt_weights *w)
{
    return w->error.code == VT_OK ? w->n_bytes : 0;
}

uint64_t vt_weights_own_bytes(const vt_weights *w)
{
    return w->packed == NULL ? vt_weights_bytes(w) : 0;
}

size_t vt_weights_n_parts(const vt_weights *w)
{
    return w->n_bindings;
}

vt_weights_part vt_weights_part_at(const vt_weights *w, size_t i)
{
    const binding *b = &w->bindings[i];
    uint32_t format = b->vector != NULL ? VT_FORMAT_F32 : (uint32_t)b->format->id;
    return (vt_weights_part){b->tensor, format, b->at, b->n_bytes};
}

const uint8_t *vt_weights_region(const vt_weights *w, uint64_t *n_bytes)
{
    *n_bytes = w->n_region;
    return w->region;
}

void vt_weights_formats(const vt_weights *w, char *out, size_t size)
{
    size_t n;
    const vt_format_info *all = vt_format_all(&n);
    uint64_t bytes[32] = {0};
    for (size_t i = 0; i < w->n_bindings; i++)
        if (w->bindings[i].matrix != NULL)
            bytes[w->bindings[i].format - all] += w->bindings[i].tensor->n_bytes;
    size_t used = 0;
    if (size > 0) out[0] = '\0';
    for (;;) {
        size_t most = 0;
        for (size_t i = 1; i < n; i++)
            if (bytes[i] > bytes[most]) most = i;
        if (bytes[most] == 0 || used >= size) return;
        int written = snprintf(out + used, size - used, "%s%s", used ? ", " : "", all[most].name);
        used += written > 0 ? (size_t)written : 0;
        bytes[most] = 0;
    }
}

const vt_gguf_tensor *vt_weights_unused(const vt_weights *w, size_t *n_unused)
{
    const vt_gguf_tensor *first = NULL;
    *n_unused = 0;
    for (size_t i = 0; i < vt_gguf_n_tensors(w->gguf); i++) {
        if (w->is_used[i]) continue;
        if (first == NULL) first = vt_gguf_tensor_at(w->gguf, i);
        ++*n_unused;
    }
    return first;
}

/* ---- loading ---- */

static size_t row_bytes(const binding *b)
{
    return (size_t)(b->n_cols / b->format->block_len) * b->format->block_bytes;
}

static bool add_chunk(vt_weights *w, chunk c)
{
    if (!vt_grow((void **)&w->chunks, &w->cap_chunks, w->n_chunks + 1, sizeof c,
                 SIZE_MAX / sizeof c))
        return false;
    w->chunks[w->n_chunks++] = c;
    return true;
}

/* How many tiles from the one at `at` on begin in the same huge page. A page is one thread's: two
 * that touch it first at the same time would both have the kernel clear one. */
static uint32_t tiles_of_page(uint64_t at, size_t tile_bytes, uint32_t n_left)
{
    uint64_t n = (HUGE_PAGE - at % HUGE_PAGE + tile_bytes - 1) / tile_bytes;
    return n < n_left ? (uint32_t)n : n_left;
}

/* Cut everything into chunks; *buffer_bytes is what reading one needs at most. */
static bool plan_chunks(vt_weights *w, size_t *buffer_bytes)
{
    *buffer_bytes = READ_BYTES;
    for (uint32_t i = 0; i < w->n_bindings; i++) {
        const binding *b = &w->bindings[i];
        size_t tile_source = row_bytes(b) * (b->matrix ? VT_TILE_ROWS : 1);
        if (tile_source > *buffer_bytes) *buffer_bytes = tile_source;
        uint32_t n_tiles = b->matrix ? vt_tiles_of(b->n_rows) : 1;
        size_t tile_bytes = (size_t)(b->n_bytes / n_tiles / b->n_stack);
        uint64_t at = b->at;
        for (uint32_t s = 0; s < b->n_stack; s++)
            for (uint32_t t = 0; t < n_tiles;) {
                uint32_t n = tiles_of_page(at, tile_bytes, n_tiles - t);
                if (!add_chunk(w, (chunk){i, s, t, n})) return false;
                t += n;
                at += (uint64_t)n * tile_bytes;
            }
    }
    return true;
}

typedef struct {
    vt_weights *w;
    uint8_t *buffers;
    size_t buffer_bytes;
    const vt_progress *progress;
    atomic_bool has_failed;
    atomic_uint_fast64_t done;
    double last_report; /* thread 0 only */
    vt_err *error;      /* [n_threads] */
} load_job;

static void widen_vector(const binding *b, const uint8_t *source, float *out)
{
    if (b->format->id == VT_FORMAT_F32) {
        memcpy(out, source, (size_t)b->n_cols * sizeof *out);
        return;
    }
    for (uint32_t i = 0; i < b->n_cols; i++) {
        uint16_t narrow;
        memcpy(&narrow, source + i * sizeof narrow, sizeof narrow);
        out[i] = b->format->id == VT_FORMAT_F16 ? vt_f16_to_f32(narrow) : vt_bf16_to_f32(narrow);
    }
}

static void pack_rows(const binding *b, const uint8_t *rows, uint32_t n_rows, uint8_t *tile)
{
    const size_t tile_bytes = vt_tile_bytes(b->format->id, b->n_cols);
    for (uint32_t r = 0; r < n_rows; r += VT_TILE_ROWS, tile += tile_bytes)
        vt_tile_pack(b->format->id, rows + r * row_bytes(b),
                     n_rows - r < VT_TILE_ROWS ? n_rows - r : VT_TILE_ROWS, b->n_cols, tile);
}

/* Read n_bytes of the tensor at `offset` of its data into the buffer. */
static vt_status read_source(const vt_weights *w, const binding *b, uint64_t offset, size_t n_bytes,
                             uint8_t *buffer, vt_err *err)
{
    int fd = vt_gguf_fd(w->gguf, b->tensor->i_file);
    vt_status st = vt_file_pread(fd, buffer, n_bytes, b->tensor->offset + offset, err);
    if (st != VT_OK) return vt_fail_wrap(err, st, "tensor %.*s", VT_ARG(b->tensor->name));
    return VT_OK;
}

static vt_status read_vector(const vt_weights *w, const binding *b, uint8_t *buffer, vt_err *err)
{
    vt_status st = read_source(w, b, 0, row_bytes(b), buffer, err);
    if (st != VT_OK) return st;
    float *vector = (float *)(void *)(w->region + b->at);
    widen_vector(b, buffer, vector);
    if (!vt_all_below(vector, b->n_cols, INFINITY))
        return vt_fail(err, VT_EINPUT, "tensor %.*s holds a value that is not finite",
                       VT_ARG(b->tensor->name));
    return VT_OK;
}

/* Read one chunk, as many tiles at a time as the buffer holds, into the region. */
static vt_status read_chunk(const vt_weights *w, const chunk *c, uint8_t *buffer, vt_err *err)
{
    const binding *b = &w->bindings[c->i_binding];
    if (b->vector != NULL) return read_vector(w, b, buffer, err);
    const size_t bytes = row_bytes(b), tile_bytes = vt_tile_bytes(b->format->id, b->n_cols);
    const uint64_t i_tile = (uint64_t)c->i_stack * vt_tiles_of(b->n_rows) + c->first_tile;
    const uint32_t end = c->first_tile + c->n_tiles == vt_tiles_of(b->n_rows)
                             ? b->n_rows
                             : (c->first_tile + c->n_tiles) * VT_TILE_ROWS;
    uint8_t *to = w->region + b->at + i_tile * tile_bytes;
    size_t step = READ_BYTES / (bytes * VT_TILE_ROWS); /* in tiles */
    if (step == 0) step = 1;
    for (uint32_t row = c->first_tile * VT_TILE_ROWS; row < end;) {
        uint32_t n = end - row;
        if (n > step * VT_TILE_ROWS) n = (uint32_t)step * VT_TILE_ROWS;
        uint64_t offset = ((uint64_t)c->i_stack * b->n_rows + row) * bytes;
        vt_status st = read_source(w, b, offset, n * bytes, buffer, err);
        if (st != VT_OK) return st;
        pack_rows(b, buffer, n, to);
        row += n;
        to += step * tile_bytes;
    }
    return VT_OK;
}

static void load_chunk(void *ctx, int i_task, int i_thread)
{
    load_job *job = ctx;
    if (atomic_load(&job->has_failed)) return;
    vt_weights *w = job->w;
    vt_err *err = &job->error[i_thread];
    const chunk *c = &w->chunks[i_task];
    vt_status st = vt_progress_cancelled(job->progress)
                       ? vt_fail(err, VT_ECANCEL, "loading was cancelled")
                       : read_chunk(w, c, job->buffers + (size_t)i_thread * job->buffer_bytes, err);
    if (st != VT_OK) {
        atomic_store(&job->has_failed, true);
        return;
    }
    const binding *b = &w->bindings[c->i_binding];
    uint64_t bytes = b->n_bytes; /* of a vector; of tiles below */
    if (b->matrix != NULL) bytes = vt_tile_bytes(b->format->id, b->n_cols) * (uint64_t)c->n_tiles;
    uint64_t done = atomic_fetch_add(&job->done, bytes) + bytes;
    if (i_thread == 0 && vt_clock_seconds() - job->last_report > 0.1) {
        job->last_report = vt_clock_seconds();
        vt_progress_report(job->progress, "loading the model", done, w->n_bytes);
    }
}

/* Addresses for n_bytes that begin at a multiple of HUGE_PAGE, so that whole huge pages fit; they
 * are mapped to nothing yet. NULL when there is no room. */
static uint8_t *reserve_addresses(uint64_t n_bytes)
{
    uint64_t all;
    if (!vt_add_u64(n_bytes, HUGE_PAGE, &all)) return NULL;
    uint8_t *p = mmap(NULL, all, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) return NULL;
    size_t before = (HUGE_PAGE - (uintptr_t)p % HUGE_PAGE) % HUGE_PAGE;
    if (before > 0) munmap(p, before);
    munmap(p + before + n_bytes, HUGE_PAGE - before);
    return p + before;
}

/* The region: memory of our own, or (fd >= 0) the file's bytes from `offset` on. */
static vt_status map_region(vt_weights *w, int fd, uint64_t offset, vt_err *err)
{
    /* Rounded up to whole huge pages so that the last tiles get one too; a packed file is. */
    if (!vt_align_u64(w->n_bytes, HUGE_PAGE, &w->n_region))
        return vt_fail(err, VT_ELIMIT, "the model is too large");
    uint8_t *p = reserve_addresses(w->n_region);
    const int flags = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE : MAP_SHARED;
    if (p == NULL || mmap(p, w->n_region, fd < 0 ? PROT_READ | PROT_WRITE : PROT_READ,
                          flags | MAP_FIXED, fd, (off_t)offset) == MAP_FAILED) {
        vt_status st = vt_fail_errno(err, VT_ENOMEM, "cannot map %.2f GiB for the weights",
                                     (double)w->n_bytes / 0x1p30);
        if (p != NULL) munmap(p, w->n_region);
        return st;
    }
    w->region = p;
    /* Advice only. For a file it also makes what has to be read from the disk come in huge pages,
     * where the file system has them. */
    (void)madvise(p, w->n_region, MADV_HUGEPAGE);
    return VT_OK;
}

static void set_targets(const vt_weights *w)
{
    for (size_t i = 0; i < w->n_bindings; i++) {
        const binding *b = &w->bindings[i];
        if (b->vector) *b->vector = (const float *)(const void *)(w->region + b->at);
        else
            *b->matrix =
                (vt_matrix){b->format->id, b->n_rows, b->n_cols, b->n_stack, w->region + b->at};
    }
}

/* ---- a packed file ---- */

typedef struct {
    vt_weights *w;
    const vt_progress *progress;
    atomic_int failed_errno;
    atomic_uint_fast64_t done;
    double last_report; /* thread 0 only */
} populate_job;

/* Enter a stretch of the mapping into the page tables, reading from the disk what is not cached:
 * one call for thousands of page faults. */
static void populate(void *ctx, int i_task, int i_thread)
{
    populate_job *job = ctx;
    vt_weights *w = job->w;
    uint64_t at = (uint64_t)i_task * POPULATE_BYTES;
    uint64_t n = w->n_region - at < POPULATE_BYTES ? w->n_region - at : POPULATE_BYTES;
    if (vt_progress_cancelled(job->progress)) return;
    if (!vt_packed_populate(w->region + at, n)) atomic_store(&job->failed_errno, errno);
    uint64_t done = atomic_fetch_add(&job->done, n) + n;
    if (i_thread == 0 && vt_clock_seconds() - job->last_report > 0.1) {
        job->last_report = vt_clock_seconds();
        vt_progress_report(job->progress, "loading the model", done, w->n_region);
    }
}

static vt_status check_vectors(const vt_weights *w, vt_err *err)
{
    for (size_t i = 0; i < w->n_bindings; i++) {
        const binding *b = &w->bindings[i];
        if (b->vector != NULL &&
            !vt_all_below((const float *)(const void *)(w->region + b->at), b->n_cols, INFINITY))
            return vt_fail(err, VT_ECORRUPT, "tensor %.*s holds a value that is not finite",
                           VT_ARG(b->tensor->name));
    }
    return VT_OK;
}

static vt_status map_packed(vt_weights *w, vt_pool *pool, const vt_progress *progress, vt_err *err)
{
    populate_job job = {.w = w, .progress = progress};
    vt_status st = map_region(w, vt_gguf_fd(w->gguf, 0), w->packed->header.tiles_at, err);
    if (st != VT_OK) return st;
    /* What is larger than the memory is better read when it is asked for, if ever. */
    if (w->n_region <= vt_cpu_memory_bytes())
        vt_pool_run(pool, populate, &job, (int)((w->n_region - 1) / POPULATE_BYTES + 1));
    if (vt_progress_cancelled(progress)) return vt_fail(err, VT_ECANCEL, "loading was cancelled");
    errno = atomic_load(&job.failed_errno);
    if (errno != 0) return vt_fail_errno(err, VT_EIO, "cannot read the packed weights");
    st = check_vectors(w, err);
    if (st == VT_OK) set_targets(w);
    return st;
}

/* ---- either ---- */

vt_status vt_weights_load(vt_weights *w, vt_pool *pool, const vt_progress *progress, vt_err *err)
{
    if (w->error.code != VT_OK) return vt_weights_status(w, err);
    if (w->packed != NULL) return map_packed(w, pool, progress, err);
    const int n_threads = vt_pool_n_threads(pool);
    load_job job = {.w = w, .progress = progress};
    vt_status st = VT_OK;
    if (!plan_chunks(w, &job.buffer_bytes) || w->n_chunks > INT32_MAX)
        return vt_fail(err, VT_ENOMEM, "out of memory");
    job.buffers = vt_alloc((size_t)n_threads * job.buffer_bytes);
    job.error = vt_calloc((size_t)n_threads, sizeof *job.error);
    if (job.buffers == NULL || job.error == NULL) {
        st = vt_fail(err, VT_ENOMEM, "out of memory");
        goto out;
    }
    st = map_region(w, -1, 0, err);
    if (st != VT_OK) goto out;
    vt_pool_run(pool, load_chunk, &job, (int)w->n_chunks);
    for (int i = 0; i < n_threads && st == VT_OK; i++) {
        st = job.error[i].code;
        if (st != VT_OK && err != NULL) *err = job.error[i];
    }
    if (st == VT_OK) set_targets(w);

out:
    vt_free(job.buffers);
    vt_free(job.error);
    return st;
}
