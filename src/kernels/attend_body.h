/* attend_body.h -- attention, rule 8, written once over lanes16. Included by lanes_body.h, and so
 * exactly once in each instruction set's file.
 *
 * Rows go through a key tile in blocks that share every load of keys and values; a block holds as
 * many accumulators as there are registers. With few rows (decoding) half-precision tiles are
 * widened on the way into the product; with many they are widened once, into scratch. Q8_0 is
 * attend_q8_body.h. */

#include "kernels/tables.h"

/* Rows of a block, and vectors of 16 of a key or value row taken at once: ATTEND_ROWS *
 * ATTEND_PARTS accumulators of lanes16. The instruction set's file may have said. */
#ifndef ATTEND_ROWS
#define ATTEND_ROWS    6
#define ATTEND_Q8_ROWS 6
#define ATTEND_PARTS   1
#endif
_Static_assert(ATTEND_Q8_ROWS >= 4 && ATTEND_Q8_ROWS <= ATTEND_ROWS && ATTEND_ROWS <= 8,
               "see FOR_ROWS");

/* body(n) with n, 1 to `most`, known at compile time */
#define ROWS_AT_MOST(n, most) ((n) < (most) ? (n) : (most))
#define FOR_ROWS(n, most, body)                 \
    switch (n) {                                \
    case 1: body(1); break;                     \
    case 2: body(2); break;                     \
    case 3: body(3); break;                     \
    case 4: body(4); break;                     \
    case 5: body(ROWS_AT_MOST(5, most)); break; \
    case 6: body(ROWS_AT_MOST(6, most)); break; \
    case 7: body(ROWS_AT_MOST(7, most)); break; \
    default: body(ROWS_AT_MOST(8, most));       \
    }

typedef struct {
    float p[VT_KEY_TILE];
} tile_scores;

enum { N_DISTANCES = VT_COUNT(vt_prefetch_distances) };

/* How a float product finds a tile's numbers; always known at compile time. Floats are in the
 * cache, halves mostly come from memory. */
typedef enum { FLOATS, HALVES } tile_kind;

/* One tile of one head: vt_kv_head tells how its numbers lie. */
typedef struct {
    const void *k;
    const void *v;
    uint32_t head_dim;
    size_t ahead[N_DISTANCES]; /* bytes from what is read to what memory is asked for */
    uint32_t n_asks;           /* so many of these; none after the first block of rows */
} key_tile;

/* How memory is asked for what comes after a tile, of which n_left bytes lie behind it. An Intel
 * core keeps every request, and to ask again only takes time there. */
static void plan_requests(key_tile *tile, size_t n_left)
{
    const size_t *distances = vt_prefetch_distances;
    tile->n_asks = N_DISTANCES;
#ifdef __x86_64__
    if (__builtin_cpu_is("intel")) {
        static const size_t only[] = {12 << 10};
        distances = only;
        tile->n_asks = 1;
    }
#endif
    for (uint32_t d = 0; d < tile->n_asks; d++)
        tile->ahead[d] = n_left >= distances[d] ? distances[d] : 0;
}

/* Numbers i .. i + 15. */
VT_INLINE lanes16 load_numbers(const void *numbers, size_t i, tile_kind kind)
{
    return kind == HALVES ? lanes_load_f16((const uint16_t *)numbers + i)
                          : lanes_load((const float *)numbers + i);
}

/* A line is read now or soon: ask memory for what comes later. */
VT_INLINE void ask_ahead(const key_tile *tile, const void *line)
{
    if (tile->n_asks == 0) return;
    __builtin_prefetch((const uint8_t *)line + tile->ahead[0], 0, 2);
    if (tile->n_asks == 1) return;
#pragma GCC unroll 4
    for (int i = 1; i < N_DISTANCES; i++)
        __builtin_prefetch((const uint8_t *)line + tile->ahead[i], 0, 2);
}

/* The same for halves, each time the first of a line's are read. */
VT_INLINE void ask_for_halves(const key_tile *tile, tile_kind kind, const void *numbers, size_t at)
{
    if (kind == HALVES && (ATTEND_PARTS == 2 || at % 32 == 0))
        ask_ahead(tile, (const uint16_t *)numbers + at);
}

