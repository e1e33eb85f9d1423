/* Every kernel of every instruction set this machine has, against the scalar one, by memcmp. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/kernels.h"
#include "kernels/math.h"
#include "support/isas.h"
#include "support/random.h"

static float random_float(float scale)
{
    return ((float)(random_u32() % 2000001) - 1000000.0f) * 1e-6f * scale;
}

/* Call check(k) for each vectorised table that this CPU can run. */
static void for_each_isa(void (*check)(const vt_kernels *k))
{
    const vt_kernels *all[ISAS_MOST];
    const size_t n = isas_to_test(all);
    for (size_t i = 1; i < n; i++) check(all[i]);
    if (n == 1) print_message("only the scalar kernels run on this machine\n");
}

enum { ANY_BYTE = -1 };

static size_t row_bytes(const vt_format_info *f, uint32_t n_cols)
{
    return (size_t)(n_cols / f->block_len) * f->block_bytes;
}

/* Bytes of one value; the float scales are finite. */
static void fill_block_with(const vt_format_info *f, int byte, uint8_t *block)
{
    for (uint32_t i = 0; i < f->block_bytes; i++)
        block[i] = (uint8_t)(byte == ANY_BYTE ? (int)(random_u32() & 255) : byte);
    uint16_t d = vt_f32_to_f16(random_float(0.01f)), m = vt_f32_to_f16(random_float(0.01f));
    float wide = random_float(1.0f);
    switch (f->id) {
    case VT_FORMAT_F32: memcpy(block, &wide, 4); break;
    case VT_FORMAT_F16: memcpy(block, &d, 2); break;
    case VT_FORMAT_BF16: block[1] = (uint8_t)(0x38 | (block[1] & 0x83)); break;
    case VT_FORMAT_MXFP4:
        block[0] = random_u32() % 16 == 0 ? block[0] % 4 : (uint8_t)(118 + block[0] % 16);
        break;
    case VT_FORMAT_Q6_K: memcpy(block + 208, &d, 2); break;
    case VT_FORMAT_Q4_1:
    case VT_FORMAT_Q4_K:
    case VT_FORMAT_Q5_K: memcpy(block + 2, &m, 2); /* fall through */
    default: memcpy(block, &d, 2); break;
    }
}

/* Random blocks: every bit pattern of the quants and scales occurs. */
static void fill_block(const vt_format_info *f, uint8_t *block)
{
    fill_block_with(f, ANY_BYTE, block);
}

enum { COLS = 1024, TOKENS = 19 };

typedef struct {
    float x[TOKENS][COLS];
    int8_t q[TOKENS][COLS];
    float d[TOKENS][COLS / 32];
    int16_t sum16[TOKENS][COLS / 16];
    int16_t sum32[TOKENS][COLS / 32];
} test_activations;

static void fill_activations(test_activations *a, uint32_t block)
{
    const vt_kernels *k = vt_kernels_scalar();
    for (int t = 0; t < TOKENS; t++) {
        for (int c = 0; c < COLS; c++)
            a->x[t][c] = t == 3 ? 1.0f : random_float(t == 4 ? 1e-20f : 3.0f);
        if (t == 5) memset(a->x[t] + 256, 0, 256 * sizeof(float));
        if (block != 0)
            assert_true(k->quantize(a->x[t], COLS, block, a->q[t],
                                    a->d[0] + (size_t)t * (COLS / block), a->sum16[t],
                                    a->sum32[t]));
    }
}

