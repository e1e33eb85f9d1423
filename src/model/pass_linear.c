/* pass_linear.c -- matrix products of a pass: quantise the activations once, then hand out
 * stretches of 16-row tiles.
 *
 * A task is (block of tokens, stretch of the tiles of all matrices). Blocks of tokens keep the
 * activations in the L2 cache while the tiles stream past; with one token there is one block and
 * the tiles are read once, at the speed of memory. */
#include "model/pass_scratch.h"

enum {
    MAX_OUTS = 4,
    L2_BUDGET = 768 << 10, /* of 1 or 2 MiB; tiles pass through the rest */
    TOKENS_AT_ONCE = 16,   /* most that a kernel takes */
    MAX_TOKEN_BLOCK = 512,
    ROWS_PER_TASK = 8, /* when quantising */
    EPILOGUE_TOKENS = 32,
};

uint32_t vt__pass_token_block(uint32_t n_cols)
{
    uint32_t n = L2_BUDGET / (n_cols + n_cols / 4) / TOKENS_AT_ONCE * TOKENS_AT_ONCE;
    return n < TOKENS_AT_ONCE ? TOKENS_AT_ONCE : n > MAX_TOKEN_BLOCK ? MAX_TOKEN_BLOCK : n;
}

/* ---- activations ---- */

typedef struct {
    const vt_kernels *kernels;
    const float *x;
    const vt_quantized *to;
    const uint32_t *rows_of; /* [n][n_copies]: where a row goes; NULL: stays row t */
    uint32_t n, n_copies, n_cols, block;
    atomic_bool has_failed;
} quantize_job;

static bool quantize_row(const quantize_job *job, const float *x, size_t row)
{
    const uint32_t c = job->n_cols;
    int16_t *sum16 = job->to->sum16 ? job->to->sum16 + row * (c / 16) : NULL;
    return job->kernels->quantize(x, c, job->block, job->to->q + row * c,
                                  job->to->d + row * (c / job->block), sum16,
                                  job->to->sum32 + row * (c / 32));
}

static void copy_row(const quantize_job *job, size_t from, size_t to)
{
    const vt_quantized *q = job->to;
    const size_t c = job->n_cols, n_d = c / job->block, n16 = c / 16, n32 = c / 32;
    memcpy(q->q + to * c, q->q + from * c, c * sizeof *q->q);
    memcpy(q->d + to * n_d, q->d + from * n_d, n_d * sizeof *q->d);
    memcpy(q->sum32 + to * n32, q->sum32 + from * n32, n32 * sizeof *q->sum32);
    if (q->sum16 != NULL)
        memcpy(q->sum16 + to * n16, q->sum16 + from * n16, n16 * sizeof *q->sum16);
}

static void quantize_rows(void *ctx, int i_task, int i_thread)
{
    (void)i_thread;
    quantize_job *job = ctx;
    const uint32_t end = ((uint32_t)i_task + 1) * ROWS_PER_TASK;
    for (uint32_t t = (uint32_t)i_task * ROWS_PER_TASK; t < job->n && t < end; t++) {
        const uint32_t *rows = job->rows_of ? job->rows_of + (size_t)t * job->n_copies : &t;
        if (!quantize_row(job, job->x + (size_t)t * job->n_cols, rows[0]))
            atomic_store(&job->has_failed, true);
        for (uint32_t i = 1; i < job->n_copies; i++) copy_row(job, rows[0], rows[i]);
    }
}

vt_activations vt__pass_activations(vt_pass *p, const float *x, uint32_t n, uint32_t n_cols,
                                    vt_format format)
{
    return vt__pass_spread_activations(p, x, n, n_cols, format, NULL, 1);
}

vt_activations vt__pass_spread_activations(vt_pass *p, const float *x, uint32_t n, uint32_t n_cols,
                                           vt_format format, const uint32_t *rows_of,
                                           uint32_t n_copies)
{
    const uint32_t block = vt_format_by_id((uint32_t)format)->activation_len;
    vt_activations a = {.x = x, .n_cols = n_cols};
    if (block == 0) return a;
    const vt_quantized *to = block == 32 ? &p->scratch->by32 : &p->scratch->by256;
    quantize_job job = {.kernels = p->kernels,
                        .x = x,
                        .to = to,
                        .rows_of = rows_of,
                        .n = n,
                        .n_copies = n_copies,
                        .n_cols = n_cols,
                        .block = block};
    vt_pool_run(p->pool, quantize_rows, &job, (int)((n + ROWS_PER_TASK - 1) / ROWS_PER_TASK));
    if (atomic_load(&job.has_failed)) vt__pass_fail_non_finite(p);
    a.q = to->q;
    a.d = to->d;
    a.sum16 = to->sum16;
    a.sum32 = to->sum32;
    return a;
}

/* ---- products ---- */

