/* math_test.c -- kernels/math: the error bounds that math.h states, against long double functions
 * of libm (64 bits of mantissa: their own error does not count here), and the conversions of 16-bit
 * floats, every value, against arithmetic and, where the CPU has them, its own instructions. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <float.h>
#include <math.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "kernels/math.h"

static float float_of(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static uint32_t bits_of(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

/* The distance of two floats around `want`, in units in the last place there. */
static long double ulps(float got, long double want)
{
    int e;
    (void)frexpl(want, &e);
    long double ulp = ldexpl(1.0L, e - 24);
    if (ulp < 0x1p-149L) ulp = 0x1p-149L;
    return fabsl((long double)got - want) / ulp;
}

static void test_expf_is_within_two_ulp_everywhere(void **state)
{
    (void)state;
    long double worst = 0;
    /* every 401st float from tiny to 88.72, both signs */
    for (uint32_t u = bits_of(1e-10f); u < bits_of(88.72f); u += 401)
        for (int sign = 0; sign < 2; sign++) {
            float x = sign ? -float_of(u) : float_of(u);
            long double d = ulps(vt_expf(x), expl((long double)x));
            if (d > worst) worst = d;
        }
    /* results that are not normal numbers: two steps of scaling round twice */
    for (float x = -87.0f; x > -104.0f; x -= 0.0007f) {
        long double d = ulps(vt_expf(x), expl((long double)x));
        if (d > worst) worst = d;
    }
    print_message("expf: at most %.3Lf ulp\n", worst);
    assert_true(worst < 2.0L);
}

static void test_expf_has_exact_ends(void **state)
{
    (void)state;
    assert_true(vt_expf(0.0f) == 1.0f);
    assert_true(vt_expf(-0.0f) == 1.0f);
    assert_int_equal(bits_of(vt_expf(-104.0f)), 0); /* a masked key has to weigh exactly nothing */
    assert_int_equal(bits_of(vt_expf(-1e30f)), 0);
    assert_int_equal(bits_of(vt_expf(-INFINITY)), 0);
    assert_true(vt_expf(-103.0f) > 0.0f);
    assert_true(vt_expf(88.72f) <= FLT_MAX);
    assert_true(isinf(vt_expf(88.74f)));
    assert_true(isinf(vt_expf(FLT_MAX)) && isinf(vt_expf(INFINITY)));
}

static void test_silu_and_sigmoid_follow_their_formulas(void **state)
{
    (void)state;
    long double worst = 0;
    for (float x = -80.0f; x < 100.0f; x += 0.00173f) {
        long double s = 1.0L / (1.0L + expl(-(long double)x));
        long double d = ulps(vt_sigmoidf(x), s), e = ulps(vt_siluf(x), (long double)x * s);
        if (d > worst) worst = d;
        if (e > worst) worst = e;
    }
    print_message("sigmoid and silu: at most %.3Lf ulp\n", worst);
    assert_true(worst < 4.0L);
    assert_true(vt_siluf(0.0f) == 0.0f);
    assert_true(vt_siluf(200.0f) == 200.0f);
    assert_true(vt_siluf(-200.0f) == 0.0f); /* exp overflows, the quotient is -0 */
    assert_true(vt_sigmoidf(-200.0f) == 0.0f && vt_sigmoidf(200.0f) == 1.0f);
}

static void test_exp_and_ln_are_within_4e16_relatively(void **state)
{
    (void)state;
    long double worst_exp = 0, worst_ln = 0;
    for (double x = -708.0; x < 709.7; x += 0.00971) {
        long double want = expl((long double)x);
        long double d = fabsl(((long double)vt_exp(x) - want) / want);
        if (d > worst_exp) worst_exp = d;
    }
    for (double x = 1e-300; x < 1e300; x *= 1.00317) {
        long double want = logl((long double)x);
        long double d = fabsl(((long double)vt_ln(x) - want) / want);
        if (d > worst_ln) worst_ln = d;
    }
    for (double x = 0.5; x < 2.0; x += 0.0000171) { /* where it is near 0 */
        if (x == 1.0) continue;
        long double want = logl((long double)x);
        long double d = fabsl(((long double)vt_ln(x) - want) / want);
        if (d > worst_ln) worst_ln = d;
    }
    print_message("exp: at most %.3Lg, ln: at most %.3Lg\n", worst_exp, worst_ln);
    assert_true(worst_exp < 4e-16L);
    assert_true(worst_ln < 4e-16L);
}

