/* neon_body.h -- the kernels for aarch64: NEON, with the dot products (dotprod) and the matrix
 * products (i8mm) of bytes where the including file is compiled for them. Included once each by
 * neon.c, neon_dotprod.c and neon_i8mm.c. Same bits as scalar.c.
 *
 * The integer tile product: a 16-byte register holds 4 rows x 4 columns, a quarter of a group (the
 * 16 rows x 4 columns of matrix.h). A sub-block of 32 columns of a quarter is 8 registers, decoded
 * once and used for up to 8 tokens. 256 columns are taken at a time, for one quarter after the
 * other, so that a tile is read from memory once, however long its rows are.
 *
 * How 4 rows x 32 columns meet one token:
 *   plain     smull, smlal: each 16-bit lane adds up the products of its column; no more of them
 *             than fit (8, or 2 of Q8_0), then widened by pairs. 16 products, few additions.
 *   dotprod   sdot by lane: 8 instructions, each adds four products into every row's int32.
 *   i8mm      smmla: 2 rows x 8 columns by 2 tokens, half an instruction a token for what sdot
 * does. Its sums stand as 2 x 2 (row, token) and are put in order at a block's end. Weights are
 * decoded with the columns of two groups side by side, tokens are laid out in pairs. From 4 tokens
 * on; with fewer the rearranging costs more than it saves.
 *
 * Weights have no sign in the file where they have an offset (value + 8, 16 or 32). With few tokens
 * the offset is not taken off them: -offset * sum of the activations is the start value instead. */
#include <arm_neon.h>
#include <float.h>
#include <string.h>

#include "kernels/kernels.h"
#include "kernels/layout.h"
#include "kernels/math.h"
#include "kernels/tables.h"

typedef struct {
    float32x4_t v[4];
} lanes16;

#define FOR_QUARTERS for (int i = 0; i < 4; i++)

VT_INLINE lanes16 lanes_set(float x)
{
    lanes16 r;
    FOR_QUARTERS r.v[i] = vdupq_n_f32(x);
    return r;
}
VT_INLINE lanes16 lanes_load(const float *x)
{
    lanes16 r;
    FOR_QUARTERS r.v[i] = vld1q_f32(x + 4 * i);
    return r;
}
VT_INLINE void lanes_store(float *y, lanes16 a)
{
    FOR_QUARTERS vst1q_f32(y + 4 * i, a.v[i]);
}
VT_INLINE lanes16 lanes_load_f16(const uint16_t *h)
{
    lanes16 r;
    FOR_QUARTERS r.v[i] = vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(h + 4 * i)));
    return r;
}
VT_INLINE lanes16 lanes_load_bf16(const uint16_t *h)
{
    lanes16 r;
    FOR_QUARTERS r.v[i] = vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(h + 4 * i), 16));
    return r;
}
VT_INLINE void lanes_store_f16(uint16_t *h, lanes16 a)
{
    FOR_QUARTERS vst1_u16(h + 4 * i, vreinterpret_u16_f16(vcvt_f16_f32(a.v[i])));
}
#define DEFINE_LANES(name, op)                   \
    VT_INLINE lanes16 name(lanes16 a, lanes16 b) \
    {                                            \
        lanes16 r;                               \
        FOR_QUARTERS r.v[i] = op;                \
        return r;                                \
    }
DEFINE_LANES(lanes_add, vaddq_f32(a.v[i], b.v[i]))
DEFINE_LANES(lanes_sub, vsubq_f32(a.v[i], b.v[i]))
DEFINE_LANES(lanes_mul, vmulq_f32(a.v[i], b.v[i]))
DEFINE_LANES(lanes_div, vdivq_f32(a.v[i], b.v[i]))
/* As in lanes_plain.h: the second operand when either is a NaN or both are zero; fmax and fmin
 * differ there. */
