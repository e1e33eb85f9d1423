/* bits_test.c -- the same bits in every way of running (support/bits.h), for the families without
 * experts; gpt-oss is in bits_gptoss_test.c. */
#include "support/bits.h"

enum { N = 72 }; /* more than a prefill step of 64 */

static void test_bits_of_llama_are_the_same_everywhere(void **state)
{
    (void)state;
    bits_check("llama", N);
    bits_check("llama3", N);
}

static void test_bits_of_qwen2_are_the_same_everywhere(void **state)
{
    (void)state;
    bits_check("qwen2", N);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bits_of_llama_are_the_same_everywhere),
        cmocka_unit_test(test_bits_of_qwen2_are_the_same_everywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
