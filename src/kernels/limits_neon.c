/* limits_neon.c -- loops of NEON, with the dot products and the matrix products of bytes where the
 * CPU has them. See limits_loops.h. */
#if defined(__aarch64__)

#include <arm_neon.h>
#include <string.h>

#include "kernels/limits_loops.h"

#define DOTPROD __attribute__((target("arch=armv8.2-a+dotprod")))
#define I8MM    __attribute__((target("arch=armv8.2-a+dotprod+i8mm")))

enum { CHAINS = 16 }; /* four units of four cycles */

#define FOR_CHAINS for (int c = 0; c < CHAINS; c++)

static uint32_t fold(const int32x4_t sums[CHAINS])
{
    uint32_t sum = 0;
    FOR_CHAINS sum += (uint32_t)vaddvq_s32(sums[c]);
    return sum;
}

static uint32_t read_neon(const vt_limit_read *r)
{
    int32x4_t sums[CHAINS] = {0};
    for (size_t at = 0; at < r->n_bytes; at += VT_LIMIT_STEP)
        for (int s = 0; s < r->n_streams; s++) {
            const uint8_t *p = r->start + (size_t)s * r->stride + at;
            if (r->ahead > 0)
                for (int i = 0; i < VT_LIMIT_STEP; i += 64)
                    __builtin_prefetch(p + r->ahead + i, 0, 2);
            FOR_CHAINS sums[c] = veorq_s32(sums[c], vld1q_s32((const int32_t *)p + 4 * c));
        }
    return fold(sums);
}

static uint32_t multiply_int8_neon(uint64_t n_rounds)
{
    int8x16_t a = vdupq_n_s8(3), b = vdupq_n_s8(-5);
    int32x4_t sums[CHAINS] = {0};
    FOR_CHAINS VT_LIMIT_UNKNOWN(sums[c]); /* or they were all one */
    for (uint64_t i = 0; i < n_rounds; i++) FOR_CHAINS
        {
            VT_LIMIT_UNKNOWN(a);
            int16x8_t pairs = vmull_s8(vget_low_s8(a), vget_low_s8(b));
            sums[c] = vpadalq_s16(sums[c], vmlal_high_s8(pairs, a, b));
        }
    return fold(sums);
}

DOTPROD static uint32_t multiply_int8_dotprod(uint64_t n_rounds)
{
    int8x16_t a = vdupq_n_s8(3), b = vdupq_n_s8(-5);
    int32x4_t sums[CHAINS] = {0};
    FOR_CHAINS VT_LIMIT_UNKNOWN(sums[c]); /* or they were all one */
    for (uint64_t i = 0; i < n_rounds; i++) FOR_CHAINS sums[c] = vdotq_s32(sums[c], a, b);
    return fold(sums);
}

I8MM static uint32_t multiply_int8_i8mm(uint64_t n_rounds)
{
    int8x16_t a = vdupq_n_s8(3), b = vdupq_n_s8(-5);
    int32x4_t sums[CHAINS] = {0};
    FOR_CHAINS VT_LIMIT_UNKNOWN(sums[c]); /* or they were all one */
    for (uint64_t i = 0; i < n_rounds; i++) FOR_CHAINS sums[c] = vmmlaq_s32(sums[c], a, b);
    return fold(sums);
}

static uint32_t multiply_f32_neon(uint64_t n_rounds)
{
    float32x4_t a = vdupq_n_f32(1e-3f), b = vdupq_n_f32(1e-3f), sums[CHAINS] = {0};
    int32x4_t bits[CHAINS];
    FOR_CHAINS VT_LIMIT_UNKNOWN(sums[c]); /* or they were all one */
    for (uint64_t i = 0; i < n_rounds; i++) FOR_CHAINS sums[c] = vfmaq_f32(sums[c], a, b);
    FOR_CHAINS bits[c] = vreinterpretq_s32_f32(sums[c]);
    return fold(bits);
}

#define LOOPS(name, int8, ops)          \
    {.instructions = (name),            \
     .read = read_neon,                 \
     .multiply_int8 = (int8),           \
     .multiply_f32 = multiply_f32_neon, \
     .int8_ops = CHAINS * (ops),        \
     .f32_ops = CHAINS * 8}

const vt_limit_loops *vt_limit_loops_native(const char *name)
{
    static const vt_limit_loops neon = LOOPS("neon smull", multiply_int8_neon, 32);
    static const vt_limit_loops dotprod = LOOPS("neon dotprod", multiply_int8_dotprod, 32);
    static const vt_limit_loops i8mm = LOOPS("neon i8mm", multiply_int8_i8mm, 64);
    if (strcmp(name, "neon_i8mm") == 0) return &i8mm;
    if (strcmp(name, "neon_dotprod") == 0) return &dotprod;
    return strcmp(name, "neon") == 0 ? &neon : NULL;
}

#endif
