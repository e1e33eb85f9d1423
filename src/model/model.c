/* model.c -- opening a model: metadata, family, weights, tokenizer. See model.h and network.h. */
#include <stdio.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/cpu.h"
#include "base/utf8.h"
#include "model/hyper.h"
#include "model/network.h"
#include "model/packed_write.h"

static const vt_family *const families[] = {&vt_family_gptoss, &vt_family_llama, &vt_family_qwen2};

static const vt_family *find_family(vt_slice architecture)
{
    for (size_t i = 0; i < VT_COUNT(families); i++)
        for (const char *const *name = families[i]->architectures; *name != NULL; name++)
            if (vt_slice_eq(architecture, vt_slice_cstr(*name))) return families[i];
    return NULL;
}

static vt_status fail_unknown_family(vt_slice architecture, vt_err *err)
{
    vt_buffer known;
    vt_buffer_init(&known, 4096);
    for (size_t i = 0; i < VT_COUNT(families); i++)
        vt_buffer_printf(&known, "%s%s", i ? ", " : "", families[i]->architectures[0]);
    vt_status st =
        vt_fail(err, VT_EUNSUPPORTED, "architecture \"%.*s\" is not one that vetro knows (%s)",
                VT_ARG(architecture), known.ptr ? known.ptr : "");
    vt_buffer_deinit(&known);
    return st;
}

static void bind_all(vt_model *m)
{
    const vt_hyper *h = &m->hyper;
    vt_weights *w = m->weights;
    vt_weights_matrix(w, "token_embd", 0, h->n_vocab, h->n_embd, &m->embedding);
    vt_weights_vector(w, "output_norm", 0, ".weight", h->n_embd, &m->output_norm);
    if (vt_weights_has(w, "output", 0, ".weight"))
        vt_weights_matrix(w, "output", 0, h->n_vocab, h->n_embd, &m->output);
    if (vt_weights_has(w, "rope_freqs", 0, ".weight"))
        vt_weights_vector(w, "rope_freqs", 0, ".weight", h->rope_dims / 2, &m->rope_divisors);
    for (uint32_t i = 0; i < h->n_layers; i++) m->family->bind_layer(w, h, i, &m->layers[i]);
}

/* A tensor that nobody asked for is a part of the model that would be left out: a bias, a norm, an
 * adapter. The answers would be wrong and look right. */
static vt_status check_unused(const vt_model *m, vt_err *err)
{
    size_t n_unused;
    const vt_gguf_tensor *unused = vt_weights_unused(m->weights, &n_unused);
    if (unused == NULL) return VT_OK;
    return vt_fail(err, VT_EUNSUPPORTED,
                   "%zu tensors of the file have no place in vetro's %s, the first is %.*s: this "
                   "kind of model is not supported",
                   n_unused, m->architecture, VT_ARG(unused->name));
}

static void fill_info(vt_model *m)
{
    const vt_hyper *h = &m->hyper;
    vt_slice name = {0};
    (void)vt_gguf_get_string(m->gguf, VT_S("general.name"), &name);
    m->info = (vt_model_info){
        .architecture = m->architecture,
        .n_bytes = vt_weights_bytes(m->weights),
        .n_layers = h->n_layers,
        .n_embd = h->n_embd,
        .n_vocab = h->n_vocab,
        .n_ctx_train = h->n_ctx,
        .n_heads = h->n_heads,
        .n_heads_kv = h->n_heads_kv,
        .head_dim = h->head_dim,
    };
    snprintf(m->info.name, sizeof m->info.name, "%.*s", VT_ARG(name));
    vt_utf8_make_printable(m->info.name);
    vt_weights_formats(m->weights, m->info.format, sizeof m->info.format);
    for (size_t i = 0; i < vt_gguf_n_tensors(m->gguf); i++) {
        const uint64_t *d = vt_gguf_tensor_at(m->gguf, i)->dims;
        m->info.n_parameters += d[0] * d[1] * d[2] * d[3];
    }
}

static vt_status check_memory(const vt_model *m, vt_err *err)
{
    /* A mapped file is the page cache's: the kernel takes it back when it needs the memory. */
    uint64_t need = vt_weights_own_bytes(m->weights), have = vt_cpu_memory_bytes();
    if (need <= have) return VT_OK;
    return vt_fail(
        err, VT_ELIMIT,
        "the model needs %.1f GiB of memory and this machine has %.1f GiB: use a smaller model or "
        "a smaller number format",
        (double)need / 0x1p30, (double)have / 0x1p30);
}

