/* Tile products where they could go wrong: every number of tokens, rows of every length, and
 * weights, scales and activations at their extremes, where sums in 16 bits would overflow. Every
 * instruction set of this machine against the scalar kernels, by memcmp. Buffers are exactly as
 * large as they must be, for AddressSanitizer (which sees the loads of the code without inline
 * assembler, see avx512.c). */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/kernels.h"
#include "kernels/math.h"
#include "support/isas.h"
#include "support/random.h"

enum { TOKENS = 21, MANY_TOKENS = 50 };

/* One product: a tile of 16 rows and the activations of n_tokens tokens. */
typedef struct {
    const vt_format_info *format;
    uint32_t n_cols, n_tokens;
    uint8_t *rows;
    uint8_t *tile;
    float *x;
    int8_t *q;
    float *d;
    int16_t *sum16;
    int16_t *sum32;
    vt_activations a;
} product;

static void *allocate(size_t bytes)
{
    void *p = calloc(1, bytes);
    assert_non_null(p);
    return p;
}

static void product_init(product *p, const vt_format_info *f, uint32_t n_cols, uint32_t n_tokens)
{
    const size_t n = (size_t)n_tokens * n_cols, block = f->activation_len ? f->activation_len : 1;
    *p = (product){.format = f, .n_cols = n_cols, .n_tokens = n_tokens};
    p->rows = allocate((size_t)16 * (n_cols / f->block_len) * f->block_bytes);
    p->tile = aligned_alloc(VT_TILE_ALIGN, vt_tile_bytes(f->id, n_cols));
    assert_non_null(p->tile);
    p->x = allocate(n * sizeof *p->x);
    p->q = allocate(n);
    p->d = allocate(n / block * sizeof *p->d);
    p->sum16 = allocate((n / 16 + 1) * sizeof *p->sum16);
    p->sum32 = allocate((n / 32 + 1) * sizeof *p->sum32);
    p->a = (vt_activations){p->x, p->q, p->d, p->sum16, p->sum32, n_cols};
}

static void product_deinit(product *p)
{
    free(p->rows);
    free(p->tile);
    free(p->x);
    free(p->q);
    free(p->d);
    free(p->sum16);
    free(p->sum32);
}

/* Packs the rows and quantises x. */
static void product_ready(product *p)
{
    const uint32_t block = p->format->activation_len, n = p->n_cols;
    vt_tile_pack(p->format->id, p->rows, 16, n, p->tile);
    for (size_t t = 0; t < p->n_tokens && block != 0; t++)
        assert_true(vt_kernels_scalar()->quantize(
            p->x + t * n, n, block, p->q + t * n, p->d + t * (n / block),
            block == 256 ? p->sum16 + t * (n / 16) : NULL, p->sum32 + t * (n / 32)));
}

/* Every vectorised kernel against the scalar one, n tokens from `first` on for some n and first;
 * what lies behind the last token stays as it was. */
static void check_product(const product *p, const char *what, uint32_t most_tokens)
{
    enum { STRIDE = 19 };
    const vt_kernels *all[ISAS_MOST];
    const size_t n_isas = isas_to_test(all);
    const vt_format id = p->format->id;
    float want[MANY_TOKENS][STRIDE], got[MANY_TOKENS][STRIDE], untouched[MANY_TOKENS][STRIDE];
    memset(want, 0xEE, sizeof want);
    memset(untouched, 0xEE, sizeof untouched);
    all[0]->tile(id)(p->tile, &p->a, 0, p->n_tokens, want[0], STRIDE);
    for (size_t i = 1; i < n_isas; i++)
        for (uint32_t n = 1; n <= most_tokens; n++) {
            const uint32_t first = n % 4;
            memset(got, 0xEE, sizeof got);
            all[i]->tile(id)(p->tile, &p->a, first, n, got[0], STRIDE);
            if (memcmp(got, want[first], n * sizeof got[0]) != 0)
                fail_msg("%s differs from scalar for %s, %s, %u columns, %u tokens", all[i]->name,
                         p->format->name, what, p->n_cols, n);
            assert_memory_equal(got[n], untouched, (MANY_TOKENS - n) * sizeof got[0]);
        }
}

/* The float scales of a block, so that no product is infinite. */
static void set_float_scales(const vt_format_info *f, uint8_t *block)
{
    const uint16_t d = vt_f32_to_f16(0.75f), m = vt_f32_to_f16(-0.4375f);
    const float wide = (float)(int32_t)random_u32() * 0x1p-31f;
    switch (f->id) {
    case VT_FORMAT_F32: memcpy(block, &wide, 4); break;
    case VT_FORMAT_F16:
    case VT_FORMAT_BF16: block[1] &= 0xBF; break;
    case VT_FORMAT_MXFP4: block[0] = (uint8_t)(120 + block[0] % 16); break;
    case VT_FORMAT_Q6_K: memcpy(block + 208, &d, 2); break;
    case VT_FORMAT_Q4_1:
    case VT_FORMAT_Q4_K:
    case VT_FORMAT_Q5_K: memcpy(block + 2, &m, 2); /* fall through */
    default: memcpy(block, &d, 2); break;
    }
}

