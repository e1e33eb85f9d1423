/* prefix_block.h -- a stored block: the keys and values of up to 64 positions that follow a known
 * prefix, as one run of bytes that is both its place in memory and its file.
 *
 * A block's key is a chain: SHA-256 of the key before it and its tokens. The chain begins with the
 * root, SHA-256 of what else the keys and values depend on: the model's digest, the numerics
 * version, the KV type. So a key names one prefix of one model in one arithmetic, and nothing that
 * differs in any of these can be mistaken for it.
 *
 *     offset  bytes
 *          0      8   "VTPREFIX"
 *          8      4   version, 1
 *         12      4   VT_NUMERICS_VERSION
 *         16      4   KV type (vt_kv_code)
 *         20      4   tokens, 1 to 64; fewer than 64 only in a tail, which nothing follows
 *         24      4   position of the first one, a multiple of 64
 *         28      4   0
 *         32      8   bytes of keys and values, P
 *         40     32   SHA-256 of the model
 *         72     32   key of the block before, or the root
 *        104     32   key of this block
 *        136    256   token ids, 64 of them; 0 after the last
 *        392    120   0
 *        512      P   for each tile of 32 positions, for each layer: a tile as vt_kv_read_tile
 *                     gives it; in a tail what lies after its last position is unspecified
 *    512 + P     32   SHA-256 of all before
 *
 * Integers are little-endian, as are the keys and values (vetro knows no other machines).
 *
 * 64 tokens: a block of qwen2.5-coder-1.5b has 1.8 MB. Reading 2,000 tokens of smollm2-135m back
 * took 168, 177 and 171 ms with blocks of 32, 64 and 128 tokens, writing and syncing them 704, 614
 * and 540 ms (best of several in turn, on a busy machine): the size hardly shows, so it is one at
 * which a tail and the files of a long prompt are both moderate. What is lost where prompts part
 * does not depend on it: the part of a block before that place is used.
 *
 * Threads  these are functions of their arguments. */
#ifndef VT_ENGINE_PREFIX_BLOCK_H
#define VT_ENGINE_PREFIX_BLOCK_H

#include <stdint.h>

#include "base/hash.h"

enum {
    VT_BLOCK_TOKENS = 64,
    VT_BLOCK_HEADER = 512,
    VT_BLOCK_VERSION = 1,
    /* A tail has this many tokens at least: fewer are not worth a file. */
    VT_BLOCK_MIN_TOKENS = 8,
};

/* More is no model's: 1024 layers, 128 heads of 256 floats. */
#define VT_BLOCK_MAX_PAYLOAD (UINT64_C(16) << 30)

typedef struct {
    uint8_t bytes[VT_SHA256_BYTES];
} vt_key;

/* What a block's bytes say of it. */
typedef struct {
    uint32_t numerics;
    uint32_t kv_code;
    uint32_t n_tokens;
    uint32_t position;
    uint64_t payload_bytes;
    vt_key model;
    vt_key previous;
    vt_key key;
    int32_t tokens[VT_BLOCK_TOKENS];
} vt_block;

static inline bool vt_key_eq(const vt_key *a, const vt_key *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

/* Where the chains of this model, arithmetic and KV type begin. */
VT_MUSTUSE vt_status vt_block_root(const vt_key *model, uint32_t numerics, uint32_t kv_code,
                                   vt_key *out, vt_err *err);
/* The key of the block of these n tokens (1 to VT_BLOCK_TOKENS) after `previous`. */
VT_MUSTUSE vt_status vt_block_key(const vt_key *previous, const int32_t *tokens, uint32_t n,
                                  vt_key *out, vt_err *err);

/* Bytes of the whole block. */
static inline size_t vt_block_bytes(const vt_block *b)
{
    return VT_BLOCK_HEADER + (size_t)b->payload_bytes + VT_SHA256_BYTES;
}

/* Write the header before, and the checksum behind, the b->payload_bytes that are already at
 * image + VT_BLOCK_HEADER. */
VT_MUSTUSE vt_status vt_block_seal(const vt_block *b, uint8_t *image, vt_err *err);

/* The header alone, of a file of n_file bytes; the checksum and the key are not looked at. `head`
 * has VT_BLOCK_HEADER bytes at least, or it is VT_ECORRUPT. */
VT_MUSTUSE vt_status vt_block_peek(vt_slice head, uint64_t n_file, vt_block *out, vt_err *err);

/* The whole: VT_ECORRUPT unless every byte is as vt_block_seal wrote it. */
VT_MUSTUSE vt_status vt_block_open(vt_slice image, vt_block *out, vt_err *err);

#endif
