/* avx2_body.h -- the kernels for 256-bit vectors: AVX2 with FMA and F16C, and, where the including
 * file is compiled for them, the byte dot products of VNNI. Included once by avx2.c, avxvnni.c and
 * avxvnni_evex.c. Same bits as scalar.c.
 *
 * The integer tile product: a 32-byte register holds 8 rows x 4 columns, so that the 16 rows of a
 * tile are two registers, and 4 activation bytes broadcast to all lanes serve both. With 16
 * registers there is no room for decoded weights beside the sums of several tokens: 256 columns are
 * decoded into a buffer, which stays in the L1 cache, and then serve all tokens, four at a time.
 *
 * Weights are unsigned (value + offset). With VNNI, vpdpbusd adds four products into an int32 lane.
 * Without it, vpmaddubsw adds pairs of products into 16 bits. They can't saturate because
 * activations are within +-127; several of them are added in 16 bits, as many as pair_limit says;
 * then vpmaddwd multiplies them by the sub-block's scale and widens them in one. Q8_0 goes as two
 * formats of 4 bits there, w + 128 = low + 16 * high.
 *
 * An offset's part, -offset * sum of the activations, is the start value of the sum. */
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

/* As in lanes_plain.h. */
typedef struct {
    __m256i lo, hi;
} pairs16, ints16;

VT_INLINE ints16 ints_zero(void)
{
    return (ints16){_mm256_setzero_si256(), _mm256_setzero_si256()};
}
VT_INLINE pairs16 pairs_load_i8(const int8_t *q)
{
    return (pairs16){_mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)q)),
                     _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(q + 16)))};
}
VT_INLINE pairs16 pairs_set(const int16_t pair[2])
{
    int32_t both;
    memcpy(&both, pair, sizeof both);
    return (pairs16){_mm256_set1_epi32(both), _mm256_set1_epi32(both)};
}
/* Written out: of the intrinsics in a loop gcc 12 makes a copy of every sum. */
VT_INLINE __m256i dot_pairs(__m256i sum, __m256i a, __m256i b)
{
#if HAS_VNNI
    __asm__(DPWSSD " %[b], %[a], %[sum]" : [sum] "+v"(sum) : [a] "v"(a), [b] "v"(b));
#else
    __m256i products;
    __asm__("vpmaddwd %[b], %[a], %[products]\n\tvpaddd %[products], %[sum], %[sum]"
            : [sum] "+v"(sum), [products] "=&v"(products)
            : [a] "v"(a), [b] "v"(b));
#endif
    return sum;
}
VT_INLINE ints16 ints_dot(ints16 sum, pairs16 a, pairs16 b)
{
    return (ints16){dot_pairs(sum.lo, a.lo, b.lo), dot_pairs(sum.hi, a.hi, b.hi)};
}
VT_INLINE lanes16 lanes_from_ints(ints16 a)
{
    return (lanes16){_mm256_cvtepi32_ps(a.lo), _mm256_cvtepi32_ps(a.hi)};
}
VT_INLINE __m256i round_to_pairs(__m256 a, __m256 b)
{
    return _mm256_blend_epi16(_mm256_cvtps_epi32(a), _mm256_slli_epi32(_mm256_cvtps_epi32(b), 16),
                              0xAA);
}
VT_INLINE void lanes_store_pairs(int16_t q[32], lanes16 a, lanes16 b)
{
    _mm256_storeu_si256((__m256i *)q, round_to_pairs(a.lo, b.lo));
    _mm256_storeu_si256((__m256i *)(q + 16), round_to_pairs(a.hi, b.hi));
}

/* The tree of rule 7: ((0+8)+(4+12)) ... */
VT_INLINE float lanes_tree_sum(lanes16 v)
{
    __m256 a = _mm256_add_ps(v.lo, v.hi);
    __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(b, _mm_movehdup_ps(b)));
}