static void check_tiles(const vt_kernels *k)
{
    static const uint32_t rows_of_case[] = {16, 16, 5, 1};
    size_t n_formats;
    const vt_format_info *formats = vt_format_all(&n_formats);
    test_activations *a = calloc(1, sizeof *a);
    assert_non_null(a);
    for (size_t i = 0; i < n_formats; i++) {
        const vt_format_info *f = &formats[i];
        fill_activations(a, f->activation_len);
        vt_activations view = {&a->x[0][0],     &a->q[0][0],     &a->d[0][0],
                               &a->sum16[0][0], &a->sum32[0][0], COLS};
        for (size_t n = 0; n < VT_COUNT(rows_of_case); n++) {
            uint8_t *rows = malloc(16 * row_bytes(f, COLS));
            uint8_t *tile = aligned_alloc(64, vt_tile_bytes(f->id, COLS));
            assert_true(rows != NULL && tile != NULL);
            for (size_t b = 0; b < 16 * row_bytes(f, COLS); b += f->block_bytes)
                fill_block(f, rows + b);
            vt_tile_pack(f->id, rows, rows_of_case[n], COLS, tile);
            static float want[TOKENS][16], got[TOKENS][16];
            for (uint32_t first = 0; first < 3; first++) {
                uint32_t n_tokens = first == 0 ? TOKENS : first == 1 ? 7 : 1;
                memset(want, 0xFF, sizeof want);
                memset(got, 0xFF, sizeof got);
                vt_kernels_scalar()->tile(f->id)(tile, &view, first, n_tokens, want[0], 16);
                k->tile(f->id)(tile, &view, first, n_tokens, got[0], 16);
                if (memcmp(want, got, sizeof want) != 0)
                    fail_msg("%s differs from scalar for %s, %u rows, %u tokens", k->name, f->name,
                             rows_of_case[n], n_tokens);
                for (uint32_t r = rows_of_case[n]; r < 16; r++) assert_true(want[0][r] == 0.0f);
            }
            free(rows);
            free(tile);
        }
    }
    free(a);
}

static void test_tile_products_equal_the_scalar_ones_bit_for_bit(void **state)
{
    (void)state;
    for_each_isa(check_tiles);
}

/* All values of the activations' extremes, which no quantisation gives together. */
static void fill_extremes(test_activations *a, uint32_t n_cols)
{
    int8_t *q = &a->q[0][0];
    int16_t *sum16 = &a->sum16[0][0], *sum32 = &a->sum32[0][0];
    memset(a->sum16, 0, sizeof a->sum16);
    memset(a->sum32, 0, sizeof a->sum32);
    for (uint32_t i = 0; i < TOKENS * n_cols; i++) {
        const uint32_t t = i / n_cols;
        q[i] = t % 3 == 0 ? 127 : t % 3 == 1 ? -127 : i % 2 ? 127 : -127;
        sum16[i / 16] = (int16_t)(sum16[i / 16] + q[i]);
        sum32[i / 32] = (int16_t)(sum32[i / 32] + q[i]);
    }
    float *d = &a->d[0][0];
    for (size_t i = 0; i < TOKENS * COLS / 32; i++) d[i] = random_float(0.1f);
}

/* Row lengths of every number of blocks up to n_blocks, all weights with the byte `byte`, every
 * number of tokens. */
static void check_extremes(const vt_kernels *k, const vt_format_info *f, uint32_t n_blocks,
                           int byte, test_activations *a)
{
    static float want[TOKENS][16], got[TOKENS][16];
    for (uint32_t b = 1; b <= n_blocks; b++) {
        const uint32_t n_cols = b * f->block_len;
        fill_extremes(a, n_cols);
        vt_activations view = {&a->x[0][0],     &a->q[0][0],     &a->d[0][0],
                               &a->sum16[0][0], &a->sum32[0][0], n_cols};
        uint8_t *rows = malloc(16 * row_bytes(f, n_cols));
        uint8_t *tile = aligned_alloc(64, (vt_tile_bytes(f->id, n_cols) + 63) / 64 * 64);
        assert_true(rows != NULL && tile != NULL);
        for (size_t i = 0; i < 16 * row_bytes(f, n_cols); i += f->block_bytes)
            fill_block_with(f, byte, rows + i);
        vt_tile_pack(f->id, rows, 16, n_cols, tile);
        vt_kernels_scalar()->tile(f->id)(tile, &view, 1, TOKENS - 1, want[0], 16);
        for (uint32_t n = 1; n < TOKENS; n++) {
            k->tile(f->id)(tile, &view, 1, n, got[0], 16);
            if (memcmp(want, got, n * sizeof want[0]) != 0)
                fail_msg("%s differs from scalar for %s, %u blocks of bytes %d, %u tokens", k->name,
                         f->name, b, byte, n);
        }
        free(rows);
        free(tile);
    }
}

