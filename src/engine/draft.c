/* draft.c -- see draft.h.
 *
 * Lookup: each place is chained to the one before that ends with the same pair of tokens. Of the
 * most recent places of the chain the one with the longest match counts, of equal ones the more
 * recent. A guess that came true is followed on without looking again, so copying costs nothing. */
#include "engine/draft.h"

#include "base/alloc.h"
#include "base/clock.h"

enum {
    LEAST_MATCH = 2,
    MOST_MATCH = 32, /* longer ones are all alike */
    MOST_PLACES = 64,
    LEAST_BITS = 8,
    MOST_BITS = 16,
    FORESEEN = VT_DRAFT_KINDS - 1,
};

/* ---- lookup ---- */

static uint32_t hash_of(const vt_drafter *d, int32_t a, int32_t b)
{
    return ((uint32_t)a * 0x9E3779B1u ^ (uint32_t)b * 0x85EBCA77u) * 0xC2B2AE3Du >> (32 - d->bits);
}

/* How many tokens before (and with) places a < b are the same, MOST_MATCH at most. */
static size_t match_at(const vt_drafter *d, size_t a, size_t b)
{
    size_t n = 0;
    while (n <= a && n < MOST_MATCH && d->tokens[a - n] == d->tokens[b - n]) n++;
    return n;
}

static void look_up(vt_drafter *d)
{
    const size_t end = d->n - 1;
    d->n_match = 0;
    if (end == 0) return;
    int32_t place = d->last[hash_of(d, d->tokens[end - 1], d->tokens[end])];
    for (int i = 0; i < MOST_PLACES && place >= 0; i++, place = d->before[place]) {
        const size_t n = match_at(d, (size_t)place, end);
        if (n < LEAST_MATCH || n <= d->n_match) continue;
        d->n_match = n;
        d->from = (size_t)place + 1;
        if (n == MOST_MATCH) break;
    }
}

static void append(vt_drafter *d, int32_t id)
{
    d->tokens[d->n] = id;
    d->before[d->n++] = -1;
}

/* The place of the last token can be found from now on. */
static void enter(vt_drafter *d)
{
    const size_t end = d->n - 1;
    if (end == 0) return;
    int32_t *last = &d->last[hash_of(d, d->tokens[end - 1], d->tokens[end])];
    d->before[end] = *last;
    *last = (int32_t)end;
}

vt_status vt_drafter_init(vt_drafter *d, bool is_always, size_t n_most, const int32_t *prompt,
                          size_t n_prompt, vt_err *err)
{
    /* A match of two tokens is worth little, a long one much, until it is known better. */
    static const double chances[VT_DRAFT_KINDS] = {0.25, 0.4, 0.55, 0.7, 0.8, 0.9, 0.9};
    *d = (vt_drafter){.is_always = is_always, .cap = n_most, .bits = LEAST_BITS};
    if (n_most > INT32_MAX || n_prompt > n_most)
        return vt_fail(err, VT_ELIMIT, "a sequence of %zu tokens, a prompt of %zu", n_most,
                       n_prompt);
    while (d->bits < MOST_BITS && ((size_t)1 << d->bits) < n_most) d->bits++;
    const size_t n_last = (size_t)1 << d->bits;
    d->tokens = vt_calloc(n_most, sizeof *d->tokens);
    d->before = vt_calloc(n_most, sizeof *d->before);
    d->last = vt_calloc(n_last, sizeof *d->last);
    if (d->tokens == NULL || d->before == NULL || d->last == NULL) {
        vt_drafter_deinit(d);
        return vt_fail(err, VT_ENOMEM, "out of memory for %zu tokens", n_most);
    }
    for (size_t i = 0; i < n_last; i++) d->last[i] = -1;
    for (size_t i = 0; i < n_prompt; i++) {
        append(d, prompt[i]);
        if (i + 1 < n_prompt) enter(d);
    }
    if (n_prompt > 0) {
        look_up(d);
        enter(d);
    }
    for (int kind = 0; kind < VT_DRAFT_KINDS; kind++) {
        d->guesses[kind] = 3;
        d->hits[kind] = 3 * chances[kind];
    }
    return VT_OK;
}

void vt_drafter_deinit(vt_drafter *d)
{
    vt_free(d->tokens);
    vt_free(d->before);
    vt_free(d->last);
    *d = (vt_drafter){0};
}

/* ---- what guesses are worth ---- */

static int kind_of(size_t n_match)
{
    static const uint8_t longest[] = {2, 3, 5, 9, 17};
    int kind = 0;
    while (kind < FORESEEN - 1 && n_match > longest[kind]) kind++;
    return kind;
}

static void count(vt_drafter *d, int kind, bool is_hit)
{
    const double keep = 0.96; /* some 25 guesses back */
    d->hits[kind] = d->hits[kind] * keep + (is_hit ? 1 : 0);
    d->guesses[kind] = d->guesses[kind] * keep + 1;
}

/* Nothing that was won long ago pays for a long row of losses. */
static void pay(vt_drafter *d, double seconds)
{
    d->purse += seconds;
    if (d->purse > 2 * d->seconds[0]) d->purse = 2 * d->seconds[0];
}

