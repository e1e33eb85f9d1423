/* lanes_body.h -- the kernels whose definition is "16 lanes at a time", written once over the type
 * lanes16 and compiled in each instruction set's file, which defines lanes16 and its operations
 * first (lanes_plain.h, or intrinsics). Every operation on lanes16 is an IEEE operation on each
 * lane, so the bits cannot depend on how it is carried out.
 *
 * Not a header for anyone else: it defines static functions and is included exactly once by
 * scalar.c, avx2.c, avx512.c. */

/* See vt_expf in math.c: the same operations, lane by lane. */
static inline lanes16 lanes_exp(lanes16 x)
{
    const lanes16 magic = lanes_set(12582912.0f);
    x = lanes_min(lanes_max(x, lanes_set(-104.0f)), lanes_set(89.0f));
    lanes16 t = lanes_fma(x, lanes_set(1.44269504088896341f), magic);
    lanes16 n = lanes_sub(t, magic);
    lanes16 r = lanes_fma(n, lanes_set(-0.693359375f), x);
    r = lanes_fma(n, lanes_set(2.12194440e-4f), r);
    lanes16 p = lanes_set(1.9875691500e-4f);
    p = lanes_fma(p, r, lanes_set(1.3981999507e-3f));
    p = lanes_fma(p, r, lanes_set(8.3334519073e-3f));
    p = lanes_fma(p, r, lanes_set(4.1665795894e-2f));
    p = lanes_fma(p, r, lanes_set(1.6666665459e-1f));
    p = lanes_fma(p, r, lanes_set(5.0000001201e-1f));
    p = lanes_fma(p, lanes_mul(r, r), r);
    p = lanes_add(p, lanes_set(1.0f));
    return lanes_scale_by_power(p, t);
}

static inline float exp_one(float x)
{
    float v[16];
    lanes_store(v, lanes_exp(lanes_set(x)));
    return v[0];
}

/* The tree of rule 7: ((0+8)+(4+12)) ... */
static inline float tree_sum(const float p[16])
{
    float a[8], b[4];
    for (int i = 0; i < 8; i++) a[i] = p[i] + p[i + 8];
    for (int i = 0; i < 4; i++) b[i] = a[i] + a[i + 4];
    return (b[0] + b[2]) + (b[1] + b[3]);
}

static inline float lanes_tree_sum(lanes16 v)
{
    float p[16];
    lanes_store(p, v);
    return tree_sum(p);
}

static inline float lanes_largest(lanes16 v)
{
    float p[16];
    lanes_store(p, v);
    for (int step = 8; step > 0; step /= 2)
        for (int i = 0; i < step; i++) p[i] = p[i] > p[i + step] ? p[i] : p[i + step];
    return p[0];
}

static bool rms_norm(const float *x, const float *weight, uint32_t n, float eps, float *y)
{
    lanes16 squares = lanes_set(0.0f);
    for (uint32_t i = 0; i < n; i += 16) {
        lanes16 v = lanes_load(x + i);
        squares = lanes_fma(v, v, squares);
    }
    float mean = lanes_tree_sum(squares) / (float)n;
    if (!(mean <= FLT_MAX)) return false;
    lanes16 inverse = lanes_set(1.0f / sqrtf(mean + eps));
    for (uint32_t i = 0; i < n; i += 16)
        lanes_store(y + i,
                    lanes_mul(lanes_mul(lanes_load(x + i), inverse), lanes_load(weight + i)));
    return true;
}

/* Elementwise kernels take any n: whole groups of 16, then the rest through a padded group. */
#define FOR_EACH_16(n, body)             \
    do {                                 \
        uint32_t i = 0;                  \
        for (; i + 16 <= (n); i += 16) { \
            body(i, 16);                 \
        }                                \
        if (i < (n)) {                   \
            body(i, (n) - i);            \
        }                                \
    } while (0)

static inline lanes16 load_some(const float *x, uint32_t n)
{
    if (n == 16) return lanes_load(x);
    float padded[16] = {0};
    memcpy(padded, x, n * sizeof *x);
    return lanes_load(padded);
}

