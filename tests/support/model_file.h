/* model_file.h -- GGUF files made in tests: keys and tensors in lists that a test changes before
 * the file is written, so that each kind of damage is one line.
 *
 *     model_file *f = model_file_new("llama");      // a whole tiny model, random weights
 *     model_file_set(f, "llama.block_count", 7);
 *     model_file_save(f);                           // to f->path
 *     ...
 *     model_file_free(f);                           // removes the file too
 *
 * Include after cmocka.h. A function that cannot do its work fails the test. */
#ifndef VT_TESTS_MODEL_FILE_H
#define VT_TESTS_MODEL_FILE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buffer.h"
#include "kernels/format.h"
#include "kernels/math.h"
#include "model/gguf.h"

typedef struct {
    char name[64];
    vt_gguf_type type; /* U32, F32, STRING, or ARRAY of strings */
    uint32_t bits;     /* of a number */
    char text[48];
    const vt_slice *strings;
    size_t n_strings;
} model_key;

typedef struct {
    char name[64];
    uint32_t format;
    uint32_t n_dims;
    uint64_t dims[4];
    uint8_t *data;
    size_t n_bytes;
} model_tensor;

typedef struct {
    model_key keys[48];
    size_t n_keys;
    model_tensor tensors[96];
    size_t n_tensors;
    uint64_t random;
    vt_format matrices; /* format of the matrices added from now on */
    char path[64];
} model_file;

/* ---- keys ---- */

static VT_UNUSED model_key *model_file_key(model_file *f, const char *name)
{
    for (size_t i = 0; i < f->n_keys; i++)
        if (strcmp(f->keys[i].name, name) == 0) return &f->keys[i];
    assert_true(f->n_keys < VT_COUNT(f->keys));
    model_key *k = &f->keys[f->n_keys++];
    *k = (model_key){0};
    snprintf(k->name, sizeof k->name, "%s", name);
    return k;
}

static VT_UNUSED void model_file_set(model_file *f, const char *name, uint32_t value)
{
    model_key *k = model_file_key(f, name);
    k->type = VT_GGUF_U32;
    k->bits = value;
}

static VT_UNUSED void model_file_set_float(model_file *f, const char *name, float value)
{
    model_key *k = model_file_key(f, name);
    k->type = VT_GGUF_F32;
    memcpy(&k->bits, &value, 4);
}

static VT_UNUSED void model_file_set_text(model_file *f, const char *name, const char *value)
{
    model_key *k = model_file_key(f, name);
    k->type = VT_GGUF_STRING;
    snprintf(k->text, sizeof k->text, "%s", value);
}

/* The strings must live until the file is saved. */
static VT_UNUSED void model_file_set_strings(model_file *f, const char *name, const vt_slice *s,
                                             size_t n)
{
    model_key *k = model_file_key(f, name);
    k->type = VT_GGUF_ARRAY;
    k->strings = s;
    k->n_strings = n;
}

static VT_UNUSED void model_file_remove(model_file *f, const char *name)
{
    model_key *k = model_file_key(f, name);
    *k = f->keys[--f->n_keys];
}

/* ---- tensors ---- */

static VT_UNUSED uint32_t model_file_random_u32(model_file *f)
{
    f->random = f->random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(f->random >> 32);
}

/* Between -1 and 1. */
static VT_UNUSED float model_file_random(model_file *f)
{
    return (float)((double)model_file_random_u32(f) / 0x1p31 - 1.0);
}

static VT_UNUSED model_tensor *model_file_tensor(model_file *f, const char *name)
{
    for (size_t i = 0; i < f->n_tensors; i++)
        if (strcmp(f->tensors[i].name, name) == 0) return &f->tensors[i];
    fail_msg("no tensor %s", name);
    return NULL;
}

