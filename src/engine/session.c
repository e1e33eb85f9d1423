/* session.c -- one sequence: its tokens, its KV cache, and the logits after its last token. See
 * engine.h.
 *
 * n_tokens counts what the cache holds; `high` how far it was ever written, which tells what a ring
 * may have lost. */
#include <stdlib.h>

#include "base/alloc.h"
#include "engine/engine_parts.h"
#include "engine/kv.h"
#include "model/pass.h"

enum {
    DEFAULT_CTX = 8192,
    DEFAULT_CHUNK = 512,
    MAX_CHUNK = 4096,
    LOGITS_AT_ONCE = 16, /* rows of logits computed together by vt_session_extend_all */
};

struct vt_session {
    vt_engine *engine;
    vt_pass *pass;
    vt_kv_memory kv;
    int32_t *tokens; /* [n_ctx] */
    uint32_t n_tokens;
    uint32_t n_ctx;
    uint32_t n_chunk;
    uint32_t high;
    bool has_logits;
};

static vt_status check_ctx(const vt_model *m, uint32_t n_ctx, vt_err *err)
{
    if (n_ctx <= m->hyper.n_ctx) return VT_OK;
    return vt_fail(err, VT_ELIMIT,
                   "a context of %u tokens was asked for, the model was trained for %u", n_ctx,
                   m->hyper.n_ctx);
}

vt_status vt_session_new(vt_engine *e, const vt_session_options *options, vt_session **out,
                         vt_err *err)
{
    const vt_session_options none = {0};
    if (options == NULL) options = &none;
    uint32_t trained = e->model->hyper.n_ctx;
    uint32_t n_ctx = options->n_ctx          ? options->n_ctx
                     : trained < DEFAULT_CTX ? trained
                                             : DEFAULT_CTX;
    uint32_t n_chunk = options->n_chunk ? options->n_chunk : DEFAULT_CHUNK;
    vt_status st = check_ctx(e->model, n_ctx, err);
    if (st != VT_OK) return st;
    if (n_chunk > MAX_CHUNK) n_chunk = MAX_CHUNK;
    if (n_chunk > n_ctx) n_chunk = n_ctx;
    vt_session *s = vt_calloc(1, sizeof *s);
    if (s == NULL) return vt_fail(err, VT_ENOMEM, "out of memory");
    s->engine = e;
    s->n_ctx = n_ctx;
    s->n_chunk = n_chunk;
    s->tokens = vt_calloc(n_ctx, sizeof *s->tokens);
    if (s->tokens == NULL) st = vt_fail(err, VT_ENOMEM, "out of memory");
    if (st == VT_OK)
        st = vt_kv_init(&s->kv, e->model, n_ctx, n_chunk, options->kv_type == VT_KV_F32, err);
    if (st == VT_OK) {
        uint32_t n_logits = n_chunk < LOGITS_AT_ONCE ? n_chunk : LOGITS_AT_ONCE;
        st = vt_pass_new(e->model, e->kernels, e->pool, n_chunk, n_logits, &s->pass, err);
    }
    if (st != VT_OK) {
        vt_session_free(s);
        return st;
    }
    *out = s;
    return VT_OK;
}

void vt_session_free(vt_session *s)
{
    if (s == NULL) return;
    vt_pass_free(s->pass);
    vt_kv_deinit(&s->kv);
    vt_free(s->tokens);
    vt_free(s);
}

uint32_t vt_session_n_ctx(const vt_session *s)
{
    return s->n_ctx;
}

uint64_t vt_session_kv_bytes(const vt_session *s)
{
    return s->kv.n_bytes;
}

size_t vt_session_n_tokens(const vt_session *s)
{
    return s->n_tokens;
}

const int32_t *vt_session_tokens(const vt_session *s)
{
    return s->tokens;
}

const float *vt_session_logits(const vt_session *s)
{
    if (!s->has_logits || s->pass->n_logits == 0) return NULL;
    return s->pass->logits + (size_t)(s->pass->n_logits - 1) * vt_pass_logits_stride(s->pass);
}

