/* lanes_body.h -- the kernels whose definition is "16 lanes at a time", written once over the type
 * lanes16 and compiled in each instruction set's file, which defines lanes16 and its operations
 * first (lanes_plain.h, or intrinsics). Every operation on lanes16 is an IEEE operation on each
 * lane, so the bits cannot depend on how it is carried out.
 *
 * Not a header for anyone else: it defines static functions and is included exactly once by the
 * file of each instruction set. */

/* See vt_expf in math.c: the same operations, lane by lane. */
static inline lanes16 lanes_exp(lanes16 x)
{
    const lanes16 magic = lanes_set(12582912.0f);
    x = lanes_min(lanes_max(x, lanes_set(-104.0f)), lanes_set(89.0f));
    lanes16 t = lanes_fma(x, lanes_set(1.44269504088896341f), magic);
    lanes16 n = lanes_sub(t, magic);
    lanes16 r = lanes_fma(n, lanes_set(-0.693359375f), x);
    r = lanes_fma(n, lanes_set(2.12194440e-4f), r);
    lanes16 p = lanes_set(1.9875691500e-4f);
    p = lanes_fma(p, r, lanes_set(1.3981999507e-3f));
    p = lanes_fma(p, r, lanes_set(8.3334519073e-3f));
    p = lanes_fma(p, r, lanes_set(4.1665795894e-2f));
    p = lanes_fma(p, r, lanes_set(1.6666665459e-1f));
    p = lanes_fma(p, r, lanes_set(5.0000001201e-1f));
    p = lanes_fma(p, lanes_mul(r, r), r);
    p = lanes_add(p, lanes_set(1.0f));
    return lanes_scale_by_power(p, t);
}

static inline float exp_one(float x)
{
    float v[16];
    lanes_store(v, lanes_exp(lanes_set(x)));
    return v[0];
}

static bool rms_norm(const float *x, const float *weight, uint32_t n, float eps, float *y)
{
    lanes16 squares = lanes_set(0.0f);
    for (uint32_t i = 0; i < n; i += 16) {
        lanes16 v = lanes_load(x + i);
        squares = lanes_fma(v, v, squares);
    }
    float mean = lanes_tree_sum(squares) / (float)n;
    if (!(mean <= FLT_MAX)) return false;
    lanes16 inverse = lanes_set(1.0f / sqrtf(mean + eps));
    for (uint32_t i = 0; i < n; i += 16)
        lanes_store(y + i,
                    lanes_mul(lanes_mul(lanes_load(x + i), inverse), lanes_load(weight + i)));
    return true;
}

/* Elementwise kernels take any n: whole groups of 16, then the rest through a padded group. */
#define FOR_EACH_16(n, body)             \
    do {                                 \
        uint32_t i = 0;                  \
        for (; i + 16 <= (n); i += 16) { \
            body(i, 16);                 \
        }                                \
        if (i < (n)) {                   \
            body(i, (n) - i);            \
        }                                \
    } while (0)

static inline lanes16 load_some(const float *x, uint32_t n)
{
    if (n == 16) return lanes_load(x);
    float padded[16] = {0};
    memcpy(padded, x, n * sizeof *x);
    return lanes_load(padded);
}

static inline void store_some(float *y, lanes16 v, uint32_t n)
{
    if (n == 16) {
        lanes_store(y, v);
        return;
    }
    float padded[16];
    lanes_store(padded, v);
    memcpy(y, padded, n * sizeof *y);
}

static void add(float *y, const float *x, uint32_t n)
{
#define BODY(i, k) store_some(y + (i), lanes_add(load_some(y + (i), k), load_some(x + (i), k)), k)
    FOR_EACH_16(n, BODY);
#undef BODY
}

static void add_scaled(float *y, const float *x, float weight, uint32_t n)
{
    lanes16 w = lanes_set(weight);
#define BODY(i, k) \
    store_some(y + (i), lanes_fma(w, load_some(x + (i), k), load_some(y + (i), k)), k)
    FOR_EACH_16(n, BODY);
#undef BODY
}

/* x / (1 + exp(-alpha x)) */
static inline lanes16 lanes_swish(lanes16 x, lanes16 minus_alpha)
{
    lanes16 e = lanes_exp(lanes_mul(minus_alpha, x));
    return lanes_div(x, lanes_add(lanes_set(1.0f), e));
}

static void silu_mul(const float *gate, const float *up, uint32_t n, float *y)
{
    lanes16 minus_one = lanes_set(-1.0f);
#define BODY(i, k) \
    store_some(    \
        y + (i),   \
        lanes_mul(lanes_swish(load_some(gate + (i), k), minus_one), load_some(up + (i), k)), k)
    FOR_EACH_16(n, BODY);
#undef BODY
}

static inline lanes16 swiglu_clamped_16(lanes16 g, lanes16 u, float alpha, float limit)
{
    g = lanes_min(g, lanes_set(limit));
    u = lanes_max(lanes_min(u, lanes_set(limit)), lanes_set(-limit));
    return lanes_mul(lanes_swish(g, lanes_set(-alpha)), lanes_add(u, lanes_set(1.0f)));
}