VT_INLINE float lanes_largest(lanes16 v)
{
    __m256 a = _mm256_max_ps(v.lo, v.hi);
    __m128 b = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_max_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_max_ss(b, _mm_movehdup_ps(b)));
}

#include "kernels/lanes_body.h"

/* ---- integer tile products ---- */

enum {
    GROUPS = 8,             /* of 4 columns, in a strip of 32 */
    REGISTERS = 2 * GROUPS, /* of a strip: group g, rows 8h .. 8h + 7 are register 2g + h */
    STRIPS = 8,             /* decoded together: 256 columns */
    MAX_TOKENS = 4,         /* whose sums are in registers together */
    FEW_TOKENS = 2,         /* up to here each decodes the weights for itself */
};

/* What a tile function is at: n tokens from i_token on, columns from i_col on. n is known at
 * compile time. */
typedef struct {
    int n;
    const vt_activations *a;
    size_t i_token, i_col;
    float *y;
    size_t y_stride;
} place;

/* The quantised activations of token t from column c on. */
VT_INLINE const int8_t *activations_at(const place *p, int t, int c)
{
    return p->a->q + (p->i_token + (size_t)t) * p->a->n_cols + p->i_col + c;
}

VT_INLINE __m256 load_sum(const place *p, int t, int h)
{
    return p->i_col == 0 ? _mm256_setzero_ps()
                         : _mm256_loadu_ps(p->y + (size_t)t * p->y_stride + h * 8);
}

VT_INLINE void store_sum(const place *p, int t, int h, __m256 sum)
{
    _mm256_storeu_ps(p->y + (size_t)t * p->y_stride + h * 8, sum);
}

VT_INLINE __m256i load_group(const uint8_t *bytes, int i, int h)
{
    return _mm256_load_si256((const __m256i *)(bytes + i * 64 + h * 32));
}

VT_INLINE __m256 load_halves(const uint8_t *halves, int h)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(halves + h * 16)));
}

VT_INLINE __m256i broadcast_4_bytes(const void *p)
{
    int32_t bytes;
    memcpy(&bytes, p, 4);
    return _mm256_set1_epi32(bytes);
}

/* Where K-quants keep high bits apart from low ones, far requests make many streams of two, which
 * the core's own prefetching presumably loses: one core of an AMD EPYC 7003, ns per tile from
 * memory: Q6_K 2250 with the distances of the others, 1680 with these, Q5_K 1950 and 1450, but Q4_1
 * 1040 and 1300. */
static const size_t near_distances[4] = {6 << 10, 4 << 10, 3 << 10, 2 << 10};
_Static_assert(VT_COUNT(near_distances) == VT_COUNT(vt_prefetch_distances), "see take_group");

/* Half a line of the tile, with requests for the lines some distances further on, see avx512.c. A
 * line is read in n_turns turns, this is one of them: each makes some of the requests. */
VT_INLINE __m256i take_group(vt_format format, const uint8_t *bytes, int i, int h, size_t turn,
                             size_t n_turns)
{
    const bool is_near = format == VT_FORMAT_Q5_K || format == VT_FORMAT_Q6_K;
    const size_t *distances = is_near ? near_distances : vt_prefetch_distances;
    if (h == 0) {
#pragma GCC unroll 4
        for (size_t d = turn; d < VT_COUNT(near_distances); d += n_turns)
            _mm_prefetch((const char *)(bytes + i * 64 + distances[d]), _MM_HINT_T1);
    }
    return load_group(bytes, i, h);
}

