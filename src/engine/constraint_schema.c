/* constraint_schema.c -- see constraint_schema.h. The mask for the next token is worked out when
 * the last one is accepted: a bit for each token, then the list of ids. */
#include "engine/constraint_schema.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "engine/schema.h"

/* Longer tokens than this are never allowed (they are runs of one character). */
enum { MAX_TOKEN = 128, MAX_STOPS = 8, MAX_FORESEEN = 64 };

typedef struct {
    vt_slice bytes;
    int32_t id;
    uint32_t n_common; /* bytes that it begins with like the entry before */
} entry;

typedef struct {
    entry *at; /* in the order of their bytes */
    size_t n;
} token_list;

/* A token that may stand between two characters of a string and doesn't end it. */
typedef struct {
    int32_t id;
    uint16_t n_characters;
    bool has_escape;
} inside;

typedef struct {
    vt_constraint base;
    const vt_tokenizer *tokenizer;
    vt_schema schema;
    vt_matcher *matcher;
    vt_match_set *levels; /* by the bytes of a token; the first is where we are */
    vt_match_mark *marks;
    vt_match_set scratch;
    token_list all, closing; /* closing: with a quote that may end a string */
    inside *insides;
    size_t n_insides;
    uint64_t *plain; /* insides, as bits */
    uint64_t *mask;
    int32_t *ids;
    size_t n_ids;
    size_t n_vocab, n_words;
    int32_t stops[MAX_STOPS];
    size_t n_stops;
    bool is_over;
} automaton;

static void set_bit(uint64_t *words, int32_t id)
{
    words[(uint32_t)id / 64] |= UINT64_C(1) << ((uint32_t)id % 64);
}

/* ---- the mask ---- */

/* Allow the tokens of a list that levels[0] leads on by. */
static void run_tokens(automaton *a, const token_list *list)
{
    size_t n_common = 0; /* with the token that was run last */
    size_t n_alive = 0;  /* levels that are set for that one, without the first */
    vt_match_mark begin = vt_matcher_mark(a->matcher);
    a->marks[0] = begin;
    for (size_t i = 0; i < list->n; i++) {
        const entry *e = &list->at[i];
        if (e->n_common < n_common) n_common = e->n_common;
        if (n_common > n_alive) continue; /* it begins with what was refused */
        bool is_alive = true;
        for (n_alive = n_common; n_alive < e->bytes.len && is_alive;) {
            vt_matcher_release(a->matcher, a->marks[n_alive]);
            is_alive = vt_matcher_step(a->matcher, &a->levels[n_alive],
                                       (uint8_t)e->bytes.ptr[n_alive], &a->levels[n_alive + 1]);
            if (!is_alive) break;
            a->marks[++n_alive] = vt_matcher_mark(a->matcher);
        }
        if (is_alive) set_bit(a->mask, e->id);
        n_common = e->bytes.len;
    }
    vt_matcher_release(a->matcher, begin);
}

static void allow_insides(automaton *a, uint32_t n_room, bool is_key)
{
    if (n_room >= MAX_TOKEN && !is_key) {
        for (size_t i = 0; i < a->n_words; i++) a->mask[i] |= a->plain[i];
        return;
    }
    for (size_t i = 0; i < a->n_insides; i++) {
        const inside *t = &a->insides[i];
        if (t->n_characters <= n_room && !(is_key && t->has_escape)) set_bit(a->mask, t->id);
    }
}

static void list_ids(automaton *a)
{
    a->n_ids = 0;
    for (size_t i = 0; i < a->n_words; i++)
        for (uint64_t word = a->mask[i]; word != 0; word &= word - 1)
            a->ids[a->n_ids++] = (int32_t)(i * 64 + (size_t)__builtin_ctzll(word));
}

/* levels[0] is where we are; it is put together again behind each run of tokens. */
static void find_mask(automaton *a)
{
    vt_match_set *here = &a->levels[0];
    memset(a->mask, 0, a->n_words * sizeof *a->mask);
    if (a->is_over) {
        a->n_ids = 0;
        return;
    }
    a->scratch = *here;
    here->n = 0;
    for (size_t i = 0; i < a->scratch.n; i++) {
        uint32_t n_room;
        bool is_key;
        if (!vt_matcher_in_text(a->matcher, &a->scratch.at[i], &n_room, &is_key)) continue;
        allow_insides(a, n_room, is_key);
        here->at[here->n++] = a->scratch.at[i];
    }
    bool are_all_text = here->n == a->scratch.n;
    if (here->n > 0) run_tokens(a, &a->closing);
    here->n = 0;
    for (size_t i = 0; i < a->scratch.n; i++) {
        uint32_t n_room;
        bool is_key;
        if (!vt_matcher_in_text(a->matcher, &a->scratch.at[i], &n_room, &is_key))
            here->at[here->n++] = a->scratch.at[i];
    }
    if (!are_all_text) run_tokens(a, &a->all);
    *here = a->scratch;
    if (vt_matcher_is_complete(a->matcher, here))
        for (size_t i = 0; i < a->n_stops; i++) set_bit(a->mask, a->stops[i]);
    list_ids(a);
}