static void check_all_extremes(const vt_kernels *k)
{
    static const int bytes[] = {ANY_BYTE, 0x00, 0xFF, 0x80, 0x7F, 0x88, 0x0F};
    size_t n_formats;
    const vt_format_info *formats = vt_format_all(&n_formats);
    test_activations *a = calloc(1, sizeof *a);
    assert_non_null(a);
    for (size_t i = 0; i < n_formats; i++)
        for (size_t n = 0; n < VT_COUNT(bytes) && formats[i].activation_len != 0; n++)
            check_extremes(k, &formats[i], formats[i].block_len == 256 ? 2 : 10, bytes[n], a);
    free(a);
}

static void test_tile_products_hold_at_the_extremes_for_all_lengths_and_tokens(void **state)
{
    (void)state;
    for_each_isa(check_all_extremes);
}

static void test_scalar_tile_products_are_near_the_products_of_unpacked_rows(void **state)
{
    (void)state;
    size_t n_formats;
    const vt_format_info *formats = vt_format_all(&n_formats);
    test_activations *a = calloc(1, sizeof *a);
    for (size_t i = 0; i < n_formats; i++) {
        const vt_format_info *f = &formats[i];
        fill_activations(a, f->activation_len);
        vt_activations view = {&a->x[0][0],     &a->q[0][0],     &a->d[0][0],
                               &a->sum16[0][0], &a->sum32[0][0], COLS};
        uint8_t *rows = malloc(16 * row_bytes(f, COLS));
        uint8_t *tile = aligned_alloc(64, vt_tile_bytes(f->id, COLS));
        for (size_t b = 0; b < 16 * row_bytes(f, COLS); b += f->block_bytes)
            fill_block(f, rows + b);
        vt_tile_pack(f->id, rows, 16, COLS, tile);
        vt_matrix m = {f->id, 16, COLS, 1, tile};
        float y[16], w[COLS];
        vt_kernels_scalar()->tile(f->id)(tile, &view, 0, 1, y, 16);
        for (uint32_t r = 0; r < 16; r++) {
            vt_matrix_row(&m, 0, r, w);
            double sum = 0, size = 0;
            for (int c = 0; c < COLS; c++) {
                double x = f->activation_len ? (double)a->q[0][c] *
                                                   (double)a->d[0][(uint32_t)c / f->activation_len]
                                             : (double)a->x[0][c];
                sum += (double)w[c] * x;
                size += fabs((double)w[c] * x);
            }
            if (fabs(sum - (double)y[r]) > 1e-5 * size)
                fail_msg("%s row %u: %g, expected %g", f->name, r, (double)y[r], sum);
        }
        free(rows);
        free(tile);
    }
    free(a);
}

static void check_quantize(const vt_kernels *k)
{
    test_activations *want = calloc(1, sizeof *want), *got = calloc(1, sizeof *got);
    for (uint32_t block = 32; block <= 256; block *= 8) {
        fill_activations(want, block);
        memcpy(got->x, want->x, sizeof got->x);
        for (int t = 0; t < TOKENS; t++)
            assert_true(k->quantize(got->x[t], COLS, block, got->q[t],
                                    got->d[0] + (size_t)t * (COLS / block), got->sum16[t],
                                    got->sum32[t]));
        assert_memory_equal(want, got, sizeof *want);
        float bad[256] = {0};
        int8_t q[256];
        float d[8];
        int16_t s16[16], s32[8];
        bad[77] = NAN;
        assert_false(k->quantize(bad, 256, block, q, d, s16, s32));
        bad[77] = -INFINITY;
        assert_false(k->quantize(bad, 256, block, q, d, NULL, s32));
        bad[77] = 3e38f;
        assert_true(k->quantize(bad, 256, block, q, d, NULL, s32));
        assert_int_equal(q[77], 127);
    }
    free(want);
    free(got);
}

static void test_quantising_gives_the_same_bits_and_refuses_what_is_not_finite(void **state)
{
    (void)state;
    check_quantize(vt_kernels_scalar());
    for_each_isa(check_quantize);
}

