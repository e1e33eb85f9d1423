/* packed_test.c -- a packed model gives the very logits of the GGUF file it was made from, for each
 * family and weight format, with one thread and several. */
#include "support/reference.h"

#include "support/model_file.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/pool.h"
#include "model/packed.h"

enum { N = 40 };

static void pack_to(const vt_engine *e, const char *path, int n_threads)
{
    vt_err err = {0};
    vt_pool *pool = NULL;
    const uint8_t source[VT_SHA256_BYTES] = {1, 2, 3};
    assert_int_equal(vt_pool_new(n_threads, &pool, &err), VT_OK);
    if (vt_model_pack(vt_engine_model(e), path, source, pool, NULL, NULL, &err) != VT_OK)
        fail_msg("%s", err.msg);
    vt_pool_free(pool);
}

static vt_engine *open_packed(const char *path, int n_threads)
{
    vt_err err = {0};
    vt_engine *e = NULL;
    vt_engine_options options = {.path = path, .n_threads = n_threads};
    if (vt_engine_open(&options, &e, &err) != VT_OK) fail_msg("%s", err.msg);
    return e;
}

static void check(const char *name)
{
    char path[] = "/tmp/vetro-packed-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    reference r = reference_load(name);
    size_t n = r.n < N ? r.n : N;
    for (int n_threads = 1; n_threads <= 3; n_threads += 2) {
        vt_engine *e = reference_engine(name, NULL, n_threads);
        float *want = reference_run(e, &r, n, VT_KV_F16);
        vt_model_info loaded = *vt_model_get_info(vt_engine_model(e));
        pack_to(e, path, n_threads);
        vt_engine *p = open_packed(path, n_threads);
        float *got = reference_run(p, &r, n, VT_KV_F16);
        if (memcmp(got, want, n * r.n_vocab * sizeof *got) != 0)
            fail_msg("%s: other bits from its packed form", name);
        /* what is said of it is the same too */
        const vt_model_info *info = vt_model_get_info(vt_engine_model(p));
        assert_string_equal(info->architecture, loaded.architecture);
        assert_string_equal(info->name, loaded.name);
        assert_string_equal(info->format, loaded.format);
        assert_int_equal(info->n_parameters, loaded.n_parameters);
        assert_int_equal(info->n_bytes, loaded.n_bytes);
        vt_engine_close(p);
        vt_engine_close(e);
        vt_free(want);
        vt_free(got);
    }
    reference_free(&r);
    unlink(path);
}

static void test_every_family_gives_the_same_bits_packed(void **state)
{
    (void)state;
    check("llama");
    check("llama3");
    check("qwen2");
    check("gpt-oss");
    check("gpt-oss-mxfp4");
}

static void test_every_format_gives_the_same_bits_packed(void **state)
{
    (void)state;
    static const char *const formats[] = {"F16",  "BF16",  "Q8_0", "Q4_0", "Q4_1",
                                          "Q5_0", "MXFP4", "Q4_K", "Q5_K", "Q6_K"};
    char name[32];
    for (size_t i = 0; i < VT_COUNT(formats); i++) {
        snprintf(name, sizeof name, "format-%s", formats[i]);
        check(name);
    }
}

static void test_a_packed_model_is_not_packed_again(void **state)
{
    (void)state;
    char path[] = "/tmp/vetro-packed-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    vt_err err = {0};
    vt_pool *pool = NULL;
    const uint8_t source[VT_SHA256_BYTES] = {0};
    vt_engine *e = reference_engine("llama", NULL, 1);
    pack_to(e, path, 1);
    vt_engine_close(e);
    e = open_packed(path, 1);
    assert_int_equal(vt_pool_new(1, &pool, &err), VT_OK);
    assert_int_equal(vt_model_pack(vt_engine_model(e), path, source, pool, NULL, NULL, &err),
                     VT_EINPUT);
    vt_pool_free(pool);
    vt_engine_close(e);
    unlink(path);
}

/* The logits after a few tokens. */
static float *last_logits(vt_engine *e, size_t *n_vocab)
{
    static const int32_t tokens[] = {3, 1, 4, 1, 5, 9, 2, 6};
    vt_err err = {0};
    vt_session *s = NULL;
    *n_vocab = vt_model_get_info(vt_engine_model(e))->n_vocab;
    float *out = vt_alloc(*n_vocab * sizeof *out);
    assert_non_null(out);
    assert_int_equal(vt_session_new(e, &(vt_session_options){.n_ctx = 64}, &s, &err), VT_OK);
    assert_int_equal(vt_session_extend(s, tokens, VT_COUNT(tokens), NULL, &err), VT_OK);
    memcpy(out, vt_session_logits(s), *n_vocab * sizeof *out);
    vt_session_free(s);
    return out;
}

/* Whole, in two parts, and packed from the two parts. */
static void test_a_split_model_gives_the_same_bits_loaded_and_packed(void **state)
{
    (void)state;
    char dir[] = "/tmp/vetro-split-XXXXXX", packed[64];
    assert_non_null(mkdtemp(dir));
    snprintf(packed, sizeof packed, "%s/packed", dir);
    model_file *first = model_file_new("gpt-oss");
    float *got[3];
    size_t n_vocab = 0;
    vt_engine *e = open_packed(model_file_save(first), 1);
    got[0] = last_logits(e, &n_vocab);
    vt_engine_close(e);
    model_file *second = model_file_split(first, dir);
    e = open_packed(first->path, 1);
    got[1] = last_logits(e, &n_vocab);
    pack_to(e, packed, 1);
    vt_engine_close(e);
    e = open_packed(packed, 1);
    got[2] = last_logits(e, &n_vocab);
    vt_engine_close(e);
    assert_memory_equal(got[1], got[0], n_vocab * sizeof(float));
    assert_memory_equal(got[2], got[0], n_vocab * sizeof(float));
    for (int i = 0; i < 3; i++) vt_free(got[i]);
    model_file_free(first);
    model_file_free(second);
    unlink(packed);
    assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_family_gives_the_same_bits_packed),
        cmocka_unit_test(test_every_format_gives_the_same_bits_packed),
        cmocka_unit_test(test_a_split_model_gives_the_same_bits_loaded_and_packed),
        cmocka_unit_test(test_a_packed_model_is_not_packed_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
