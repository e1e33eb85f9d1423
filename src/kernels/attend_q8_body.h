/* attend_q8_body.h -- attention over a Q8_0 cache, rule 8 in integers. Part of attend_body.h.
 *
 * Queries and probabilities become 16-bit integers, whose products with the stored bytes are exact
 * sums in 32 bits: 32 * 127 * 32767 is below 2^27. One instruction multiplies pairs and adds them
 * up, for half the work of float products and none of widening each byte to a float. 16 bits, not
 * 8, so that what is lost is what the stored bytes have lost: half a unit of 1/32767 more.
 *
 * Scores and values are the same product, a block [16][32][2] of bytes with 16 pairs of each row:
 * see vt_kv_head. */

/* ---- queries ---- */

typedef struct {
    const int16_t *q;                /* [n_rows][head_dim], in pairs of dimensions 16 apart */
    float scale[VT_ATTEND_MAX_ROWS]; /* makes a score of a row's sum */
} q8_queries;

static void quantize_queries(const vt_attend_job *job, q8_queries *queries)
{
    const uint32_t head_dim = job->kv.head_dim;
    int16_t *q = (int16_t *)(void *)job->scratch;
    queries->q = q;
    for (uint32_t r = 0; r < job->n_rows; r++, q += head_dim) {
        const float *x = job->q[r];
        lanes16 largest = lanes_set(0.0f);
        for (uint32_t d = 0; d < head_dim; d += 16)
            largest = lanes_max(largest, lanes_abs(lanes_load(x + d)));
        const float amax = lanes_largest(largest);
        const bool is_zero = amax < 0x1p-100f;
        const lanes16 factor = lanes_set(is_zero ? 0.0f : 32767.0f / amax);
        queries->scale[r] = is_zero ? 0.0f : amax / 32767.0f * job->scale;
        for (uint32_t d = 0; d < head_dim; d += 32)
            lanes_store_pairs(q + d, lanes_mul(lanes_load(x + d), factor),
                              lanes_mul(lanes_load(x + d + 16), factor));
    }
}

/* ---- the product ---- */

/* The scales of block b of keys or values: halves behind the bytes. */
VT_INLINE const uint16_t *q8_scales(const key_tile *tile, const void *bytes, uint32_t b)
{
    return (const uint16_t *)((const uint8_t *)bytes + (size_t)VT_KEY_TILE * tile->head_dim) +
           (size_t)b * VT_KEY_TILE;
}

/* With AVX-512 products take little more than half of a tile's time, and to ask for a whole tile
 * meanwhile is to ask faster than memory answers. Half of a block's lines are asked for then, and
 * these, the others and its scales, in n_turns turns where there are no products. One core of an
 * Intel Xeon, 6 rows of 128 dimensions, ns a tile from memory: 830, and 780 so; AVX2, whose
 * products take longer, 1250 and 1310. */
enum { ASKS_EVENLY = ATTEND_PARTS == 2 };

VT_INLINE void ask_for_rest(const key_tile *tile, const void *bytes, uint32_t b, uint32_t turn,
                            uint32_t n_turns)
{
    const uint8_t *half = (const uint8_t *)bytes + (size_t)b * VT_KV_Q8_BLOCK + VT_KV_Q8_BLOCK / 2;
    if (!ASKS_EVENLY) return;
    if (turn == 0) ask_ahead(tile, q8_scales(tile, bytes, b));
    for (uint32_t i = turn; i < 8; i += n_turns) ask_ahead(tile, half + i * 64);
}

/* sum[r] = lanes 16 part .. 16 (part + ATTEND_PARTS) - 1 of a block with the 16 pairs of row r at
 * x + r * stride. */
VT_INLINE void multiply_block(const key_tile *tile, const uint8_t *block, uint32_t part, int rows,
                              const int16_t *x, size_t stride,
                              ints16 sum[ATTEND_Q8_ROWS][ATTEND_PARTS])
{
    for (int r = 0; r < rows; r++)
        for (int e = 0; e < ATTEND_PARTS; e++) sum[r][e] = ints_zero();
    for (uint32_t j = 0; j < 16; j++) {
        const uint8_t *at = block + j * 64 + part * 32;
        if (j % 2 == part) ask_ahead(tile, block + (ASKS_EVENLY ? j / 2 : j) * 64);
        pairs16 bytes[ATTEND_PARTS];
        for (int e = 0; e < ATTEND_PARTS; e++)
            bytes[e] = pairs_load_i8((const int8_t *)at + 32 * e);
#pragma GCC unroll 8
        for (int r = 0; r < rows; r++) {
            const pairs16 pair = pairs_set(x + (size_t)r * stride + 2 * j);
            for (int e = 0; e < ATTEND_PARTS; e++) sum[r][e] = ints_dot(sum[r][e], bytes[e], pair);
        }
    }
}

