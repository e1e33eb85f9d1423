/* engine.h -- what a model does: hold token prefixes, give logits.
 *
 * An engine is a loaded model with its threads and the buffers of a forward pass, which its
 * sessions share. A session is one sequence: the caller hands it the
 * whole list of tokens and the session reuses, extends or rebuilds its KV cache; nobody edits a KV
 * cache by hand. Whatever way the tokens came in (one go, chunks, one by one) the logits are the
 * same bits (NUMERICS.md).
 *
 * Ownership  an engine outlives its sessions. The logits of a session change only by calls on it,
 * but may move: the pointer is good until the next call on any session of the engine.
 * Threads    an engine and its sessions by one thread at a time.
 * Failure    on VT_ECANCEL or an error the session holds the tokens it had finished;
 * vt_session_n_tokens says how many. */
#ifndef VT_ENGINE_ENGINE_H
#define VT_ENGINE_ENGINE_H

#include "base/progress.h"
#include "kernels/kv_type.h"
#include "model/model.h"

typedef struct vt_engine vt_engine;
typedef struct vt_session vt_session;

typedef struct {
    const char *path;            /* GGUF file (any part of a split) */
    int n_threads;               /* 0: vt_cpu_count() */
    const char *isa;             /* a name of kernels/kernels.h; NULL: the best this CPU has */
    const vt_progress *progress; /* may be NULL */
} vt_engine_options;

VT_MUSTUSE vt_status vt_engine_open(const vt_engine_options *options, vt_engine **out, vt_err *err);
void vt_engine_close(vt_engine *e);
const vt_model *vt_engine_model(const vt_engine *e);
const vt_tokenizer *vt_engine_tokenizer(const vt_engine *e); /* NULL when the file has none */
const char *vt_engine_isa(const vt_engine *e);
int vt_engine_n_threads(const vt_engine *e);

typedef struct {
    uint32_t n_ctx;   /* most tokens; 0: min(model's context, 8192) */
    uint32_t n_chunk; /* tokens in one prefill step; 0: 512 */
    vt_kv_type kv_type;
} vt_session_options;

VT_MUSTUSE vt_status vt_session_new(vt_engine *e, const vt_session_options *options,
                                    vt_session **out, vt_err *err);
void vt_session_free(vt_session *s);
uint32_t vt_session_n_ctx(const vt_session *s);
uint64_t vt_session_kv_bytes(const vt_session *s);

/* Make the session hold exactly tokens[0..n) and compute the logits after the last of them. The
 * longest prefix that the session already holds, or that the engine has kept (prefix.h), is reused
 * (*n_reused, may be NULL). n = 0 or n > n_ctx is an error with numbers. A sliding-window model may
 * have to start over when it is set back by more than its ring holds. */
VT_MUSTUSE vt_status vt_session_sync(vt_session *s, const int32_t *tokens, size_t n,
                                     const vt_progress *progress, size_t *n_reused, vt_err *err);

/* Append n tokens; logits after the last. */
VT_MUSTUSE vt_status vt_session_extend(vt_session *s, const int32_t *tokens, size_t n,
                                       const vt_progress *progress, vt_err *err);

/* Like extend, and calls `each` with the logits of every one of the n new positions, in order. When
 * `each` fails, that is the result; the session then holds the tokens of whole prefill steps.
 * `each` makes no calls on sessions of the engine but those that only ask. */
typedef vt_status vt_logits_fn(void *ctx, size_t position, const float *logits, vt_err *err);
VT_MUSTUSE vt_status vt_session_extend_all(vt_session *s, const int32_t *tokens, size_t n,
                                           vt_logits_fn *each, void *ctx,
                                           const vt_progress *progress, vt_err *err);

/* Trying (for speculation): append tokens[0], and compute in the same pass the logits after each of
 * tokens[1..n), in case they come. The session holds one token more, as after extending it by one;
 * vt_session_follow appends the next of those tried, if it is this one, at no cost. False: nothing
 * is changed, the tokens tried are wrong or used up. What was tried is forgotten by the next call
 * that computes, on any session of the engine. n: at least 1, at most vt_session_can_try, which
 * looks at the room, at the size of a step and at how far a sliding window may be set back. */
enum { VT_TRY_MAX = 16 };
size_t vt_session_can_try(const vt_session *s);
VT_MUSTUSE vt_status vt_session_try(vt_session *s, const int32_t *tokens, size_t n,
                                    const vt_progress *progress, vt_err *err);
bool vt_session_follow(vt_session *s, int32_t token);

size_t vt_session_n_tokens(const vt_session *s);
const int32_t *vt_session_tokens(const vt_session *s);
/* float[n_vocab] after the last token; NULL when the session is empty or the last call on it
 * failed (a sync to the same tokens computes them again). */
const float *vt_session_logits(const vt_session *s);

#endif
