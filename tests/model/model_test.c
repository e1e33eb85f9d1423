/* model_test.c -- opening models: files made here, whole and damaged. Every kind of damage is an
 * error that names what is wrong; weights that are not numbers are noticed wherever they lie; a
 * cancelled or failing opening leaves nothing behind (the leak check of the sanitizer says so). */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "engine/engine.h"
#include "model/network.h"
#include "model/tokenizer_small.h"
#include "support/model_file.h"

static const char *const families[] = {"llama", "qwen2", "gpt-oss"};

static vt_status open_file(model_file *f, vt_engine **e, vt_err *err)
{
    return vt_engine_open(&(vt_engine_options){.path = model_file_save(f), .n_threads = 2}, e, err);
}

/* Opening must fail with this status and a message that holds `part`; f is used up. */
static void expect_refused(model_file *f, vt_status status, const char *part)
{
    vt_engine *e = NULL;
    vt_err err = {0};
    vt_status st = open_file(f, &e, &err);
    if (st != status || strstr(err.msg, part) == NULL)
        fail_msg("status %d, '%s' lacks '%s'", st, err.msg, part);
    assert_null(e);
    model_file_free(f);
}

/* Open and run 40 tokens; the first error. */
static vt_status open_and_run(model_file *f, vt_kv_type kv_type, vt_err *err)
{
    vt_engine *e = NULL;
    vt_session *s = NULL;
    int32_t tokens[40];
    for (int i = 0; i < 40; i++) tokens[i] = i * 7 % MODEL_VOCAB;
    vt_status st = open_file(f, &e, err);
    if (st == VT_OK) st = vt_session_new(e, &(vt_session_options){.kv_type = kv_type}, &s, err);
    if (st == VT_OK) st = vt_session_extend(s, tokens, 40, NULL, err);
    if (st == VT_OK) {
        const float *logits = vt_session_logits(s);
        assert_true(vt_all_below(logits, MODEL_VOCAB, INFINITY));
        assert_false(vt_all_below(logits, MODEL_VOCAB, 1e-6f));
    } else if (s != NULL) {
        assert_null(vt_session_logits(s));
        assert_int_equal(vt_session_n_tokens(s), 0);
    }
    vt_session_free(s);
    vt_engine_close(e);
    return st;
}

/* ---- sound files ---- */

static void test_each_family_opens_and_runs_in_several_formats(void **state)
{
    (void)state;
    static const vt_format formats[] = {VT_FORMAT_F32, VT_FORMAT_F16, VT_FORMAT_Q8_0,
                                        VT_FORMAT_Q4_0, VT_FORMAT_MXFP4};
    for (size_t i = 0; i < VT_COUNT(families); i++)
        for (size_t k = 0; k < VT_COUNT(formats); k++) {
            model_file *f = model_file_new_of(families[i], formats[k]);
            vt_err err = {0};
            if (open_and_run(f, VT_KV_F16, &err) != VT_OK) fail_msg("%s", err.msg);
            model_file_free(f);
        }
}

static void test_what_a_model_says_of_itself(void **state)
{
    (void)state;
    model_file *f = model_file_new_of("gpt-oss", VT_FORMAT_Q8_0);
    vt_engine *e = NULL;
    vt_err err = {0};
    if (open_file(f, &e, &err) != VT_OK) fail_msg("%s", err.msg);
    const vt_model_info *info = vt_model_get_info(vt_engine_model(e));
    assert_string_equal(info->architecture, "gpt-oss");
    assert_string_equal(info->name, "a test");
    assert_string_equal(info->format, "Q8_0, F32");
    assert_int_equal(info->n_layers, MODEL_LAYERS);
    assert_int_equal(info->n_embd, MODEL_EMBD);
    assert_int_equal(info->n_vocab, MODEL_VOCAB);
    assert_int_equal(info->n_ctx_train, MODEL_CTX);
    assert_int_equal(info->head_dim, MODEL_HEAD_DIM);
    uint64_t n = 0;
    for (size_t i = 0; i < f->n_tensors; i++) {
        const uint64_t *d = f->tensors[i].dims;
        n += d[0] * (d[1] ? d[1] : 1) * (d[2] ? d[2] : 1);
    }
    assert_int_equal(info->n_parameters, n);
    assert_null(vt_engine_tokenizer(e));
    assert_int_equal(err.code, VT_OK); /* that there is none is no error */
    vt_engine_close(e);
    model_file_free(f);
}

