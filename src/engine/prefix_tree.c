/* prefix_tree.c -- the tree of blocks in RAM: finding, adding, making room. See prefix.h.
 *
 * Nodes and images are reserved once, so that taking a block during decode allocates nothing. A
 * block is given up only when nothing follows it, the writer does not hold it, and the operation
 * under way has not touched it. */
#include "engine/prefix_tree.h"

#include <sys/mman.h>

#include "base/alloc.h"
#include "base/checked.h"

enum {
    PAGE = 4096,
    MIN_NODES = 4,
    MAX_NODES = 8192,
};

size_t vt__prefix_payload(const vt_prefix_tree *t, uint32_t n_tokens)
{
    const size_t n_tiles = (n_tokens + VT_KEY_TILE - 1) / VT_KEY_TILE;
    return n_tiles * t->n_layers * t->tile_bytes;
}

vt_status vt__prefix_tree_init(vt_prefix_tree *t, const vt_kv_memory *kv, uint64_t ram_bytes,
                               vt_err *err)
{
    vt_prefix_tree made = {.kv_code = vt_kv_code(kv),
                           .n_layers = kv->n_layers,
                           .tile_bytes = vt_kv_tile_bytes(kv),
                           .n_used = 1,
                           .free_list = VT_NO_NODE};
    uint64_t bytes = 0;
    size_t total = 0;
    if (!vt_mul_u64(made.tile_bytes, kv->n_layers, &bytes) ||
        !vt_mul_u64(bytes, VT_BLOCK_TOKENS / VT_KEY_TILE, &bytes) || bytes > VT_BLOCK_MAX_PAYLOAD)
        return vt_fail(err, VT_ELIMIT, "the blocks of this model are too large to be stored");
    bytes += VT_BLOCK_HEADER + VT_SHA256_BYTES + PAGE - 1;
    made.image_bytes = (size_t)(bytes / PAGE * PAGE);
    const uint64_t fit = ram_bytes / made.image_bytes;
    made.n_nodes = fit < MIN_NODES ? MIN_NODES : fit > MAX_NODES ? MAX_NODES : (uint32_t)fit;
    made.n_nodes++; /* the root */
    made.nodes = vt_calloc(made.n_nodes, sizeof *made.nodes);
    if (made.nodes == NULL || !vt_mul_size(made.image_bytes, made.n_nodes, &total)) {
        vt_free(made.nodes);
        return vt_fail(err, VT_ENOMEM, "out of memory");
    }
    void *images = mmap(NULL, total, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (images == MAP_FAILED) {
        vt_free(made.nodes);
        return vt_fail(err, VT_ENOMEM, "cannot reserve %zu MiB for stored prefixes", total >> 20);
    }
    /* Filled in order and in runs of megabytes; when it can't be had, pages are small. */
    (void)madvise(images, total, MADV_HUGEPAGE);
    made.images = images;
    made.nodes[0] = (vt_prefix_node){.is_taken = true, .first_child = VT_NO_NODE};
    *t = made;
    return VT_OK;
}

void vt__prefix_tree_deinit(vt_prefix_tree *t)
{
    if (t->images != NULL) munmap(t->images, t->image_bytes * t->n_nodes);
    vt_free(t->nodes);
    *t = (vt_prefix_tree){0};
}

uint32_t vt__prefix_child(const vt_prefix_tree *t, uint32_t node, const int32_t *tokens, size_t n,
                          uint32_t *same)
{
    uint32_t best = VT_NO_NODE;
    *same = 0;
    if (node == VT_NO_NODE) return best;
    for (uint32_t i = t->nodes[node].first_child; i != VT_NO_NODE; i = t->nodes[i].next) {
        const vt_block *b = &t->nodes[i].block;
        uint32_t k = 0;
        while (k < b->n_tokens && k < n && b->tokens[k] == tokens[k]) k++;
        /* at equal length a whole block: something may follow it */
        if (k < *same || k == 0 || (k == *same && b->n_tokens < VT_BLOCK_TOKENS)) continue;
        *same = k;
        best = i;
    }
    return best;
}

static void unlink_node(vt_prefix_tree *t, uint32_t node)
{
    uint32_t *at = &t->nodes[t->nodes[node].parent].first_child;
    while (*at != node) at = &t->nodes[*at].next;
    *at = t->nodes[node].next;
}

void vt__prefix_drop(vt_prefix_tree *t, uint32_t node)
{
    unlink_node(t, node);
    t->nodes[node] = (vt_prefix_node){.next = t->free_list};
    t->free_list = node;
}

/* The leaf that was not used for longest; VT_NO_NODE when every one is needed. */
static uint32_t oldest_leaf(vt_prefix_store *p, const vt_prefix_tree *t)
{
    uint32_t oldest = VT_NO_NODE;
    for (uint32_t i = 1; i < t->n_used; i++) {
        const vt_prefix_node *node = &t->nodes[i];
        if (!node->is_taken || node->first_child != VT_NO_NODE || node->last_use == p->clock)
            continue;
        if (oldest != VT_NO_NODE && t->nodes[oldest].last_use <= node->last_use) continue;
        if (!vt__prefix_writer_holds(&p->writer, node)) oldest = i;
    }
    return oldest;
}

uint32_t vt__prefix_take(vt_prefix_store *p, vt_prefix_tree *t, uint32_t parent)
{
    uint32_t node = t->free_list;
    if (node == VT_NO_NODE && t->n_used < t->n_nodes) {
        node = t->n_used++;
    } else if (node == VT_NO_NODE) {
        const uint32_t oldest = oldest_leaf(p, t);
        if (oldest == VT_NO_NODE) return VT_NO_NODE;
        vt__prefix_drop(t, oldest);
        node = t->free_list;
    }
    if (node == t->free_list) t->free_list = t->nodes[node].next;
    t->nodes[node] = (vt_prefix_node){.parent = parent,
                                      .first_child = VT_NO_NODE,
                                      .next = t->nodes[parent].first_child,
                                      .last_use = p->clock,
                                      .is_taken = true};
    t->nodes[parent].first_child = node;
    return node;
}
