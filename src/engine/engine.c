/* engine.c -- a loaded model with its threads and kernels. See engine.h. */
#include "engine/engine_parts.h"

#include "base/alloc.h"
#include "base/cpu.h"

static vt_status pick_kernels(const char *isa, const vt_kernels **out, vt_err *err)
{
    *out = vt_kernels_select(isa);
    if (*out != NULL) return VT_OK;
    return vt_fail(err, VT_EUNSUPPORTED,
                   "instruction set \"%.32s\" is unknown or this CPU lacks it (scalar, avx2, "
                   "avx512; this CPU's best is %s)",
                   isa, vt_kernels_select(NULL)->name);
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
