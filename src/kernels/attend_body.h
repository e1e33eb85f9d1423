/* attend_body.h -- attention, rule 8, written once over lanes16. Included by lanes_body.h, and so
 * exactly once in each instruction set's file.
 *
 * Rows go through a key tile in blocks that share every load of keys and values; a block holds as
 * many accumulators as there are registers. With few rows (decoding) half-precision tiles are
 * widened on the way into the product; with many they are widened once, into scratch. */

#include "kernels/tables.h"

/* Rows of a block, and vectors of 16 of a key or value row taken at once: ATTEND_ROWS *
 * ATTEND_PARTS accumulators of lanes16. The instruction set's file may have said. */
#ifndef ATTEND_ROWS
#define ATTEND_ROWS  6
#define ATTEND_PARTS 1
#endif
_Static_assert(ATTEND_ROWS >= 6 && ATTEND_ROWS <= 8, "see FOR_ROWS");

/* body(n) with n, 1 to ATTEND_ROWS, known at compile time */
#define ROWS_AT_MOST(n) ((n) < ATTEND_ROWS ? (n) : ATTEND_ROWS)
#define FOR_ROWS(n, body)                 \
    switch (n) {                          \
    case 1: body(1); break;               \
    case 2: body(2); break;               \
    case 3: body(3); break;               \
    case 4: body(4); break;               \
    case 5: body(5); break;               \
    case 6: body(6); break;               \
    case 7: body(ROWS_AT_MOST(7)); break; \
    default: body(ROWS_AT_MOST(8));       \
    }

typedef struct {
    float p[VT_KEY_TILE];
} tile_scores;

enum { N_DISTANCES = VT_COUNT(vt_prefetch_distances) };

/* How a product finds a tile's numbers; always known at compile time. Floats are in the cache,
 * halves and bytes mostly come from memory. */
typedef enum { FLOATS, HALVES, BYTES } tile_kind;

/* One tile of one head as the products read it. */
typedef struct {
    const void *k; /* [head_dim][32] */
    const void *v; /* [32][head_dim] */
    uint32_t head_dim;
    const float *k_scales;     /* of bytes: [head_dim / 32][32] */
    const float *v_scales;     /* [32][head_dim / 32] */
    size_t ahead[N_DISTANCES]; /* bytes from what is read to what memory is asked for */
} key_tile;

/* Numbers i .. i + 15. */
VT_INLINE lanes16 load_numbers(const void *numbers, size_t i, tile_kind kind)
{
    return kind == HALVES  ? lanes_load_f16((const uint16_t *)numbers + i)
           : kind == BYTES ? lanes_load_i8((const int8_t *)numbers + i)
                           : lanes_load((const float *)numbers + i);
}

/* Number i and those after it are read now: ask memory for what comes later. A line has room for
 * several steps of 16 * ATTEND_PARTS numbers, i_step counts them: each asks at some of the
 * distances. */
