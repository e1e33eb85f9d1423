/* tokenizer_vocab.c -- builds a tokenizer's tables from a list of tokens and a list of merges, and
 * looks things up in them.
 *
 * GPT-2's vocabularies write bytes as printable characters: 0x21-0x7E, 0xA1-0xAC and 0xAE-0xFF
 * stand for themselves as code points, the other 68 bytes, in order, for U+0100 to U+0143. Tokens
 * are stored as the bytes that they mean. A token that is not in this alphabet (an added one, or
 * padding) means its own UTF-8 bytes, as in the published decoder.
 *
 * Both hash tables are built once, at most two thirds full, and never change. Their keys come from
 * the model file alone, so text from users cannot make them slow.
 *
 * Building them is most of what opening a tokenizer takes: half a million look-ups in tables that
 * no near cache holds. So it goes by batches: what a batch will touch is asked for first, and
 * looked at when it has come. */
#include "model/tokenizer_bpe.h"

#include "base/alloc.h"
#include "base/checked.h"
#include "base/utf8.h"

enum {
    MAX_TOKENS = 1 << 24,
    MAX_MERGES = 1 << 26,
    ALPHABET_END = 0x144, /* code points of the printable form are below */
    BATCH = 16,           /* look-ups under way at a time */
};

/* The byte that a code point of the printable form stands for, or -1. */
static int unprintable(uint32_t code)
{
    if ((code >= 0x21 && code <= 0x7E) || (code >= 0xA1 && code <= 0xFF && code != 0xAD))
        return (int)code;
    if (code < 0x100 || code >= ALPHABET_END) return -1;
    uint32_t i = code - 0x100;
    if (i < 0x21) return (int)i;
    if (i < 0x43) return (int)(i - 0x21 + 0x7F); /* 0x7F to 0xA0 */
    return 0xAD;
}

/* The bytes meant by `printable`, to out, which has room for printable.len; false when some
 * character is not of the alphabet. */
static bool to_bytes(vt_slice printable, char *out, size_t *n_out)
{
    size_t n = 0;
    for (size_t i = 0; i < printable.len; i++) {
        uint8_t b = (uint8_t)printable.ptr[i];
        uint32_t code = b;
        if (b >= 0x80) { /* the alphabet has one- and two-byte characters only */
            if (b < 0xC2 || b > 0xC5 || i + 1 == printable.len) return false;
            uint8_t b2 = (uint8_t)printable.ptr[++i];
            if ((b2 & 0xC0) != 0x80) return false;
            code = (b & 0x1FU) << 6 | (b2 & 0x3FU);
        }
        int byte = unprintable(code);
        if (byte < 0) return false;
        out[n++] = (char)byte;
    }
    *n_out = n;
    return true;
}

static uint64_t mix(uint64_t h)
{
    h *= 0x9E3779B97F4A7C15U;
    return h ^ h >> 32;
}

static uint32_t hash_bytes(vt_slice s)
{
    uint64_t h = s.len;
    uint64_t word;
    for (; s.len >= sizeof word; s = vt_slice_skip(s, sizeof word)) {
        memcpy(&word, s.ptr, sizeof word);
        h = mix(h ^ word);
    }
    word = 0;
    for (size_t i = 0; i < s.len; i++) word = word << 8 | (uint8_t)s.ptr[i];
    return (uint32_t)mix(mix(h ^ word));
}

static vt_slice token_bytes(const vt_tokenizer *t, int32_t id)
{
    return (vt_slice){t->bytes + t->starts[id], t->starts[id + 1] - t->starts[id]};
}

static size_t slots_for(size_t n)
{
    size_t slots = 16;
    while (slots < n + n / 2) slots *= 2;
    return slots;
}

static bool names_init(vt_names *names, size_t n)
{
    names->n_slots = slots_for(n);
    names->slots = vt_alloc(names->n_slots * sizeof *names->slots);
    if (names->slots == NULL) return false;
    memset(names->slots, 0xFF, names->n_slots * sizeof *names->slots);
    return true;
}

