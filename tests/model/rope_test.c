/* rope_test.c -- model/rope: frequencies and tables against the formulas in double, options that
 * cannot be. That the float steps are those of the published models is the logits' tests. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "model/rope.h"

static void init(vt_rope *r, uint32_t n_dims, const vt_rope_options *o)
{
    vt_err err = {0};
    if (vt_rope_init(r, n_dims, false, o, &err) != VT_OK) fail_msg("%s", err.msg);
}

static bool is_near(float got, double want, double relative)
{
    return fabs((double)got - want) <= relative * fabs(want);
}

static void test_frequencies_fall_from_one_to_the_base(void **state)
{
    (void)state;
    vt_rope r;
    init(&r, 128, &(vt_rope_options){.base = 500000.0});
    assert_true(r.frequency[0] == 1.0f && r.magnitude == 1.0f);
    for (int i = 0; i < 64; i++)
        assert_true(is_near(r.frequency[i], pow(500000.0, -2.0 * i / 128.0), 2e-7));
}

static void test_linear_scaling_and_divisors_divide(void **state)
{
    (void)state;
    float divisors[16];
    for (int i = 0; i < 16; i++) divisors[i] = 1.0f + (float)i;
    vt_rope plain, linear, divided;
    init(&plain, 32, &(vt_rope_options){.base = 10000.0});
    init(&linear, 32, &(vt_rope_options){.base = 10000.0, .linear_factor = 3.0});
    init(&divided, 32, &(vt_rope_options){.base = 10000.0, .divisors = divisors});
    for (int i = 0; i < 16; i++) {
        assert_true(linear.frequency[i] == plain.frequency[i] / 3.0f);
        assert_true(divided.frequency[i] == plain.frequency[i] / divisors[i]);
    }
}

/* gpt-oss-20b's numbers: factor 32, original context 4096, base 150000, heads of 64. */
static void test_yarn_keeps_fast_waves_and_stretches_slow_ones(void **state)
{
    (void)state;
    vt_rope_options o = {.base = 150000.0,
                         .yarn_factor = 32.0,
                         .yarn_original_context = 4096.0,
                         .yarn_beta_fast = 32.0,
                         .yarn_beta_slow = 1.0};
    for (int is_rounded = 0; is_rounded < 2; is_rounded++) {
        vt_rope r;
        o.yarn_is_rounded = is_rounded;
        init(&r, 64, &o);
        const double pi = acos(-1.0), scale = 2.0 * log(150000.0);
        double low = 64.0 * log(4096.0 / (32.0 * 2.0 * pi)) / scale;
        double high = 64.0 * log(4096.0 / (2.0 * pi)) / scale;
        if (is_rounded) {
            low = floor(low);
            high = ceil(high);
        }
        assert_true(low >= 8.0 && low < 8.1 && high > 17.3 && high < 18.1);
        for (int i = 0; i < 32; i++) {
            double plain = pow(150000.0, -2.0 * i / 64.0);
            double ramp = fmin(fmax((i - low) / (high - low), 0.0), 1.0);
            assert_true(is_near(r.frequency[i], plain / 32.0 * ramp + plain * (1.0 - ramp), 1e-6));
            if (i <= 8 && is_rounded) assert_true(is_near(r.frequency[i], plain, 1e-6));
            if (i >= 18) assert_true(is_near(r.frequency[i], plain / 32.0, 1e-6));
        }
        assert_true(is_near(r.magnitude, 0.1 * log(32.0) + 1.0, 1e-7));
    }
}

static void test_tables_are_those_of_the_float_angle(void **state)
{
    (void)state;
    static const uint32_t positions[] = {0, 1, 31, 4095, 131071, 1 << 22};
    vt_rope r;
    init(&r, 64, &(vt_rope_options){.base = 10000.0});
    for (size_t p = 0; p < sizeof positions / sizeof *positions; p++) {
        float cosine[32], sine[32];
        vt_rope_table(&r, positions[p], cosine, sine);
        for (int i = 0; i < 32; i++) {
            float angle = (float)positions[p] * r.frequency[i];
            assert_true(fabs((double)cosine[i] - cos((double)angle)) < 3.1e-8);
            assert_true(fabs((double)sine[i] - sin((double)angle)) < 3.1e-8);
        }
    }
}

static void test_options_that_cannot_be_leave_the_table_as_it_was(void **state)
{
    (void)state;
    static const float zero[128] = {0};
    const struct {
        uint32_t n_dims;
        vt_rope_options options;
        vt_status status;
    } cases[] = {
        {0, {.base = 10000.0}, VT_EUNSUPPORTED},
        {63, {.base = 10000.0}, VT_EUNSUPPORTED},
        {258, {.base = 10000.0}, VT_EUNSUPPORTED},
        {64, {.base = 1.0}, VT_EINPUT},
        {64, {.base = (double)NAN}, VT_EINPUT},
        {64, {.base = 10000.0, .linear_factor = 1e-9}, VT_EINPUT},
        {64, {.base = 10000.0, .divisors = zero}, VT_EINPUT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vt_rope r, before;
        vt_err err = {0};
        memset(&r, 0x5A, sizeof r);
        memcpy(&before, &r, sizeof r);
        assert_int_equal(vt_rope_init(&r, cases[i].n_dims, true, &cases[i].options, &err),
                         cases[i].status);
        assert_true(err.msg[0] != '\0');
        assert_memory_equal(&r, &before, sizeof r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frequencies_fall_from_one_to_the_base),
        cmocka_unit_test(test_linear_scaling_and_divisors_divide),
        cmocka_unit_test(test_yarn_keeps_fast_waves_and_stretches_slow_ones),
        cmocka_unit_test(test_tables_are_those_of_the_float_angle),
        cmocka_unit_test(test_options_that_cannot_be_leave_the_table_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
