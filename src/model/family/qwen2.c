/* qwen2.c -- Qwen2, Qwen2.5 and the DeepSeek-R1 distillations of them: Llama's block with biases on
 * q, k and v, and half-split RoPE pairs.
 *
 * Sources: Qwen2 technical report (2024), section 2.2;
 * transformers:src/transformers/models/qwen2/modeling_qwen2.py. */
#include "model/pass.h"

static void bind_layer(vt_weights *w, const vt_hyper *h, uint32_t i, vt_layer *l)
{
    const uint32_t kv_rows = h->n_heads_kv * h->head_dim;
    vt_family_llama.bind_layer(w, h, i, l);
    vt_weights_vector(w, "blk.%u.attn_q", i, ".bias", h->n_heads * h->head_dim, &l->bq);
    vt_weights_vector(w, "blk.%u.attn_k", i, ".bias", kv_rows, &l->bk);
    vt_weights_vector(w, "blk.%u.attn_v", i, ".bias", kv_rows, &l->bv);
}

static void forward(vt_pass *p)
{
    vt_family_llama.forward(p);
}

static const char *const architectures[] = {"qwen2", NULL};

const vt_family vt_family_qwen2 = {
    .architectures = architectures,
    .bind_layer = bind_layer,
    .forward = forward,
};