static void test_without_an_output_matrix_the_embedding_serves(void **state)
{
    (void)state;
    model_file *f = model_file_new("llama");
    vt_err err = {0};
    model_file_drop(f, "output.weight");
    if (open_and_run(f, VT_KV_F32, &err) != VT_OK) fail_msg("%s", err.msg);
    model_file_free(f);
}

static void test_gate_and_up_may_have_formats_of_different_kinds(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        model_file *f = model_file_new_of(i ? "gpt-oss" : "llama", VT_FORMAT_F16);
        const char *name = i ? "blk.1.ffn_up_exps.weight" : "blk.1.ffn_up.weight";
        vt_err err = {0};
        model_file_drop(f, name);
        f->matrices = VT_FORMAT_Q8_0;
        model_file_matrix(f, name, MODEL_EMBD, MODEL_FF, i ? MODEL_EXPERTS : 0);
        if (open_and_run(f, VT_KV_F16, &err) != VT_OK) fail_msg("%s", err.msg);
        model_file_free(f);
    }
}

static void test_more_than_32_query_heads_may_share_a_kv_head(void **state)
{
    (void)state;
    enum { HEADS = 37, DIM = 16 };
    model_file *f = model_file_new("llama");
    vt_err err = {0};
    model_file_set(f, "llama.attention.head_count", HEADS);
    model_file_set(f, "llama.attention.head_count_kv", 1);
    model_file_set(f, "llama.attention.key_length", DIM);
    model_file_set(f, "llama.attention.value_length", DIM);
    model_file_set(f, "llama.rope.dimension_count", DIM);
    for (unsigned i = 0; i < MODEL_LAYERS; i++) {
        static const char *const names[] = {"attn_q", "attn_k", "attn_v", "attn_output"};
        char name[64];
        for (size_t k = 0; k < 4; k++) {
            snprintf(name, sizeof name, "blk.%u.%s.weight", i, names[k]);
            model_file_drop(f, name);
            model_file_matrix(f, name, k < 3 ? MODEL_EMBD : HEADS * DIM,
                              k == 0   ? HEADS * DIM
                              : k == 3 ? MODEL_EMBD
                                       : DIM,
                              0);
        }
    }
    if (open_and_run(f, VT_KV_F16, &err) != VT_OK) fail_msg("%s", err.msg);
    model_file_free(f);
}

/* ---- damaged metadata ---- */

static void test_an_unknown_architecture_lists_the_known_ones(void **state)
{
    (void)state;
    model_file *f = model_file_new("llama");
    model_file_set_text(f, "general.architecture", "mamba");
    expect_refused(f, VT_EUNSUPPORTED,
                   "\"mamba\" is not one that vetro knows (gpt-oss, llama, qwen2)");
    f = model_file_new("llama");
    model_file_remove(f, "general.architecture");
    expect_refused(f, VT_EINPUT, "general.architecture is missing");
}

static void test_hyper_parameters_are_there_and_within_limits(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        bool may_miss;
    } keys[] = {{"block_count", false},
                {"embedding_length", false},
                {"context_length", false},
                {"feed_forward_length", true}, /* of a mixture that gives its experts' */
                {"attention.head_count", false},
                {"attention.head_count_kv", true},
                {"attention.key_length", true},
                {"rope.dimension_count", true},
                {"expert_count", false},
                {"expert_used_count", false},
                {"attention.sliding_window", false}};
    for (size_t i = 0; i < VT_COUNT(keys); i++) {
        char name[64];
        snprintf(name, sizeof name, "gpt-oss.%s", keys[i].key);
        model_file *f = model_file_new("gpt-oss");
        model_file_set(f, name, 0);
        expect_refused(f, VT_EINPUT, name);
        f = model_file_new("gpt-oss");
        model_file_set(f, name, UINT32_MAX);
        expect_refused(f, VT_EINPUT, name);
        f = model_file_new("gpt-oss");
        model_file_set_text(f, name, "many");
        expect_refused(f, VT_EINPUT, name);
        if (keys[i].may_miss) continue;
        f = model_file_new("gpt-oss");
        model_file_remove(f, name);
        expect_refused(f, VT_EINPUT, name);
    }
}

