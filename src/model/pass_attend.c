/* pass_attend.c -- keys and values into the cache, then attention for every query of the pass.
 *
 * Keys of all tokens are stored (and rounded, rule 9) before any query looks, so prefill sees
 * exactly what a later decode or a restored cache sees. A task is one KV head and a few query
 * tokens with all their heads of that group: they share the loads of keys and values. */
#include "model/pass_scratch.h"

#include "kernels/math.h"

typedef struct {
    vt_pass *p;
    const vt_layer *layer;
    uint32_t i_layer;
    const float *q, *k, *v;
    float *out;
    uint32_t tokens_per_task;
    uint32_t n_blocks;
    atomic_bool has_overflowed; /* half's range */
    atomic_bool has_failed;     /* see BOUND */
} attend_job;

/* What q, k and v stay below, by magnitude, in a sound model: far below. A score of 256 products is
 * then below 2^122 and a sum of values below that, so that no infinity and no NaN can arise within
 * attention, whose maxima and masks would hide them. */
#define BOUND 0x1p57f

/* Put one key, and one value, of one head at its position. */
static bool store_half(const vt_kernels *kernels, const float *k, const float *v, uint32_t head_dim,
                       uint16_t *k_tile, uint16_t *v_tile, uint32_t lane)
{
    uint16_t narrow[VT_MAX_HEAD_DIM];
    if (!kernels->to_f16(k, head_dim, narrow)) return false;
    for (uint32_t d = 0; d < head_dim; d++) k_tile[(size_t)d * VT_KEY_TILE + lane] = narrow[d];
    return kernels->to_f16(v, head_dim, v_tile + (size_t)lane * head_dim);
}

static void store_float(const float *k, const float *v, uint32_t head_dim, float *k_tile,
                        float *v_tile, uint32_t lane)
{
    for (uint32_t d = 0; d < head_dim; d++) k_tile[(size_t)d * VT_KEY_TILE + lane] = k[d];
    memcpy(v_tile + (size_t)lane * head_dim, v, head_dim * sizeof *v);
}

/* One KV head of every token: each head's cache is written by one thread. */
static void store_head(void *ctx, int i_task, int i_thread)
{
    (void)i_thread;
    attend_job *job = ctx;
    const vt_hyper *h = &job->p->model->hyper;
    const vt_pass_scratch *s = job->p->scratch;
    const uint32_t head = (uint32_t)i_task, head_dim = h->head_dim;
    for (uint32_t t = 0; t < job->p->n_tokens; t++) {
        const vt_kv *kv = s->run_of[t]->kv;
        const vt_kv_layer *l = &kv->layers[job->i_layer];
        const size_t from = ((size_t)t * h->n_heads_kv + head) * head_dim;
        const size_t slot = s->position[t] / VT_KEY_TILE % l->n_slots;
        const size_t tile = ((size_t)head * l->n_slots + slot) * head_dim * VT_KEY_TILE;
        const uint32_t lane = s->position[t] % VT_KEY_TILE;
        if (!vt_all_below(job->k + from, head_dim, BOUND) ||
            !vt_all_below(job->v + from, head_dim, BOUND))
            atomic_store(&job->has_failed, true);
        else if (kv->is_f32)
            store_float(job->k + from, job->v + from, head_dim, (float *)(void *)l->k + tile,
                        (float *)(void *)l->v + tile, lane);
        else if (!store_half(job->p->kernels, job->k + from, job->v + from, head_dim,
                             (uint16_t *)(void *)l->k + tile, (uint16_t *)(void *)l->v + tile,
                             lane))
            atomic_store(&job->has_overflowed, true);
    }
}

