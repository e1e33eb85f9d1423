/* limits_test.c -- the loops that measure the machine do the work they are counted for: they read
 * every byte and make every product. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "kernels/limits.h"
#include "kernels/limits_loops.h"

/* The loops of every table that this machine can run. */
static size_t all_loops(const vt_limit_loops *out[VT_KERNELS_MOST])
{
    const vt_kernels *tables[VT_KERNELS_MOST];
    size_t n = vt_kernels_list(tables);
    for (size_t i = 0; i < n; i++) out[i] = vt_limit_loops_for(tables[i]);
    return n;
}

static void test_every_table_has_loops_of_its_own(void **state)
{
    (void)state;
    const vt_limit_loops *loops[VT_KERNELS_MOST];
    size_t n = all_loops(loops);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < i; k++) assert_ptr_not_equal(loops[i], loops[k]);
}

static void test_every_byte_is_read(void **state)
{
    (void)state;
    enum { STREAM = 4 * VT_LIMIT_STEP, STREAMS = 4 };
    const vt_limit_loops *loops[VT_KERNELS_MOST];
    size_t n = all_loops(loops);
    uint8_t *bytes = vt_alloc_aligned(64, STREAM * STREAMS);
    assert_non_null(bytes);
    for (size_t i = 0; i < STREAM * STREAMS; i++) bytes[i] = (uint8_t)(i * 7);
    const vt_limit_read r = {
        .start = bytes, .stride = STREAM, .n_bytes = STREAM, .n_streams = STREAMS, .ahead = 64};
    for (size_t l = 0; l < n; l++) {
        uint32_t whole = loops[l]->read(&r);
        for (size_t i = 0; i < STREAM * STREAMS; i++) {
            bytes[i] ^= 0x10;
            if (loops[l]->read(&r) == whole)
                fail_msg("%s does not read byte %zu", loops[l]->instructions, i);
            bytes[i] ^= 0x10;
        }
    }
    vt_free(bytes);
}

static void test_every_product_of_bytes_is_made(void **state)
{
    (void)state;
    const vt_limit_loops *loops[VT_KERNELS_MOST];
    size_t n = all_loops(loops);
    for (size_t l = 0; l < n; l++)
        for (uint32_t rounds = 0; rounds < 5; rounds++) {
            /* each product is 3 * -5, and counts as two operations with its addition */
            uint32_t products = rounds * loops[l]->int8_ops / 2;
            if (loops[l]->multiply_int8(rounds) != (uint32_t)-15 * products)
                fail_msg("%s does not make %u products", loops[l]->instructions, products);
        }
}

static void test_an_interrupt_ends_the_measuring(void **state)
{
    (void)state;
    const atomic_bool cancelled = true;
    const vt_progress progress = {.is_cancelled = &cancelled};
    vt_pool *pool = NULL;
    vt_limits limits = {0};
    assert_int_equal(vt_pool_new(1, &pool, NULL), VT_OK);
    assert_int_equal(vt_limits_measure(pool, vt_kernels_scalar(), &progress, &limits, NULL),
                     VT_ECANCEL);
    assert_int_equal(limits.n_threads, 0);
    vt_pool_free(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_table_has_loops_of_its_own),
        cmocka_unit_test(test_every_byte_is_read),
        cmocka_unit_test(test_every_product_of_bytes_is_made),
        cmocka_unit_test(test_an_interrupt_ends_the_measuring),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
