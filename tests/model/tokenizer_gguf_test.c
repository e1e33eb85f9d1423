/* tokenizer_gguf_test.c -- tokenizers from a model file's metadata: what is read, what is refused.
 * The files are headers made in memory. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "tokenizer_small.h"

static const char *const merges[] = {"a b", "b c", "ab c", NULL};
enum { AB = 256, BC, ABC };
static const char *const added[] = {"<|im_start|>", "<|im_end|>", NULL};
enum { IM_START = 259, IM_END };

/* What the file says; a NULL or negative part is left out. */
typedef struct {
    const char *architecture;
    const char *model;
    const char *pre;
    bool has_tokens, has_merges;
    size_t n_types;
    int64_t bos, eos;
    int add_bos;
} file_spec;

static const file_spec good = {.architecture = "llama",
                               .model = "gpt2",
                               .pre = "smollm",
                               .has_tokens = true,
                               .has_merges = true,
                               .n_types = 261,
                               .bos = IM_START,
                               .eos = IM_END,
                               .add_bos = -1};

static void put(vt_buffer *b, uint64_t value, size_t n_bytes)
{
    for (size_t i = 0; i < n_bytes; i++) assert_true(vt_buffer_byte(b, (char)(value >> 8 * i)));
}

static void put_text(vt_buffer *b, vt_slice s)
{
    put(b, s.len, 8);
    assert_true(vt_buffer_append(b, s));
}

static void put_key(vt_buffer *b, uint64_t *n_keys, const char *key, vt_gguf_type type)
{
    ++*n_keys;
    put_text(b, vt_slice_cstr(key));
    put(b, type, 4);
}

static void put_strings(vt_buffer *b, uint64_t *n_keys, const char *key, const vt_slice *strings,
                        size_t n)
{
    put_key(b, n_keys, key, VT_GGUF_ARRAY);
    put(b, VT_GGUF_STRING, 4);
    put(b, n, 8);
    for (size_t i = 0; i < n; i++) put_text(b, strings[i]);
}

static void put_types(vt_buffer *b, uint64_t *n_keys, const int32_t *types, size_t n)
{
    put_key(b, n_keys, "tokenizer.ggml.token_type", VT_GGUF_ARRAY);
    put(b, VT_GGUF_I32, 4);
    put(b, n, 8);
    for (size_t i = 0; i < n; i++) put(b, (uint32_t)types[i], 4);
}

static void put_string(vt_buffer *b, uint64_t *n_keys, const char *key, const char *value)
{
    if (value == NULL) return;
    put_key(b, n_keys, key, VT_GGUF_STRING);
    put_text(b, vt_slice_cstr(value));
}

static void put_id(vt_buffer *b, uint64_t *n_keys, const char *key, int64_t id)
{
    if (id < 0) return;
    put_key(b, n_keys, key, VT_GGUF_U32);
    put(b, (uint64_t)id, 4);
}

static vt_gguf *make_file(const file_spec *spec)
{
    static small_vocabulary v;
    vt_buffer b;
    uint64_t n = 0;
    small_init(&v, VT_SPLIT_GPT2, merges, added);
    vt_buffer_init(&b, 0);
    put(&b, 0x46554747, 4); /* "GGUF" */
    put(&b, 3, 4);
    put(&b, 0, 8);
    put(&b, 0, 8); /* the number of keys, filled in at the end */
    put_string(&b, &n, "general.architecture", spec->architecture);
    put_string(&b, &n, "tokenizer.ggml.model", spec->model);
    put_string(&b, &n, "tokenizer.ggml.pre", spec->pre);
    if (spec->has_tokens) put_strings(&b, &n, "tokenizer.ggml.tokens", v.tokens, v.source.n_tokens);
    if (spec->has_merges) put_strings(&b, &n, "tokenizer.ggml.merges", v.merges, v.source.n_merges);
    if (spec->n_types) put_types(&b, &n, v.types, spec->n_types);
    put_id(&b, &n, "tokenizer.ggml.bos_token_id", spec->bos);
    put_id(&b, &n, "tokenizer.ggml.eos_token_id", spec->eos);
    if (spec->add_bos >= 0) {
        put_key(&b, &n, "tokenizer.ggml.add_bos_token", VT_GGUF_BOOL);
        put(&b, (uint64_t)spec->add_bos, 1);
    }
    for (size_t i = 0; i < 8; i++) b.ptr[16 + i] = (char)(n >> 8 * i);
    while (b.len % 32 != 0) put(&b, 0, 1);
    vt_gguf *g = NULL;
    vt_err err = {0};
    if (vt_gguf_parse(vt_buffer_slice(&b), b.len, &g, &err) != VT_OK) fail_msg("%s", err.msg);
    vt_buffer_deinit(&b);
    return g;
}

