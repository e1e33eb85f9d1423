/* pass.c -- the forward pass: buffers, norms, RoPE, and the way from tokens to logits. See pass.h;
 * matrix products are in pass_linear.c, attention in pass_attend.c, experts in pass_experts.c. */
#include "model/pass_scratch.h"

#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>

#include "base/alloc.h"
#include "kernels/math.h"

enum { TOKENS_PER_TASK = 8, HUGE_PAGE = 2 << 20, LARGE = 2 * HUGE_PAGE };

vt_status vt__pass_fail(vt_pass *p, vt_status code, const char *fmt, ...)
{
    if (p->error.code != VT_OK) return p->error.code;
    char message[256];
    va_list args;
    va_start(args, fmt);
    vsnprintf(message, sizeof message, fmt, args);
    va_end(args);
    return vt_fail(&p->error, code, "%s", message);
}

void vt__pass_fail_non_finite(vt_pass *p)
{
    vt__pass_fail(p, VT_EINPUT,
                  "non-finite activation in layer %u: the weights are broken or do not fit the "
                  "model",
                  p->scratch->i_layer);
}

/* ---- buffers ---- */

/* n x width elements, aligned for whole vectors; counted. */
static void *take(vt_pass *p, bool *ok, size_t n, size_t width, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(n, width, &bytes) || __builtin_mul_overflow(bytes, size, &bytes))
        *ok = false;
    if (!*ok) return NULL;
    const bool is_large = bytes >= LARGE;
    void *buffer = vt_alloc_aligned(is_large ? HUGE_PAGE : 64, bytes);
    if (buffer == NULL) *ok = false;
    /* Products write down a column of [tokens][width], each row a small page of its own. */
    else if (is_large) (void)madvise(buffer, bytes / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE);
    p->scratch->n_bytes += bytes;
    return buffer;
}

static void take_quantized(vt_pass *p, bool *ok, vt_quantized *q, size_t n, size_t width,
                           size_t block)
{
    size_t padded = (width + 255) / 256 * 256;
    q->q = take(p, ok, n, padded, sizeof *q->q);
    q->d = take(p, ok, n, padded / block, sizeof *q->d);
    q->sum32 = take(p, ok, n, padded / 32, sizeof *q->sum32);
    if (block == 256) q->sum16 = take(p, ok, n, padded / 16, sizeof *q->sum16);
}

static uint32_t widest_input(const vt_hyper *h)
{
    uint32_t widest = h->n_embd > h->n_ff ? h->n_embd : h->n_ff;
    return h->n_heads * h->head_dim > widest ? h->n_heads * h->head_dim : widest;
}

static bool take_buffers(vt_pass *p)
{
    const vt_hyper *h = &p->model->hyper;
    vt_pass_scratch *s = p->scratch;
    const size_t n = s->max_tokens, slots = s->max_slots;
    bool ok = true;
    p->hidden = take(p, &ok, n, h->n_embd, sizeof(float));
    p->normed = take(p, &ok, n, h->n_embd, sizeof(float));
    p->q = take(p, &ok, n, (size_t)h->n_heads * h->head_dim, sizeof(float));
    p->k = take(p, &ok, n, (size_t)h->n_heads_kv * h->head_dim, sizeof(float));
    p->v = take(p, &ok, n, (size_t)h->n_heads_kv * h->head_dim, sizeof(float));
    p->attended = take(p, &ok, n, (size_t)h->n_heads * h->head_dim, sizeof(float));
    p->gate = take(p, &ok, slots, h->n_ff, sizeof(float));
    p->up = take(p, &ok, slots, h->n_ff, sizeof(float));
    p->logits = take(p, &ok, s->max_logits, vt_pass_logits_stride(p), sizeof(float));
    s->selected = take(p, &ok, s->max_logits, h->n_embd, sizeof(float));
    take_quantized(p, &ok, &s->by32, slots, widest_input(h), 32);
    take_quantized(p, &ok, &s->by256, slots, widest_input(h), 256);
    s->cosine = take(p, &ok, n, h->rope_dims / 2, sizeof(float));
    s->sine = take(p, &ok, n, h->rope_dims / 2, sizeof(float));
    s->position = take(p, &ok, n, 1, sizeof *s->position);
    s->run_of = take(p, &ok, n, 1, sizeof(void *));
    const size_t parts = VT_ATTEND_FEW * (size_t)h->n_heads * (h->n_ctx / VT_ATTEND_GROUP + 1);
    s->parts = take(p, &ok, parts, h->head_dim, sizeof(float));
    s->part_states = take(p, &ok, parts, 1, sizeof *s->part_states);
    s->attend_stride = VT_ATTEND_SCRATCH(h->head_dim);
    s->attend = take(p, &ok, (size_t)vt_pool_n_threads(p->pool), s->attend_stride, sizeof(float));
    if (h->n_experts == 0) return ok;
    s->router_stride = vt_round_up_16(h->n_experts);
    s->router = take(p, &ok, n, s->router_stride, sizeof(float));
    s->chosen = take(p, &ok, slots, 1, sizeof *s->chosen);
    s->chosen_weight = take(p, &ok, slots, 1, sizeof(float));
    s->slot_of = take(p, &ok, slots, 1, sizeof *s->slot_of);
    s->token_of = take(p, &ok, slots, 1, sizeof *s->token_of);
    s->expert_begin = take(p, &ok, (size_t)h->n_experts + 1, 1, sizeof *s->expert_begin);
    s->active = take(p, &ok, h->n_experts, 1, sizeof *s->active);
    s->gathered = take(p, &ok, slots, h->n_embd, sizeof(float));
    s->expert_out = take(p, &ok, slots, h->n_embd, sizeof(float));
    return ok;
}

