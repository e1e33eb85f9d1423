/* pass_attend.c -- keys and values into the cache, then attention for every query of the pass.
 *
 * Keys of all tokens are stored (and rounded, rule 9) before any query looks, so prefill sees
 * exactly what a later decode or a restored cache sees. A task is one KV head and a few query
 * tokens with all their heads of that group: they share the loads of keys and values. With a token
 * or two that would be too few tasks; then the groups of key tiles and, if need be, the heads of a
 * group are tasks of their own, with the same bits (the shape of the sums never changes). */
#include "model/pass_scratch.h"

#include "kernels/hadamard.h"
#include "kernels/math.h"

enum { KEEP_ON_CALLER = 4 }; /* tokens whose keys are stored without waking anyone */

typedef struct {
    vt_pass *p;
    const vt_layer *layer;
    uint32_t i_layer;
    float *q;
    const float *k, *v;
    float *out;
    uint32_t tokens_per_task;
    uint32_t n_blocks;
    uint32_t n_parts, n_chunks; /* of a (token, KV head) when it is split; else 0 */
    atomic_bool has_overflowed; /* half's range */
    atomic_bool has_failed;     /* see BOUND */
} attend_job;

/* What q, k and v stay below, by magnitude, in a sound model: far below. A score of 256 products is
 * then below 2^122 and a sum of values below that, so that no infinity and no NaN can arise within
 * attention, whose maxima and masks would hide them. */
#define BOUND 0x1p57f

/* Put one key, and one value, of one head at its position in their tiles; false when a number is
 * too large for the format. */
typedef bool store_fn(const vt_kernels *kernels, const float *k, const float *v, uint32_t head_dim,
                      uint8_t *k_tile, uint8_t *v_tile, uint32_t lane);

static bool store_half(const vt_kernels *kernels, const float *k, const float *v, uint32_t head_dim,
                       uint8_t *k_tile, uint8_t *v_tile, uint32_t lane)
{
    uint16_t narrow[VT_MAX_HEAD_DIM];
    uint16_t *keys = (uint16_t *)(void *)k_tile, *values = (uint16_t *)(void *)v_tile;
    if (!kernels->to_f16(k, head_dim, narrow)) return false;
    for (uint32_t d = 0; d < head_dim; d++) keys[(size_t)d * VT_KEY_TILE + lane] = narrow[d];
    return kernels->to_f16(v, head_dim, values + (size_t)lane * head_dim);
}

static bool store_float(const vt_kernels *kernels, const float *k, const float *v,
                        uint32_t head_dim, uint8_t *k_tile, uint8_t *v_tile, uint32_t lane)
{
    (void)kernels;
    float *keys = (float *)(void *)k_tile, *values = (float *)(void *)v_tile;
    for (uint32_t d = 0; d < head_dim; d++) keys[(size_t)d * VT_KEY_TILE + lane] = k[d];
    memcpy(values + (size_t)lane * head_dim, v, head_dim * sizeof *v);
    return true;
}

