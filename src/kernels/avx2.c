/* avx2.c -- the kernels for AVX2 with FMA and F16C. Same bits as scalar.c.
 *
 * The integer tile product: a 32-byte register holds 8 rows x 4 columns, so a tile goes as two
 * halves of 8 rows. vpmaddubsw multiplies unsigned weights by activation bytes and adds pairs into
 * 16 bits; they cannot saturate because activations are within +-127, and several of them can be
 * added in 16 bits before they are widened: as many as pair_limit says. Q8_0 has full-range
 * weights: there |w| is the unsigned factor and the sign goes to the activation. */
#if defined(__x86_64__)

#include <float.h>
#include <immintrin.h>
#include <string.h>

#include "kernels/kernels.h"
#include "kernels/layout.h"
#include "kernels/math.h"
#include "kernels/tables.h"

typedef struct {
    __m256 lo, hi;
} lanes16;

VT_INLINE lanes16 lanes_set(float x)
{
    return (lanes16){_mm256_set1_ps(x), _mm256_set1_ps(x)};
}
VT_INLINE lanes16 lanes_load(const float *x)
{
    return (lanes16){_mm256_loadu_ps(x), _mm256_loadu_ps(x + 8)};
}
VT_INLINE void lanes_store(float *y, lanes16 a)
{
    _mm256_storeu_ps(y, a.lo);
    _mm256_storeu_ps(y + 8, a.hi);
}
VT_INLINE lanes16 lanes_load_f16(const uint16_t *h)
{
    return (lanes16){_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)h)),
                     _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(h + 8)))};
}
VT_INLINE __m256 widen_bf16(const uint16_t *h)
{
    __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)h));
    return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}
VT_INLINE lanes16 lanes_load_bf16(const uint16_t *h)
{
    return (lanes16){widen_bf16(h), widen_bf16(h + 8)};
}
VT_INLINE void lanes_store_f16(uint16_t *h, lanes16 a)
{
    _mm_storeu_si128((__m128i *)h,
                     _mm256_cvtps_ph(a.lo, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
    _mm_storeu_si128((__m128i *)(h + 8),
                     _mm256_cvtps_ph(a.hi, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
#define DEFINE_LANES(name, op)                            \
    VT_INLINE lanes16 name(lanes16 a, lanes16 b)          \
    {                                                     \
        return (lanes16){op(a.lo, b.lo), op(a.hi, b.hi)}; \
    }
DEFINE_LANES(lanes_add, _mm256_add_ps)
DEFINE_LANES(lanes_sub, _mm256_sub_ps)
DEFINE_LANES(lanes_mul, _mm256_mul_ps)
DEFINE_LANES(lanes_div, _mm256_div_ps)
DEFINE_LANES(lanes_max, _mm256_max_ps)
DEFINE_LANES(lanes_min, _mm256_min_ps)
#undef DEFINE_LANES
VT_INLINE lanes16 lanes_fma(lanes16 a, lanes16 b, lanes16 c)
{
    return (lanes16){_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
}
VT_INLINE lanes16 lanes_abs(lanes16 a)
{
    const __m256 mask = _mm256_castsi256_ps(_mm256_set1_epi32(0x7FFFFFFF));
    return (lanes16){_mm256_and_ps(a.lo, mask), _mm256_and_ps(a.hi, mask)};
}

VT_INLINE __m256 scale_by_power_8(__m256 p, __m256 t)
{
    const __m256i bias = _mm256_set1_epi32(127);
    __m256i n = _mm256_sub_epi32(_mm256_castps_si256(t), _mm256_set1_epi32(0x4B400000));
    __m256i half = _mm256_srai_epi32(n, 1);
    __m256i first = _mm256_slli_epi32(_mm256_add_epi32(half, bias), 23);
    __m256i second = _mm256_slli_epi32(_mm256_add_epi32(_mm256_sub_epi32(n, half), bias), 23);
    p = _mm256_mul_ps(p, _mm256_castsi256_ps(first));
    return _mm256_mul_ps(p, _mm256_castsi256_ps(second));
}
VT_INLINE lanes16 lanes_scale_by_power(lanes16 p, lanes16 t)
{
    return (lanes16){scale_by_power_8(p.lo, t.lo), scale_by_power_8(p.hi, t.hi)};
}

VT_INLINE int32_t sum_8(__m256i v)
{
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4E));
    return _mm_cvtsi128_si32(_mm_add_epi32(s, _mm_shuffle_epi32(s, 0xB1)));
}
VT_INLINE __m256i round_and_clamp(__m256 a)
{
    __m256i n = _mm256_cvtps_epi32(a); /* round to nearest even */
    return _mm256_max_epi32(_mm256_min_epi32(n, _mm256_set1_epi32(127)), _mm256_set1_epi32(-127));
}
VT_INLINE int32_t lanes_round_to_i8(lanes16 a, int8_t *q)
{
    __m256i lo = round_and_clamp(a.lo), hi = round_and_clamp(a.hi);
    __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(lo, hi), 0xD8);
    __m128i bytes =
        _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    _mm_storeu_si128((__m128i *)q, bytes);
    return sum_8(_mm256_add_epi32(lo, hi));
}

#include "kernels/lanes_body.h"

/* ---- integer tile products: 8 rows at a time ---- */

enum { GROUPS = 8, MAX_TOKENS = 4 };

/* Half h (8 rows) of 64-byte group i. */
VT_INLINE __m256i load_group(const uint8_t *groups, int i, int h)
{
    return _mm256_load_si256((const __m256i *)(groups + i * 64 + h * 32));
}

VT_INLINE __m256 load_halves(const uint8_t *halves, int h)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(halves + h * 16)));
}

