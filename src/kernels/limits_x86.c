/* limits_x86.c -- loops of AVX2, AVX-VNNI and AVX-512. See limits_loops.h.
 *
 * More accumulators are in flight than latencies of four to five cycles on two units need: with
 * just as many (10) an Intel Xeon lost a fifth, because chains do not always wait for the same
 * unit. The 16-bit sums of the AVX2 loop take eight pairs of products before they are widened, as
 * its kernels can afford with 4-bit weights. */
#if defined(__x86_64__)

#include <immintrin.h>
#include <string.h>

#include "base/cpu.h"
#include "kernels/limits_loops.h"

#define AVX2    __attribute__((target("avx2,fma")))
#define VNNI256 __attribute__((target("avx2,avxvnni")))
#define AVX512  __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni")))

enum { CHAINS = 12, PAIR_CHAINS = 8, PAIR_STEPS = 8 };

/* Unrolled early: else gcc keeps the array in memory beside the registers, and stores count. */
#define FOR_CHAINS _Pragma("GCC unroll 16") for (int c = 0; c < CHAINS; c++)

AVX2 static uint32_t fold(__m256i a)
{
    uint32_t lanes[8], sum = 0;
    _mm256_storeu_si256((__m256i *)lanes, a);
    for (int i = 0; i < 8; i++) sum += lanes[i];
    return sum;
}

AVX2 static uint32_t read_avx2(const vt_limit_read *r)
{
    __m256i sums[4] = {0};
    for (size_t at = 0; at < r->n_bytes; at += VT_LIMIT_STEP)
        for (int s = 0; s < r->n_streams; s++) {
            const uint8_t *p = r->start + (size_t)s * r->stride + at;
            if (r->ahead > 0)
                for (int i = 0; i < VT_LIMIT_STEP; i += 64)
                    _mm_prefetch((const char *)(p + r->ahead + i), _MM_HINT_T1);
            for (int i = 0; i < VT_LIMIT_STEP / 32; i++)
                sums[i % 4] =
                    _mm256_xor_si256(sums[i % 4], _mm256_load_si256((const __m256i *)p + i));
        }
    return fold(
        _mm256_xor_si256(_mm256_xor_si256(sums[0], sums[1]), _mm256_xor_si256(sums[2], sums[3])));
}

AVX2 static uint32_t multiply_int8_avx2(uint64_t n_rounds)
{
    __m256i a = _mm256_set1_epi8(3), b = _mm256_set1_epi8(-5), sum = _mm256_setzero_si256();
    const __m256i ones = _mm256_set1_epi16(1);
    for (uint64_t i = 0; i < n_rounds; i++) {
        __m256i pairs[PAIR_CHAINS] = {0};
        for (int step = 0; step < PAIR_STEPS; step++) {
            for (int c = 0; c < PAIR_CHAINS; c++) {
                VT_LIMIT_UNKNOWN(a);
                pairs[c] = _mm256_add_epi16(pairs[c], _mm256_maddubs_epi16(a, b));
                VT_LIMIT_UNKNOWN(pairs[c]); /* here, not after all products, in memory */
            }
        }
        for (int c = 0; c < PAIR_CHAINS; c++)
            sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs[c], ones));
    }
    return fold(sum);
}

AVX2 static uint32_t multiply_f32_avx2(uint64_t n_rounds)
{
    __m256 a = _mm256_set1_ps(1e-3f), b = _mm256_set1_ps(1e-3f), sums[CHAINS] = {0};
    FOR_CHAINS VT_LIMIT_UNKNOWN(sums[c]); /* or they were all one */
    for (uint64_t i = 0; i < n_rounds; i++) FOR_CHAINS sums[c] = _mm256_fmadd_ps(a, b, sums[c]);
    __m256 sum = sums[0];
    for (int c = 1; c < CHAINS; c++) sum = _mm256_add_ps(sum, sums[c]);
    return fold(_mm256_castps_si256(sum));
}

/* The same instruction in its two encodings, as avxvnni.c and avxvnni_evex.c have it. */
#define DEFINE_VNNI256(name, target, dpbusd)                                           \
    target static uint32_t name(uint64_t n_rounds)                                     \
    {                                                                                  \
        __m256i a = _mm256_set1_epi8(3), b = _mm256_set1_epi8(-5), sums[CHAINS] = {0}; \
        FOR_CHAINS VT_LIMIT_UNKNOWN(sums[c]); /* or they were all one */               \
        for (uint64_t i = 0; i < n_rounds; i++) FOR_CHAINS                             \
            {                                                                          \
                sums[c] = dpbusd(sums[c], a, b);                                       \
                VT_LIMIT_UNKNOWN(sums[c]);                                             \
            }                                                                          \
        __m256i sum = sums[0];                                                         \
        for (int c = 1; c < CHAINS; c++) sum = _mm256_add_epi32(sum, sums[c]);         \
        return fold(sum);                                                              \
    }