static void check_elementwise(const vt_kernels *k)
{
    const vt_kernels *s = vt_kernels_scalar();
    enum { N = 320 };
    float x[N], w[N], a[N], b[N];
    for (uint32_t n = 1; n <= N; n = n < 20 ? n + 1 : n + 50) {
        for (int i = 0; i < N; i++) {
            x[i] = random_float(i % 7 == 0 ? 100.0f : 5.0f);
            w[i] = random_float(9.0f);
        }
        x[0] = -0.0f;
        s->silu_mul(x, w, n, a), k->silu_mul(x, w, n, b);
        assert_memory_equal(a, b, n * 4);
        s->swiglu_clamped(x, w, n, 1.702f, 7.0f, a), k->swiglu_clamped(x, w, n, 1.702f, 7.0f, b);
        assert_memory_equal(a, b, n * 4);
        s->add(a, x, n), k->add(b, x, n);
        assert_memory_equal(a, b, n * 4);
        s->add_scaled(a, w, 0.3f, n), k->add_scaled(b, w, 0.3f, n);
        assert_memory_equal(a, b, n * 4);
        uint16_t ha[N], hb[N];
        assert_true(s->to_f16(x, n, ha) && k->to_f16(x, n, hb));
        assert_memory_equal(ha, hb, n * 2);
        if (n % 2 == 0) {
            for (int inter = 0; inter < 2; inter++) {
                s->rope(a, x, w, n, inter), k->rope(b, x, w, n, inter);
                assert_memory_equal(a, b, n * 4);
            }
        }
    }
    assert_true(s->rms_norm(x, w, N, 1e-5f, a) && k->rms_norm(x, w, N, 1e-5f, b));
    assert_memory_equal(a, b, sizeof a);
    x[17] = INFINITY;
    assert_false(k->rms_norm(x, w, N, 1e-5f, b));
    x[17] = 65520.0f;
    uint16_t h[N];
    assert_false(k->to_f16(x, N, h));
    x[17] = -65519.0f;
    assert_true(k->to_f16(x, N, h));
}

static void test_elementwise_kernels_equal_the_scalar_ones_for_every_length(void **state)
{
    (void)state;
    check_elementwise(vt_kernels_scalar());
    for_each_isa(check_elementwise);
}

static void test_lane_exp_is_the_same_function_as_expf(void **state)
{
    (void)state;
    for (int i = 0; i < 20000; i++) {
        float x = random_float(90.0f), one = 1.0f, y;
        vt_kernels_scalar()->silu_mul(&x, &one, 1, &y);
        float want = vt_siluf(x);
        assert_memory_equal(&want, &y, 4);
    }
}

enum { HEAD = 48, SLOTS = 300, KEYS = SLOTS * VT_KEY_TILE, ROWS = 7 };

typedef struct {
    float k[SLOTS * HEAD * VT_KEY_TILE];
    float v[SLOTS * HEAD * VT_KEY_TILE];
    uint16_t half_k[SLOTS * HEAD * VT_KEY_TILE];
    uint16_t half_v[SLOTS * HEAD * VT_KEY_TILE];
    float q[ROWS][HEAD];
    float scratch[VT_ATTEND_SCRATCH(HEAD)];
} test_cache;

static test_cache *cache;

static void run_attend(const vt_kernels *k, bool is_f32, const float *sink, const uint32_t *begin,
                       const uint32_t *end, float out[ROWS][HEAD])
{
    const float *q[ROWS];
    float *o[ROWS];
    for (int r = 0; r < ROWS; r++) {
        q[r] = cache->q[r];
        o[r] = out[r];
    }
    vt_attend_job job = {
        .kv = {is_f32 ? (void *)cache->k : (void *)cache->half_k,
               is_f32 ? (void *)cache->v : (void *)cache->half_v, SLOTS, HEAD,
               is_f32 ? VT_KV_F32 : VT_KV_F16},
        .n_rows = ROWS,
        .q = q,
        .out = o,
        .begin = begin,
        .end = end,
        .sink = sink,
        .scale = 0.14f,
        .scratch = cache->scratch,
    };
    k->attend(&job);
}

static const uint32_t spans[][2][ROWS] = {
    {{0, 0, 0, 0, 0, 0, 0}, {1, 2, 31, 32, 33, 64, 65}},
    {{0, 0, 0, 0, 0, 0, 0}, {100, 100, 100, 100, 100, 100, 100}},
    {{90, 91, 92, 93, 94, 95, 96}, {218, 219, 220, 221, 222, 223, 224}},
    {{0, 0, 0, 0, 8000, 8192, 8191}, {8192, 8193, 9000, 9599, 9600, 8200, 8193}},
};