VT_INLINE __m256i four_bytes(const int8_t *q)
{
    int32_t bytes;
    memcpy(&bytes, q, 4);
    return _mm256_set1_epi32(bytes);
}

VT_INLINE int weight_offset(vt_format format)
{
    switch (format) {
    case VT_FORMAT_Q4_0: return 8;
    case VT_FORMAT_Q5_0: return 16;
    case VT_FORMAT_MXFP4: return 12;
    case VT_FORMAT_Q6_K: return 32;
    default: return 0;
    }
}

/* How many products of pairs fit in 16 bits: 32767 / (2 * 127 * largest weight), as a power of two.
 */
VT_INLINE int pair_limit(vt_format format)
{
    switch (format) {
    case VT_FORMAT_Q8_0: return 1; /* 128: 32512 */
    case VT_FORMAT_Q6_K: return 2; /* 63: 16002 */
    case VT_FORMAT_Q5_0:
    case VT_FORMAT_Q5_K:            /* 31: 7874 */
    case VT_FORMAT_MXFP4: return 4; /* 24: 6096 */
    default: return 8;              /* 15: 3810 */
    }
}

VT_INLINE void decode_32(vt_format format, const uint8_t *q, int h, __m256i w[GROUPS])
{
    const __m256i low = _mm256_set1_epi8(15);
    if (format == VT_FORMAT_Q8_0) {
        for (int g = 0; g < GROUPS; g++) w[g] = load_group(q, g, h); /* signed; see dot_groups */
        return;
    }
    for (int g = 0; g < 4; g++) {
        __m256i raw = load_group(q, g, h);
        w[g] = _mm256_and_si256(raw, low);
        w[g + 4] = _mm256_and_si256(_mm256_srli_epi16(raw, 4), low);
    }
    if (format == VT_FORMAT_MXFP4) {
        const __m256i values =
            _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)vt_mxfp4_plus_12));
        for (int g = 0; g < GROUPS; g++) w[g] = _mm256_shuffle_epi8(values, w[g]);
    }
    if (format == VT_FORMAT_Q5_0) {
        const __m256i bit4 = _mm256_set1_epi8(16);
        __m256i high = load_group(q, 4, h);
        for (int g = 0; g < GROUPS; g++) {
            __m256i at4 = g <= 4 ? _mm256_slli_epi16(high, 4 - g) : _mm256_srli_epi16(high, g - 4);
            w[g] = _mm256_or_si256(w[g], _mm256_and_si256(at4, bit4));
        }
    }
}