/* One block: floats of magnitude `gain`, or random quants with a scale that comes to about that. */
static VT_UNUSED void model_file_fill(model_file *f, const vt_format_info *format, float gain,
                                      uint8_t *block)
{
    float value = model_file_random(f) * gain;
    uint16_t half = vt_f32_to_f16(value);
    for (uint32_t i = 0; i < format->block_bytes; i++) block[i] = (uint8_t)model_file_random_u32(f);
    uint16_t scale = vt_f32_to_f16(gain / 64.0f);
    switch (format->id) {
    case VT_FORMAT_F32: memcpy(block, &value, 4); break;
    case VT_FORMAT_F16: memcpy(block, &half, 2); break;
    case VT_FORMAT_Q8_0: memcpy(block, &scale, 2); break;
    case VT_FORMAT_Q4_0: memcpy(block, &scale, 2); break;
    case VT_FORMAT_MXFP4: block[0] = 122; break;
    default: fail_msg("model_file.h has no random %s", format->name);
    }
}

/* dims up to the first 0. */
static VT_UNUSED void model_file_add(model_file *f, const char *name, vt_format format, float gain,
                                     const uint64_t dims[4])
{
    assert_true(f->n_tensors < VT_COUNT(f->tensors));
    const vt_format_info *info = vt_format_by_id((uint32_t)format);
    model_tensor *t = &f->tensors[f->n_tensors++];
    *t = (model_tensor){.format = (uint32_t)format};
    snprintf(t->name, sizeof t->name, "%s", name);
    uint64_t n = 1;
    for (uint32_t i = 0; i < 4 && dims[i] != 0; i++) {
        t->dims[t->n_dims++] = dims[i];
        n *= dims[i];
    }
    t->n_bytes = (size_t)(n / info->block_len * info->block_bytes);
    t->data = malloc(t->n_bytes);
    assert_non_null(t->data);
    for (size_t i = 0; i < t->n_bytes; i += info->block_bytes)
        model_file_fill(f, info, gain, t->data + i);
}

static VT_UNUSED void model_file_matrix(model_file *f, const char *name, uint64_t n_cols,
                                        uint64_t n_rows, uint64_t n_stack)
{
    model_file_add(f, name, f->matrices, 0.25f, (uint64_t[4]){n_cols, n_rows, n_stack});
}

static VT_UNUSED void model_file_vector(model_file *f, const char *name, uint64_t n, float around)
{
    model_file_add(f, name, VT_FORMAT_F32, 0.3f, (uint64_t[4]){n});
    float *x = (float *)(void *)f->tensors[f->n_tensors - 1].data;
    for (uint64_t i = 0; i < n; i++) x[i] += around;
}

static VT_UNUSED void model_file_drop(model_file *f, const char *name)
{
    model_tensor *t = model_file_tensor(f, name);
    free(t->data);
    *t = f->tensors[--f->n_tensors];
}

/* ---- a whole model ---- */

enum {
    MODEL_LAYERS = 2,
    MODEL_EMBD = 64,
    MODEL_HEADS = 4,
    MODEL_HEADS_KV = 2,
    MODEL_HEAD_DIM = 32,
    MODEL_FF = 96,
    MODEL_VOCAB = 43,
    MODEL_CTX = 600,
    MODEL_EXPERTS = 5,
    MODEL_USED = 2,
    MODEL_WINDOW = 20,
};