static void check_attend(const vt_kernels *k)
{
    float sink[ROWS] = {0.1f, -3.0f, 9.0f, 0.0f, 2.0f, -1.0f, 0.5f};
    for (size_t i = 0; i < VT_COUNT(spans); i++)
        for (int f32 = 0; f32 < 2; f32++)
            for (int with_sink = 0; with_sink < 2; with_sink++) {
                float want[ROWS][HEAD], got[ROWS][HEAD];
                run_attend(vt_kernels_scalar(), f32, with_sink ? sink : NULL, spans[i][0],
                           spans[i][1], want);
                run_attend(k, f32, with_sink ? sink : NULL, spans[i][0], spans[i][1], got);
                assert_memory_equal(want, got, sizeof want);
                for (int r = 0; r < ROWS; r++) { /* against plain softmax in double */
                    double sum = with_sink ? exp((double)sink[r]) : 0, o = 0;
                    for (uint32_t p = spans[i][0][r]; p < spans[i][1][r]; p++) {
                        double dot = 0;
                        for (uint32_t d = 0; d < HEAD; d++)
                            dot += (double)cache->q[r][d] *
                                   (double)cache->k[p / VT_KEY_TILE * HEAD * VT_KEY_TILE +
                                                    d * VT_KEY_TILE + p % VT_KEY_TILE];
                        double e = exp(dot * 0.14);
                        sum += e;
                        o += e * (double)cache->v[(size_t)p * HEAD + 5];
                    }
                    if (fabs(o / sum - (double)want[r][5]) > 2e-5)
                        fail_msg("span %zu row %d: %g, expected %g", i, r, (double)want[r][5],
                                 o / sum);
                }
            }
}

static void test_attention_equals_the_scalar_one_and_plain_softmax(void **state)
{
    (void)state;
    cache = calloc(1, sizeof *cache);
    assert_non_null(cache);
    for (size_t i = 0; i < (size_t)SLOTS * HEAD * VT_KEY_TILE; i++) {
        cache->half_k[i] = vt_f32_to_f16(random_float(1.0f));
        cache->half_v[i] = vt_f32_to_f16(random_float(1.0f));
        cache->k[i] = vt_f16_to_f32(cache->half_k[i]);
        cache->v[i] = vt_f16_to_f32(cache->half_v[i]);
    }
    for (int r = 0; r < ROWS; r++)
        for (int d = 0; d < HEAD; d++) cache->q[r][d] = random_float(3.0f);
    check_attend(vt_kernels_scalar());
    for_each_isa(check_attend);
    free(cache);
}

static void test_a_row_does_not_depend_on_its_neighbours(void **state)
{
    (void)state;
    cache = calloc(1, sizeof *cache);
    for (size_t i = 0; i < (size_t)SLOTS * HEAD * VT_KEY_TILE; i++)
        cache->k[i] = cache->v[i] = random_float(1.0f);
    for (int d = 0; d < HEAD; d++) cache->q[0][d] = random_float(3.0f);
    for (int r = 1; r < ROWS; r++) memcpy(cache->q[r], cache->q[0], sizeof cache->q[0]);
    uint32_t begin[ROWS] = {0}, end[ROWS] = {777, 777, 777, 777, 777, 777, 777};
    float out[ROWS][HEAD];
    const vt_kernels *k = vt_kernels_select(NULL);
    run_attend(k, true, NULL, begin, end, out);
    for (int r = 1; r < ROWS; r++) assert_memory_equal(out[0], out[r], sizeof out[0]);
    free(cache);
}

/* ---- the number formats of a cache, and attention in pieces ---- */

enum { HEAD8 = 64, SLOTS8 = 600, GROUPS8 = 3, ROWS8 = 19 };

typedef struct {
    uint8_t *k[3], *v[3]; /* by vt_kv_type; F32 holds what Q8_0 stands for */
    float q[ROWS8][HEAD8], out[ROWS8][HEAD8];
    float part[ROWS8][HEAD8], parts[ROWS8][GROUPS8][HEAD8];
    float scratch[VT_ATTEND_SCRATCH(HEAD8)];
} typed_cache;

