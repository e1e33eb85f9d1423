/* hadamard_test.c -- the rotation of keys and queries: against the matrix, written out; products
 * are kept; and what it is for: one large dimension no longer takes the precision of the others. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "kernels/hadamard.h"
#include "kernels/kernels.h"
#include "kernels/math.h"
#include "support/random.h"

static void fill(float *x, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) x[i] = (float)(int32_t)random_u32() * 0x1p-31f;
}

static double product(const float *a, const float *b, uint32_t n)
{
    double sum = 0.0;
    for (uint32_t i = 0; i < n; i++) sum += (double)a[i] * b[i];
    return sum;
}

static void test_it_is_the_matrix_of_each_block(void **state)
{
    (void)state;
    for (uint32_t n = 32; n <= VT_MAX_HEAD_DIM; n += 32) {
        const uint32_t width = n & -n;
        float x[VT_MAX_HEAD_DIM], key[VT_MAX_HEAD_DIM], query[VT_MAX_HEAD_DIM];
        fill(x, n);
        memcpy(key, x, sizeof key);
        memcpy(query, x, sizeof query);
        vt_hadamard_key(key, n);
        vt_hadamard_query(query, n);
        for (uint32_t i = 0; i < n; i++) {
            double want = 0.0;
            for (uint32_t j = 0; j < width; j++)
                want +=
                    (__builtin_popcount(i % width & j) % 2 ? -1.0 : 1.0) * x[i / width * width + j];
            const double scale = key[i] / want;
            assert_true(fabs(want) < 1e-3 ||
                        fabs(log2(fabs(scale)) - round(log2(fabs(scale)))) < 1e-3);
            assert_true(fabs((double)key[i] * query[i] * width - want * want) <
                        1e-4 * (1.0 + want * want));
        }
    }
}

static void test_products_are_kept(void **state)
{
    (void)state;
    for (uint32_t n = 32; n <= VT_MAX_HEAD_DIM; n += 32)
        for (int i = 0; i < 100; i++) {
            float q[VT_MAX_HEAD_DIM], k[VT_MAX_HEAD_DIM];
            fill(q, n);
            fill(k, n);
            const double want = product(q, k, n);
            vt_hadamard_query(q, n);
            vt_hadamard_key(k, n);
            assert_true(fabs(product(q, k, n) - want) < 1e-5);
        }
}

/* The error of q k when k goes through bytes with a scale for each 32. */
static double error_of(const float *q, const float *k, uint32_t n, double want)
{
    int8_t bytes[VT_MAX_HEAD_DIM];
    int16_t sums[VT_MAX_HEAD_DIM / 32];
    float scales[VT_MAX_HEAD_DIM / 32], back[VT_MAX_HEAD_DIM];
    assert_true(vt_kernels_scalar()->quantize(k, n, 32, bytes, scales, NULL, sums));
    for (uint32_t i = 0; i < n; i++) back[i] = (float)bytes[i] * scales[i / 32];
    return fabs(product(q, back, n) - want);
}

static void test_a_large_dimension_takes_less_from_the_others(void **state)
{
    (void)state;
    enum { N = 128 };
    double plain = 0.0, rotated = 0.0;
    for (int i = 0; i < 1000; i++) {
        float q[N], k[N];
        fill(q, N);
        fill(k, N);
        k[7] = 100.0f;
        k[99] = -60.0f;
        const double want = product(q, k, N);
        plain += error_of(q, k, N, want);
        vt_hadamard_query(q, N);
        vt_hadamard_key(k, N);
        rotated += error_of(q, k, N, want);
    }
    assert_true(rotated < 0.5 * plain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_it_is_the_matrix_of_each_block),
        cmocka_unit_test(test_products_are_kept),
        cmocka_unit_test(test_a_large_dimension_takes_less_from_the_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