/* A model without a tokenizer is fine: it takes token ids. */
static vt_status load_tokenizer(vt_model *m, vt_err *err)
{
    vt_err own = {0}; /* the caller's stays as it was when there just is none */
    vt_status st = vt_tokenizer_from_gguf(m->gguf, &m->tokenizer, &own);
    if (st == VT_ENOTFOUND) m->tokenizer = NULL;
    else if (st != VT_OK) {
        if (err != NULL) *err = own;
        return st;
    }
    if (m->tokenizer != NULL && vt_tokenizer_n_vocab(m->tokenizer) > m->hyper.n_vocab)
        return vt_fail(err, VT_EINPUT, "the tokenizer has %zu entries, the embedding %u",
                       vt_tokenizer_n_vocab(m->tokenizer), m->hyper.n_vocab);
    return VT_OK;
}

static vt_status load(vt_model *m, vt_pool *pool, const vt_progress *progress, vt_err *err)
{
    vt_slice architecture;
    if (!vt_gguf_get_string(m->gguf, VT_S("general.architecture"), &architecture))
        return vt_fail(err, VT_EINPUT, "metadata general.architecture is missing");
    m->family = find_family(architecture);
    if (m->family == NULL) return fail_unknown_family(architecture, err);
    snprintf(m->architecture, sizeof m->architecture, "%s", m->family->architectures[0]);
    vt_status st = vt_hyper_read(m->gguf, architecture, &m->hyper, err);
    if (st == VT_OK && m->family->read != NULL)
        st = m->family->read(m->gguf, architecture, &m->hyper, err);
    if (st != VT_OK) return st;
    st = load_tokenizer(m, err);
    if (st != VT_OK) return st;
    st = vt_weights_new(m->gguf, &m->weights, err);
    if (st != VT_OK) return st;
    m->layers = vt_calloc(m->hyper.n_layers, sizeof *m->layers);
    if (m->layers == NULL) return vt_fail(err, VT_ENOMEM, "out of memory");
    bind_all(m);
    st = vt_weights_status(m->weights, err);
    if (st == VT_OK) st = check_unused(m, err);
    if (st == VT_OK) st = check_memory(m, err);
    if (st != VT_OK) return st;
    fill_info(m);
    /* Once now, so that impossible options cost no reading of gigabytes; again with the divisors.
     */
    st = vt_rope_init(&m->rope, m->hyper.rope_dims, m->family->rope_is_interleaved, &m->hyper.rope,
                      err);
    if (st != VT_OK) return st;
    st = vt_weights_load(m->weights, pool, progress, err);
    if (st != VT_OK) return st;
    if (m->output.tiles == NULL) m->output = m->embedding; /* tied */
    m->hyper.rope.divisors = m->rope_divisors;
    return vt_rope_init(&m->rope, m->hyper.rope_dims, m->family->rope_is_interleaved,
                        &m->hyper.rope, err);
}

vt_status vt_model_open(const char *path, vt_pool *pool, const vt_progress *progress,
                        vt_model **out, vt_err *err)
{
    vt_model *m = vt_calloc(1, sizeof *m);
    if (m == NULL) return vt_fail(err, VT_ENOMEM, "out of memory");
    vt_status st = vt_gguf_open(path, &m->gguf, err);
    if (st == VT_OK) {
        st = load(m, pool, progress, err);
        if (st != VT_OK && st != VT_ECANCEL) vt_fail_wrap(err, st, "%.150s", path);
    }
    if (st != VT_OK) {
        vt_model_close(m);
        return st;
    }
    *out = m;
    return VT_OK;
}

vt_status vt_model_pack(const vt_model *m, const char *path, const uint8_t source[VT_SHA256_BYTES],
                        vt_pool *pool, const vt_progress *progress, uint64_t *n_bytes, vt_err *err)
{
    return vt_packed_write(path, m->gguf, m->weights, source, pool, progress, n_bytes, err);
}

void vt_model_close(vt_model *m)
{
    if (m == NULL) return;
    vt_tokenizer_free(m->tokenizer);
    vt_weights_free(m->weights);
    if (m->gguf != NULL) vt_gguf_close(m->gguf);
    vt_free(m->layers);
    vt_free(m);
}

const vt_model_info *vt_model_get_info(const vt_model *m)
{
    return &m->info;
}

const vt_gguf *vt_model_gguf(const vt_model *m)
{
    return m->gguf;
}

const vt_tokenizer *vt_model_tokenizer(const vt_model *m)
{
    return m->tokenizer;
}
