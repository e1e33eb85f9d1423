/* tokenizer_bpe.c -- byte-pair merging of one piece.
 *
 * The rule: of all neighbouring pairs that the merge list knows, join the one with the lowest rank,
 * the leftmost of equals; repeat until no pair is known. Short pieces, nearly all of them, do just
 * that on a small array. A long one (base64, a minified line, Chinese without spaces) would take
 * quadratic time, so its symbols form a linked list and the candidate pairs a heap: n log n.
 *
 * A heap entry is rank << 32 | position, so that the order of the integers is the order of the
 * rule. Entries are not removed when a neighbour is merged away; an entry taken from the heap is
 * stale when the pair now at that position has another rank. */
#include "model/tokenizer_bpe.h"

#include "base/alloc.h"

enum {
    SHORT_PIECE = 48,
    LONGEST_PIECE = 16 << 20, /* 600 MB of scratch memory; no honest text comes near */
    NO_RANK = INT32_MAX,
};

typedef struct vt_bpe_symbol {
    int32_t id; /* -1: merged into the one before it */
    uint32_t prev, next;
    int32_t rank;   /* of the pair (this, next); NO_RANK */
    int32_t merged; /* what that pair becomes */
} symbol;

void vt__bpe_work_deinit(vt_bpe_work *w)
{
    vt_free(w->symbols);
    vt_free(w->heap);
    *w = (vt_bpe_work){0};
}

static void look_up(const vt_tokenizer *t, symbol *s, int32_t right)
{
    const vt_merge *m = vt__merge_find(t, s->id, right);
    s->rank = m ? m->rank : NO_RANK;
    s->merged = m ? m->id : -1;
}

static vt_status encode_short(const vt_tokenizer *t, symbol *s, size_t n, vt_tokens *out,
                              vt_err *err)
{
    if (n > 0) s[n - 1].rank = NO_RANK;
    for (size_t i = 0; i + 1 < n; i++) look_up(t, &s[i], s[i + 1].id);
    for (;;) {
        size_t best = 0;
        for (size_t i = 1; i < n; i++)
            if (s[i].rank < s[best].rank) best = i;
        if (n == 0 || s[best].rank == NO_RANK) break;
        s[best].id = s[best].merged;
        memmove(&s[best + 1], &s[best + 2], (n - best - 2) * sizeof *s);
        n--;
        if (best + 1 < n) look_up(t, &s[best], s[best + 1].id);
        else s[best].rank = NO_RANK;
        if (best > 0) look_up(t, &s[best - 1], s[best].id);
    }
    vt_status st = VT_OK;
    for (size_t i = 0; i < n && st == VT_OK; i++) st = vt_tokens_push(out, s[i].id, err);
    return st;
}

/* A heap of four children per node: half the depth, and the children share a cache line. */
static void sift_down(uint64_t *heap, size_t n, size_t i)
{
    uint64_t moving = heap[i];
    for (;;) {
        size_t first = 4 * i + 1;
        if (first >= n) break;
        size_t end = first + 4 < n ? first + 4 : n;
        size_t least = first;
        for (size_t c = first + 1; c < end; c++)
            if (heap[c] < heap[least]) least = c;
        if (heap[least] >= moving) break;
        heap[i] = heap[least];
        i = least;
    }
    heap[i] = moving;
}

static void sift_up(uint64_t *heap, size_t i)
{
    uint64_t moving = heap[i];
    while (i > 0 && heap[(i - 1) / 4] > moving) {
        heap[i] = heap[(i - 1) / 4];
        i = (i - 1) / 4;
    }
    heap[i] = moving;
}

static uint64_t entry(const symbol *s, size_t i)
{
    return (uint64_t)(uint32_t)s[i].rank << 32 | (uint32_t)i;
}

static vt_status reserve(vt_bpe_work *w, size_t n, vt_err *err)
{
    /* Each merge takes one entry off the heap and puts at most two on it: 2n entries are enough. */
    if (n > LONGEST_PIECE)
        return vt_fail(err, VT_ELIMIT, "a word of %zu bytes without a break, more than %d", n,
                       LONGEST_PIECE);
    if (!vt_grow((void **)&w->symbols, &w->n_symbols, n, sizeof *w->symbols, UINT32_MAX) ||
        !vt_grow((void **)&w->heap, &w->n_heap, 2 * n, sizeof *w->heap, (size_t)UINT32_MAX * 2))
        return vt_fail(err, VT_ENOMEM, "no memory to encode a word of %zu bytes", n);
    return VT_OK;
}

static vt_status encode_long(const vt_tokenizer *t, vt_bpe_work *w, size_t n, vt_tokens *out,
                             vt_err *err)
{
    symbol *s = w->symbols;
    uint64_t *heap = w->heap;
    size_t n_heap = 0;
    for (size_t i = 0; i < n; i++) {
        s[i].prev = (uint32_t)i - 1; /* wraps at 0, and is not followed there */
        s[i].next = (uint32_t)i + 1;
        s[i].rank = NO_RANK;
        if (i + 1 < n) look_up(t, &s[i], s[i + 1].id);
        if (s[i].rank != NO_RANK) heap[n_heap++] = entry(s, i);
    }
    for (size_t i = n_heap / 4 + 1; i-- > 0;)
        if (i < n_heap) sift_down(heap, n_heap, i);

    while (n_heap > 0) {
        size_t i = (uint32_t)heap[0];
        bool is_stale = heap[0] != entry(s, i) || s[i].id < 0;
        heap[0] = heap[--n_heap];
        if (n_heap > 0) sift_down(heap, n_heap, 0);
        if (is_stale) continue;

        size_t gone = s[i].next;
        s[i].id = s[i].merged;
        s[i].next = s[gone].next;
        s[i].rank = NO_RANK;
        s[gone].id = -1;
        if (s[i].next < n) {
            s[s[i].next].prev = (uint32_t)i;
            look_up(t, &s[i], s[s[i].next].id);
        }
        if (s[i].rank != NO_RANK) {
            heap[n_heap] = entry(s, i);
            sift_up(heap, n_heap++);
        }
        if (i == 0) continue;
        size_t before = s[i].prev;
        look_up(t, &s[before], s[i].id);
        if (s[before].rank != NO_RANK) {
            heap[n_heap] = entry(s, before);
            sift_up(heap, n_heap++);
        }
    }
    vt_status st = VT_OK;
    for (size_t i = 0; i < n && st == VT_OK; i = s[i].next) st = vt_tokens_push(out, s[i].id, err);
    return st;
}

vt_status vt__bpe_encode(const vt_tokenizer *t, vt_bpe_work *w, vt_slice piece, vt_tokens *out,
                         vt_err *err)
{
    symbol few[SHORT_PIECE];
    symbol *s = few;
    if (t->has_whole_words) {
        int32_t id = vt__names_find(t, &t->text, piece);
        if (id >= 0) return vt_tokens_push(out, id, err);
    }
    if (piece.len > SHORT_PIECE) {
        vt_status st = reserve(w, piece.len, err);
        if (st != VT_OK) return st;
        s = w->symbols;
    }
    /* A byte without a token is left out, as the published tokenizers do (SmolLM2's vocabulary
     * lacks some control characters and lead bytes of unassigned planes). */
    size_t n = 0;
    for (size_t i = 0; i < piece.len; i++) {
        int32_t id = t->byte_ids[(uint8_t)piece.ptr[i]];
        if (id >= 0) s[n++].id = id;
    }
    return s == few ? encode_short(t, s, n, out, err) : encode_long(t, w, n, out, err);
}
