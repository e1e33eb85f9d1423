/* model.h -- what a model is: its architecture's hyper-parameters, its weights packed for the
 * kernels, its tokenizer. Read-only once loaded, shared by all sessions. */
#ifndef VT_MODEL_MODEL_H
#define VT_MODEL_MODEL_H

#include "base/hash.h"
#include "base/pool.h"
#include "base/progress.h"
#include "model/gguf.h"
#include "model/tokenizer.h"

typedef struct vt_model vt_model;

typedef struct {
    const char *architecture; /* "llama", "qwen2", "gpt-oss" */
    char name[128];           /* general.name, cut; may be empty */
    char format[64]; /* the formats of the matrices, the one with most bytes first: "Q4_K, Q6_K" */
    uint64_t n_parameters;
    uint64_t n_bytes; /* packed weights in memory */
    uint32_t n_layers, n_embd, n_vocab;
    uint32_t n_ctx_train; /* context the model was trained for */
    uint32_t n_heads, n_heads_kv, head_dim;
} vt_model_info;

const vt_model_info *vt_model_get_info(const vt_model *m);
const vt_gguf *vt_model_gguf(const vt_model *m);           /* metadata: chat template and so on */
const vt_tokenizer *vt_model_tokenizer(const vt_model *m); /* NULL when the file has none */

/* Write a model that was loaded from a GGUF file to `path` in its packed form (packed.h,
 * packed_write.h); `source` is its digest. *n_bytes, may be NULL: the file's length. */
VT_MUSTUSE vt_status vt_model_pack(const vt_model *m, const char *path,
                                   const uint8_t source[VT_SHA256_BYTES], vt_pool *pool,
                                   const vt_progress *progress, uint64_t *n_bytes, vt_err *err);

#endif