static void swiglu_clamped(const float *gate, const float *up, uint32_t n, float alpha, float limit,
                           float *y)
{
#define BODY(i, k)                                                                                \
    store_some(y + (i),                                                                           \
               swiglu_clamped_16(load_some(gate + (i), k), load_some(up + (i), k), alpha, limit), \
               k)
    FOR_EACH_16(n, BODY);
#undef BODY
}

static void rope(float *head, const float *cosine, const float *sine, uint32_t n,
                 bool is_interleaved)
{
    uint32_t half = n / 2;
    if (is_interleaved) {
        for (uint32_t i = 0; i < half; i++) {
            float a = head[2 * i], b = head[2 * i + 1];
            head[2 * i] = fmaf(a, cosine[i], -(b * sine[i]));
            head[2 * i + 1] = fmaf(b, cosine[i], a * sine[i]);
        }
        return;
    }
    for (uint32_t i = 0; i < half; i += 16) {
        uint32_t k = half - i < 16 ? half - i : 16;
        lanes16 a = load_some(head + i, k), b = load_some(head + half + i, k);
        lanes16 c = load_some(cosine + i, k), s = load_some(sine + i, k);
        lanes16 minus_bs = lanes_sub(lanes_set(-0.0f), lanes_mul(b, s));
        store_some(head + i, lanes_fma(a, c, minus_bs), k);
        store_some(head + half + i, lanes_fma(b, c, lanes_mul(a, s)), k);
    }
}

static bool to_f16(const float *x, uint32_t n, uint16_t *out)
{
    lanes16 largest = lanes_set(0.0f);
#define BODY(i, k)                                                   \
    do {                                                             \
        lanes16 v = load_some(x + (i), k);                           \
        largest = lanes_max(largest, lanes_abs(v));                  \
        uint16_t narrow[16];                                         \
        lanes_store_f16((k) == 16 ? out + (i) : narrow, v);          \
        if ((k) != 16) memcpy(out + (i), narrow, (k) * sizeof *out); \
    } while (0)
    FOR_EACH_16(n, BODY);
#undef BODY
    return lanes_largest(largest) < 65520.0f; /* from here on rounding gives infinity */
}

/* ---- quantising activations, rule 3 ---- */

static bool quantize(const float *x, uint32_t n, uint32_t block, int8_t *q, float *d,
                     int16_t *sum16, int16_t *sum32)
{
    for (uint32_t b = 0; b < n; b += block) {
        lanes16 largest = lanes_set(0.0f);
        lanes16 zero_if_finite = lanes_set(0.0f);
        for (uint32_t i = b; i < b + block; i += 16) {
            lanes16 v = lanes_load(x + i);
            largest = lanes_max(largest, lanes_abs(v));
            zero_if_finite = lanes_fma(v, lanes_set(0.0f), zero_if_finite);
        }
        float amax = lanes_largest(largest);
        /* 0 * x is a NaN for a NaN or an infinity, and stays one. */
        if (!(lanes_tree_sum(zero_if_finite) == 0.0f)) return false;
        bool is_zero = amax < 0x1p-100f;
        d[b / block] = is_zero ? 0.0f : amax / 127.0f;
        lanes16 factor = lanes_set(is_zero ? 0.0f : 127.0f / amax);
        for (uint32_t i = b; i < b + block; i += 16) {
            int32_t sum = lanes_round_to_i8(lanes_mul(lanes_load(x + i), factor), q + i);
            if (sum16 != NULL) sum16[i / 16] = (int16_t)sum;
            if (i % 32 == 0) sum32[i / 32] = (int16_t)sum;
            else sum32[i / 32] = (int16_t)(sum32[i / 32] + sum);
        }
    }
    return true;
}

/* ---- floating products, rule 4: one fma chain over the columns, lane = row ---- */

#define DEFINE_FLOAT_TILE(name, element, load)                                            \
    static void name(const uint8_t *tile, const vt_activations *a, uint32_t i_first,      \
                     uint32_t n_tokens, float *y, size_t y_stride)                        \
    {                                                                                     \
        const element *w = (const element *)(const void *)tile;                           \
        for (uint32_t t = 0; t < n_tokens; t += 4) {                                      \
            uint32_t n = n_tokens - t < 4 ? n_tokens - t : 4;                             \
            const float *x[4];                                                            \
            lanes16 acc[4];                                                               \
            for (uint32_t k = 0; k < 4; k++) {                                            \
                x[k] = a->x + (size_t)(i_first + t + (k < n ? k : 0)) * a->n_cols;        \
                acc[k] = lanes_set(0.0f);                                                 \
            }                                                                             \
            for (uint32_t c = 0; c < a->n_cols; c++) {                                    \
                lanes16 v = load(w + (size_t)c * 16);                                     \
                for (uint32_t k = 0; k < 4; k++)                                          \
                    acc[k] = lanes_fma(v, lanes_set(x[k][c]), acc[k]);                    \
            }                                                                             \
            for (uint32_t k = 0; k < n; k++) lanes_store(y + (t + k) * y_stride, acc[k]); \
        }                                                                                 \
    }

DEFINE_FLOAT_TILE(tile_f32, float, lanes_load)
DEFINE_FLOAT_TILE(tile_f16, uint16_t, lanes_load_f16)
DEFINE_FLOAT_TILE(tile_bf16, uint16_t, lanes_load_bf16)
#undef DEFINE_FLOAT_TILE

#include "kernels/attend_body.h"