static inline void store_some(float *y, lanes16 v, uint32_t n)
{
    if (n == 16) {
        lanes_store(y, v);
        return;
    }
    float padded[16];
    lanes_store(padded, v);
    memcpy(y, padded, n * sizeof *y);
}

static void add(float *y, const float *x, uint32_t n)
{
#define BODY(i, k) store_some(y + (i), lanes_add(load_some(y + (i), k), load_some(x + (i), k)), k)
    FOR_EACH_16(n, BODY);
#undef BODY
}

static void add_scaled(float *y, const float *x, float weight, uint32_t n)
{
    lanes16 w = lanes_set(weight);
#define BODY(i, k) \
    store_some(y + (i), lanes_fma(w, load_some(x + (i), k), load_some(y + (i), k)), k)
    FOR_EACH_16(n, BODY);
#undef BODY
}

/* x / (1 + exp(-alpha x)) */
static inline lanes16 lanes_swish(lanes16 x, lanes16 minus_alpha)
{
    lanes16 e = lanes_exp(lanes_mul(minus_alpha, x));
    return lanes_div(x, lanes_add(lanes_set(1.0f), e));
}

static void silu_mul(const float *gate, const float *up, uint32_t n, float *y)
{
    lanes16 minus_one = lanes_set(-1.0f);
#define BODY(i, k) \
    store_some(    \
        y + (i),   \
        lanes_mul(lanes_swish(load_some(gate + (i), k), minus_one), load_some(up + (i), k)), k)
    FOR_EACH_16(n, BODY);
#undef BODY
}

static inline lanes16 swiglu_clamped_16(lanes16 g, lanes16 u, float alpha, float limit)
{
    g = lanes_min(g, lanes_set(limit));
    u = lanes_max(lanes_min(u, lanes_set(limit)), lanes_set(-limit));
    return lanes_mul(lanes_swish(g, lanes_set(-alpha)), lanes_add(u, lanes_set(1.0f)));
}

static void swiglu_clamped(const float *gate, const float *up, uint32_t n, float alpha, float limit,
                           float *y)
{
#define BODY(i, k)                                                                                \
    store_some(y + (i),                                                                           \
               swiglu_clamped_16(load_some(gate + (i), k), load_some(up + (i), k), alpha, limit), \
               k)
    FOR_EACH_16(n, BODY);
#undef BODY
}

static void rope(float *head, const float *cosine, const float *sine, uint32_t n,
                 bool is_interleaved)
{
    uint32_t half = n / 2;
    if (is_interleaved) {
        for (uint32_t i = 0; i < half; i++) {
            float a = head[2 * i], b = head[2 * i + 1];
            head[2 * i] = fmaf(a, cosine[i], -(b * sine[i]));
            head[2 * i + 1] = fmaf(b, cosine[i], a * sine[i]);
        }
        return;
    }
    for (uint32_t i = 0; i < half; i += 16) {
        uint32_t k = half - i < 16 ? half - i : 16;
        lanes16 a = load_some(head + i, k), b = load_some(head + half + i, k);
        lanes16 c = load_some(cosine + i, k), s = load_some(sine + i, k);
        lanes16 minus_bs = lanes_sub(lanes_set(-0.0f), lanes_mul(b, s));
        store_some(head + i, lanes_fma(a, c, minus_bs), k);
        store_some(head + half + i, lanes_fma(b, c, lanes_mul(a, s)), k);
    }
}

static bool to_f16(const float *x, uint32_t n, uint16_t *out)
{
    lanes16 largest = lanes_set(0.0f);
#define BODY(i, k)                                                   \
    do {                                                             \
        lanes16 v = load_some(x + (i), k);                           \
        largest = lanes_max(largest, lanes_abs(v));                  \
        uint16_t narrow[16];                                         \
        lanes_store_f16((k) == 16 ? out + (i) : narrow, v);          \
        if ((k) != 16) memcpy(out + (i), narrow, (k) * sizeof *out); \
    } while (0)
    FOR_EACH_16(n, BODY);
#undef BODY
    return lanes_largest(largest) < 65520.0f; /* from here on rounding gives infinity */
}

/* ---- quantising activations, rule 3 ---- */

