/* prefix_explain.c -- why a sync had to compute: where the prompt and what is stored part. See
 * prefix.h.
 *
 * The session and the tree are looked at always; the files only when the options ask for it, as all
 * their headers have to be read. */
#include "engine/prefix_tree.h"

#include "base/alloc.h"

static const struct {
    const char *name, *text;
} misses[] = {
    [VT_MISS_NONE] = {"none", "everything but the last token was stored"},
    [VT_MISS_NOTHING] = {"nothing", "nothing stored begins like this prompt"},
    [VT_MISS_PARTS] = {"parts", "the stored prefix goes on differently"},
    [VT_MISS_ENDS] = {"ends", "nothing is stored beyond"},
    [VT_MISS_DAMAGED] = {"damaged", "the next stored block is damaged ('vetro kv verify')"},
    [VT_MISS_EVICTED] = {"evicted", "the next block was removed to keep to the budget"},
    [VT_MISS_OTHER_KV_TYPE] = {"other_kv_type",
                               "a prefix like this is stored with another --kv-type"},
    [VT_MISS_OTHER_MODEL] = {"other_model", "a prefix like this is stored for another model"},
    [VT_MISS_OTHER_NUMERICS] = {"other_numerics", "a prefix like this is stored by a vetro of "
                                                  "another numerics version"},
};

const char *vt_prefix_miss_text(vt_prefix_miss miss)
{
    return misses[miss].text;
}

const char *vt_prefix_miss_name(vt_prefix_miss miss)
{
    return misses[miss].name;
}

/* ---- finding it ---- */

/* The longest stored prefix so far, and how it goes on. */
typedef struct {
    vt_prefix_report *report;
    const vt_prefix_wish *wish;
    bool is_found;
} search;

/* Something stored has `n` tokens, at position `at` of a prefix that is the prompt's up to there.
 * Returns how many of them are the prompt's too. */
static uint32_t consider(search *s, uint32_t at, const int32_t *tokens, uint32_t n)
{
    vt_prefix_report *r = s->report;
    uint32_t same = 0;
    while (same < n && at + same < s->wish->n && tokens[same] == s->wish->tokens[at + same]) same++;
    const uint32_t parts_at = at + same, rest = n - same;
    if (parts_at < r->position || (parts_at == r->position && (rest == 0 || r->n_stored > 0)))
        return same;
    r->position = parts_at;
    r->n_stored = rest < VT_PREFIX_SHOWN ? rest : VT_PREFIX_SHOWN;
    memcpy(r->stored, tokens + same, r->n_stored * sizeof *tokens);
    s->is_found = s->is_found || parts_at > 0;
    return same;
}

static void look_in_ram(search *s, const vt_prefix_tree *t)
{
    uint32_t node = 0, at = 0, same = VT_BLOCK_TOKENS;
    while (same == VT_BLOCK_TOKENS && at < s->wish->n) {
        node = vt__prefix_child(t, node, s->wish->tokens + at, s->wish->n - at, &same);
        if (node == VT_NO_NODE) break;
        (void)consider(s, at, t->nodes[node].block.tokens, t->nodes[node].block.n_tokens);
        at += VT_BLOCK_TOKENS;
    }
}

/* Blocks of this prompt behind a missing one. */
static bool was_evicted(const vt_prefix_listing *l, const vt_key *root, const vt_prefix_wish *w)
{
    vt_key key = *root;
    for (uint32_t at = 0; w->n - at >= VT_BLOCK_TOKENS; at += VT_BLOCK_TOKENS) {
        if (vt_block_key(&key, w->tokens + at, VT_BLOCK_TOKENS, &key, NULL) != VT_OK) return false;
        for (size_t i = 0; i < l->n; i++)
            if (l->files[i].is_lost && vt_key_eq(&l->files[i].block.key, &key)) return true;
    }
    return false;
}

