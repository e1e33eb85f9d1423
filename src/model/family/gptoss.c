/* gptoss.c -- gpt-oss-20b and -120b: attention with sinks, a sliding window on every other layer,
 * YaRN, and a mixture of experts with a clamped SwiGLU.
 *
 *     h += Wo attention(rope(Wq norm(h) + bq), rope(Wk norm(h) + bk), Wv norm(h) + bv; sinks) + bo
 *     h += sum over the top experts e of softmax(router)_e (Wdown_e swiglu(Wgate_e x + b, Wup_e x +
 * b) + b),  x = norm(h)
 *
 * Source: gpt-oss:gpt_oss/torch/model.py. Layers 0, 2, 4, ... see the last 128 positions
 * (themselves included), the others all. A sink is one learned logit a head that joins the
 * softmax's denominator only. YaRN's correction range is not rounded (there truncate = false),
 * unlike in ggml. */
#include "model/pass.h"

static const vt_experts_options experts = {.swiglu_alpha = 1.702f, .swiglu_limit = 7.0f};

enum { MAX_EXPERTS = 1024, MAX_WIDTH = 1 << 20, MAX_WINDOW = 1 << 22 };

static vt_status read(const vt_gguf *g, vt_slice prefix, vt_hyper *h, vt_err *err)
{
    vt_status st = vt_hyper_u32(g, prefix, "expert_count", MAX_EXPERTS, NULL, &h->n_experts, err);
    if (st == VT_OK)
        st = vt_hyper_u32(g, prefix, "expert_used_count", h->n_experts < 32 ? h->n_experts : 32,
                          NULL, &h->n_experts_used, err);
    if (st == VT_OK)
        st = vt_hyper_u32(g, prefix, "expert_feed_forward_length", MAX_WIDTH, &h->n_ff, &h->n_ff,
                          err);
    if (st == VT_OK)
        st = vt_hyper_u32(g, prefix, "attention.sliding_window", MAX_WINDOW, NULL, &h->window, err);
    if (st == VT_OK && h->n_ff % 16 != 0)
        st = vt_fail(err, VT_EUNSUPPORTED, "expert_feed_forward_length is %u, not a multiple of 16",
                     h->n_ff);
    h->rope.yarn_is_rounded = false; /* published with truncate = false */
    return st;
}

/* Files of two origins name some tensors differently: ggml's own converter first, then Ollama's. */
static const char *either(const vt_weights *w, uint32_t i, const char *first, const char *second)
{
    return vt_weights_has(w, first, i, ".weight") ? first : second;
}

static void bind_layer(vt_weights *w, const vt_hyper *h, uint32_t i, vt_layer *l)
{
    const uint32_t q_rows = h->n_heads * h->head_dim, kv_rows = h->n_heads_kv * h->head_dim;
    const char *attn_output = either(w, i, "blk.%u.attn_output", "blk.%u.attn_out");
    const char *sinks = vt_weights_has(w, "blk.%u.attn_sinks", i, ".weight") ? ".weight" : "";
    l->window = i % 2 == 0 ? h->window : 0;
    vt_weights_vector(w, "blk.%u.attn_norm", i, ".weight", h->n_embd, &l->attn_norm);
    vt_weights_matrix(w, "blk.%u.attn_q", i, q_rows, h->n_embd, &l->wq);
    vt_weights_vector(w, "blk.%u.attn_q", i, ".bias", q_rows, &l->bq);
    vt_weights_matrix(w, "blk.%u.attn_k", i, kv_rows, h->n_embd, &l->wk);
    vt_weights_vector(w, "blk.%u.attn_k", i, ".bias", kv_rows, &l->bk);
    vt_weights_matrix(w, "blk.%u.attn_v", i, kv_rows, h->n_embd, &l->wv);
    vt_weights_vector(w, "blk.%u.attn_v", i, ".bias", kv_rows, &l->bv);
    vt_weights_matrix(w, attn_output, i, h->n_embd, q_rows, &l->wo);
    vt_weights_vector(w, attn_output, i, ".bias", h->n_embd, &l->bo);
    vt_weights_vector(w, "blk.%u.attn_sinks", i, sinks, h->n_heads, &l->sinks);
    vt_weights_vector(w, either(w, i, "blk.%u.post_attention_norm", "blk.%u.ffn_norm"), i,
                      ".weight", h->n_embd, &l->ffn_norm);
    vt_weights_float_matrix(w, "blk.%u.ffn_gate_inp", i, h->n_experts, h->n_embd, &l->router);
    vt_weights_vector(w, "blk.%u.ffn_gate_inp", i, ".bias", h->n_experts, &l->router_bias);
    vt_weights_stack(w, "blk.%u.ffn_gate_exps", i, h->n_experts, h->n_ff, h->n_embd, &l->gate);
    vt_weights_vector(w, "blk.%u.ffn_gate_exps", i, ".bias", h->n_experts * h->n_ff, &l->gate_bias);
    vt_weights_stack(w, "blk.%u.ffn_up_exps", i, h->n_experts, h->n_ff, h->n_embd, &l->up);
    vt_weights_vector(w, "blk.%u.ffn_up_exps", i, ".bias", h->n_experts * h->n_ff, &l->up_bias);
    vt_weights_stack(w, "blk.%u.ffn_down_exps", i, h->n_experts, h->n_embd, h->n_ff, &l->down);
    vt_weights_vector(w, "blk.%u.ffn_down_exps", i, ".bias", h->n_experts * h->n_embd,
                      &l->down_bias);
}

static void forward(vt_pass *p)
{
    const vt_hyper *h = &p->model->hyper;
    for (uint32_t i = 0; i < h->n_layers && vt_pass_begin_layer(p, i); i++) {
        const vt_layer *l = &p->model->layers[i];

        const float *x = vt_pass_rms_norm(p, p->hidden, l->attn_norm);
        const vt_linear qkv[] = {{.matrix = &l->wq, .bias = l->bq, .y = p->q},
                                 {.matrix = &l->wk, .bias = l->bk, .y = p->k},
                                 {.matrix = &l->wv, .bias = l->bv, .y = p->v}};
        vt_pass_linear(p, x, qkv, 3);
        vt_pass_rope(p, p->q, h->n_heads);
        vt_pass_rope(p, p->k, h->n_heads_kv);
        vt_pass_attend(p, l, i, p->q, p->k, p->v, p->attended);
        vt_pass_linear(p, p->attended,
                       &(vt_linear){.matrix = &l->wo, .bias = l->bo, .y = p->hidden, .adds = true},
                       1);

        x = vt_pass_rms_norm(p, p->hidden, l->ffn_norm);
        vt_pass_experts(p, l, x, &experts, p->hidden);
    }
}

static const char *const architectures[] = {"gpt-oss", "gptoss", NULL};

const vt_family vt_family_gptoss = {
    .architectures = architectures,
    .read = read,
    .bind_layer = bind_layer,
    .forward = forward,
};
