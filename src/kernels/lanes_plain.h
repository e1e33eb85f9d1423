/* lanes_plain.h -- lanes16 as sixteen floats and loops: the definition of each operation. */
#ifndef VT_KERNELS_LANES_PLAIN_H
#define VT_KERNELS_LANES_PLAIN_H

#include "kernels/math.h"

typedef struct {
    float v[16];
} lanes16;

#define FOR_LANES for (int i = 0; i < 16; i++)

static inline lanes16 lanes_set(float x)
{
    lanes16 r;
    FOR_LANES r.v[i] = x;
    return r;
}

static inline lanes16 lanes_load(const float *x)
{
    lanes16 r;
    memcpy(r.v, x, sizeof r.v);
    return r;
}

static inline void lanes_store(float *y, lanes16 a)
{
    memcpy(y, a.v, sizeof a.v);
}

static inline lanes16 lanes_load_f16(const uint16_t *h)
{
    lanes16 r;
    FOR_LANES r.v[i] = vt_f16_to_f32(h[i]);
    return r;
}

static inline lanes16 lanes_load_bf16(const uint16_t *h)
{
    lanes16 r;
    FOR_LANES r.v[i] = vt_bf16_to_f32(h[i]);
    return r;
}

static inline void lanes_store_f16(uint16_t *h, lanes16 a)
{
    FOR_LANES h[i] = vt_f32_to_f16(a.v[i]);
}

#define DEFINE_LANES(name, expression)               \
    static inline lanes16 name(lanes16 a, lanes16 b) \
    {                                                \
        lanes16 r;                                   \
        FOR_LANES r.v[i] = (expression);             \
        return r;                                    \
    }
DEFINE_LANES(lanes_add, a.v[i] + b.v[i])
DEFINE_LANES(lanes_sub, a.v[i] - b.v[i])
DEFINE_LANES(lanes_mul, a.v[i] * b.v[i])
DEFINE_LANES(lanes_div, a.v[i] / b.v[i])
/* As the x86 instructions: the second operand when either is a NaN or both are zero. */
DEFINE_LANES(lanes_max, a.v[i] > b.v[i] ? a.v[i] : b.v[i])
DEFINE_LANES(lanes_min, a.v[i] < b.v[i] ? a.v[i] : b.v[i])
#undef DEFINE_LANES

static inline lanes16 lanes_fma(lanes16 a, lanes16 b, lanes16 c)
{
    lanes16 r;
    FOR_LANES r.v[i] = fmaf(a.v[i], b.v[i], c.v[i]);
    return r;
}

static inline lanes16 lanes_abs(lanes16 a)
{
    lanes16 r;
    FOR_LANES r.v[i] = fabsf(a.v[i]);
    return r;
}

/* Sixteen pairs of int16, and sixteen int32 that gather the products of pairs. */
typedef struct {
    int16_t v[16][2];
} pairs16;

typedef struct {
    int32_t v[16];
} ints16;

static inline ints16 ints_zero(void)
{
    return (ints16){{0}};
}

static inline pairs16 pairs_load_i8(const int8_t *q) /* 32 bytes */
{
    pairs16 r;
    FOR_LANES
    {
        r.v[i][0] = q[2 * i];
        r.v[i][1] = q[2 * i + 1];
    }
    return r;
}

static inline pairs16 pairs_set(const int16_t pair[2])
{
    pairs16 r;
    FOR_LANES memcpy(r.v[i], pair, sizeof r.v[i]);
    return r;
}

/* sum + a[0] * b[0] + a[1] * b[1], exact as long as it fits */
static inline ints16 ints_dot(ints16 sum, pairs16 a, pairs16 b)
{
    FOR_LANES sum.v[i] += a.v[i][0] * b.v[i][0] + a.v[i][1] * b.v[i][1];
    return sum;
}

static inline lanes16 lanes_from_ints(ints16 a)
{
    lanes16 r;
    FOR_LANES r.v[i] = (float)a.v[i];
    return r;
}

/* Half to even; what is out of range (there is no such thing in a sound tile) is clamped. */
static inline int16_t round_to_i16(float x)
{
    const float r = rintf(x);
    return (int16_t)(r < 32767.0f ? r > -32767.0f ? r : -32767.0f : 32767.0f);
}

/* Pair i of q is (a[i], b[i]), rounded half to even; both within +-32767. */
static inline void lanes_store_pairs(int16_t q[32], lanes16 a, lanes16 b)
{
    FOR_LANES
    {
        q[2 * i] = round_to_i16(a.v[i]);
        q[2 * i + 1] = round_to_i16(b.v[i]);
    }
}

/* The tree of rule 7: ((0+8)+(4+12)) ... */
static inline float lanes_tree_sum(lanes16 a)
{
    for (int step = 8; step > 0; step /= 2)
        for (int i = 0; i < step; i++) a.v[i] = a.v[i] + a.v[i + step];
    return a.v[0];
}

static inline float lanes_largest(lanes16 a)
{
    for (int step = 8; step > 0; step /= 2)
        for (int i = 0; i < step; i++) a.v[i] = a.v[i] > a.v[i + step] ? a.v[i] : a.v[i + step];
    return a.v[0];
}

/* p * 2^n in two steps, n the integer that was added to the magic number in t (see vt_expf). */
static inline lanes16 lanes_scale_by_power(lanes16 p, lanes16 t)
{
    FOR_LANES
    {
        uint32_t bits, first, second;
        memcpy(&bits, &t.v[i], 4);
        int32_t n = (int32_t)(bits - 0x4B400000u);
        int32_t half = n >> 1;
        first = (uint32_t)(half + 127) << 23;
        second = (uint32_t)(n - half + 127) << 23;
        float f, s;
        memcpy(&f, &first, 4);
        memcpy(&s, &second, 4);
        p.v[i] = p.v[i] * f * s;
    }
    return p;
}

/* Round half to even, clamp to +-127, store, and return the sum. */
static inline int32_t lanes_round_to_i8(lanes16 a, int8_t *q)
{
    int32_t sum = 0;
    FOR_LANES
    {
        float r = rintf(a.v[i]);
        int32_t n = (int32_t)(r > 127.0f ? 127.0f : r < -127.0f ? -127.0f : r);
        q[i] = (int8_t)n;
        sum += n;
    }
    return sum;
}

#undef FOR_LANES

#endif
