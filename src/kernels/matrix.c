/* matrix.c -- packing rows into tiles, and reading one row back. See matrix.h for the layout.
 *
 * Nearly everything is a move of 4-byte units from 16 rows into 64-byte groups; only Q5_0's high
 * bits are regrouped. */
#include "kernels/matrix.h"

#include <string.h>

#include "kernels/layout.h"
#include "kernels/math.h"

size_t vt_tile_bytes(vt_format format, uint32_t n_cols)
{
    const vt_format_info *info = vt_format_by_id((uint32_t)format);
    size_t n_blocks = n_cols / info->block_len;
    size_t bytes = n_blocks * (vt_block_quants(format) + vt_block_scales(format));
    return (bytes + VT_TILE_ALIGN - 1) & ~(size_t)(VT_TILE_ALIGN - 1);
}

/* n 4-byte units of one row, starting at src, become lane `row` of n groups. */
static void put_units(uint8_t *groups, uint32_t row, const uint8_t *src, size_t n)
{
    for (size_t i = 0; i < n; i++) memcpy(groups + i * 64 + row * 4, src + i * 4, 4);
}

static void put_half(uint8_t *halves, uint32_t row, const uint8_t *src)
{
    memcpy(halves + row * 2, src, 2);
}

/* Bit c of `bits` (column c = 4g + k) becomes bit g of byte k. */
static uint32_t regroup_high_bits(uint32_t bits)
{
    uint32_t out = 0;
    for (int k = 0; k < 4; k++) {
        uint32_t x = bits >> k & 0x11111111;
        x = (x | x >> 3) & 0x03030303;
        x = (x | x >> 6) & 0x000F000F;
        x = (x | x >> 12) & 0xFF;
        out |= x << (8 * k);
    }
    return out;
}

/* One block of one row. q and s point at the block's quants and scales in the tile. */
static void pack_block(vt_format format, const uint8_t *src, uint32_t row, uint8_t *q, uint8_t *s)
{
    switch (format) {
    case VT_FORMAT_F32: memcpy(q + row * 4, src, 4); break;
    case VT_FORMAT_F16:
    case VT_FORMAT_BF16: memcpy(q + row * 2, src, 2); break;
    case VT_FORMAT_Q8_0:
        put_half(s, row, src);
        put_units(q, row, src + 2, 8);
        break;
    case VT_FORMAT_Q4_0:
        put_half(s, row, src);
        put_units(q, row, src + 2, 4);
        break;
    case VT_FORMAT_Q4_1:
        put_half(s, row, src);
        put_half(s + 32, row, src + 2);
        put_units(q, row, src + 4, 4);
        break;
    case VT_FORMAT_Q5_0: {
        uint32_t high;
        memcpy(&high, src + 2, 4);
        high = regroup_high_bits(high);
        put_half(s, row, src);
        put_units(q, row, src + 6, 4);
        memcpy(q + 256 + row * 4, &high, 4);
        break;
    }
    case VT_FORMAT_MXFP4:
        s[row] = src[0];
        put_units(q, row, src + 1, 4);
        break;
    case VT_FORMAT_Q4_K:
        put_half(s, row, src);
        put_half(s + 32, row, src + 2);
        put_units(s + 64, row, src + 4, 3);
        put_units(q, row, src + 16, 32);
        break;
    case VT_FORMAT_Q5_K:
        put_half(s, row, src);
        put_half(s + 32, row, src + 2);
        put_units(s + 64, row, src + 4, 3);
        put_units(q + VT_Q4_K_QUANTS, row, src + 16, 8);
        put_units(q, row, src + 48, 32);
        break;
    case VT_FORMAT_Q6_K:
        put_units(q, row, src, 32);
        put_units(q + 2048, row, src + 128, 16);
        put_units(s, row, src + 192, 4);
        put_half(s + 256, row, src + 208);
        break;
    }
}

void vt_tile_pack(vt_format format, const uint8_t *rows, uint32_t n_rows, uint32_t n_cols,
                  uint8_t *tile)
{
    const vt_format_info *info = vt_format_by_id((uint32_t)format);
    size_t n_blocks = n_cols / info->block_len;
    size_t row_bytes = n_blocks * info->block_bytes;
    size_t quants = vt_block_quants(format);
    size_t scales = vt_block_scales(format);
    uint8_t *first_scale = tile + n_blocks * quants;
    size_t used = n_blocks * (quants + scales);
    if (n_rows < VT_TILE_ROWS) memset(tile, 0, used);
    memset(tile + used, 0, vt_tile_bytes(format, n_cols) - used);
    /* Blocks outside, rows inside: the 16 lanes of a 64-byte group are written together. */
    for (size_t b = 0; b < n_blocks; b++)
        for (uint32_t r = 0; r < n_rows; r++)
            pack_block(format, rows + r * row_bytes + b * info->block_bytes, r, tile + b * quants,
                       first_scale + b * scales);
}

static float half_at(const uint8_t *halves, uint32_t row)
{
    uint16_t h;
    memcpy(&h, halves + row * 2, 2);
    return vt_f16_to_f32(h);
}

static uint8_t unit_byte(const uint8_t *groups, uint32_t row, uint32_t i)
{
    return groups[i / 4 * 64 + row * 4 + i % 4];
}

/* 6-bit scale and minimum j of the K formats, as in the file (ggml:src/ggml-quants.c,
 * get_scale_min_k4). */