static vt_status check_room(const vt_session *s, size_t n, vt_err *err)
{
    if (n == 0) return vt_fail(err, VT_EINPUT, "no tokens");
    if (n <= s->n_ctx - s->n_tokens) return VT_OK;
    return vt_fail(err, VT_ELIMIT,
                   "%zu tokens do not fit: the context holds %u (--ctx) and %u are used", n,
                   s->n_ctx, s->n_tokens);
}

/* One forward pass of at most n_chunk tokens. */
static vt_status step(vt_session *s, const int32_t *tokens, uint32_t n, const vt_progress *progress,
                      vt_err *err)
{
    const vt_run run = {
        .kv = &s->kv.view, .tokens = tokens, .n_tokens = n, .first_position = s->n_tokens};
    s->has_logits = false;
    /* Whatever happens, the step may have written this far. */
    if (s->n_tokens + n > s->high) s->high = s->n_tokens + n;
    vt_status st = vt_pass_forward(s->pass, &run, 1, progress, err);
    if (st != VT_OK) return st;
    /* the caller may have handed back our own list */
    memmove(s->tokens + s->n_tokens, tokens, n * sizeof *tokens);
    s->n_tokens += n;
    s->has_logits = true;
    return VT_OK;
}

/* Hand out the logits of the n tokens of the last step, a few rows at a time. At the end those of
 * the last token are there again; before, the session has none. */
static vt_status show_logits(vt_session *s, uint32_t n, vt_logits_fn *each, void *ctx,
                             const vt_progress *progress, vt_err *err)
{
    const size_t stride = vt_pass_logits_stride(s->pass);
    vt_status st = VT_OK;
    s->has_logits = false;
    for (uint32_t i = 0; i < n && st == VT_OK;) {
        const uint32_t k = n - i < LOGITS_AT_ONCE ? n - i : LOGITS_AT_ONCE;
        if (vt_progress_cancelled(progress)) return vt_fail(err, VT_ECANCEL, "cancelled");
        /* a step of one token has its row already */
        if (n > 1) st = vt_pass_logits(s->pass, i, k, err);
        for (uint32_t r = 0; r < k && st == VT_OK; r++)
            st = each(ctx, s->n_tokens - n + i + r, s->pass->logits + r * stride, err);
        i += k;
    }
    s->has_logits = st == VT_OK;
    return st;
}

vt_status vt_session_extend_all(vt_session *s, const int32_t *tokens, size_t n, vt_logits_fn *each,
                                void *ctx, const vt_progress *progress, vt_err *err)
{
    vt_status st = check_room(s, n, err);
    for (size_t done = 0; st == VT_OK && done < n;) {
        uint32_t k = n - done < s->n_chunk ? (uint32_t)(n - done) : s->n_chunk;
        st = step(s, tokens + done, k, progress, err);
        if (st == VT_OK && each != NULL) st = show_logits(s, k, each, ctx, progress, err);
        done += k;
        if (n > s->n_chunk) vt_progress_report(progress, "reading", done, n);
    }
    return st;
}

vt_status vt_session_extend(vt_session *s, const int32_t *tokens, size_t n,
                            const vt_progress *progress, vt_err *err)
{
    return vt_session_extend_all(s, tokens, n, NULL, NULL, progress, err);
}

vt_status vt_session_sync(vt_session *s, const int32_t *tokens, size_t n,
                          const vt_progress *progress, size_t *n_reused, vt_err *err)
{
    if (n == 0) return vt_fail(err, VT_EINPUT, "no tokens");
    if (n > s->n_ctx)
        return vt_fail(err, VT_ELIMIT, "%zu tokens do not fit into a context of %u (--ctx)", n,
                       s->n_ctx);
    size_t same = 0;
    while (same < n && same < s->n_tokens && tokens[same] == s->tokens[same]) same++;
    if (same == n && s->n_tokens == n && s->has_logits) {
        if (n_reused != NULL) *n_reused = n;
        return VT_OK;
    }
    if (same == n) same--; /* the last token is run again for its logits */
    if (!vt_kv_can_continue(&s->kv, s->engine->model, (uint32_t)same, s->high)) {
        same = 0;
        s->high = 0;
    }
    s->n_tokens = (uint32_t)same;
    s->has_logits = false;
    if (n_reused != NULL) *n_reused = same;
    return vt_session_extend(s, tokens + same, n - same, progress, err);
}
