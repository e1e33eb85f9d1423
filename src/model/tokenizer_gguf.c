/* tokenizer_gguf.c -- a tokenizer from a model file's metadata.
 *
 *   tokenizer.ggml.model       "gpt2" is byte-level BPE, the kind we know; "none" is no tokenizer
 *   tokenizer.ggml.pre         which split
 *   tokenizer.ggml.tokens      array of string, by id
 *   tokenizer.ggml.token_type  array of integer, by id (optional)
 *   tokenizer.ggml.merges      array of string, best first
 *   tokenizer.ggml.bos_token_id, eos_token_id, add_bos_token
 *
 * Everything is checked here or in tokenizer_vocab.c; the tables built are no larger than the
 * arrays in the file account for. */
#include "base/alloc.h"
#include "model/tokenizer_bpe.h"

typedef struct {
    const char *name; /* tokenizer.ggml.pre */
    vt_split_kind split;
} pre_tokenizer;

static const pre_tokenizer known[] = {
    {"gpt-2", VT_SPLIT_GPT2},      {"gpt2", VT_SPLIT_GPT2},
    {"smollm", VT_SPLIT_SMOLLM},   {"llama3", VT_SPLIT_LLAMA3},
    {"llama-v3", VT_SPLIT_LLAMA3}, {"llama-bpe", VT_SPLIT_LLAMA3},
    {"qwen2", VT_SPLIT_QWEN2},     {"deepseek-r1-qwen", VT_SPLIT_QWEN2},
    {"gpt-4o", VT_SPLIT_O200K},
};

static vt_status find_split(const vt_gguf *g, vt_split_kind *out, vt_err *err)
{
    vt_slice pre = VT_S("default");
    vt_slice architecture = {0};
    (void)vt_gguf_get_string(g, VT_S("tokenizer.ggml.pre"), &pre);
    (void)vt_gguf_get_string(g, VT_S("general.architecture"), &architecture);
    for (size_t i = 0; i < VT_COUNT(known); i++) {
        if (!vt_slice_eq(pre, vt_slice_cstr(known[i].name))) continue;
        *out = known[i].split;
        return VT_OK;
    }
    /* Ollama's files of gpt-oss say "default"; taken at their word, prompts come out malformed. */
    if (vt_slice_eq(pre, VT_S("default")) &&
        (vt_slice_eq(architecture, VT_S("gptoss")) || vt_slice_eq(architecture, VT_S("gpt-oss")))) {
        *out = VT_SPLIT_O200K;
        return VT_OK;
    }
    vt_buffer list;
    vt_buffer_init(&list, 256);
    for (size_t i = 0; i < VT_COUNT(known); i++)
        vt_buffer_printf(&list, "%s%s", i ? ", " : "", known[i].name);
    vt_status st = vt_fail(err, VT_EUNSUPPORTED,
                           "unknown pre-tokenizer \"%.*s\" (tokenizer.ggml.pre); known: %.*s",
                           VT_ARG(vt_slice_take(pre, 64)), VT_ARG(vt_buffer_slice(&list)));
    vt_buffer_deinit(&list);
    return st;
}

/* An array of strings as slices of the file, which the caller frees. */
static vt_status get_strings(const vt_gguf *g, vt_slice key, vt_slice **out, size_t *n, vt_err *err)
{
    const vt_gguf_entry *e = vt_gguf_find(g, key);
    if (e == NULL || e->type != VT_GGUF_ARRAY || e->element_type != VT_GGUF_STRING)
        return vt_fail(err, VT_EINPUT, "the file has no array of strings \"%.*s\"", VT_ARG(key));
    size_t bytes = (size_t)e->count * sizeof **out;
    if (e->count > SIZE_MAX / sizeof **out || (*out = vt_alloc(bytes)) == NULL)
        return vt_fail(err, VT_ENOMEM, "no memory for \"%.*s\"", VT_ARG(key));
    for (uint64_t i = 0; i < e->count; i++)
        if (!vt_gguf_array_string(e, i, &(*out)[i])) (*out)[i] = (vt_slice){0};
    *n = (size_t)e->count;
    return VT_OK;
}

