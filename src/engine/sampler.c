/* sampler.c -- see sampler.h: the steps there are the functions here, in the same order.
 *
 * Candidates are ordered by (logit falling, id rising), a total order, so it does not matter by
 * which algorithm the first of them are found: a heap of all when there is no top-k (few are ever
 * taken out of it), a heap of k else. */
#include "engine/sampler.h"

#include <math.h>

#include "base/alloc.h"
#include "kernels/math.h"

typedef struct {
    float logit;
    int32_t id;
} candidate;

struct vt_sampler {
    vt_sampling sampling;
    uint64_t seed;
    size_t n_vocab;
    float *work;           /* [n_vocab] logits after penalties and bias */
    candidate *candidates; /* [n_vocab] */
    uint32_t *counts;      /* [n_vocab] of the answer */
    uint8_t *is_seen;      /* [n_vocab] in prompt or answer */
    int32_t *seen;         /* [n_vocab] the distinct ids of prompt and answer */
    size_t n_seen;
    vt_logit_bias *bias;
    size_t n_bias;
    bool has_penalties;
};

/* ---- creation ---- */

static vt_status check_range(const char *name, double value, double least, double most, vt_err *err)
{
    /* Negated, so that a NaN is refused too. */
    if (!(value >= least && value <= most))
        return vt_fail(err, VT_EINPUT, "%s is %g; it can be %g to %g", name, value, least, most);
    return VT_OK;
}

static vt_status check_options(const vt_sampler_options *o, size_t n_vocab, vt_err *err)
{
    const vt_sampling *s = &o->sampling;
    vt_status st = check_range("temperature", s->temperature, 0, 100, err);
    if (st == VT_OK) st = check_range("top_p", s->top_p, 0, 1, err);
    if (st == VT_OK) st = check_range("min_p", s->min_p, 0, 1, err);
    if (st == VT_OK) st = check_range("repetition_penalty", s->repetition_penalty, 0, 100, err);
    if (st == VT_OK) st = check_range("frequency_penalty", s->frequency_penalty, -100, 100, err);
    if (st == VT_OK) st = check_range("presence_penalty", s->presence_penalty, -100, 100, err);
    for (size_t i = 0; i < o->n_bias && st == VT_OK; i++) {
        if (o->bias[i].id < 0 || (size_t)o->bias[i].id >= n_vocab)
            st = vt_fail(err, VT_EINPUT, "logit bias for token %d; the vocabulary has %zu",
                         o->bias[i].id, n_vocab);
        else if (isnan(o->bias[i].bias) || o->bias[i].bias > 1e6)
            st = vt_fail(err, VT_EINPUT, "logit bias of token %d is %g", o->bias[i].id,
                         o->bias[i].bias);
    }
    return st;
}

vt_status vt_sampler_new(const vt_sampler_options *options, size_t n_vocab, vt_sampler **out,
                         vt_err *err)
{
    if (n_vocab == 0 || n_vocab > INT32_MAX)
        return vt_fail(err, VT_EINPUT, "a vocabulary of %zu tokens", n_vocab);
    vt_status st = check_options(options, n_vocab, err);
    if (st != VT_OK) return st;
    vt_sampler *s = vt_calloc(1, sizeof *s);
    if (s == NULL) return vt_fail(err, VT_ENOMEM, "out of memory");
    s->sampling = options->sampling;
    s->seed = options->seed;
    s->n_vocab = n_vocab;
    s->n_bias = options->n_bias;
    s->work = vt_calloc(n_vocab, sizeof *s->work);
    s->candidates = vt_calloc(n_vocab, sizeof *s->candidates);
    s->counts = vt_calloc(n_vocab, sizeof *s->counts);
    s->is_seen = vt_calloc(n_vocab, sizeof *s->is_seen);
    s->seen = vt_calloc(n_vocab, sizeof *s->seen);
    s->bias = vt_calloc(s->n_bias + 1, sizeof *s->bias);
    if (!s->work || !s->candidates || !s->counts || !s->is_seen || !s->seen || !s->bias) {
        vt_sampler_free(s);
        return vt_fail(err, VT_ENOMEM, "out of memory");
    }
    if (s->n_bias > 0) memcpy(s->bias, options->bias, s->n_bias * sizeof *s->bias);
    double repetition = s->sampling.repetition_penalty;
    bool repeats = repetition > 0 && (repetition < 1 || repetition > 1);
    if (!repeats) s->sampling.repetition_penalty = 1;
    s->has_penalties = repeats || s->sampling.frequency_penalty < 0 ||
                       s->sampling.frequency_penalty > 0 || s->sampling.presence_penalty < 0 ||
                       s->sampling.presence_penalty > 0;
    *out = s;
    return VT_OK;
}

