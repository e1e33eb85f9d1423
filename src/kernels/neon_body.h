/* neon_body.h -- the kernels for aarch64: NEON, with the dot-product instructions where the
 * including file is compiled for them. Included once by neon.c and once by neon_dotprod.c. Same
 * bits as scalar.c.
 *
 * The integer tile product: a 16-byte register holds 4 rows x 4 columns, so a tile goes as four
 * quarters of 4 rows. Weights and activations are both signed here, so no offset has to be taken
 * off. With dotprod, sdot adds four products into each int32 lane; without it, smull and pairwise
 * additions do the same exactly. */
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

#include "kernels/lanes_body.h"

/* ---- integer tile products: 4 rows at a time ---- */

enum { GROUPS = 8, MAX_TOKENS = 4 };

/* Quarter h (4 rows) of 64-byte group i. */
VT_INLINE uint8x16_t load_group(const uint8_t *groups, int i, int h)
{
    return vld1q_u8(groups + i * 64 + h * 16);
}

VT_INLINE float32x4_t load_halves(const uint8_t *halves, int h)
{
    return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(halves + h * 8)));
}

VT_INLINE int8x16_t four_bytes(const int8_t *q)
{
    int32_t bytes;
    memcpy(&bytes, q, 4);
    return vreinterpretq_s8_s32(vdupq_n_s32(bytes));
}

VT_INLINE int32x4_t dot_group(int32x4_t sum, int8x16_t w, int8x16_t x)
{
#if defined(__ARM_FEATURE_DOTPROD)
    return vdotq_s32(sum, w, x);
#else
    int16x8_t low = vmull_s8(vget_low_s8(w), vget_low_s8(x)), high = vmull_high_s8(w, x);
    return vaddq_s32(sum, vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high)));
#endif
}

VT_INLINE int32x4_t dot_groups(const int8x16_t *w, const int8_t *x, int n_groups)
{
    int32x4_t sum = vdupq_n_s32(0);
    for (int g = 0; g < n_groups; g++) sum = dot_group(sum, w[g], four_bytes(x + 4 * g));
    return sum;
}

VT_INLINE int8x16_t minus(uint8x16_t w, int offset)
{
    return vsubq_s8(vreinterpretq_s8_u8(w), vdupq_n_s8((int8_t)offset));
}

/* Bit `bit` of every byte, as 16. */
VT_INLINE uint8x16_t bit_as_16(uint8x16_t high, int bit)
{
    return vshlq_n_u8(vandq_u8(vshlq_u8(high, vdupq_n_s8((int8_t)-bit)), vdupq_n_u8(1)), 4);
}

VT_INLINE void decode_32(vt_format format, const uint8_t *q, int h, int8x16_t w[GROUPS])
{
    const uint8x16_t low = vdupq_n_u8(15);
    if (format == VT_FORMAT_Q8_0) {
        for (int g = 0; g < GROUPS; g++) w[g] = vreinterpretq_s8_u8(load_group(q, g, h));
        return;
    }
    uint8x16_t nibbles[GROUPS];
    for (int g = 0; g < 4; g++) {
        uint8x16_t raw = load_group(q, g, h);
        nibbles[g] = vandq_u8(raw, low);
        nibbles[g + 4] = vshrq_n_u8(raw, 4);
    }
    const uint8x16_t mxfp4 = vld1q_u8(vt_mxfp4_plus_12);
    for (int g = 0; g < GROUPS; g++) {
        if (format == VT_FORMAT_MXFP4) w[g] = minus(vqtbl1q_u8(mxfp4, nibbles[g]), 12);
        else if (format == VT_FORMAT_Q5_0)
            w[g] = minus(vorrq_u8(nibbles[g], bit_as_16(load_group(q, 4, h), g)), 16);
        else w[g] = minus(nibbles[g], format == VT_FORMAT_Q4_0 ? 8 : 0);
    }
}

VT_INLINE void decode_256(vt_format format, const uint8_t *q, int j, int h, int8x16_t w[GROUPS])
{
    const uint8x16_t low = vdupq_n_u8(15);
    for (int g = 0; g < GROUPS; g++) {
        if (format == VT_FORMAT_Q6_K) {
            const int half = j / 4, i = j % 4;
            uint8x16_t raw = load_group(q + half * 1024 + (i & 1) * 512, g, h);
            uint8x16_t high = load_group(q + 2048 + half * 512, g, h);
            raw = i & 2 ? vshrq_n_u8(raw, 4) : vandq_u8(raw, low);
            high = vandq_u8(vshlq_u8(high, vdupq_n_s8((int8_t)(-2 * i))), vdupq_n_u8(3));
            w[g] = minus(vorrq_u8(raw, vshlq_n_u8(high, 4)), 32);
            continue;
        }
        uint8x16_t raw = load_group(q + j / 2 * 512, g, h);
        raw = j & 1 ? vshrq_n_u8(raw, 4) : vandq_u8(raw, low);
        if (format == VT_FORMAT_Q5_K)
            raw = vorrq_u8(raw, bit_as_16(load_group(q + VT_Q4_K_QUANTS, g, h), j));
        w[g] = vreinterpretq_s8_u8(raw);
    }
}

