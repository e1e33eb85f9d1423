/* prefix.h -- the prefix store: keys and values of prefixes that were computed before, so that a
 * prompt which begins like an earlier one starts at once, in this process or in a later one.
 *
 *     vt_engine_keep_prefixes(engine, &options, &err);   // once, before the first sync
 *
 * From then on every vt_session_sync of that engine looks here for what its session does not hold,
 * and leaves here what it computed. What is stored is the very bytes of the KV cache, and what is
 * attended to never differs from what is stored (NUMERICS.md, rule 9): logits after a restored
 * prefix are the bits of a cold start.
 *
 * RAM       a tree of blocks of 64 tokens (prefix_block.h) in one reservation, shared by the
 *           sessions of the engine; a block that nobody used for longest makes room, leaves first.
 * Disk      the same blocks as files (prefix_files.h), found by their key, so after a restart too.
 *           Blocks of a prompt are written by a thread of the store's own after the prompt was
 *           read, at the lowest priority; a prompt of less than 64 tokens is not. An answer is
 *           written when a later prompt goes on from it.
 * Where     A sync can go on from any place in the tree, also from the middle of a block: keys and
 *           values depend on what stands before them only. The last token of a prompt is always
 *           run, for its logits.
 * Windows   A block has the tiles of *all* layers, those with a sliding window too. Storing only
 *           what a window sees at the ends of messages would halve the blocks of a model like
 *           gpt-oss, but then nothing could be reused where two prompts part within a message, as
 *           they do behind a shared system prompt. Blocks are taken from a ring as soon as they are
 *           complete; one that the ring lost before could be taken ends what is stored.
 * Ends      The last, partial block of a prompt, and of an answer that a prompt goes on from, is
 *           stored as a tail, if it has 8 tokens or more.
 *
 * Threads   the engine's; the writer is inside.
 * Failure   a store never makes a sync fail: what can't be read is a miss, what can't be written is
 *           not stored. The report says so. */
#ifndef VT_ENGINE_PREFIX_H
#define VT_ENGINE_PREFIX_H

#include "base/json.h"
#include "engine/engine.h"

/* Why a sync did not find more. */
typedef enum {
    VT_MISS_NONE,           /* everything but the last token */
    VT_MISS_NOTHING,        /* nothing stored begins like it */
    VT_MISS_PARTS,          /* the stored prefix goes on differently */
    VT_MISS_ENDS,           /* nothing is stored beyond */
    VT_MISS_DAMAGED,        /* the next block failed its check */
    VT_MISS_EVICTED,        /* later blocks are there, the next one had to go */
    VT_MISS_OTHER_KV_TYPE,  /* stored with another --kv-type */
    VT_MISS_OTHER_MODEL,    /* stored for a model of another digest */
    VT_MISS_OTHER_NUMERICS, /* stored by a vetro of another numerics version */
} vt_prefix_miss;

/* "nothing stored begins like this prompt" and so on. */
const char *vt_prefix_miss_text(vt_prefix_miss miss);
/* "nothing", "other_kv_type": for programs. */
const char *vt_prefix_miss_name(vt_prefix_miss miss);

enum { VT_PREFIX_SHOWN = 8 };

/* One sync. */
typedef struct {
    const int32_t *tokens; /* the prompt; borrowed for the call */
    size_t n_tokens;
    size_t n_session, n_ram, n_disk; /* tokens that were in the session, and restored from where */
    size_t n_lost;  /* tokens that the session had, but of which its window ring had lost too much
                     * to go on from */
    double seconds; /* to look for and restore them */
    vt_prefix_miss miss;
    size_t position; /* where the stored prefix and the prompt part, or the stored one ends */
    int32_t stored[VT_PREFIX_SHOWN]; /* VT_MISS_PARTS: how the stored one goes on from there */
    size_t n_stored;
    bool has_disk;
    const char *problem; /* vt_engine_prefix_problem before this sync's blocks are written, or NULL;
                          * borrowed for the call */
} vt_prefix_report;

typedef struct {
    uint64_t ram_bytes;  /* 0: a sixteenth of the memory, at most 2 GiB */
    const char *dir;     /* NULL: nothing on disk */
    uint64_t disk_bytes; /* most that the directory may hold; see vt_prefix_files_budget */
    const char *digest;  /* of the model, 64 hexadecimal digits (model/store.h); without it nothing
                          * is on disk */
    uint32_t flush_ms;   /* vt_engine_close waits so long for blocks to be written; 0: 3000 */
    bool explains;       /* read the headers of all files to tell why a prompt was not found */
    void (*on_sync)(void *ctx, const vt_prefix_report *report); /* may be NULL */
    void *ctx;
} vt_prefix_options;

/* Once an engine. VT_EINPUT: the digest is none; VT_EIO: the directory can't be made. */
VT_MUSTUSE vt_status vt_engine_keep_prefixes(vt_engine *e, const vt_prefix_options *options,
                                             vt_err *err);

/* Wait until everything is written, at most timeout_ms. False when the time was up, or a block
 * could not be written. */
bool vt_engine_flush_prefixes(vt_engine *e, uint32_t timeout_ms);

/* Why what was computed last is not on disk, or not to its end: "cannot write ...: No space left"
 * into out. False when nothing of the kind has happened so far. */
bool vt_engine_prefix_problem(vt_engine *e, char *out, size_t size);

/* The report as lines for a person, each beginning with "cache: "; t (may be NULL) gives the texts
 * of the tokens around the place where the prompt parts. */
void vt_prefix_explain(const vt_prefix_report *report, const vt_tokenizer *t, vt_buffer *out);

/* The same as an object for programs (docs/cache.md); NULL when memory ran out. */
json_t *vt_prefix_explain_json(const vt_prefix_report *report, const vt_tokenizer *t);

#endif
