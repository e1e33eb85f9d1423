/* work.c -- see work.h. */
#include "model/work.h"

#include <math.h>

#include "model/network.h"

/* n_rows_used: tokens that are multiplied by it; n_matrices: of its stack that are read. */
static void add_matrix(const vt_matrix *m, double n_tokens, double n_matrices, vt_work *work)
{
    if (m->n_rows == 0) return; /* a family without it */
    double bytes = (double)vt_tiles_of(m->n_rows) * (double)vt_tile_bytes(m->format, m->n_cols);
    double ops = 2.0 * m->n_rows * m->n_cols * n_tokens;
    const bool is_float = vt_format_by_id(m->format)->activation_len == 0;
    work->weight_bytes += bytes * n_matrices;
    if (is_float) work->f32_ops += ops;
    else work->int8_ops += ops;
}

/* Positions that tokens first .. first + n - 1 see together: each its own and those before it,
 * at most `window` where there is one. */
static double positions_seen(uint32_t first, uint32_t n, uint32_t window)
{
    double seen = 0;
    for (uint32_t i = 0; i < n; i++) {
        double own = (double)first + i + 1;
        seen += window > 0 && own > window ? window : own;
    }
    return seen;
}

static void add_attention(const vt_hyper *h, const vt_layer *l, const vt_work_pass *pass,
                          vt_work *work)
{
    const uint32_t n = pass->n_tokens;
    double seen = positions_seen(pass->first_position, n, l->window);
    /* A pass reads a position once, however many of its tokens look at it. */
    double n_read = (double)pass->first_position + n, reach = (double)l->window + n - 1;
    if (l->window > 0 && n_read > reach) n_read = reach;
    const double ops = 4.0 * h->n_heads * h->head_dim * seen * pass->n_sequences;
    if (pass->kv_type == VT_KV_Q8_0) work->int8_ops += 2 * ops;
    else work->f32_ops += ops;
    work->kv_bytes += 2.0 * h->n_heads_kv * n_read / (double)VT_KEY_TILE *
                      (double)vt_kv_head_tile_bytes(pass->kv_type, h->head_dim) * pass->n_sequences;
}

void vt_work_add(const vt_model *m, const vt_work_pass *pass, vt_work *work)
{
    const vt_hyper *h = &m->hyper;
    const double n = (double)pass->n_sequences * pass->n_tokens;
    double chosen = 1, experts = 1; /* for a token; read in this pass */
    if (h->n_experts > 0) {
        chosen = h->n_experts_used;
        experts = h->n_experts * (1 - pow(1 - chosen / h->n_experts, n));
    }
    for (uint32_t i = 0; i < h->n_layers; i++) {
        const vt_layer *l = &m->layers[i];
        const vt_matrix *dense[] = {&l->wq, &l->wk, &l->wv, &l->wo, &l->router};
        const vt_matrix *feed[] = {&l->gate, &l->up, &l->down};
        for (size_t j = 0; j < VT_COUNT(dense); j++) add_matrix(dense[j], n, 1, work);
        for (size_t j = 0; j < VT_COUNT(feed); j++) add_matrix(feed[j], n * chosen, experts, work);
        add_attention(h, l, pass, work);
    }
    if (pass->n_logits > 0) add_matrix(&m->output, pass->n_logits, 1, work);
}