/* The slot of `name`, or the free one where it belongs. */
static vt_name_slot *name_slot(const vt_tokenizer *t, const vt_names *names, vt_slice name,
                               uint32_t hash)
{
    size_t i = hash & (names->n_slots - 1);
    for (;; i = (i + 1) & (names->n_slots - 1)) {
        vt_name_slot *slot = &names->slots[i];
        if (slot->id < 0) return slot;
        if (slot->hash == hash && vt_slice_eq(token_bytes(t, slot->id), name)) return slot;
    }
}

static void prefetch_name(const vt_names *names, uint32_t hash)
{
    VT_PREFETCH(&names->slots[hash & (names->n_slots - 1)]);
}

int32_t vt__names_find(const vt_tokenizer *t, const vt_names *names, vt_slice name)
{
    return name_slot(t, names, name, hash_bytes(name))->id;
}

/* Add token `id` under the hash of its bytes; the id that has the same bytes already, or -1. */
static int32_t names_add(const vt_tokenizer *t, vt_names *names, int32_t id, uint32_t hash)
{
    vt_slice name = token_bytes(t, id);
    vt_name_slot *slot = name_slot(t, names, name, hash);
    if (slot->id >= 0) return slot->id;
    *slot = (vt_name_slot){.hash = hash, .id = id};
    return -1;
}

static size_t first_merge_slot(const vt_tokenizer *t, int32_t left, int32_t right)
{
    uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    return mix(key ^ key >> 29) & (t->n_merge_slots - 1);
}

static vt_merge *merge_slot(const vt_tokenizer *t, int32_t left, int32_t right)
{
    size_t mask = t->n_merge_slots - 1;
    for (size_t i = first_merge_slot(t, left, right);; i = (i + 1) & mask) {
        vt_merge *m = &t->merges[i];
        if (m->left < 0 || (m->left == left && m->right == right)) return m;
    }
}

const vt_merge *vt__merge_find(const vt_tokenizer *t, int32_t left, int32_t right)
{
    const vt_merge *m = merge_slot(t, left, right);
    return m->left < 0 ? NULL : m;
}

static bool is_added(uint8_t type)
{
    return type == VT_TOKEN_CONTROL || type == VT_TOKEN_USER_DEFINED;
}

static vt_status copy_tokens(vt_tokenizer *t, const vt_tokenizer_source *src, vt_err *err)
{
    size_t n_added = 0;
    size_t total = 0;
    for (size_t i = 0; i < src->n_tokens; i++) {
        int32_t type = src->types ? src->types[i] : VT_TOKEN_NORMAL;
        if (type < VT_TOKEN_NORMAL || type > VT_TOKEN_BYTE)
            return vt_fail(err, VT_EINPUT, "token %zu has type %d, not one of 1 to 6", i, type);
        t->types[i] = (uint8_t)type;
        n_added += is_added(t->types[i]);
        total += src->tokens[i].len;
        if (total > UINT32_MAX)
            return vt_fail(err, VT_ELIMIT, "the tokens' text is longer than 4 GiB");
    }
    t->bytes = vt_alloc(total);
    if (t->bytes == NULL || !names_init(&t->text, src->n_tokens - n_added) ||
        !names_init(&t->added, n_added))
        return vt_fail(err, VT_ENOMEM, "no memory for %zu tokens", src->n_tokens);
    uint32_t pos = 0;
    for (size_t i = 0; i < src->n_tokens; i++) {
        vt_slice token = src->tokens[i];
        size_t n = token.len;
        if (is_added(t->types[i]) || !to_bytes(token, t->bytes + pos, &n)) {
            n = token.len;
            if (n > 0) memcpy(t->bytes + pos, token.ptr, n);
            if (t->types[i] == VT_TOKEN_NORMAL) t->types[i] = VT_TOKEN_UNKNOWN; /* not from text */
        }
        t->starts[i] = pos;
        pos += (uint32_t)n;
    }
    t->starts[src->n_tokens] = pos;
    return VT_OK;
}

/* The table that token i belongs to; NULL for those that are only ever ids: empty ones, which some
 * files have for padding, and those that are neither normal nor added. */
static vt_names *table_of(vt_tokenizer *t, size_t i)
{
    if (token_bytes(t, (int32_t)i).len == 0) return NULL;
    if (t->types[i] == VT_TOKEN_NORMAL) return &t->text;
    return is_added(t->types[i]) ? &t->added : NULL;
}