VT_INLINE void ask_ahead(const key_tile *tile, const void *numbers, size_t i, size_t i_step,
                         tile_kind kind)
{
    if (kind == FLOATS) return;
    const size_t size = kind == HALVES ? 2 : 1, n_steps = 64 / (16 * ATTEND_PARTS * size),
                 n = N_DISTANCES / n_steps, first = i_step % n_steps * n;
#pragma GCC unroll 4
    for (size_t d = first; d < first + n; d++)
        __builtin_prefetch((const uint8_t *)numbers + i * size + tile->ahead[d], 0, 2);
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
            ask_ahead(tile, tile->k, at, at / (16 * ATTEND_PARTS), kind);
            lanes16 key[ATTEND_PARTS];
            for (uint32_t e = 0; e < ATTEND_PARTS; e++) {
                key[e] = load_numbers(tile->k, at + 16 * e, kind);
                if (kind == BYTES)
                    key[e] = lanes_mul(
                        lanes_load(tile->k_scales + d / 32 * VT_KEY_TILE + 16 * (part + e)),
                        key[e]);
            }
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
            ask_ahead(tile, tile->v, at, d / (16 * ATTEND_PARTS), kind);
            lanes16 value[ATTEND_PARTS];
            for (uint32_t e = 0; e < ATTEND_PARTS; e++) {
                value[e] = load_numbers(tile->v, at + step * e, kind);
                if (kind == BYTES)
                    value[e] = lanes_mul(
                        lanes_set(tile->v_scales[i * (tile->head_dim / 32) + d / 32]), value[e]);
            }
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

/* One row, one tile: scores become probabilities relative to the running maximum. */
static void soften(float *scores, const uint32_t range[2], float scale, vt_attend_state *state,
                   float *out, uint32_t head_dim)
{
    lanes16 low = lanes_mul(lanes_load(scores), lanes_set(scale)),
            high = lanes_mul(lanes_load(scores + 16), lanes_set(scale));
    if (range[0] > 0 || range[1] < VT_KEY_TILE) {
        float s[VT_KEY_TILE];
        lanes_store(s, low);
        lanes_store(s + 16, high);
        for (uint32_t i = 0; i < range[0]; i++) s[i] = -INFINITY;
        for (uint32_t i = range[1]; i < VT_KEY_TILE; i++) s[i] = -INFINITY;
        low = lanes_load(s);
        high = lanes_load(s + 16);
    }
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

VT_INLINE void attend_tile(const vt_attend_job *job, uint32_t i_tile, const key_tile *tile,
                           tile_kind kind, float *const *out)
{
    /* Blocks of one size: eight rows are 4 + 4 rather than 6 + 2. */
    const uint32_t n_blocks = (job->n_rows + ATTEND_ROWS - 1) / ATTEND_ROWS,
                   at_most = (job->n_rows + n_blocks - 1) / n_blocks;
    tile_scores scores[ATTEND_ROWS];
    uint32_t range[ATTEND_ROWS][2];
    for (uint32_t r0 = 0; r0 < job->n_rows;) {
        uint32_t rows = 0;
        while (rows < at_most && r0 + rows < job->n_rows &&
               tile_range(job, r0 + rows, i_tile, range[rows]))
            rows++;
        if (rows == 0) {
            r0++;
            continue;
        }
#define SCORE(n) score_rows(tile, kind, n, job->q + r0, scores)
        FOR_ROWS(rows, SCORE);
#undef SCORE
        for (uint32_t r = 0; r < rows; r++)
            soften(scores[r].p, range[r], job->scale, &job->state[r0 + r], out[r0 + r],
                   tile->head_dim);
        for (uint32_t r = 0, n = 0; r < rows; r += n) {
            for (n = 1; r + n < rows && memcmp(range[r + n], range[r], sizeof range[r]) == 0;) n++;
#define GATHER(n) gather_rows(tile, kind, n, scores + r, range[r], out + r0 + r)
            FOR_ROWS(n, GATHER);
#undef GATHER
        }
        r0 += rows;
    }
}

/* ---- tiles as floats ---- */

static void widen_f16(const void *half, size_t n, float *out)
{
    for (size_t i = 0; i < n; i += 16) lanes_store(out + i, load_numbers(half, i, HALVES));
}

/* A tile of Q8_0 with its scales as floats; scales: room for both, 2 * head_dim floats. */
static void widen_scales(key_tile *tile, float *scales)
{
    const size_t n = (size_t)VT_KEY_TILE * tile->head_dim;
    widen_f16((const uint8_t *)tile->k + n, tile->head_dim, scales);
    widen_f16((const uint8_t *)tile->v + n, tile->head_dim, scales + tile->head_dim);
    tile->k_scales = scales;
    tile->v_scales = scales + tile->head_dim;
}

static void widen_q8_keys(const key_tile *tile, float *out)
{
    for (uint32_t d = 0; d < tile->head_dim; d++)
        for (uint32_t part = 0; part < VT_KEY_TILE; part += 16) {
            const size_t at = (size_t)d * VT_KEY_TILE + part;
            lanes_store(out + at,
                        lanes_mul(lanes_load(tile->k_scales + d / 32 * VT_KEY_TILE + part),
                                  load_numbers(tile->k, at, BYTES)));
        }
}

static void widen_q8_values(const key_tile *tile, float *out)
{
    for (size_t i = 0; i < (size_t)VT_KEY_TILE * tile->head_dim; i += 16)
        lanes_store(out + i,
                    lanes_mul(lanes_set(tile->v_scales[i / 32]), load_numbers(tile->v, i, BYTES)));
}

/* ---- groups of tiles ---- */

/* Up to this many rows take halves and bytes as they are; more share the widened tile. */
enum { FEW_ROWS = 8 };

static void attend_stored(const vt_attend_job *job, uint32_t i_tile, key_tile *tile,
                          float *const *out)
{
    const size_t n = (size_t)VT_KEY_TILE * tile->head_dim;
    const vt_kv_type type = job->kv.type;
    const bool is_few = job->n_rows <= FEW_ROWS;
    float scales[2 * VT_MAX_HEAD_DIM];
    if (type == VT_KV_Q8_0) widen_scales(tile, scales);
    if (type != VT_KV_F32 && !is_few) {
        float *k = job->scratch, *v = job->scratch + n;
        if (type == VT_KV_F16) {
            widen_f16(tile->k, n, k);
            widen_f16(tile->v, n, v);
        } else {
            widen_q8_keys(tile, k);
            widen_q8_values(tile, v);
        }
        tile->k = k;
        tile->v = v;
    }
    if (type == VT_KV_F16 && is_few) attend_tile(job, i_tile, tile, HALVES, out);
    else if (type == VT_KV_Q8_0 && is_few) attend_tile(job, i_tile, tile, BYTES, out);
    else attend_tile(job, i_tile, tile, FLOATS, out);
}

/* Tiles [begin, end), all of one group. */
static void attend_tiles(const vt_attend_job *job, uint32_t begin, uint32_t end, float *const *out)
{
    const vt_kv_head *kv = &job->kv;
    const size_t n_bytes = vt_kv_head_tile_bytes(kv->type, kv->head_dim);
    for (uint32_t i = begin; i < end; i++) {
        const size_t at = (size_t)(i % kv->n_slots) * n_bytes;
        key_tile tile = {.k = (const uint8_t *)kv->k + at,
                         .v = (const uint8_t *)kv->v + at,
                         .head_dim = kv->head_dim};
        for (int d = 0; d < N_DISTANCES; d++)
            if ((size_t)(end - i - 1) * n_bytes >= vt_prefetch_distances[d])
                tile.ahead[d] = vt_prefetch_distances[d];
        attend_stored(job, i, &tile, out);
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
    attend_tiles(job, begin, end, job->out);
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
