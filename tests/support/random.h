/* random.h -- the same numbers in every run (xorshift64). */
#ifndef VT_TESTS_SUPPORT_RANDOM_H
#define VT_TESTS_SUPPORT_RANDOM_H

#include <stdint.h>

static uint64_t random_state = 88172645463325252u;

static inline uint32_t random_u32(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 16);
}

#endif