static vt_status index_batch(vt_tokenizer *t, const vt_tokenizer_source *src, size_t first,
                             size_t n, vt_err *err)
{
    uint32_t hashes[BATCH];
    for (size_t i = 0; i < n; i++) {
        const vt_names *names = table_of(t, first + i);
        hashes[i] = hash_bytes(token_bytes(t, (int32_t)(first + i)));
        if (names != NULL) prefetch_name(names, hashes[i]);
    }
    for (size_t i = 0; i < n; i++) {
        vt_names *names = table_of(t, first + i);
        if (names == NULL) continue;
        int32_t same = names_add(t, names, (int32_t)(first + i), hashes[i]);
        if (same >= 0)
            return vt_fail(err, VT_EINPUT, "tokens %d and %zu are the same: \"%.*s\"", same,
                           first + i, VT_ARG(vt_slice_take(src->tokens[first + i], 64)));
    }
    return VT_OK;
}

/* Names of tokens to the two tables. */
static vt_status index_tokens(vt_tokenizer *t, const vt_tokenizer_source *src, vt_err *err)
{
    for (size_t i = 0; i < src->n_tokens; i += BATCH) {
        size_t n = src->n_tokens - i < BATCH ? src->n_tokens - i : BATCH;
        vt_status st = index_batch(t, src, i, n, err);
        if (st != VT_OK) return st;
    }
    for (int b = 0; b < 256; b++) {
        char byte = (char)b;
        t->byte_ids[b] = vt__names_find(t, &t->text, (vt_slice){&byte, 1});
    }
    return VT_OK;
}

/* A merge on its way to ids: the two tokens and what they make, as bytes. */
typedef struct {
    bool is_pair; /* it was two tokens and a space */
    vt_slice names[3];
    uint32_t hashes[3];
    vt_merge merge;
} merge_work;

/* "left right" to bytes, in scratch; asks for the slots of the names. */
static void read_merge(const vt_tokenizer *t, vt_slice text, char *scratch, merge_work *m)
{
    size_t space = vt_slice_find(text, VT_S(" "));
    vt_slice left = vt_slice_take(text, space);
    vt_slice right = vt_slice_skip(text, space + 1);
    size_t n_left = 0;
    size_t n_right = 0;
    *m = (merge_work){0};
    m->is_pair = left.len > 0 && right.len > 0 && to_bytes(left, scratch, &n_left) &&
                 to_bytes(right, scratch + n_left, &n_right);
    if (!m->is_pair) return;
    m->names[0] = (vt_slice){scratch, n_left};
    m->names[1] = (vt_slice){scratch + n_left, n_right};
    m->names[2] = (vt_slice){scratch, n_left + n_right};
    for (size_t k = 0; k < 3; k++) {
        m->hashes[k] = hash_bytes(m->names[k]);
        prefetch_name(&t->text, m->hashes[k]);
    }
}

/* The ids of both and of what they become; asks for the merge's slot. */
static vt_status find_merge(const vt_tokenizer *t, vt_slice text, size_t i, merge_work *m,
                            vt_err *err)
{
    int32_t ids[3];
    if (!m->is_pair)
        return vt_fail(err, VT_EINPUT, "merge %zu is not two tokens and a space: \"%.*s\"", i,
                       VT_ARG(vt_slice_take(text, 64)));
    for (size_t k = 0; k < 3; k++) {
        ids[k] = name_slot(t, &t->text, m->names[k], m->hashes[k])->id;
        if (ids[k] < 0)
            return vt_fail(err, VT_EINPUT,
                           "merge %zu names or makes a token that the vocabulary lacks: \"%.*s\"",
                           i, VT_ARG(vt_slice_take(text, 64)));
    }
    m->merge = (vt_merge){.left = ids[0], .right = ids[1], .rank = (int32_t)i, .id = ids[2]};
    VT_PREFETCH(&t->merges[first_merge_slot(t, ids[0], ids[1])]);
    return VT_OK;
}

static vt_status add_merge(vt_tokenizer *t, vt_slice text, const vt_merge *merge, vt_err *err)
{
    vt_merge *slot = merge_slot(t, merge->left, merge->right);
    if (slot->left >= 0)
        return vt_fail(err, VT_EINPUT, "merges %d and %d are the same: \"%.*s\"", slot->rank,
                       merge->rank, VT_ARG(vt_slice_take(text, 64)));
    *slot = *merge;
    return VT_OK;
}