void vt_sampler_free(vt_sampler *s)
{
    if (s == NULL) return;
    vt_free(s->work);
    vt_free(s->candidates);
    vt_free(s->counts);
    vt_free(s->is_seen);
    vt_free(s->seen);
    vt_free(s->bias);
    vt_free(s);
}

/* ---- tokens so far ---- */

static void see(vt_sampler *s, int32_t id)
{
    if (id < 0 || (size_t)id >= s->n_vocab || s->is_seen[id]) return;
    s->is_seen[id] = 1;
    s->seen[s->n_seen++] = id;
}

void vt_sampler_prompt(vt_sampler *s, const int32_t *ids, size_t n)
{
    for (size_t i = 0; i < s->n_seen; i++) {
        s->is_seen[s->seen[i]] = 0;
        s->counts[s->seen[i]] = 0;
    }
    s->n_seen = 0;
    for (size_t i = 0; i < n; i++) see(s, ids[i]);
}

void vt_sampler_accept(vt_sampler *s, int32_t id)
{
    see(s, id);
    if (id >= 0 && (size_t)id < s->n_vocab && s->counts[id] < UINT32_MAX) s->counts[id]++;
}

/* ---- steps 1 to 3 ---- */

static void apply_penalties(vt_sampler *s, float *logits)
{
    float repetition = (float)s->sampling.repetition_penalty;
    float frequency = (float)s->sampling.frequency_penalty;
    float presence = (float)s->sampling.presence_penalty;
    for (size_t i = 0; i < s->n_seen; i++) {
        int32_t id = s->seen[i];
        float x = logits[id];
        x = x > 0 ? x / repetition : x * repetition;
        if (s->counts[id] > 0) x = x - (float)s->counts[id] * frequency - presence;
        logits[id] = x;
    }
}

static const float *adjust(vt_sampler *s, const float *logits, const vt_token_mask *allowed)
{
    if (allowed == NULL && !s->has_penalties && s->n_bias == 0) return logits;
    memcpy(s->work, logits, s->n_vocab * sizeof *s->work);
    if (s->has_penalties) apply_penalties(s, s->work);
    for (size_t i = 0; i < s->n_bias; i++) {
        float *x = &s->work[s->bias[i].id];
        *x = *x + (float)s->bias[i].bias;
    }
    if (allowed != NULL)
        for (size_t i = 0; i < s->n_vocab; i++)
            if (!vt_token_mask_has(allowed, (int32_t)i)) s->work[i] = -INFINITY;
    return s->work;
}

/* The largest; ties to the lower id. -1 when there is nothing but -inf. */
static int32_t largest(const float *logits, size_t n)
{
    float best = -INFINITY;
    int32_t at = -1;
    for (size_t i = 0; i < n; i++)
        if (logits[i] > best) {
            best = logits[i];
            at = (int32_t)i;
        }
    return at;
}

/* ---- the order of candidates ---- */

static bool is_before(candidate a, candidate b)
{
    return a.logit > b.logit || (!(a.logit < b.logit) && a.id < b.id);
}

/* A binary heap whose root is the first of the order (first = true) or the last (false). */
static void sift_down(candidate *heap, size_t n, size_t i, bool first)
{
    candidate item = heap[i];
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= n) break;
        if (child + 1 < n && is_before(heap[child + 1], heap[child]) == first) child++;
        if (is_before(heap[child], item) != first) break;
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = item;
}