/* The same for the scales of a block. */
VT_INLINE void ask_for_scales(const uint8_t *scales, size_t n_bytes)
{
    for (size_t d = 0; d < VT_COUNT(vt_prefetch_distances); d++)
        for (size_t i = 0; i < n_bytes; i += 64)
            _mm_prefetch((const char *)(scales + vt_prefetch_distances[d] / 8 + i), _MM_HINT_T1);
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

/* Without VNNI, the weights of Q8_0 are too wide for sums in 16 bits. Decoded, they are two parts,
 * their low and high nibbles. On the way to a single use, splitting them costs more than it brings:
 * they stay signed, |w| is the unsigned factor and the sign goes to the activation. */
VT_INLINE bool is_wide(vt_format format)
{
    return format == VT_FORMAT_Q8_0 && !HAS_VNNI;
}
typedef enum { WHOLE, LOW, HIGH, SIGNED } part;

/* Left to itself, gcc turns a chain of integer additions into a tree and spills the leaves (Q4_K,
 * 64 tokens: 181 instead of 293 GOPS on a core of an AMD EPYC 9004, where vpmaddubsw with vpaddw
 * reaches 380), and keeps values on the stack that it could load again. It doesn't where it can't
 * see what a value is. */
#define KEEP_CHAIN(sum) __asm__("" : "+x"(sum))
#define HIDE(number)    __asm__("" : "+r"(number))

/* Groups begin .. end - 1 of a strip: decoded ones, or with `decoded` NULL as they lie in the tile,
 * to be decoded on the way to their one use: block q of a 32-block format, strip j of block q of a
 * 256-block format. All but the pointers is known at compile time. */
typedef struct {
    const __m256i *decoded;
    const uint8_t *q;
    int j, begin, end;
    part part;
} weights;

/* Bits of every byte, moved left. */
VT_INLINE __m256i bits_of(__m256i bytes, int left, int mask)
{
    bytes = left >= 0 ? _mm256_slli_epi16(bytes, left) : _mm256_srli_epi16(bytes, -left);
    return _mm256_and_si256(bytes, _mm256_set1_epi8((char)mask));
}

VT_INLINE __m256i weight_32(vt_format format, const weights *from, int g, int h)
{
    if (format == VT_FORMAT_Q8_0) {
        __m256i w =
            take_group(format, from->q, g, h, from->part == HIGH, 1 + (from->part != SIGNED));
        if (from->part == SIGNED) return w;
        w = _mm256_xor_si256(w, _mm256_set1_epi8((char)0x80));
        return from->part == WHOLE ? w : bits_of(w, from->part == LOW ? 0 : -4, 15);
    }
    __m256i w = bits_of(take_group(format, from->q, g % 4, h, g >= 4, 2), g < 4 ? 0 : -4, 15);
    if (format == VT_FORMAT_MXFP4) {
        const __m128i values = _mm_loadu_si128((const __m128i *)vt_mxfp4_plus_12);
        return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(values), w);
    }
    if (format == VT_FORMAT_Q5_0)
        w = _mm256_or_si256(w, bits_of(take_group(format, from->q, 4, h, (size_t)g, 8), 4 - g, 16));
    return w;
}

VT_INLINE __m256i weight_256(vt_format format, const weights *from, int g, int h)
{
    const int j = from->j, half = j / 4, i = j % 4; /* the last two of Q6_K */
    if (format == VT_FORMAT_Q6_K) {
        const uint8_t *low = from->q + half * 1024 + (i & 1) * 512,
                      *high = from->q + 2048 + half * 512;
        return _mm256_or_si256(
            bits_of(take_group(format, low, g, h, (size_t)i / 2, 2), i & 2 ? -4 : 0, 15),
            bits_of(take_group(format, high, g, h, (size_t)i, 4), 4 - 2 * i, 0x30));
    }
    __m256i w =
        bits_of(take_group(format, from->q + j / 2 * 512, g, h, j & 1, 2), j & 1 ? -4 : 0, 15);
    if (format == VT_FORMAT_Q5_K) {
        const uint8_t *high = from->q + VT_Q4_K_QUANTS;
        w = _mm256_or_si256(w, bits_of(take_group(format, high, g, h, (size_t)j, 8), 4 - j, 16));
    }
    return w;
}

