/* math.c -- see math.h. */
#include "kernels/math.h"

static float bits_to_float(uint32_t u)
{
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

static uint32_t float_to_bits(float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}

static double bits_to_double(uint64_t u)
{
    double f;
    memcpy(&f, &u, sizeof f);
    return f;
}

float vt_expf(float x)
{
    const float magic =
        12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer, to nearest even */
    x = x < -104.0f ? -104.0f : x;
    x = x > 89.0f ? 89.0f : x;
    float t = fmaf(x, 1.44269504088896341f, magic);
    float n = t - magic;
    float r = fmaf(n, -0.693359375f, x);
    r = fmaf(n, 2.12194440e-4f, r);
    float p = 1.9875691500e-4f;
    p = fmaf(p, r, 1.3981999507e-3f);
    p = fmaf(p, r, 8.3334519073e-3f);
    p = fmaf(p, r, 4.1665795894e-2f);
    p = fmaf(p, r, 1.6666665459e-1f);
    p = fmaf(p, r, 5.0000001201e-1f);
    p = fmaf(p, r * r, r);
    p = p + 1.0f;
    int32_t i = (int32_t)(float_to_bits(t) - float_to_bits(magic));
    int32_t half = i >> 1;
    p = p * bits_to_float((uint32_t)(half + 127) << 23);
    return p * bits_to_float((uint32_t)(i - half + 127) << 23);
}

float vt_sigmoidf(float x)
{
    return 1.0f / (1.0f + vt_expf(-x));
}

float vt_siluf(float x)
{
    return x / (1.0f + vt_expf(-x));
}

bool vt_all_below(const float *x, size_t n, float limit)
{
    uint32_t n_others = 0; /* no early end: the loop is to be vectorised */
    for (size_t i = 0; i < n; i++) n_others |= !(fabsf(x[i]) < limit);
    return n_others == 0;
}

/* Taylor's series: |r| <= ln(2)/2, so the first term left out, r^14/14!, is below 2^-53. */
double vt_exp(double x)
{
    if (!(x <= 709.8)) return x + (double)INFINITY; /* a NaN stays one */
    if (x < -745.2) return 0.0;
    double n = rint(x * 1.4426950408889634074);
    double r = fma(n, -6.93147180369123816490e-01, x);
    r = fma(n, -1.90821492927058770002e-10, r);
    double p = 1.0;
    for (int k = 13; k >= 1; k--) p = fma(p * r, 1.0 / k, 1.0);
    int i = (int)n;
    int half = i / 2;
    p *= bits_to_double((uint64_t)(half + 1023) << 52);
    return p * bits_to_double((uint64_t)(i - half + 1023) << 52);
}

/* x = m 2^e with m in [sqrt(1/2), sqrt(2)); log m = 2 artanh(s), s = (m - 1) / (m + 1), |s| <
 * 0.172. */
double vt_ln(double x)
{
    if (!(x > 0.0)) return x <= 0.0 ? -(double)INFINITY : x; /* a NaN stays one */
    if (x > 0x1.fffffffffffffp1023) return x;
    int e;
    double m = frexp(x, &e);
    if (m < 0.70710678118654752440) {
        m *= 2.0;
        e--;
    }
    double s = (m - 1.0) / (m + 1.0);
    double s2 = s * s;
    double p = 0.0;
    for (int k = 25; k >= 3; k -= 2) p = fma(p, s2, 1.0 / k);
    double log_m = fma(2.0 * s * s2, p, 2.0 * s);
    return fma(e, 6.93147180369123816490e-01, fma(e, 1.90821492927058770002e-10, log_m));
}

double vt_pow(double base, double y)
{
    return vt_exp(y * vt_ln(base));
}

/* sin and cos of |r| <= pi/4 by Taylor's series. */
static double sin_near_zero(double r)
{
    double r2 = r * r;
    double p = 1.0;
    for (int k = 18; k >= 2; k -= 2) p = fma(p * r2, -1.0 / (k * (k + 1)), 1.0);
    return p * r;
}

static double cos_near_zero(double r)
{
    double r2 = r * r;
    double p = 1.0;
    for (int k = 19; k >= 1; k -= 2) p = fma(p * r2, -1.0 / (k * (k + 1)), 1.0);
    return p;
}

/* x minus the nearest multiple of pi/2, which is given in two parts (Cody and Waite; the fma makes
 * the first product exact); *quadrant is that multiple mod 4. */
static double reduce(double x, int *quadrant)
{
    double n = rint(x * 0.63661977236758134308);
    double r = fma(n, -1.5707963267948965580, x);
    r = fma(n, -6.1232339957367660359e-17, r);
    *quadrant = (int)((int64_t)n & 3);
    return r;
}

double vt_sin(double x)
{
    int quadrant;
    double r = reduce(x, &quadrant);
    double v = quadrant & 1 ? cos_near_zero(r) : sin_near_zero(r);
    return quadrant & 2 ? -v : v;
}

double vt_cos(double x)
{
    int quadrant;
    double r = reduce(x, &quadrant);
    double v = quadrant & 1 ? sin_near_zero(r) : cos_near_zero(r);
    return quadrant == 1 || quadrant == 2 ? -v : v;
}

float vt_f16_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16;
    uint32_t exponent = h >> 10 & 0x1F;
    uint32_t mantissa = h & 0x3FF;
    if (exponent == 0x1F) return bits_to_float(sign | 0x7F800000 | mantissa << 13);
    if (exponent != 0) return bits_to_float(sign | (exponent + 112) << 23 | mantissa << 13);
    /* subnormal: an integer times 2^-24, exact in float */
    float magnitude = (float)mantissa * 0x1p-24f;
    return sign ? -magnitude : magnitude;
}

uint16_t vt_f32_to_f16(float f)
{
    uint32_t u = float_to_bits(f);
    uint32_t sign = u >> 16 & 0x8000;
    u &= 0x7FFFFFFF;
    if (u > 0x7F800000) return (uint16_t)(sign | 0x7E00 | (u >> 13 & 0x3FF));
    if (u >= 0x477FF000) return (uint16_t)(sign | 0x7C00); /* 65520 and above round to infinity */
    if (u < 0x38800000) {
        /* below 2^-14: adding 0.5 leaves the rounded multiple of 2^-24 in the low bits */
        float shifted = bits_to_float(u) + 0.5f;
        return (uint16_t)(sign | (float_to_bits(shifted) - 0x3F000000));
    }
    uint32_t odd = u >> 13 & 1;
    return (uint16_t)(sign | ((u - 0x38000000 + 0xFFF + odd) >> 13));
}

float vt_bf16_to_f32(uint16_t b)
{
    return bits_to_float((uint32_t)b << 16);
}