static VT_UNUSED void model_file_layer(model_file *f, unsigned i, bool has_bias, bool has_experts)
{
    static const struct {
        const char *name;
        uint64_t n_cols, n_rows;
    } attention[] = {{"attn_q", MODEL_EMBD, MODEL_HEADS * MODEL_HEAD_DIM},
                     {"attn_k", MODEL_EMBD, MODEL_HEADS_KV * MODEL_HEAD_DIM},
                     {"attn_v", MODEL_EMBD, MODEL_HEADS_KV * MODEL_HEAD_DIM},
                     {"attn_output", MODEL_HEADS * MODEL_HEAD_DIM, MODEL_EMBD}},
      feed[] = {{"ffn_gate", MODEL_EMBD, MODEL_FF},
                {"ffn_up", MODEL_EMBD, MODEL_FF},
                {"ffn_down", MODEL_FF, MODEL_EMBD}};
    char name[64];
#define NAME(...) (snprintf(name, sizeof name, __VA_ARGS__), name)
    model_file_vector(f, NAME("blk.%u.attn_norm.weight", i), MODEL_EMBD, 1.0f);
    model_file_vector(f, NAME("blk.%u.ffn_norm.weight", i), MODEL_EMBD, 1.0f);
    for (size_t a = 0; a < VT_COUNT(attention); a++) {
        model_file_matrix(f, NAME("blk.%u.%s.weight", i, attention[a].name), attention[a].n_cols,
                          attention[a].n_rows, 0);
        if (has_experts || (has_bias && a < 3))
            model_file_vector(f, NAME("blk.%u.%s.bias", i, attention[a].name), attention[a].n_rows,
                              0.0f);
    }
    for (size_t a = 0; a < VT_COUNT(feed); a++) {
        model_file_matrix(f,
                          NAME("blk.%u.%s%s.weight", i, feed[a].name, has_experts ? "_exps" : ""),
                          feed[a].n_cols, feed[a].n_rows, has_experts ? MODEL_EXPERTS : 0);
        if (has_experts)
            model_file_vector(f, NAME("blk.%u.%s_exps.bias", i, feed[a].name),
                              feed[a].n_rows * MODEL_EXPERTS, 0.0f);
    }
    if (!has_experts) return;
    model_file_vector(f, NAME("blk.%u.attn_sinks.weight", i), MODEL_HEADS, 1.0f);
    model_file_add(f, NAME("blk.%u.ffn_gate_inp.weight", i), VT_FORMAT_F32, 0.25f,
                   (uint64_t[4]){MODEL_EMBD, MODEL_EXPERTS});
    model_file_vector(f, NAME("blk.%u.ffn_gate_inp.bias", i), MODEL_EXPERTS, 0.0f);
#undef NAME
}

/* "llama", "qwen2" or "gpt-oss"; the format of the matrices but the router. */
static VT_UNUSED model_file *model_file_new_of(const char *architecture, vt_format matrices)
{
    static const struct {
        const char *key;
        uint32_t value;
    } numbers[] = {{"block_count", MODEL_LAYERS},
                   {"embedding_length", MODEL_EMBD},
                   {"context_length", MODEL_CTX},
                   {"feed_forward_length", MODEL_FF},
                   {"attention.head_count", MODEL_HEADS},
                   {"attention.head_count_kv", MODEL_HEADS_KV},
                   {"attention.key_length", MODEL_HEAD_DIM},
                   {"attention.value_length", MODEL_HEAD_DIM},
                   {"rope.dimension_count", MODEL_HEAD_DIM},
                   {"expert_count", MODEL_EXPERTS},
                   {"expert_used_count", MODEL_USED},
                   {"expert_feed_forward_length", MODEL_FF},
                   {"attention.sliding_window", MODEL_WINDOW}};
    const bool has_experts = strcmp(architecture, "gpt-oss") == 0;
    model_file *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->random = 20260725;
    f->matrices = matrices;
    char name[64];
    model_file_set_text(f, "general.architecture", architecture);
    model_file_set_text(f, "general.name", "a test");
    for (size_t i = 0; i < VT_COUNT(numbers) - (has_experts ? 0 : 4); i++) {
        snprintf(name, sizeof name, "%s.%s", architecture, numbers[i].key);
        model_file_set(f, name, numbers[i].value);
    }
    snprintf(name, sizeof name, "%s.attention.layer_norm_rms_epsilon", architecture);
    model_file_set_float(f, name, 1e-5f);
    model_file_matrix(f, "token_embd.weight", MODEL_EMBD, MODEL_VOCAB, 0);
    model_file_matrix(f, "output.weight", MODEL_EMBD, MODEL_VOCAB, 0);
    model_file_vector(f, "output_norm.weight", MODEL_EMBD, 1.0f);
    for (unsigned i = 0; i < MODEL_LAYERS; i++)
        model_file_layer(f, i, strcmp(architecture, "qwen2") == 0, has_experts);
    return f;
}

static VT_UNUSED model_file *model_file_new(const char *architecture)
{
    return model_file_new_of(architecture, VT_FORMAT_F32);
}

static VT_UNUSED void model_file_free(model_file *f)
{
    for (size_t i = 0; i < f->n_tensors; i++) free(f->tensors[i].data);
    if (f->path[0]) unlink(f->path);
    free(f);
}

/* ---- the file ---- */

static VT_UNUSED void model_file_put(vt_buffer *b, uint64_t value, size_t n_bytes)
{
    for (size_t i = 0; i < n_bytes; i++)
        assert_true(vt_buffer_byte(b, (char)(unsigned char)(value >> (8 * i))));
}

