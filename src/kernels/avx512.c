/* avx512.c -- the kernels for AVX-512 F, BW, VL, DQ with VNNI. Same bits as scalar.c.
 *
 * The integer tile product: one 64-byte register holds 16 rows x 4 columns, vpdpbusd multiplies it
 * by 4 activation bytes broadcast to all lanes and adds into 16 int32 lanes, one a row. A sub-block
 * of 32 columns is 8 registers, decoded once and used for up to 16 tokens. Weights are unsigned
 * there (value + offset); the offset's part, -offset * sum of the activations, is the start value
 * of the accumulator and costs nothing.
 *
 * What bounds a tile of many tokens are the two units that vector instructions run on: whatever is
 * no product stands in a product's way. So nibbles stay in place where they can, sums begin with
 * a load, products load and broadcast by themselves. Before and after that, and with 8 and 16
 * tokens: one core of an Intel Xeon, tiles from the cache, ns for 1536 columns and a token: Q4_K
 * 134 -> 108, Q6_K 214
 * -> 164, MXFP4 142 -> 124, Q8_0 126 -> 119, Q4_1 144 -> 131. */
#if defined(__x86_64__)

#include <float.h>
#include <immintrin.h>
#include <string.h>

#include "kernels/kernels.h"
#include "kernels/layout.h"
#include "kernels/math.h"
#include "kernels/tables.h"

typedef __m512 lanes16;

VT_INLINE lanes16 lanes_set(float x)
{
    return _mm512_set1_ps(x);
}
VT_INLINE lanes16 lanes_load(const float *x)
{
    return _mm512_loadu_ps(x);
}
VT_INLINE void lanes_store(float *y, lanes16 a)
{
    _mm512_storeu_ps(y, a);
}
VT_INLINE lanes16 lanes_load_f16(const uint16_t *h)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)h));
}
VT_INLINE lanes16 lanes_load_bf16(const uint16_t *h)
{
    __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)h));
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}
VT_INLINE void lanes_store_f16(uint16_t *h, lanes16 a)
{
    _mm256_storeu_si256((__m256i *)h,
                        _mm512_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
VT_INLINE lanes16 lanes_add(lanes16 a, lanes16 b)
{
    return _mm512_add_ps(a, b);
}
VT_INLINE lanes16 lanes_sub(lanes16 a, lanes16 b)
{
    return _mm512_sub_ps(a, b);
}
VT_INLINE lanes16 lanes_mul(lanes16 a, lanes16 b)
{
    return _mm512_mul_ps(a, b);
}
VT_INLINE lanes16 lanes_div(lanes16 a, lanes16 b)
{
    return _mm512_div_ps(a, b);
}
VT_INLINE lanes16 lanes_max(lanes16 a, lanes16 b)
{
    return _mm512_max_ps(a, b);
}
VT_INLINE lanes16 lanes_min(lanes16 a, lanes16 b)
{
    return _mm512_min_ps(a, b);
}
VT_INLINE lanes16 lanes_fma(lanes16 a, lanes16 b, lanes16 c)
{
    return _mm512_fmadd_ps(a, b, c);
}
VT_INLINE lanes16 lanes_abs(lanes16 a)
{
    return _mm512_abs_ps(a);
}

/* In one step: it rounds once, as the two steps of lanes_plain.h do, of which the first is exact.
 */
VT_INLINE lanes16 lanes_scale_by_power(lanes16 p, lanes16 t)
{
    return _mm512_scalef_ps(p, _mm512_sub_ps(t, _mm512_set1_ps(12582912.0f)));
}

VT_INLINE int32_t lanes_round_to_i8(lanes16 a, int8_t *q)
{
    __m512i n = _mm512_cvtps_epi32(a); /* round to nearest even */
    n = _mm512_max_epi32(_mm512_min_epi32(n, _mm512_set1_epi32(127)), _mm512_set1_epi32(-127));
    _mm_storeu_si128((__m128i *)q, _mm512_cvtepi32_epi8(n));
    return _mm512_reduce_add_epi32(n); /* integers: any order */
}

/* The tree of rule 7: ((0+8)+(4+12)) ... */
VT_INLINE float lanes_tree_sum(lanes16 v)
{
    __m256 a = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(b, _mm_movehdup_ps(b)));
}

VT_INLINE float lanes_largest(lanes16 v)
{
    __m256 a = _mm256_max_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    __m128 b = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_max_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_max_ss(b, _mm_movehdup_ps(b)));
}

