/* engine_parts.h -- private to engine/: what an engine and its sessions are made of.
 *
 * There is one forward pass (model/pass.h), the engine's, for all sessions: its buffers are the
 * large part of what a run needs beside weights and KV, and only one thing runs at a time. Logits
 * are left where the pass has put them. A session that is not part of the next pass keeps its row
 * first (vt__engine_keep_logits), so decoding one sequence, or the same batch over and over, copies
 * nothing. */
#ifndef VT_ENGINE_ENGINE_PARTS_H
#define VT_ENGINE_ENGINE_PARTS_H

#include "engine/batch.h"
#include "engine/engine.h"
#include "engine/kv.h"
#include "kernels/kernels.h"
#include "model/network.h"
#include "model/pass.h"

struct vt_engine {
    vt_model *model;
    vt_pool *pool;
    const vt_kernels *kernels;
    vt_pass *pass; /* NULL before the first session */
    uint32_t pass_tokens;
    vt_session *shown[VT_BATCH_SEQUENCES]; /* those whose logits lie in the pass */
    size_t n_shown;
    struct vt_prefix_store *prefixes; /* NULL: none are kept */
};

/* n_tokens counts what the cache holds; `high` how far it was ever written, which tells what a ring
 * may have lost. */
struct vt_session {
    vt_engine *engine;
    vt_kv_memory kv;
    int32_t *tokens; /* [n_ctx] */
    uint32_t n_tokens;
    uint32_t n_ctx;
    uint32_t n_chunk;
    uint32_t high;
    const float *logits; /* after the last token: a row of the pass, or `kept`; NULL: none */
    float *kept;         /* [n_vocab], touched only when another session runs in between */
    uint32_t n_tried;    /* tokens behind n_tokens whose logits lie behind `logits` */
    bool is_running;     /* in the pass that is being made */
    bool is_in_batch;    /* of vt_batch_extend, as the next one */
    uint32_t batch_from; /* n_tokens when it began */
};

/* Tokens of one session on their way into a pass. */
typedef struct {
    vt_session *session; /* each at most once */
    const int32_t *tokens;
    uint32_t n_tokens; /* at most the session's n_chunk, and there is room for them */
    uint32_t n_tried;  /* of them, the last so many are tried (vt_session_try), not held */
    bool wants_logits; /* of the last of those that are held, and of those that are tried */
} vt_part;

/* Set s back to its first n tokens, or, when its window ring has lost what comes before them, to
 * none. */
void vt__session_go_back(vt_session *s, uint32_t n);

/* Make the pass take at least n_tokens. Nothing is changed on failure. */
VT_MUSTUSE vt_status vt__engine_reserve(vt_engine *e, uint32_t n_tokens, vt_err *err);

/* Sessions that have their logits in the pass, but for those that are running, keep a copy. */
void vt__engine_keep_logits(vt_engine *e);

/* One forward pass over n_parts (at most VT_BATCH_SEQUENCES) parts, together at most pass_tokens
 * tokens. On failure the sessions hold the tokens that they had, and no logits. */
VT_MUSTUSE vt_status vt__engine_forward(vt_engine *e, const vt_part *parts, size_t n_parts,
                                        const vt_progress *progress, vt_err *err);

#endif