static void make_heap(candidate *heap, size_t n, bool first)
{
    for (size_t i = n / 2; i-- > 0;) sift_down(heap, n, i, first);
}

/* The k first candidates of `logits`, in order, into c[0..); returns how many. */
static size_t select_top(const float *logits, size_t n, size_t k, candidate *c)
{
    size_t have = 0;
    size_t i = 0;
    for (; i < n && have < k; i++)
        if (logits[i] > -INFINITY) c[have++] = (candidate){logits[i], (int32_t)i};
    make_heap(c, have, false);
    for (; i < n; i++) {
        candidate x = {logits[i], (int32_t)i};
        if (have == 0 || !is_before(x, c[0]) || !(x.logit > -INFINITY)) continue;
        c[0] = x;
        sift_down(c, have, 0, false);
    }
    for (size_t m = have; m > 1; m--) { /* the root is the last: put it behind */
        candidate last = c[0];
        c[0] = c[m - 1];
        c[m - 1] = last;
        sift_down(c, m - 1, 0, false);
    }
    return have;
}

/* ---- steps 4 to 8 ---- */

static float weight(float logit, float top, float temperature)
{
    return vt_expf((logit - top) / temperature);
}

/* The sum of all weights in the shape of rule 7: 16 strided partial sums, then a tree. */
static double total_weight(const float *logits, size_t n, float top, float temperature)
{
    double part[16] = {0};
    for (size_t i = 0; i < n; i++) {
        float x = logits[i];
        if (x > -INFINITY) part[i % 16] += (double)weight(x, top, temperature);
    }
    for (size_t width = 8; width > 0; width /= 2)
        for (size_t i = 0; i < width; i++) part[i] += part[i + width];
    return part[0];
}

void vt_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t c[4] = {counter[0], counter[1], counter[2], counter[3]};
    uint32_t k0 = key[0];
    uint32_t k1 = key[1];
    for (int round = 0; round < 10; round++) {
        uint64_t a = (uint64_t)0xD2511F53u * c[0];
        uint64_t b = (uint64_t)0xCD9E8D57u * c[2];
        uint32_t next[4] = {(uint32_t)(b >> 32) ^ c[1] ^ k0, (uint32_t)b,
                            (uint32_t)(a >> 32) ^ c[3] ^ k1, (uint32_t)a};
        memcpy(c, next, sizeof c);
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    memcpy(out, c, sizeof c);
}

/* In [0, 1), 53 bits of it. */
static double uniform(uint64_t seed, uint64_t position)
{
    const uint32_t counter[4] = {(uint32_t)position, (uint32_t)(position >> 32), 0, 0};
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    uint32_t r[4];
    vt_philox(counter, key, r);
    uint64_t bits = ((uint64_t)r[1] << 32 | r[0]) >> 11;
    return (double)bits * 0x1p-53;
}

/* Steps 6 to 8 over sorted candidates. */
static int32_t draw_sorted(const vt_sampler *s, const candidate *c, size_t n, double u)
{
    float t = (float)s->sampling.temperature;
    float top = c[0].logit;
    double total = 0;
    for (size_t i = 0; i < n; i++) total += (double)weight(c[i].logit, top, t);
    double limit =
        s->sampling.top_p > 0 && s->sampling.top_p < 1 ? s->sampling.top_p * total : total;
    double sum = 0;
    size_t kept = 0;
    while (kept < n && (kept == 0 || sum < limit)) {
        double w = (double)weight(c[kept].logit, top, t);
        if (kept > 0 && w < s->sampling.min_p) break; /* the largest weight is 1 */
        sum += w;
        kept++;
    }
    double goal = u * sum;
    double running = 0;
    for (size_t i = 0; i < kept; i++) {
        running += (double)weight(c[i].logit, top, t);
        if (running > goal) return c[i].id;
    }
    return c[kept - 1].id;
}

/* Take the first out of a heap of all into c[n - 1], leaving n - 1 in the heap. */
static candidate pop_first(candidate *heap, size_t n)
{
    candidate first = heap[0];
    heap[0] = heap[n - 1];
    heap[n - 1] = first; /* taken candidates lie behind the heap, the first one last */
    sift_down(heap, n - 1, 0, true);
    return first;
}