/* Group g, rows 8h .. 8h + 7. */
VT_INLINE __m256i weight(vt_format format, const weights *from, int g, int h)
{
    if (from->decoded != NULL) return from->decoded[2 * g + h];
    const bool is_k =
        format == VT_FORMAT_Q4_K || format == VT_FORMAT_Q5_K || format == VT_FORMAT_Q6_K;
    return is_k ? weight_256(format, from, g, h) : weight_32(format, from, g, h);
}

/* Decodes a strip. */
VT_INLINE void decode(vt_format format, weights from, __m256i *w)
{
#pragma GCC unroll 8
    for (int g = 0; g < GROUPS; g++)
        for (int h = 0; h < 2; h++) w[2 * g + h] = weight(format, &from, g, h);
}

#if HAS_VNNI

/* What multiplies the sums of a sub-block: byte k of every lane, sign-extended. */
VT_INLINE __m256i multiplier_of(__m256i bytes, int k)
{
    return _mm256_srai_epi32(_mm256_slli_epi32(bytes, 24 - 8 * k), 24);
}

/* sums[t][h] += multiplier[h] (NULL: 1) * the product of weights with token t; the strip's first
 * column is the place's. */
VT_INLINE void add_products(vt_format format, const weights *from, const place *p,
                            const __m256i *multiplier, __m256i sums[][2])
{
    (void)format;
    __m256i dots[MAX_TOKENS][2];
    for (int t = 0; t < p->n; t++)
        for (int h = 0; h < 2; h++)
            dots[t][h] = multiplier == NULL ? sums[t][h] : _mm256_setzero_si256();
#pragma GCC unroll 8
    for (int g = from->begin; g < from->end; g++)
        for (int t = 0; t < p->n; t++) {
            __m256i x4 = broadcast_4_bytes(activations_at(p, t, g * 4));
            for (int h = 0; h < 2; h++)
                dots[t][h] = DPBUSD(dots[t][h], weight(format, from, g, h), x4);
        }
    for (int t = 0; t < p->n; t++)
        for (int h = 0; h < 2; h++)
            sums[t][h] =
                multiplier == NULL
                    ? dots[t][h]
                    : _mm256_add_epi32(sums[t][h], _mm256_mullo_epi32(dots[t][h], multiplier[h]));
}

#else

/* How many products of pairs fit in 16 bits: 32767 / (2 * 127 * largest weight), as a power of two.
 */
VT_INLINE int pair_limit(vt_format format, part of)
{
    if (of == SIGNED) return 1; /* 128: 32512 */
    switch (format) {
    case VT_FORMAT_Q6_K: return 2; /* 63: 16002 */
    case VT_FORMAT_Q5_0:
    case VT_FORMAT_Q5_K:            /* 31: 7874 */
    case VT_FORMAT_MXFP4: return 4; /* 24: 6096 */
    default: return 8;              /* 15: 3810 */
    }
}

/* What multiplies the pairs of a sub-block: byte k of every lane, sign-extended, in both words. */
VT_INLINE __m256i multiplier_of(__m256i bytes, int k)
{
    const char b = (char)k;
    const __m256i to_high = _mm256_broadcastsi128_si256(_mm_add_epi8(
        _mm_setr_epi8(-64, 0, -64, 0, -64, 4, -64, 4, -64, 8, -64, 8, -64, 12, -64, 12),
        _mm_set1_epi8(b)));
    return _mm256_srai_epi16(_mm256_shuffle_epi8(bytes, to_high), 8);
}

VT_INLINE __m256i multiply_pairs(const weights *from, __m256i w, __m256i x4)
{
    if (from->part == SIGNED)
        return _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x4, w));
    return _mm256_maddubs_epi16(w, x4);
}

/* sums[t][h] += multiplier[h] (NULL: 1) * the product of weights with token t; the strip's first
 * column is the place's. */
