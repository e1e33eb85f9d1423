/* prefix_files.h -- the directory of stored blocks: one file each (prefix_block.h), shared by all
 * processes of this user.
 *
 *     DIR/PREVIOUS-BEGIN-KEY.kv    PREVIOUS 16 digits of the key of the block before it, BEGIN a
 *                                  hash of its first 8 tokens, KEY its own key, whole
 *     DIR/lock                     held while files are removed to keep to the budget
 *
 * The names alone tell which blocks follow a given one and begin in the same way, so that the
 * nearest is found without opening them all. A file is written whole, synced, and then renamed
 * (base/replace.h); what a killed process left unfinished goes when the next one begins to write,
 * or by vt_prefix_files_gc; its time of change is when it was last used. What another process
 * removes is a miss, what it replaces is the same bytes again.
 *
 * The files hold what the user and the model wrote, as token ids and as keys and values from which
 * it can be worked out: the directory is the user's alone (0700, files 0600). The checksum finds
 * damage; it is no protection against someone who may write there.
 *
 * Threads    a vt_prefix_files may be used by several at once: it is a descriptor.
 * Failure    VT_ENOTFOUND no such block; VT_ECORRUPT it is damaged, the message says how; VT_EIO.
 */
#ifndef VT_ENGINE_PREFIX_FILES_H
#define VT_ENGINE_PREFIX_FILES_H

#include "base/progress.h"
#include "engine/prefix_block.h"

typedef struct vt_prefix_files vt_prefix_files;

/* `create`: make the directory when it is not there (otherwise VT_ENOTFOUND). */
VT_MUSTUSE vt_status vt_prefix_files_open(const char *dir, bool create, vt_prefix_files **out,
                                          vt_err *err);
void vt_prefix_files_close(vt_prefix_files *f);

/* ---- single blocks ---- */

enum { VT_PREFIX_NAME = 96 };
/* Made of previous, key and the first tokens. */
void vt_prefix_file_name(const vt_block *b, char out[VT_PREFIX_NAME]);

/* Read and check the block that *b names (previous, key, tokens); what its header says then
 * replaces *b. The image is at most `room` bytes: a longer file is VT_ECORRUPT. */
VT_MUSTUSE vt_status vt_prefix_files_load(vt_prefix_files *f, vt_block *b, uint8_t *image,
                                          size_t room, vt_err *err);

/* Of the blocks after *previous the one that shares most tokens with the n that are given, and at
 * least VT_BLOCK_MIN_TOKENS; VT_ENOTFOUND when there is none. Its header is all that was read. */
VT_MUSTUSE vt_status vt_prefix_files_nearest(vt_prefix_files *f, const vt_key *previous,
                                             const int32_t *tokens, size_t n, vt_block *out,
                                             vt_err *err);

/* Store a sealed image. */
VT_MUSTUSE vt_status vt_prefix_files_save(vt_prefix_files *f, const vt_block *b, vt_slice image,
                                          vt_err *err);

/* It was used now. False when it is not there. */
bool vt_prefix_files_touch(vt_prefix_files *f, const vt_block *b);

/* ---- all of them ---- */

typedef struct {
    char name[VT_PREFIX_NAME];
    vt_block block;
    uint64_t n_bytes;
    int64_t used_ns;   /* since 1970; the latest of the block and of all that follow it */
    char problem[128]; /* not empty: the header is damaged, and `block` is zero */
    uint32_t parent;   /* index of the block before it; UINT32_MAX: it is not there */
    bool is_leaf;      /* nothing follows it */
    bool is_lost;      /* a block before it is missing: nothing can use it */
    bool is_stuck;     /* it could not be removed */
    bool is_kept;      /* vt_prefix_gc's kept_end, or before it */
} vt_prefix_file;

typedef struct {
    vt_prefix_file *files; /* ordered by position, then by name: a block comes after its parent */
    size_t n;
    uint64_t n_bytes;   /* of all files, unfinished ones included */
    size_t n_temporary; /* left by processes that were killed while they wrote, or being written */
} vt_prefix_listing;

VT_MUSTUSE vt_status vt_prefix_files_list(vt_prefix_files *f, vt_prefix_listing *out, vt_err *err);
void vt_prefix_listing_deinit(vt_prefix_listing *l);

/* Does what vt_prefix_files_verify says mean that the file is no good? A bad sector can't be read.
 */
static inline bool vt_prefix_is_damage(vt_status st)
{
    return st == VT_ECORRUPT || st == VT_EIO;
}

/* Every byte of one file: VT_OK, VT_ECORRUPT, VT_EIO, VT_ENOTFOUND. *image is grown as need be
 * (vt_free it at the end; begin with NULL and 0). */
VT_MUSTUSE vt_status vt_prefix_files_verify(vt_prefix_files *f, const vt_prefix_file *file,
                                            uint8_t **image, size_t *room, vt_err *err);

/* Remove unfinished files that killed processes left. How many, and their bytes. */
size_t vt_prefix_files_tidy(vt_prefix_files *f, uint64_t *n_bytes);

/* Bytes of all files. */
VT_MUSTUSE vt_status vt_prefix_files_bytes(vt_prefix_files *f, uint64_t *out, vt_err *err);

/* What the store may hold: `wanted`, but no more than a tenth of what is free on this file system,
 * its own `used` bytes counted as free. */
uint64_t vt_prefix_files_budget(const vt_prefix_files *f, uint64_t wanted, uint64_t used);

typedef struct {
    uint64_t max_bytes; /* keep the last used up to this */
    bool all;           /* keep nothing */
    bool checks;        /* read every file, and remove what is damaged inside */
    bool waits;         /* for another process that is at it; else VT_EEXIST */
    /* NULL, or the key of a block that is to be of use, as are then all before it: to keep to
     * max_bytes these are not removed, and bytes_left may be more than that. */
    const vt_key *kept_end;
    const vt_key *forgets; /* NULL, or a model's digest: keep nothing of it */
    const vt_progress *progress;
} vt_prefix_gc;

typedef struct {
    size_t n_removed, n_left;
    size_t n_damaged;    /* of those removed */
    size_t n_unfinished; /* unfinished files removed, not counted in n_removed */
    uint64_t bytes_removed, bytes_left;
    size_t n_failed; /* blocks that had to go and could not be removed: among those left */
    vt_err why;      /* of the first of them */
} vt_prefix_gc_result;

/* Remove what is damaged or of no use, unfinished files whose writer is gone, and then the blocks
 * that were not used for longest, those at the ends of prefixes first. */
VT_MUSTUSE vt_status vt_prefix_files_gc(vt_prefix_files *f, const vt_prefix_gc *options,
                                        vt_prefix_gc_result *out, vt_err *err);

#endif