/* Steps 6 to 8 over all tokens: candidates are taken out of a heap only as far as needed. */
static int32_t draw_all(vt_sampler *s, const float *logits, float top, double u)
{
    float t = (float)s->sampling.temperature;
    double total = total_weight(logits, s->n_vocab, top, t);
    bool has_top_p = s->sampling.top_p > 0 && s->sampling.top_p < 1;
    bool has_cut = has_top_p || s->sampling.min_p > 0;
    double limit = has_top_p ? s->sampling.top_p * total : total;
    candidate *heap = s->candidates;
    size_t n = 0;
    for (size_t i = 0; i < s->n_vocab; i++)
        if (logits[i] > -INFINITY) heap[n++] = (candidate){logits[i], (int32_t)i};
    make_heap(heap, n, true);
    size_t left = n;
    double sum = 0;
    /* Without a cut the goal is known from the start, and few have to be taken. */
    double goal = has_cut ? 0 : u * total;
    int32_t last = heap[0].id;
    while (left > 0 && (left == n || sum < limit)) {
        double w = (double)weight(heap[0].logit, top, t);
        if (left < n && (w < s->sampling.min_p || !(w > 0))) break;
        last = pop_first(heap, left--).id;
        sum += w;
        if (!has_cut && sum > goal) return last;
    }
    if (!has_cut) return last; /* rounding left the goal unreached: the last that has weight */
    goal = u * sum;
    double running = 0;
    for (size_t i = n; i > left; i--) {
        running += (double)weight(heap[i - 1].logit, top, t);
        if (running > goal) return heap[i - 1].id;
    }
    return last;
}

vt_status vt_sampler_choose(vt_sampler *s, const float *logits, uint64_t position,
                            const vt_token_mask *allowed, int32_t *id, vt_err *err)
{
    const float *x = adjust(s, logits, allowed);
    int32_t top = largest(x, s->n_vocab);
    if (top < 0)
        return vt_fail(err, VT_EINPUT, "no token can be chosen at position %llu",
                       (unsigned long long)position);
    if (!(s->sampling.temperature > 0) || s->sampling.top_k == 1) {
        *id = top;
        return VT_OK;
    }
    double u = uniform(s->seed, position);
    if (s->sampling.top_k > 0 && s->sampling.top_k < s->n_vocab) {
        size_t n = select_top(x, s->n_vocab, s->sampling.top_k, s->candidates);
        *id = draw_sorted(s, s->candidates, n, u);
    } else {
        *id = draw_all(s, x, x[top], u);
    }
    return VT_OK;
}

/* ---- the model's own probabilities ---- */

/* log(sum(exp(logits - top))), in doubles, in the shape of rule 7. */
static double log_total(const float *logits, size_t n, float top)
{
    double part[16] = {0};
    for (size_t i = 0; i < n; i++) part[i % 16] += vt_exp((double)logits[i] - (double)top);
    for (size_t width = 8; width > 0; width /= 2)
        for (size_t i = 0; i < width; i++) part[i] += part[i + width];
    return vt_ln(part[0]);
}

double vt_logprob(const float *logits, size_t n_vocab, int32_t id)
{
    int32_t top = largest(logits, n_vocab);
    if (top < 0 || id < 0 || (size_t)id >= n_vocab) return -INFINITY;
    return (double)logits[id] - (double)logits[top] - log_total(logits, n_vocab, logits[top]);
}

size_t vt_logprobs_top(const float *logits, size_t n_vocab, size_t k, vt_logprob_entry *out)
{
    candidate c[VT_LOGPROBS_MAX];
    size_t n = select_top(logits, n_vocab, k < VT_LOGPROBS_MAX ? k : VT_LOGPROBS_MAX, c);
    if (n == 0) return 0;
    double sum = log_total(logits, n_vocab, c[0].logit);
    for (size_t i = 0; i < n; i++)
        out[i] = (vt_logprob_entry){c[i].id, (double)c[i].logit - (double)c[0].logit - sum};
    return n;
}
