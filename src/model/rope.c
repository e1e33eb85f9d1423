/* rope.c -- see rope.h.
 *
 * The published implementations compute frequencies and angles in float, step by step, and so does
 * this file, in the same order: an angle in double would be "more right" and further from the
 * model (measured: docs/decisions.md). Only sine and cosine of the float angle are computed in
 * double, and rounded once. */
#include "model/rope.h"

#include "kernels/math.h"

static const double two_pi = 6.28318530717958647693;

/* The (fractional) pair index whose wave turns `rotations` times within the original context. */
static double yarn_correction(const vt_rope_options *o, double n_dims, double rotations)
{
    return n_dims * vt_ln(o->yarn_original_context / (rotations * two_pi)) / (2.0 * vt_ln(o->base));
}

static float clamp01(float x)
{
    return x < 0.0f ? 0.0f : x > 1.0f ? 1.0f : x;
}

vt_status vt_rope_init(vt_rope *r, uint32_t n_dims, bool is_interleaved, const vt_rope_options *o,
                       vt_err *err)
{
    if (n_dims == 0 || n_dims % 2 != 0 || n_dims / 2 > VT_ROPE_MAX_PAIRS)
        return vt_fail(err, VT_EUNSUPPORTED,
                       "RoPE over %u dimensions (an even number up to %d is supported)", n_dims,
                       2 * VT_ROPE_MAX_PAIRS);
    if (!(o->base > 1.0)) return vt_fail(err, VT_EINPUT, "RoPE base %g is not above 1", o->base);
    vt_rope made = {.n_dims = n_dims, .is_interleaved = is_interleaved, .magnitude = 1.0f};
    bool is_yarn = o->yarn_factor > 0.0;
    double low = 0.0, high = 1.0;
    if (is_yarn) {
        low = yarn_correction(o, n_dims, o->yarn_beta_fast);
        high = yarn_correction(o, n_dims, o->yarn_beta_slow);
        if (o->yarn_is_rounded) {
            low = floor(low);
            high = ceil(high);
        }
        if (low < 0.0) low = 0.0;
        if (high > n_dims - 1.0) high = n_dims - 1.0;
        if (high == low) high += 0.001; /* as the reference: no division by zero */
        made.magnitude = o->yarn_factor <= 1.0 ? 1.0f : (float)(0.1 * vt_ln(o->yarn_factor) + 1.0);
    }
    for (uint32_t i = 0; i < n_dims / 2; i++) {
        float wave = (float)vt_pow(o->base, (double)((float)(2 * i) / (float)n_dims));
        float f = 1.0f / wave;
        if (o->divisors) f /= o->divisors[i];
        if (o->linear_factor > 0.0) f /= (float)o->linear_factor;
        if (is_yarn) {
            /* fast waves keep their frequency, slow ones are stretched, a ramp between */
            float ramp = clamp01(((float)i - (float)low) / (float)(high - low));
            float keep = 1.0f - ramp;
            float stretched = 1.0f / ((float)o->yarn_factor * wave);
            f = stretched * (1.0f - keep) + f * keep;
        }
        /* An angle has to stay far below 2^63 for the reduction by multiples of pi/2. */
        if (!(f >= 0.0f && f <= 1024.0f))
            return vt_fail(err, VT_EINPUT, "RoPE pair %u turns by %g radians per position", i,
                           (double)f);
        made.frequency[i] = f;
    }
    *r = made;
    return VT_OK;
}

void vt_rope_table(const vt_rope *r, uint32_t position, float *cosine, float *sine)
{
    for (uint32_t i = 0; i < r->n_dims / 2; i++) {
        double angle = (double)((float)position * r->frequency[i]);
        cosine[i] = (float)vt_cos(angle) * r->magnitude;
        sine[i] = (float)vt_sin(angle) * r->magnitude;
    }
}
