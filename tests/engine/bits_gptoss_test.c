/* bits_gptoss_test.c -- the same bits in every way of running (support/bits.h), for gpt-oss:
 * experts, sinks, and a ring of keys that going back may have overwritten. */
#include "support/bits.h"

enum { N = 104 }; /* past a prefill step of 64, the window (24) and the original context (96) */

static void test_bits_of_gpt_oss_are_the_same_everywhere(void **state)
{
    (void)state;
    bits_check("gpt-oss", N);
}

static void test_bits_of_gpt_oss_in_mxfp4_are_the_same_everywhere(void **state)
{
    (void)state;
    bits_check("gpt-oss-mxfp4", N);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bits_of_gpt_oss_are_the_same_everywhere),
        cmocka_unit_test(test_bits_of_gpt_oss_in_mxfp4_are_the_same_everywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