/* One number of a llama set to something that cannot be. */
static void expect_number_refused(const char *key, uint32_t value, vt_status status,
                                  const char *part)
{
    model_file *f = model_file_new("llama");
    model_file_set(f, key, value);
    expect_refused(f, status, part);
}

static void test_hyper_parameters_fit_each_other(void **state)
{
    (void)state;
    expect_number_refused("llama.attention.head_count_kv", 3, VT_EINPUT,
                          "4 attention heads are no multiple of 3 KV heads");
    expect_number_refused("llama.attention.value_length", 16, VT_EUNSUPPORTED,
                          "keys of 32 and values of 16 dimensions");
    expect_number_refused("llama.rope.dimension_count", 48, VT_EINPUT,
                          "RoPE over 48 dimensions of heads of 32");
    expect_number_refused("llama.rope.dimension_count", 31, VT_EINPUT, "RoPE over 31 dimensions");
    expect_number_refused("llama.feed_forward_length", 97, VT_EUNSUPPORTED, "multiple of 16");
    expect_number_refused("llama.embedding_length", 72, VT_EUNSUPPORTED, "multiple of 16");
    model_file *f = model_file_new("gpt-oss");
    model_file_set(f, "gpt-oss.expert_used_count", MODEL_EXPERTS + 1);
    expect_refused(f, VT_EINPUT, "expert_used_count is 6, not 1 to 5");
    f = model_file_new("gpt-oss");
    model_file_set(f, "gpt-oss.expert_feed_forward_length", 100);
    expect_refused(f, VT_EUNSUPPORTED, "multiple of 16");
}

/* Heads too wide for the kernels, by way of the default embedding / heads. */
static void test_a_default_obeys_the_limit_of_its_key(void **state)
{
    (void)state;
    model_file *f = model_file_new("llama");
    model_file_remove(f, "llama.attention.key_length");
    model_file_remove(f, "llama.attention.value_length");
    model_file_set(f, "llama.embedding_length", 512);
    model_file_set(f, "llama.attention.head_count", 1);
    model_file_set(f, "llama.attention.head_count_kv", 1);
    expect_refused(f, VT_EINPUT, "attention.key_length is missing and would be 512, not 1 to 256");
}

static void test_floating_parameters_make_sense(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        float value;
        const char *part;
    } cases[] = {{"llama.attention.layer_norm_rms_epsilon", 0.0f, "layer_norm_rms_epsilon"},
                 {"llama.attention.layer_norm_rms_epsilon", -1.0f, "layer_norm_rms_epsilon"},
                 {"llama.attention.layer_norm_rms_epsilon", NAN, "layer_norm_rms_epsilon"},
                 {"llama.rope.freq_base", 1.0f, "RoPE base 1 is not above 1"},
                 {"llama.rope.freq_base", INFINITY, "rope.freq_base"},
                 {"llama.rope.scaling.factor", 0.0f, "rope.scaling.factor"},
                 {"llama.rope.scaling.factor", 1e-20f, "RoPE pair 0 turns by"}};
    for (size_t i = 0; i < VT_COUNT(cases); i++) {
        model_file *f = model_file_new("llama");
        model_file_set_float(f, cases[i].key, cases[i].value);
        expect_refused(f, VT_EINPUT, cases[i].part);
    }
    model_file *f = model_file_new("llama");
    model_file_remove(f, "llama.attention.layer_norm_rms_epsilon");
    expect_refused(f, VT_EINPUT, "layer_norm_rms_epsilon is missing");
}

static void test_rope_scaling_is_known_or_refused(void **state)
{
    (void)state;
    model_file *f = model_file_new("llama");
    model_file_set_text(f, "llama.rope.scaling.type", "longrope");
    expect_refused(f, VT_EUNSUPPORTED, "\"longrope\" (vetro knows none, linear, yarn)");
    f = model_file_new("llama");
    model_file_set(f, "llama.rope.scaling.type", 2);
    expect_refused(f, VT_EINPUT, "rope.scaling.type is not a string");
    f = model_file_new("llama");
    model_file_set_text(f, "llama.rope.scaling.type", "yarn");
    expect_refused(f, VT_EINPUT, "rope.scaling.factor is missing");
    f = model_file_new("llama");
    model_file_set_text(f, "llama.rope.scaling.type", "yarn");
    model_file_set_float(f, "llama.rope.scaling.factor", 4.0f);
    expect_refused(f, VT_EINPUT, "original_context_length is missing");
}