/* Scores of `rows` query vectors against the keys: one fma chain over the head dimension. */
VT_INLINE void score_rows(const key_tile *tile, tile_kind kind, int rows, const float *const *q,
                          tile_scores *scores)
{
    for (uint32_t part = 0; part < VT_KEY_TILE / 16; part += ATTEND_PARTS) {
        lanes16 sum[ATTEND_ROWS][ATTEND_PARTS];
        for (int r = 0; r < rows; r++)
            for (int e = 0; e < ATTEND_PARTS; e++) sum[r][e] = lanes_set(0.0f);
        for (uint32_t d = 0; d < tile->head_dim; d++) {
            const size_t at = (size_t)d * VT_KEY_TILE + 16 * part;
            ask_for_halves(tile, kind, tile->k, at);
            lanes16 key[ATTEND_PARTS];
            for (uint32_t e = 0; e < ATTEND_PARTS; e++)
                key[e] = load_numbers(tile->k, at + 16 * e, kind);
#pragma GCC unroll 8
            for (int r = 0; r < rows; r++) {
                const lanes16 x = lanes_set(q[r][d]);
                for (int e = 0; e < ATTEND_PARTS; e++) sum[r][e] = lanes_fma(x, key[e], sum[r][e]);
            }
        }
        for (int r = 0; r < rows; r++)
            for (uint32_t e = 0; e < ATTEND_PARTS; e++)
                lanes_store(scores[r].p + 16 * (part + e), sum[r][e]);
    }
}

/* out += p[i] * v[i] for keys i of [begin, end), in order; rows that see the same keys. */
VT_INLINE void gather_rows(const key_tile *tile, tile_kind kind, int rows,
                           const tile_scores *scores, const uint32_t range[2], float *const *out)
{
    for (uint32_t d = 0; d < tile->head_dim; d += 16 * ATTEND_PARTS) {
        /* At the end of a row of odd length the second part is the first one again. */
        const uint32_t step = d + 16 < tile->head_dim ? 16 : 0;
        lanes16 sum[ATTEND_ROWS][ATTEND_PARTS];
        for (int r = 0; r < rows; r++)
            for (uint32_t e = 0; e < ATTEND_PARTS; e++)
                sum[r][e] = lanes_load(out[r] + d + step * e);
        for (uint32_t i = range[0]; i < range[1]; i++) {
            const size_t at = (size_t)i * tile->head_dim + d;
            ask_for_halves(tile, kind, tile->v, at);
            lanes16 value[ATTEND_PARTS];
            for (uint32_t e = 0; e < ATTEND_PARTS; e++)
                value[e] = load_numbers(tile->v, at + step * e, kind);
#pragma GCC unroll 8
            for (int r = 0; r < rows; r++) {
                const lanes16 w = lanes_set(scores[r].p[i]);
                for (int e = 0; e < ATTEND_PARTS; e++)
                    sum[r][e] = lanes_fma(w, value[e], sum[r][e]);
            }
        }
        for (int r = 0; r < rows; r++)
            for (uint32_t e = 0; e < ATTEND_PARTS; e++)
                lanes_store(out[r] + d + step * e, sum[r][e]);
    }
}

static void scale_vector(float *x, uint32_t n, float factor)
{
    for (uint32_t i = 0; i < n; i += 16)
        lanes_store(x + i, lanes_mul(lanes_load(x + i), lanes_set(factor)));
}

/* Numbers of a tile's 32 keys, those outside the range replaced. */
static inline void fill_outside(lanes16 *low, lanes16 *high, const uint32_t range[2], float filling)
{
    if (range[0] == 0 && range[1] == VT_KEY_TILE) return;
    float s[VT_KEY_TILE];
    lanes_store(s, *low);
    lanes_store(s + 16, *high);
    for (uint32_t i = 0; i < range[0]; i++) s[i] = filling;
    for (uint32_t i = range[1]; i < VT_KEY_TILE; i++) s[i] = filling;
    *low = lanes_load(s);
    *high = lanes_load(s + 16);
}

/* One row, one tile: scores become probabilities relative to the running maximum. */
static void soften(float *scores, const uint32_t range[2], float scale, vt_attend_state *state,
                   float *out, uint32_t head_dim)
{
    lanes16 low = lanes_mul(lanes_load(scores), lanes_set(scale)),
            high = lanes_mul(lanes_load(scores + 16), lanes_set(scale));
    fill_outside(&low, &high, range, -INFINITY);
    float max = lanes_largest(lanes_max(low, high));
    if (max > state->max) {
        float factor = exp_one(state->max - max);
        state->sum = state->sum * factor;
        scale_vector(out, head_dim, factor);
        state->max = max;
    }
    lanes16 m = lanes_set(state->max);
    /* A masked key is -inf here and exp gives it an exact 0, which adds nothing; its value is never
     * multiplied. */
    low = lanes_exp(lanes_sub(low, m));
    high = lanes_exp(lanes_sub(high, m));
    lanes_store(scores, low);
    lanes_store(scores + 16, high);
    state->sum = state->sum + lanes_tree_sum(lanes_add(low, high));
}