DEFINE_VNNI256(multiply_int8_vnni256, VNNI256, _mm256_dpbusd_avx_epi32)
DEFINE_VNNI256(multiply_int8_vnni256_evex, AVX512, _mm256_dpbusd_epi32)

AVX512 static uint32_t fold512(__m512i a)
{
    uint32_t lanes[16], sum = 0;
    _mm512_storeu_si512(lanes, a);
    for (int i = 0; i < 16; i++) sum += lanes[i];
    return sum;
}

AVX512 static uint32_t read_avx512(const vt_limit_read *r)
{
    __m512i sums[4] = {0};
    for (size_t at = 0; at < r->n_bytes; at += VT_LIMIT_STEP)
        for (int s = 0; s < r->n_streams; s++) {
            const uint8_t *p = r->start + (size_t)s * r->stride + at;
            if (r->ahead > 0)
                for (int i = 0; i < VT_LIMIT_STEP; i += 64)
                    _mm_prefetch((const char *)(p + r->ahead + i), _MM_HINT_T1);
            for (int i = 0; i < VT_LIMIT_STEP / 64; i++)
                sums[i] = _mm512_xor_si512(sums[i], _mm512_load_si512(p + 64 * i));
        }
    return fold512(
        _mm512_xor_si512(_mm512_xor_si512(sums[0], sums[1]), _mm512_xor_si512(sums[2], sums[3])));
}

AVX512 static uint32_t multiply_int8_avx512(uint64_t n_rounds)
{
    __m512i a = _mm512_set1_epi8(3), b = _mm512_set1_epi8(-5), sums[CHAINS] = {0};
    FOR_CHAINS VT_LIMIT_UNKNOWN(sums[c]); /* or they were all one */
    for (uint64_t i = 0; i < n_rounds; i++) FOR_CHAINS sums[c] = _mm512_dpbusd_epi32(sums[c], a, b);
    __m512i sum = sums[0];
    for (int c = 1; c < CHAINS; c++) sum = _mm512_add_epi32(sum, sums[c]);
    return fold512(sum);
}

AVX512 static uint32_t multiply_f32_avx512(uint64_t n_rounds)
{
    __m512 a = _mm512_set1_ps(1e-3f), b = _mm512_set1_ps(1e-3f), sums[CHAINS] = {0};
    FOR_CHAINS VT_LIMIT_UNKNOWN(sums[c]); /* or they were all one */
    for (uint64_t i = 0; i < n_rounds; i++) FOR_CHAINS sums[c] = _mm512_fmadd_ps(a, b, sums[c]);
    __m512 sum = sums[0];
    for (int c = 1; c < CHAINS; c++) sum = _mm512_add_ps(sum, sums[c]);
    return fold512(_mm512_castps_si512(sum));
}

const vt_limit_loops *vt_limit_loops_native(const char *name)
{
    static const vt_limit_loops avx2 = {
        .instructions = "avx2 maddubs",
        .read = read_avx2,
        .multiply_int8 = multiply_int8_avx2,
        .multiply_f32 = multiply_f32_avx2,
        .int8_ops = PAIR_STEPS * PAIR_CHAINS * 64,
        .f32_ops = CHAINS * 16,
    };
    static const vt_limit_loops vnni256 = {
        .instructions = "avx-vnni",
        .read = read_avx2,
        .multiply_int8 = multiply_int8_vnni256,
        .multiply_f32 = multiply_f32_avx2,
        .int8_ops = CHAINS * 64,
        .f32_ops = CHAINS * 16,
    };
    static const vt_limit_loops vnni256_evex = {
        .instructions = "avx512 vnni, 256 bits",
        .read = read_avx2,
        .multiply_int8 = multiply_int8_vnni256_evex,
        .multiply_f32 = multiply_f32_avx2,
        .int8_ops = CHAINS * 64,
        .f32_ops = CHAINS * 16,
    };
    static const vt_limit_loops avx512 = {
        .instructions = "avx512 vnni",
        .read = read_avx512,
        .multiply_int8 = multiply_int8_avx512,
        .multiply_f32 = multiply_f32_avx512,
        .int8_ops = CHAINS * 128,
        .f32_ops = CHAINS * 32,
    };
    if (strcmp(name, "avx512") == 0) return &avx512;
    if (strcmp(name, "avxvnni") == 0) {
        vt_cpu_features cpu;
        vt_cpu_detect(&cpu);
        return cpu.has_avx512 ? &vnni256_evex : &vnni256; /* as select.c chooses */
    }
    return strcmp(name, "avx2") == 0 ? &avx2 : NULL;
}

#endif