/* Scale and byte of dimension d of the key, or value, at a position. */
static float q8_scale(const typed_cache *c, bool is_v, uint32_t position, uint32_t d)
{
    const size_t n = (size_t)VT_KEY_TILE * HEAD8;
    const uint8_t *tile = (is_v ? c->v : c->k)[VT_KV_Q8_0] +
                          position / VT_KEY_TILE * vt_kv_head_tile_bytes(VT_KV_Q8_0, HEAD8);
    uint16_t half;
    memcpy(&half, tile + n + (d / 32 * VT_KEY_TILE + position % VT_KEY_TILE) * 2, 2);
    return vt_f16_to_f32(half);
}

static int8_t q8_byte(const typed_cache *c, bool is_v, uint32_t position, uint32_t d)
{
    const uint32_t key = position % VT_KEY_TILE;
    const uint8_t *block = (is_v ? c->v : c->k)[VT_KV_Q8_0] +
                           position / VT_KEY_TILE * vt_kv_head_tile_bytes(VT_KV_Q8_0, HEAD8) +
                           d / 32 * VT_KV_Q8_BLOCK;
    return (int8_t)block[is_v ? vt_kv_q8_at(key, d % 32) : vt_kv_q8_at(d % 32, key)];
}

/* Random bytes and scales, and next to them the floats: k[d][key], v[key][d] of each tile. */
static void fill_typed(typed_cache *c)
{
    const size_t n = (size_t)VT_KEY_TILE * HEAD8;
    for (int t = 0; t < 3; t++) {
        c->k[t] = calloc(SLOTS8, vt_kv_head_tile_bytes((vt_kv_type)t, HEAD8));
        c->v[t] = calloc(SLOTS8, vt_kv_head_tile_bytes((vt_kv_type)t, HEAD8));
    }
    for (size_t slot = 0; slot < SLOTS8; slot++)
        for (int is_v = 0; is_v < 2; is_v++) {
            uint8_t *q =
                (is_v ? c->v : c->k)[VT_KV_Q8_0] + slot * vt_kv_head_tile_bytes(VT_KV_Q8_0, HEAD8);
            uint16_t *scales = (uint16_t *)(void *)(q + n);
            for (size_t i = 0; i < n / 32; i++)
                scales[i] = vt_f32_to_f16(i % 97 == 5 ? 0.0f : random_float(0.02f));
            for (size_t i = 0; i < n; i++) q[i] = (uint8_t)((int)(random_u32() % 255) - 127);
            float *wide = (float *)(void *)(is_v ? c->v : c->k)[VT_KV_F32] + slot * n;
            for (uint32_t d = 0; d < HEAD8; d++)
                for (uint32_t key = 0; key < VT_KEY_TILE; key++) {
                    const uint32_t position = (uint32_t)slot * VT_KEY_TILE + key;
                    wide[is_v ? key * HEAD8 + d : d * VT_KEY_TILE + key] =
                        q8_scale(c, is_v, position, d) * (float)q8_byte(c, is_v, position, d);
                }
        }
    for (int r = 0; r < ROWS8; r++)
        for (int d = 0; d < HEAD8; d++) c->q[r][d] = r == 2 ? 0.0f : random_float(1.0f);
}

/* The keys that row r sees. */
static uint32_t begin_of(int r)
{
    return r % 3 == 0 ? 0 : (uint32_t)r * 900;
}

static uint32_t end_of(int r)
{
    return SLOTS8 * VT_KEY_TILE - (uint32_t)(r * r * 5);
}

static float sink_of(int r)
{
    return (float)r - 3.0f;
}

#define SCALE8 0.1f

static float tree_of_32(const float p[32])
{
    float partial[16];
    for (int i = 0; i < 16; i++) partial[i] = p[i] + p[i + 16];
    for (int step = 8; step > 0; step /= 2)
        for (int i = 0; i < step; i++) partial[i] = partial[i] + partial[i + step];
    return partial[0];
}

static float larger(float a, float b)
{
    return a > b ? a : b;
}