/* Merges first to first + n - 1; scratch has room for BATCH of the longest. */
static vt_status merge_batch(vt_tokenizer *t, const vt_slice *texts, size_t first, size_t n,
                             char *scratch, vt_err *err)
{
    merge_work work[BATCH];
    vt_status st = VT_OK;
    for (size_t i = 0; i < n; i++) {
        read_merge(t, texts[first + i], scratch, &work[i]);
        scratch += texts[first + i].len;
    }
    for (size_t i = 0; i < n && st == VT_OK; i++)
        st = find_merge(t, texts[first + i], first + i, &work[i], err);
    for (size_t i = 0; i < n && st == VT_OK; i++)
        st = add_merge(t, texts[first + i], &work[i].merge, err);
    return st;
}

static vt_status index_merges(vt_tokenizer *t, const vt_tokenizer_source *src, vt_err *err)
{
    vt_status st = VT_OK;
    size_t longest = 0;
    size_t room = 0;
    for (size_t i = 0; i < src->n_merges; i++)
        if (src->merges[i].len > longest) longest = src->merges[i].len;
    char *scratch = vt_mul_size(longest, BATCH, &room) ? vt_alloc(room) : NULL;
    t->n_merge_slots = slots_for(src->n_merges);
    t->merges = vt_alloc(t->n_merge_slots * sizeof *t->merges);
    if (scratch == NULL || t->merges == NULL) {
        st = vt_fail(err, VT_ENOMEM, "no memory for %zu merges", src->n_merges);
        goto out;
    }
    memset(t->merges, 0xFF, t->n_merge_slots * sizeof *t->merges);
    for (size_t i = 0; i < src->n_merges && st == VT_OK; i += BATCH) {
        size_t n = src->n_merges - i < BATCH ? src->n_merges - i : BATCH;
        st = merge_batch(t, src->merges, i, n, scratch, err);
    }
out:
    vt_free(scratch);
    return st;
}

static vt_status check_source(const vt_tokenizer_source *src, vt_err *err)
{
    if (src->n_tokens == 0 || src->n_tokens > MAX_TOKENS)
        return vt_fail(err, VT_EINPUT, "a vocabulary of %zu tokens, not 1 to %d", src->n_tokens,
                       MAX_TOKENS);
    if (src->n_merges > MAX_MERGES)
        return vt_fail(err, VT_EINPUT, "%zu merges, more than %d", src->n_merges, MAX_MERGES);
    int64_t n = (int64_t)src->n_tokens;
    if (src->bos < -1 || src->bos >= n || src->eos < -1 || src->eos >= n)
        return vt_fail(err, VT_EINPUT, "begin or end token %d, %d is outside the vocabulary of %zu",
                       src->bos, src->eos, src->n_tokens);
    return VT_OK;
}

vt_status vt__tokenizer_new(const vt_tokenizer_source *src, vt_tokenizer **out, vt_err *err)
{
    vt_status st = check_source(src, err);
    if (st != VT_OK) return st;
    vt_tokenizer *t = vt_calloc(1, sizeof *t);
    if (t == NULL) return vt_fail(err, VT_ENOMEM, "no memory for a tokenizer");
    t->n_tokens = src->n_tokens;
    t->split = src->split;
    t->is_nfc = src->split == VT_SPLIT_QWEN2;
    t->has_whole_words = src->split == VT_SPLIT_LLAMA3 || src->split == VT_SPLIT_O200K;
    t->bos = src->bos;
    t->eos = src->eos;
    t->adds_bos = src->adds_bos;
    t->types = vt_alloc(t->n_tokens);
    t->starts = vt_calloc(t->n_tokens + 1, sizeof *t->starts);
    if (t->types == NULL || t->starts == NULL) {
        st = vt_fail(err, VT_ENOMEM, "no memory for %zu tokens", t->n_tokens);
        goto out;
    }
    st = copy_tokens(t, src, err);
    if (st == VT_OK) st = index_tokens(t, src, err);
    if (st == VT_OK) st = index_merges(t, src, err);
out:
    if (st == VT_OK) *out = t;
    else vt_tokenizer_free(t);
    return st;
}
