/* work_test.c -- the counts of vt_work_add, against sums written out for small models. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "engine/engine.h"
#include "model/network.h"
#include "model/tokenizer_small.h"
#include "model/work.h"
#include "support/model_file.h"

static vt_engine *open_model(const char *family, vt_format format)
{
    model_file *f = model_file_new_of(family, format);
    vt_engine *e = NULL;
    vt_err err = {0};
    if (vt_engine_open(&(vt_engine_options){.path = model_file_save(f), .n_threads = 1}, &e,
                       &err) != VT_OK)
        fail_msg("%s", err.msg);
    model_file_free(f);
    return e;
}

static vt_work work_of(const vt_engine *e, vt_work_pass pass)
{
    vt_work work = {0};
    vt_work_add(vt_engine_model(e), &pass, &work);
    return work;
}

/* Weights that a token meets in one layer's dense matrices. */
static double dense(const vt_hyper *h)
{
    double heads = h->n_heads * h->head_dim, kv = h->n_heads_kv * h->head_dim;
    return h->n_embd * (heads + 2 * kv) + heads * h->n_embd;
}

static void test_a_decoded_token_meets_every_weight_once(void **state)
{
    (void)state;
    vt_engine *e = open_model("llama", VT_FORMAT_Q8_0);
    const vt_hyper *h = &vt_engine_model(e)->hyper;
    vt_work w = work_of(
        e, (vt_work_pass){.n_sequences = 1, .n_tokens = 1, .n_logits = 1, .kv_type = VT_KV_F16});
    double weights =
        h->n_layers * (dense(h) + 3.0 * h->n_embd * h->n_ff) + (double)h->n_vocab * h->n_embd;
    assert_true(w.int8_ops == 2 * weights);
    /* 34 bytes hold 32 weights; the last tile of a matrix is padded */
    assert_true(w.weight_bytes >= weights * 34 / 32);
    assert_true(w.weight_bytes < weights * 34 / 32 * 1.3);
    /* one position: a product with its key and one with its value */
    assert_true(w.f32_ops == 4.0 * h->n_layers * h->n_heads * h->head_dim);
    assert_true(w.kv_bytes == 2.0 * 2 * h->n_layers * h->n_heads_kv * h->head_dim);
    vt_engine_close(e);
}

static void test_a_prompt_reads_weights_once_and_multiplies_them_by_every_token(void **state)
{
    (void)state;
    vt_engine *e = open_model("llama", VT_FORMAT_Q8_0);
    const vt_work_pass one = {.n_sequences = 1, .n_tokens = 1, .kv_type = VT_KV_F16};
    vt_work_pass many = one;
    many.n_tokens = 8;
    vt_work a = work_of(e, one), b = work_of(e, many);
    assert_true(b.weight_bytes == a.weight_bytes);
    assert_true(b.int8_ops == 8 * a.int8_ops);
    assert_true(b.kv_bytes == 8 * a.kv_bytes);
    assert_true(b.f32_ops == (1 + 2 + 3 + 4 + 5 + 6 + 7 + 8) * a.f32_ops);
    /* sequences share the weights and nothing else */
    vt_work_pass batch = one;
    batch.n_sequences = 8;
    vt_work c = work_of(e, batch);
    assert_true(c.weight_bytes == a.weight_bytes && c.int8_ops == b.int8_ops);
    assert_true(c.kv_bytes == 8 * a.kv_bytes && c.f32_ops == 8 * a.f32_ops);
    vt_engine_close(e);
}

static void test_products_of_16_bits_count_twice(void **state)
{
    (void)state;
    vt_engine *e = open_model("llama", VT_FORMAT_Q8_0);
    vt_work_pass pass = {
        .n_sequences = 1, .first_position = 999, .n_tokens = 1, .kv_type = VT_KV_F16};
    const vt_work half = work_of(e, pass);
    pass.kv_type = VT_KV_Q8_0;
    const vt_work q8 = work_of(e, pass);
    assert_true(half.f32_ops > 0 && q8.f32_ops == 0);
    assert_true(q8.int8_ops == half.int8_ops + 2 * half.f32_ops);
    assert_true(q8.kv_bytes == half.kv_bytes * 34 / 64);
    vt_engine_close(e);
}

static void test_only_the_chosen_experts_are_read(void **state)
{
    (void)state;
    vt_engine *e = open_model("gpt-oss", VT_FORMAT_Q8_0);
    const vt_hyper *h = &vt_engine_model(e)->hyper;
    assert_true(h->n_experts_used < h->n_experts);
    vt_work_pass pass = {.n_sequences = 1, .n_tokens = 1, .kv_type = VT_KV_F16};
    vt_work one = work_of(e, pass);
    double expert = 3.0 * h->n_embd * h->n_ff;
    assert_true(one.int8_ops == 2 * h->n_layers * (dense(h) + h->n_experts_used * expert));
    pass.n_tokens = 4096; /* enough for every expert to be somebody's choice */
    vt_work many = work_of(e, pass);
    double all = h->n_experts - h->n_experts_used, n_bytes = expert * 34 / 32;
    assert_true(many.weight_bytes - one.weight_bytes > 0.999 * h->n_layers * all * n_bytes);
    assert_true(many.weight_bytes - one.weight_bytes < 1.3 * h->n_layers * all * n_bytes);
    vt_engine_close(e);
}

static void test_a_sliding_window_bounds_what_is_looked_at(void **state)
{
    (void)state;
    vt_engine *e = open_model("gpt-oss", VT_FORMAT_Q8_0);
    const vt_model *m = vt_engine_model(e);
    vt_work_pass pass = {
        .n_sequences = 1, .first_position = 9999, .n_tokens = 1, .kv_type = VT_KV_F32};
    double seen = 0;
    uint32_t n_windows = 0;
    for (uint32_t i = 0; i < m->hyper.n_layers; i++) {
        seen += m->layers[i].window > 0 ? m->layers[i].window : 10000;
        n_windows += m->layers[i].window > 0;
    }
    assert_true(n_windows > 0);
    double values = 2.0 * m->hyper.n_heads_kv * m->hyper.head_dim;
    assert_true(work_of(e, pass).kv_bytes == 4 * values * seen);
    vt_engine_close(e);
}

static void test_floating_weights_are_no_products_of_bytes(void **state)
{
    (void)state;
    vt_engine *e = open_model("qwen2", VT_FORMAT_F16);
    vt_work w = work_of(
        e, (vt_work_pass){.n_sequences = 1, .n_tokens = 1, .n_logits = 1, .kv_type = VT_KV_F16});
    assert_true(w.int8_ops == 0);
    assert_true(w.f32_ops >= w.weight_bytes * 0.75);
    vt_engine_close(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_decoded_token_meets_every_weight_once),
        cmocka_unit_test(test_a_prompt_reads_weights_once_and_multiplies_them_by_every_token),
        cmocka_unit_test(test_products_of_16_bits_count_twice),
        cmocka_unit_test(test_only_the_chosen_experts_are_read),
        cmocka_unit_test(test_a_sliding_window_bounds_what_is_looked_at),
        cmocka_unit_test(test_floating_weights_are_no_products_of_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
