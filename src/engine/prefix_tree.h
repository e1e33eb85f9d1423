/* prefix_tree.h -- private to engine/prefix*.c: the tree of blocks in RAM. */
#ifndef VT_ENGINE_PREFIX_TREE_H
#define VT_ENGINE_PREFIX_TREE_H

#include "engine/prefix_parts.h"

/* A tree for caches like kv, of at most ram_bytes, but some blocks at least. */
VT_MUSTUSE vt_status vt__prefix_tree_init(vt_prefix_tree *t, const vt_kv_memory *kv,
                                          uint64_t ram_bytes, vt_err *err);
void vt__prefix_tree_deinit(vt_prefix_tree *t);

/* Bytes of keys and values of a block of n_tokens. */
size_t vt__prefix_payload(const vt_prefix_tree *t, uint32_t n_tokens);

/* A new child of `parent`, its block empty; VT_NO_NODE when every place is needed. */
uint32_t vt__prefix_take(vt_prefix_store *p, vt_prefix_tree *t, uint32_t parent);
void vt__prefix_drop(vt_prefix_tree *t, uint32_t node); /* a leaf the writer does not hold */

#endif
