/* hyper.c -- see hyper.h. Each number is checked here, once, against a limit that later arithmetic
 * relies on. */
#include "model/hyper.h"

#include <stdio.h>

enum {
    MAX_LAYERS = 1024,
    MAX_WIDTH =
        1 << 20, /* of anything a token is turned into: embedding, heads together, feed-forward */
    MAX_VOCAB = 1 << 22,
    MAX_HEADS = 1024,
    MAX_HEAD_DIM = 256,
    LANES = 16,
};

static vt_slice full_key(char *buffer, size_t size, vt_slice prefix, const char *key)
{
    int n = snprintf(buffer, size, "%.*s.%s", VT_ARG(prefix), key);
    return vt_slice_of(buffer, n < 0 ? 0 : (size_t)n < size ? (size_t)n : size - 1);
}

vt_status vt_hyper_u32(const vt_gguf *g, vt_slice prefix, const char *key, uint32_t limit,
                       const uint32_t *fallback, uint32_t *out, vt_err *err)
{
    char buffer[160];
    vt_slice name = full_key(buffer, sizeof buffer, prefix, key);
    uint64_t value;
    if (vt_gguf_find(g, name) == NULL && fallback != NULL) {
        /* A fallback is made of other numbers of the file, so it is not trusted either. */
        if (*fallback > limit)
            return vt_fail(err, VT_EINPUT, "metadata %s is missing and would be %u, not 1 to %u",
                           buffer, *fallback, limit);
        *out = *fallback;
        return VT_OK;
    }
    if (!vt_gguf_get_u64(g, name, &value))
        return vt_fail(err, VT_EINPUT, "metadata %s is missing or not a whole number", buffer);
    if (value == 0 || value > limit)
        return vt_fail(err, VT_EINPUT, "metadata %s is %llu, not 1 to %u", buffer,
                       (unsigned long long)value, limit);
    *out = (uint32_t)value;
    return VT_OK;
}

vt_status vt_hyper_f64(const vt_gguf *g, vt_slice prefix, const char *key, const double *fallback,
                       double *out, vt_err *err)
{
    char buffer[160];
    vt_slice name = full_key(buffer, sizeof buffer, prefix, key);
    if (vt_gguf_find(g, name) == NULL && fallback != NULL) {
        *out = *fallback;
        return VT_OK;
    }
    double value;
    if (!vt_gguf_get_f64(g, name, &value) || !(value > 0.0) || !(value < 1e30))
        return vt_fail(err, VT_EINPUT, "metadata %s is missing or not a positive number", buffer);
    *out = value;
    return VT_OK;
}

static vt_status read_heads(const vt_gguf *g, vt_slice prefix, vt_hyper *h, vt_err *err)
{
    vt_status st =
        vt_hyper_u32(g, prefix, "attention.head_count", MAX_HEADS, NULL, &h->n_heads, err);
    if (st != VT_OK) return st;
    st = vt_hyper_u32(g, prefix, "attention.head_count_kv", MAX_HEADS, &h->n_heads, &h->n_heads_kv,
                      err);
    if (st != VT_OK) return st;
    if (h->n_heads % h->n_heads_kv != 0)
        return vt_fail(err, VT_EINPUT, "%u attention heads are no multiple of %u KV heads",
                       h->n_heads, h->n_heads_kv);
    uint32_t usual = h->n_embd / h->n_heads, value_dim;
    if (usual == 0) usual = 1;
    st = vt_hyper_u32(g, prefix, "attention.key_length", MAX_HEAD_DIM, &usual, &h->head_dim, err);
    if (st != VT_OK) return st;
    st = vt_hyper_u32(g, prefix, "attention.value_length", MAX_HEAD_DIM, &h->head_dim, &value_dim,
                      err);
    if (st != VT_OK) return st;
    if (value_dim != h->head_dim)
        return vt_fail(err, VT_EUNSUPPORTED,
                       "keys of %u and values of %u dimensions (they must be equal)", h->head_dim,
                       value_dim);
    return VT_OK;
}