DEFINE_LANES(lanes_max, vbslq_f32(vcgtq_f32(a.v[i], b.v[i]), a.v[i], b.v[i]))
DEFINE_LANES(lanes_min, vbslq_f32(vcltq_f32(a.v[i], b.v[i]), a.v[i], b.v[i]))
#undef DEFINE_LANES
VT_INLINE lanes16 lanes_fma(lanes16 a, lanes16 b, lanes16 c)
{
    FOR_QUARTERS c.v[i] = vfmaq_f32(c.v[i], a.v[i], b.v[i]);
    return c;
}
VT_INLINE lanes16 lanes_abs(lanes16 a)
{
    FOR_QUARTERS a.v[i] = vabsq_f32(a.v[i]);
    return a;
}
VT_INLINE lanes16 lanes_scale_by_power(lanes16 p, lanes16 t)
{
    const int32x4_t bias = vdupq_n_s32(127);
    FOR_QUARTERS
    {
        int32x4_t n = vsubq_s32(vreinterpretq_s32_f32(t.v[i]), vdupq_n_s32(0x4B400000));
        int32x4_t half = vshrq_n_s32(n, 1);
        int32x4_t first = vshlq_n_s32(vaddq_s32(half, bias), 23);
        int32x4_t second = vshlq_n_s32(vaddq_s32(vsubq_s32(n, half), bias), 23);
        p.v[i] = vmulq_f32(p.v[i], vreinterpretq_f32_s32(first));
        p.v[i] = vmulq_f32(p.v[i], vreinterpretq_f32_s32(second));
    }
    return p;
}
VT_INLINE int32_t lanes_round_to_i8(lanes16 a, int8_t *q)
{
    int32x4_t sum = vdupq_n_s32(0);
    int16x4_t narrow[4];
    FOR_QUARTERS
    {
        int32x4_t n = vcvtnq_s32_f32(a.v[i]); /* round to nearest even */
        n = vmaxq_s32(vminq_s32(n, vdupq_n_s32(127)), vdupq_n_s32(-127));
        sum = vaddq_s32(sum, n);
        narrow[i] = vmovn_s32(n);
    }
    vst1_s8(q, vmovn_s16(vcombine_s16(narrow[0], narrow[1])));
    vst1_s8(q + 8, vmovn_s16(vcombine_s16(narrow[2], narrow[3])));
    return vaddvq_s32(sum); /* integers: any order */
}

/* As in lanes_plain.h; both numbers of the pairs of four lanes side by side. */
typedef struct {
    int16x4_t v[4][2];
} pairs16;

typedef struct {
    int32x4_t v[4];
} ints16;

VT_INLINE ints16 ints_zero(void)
{
    ints16 r;
    FOR_QUARTERS r.v[i] = vdupq_n_s32(0);
    return r;
}
VT_INLINE pairs16 pairs_load_i8(const int8_t *q)
{
    pairs16 r;
    const int8x16x2_t bytes = vld2q_s8(q);
    for (int k = 0; k < 2; k++) {
        const int16x8_t low = vmovl_s8(vget_low_s8(bytes.val[k])),
                        high = vmovl_s8(vget_high_s8(bytes.val[k]));
        r.v[0][k] = vget_low_s16(low);
        r.v[1][k] = vget_high_s16(low);
        r.v[2][k] = vget_low_s16(high);
        r.v[3][k] = vget_high_s16(high);
    }
    return r;
}
VT_INLINE pairs16 pairs_set(const int16_t pair[2])
{
    pairs16 r;
    FOR_QUARTERS
    {
        r.v[i][0] = vdup_n_s16(pair[0]);
        r.v[i][1] = vdup_n_s16(pair[1]);
    }
    return r;
}
VT_INLINE ints16 ints_dot(ints16 sum, pairs16 a, pairs16 b)
{
    FOR_QUARTERS
    {
        sum.v[i] = vmlal_s16(sum.v[i], a.v[i][0], b.v[i][0]);
        sum.v[i] = vmlal_s16(sum.v[i], a.v[i][1], b.v[i][1]);
    }
    return sum;
}
VT_INLINE lanes16 lanes_from_ints(ints16 a)
{
    lanes16 r;
    FOR_QUARTERS r.v[i] = vcvtq_f32_s32(a.v[i]);
    return r;
}
VT_INLINE void lanes_store_pairs(int16_t q[32], lanes16 a, lanes16 b)
{
    FOR_QUARTERS
    {
        const int32x4_t pairs = vsliq_n_s32(vcvtnq_s32_f32(a.v[i]), vcvtnq_s32_f32(b.v[i]), 16);
        vst1q_s16(q + 8 * i, vreinterpretq_s16_s32(pairs));
    }
}

/* The tree of rule 7: ((0+8)+(4+12)) ... */
VT_INLINE float lanes_tree_sum(lanes16 a)
{
    const float32x4_t four = vaddq_f32(vaddq_f32(a.v[0], a.v[2]), vaddq_f32(a.v[1], a.v[3]));
    const float32x2_t two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
    return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
}