static vt_status get_types(const vt_gguf *g, size_t n_tokens, int32_t **out, vt_err *err)
{
    const vt_gguf_entry *e = vt_gguf_find(g, VT_S("tokenizer.ggml.token_type"));
    if (e == NULL) return VT_OK;
    if (e->type != VT_GGUF_ARRAY || e->count != n_tokens)
        return vt_fail(err, VT_EINPUT, "tokenizer.ggml.token_type has %llu elements for %zu tokens",
                       (unsigned long long)(e->type == VT_GGUF_ARRAY ? e->count : 0), n_tokens);
    *out = vt_alloc(n_tokens * sizeof **out);
    if (*out == NULL) return vt_fail(err, VT_ENOMEM, "no memory for the types of tokens");
    for (size_t i = 0; i < n_tokens; i++) {
        int64_t type;
        if (!vt_gguf_array_i64(e, i, &type) || type < VT_TOKEN_NORMAL || type > VT_TOKEN_BYTE)
            return vt_fail(err, VT_EINPUT, "tokenizer.ggml.token_type[%zu] is not one of 1 to 6",
                           i);
        (*out)[i] = (int32_t)type;
    }
    return VT_OK;
}

static vt_status get_id(const vt_gguf *g, vt_slice key, size_t n_tokens, int32_t *out, vt_err *err)
{
    uint64_t id;
    *out = -1;
    if (vt_gguf_find(g, key) == NULL) return VT_OK;
    if (!vt_gguf_get_u64(g, key, &id) || id >= n_tokens)
        return vt_fail(err, VT_EINPUT, "%.*s is not a token of the vocabulary of %zu", VT_ARG(key),
                       n_tokens);
    *out = (int32_t)id;
    return VT_OK;
}

static vt_status check_kind(const vt_gguf *g, vt_err *err)
{
    vt_slice model;
    if (!vt_gguf_get_string(g, VT_S("tokenizer.ggml.model"), &model))
        return vt_fail(err, VT_ENOTFOUND, "the file has no tokenizer (tokenizer.ggml.model)");
    if (vt_slice_eq(model, VT_S("none")) || vt_slice_eq(model, VT_S("no_vocab")))
        return vt_fail(err, VT_ENOTFOUND, "the file says that it has no tokenizer");
    if (!vt_slice_eq(model, VT_S("gpt2")))
        return vt_fail(err, VT_EUNSUPPORTED,
                       "unknown kind of tokenizer \"%.*s\" (tokenizer.ggml.model); known: gpt2",
                       VT_ARG(vt_slice_take(model, 64)));
    return VT_OK;
}

vt_status vt_tokenizer_from_gguf(const vt_gguf *g, vt_tokenizer **out, vt_err *err)
{
    vt_slice *tokens = NULL;
    vt_slice *merges = NULL;
    int32_t *types = NULL;
    vt_tokenizer_source source = {0};
    vt_status st = check_kind(g, err);
    if (st == VT_OK) st = find_split(g, &source.split, err);
    if (st == VT_OK)
        st = get_strings(g, VT_S("tokenizer.ggml.tokens"), &tokens, &source.n_tokens, err);
    if (st == VT_OK)
        st = get_strings(g, VT_S("tokenizer.ggml.merges"), &merges, &source.n_merges, err);
    if (st == VT_OK) st = get_types(g, source.n_tokens, &types, err);
    if (st == VT_OK)
        st = get_id(g, VT_S("tokenizer.ggml.bos_token_id"), source.n_tokens, &source.bos, err);
    if (st == VT_OK)
        st = get_id(g, VT_S("tokenizer.ggml.eos_token_id"), source.n_tokens, &source.eos, err);
    if (st == VT_OK) {
        /* Where the file doesn't say, what the published tokenizer of that split does. */
        source.adds_bos = source.split == VT_SPLIT_LLAMA3 && source.bos >= 0;
        (void)vt_gguf_get_bool(g, VT_S("tokenizer.ggml.add_bos_token"), &source.adds_bos);
        source.tokens = tokens;
        source.merges = merges;
        source.types = types;
        st = vt__tokenizer_new(&source, out, err);
    }
    vt_free(tokens);
    vt_free(merges);
    vt_free(types);
    return st;
}