VT_INLINE float32x4_t scale_32(vt_format format, const uint8_t *s, int h)
{
    if (format != VT_FORMAT_MXFP4) return load_halves(s, h);
    uint32_t bits[4]; /* 2^(e - 128); subnormal below e = 2 */
    for (int r = 0; r < 4; r++) {
        uint8_t e = s[h * 4 + r];
        bits[r] = e < 2 ? 0x00200000u << e : (uint32_t)(e - 1) << 23;
    }
    return vreinterpretq_f32_u32(vld1q_u32(bits));
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
    float32x4_t acc[MAX_TOKENS];
    for (int t = 0; t < T; t++) acc[t] = vdupq_n_f32(0.0f);
    for (size_t b = 0; b < n_blocks; b++) {
        int8x16_t w[GROUPS];
        decode_32(format, tile + b * quants, h, w);
        float32x4_t dw = scale_32(format, scales + b * scale_bytes, h);
        for (int t = 0; t < T; t++) {
            const size_t i = (size_t)t * n_blocks + b;
            int32x4_t dot = dot_groups(w, x + i * 32, GROUPS);
            float32x4_t dx = vdupq_n_f32(d[i]);
            acc[t] = vfmaq_f32(acc[t], vcvtq_f32_s32(dot), vmulq_f32(dw, dx));
            if (format == VT_FORMAT_Q4_1) {
                float32x4_t mw = load_halves(scales + b * scale_bytes + 32, h);
                acc[t] = vfmaq_f32(acc[t], vdupq_n_f32((float)sums[i]), vmulq_f32(mw, dx));
            }
        }
    }
    for (int t = 0; t < T; t++) vst1q_f32(y + (size_t)t * y_stride + h * 4, acc[t]);
}

/* Lane r: the four 6-bit scales (or minima) 4k .. 4k+3 of row r, a byte each. */
VT_INLINE uint32x4_t six_bits(const uint8_t *s, int k, bool is_min, int h)
{
    uint8x16_t own = load_group(s, is_min ? 1 : 0, h);
    if (k == 0) return vreinterpretq_u32_u8(vandq_u8(own, vdupq_n_u8(63)));
    uint8x16_t low = load_group(s, 2, h);
    low = is_min ? vshrq_n_u8(low, 4) : vandq_u8(low, vdupq_n_u8(15));
    return vreinterpretq_u32_u8(vorrq_u8(low, vandq_u8(vshrq_n_u8(own, 2), vdupq_n_u8(0x30))));
}

VT_INLINE int32x4_t byte_of_lanes(uint32x4_t v, int k)
{
    return vreinterpretq_s32_u32(vandq_u32(vshlq_u32(v, vdupq_n_s32(-8 * k)), vdupq_n_u32(255)));
}