typedef struct {
    vt_pass *p;
    const vt_linear *outs;
    int n_outs;
    vt_activations a[MAX_OUTS];
    vt_tile_fn *tile[MAX_OUTS];
    uint32_t
        first_tile[MAX_OUTS + 1]; /* of each matrix, when the tiles of all are counted through */
    uint32_t token_block;
    uint32_t n_stretches; /* of one token block */
} linear_job;

/* One tile for some tokens: y = W x, then the bias, then the residual. */
static void finish_tile(const vt_linear *o, const float *sums, uint32_t first_token,
                        uint32_t n_tokens, uint32_t first_row, uint32_t n_rows, uint32_t stride)
{
    for (uint32_t t = 0; t < n_tokens; t++) {
        float *y = o->y + (size_t)(first_token + t) * stride + first_row;
        const float *s = sums + (size_t)t * VT_TILE_ROWS;
        for (uint32_t r = 0; r < n_rows; r++) {
            float v = o->bias ? s[r] + o->bias[first_row + r] : s[r];
            y[r] = o->adds ? y[r] + v : v;
        }
    }
}

static void run_tile(const linear_job *job, int i_out, uint32_t i_tile, uint32_t first_token,
                     uint32_t end_token)
{
    const vt_linear *o = &job->outs[i_out];
    const vt_matrix *m = o->matrix;
    const uint8_t *tile = m->tiles + (size_t)i_tile * vt_tile_bytes(m->format, m->n_cols);
    const uint32_t stride = o->stride ? o->stride : m->n_rows, first_row = i_tile * VT_TILE_ROWS;
    const bool is_whole = first_row + VT_TILE_ROWS <= m->n_rows;
    if ((is_whole || stride >= first_row + VT_TILE_ROWS) && o->bias == NULL && !o->adds) {
        job->tile[i_out](tile, &job->a[i_out], first_token, end_token - first_token,
                         o->y + (size_t)first_token * stride + first_row, stride);
        return;
    }
    float sums[EPILOGUE_TOKENS * VT_TILE_ROWS];
    for (uint32_t t = first_token; t < end_token; t += EPILOGUE_TOKENS) {
        uint32_t n = end_token - t < EPILOGUE_TOKENS ? end_token - t : EPILOGUE_TOKENS;
        job->tile[i_out](tile, &job->a[i_out], t, n, sums, VT_TILE_ROWS);
        finish_tile(o, sums, t, n, first_row, is_whole ? VT_TILE_ROWS : m->n_rows - first_row,
                    stride);
    }
}

static void linear_task(void *ctx, int i_task, int i_thread)
{
    (void)i_thread;
    const linear_job *job = ctx;
    const uint32_t i_block = (uint32_t)i_task / job->n_stretches,
                   i = (uint32_t)i_task % job->n_stretches;
    const uint32_t first_token = i_block * job->token_block;
    uint32_t end_token = first_token + job->token_block;
    if (end_token > job->p->n_tokens) end_token = job->p->n_tokens;
    uint32_t tile, end;
    vt_pool_stretch(job->p->pool, job->first_tile[job->n_outs], i, &tile, &end);
    for (int i_out = 0; tile < end; tile++) {
        while (tile >= job->first_tile[i_out + 1]) i_out++;
        run_tile(job, i_out, tile - job->first_tile[i_out], first_token, end_token);
    }
}

void vt_pass_linear(vt_pass *p, const float *x, const vt_linear *outs, int n_outs)
{
    if (!vt__pass_ok(p)) return;
    VT_CHECK(n_outs >= 1 && n_outs <= MAX_OUTS);
    linear_job job = {.p = p, .outs = outs, .n_outs = n_outs};
    for (int i = 0; i < n_outs; i++) {
        const vt_matrix *m = outs[i].matrix;
        uint32_t block = vt_format_by_id((uint32_t)m->format)->activation_len;
        int same = 0; /* an earlier matrix with activations of the same kind */
        while (same < i &&
               vt_format_by_id((uint32_t)outs[same].matrix->format)->activation_len != block)
            same++;
        job.a[i] =
            same < i ? job.a[same] : vt__pass_activations(p, x, p->n_tokens, m->n_cols, m->format);
        job.tile[i] = p->kernels->tile(m->format);
        job.first_tile[i + 1] = job.first_tile[i] + vt_tiles_of(m->n_rows);
    }
    if (!vt__pass_ok(p)) return;
    job.token_block = vt__pass_token_block(outs[0].matrix->n_cols);
    job.n_stretches = vt_pool_n_stretches(p->pool, job.first_tile[n_outs]);
    uint32_t n_blocks = (p->n_tokens + job.token_block - 1) / job.token_block;
    vt_pool_run(p->pool, linear_task, &job, (int)(n_blocks * job.n_stretches));
}