static void fill_random(product *p)
{
    const vt_format_info *f = p->format;
    const size_t n = (size_t)16 * (p->n_cols / f->block_len);
    for (size_t b = 0; b < n; b++) {
        uint8_t *block = p->rows + b * f->block_bytes;
        for (uint32_t i = 0; i < f->block_bytes; i++) block[i] = (uint8_t)random_u32();
        set_float_scales(f, block);
    }
    for (size_t i = 0; i < (size_t)p->n_tokens * p->n_cols; i++)
        p->x[i] = (float)(int32_t)random_u32() * 0x1p-30f;
    product_ready(p);
}

static void test_every_number_of_tokens_and_every_length_gives_the_scalar_bits(void **state)
{
    (void)state;
    size_t n_formats;
    const vt_format_info *formats = vt_format_all(&n_formats);
    for (size_t i = 0; i < n_formats; i++) {
        /* 1 to 19 blocks of 32, so that the last of those decoded together are 1 to 8; 1 to 3
         * blocks of 256 */
        const uint32_t most = formats[i].block_len == 256 ? 3 : 19;
        for (uint32_t n = 1; n <= most; n++) {
            product p;
            product_init(&p, &formats[i], n * formats[i].block_len,
                         n == most ? MANY_TOKENS : TOKENS);
            fill_random(&p);
            check_product(&p, "random", n == most ? 47 : 5);
            product_deinit(&p);
        }
    }
}

/* Every quant byte `quants`, every integer scale byte `scales`. */
static void fill_weights(product *p, uint8_t quants, uint8_t scales)
{
    const vt_format_info *f = p->format;
    const size_t n = (size_t)16 * (p->n_cols / f->block_len);
    for (size_t b = 0; b < n; b++) {
        uint8_t *block = p->rows + b * f->block_bytes;
        memset(block, quants, f->block_bytes);
        if (f->id == VT_FORMAT_Q4_K || f->id == VT_FORMAT_Q5_K) memset(block + 4, scales, 12);
        if (f->id == VT_FORMAT_Q6_K) memset(block + 192, scales, 16);
        set_float_scales(f, block);
    }
}

/* Activations that quantise to 127 and -127: all alike, or with signs in stripes, so that the
 * columns whose products are added together in one lane or one half of a lane agree. */
static void fill_signs(product *p)
{
    for (size_t t = 0; t < p->n_tokens; t++)
        for (size_t c = 0; c < p->n_cols; c++) {
            static const size_t stripes[] = {4096, 1, 2, 4, 16, 32};
            const bool is_odd = c / stripes[t / 2 % VT_COUNT(stripes)] % 2 != t % 2;
            p->x[t * p->n_cols + c] = is_odd ? -1.0f : 1.0f;
        }
}

static void test_weights_scales_and_activations_at_their_extremes_do_not_overflow(void **state)
{
    (void)state;
    /* Among them, for every format, all weights largest and all smallest: nibbles 15 and 0, for
     * MXFP4 7 and 15, bytes 127 and -128. */
    static const uint8_t quants[] = {0x00, 0xFF, 0x77, 0x88, 0x7F, 0x80, 0x0F, 0xF0};
    static const uint8_t scales[] = {0xFF, 0x7F, 0x80};
    size_t n_formats;
    const vt_format_info *formats = vt_format_all(&n_formats);
    for (size_t i = 0; i < n_formats; i++) {
        if (formats[i].activation_len == 0) continue;
        product p;
        product_init(&p, &formats[i], 512, TOKENS);
        fill_signs(&p);
        for (size_t w = 0; w < VT_COUNT(quants); w++)
            for (size_t s = 0; s < VT_COUNT(scales); s++) {
                char what[48];
                snprintf(what, sizeof what, "quants %02x, scales %02x", quants[w], scales[s]);
                fill_weights(&p, quants[w], scales[s]);
                product_ready(&p);
                assert_int_equal(p.q[0], 127);
                assert_int_equal(p.q[p.n_cols], -127);
                check_product(&p, what, 17);
            }
        product_deinit(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_number_of_tokens_and_every_length_gives_the_scalar_bits),
        cmocka_unit_test(test_weights_scales_and_activations_at_their_extremes_do_not_overflow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