/* As in lanes_plain.h. */
typedef __m512i pairs16, ints16;

VT_INLINE ints16 ints_zero(void)
{
    return _mm512_setzero_si512();
}
VT_INLINE pairs16 pairs_load_i8(const int8_t *q)
{
    return _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)q));
}
VT_INLINE pairs16 pairs_set(const int16_t pair[2])
{
    int32_t both;
    memcpy(&both, pair, sizeof both);
    return _mm512_set1_epi32(both);
}
/* Written out: of _mm512_dpwssd_epi32 in a loop gcc 12 makes three instructions, two of them
 * copies. */
VT_INLINE ints16 ints_dot(ints16 sum, pairs16 a, pairs16 b)
{
    __asm__("vpdpwssd %[b], %[a], %[sum]" : [sum] "+v"(sum) : [a] "v"(a), [b] "v"(b));
    return sum;
}
VT_INLINE lanes16 lanes_from_ints(ints16 a)
{
    return _mm512_cvtepi32_ps(a);
}
VT_INLINE void lanes_store_pairs(int16_t q[32], lanes16 a, lanes16 b)
{
    const __m512i high = _mm512_slli_epi32(_mm512_cvtps_epi32(b), 16);
    _mm512_storeu_si512(q, _mm512_mask_blend_epi16(0xAAAAAAAA, _mm512_cvtps_epi32(a), high));
}

#define ATTEND_ROWS    8
#define ATTEND_Q8_ROWS 8
#define ATTEND_PARTS   2

#include "kernels/lanes_body.h"

/* ---- integer tile products ---- */

enum { GROUPS = 8 }; /* of 4 columns, in a sub-block of 32 */

VT_INLINE __m512i load_group(const uint8_t *groups, int i)
{
    return _mm512_loadu_si512(
        (const void *)(groups + i * 64)); /* Q6_K scales lie at multiples of 32 */
}

VT_INLINE __m512 load_halves(const uint8_t *halves)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)halves));
}

/* What is added to a weight to make it unsigned. */
VT_INLINE int weight_offset(vt_format format)
{
    switch (format) {
    case VT_FORMAT_Q8_0: return 128;
    case VT_FORMAT_Q4_0: return 8;
    case VT_FORMAT_Q5_0: return 16;
    case VT_FORMAT_MXFP4: return 12;
    case VT_FORMAT_Q6_K: return 32;
    default: return 0;
    }
}

/* Group g of a 32-block: unsigned weights. g is known at compile time. */
VT_INLINE __m512i decode_32(vt_format format, const uint8_t *q, int g)
{
    if (format == VT_FORMAT_Q8_0)
        return _mm512_xor_si512(load_group(q, g), _mm512_set1_epi8((char)0x80));
    __m512i w = load_group(q, g % 4);
    if (g >= 4) w = _mm512_srli_epi16(w, 4);
    w = _mm512_and_si512(w, _mm512_set1_epi8(15));
    if (format == VT_FORMAT_MXFP4)
        w = _mm512_shuffle_epi8(
            _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)vt_mxfp4_plus_12)), w);
    if (format == VT_FORMAT_Q5_0) {
        __m512i high = load_group(q, 4);
        high = g <= 4 ? _mm512_slli_epi16(high, 4 - g) : _mm512_srli_epi16(high, g - 4);
        w = _mm512_ternarylogic_epi32(w, high, _mm512_set1_epi8(16), 0xF8); /* w | (high & 16) */
    }
    return w;
}

/* Group g of sub-block j of a 256-block: unsigned weights. Both are known at compile time. Those of
 * Q4_K stay where they are in their byte: in odd sub-blocks they are 16 times what they should be.
 */