VT_INLINE float lanes_largest(lanes16 a)
{
    const lanes16 high = {{a.v[2], a.v[3], a.v[2], a.v[3]}};
    const lanes16 eight = lanes_max(a, high);
    float p[16];
    lanes_store(p, eight);
    for (int step = 4; step > 0; step /= 2)
        for (int i = 0; i < step; i++) p[i] = p[i] > p[i + step] ? p[i] : p[i + step];
    return p[0];
}

#define ATTEND_ROWS    6
#define ATTEND_Q8_ROWS 4 /* 16 registers of sums, 8 of bytes as 16 bits, 2 of a pair */
#define ATTEND_PARTS   1

#include "kernels/lanes_body.h"

/* ---- integer tile products: decoding 4 rows x 32 columns ---- */

enum { GROUPS = 8, QUARTERS = 4, MOST_TOKENS = 8, FEW_TOKENS = 2 };

/* Whether T tokens go in pairs by smmla. */
VT_INLINE bool is_paired(int T)
{
#if defined(__ARM_FEATURE_MATMUL_INT8)
    return T > FEW_TOKENS;
#else
    return (void)T, false;
#endif
}

/* Quarter h (4 rows) of group i. */
VT_INLINE uint8x16_t load_group(const uint8_t *groups, int i, int h)
{
    return vld1q_u8(groups + i * 64 + h * 16);
}

VT_INLINE float32x4_t load_halves(const uint8_t *halves, int h)
{
    return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(halves + h * 8)));
}

VT_INLINE uint8x16_t first_rows(uint8x16_t a, uint8x16_t b)
{
    return vreinterpretq_u8_u32(vzip1q_u32(vreinterpretq_u32_u8(a), vreinterpretq_u32_u8(b)));
}

VT_INLINE uint8x16_t last_rows(uint8x16_t a, uint8x16_t b)
{
    return vreinterpretq_u8_u32(vzip2q_u32(vreinterpretq_u32_u8(a), vreinterpretq_u32_u8(b)));
}

/* Quarter h of n groups. Paired: of groups g, g + 1 first 8 columns of rows 0 and 1, then of rows 2
 * and 3. */
VT_INLINE void load_groups(const uint8_t *groups, int n, int h, bool paired, uint8x16_t *raw)
{
    for (int g = 0; g < n; g += 2) {
        uint8x16_t a = load_group(groups, g, h), b = load_group(groups, g + 1, h);
        raw[g] = paired ? first_rows(a, b) : a;
        raw[g + 1] = paired ? last_rows(a, b) : b;
    }
}

/* What has been added to a weight in the file. */
VT_INLINE int weight_offset(vt_format format)
{
    switch (format) {
    case VT_FORMAT_Q4_0: return 8;
    case VT_FORMAT_Q5_0: return 16;
    case VT_FORMAT_Q6_K: return 32;
    default: return 0;
    }
}

/* The offset that is left for the start value with T tokens. */
VT_INLINE int offset_left(vt_format format, int T)
{
    return T > FEW_TOKENS ? 0 : weight_offset(format);
}

VT_INLINE int8x16_t without_offset(uint8x16_t w, int offset)
{
    return vsubq_s8(vreinterpretq_s8_u8(w), vdupq_n_s8((int8_t)offset));
}

/* A nibble of each byte of raw with n more bits, bit `bit` and up of the bytes of high. */
VT_INLINE uint8x16_t with_high_bits(uint8x16_t raw, bool is_low_nibble, uint8x16_t high, int bit,
                                    int n)
{
    if (is_low_nibble) raw = vsliq_n_u8(raw, high >> bit, 4);
    else raw = vsriq_n_u8(bit < 4 ? high << (4 - bit) : high >> (bit - 4), raw, 4);
    return vandq_u8(raw, vdupq_n_u8((uint8_t)((16 << n) - 1)));
}

/* Q5_0's fifth bits of register g, as 16: bit i of a byte belongs to group i. */
VT_INLINE uint8x16_t fifth_bits(uint8x16_t high, int g, bool paired)
{
    const int even = paired ? 4 - g / 2 * 2 : 4 - g, odd = paired ? even - 1 : even;
    const int8x8_t shift = {(int8_t)even, (int8_t)even, (int8_t)even, (int8_t)even,
                            (int8_t)odd,  (int8_t)odd,  (int8_t)odd,  (int8_t)odd};
    if (paired) high = g % 2 == 0 ? first_rows(high, high) : last_rows(high, high);
    return vandq_u8(vshlq_u8(high, vcombine_s8(shift, shift)), vdupq_n_u8(16));
}