/* Scores of `rows` queries, not yet times their scale: one fma chain over the blocks. */
VT_INLINE void score_q8(const key_tile *tile, int rows, const int16_t *q, tile_scores *scores)
{
    for (int r = 0; r < rows; r++)
        for (uint32_t i = 0; i < VT_KEY_TILE; i += 16)
            lanes_store(scores[r].p + i, lanes_set(0.0f));
    for (uint32_t b = 0; b < tile->head_dim / 32; b++)
        for (uint32_t part = 0; part < VT_KEY_TILE / 16; part += ATTEND_PARTS) {
            ints16 sum[ATTEND_Q8_ROWS][ATTEND_PARTS];
            multiply_block(tile, (const uint8_t *)tile->k + (size_t)b * VT_KV_Q8_BLOCK, part, rows,
                           q + (size_t)b * 32, tile->head_dim, sum);
            for (uint32_t e = 0; e < ATTEND_PARTS; e++) {
                const lanes16 scale = lanes_load_f16(q8_scales(tile, tile->k, b) + 16 * (part + e));
                for (int r = 0; r < rows; r++) {
                    float *p = scores[r].p + 16 * (part + e);
                    lanes_store(p, lanes_fma(lanes_from_ints(sum[r][e]), scale, lanes_load(p)));
                }
            }
        }
}

/* ---- probabilities ---- */

/* What the running totals and a new tile's share are multiplied by, so that both refer to the
 * larger of their maxima. */
typedef struct {
    float of_total[8];
    float of_tile[8];
} q8_factors;
_Static_assert(ATTEND_Q8_ROWS <= 8, "the factors of a block are one lanes16");

/* Scores become probabilities relative to the tile's own maximum; the totals' state goes on to the
 * tile. */
static void soften_q8(const vt_attend_job *job, const q8_queries *queries, const key_tile *tile,
                      const row_block *block, tile_scores *scores, q8_factors *factors)
{
    vt_attend_state *state = job->state + block->first;
    float change[16] = {0}, max[ATTEND_Q8_ROWS];
    for (uint32_t r = 0; r < block->n; r++) {
        const lanes16 scale = lanes_set(queries->scale[block->first + r]);
        lanes16 low = lanes_mul(lanes_load(scores[r].p), scale),
                high = lanes_mul(lanes_load(scores[r].p + 16), scale);
        fill_outside(&low, &high, block->range[r], -INFINITY);
        max[r] = lanes_largest(lanes_max(low, high));
        const float both = max[r] > state[r].max ? max[r] : state[r].max;
        change[r] = state[r].max - both;
        change[8 + r] = max[r] - both;
        state[r].max = both;
        lanes_store(scores[r].p, low);
        lanes_store(scores[r].p + 16, high);
    }
    const lanes16 factor = lanes_exp(lanes_load(change));
    lanes_store(change, factor);
    memcpy(factors, change, sizeof *factors);
    for (uint32_t r = 0; r < block->n; r++) {
        for (uint32_t b = 0; b < tile->head_dim / 32; b++)
            ask_for_rest(tile, tile->k, b, r, block->n);
        /* A masked key is -inf here and exp gives it an exact 0. */
        const lanes16 m = lanes_set(max[r]);
        const lanes16 low = lanes_exp(lanes_sub(lanes_load(scores[r].p), m)),
                      high = lanes_exp(lanes_sub(lanes_load(scores[r].p + 16), m));
        lanes_store(scores[r].p, low);
        lanes_store(scores[r].p + 16, high);
        state[r].sum = fmaf(lanes_tree_sum(lanes_add(low, high)), factors->of_tile[r],
                            state[r].sum * factors->of_total[r]);
    }
}

/* ---- values ---- */

/* A tile's scales of values, by block: what a probability is multiplied by to be rounded to 16
 * bits, 32767 for the largest scale among the keys of the range, and what one such unit is. */
typedef struct {
    uint32_t range[2];
    float factor[VT_MAX_HEAD_DIM / 32][VT_KEY_TILE];
    float unit[16];
} q8_value_scales;
_Static_assert(VT_MAX_HEAD_DIM / 32 <= 16, "the units of a tile are one lanes16");

