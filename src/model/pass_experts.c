/* pass_experts.c -- a mixture of experts: route, group the tokens by expert, run each expert on its
 * tokens, add up.
 *
 * A slot is one (token, rank) pair; slots are sorted by expert so that each expert's inputs are
 * neighbours and its weights are read once per pass. Outputs are added per token in rank order
 * (rule 10), whatever the grouping. */
#include "model/pass_scratch.h"

#include "kernels/math.h"

/* The `used` largest logits of a token in order, ties to the lower index, and their softmax. */
static void choose(const float *logits, uint32_t n_experts, uint32_t used, uint32_t *chosen,
                   float *weight)
{
    uint32_t n = 0;
    for (uint32_t e = 0; e < n_experts; e++) {
        uint32_t at = n < used ? n : used;
        while (at > 0 && logits[e] > logits[chosen[at - 1]]) at--;
        if (at == used) continue;
        for (uint32_t i = n < used ? n++ : used - 1; i > at; i--) chosen[i] = chosen[i - 1];
        chosen[at] = e;
    }
    float sum = 0.0f;
    for (uint32_t r = 0; r < used; r++) {
        weight[r] = vt_expf(logits[chosen[r]] - logits[chosen[0]]);
        sum += weight[r];
    }
    for (uint32_t r = 0; r < used; r++) weight[r] /= sum;
}

static void route(vt_pass *p, const vt_layer *l, const float *x)
{
    const vt_hyper *h = &p->model->hyper;
    vt_pass_scratch *s = p->scratch;
    const uint32_t used = h->n_experts_used;
    vt_pass_linear(p, x,
                   &(vt_linear){.matrix = &l->router,
                                .bias = l->router_bias,
                                .y = s->router,
                                .stride = s->router_stride},
                   1);
    if (!vt__pass_ok(p)) return;
    /* A NaN would lose every comparison and just not be chosen. */
    for (uint32_t t = 0; t < p->n_tokens; t++)
        if (!vt_all_below(s->router + (size_t)t * s->router_stride, h->n_experts, INFINITY)) {
            vt__pass_fail_non_finite(p);
            return;
        }
    uint32_t *begin = s->expert_begin;
    memset(begin, 0, ((size_t)h->n_experts + 1) * sizeof *begin);
    for (uint32_t t = 0; t < p->n_tokens; t++) {
        choose(s->router + (size_t)t * s->router_stride, h->n_experts, used, s->chosen + t * used,
               s->chosen_weight + t * used);
        for (uint32_t r = 0; r < used; r++) begin[s->chosen[t * used + r] + 1]++;
    }
    for (uint32_t e = 0; e < h->n_experts; e++) begin[e + 1] += begin[e];
    /* begin[e] is moved to the end of e while slots are dealt, then back */
    for (uint32_t i = 0; i < p->n_tokens * used; i++) {
        uint32_t slot = begin[s->chosen[i]]++;
        s->slot_of[i] = slot;
        s->token_of[slot] = i / used;
    }
    for (uint32_t e = h->n_experts; e > 0; e--) begin[e] = begin[e - 1];
    begin[0] = 0;
    s->n_active = 0;
    for (uint32_t e = 0; e < h->n_experts; e++)
        if (begin[e + 1] > begin[e]) s->active[s->n_active++] = e;
}

typedef struct {
    vt_pass *p;
    const vt_layer *layer;
    const vt_experts_options *options;
    const float *x;
    float *hidden;
    vt_activations a[2];
    const vt_matrix *m[2];
    const float *bias[2];
    float *y[2];
    vt_tile_fn *tile[2];
    uint32_t n_outs;
    atomic_bool has_failed;
} expert_job;

/* One tile of expert e in matrix o, for all the expert's slots. */
static void run_expert_tile(const expert_job *job, uint32_t o, uint32_t e, uint32_t i_tile)
{
    const vt_pass_scratch *s = job->p->scratch;
    const vt_matrix *m = job->m[o];
    const uint32_t first = s->expert_begin[e], n = s->expert_begin[e + 1] - first;
    const uint32_t n_rows = m->n_rows, row = i_tile * VT_TILE_ROWS;
    const uint8_t *tile =
        m->tiles + ((size_t)e * vt_tiles_of(n_rows) + i_tile) * vt_tile_bytes(m->format, m->n_cols);
    const float *bias = job->bias[o] + (size_t)e * n_rows + row;
    float *y = job->y[o] + (size_t)first * n_rows + row;
    job->tile[o](tile, &job->a[o], first, n, y, n_rows);
    for (uint32_t t = 0; t < n; t++)
        job->p->kernels->add(y + (size_t)t * n_rows, bias, VT_TILE_ROWS);
}

/* A stretch of the tiles of all experts that have slots; of both matrices, where there are two. One
 * matrix after the other: each is read in one go. */
static void expert_task(void *ctx, int i_task, int i_thread)
{
    (void)i_thread;
    const expert_job *job = ctx;
    const vt_pass_scratch *s = job->p->scratch;
    const uint32_t n_tiles = vt_tiles_of(job->m[0]->n_rows);
    uint32_t begin, end;
    vt_pool_stretch(job->p->pool, s->n_active * n_tiles, (uint32_t)i_task, &begin, &end);
    for (uint32_t o = 0; o < job->n_outs; o++)
        for (uint32_t i = begin; i < end; i++)
            run_expert_tile(job, o, s->active[i / n_tiles], i % n_tiles);
}