static vt_tokenizer *make(const file_spec *spec)
{
    vt_tokenizer *t = NULL;
    vt_err err = {0};
    vt_gguf *g = make_file(spec);
    if (vt_tokenizer_from_gguf(g, &t, &err) != VT_OK) fail_msg("%s", err.msg);
    vt_gguf_close(g);
    return t;
}

static void check_refused(file_spec spec, vt_status status, const char *part_of_message)
{
    vt_tokenizer *t = NULL;
    vt_err err = {0};
    vt_gguf *g = make_file(&spec);
    assert_int_equal(vt_tokenizer_from_gguf(g, &t, &err), status);
    assert_null(t);
    if (strstr(err.msg, part_of_message) == NULL) fail_msg("\"%s\"", err.msg);
    vt_gguf_close(g);
}

static void test_a_tokenizer_outlives_the_file_it_came_from(void **state)
{
    (void)state;
    vt_tokenizer *t = make(&good);
    vt_tokens ids = {0};
    assert_int_equal(vt_tokenizer_n_vocab(t), 261);
    assert_int_equal(vt_tokenizer_bos(t), IM_START);
    assert_int_equal(vt_tokenizer_eos(t), IM_END);
    assert_int_equal(vt_tokenizer_control(t, VT_S("<|im_end|>")), IM_END);
    assert_int_equal(vt_tokenizer_encode(t, VT_S("abc"), &ids, NULL), VT_OK);
    assert_int_equal(ids.n, 1);
    assert_int_equal(ids.ids[0], ABC);
    vt_tokens_deinit(&ids);
    vt_tokenizer_free(t);
}

static void check_split(const char *architecture, const char *pre, const char *expected)
{
    file_spec spec = good;
    spec.architecture = architecture;
    spec.pre = pre;
    vt_tokenizer *t = make(&spec);
    assert_string_equal(vt_tokenizer_split_name(t), expected);
    vt_tokenizer_free(t);
}

static void test_every_name_of_a_split_is_known(void **state)
{
    (void)state;
    check_split("gpt2", "gpt-2", "gpt2");
    check_split("gpt2", "gpt2", "gpt2");
    check_split("llama", "smollm", "smollm");
    check_split("llama", "llama-bpe", "llama3");
    check_split("llama", "llama3", "llama3");
    check_split("llama", "llama-v3", "llama3");
    check_split("qwen2", "qwen2", "qwen2");
    check_split("qwen2", "deepseek-r1-qwen", "qwen2");
    check_split("gpt-oss", "gpt-4o", "o200k");
}

static void test_default_means_o200k_in_files_of_gpt_oss_only(void **state)
{
    (void)state;
    check_split("gptoss", "default", "o200k");
    check_split("gpt-oss", "default", "o200k");
    check_split("gptoss", NULL, "o200k");
    file_spec spec = good;
    spec.pre = "default";
    check_refused(spec, VT_EUNSUPPORTED, "unknown pre-tokenizer \"default\"");
    spec.pre = "tekken";
    check_refused(spec, VT_EUNSUPPORTED,
                  "known: gpt-2, gpt2, smollm, llama3, llama-v3, llama-bpe, "
                  "qwen2, deepseek-r1-qwen, gpt-4o");
}