VT_INLINE __m512i decode_256(vt_format format, const uint8_t *q, int j, int g)
{
    const __m512i low = _mm512_set1_epi8(15);
    if (format == VT_FORMAT_Q6_K) {
        const int half = j / 4, i = j % 4;
        __m512i raw = load_group(q + half * 1024 + (i & 1) * 512, g);
        __m512i high = load_group(q + 2048 + half * 512, g);
        if (i & 2) raw = _mm512_srli_epi16(raw, 4);
        high = i <= 2 ? _mm512_slli_epi16(high, 4 - 2 * i) : _mm512_srli_epi16(high, 2);
        return _mm512_ternarylogic_epi32(_mm512_and_si512(raw, low), high, _mm512_set1_epi8(0x30),
                                         0xF8);
    }
    __m512i w = load_group(q + j / 2 * 512, g);
    if (format == VT_FORMAT_Q4_K)
        return _mm512_and_si512(w, _mm512_set1_epi8((char)(j & 1 ? 0xF0 : 0x0F)));
    if (j & 1) w = _mm512_srli_epi16(w, 4);
    __m512i high = load_group(q + VT_Q4_K_QUANTS, g);
    high = j <= 4 ? _mm512_slli_epi16(high, 4 - j) : _mm512_srli_epi16(high, j - 4);
    return _mm512_ternarylogic_epi32(_mm512_and_si512(w, low), high, _mm512_set1_epi8(16), 0xF8);
}

/* The most tokens at a time: as many dots as half the registers. */
enum { WIDEST = 16 };

/* Where T tokens' activations are. A pointer to every third: with the distance between two tokens
 * in a register, an address has the others for nothing, and the pointers don't run out of
 * registers. */
typedef struct {
    const int8_t *third[(WIDEST + 2) / 3];
    size_t n_cols;
} rows;

VT_INLINE rows rows_from(const int8_t *x, size_t n_cols, int T)
{
    rows r = {.n_cols = n_cols};
    for (int i = 0; 3 * i < T; i++) r.third[i] = x + (size_t)i * 3 * n_cols;
    return r;
}

/* To the next block. gcc would keep a pointer to every token otherwise. */
VT_INLINE void rows_advance(rows *r, int T, size_t n_bytes)
{
#pragma GCC unroll 8
    for (int i = 0; 3 * i < T; i++) {
        r->third[i] += n_bytes;
        __asm__("" : "+r"(r->third[i]));
    }
}

/* vpdpbusd with the four bytes broadcast as they are loaded. gcc 12 has no pattern for it and loads
 * them with an instruction of its own, so it is written out, where gcc optimises enough to see that
 * `at` is a constant. Sanitizers see memory only where the compiler reads it. */
#if defined(__OPTIMIZE__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__)
#define DOT_AT(address)                                           \
    __asm__("vpdpbusd %c[at](" address ")%{1to16%}, %[w], %[dot]" \
            : [dot] "+v"(dot)                                     \
            : [p] "r"(p), [n] "r"(r->n_cols), [at] "i"(at), [w] "v"(w), "m"(*p))
#endif

/* dot + 4 columns of 16 rows, w, times the activations of token t at byte `at`, which is a constant
 * once loops are unrolled. */
VT_INLINE __m512i dot_row(const rows *r, int t, int at, __m512i w, __m512i dot)
{
    const int8_t *p = r->third[t / 3];
#ifdef DOT_AT
    if (t % 3 == 0) DOT_AT("%[p]");
    else if (t % 3 == 1) DOT_AT("%[p],%[n]");
    else DOT_AT("%[p],%[n],2");
    return dot;
#else
    int32_t four;
    memcpy(&four, p + (size_t)(t % 3) * r->n_cols + at, 4);
    return _mm512_dpbusd_epi32(dot, w, _mm512_set1_epi32(four));
#endif
}

/* Tokens inside, columns outside: the chains of all tokens are in flight together. */
VT_INLINE void dot_rows(int T, const rows *r, int at, __m512i w, __m512i *dot)
{
#pragma GCC unroll 16
    for (int t = 0; t < T; t++) dot[t] = dot_row(r, t, at, w, dot[t]);
}

/* A tile comes from memory once for all tokens, and what a core can have in flight by itself is not
 * enough: ask for what comes later, a line for each line of work, into the L2 cache (the L1's few
 * miss buffers are needed for the work at hand). An AMD core drops such a request when its miss
 * buffers are full, so each line is asked for at several distances; where it is already there, that
 * costs next to nothing. Past the tile's end lies the next one, which the same thread mostly takes
 * next. One core of an AMD EPYC 9004, Q4_K from memory, GB/s: 12.0 without, 19.0 asked for once,
 * 26.3 three times, 31.0 four times; plain reading takes 31. Into the L1: 9.3. */
enum { LINE = 64 };

/* The scales are a smaller stream beside the quants: their distances are divided. */
enum { QUANTS = 1, SCALES = 8 };