/* The first block of something else that begins like the prompt: what else is it? */
static vt_prefix_miss find_other(const vt_prefix_store *p, const vt_prefix_tree *t,
                                 const vt_prefix_listing *l, const vt_prefix_wish *w)
{
    vt_prefix_miss found = VT_MISS_NOTHING;
    for (size_t i = 0; i < l->n; i++) {
        const vt_block *b = &l->files[i].block;
        if (b->n_tokens == 0 || b->position != 0 || b->n_tokens > w->n ||
            memcmp(b->tokens, w->tokens, b->n_tokens * sizeof *b->tokens) != 0)
            continue;
        if (b->numerics != VT_NUMERICS_VERSION) {
            if (found == VT_MISS_NOTHING) found = VT_MISS_OTHER_NUMERICS;
        } else if (!vt_key_eq(&b->model, &p->model)) {
            found = VT_MISS_OTHER_MODEL;
        } else if (b->kv_code != t->kv_code) {
            return VT_MISS_OTHER_KV_TYPE;
        }
    }
    return found;
}

/* Files whose prefix is the prompt's, block by block: parents stand before their children. */
static void look_on_disk(search *s, const vt_prefix_listing *l, const vt_key *root)
{
    bool *is_ours = vt_calloc(l->n + 1, sizeof *is_ours);
    for (size_t i = 0; i < l->n && is_ours != NULL; i++) {
        const vt_prefix_file *file = &l->files[i];
        const bool follows = file->parent != UINT32_MAX ? is_ours[file->parent]
                                                        : vt_key_eq(&file->block.previous, root);
        if (follows && !file->is_lost && file->block.position < s->wish->n)
            is_ours[i] = consider(s, file->block.position, file->block.tokens,
                                  file->block.n_tokens) == VT_BLOCK_TOKENS;
    }
    vt_free(is_ours);
}

void vt__prefix_find_miss(vt_prefix_store *p, const vt_prefix_tree *t, const vt_prefix_wish *w)
{
    vt_prefix_report *r = &p->report;
    search s = {.report = r, .wish = w, .is_found = r->position > 0};
    vt_prefix_listing l = {0};
    if (r->miss == VT_MISS_DAMAGED) return;
    (void)consider(&s, 0, w->held, w->n_held);
    look_in_ram(&s, t);
    const bool has_list = p->options.explains && p->files != NULL &&
                          vt_prefix_files_list(p->files, &l, NULL) == VT_OK;
    if (has_list) look_on_disk(&s, &l, &t->nodes[0].block.key);
    r->miss = !s.is_found ? VT_MISS_NOTHING : r->n_stored > 0 ? VT_MISS_PARTS : VT_MISS_ENDS;
    if (has_list && r->miss == VT_MISS_ENDS && was_evicted(&l, &t->nodes[0].block.key, w))
        r->miss = VT_MISS_EVICTED;
    if (has_list && r->miss == VT_MISS_NOTHING) r->miss = find_other(p, t, &l, w);
    if (r->miss == VT_MISS_NOTHING) r->n_stored = 0;
    vt_prefix_listing_deinit(&l);
}

/* ---- telling it ---- */

/* Tokens around the place where the prompt parts: what stands before it, how what is stored goes
 * on, how the prompt goes on. Borrowed from the report. */
typedef struct {
    const int32_t *before, *stored, *here;
    size_t n_before, n_stored, n_here;
} surroundings;

static size_t shown(size_t n)
{
    return n < VT_PREFIX_SHOWN ? n : VT_PREFIX_SHOWN;
}

/* False when there is no such place, or no tokenizer to show it by. */
static bool find_surroundings(const vt_prefix_report *r, const vt_tokenizer *t, surroundings *out)
{
    const size_t at = r->position;
    if (t == NULL || r->miss == VT_MISS_NONE || at >= r->n_tokens) return false;
    *out = (surroundings){
        .before = r->tokens + at - shown(at),
        .n_before = shown(at),
        .stored = r->stored,
        .n_stored = r->miss == VT_MISS_PARTS ? r->n_stored : 0,
        .here = r->tokens + at,
        .n_here = shown(r->n_tokens - at),
    };
    return true;
}