static float frequency_of(model_file *f, uint32_t pair)
{
    vt_engine *e = NULL;
    vt_err err = {0};
    if (open_file(f, &e, &err) != VT_OK) fail_msg("%s", err.msg);
    float frequency = vt_engine_model(e)->rope.frequency[pair];
    vt_engine_close(e);
    model_file_free(f);
    return frequency;
}

static void test_a_factor_without_a_type_is_linear_scaling(void **state)
{
    (void)state;
    float plain = frequency_of(model_file_new("llama"), 3);
    model_file *f = model_file_new("llama");
    model_file_set_float(f, "llama.rope.scaling.factor", 4.0f);
    assert_true(frequency_of(f, 3) == plain / 4.0f);
    f = model_file_new("llama");
    model_file_set_float(f, "llama.rope.scaling.factor", 4.0f);
    model_file_set_text(f, "llama.rope.scaling.type", "none");
    assert_true(frequency_of(f, 3) == plain);
}

static void set_yarn(model_file *f, const char *architecture)
{
    char name[64];
    snprintf(name, sizeof name, "%s.rope.scaling.type", architecture);
    model_file_set_text(f, name, "yarn");
    snprintf(name, sizeof name, "%s.rope.scaling.factor", architecture);
    model_file_set_float(f, name, 32.0f);
    snprintf(name, sizeof name, "%s.rope.scaling.original_context_length", architecture);
    model_file_set_float(f, name, 256.0f);
}

static void test_only_gpt_oss_leaves_the_range_of_yarn_unrounded(void **state)
{
    (void)state;
    model_file *rounded = model_file_new("qwen2"), *exact = model_file_new("gpt-oss");
    set_yarn(rounded, "qwen2");
    set_yarn(exact, "gpt-oss");
    /* low = 32 ln(256 / 64 pi) / (2 ln 10000) = 0.42, high = 6.44: at pair 1 the ramp is 1/7 or
     * 0.58/6.02 */
    float base = powf(10000.0f, -2.0f / 32.0f);
    float want_rounded = base * (1.0f / 7.0f / 32.0f + 6.0f / 7.0f);
    float low = 32.0f * logf(256.0f / (32.0f * 6.2831853f)) / (2.0f * logf(10000.0f));
    float high = 32.0f * logf(256.0f / 6.2831853f) / (2.0f * logf(10000.0f));
    float ramp = (1.0f - low) / (high - low);
    float want_exact = base * (ramp / 32.0f + 1.0f - ramp);
    assert_true(fabsf(frequency_of(rounded, 1) - want_rounded) < 1e-6f);
    assert_true(fabsf(frequency_of(exact, 1) - want_exact) < 1e-6f);
}

static void test_a_tokenizer_larger_than_the_embedding_is_refused(void **state)
{
    (void)state;
    static small_vocabulary v;
    static const char *const merges[] = {"a b", NULL}, *const added[] = {"<|end|>", NULL};
    small_init(&v, VT_SPLIT_GPT2, merges, added);
    model_file *f = model_file_new("llama");
    model_file_set_text(f, "tokenizer.ggml.model", "gpt2");
    model_file_set_text(f, "tokenizer.ggml.pre", "smollm");
    model_file_set_strings(f, "tokenizer.ggml.tokens", v.tokens, v.source.n_tokens);
    model_file_set_strings(f, "tokenizer.ggml.merges", v.merges, v.source.n_merges);
    expect_refused(f, VT_EINPUT, "the tokenizer has 258 entries, the embedding 43");
}

/* ---- damaged tensors ---- */

static void test_each_missing_tensor_is_named(void **state)
{
    (void)state;
    for (size_t i = 0; i < VT_COUNT(families); i++) {
        model_file *whole = model_file_new(families[i]);
        for (size_t t = 0; t < whole->n_tensors; t++) {
            const char *name = whole->tensors[t].name;
            if (strcmp(name, "output.weight") == 0) continue; /* tied */
            model_file *f = model_file_new(families[i]);
            model_file_drop(f, name);
            /* of two possible names the second is the one that is missed */
            const char *part = strstr(name, "attn_sinks")           ? "attn_sinks is missing"
                               : strstr(name, "attn_output")        ? "attn_out"
                               : i == 2 && strstr(name, "ffn_norm") ? "ffn_norm"
                                                                    : name;
            expect_refused(f, VT_EINPUT, part);
        }
        model_file_free(whole);
    }
}

