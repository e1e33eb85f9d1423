/* bits_formats_test.c -- the same bits in every way of running, for every weight format
 * (support/bits.h). F32 is in bits_test.c. */
#include "support/bits.h"

enum { N = 72 }; /* more than a prefill step of 64 */

static void test_bits_of_floating_formats_are_the_same_everywhere(void **state)
{
    (void)state;
    bits_check("format-F16", N);
    bits_check("format-BF16", N);
}

static void test_bits_of_formats_with_blocks_of_32_are_the_same_everywhere(void **state)
{
    (void)state;
    bits_check("format-Q8_0", N);
    bits_check("format-Q4_0", N);
    bits_check("format-Q4_1", N);
    bits_check("format-Q5_0", N);
    bits_check("format-MXFP4", N);
}

static void test_bits_of_formats_with_blocks_of_256_are_the_same_everywhere(void **state)
{
    (void)state;
    bits_check("format-Q4_K", N);
    bits_check("format-Q5_K", N);
    bits_check("format-Q6_K", N);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bits_of_floating_formats_are_the_same_everywhere),
        cmocka_unit_test(test_bits_of_formats_with_blocks_of_32_are_the_same_everywhere),
        cmocka_unit_test(test_bits_of_formats_with_blocks_of_256_are_the_same_everywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