VT_INLINE void add_products(vt_format format, const weights *from, const place *p,
                            const __m256i *multiplier, __m256i sums[][2])
{
    const int limit = pair_limit(format, from->part);
    __m256i pairs[MAX_TOKENS][2];
#pragma GCC unroll 8
    for (int g = from->begin; g < from->end; g++) {
        for (int t = 0; t < p->n; t++) {
            __m256i x4 = broadcast_4_bytes(activations_at(p, t, g * 4));
            for (int h = 0; h < 2; h++) {
                __m256i pair = multiply_pairs(from, weight(format, from, g, h), x4);
                pairs[t][h] = g % limit == 0 ? pair : _mm256_add_epi16(pairs[t][h], pair);
                KEEP_CHAIN(pairs[t][h]);
            }
        }
        if ((g + 1) % limit != 0 && g + 1 != from->end) continue;
        for (int t = 0; t < p->n; t++)
            for (int h = 0; h < 2; h++) {
                __m256i by = multiplier == NULL ? _mm256_set1_epi16(1) : multiplier[h];
                sums[t][h] = _mm256_add_epi32(sums[t][h], _mm256_madd_epi16(pairs[t][h], by));
                KEEP_CHAIN(sums[t][h]);
            }
    }
}

#endif

/* `call` for n_tokens tokens from `first` on, by fours, then 2, then 1, each with a place `at` of
 * its own: every width is its own unrolled copy. */
#define BY_TOKENS(first, n_tokens, call)                      \
    {                                                         \
        place at = first;                                     \
        at.n = 4;                                             \
        for (uint32_t fours = n_tokens / 4; fours; fours--) { \
            call;                                             \
            advance(&at);                                     \
        }                                                     \
        at.n = 2;                                             \
        if (n_tokens & 2) {                                   \
            call;                                             \
            advance(&at);                                     \
        }                                                     \
        at.n = 1;                                             \
        if (n_tokens & 1) call;                               \
    }

VT_INLINE void advance(place *p)
{
    p->i_token += (size_t)p->n;
    p->y += (size_t)p->n * p->y_stride;
}

/* ---- 32-block formats ---- */

/* The scales and minima of a block. */
typedef struct {
    __m256 d[2], m[2];
} scales_32;

/* Up to 256 columns: decoded, or with `decoded` NULL as they lie in the tile. */
typedef struct {
    const __m256i *decoded; /* two parts a strip */
    const uint8_t *q;
    const scales_32 *scales;
    size_t n; /* strips */
} strips_32;

VT_INLINE __m256 scale_32(vt_format format, const uint8_t *s, int h)
{
    if (format != VT_FORMAT_MXFP4) return load_halves(s, h);
    __m256i e = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(s + h * 8)));
    __m256i normal = _mm256_slli_epi32(_mm256_sub_epi32(e, _mm256_set1_epi32(1)), 23);
    __m256i tiny = _mm256_sllv_epi32(_mm256_set1_epi32(0x00200000), e);
    __m256i is_tiny = _mm256_cmpgt_epi32(_mm256_set1_epi32(2), e);
    return _mm256_castsi256_ps(_mm256_blendv_epi8(normal, tiny, is_tiny));
}

/* The sums of the activations of n (at most 8) blocks of token t, widened. */
VT_INLINE __m256i load_sums(const place *p, int t, size_t n)
{
    const size_t n_blocks = p->a->n_cols / 32;
    const int16_t *sums = p->a->sum32 + (p->i_token + (size_t)t) * n_blocks + p->i_col / 32;
    int16_t copy[STRIPS] = {0};
    if (n < STRIPS) {
        memcpy(copy, sums, n * sizeof copy[0]);
        sums = copy;
    }
    return _mm256_cvtepi16_epi32(_mm_loadu_si128((const __m128i *)sums));
}

