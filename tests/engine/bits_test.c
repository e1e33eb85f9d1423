/* bits_test.c -- the same bits in every way of running, for every family (support/bits.h). */
#include "support/bits.h"

/* More than a prefill step of 64; for gpt-oss past its window (24) and original context (96). */
enum { N_PLAIN = 80, N_GPT_OSS = 112 };

static void test_bits_of_llama_are_the_same_everywhere(void **state)
{
    (void)state;
    bits_check("llama", N_PLAIN);
    bits_check("llama3", N_PLAIN);
}

static void test_bits_of_qwen2_are_the_same_everywhere(void **state)
{
    (void)state;
    bits_check("qwen2", N_PLAIN);
}

static void test_bits_of_gpt_oss_are_the_same_everywhere(void **state)
{
    (void)state;
    bits_check("gpt-oss", N_GPT_OSS);
}

static void test_bits_of_gpt_oss_in_mxfp4_are_the_same_everywhere(void **state)
{
    (void)state;
    bits_check("gpt-oss-mxfp4", N_GPT_OSS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bits_of_llama_are_the_same_everywhere),
        cmocka_unit_test(test_bits_of_qwen2_are_the_same_everywhere),
        cmocka_unit_test(test_bits_of_gpt_oss_are_the_same_everywhere),
        cmocka_unit_test(test_bits_of_gpt_oss_in_mxfp4_are_the_same_everywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