VT_INLINE void decode_256(vt_format format, const uint8_t *q, int j, int h, __m256i w[GROUPS])
{
    const __m256i low = _mm256_set1_epi8(15);
    if (format == VT_FORMAT_Q6_K) {
        const int half = j / 4, i = j % 4;
        const uint8_t *ql = q + half * 1024 + (i & 1) * 512, *qh = q + 2048 + half * 512;
        const __m256i bits45 = _mm256_set1_epi8(0x30);
        for (int g = 0; g < GROUPS; g++) {
            __m256i raw = load_group(ql, g, h), high = load_group(qh, g, h);
            if (i & 2) raw = _mm256_srli_epi16(raw, 4);
            high = i <= 2 ? _mm256_slli_epi16(high, 4 - 2 * i) : _mm256_srli_epi16(high, 2);
            w[g] = _mm256_or_si256(_mm256_and_si256(raw, low), _mm256_and_si256(high, bits45));
        }
        return;
    }
    for (int g = 0; g < GROUPS; g++) {
        __m256i raw = load_group(q + j / 2 * 512, g, h);
        if (j & 1) raw = _mm256_srli_epi16(raw, 4);
        w[g] = _mm256_and_si256(raw, low);
    }
    if (format == VT_FORMAT_Q5_K) {
        const __m256i bit4 = _mm256_set1_epi8(16);
        for (int g = 0; g < GROUPS; g++) {
            __m256i high = load_group(q + VT_Q4_K_QUANTS, g, h);
            high = j <= 4 ? _mm256_slli_epi16(high, 4 - j) : _mm256_srli_epi16(high, j - 4);
            w[g] = _mm256_or_si256(w[g], _mm256_and_si256(high, bit4));
        }
    }
}

VT_INLINE __m256i dot_groups(vt_format format, const __m256i *w, const int8_t *x, int n_groups,
                             __m256i start)
{
    const __m256i ones = _mm256_set1_epi16(1);
    const int limit = pair_limit(format);
    for (int g = 0; g < n_groups; g += limit) {
        __m256i pairs = _mm256_setzero_si256();
        for (int k = g; k < g + limit && k < n_groups; k++) {
            __m256i four = four_bytes(x + 4 * k), product;
            if (format == VT_FORMAT_Q8_0)
                product = _mm256_maddubs_epi16(_mm256_abs_epi8(w[k]), _mm256_sign_epi8(four, w[k]));
            else product = _mm256_maddubs_epi16(w[k], four);
            pairs = k == g ? product : _mm256_add_epi16(pairs, product);
        }
        start = _mm256_add_epi32(start, _mm256_madd_epi16(pairs, ones));
    }
    return start;
}

VT_INLINE __m256 scale_32(vt_format format, const uint8_t *s, int h)
{
    if (format != VT_FORMAT_MXFP4) return load_halves(s, h);
    __m256i e = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(s + h * 8)));
    __m256i normal = _mm256_slli_epi32(_mm256_sub_epi32(e, _mm256_set1_epi32(1)), 23);
    __m256i tiny = _mm256_sllv_epi32(_mm256_set1_epi32(0x00200000), e);
    __m256i is_tiny = _mm256_cmpgt_epi32(_mm256_set1_epi32(2), e);
    return _mm256_castsi256_ps(_mm256_blendv_epi8(normal, tiny, is_tiny));
}

VT_INLINE void tile_32(vt_format format, int T, int h, const uint8_t *tile, const vt_activations *a,
                       uint32_t i_first, float *y, size_t y_stride)
{
    const size_t n_blocks = a->n_cols / 32;
    const size_t quants = vt_block_quants(format), scale_bytes = vt_block_scales(format);
    const uint8_t *scales = tile + n_blocks * quants;
    const int8_t *x = a->q + (size_t)i_first * a->n_cols;
    const float *d = a->d + (size_t)i_first * n_blocks;
    const int16_t *sums = a->sum32 + (size_t)i_first * n_blocks;
    __m256 acc[MAX_TOKENS];
    for (int t = 0; t < T; t++) acc[t] = _mm256_setzero_ps();
    for (size_t b = 0; b < n_blocks; b++) {
        __m256i w[GROUPS];
        decode_32(format, tile + b * quants, h, w);
        __m256 dw = scale_32(format, scales + b * scale_bytes, h);
        for (int t = 0; t < T; t++) {
            const size_t i = (size_t)t * n_blocks + b;
            __m256i dot = _mm256_set1_epi32(-weight_offset(format) * sums[i]);
            dot = dot_groups(format, w, x + i * 32, GROUPS, dot);
            __m256 dx = _mm256_set1_ps(d[i]);
            acc[t] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot), _mm256_mul_ps(dw, dx), acc[t]);
            if (format == VT_FORMAT_Q4_1) {
                __m256 mw = load_halves(scales + b * scale_bytes + 32, h);
                acc[t] =
                    _mm256_fmadd_ps(_mm256_set1_ps((float)sums[i]), _mm256_mul_ps(mw, dx), acc[t]);
            }
        }
    }
    for (int t = 0; t < T; t++) _mm256_storeu_ps(y + (size_t)t * y_stride + h * 8, acc[t]);
}