/* The keys of tile i_tile that row r sees, counted from the tile's first; false: none. */
static bool tile_range(const vt_attend_job *job, uint32_t r, uint32_t i_tile, uint32_t range[2])
{
    const uint32_t first = i_tile * VT_KEY_TILE;
    if (job->end[r] <= first || job->begin[r] >= first + VT_KEY_TILE) return false;
    range[0] = job->begin[r] > first ? job->begin[r] - first : 0;
    range[1] = job->end[r] - first < VT_KEY_TILE ? job->end[r] - first : VT_KEY_TILE;
    return true;
}

/* Rows that go through a tile together: first .. first + n - 1, with the keys that each sees. */
typedef struct {
    uint32_t first, n;
    uint32_t range[ATTEND_ROWS][2];
} row_block;

/* The next block of up to `most` rows that see anything of the tile; false: there is none. A block
 * begins where the one before it ended, the first at {0}. */
static bool next_rows(const vt_attend_job *job, uint32_t i_tile, uint32_t most, row_block *block)
{
    /* Blocks of one size: eight rows are 4 + 4 rather than 6 + 2. */
    const uint32_t n_blocks = (job->n_rows + most - 1) / most,
                   at_most = (job->n_rows + n_blocks - 1) / n_blocks;
    block->first += block->n;
    block->n = 0;
    for (uint32_t r = block->first; r < job->n_rows && block->n < at_most; r++) {
        if (tile_range(job, r, i_tile, block->range[block->n])) block->n++;
        else if (block->n > 0) break;
        else block->first = r + 1;
    }
    return block->n > 0;
}

/* How many rows from row r of the block on see the same keys. */
static uint32_t rows_alike(const row_block *block, uint32_t r)
{
    uint32_t n = 1;
    while (r + n < block->n &&
           memcmp(block->range[r + n], block->range[r], sizeof *block->range) == 0)
        n++;
    return n;
}

VT_INLINE void attend_tile(const vt_attend_job *job, uint32_t i_tile, key_tile *tile,
                           tile_kind kind)
{
    tile_scores scores[ATTEND_ROWS];
    row_block block = {0};
    while (next_rows(job, i_tile, ATTEND_ROWS, &block)) {
        const uint32_t r0 = block.first;
#define SCORE(n) score_rows(tile, kind, n, job->q + r0, scores)
        FOR_ROWS(block.n, ATTEND_ROWS, SCORE);
#undef SCORE
        for (uint32_t r = 0; r < block.n; r++)
            soften(scores[r].p, block.range[r], job->scale, &job->state[r0 + r], job->out[r0 + r],
                   tile->head_dim);
        for (uint32_t r = 0, n = 0; r < block.n; r += n) {
            n = rows_alike(&block, r);
#define GATHER(n) gather_rows(tile, kind, n, scores + r, block.range[r], job->out + r0 + r)
            FOR_ROWS(n, ATTEND_ROWS, GATHER);
#undef GATHER
        }
        tile->n_asks = 0;
    }
}

static void widen_f16(const void *half, size_t n, float *out)
{
    for (size_t i = 0; i < n; i += 16) lanes_store(out + i, load_numbers(half, i, HALVES));
}

#include "kernels/attend_q8_body.h"

/* ---- groups of tiles ---- */

/* Up to this many rows take halves as they are; more share the widened tile. */
enum { FEW_ROWS = 8 };

static void attend_halves(const vt_attend_job *job, uint32_t i_tile, key_tile *tile)
{
    if (job->n_rows <= FEW_ROWS) {
        attend_tile(job, i_tile, tile, HALVES);
        return;
    }
    const size_t n = (size_t)VT_KEY_TILE * tile->head_dim;
    widen_f16(tile->k, n, job->scratch);
    widen_f16(tile->v, n, job->scratch + n);
    tile->k = job->scratch;
    tile->v = job->scratch + n;
    attend_tile(job, i_tile, tile, FLOATS);
}