/* Rules 8 and 9 for a tile of Q8_0, sentence by sentence. */
static void q8_tile_by_the_book(const typed_cache *c, const int32_t *q, float to_score,
                                uint32_t begin, uint32_t end, vt_attend_state *state, float *out)
{
    float s[32], p[32] = {0}, max = -INFINITY;
    for (uint32_t i = begin; i < end; i++) {
        float sum = 0.0f;
        for (uint32_t b = 0; b < HEAD8 / 32; b++) {
            int32_t dot = 0;
            for (uint32_t d = 32 * b; d < 32 * b + 32; d++) dot += q[d] * q8_byte(c, false, i, d);
            sum = fmaf((float)dot, q8_scale(c, false, i, 32 * b), sum);
        }
        s[i % 32] = sum * to_score;
        max = larger(max, s[i % 32]);
    }
    const float both = larger(max, state->max), of_total = vt_expf(state->max - both),
                of_tile = vt_expf(max - both);
    for (uint32_t i = begin; i < end; i++) p[i % 32] = vt_expf(s[i % 32] - max);
    state->max = both;
    state->sum = fmaf(tree_of_32(p), of_tile, state->sum * of_total);
    for (uint32_t b = 0; b < HEAD8 / 32; b++) {
        float largest = 0.0f;
        for (uint32_t i = begin; i < end; i++)
            largest = larger(largest, fabsf(q8_scale(c, true, i, 32 * b)));
        const float to_units = largest > 0.0f ? 32767.0f / largest : 0.0f;
        for (uint32_t d = 32 * b; d < 32 * b + 32; d++) {
            int32_t sum = 0;
            for (uint32_t i = begin; i < end; i++)
                sum += (int32_t)rintf(p[i % 32] * (q8_scale(c, true, i, d) * to_units)) *
                       q8_byte(c, true, i, d);
            out[d] = fmaf((float)sum, largest / 32767.0f * of_tile, out[d] * of_total);
        }
    }
}

static void q8_row_by_the_book(const typed_cache *c, int r, float out[HEAD8])
{
    vt_attend_state total = {sink_of(r), 1.0f};
    float amax = 0.0f;
    int32_t q[HEAD8];
    for (int d = 0; d < HEAD8; d++) amax = larger(amax, fabsf(c->q[r][d]));
    for (int d = 0; d < HEAD8; d++)
        q[d] = amax > 0.0f ? (int32_t)rintf(c->q[r][d] * (32767.0f / amax)) : 0;
    memset(out, 0, HEAD8 * sizeof *out);
    for (uint32_t g = 0; g < GROUPS8; g++) {
        vt_attend_state state = {-INFINITY, 0.0f};
        float part[HEAD8] = {0};
        for (uint32_t i = g * VT_ATTEND_GROUP; i < (g + 1) * VT_ATTEND_GROUP; i += 32) {
            const uint32_t begin = begin_of(r) > i ? begin_of(r) : i,
                           end = end_of(r) < i + 32 ? end_of(r) : i + 32;
            if (begin < end)
                q8_tile_by_the_book(c, q, amax / 32767.0f * SCALE8, begin, end, &state, part);
        }
        if (state.sum == 0.0f) continue;
        const float both = larger(total.max, state.max), of_total = vt_expf(total.max - both),
                    of_part = vt_expf(state.max - both);
        total = (vt_attend_state){both, fmaf(state.sum, of_part, total.sum * of_total)};
        for (int d = 0; d < HEAD8; d++) out[d] = fmaf(part[d], of_part, out[d] * of_total);
    }
    for (int d = 0; d < HEAD8; d++) out[d] /= total.sum;
}