VT_INLINE void decode_32(vt_format format, int T, const uint8_t *q, int h, int8x16_t w[GROUPS])
{
    uint8x16_t raw[GROUPS];
    const int n = format == VT_FORMAT_Q8_0 ? GROUPS : GROUPS / 2;
    load_groups(q, n, h, is_paired(T), raw);
    if (format != VT_FORMAT_Q8_0)
        for (int g = 0; g < n; g++) {
            raw[g + n] = vshrq_n_u8(raw[g], 4);
            raw[g] = vandq_u8(raw[g], vdupq_n_u8(15));
        }
    const int8x16_t mxfp4 = without_offset(vld1q_u8(vt_mxfp4_plus_12), 12);
    const int offset = weight_offset(format) - offset_left(format, T);
    for (int g = 0; g < GROUPS; g++) {
        if (format == VT_FORMAT_Q5_0)
            raw[g] = vorrq_u8(raw[g], fifth_bits(load_group(q, 4, h), g, is_paired(T)));
        if (format == VT_FORMAT_MXFP4) w[g] = vqtbl1q_s8(mxfp4, raw[g]);
        else w[g] = offset ? without_offset(raw[g], offset) : vreinterpretq_s8_u8(raw[g]);
    }
}

/* Sub-block j. */
VT_INLINE void decode_256(vt_format format, int T, const uint8_t *q, int j, int h,
                          int8x16_t w[GROUPS])
{
    const bool is_q6 = format == VT_FORMAT_Q6_K;
    const int half = j / 4, i = j % 4;
    const uint8_t *low = is_q6 ? q + half * 1024 + (i & 1) * 512 : q + j / 2 * 512;
    const uint8_t *high = is_q6 ? q + 2048 + half * 512 : q + VT_Q4_K_QUANTS;
    const bool is_low_nibble = is_q6 ? i < 2 : j % 2 == 0;
    const int offset = weight_offset(format) - offset_left(format, T);
    uint8x16_t raw[GROUPS], bits[GROUPS];
    load_groups(low, GROUPS, h, is_paired(T), raw);
    if (format != VT_FORMAT_Q4_K) load_groups(high, GROUPS, h, is_paired(T), bits);
    for (int g = 0; g < GROUPS; g++) {
        if (is_q6) raw[g] = with_high_bits(raw[g], is_low_nibble, bits[g], 2 * i, 2);
        else if (format == VT_FORMAT_Q5_K)
            raw[g] = with_high_bits(raw[g], is_low_nibble, bits[g], j, 1);
        else raw[g] = is_low_nibble ? vandq_u8(raw[g], vdupq_n_u8(15)) : vshrq_n_u8(raw[g], 4);
        w[g] = offset ? without_offset(raw[g], offset) : vreinterpretq_s8_u8(raw[g]);
    }
}

/* ---- sums of products ---- */

/* The activations of a tile's tokens from some column on: token after token, or, for smmla, pair
 * after pair, of which every 8 columns of one token are followed by those of the other. */
typedef struct {
    const int8_t *q;
    size_t stride; /* bytes from token to token, or pair to pair */
} operand;

/* 256 columns of 8 tokens. */
typedef int8_t pair_buffer[MOST_TOKENS * 256];

/* Columns first .. first + n - 1 (n at most 256, a multiple of 32) of T tokens. */
VT_INLINE operand take_columns(int T, const vt_activations *a, uint32_t i_first, size_t first,
                               size_t n, pair_buffer buffer)
{
    const int8_t *q = a->q + (size_t)i_first * a->n_cols + first;
    if (!is_paired(T)) return (operand){q, a->n_cols};
    for (int p = 0; p < T / 2; p++)
        for (size_t c = 0; c < n; c += 16) {
            const int8_t *even = q + (size_t)(2 * p) * a->n_cols + c, *odd = even + a->n_cols;
            int64x2_t x = vreinterpretq_s64_s8(vld1q_s8(even));
            int64x2_t y = vreinterpretq_s64_s8(vld1q_s8(odd));
            int8_t *out = buffer + (size_t)p * 512 + 2 * c;
            vst1q_s8(out, vreinterpretq_s8_s64(vzip1q_s64(x, y)));
            vst1q_s8(out + 16, vreinterpretq_s8_s64(vzip2q_s64(x, y)));
        }
    return (operand){buffer, 512};
}

