/* kv_test.c -- tiles of a KV cache as bytes: what is written is read back, also in a ring, and no
 * other tile is touched. That such tiles are the keys and values of a sequence is shown by
 * prefix_test.c: its logits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "engine/kv.h"

enum { CTX = 640, STEP = 32, HEADS = 3, DIM = 16, LAYERS = 2 };

static vt_layer layers[LAYERS] = {{.window = 40}, {.window = 0}};
static const vt_model model = {
    .hyper = {.n_layers = LAYERS, .n_heads_kv = HEADS, .head_dim = DIM, .n_ctx = CTX},
    .layers = layers};

static vt_kv_memory new_kv(bool is_f32)
{
    vt_kv_memory kv;
    vt_err err = {0};
    if (vt_kv_init(&kv, &model, CTX, STEP, is_f32 ? VT_KV_F32 : VT_KV_F16, &err) != VT_OK)
        fail_msg("%s", err.msg);
    return kv;
}

static void fill(uint8_t *bytes, size_t n, uint32_t i_layer, uint32_t i_tile)
{
    for (size_t i = 0; i < n; i++) bytes[i] = (uint8_t)(i * 7 + i_layer * 131 + i_tile * 29 + 1);
}

static void test_a_tile_is_keys_and_values_of_all_heads(void **state)
{
    (void)state;
    vt_kv_memory half = new_kv(false), single = new_kv(true);
    assert_int_equal(vt_kv_tile_bytes(&half), 2 * HEADS * DIM * VT_KEY_TILE * 2);
    assert_int_equal(vt_kv_tile_bytes(&single), 2 * HEADS * DIM * VT_KEY_TILE * 4);
    assert_int_equal(vt_kv_code(&half), 1);
    assert_int_equal(vt_kv_code(&single), 2);
    /* head 1 of tile 4 of the second layer, as pass.h describes it */
    const size_t bytes = vt_kv_tile_bytes(&half), part = bytes / (2 * HEADS);
    uint8_t *tile = vt_alloc(bytes);
    fill(tile, bytes, 1, 4);
    vt_kv_write_tile(&half, 1, 4, tile);
    const vt_kv_layer *l = &half.view.layers[1];
    assert_int_equal(l->n_slots, CTX / VT_KEY_TILE);
    assert_memory_equal(l->k + (1 * l->n_slots + 4) * part, tile + part, part);
    assert_memory_equal(l->v + (1 * l->n_slots + 4) * part, tile + (HEADS + 1) * part, part);
    vt_free(tile);
    vt_kv_deinit(&half);
    vt_kv_deinit(&single);
}

static void test_tiles_written_in_order_are_read_back_while_they_are_there(void **state)
{
    (void)state;
    for (int f32 = 0; f32 < 2; f32++) {
        vt_kv_memory kv = new_kv(f32 != 0);
        const size_t bytes = vt_kv_tile_bytes(&kv);
        uint8_t *want = vt_alloc(bytes), *got = vt_alloc(bytes);
        unsigned n_there = 0, n_gone = 0;
        for (uint32_t t = 0; t < CTX / VT_KEY_TILE; t++)
            for (uint32_t l = 0; l < LAYERS; l++) {
                fill(want, bytes, l, t);
                vt_kv_write_tile(&kv, l, t, want);
            }
        for (uint32_t t = 0; t < CTX / VT_KEY_TILE; t++)
            for (uint32_t l = 0; l < LAYERS; l++) {
                if (!vt_kv_has_tile(&kv, l, t, CTX)) {
                    n_gone++;
                    continue;
                }
                n_there++;
                fill(want, bytes, l, t);
                vt_kv_read_tile(&kv, l, t, got);
                assert_memory_equal(got, want, bytes);
            }
        /* the ring: two tiles of window, one of a step, and both ends */
        assert_int_equal(n_there, CTX / VT_KEY_TILE + 5);
        assert_int_equal(n_gone, CTX / VT_KEY_TILE - 5);
        vt_free(want);
        vt_free(got);
        vt_kv_deinit(&kv);
    }
}

static void test_a_tile_is_there_from_its_first_position_until_the_ring_comes_round(void **state)
{
    (void)state;
    vt_kv_memory kv = new_kv(false);
    assert_false(vt_kv_has_tile(&kv, 0, 0, 0));
    assert_true(vt_kv_has_tile(&kv, 0, 0, 1));
    assert_false(vt_kv_has_tile(&kv, 0, 1, 32));
    assert_true(vt_kv_has_tile(&kv, 0, 1, 33));
    assert_true(vt_kv_has_tile(&kv, 0, 0, 5 * 32));
    assert_false(vt_kv_has_tile(&kv, 0, 0, 5 * 32 + 1));
    assert_true(vt_kv_has_tile(&kv, 1, 0, CTX));
    vt_kv_deinit(&kv);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_tile_is_keys_and_values_of_all_heads),
        cmocka_unit_test(test_tiles_written_in_order_are_read_back_while_they_are_there),
        cmocka_unit_test(test_a_tile_is_there_from_its_first_position_until_the_ring_comes_round),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