void vt_drafter_push(vt_drafter *d, int32_t id)
{
    if (d->n == d->cap) return;
    if (d->n_match > 0) {
        const bool is_hit = d->tokens[d->from] == id;
        count(d, kind_of(d->n_match), is_hit);
        d->from++;
        if (!is_hit) d->n_match = 0;
        else if (d->n_match < MOST_MATCH) d->n_match++;
    }
    if (d->i_tried < d->n_tried) {
        const bool is_hit = d->tried[d->i_tried++] == id;
        if (d->is_foreseen) count(d, FORESEEN, is_hit);
        if (is_hit) pay(d, d->seconds[0]);
        else d->n_tried = 0;
    }
    append(d, id);
    if (d->n_match == 0) look_up(d);
    enter(d);
}

static int size_of(size_t n_tokens)
{
    return n_tokens == 1 ? 0 : n_tokens <= 4 ? 1 : n_tokens <= 8 ? 2 : 3;
}

/* Each token more in a pass of this size: as measured, or as in the next one that was. */
static double seconds_more(const vt_drafter *d, int size)
{
    for (int i = size; i > 0; i--)
        if (d->seconds[i] > 0) return d->seconds[i];
    for (int i = size; i < VT_DRAFT_SIZES; i++)
        if (d->seconds[i] > 0) return d->seconds[i];
    return d->seconds[0] / 4;
}

/* How many of the n tokens of a guess give the best rate; 0: none. */
static size_t best_length(const vt_drafter *d, size_t n)
{
    const double margin = 1.02, one = d->seconds[0];
    if (one <= 0 || d->purse <= 0) return 0;
    double best = margin / one, expected = 1, all_true = 1;
    size_t length = 0;
    bool is_measured = false;
    for (int i = 1; i < VT_DRAFT_SIZES; i++) is_measured = is_measured || d->seconds[i] > 0;
    if (!is_measured && n > 3) n = 3; /* the first bet is a small one */
    for (size_t k = 1; k <= n; k++) {
        const int kind = d->is_foreseen ? FORESEEN : kind_of(d->n_match + k - 1);
        all_true *= d->hits[kind] / d->guesses[kind];
        expected += all_true;
        const double rate = expected / (one + (double)k * seconds_more(d, size_of(k + 1)));
        if (rate > best) {
            best = rate;
            length = k;
        }
    }
    return length;
}

size_t vt_drafter_propose(vt_drafter *d, const int32_t *foreseen, size_t n_foreseen, size_t n_most,
                          int32_t ids[VT_DRAFT_MAX])
{
    size_t n = n_most < VT_DRAFT_MAX ? n_most : VT_DRAFT_MAX;
    d->n_tried = d->i_tried = 0;
    /* a match that begins the same way knows what follows behind, too */
    d->is_foreseen = n_foreseen > 0 && !(d->n_match > 0 && d->tokens[d->from] == foreseen[0]);
    if (d->is_foreseen && n > n_foreseen) n = n_foreseen;
    if (!d->is_foreseen && d->n_match == 0) n = 0;
    if (!d->is_always) n = best_length(d, n);
    for (size_t i = 0; i < n; i++) {
        const size_t at = d->from + i;
        /* a guess that reaches the end goes on with itself */
        if (d->is_foreseen) ids[i] = foreseen[i];
        else ids[i] = at < d->n ? d->tokens[at] : ids[at - d->n];
        d->tried[i] = ids[i];
    }
    d->n_tried = n;
    return n;
}

static void learn(double *known, double seconds, double weight)
{
    *known = *known > 0 ? *known + (seconds - *known) * weight : seconds;
}

void vt_drafter_took(vt_drafter *d, size_t n_tokens, double seconds)
{
    const double one = d->seconds[0];
    if (n_tokens == 1) {
        learn(&d->seconds[0], seconds, 0.1);
        pay(d, one > 0 ? seconds / 100 : seconds);
    } else if (one > 0) {
        const double more = (seconds - one) / (double)(n_tokens - 1);
        learn(&d->seconds[size_of(n_tokens)], more > one / 1000 ? more : one / 1000, 0.25);
        pay(d, one - seconds);
    }
}

/* ---- the whole ---- */

/* The token and the guesses that go with it, into tokens; how many. */
static size_t gather(vt_drafter *d, const vt_session *s, int32_t id, const vt_draft_hints *hints,
                     int32_t tokens[VT_TRY_MAX])
{
    int32_t foreseen[VT_DRAFT_MAX];
    size_t n_most = vt_session_can_try(s) - 1, n_foreseen = 0;
    if (hints->n_left > 0 && n_most > hints->n_left - 1) n_most = hints->n_left - 1;
    if (hints->foresee != NULL) n_foreseen = hints->foresee(hints->ctx, foreseen, n_most);
    tokens[0] = id;
    return 1 + vt_drafter_propose(d, foreseen, n_foreseen, n_most, tokens + 1);
}

vt_status vt_drafter_extend(vt_drafter *d, vt_session *s, int32_t id, const vt_draft_hints *hints,
                            const vt_progress *progress, vt_err *err)
{
    int32_t tokens[VT_TRY_MAX];
    vt_drafter_push(d, id);
    if (vt_session_follow(s, id)) {
        d->n_accepted++;
        return VT_OK;
    }
    if (vt_session_can_try(s) == 0) return vt_session_extend(s, &id, 1, progress, err);
    const size_t n = gather(d, s, id, hints, tokens);
    const double start = vt_clock_seconds();
    vt_status st = vt_session_try(s, tokens, n, progress, err);
    /* What fails may be a token that would never have come. */
    if (st != VT_OK && st != VT_ECANCEL && n > 1)
        return vt_session_extend(s, &id, 1, progress, err);
    vt_drafter_took(d, n, vt_clock_seconds() - start);
    d->n_drafted += n - 1;
    return st;
}
