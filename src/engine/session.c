/* session.c -- one sequence: its tokens, its KV cache, and the logits after its last token. See
 * engine.h, and engine_parts.h for what belongs to the engine. */
#include "base/alloc.h"
#include "engine/prefix_parts.h"

enum {
    DEFAULT_CTX = 8192,
    DEFAULT_CHUNK = 512,
    MAX_CHUNK = 4096,
    LOGITS_AT_ONCE = 16, /* rows of logits computed together by vt_session_extend_all */
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
    s->kept = vt_alloc_aligned(64, e->model->hyper.n_vocab * sizeof *s->kept);
    if (s->tokens == NULL || s->kept == NULL) st = vt_fail(err, VT_ENOMEM, "out of memory");
    if (st == VT_OK) st = vt_kv_init(&s->kv, e->model, n_ctx, n_chunk, options->kv_type, err);
    if (st == VT_OK) st = vt__engine_reserve(e, n_chunk, err);
    if (st != VT_OK) {
        vt_session_free(s);
        return st;
    }
    *out = s;
    return VT_OK;
}

/* The session has no logits, and none in the pass. */
static void forget_logits(vt_session *s)
{
    vt_engine *e = s->engine;
    s->logits = NULL;
    s->n_tried = 0;
    for (size_t i = e->n_shown; i-- > 0;)
        if (e->shown[i] == s) e->shown[i] = e->shown[--e->n_shown];
}

void vt_session_free(vt_session *s)
{
    if (s == NULL) return;
    forget_logits(s);
    vt_kv_deinit(&s->kv);
    vt_free(s->kept);
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
    return s->logits;
}

static vt_status check_room(const vt_session *s, size_t n, vt_err *err)
{
    if (n == 0) return vt_fail(err, VT_EINPUT, "no tokens");
    if (n <= s->n_ctx - s->n_tokens) return VT_OK;
    return vt_fail(err, VT_ELIMIT,
                   "%zu tokens do not fit: the context holds %u (--ctx) and %u are used", n,
                   s->n_ctx, s->n_tokens);
}

/* Hand out the logits of the n tokens of the last pass, which was this session's alone, a few rows
 * at a time. At the end those of the last token are the session's; before, it has none. */
static vt_status show_logits(vt_session *s, uint32_t n, vt_logits_fn *each, void *ctx,
                             const vt_progress *progress, vt_err *err)
{
    vt_engine *e = s->engine;
    const size_t stride = vt_pass_logits_stride(e->pass);
    const float *row = NULL;
    vt_status st = VT_OK;
    for (uint32_t i = 0; i < n && st == VT_OK;) {
        const uint32_t k = n - i < LOGITS_AT_ONCE ? n - i : LOGITS_AT_ONCE;
        if (vt_progress_cancelled(progress)) return vt_fail(err, VT_ECANCEL, "cancelled");
        st = vt_pass_logits(e->pass, i, k, err);
        for (uint32_t r = 0; r < k && st == VT_OK; r++) {
            row = e->pass->logits + r * stride;
            st = each(ctx, s->n_tokens - n + i + r, row, err);
        }
        i += k;
    }
    if (st != VT_OK) return st;
    s->logits = row;
    e->shown[e->n_shown++] = s;
    return VT_OK;
}

vt_status vt_session_extend_all(vt_session *s, const int32_t *tokens, size_t n, vt_logits_fn *each,
                                void *ctx, const vt_progress *progress, vt_err *err)
{
    vt_status st = check_room(s, n, err);
    for (size_t done = 0; st == VT_OK && done < n;) {
        uint32_t k = n - done < s->n_chunk ? (uint32_t)(n - done) : s->n_chunk;
        const vt_part part = {.session = s,
                              .tokens = tokens + done,
                              .n_tokens = k,
                              .wants_logits = each == NULL && done + k == n};
        st = vt__engine_forward(s->engine, &part, 1, progress, err);
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

void vt__session_go_back(vt_session *s, uint32_t n)
{
    if (!vt_kv_can_continue(&s->kv, s->engine->model, n, s->high)) n = s->high = 0;
    s->n_tokens = n;
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
    if (same == n && s->n_tokens == n && s->logits != NULL) {
        if (n_reused != NULL) *n_reused = n;
        return VT_OK;
    }
    if (same == n) same--; /* the last token is run again for its logits */
    vt_prefix_store *prefixes = s->engine->prefixes;
    if (prefixes != NULL) {
        vt__prefix_restore(prefixes, s, tokens, (uint32_t)n, (uint32_t)same);
    } else {
        vt__session_go_back(s, (uint32_t)same);
    }
    forget_logits(s);
    same = s->n_tokens;
    if (n_reused != NULL) *n_reused = same;
    vt_status st = vt_session_extend(s, tokens + same, n - same, progress, err);
    if (prefixes != NULL) vt__prefix_synced(prefixes, s);
    return st;
}

/* ---- trying ---- */

size_t vt_session_can_try(const vt_session *s)
{
    size_t n = s->n_ctx - s->n_tokens;
    if (n > s->n_chunk) n = s->n_chunk;
    if (n > VT_TRY_MAX) n = VT_TRY_MAX;
    /* When only the first is followed up, the next token still sees its window. */
    while (n > 1 && !vt_kv_can_continue(&s->kv, s->engine->model, s->n_tokens + 1,
                                        s->n_tokens + (uint32_t)n))
        n--;
    return n;
}

vt_status vt_session_try(vt_session *s, const int32_t *tokens, size_t n,
                         const vt_progress *progress, vt_err *err)
{
    vt_status st = check_room(s, n, err);
    if (st != VT_OK) return st;
    if (n > vt_session_can_try(s))
        return vt_fail(err, VT_ELIMIT, "%zu tokens to try; %zu can be", n, vt_session_can_try(s));
    const vt_part part = {.session = s,
                          .tokens = tokens,
                          .n_tokens = (uint32_t)n,
                          .n_tried = (uint32_t)n - 1,
                          .wants_logits = true};
    return vt__engine_forward(s->engine, &part, 1, progress, err);
}

bool vt_session_follow(vt_session *s, int32_t token)
{
    if (s->n_tried == 0 || s->tokens[s->n_tokens] != token) return false;
    s->n_tokens++;
    s->n_tried--;
    s->logits += vt_pass_logits_stride(s->engine->pass);
    if (s->engine->prefixes != NULL) vt__prefix_step(s->engine->prefixes, s, 1);
    return true;
}