/* What is ahead of line i of a block of n_bytes; nothing when the block has no such line. */
VT_INLINE void prefetch_ahead(const uint8_t *block, int i, size_t n_bytes, size_t divisor)
{
    if ((size_t)i * LINE >= n_bytes) return;
#pragma GCC unroll 4
    for (size_t d = 0; d < VT_COUNT(vt_prefetch_distances); d++)
        _mm_prefetch((const char *)(block + i * LINE + vt_prefetch_distances[d] / divisor),
                     _MM_HINT_T1);
}

VT_INLINE __m512 scale_32(vt_format format, const uint8_t *s)
{
    if (format != VT_FORMAT_MXFP4) return load_halves(s);
    /* 2^(e - 128): (e - 1) << 23, and the two subnormal cases */
    __m512i e = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)s));
    __m512i normal = _mm512_slli_epi32(_mm512_sub_epi32(e, _mm512_set1_epi32(1)), 23);
    __m512i tiny = _mm512_sllv_epi32(_mm512_set1_epi32(0x00200000), e);
    return _mm512_castsi512_ps(
        _mm512_mask_mov_epi32(normal, _mm512_cmplt_epi32_mask(e, _mm512_set1_epi32(2)), tiny));
}

/* Of 16 neighbouring blocks (or the n that are left) of a token: its scales, and what the integer
 * accumulator starts from; for Q4_1 the sum that its minimum is multiplied with. For Q6_K: what the
 * 16 sub-blocks of one block start from; it has no use for `d`. A load then
 * broadcasts each for nothing, where a scalar product would have to be moved into a vector
 * register, and their addresses need no pointer for each token. */
enum { SUMS_AT_ONCE = 16 };

typedef struct {
    union {
        int32_t start[SUMS_AT_ONCE];
        float sum[SUMS_AT_ONCE];
    };
    float d[SUMS_AT_ONCE];
} block_facts;

VT_INLINE __mmask16 first_lanes(size_t n)
{
    return n >= SUMS_AT_ONCE ? 0xFFFF : (__mmask16)((1u << n) - 1);
}

VT_INLINE void take_sums(vt_format format, const int16_t *sums, size_t n, block_facts *out)
{
    __m512i wide = _mm512_cvtepi16_epi32(_mm256_maskz_loadu_epi16(first_lanes(n), sums));
    if (format == VT_FORMAT_Q4_1) _mm512_storeu_ps(out->sum, _mm512_cvtepi32_ps(wide));
    else
        _mm512_storeu_si512(out->start,
                            _mm512_mullo_epi32(wide, _mm512_set1_epi32(-weight_offset(format))));
    /* gcc would take the elements out of the register one by one instead of loading them back */
    __asm__ volatile("" : "+m"(*out));
}

VT_INLINE void take_scales(const float *d, size_t n, block_facts *out)
{
    _mm512_storeu_ps(out->d, _mm512_maskz_loadu_ps(first_lanes(n), d));
    __asm__ volatile("" : "+m"(*out));
}

/* T tokens against a tile of a 32-block format. */
VT_INLINE void tile_32(vt_format format, int T, bool is_fresh, const uint8_t *tile,
                       const vt_activations *a, uint32_t i_first, float *y, size_t y_stride)
{
    const size_t n_blocks = a->n_cols / 32;
    const size_t quants = vt_block_quants(format), scale_bytes = vt_block_scales(format);
    const uint8_t *scales = tile + n_blocks * quants;
    const float *d = a->d + (size_t)i_first * n_blocks;
    const int16_t *sums = a->sum32 + (size_t)i_first * n_blocks;
    rows x = rows_from(a->q + (size_t)i_first * a->n_cols, a->n_cols, T);
    __m512 acc[WIDEST];
    block_facts of[WIDEST];
    for (int t = 0; t < T; t++) {
        acc[t] = _mm512_setzero_ps();
        __builtin_prefetch(y + (size_t)t * y_stride, 1); /* far apart, and written at the end */
    }
    for (size_t b = 0; b < n_blocks; b++) {
        const uint8_t *q = tile + b * quants, *s = scales + b * scale_bytes;
        const size_t i = b % SUMS_AT_ONCE;
        __m512i dot[WIDEST];
        if (is_fresh) prefetch_ahead(s, 0, scale_bytes, SCALES);
        if (i == 0)
            for (int t = 0; t < T; t++) {
                take_sums(format, sums + (size_t)t * n_blocks + b, n_blocks - b, &of[t]);
                take_scales(d + (size_t)t * n_blocks + b, n_blocks - b, &of[t]);
            }
#pragma GCC unroll 16
        for (int t = 0; t < T; t++)
            dot[t] = format == VT_FORMAT_Q4_1 ? _mm512_setzero_si512()
                                              : _mm512_set1_epi32(of[t].start[i]);
#pragma GCC unroll 8
        for (int g = 0; g < GROUPS; g++) {
            const __m512i w = decode_32(format, q, g);
            if (is_fresh) prefetch_ahead(q, g, quants, QUANTS);
            dot_rows(T, &x, 4 * g, w, dot);
        }
        rows_advance(&x, T, 32);
        const __m512 dw = scale_32(format, s);
#pragma GCC unroll 16
        for (int t = 0; t < T; t++) {
            const __m512 dx = _mm512_set1_ps(of[t].d[i]);
            acc[t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot[t]), _mm512_mul_ps(dw, dx), acc[t]);
            if (format == VT_FORMAT_Q4_1)
                acc[t] = _mm512_fmadd_ps(_mm512_set1_ps(of[t].sum[i]),
                                         _mm512_mul_ps(load_halves(s + 32), dx), acc[t]);
        }
    }
    for (int t = 0; t < T; t++) _mm512_storeu_ps(y + (size_t)t * y_stride, acc[t]);
}

