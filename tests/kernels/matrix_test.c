/* matrix_test.c -- kernels/matrix: rows packed into tiles and read back, against an unpacking of
 * the file's blocks written here from their published layouts (ggml:src/ggml-common.h and the
 * dequantize_row functions of ggml:src/ggml-quants.c), value by value in double. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "kernels/kernels.h"
#include "kernels/math.h"
#include "kernels/matrix.h"

static uint64_t random_state = 0x9E3779B97F4A7C15u;

static uint32_t random_u32(void)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random_state >> 33);
}

static double half(const uint8_t *p)
{
    return (double)vt_f16_to_f32((uint16_t)(p[0] | p[1] << 8));
}

/* ---- the layouts: value c of a block ---- */

static double of_q4_0(const uint8_t *b, int c)
{
    int nibble = c < 16 ? b[2 + c] & 15 : b[2 + c - 16] >> 4;
    return half(b) * (nibble - 8);
}

static double of_q4_1(const uint8_t *b, int c)
{
    int nibble = c < 16 ? b[4 + c] & 15 : b[4 + c - 16] >> 4;
    return half(b) * nibble + half(b + 2);
}

static double of_q5_0(const uint8_t *b, int c)
{
    uint32_t high =
        (uint32_t)b[2] | (uint32_t)b[3] << 8 | (uint32_t)b[4] << 16 | (uint32_t)b[5] << 24;
    int nibble = c < 16 ? b[6 + c] & 15 : b[6 + c - 16] >> 4;
    return half(b) * (nibble + (int)(high >> c & 1) * 16 - 16);
}

static double of_q8_0(const uint8_t *b, int c)
{
    return half(b) * (int8_t)b[2 + c];
}

static double of_mxfp4(const uint8_t *b, int c)
{
    static const double e2m1[8] = {0, 0.5, 1, 1.5, 2, 3, 4, 6};
    int nibble = c < 16 ? b[1 + c] & 15 : b[1 + c - 16] >> 4;
    double v = ldexp(e2m1[nibble & 7], b[0] - 127);
    return nibble & 8 ? -v : v;
}

static void six_bits(const uint8_t *s, int j, int *scale, int *min)
{
    if (j < 4) {
        *scale = s[j] & 63;
        *min = s[j + 4] & 63;
    } else {
        *scale = (s[j + 4] & 15) | (s[j - 4] >> 6 << 4);
        *min = s[j + 4] >> 4 | (s[j] >> 6 << 4);
    }
}

static double of_q4_k(const uint8_t *b, int c)
{
    int j = c / 32, scale, min;
    six_bits(b + 4, j, &scale, &min);
    uint8_t byte = b[16 + j / 2 * 32 + c % 32];
    return half(b) * scale * (j & 1 ? byte >> 4 : byte & 15) - half(b + 2) * min;
}

static double of_q5_k(const uint8_t *b, int c)
{
    int j = c / 32, scale, min;
    six_bits(b + 4, j, &scale, &min);
    uint8_t byte = b[48 + j / 2 * 32 + c % 32];
    int v = (j & 1 ? byte >> 4 : byte & 15) + (b[16 + c % 32] >> j & 1) * 16;
    return half(b) * scale * v - half(b + 2) * min;
}

static double of_q6_k(const uint8_t *b, int c)
{
    const uint8_t *ql = b + c / 128 * 64, *qh = b + 128 + c / 128 * 32;
    int l = c % 32, quarter = c % 128 / 32;
    int low = quarter < 2 ? ql[l + quarter * 32] & 15 : ql[l + (quarter - 2) * 32] >> 4;
    int v = (low | (qh[l] >> (2 * quarter) & 3) << 4) - 32;
    return half(b + 208) * (int8_t)b[192 + c / 16] * v;
}

static double of_f32(const uint8_t *b, int c)
{
    (void)c;
    float f;
    memcpy(&f, b, 4);
    return (double)f;
}

static double of_f16(const uint8_t *b, int c)
{
    (void)c;
    return half(b);
}