static vt_allowed allowed(const vt_constraint *c)
{
    const automaton *a = (const automaton *)c;
    return (vt_allowed){.kind = VT_ALLOW_ONLY, .ids = a->ids, .n = a->n_ids, .n_vocab = a->n_vocab};
}

static void accept(vt_constraint *c, int32_t id)
{
    automaton *a = (automaton *)c;
    vt_slice bytes = vt_tokenizer_bytes(a->tokenizer, id);
    for (size_t i = 0; i < a->n_stops; i++) a->is_over = a->is_over || a->stops[i] == id;
    for (size_t i = 0; i < bytes.len && !a->is_over; i++) {
        vt_matcher_step(a->matcher, &a->levels[0], (uint8_t)bytes.ptr[i], &a->levels[1]);
        a->levels[0] = a->levels[1];
    }
    vt_matcher_settle(a->matcher, &a->levels[0]);
    find_mask(a);
}

/* ---- what must come ---- */

static int compare_entries(const void *x, const void *y)
{
    const entry *a = x, *b = y;
    size_t len = a->bytes.len < b->bytes.len ? a->bytes.len : b->bytes.len;
    int order = memcmp(a->bytes.ptr, b->bytes.ptr, len);
    if (order != 0) return order;
    if (a->bytes.len != b->bytes.len) return a->bytes.len < b->bytes.len ? -1 : 1;
    return (a->id > b->id) - (a->id < b->id);
}

/* The byte that alone leads on from levels[n], to levels[n + 1]; -1 when there is not just one. */
static int only_byte(automaton *a, size_t n)
{
    int found = -1;
    if (vt_matcher_is_complete(a->matcher, &a->levels[n])) return -1;
    for (int b = 0; b < 256; b++) {
        vt_matcher_release(a->matcher, a->marks[n]);
        if (!vt_matcher_step(a->matcher, &a->levels[n], (uint8_t)b, &a->levels[n + 1])) continue;
        if (found >= 0) return -1;
        found = b;
    }
    vt_matcher_release(a->matcher, a->marks[n]);
    if (found < 0) return -1;
    vt_matcher_step(a->matcher, &a->levels[n], (uint8_t)found, &a->levels[n + 1]);
    a->marks[n + 1] = vt_matcher_mark(a->matcher);
    return found;
}

/* The longest token that the text begins with; NULL when none does. */
static const entry *longest_token(const token_list *list, vt_slice text)
{
    for (size_t len = text.len; len > 0; len--) {
        const entry want = {.bytes = vt_slice_take(text, len)};
        size_t low = 0, high = list->n;
        while (low < high) {
            const size_t mid = low + (high - low) / 2;
            if (compare_entries(&list->at[mid], &want) < 0) low = mid + 1;
            else high = mid;
        }
        if (low < list->n && vt_slice_eq(list->at[low].bytes, want.bytes)) return &list->at[low];
    }
    return NULL;
}

/* Names, colons and the like can be written in one way only: most likely by the longest tokens. */
static size_t foresee(vt_constraint *c, int32_t *ids, size_t n_most)
{
    automaton *a = (automaton *)c;
    char text[MAX_FORESEEN];
    size_t len = 0, n = 0;
    if (a->is_over) return 0;
    a->marks[0] = vt_matcher_mark(a->matcher);
    for (int b; len < MAX_FORESEEN && (b = only_byte(a, len)) >= 0;) text[len++] = (char)b;
    vt_matcher_release(a->matcher, a->marks[0]);
    for (vt_slice rest = {text, len}; rest.len > 0 && n < n_most;) {
        const entry *e = longest_token(&a->all, rest);
        if (e == NULL) break;
        ids[n++] = e->id;
        rest = vt_slice_skip(rest, e->bytes.len);
    }
    if (n == 0 && a->n_ids == 1) ids[n++] = a->ids[0]; /* the end */
    return n;
}

/* ---- reading the tokens ---- */

static void find_common(token_list *list)
{
    for (size_t i = 1; i < list->n; i++) {
        vt_slice a = list->at[i - 1].bytes, b = list->at[i].bytes;
        uint32_t n = 0;
        while (n < a.len && n < b.len && a.ptr[n] == b.ptr[n]) n++;
        list->at[i].n_common = n;
    }
}

/* Sort a token into those that stay inside a string and those that may end one. */
static void look_inside(automaton *a, const entry *e)
{
    vt_scan scan = {0};
    inside t = {.id = e->id};
    for (size_t i = 0; i < e->bytes.len; i++) {
        vt_scan_result r = vt_schema_scan(&scan, (uint8_t)e->bytes.ptr[i]);
        if (r == VT_SCAN_BAD) return;
        if (r == VT_SCAN_QUOTE) {
            a->closing.at[a->closing.n++] = *e;
            return;
        }
        if (r == VT_SCAN_CHARACTER) t.n_characters++;
        if (e->bytes.ptr[i] == '\\') t.has_escape = true;
    }
    a->insides[a->n_insides++] = t;
    set_bit(a->plain, e->id);
}