vt_status vt_pass_new(const vt_model *m, const vt_kernels *kernels, vt_pool *pool,
                      uint32_t max_tokens, uint32_t max_logits, vt_pass **out, vt_err *err)
{
    vt_pass *p = vt_calloc(1, sizeof *p);
    vt_pass_scratch *s = vt_calloc(1, sizeof *s);
    if (p == NULL || s == NULL) {
        vt_free(p);
        vt_free(s);
        return vt_fail(err, VT_ENOMEM, "out of memory");
    }
    p->model = m;
    p->kernels = kernels;
    p->pool = pool;
    p->scratch = s;
    s->max_tokens = max_tokens;
    s->max_logits = max_logits;
    s->max_slots = max_tokens * (m->hyper.n_experts ? m->hyper.n_experts_used : 1);
    if (!take_buffers(p)) {
        vt_pass_free(p);
        return vt_fail(err, VT_ENOMEM, "out of memory for a forward pass of %u tokens", max_tokens);
    }
    *out = p;
    return VT_OK;
}

void vt_pass_free(vt_pass *p)
{
    if (p == NULL) return;
    vt_pass_scratch *s = p->scratch;
    void *const buffers[] = {
        p->hidden,      p->normed,        p->q,          p->k,           p->v,
        p->attended,    p->gate,          p->up,         p->logits,      s->selected,
        s->by32.q,      s->by32.d,        s->by32.sum32, s->by256.q,     s->by256.d,
        s->by256.sum16, s->by256.sum32,   s->cosine,     s->sine,        s->position,
        s->run_of,      s->attend,        s->parts,      s->part_states, s->router,
        s->chosen,      s->chosen_weight, s->slot_of,    s->token_of,    s->expert_begin,
        s->active,      s->gathered,      s->expert_out,
    };
    for (size_t i = 0; i < VT_COUNT(buffers); i++) vt_free(buffers[i]);
    vt_free(s);
    vt_free(p);
}

uint64_t vt_pass_bytes(const vt_pass *p)
{
    return p->scratch->n_bytes;
}

uint32_t vt_pass_logits_stride(const vt_pass *p)
{
    return vt_round_up_16(p->model->hyper.n_vocab);
}

/* ---- token-wise operations ---- */

/* Run fn for stretches of TOKENS_PER_TASK tokens; one token stays on the caller's thread. */
static void for_tokens(vt_pass *p, vt_pool_fn *fn, void *job)
{
    vt_pool_run(p->pool, fn, job, (int)((p->n_tokens + TOKENS_PER_TASK - 1) / TOKENS_PER_TASK));
}

static uint32_t task_end(const vt_pass *p, int i_task)
{
    uint32_t end = ((uint32_t)i_task + 1) * TOKENS_PER_TASK;
    return end < p->n_tokens ? end : p->n_tokens;
}

typedef struct {
    vt_pass *p;
    const float *x;
    const float *weight;
    float *y;
    uint32_t width;
    uint32_t n;
    atomic_bool has_failed;
} token_job;