static double of_bf16(const uint8_t *b, int c)
{
    (void)c;
    return (double)vt_bf16_to_f32((uint16_t)(b[0] | b[1] << 8));
}

static double value_of(vt_format format, const uint8_t *block, int c)
{
    switch (format) {
    case VT_FORMAT_F32: return of_f32(block, c);
    case VT_FORMAT_F16: return of_f16(block, c);
    case VT_FORMAT_BF16: return of_bf16(block, c);
    case VT_FORMAT_Q4_0: return of_q4_0(block, c);
    case VT_FORMAT_Q4_1: return of_q4_1(block, c);
    case VT_FORMAT_Q5_0: return of_q5_0(block, c);
    case VT_FORMAT_Q8_0: return of_q8_0(block, c);
    case VT_FORMAT_MXFP4: return of_mxfp4(block, c);
    case VT_FORMAT_Q4_K: return of_q4_k(block, c);
    case VT_FORMAT_Q5_K: return of_q5_k(block, c);
    case VT_FORMAT_Q6_K: return of_q6_k(block, c);
    }
    fail_msg("no layout for format %d", (int)format);
    return 0;
}

/* ---- random files ---- */

/* Where the block's half-precision scales lie; -1: nowhere. */
static void scale_places(vt_format format, int at[2])
{
    at[0] = format == VT_FORMAT_Q6_K ? 208 : 0;
    at[1] =
        format == VT_FORMAT_Q4_1 || format == VT_FORMAT_Q4_K || format == VT_FORMAT_Q5_K ? 2 : -1;
    if (format == VT_FORMAT_F32 || format == VT_FORMAT_BF16 || format == VT_FORMAT_MXFP4)
        at[0] = -1;
}

/* Every bit random but for the exponents, which must not make an infinity. */
static void fill_block(const vt_format_info *f, uint8_t *block)
{
    int at[2];
    for (uint32_t i = 0; i < f->block_bytes; i++) block[i] = (uint8_t)random_u32();
    scale_places(f->id, at);
    for (int i = 0; i < 2; i++)
        if (at[i] >= 0) block[at[i] + 1] &= 0xBF; /* below 2 */
    if (f->id == VT_FORMAT_F32) block[3] &= 0xBF;
    if (f->id == VT_FORMAT_BF16) block[1] &= 0xBF;
    if (f->id == VT_FORMAT_MXFP4 && block[0] > 240) block[0] = (uint8_t)(block[0] % 4);
}

typedef struct {
    const vt_format_info *format;
    uint32_t n_rows, n_cols, n_stack;
    size_t row_bytes;
    uint8_t *file;
    vt_matrix matrix;
} sample;

static void make_sample(sample *s, const vt_format_info *f, uint32_t n_rows, uint32_t n_stack)
{
    *s = (sample){.format = f, .n_rows = n_rows, .n_stack = n_stack};
    s->n_cols = f->block_len == 1 ? 37 : f->block_len * 3;
    s->row_bytes = (size_t)s->n_cols / f->block_len * f->block_bytes;
    const size_t n_bytes = s->row_bytes * n_rows * n_stack;
    s->file = malloc(n_bytes);
    assert_non_null(s->file);
    for (size_t i = 0; i < n_bytes; i += f->block_bytes) fill_block(f, s->file + i);
    const size_t tile_bytes = vt_tile_bytes(f->id, s->n_cols);
    const uint32_t n_tiles = vt_tiles_of(n_rows);
    uint8_t *tiles = aligned_alloc(64, tile_bytes * n_tiles * n_stack);
    assert_non_null(tiles);
    memset(tiles, 0xA5, tile_bytes * n_tiles * n_stack);
    for (uint32_t m = 0; m < n_stack; m++)
        for (uint32_t t = 0; t < n_tiles; t++)
            vt_tile_pack(f->id, s->file + ((size_t)m * n_rows + t * 16) * s->row_bytes,
                         n_rows - t * 16 < 16 ? n_rows - t * 16 : 16, s->n_cols,
                         tiles + ((size_t)m * n_tiles + t) * tile_bytes);
    s->matrix = (vt_matrix){f->id, n_rows, s->n_cols, n_stack, tiles};
}