/* So that something can always follow, these must be tokens by themselves: ASCII, the bytes that
 * continue a character, and those of the schema's own names and values. Published vocabularies lack
 * some of the bytes that begin a rare character; such a character can't be begun then. */
static vt_status check_bytes(const automaton *a, vt_err *err)
{
    bool has_byte[256] = {false};
    bool is_needed[256] = {false};
    for (size_t i = 0; i < a->all.n; i++)
        if (a->all.at[i].bytes.len == 1) has_byte[(uint8_t)a->all.at[i].bytes.ptr[0]] = true;
    for (unsigned b = 0x20; b <= 0xBF; b++) is_needed[b] = b != 0x7F;
    for (size_t i = 0; i < a->schema.bytes.len; i++)
        is_needed[(uint8_t)a->schema.bytes.ptr[i]] = true;
    for (unsigned b = 0; b < 256; b++)
        if (is_needed[b] && !has_byte[b])
            return vt_fail(err, VT_EUNSUPPORTED,
                           "the model's tokenizer has no token for the byte 0x%02X, which answers "
                           "by this schema may need",
                           b);
    return VT_OK;
}

static vt_status read_tokens(automaton *a, vt_err *err)
{
    a->all.at = vt_calloc(a->n_vocab + 1, sizeof *a->all.at);
    a->closing.at = vt_calloc(a->n_vocab + 1, sizeof *a->closing.at);
    a->insides = vt_calloc(a->n_vocab + 1, sizeof *a->insides);
    a->plain = vt_calloc(a->n_words + 1, sizeof *a->plain);
    a->mask = vt_calloc(a->n_words + 1, sizeof *a->mask);
    a->ids = vt_calloc(a->n_vocab + 1, sizeof *a->ids);
    a->levels = vt_calloc(MAX_TOKEN + 1, sizeof *a->levels);
    a->marks = vt_calloc(MAX_TOKEN + 1, sizeof *a->marks);
    if (a->all.at == NULL || a->closing.at == NULL || a->insides == NULL || a->plain == NULL ||
        a->mask == NULL || a->ids == NULL || a->levels == NULL || a->marks == NULL)
        return vt_fail(err, VT_ENOMEM, "out of memory for a schema's tokens");
    for (size_t i = 0; i < a->n_vocab; i++) {
        vt_slice bytes = vt_tokenizer_bytes(a->tokenizer, (int32_t)i);
        if (!vt_tokenizer_is_text(a->tokenizer, (int32_t)i)) continue;
        if (bytes.len == 0 || bytes.len > MAX_TOKEN) continue;
        a->all.at[a->all.n++] = (entry){.bytes = bytes, .id = (int32_t)i};
    }
    qsort(a->all.at, a->all.n, sizeof *a->all.at, compare_entries);
    for (size_t i = 0; i < a->all.n; i++) look_inside(a, &a->all.at[i]);
    find_common(&a->all);
    find_common(&a->closing);
    return check_bytes(a, err);
}

static void free_automaton(vt_constraint *c)
{
    automaton *a = (automaton *)c;
    vt_matcher_free(a->matcher);
    vt_schema_deinit(&a->schema);
    vt_free(a->all.at);
    vt_free(a->closing.at);
    vt_free(a->insides);
    vt_free(a->plain);
    vt_free(a->mask);
    vt_free(a->ids);
    vt_free(a->levels);
    vt_free(a->marks);
    vt_free(a);
}

static const vt_constraint_ops ops = {
    .allowed = allowed,
    .accept = accept,
    .free = free_automaton,
    .foresee = foresee,
};

vt_status vt_constraint_schema_new(const vt_tokenizer *t, const json_t *schema,
                                   const int32_t *stop_ids, size_t n_stop_ids, vt_constraint **out,
                                   vt_err *err)
{
    size_t n_vocab = vt_tokenizer_n_vocab(t);
    if (n_stop_ids == 0 || n_stop_ids > MAX_STOPS)
        return vt_fail(err, VT_EUNSUPPORTED,
                       "a schema needs a token that ends the answer; the model has none");
    automaton *a = vt_calloc(1, sizeof *a);
    if (a == NULL) return vt_fail(err, VT_ENOMEM, "out of memory for a constraint");
    a->base.ops = &ops;
    a->tokenizer = t;
    a->n_vocab = n_vocab;
    a->n_words = (n_vocab + 63) / 64;
    for (size_t i = 0; i < n_stop_ids; i++)
        if (stop_ids[i] >= 0 && (size_t)stop_ids[i] < n_vocab) a->stops[a->n_stops++] = stop_ids[i];
    vt_status st = vt_schema_compile(schema, &a->schema, err);
    if (st == VT_OK) st = vt_matcher_new(&a->schema, &a->matcher, err);
    if (st == VT_OK) st = read_tokens(a, err);
    if (st == VT_OK && a->n_stops == 0)
        st = vt_fail(err, VT_EUNSUPPORTED, "the tokens that end an answer are not in the model");
    if (st != VT_OK) {
        free_automaton(&a->base);
        return st;
    }
    vt_matcher_begin(a->matcher, &a->levels[0]);
    find_mask(a);
    *out = &a->base;
    return VT_OK;
}