/* Lane r: the four 6-bit scales (or minima) 4h .. 4h+3 of row r, a byte each. s: the three groups
 * of matrix.h. */
VT_INLINE __m512i six_bits(const uint8_t *s, int h, bool is_min)
{
    __m512i own = load_group(s, is_min ? 1 : 0);
    if (h == 0) return _mm512_and_si512(own, _mm512_set1_epi8(63));
    __m512i low = load_group(s, 2);
    if (is_min) low = _mm512_srli_epi16(low, 4);
    low = _mm512_and_si512(low, _mm512_set1_epi8(15));
    return _mm512_ternarylogic_epi32(low, _mm512_srli_epi16(own, 2), _mm512_set1_epi8(0x30), 0xF8);
}

/* Byte k of every lane, zero-extended. */
VT_INLINE __m512i byte_of_lanes(__m512i v, int k)
{
    return _mm512_and_si512(_mm512_srli_epi32(v, (unsigned)(8 * k)), _mm512_set1_epi32(255));
}

/* What the sub-blocks of a 256-block add up to, for 16 rows and a token: exact, rounded to float
 * once, at the end. For Q4_K floats do it: a product of dot and scale is at most 32 * 15 * 127 *
 * 63, four of them stay below 2^24, where floats are exact, and adding two halves rounds once. On
 * Intel that is less work than vpmulld, which takes a unit twice, and 16 times too much is no
 * matter. */
VT_INLINE __m512i scale_45_k(vt_format format, const uint8_t *s, int j)
{
    const __m512i scale = byte_of_lanes(six_bits(s + 64, j / 4, false), j % 4);
    if (format == VT_FORMAT_Q5_K) return scale;
    const __m512 real = _mm512_cvtepi32_ps(scale);
    return _mm512_castps_si512(j & 1 ? _mm512_mul_ps(real, _mm512_set1_ps(1.0f / 16)) : real);
}

VT_INLINE __m512i add_scaled_dot(vt_format format, __m512i sum, __m512i dot, __m512i scale)
{
    if (format == VT_FORMAT_Q5_K) return _mm512_add_epi32(sum, _mm512_mullo_epi32(dot, scale));
    return _mm512_castps_si512(_mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), _mm512_castsi512_ps(scale),
                                               _mm512_castsi512_ps(sum)));
}

VT_INLINE __m512 sum_of_halves(vt_format format, __m512i first, __m512i second)
{
    if (format == VT_FORMAT_Q5_K) return _mm512_cvtepi32_ps(_mm512_add_epi32(first, second));
    return _mm512_add_ps(_mm512_castsi512_ps(first), _mm512_castsi512_ps(second));
}