static void test_a_tensor_without_a_place_in_the_model_is_refused(void **state)
{
    (void)state;
    /* biases of the attention: a llama has none, and leaving them out would give other answers */
    model_file *f = model_file_new("llama");
    model_file_vector(f, "blk.1.attn_q.bias", MODEL_HEADS * MODEL_HEAD_DIM, 0.0f);
    model_file_vector(f, "blk.1.attn_k.bias", MODEL_HEADS_KV * MODEL_HEAD_DIM, 0.0f);
    expect_refused(f, VT_EUNSUPPORTED,
                   "2 tensors of the file have no place in vetro's llama, the first is "
                   "blk.1.attn_q.bias");
}

static void test_rope_divisors_are_positive_and_one_a_pair(void **state)
{
    (void)state;
    float plain = frequency_of(model_file_new("llama"), 1);
    model_file *f = model_file_new("llama");
    model_file_vector(f, "rope_freqs.weight", MODEL_HEAD_DIM / 2, 4.0f);
    float divisor;
    memcpy(&divisor, model_file_tensor(f, "rope_freqs.weight")->data + 4, 4);
    assert_true(frequency_of(f, 1) == plain / divisor);
    const float bad[] = {0.0f, -1.0f, 1e-30f};
    for (size_t i = 0; i < VT_COUNT(bad); i++) {
        f = model_file_new("llama");
        model_file_vector(f, "rope_freqs.weight", MODEL_HEAD_DIM / 2, 4.0f);
        memcpy(model_file_tensor(f, "rope_freqs.weight")->data + 12, &bad[i], 4);
        expect_refused(f, VT_EINPUT, "RoPE pair 3 turns by");
    }
    f = model_file_new("llama");
    model_file_vector(f, "rope_freqs.weight", MODEL_HEAD_DIM, 4.0f);
    expect_refused(f, VT_EINPUT, "tensor rope_freqs.weight is 32 F32, not 16 values");
}

static void test_each_tensor_of_another_shape_is_named(void **state)
{
    (void)state;
    for (size_t i = 0; i < VT_COUNT(families); i++) {
        model_file *whole = model_file_new(families[i]);
        for (size_t t = 0; t < whole->n_tensors; t++) {
            model_file *f = model_file_new(families[i]);
            model_tensor *bad = &f->tensors[t];
            /* half as many rows (values, of a vector); all of its bytes stay in the file */
            uint64_t *d = &bad->dims[bad->n_dims > 1 ? 1 : 0];
            if (*d % 2 == 0) *d /= 2;
            else --*d;
            if (strcmp(bad->name, "token_embd.weight") == 0) bad->dims[0] /= 2;
            char name[64];
            snprintf(name, sizeof name, "tensor %s is ", bad->name);
            expect_refused(f, VT_EINPUT, name);
        }
        model_file_free(whole);
    }
}

static void test_an_unknown_number_format_is_refused_by_its_number(void **state)
{
    (void)state;
    static const uint32_t unknown[] = {7, 10, 31, 200, UINT32_MAX};
    for (size_t i = 0; i < VT_COUNT(unknown); i++) {
        model_file *f = model_file_new("llama");
        char part[96];
        model_file_tensor(f, "blk.1.ffn_up.weight")->format = unknown[i];
        snprintf(part, sizeof part, "blk.1.ffn_up.weight has number format %u", unknown[i]);
        expect_refused(f, VT_EUNSUPPORTED, part);
    }
}

static void test_a_vector_in_blocks_is_refused(void **state)
{
    (void)state;
    model_file *f = model_file_new("llama");
    model_file_drop(f, "blk.0.attn_norm.weight");
    model_file_add(f, "blk.0.attn_norm.weight", VT_FORMAT_Q8_0, 1.0f, (uint64_t[4]){MODEL_EMBD});
    expect_refused(f, VT_EINPUT, "blk.0.attn_norm.weight is 64 Q8_0, not 64 values of F32");
}

static void test_a_quantised_router_is_refused(void **state)
{
    (void)state;
    model_file *f = model_file_new("gpt-oss");
    model_file_drop(f, "blk.1.ffn_gate_inp.weight");
    model_file_add(f, "blk.1.ffn_gate_inp.weight", VT_FORMAT_Q8_0, 0.3f,
                   (uint64_t[4]){MODEL_EMBD, MODEL_EXPERTS});
    expect_refused(f, VT_EUNSUPPORTED,
                   "blk.1.ffn_gate_inp.weight is Q8_0; it must be F32, F16 or BF16");
}

