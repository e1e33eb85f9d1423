/* math.h -- the transcendental functions of the result path: our own, from IEEE operations and fma,
 * so that every machine gives the same bits (NUMERICS.md, rule 6). libm is not used where a result
 * can depend on it.
 *
 * The float functions are written once for 16 lanes in lanes_body.h; the ones here are the same
 * operations for one value. Error bounds are tested in tests/kernels/math_test.c against long
 * double references.
 *
 * Threads  pure functions. */
#ifndef VT_KERNELS_MATH_H
#define VT_KERNELS_MATH_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* exp for float. Error below 2 ulp; 0 below -104, +inf above 88.73; a NaN gives an unspecified
 * value (non-finite activations are an error before they come here). Definition: n = round(x log2
 * e) by the magic-number addition, r = x - n ln 2 in two parts, a polynomial of degree 7 (the
 * coefficients of Cephes' expf), scaled by 2^(n/2) and 2^(n - n/2) one after the other. */
float vt_expf(float x);

/* x / (1 + exp(-x)) and 1 / (1 + exp(-x)). Error below 4 ulp. */
float vt_siluf(float x);
float vt_sigmoidf(float x);

/* Is |x[i]| < limit for all n of them? A NaN is below nothing, so a limit of INFINITY asks whether
 * all are finite. */
bool vt_all_below(const float *x, size_t n, float limit);

/* Doubles, for tables (RoPE) and statistics. Relative error below 4e-16 for exp and log; absolute
 * error below 4e-16 for sin and cos with |x| <= 2^20, growing with |x| above that. log of a value
 * <= 0 is -inf. */
double vt_exp(double x);
double vt_ln(double x);
double vt_sin(double x);
double vt_cos(double x);
/* base^y for base > 0. */
double vt_pow(double base, double y);

/* IEEE half and bfloat16, exact widening and round to nearest even; an overflow of the narrowing is
 * infinity. */
float vt_f16_to_f32(uint16_t h);
uint16_t vt_f32_to_f16(float f);
float vt_bf16_to_f32(uint16_t b);

#endif