VT_INLINE void tile_45_k(vt_format format, int T, int h, const uint8_t *tile,
                         const vt_activations *a, uint32_t i_first, float *y, size_t y_stride)
{
    const size_t n_blocks = a->n_cols / 256;
    const size_t quants = vt_block_quants(format);
    const uint8_t *scales = tile + n_blocks * quants;
    const int8_t *x = a->q + (size_t)i_first * a->n_cols;
    const float *d = a->d + (size_t)i_first * n_blocks;
    const int16_t *sums = a->sum32 + (size_t)i_first * n_blocks * 8;
    float32x4_t acc[MAX_TOKENS];
    for (int t = 0; t < T; t++) acc[t] = vdupq_n_f32(0.0f);
    for (size_t b = 0; b < n_blocks; b++) {
        const uint8_t *q = tile + b * quants, *s = scales + b * VT_Q45_K_SCALES;
        int32x4_t isum[MAX_TOKENS], imin[MAX_TOKENS];
        int8x16_t w[GROUPS];
        for (int t = 0; t < T; t++) isum[t] = imin[t] = vdupq_n_s32(0);
#pragma GCC unroll 8
        for (int j = 0; j < 8; j++) {
            decode_256(format, q, j, h, w);
            int32x4_t scale = byte_of_lanes(six_bits(s + 64, j / 4, false, h), j % 4);
            int32x4_t min = byte_of_lanes(six_bits(s + 64, j / 4, true, h), j % 4);
            for (int t = 0; t < T; t++) {
                const size_t i = ((size_t)t * n_blocks + b) * 8 + (size_t)j;
                isum[t] = vmlaq_s32(isum[t], dot_groups(w, x + i * 32, GROUPS), scale);
                imin[t] = vmlaq_s32(imin[t], vdupq_n_s32(sums[i]), min);
            }
        }
        float32x4_t dw = load_halves(s, h), dmin = load_halves(s + 32, h);
        for (int t = 0; t < T; t++) {
            float32x4_t dx = vdupq_n_f32(d[(size_t)t * n_blocks + b]);
            acc[t] = vfmaq_f32(acc[t], vcvtq_f32_s32(isum[t]), vmulq_f32(dw, dx));
            acc[t] = vfmsq_f32(acc[t], vcvtq_f32_s32(imin[t]), vmulq_f32(dmin, dx));
        }
    }
    for (int t = 0; t < T; t++) vst1q_f32(y + (size_t)t * y_stride + h * 4, acc[t]);
}

VT_INLINE int32x4_t signed_byte_of_lanes(uint8x16_t v, int k)
{
    return vshrq_n_s32(vshlq_s32(vreinterpretq_s32_u8(v), vdupq_n_s32(24 - 8 * k)), 24);
}

VT_INLINE void tile_6_k(vt_format format, int T, int h, const uint8_t *tile,
                        const vt_activations *a, uint32_t i_first, float *y, size_t y_stride)
{
    const size_t n_blocks = a->n_cols / 256;
    const uint8_t *scales = tile + n_blocks * VT_Q6_K_QUANTS;
    const int8_t *x = a->q + (size_t)i_first * a->n_cols;
    const float *d = a->d + (size_t)i_first * n_blocks;
    float32x4_t acc[MAX_TOKENS];
    for (int t = 0; t < T; t++) acc[t] = vdupq_n_f32(0.0f);
    for (size_t b = 0; b < n_blocks; b++) {
        const uint8_t *q = tile + b * VT_Q6_K_QUANTS, *s = scales + b * VT_Q6_K_SCALES;
        int32x4_t isum[MAX_TOKENS];
        int8x16_t w[GROUPS];
        for (int t = 0; t < T; t++) isum[t] = vdupq_n_s32(0);
#pragma GCC unroll 8
        for (int j = 0; j < 8; j++) {
            decode_256(format, q, j, h, w);
            uint8x16_t four = load_group(s, j / 2, h);
            for (int e = 0; e < 2; e++) {
                int32x4_t scale = signed_byte_of_lanes(four, j % 2 * 2 + e);
                for (int t = 0; t < T; t++) {
                    const int8_t *xt =
                        x + ((size_t)t * n_blocks + b) * 256 + (size_t)j * 32 + (size_t)e * 16;
                    isum[t] = vmlaq_s32(isum[t], dot_groups(w + 4 * e, xt, 4), scale);
                }
            }
        }
        float32x4_t dw = load_halves(s + 256, h);
        for (int t = 0; t < T; t++) {
            float32x4_t dx = vdupq_n_f32(d[(size_t)t * n_blocks + b]);
            acc[t] = vfmaq_f32(acc[t], vcvtq_f32_s32(isum[t]), vmulq_f32(dw, dx));
        }
    }
    for (int t = 0; t < T; t++) vst1q_f32(y + (size_t)t * y_stride + h * 4, acc[t]);
}

/* Four tokens at a time, then singly; each width is its own unrolled copy. */
#define DEFINE_TILE(name, body, format)                                               \
    static void name(const uint8_t *tile, const vt_activations *a, uint32_t i_first,  \
                     uint32_t n_tokens, float *y, size_t y_stride)                    \
    {                                                                                 \
        uint32_t t = 0;                                                               \
        for (; t + 4 <= n_tokens; t += 4)                                             \
            for (int h = 0; h < 4; h++)                                               \
                body(format, 4, h, tile, a, i_first + t, y + t * y_stride, y_stride); \
        for (; t < n_tokens; t++)                                                     \
            for (int h = 0; h < 4; h++)                                               \
                body(format, 1, h, tile, a, i_first + t, y + t * y_stride, y_stride); \
    }

#include "kernels/table_body.h"