static void scale_values(const key_tile *tile, const uint32_t range[2], q8_value_scales *scales)
{
    const uint32_t n_blocks = tile->head_dim / 32;
    float largest[16] = {0}, to_units[16];
    memcpy(scales->range, range, sizeof scales->range);
    for (uint32_t b = 0; b < n_blocks; b++) {
        const uint16_t *halves = q8_scales(tile, tile->v, b);
        lanes16 low = lanes_load_f16(halves), high = lanes_load_f16(halves + 16);
        fill_outside(&low, &high, range, 0.0f);
        largest[b] = lanes_largest(lanes_max(lanes_abs(low), lanes_abs(high)));
        lanes_store(scales->factor[b], low);
        lanes_store(scales->factor[b] + 16, high);
    }
    const lanes16 all = lanes_load(largest), most = lanes_set(32767.0f);
    lanes_store(scales->unit, lanes_div(all, most));
    /* Zeros stay zeros: a half that is none is at least 2^-24. */
    lanes_store(to_units, lanes_div(most, lanes_max(all, lanes_set(0x1p-100f))));
    for (uint32_t b = 0; b < n_blocks; b++)
        for (uint32_t i = 0; i < VT_KEY_TILE; i += 16)
            lanes_store(scales->factor[b] + i,
                        lanes_mul(lanes_load(scales->factor[b] + i), lanes_set(to_units[b])));
}

/* out = out * factor of the total + tile's values; rows that see the same keys. */
VT_INLINE void gather_q8(const key_tile *tile, int rows, const tile_scores *scores,
                         const q8_value_scales *scales, const float *of_total, const float *of_tile,
                         float *const *out)
{
    float unit[ATTEND_Q8_ROWS][16];
    for (int r = 0; r < rows; r++)
        lanes_store(unit[r], lanes_mul(lanes_load(scales->unit), lanes_set(of_tile[r])));
    for (uint32_t b = 0; b < tile->head_dim / 32; b++) {
        int16_t p[ATTEND_Q8_ROWS][VT_KEY_TILE];
        const lanes16 low = lanes_load(scales->factor[b]),
                      high = lanes_load(scales->factor[b] + 16);
        for (int r = 0; r < rows; r++)
            lanes_store_pairs(p[r], lanes_mul(lanes_load(scores[r].p), low),
                              lanes_mul(lanes_load(scores[r].p + 16), high));
        for (uint32_t part = 0; part < 2; part += ATTEND_PARTS) {
            ints16 sum[ATTEND_Q8_ROWS][ATTEND_PARTS];
            multiply_block(tile, (const uint8_t *)tile->v + (size_t)b * VT_KV_Q8_BLOCK, part, rows,
                           p[0], VT_KEY_TILE, sum);
#pragma GCC unroll 8
            for (int r = 0; r < rows; r++) {
                if (part == 0) ask_for_rest(tile, tile->v, b, (uint32_t)r, (uint32_t)rows);
                const lanes16 before = lanes_set(of_total[r]), one = lanes_set(unit[r][b]);
                for (uint32_t e = 0; e < ATTEND_PARTS; e++) {
                    float *o = out[r] + b * 32 + 16 * (part + e);
                    lanes_store(o, lanes_fma(lanes_from_ints(sum[r][e]), one,
                                             lanes_mul(lanes_load(o), before)));
                }
            }
        }
    }
}

static void attend_q8_tile(const vt_attend_job *job, const q8_queries *queries, uint32_t i_tile,
                           key_tile *tile)
{
    tile_scores scores[ATTEND_Q8_ROWS];
    q8_factors factors;
    q8_value_scales scales;
    memset(scales.range, 0, sizeof scales.range); /* of no keys */
    row_block block = {0};
    while (next_rows(job, i_tile, ATTEND_Q8_ROWS, &block)) {
        const uint32_t r0 = block.first;
        const int16_t *q = queries->q + (size_t)r0 * tile->head_dim;
#define SCORE(n) score_q8(tile, n, q, scores)
        FOR_ROWS(block.n, ATTEND_Q8_ROWS, SCORE);
#undef SCORE
        soften_q8(job, queries, tile, &block, scores, &factors);
        for (uint32_t r = 0, n = 0; r < block.n; r += n) {
            n = rows_alike(&block, r);
            if (memcmp(block.range[r], scales.range, sizeof scales.range) != 0)
                scale_values(tile, block.range[r], &scales);
#define GATHER(n)                                                                      \
    gather_q8(tile, n, scores + r, &scales, factors.of_total + r, factors.of_tile + r, \
              job->out + r0 + r)
            FOR_ROWS(n, ATTEND_Q8_ROWS, GATHER);
#undef GATHER
        }
        tile->n_asks = 0;
    }
}