static void test_rows_that_are_no_whole_blocks_are_refused(void **state)
{
    (void)state;
    model_file *f = model_file_new("llama");
    /* 64 columns in blocks of 256, as many bytes as a Q4_K matrix of a quarter of the rows */
    model_file_tensor(f, "blk.0.attn_q.weight")->format = VT_FORMAT_Q4_K;
    expect_refused(f, VT_EINPUT, "blk.0.attn_q.weight");
}

static void test_a_file_that_was_cut_is_refused_at_any_length(void **state)
{
    (void)state;
    model_file *f = model_file_new("llama");
    vt_buffer bytes;
    size_t header;
    model_file_save(f);
    model_file_bytes(f, &bytes, &header);
    for (size_t n = 0; n < bytes.len - 32; n += n < header ? 97 : 6311) {
        vt_engine *e = NULL;
        vt_err err = {0};
        model_file_write(f->path, vt_slice_of(bytes.ptr, n));
        vt_status st =
            vt_engine_open(&(vt_engine_options){.path = f->path, .n_threads = 1}, &e, &err);
        if (st != VT_EINPUT || e != NULL || err.msg[0] == '\0')
            fail_msg("cut to %zu of %zu bytes: status %d, '%s'", n, bytes.len, st, err.msg);
    }
    vt_buffer_deinit(&bytes);
    model_file_free(f);
}

/* ---- weights that are no numbers ---- */

/* Put `bad` into one column of every row, so that no choice of tokens or experts passes it by. */
static void spoil(model_tensor *t, float bad)
{
    for (size_t at = 4 * 5; at < t->n_bytes; at += (size_t)t->dims[0] * 4)
        memcpy(t->data + at % t->n_bytes, &bad, 4);
    if (t->dims[0] <= 5) memcpy(t->data, &bad, 4);
}

static void test_a_nan_or_infinity_in_any_tensor_is_noticed(void **state)
{
    (void)state;
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    for (size_t i = 0; i < VT_COUNT(families); i++) {
        model_file *whole = model_file_new(families[i]);
        for (size_t t = 0; t < whole->n_tensors; t++)
            for (size_t b = 0; b < VT_COUNT(bad); b++) {
                model_file *f = model_file_new(families[i]);
                vt_err err = {0};
                const char *name = f->tensors[t].name;
                spoil(&f->tensors[t], bad[b]);
                vt_status st = open_and_run(f, VT_KV_F32, &err);
                bool is_vector = f->tensors[t].n_dims == 1;
                const char *part = is_vector ? "not finite" : "non-finite";
                if (st != VT_EINPUT || strstr(err.msg, part) == NULL)
                    fail_msg("%s with %f: status %d, '%s'", name, (double)bad[b], st, err.msg);
                char layer[32];
                snprintf(layer, sizeof layer, "in layer %c", name[4]);
                /* what goes wrong at the end of a layer is seen at the start of the next */
                if (strncmp(name, "blk.0", 5) == 0 && !is_vector &&
                    strstr(err.msg, "in layer 0") == NULL && strstr(err.msg, "in layer 1") == NULL)
                    fail_msg("%s: '%s' names no layer", name, err.msg);
                if (is_vector && strstr(err.msg, name) == NULL)
                    fail_msg("%s: '%s' does not name it", name, err.msg);
                model_file_free(f);
            }
        model_file_free(whole);
    }
}

static void test_a_block_whose_scale_is_no_number_is_noticed(void **state)
{
    (void)state;
    static const uint16_t bad[] = {0x7E00, 0x7C00, 0xFC00};
    for (size_t i = 0; i < VT_COUNT(families); i++) {
        model_file *whole = model_file_new_of(families[i], VT_FORMAT_Q8_0);
        for (size_t t = 0; t < whole->n_tensors; t++)
            for (size_t b = 0; b < VT_COUNT(bad) && whole->tensors[t].format == 8; b++) {
                model_file *f = model_file_new_of(families[i], VT_FORMAT_Q8_0);
                vt_err err = {0};
                model_tensor *bad_one = &f->tensors[t];
                const size_t row = (size_t)bad_one->dims[0] / 32 * 34;
                for (size_t at = 34; at < bad_one->n_bytes; at += row)
                    memcpy(bad_one->data + at, &bad[b], 2);
                vt_status st = open_and_run(f, VT_KV_F16, &err);
                if (st != VT_EINPUT || strstr(err.msg, "non-finite") == NULL)
                    fail_msg("%s: status %d, '%s'", bad_one->name, st, err.msg);
                model_file_free(f);
            }
        model_file_free(whole);
    }
}