#if defined(__ARM_FEATURE_DOTPROD)
/* 4 rows x 4 n_groups columns of one token, added to sum. */
VT_INLINE int32x4_t dot_rows(vt_format format, int32x4_t sum, const int8x16_t *w, const int8_t *x,
                             int n_groups)
{
    (void)format;
    for (int g = 0; g < n_groups; g += 4) {
        const int8x16_t columns = vld1q_s8(x + 4 * g);
        sum = vdotq_laneq_s32(sum, w[g], columns, 0);
        sum = vdotq_laneq_s32(sum, w[g + 1], columns, 1);
        sum = vdotq_laneq_s32(sum, w[g + 2], columns, 2);
        sum = vdotq_laneq_s32(sum, w[g + 3], columns, 3);
    }
    return sum;
}
#else
VT_INLINE int8x16_t four_bytes(const int8_t *q)
{
    int32_t bytes;
    memcpy(&bytes, q, 4);
    return vreinterpretq_s8_s32(vdupq_n_s32(bytes));
}

/* As above. An int16 lane holds 8 products of 127 and at most 32 (or 4 of 63), or 2 of 128. */
VT_INLINE int32x4_t dot_rows(vt_format format, int32x4_t sum, const int8x16_t *w, const int8_t *x,
                             int n_groups)
{
    const int n_fit = format == VT_FORMAT_Q8_0 ? 2 : n_groups;
    int32x4_t first = vdupq_n_s32(0), last = first; /* rows 0 0 1 1 and 2 2 3 3 */
    for (int g = 0; g < n_groups; g += n_fit) {
        int8x16_t four = four_bytes(x + 4 * g);
        int16x8_t first16 = vmull_s8(vget_low_s8(w[g]), vget_low_s8(four));
        int16x8_t last16 = vmull_high_s8(w[g], four);
        for (int i = g + 1; i < g + n_fit; i++) {
            four = four_bytes(x + 4 * i);
            first16 = vmlal_s8(first16, vget_low_s8(w[i]), vget_low_s8(four));
            last16 = vmlal_high_s8(last16, w[i], four);
        }
        first = vpadalq_s16(first, first16);
        last = vpadalq_s16(last, last16);
    }
    return vaddq_s32(sum, vpaddq_s32(first, last));
}
#endif

/* n_groups groups of weights by T tokens' columns, added to what is in sum: one sum a token, lane =
 * row; paired: two sums a pair, rows 0 and 1, then 2 and 3, lane = row, token. */
VT_INLINE void dot_tokens(vt_format format, int T, const int8x16_t *w, operand x, int n_groups,
                          int32x4_t *sum)
{
#if defined(__ARM_FEATURE_MATMUL_INT8)
    for (int p = 0; is_paired(T) && p < T / 2; p++)
        for (int g = 0; g < n_groups; g += 2) {
            const int8x16_t columns = vld1q_s8(x.q + (size_t)p * x.stride + 8 * g);
            sum[2 * p] = vmmlaq_s32(sum[2 * p], w[g], columns);
            sum[2 * p + 1] = vmmlaq_s32(sum[2 * p + 1], w[g + 1], columns);
        }
    if (is_paired(T)) return;
#endif
    for (int t = 0; t < T; t++)
        sum[t] = dot_rows(format, sum[t], w, x.q + (size_t)t * x.stride, n_groups);
}

/* Columns `columns` further. */
VT_INLINE operand further(operand x, int T, size_t columns)
{
    return (operand){x.q + (is_paired(T) ? 2 * columns : columns), x.stride};
}

/* What a factor of each row is for the sums of dot_tokens: sum i takes v[i % 2]. */
typedef struct {
    int32x4_t v[2];
} row_factor;

/* The factors from their bytes: byte k of every lane, as a number of 0 to 255, or, shifted to the
 * top and back, of -128 to 127. */
VT_INLINE row_factor factor_of_byte(int T, uint8x16_t bytes, int k, bool is_signed)
{
    row_factor f;
    for (int i = 0; i < 2; i++) {
        const bool paired = is_paired(T);
        uint8x16_t index = vdupq_n_u8(255); /* gives 0 */
        for (int lane = 0; lane < 4; lane++) {
            const int row = paired ? 2 * i + lane / 2 : lane;
            index[4 * lane + (is_signed ? 3 : 0)] = (uint8_t)(4 * row + k);
        }
        f.v[i] = vreinterpretq_s32_u8(vqtbl1q_u8(bytes, index));
        if (is_signed) f.v[i] = vshrq_n_s32(f.v[i], 24);
    }
    return f;
}

