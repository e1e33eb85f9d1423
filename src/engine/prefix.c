/* prefix.c -- what a session asks of the prefix store: restore, keep, and have written. See
 * prefix.h.
 *
 * All three walk from the root along the tokens: a few comparisons a block, cheap enough that
 * nobody has to remember where a session stands in the tree, and nothing is stale when a block was
 * given up in between. */
#include "engine/prefix_tree.h"

#include <stdio.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/cpu.h"
#include "engine/engine_parts.h"

enum {
    FLUSH_MS = 3000,
    /* Prompts shorter than this are not written to disk: reading them takes no time worth it. Not
     * more, as the prompts of `ask` are often 60 to 130 tokens, and a question has several. */
    MIN_WRITTEN = VT_BLOCK_TOKENS,
};
#define MAX_RAM (UINT64_C(2) << 30)

/* ---- the store ---- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool read_digest(const char *hex, vt_key *out)
{
    if (strlen(hex) != VT_SHA256_HEX) return false;
    for (size_t i = 0; i < VT_SHA256_BYTES; i++) {
        const int high = hex_digit(hex[2 * i]), low = hex_digit(hex[2 * i + 1]);
        if (high < 0 || low < 0) return false;
        out->bytes[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static vt_status open_disk(vt_prefix_store *p, vt_err *err)
{
    const vt_prefix_options *o = &p->options;
    if (o->dir == NULL || o->digest == NULL) return VT_OK;
    if (!read_digest(o->digest, &p->model))
        return vt_fail(err, VT_EINPUT, "'%.80s' is no digest of a model", o->digest);
    vt_status st = vt_prefix_files_open(o->dir, true, &p->files, err);
    if (st == VT_OK) st = vt__prefix_writer_init(&p->writer, p->files, o->disk_bytes, err);
    return st;
}

vt_status vt_engine_keep_prefixes(vt_engine *e, const vt_prefix_options *options, vt_err *err)
{
    VT_CHECK(e->prefixes == NULL);
    vt_prefix_store *p = vt_calloc(1, sizeof *p);
    if (p == NULL) return vt_fail(err, VT_ENOMEM, "out of memory");
    p->options = *options;
    if (p->options.ram_bytes == 0) {
        p->options.ram_bytes = vt_cpu_memory_bytes() / 16;
        if (p->options.ram_bytes > MAX_RAM) p->options.ram_bytes = MAX_RAM;
    }
    if (p->options.flush_ms == 0) p->options.flush_ms = FLUSH_MS;
    vt_status st = open_disk(p, err);
    p->options.dir = p->options.digest = NULL; /* the caller's, and no longer needed */
    if (st == VT_OK) e->prefixes = p;
    else vt__prefix_free(p);
    return st;
}

bool vt_engine_flush_prefixes(vt_engine *e, uint32_t timeout_ms)
{
    return e->prefixes == NULL || vt__prefix_writer_flush(&e->prefixes->writer, timeout_ms);
}

bool vt_engine_prefix_problem(vt_engine *e, char *out, size_t size)
{
    return e->prefixes != NULL && vt__prefix_writer_problem(&e->prefixes->writer, out, size);
}

void vt__prefix_free(vt_prefix_store *p)
{
    if (p == NULL) return;
    vt__prefix_writer_deinit(&p->writer, p->options.flush_ms);
    vt_prefix_files_close(p->files);
    for (int i = 0; i < VT_PREFIX_TREES; i++) vt__prefix_tree_deinit(&p->trees[i]);
    vt_free(p);
}

static vt_prefix_tree *tree_for(vt_prefix_store *p, const vt_kv_memory *kv)
{
    int i = 0;
    while (i < VT_PREFIX_TREES && p->trees[i].kv_code != 0) {
        if (p->trees[i].kv_code == vt_kv_code(kv)) return &p->trees[i];
        i++;
    }
    if (i == VT_PREFIX_TREES) return NULL;
    vt_prefix_tree made = {0};
    if (vt__prefix_tree_init(&made, kv, p->options.ram_bytes, NULL) != VT_OK) return NULL;
    if (vt_block_root(&p->model, VT_NUMERICS_VERSION, made.kv_code, &made.nodes[0].block.key,
                      NULL) != VT_OK) {
        vt__prefix_tree_deinit(&made);
        return NULL;
    }
    made.nodes[0].has_key = true;
    p->trees[i] = made;
    return &p->trees[i];
}

/* ---- walking ---- */

/* What is known of the place after some whole blocks. */
typedef struct {
    uint32_t node; /* VT_NO_NODE: the block before is not in RAM */
    uint32_t at;   /* position */
    vt_key key;    /* with a disk: that of the block before */
} place;

static place begin_of(vt_prefix_store *p, const vt_prefix_tree *t)
{
    p->clock++;
    return (place){.key = t->nodes[0].block.key};
}

