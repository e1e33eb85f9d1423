/* constraint.c -- see constraint.h. */
#include "engine/constraint.h"

#include "base/alloc.h"

vt_allowed vt_constraint_allowed(const vt_constraint *c)
{
    return c->ops->allowed(c);
}

static bool is_listed(const vt_allowed *a, int32_t id)
{
    size_t low = 0, high = a->n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (a->ids[mid] == id) return true;
        if (a->ids[mid] < id) low = mid + 1;
        else high = mid;
    }
    return false;
}

bool vt_constraint_allows(const vt_constraint *c, int32_t id)
{
    vt_allowed a = c->ops->allowed(c);
    if (id < 0 || (size_t)id >= a.n_vocab) return false;
    return is_listed(&a, id) == (a.kind == VT_ALLOW_ONLY);
}

int32_t vt_constraint_forced(const vt_constraint *c)
{
    vt_allowed a = c->ops->allowed(c);
    return a.kind == VT_ALLOW_ONLY && a.n == 1 ? a.ids[0] : -1;
}

size_t vt_constraint_foresee(vt_constraint *c, int32_t *ids, size_t n_most)
{
    if (n_most == 0) return 0;
    if (c->ops->foresee != NULL) return c->ops->foresee(c, ids, n_most);
    ids[0] = vt_constraint_forced(c);
    return ids[0] >= 0 ? 1 : 0;
}

bool vt_constraint_accept(vt_constraint *c, int32_t id)
{
    if (!vt_constraint_allows(c, id)) return false;
    c->ops->accept(c, id);
    return true;
}

void vt_constraint_fill(const vt_constraint *c, uint64_t *words, size_t n_rows)
{
    vt_allowed a = c->ops->allowed(c);
    size_t n_words = (n_rows + 63) / 64;
    size_t n_known = a.n_vocab < n_rows ? a.n_vocab : n_rows;
    memset(words, 0, n_words * sizeof *words);
    if (a.kind == VT_ALLOW_ALL_BUT) {
        memset(words, 0xFF, n_known / 64 * sizeof *words);
        if (n_known % 64 > 0) words[n_known / 64] = (UINT64_C(1) << n_known % 64) - 1;
    }
    for (size_t i = 0; i < a.n && (size_t)a.ids[i] < n_known; i++)
        words[(uint32_t)a.ids[i] / 64] ^= UINT64_C(1) << (uint32_t)a.ids[i] % 64;
}

static vt_status allow(void *ctx, vt_token_mask *mask, bool *is_free, vt_err *err)
{
    vt_constraint *c = ctx;
    (void)err;
    vt_constraint_fill(c, c->words, c->n_rows);
    mask->words = c->words;
    *is_free = false;
    return VT_OK;
}

static vt_status accept(void *ctx, int32_t id, vt_err *err)
{
    if (vt_constraint_accept(ctx, id)) return VT_OK;
    return vt_fail(err, VT_EINPUT, "token %d breaks the constraint on this turn", id);
}

static size_t foresee(void *ctx, int32_t *ids, size_t n_most)
{
    return vt_constraint_foresee(ctx, ids, n_most);
}

vt_status vt_constraint_for_generate(vt_constraint *c, size_t n_rows, vt_generate_constraint *out,
                                     vt_err *err)
{
    uint64_t *words = vt_calloc((n_rows + 63) / 64 + 1, sizeof *words);
    if (words == NULL) return vt_fail(err, VT_ENOMEM, "out of memory for a constraint");
    vt_free(c->words);
    c->words = words;
    c->n_rows = n_rows;
    *out = (vt_generate_constraint){.ctx = c, .allow = allow, .accept = accept, .foresee = foresee};
    return VT_OK;
}

void vt_constraint_free(vt_constraint *c)
{
    if (c == NULL) return;
    vt_free(c->words);
    c->ops->free(c);
}