static VT_UNUSED void model_file_put_text(vt_buffer *b, vt_slice s)
{
    model_file_put(b, s.len, 8);
    assert_true(vt_buffer_append(b, s));
}

static VT_UNUSED void model_file_put_key(vt_buffer *b, const model_key *k)
{
    model_file_put_text(b, vt_slice_cstr(k->name));
    model_file_put(b, k->type, 4);
    if (k->type == VT_GGUF_STRING) model_file_put_text(b, vt_slice_cstr(k->text));
    else if (k->type == VT_GGUF_ARRAY) {
        model_file_put(b, VT_GGUF_STRING, 4);
        model_file_put(b, k->n_strings, 8);
        for (size_t i = 0; i < k->n_strings; i++) model_file_put_text(b, k->strings[i]);
    } else model_file_put(b, k->bits, 4);
}

/* The bytes; the caller deinits the buffer. *header_bytes, may be NULL: where the data begin. */
static VT_UNUSED void model_file_bytes(const model_file *f, vt_buffer *b, size_t *header_bytes)
{
    vt_buffer_init(b, 0);
    assert_true(vt_buffer_append(b, VT_S("GGUF")));
    model_file_put(b, 3, 4);
    model_file_put(b, f->n_tensors, 8);
    model_file_put(b, f->n_keys, 8);
    for (size_t i = 0; i < f->n_keys; i++) model_file_put_key(b, &f->keys[i]);
    uint64_t at = 0;
    for (size_t i = 0; i < f->n_tensors; i++) {
        const model_tensor *t = &f->tensors[i];
        model_file_put_text(b, vt_slice_cstr(t->name));
        model_file_put(b, t->n_dims, 4);
        for (uint32_t d = 0; d < t->n_dims; d++) model_file_put(b, t->dims[d], 8);
        model_file_put(b, t->format, 4);
        model_file_put(b, at, 8);
        at += (t->n_bytes + 31) / 32 * 32;
    }
    while (b->len % 32 != 0) model_file_put(b, 0, 1);
    if (header_bytes != NULL) *header_bytes = b->len;
    for (size_t i = 0; i < f->n_tensors; i++) {
        assert_true(vt_buffer_append(b, vt_slice_of(f->tensors[i].data, f->tensors[i].n_bytes)));
        while (b->len % 32 != 0) model_file_put(b, 0, 1);
    }
}

static VT_UNUSED void model_file_write(const char *path, vt_slice bytes)
{
    FILE *out = fopen(path, "wb");
    assert_non_null(out);
    assert_int_equal(fwrite(bytes.ptr, 1, bytes.len, out), bytes.len);
    assert_int_equal(fclose(out), 0);
}

/* Write it to f->path, a temporary file that model_file_free removes. */
static VT_UNUSED const char *model_file_save(model_file *f)
{
    vt_buffer b;
    if (f->path[0] == '\0') {
        snprintf(f->path, sizeof f->path, "/tmp/vetro-model-XXXXXX");
        int fd = mkstemp(f->path);
        assert_true(fd >= 0);
        close(fd);
    }
    model_file_bytes(f, &b, NULL);
    model_file_write(f->path, vt_buffer_slice(&b));
    vt_buffer_deinit(&b);
    return f->path;
}

/* Move the second half of the tensors to a file of its own, as converters split large models, and
 * write both into `dir`. The new one is the caller's, as f is. */
static VT_UNUSED model_file *model_file_split(model_file *f, const char *dir)
{
    model_file *second = calloc(1, sizeof *second);
    assert_non_null(second);
    if (f->path[0] != '\0') unlink(f->path);
    const size_t half = f->n_tensors / 2;
    second->n_tensors = f->n_tensors - half;
    memcpy(second->tensors, f->tensors + half, second->n_tensors * sizeof second->tensors[0]);
    f->n_tensors = half;
    model_file *parts[2] = {f, second};
    for (uint32_t i = 0; i < 2; i++) {
        model_file_set(parts[i], "split.no", i);
        model_file_set(parts[i], "split.count", 2);
        snprintf(parts[i]->path, sizeof parts[i]->path, "%s/m-0000%u-of-00002.gguf", dir, i + 1);
        model_file_save(parts[i]);
    }
    return second;
}

#endif