VT_INLINE void tile_45_k(vt_format format, int T, bool is_fresh, const uint8_t *tile,
                         const vt_activations *a, uint32_t i_first, float *y, size_t y_stride)
{
    const size_t n_blocks = a->n_cols / 256;
    const size_t quants = vt_block_quants(format);
    const uint8_t *scales = tile + n_blocks * quants;
    /* words (b0, b1) and (b2, b3) of each lane's bytes, for vpdpwssd */
    const __m512i first_pair = _mm512_set1_epi32((int)0x80018000),
                  second_pair = _mm512_set1_epi32((int)0x80038002);
    const __m512i lane_base =
        _mm512_broadcast_i32x4(_mm_setr_epi8(0, 0, 0, 0, 4, 4, 4, 4, 8, 8, 8, 8, 12, 12, 12, 12));
    const float *d = a->d + (size_t)i_first * n_blocks;
    const int16_t *sums = a->sum32 + (size_t)i_first * n_blocks * 8;
    rows x = rows_from(a->q + (size_t)i_first * a->n_cols, a->n_cols, T);
    __m512 acc[WIDEST];
    for (int t = 0; t < T; t++) {
        acc[t] = _mm512_setzero_ps();
        __builtin_prefetch(y + (size_t)t * y_stride, 1); /* far apart, and written at the end */
    }
    for (size_t b = 0; b < n_blocks; b++) {
        const uint8_t *q = tile + b * quants, *s = scales + b * VT_Q45_K_SCALES;
        __m512i sum[2][WIDEST]; /* of the sub-blocks 0 to 3, and 4 to 7 */
        for (int t = 0; t < T; t++) sum[0][t] = sum[1][t] = _mm512_setzero_si512();
#pragma GCC unroll 8
        for (int j = 0; j < 8; j++) {
            __m512i dot[WIDEST];
            for (int t = 0; t < T; t++) dot[t] = _mm512_setzero_si512();
#pragma GCC unroll 8
            for (int g = 0; g < GROUPS; g++) {
                const __m512i w = decode_256(format, q, j, g);
                if (is_fresh) prefetch_ahead(q, j * GROUPS + g, quants, QUANTS);
                dot_rows(T, &x, 32 * j + 4 * g, w, dot);
            }
            if (is_fresh) prefetch_ahead(s, j, VT_Q45_K_SCALES, SCALES);
            const __m512i scale = scale_45_k(format, s, j);
#pragma GCC unroll 16
            for (int t = 0; t < T; t++)
                sum[j / 4][t] = add_scaled_dot(format, sum[j / 4][t], dot[t], scale);
        }
        rows_advance(&x, T, 256);
        __m512i pairs[4];
        for (int h = 0; h < 2; h++) {
            __m512i mins = six_bits(s + 64, h, true);
            pairs[2 * h] = _mm512_shuffle_epi8(mins, _mm512_add_epi8(first_pair, lane_base));
            pairs[2 * h + 1] = _mm512_shuffle_epi8(mins, _mm512_add_epi8(second_pair, lane_base));
        }
        __m512 dw = load_halves(s), dmin = load_halves(s + 32);
#pragma GCC unroll 16
        for (int t = 0; t < T; t++) {
            const size_t i = (size_t)t * n_blocks + b;
            __m512i imin = _mm512_setzero_si512();
            for (int p = 0; p < 4; p++) {
                int32_t two;
                memcpy(&two, sums + i * 8 + 2 * p, 4);
                imin = _mm512_dpwssd_epi32(imin, pairs[p], _mm512_set1_epi32(two));
            }
            const __m512 dx = _mm512_set1_ps(d[i]);
            acc[t] = _mm512_fmadd_ps(sum_of_halves(format, sum[0][t], sum[1][t]),
                                     _mm512_mul_ps(dw, dx), acc[t]);
            acc[t] = _mm512_fnmadd_ps(_mm512_cvtepi32_ps(imin), _mm512_mul_ps(dmin, dx), acc[t]);
        }
    }
    for (int t = 0; t < T; t++) _mm512_storeu_ps(y + (size_t)t * y_stride, acc[t]);
}

/* Byte k of every lane, sign-extended. */
VT_INLINE __m512i signed_byte_of_lanes(__m512i v, int k)
{
    return _mm512_srai_epi32(_mm512_slli_epi32(v, (unsigned)(24 - 8 * k)), 24);
}

enum { SUB_BLOCKS = 256 / 16 };