/* From the order of dot_tokens to one sum a token, lane = row. */
VT_INLINE void order_by_token(int T, int32x4_t *sum)
{
    for (int t = 0; is_paired(T) && t < T; t += 2) {
        const int32x4_t first = sum[t], last = sum[t + 1];
        sum[t] = vuzp1q_s32(first, last);
        sum[t + 1] = vuzp2q_s32(first, last);
    }
}

/* -offset times a sum of activations. */
VT_INLINE int32x4_t start_value(int offset, const int16_t *sum)
{
    if (offset == 0) return vdupq_n_s32(0);
    return vmull_s16(vld1_dup_s16(sum), vdup_n_s16((int16_t)-offset));
}

/* ---- the products of a tile ---- */

/* How far ahead of use weights that come from memory are asked for: an early figure of avx512.c; no
 * Arm machine was at hand. */
enum { AHEAD_BYTES = 24 << 10 };

VT_INLINE void prefetch_ahead(bool is_fresh, const uint8_t *quants, size_t quant_bytes,
                              const uint8_t *scales, size_t scale_bytes)
{
    if (!is_fresh) return;
#pragma GCC unroll 8
    for (size_t i = 0; i < quant_bytes; i += 64) __builtin_prefetch(quants + AHEAD_BYTES + i, 0, 2);
#pragma GCC unroll 4
    for (size_t i = 0; i < scale_bytes; i += 64)
        __builtin_prefetch(scales + AHEAD_BYTES / 8 + i, 0, 2);
}

VT_INLINE float32x4_t scale_32(vt_format format, const uint8_t *s, int h)
{
    if (format != VT_FORMAT_MXFP4) return load_halves(s, h);
    /* 2^(e - 128): (e - 1) << 23, and the two subnormal cases */
    uint32_t four;
    memcpy(&four, s + 4 * h, 4);
    const uint16x8_t wide = vmovl_u8(vcreate_u8(four));
    const uint32x4_t e = vmovl_u16(vget_low_u16(wide));
    const uint32x4_t normal = vshlq_n_u32(vsubq_u32(e, vdupq_n_u32(1)), 23);
    const uint32x4_t tiny = vshlq_u32(vdupq_n_u32(0x00200000), vreinterpretq_s32_u32(e));
    return vreinterpretq_f32_u32(vbslq_u32(vcltq_u32(e, vdupq_n_u32(2)), tiny, normal));
}

/* Where the blocks of a tile and their activations lie. */
typedef struct {
    const uint8_t *quants, *scales;
    const float *d;       /* token t, block b: d[t * n_blocks + b] */
    const int16_t *sum16; /* [t][b][16], 256-block formats */
    const int16_t *sum32; /* [t][b][8 or 1] */
    size_t n_blocks;
} tile_view;

VT_INLINE tile_view view_tile(vt_format format, size_t block, const uint8_t *tile,
                              const vt_activations *a, uint32_t i_first)
{
    const size_t n_blocks = a->n_cols / block, first = (size_t)i_first * n_blocks;
    return (tile_view){.quants = tile,
                       .scales = tile + n_blocks * vt_block_quants(format),
                       .d = a->d + first,
                       .sum16 = block == 256 ? a->sum16 + first * 16 : NULL,
                       .sum32 = a->sum32 + first * (block / 32),
                       .n_blocks = n_blocks};
}

typedef float32x4_t tile_sums[MOST_TOKENS][QUARTERS];

VT_INLINE void store_sums(int T, tile_sums acc, float *y, size_t y_stride)
{
    for (int t = 0; t < T; t++)
        for (int h = 0; h < QUARTERS; h++) vst1q_f32(y + (size_t)t * y_stride + 4 * h, acc[t][h]);
}

/* Block b of quarter h. */
VT_INLINE void block_32(vt_format format, int T, const tile_view *v, size_t b, int h, operand x,
                        float32x4_t acc[MOST_TOKENS])
{
    const uint8_t *s = v->scales + b * vt_block_scales(format);
    int8x16_t w[GROUPS];
    int32x4_t dot[MOST_TOKENS];
    decode_32(format, T, v->quants + b * vt_block_quants(format), h, w);
    for (int t = 0; t < T; t++)
        dot[t] = start_value(offset_left(format, T), v->sum32 + (size_t)t * v->n_blocks + b);
    dot_tokens(format, T, w, x, GROUPS, dot);
    order_by_token(T, dot);
    const float32x4_t dw = scale_32(format, s, h);
    for (int t = 0; t < T; t++) {
        const size_t i = (size_t)t * v->n_blocks + b;
        acc[t] = vfmaq_f32(acc[t], vcvtq_f32_s32(dot[t]), vmulq_n_f32(dw, v->d[i]));
        if (format == VT_FORMAT_Q4_1) {
            const float32x4_t mw = load_halves(s + 32, h);
            acc[t] = vfmaq_n_f32(acc[t], vmulq_n_f32(mw, v->d[i]), (float)v->sum32[i]);
        }
    }
}