static void free_sample(sample *s)
{
    free(s->file);
    free((void *)(uintptr_t)s->matrix.tiles);
}

/* The value as vetro rounds it: products and differences of floats. Formats with one product are
 * exact to one rounding; those with a minimum take two or three. */
static void check_sample(const sample *s)
{
    float *row = malloc(s->n_cols * sizeof *row);
    assert_non_null(row);
    for (uint32_t m = 0; m < s->n_stack; m++)
        for (uint32_t r = 0; r < s->n_rows; r++) {
            const uint8_t *file = s->file + ((size_t)m * s->n_rows + r) * s->row_bytes;
            vt_matrix_row(&s->matrix, m, r, row);
            for (uint32_t c = 0; c < s->n_cols; c++) {
                const uint8_t *block = file + c / s->format->block_len * s->format->block_bytes;
                double want = value_of(s->format->id, block, (int)(c % s->format->block_len));
                double got = (double)row[c], bound = 0;
                if (s->format->activation_len == 256) bound = 1.2e-7 * fabs(want) + 2e-5;
                if (s->format->id == VT_FORMAT_Q4_1) bound = 1.2e-7 * (fabs(want) + 32);
                if (bound == 0 ? got != (double)(float)want : !(fabs(got - want) <= bound))
                    fail_msg("%s matrix %u row %u column %u: %.9g, not %.9g", s->format->name, m, r,
                             c, got, want);
            }
        }
    free(row);
}

static void test_rows_read_back_as_the_files_layout_says(void **state)
{
    (void)state;
    static const uint32_t rows[] = {1, 5, 15, 16, 17, 32, 47};
    size_t n_formats;
    const vt_format_info *formats = vt_format_all(&n_formats);
    for (size_t i = 0; i < n_formats; i++)
        for (size_t r = 0; r < VT_COUNT(rows); r++) {
            sample s;
            make_sample(&s, &formats[i], rows[r], (uint32_t)r % 3 + 1);
            check_sample(&s);
            free_sample(&s);
        }
}

static void test_padded_rows_of_a_last_tile_give_zero(void **state)
{
    (void)state;
    enum { MAX_COLS = 768 };
    size_t n_formats;
    const vt_format_info *formats = vt_format_all(&n_formats);
    for (size_t i = 0; i < n_formats; i++) {
        const vt_format_info *f = &formats[i];
        sample s;
        make_sample(&s, f, 3, 1);
        float x[MAX_COLS], d[MAX_COLS / 32], y[16];
        int8_t q[MAX_COLS];
        int16_t sum16[MAX_COLS / 16], sum32[MAX_COLS / 32];
        for (int c = 0; c < MAX_COLS; c++) x[c] = (float)random_u32() * 1e-9f - 1.0f;
        if (f->activation_len)
            assert_true(
                vt_kernels_scalar()->quantize(x, s.n_cols, f->activation_len, q, d, sum16, sum32));
        vt_activations a = {x, q, d, sum16, sum32, s.n_cols};
        vt_kernels_scalar()->tile(f->id)(s.matrix.tiles, &a, 0, 1, y, 16);
        for (int lane = 3; lane < 16; lane++) assert_true(y[lane] == 0.0f);
        for (int lane = 0; lane < 3; lane++) assert_true(isfinite(y[lane]));
        free_sample(&s);
    }
}

static void test_tiles_are_whole_cache_lines_and_hold_their_rows(void **state)
{
    (void)state;
    size_t n_formats;
    const vt_format_info *formats = vt_format_all(&n_formats);
    for (size_t i = 0; i < n_formats; i++)
        for (uint32_t n_blocks = 1; n_blocks < 40; n_blocks++) {
            const vt_format_info *f = &formats[i];
            size_t bytes = vt_tile_bytes(f->id, n_blocks * f->block_len);
            size_t rows = (size_t)n_blocks * f->block_bytes * 16;
            assert_int_equal(bytes % 64, 0);
            assert_true(bytes >= rows && bytes < rows + 64);
        }
    assert_int_equal(vt_tiles_of(1), 1);
    assert_int_equal(vt_tiles_of(16), 1);
    assert_int_equal(vt_tiles_of(17), 2);
    assert_int_equal(vt_tiles_of(UINT32_MAX), 0x10000000);
}