static void gather_slot(void *ctx, int i_task, int i_thread)
{
    (void)i_thread;
    const expert_job *job = ctx;
    const uint32_t n_embd = job->p->model->hyper.n_embd;
    const vt_pass_scratch *s = job->p->scratch;
    memcpy(s->gathered + (size_t)i_task * n_embd, job->x + (size_t)s->token_of[i_task] * n_embd,
           n_embd * sizeof(float));
}

/* The tokens' rows by slot. A token goes to several experts, and is quantised once for all. */
static vt_activations spread_tokens(expert_job *job, vt_format format)
{
    vt_pass *p = job->p;
    const vt_pass_scratch *s = p->scratch;
    const vt_hyper *h = &p->model->hyper;
    vt_activations a = vt__pass_spread_activations(p, job->x, p->n_tokens, h->n_embd, format,
                                                   s->slot_of, h->n_experts_used);
    if (a.q == NULL) { /* a format of floats */
        vt_pool_run(p->pool, gather_slot, job, (int)(p->n_tokens * h->n_experts_used));
        a.x = s->gathered;
    }
    return a;
}

/* Each expert's matrices times its slots; x by slot, or NULL: job->x by token. */
static void run_experts(expert_job *job, const float *x)
{
    vt_pass *p = job->p;
    const vt_matrix *m = job->m[0];
    const uint32_t n_slots = p->n_tokens * p->model->hyper.n_experts_used;
    for (uint32_t o = 0; o < job->n_outs; o++) {
        const vt_format format = job->m[o]->format;
        if (o > 0 && format == m->format) job->a[o] = job->a[0];
        else if (x == NULL) job->a[o] = spread_tokens(job, format);
        else job->a[o] = vt__pass_activations(p, x, n_slots, m->n_cols, format);
        job->tile[o] = p->kernels->tile(format);
    }
    if (!vt__pass_ok(p)) return;
    /* Only experts that have slots make tasks: of 128, a token being decoded has 4. */
    const uint32_t n = p->scratch->n_active * vt_tiles_of(m->n_rows);
    vt_pool_run(p->pool, expert_task, job, (int)vt_pool_n_stretches(p->pool, n));
}

static void activate_slot(void *ctx, int i_task, int i_thread)
{
    (void)i_thread;
    expert_job *job = ctx;
    const uint32_t n_ff = job->p->model->hyper.n_ff;
    float *gate = job->p->gate + (size_t)i_task * n_ff;
    const float *up = job->p->up + (size_t)i_task * n_ff;
    /* The clamps would turn a NaN into the limit. */
    if (!vt_all_below(gate, n_ff, INFINITY) || !vt_all_below(up, n_ff, INFINITY))
        atomic_store(&job->has_failed, true);
    job->p->kernels->swiglu_clamped(gate, up, n_ff, job->options->swiglu_alpha,
                                    job->options->swiglu_limit, gate);
}

/* One token: its experts' outputs in rank order, then the residual. */
static void collect_token(void *ctx, int i_task, int i_thread)
{
    (void)i_thread;
    const expert_job *job = ctx;
    const vt_hyper *h = &job->p->model->hyper;
    const vt_pass_scratch *s = job->p->scratch;
    float *sum = s->gathered + (size_t)i_task * h->n_embd; /* free by now */
    memset(sum, 0, h->n_embd * sizeof *sum);
    for (uint32_t r = 0; r < h->n_experts_used; r++) {
        const uint32_t i = (uint32_t)i_task * h->n_experts_used + r;
        job->p->kernels->add_scaled(sum, s->expert_out + (size_t)s->slot_of[i] * h->n_embd,
                                    s->chosen_weight[i], h->n_embd);
    }
    job->p->kernels->add(job->hidden + (size_t)i_task * h->n_embd, sum, h->n_embd);
}

void vt_pass_experts(vt_pass *p, const vt_layer *l, const float *x,
                     const vt_experts_options *options, float *hidden)
{
    if (!vt__pass_ok(p)) return;
    const vt_hyper *h = &p->model->hyper;
    const uint32_t n_slots = p->n_tokens * h->n_experts_used;
    route(p, l, x);
    if (!vt__pass_ok(p)) return;
    expert_job job = {.p = p,
                      .layer = l,
                      .options = options,
                      .x = x,
                      .hidden = hidden,
                      .n_outs = 2,
                      .m = {&l->gate, &l->up},
                      .bias = {l->gate_bias, l->up_bias},
                      .y = {p->gate, p->up}};
    run_experts(&job, NULL);
    if (!vt__pass_ok(p)) return;
    vt_pool_run(p->pool, activate_slot, &job, (int)n_slots);
    if (atomic_load(&job.has_failed)) {
        vt__pass_fail_non_finite(p);
        return;
    }
    job.n_outs = 1;
    job.m[0] = &l->down;
    job.bias[0] = l->down_bias;
    job.y[0] = p->scratch->expert_out;
    run_experts(&job, p->gate);
    if (!vt__pass_ok(p)) return;
    vt_pool_run(p->pool, collect_token, &job, (int)p->n_tokens);
}