/* A sink hides a NaN score, a clamp a NaN gate: both were once missed. One value only. */
static void test_one_nan_among_the_weights_of_a_key_is_noticed_in_spite_of_sinks(void **state)
{
    (void)state;
    model_file *f = model_file_new("gpt-oss");
    vt_err err = {0};
    float nan = NAN;
    memcpy(model_file_tensor(f, "blk.1.attn_k.weight")->data + 4 * (3 * MODEL_EMBD + 11), &nan, 4);
    assert_int_equal(open_and_run(f, VT_KV_F32, &err), VT_EINPUT);
    assert_non_null(strstr(err.msg, "non-finite activation in layer 1"));
    model_file_free(f);
}

static void test_a_key_out_of_half_range_names_the_way_out(void **state)
{
    (void)state;
    static const char *const names[] = {"blk.1.attn_k.weight", "blk.1.attn_v.weight"};
    for (size_t i = 0; i < 2; i++) {
        model_file *f = model_file_new("llama");
        vt_err err = {0};
        float *w = (float *)(void *)model_file_tensor(f, names[i])->data;
        for (int c = 0; c < MODEL_EMBD; c++) w[7 * MODEL_EMBD + c] *= 1e6f;
        assert_int_equal(open_and_run(f, VT_KV_F16, &err), VT_ELIMIT);
        assert_non_null(strstr(err.msg, "in layer 1"));
        assert_non_null(strstr(err.msg, "--kv-type f32"));
        err = (vt_err){0};
        if (open_and_run(f, VT_KV_F32, &err) != VT_OK) fail_msg("%s", err.msg);
        model_file_free(f);
    }
}

/* ---- cancelled, or without memory ---- */

static void test_a_cancelled_opening_says_so_and_leaves_nothing(void **state)
{
    (void)state;
    model_file *f = model_file_new("llama");
    atomic_bool is_cancelled = true;
    const vt_progress progress = {.is_cancelled = &is_cancelled};
    vt_engine_options options = {.path = model_file_save(f), .n_threads = 2, .progress = &progress};
    vt_engine *e = NULL;
    vt_err err = {0};
    assert_int_equal(vt_engine_open(&options, &e, &err), VT_ECANCEL);
    assert_null(e);
    is_cancelled = false;
    if (vt_engine_open(&options, &e, &err) != VT_OK) fail_msg("%s", err.msg);
    vt_engine_close(e);
    model_file_free(f);
}

static void test_every_failing_allocation_of_an_opening_is_survived(void **state)
{
    (void)state;
    for (size_t i = 0; i < VT_COUNT(families); i++) {
        model_file *f = model_file_new(families[i]);
        const vt_engine_options options = {.path = model_file_save(f), .n_threads = 2};
        vt_engine *e = NULL;
        (void)vt_alloc_fail_nth(0);
        assert_int_equal(vt_engine_open(&options, &e, NULL), VT_OK);
        uint64_t n = vt_alloc_fail_nth(0), n_failed = 0;
        vt_engine_close(e);
        for (uint64_t k = 1; k <= n; k++) {
            e = NULL;
            vt_err err = {0};
            (void)vt_alloc_fail_nth(k);
            vt_status st = vt_engine_open(&options, &e, &err);
            (void)vt_alloc_fail_nth(0);
            /* what is only looked up (the CPU's name, the memory there is) may be done without */
            if (st != VT_OK && st != VT_ENOMEM && st != VT_ELIMIT)
                fail_msg("allocation %llu: status %d, '%s'", (unsigned long long)k, st, err.msg);
            assert_true((st == VT_OK) == (e != NULL));
            n_failed += st != VT_OK;
            vt_engine_close(e);
        }
        assert_true(n > 20 && n_failed > 10);
        model_file_free(f);
    }
}

