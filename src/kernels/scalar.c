/* scalar.c -- the definition: every kernel in plain C, following NUMERICS.md sentence by sentence.
 * Always compiled; the other instruction sets are tested against it by memcmp. Written to be read,
 * not to be fast. */
#include <float.h>
#include <string.h>

#include "kernels/kernels.h"
#include "kernels/lanes_plain.h"
#include "kernels/layout.h"
#include "kernels/lanes_body.h"

static float half_of(const uint8_t *halves, uint32_t row)
{
    uint16_t h;
    memcpy(&h, halves + row * 2, 2);
    return vt_f16_to_f32(h);
}

static uint8_t unit_byte(const uint8_t *groups, uint32_t row, uint32_t i)
{
    return groups[i / 4 * 64 + row * 4 + i % 4];
}

/* 2^(e - 128); subnormal below e = 2. */
static float power_of_two(uint8_t e)
{
    uint32_t bits = e < 2 ? 0x00200000u << e : (uint32_t)(e - 1) << 23;
    float f;
    memcpy(&f, &bits, 4);
    return f;
}

static const int8_t mxfp4_doubled[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

/* The integer weights of row `row` in a block of 32. */
static void weights_32(vt_format format, const uint8_t *q, uint32_t row, int8_t w[32])
{
    for (uint32_t c = 0; c < 32; c++) {
        if (format == VT_FORMAT_Q8_0) {
            w[c] = (int8_t)unit_byte(q, row, c);
            continue;
        }
        uint8_t byte = unit_byte(q, row, c % 16);
        int v = c < 16 ? byte & 15 : byte >> 4;
        if (format == VT_FORMAT_MXFP4) v = mxfp4_doubled[v];
        if (format == VT_FORMAT_Q4_0) v -= 8;
        if (format == VT_FORMAT_Q5_0) v += ((q[256 + row * 4 + c % 4] >> (c / 4) & 1) << 4) - 16;
        w[c] = (int8_t)v;
    }
}

/* Sub-block j (32 columns) of a block of 256; Q6_K with its offset of 32 taken off. */
static void weights_256(vt_format format, const uint8_t *q, uint32_t row, uint32_t j, int8_t w[32])
{
    for (uint32_t c = 0; c < 32; c++) {
        if (format == VT_FORMAT_Q6_K) {
            uint32_t half = j / 4, i = j % 4;
            uint8_t low = unit_byte(q + half * 1024 + (i & 1) * 512, row, c);
            uint8_t high = unit_byte(q + 2048 + half * 512, row, c);
            w[c] = (int8_t)(((i & 2 ? low >> 4 : low & 15) | (high >> (2 * i) & 3) << 4) - 32);
            continue;
        }
        uint8_t byte = unit_byte(q + j / 2 * 512, row, c);
        int v = j & 1 ? byte >> 4 : byte & 15;
        if (format == VT_FORMAT_Q5_K) v += (unit_byte(q + VT_Q4_K_QUANTS, row, c) >> j & 1) << 4;
        w[c] = (int8_t)v;
    }
}

static int32_t dot(const int8_t *w, const int8_t *x, uint32_t n)
{
    int32_t sum = 0;
    for (uint32_t i = 0; i < n; i++) sum += (int32_t)w[i] * x[i];
    return sum;
}

static inline void tile_32(vt_format format, const uint8_t *tile, const vt_activations *a,
                           uint32_t i_first, uint32_t n_tokens, float *y, size_t y_stride)
{
    const uint32_t n_blocks = a->n_cols / 32;
    const uint8_t *scales = tile + n_blocks * vt_block_quants(format);
    for (uint32_t row = 0; row < VT_TILE_ROWS; row++) {
        for (uint32_t t = 0; t < n_tokens; t++) y[t * y_stride + row] = 0.0f;
        for (uint32_t b = 0; b < n_blocks; b++) {
            const uint8_t *s = scales + b * vt_block_scales(format);
            int8_t w[32];
            weights_32(format, tile + b * vt_block_quants(format), row, w);
            float dw = format == VT_FORMAT_MXFP4 ? power_of_two(s[row]) : half_of(s, row);
            for (uint32_t t = 0; t < n_tokens; t++) {
                const size_t i = (size_t)(i_first + t) * n_blocks + b;
                float *acc = &y[t * y_stride + row];
                *acc = fmaf((float)dot(w, a->q + i * 32, 32), dw * a->d[i], *acc);
                if (format == VT_FORMAT_Q4_1)
                    *acc = fmaf((float)a->sum32[i], half_of(s + 32, row) * a->d[i], *acc);
            }
        }
    }
}

/* The eight 6-bit scales and minima of Q4_K and Q5_K (ggml:src/ggml-quants.c, get_scale_min_k4). */
static void scales_of_row(const uint8_t *units, uint32_t row, int32_t scale[8], int32_t min[8])
{
    for (uint32_t j = 0; j < 4; j++) {
        uint8_t a = unit_byte(units, row, j), b = unit_byte(units, row, j + 4),
                c = unit_byte(units, row, j + 8);
        scale[j] = a & 63;
        min[j] = b & 63;
        scale[j + 4] = (c & 15) | (a >> 6) << 4;
        min[j + 4] = c >> 4 | (b >> 6) << 4;
    }
}

static inline void tile_45_k(vt_format format, const uint8_t *tile, const vt_activations *a,
                             uint32_t i_first, uint32_t n_tokens, float *y, size_t y_stride)
{
    const uint32_t n_blocks = a->n_cols / 256;
    const uint8_t *scales = tile + n_blocks * vt_block_quants(format);
    for (uint32_t row = 0; row < VT_TILE_ROWS; row++) {
        for (uint32_t t = 0; t < n_tokens; t++) y[t * y_stride + row] = 0.0f;
        for (uint32_t b = 0; b < n_blocks; b++) {
            const uint8_t *s = scales + b * VT_Q45_K_SCALES;
            int8_t w[8][32];
            int32_t scale[8], min[8];
            for (uint32_t j = 0; j < 8; j++)
                weights_256(format, tile + b * vt_block_quants(format), row, j, w[j]);
            scales_of_row(s + 64, row, scale, min);
            for (uint32_t t = 0; t < n_tokens; t++) {
                const size_t i = (size_t)(i_first + t) * n_blocks + b;
                int32_t isum = 0, imin = 0;
                for (uint32_t j = 0; j < 8; j++) {
                    isum += scale[j] * dot(w[j], a->q + i * 256 + j * 32, 32);
                    imin += min[j] * a->sum32[i * 8 + j];
                }
                float *acc = &y[t * y_stride + row];
                *acc = fmaf((float)isum, half_of(s, row) * a->d[i], *acc);
                *acc = fmaf(-(float)imin, half_of(s + 32, row) * a->d[i], *acc);
            }
        }
    }
}

static inline void tile_6_k(vt_format format, const uint8_t *tile, const vt_activations *a,
                            uint32_t i_first, uint32_t n_tokens, float *y, size_t y_stride)
{
    const uint32_t n_blocks = a->n_cols / 256;
    const uint8_t *scales = tile + n_blocks * vt_block_quants(format);
    for (uint32_t row = 0; row < VT_TILE_ROWS; row++) {
        for (uint32_t t = 0; t < n_tokens; t++) y[t * y_stride + row] = 0.0f;
        for (uint32_t b = 0; b < n_blocks; b++) {
            const uint8_t *s = scales + b * VT_Q6_K_SCALES;
            int8_t w[8][32];
            for (uint32_t j = 0; j < 8; j++)
                weights_256(format, tile + b * vt_block_quants(format), row, j, w[j]);
            for (uint32_t t = 0; t < n_tokens; t++) {
                const size_t i = (size_t)(i_first + t) * n_blocks + b;
                int32_t isum = 0;
                for (uint32_t j = 0; j < 16; j++)
                    isum += (int8_t)unit_byte(s, row, j) *
                            dot(w[0] + j * 16, a->q + i * 256 + j * 16, 16);
                float *acc = &y[t * y_stride + row];
                *acc = fmaf((float)isum, half_of(s + 256, row) * a->d[i], *acc);
            }
        }
    }
}

#define DEFINE_TILE(name, body, format)                                              \
    static void name(const uint8_t *tile, const vt_activations *a, uint32_t i_first, \
                     uint32_t n_tokens, float *y, size_t y_stride)                   \
    {                                                                                \
        body(format, tile, a, i_first, n_tokens, y, y_stride);                       \
    }

#include "kernels/table_body.h"

const vt_kernels *vt_kernels_scalar(void)
{
    static const vt_kernels table = VT_KERNEL_TABLE("scalar");
    return &table;
}