static void scale_min(const uint8_t *units, uint32_t row, uint32_t j, uint32_t *scale,
                      uint32_t *min)
{
    if (j < 4) {
        *scale = unit_byte(units, row, j) & 63;
        *min = unit_byte(units, row, j + 4) & 63;
        return;
    }
    uint32_t low = unit_byte(units, row, j + 4);
    *scale = (low & 15) | (unit_byte(units, row, j - 4) >> 6) << 4;
    *min = low >> 4 | (unit_byte(units, row, j) >> 6) << 4;
}

static int q4_at(const uint8_t *q, uint32_t row, uint32_t c)
{
    uint8_t byte = unit_byte(q, row, c % 16);
    return c < 16 ? byte & 15 : byte >> 4;
}

static const int8_t mxfp4_doubled[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

static float mxfp4_scale(uint8_t e)
{
    uint32_t u =
        e < 2 ? 0x00200000u << e : (uint32_t)(e - 1) << 23; /* 2^(e - 128), subnormal below e = 2 */
    float f;
    memcpy(&f, &u, 4);
    return f;
}

static void row_of_32(vt_format format, const uint8_t *q, const uint8_t *s, uint32_t row,
                      float *out)
{
    float d = format == VT_FORMAT_MXFP4 ? mxfp4_scale(s[row]) : half_at(s, row);
    float m = format == VT_FORMAT_Q4_1 ? half_at(s + 32, row) : 0.0f;
    for (uint32_t c = 0; c < 32; c++) {
        int v = 0;
        if (format == VT_FORMAT_Q8_0) v = (int8_t)unit_byte(q, row, c);
        else v = q4_at(q, row, c);
        if (format == VT_FORMAT_Q4_0) v -= 8;
        if (format == VT_FORMAT_MXFP4) v = mxfp4_doubled[v];
        if (format == VT_FORMAT_Q5_0) v += ((q[256 + row * 4 + c % 4] >> (c / 4) & 1) << 4) - 16;
        out[c] = d * (float)v;
        if (format == VT_FORMAT_Q4_1) out[c] = out[c] + m;
    }
}

static void row_of_q45_k(bool is_q5, const uint8_t *q, const uint8_t *s, uint32_t row, float *out)
{
    float d = half_at(s, row);
    float dmin = half_at(s + 32, row);
    for (uint32_t j = 0; j < 8; j++) {
        uint32_t scale, min;
        scale_min(s + 64, row, j, &scale, &min);
        float ds = d * (float)scale;
        float dm = dmin * (float)min;
        for (uint32_t c = 0; c < 32; c++) {
            uint8_t byte = unit_byte(q + j / 2 * 512, row, c);
            int v = j & 1 ? byte >> 4 : byte & 15;
            if (is_q5) v += (unit_byte(q + VT_Q4_K_QUANTS, row, c) >> j & 1) << 4;
            out[j * 32 + c] = ds * (float)v - dm;
        }
    }
}

static void row_of_q6_k(const uint8_t *q, const uint8_t *s, uint32_t row, float *out)
{
    float d = half_at(s + 256, row);
    for (uint32_t c = 0; c < 256; c++) {
        uint32_t half = c / 128, i = c / 32 % 4, l = c % 32;
        uint8_t low = unit_byte(q + half * 1024 + (i & 1) * 512, row, l);
        uint8_t high = unit_byte(q + 2048 + half * 512, row, l);
        int v = ((i & 2 ? low >> 4 : low & 15) | (high >> (2 * i) & 3) << 4) - 32;
        float ds = d * (float)(int8_t)unit_byte(s, row, c / 16);
        out[c] = ds * (float)v;
    }
}

void vt_matrix_row(const vt_matrix *m, uint32_t i_stack, uint32_t i_row, float *out)
{
    const vt_format_info *info = vt_format_by_id((uint32_t)m->format);
    size_t n_blocks = m->n_cols / info->block_len;
    size_t i_tile = (size_t)i_stack * vt_tiles_of(m->n_rows) + i_row / VT_TILE_ROWS;
    const uint8_t *tile = m->tiles + i_tile * vt_tile_bytes(m->format, m->n_cols);
    uint32_t row = i_row % VT_TILE_ROWS;
    size_t quants = vt_block_quants(m->format);
    size_t scales = vt_block_scales(m->format);
    for (size_t b = 0; b < n_blocks; b++, out += info->block_len) {
        const uint8_t *q = tile + b * quants;
        const uint8_t *s = tile + n_blocks * quants + b * scales;
        uint16_t h;
        switch (m->format) {
        case VT_FORMAT_F32: memcpy(out, q + row * 4, 4); break;
        case VT_FORMAT_F16: out[0] = half_at(q, row); break;
        case VT_FORMAT_BF16:
            memcpy(&h, q + row * 2, 2);
            out[0] = vt_bf16_to_f32(h);
            break;
        case VT_FORMAT_Q4_K: row_of_q45_k(false, q, s, row, out); break;
        case VT_FORMAT_Q5_K: row_of_q45_k(true, q, s, row, out); break;
        case VT_FORMAT_Q6_K: row_of_q6_k(q, s, row, out); break;
        case VT_FORMAT_Q8_0:
        case VT_FORMAT_Q4_0:
        case VT_FORMAT_Q4_1:
        case VT_FORMAT_Q5_0:
        case VT_FORMAT_MXFP4: row_of_32(m->format, q, s, row, out); break;
        }
    }
}