static void test_exp_and_ln_at_their_ends(void **state)
{
    (void)state;
    assert_true(vt_exp(0.0) == 1.0 && vt_ln(1.0) == 0.0);
    assert_true(vt_exp(-1000.0) == 0.0 && isinf(vt_exp(1000.0)));
    assert_true(vt_exp(-(double)INFINITY) == 0.0 && isinf(vt_exp((double)INFINITY)));
    assert_true(isnan(vt_exp((double)NAN)) && isnan(vt_ln((double)NAN)));
    assert_true(isinf(vt_ln(0.0)) && vt_ln(0.0) < 0 && isinf(vt_ln(-3.0)));
    assert_true(isinf(vt_ln((double)INFINITY)) && vt_ln((double)INFINITY) > 0);
    assert_true(fabs(vt_ln(0x1p-1074) - log(0x1p-1074)) < 1e-12); /* a subnormal argument */
    assert_true(vt_exp(-745.0) > 0.0);                            /* a subnormal result */
}

static void test_sin_and_cos_are_within_4e16_up_to_2_to_the_20(void **state)
{
    (void)state;
    long double worst = 0;
    for (double x = 0.0; x < 0x1p20; x = x * 1.0000731 + 0.000917) {
        long double d = fabsl((long double)vt_sin(x) - sinl((long double)x));
        long double e = fabsl((long double)vt_cos(-x) - cosl((long double)x));
        if (d > worst) worst = d;
        if (e > worst) worst = e;
    }
    /* the float angles of RoPE: whole positions times a frequency, near multiples of pi/2 too */
    for (int n = 1; n < 400000; n += 7) {
        double x = (double)(float)(n * 1.57079632679489661923);
        long double d = fabsl((long double)vt_sin(x) - sinl((long double)x));
        long double e = fabsl((long double)vt_cos(x) - cosl((long double)x));
        if (d > worst) worst = d;
        if (e > worst) worst = e;
    }
    print_message("sin, cos: at most %.3Lg\n", worst);
    assert_true(worst < 4e-16L);
    assert_true(vt_sin(0.0) == 0.0 && vt_cos(0.0) == 1.0);
}

static void test_pow_rounds_to_the_right_float(void **state)
{
    (void)state;
    const double bases[] = {10000.0, 150000.0, 500000.0, 1000000.0, 1.5, 8.0e7};
    for (size_t b = 0; b < sizeof bases / sizeof *bases; b++)
        for (int i = 0; i < 256; i += 2) {
            double y = (double)((float)i / 256.0f);
            long double want = powl((long double)bases[b], (long double)y);
            assert_true(fabsl((long double)vt_pow(bases[b], y) - want) / want < 1e-14L);
            assert_true(ulps((float)vt_pow(bases[b], y), want) <= 0.500001L);
        }
    assert_true(vt_pow(7.0, 0.0) == 1.0);
}

static void test_every_half_widens_exactly(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        float got = vt_f16_to_f32((uint16_t)h);
        uint32_t e = h >> 10 & 31, m = h & 1023;
        float magnitude = e == 31 ? (m ? NAN : INFINITY)
                                  : ldexpf((float)(e ? m + 1024 : m), (int)(e ? e : 1) - 25);
        assert_int_equal(signbit(got) != 0, h >> 15);
        if (isnan(magnitude)) assert_true(isnan(got));
        else assert_int_equal(bits_of(fabsf(got)), bits_of(magnitude));
    }
}

static void test_every_half_comes_back_from_float(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        uint16_t back = vt_f32_to_f16(vt_f16_to_f32((uint16_t)h));
        bool is_nan = (h & 0x7C00) == 0x7C00 && (h & 0x3FF);
        assert_int_equal(back, is_nan ? (h | 0x200) : h); /* NaNs come back quiet */
    }
}