static void embed_tokens(void *ctx, int i_task, int i_thread)
{
    (void)i_thread;
    vt_pass *p = ((token_job *)ctx)->p;
    vt_pass_scratch *s = p->scratch;
    const vt_model *m = p->model;
    for (uint32_t t = (uint32_t)i_task * TOKENS_PER_TASK; t < task_end(p, i_task); t++) {
        const vt_run *run = s->run_of[t];
        int32_t id = run->tokens[s->position[t] - run->first_position];
        vt_matrix_row(&m->embedding, 0, (uint32_t)id, p->hidden + (size_t)t * m->hyper.n_embd);
        size_t pairs = m->rope.n_dims / 2;
        vt_rope_table(&m->rope, s->position[t], s->cosine + t * pairs, s->sine + t * pairs);
    }
}

static void norm_tokens(void *ctx, int i_task, int i_thread)
{
    (void)i_thread;
    token_job *job = ctx;
    for (uint32_t t = (uint32_t)i_task * TOKENS_PER_TASK;
         t < job->n && t < ((uint32_t)i_task + 1) * TOKENS_PER_TASK; t++) {
        const size_t at = (size_t)t * job->width;
        if (!job->p->kernels->rms_norm(job->x + at, job->weight, job->width,
                                       job->p->model->hyper.norm_eps, job->y + at))
            atomic_store(&job->has_failed, true);
    }
}

static void norm_rows(vt_pass *p, const float *x, uint32_t n, const float *weight, float *y)
{
    if (!vt__pass_ok(p)) return;
    token_job job = {
        .p = p, .x = x, .weight = weight, .y = y, .width = p->model->hyper.n_embd, .n = n};
    vt_pool_run(p->pool, norm_tokens, &job, (int)((n + TOKENS_PER_TASK - 1) / TOKENS_PER_TASK));
    if (atomic_load(&job.has_failed)) vt__pass_fail_non_finite(p);
}

const float *vt_pass_rms_norm(vt_pass *p, const float *x, const float *weight)
{
    norm_rows(p, x, p->n_tokens, weight, p->normed);
    return p->normed;
}

static void rope_tokens(void *ctx, int i_task, int i_thread)
{
    (void)i_thread;
    token_job *job = ctx;
    vt_pass *p = job->p;
    const vt_rope *r = &p->model->rope;
    const uint32_t head_dim = p->model->hyper.head_dim;
    const size_t pairs = r->n_dims / 2;
    for (uint32_t t = (uint32_t)i_task * TOKENS_PER_TASK; t < task_end(p, i_task); t++)
        for (uint32_t head = 0; head < job->width; head++)
            p->kernels->rope(job->y + ((size_t)t * job->width + head) * head_dim,
                             p->scratch->cosine + t * pairs, p->scratch->sine + t * pairs,
                             r->n_dims, r->is_interleaved);
}

void vt_pass_rope(vt_pass *p, float *x, uint32_t n_heads)
{
    if (!vt__pass_ok(p)) return;
    token_job job = {.p = p, .y = x, .width = n_heads};
    for_tokens(p, rope_tokens, &job);
}

static void silu_tokens(void *ctx, int i_task, int i_thread)
{
    (void)i_thread;
    token_job *job = ctx;
    const uint32_t first = (uint32_t)i_task * TOKENS_PER_TASK;
    const size_t at = (size_t)first * job->width;
    job->p->kernels->silu_mul(job->y + at, job->x + at,
                              (task_end(job->p, i_task) - first) * job->width, job->y + at);
}

void vt_pass_silu_mul(vt_pass *p, float *gate, const float *up)
{
    if (!vt__pass_ok(p)) return;
    token_job job = {.p = p, .x = up, .y = gate, .width = p->model->hyper.n_ff};
    for_tokens(p, silu_tokens, &job);
}

bool vt_pass_begin_layer(vt_pass *p, uint32_t i_layer)
{
    p->scratch->i_layer = i_layer;
    if (vt__pass_ok(p) && vt_progress_cancelled(p->progress))
        vt__pass_fail(p, VT_ECANCEL, "cancelled");
    return vt__pass_ok(p);
}

/* ---- from tokens to logits ---- */

/* Copy a token's row to where the output matrix reads. */
static void select_row(vt_pass *p, uint32_t i_selected, uint32_t i_token)
{
    const size_t n_embd = p->model->hyper.n_embd;
    memcpy(p->scratch->selected + i_selected * n_embd, p->hidden + i_token * n_embd,
           n_embd * sizeof(float));
}