static bool quantize(const float *x, uint32_t n, uint32_t block, int8_t *q, float *d,
                     int16_t *sum16, int16_t *sum32)
{
    for (uint32_t b = 0; b < n; b += block) {
        lanes16 largest = lanes_set(0.0f);
        lanes16 zero_if_finite = lanes_set(0.0f);
        for (uint32_t i = b; i < b + block; i += 16) {
            lanes16 v = lanes_load(x + i);
            largest = lanes_max(largest, lanes_abs(v));
            zero_if_finite = lanes_fma(v, lanes_set(0.0f), zero_if_finite);
        }
        float amax = lanes_largest(largest);
        /* 0 * x is a NaN for a NaN or an infinity, and stays one. */
        if (!(lanes_tree_sum(zero_if_finite) == 0.0f)) return false;
        bool is_zero = amax < 0x1p-100f;
        d[b / block] = is_zero ? 0.0f : amax / 127.0f;
        lanes16 factor = lanes_set(is_zero ? 0.0f : 127.0f / amax);
        for (uint32_t i = b; i < b + block; i += 16) {
            int32_t sum = lanes_round_to_i8(lanes_mul(lanes_load(x + i), factor), q + i);
            if (sum16 != NULL) sum16[i / 16] = (int16_t)sum;
            if (i % 32 == 0) sum32[i / 32] = (int16_t)sum;
            else sum32[i / 32] = (int16_t)(sum32[i / 32] + sum);
        }
    }
    return true;
}

/* ---- attention, rule 8 ---- */

/* What a row has gathered: maximum, sum, and the output in row_out (unscaled). */
typedef struct {
    float max;
    float sum;
} softmax_state;

static void widen(const uint16_t *half, size_t n, float *out)
{
    for (size_t i = 0; i < n; i += 16) lanes_store(out + i, lanes_load_f16(half + i));
}

/* Scores of `rows` query vectors against a key tile [head_dim][32]: one fma chain over the head
 * dimension. */
static inline __attribute__((always_inline)) void score_rows(const float *k, uint32_t head_dim,
                                                             const float *const *q, int rows,
                                                             float (*scores)[VT_KEY_TILE])
{
    lanes16 low[4], high[4];
    for (int r = 0; r < rows; r++) low[r] = high[r] = lanes_set(0.0f);
    for (uint32_t d = 0; d < head_dim; d++) {
        lanes16 k_low = lanes_load(k + d * VT_KEY_TILE),
                k_high = lanes_load(k + d * VT_KEY_TILE + 16);
        for (int r = 0; r < rows; r++) {
            lanes16 x = lanes_set(q[r][d]);
            low[r] = lanes_fma(x, k_low, low[r]);
            high[r] = lanes_fma(x, k_high, high[r]);
        }
    }
    for (int r = 0; r < rows; r++) {
        lanes_store(scores[r], low[r]);
        lanes_store(scores[r] + 16, high[r]);
    }
}

/* out += p[i] * v[i] for keys i of [begin, end), in order; `rows` rows that see the same keys. */
static inline __attribute__((always_inline)) void gather_rows(const float *v, uint32_t head_dim,
                                                              uint32_t begin, uint32_t end,
                                                              int rows,
                                                              const float (*p)[VT_KEY_TILE],
                                                              float *const *out)
{
    for (uint32_t d = 0; d < head_dim; d += 32) {
        bool has_high = d + 16 < head_dim;
        lanes16 low[4], high[4];
        for (int r = 0; r < rows; r++) {
            low[r] = lanes_load(out[r] + d);
            high[r] = has_high ? lanes_load(out[r] + d + 16) : low[r];
        }
        for (uint32_t i = begin; i < end; i++) {
            lanes16 v_low = lanes_load(v + i * head_dim + d);
            lanes16 v_high = has_high ? lanes_load(v + i * head_dim + d + 16) : v_low;
            for (int r = 0; r < rows; r++) {
                lanes16 w = lanes_set(p[r][i]);
                low[r] = lanes_fma(w, v_low, low[r]);
                high[r] = lanes_fma(w, v_high, high[r]);
            }
        }
        for (int r = 0; r < rows; r++) {
            lanes_store(out[r] + d, low[r]);
            if (has_high) lanes_store(out[r] + d + 16, high[r]);
        }
    }
}