/* Strip i. */
VT_INLINE void add_strip_32(vt_format format, const strips_32 *from, size_t i, const place *p,
                            __m256i sums[][2])
{
    const __m256i *decoded = from->decoded ? from->decoded + 2 * i * REGISTERS : NULL;
    weights w = {.decoded = decoded, .q = from->q + i * vt_block_quants(format), .end = GROUPS};
    if (is_wide(format)) w.part = decoded == NULL ? SIGNED : LOW;
    add_products(format, &w, p, NULL, sums);
    if (w.part != LOW) return;
    const __m256i by[2] = {_mm256_set1_epi16(16), _mm256_set1_epi16(16)};
    place again = *p;
    HIDE(again.i_col);
    w.part = HIGH;
    w.decoded = decoded + REGISTERS;
    add_products(format, &w, &again, by, sums);
}

VT_INLINE void dot_32(vt_format format, const strips_32 *from, place p)
{
    const int offset = is_wide(format) && from->decoded == NULL ? 0 : weight_offset(format);
    const size_t n_blocks = p.a->n_cols / 32;
    const float *d = p.a->d + p.i_token * n_blocks + p.i_col / 32;
    int32_t start[MAX_TOKENS][STRIPS];
    float xsum[MAX_TOKENS][STRIPS];
    __m256 acc[MAX_TOKENS][2];
    for (int t = 0; t < p.n; t++) {
        const __m256i xsums = load_sums(&p, t, from->n);
        _mm256_storeu_si256((__m256i *)start[t],
                            _mm256_mullo_epi32(xsums, _mm256_set1_epi32(-offset)));
        if (format == VT_FORMAT_Q4_1) _mm256_storeu_ps(xsum[t], _mm256_cvtepi32_ps(xsums));
        for (int h = 0; h < 2; h++) acc[t][h] = load_sum(&p, t, h);
    }
    for (size_t s = 0; s < from->n; s++, p.i_col += 32) {
        const scales_32 *scales = &from->scales[s];
        __m256i sums[MAX_TOKENS][2];
        for (int t = 0; t < p.n; t++)
            for (int h = 0; h < 2; h++)
                sums[t][h] = offset == 0 ? _mm256_setzero_si256() : broadcast_4_bytes(&start[t][s]);
        add_strip_32(format, from, s, &p, sums);
        for (int t = 0; t < p.n; t++) {
            const __m256 dx = _mm256_set1_ps(d[(size_t)t * n_blocks + s]);
            for (int h = 0; h < 2; h++) {
                acc[t][h] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums[t][h]),
                                            _mm256_mul_ps(scales->d[h], dx), acc[t][h]);
                if (format == VT_FORMAT_Q4_1)
                    acc[t][h] = _mm256_fmadd_ps(_mm256_set1_ps(xsum[t][s]),
                                                _mm256_mul_ps(scales->m[h], dx), acc[t][h]);
            }
        }
    }
    for (int t = 0; t < p.n; t++)
        for (int h = 0; h < 2; h++) store_sum(&p, t, h, acc[t][h]);
}

VT_INLINE void tile_32(vt_format format, const uint8_t *tile, uint32_t n_tokens, place p)
{
    const size_t n_blocks = p.a->n_cols / 32;
    const size_t quants = vt_block_quants(format), scale_bytes = vt_block_scales(format);
    const uint8_t *s = tile + n_blocks * quants;
    scales_32 scales[STRIPS];
    strips_32 from = {.q = tile, .scales = scales, .n = STRIPS};
    for (size_t b = 0; b < n_blocks; b += STRIPS, p.i_col += STRIPS * 32) {
        if (n_blocks - b < STRIPS) from.n = n_blocks - b;
        ask_for_scales(s, STRIPS * scale_bytes);
        for (size_t i = 0; i < from.n; i++, s += scale_bytes)
            for (int h = 0; h < 2; h++) {
                scales[i].d[h] = scale_32(format, s, h);
                if (format == VT_FORMAT_Q4_1) scales[i].m[h] = load_halves(s + 32, h);
            }
        if (n_tokens <= FEW_TOKENS) {
            BY_TOKENS(p, n_tokens, dot_32(format, &from, at))
        } else {
            __m256i w[2 * STRIPS * REGISTERS];
            strips_32 decoded = from;
            decoded.decoded = w;
            for (size_t i = 0; i < from.n; i++) {
                weights raw = {.q = from.q + i * quants, .part = is_wide(format) ? LOW : WHOLE};
                decode(format, raw, w + 2 * i * REGISTERS);
                raw.part = HIGH;
                if (is_wide(format)) decode(format, raw, w + (2 * i + 1) * REGISTERS);
            }
            BY_TOKENS(p, n_tokens, dot_32(format, &decoded, at))
        }
        from.q += from.n * quants;
    }
}