static void test_narrowing_to_half_rounds_to_nearest_even(void **state)
{
    (void)state;
    /* between each two neighbouring finite halves: just below the middle, the middle, just above */
    for (uint32_t h = 0; h < 0x7BFF; h++) {
        float a = vt_f16_to_f32((uint16_t)h), b = vt_f16_to_f32((uint16_t)(h + 1));
        float middle = a + (b - a) / 2; /* exact */
        assert_int_equal(vt_f32_to_f16(nextafterf(middle, 0.0f)), h);
        assert_int_equal(vt_f32_to_f16(middle), h & 1 ? h + 1 : h);
        assert_int_equal(vt_f32_to_f16(nextafterf(middle, INFINITY)), h + 1);
        assert_int_equal(vt_f32_to_f16(-middle), 0x8000 | (h & 1 ? h + 1 : h));
    }
    assert_int_equal(vt_f32_to_f16(65519.996f), 0x7BFF);
    assert_int_equal(vt_f32_to_f16(65520.0f), 0x7C00);
    assert_int_equal(vt_f32_to_f16(-INFINITY), 0xFC00);
    assert_int_equal(vt_f32_to_f16(FLT_MIN), 0);
    assert_int_equal(vt_f32_to_f16(-0x1p-149f), 0x8000);
}

static void test_every_bfloat_is_the_upper_half_of_a_float(void **state)
{
    (void)state;
    for (uint32_t b = 0; b < 65536; b++)
        assert_int_equal(bits_of(vt_bf16_to_f32((uint16_t)b)), b << 16);
}

#if defined(__x86_64__)
__attribute__((target("f16c"))) static float widened_by_the_cpu(uint16_t h)
{
    return _cvtsh_ss(h);
}

__attribute__((target("f16c"))) static uint16_t narrowed_by_the_cpu(float f)
{
    return _cvtss_sh(f, _MM_FROUND_TO_NEAREST_INT);
}

static void test_halves_are_those_of_the_cpu(void **state)
{
    (void)state;
    if (!__builtin_cpu_supports("f16c")) skip();
    for (uint32_t h = 0; h < 65536; h++) {
        bool is_signalling = (h & 0x7E00) == 0x7C00 && (h & 0x1FF); /* the CPU makes it quiet */
        uint32_t want = bits_of(widened_by_the_cpu((uint16_t)h));
        assert_int_equal(bits_of(vt_f16_to_f32((uint16_t)h)) | (is_signalling ? 0x400000u : 0),
                         want);
    }
    for (uint64_t u = 0; u < 0x100000000u; u += 4093)
        assert_int_equal(vt_f32_to_f16(float_of((uint32_t)u)),
                         narrowed_by_the_cpu(float_of((uint32_t)u)));
}
#else
static void test_halves_are_those_of_the_cpu(void **state)
{
    (void)state;
    skip();
}
#endif

static void test_all_below_sees_one_bad_value_at_any_place(void **state)
{
    (void)state;
    const float bad[] = {NAN, -NAN, INFINITY, -INFINITY, 8.0f, -8.0f};
    float x[37];
    for (size_t i = 0; i < 37; i++) x[i] = i % 2 ? 7.9f : -7.9f;
    assert_true(vt_all_below(x, 37, 8.0f));
    assert_true(vt_all_below(x, 0, 8.0f));
    for (size_t i = 0; i < 37; i++)
        for (size_t b = 0; b < 6; b++) {
            float kept = x[i];
            x[i] = bad[b];
            assert_false(vt_all_below(x, 37, 8.0f));
            assert_true(vt_all_below(x, 37, INFINITY) == (b >= 4));
            assert_true(vt_all_below(x, i, 8.0f));
            x[i] = kept;
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_expf_is_within_two_ulp_everywhere),
        cmocka_unit_test(test_expf_has_exact_ends),
        cmocka_unit_test(test_silu_and_sigmoid_follow_their_formulas),
        cmocka_unit_test(test_exp_and_ln_are_within_4e16_relatively),
        cmocka_unit_test(test_exp_and_ln_at_their_ends),
        cmocka_unit_test(test_sin_and_cos_are_within_4e16_up_to_2_to_the_20),
        cmocka_unit_test(test_pow_rounds_to_the_right_float),
        cmocka_unit_test(test_every_half_widens_exactly),
        cmocka_unit_test(test_every_half_comes_back_from_float),
        cmocka_unit_test(test_narrowing_to_half_rounds_to_nearest_even),
        cmocka_unit_test(test_every_bfloat_is_the_upper_half_of_a_float),
        cmocka_unit_test(test_halves_are_those_of_the_cpu),
        cmocka_unit_test(test_all_below_sees_one_bad_value_at_any_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