/* Rows first .. first + n - 1 of the pass (all of one sequence) on one KV head. */
static void attend_rows(attend_job *job, uint32_t head_kv, uint32_t first, uint32_t n, int i_thread)
{
    const vt_hyper *h = &job->p->model->hyper;
    const vt_pass_scratch *s = job->p->scratch;
    const uint32_t group = h->n_heads / h->n_heads_kv, head_dim = h->head_dim;
    const vt_kv *kv = s->run_of[first]->kv;
    const vt_kv_layer *l = &kv->layers[job->i_layer];
    const size_t element = kv->is_f32 ? sizeof(float) : sizeof(uint16_t);
    const size_t head_bytes = (size_t)l->n_slots * head_dim * VT_KEY_TILE * element;
    const float *q[VT_ATTEND_MAX_ROWS];
    float *out[VT_ATTEND_MAX_ROWS];
    uint32_t begin[VT_ATTEND_MAX_ROWS], end[VT_ATTEND_MAX_ROWS], n_rows = 0;
    float sink[VT_ATTEND_MAX_ROWS];
    vt_attend_job rows = {
        .kv = {l->k + head_kv * head_bytes, l->v + head_kv * head_bytes, l->n_slots, head_dim,
               kv->is_f32},
        .q = q,
        .out = out,
        .begin = begin,
        .end = end,
        .sink = job->layer->sinks ? sink : NULL,
        .scale = 1.0f / sqrtf((float)head_dim),
        .scratch = s->attend + (size_t)i_thread * s->attend_stride,
    };
    for (uint32_t t = first; t < first + n; t++) {
        for (uint32_t g = 0; g < group; g++) {
            const uint32_t head = head_kv * group + g;
            q[n_rows] = job->q + ((size_t)t * h->n_heads + head) * head_dim;
            if (!vt_all_below(q[n_rows], head_dim, BOUND)) atomic_store(&job->has_failed, true);
            out[n_rows] = job->out + ((size_t)t * h->n_heads + head) * head_dim;
            end[n_rows] = s->position[t] + 1;
            begin[n_rows] = job->layer->window && end[n_rows] > job->layer->window
                                ? end[n_rows] - job->layer->window
                                : 0;
            if (job->layer->sinks) sink[n_rows] = job->layer->sinks[head];
            if (++n_rows < VT_ATTEND_MAX_ROWS) continue;
            rows.n_rows = n_rows;
            job->p->kernels->attend(&rows);
            n_rows = 0;
        }
    }
    rows.n_rows = n_rows;
    if (n_rows > 0) job->p->kernels->attend(&rows);
}

static void attend_task(void *ctx, int i_task, int i_thread)
{
    attend_job *job = ctx;
    const vt_pass *p = job->p;
    /* Heads vary fastest: blocks late in the prompt are the longest and start last otherwise. */
    const uint32_t n_kv = p->model->hyper.n_heads_kv;
    const uint32_t head = (uint32_t)i_task % n_kv,
                   i_block = job->n_blocks - 1 - (uint32_t)i_task / n_kv;
    uint32_t first = i_block * job->tokens_per_task, end = first + job->tokens_per_task;
    if (end > p->n_tokens) end = p->n_tokens;
    while (first < end) { /* a block may span sequences */
        uint32_t n = 1;
        while (first + n < end && p->scratch->run_of[first + n] == p->scratch->run_of[first]) n++;
        attend_rows(job, head, first, n, i_thread);
        first += n;
    }
}

void vt_pass_attend(vt_pass *p, const vt_layer *l, uint32_t i_layer, const float *q, const float *k,
                    const float *v, float *out)
{
    if (!vt__pass_ok(p)) return;
    const vt_hyper *h = &p->model->hyper;
    attend_job job = {.p = p, .layer = l, .i_layer = i_layer, .q = q, .k = k, .v = v, .out = out};
    vt_pool_run(p->pool, store_head, &job, (int)h->n_heads_kv);
    if (atomic_load(&job.has_failed)) vt__pass_fail_non_finite(p);
    if (atomic_load(&job.has_overflowed))
        vt__pass_fail(p, VT_ELIMIT,
                      "a key or value in layer %u is out of half range: run with --kv-type f32",
                      i_layer);
    if (!vt__pass_ok(p)) return;
    job.tokens_per_task = VT_ATTEND_MAX_ROWS / (h->n_heads / h->n_heads_kv);
    /* Sequences share no keys: of single tokens of many sequences, each is a task. */
    uint32_t longest = 1;
    for (size_t r = 0; r < p->n_runs; r++)
        if (p->runs[r].n_tokens > longest) longest = p->runs[r].n_tokens;
    if (job.tokens_per_task > longest) job.tokens_per_task = longest;
    if (job.tokens_per_task == 0) job.tokens_per_task = 1;
    job.n_blocks = (p->n_tokens + job.tokens_per_task - 1) / job.tokens_per_task;
    vt_pool_run(p->pool, attend_task, &job, (int)(job.n_blocks * h->n_heads_kv));
    if (atomic_load(&job.has_failed)) vt__pass_fail_non_finite(p);
}