/* Fill in what the block of these n tokens is called that stands at `here`. */
static bool name_block(const vt_prefix_store *p, const vt_prefix_tree *t, const place *here,
                       const int32_t *tokens, uint32_t n, vt_block *out)
{
    vt_block b = {.numerics = VT_NUMERICS_VERSION,
                  .kv_code = t->kv_code,
                  .n_tokens = n,
                  .position = here->at,
                  .payload_bytes = vt__prefix_payload(t, n),
                  .model = p->model,
                  .previous = here->key};
    memcpy(b.tokens, tokens, n * sizeof *tokens);
    if (vt_block_key(&here->key, tokens, n, &b.key, NULL) != VT_OK) return false;
    *out = b;
    return true;
}

/* Go to a child. */
static void step_down(vt_prefix_store *p, vt_prefix_tree *t, place *here, uint32_t child)
{
    t->nodes[child].last_use = p->clock;
    here->node = child;
    here->at += t->nodes[child].block.n_tokens;
}

/* The same, and with a disk its key, worked out when it is wanted for the first time. */
static bool step_down_named(vt_prefix_store *p, vt_prefix_tree *t, place *here, uint32_t child)
{
    vt_prefix_node *node = &t->nodes[child];
    if (p->files != NULL && !node->has_key) {
        vt_block b;
        if (!name_block(p, t, here, node->block.tokens, node->block.n_tokens, &b)) return false;
        node->block = b;
        node->has_key = true;
    }
    step_down(p, t, here, child);
    here->key = node->block.key;
    return true;
}

/* ---- keeping ---- */

static bool has_tiles(const vt_session *s, uint32_t first, uint32_t end)
{
    for (uint32_t l = 0; l < s->kv.n_layers; l++)
        for (uint32_t i = first; i < end; i++)
            if (!vt_kv_has_tile(&s->kv, l, i, s->high)) return false;
    return true;
}

/* Tails that the new block of n tokens begins with: it serves as well. */
static void drop_tails(vt_prefix_store *p, vt_prefix_tree *t, uint32_t parent,
                       const int32_t *tokens, uint32_t n)
{
    for (uint32_t i = t->nodes[parent].first_child; i != VT_NO_NODE;) {
        const vt_prefix_node *node = &t->nodes[i];
        const uint32_t next = node->next, k = node->block.n_tokens;
        if (k < n && memcmp(node->block.tokens, tokens, k * sizeof *tokens) == 0 &&
            !vt__prefix_writer_holds(&p->writer, node))
            vt__prefix_drop(t, i);
        i = next;
    }
}

/* Take the block of n tokens at `here` out of the session; VT_NO_NODE when it can't be. */
static uint32_t add_block(vt_prefix_store *p, vt_prefix_tree *t, const place *here,
                          const vt_session *s, uint32_t n)
{
    const int32_t *tokens = s->tokens + here->at;
    const uint32_t first = here->at / VT_KEY_TILE,
                   end = (here->at + n + VT_KEY_TILE - 1) / VT_KEY_TILE;
    if (!has_tiles(s, first, end)) return VT_NO_NODE;
    drop_tails(p, t, here->node, tokens, n);
    const uint32_t i = vt__prefix_take(p, t, here->node);
    if (i == VT_NO_NODE) return VT_NO_NODE;
    vt_block *b = &t->nodes[i].block;
    b->n_tokens = n;
    b->position = here->at;
    memcpy(b->tokens, tokens, n * sizeof *tokens);
    uint8_t *to = vt__prefix_image(t, i) + VT_BLOCK_HEADER;
    for (uint32_t tile = first; tile < end; tile++)
        for (uint32_t l = 0; l < t->n_layers; l++, to += t->tile_bytes)
            vt_kv_read_tile(&s->kv, l, tile, to);
    return i;
}

/* What the session holds: its whole blocks, and with `tail` what is left over. Called during
 * decode: allocates nothing but the tree at first, works out no keys. */
static void keep(vt_prefix_store *p, const vt_session *s, bool tail)
{
    vt_prefix_tree *t = tree_for(p, &s->kv);
    const int32_t *tokens = s->tokens;
    const uint32_t n = s->n_tokens;
    if (t == NULL || n == 0) return;
    place here = begin_of(p, t);
    uint32_t same;
    while (n - here.at >= VT_BLOCK_TOKENS) {
        uint32_t i = vt__prefix_child(t, here.node, tokens + here.at, VT_BLOCK_TOKENS, &same);
        if (same < VT_BLOCK_TOKENS) i = add_block(p, t, &here, s, VT_BLOCK_TOKENS);
        if (i == VT_NO_NODE) return;
        step_down(p, t, &here, i);
    }
    const uint32_t rest = n - here.at;
    if (!tail || rest < VT_BLOCK_MIN_TOKENS) return;
    (void)vt__prefix_child(t, here.node, tokens + here.at, rest, &same);
    if (same < rest) (void)add_block(p, t, &here, s, rest);
}