/* ---- 256-block formats ---- */

/* The scales of a block, decoded: multipliers of its sub-blocks (8, of Q6_K 16), and pairs of what
 * multiplies the sums of the activations: the minima, of Q6_K the scales, for the offset. */
typedef struct {
    __m256i scale[16][2], pair[8][2];
    __m256 d[2], dmin[2];
} scales_256;

/* Four of the 6-bit scales or minima of every row. */
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

/* Bytes 2i and 2i + 1 of every lane, sign-extended to words. */
VT_INLINE __m256i pair_of(__m256i bytes, int i)
{
    const __m256i to_high = _mm256_broadcastsi128_si256(_mm_add_epi8(
        _mm_setr_epi8(-64, 0, -64, 1, -64, 4, -64, 5, -64, 8, -64, 9, -64, 12, -64, 13),
        _mm_set1_epi8((char)(2 * i))));
    return _mm256_srai_epi16(_mm256_shuffle_epi8(bytes, to_high), 8);
}

VT_INLINE void decode_scales(vt_format format, const uint8_t *s, int h, scales_256 *out)
{
    if (format == VT_FORMAT_Q6_K) {
        for (int i = 0; i < 4; i++) {
            const __m256i bytes = load_group(s, i, h);
            for (int k = 0; k < 4; k++) out->scale[4 * i + k][h] = multiplier_of(bytes, k);
            for (int k = 0; k < 2; k++) out->pair[2 * i + k][h] = pair_of(bytes, k);
        }
        out->d[h] = load_halves(s + 256, h);
        return;
    }
    for (int i = 0; i < 2; i++) {
        const __m256i scales = six_bits(s + 64, i, false, h), minima = six_bits(s + 64, i, true, h);
        for (int k = 0; k < 4; k++) out->scale[4 * i + k][h] = multiplier_of(scales, k);
        for (int k = 0; k < 2; k++) out->pair[2 * i + k][h] = pair_of(minima, k);
    }
    out->d[h] = load_halves(s, h);
    out->dmin[h] = load_halves(s + 32, h);
}

/* Strip j of a block: decoded, or with `decoded` NULL from the block's quants q. */
VT_INLINE void add_strip_256(vt_format format, weights w, const scales_256 *s, const place *p,
                             __m256i sums[][2])
{
    if (format != VT_FORMAT_Q6_K) {
        add_products(format, &w, p, s->scale[w.j], sums);
        return;
    }
    w.end = 4;
    add_products(format, &w, p, s->scale[2 * w.j], sums);
    w.begin = 4;
    w.end = GROUPS;
    add_products(format, &w, p, s->scale[2 * w.j + 1], sums);
}

/* What the minima, or the offset of Q6_K, take off: pairs of them times pairs of sums. */
VT_INLINE void add_pairs(vt_format format, const scales_256 *s, const place *p, __m256i xsums[][2])
{
    const bool is_q6 = format == VT_FORMAT_Q6_K;
    const int16_t *sums = is_q6 ? p->a->sum16 : p->a->sum32;
    const size_t n_sums = is_q6 ? 16 : 8, n_blocks = p->a->n_cols / 256;
    for (size_t i = 0; i < n_sums; i += 2)
        for (int t = 0; t < p->n; t++) {
            const size_t block = (p->i_token + (size_t)t) * n_blocks + p->i_col / 256;
            const __m256i two = broadcast_4_bytes(sums + block * n_sums + i);
            for (int h = 0; h < 2; h++)
                xsums[t][h] =
                    _mm256_add_epi32(xsums[t][h], _mm256_madd_epi16(s->pair[i / 2][h], two));
        }
}