VT_INLINE void tile_32(vt_format format, int T, bool is_fresh, const uint8_t *tile,
                       const vt_activations *a, uint32_t i_first, float *y, size_t y_stride)
{
    const tile_view v = view_tile(format, 32, tile, a, i_first);
    const size_t quants = vt_block_quants(format), scale_bytes = vt_block_scales(format);
    tile_sums acc = {0};
    pair_buffer buffer;
    for (size_t first = 0; first < v.n_blocks; first += 8) {
        const size_t n = v.n_blocks - first < 8 ? v.n_blocks - first : 8;
        const operand x = take_columns(T, a, i_first, first * 32, n * 32, buffer);
        prefetch_ahead(is_fresh, v.quants + first * quants, n * quants,
                       v.scales + first * scale_bytes, n * scale_bytes);
        for (int h = 0; h < QUARTERS; h++) {
            float32x4_t sum[MOST_TOKENS];
            for (int t = 0; t < T; t++) sum[t] = acc[t][h];
            for (size_t b = 0; b < n; b++)
                block_32(format, T, &v, first + b, h, further(x, T, b * 32), sum);
            for (int t = 0; t < T; t++) acc[t][h] = sum[t];
        }
    }
    store_sums(T, acc, y, y_stride);
}

/* Lane r: the four 6-bit scales (or minima) 4k .. 4k+3 of row r, a byte each. */
VT_INLINE uint8x16_t six_bits(const uint8_t *s, int k, bool is_min, int h)
{
    uint8x16_t own = load_group(s, is_min ? 1 : 0, h);
    if (k == 0) return vandq_u8(own, vdupq_n_u8(63));
    uint8x16_t low = load_group(s, 2, h);
    low = is_min ? vshrq_n_u8(low, 4) : vandq_u8(low, vdupq_n_u8(15));
    return vorrq_u8(low, vandq_u8(vshrq_n_u8(own, 2), vdupq_n_u8(0x30)));
}

/* Bytes k and k + 1 of every lane, 16 bits each: 4 rows of one minimum, then of the next. */
VT_INLINE int16x8_t two_minima(uint8x16_t bytes, int k)
{
    uint8x16_t index = vdupq_n_u8(255);
    for (int lane = 0; lane < 8; lane++) index[2 * lane] = (uint8_t)(4 * (lane % 4) + k + lane / 4);
    return vreinterpretq_s16_u8(vqtbl1q_u8(bytes, index));
}

/* Sum over the 8 sub-blocks of minimum * sum of activations; minima as two_minima gives them. */
VT_INLINE int32x4_t sum_minima(const int16x8_t minima[4], const int16_t *sums)
{
    const int16x8_t s = vld1q_s16(sums);
    int32x4_t sum = vmull_laneq_s16(vget_low_s16(minima[0]), s, 0);
    sum = vmlal_high_laneq_s16(sum, minima[0], s, 1);
    sum = vmlal_laneq_s16(sum, vget_low_s16(minima[1]), s, 2);
    sum = vmlal_high_laneq_s16(sum, minima[1], s, 3);
    sum = vmlal_laneq_s16(sum, vget_low_s16(minima[2]), s, 4);
    sum = vmlal_high_laneq_s16(sum, minima[2], s, 5);
    sum = vmlal_laneq_s16(sum, vget_low_s16(minima[3]), s, 6);
    return vmlal_high_laneq_s16(sum, minima[3], s, 7);
}