void vt__prefix_step(vt_prefix_store *p, const vt_session *s, uint32_t n)
{
    if (s->n_tokens / VT_BLOCK_TOKENS != (s->n_tokens - n) / VT_BLOCK_TOKENS) keep(p, s, false);
}

/* ---- restoring ---- */

/* Where a block was found. */
typedef enum { NOWHERE, IN_RAM, ON_DISK, SKIPPED } source;

typedef struct {
    vt_prefix_store *p;
    vt_prefix_tree *t;
    vt_session *session;
    const int32_t *tokens;
    place here;
    uint32_t have; /* tokens that the session's cache holds */
} restoring;

/* The image of a block that was found, into the cache: its first k positions. */
static void copy_in(restoring *r, const uint8_t *image, uint32_t k)
{
    const uint32_t at = r->here.at, end = (at + k + VT_KEY_TILE - 1) / VT_KEY_TILE;
    const uint32_t from = r->have > at ? r->have : at;
    if (at + k <= r->have) return;
    for (uint32_t tile = from / VT_KEY_TILE; tile < end; tile++) {
        const uint8_t *in =
            image + VT_BLOCK_HEADER + (tile - at / VT_KEY_TILE) * r->t->n_layers * r->t->tile_bytes;
        for (uint32_t l = 0; l < r->t->n_layers; l++, in += r->t->tile_bytes)
            vt_kv_write_tile(&r->session->kv, l, tile, in);
    }
}

/* What RAM has at this place is not evicted while the disk is asked for more of it. */
static void stay(const restoring *r, uint32_t child)
{
    if (child != VT_NO_NODE) r->t->nodes[child].last_use = r->p->clock;
}

/* A block from disk, into the tree if it has a place, and the first k positions into the cache.
 * *child: its node, or VT_NO_NODE. */
static bool load(restoring *r, vt_block *b, uint32_t k, uint32_t *child)
{
    vt_prefix_store *p = r->p;
    vt_prefix_tree *t = r->t;
    const vt_block want = *b;
    vt_err err = {0};
    *child = r->here.node != VT_NO_NODE ? vt__prefix_take(p, t, r->here.node) : VT_NO_NODE;
    uint8_t *image = vt__prefix_image(t, *child != VT_NO_NODE ? *child : 0);
    vt_status st = vt_prefix_files_load(p->files, b, image, t->image_bytes, &err);
    /* the key says all this, unless someone made a file by hand */
    if (st == VT_OK && (b->kv_code != want.kv_code || b->numerics != want.numerics ||
                        b->position != want.position || !vt_key_eq(&b->model, &want.model) ||
                        b->payload_bytes != vt__prefix_payload(t, b->n_tokens)))
        st = VT_ECORRUPT;
    if (st != VT_OK) {
        if (*child != VT_NO_NODE) vt__prefix_drop(t, *child);
        if (st == VT_ECORRUPT) p->report.miss = VT_MISS_DAMAGED;
        return false;
    }
    copy_in(r, image, k);
    if (*child != VT_NO_NODE) {
        t->nodes[*child].block = *b;
        t->nodes[*child].has_key = true;
        t->nodes[*child].is_on_disk = true;
    }
    return true;
}