static void scale_vector(float *x, uint32_t n, float factor)
{
    for (uint32_t i = 0; i < n; i += 16)
        lanes_store(x + i, lanes_mul(lanes_load(x + i), lanes_set(factor)));
}

/* One row, one tile: scores become probabilities relative to the running maximum. */
static void soften(float *scores, uint32_t begin, uint32_t end, float scale, softmax_state *state,
                   float *out, uint32_t head_dim)
{
    float s[VT_KEY_TILE];
    for (uint32_t i = 0; i < VT_KEY_TILE; i += 16)
        lanes_store(s + i, lanes_mul(lanes_load(scores + i), lanes_set(scale)));
    for (uint32_t i = 0; i < begin; i++) s[i] = -INFINITY;
    for (uint32_t i = end; i < VT_KEY_TILE; i++) s[i] = -INFINITY;
    float max = lanes_largest(lanes_max(lanes_load(s), lanes_load(s + 16)));
    if (max > state->max) {
        float factor = exp_one(state->max - max);
        state->sum = state->sum * factor;
        scale_vector(out, head_dim, factor);
        state->max = max;
    }
    lanes16 m = lanes_set(state->max);
    /* A masked key is -inf here and exp gives it an exact 0, which adds nothing; its value is never
     * multiplied. */
    lanes16 low = lanes_exp(lanes_sub(lanes_load(s), m)),
            high = lanes_exp(lanes_sub(lanes_load(s + 16), m));
    lanes_store(scores, low);
    lanes_store(scores + 16, high);
    state->sum = state->sum + lanes_tree_sum(lanes_add(low, high));
}

static void attend_tile(const vt_attend_job *job, uint32_t i_tile, const float *k, const float *v,
                        softmax_state *state, float *const *out)
{
    const uint32_t first = i_tile * VT_KEY_TILE, head_dim = job->kv.head_dim;
    float scores[4][VT_KEY_TILE];
    for (uint32_t r0 = 0; r0 < job->n_rows;) {
        /* Up to four neighbouring rows that see this tile go together; they share the loads. */
        uint32_t rows = 0, begin[4], end[4];
        bool is_same = true;
        for (; rows < 4 && r0 + rows < job->n_rows; rows++) {
            uint32_t r = r0 + rows;
            if (job->end[r] <= first || job->begin[r] >= first + VT_KEY_TILE) break;
            begin[rows] = job->begin[r] > first ? job->begin[r] - first : 0;
            end[rows] = job->end[r] - first < VT_KEY_TILE ? job->end[r] - first : VT_KEY_TILE;
            is_same = is_same && begin[rows] == begin[0] && end[rows] == end[0];
        }
        if (rows == 0) {
            r0++;
            continue;
        }
        if (rows == 4) score_rows(k, head_dim, job->q + r0, 4, scores);
        else
            for (uint32_t r = 0; r < rows; r++)
                score_rows(k, head_dim, job->q + r0 + r, 1, scores + r);
        for (uint32_t r = 0; r < rows; r++)
            soften(scores[r], begin[r], end[r], job->scale, &state[r0 + r], out[r0 + r], head_dim);
        if (rows == 4 && is_same)
            gather_rows(v, head_dim, begin[0], end[0], 4, (const float(*)[VT_KEY_TILE])scores,
                        out + r0);
        else
            for (uint32_t r = 0; r < rows; r++)
                gather_rows(v, head_dim, begin[r], end[r], 1,
                            (const float(*)[VT_KEY_TILE])(scores + r), out + r0 + r);
        r0 += rows;
    }
}