/* A block: decoded, or with `w` NULL from q, from register to register. */
VT_INLINE void dot_256(vt_format format, const uint8_t *q, const __m256i *w, const scales_256 *s,
                       place p)
{
    const bool is_q6 = format == VT_FORMAT_Q6_K;
    const size_t n_blocks = p.a->n_cols / 256;
    const float *d = p.a->d + p.i_token * n_blocks + p.i_col / 256;
    __m256i sums[MAX_TOKENS][2], xsums[MAX_TOKENS][2];
    for (int t = 0; t < p.n; t++)
        for (int h = 0; h < 2; h++) sums[t][h] = xsums[t][h] = _mm256_setzero_si256();
    add_pairs(format, s, &p, xsums);
    place at = p;
    weights from = {.decoded = w, .q = q, .end = GROUPS};
    if (w == NULL) {
#pragma GCC unroll 8
        for (from.j = 0; from.j < STRIPS; from.j++, at.i_col += 32)
            add_strip_256(format, from, s, &at, sums);
    } else {
        for (from.j = 0; from.j < STRIPS; from.j++, at.i_col += 32, from.decoded += REGISTERS)
            add_strip_256(format, from, s, &at, sums);
    }
    for (int t = 0; t < p.n; t++) {
        const __m256 dx = _mm256_set1_ps(d[(size_t)t * n_blocks]);
        for (int h = 0; h < 2; h++) {
            __m256i sum = sums[t][h];
            if (is_q6) sum = _mm256_sub_epi32(sum, _mm256_slli_epi32(xsums[t][h], 5));
            __m256 acc = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum), _mm256_mul_ps(s->d[h], dx),
                                         load_sum(&p, t, h));
            if (!is_q6)
                acc = _mm256_fnmadd_ps(_mm256_cvtepi32_ps(xsums[t][h]),
                                       _mm256_mul_ps(s->dmin[h], dx), acc);
            store_sum(&p, t, h, acc);
        }
    }
}

VT_INLINE void tile_256(vt_format format, const uint8_t *tile, uint32_t n_tokens, place p)
{
    const size_t n_blocks = p.a->n_cols / 256;
    const size_t quants = vt_block_quants(format), scale_bytes = vt_block_scales(format);
    const uint8_t *q = tile, *s = tile + n_blocks * quants;
    for (size_t b = 0; b < n_blocks; b++, q += quants, s += scale_bytes, p.i_col += 256) {
        scales_256 scales;
        for (int h = 0; h < 2; h++) decode_scales(format, s, h, &scales);
        ask_for_scales(s, scale_bytes);
        if (n_tokens <= FEW_TOKENS) {
            BY_TOKENS(p, n_tokens, dot_256(format, q, NULL, &scales, at))
        } else {
            __m256i w[STRIPS * REGISTERS];
#pragma GCC unroll 8
            for (int j = 0; j < STRIPS; j++)
                decode(format, (weights){.q = q, .j = j}, w + j * REGISTERS);
            BY_TOKENS(p, n_tokens, dot_256(format, q, w, &scales, at))
        }
    }
}

#define tile_45_k tile_256
#define tile_6_k  tile_256

#define DEFINE_TILE(name, body, format)                                              \
    static void name(const uint8_t *tile, const vt_activations *a, uint32_t i_first, \
                     uint32_t n_tokens, float *y, size_t y_stride)                   \
    {                                                                                \
        body(format, tile, n_tokens, (place){0, a, i_first, 0, y, y_stride});        \
    }

#include "kernels/table_body.h"