/* Tiles [begin, end), all of one group. */
static void attend_tiles(const vt_attend_job *job, uint32_t begin, uint32_t end)
{
    const vt_kv_head *kv = &job->kv;
    const size_t n_bytes = vt_kv_head_tile_bytes(kv->type, kv->head_dim);
    q8_queries queries;
    if (kv->type == VT_KV_Q8_0) quantize_queries(job, &queries);
    for (uint32_t i = begin; i < end; i++) {
        const size_t at = (size_t)(i % kv->n_slots) * n_bytes;
        key_tile tile = {.k = (const uint8_t *)kv->k + at,
                         .v = (const uint8_t *)kv->v + at,
                         .head_dim = kv->head_dim};
        plan_requests(&tile, (size_t)(end - i - 1) * n_bytes);
        if (kv->type == VT_KV_Q8_0) attend_q8_tile(job, &queries, i, &tile);
        else if (kv->type == VT_KV_F16) attend_halves(job, i, &tile);
        else attend_tile(job, i, &tile, FLOATS);
    }
}

/* What the rows gather in group i_group: state and out, not yet divided. */
static void attend_part(const vt_attend_job *job, uint32_t i_group)
{
    uint32_t lowest = UINT32_MAX, highest = 0;
    for (uint32_t r = 0; r < job->n_rows; r++) {
        job->state[r] = (vt_attend_state){-INFINITY, 0.0f};
        memset(job->out[r], 0, job->kv.head_dim * sizeof(float));
        lowest = job->begin[r] < lowest ? job->begin[r] : lowest;
        highest = job->end[r] > highest ? job->end[r] : highest;
    }
    uint32_t begin = i_group * VT_ATTEND_GROUP_TILES, end = begin + VT_ATTEND_GROUP_TILES;
    if (lowest / VT_KEY_TILE > begin) begin = lowest / VT_KEY_TILE;
    if ((highest + VT_KEY_TILE - 1) / VT_KEY_TILE < end)
        end = (highest + VT_KEY_TILE - 1) / VT_KEY_TILE;
    attend_tiles(job, begin, end);
}

/* Fold a group's part into the row's running total. */
static void merge_part(vt_attend_state *total, float *out, const vt_attend_state *part,
                       const float *part_out, uint32_t head_dim)
{
    if (part->sum == 0.0f) return; /* the row saw no key of this group */
    if (part->max > total->max) {
        float factor = exp_one(total->max - part->max);
        total->sum = total->sum * factor;
        scale_vector(out, head_dim, factor);
        total->max = part->max;
    }
    float factor = exp_one(part->max - total->max);
    total->sum = fmaf(part->sum, factor, total->sum);
    for (uint32_t i = 0; i < head_dim; i += 16)
        lanes_store(out + i,
                    lanes_fma(lanes_load(part_out + i), lanes_set(factor), lanes_load(out + i)));
}

static vt_attend_state first_state(const float *sink)
{
    return sink != NULL ? (vt_attend_state){*sink, 1.0f} : (vt_attend_state){-INFINITY, 0.0f};
}

static void divide(float *x, uint32_t n, float by)
{
    for (uint32_t i = 0; i < n; i += 16)
        lanes_store(x + i, lanes_div(lanes_load(x + i), lanes_set(by)));
}

static void attend(const vt_attend_job *job)
{
    const uint32_t head_dim = job->kv.head_dim;
    vt_attend_state total[VT_ATTEND_MAX_ROWS], state[VT_ATTEND_MAX_ROWS];
    float *part_out[VT_ATTEND_MAX_ROWS];
    vt_attend_job part = *job;
    uint32_t lowest = UINT32_MAX, highest = 0;
    part.out = part_out;
    part.state = state;
    for (uint32_t r = 0; r < job->n_rows; r++) {
        total[r] = first_state(job->sink ? &job->sink[r] : NULL);
        memset(job->out[r], 0, head_dim * sizeof(float));
        part_out[r] = job->scratch + 2 * VT_KEY_TILE * (size_t)head_dim + r * (size_t)head_dim;
        lowest = job->begin[r] < lowest ? job->begin[r] : lowest;
        highest = job->end[r] > highest ? job->end[r] : highest;
    }
    for (uint32_t i = lowest / VT_ATTEND_GROUP; i <= (highest - 1) / VT_ATTEND_GROUP; i++) {
        attend_part(&part, i);
        for (uint32_t r = 0; r < job->n_rows; r++)
            merge_part(&total[r], job->out[r], &state[r], part_out[r], head_dim);
    }
    for (uint32_t r = 0; r < job->n_rows; r++) divide(job->out[r], head_dim, total[r].sum);
}

static void attend_merge(float *out, uint32_t head_dim, const float *sink,
                         const vt_attend_state *states, const float *parts, uint32_t n_parts)
{
    vt_attend_state total = first_state(sink);
    memset(out, 0, head_dim * sizeof *out);
    for (uint32_t i = 0; i < n_parts; i++)
        merge_part(&total, out, &states[i], parts + (size_t)i * head_dim, head_dim);
    divide(out, head_dim, total.sum);
}
