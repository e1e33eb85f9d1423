/* engine.c -- a loaded model with its threads, kernels and forward pass. See engine.h and
 * engine_parts.h. */
#include "engine/engine_parts.h"

#include <stdio.h>

#include "base/alloc.h"
#include "base/cpu.h"
#include "engine/prefix_parts.h"

static vt_status pick_kernels(const char *isa, const vt_kernels **out, vt_err *err)
{
    *out = vt_kernels_select(isa);
    if (*out != NULL) return VT_OK;
    const vt_kernels *all[VT_KERNELS_MOST];
    const size_t n = vt_kernels_list(all);
    char names[128];
    int used = 0;
    for (size_t i = 0; i < n; i++)
        used += snprintf(names + used, sizeof names - (size_t)used, "%s%s", i == 0 ? "" : ", ",
                         all[i]->name);
    return vt_fail(err, VT_EUNSUPPORTED,
                   "instruction set \"%.32s\" is unknown or this CPU lacks it; it has %s", isa,
                   names);
}

vt_status vt_engine_open(const vt_engine_options *options, vt_engine **out, vt_err *err)
{
    vt_engine *e = vt_calloc(1, sizeof *e);
    if (e == NULL) return vt_fail(err, VT_ENOMEM, "out of memory");
    int n_threads = options->n_threads ? options->n_threads : vt_cpu_count();
    if (options->n_threads == 0 && n_threads > VT_POOL_MAX_THREADS) n_threads = VT_POOL_MAX_THREADS;
    vt_status st = pick_kernels(options->isa, &e->kernels, err);
    if (st == VT_OK) st = vt_pool_new(n_threads, &e->pool, err);
    if (st == VT_OK) st = vt_model_open(options->path, e->pool, options->progress, &e->model, err);
    if (st != VT_OK) {
        vt_engine_close(e);
        return st;
    }
    *out = e;
    return VT_OK;
}

void vt_engine_close(vt_engine *e)
{
    if (e == NULL) return;
    vt__prefix_free(e->prefixes);
    vt_pass_free(e->pass);
    vt_model_close(e->model);
    vt_pool_free(e->pool);
    vt_free(e);
}

const vt_model *vt_engine_model(const vt_engine *e)
{
    return e->model;
}

const vt_tokenizer *vt_engine_tokenizer(const vt_engine *e)
{
    return e->model->tokenizer;
}

const char *vt_engine_isa(const vt_engine *e)
{
    return e->kernels->name;
}

int vt_engine_n_threads(const vt_engine *e)
{
    return vt_pool_n_threads(e->pool);
}

/* ---- the pass ---- */

vt_status vt__engine_reserve(vt_engine *e, uint32_t n_tokens, vt_err *err)
{
    if (n_tokens < VT_BATCH_SEQUENCES) n_tokens = VT_BATCH_SEQUENCES;
    if (e->pass != NULL && e->pass_tokens >= n_tokens) return VT_OK;
    vt_pass *pass = NULL;
    vt_status st =
        vt_pass_new(e->model, e->kernels, e->pool, n_tokens, VT_BATCH_SEQUENCES, &pass, err);
    if (st != VT_OK) return st;
    vt__engine_keep_logits(e);
    vt_pass_free(e->pass);
    e->pass = pass;
    e->pass_tokens = n_tokens;
    return VT_OK;
}

void vt__engine_keep_logits(vt_engine *e)
{
    const size_t n_bytes = e->model->hyper.n_vocab * sizeof(float);
    for (size_t i = 0; i < e->n_shown; i++) {
        vt_session *s = e->shown[i];
        if (s->is_running || s->logits == NULL) continue;
        memcpy(s->kept, s->logits, n_bytes);
        s->logits = s->kept;
        s->n_tried = 0;
    }
    e->n_shown = 0;
}

static void begin_part(const vt_part *part, vt_run *run)
{
    vt_session *s = part->session;
    *run = (vt_run){
        .kv = &s->kv.view,
        .tokens = part->tokens,
        .n_tokens = part->n_tokens,
        .first_position = s->n_tokens,
        .n_logits = part->wants_logits ? 1 + part->n_tried : 0,
    };
    s->is_running = true;
    s->logits = NULL;
    s->n_tried = 0;
    /* Whatever happens, the pass may have written this far. */
    if (s->n_tokens + part->n_tokens > s->high) s->high = s->n_tokens + part->n_tokens;
}

vt_status vt__engine_forward(vt_engine *e, const vt_part *parts, size_t n_parts,
                             const vt_progress *progress, vt_err *err)
{
    vt_run runs[VT_BATCH_SEQUENCES];
    for (size_t i = 0; i < n_parts; i++) begin_part(&parts[i], &runs[i]);
    vt__engine_keep_logits(e);
    vt_status st = vt_pass_forward(e->pass, runs, n_parts, progress, err);
    const float *row = e->pass->logits;
    for (size_t i = 0; i < n_parts; i++) {
        const vt_part *part = &parts[i];
        vt_session *s = part->session;
        s->is_running = false;
        if (st != VT_OK) continue;
        /* the caller may have handed back our own list */
        memmove(s->tokens + s->n_tokens, part->tokens, part->n_tokens * sizeof *part->tokens);
        const uint32_t n_held = part->n_tokens - part->n_tried;
        s->n_tokens += n_held;
        if (e->prefixes != NULL) vt__prefix_step(e->prefixes, s, n_held);
        if (!part->wants_logits) continue;
        s->logits = row;
        s->n_tried = part->n_tried;
        row += runs[i].n_logits * (size_t)vt_pass_logits_stride(e->pass);
        e->shown[e->n_shown++] = s;
    }
    return st;
}