VT_INLINE __m256i six_bits(const uint8_t *s, int half, bool is_min, int h)
{
    __m256i own = load_group(s, is_min ? 1 : 0, h);
    if (half == 0) return _mm256_and_si256(own, _mm256_set1_epi8(63));
    __m256i low = load_group(s, 2, h);
    if (is_min) low = _mm256_srli_epi16(low, 4);
    low = _mm256_and_si256(low, _mm256_set1_epi8(15));
    return _mm256_or_si256(low,
                           _mm256_and_si256(_mm256_srli_epi16(own, 2), _mm256_set1_epi8(0x30)));
}

VT_INLINE void tile_45_k(vt_format format, int T, int h, const uint8_t *tile,
                         const vt_activations *a, uint32_t i_first, float *y, size_t y_stride)
{
    const size_t n_blocks = a->n_cols / 256;
    const size_t quants = vt_block_quants(format);
    const uint8_t *scales = tile + n_blocks * quants;
    const __m256i byte = _mm256_set1_epi32(255), even_words = _mm256_set1_epi32(0x00FF00FF);
    const int8_t *x = a->q + (size_t)i_first * a->n_cols;
    const float *d = a->d + (size_t)i_first * n_blocks;
    const int16_t *sums = a->sum32 + (size_t)i_first * n_blocks * 8;
    __m256 acc[MAX_TOKENS];
    for (int t = 0; t < T; t++) acc[t] = _mm256_setzero_ps();
    for (size_t b = 0; b < n_blocks; b++) {
        const uint8_t *q = tile + b * quants, *s = scales + b * VT_Q45_K_SCALES;
        __m256i isum[MAX_TOKENS], imin[MAX_TOKENS], w[GROUPS];
        for (int t = 0; t < T; t++) isum[t] = imin[t] = _mm256_setzero_si256();
#pragma GCC unroll 8
        for (int j = 0; j < 8; j++) {
            decode_256(format, q, j, h, w);
            __m256i scale = _mm256_and_si256(
                _mm256_srli_epi32(six_bits(s + 64, j / 4, false, h), j % 4 * 8), byte);
            for (int t = 0; t < T; t++) {
                const size_t i = ((size_t)t * n_blocks + b) * 256 + (size_t)j * 32;
                __m256i dot = dot_groups(format, w, x + i, GROUPS, _mm256_setzero_si256());
                isum[t] = _mm256_add_epi32(isum[t], _mm256_mullo_epi32(dot, scale));
            }
        }
        for (int half = 0; half < 2; half++) {
            /* words: minima 4h and 4h+2 of a row, then 4h+1 and 4h+3 */
            __m256i mins = six_bits(s + 64, half, true, h);
            __m256i even = _mm256_and_si256(mins, even_words),
                    odd = _mm256_and_si256(_mm256_srli_epi16(mins, 8), even_words);
            for (int t = 0; t < T; t++) {
                const int16_t *sum = sums + ((size_t)t * n_blocks + b) * 8 + half * 4;
                __m256i s02 =
                    _mm256_set1_epi32((int)((uint16_t)sum[0] | (uint32_t)(uint16_t)sum[2] << 16));
                __m256i s13 =
                    _mm256_set1_epi32((int)((uint16_t)sum[1] | (uint32_t)(uint16_t)sum[3] << 16));
                imin[t] = _mm256_add_epi32(imin[t], _mm256_madd_epi16(even, s02));
                imin[t] = _mm256_add_epi32(imin[t], _mm256_madd_epi16(odd, s13));
            }
        }
        __m256 dw = load_halves(s, h), dmin = load_halves(s + 32, h);
        for (int t = 0; t < T; t++) {
            __m256 dx = _mm256_set1_ps(d[(size_t)t * n_blocks + b]);
            acc[t] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(isum[t]), _mm256_mul_ps(dw, dx), acc[t]);
            acc[t] = _mm256_fnmadd_ps(_mm256_cvtepi32_ps(imin[t]), _mm256_mul_ps(dmin, dx), acc[t]);
        }
    }
    for (int t = 0; t < T; t++) _mm256_storeu_ps(y + (size_t)t * y_stride + h * 8, acc[t]);
}

