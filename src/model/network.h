/* network.h -- the inside of a loaded model, for model/ and engine/: hyper-parameters, layers, and
 * the table of families.
 *
 * One struct of hyper-parameters and one of layers serve every family; what a family lacks stays
 * zero. A family is a row of vt_families: it reads what the common part does not know, names its
 * tensors, and says how a token flows. */
#ifndef VT_MODEL_NETWORK_H
#define VT_MODEL_NETWORK_H

#include "model/model.h"
#include "model/rope.h"
#include "model/weights.h"

typedef struct vt_pass vt_pass;
typedef struct vt_family vt_family;

typedef struct {
    uint32_t n_layers, n_embd, n_vocab, n_ctx;
    uint32_t n_heads, n_heads_kv, head_dim;
    uint32_t n_ff;      /* of the feed-forward block, or of one expert */
    uint32_t n_experts; /* 0: dense */
    uint32_t n_experts_used;
    uint32_t window; /* sliding window of the layers that have one */
    float norm_eps;
    uint32_t rope_dims;
    vt_rope_options rope;
} vt_hyper;

/* Shapes are [rows][columns]; E = n_embd, D = head_dim, H = n_heads, G = n_heads_kv, F = n_ff, X =
 * n_experts. */
typedef struct {
    uint32_t window;        /* this layer's sliding window; 0: full attention */
    const float *attn_norm; /* [E] */
    vt_matrix wq, wk, wv;   /* [H D][E], [G D][E], [G D][E] */
    const float *bq, *bk, *bv;
    vt_matrix wo; /* [E][H D] */
    const float *bo;
    const float *sinks;               /* [H] */
    const float *ffn_norm;            /* [E] */
    vt_matrix gate, up;               /* [F][E], or a stack of X */
    vt_matrix down;                   /* [E][F], or a stack of X */
    const float *gate_bias, *up_bias; /* [X][F] */
    const float *down_bias;           /* [X][E] */
    vt_matrix router;                 /* [X][E], floating */
    const float *router_bias;
} vt_layer;

struct vt_model {
    vt_model_info info;
    char architecture[32];
    const vt_family *family;
    vt_hyper hyper;
    vt_rope rope;
    vt_gguf *gguf;
    vt_tokenizer *tokenizer; /* NULL: the file has none */
    vt_weights *weights;
    vt_matrix embedding; /* [V][E] */
    vt_matrix output;    /* [V][E]; the embedding itself when tied */
    const float *output_norm;
    const float *rope_divisors; /* NULL, or [rope_dims / 2] */
    vt_layer *layers;
};

struct vt_family {
    const char *const *architectures; /* names in GGUF files, NULL at the end; the first is ours */
    bool rope_is_interleaved;
    /* What the common hyper-parameters do not cover; may be NULL. `prefix` is the file's own
     * architecture name. */
    vt_status (*read)(const vt_gguf *g, vt_slice prefix, vt_hyper *h, vt_err *err);
    /* Name one layer's tensors. */
    void (*bind_layer)(vt_weights *w, const vt_hyper *h, uint32_t i, vt_layer *l);
    /* Run all layers on the pass's hidden state. */
    void (*forward)(vt_pass *p);
};

extern const vt_family vt_family_llama, vt_family_qwen2, vt_family_gptoss;

/* Load a GGUF file, or map a packed one (packed.h): read its metadata, bind, load, make the
 * tokenizer. */
VT_MUSTUSE vt_status vt_model_open(const char *path, vt_pool *pool, const vt_progress *progress,
                                   vt_model **out, vt_err *err);
void vt_model_close(vt_model *m);

/* Unsigned metadata "PREFIX.KEY". Absent: VT_EINPUT naming it, or *out = *fallback where a fallback
 * is given. A value of 0 or above `limit` is VT_EINPUT. */
VT_MUSTUSE vt_status vt_hyper_u32(const vt_gguf *g, vt_slice prefix, const char *key,
                                  uint32_t limit, const uint32_t *fallback, uint32_t *out,
                                  vt_err *err);
VT_MUSTUSE vt_status vt_hyper_f64(const vt_gguf *g, vt_slice prefix, const char *key,
                                  const double *fallback, double *out, vt_err *err);

#endif