static vt_status read_rope(const vt_gguf *g, vt_slice prefix, vt_hyper *h, vt_err *err)
{
    static const double usual_base = 10000.0, none = 1.0, beta_fast = 32.0, beta_slow = 1.0;
    char buffer[160];
    /* Without a type, a factor alone means linear scaling, as for the files' other reader. */
    vt_slice type = VT_S("linear");
    vt_status st = vt_hyper_u32(g, prefix, "rope.dimension_count", MAX_HEAD_DIM, &h->head_dim,
                                &h->rope_dims, err);
    if (st != VT_OK) return st;
    if (h->rope_dims > h->head_dim || h->rope_dims % 2 != 0)
        return vt_fail(err, VT_EINPUT, "RoPE over %u dimensions of heads of %u", h->rope_dims,
                       h->head_dim);
    st = vt_hyper_f64(g, prefix, "rope.freq_base", &usual_base, &h->rope.base, err);
    if (st != VT_OK) return st;
    vt_slice key = full_key(buffer, sizeof buffer, prefix, "rope.scaling.type");
    if (vt_gguf_find(g, key) != NULL && !vt_gguf_get_string(g, key, &type))
        return vt_fail(err, VT_EINPUT, "metadata %s is not a string", buffer);
    bool is_linear = vt_slice_eq(type, VT_S("linear")), is_yarn = vt_slice_eq(type, VT_S("yarn"));
    if (!is_linear && !is_yarn && !vt_slice_eq(type, VT_S("none")))
        return vt_fail(err, VT_EUNSUPPORTED,
                       "RoPE scaling \"%.*s\" (vetro knows none, linear, yarn)", VT_ARG(type));
    if (is_linear)
        return vt_hyper_f64(g, prefix, "rope.scaling.factor", &none, &h->rope.linear_factor, err);
    if (!is_yarn) return VT_OK;
    h->rope.yarn_is_rounded = true; /* but for the families that say otherwise */
    st = vt_hyper_f64(g, prefix, "rope.scaling.factor", NULL, &h->rope.yarn_factor, err);
    if (st != VT_OK) return st;
    st = vt_hyper_f64(g, prefix, "rope.scaling.yarn_beta_fast", &beta_fast, &h->rope.yarn_beta_fast,
                      err);
    if (st != VT_OK) return st;
    st = vt_hyper_f64(g, prefix, "rope.scaling.yarn_beta_slow", &beta_slow, &h->rope.yarn_beta_slow,
                      err);
    if (st != VT_OK) return st;
    return vt_hyper_f64(g, prefix, "rope.scaling.original_context_length", NULL,
                        &h->rope.yarn_original_context, err);
}

/* The kernels take rows of whole lanes. */
static vt_status check_lanes(const vt_hyper *h, vt_err *err)
{
    const struct {
        const char *what;
        uint32_t value;
    } widths[] = {{"embedding_length", h->n_embd},
                  {"attention.key_length", h->head_dim},
                  {"feed_forward_length", h->n_ff}};
    for (size_t i = 0; i < VT_COUNT(widths); i++)
        if (widths[i].value % LANES != 0)
            return vt_fail(err, VT_EUNSUPPORTED, "%s is %u, not a multiple of %d", widths[i].what,
                           widths[i].value, LANES);
    if ((uint64_t)h->n_heads * h->head_dim > MAX_WIDTH)
        return vt_fail(err, VT_ELIMIT, "%u heads of %u dimensions are more than %d", h->n_heads,
                       h->head_dim, MAX_WIDTH);
    return VT_OK;
}

vt_status vt_hyper_read(const vt_gguf *g, vt_slice prefix, vt_hyper *h, vt_err *err)
{
    *h = (vt_hyper){0};
    double eps;
    vt_status st = vt_hyper_u32(g, prefix, "block_count", MAX_LAYERS, NULL, &h->n_layers, err);
    if (st != VT_OK) return st;
    st = vt_hyper_u32(g, prefix, "embedding_length", MAX_WIDTH, NULL, &h->n_embd, err);
    if (st != VT_OK) return st;
    st = vt_hyper_u32(g, prefix, "context_length", VT_MAX_CTX, NULL, &h->n_ctx, err);
    if (st != VT_OK) return st;
    /* Some mixtures of experts give only the width of an expert. */
    static const uint32_t absent = 0;
    uint32_t expert_ff;
    st = vt_hyper_u32(g, prefix, "expert_feed_forward_length", MAX_WIDTH, &absent, &expert_ff, err);
    if (st != VT_OK) return st;
    st = vt_hyper_u32(g, prefix, "feed_forward_length", MAX_WIDTH, expert_ff ? &expert_ff : NULL,
                      &h->n_ff, err);
    if (st != VT_OK) return st;
    st = vt_hyper_f64(g, prefix, "attention.layer_norm_rms_epsilon", NULL, &eps, err);
    if (st != VT_OK) return st;
    h->norm_eps = (float)eps;
    if (!(h->norm_eps > 0.0f)) /* a row of zeros would be divided by zero */
        return vt_fail(err, VT_EINPUT, "attention.layer_norm_rms_epsilon is %g, 0 as a float", eps);
    st = read_heads(g, prefix, h, err);
    if (st != VT_OK) return st;
    st = read_rope(g, prefix, h, err);
    if (st != VT_OK) return st;
    st = check_lanes(h, err);
    if (st != VT_OK) return st;
    /* The vocabulary's size is the embedding's; the tokenizer may have fewer entries. */
    const vt_gguf_tensor *t = vt_gguf_find_tensor(g, VT_S("token_embd.weight"));
    if (t == NULL)
        return vt_fail(err, VT_EINPUT, "tensor token_embd.weight is missing from the file");
    if (t->dims[1] == 0 || t->dims[1] > MAX_VOCAB)
        return vt_fail(err, VT_EINPUT, "a vocabulary of %llu, not 1 to %d",
                       (unsigned long long)t->dims[1], MAX_VOCAB);
    h->n_vocab = (uint32_t)t->dims[1];
    return VT_OK;
}
