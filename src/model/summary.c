/* summary.c -- see summary.h. Numbers in the header are the file's claims: sums saturate instead of
 * overflowing. */
#include "model/summary.h"

#include <stdio.h>

#include "base/checked.h"
#include "base/compiler.h"
#include "base/utf8.h"
#include "kernels/format.h"

enum { DEFAULT_CONTEXT = 8192, PREFILL_CHUNK = 512, MAX_FORMATS = 64 };

static uint64_t times(uint64_t a, uint64_t b)
{
    uint64_t r;
    return vt_mul_u64(a, b, &r) ? r : UINT64_MAX;
}

static uint64_t plus(uint64_t a, uint64_t b)
{
    uint64_t r;
    return vt_add_u64(a, b, &r) ? r : UINT64_MAX;
}

static void copy_text(char *out, size_t size, vt_slice text)
{
    snprintf(out, size, "%.*s", VT_ARG(text));
    vt_utf8_make_printable(out);
}

/* Architecture keys are "<architecture>.<what>"; 0 when absent. */
static uint64_t arch_u64(const vt_gguf *g, const char *what)
{
    char key[160];
    vt_slice architecture = {0};
    uint64_t value = 0;
    vt_gguf_get_string(g, VT_S("general.architecture"), &architecture);
    int n = snprintf(key, sizeof key, "%.*s.%s", VT_ARG(architecture), what);
    if (n < 0 || (size_t)n >= sizeof key) return 0;
    vt_gguf_get_u64(g, vt_slice_cstr(key), &value);
    return value;
}

/* head_count_kv may be one number or one for each layer. */
static uint64_t kv_heads_of_all_layers(const vt_gguf *g, uint64_t n_layers)
{
    uint64_t n = arch_u64(g, "attention.head_count_kv");
    if (n == 0) n = arch_u64(g, "attention.head_count");
    return times(n, n_layers);
}

static void format_name(uint32_t id, char *out, size_t size)
{
    const vt_format_info *f = vt_format_by_id(id);
    if (f != NULL) snprintf(out, size, "%s", f->name);
    else snprintf(out, size, "type %u", (unsigned)id);
}

/* Norms and biases are always F32 and tell nothing: matrices only. */
static void list_formats(const vt_gguf *g, char *out, size_t size)
{
    uint64_t weights[MAX_FORMATS] = {0};
    for (size_t i = 0; i < vt_gguf_n_tensors(g); i++) {
        const vt_gguf_tensor *t = vt_gguf_tensor_at(g, i);
        if (t->n_dims < 2 || t->format_id >= MAX_FORMATS) continue;
        uint64_t n = t->n_bytes ? t->n_bytes : 1;
        weights[t->format_id] = plus(weights[t->format_id], n);
    }
    size_t used = 0;
    out[0] = '\0';
    for (;;) {
        uint32_t best = 0;
        for (uint32_t id = 1; id < MAX_FORMATS; id++)
            if (weights[id] > weights[best]) best = id;
        if (weights[best] == 0) return;
        weights[best] = 0;
        char name[32];
        format_name(best, name, sizeof name);
        int n = snprintf(out + used, size - used, "%s%s", used ? ", " : "", name);
        if (n < 0 || (size_t)n >= size - used) {
            out[used] = '\0'; /* the rarest ones are left out whole */
            return;
        }
        used += (size_t)n;
    }
}

vt_status vt_model_summarise(const vt_gguf *g, vt_model_summary *out, vt_err *err)
{
    vt_model_summary s = {0};
    vt_slice text = {0};
    if (!vt_gguf_get_string(g, VT_S("general.architecture"), &text) || text.len == 0)
        return vt_fail(err, VT_EINPUT,
                       "%.200s: the header names no architecture (general.architecture)",
                       vt_gguf_path(g, 0) ? vt_gguf_path(g, 0) : "model");
    copy_text(s.architecture, sizeof s.architecture, text);
    if (vt_gguf_get_string(g, VT_S("general.name"), &text)) copy_text(s.name, sizeof s.name, text);
    if (vt_gguf_get_string(g, VT_S("general.license"), &text))
        copy_text(s.licence, sizeof s.licence, text);
    list_formats(g, s.format, sizeof s.format);
    for (size_t i = 0; i < vt_gguf_n_tensors(g); i++) {
        const vt_gguf_tensor *t = vt_gguf_tensor_at(g, i);
        uint64_t n = 1;
        for (uint32_t d = 0; d < VT_GGUF_MAX_DIMS; d++) n = times(n, t->dims[d]);
        s.n_parameters = plus(s.n_parameters, n);
        s.n_weight_bytes = plus(s.n_weight_bytes, t->n_bytes);
    }
    for (uint32_t i = 0; i < vt_gguf_n_files(g); i++)
        s.n_file_bytes = plus(s.n_file_bytes, vt_gguf_file_size(g, i));
    s.context_length = arch_u64(g, "context_length");
    s.n_layers = arch_u64(g, "block_count");
    s.n_embd = arch_u64(g, "embedding_length");
    const vt_gguf_tensor *embedding = vt_gguf_find_tensor(g, VT_S("token_embd.weight"));
    if (embedding != NULL) s.n_vocab = embedding->dims[1];
    *out = s;
    return VT_OK;
}

uint64_t vt_model_memory_estimate(const vt_gguf *g, uint64_t n_ctx)
{
    vt_model_summary s;
    if (vt_model_summarise(g, &s, NULL) != VT_OK) return 0;
    if (n_ctx == 0)
        n_ctx = s.context_length && s.context_length < DEFAULT_CONTEXT ? s.context_length
                                                                       : DEFAULT_CONTEXT;
    uint64_t n_heads = arch_u64(g, "attention.head_count");
    uint64_t head_dim = arch_u64(g, "attention.key_length");
    if (head_dim == 0 && n_heads > 0) head_dim = s.n_embd / n_heads;
    uint64_t kv_row = times(times(kv_heads_of_all_layers(g, s.n_layers), head_dim), 4); /* K, V */
    uint64_t kv = times(kv_row, n_ctx);
    uint64_t window = arch_u64(g, "attention.sliding_window");
    bool alternates =
        strcmp(s.architecture, "gpt-oss") == 0 || strcmp(s.architecture, "gptoss") == 0;
    uint64_t ring = window + PREFILL_CHUNK;
    if (alternates && window > 0 && ring < n_ctx) /* every other layer keeps a ring only */
        kv = plus(times(kv_row / 2, n_ctx), times(kv_row / 2, ring));
    uint64_t width = plus(times(s.n_embd, 6), times(arch_u64(g, "feed_forward_length"), 3));
    uint64_t work = plus(times(times(width, 4), PREFILL_CHUNK), times(s.n_vocab, 4));
    return plus(plus(s.n_weight_bytes, kv), work);
}
