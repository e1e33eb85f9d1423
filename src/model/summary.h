/* summary.h -- what a model file is, read from its header alone: for `vetro show`, `list` and the
 * check that a pulled file is a model at all. Loads no weights.
 *
 * Ownership  texts are copied. Threads  safe. */
#ifndef VT_MODEL_SUMMARY_H
#define VT_MODEL_SUMMARY_H

#include "model/gguf.h"

typedef struct {
    char architecture[64];
    char name[128];    /* general.name, cut; may be empty */
    char licence[128]; /* general.license, cut; may be empty */
    char format[64];   /* formats of the matrices, the one with most bytes first: "Q4_K, Q6_K" */
    uint64_t n_parameters;
    uint64_t n_file_bytes;
    uint64_t n_weight_bytes;
    uint64_t context_length; /* 0: the file does not say */
    uint64_t n_layers, n_embd, n_vocab;
} vt_model_summary;

/* A header without general.architecture is VT_EINPUT. */
VT_MUSTUSE vt_status vt_model_summarise(const vt_gguf *g, vt_model_summary *out, vt_err *err);

/* An estimate of what running it takes: packed weights, an F16 KV cache for n_ctx tokens (0: the
 * model's context, at most 8192) and the working set of a prefill step. */
uint64_t vt_model_memory_estimate(const vt_gguf *g, uint64_t n_ctx);

#endif