static void append_quoted(vt_buffer *out, const vt_tokenizer *t, const int32_t *tokens, size_t n)
{
    vt_buffer_byte(out, '"');
    for (size_t i = 0; i < n; i++) {
        const vt_slice text = vt_tokenizer_bytes(t, tokens[i]);
        for (size_t k = 0; k < text.len; k++) {
            if (text.ptr[k] == '\n') vt_buffer_append(out, VT_S("\\n"));
            else vt_buffer_byte(out, text.ptr[k]);
        }
    }
    vt_buffer_byte(out, '"');
}

void vt_prefix_explain(const vt_prefix_report *r, const vt_tokenizer *t, vt_buffer *out)
{
    surroundings around;
    vt_buffer_printf(out,
                     "cache: %zu of %zu prompt tokens reused (session %zu, memory %zu, disk %zu) "
                     "in %.0f ms\n",
                     r->n_session + r->n_ram + r->n_disk, r->n_tokens, r->n_session, r->n_ram,
                     r->n_disk, 1e3 * r->seconds);
    if (r->n_lost > r->n_ram + r->n_disk)
        vt_buffer_printf(out,
                         "cache: the session had %zu of them, but its sliding window has moved on "
                         "too far to go back there\n",
                         r->n_lost);
    vt_buffer_printf(out, "cache: at token %zu: %s", r->position, vt_prefix_miss_text(r->miss));
    if (find_surroundings(r, t, &around)) {
        vt_buffer_printf(out, "; after ");
        append_quoted(out, t, around.before, around.n_before);
        if (r->miss == VT_MISS_PARTS) {
            vt_buffer_printf(out, " stored ");
            append_quoted(out, t, around.stored, around.n_stored);
        }
        vt_buffer_printf(out, " here ");
        append_quoted(out, t, around.here, around.n_here);
    }
    vt_buffer_byte(out, '\n');
    if (!r->has_disk) vt_buffer_printf(out, "cache: nothing is kept on disk\n");
    if (r->problem != NULL) vt_buffer_printf(out, "cache: not written: %s\n", r->problem);
}

static json_t *tokens_json(const vt_tokenizer *t, const int32_t *tokens, size_t n)
{
    vt_buffer text;
    vt_buffer_init(&text, 0);
    for (size_t i = 0; i < n; i++) vt_buffer_append(&text, vt_tokenizer_bytes(t, tokens[i]));
    json_t *out = text.failed ? NULL : vt_json_string(vt_buffer_slice(&text));
    vt_buffer_deinit(&text);
    return out;
}

json_t *vt_prefix_explain_json(const vt_prefix_report *r, const vt_tokenizer *t)
{
    surroundings around;
    json_t *reused = json_pack("{s:I, s:I, s:I}", "session", (json_int_t)r->n_session, "memory",
                               (json_int_t)r->n_ram, "disk", (json_int_t)r->n_disk);
    json_t *out =
        json_pack("{s:I, s:o, s:f, s:I, s:s, s:s, s:b}", "prompt_tokens", (json_int_t)r->n_tokens,
                  "reused", reused, "seconds", r->seconds, "position", (json_int_t)r->position,
                  "miss", vt_prefix_miss_name(r->miss), "reason", vt_prefix_miss_text(r->miss),
                  "on_disk", (int)r->has_disk);
    if (out == NULL) return NULL;
    int failed = 0;
    if (r->n_lost > r->n_ram + r->n_disk)
        failed |= json_object_set_new(out, "window_lost", json_integer((json_int_t)r->n_lost));
    if (find_surroundings(r, t, &around)) {
        failed |= json_object_set_new(out, "after", tokens_json(t, around.before, around.n_before));
        failed |= json_object_set_new(out, "here", tokens_json(t, around.here, around.n_here));
        if (r->miss == VT_MISS_PARTS)
            failed |=
                json_object_set_new(out, "stored", tokens_json(t, around.stored, around.n_stored));
    }
    if (r->problem != NULL)
        failed |= json_object_set_new(out, "problem", vt_json_string(vt_slice_cstr(r->problem)));
    if (failed == 0) return out;
    json_decref(out);
    return NULL;
}