static void test_packing_writes_the_whole_tile_and_nothing_behind_it(void **state)
{
    (void)state;
    size_t n_formats;
    const vt_format_info *formats = vt_format_all(&n_formats);
    for (size_t i = 0; i < n_formats; i++)
        for (uint32_t n_rows = 1; n_rows <= 16; n_rows += 5) {
            sample s;
            make_sample(&s, &formats[i], n_rows, 1);
            const size_t bytes = vt_tile_bytes(s.format->id, s.n_cols);
            uint8_t *a = malloc(bytes + 64), *b = malloc(bytes + 64);
            assert_true(a != NULL && b != NULL);
            memset(a, 0x00, bytes + 64);
            memset(b, 0xFF, bytes + 64);
            vt_tile_pack(s.format->id, s.file, n_rows, s.n_cols, a);
            vt_tile_pack(s.format->id, s.file, n_rows, s.n_cols, b);
            assert_memory_equal(a, b, bytes);
            for (size_t k = bytes; k < bytes + 64; k++) assert_true(a[k] == 0 && b[k] == 0xFF);
            free(a);
            free(b);
            free_sample(&s);
        }
}

/* Packed files hold tiles (model/packed.h): a layout that changes without another VT_TILE_LAYOUT
 * would be read as nonsense. Whoever changes one raises that number and writes the new sums here.
 */
static void test_the_layout_is_the_one_of_its_version(void **state)
{
    (void)state;
    static const struct {
        vt_format format;
        const char *sum; /* the first digits of the tiles' SHA-256 */
    } known[] = {
        {VT_FORMAT_F32, "09e8134606d5"},  {VT_FORMAT_F16, "a4a4c864525a"},
        {VT_FORMAT_BF16, "d256dcc141b4"}, {VT_FORMAT_Q8_0, "9e13e722c442"},
        {VT_FORMAT_Q4_0, "fabb02a22dbd"}, {VT_FORMAT_Q4_1, "e5afddeb483d"},
        {VT_FORMAT_Q5_0, "668e12f0b1f4"}, {VT_FORMAT_MXFP4, "9ff25f226e17"},
        {VT_FORMAT_Q4_K, "f16148036bfb"}, {VT_FORMAT_Q5_K, "4b18d04d1d4b"},
        {VT_FORMAT_Q6_K, "9f073ec611e5"},
    };
    assert_int_equal(VT_TILE_LAYOUT, 1);
    for (size_t i = 0; i < VT_COUNT(known); i++) {
        sample s;
        uint8_t digest[VT_SHA256_BYTES];
        char hex[VT_SHA256_HEX + 1];
        random_state = 20261124 + (uint64_t)known[i].format;
        make_sample(&s, vt_format_by_id((uint32_t)known[i].format), 21, 2);
        size_t n = vt_tile_bytes(known[i].format, s.n_cols) * 2 * 2;
        assert_int_equal(vt_sha256_bytes(vt_slice_of(s.matrix.tiles, n), digest, NULL), VT_OK);
        vt_sha256_hex(digest, hex);
        if (memcmp(hex, known[i].sum, 12) != 0)
            fail_msg("%s: its tiles are %.12s, not %s", s.format->name, hex, known[i].sum);
        free_sample(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_read_back_as_the_files_layout_says),
        cmocka_unit_test(test_padded_rows_of_a_last_tile_give_zero),
        cmocka_unit_test(test_tiles_are_whole_cache_lines_and_hold_their_rows),
        cmocka_unit_test(test_packing_writes_the_whole_tile_and_nothing_behind_it),
        cmocka_unit_test(test_the_layout_is_the_one_of_its_version),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
