/* weights.h -- from a file's tensors to packed matrices and vectors in memory.
 *
 * A family names the tensors it needs and their shapes (vt_weights_matrix & co); nothing is read
 * yet. vt_weights_load then makes one huge-page-advised region, sized exactly, and lets all threads
 * read the file straight into it, packing tile by tile through a small buffer of each thread's own:
 * peak memory is the packed model plus those buffers.
 *
 * Of a packed file (packed.h) the region is a read-only mapping of the file itself: nothing is
 * copied, and processes that run the same model share the memory.
 *
 * The vt_weights_* calls keep a sticky first error, so that a family's list of tensors reads like a
 * table.
 *
 * Ownership  targets (vt_matrix, const float *) are the caller's and must stay where they are until
 * vt_weights_load; the region belongs to the vt_weights. Threads    one thread; vt_weights_load
 * uses the pool. */
#ifndef VT_MODEL_WEIGHTS_H
#define VT_MODEL_WEIGHTS_H

#include "base/pool.h"
#include "base/progress.h"
#include "kernels/matrix.h"
#include "model/gguf.h"

typedef struct vt_weights vt_weights;

VT_MUSTUSE vt_status vt_weights_new(const vt_gguf *gguf, vt_weights **out, vt_err *err);
void vt_weights_free(vt_weights *w); /* the region too */

/* Tensor names are printf patterns for the layer number: "blk.%u.attn_q". ".weight" is appended. */

/* A matrix [n_rows][n_cols]: the file's dims are {n_cols, n_rows}. */
void vt_weights_matrix(vt_weights *w, const char *pattern, uint32_t layer, uint32_t n_rows,
                       uint32_t n_cols, vt_matrix *out);
/* The same for n_stack matrices: dims {n_cols, n_rows, n_stack}. */
void vt_weights_stack(vt_weights *w, const char *pattern, uint32_t layer, uint32_t n_stack,
                      uint32_t n_rows, uint32_t n_cols, vt_matrix *out);
/* A matrix that must be F32, F16 or BF16, because its product is a floating one by definition: the
 * router of a mixture of experts. */
void vt_weights_float_matrix(vt_weights *w, const char *pattern, uint32_t layer, uint32_t n_rows,
                             uint32_t n_cols, vt_matrix *out);
/* n floats from F32, F16 or BF16, of any number of dims with that many values; `suffix` is
 * ".weight", ".bias" or "". A NaN or an infinity among them is VT_EINPUT at load: clamps, maxima
 * and sinks would hide it from the checks of a run. */
void vt_weights_vector(vt_weights *w, const char *pattern, uint32_t layer, const char *suffix,
                       uint32_t n, const float **out);

/* Is there such a tensor? */
bool vt_weights_has(const vt_weights *w, const char *pattern, uint32_t layer, const char *suffix);

/* Bytes of all that was asked for; 0 when a call before failed. */
uint64_t vt_weights_bytes(const vt_weights *w);
/* Of these, the ones that will be this process's own memory: none when a file is mapped. */
uint64_t vt_weights_own_bytes(const vt_weights *w);
/* The formats of the matrices, most bytes first: "Q4_K, Q6_K". */
void vt_weights_formats(const vt_weights *w, char *out, size_t size);
/* A tensor of the file that nobody asked for (NULL: none); *n_unused counts them. */
const vt_gguf_tensor *vt_weights_unused(const vt_weights *w, size_t *n_unused);

VT_MUSTUSE vt_status vt_weights_load(vt_weights *w, vt_pool *pool, const vt_progress *progress,
                                     vt_err *err);

/* ---- what was loaded, for the writer of packed files ---- */

typedef struct {
    const vt_gguf_tensor *tensor; /* its name and shape */
    uint32_t format_id;           /* of the loaded form: vectors are F32 */
    uint64_t at;                  /* in the region, a multiple of 64; parts are in order */
    uint64_t n_bytes;
} vt_weights_part;

size_t vt_weights_n_parts(const vt_weights *w);
vt_weights_part vt_weights_part_at(const vt_weights *w, size_t i);
/* *n_bytes is a multiple of 2 MiB. NULL before vt_weights_load. */
const uint8_t *vt_weights_region(const vt_weights *w, uint64_t *n_bytes);

/* The first error of the calls above. */
VT_MUSTUSE vt_status vt_weights_status(const vt_weights *w, vt_err *err);

#endif
