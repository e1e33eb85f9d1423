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

enum { PAIR_CHAINS = 8, PAIR_STEPS = 8 };

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

/* Rounds of one instruction into every accumulator, and their sum, written out: around intrinsics
 * gcc 12 copies so many accumulators, or keeps them in memory, and then it was that which was
 * measured. Registers 0 and 1 hold the operands, a and b in each lane of 32 bits. */
#define DEFINE_PRODUCTS(name, target, product, add, reg, accumulators, clobbered, a_bits, b_bits) \
    target static uint32_t name(uint64_t n_rounds)                                                \
    {                                                                                             \
        const uint32_t zero = 0, a = a_bits, b = b_bits;                                          \
        uint32_t lanes[16] = {0}, sum = 0;                                                        \
        if (n_rounds == 0) return 0;                                                              \
        __asm__ volatile(                                                                         \
            "vpbroadcastd %[a], %%" reg "0\n\t"                                                   \
            "vpbroadcastd %[b], %%" reg "1\n\t"                                                   \
            ".irp c," accumulators "\n\t"                                                         \
            "vpbroadcastd %[zero], %%" reg "\\c\n\t"                                              \
            ".endr\n\t"                                                                           \
            ".balign 64\n"                                                                        \
            "1:\n\t"                                                                              \
            ".irp c," accumulators "\n\t" product " %%" reg "1, %%" reg "0, %%" reg "\\c\n\t"     \
            ".endr\n\t"                                                                           \
            "dec %[n_rounds]\n\t"                                                                 \
            "jnz 1b\n\t"                                                                          \
            "vpbroadcastd %[zero], %%" reg "0\n\t"                                                \
            ".irp c," accumulators "\n\t" add " %%" reg "\\c, %%" reg "0, %%" reg "0\n\t"         \
            ".endr\n\t"                                                                           \
            "vmovups %%" reg "0, %[lanes]"                                                        \
            : [n_rounds] "+r"(n_rounds), [lanes] "+m"(lanes)                                      \
            : [a] "m"(a), [b] "m"(b), [zero] "m"(zero)                                            \
            : "cc", clobbered);                                                                   \
        for (int i = 0; i < 16; i++) sum += lanes[i];                                             \
        return sum;                                                                               \
    }
#define ACCUMULATORS_14 "2,3,4,5,6,7,8,9,10,11,12,13,14,15"
#define ACCUMULATORS_24 ACCUMULATORS_14 ",16,17,18,19,20,21,22,23,24,25"
#define CLOBBERED_14                                                                         \
    "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", \
        "xmm11", "xmm12", "xmm13", "xmm14", "xmm15"
#define CLOBBERED_24                                                                               \
    CLOBBERED_14, "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm24", \
        "xmm25"
#define DEFINE_INT8(name, target, product, reg, n)                                         \
    DEFINE_PRODUCTS(name, target, product, "vpaddd", reg, ACCUMULATORS_##n, CLOBBERED_##n, \
                    0x03030303, 0xfbfbfbfb) /* 3 and -5 */
#define DEFINE_F32(name, target, reg)                                                          \
    DEFINE_PRODUCTS(name, target, "vfmadd231ps", "vaddps", reg, ACCUMULATORS_14, CLOBBERED_14, \
                    0x3a83126f, 0x3a83126f) /* 1e-3f */

DEFINE_F32(multiply_f32_avx2, AVX2, "ymm")
DEFINE_F32(multiply_f32_avx512, AVX512, "zmm")
/* The same instruction in its two encodings, as avxvnni.c and avxvnni_evex.c have it. */
DEFINE_INT8(multiply_int8_vnni256, VNNI256, "%{vex%} vpdpbusd", "ymm", 14)
DEFINE_INT8(multiply_int8_vnni256_evex, AVX512, "vpdpbusd", "ymm", 14)
DEFINE_INT8(multiply_int8_avx512, AVX512, "vpdpbusd", "zmm", 24)

const vt_limit_loops *vt_limit_loops_native(const char *name)
{
    static const vt_limit_loops avx2 = {
        .instructions = "avx2 maddubs",
        .read = read_avx2,
        .multiply_int8 = multiply_int8_avx2,
        .multiply_f32 = multiply_f32_avx2,
        .int8_ops = PAIR_STEPS * PAIR_CHAINS * 64,
        .f32_ops = 14 * 16,
    };
    static const vt_limit_loops vnni256 = {
        .instructions = "avx-vnni",
        .read = read_avx2,
        .multiply_int8 = multiply_int8_vnni256,
        .multiply_f32 = multiply_f32_avx2,
        .int8_ops = 14 * 64,
        .f32_ops = 14 * 16,
    };
    static const vt_limit_loops vnni256_evex = {
        .instructions = "avx512 vnni, 256 bits",
        .read = read_avx2,
        .multiply_int8 = multiply_int8_vnni256_evex,
        .multiply_f32 = multiply_f32_avx2,
        .int8_ops = 14 * 64,
        .f32_ops = 14 * 16,
    };
    static const vt_limit_loops avx512 = {
        .instructions = "avx512 vnni",
        .read = read_avx512,
        .multiply_int8 = multiply_int8_avx512,
        .multiply_f32 = multiply_f32_avx512,
        .int8_ops = 24 * 128,
        .f32_ops = 14 * 32,
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