static void check_logits_row(void *ctx, int i_task, int i_thread)
{
    (void)i_thread;
    token_job *job = ctx;
    if (!vt_all_below(job->x + (size_t)i_task * vt_pass_logits_stride(job->p), job->width,
                      INFINITY))
        atomic_store(&job->has_failed, true);
}

/* What the checks on the way do not see: the output matrix itself is broken. */
static void check_logits(vt_pass *p)
{
    if (!vt__pass_ok(p)) return;
    token_job job = {.p = p, .x = p->logits, .width = p->model->hyper.n_vocab};
    vt_pool_run(p->pool, check_logits_row, &job, (int)p->n_logits);
    if (atomic_load(&job.has_failed))
        vt__pass_fail(p, VT_EINPUT, "non-finite logits: the output weights are broken");
}

/* Logits of the n rows selected. */
static vt_status output(vt_pass *p, uint32_t n, vt_err *err)
{
    float *x = p->scratch->selected;
    const uint32_t all = p->n_tokens;
    norm_rows(p, x, n, p->model->output_norm, x);
    p->n_tokens = n; /* the output matrix sees only these rows */
    vt_pass_linear(p, x,
                   &(vt_linear){.matrix = &p->model->output,
                                .y = p->logits,
                                .stride = vt_pass_logits_stride(p)},
                   1);
    p->n_tokens = all;
    p->n_logits = n;
    check_logits(p);
    if (!vt__pass_ok(p) && err != NULL) *err = p->error;
    return p->error.code;
}

vt_status vt_pass_logits(vt_pass *p, uint32_t first, uint32_t n, vt_err *err)
{
    if (n == 0 || n > p->scratch->max_logits || first >= p->n_tokens || n > p->n_tokens - first)
        return vt_fail(err, VT_ELIMIT, "logits of %u tokens from %u on, of a pass of %u", n, first,
                       p->n_tokens);
    for (uint32_t i = 0; i < n; i++) select_row(p, i, first + i);
    return output(p, n, err);
}

static vt_status take_runs(vt_pass *p, const vt_run *runs, size_t n_runs, vt_err *err)
{
    vt_pass_scratch *s = p->scratch;
    uint32_t n = 0, n_logits = 0;
    if (n_runs == 0) return vt_fail(err, VT_EINPUT, "a pass of no tokens");
    for (size_t r = 0; r < n_runs; r++) {
        if (runs[r].n_tokens == 0 || runs[r].n_tokens > s->max_tokens - n)
            return vt_fail(err, VT_ELIMIT, "a pass takes 1 to %u tokens", s->max_tokens);
        if (runs[r].n_logits > runs[r].n_tokens || runs[r].n_logits > s->max_logits - n_logits)
            return vt_fail(err, VT_ELIMIT, "a pass gives logits of at most %u of its tokens",
                           s->max_logits);
        n_logits += runs[r].n_logits;
        for (uint32_t i = 0; i < runs[r].n_tokens; i++, n++) {
            if (runs[r].tokens[i] < 0 || (uint32_t)runs[r].tokens[i] >= p->model->hyper.n_vocab)
                return vt_fail(err, VT_EINPUT, "token id %d is not in the vocabulary of %u",
                               runs[r].tokens[i], p->model->hyper.n_vocab);
            s->run_of[n] = &runs[r];
            s->position[n] = runs[r].first_position + i;
        }
    }
    p->n_tokens = n;
    p->runs = runs;
    p->n_runs = n_runs;
    return VT_OK;
}

vt_status vt_pass_forward(vt_pass *p, const vt_run *runs, size_t n_runs,
                          const vt_progress *progress, vt_err *err)
{
    vt_status st = take_runs(p, runs, n_runs, err);
    if (st != VT_OK) return st;
    p->error = (vt_err){0};
    p->progress = progress;
    token_job job = {.p = p};
    for_tokens(p, embed_tokens, &job);
    p->model->family->forward(p);
    if (!vt__pass_ok(p)) {
        if (err != NULL) *err = p->error;
        return p->error.code;
    }
    uint32_t n = 0, end = 0;
    for (size_t r = 0; r < n_runs; r++) {
        end += runs[r].n_tokens;
        for (uint32_t i = end - runs[r].n_logits; i < end; i++) select_row(p, n++, i);
    }
    return n > 0 ? output(p, n, err) : VT_OK;
}