VT_INLINE void tile_6_k(vt_format format, int T, bool is_fresh, const uint8_t *tile,
                        const vt_activations *a, uint32_t i_first, float *y, size_t y_stride)
{
    const size_t n_blocks = a->n_cols / 256;
    const uint8_t *scales = tile + n_blocks * VT_Q6_K_QUANTS;
    const float *d = a->d + (size_t)i_first * n_blocks;
    const int16_t *sums = a->sum16 + (size_t)i_first * n_blocks * SUB_BLOCKS;
    rows x = rows_from(a->q + (size_t)i_first * a->n_cols, a->n_cols, T);
    __m512 acc[WIDEST];
    block_facts of[WIDEST];
    for (int t = 0; t < T; t++) {
        acc[t] = _mm512_setzero_ps();
        __builtin_prefetch(y + (size_t)t * y_stride, 1); /* far apart, and written at the end */
    }
    for (size_t b = 0; b < n_blocks; b++) {
        const uint8_t *q = tile + b * VT_Q6_K_QUANTS, *s = scales + b * VT_Q6_K_SCALES;
        __m512i isum[WIDEST];
        for (int t = 0; t < T; t++) {
            isum[t] = _mm512_setzero_si512();
            take_sums(format, sums + ((size_t)t * n_blocks + b) * SUB_BLOCKS, SUB_BLOCKS, &of[t]);
        }
#pragma GCC unroll 8
        for (int j = 0; j < 8; j++) {
            __m512i w[GROUPS];
            for (int g = 0; g < GROUPS; g++) {
                w[g] = decode_256(format, q, j, g);
                if (is_fresh) prefetch_ahead(q, j * GROUPS + g, VT_Q6_K_QUANTS, QUANTS);
            }
            if (is_fresh) prefetch_ahead(s, j, VT_Q6_K_SCALES, SCALES);
            const __m512i four = load_group(s, j / 2);
            const __m512i scale0 = signed_byte_of_lanes(four, j % 2 * 2),
                          scale1 = signed_byte_of_lanes(four, j % 2 * 2 + 1);
#pragma GCC unroll 16
            for (int t = 0; t < T; t++) {
                __m512i dot0 = _mm512_set1_epi32(of[t].start[2 * j]);
                __m512i dot1 = _mm512_set1_epi32(of[t].start[2 * j + 1]);
#pragma GCC unroll 4
                for (int g = 0; g < 4; g++) {
                    dot0 = dot_row(&x, t, 32 * j + 4 * g, w[g], dot0);
                    dot1 = dot_row(&x, t, 32 * j + 16 + 4 * g, w[g + 4], dot1);
                }
                isum[t] = _mm512_add_epi32(isum[t], _mm512_mullo_epi32(dot0, scale0));
                isum[t] = _mm512_add_epi32(isum[t], _mm512_mullo_epi32(dot1, scale1));
                /* gcc would put off the products of many tokens, and their dots go to the stack
                 * and back. With 16 some must anyway. */
                if (T < WIDEST) __asm__ volatile("" : "+v"(isum[t]));
            }
        }
        rows_advance(&x, T, 256);
        __m512 dw = load_halves(s + 256);
        for (int t = 0; t < T; t++) {
            __m512 dx = _mm512_set1_ps(d[(size_t)t * n_blocks + b]);
            acc[t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(isum[t]), _mm512_mul_ps(dw, dx), acc[t]);
        }
    }
    for (int t = 0; t < T; t++) _mm512_storeu_ps(y + (size_t)t * y_stride, acc[t]);
}

/* Sixteen tokens at a time, then 8, 4, 2, 1. is_fresh: see VT_DEFINE_TILE_8_4_2_1. */
#define DEFINE_TILE(name, body, format)                                                    \
    static void name(const uint8_t *tile, const vt_activations *a, uint32_t i_first,       \
                     uint32_t n_tokens, float *y, size_t y_stride)                         \
    {                                                                                      \
        uint32_t t = 0;                                                                    \
        if (n_tokens >= WIDEST) {                                                          \
            body(format, WIDEST, true, tile, a, i_first, y, y_stride);                     \
            t = WIDEST;                                                                    \
        }                                                                                  \
        for (; t + WIDEST <= n_tokens; t += WIDEST)                                        \
            body(format, WIDEST, false, tile, a, i_first + t, y + t * y_stride, y_stride); \
        if (n_tokens & 8) {                                                                \
            body(format, 8, true, tile, a, i_first + t, y + t * y_stride, y_stride);       \
            t += 8;                                                                        \
        }                                                                                  \
        VT_LAST_TOKENS(body, format)                                                       \
    }

#include "kernels/table_body.h"

const vt_kernels *vt_kernels_avx512(void)
{
    static const vt_kernels table = VT_KERNEL_TABLE("avx512");
    return &table;
}

#endif
