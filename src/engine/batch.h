/* batch.h -- many sessions go on together: their tokens share forward passes, so the weights are
 * read once for all of them.
 *
 *     const vt_batch_item items[] = {
 *         {a, &next_of_a, 1},           // decodes
 *         {b, prompt_of_b, n_prompt},   // is prefilled
 *     };
 *     st = vt_batch_extend(engine, items, 2, NULL, &err);
 *     ... vt_session_logits(a), vt_session_logits(b)
 *
 * A session gets the very bits that it would get alone, whatever stands next to it, in whatever
 * order (NUMERICS.md). A pass takes up to VT_BATCH_SEQUENCES sessions and as many tokens as the
 * largest prefill step among the engine's sessions; what is more becomes further passes. One token
 * each of so many sessions is one pass.
 *
 * Ownership  borrows the items and their tokens for the call.
 * Threads    those of the engine's sessions: one. */
#ifndef VT_ENGINE_BATCH_H
#define VT_ENGINE_BATCH_H

#include "engine/engine.h"

enum { VT_BATCH_SEQUENCES = 64 };

typedef struct {
    vt_session *session; /* of this engine, each in one item only */
    const int32_t *tokens;
    size_t n_tokens; /* at least 1 */
} vt_batch_item;

/* Append to each session its tokens, and compute the logits after its last one. No items: nothing
 * happens.
 *
 * Failure    what is wrong with the items (a full context: VT_ELIMIT; a token that does not exist,
 * no tokens, a session twice or of another engine: VT_EINPUT, with the item's number) is found
 * before anything is done, and no session is changed. When a pass fails or is cancelled, each
 * session holds the tokens of the passes before (vt_session_n_tokens says how many); those that
 * were in that pass, or have a part of their tokens, have no logits, the others keep theirs. */
VT_MUSTUSE vt_status vt_batch_extend(vt_engine *e, const vt_batch_item *items, size_t n_items,
                                     const vt_progress *progress, vt_err *err);

#endif