static bool store_q8(const vt_kernels *kernels, const float *k, const float *v, uint32_t head_dim,
                     uint8_t *k_tile, uint8_t *v_tile, uint32_t lane)
{
    const size_t n = (size_t)VT_KEY_TILE * head_dim;
    const uint32_t blocks = head_dim / 32;
    int8_t q[VT_MAX_HEAD_DIM];
    float rotated[VT_MAX_HEAD_DIM];
    float d[VT_MAX_HEAD_DIM / 32];
    int16_t sums[VT_MAX_HEAD_DIM / 32];
    uint16_t narrow[VT_MAX_HEAD_DIM / 32];
    uint16_t *k_scales = (uint16_t *)(void *)(k_tile + n),
             *v_scales = (uint16_t *)(void *)(v_tile + n);
    memcpy(rotated, k, head_dim * sizeof *k);
    vt_hadamard_key(rotated, head_dim);
    if (!kernels->quantize(rotated, head_dim, 32, q, d, NULL, sums) ||
        !kernels->to_f16(d, blocks, narrow))
        return false;
    for (uint32_t i = 0; i < head_dim; i++)
        k_tile[i / 32 * VT_KV_Q8_BLOCK + vt_kv_q8_at(i % 32, lane)] = (uint8_t)q[i];
    for (uint32_t b = 0; b < blocks; b++) k_scales[b * VT_KEY_TILE + lane] = narrow[b];
    if (!kernels->quantize(v, head_dim, 32, q, d, NULL, sums) ||
        !kernels->to_f16(d, blocks, narrow))
        return false;
    for (uint32_t i = 0; i < head_dim; i++)
        v_tile[i / 32 * VT_KV_Q8_BLOCK + vt_kv_q8_at(lane, i % 32)] = (uint8_t)q[i];
    for (uint32_t b = 0; b < blocks; b++) v_scales[b * VT_KEY_TILE + lane] = narrow[b];
    return true;
}

static store_fn *const store_as[] = {
    [VT_KV_F16] = store_half, [VT_KV_F32] = store_float, [VT_KV_Q8_0] = store_q8};

/* The queries of a token on one KV head: looked at as they come, then rotated if their keys are. */
static void prepare_queries(attend_job *job, uint32_t token, uint32_t head_kv, vt_kv_type type)
{
    const vt_hyper *h = &job->p->model->hyper;
    const uint32_t group = h->n_heads / h->n_heads_kv, head_dim = h->head_dim;
    float *q = job->q + ((size_t)token * h->n_heads + (size_t)head_kv * group) * head_dim;
    if (!vt_all_below(q, (size_t)group * head_dim, BOUND)) atomic_store(&job->has_failed, true);
    if (type != VT_KV_Q8_0) return;
    for (uint32_t g = 0; g < group; g++) vt_hadamard_query(q + (size_t)g * head_dim, head_dim);
}

/* One KV head of every token, and the queries that meet it: each head's cache is written by one
 * thread. */
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
        const size_t tile =
            ((size_t)head * l->n_slots + slot) * vt_kv_head_tile_bytes(kv->type, head_dim);
        if (!vt_all_below(job->k + from, head_dim, BOUND) ||
            !vt_all_below(job->v + from, head_dim, BOUND))
            atomic_store(&job->has_failed, true);
        else if (!store_as[kv->type](job->p->kernels, job->k + from, job->v + from, head_dim,
                                     l->k + tile, l->v + tile, s->position[t] % VT_KEY_TILE))
            atomic_store(&job->has_overflowed, true);
        prepare_queries(job, t, head, kv->type);
    }
}

/* Query rows of one sequence on one KV head, on their way to the kernel. */
typedef struct {
    vt_attend_job job;
    const float *q[VT_ATTEND_MAX_ROWS];
    float *out[VT_ATTEND_MAX_ROWS];
    uint32_t begin[VT_ATTEND_MAX_ROWS], end[VT_ATTEND_MAX_ROWS];
    float sink[VT_ATTEND_MAX_ROWS];
    vt_attend_state state[VT_ATTEND_MAX_ROWS];
} row_set;

static void begin_rows(const attend_job *job, row_set *rows, uint32_t head_kv, uint32_t token,
                       int i_thread)
{
    const vt_pass_scratch *s = job->p->scratch;
    const uint32_t head_dim = job->p->model->hyper.head_dim;
    const vt_kv *kv = s->run_of[token]->kv;
    const vt_kv_layer *l = &kv->layers[job->i_layer];
    const size_t head = head_kv * l->n_slots * vt_kv_head_tile_bytes(kv->type, head_dim);
    rows->job = (vt_attend_job){
        .kv = {l->k + head, l->v + head, l->n_slots, head_dim, kv->type},
        .q = rows->q,
        .out = rows->out,
        .begin = rows->begin,
        .end = rows->end,
        .sink = job->layer->sinks ? rows->sink : NULL,
        .state = rows->state,
        .scale = 1.0f / sqrtf((float)head_dim),
        .scratch = s->attend + (size_t)i_thread * s->attend_stride,
    };
}