VT_INLINE __m256i signed_byte_of_lanes(__m256i v, int k)
{
    return _mm256_srai_epi32(_mm256_slli_epi32(v, 24 - 8 * k), 24);
}

VT_INLINE void tile_6_k(vt_format format, int T, int h, const uint8_t *tile,
                        const vt_activations *a, uint32_t i_first, float *y, size_t y_stride)
{
    const size_t n_blocks = a->n_cols / 256;
    const uint8_t *scales = tile + n_blocks * VT_Q6_K_QUANTS;
    const int8_t *x = a->q + (size_t)i_first * a->n_cols;
    const float *d = a->d + (size_t)i_first * n_blocks;
    const int16_t *sums = a->sum16 + (size_t)i_first * n_blocks * 16;
    __m256 acc[MAX_TOKENS];
    for (int t = 0; t < T; t++) acc[t] = _mm256_setzero_ps();
    for (size_t b = 0; b < n_blocks; b++) {
        const uint8_t *q = tile + b * VT_Q6_K_QUANTS, *s = scales + b * VT_Q6_K_SCALES;
        __m256i isum[MAX_TOKENS], w[GROUPS];
        for (int t = 0; t < T; t++) isum[t] = _mm256_setzero_si256();
#pragma GCC unroll 8
        for (int j = 0; j < 8; j++) {
            decode_256(format, q, j, h, w);
            __m256i four = load_group(s, j / 2, h);
            for (int e = 0; e < 2; e++) {
                __m256i scale = signed_byte_of_lanes(four, j % 2 * 2 + e);
                for (int t = 0; t < T; t++) {
                    const size_t i =
                        ((size_t)t * n_blocks + b) * 256 + (size_t)j * 32 + (size_t)e * 16;
                    __m256i start = _mm256_set1_epi32(-weight_offset(format) * sums[i / 16]);
                    __m256i dot = dot_groups(format, w + 4 * e, x + i, 4, start);
                    isum[t] = _mm256_add_epi32(isum[t], _mm256_mullo_epi32(dot, scale));
                }
            }
        }
        __m256 dw = load_halves(s + 256, h);
        for (int t = 0; t < T; t++) {
            __m256 dx = _mm256_set1_ps(d[(size_t)t * n_blocks + b]);
            acc[t] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(isum[t]), _mm256_mul_ps(dw, dx), acc[t]);
        }
    }
    for (int t = 0; t < T; t++) _mm256_storeu_ps(y + (size_t)t * y_stride + h * 8, acc[t]);
}

/* Four tokens at a time, then singly; each width is its own unrolled copy. */
#define DEFINE_TILE(name, body, format)                                               \
    static void name(const uint8_t *tile, const vt_activations *a, uint32_t i_first,  \
                     uint32_t n_tokens, float *y, size_t y_stride)                    \
    {                                                                                 \
        uint32_t t = 0;                                                               \
        for (; t + 4 <= n_tokens; t += 4)                                             \
            for (int h = 0; h < 2; h++)                                               \
                body(format, 4, h, tile, a, i_first + t, y + t * y_stride, y_stride); \
        for (; t < n_tokens; t++)                                                     \
            for (int h = 0; h < 2; h++)                                               \
                body(format, 1, h, tile, a, i_first + t, y + t * y_stride, y_stride); \
    }

#include "kernels/table_body.h"

const vt_kernels *vt_kernels_avx2(void)
{
    static const vt_kernels table = VT_KERNEL_TABLE("avx2");
    return &table;
}

#endif