VT_INLINE void block_45_k(vt_format format, int T, const tile_view *v, size_t b, int h, operand x,
                          tile_sums acc)
{
    const uint8_t *q = v->quants + b * vt_block_quants(format),
                  *s = v->scales + b * VT_Q45_K_SCALES;
    const uint8x16_t scales[2] = {six_bits(s + 64, 0, false, h), six_bits(s + 64, 1, false, h)};
    int32x4_t isum[MOST_TOKENS];
    int8x16_t w[GROUPS];
    for (int t = 0; t < T; t++) isum[t] = vdupq_n_s32(0);
#pragma GCC unroll 8
    for (int j = 0; j < 8; j++) {
        int32x4_t dot[MOST_TOKENS];
        for (int t = 0; t < T; t++) dot[t] = vdupq_n_s32(0);
        decode_256(format, T, q, j, h, w);
        dot_tokens(format, T, w, further(x, T, (size_t)j * 32), GROUPS, dot);
        const row_factor scale = factor_of_byte(T, scales[j / 4], j % 4, false);
        for (int t = 0; t < T; t++) isum[t] = vmlaq_s32(isum[t], dot[t], scale.v[t % 2]);
    }
    order_by_token(T, isum);
    int16x8_t minima[4];
    for (int p = 0; p < 4; p++) minima[p] = two_minima(six_bits(s + 64, p / 2, true, h), p % 2 * 2);
    const float32x4_t dw = load_halves(s, h), dmin = load_halves(s + 32, h);
    for (int t = 0; t < T; t++) {
        const size_t i = (size_t)t * v->n_blocks + b;
        const float32x4_t imin = vcvtq_f32_s32(sum_minima(minima, v->sum32 + i * 8));
        const float32x4_t sum = vcvtq_f32_s32(isum[t]);
        acc[t][h] = vfmaq_f32(acc[t][h], sum, vmulq_n_f32(dw, v->d[i]));
        acc[t][h] = vfmsq_f32(acc[t][h], imin, vmulq_n_f32(dmin, v->d[i]));
    }
}

VT_INLINE void block_6_k(vt_format format, int T, const tile_view *v, size_t b, int h, operand x,
                         tile_sums acc)
{
    const uint8_t *q = v->quants + b * VT_Q6_K_QUANTS, *s = v->scales + b * VT_Q6_K_SCALES;
    int32x4_t isum[MOST_TOKENS];
    int8x16_t w[GROUPS];
    for (int t = 0; t < T; t++) isum[t] = vdupq_n_s32(0);
#pragma GCC unroll 8
    for (int j = 0; j < 8; j++) {
        decode_256(format, T, q, j, h, w);
        const uint8x16_t four = load_group(s, j / 2, h);
        for (int e = 0; e < 2; e++) { /* 16 columns a scale */
            int32x4_t dot[MOST_TOKENS];
            for (int t = 0; t < T; t++)
                dot[t] = start_value(offset_left(format, T),
                                     v->sum16 + ((size_t)t * v->n_blocks + b) * 16 + 2 * j + e);
            dot_tokens(format, T, w + 4 * e, further(x, T, (size_t)(j * 32 + e * 16)), 4, dot);
            const row_factor scale = factor_of_byte(T, four, j % 2 * 2 + e, true);
            for (int t = 0; t < T; t++) isum[t] = vmlaq_s32(isum[t], dot[t], scale.v[t % 2]);
        }
    }
    order_by_token(T, isum);
    const float32x4_t dw = load_halves(s + 256, h);
    for (int t = 0; t < T; t++) {
        const float32x4_t dx = vmulq_n_f32(dw, v->d[(size_t)t * v->n_blocks + b]);
        acc[t][h] = vfmaq_f32(acc[t][h], vcvtq_f32_s32(isum[t]), dx);
    }
}

VT_INLINE void tile_256(vt_format format, int T, bool is_fresh, const uint8_t *tile,
                        const vt_activations *a, uint32_t i_first, float *y, size_t y_stride)
{
    const tile_view v = view_tile(format, 256, tile, a, i_first);
    const size_t quants = vt_block_quants(format), scale_bytes = vt_block_scales(format);
    tile_sums acc = {0};
    pair_buffer buffer;
    for (size_t b = 0; b < v.n_blocks; b++) {
        operand x = take_columns(T, a, i_first, b * 256, 256, buffer);
        prefetch_ahead(is_fresh, v.quants + b * quants, quants, v.scales + b * scale_bytes,
                       scale_bytes);
        for (int h = 0; h < QUARTERS; h++) {
            VT_FORGET(x.q); /* or the activations are loaded before the loop, and spilled */
            if (format == VT_FORMAT_Q6_K) block_6_k(format, T, &v, b, h, x, acc);
            else block_45_k(format, T, &v, b, h, x, acc);
        }
    }
    store_sums(T, acc, y, y_stride);
}

#define tile_45_k tile_256
#define tile_6_k  tile_256

#define DEFINE_TILE VT_DEFINE_TILE_8_4_2_1

#include "kernels/table_body.h"