static void test_a_file_without_a_tokenizer_is_not_an_error_of_the_file(void **state)
{
    (void)state;
    file_spec spec = good;
    spec.model = NULL;
    check_refused(spec, VT_ENOTFOUND, "no tokenizer");
    spec.model = "none";
    check_refused(spec, VT_ENOTFOUND, "no tokenizer");
    spec.model = "llama";
    check_refused(spec, VT_EUNSUPPORTED, "unknown kind of tokenizer \"llama\"");
}

static void test_metadata_that_does_not_fit_together_is_refused(void **state)
{
    (void)state;
    file_spec spec = good;
    spec.has_tokens = false;
    check_refused(spec, VT_EINPUT, "tokenizer.ggml.tokens");
    spec = good;
    spec.has_merges = false;
    check_refused(spec, VT_EINPUT, "tokenizer.ggml.merges");
    spec = good;
    spec.n_types = 260;
    check_refused(spec, VT_EINPUT, "token_type has 260 elements for 261 tokens");
    spec = good;
    spec.bos = 261;
    check_refused(spec, VT_EINPUT, "bos_token_id is not a token of the vocabulary of 261");
    spec = good;
    spec.eos = 0xFFFFFFFF;
    check_refused(spec, VT_EINPUT, "eos_token_id");
}

static void test_absent_ids_and_types_have_their_defaults(void **state)
{
    (void)state;
    file_spec spec = good;
    spec.bos = spec.eos = -1;
    spec.n_types = 0;
    vt_tokenizer *t = make(&spec);
    assert_int_equal(vt_tokenizer_bos(t), -1);
    assert_int_equal(vt_tokenizer_eos(t), -1);
    assert_int_equal(vt_tokenizer_control(t, VT_S("<|im_end|>")), -1);
    vt_tokenizer_free(t);
}

static void check_adds_bos(const char *pre, int add_bos, bool expected)
{
    file_spec spec = good;
    spec.pre = pre;
    spec.add_bos = add_bos;
    vt_tokenizer *t = make(&spec);
    assert_int_equal(vt_tokenizer_adds_bos(t), expected);
    vt_tokenizer_free(t);
}

static void test_a_completion_starts_with_bos_when_the_file_or_the_family_says_so(void **state)
{
    (void)state;
    check_adds_bos("smollm", -1, false);
    check_adds_bos("smollm", 1, true);
    check_adds_bos("llama-bpe", -1, true);
    check_adds_bos("llama-bpe", 0, false);
}

static void test_each_failing_allocation_is_reported(void **state)
{
    (void)state;
    vt_gguf *g = make_file(&good);
    bool done = false;
    for (uint64_t nth = 1; !done; nth++) {
        vt_tokenizer *t = NULL;
        vt_alloc_fail_nth(nth);
        vt_status st = vt_tokenizer_from_gguf(g, &t, NULL);
        done = vt_alloc_fail_nth(0) < nth;
        assert_int_equal(st, done ? VT_OK : VT_ENOMEM);
        assert_true(done == (t != NULL));
        vt_tokenizer_free(t);
        assert_true(nth < 1000);
    }
    vt_gguf_close(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_tokenizer_outlives_the_file_it_came_from),
        cmocka_unit_test(test_every_name_of_a_split_is_known),
        cmocka_unit_test(test_default_means_o200k_in_files_of_gpt_oss_only),
        cmocka_unit_test(test_a_file_without_a_tokenizer_is_not_an_error_of_the_file),
        cmocka_unit_test(test_metadata_that_does_not_fit_together_is_refused),
        cmocka_unit_test(test_absent_ids_and_types_have_their_defaults),
        cmocka_unit_test(test_a_completion_starts_with_bos_when_the_file_or_the_family_says_so),
        cmocka_unit_test(test_each_failing_allocation_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
