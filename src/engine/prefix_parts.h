/* prefix_parts.h -- private to engine/: what a prefix store consists of, and what sessions ask of
 * it. */
#ifndef VT_ENGINE_PREFIX_PARTS_H
#define VT_ENGINE_PREFIX_PARTS_H

#include <pthread.h>

#include "engine/engine_parts.h"
#include "engine/prefix.h"
#include "engine/prefix_files.h"

typedef struct vt_prefix_store vt_prefix_store;

/* ---- for sessions and passes ---- */

/* A sync to the n tokens begins, of which s holds the first `same` but for what a ring may have
 * lost. What s holds is kept; then it is made to hold as many of the first n - 1 tokens as it can
 * go on from, be they its own or stored ones. */
void vt__prefix_restore(vt_prefix_store *p, vt_session *s, const int32_t *tokens, uint32_t n,
                        uint32_t same);

/* s has just been given n tokens by a pass: keep what has become a whole block. Next to nothing
 * otherwise; allocates nothing. */
void vt__prefix_step(vt_prefix_store *p, const vt_session *s, uint32_t n);

/* The sync is over, also when it failed: keep what s holds, have it written, report. */
void vt__prefix_synced(vt_prefix_store *p, const vt_session *s);

void vt__prefix_free(vt_prefix_store *p); /* NULL is fine */

/* ---- the tree ---- */

#define VT_NO_NODE UINT32_MAX

typedef struct {
    vt_block block;  /* previous and key only with has_key */
    uint32_t parent; /* 0: the root */
    uint32_t first_child, next;
    uint64_t last_use;
    bool is_taken;
    bool has_key;
    bool is_on_disk; /* guarded by the writer's mutex: written or read by us */
    bool is_queued;  /* guarded by the writer's mutex; until it is false again the writer reads the
                      * node and its image, and neither changes */
} vt_prefix_node;

/* The blocks of one KV type. Node 0 is the root: no tokens, its key that of vt_block_root, its
 * image for blocks on their way from the disk to a session that find no place in the tree. */
typedef struct {
    uint32_t kv_code; /* 0: not in use */
    uint32_t n_layers;
    size_t tile_bytes;
    size_t image_bytes; /* of a whole block, rounded up to pages */
    vt_prefix_node *nodes;
    uint32_t n_nodes;
    uint32_t n_used;    /* nodes below this were taken at least once */
    uint32_t free_list; /* linked by `next` */
    uint8_t *images;    /* [n_nodes][image_bytes], touched as they fill */
} vt_prefix_tree;

static inline uint8_t *vt__prefix_image(const vt_prefix_tree *t, uint32_t i)
{
    return t->images + (size_t)i * t->image_bytes;
}

/* ---- the writer (prefix_writer.c) ---- */

typedef struct {
    vt_prefix_tree *tree;
    uint32_t node;
} vt_prefix_job;

enum { VT_PREFIX_QUEUE = 8192 };

typedef struct {
    vt_prefix_files *files;
    uint64_t max_bytes;
    pthread_t thread;
    bool is_running; /* owner: the engine's thread */
    pthread_mutex_t mutex;
    pthread_cond_t has_work, is_idle;
    /* guarded by mutex: */
    vt_prefix_job *jobs; /* [VT_PREFIX_QUEUE], a ring */
    size_t first, n_jobs;
    bool is_busy;
    bool stops;
    bool has_failed;   /* a block could not be written; then no other is tried */
    char problem[192]; /* of that block, or why the last path was not written to its end */
    /* owner: the writer's thread */
    uint64_t used_bytes;
    uint64_t written_bytes; /* since used_bytes was counted */
    bool knows_used;
    bool is_path_full; /* the block left_out had no room, so what follows it is of no use */
    vt_key left_out;   /* the last that was not written for that */
} vt_prefix_writer;

VT_MUSTUSE vt_status vt__prefix_writer_init(vt_prefix_writer *w, vt_prefix_files *files,
                                            uint64_t max_bytes, vt_err *err);
/* Give back a node that was queued (its key known): it is written, or, when it is on disk, marked
 * as used. What finds no place in the queue is not. */
void vt__prefix_writer_push(vt_prefix_writer *w, vt_prefix_tree *tree, uint32_t node);
/* Is the node in the writer's hands? */
bool vt__prefix_writer_holds(vt_prefix_writer *w, const vt_prefix_node *node);
/* Why nothing is written any more, or not all of the last path; false when all is well. */
bool vt__prefix_writer_problem(vt_prefix_writer *w, char *out, size_t size);
bool vt__prefix_writer_flush(vt_prefix_writer *w, uint32_t timeout_ms);
/* Flushes first; what is not written by then is dropped. */
void vt__prefix_writer_deinit(vt_prefix_writer *w, uint32_t timeout_ms);

/* ---- the store ---- */

enum { VT_PREFIX_TREES = 4 };

struct vt_prefix_store {
    vt_prefix_options options;
    vt_key model;
    vt_prefix_tree trees[VT_PREFIX_TREES];
    vt_prefix_files *files; /* NULL: RAM only */
    vt_prefix_writer writer;
    uint64_t clock; /* counts operations: what was touched by the present one stays */
    vt_prefix_report report;
};

/* The child of `node` that shares most tokens with the n given; *same of them. VT_NO_NODE with
 * *same = 0 when none shares any. */
uint32_t vt__prefix_child(const vt_prefix_tree *t, uint32_t node, const int32_t *tokens, size_t n,
                          uint32_t *same);

/* Fill the report's miss, position and stored, after a restore that ended at its position and
 * before the wish's last token. */
typedef struct {
    const int32_t *tokens; /* the prompt */
    uint32_t n;
    const int32_t *held; /* what the session held */
    uint32_t n_held;
} vt_prefix_wish;
void vt__prefix_find_miss(vt_prefix_store *p, const vt_prefix_tree *t, const vt_prefix_wish *w);

#endif