static void attend_typed(typed_cache *c, const vt_kernels *k, vt_kv_type type, int n_rows,
                         bool in_parts)
{
    const float *q[ROWS8];
    float *out[ROWS8], sink[ROWS8];
    uint32_t begin[ROWS8], end[ROWS8];
    vt_attend_state state[ROWS8], states[ROWS8][GROUPS8];
    for (int r = 0; r < ROWS8; r++) {
        q[r] = c->q[r];
        out[r] = in_parts ? c->part[r] : c->out[r];
        begin[r] = begin_of(r);
        end[r] = end_of(r);
        sink[r] = sink_of(r);
    }
    vt_attend_job job = {.kv = {c->k[type], c->v[type], SLOTS8, HEAD8, type},
                         .n_rows = (uint32_t)n_rows,
                         .q = q,
                         .out = out,
                         .begin = begin,
                         .end = end,
                         .sink = sink,
                         .state = state,
                         .scale = SCALE8,
                         .scratch = c->scratch};
    if (!in_parts) {
        k->attend(&job);
        return;
    }
    for (uint32_t g = 0; g < GROUPS8; g++) {
        k->attend_part(&job, g);
        for (int r = 0; r < n_rows; r++) {
            states[r][g] = state[r];
            memcpy(c->parts[r][g], c->part[r], sizeof c->part[r]);
        }
    }
    for (int r = 0; r < n_rows; r++)
        k->attend_merge(c->out[r], HEAD8, &sink[r], states[r], c->parts[r][0], GROUPS8);
}

static typed_cache *typed;
static float by_the_book[ROWS8][HEAD8], over_floats[ROWS8][HEAD8];

static void check_typed(const vt_kernels *k)
{
    /* one block of rows, two, and so many that a tile of halves is widened first */
    static const int n_rows[] = {1, 3, 6, 7, 8, 9, ROWS8};
    for (size_t i = 0; i < VT_COUNT(n_rows); i++)
        for (int in_parts = 0; in_parts < 2; in_parts++)
            for (int is_q8 = 0; is_q8 < 2; is_q8++) {
                memset(typed->out, 0, sizeof typed->out);
                attend_typed(typed, k, is_q8 ? VT_KV_Q8_0 : VT_KV_F32, n_rows[i], in_parts != 0);
                assert_memory_equal(is_q8 ? by_the_book : over_floats, typed->out,
                                    (size_t)n_rows[i] * sizeof typed->out[0]);
            }
}

static void test_attention_in_parts_and_over_a_q8_cache_is_by_the_book(void **state)
{
    (void)state;
    typed = calloc(1, sizeof *typed);
    assert_non_null(typed);
    fill_typed(typed);
    attend_typed(typed, vt_kernels_scalar(), VT_KV_F32, ROWS8, false);
    memcpy(over_floats, typed->out, sizeof over_floats);
    for (int r = 0; r < ROWS8; r++) q8_row_by_the_book(typed, r, by_the_book[r]);
    check_typed(vt_kernels_scalar());
    for_each_isa(check_typed);
    /* What rounding to 16 bits loses is small beside what was stored. */
    for (int r = 0; r < ROWS8; r++)
        for (int d = 0; d < HEAD8; d++)
            if (fabsf(by_the_book[r][d] - over_floats[r][d]) > 5e-5f)
                fail_msg("row %d, %d: %g, over the floats %g", r, d, (double)by_the_book[r][d],
                         (double)over_floats[r][d]);
    for (int t = 0; t < 3; t++) {
        free(typed->k[t]);
        free(typed->v[t]);
    }
    free(typed);
}

static void test_an_unknown_instruction_set_is_no_table(void **state)
{
    (void)state;
    assert_null(vt_kernels_select("mmx"));
    assert_string_equal(vt_kernels_select("scalar")->name, "scalar");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tile_products_equal_the_scalar_ones_bit_for_bit),
        cmocka_unit_test(test_tile_products_hold_at_the_extremes_for_all_lengths_and_tokens),
        cmocka_unit_test(test_scalar_tile_products_are_near_the_products_of_unpacked_rows),
        cmocka_unit_test(test_quantising_gives_the_same_bits_and_refuses_what_is_not_finite),
        cmocka_unit_test(test_elementwise_kernels_equal_the_scalar_ones_for_every_length),
        cmocka_unit_test(test_lane_exp_is_the_same_function_as_expf),
        cmocka_unit_test(test_attention_equals_the_scalar_one_and_plain_softmax),
        cmocka_unit_test(test_a_row_does_not_depend_on_its_neighbours),
        cmocka_unit_test(test_attention_in_parts_and_over_a_q8_cache_is_by_the_book),
        cmocka_unit_test(test_an_unknown_instruction_set_is_no_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
