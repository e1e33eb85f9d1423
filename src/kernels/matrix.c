/* matrix.c -- packing rows into tiles, and reading one row back. See matrix.h for the layout.
 *
 * The vectors here are the compiler's own: 16 bytes are what every machine that we run on has, and
 * moving bytes is exact in any width, so no instruction set needs a version of its own. Nearly
 * everything is a move of 4-byte units from 16 rows into 64-byte groups; only Q5_0's high
 * bits are regrouped. */
#include "kernels/matrix.h"

#include <string.h>

#include "base/compiler.h"
#include "kernels/layout.h"
#include "kernels/math.h"

size_t vt_tile_bytes(vt_format format, uint32_t n_cols)
{
    const vt_format_info *info = vt_format_by_id((uint32_t)format);
    size_t n_blocks = n_cols / info->block_len;
    size_t bytes = n_blocks * (vt_block_quants(format) + vt_block_scales(format));
    return (bytes + VT_TILE_ALIGN - 1) & ~(size_t)(VT_TILE_ALIGN - 1);
}

/* Rows in the file, from the block that is being packed on. */
typedef struct {
    const uint8_t *first;
    size_t bytes; /* of a row: from one to the next */
    size_t n;     /* 1 to VT_TILE_ROWS */
} source;

/* Sixteen bytes of one row: four units. */
typedef uint32_t four_units VT_VECTOR(16);

VT_INLINE four_units load_units(const uint8_t *src)
{
    four_units v;
    memcpy(&v, src, sizeof v);
    return v;
}

/* Four units of each of four rows to four groups; `to` is the first row's lane. */
VT_INLINE void transpose_4x4(uint8_t *to, const uint8_t *src, size_t row_bytes)
{
    four_units r0 = load_units(src), r1 = load_units(src + row_bytes);
    four_units r2 = load_units(src + 2 * row_bytes), r3 = load_units(src + 3 * row_bytes);
    four_units low01 = VT_SHUFFLE(r0, r1, 0, 4, 1, 5);
    four_units high01 = VT_SHUFFLE(r0, r1, 2, 6, 3, 7);
    four_units low23 = VT_SHUFFLE(r2, r3, 0, 4, 1, 5);
    four_units high23 = VT_SHUFFLE(r2, r3, 2, 6, 3, 7);
    four_units out[4] = {VT_SHUFFLE(low01, low23, 0, 1, 4, 5), VT_SHUFFLE(low01, low23, 2, 3, 6, 7),
                         VT_SHUFFLE(high01, high23, 0, 1, 4, 5),
                         VT_SHUFFLE(high01, high23, 2, 3, 6, 7)};
    for (int i = 0; i < 4; i++) memcpy(to + i * 64, &out[i], sizeof out[i]);
}

/* n_units 4-byte units of every row, starting at src in the first of them: unit i of row r becomes
 * lane r of group i. Whole tiles, four units at a time, go through registers: it is what loading a
 * model spends its time on. */
VT_INLINE void put_units(uint8_t *groups, const source *rows, size_t at, size_t n_units)
{
    const uint8_t *src = rows->first + at;
    size_t i = 0;
    if (rows->n == VT_TILE_ROWS)
        for (; i + 4 <= n_units; i += 4)
            for (size_t r = 0; r < VT_TILE_ROWS; r += 4)
                transpose_4x4(groups + i * 64 + r * 4, src + r * rows->bytes + i * 4, rows->bytes);
    for (; i < n_units; i++)
        for (size_t r = 0; r < rows->n; r++)
            memcpy(groups + i * 64 + r * 4, src + r * rows->bytes + i * 4, 4);
}

VT_INLINE void put_halves(uint8_t *halves, const source *rows, size_t at)
{
    for (size_t r = 0; r < rows->n; r++)
        memcpy(halves + r * 2, rows->first + r * rows->bytes + at, 2);
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

VT_INLINE void put_high_bits(uint8_t *group, const source *rows, size_t at)
{
    for (size_t r = 0; r < rows->n; r++) {
        uint32_t high;
        memcpy(&high, rows->first + r * rows->bytes + at, 4);
        high = regroup_high_bits(high);
        memcpy(group + r * 4, &high, 4);
    }
}

/* One block of all rows. q and s point at the block's quants and scales in the tile. */
VT_INLINE void pack_block(vt_format format, const source *rows, uint8_t *q, uint8_t *s)
{
    switch (format) {
    case VT_FORMAT_F32: break; /* not by blocks: vt_tile_pack */
    case VT_FORMAT_F16:
    case VT_FORMAT_BF16: put_halves(q, rows, 0); break;
    case VT_FORMAT_Q8_0:
        put_halves(s, rows, 0);
        put_units(q, rows, 2, 8);
        break;
    case VT_FORMAT_Q4_0:
        put_halves(s, rows, 0);
        put_units(q, rows, 2, 4);
        break;
    case VT_FORMAT_Q4_1:
        put_halves(s, rows, 0);
        put_halves(s + 32, rows, 2);
        put_units(q, rows, 4, 4);
        break;
    case VT_FORMAT_Q5_0:
        put_halves(s, rows, 0);
        put_units(q, rows, 6, 4);
        put_high_bits(q + 256, rows, 2);
        break;
    case VT_FORMAT_MXFP4:
        for (size_t r = 0; r < rows->n; r++) s[r] = rows->first[r * rows->bytes];
        put_units(q, rows, 1, 4);
        break;
    case VT_FORMAT_Q4_K:
        put_halves(s, rows, 0);
        put_halves(s + 32, rows, 2);
        put_units(s + 64, rows, 4, 3);
        put_units(q, rows, 16, 32);
        break;
    case VT_FORMAT_Q5_K:
        put_halves(s, rows, 0);
        put_halves(s + 32, rows, 2);
        put_units(s + 64, rows, 4, 3);
        put_units(q + VT_Q4_K_QUANTS, rows, 16, 8);
        put_units(q, rows, 48, 32);
        break;
    case VT_FORMAT_Q6_K:
        put_units(q, rows, 0, 32);
        put_units(q + 2048, rows, 128, 16);
        put_units(s, rows, 192, 4);
        put_halves(s + 256, rows, 208);
        break;
    }
}

void vt_tile_pack(vt_format format, const uint8_t *rows, uint32_t n_rows, uint32_t n_cols,
                  uint8_t *tile)
{
    const vt_format_info *info = vt_format_by_id((uint32_t)format);
    size_t n_blocks = n_cols / info->block_len;
    size_t quants = vt_block_quants(format);
    size_t scales = vt_block_scales(format);
    uint8_t *first_scale = tile + n_blocks * quants;
    size_t used = n_blocks * (quants + scales);
    source from = {rows, n_blocks * info->block_bytes, n_rows};
    if (n_rows < VT_TILE_ROWS) memset(tile, 0, used);
    memset(tile + used, 0, vt_tile_bytes(format, n_cols) - used);
    if (format == VT_FORMAT_F32) {
        put_units(tile, &from, 0, n_cols); /* a column is a unit: the whole tile at once */
        return;
    }
    for (size_t b = 0; b < n_blocks; b++, from.first += info->block_bytes)
        pack_block(format, &from, tile + b * quants, first_scale + b * scales);
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