static uint32_t at_most(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* A whole block at this place, by its key. One that the session has anyway is not read. */
static source find_on_disk(restoring *r, uint32_t k)
{
    vt_block b;
    uint32_t child = VT_NO_NODE;
    if (!name_block(r->p, r->t, &r->here, r->tokens + r->here.at, VT_BLOCK_TOKENS, &b))
        return NOWHERE;
    const bool is_had = r->here.at + k <= r->have;
    if (!is_had && !load(r, &b, k, &child)) return NOWHERE;
    r->here.node = child;
    r->here.key = b.key;
    return is_had ? SKIPPED : ON_DISK;
}

/* A whole block at this place of which the first k tokens are wanted; `here` moves on. */
static source find_whole(restoring *r, uint32_t k)
{
    uint32_t same;
    const uint32_t child =
        vt__prefix_child(r->t, r->here.node, r->tokens + r->here.at, VT_BLOCK_TOKENS, &same);
    source found = NOWHERE;
    stay(r, child);
    if (same == VT_BLOCK_TOKENS) {
        copy_in(r, vt__prefix_image(r->t, child), k);
        if (step_down_named(r->p, r->t, &r->here, child)) found = IN_RAM;
    } else if (r->p->files != NULL) {
        found = find_on_disk(r, k);
        if (found != NOWHERE) r->here.at += VT_BLOCK_TOKENS;
    }
    return found;
}

/* The beginning of a block that goes on differently, or a tail; at most `most` tokens. How many
 * tokens, and from where. */
static uint32_t find_part(restoring *r, uint32_t most, source *from)
{
    const int32_t *tokens = r->tokens + r->here.at;
    uint32_t same, k = 0, node;
    vt_block b;
    const uint32_t child = vt__prefix_child(r->t, r->here.node, tokens, most, &same);
    stay(r, child);
    if (r->p->files != NULL && r->here.at + most > r->have && same < most &&
        vt_prefix_files_nearest(r->p->files, &r->here.key, tokens, most, &b, NULL) == VT_OK)
        while (k < b.n_tokens && k < most && b.tokens[k] == tokens[k]) k++;
    *from = ON_DISK;
    if (k > same && r->here.at + k > r->have && load(r, &b, k, &node)) return k;
    *from = IN_RAM;
    if (child == VT_NO_NODE || r->here.at + same <= r->have) return 0;
    copy_in(r, vt__prefix_image(r->t, child), same);
    return same;
}

/* The cache now holds the tokens before `end`. */
static void gain(restoring *r, uint32_t end, source from)
{
    if (end <= r->have) return;
    *(from == IN_RAM ? &r->p->report.n_ram : &r->p->report.n_disk) += end - r->have;
    r->have = end;
}

/* Whole blocks, then a part of one. */
static void restore(restoring *r, uint32_t n)
{
    source from;
    r->here = begin_of(r->p, r->t);
    while (n - r->here.at >= VT_BLOCK_TOKENS) {
        const uint32_t at = r->here.at, k = at_most(VT_BLOCK_TOKENS, n - 1 - at);
        from = find_whole(r, k);
        if (from == NOWHERE) break;
        if (from != SKIPPED) gain(r, at + k, from);
    }
    if (r->p->report.miss == VT_MISS_DAMAGED || r->here.at >= n - 1) return;
    const uint32_t k = find_part(r, at_most(VT_BLOCK_TOKENS, n - 1 - r->here.at), &from);
    gain(r, r->here.at + k, from);
}

void vt__prefix_restore(vt_prefix_store *p, vt_session *s, const int32_t *tokens, uint32_t n,
                        uint32_t same)
{
    const double start = vt_clock_seconds();
    const uint32_t n_held = s->n_tokens;
    keep(p, s, true);
    vt__session_go_back(s, same);
    p->report = (vt_prefix_report){.n_session = s->n_tokens,
                                   .n_lost = same - s->n_tokens,
                                   .position = s->n_tokens,
                                   .has_disk = p->files != NULL};
    restoring r = {
        .p = p, .t = tree_for(p, &s->kv), .session = s, .tokens = tokens, .have = s->n_tokens};
    if (r.t == NULL) return;
    restore(&r, n);
    p->report.seconds = vt_clock_seconds() - start;
    p->report.position = r.have;
    if (p->options.on_sync != NULL && r.have < n - 1) {
        const vt_prefix_wish wish = {.tokens = tokens, .n = n, .held = s->tokens, .n_held = n_held};
        vt__prefix_find_miss(p, r.t, &wish);
    }
    memmove(s->tokens, tokens, r.have * sizeof *tokens); /* they may be the session's own */
    s->n_tokens = r.have;
    if (s->high < r.have) s->high = r.have;
}

/* ---- after a sync ---- */

/* All blocks of this prompt, first ones first: what is on disk is marked as used, so that making
 * room for the rest does not take it, and is written again where someone removed it. */
static void write_path(vt_prefix_store *p, vt_prefix_tree *t, const int32_t *tokens, uint32_t n)
{
    place here = begin_of(p, t);
    while (here.at < n) {
        uint32_t same;
        const uint32_t most = at_most(VT_BLOCK_TOKENS, n - here.at);
        const uint32_t child = vt__prefix_child(t, here.node, tokens + here.at, most, &same);
        if (same < most || !step_down_named(p, t, &here, child)) break;
        vt__prefix_writer_push(&p->writer, t, child);
    }
}

void vt__prefix_synced(vt_prefix_store *p, const vt_session *s)
{
    vt_prefix_tree *t = tree_for(p, &s->kv);
    char problem[192];
    if (t == NULL) return;
    keep(p, s, true);
    /* looked at before: the writer forgets it when a path begins */
    const bool has_problem = vt__prefix_writer_problem(&p->writer, problem, sizeof problem);
    if (p->files != NULL && s->n_tokens >= MIN_WRITTEN) write_path(p, t, s->tokens, s->n_tokens);
    if (p->options.on_sync == NULL) return;
    p->report.tokens = s->tokens;
    p->report.n_tokens = s->n_tokens;
    if (has_problem) p->report.problem = problem;
    p->options.on_sync(p->options.ctx, &p->report);
    p->report.problem = NULL;
}
