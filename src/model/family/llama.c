/* llama.c -- Llama 2 and 3.x, SmolLM2 and others of the same shape.
 *
 *     h  = embedding[token]
 *     h += Wo attention(rope(Wq norm(h)), rope(Wk norm(h)), Wv norm(h))
 *     h += Wdown (silu(Wgate norm(h)) * Wup norm(h))
 *
 * Sources: LLaMA (Touvron et al. 2023), section 2;
 * transformers:src/transformers/models/llama/modeling_llama.py. GGUF stores the rows of Wq and Wk
 * so that rotated pairs are neighbours. Llama 3.1's scaled RoPE comes as rope_freqs.weight. */
#include "model/pass.h"

static void bind_layer(vt_weights *w, const vt_hyper *h, uint32_t i, vt_layer *l)
{
    const uint32_t q_rows = h->n_heads * h->head_dim, kv_rows = h->n_heads_kv * h->head_dim;
    vt_weights_vector(w, "blk.%u.attn_norm", i, ".weight", h->n_embd, &l->attn_norm);
    vt_weights_matrix(w, "blk.%u.attn_q", i, q_rows, h->n_embd, &l->wq);
    vt_weights_matrix(w, "blk.%u.attn_k", i, kv_rows, h->n_embd, &l->wk);
    vt_weights_matrix(w, "blk.%u.attn_v", i, kv_rows, h->n_embd, &l->wv);
    vt_weights_matrix(w, "blk.%u.attn_output", i, h->n_embd, q_rows, &l->wo);
    vt_weights_vector(w, "blk.%u.ffn_norm", i, ".weight", h->n_embd, &l->ffn_norm);
    vt_weights_matrix(w, "blk.%u.ffn_gate", i, h->n_ff, h->n_embd, &l->gate);
    vt_weights_matrix(w, "blk.%u.ffn_up", i, h->n_ff, h->n_embd, &l->up);
    vt_weights_matrix(w, "blk.%u.ffn_down", i, h->n_embd, h->n_ff, &l->down);
}

static void forward(vt_pass *p)
{
    const vt_hyper *h = &p->model->hyper;
    for (uint32_t i = 0; i < h->n_layers && vt_pass_begin_layer(p, i); i++) {
        const vt_layer *l = &p->model->layers[i];

        const float *x = vt_pass_rms_norm(p, p->hidden, l->attn_norm);
        /* Llama has no biases (NULL here); Qwen2, which is this block with them, comes the same
         * way. */
        const vt_linear qkv[] = {{.matrix = &l->wq, .bias = l->bq, .y = p->q},
                                 {.matrix = &l->wk, .bias = l->bk, .y = p->k},
                                 {.matrix = &l->wv, .bias = l->bv, .y = p->v}};
        vt_pass_linear(p, x, qkv, 3);
        vt_pass_rope(p, p->q, h->n_heads);
        vt_pass_rope(p, p->k, h->n_heads_kv);
        vt_pass_attend(p, l, i, p->q, p->k, p->v, p->attended);
        vt_pass_linear(p, p->attended, &(vt_linear){.matrix = &l->wo, .y = p->hidden, .adds = true},
                       1);

        x = vt_pass_rms_norm(p, p->hidden, l->ffn_norm);
        vt_pass_linear(
            p, x, (vt_linear[]){{.matrix = &l->gate, .y = p->gate}, {.matrix = &l->up, .y = p->up}},
            2);
        vt_pass_silu_mul(p, p->gate, p->up);
        vt_pass_linear(p, p->gate, &(vt_linear){.matrix = &l->down, .y = p->hidden, .adds = true},
                       1);
    }
}

static const char *const architectures[] = {"llama", NULL};

const vt_family vt_family_llama = {
    .architectures = architectures,
    .rope_is_interleaved = true,
    .bind_layer = bind_layer,
    .forward = forward,
};