/* The first position that a token sees. */
static uint32_t first_seen(const attend_job *job, uint32_t token)
{
    const uint32_t end = job->p->scratch->position[token] + 1, window = job->layer->window;
    return window != 0 && end > window ? end - window : 0;
}

static void add_row(const attend_job *job, row_set *rows, uint32_t token, uint32_t head)
{
    const vt_hyper *h = &job->p->model->hyper;
    const size_t at = ((size_t)token * h->n_heads + head) * h->head_dim;
    const uint32_t n = rows->job.n_rows++;
    rows->q[n] = job->q + at;
    rows->out[n] = job->out + at;
    rows->begin[n] = first_seen(job, token);
    rows->end[n] = job->p->scratch->position[token] + 1;
    if (job->layer->sinks) rows->sink[n] = job->layer->sinks[head];
}

/* Rows first .. first + n - 1 of the pass (all of one sequence) on one KV head. */
static void attend_rows(const attend_job *job, uint32_t head_kv, uint32_t first, uint32_t n,
                        int i_thread)
{
    const uint32_t group = job->p->model->hyper.n_heads / job->p->model->hyper.n_heads_kv;
    row_set rows;
    begin_rows(job, &rows, head_kv, first, i_thread);
    for (uint32_t t = first; t < first + n; t++)
        for (uint32_t g = 0; g < group; g++) {
            add_row(job, &rows, t, head_kv * group + g);
            if (rows.job.n_rows < VT_ATTEND_MAX_ROWS) continue;
            job->p->kernels->attend(&rows.job);
            rows.job.n_rows = 0;
        }
    if (rows.job.n_rows > 0) job->p->kernels->attend(&rows.job);
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

/* ---- few tokens: the pieces of each (token, KV head) are tasks ---- */

/* Where part i of a (token, head) lies. */
static size_t part_at(const attend_job *job, uint32_t token, uint32_t head, uint32_t i)
{
    return ((size_t)token * job->p->model->hyper.n_heads + head) * job->n_parts + i;
}

static void part_task(void *ctx, int i_task, int i_thread)
{
    attend_job *job = ctx;
    const vt_hyper *h = &job->p->model->hyper;
    vt_pass_scratch *s = job->p->scratch;
    const uint32_t group = h->n_heads / h->n_heads_kv, i = (uint32_t)i_task;
    const uint32_t i_part = i % job->n_parts, i_chunk = i / job->n_parts % job->n_chunks;
    const uint32_t head_kv = i / (job->n_parts * job->n_chunks) % h->n_heads_kv,
                   token = i / (job->n_parts * job->n_chunks * h->n_heads_kv);
    const uint32_t first = head_kv * group + group * i_chunk / job->n_chunks,
                   end = head_kv * group + group * (i_chunk + 1) / job->n_chunks;
    for (uint32_t head = first; head < end;) {
        row_set rows;
        const uint32_t head0 = head;
        begin_rows(job, &rows, head_kv, token, i_thread);
        for (; head < end && rows.job.n_rows < VT_ATTEND_MAX_ROWS; head++)
            add_row(job, &rows, token, head);
        if (job->n_parts == 1) {
            job->p->kernels->attend(&rows.job);
            continue;
        }
        for (uint32_t r = 0; r < rows.job.n_rows; r++)
            rows.out[r] = s->parts + part_at(job, token, head0 + r, i_part) * h->head_dim;
        job->p->kernels->attend_part(&rows.job, first_seen(job, token) / VT_ATTEND_GROUP + i_part);
        for (uint32_t r = 0; r < rows.job.n_rows; r++)
            s->part_states[part_at(job, token, head0 + r, i_part)] = rows.state[r];
    }
}

/* One query row out of its parts. */
static void merge_row(const attend_job *job, uint32_t token, uint32_t head)
{
    const vt_pass_scratch *s = job->p->scratch;
    const vt_hyper *h = &job->p->model->hyper;
    const size_t at = part_at(job, token, head, 0);
    job->p->kernels->attend_merge(job->out + ((size_t)token * h->n_heads + head) * h->head_dim,
                                  h->head_dim, job->layer->sinks ? &job->layer->sinks[head] : NULL,
                                  s->part_states + at, s->parts + at * h->head_dim, job->n_parts);
}

/* Groups of key tiles that the tokens of the pass touch: the most of any. */
static uint32_t count_parts(const attend_job *job)
{
    uint32_t most = 1;
    for (uint32_t t = 0; t < job->p->n_tokens; t++) {
        const uint32_t last = job->p->scratch->position[t] / VT_ATTEND_GROUP;
        const uint32_t n = last - first_seen(job, t) / VT_ATTEND_GROUP + 1;
        if (n > most) most = n;
    }
    return most;
}

static void attend_few(attend_job *job)
{
    vt_pass *p = job->p;
    const vt_hyper *h = &p->model->hyper;
    const uint32_t group = h->n_heads / h->n_heads_kv,
                   n_threads = (uint32_t)vt_pool_n_threads(p->pool);
    job->n_parts = count_parts(job);
    const uint32_t n = p->n_tokens * h->n_heads_kv * job->n_parts;
    /* Heads of a group share what they load: they part only for want of tasks. */
    job->n_chunks = n >= n_threads || n == 0 ? 1 : (n_threads + n - 1) / n;
    if (job->n_chunks > group) job->n_chunks = group;
    vt_pool_run(p->pool, part_task, job, (int)(n * job->n_chunks));
    if (job->n_parts == 1) return;
    for (uint32_t t = 0; t < p->n_tokens; t++)
        for (uint32_t head = 0; head < h->n_heads; head++) merge_row(job, t, head);
}

static void attend_many(attend_job *job)
{
    vt_pass *p = job->p;
    const vt_hyper *h = &p->model->hyper;
    const uint32_t n_threads = (uint32_t)vt_pool_n_threads(p->pool);
    const uint32_t most = VT_ATTEND_MAX_ROWS / (h->n_heads / h->n_heads_kv);
    uint32_t n = p->n_tokens * h->n_heads_kv / (2 * n_threads); /* two tasks a thread at least */
    if (n > most) n = most;
    job->tokens_per_task = n == 0 ? 1 : n;
    job->n_blocks = (p->n_tokens + job->tokens_per_task - 1) / job->tokens_per_task;
    vt_pool_run(p->pool, attend_task, job, (int)(job->n_blocks * h->n_heads_kv));
}

static void store_all(attend_job *job)
{
    const int n_heads = (int)job->p->model->hyper.n_heads_kv;
    if (job->p->n_tokens > KEEP_ON_CALLER) {
        vt_pool_run(job->p->pool, store_head, job, n_heads);
        return;
    }
    for (int i = 0; i < n_heads; i++) store_head(job, i, 0);
}

void vt_pass_attend(vt_pass *p, const vt_layer *l, uint32_t i_layer, float *q, const float *k,
                    const float *v, float *out)
{
    if (!vt__pass_ok(p)) return;
    attend_job job = {.p = p, .layer = l, .i_layer = i_layer, .q = q, .k = k, .v = v, .out = out};
    store_all(&job);
    if (atomic_load(&job.has_failed)) vt__pass_fail_non_finite(p);
    if (atomic_load(&job.has_overflowed))
        vt__pass_fail(p, VT_ELIMIT,
                      "a key or value in layer %u is out of half range: run with --kv-type f32",
                      i_layer);
    if (!vt__pass_ok(p)) return;
    if (p->n_tokens <= VT_ATTEND_FEW) attend_few(&job);
    else attend_many(&job);
}
