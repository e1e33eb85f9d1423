/* batch.c -- see batch.h. Passes are filled in the order of the items: an item whose tokens do not
 * fit goes on in the next pass. How they are cut does not show in the bits. */
#include "engine/batch.h"

#include "engine/engine_parts.h"

static vt_status check_item(const vt_engine *e, const vt_batch_item *item, size_t i, vt_err *err)
{
    const vt_session *s = item->session;
    if (s->engine != e)
        return vt_fail(err, VT_EINPUT, "sequence %zu of the batch is of another engine", i);
    if (s->is_in_batch)
        return vt_fail(err, VT_EINPUT, "sequence %zu of the batch is in it twice", i);
    if (item->n_tokens == 0)
        return vt_fail(err, VT_EINPUT, "sequence %zu of the batch has no tokens to go on with", i);
    if (item->n_tokens > s->n_ctx - s->n_tokens)
        return vt_fail(err, VT_ELIMIT,
                       "%zu tokens of sequence %zu of the batch do not fit: its context holds %u "
                       "(--ctx) and %u are used",
                       item->n_tokens, i, s->n_ctx, s->n_tokens);
    for (size_t t = 0; t < item->n_tokens; t++)
        if (item->tokens[t] < 0 || (uint32_t)item->tokens[t] >= e->model->hyper.n_vocab)
            return vt_fail(err, VT_EINPUT,
                           "token id %d in sequence %zu of the batch is not in the vocabulary of "
                           "%u",
                           item->tokens[t], i, e->model->hyper.n_vocab);
    return VT_OK;
}

static size_t n_left(const vt_batch_item *item)
{
    return item->n_tokens - (item->session->n_tokens - item->session->batch_from);
}

/* The next pass: from item *first on, which is moved to the first that still has tokens. Returns
 * how many parts; *n_tokens is how many tokens they have together. */
static size_t fill_pass(const vt_engine *e, const vt_batch_item *items, size_t n_items,
                        size_t *first, vt_part *parts, uint32_t *n_tokens)
{
    size_t n_parts = 0;
    *n_tokens = 0;
    while (*first < n_items && n_left(&items[*first]) == 0) ++*first;
    for (size_t i = *first; i < n_items && n_parts < VT_BATCH_SEQUENCES; i++) {
        const vt_batch_item *item = &items[i];
        const size_t left = n_left(item);
        uint32_t n = e->pass_tokens - *n_tokens;
        if (n > item->session->n_chunk) n = item->session->n_chunk;
        if (n > left) n = (uint32_t)left;
        if (n == 0) continue;
        parts[n_parts++] = (vt_part){.session = item->session,
                                     .tokens = item->tokens + (item->n_tokens - left),
                                     .n_tokens = n,
                                     .wants_logits = n == left};
        *n_tokens += n;
    }
    return n_parts;
}

static vt_status run_passes(vt_engine *e, const vt_batch_item *items, size_t n_items,
                            uint64_t n_all, const vt_progress *progress, vt_err *err)
{
    vt_part parts[VT_BATCH_SEQUENCES];
    uint32_t n_tokens;
    uint64_t done = 0;
    size_t first = 0, n_parts;
    vt_status st = VT_OK;
    while (st == VT_OK && (n_parts = fill_pass(e, items, n_items, &first, parts, &n_tokens)) > 0) {
        st = vt__engine_forward(e, parts, n_parts, progress, err);
        done += n_tokens;
        if (st == VT_OK && n_all > e->pass_tokens)
            vt_progress_report(progress, "reading", done, n_all);
    }
    return st;
}

vt_status vt_batch_extend(vt_engine *e, const vt_batch_item *items, size_t n_items,
                          const vt_progress *progress, vt_err *err)
{
    vt_status st = VT_OK;
    uint64_t n_all = 0;
    size_t n_marked = 0;
    for (; n_marked < n_items; n_marked++) {
        st = check_item(e, &items[n_marked], n_marked, err);
        if (st != VT_OK) break;
        items[n_marked].session->is_in_batch = true;
        items[n_marked].session->batch_from = items[n_marked].session->n_tokens;
        n_all += items[n_marked].n_tokens;
    }
    if (st == VT_OK) st = run_passes(e, items, n_items, n_all, progress, err);
    for (size_t i = 0; i < n_marked; i++) items[i].session->is_in_batch = false;
    return st;
}