static void test_every_failing_allocation_of_a_session_is_survived(void **state)
{
    (void)state;
    model_file *f = model_file_new("gpt-oss");
    vt_engine *e = NULL;
    vt_session *s = NULL;
    const int32_t tokens[] = {1, 2, 3};
    vt_err err = {0};
    if (open_file(f, &e, &err) != VT_OK) fail_msg("%s", err.msg);
    (void)vt_alloc_fail_nth(0);
    assert_int_equal(vt_session_new(e, NULL, &s, NULL), VT_OK);
    uint64_t n = vt_alloc_fail_nth(0), n_failed = 0;
    assert_int_equal(vt_session_extend(s, tokens, 3, NULL, NULL), VT_OK);
    assert_int_equal(vt_alloc_fail_nth(0), 0); /* nothing is allocated while it runs */
    vt_session_free(s);
    for (uint64_t k = 1; k <= n; k++) {
        s = NULL;
        vt_engine_close(e); /* the first session of an engine makes its pass */
        if (vt_engine_open(&(vt_engine_options){.path = f->path, .n_threads = 2}, &e, &err) !=
            VT_OK)
            fail_msg("%s", err.msg);
        (void)vt_alloc_fail_nth(k);
        vt_status st = vt_session_new(e, NULL, &s, &err);
        (void)vt_alloc_fail_nth(0);
        assert_true((st == VT_OK) == (s != NULL));
        assert_true(st == VT_OK || st == VT_ENOMEM || st == VT_ELIMIT);
        n_failed += st != VT_OK;
        vt_session_free(s);
    }
    assert_true(n_failed + 4 >= n); /* only looking up how much memory there is may fail */
    assert_int_equal(vt_session_new(e, NULL, &s, NULL), VT_OK);
    assert_int_equal(vt_session_extend(s, tokens, 3, NULL, NULL), VT_OK);
    vt_session_free(s);
    vt_engine_close(e);
    model_file_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_family_opens_and_runs_in_several_formats),
        cmocka_unit_test(test_what_a_model_says_of_itself),
        cmocka_unit_test(test_without_an_output_matrix_the_embedding_serves),
        cmocka_unit_test(test_gate_and_up_may_have_formats_of_different_kinds),
        cmocka_unit_test(test_more_than_32_query_heads_may_share_a_kv_head),
        cmocka_unit_test(test_an_unknown_architecture_lists_the_known_ones),
        cmocka_unit_test(test_hyper_parameters_are_there_and_within_limits),
        cmocka_unit_test(test_hyper_parameters_fit_each_other),
        cmocka_unit_test(test_a_default_obeys_the_limit_of_its_key),
        cmocka_unit_test(test_floating_parameters_make_sense),
        cmocka_unit_test(test_rope_scaling_is_known_or_refused),
        cmocka_unit_test(test_a_factor_without_a_type_is_linear_scaling),
        cmocka_unit_test(test_only_gpt_oss_leaves_the_range_of_yarn_unrounded),
        cmocka_unit_test(test_a_tokenizer_larger_than_the_embedding_is_refused),
        cmocka_unit_test(test_each_missing_tensor_is_named),
        cmocka_unit_test(test_a_tensor_without_a_place_in_the_model_is_refused),
        cmocka_unit_test(test_rope_divisors_are_positive_and_one_a_pair),
        cmocka_unit_test(test_each_tensor_of_another_shape_is_named),
        cmocka_unit_test(test_an_unknown_number_format_is_refused_by_its_number),
        cmocka_unit_test(test_a_vector_in_blocks_is_refused),
        cmocka_unit_test(test_a_quantised_router_is_refused),
        cmocka_unit_test(test_rows_that_are_no_whole_blocks_are_refused),
        cmocka_unit_test(test_a_file_that_was_cut_is_refused_at_any_length),
        cmocka_unit_test(test_a_nan_or_infinity_in_any_tensor_is_noticed),
        cmocka_unit_test(test_a_block_whose_scale_is_no_number_is_noticed),
        cmocka_unit_test(test_one_nan_among_the_weights_of_a_key_is_noticed_in_spite_of_sinks),
        cmocka_unit_test(test_a_key_out_of_half_range_names_the_way_out),
        cmocka_unit_test(test_a_cancelled_opening_says_so_and_leaves_nothing),
        cmocka_unit_test(test_every_failing_allocation_of_an_opening_is_survived),
        cmocka_unit_test(test_every_failing_allocation_of_a_session_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