/* Fold the group's partial result into the row's running one. */
static void combine(softmax_state *total, float *out, const softmax_state *part,
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

static void attend_group(const vt_attend_job *job, uint32_t tile_begin, uint32_t tile_end,
                         softmax_state *part, float *const *part_out)
{
    const vt_kv_head *kv = &job->kv;
    const size_t n = (size_t)kv->head_dim * VT_KEY_TILE;
    float *wide_k = job->scratch, *wide_v = job->scratch + n;
    for (uint32_t r = 0; r < job->n_rows; r++) {
        part[r] = (softmax_state){-INFINITY, 0.0f};
        memset(part_out[r], 0, kv->head_dim * sizeof(float));
    }
    for (uint32_t i_tile = tile_begin; i_tile < tile_end; i_tile++) {
        size_t at = (size_t)(i_tile % kv->n_slots) * n;
        const float *k = (const float *)kv->k + at, *v = (const float *)kv->v + at;
        if (!kv->is_f32) {
            widen((const uint16_t *)kv->k + at, n, wide_k);
            widen((const uint16_t *)kv->v + at, n, wide_v);
            k = wide_k;
            v = wide_v;
        }
        attend_tile(job, i_tile, k, v, part, part_out);
    }
}

static void attend(const vt_attend_job *job)
{
    const uint32_t head_dim = job->kv.head_dim;
    softmax_state total[VT_ATTEND_MAX_ROWS], part[VT_ATTEND_MAX_ROWS];
    float *part_out[VT_ATTEND_MAX_ROWS];
    uint32_t lowest = UINT32_MAX, highest = 0;
    for (uint32_t r = 0; r < job->n_rows; r++) {
        total[r] =
            job->sink ? (softmax_state){job->sink[r], 1.0f} : (softmax_state){-INFINITY, 0.0f};
        memset(job->out[r], 0, head_dim * sizeof(float));
        part_out[r] = job->scratch + 2 * VT_KEY_TILE * (size_t)head_dim + r * (size_t)head_dim;
        lowest = job->begin[r] < lowest ? job->begin[r] : lowest;
        highest = job->end[r] > highest ? job->end[r] : highest;
    }
    uint32_t tile_end = (highest + VT_KEY_TILE - 1) / VT_KEY_TILE;
    for (uint32_t tile = lowest / VT_KEY_TILE; tile < tile_end;) {
        uint32_t next = (tile / VT_ATTEND_GROUP_TILES + 1) * VT_ATTEND_GROUP_TILES;
        if (next > tile_end) next = tile_end;
        attend_group(job, tile, next, part, part_out);
        for (uint32_t r = 0; r < job->n_rows; r++)
            combine(&total[r], job->out[r], &part[r], part_out[r], head_dim);
        tile = next;
    }
    for (uint32_t r = 0; r < job->n_rows; r++)
        for (uint32_t i = 0; i < head_dim; i += 16)
            lanes_store(job->out[r] + i,
                        lanes_div(lanes_load(job->out[r] + i), lanes_set(total[r].sum)));
}

/* ---- floating products, rule 4: one fma chain over the columns, lane = row ---- */

#define DEFINE_FLOAT_TILE(name, element, load)                                            \
    static void name(const uint8_t *tile, const vt_activations *a, uint32_t i_first,      \
                     uint32_t n_tokens, float *y, size_t y_stride)                        \
    {                                                                                     \
        const element *w = (const element *)(const void *)tile;                           \
        for (uint32_t t = 0; t < n_tokens; t += 4) {                                      \
            uint32_t n = n_tokens - t < 4 ? n_tokens - t : 4;                             \
            const float *x[4];                                                            \
            lanes16 acc[4];                                                               \
            for (uint32_t k = 0; k < 4; k++) {                                            \
                x[k] = a->x + (size_t)(i_first + t + (k < n ? k : 0)) * a->n_cols;        \
                acc[k] = lanes_set(0.0f);                                                 \
            }                                                                             \
            for (uint32_t c = 0; c < a->n_cols; c++) {                                    \
                lanes16 v = load(w + (size_t)c * 16);                                     \
                for (uint32_t k = 0; k < 4; k++)                                          \
                    acc[k] = lanes_fma(v, lanes_set(x[k][c]), acc[k]);                    \
            }                                                                             \
            for (uint32_t k = 0; k < n; k++) lanes_store(y + (t + k) * y_stride, acc[k]); \
        }                                                                                 \
    }

DEFINE_FLOAT_TILE(tile_f32, float, lanes_load)
DEFINE_FLOAT_TILE(tile_f16, uint16_t, lanes_load_f16)
DEFINE_FLOAT_TILE(tile_bf16, uint16_t, lanes_load_bf16)
#undef DEFINE_FLOAT_TILE
