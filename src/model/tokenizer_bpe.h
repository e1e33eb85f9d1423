/* tokenizer_bpe.h -- byte-level byte-pair encoding on plain arrays: the vocabulary, the merges and
 * the merging. Internal to the tokenizer (tokenizer.h is the interface for everyone else), and the
 * road by which tests make small tokenizers without a model file.
 *
 * Ownership  vt__tokenizer_new copies what it needs; the source may go afterwards.
 * Failure    a vocabulary that contradicts itself is VT_EINPUT and says where.
 * Threads    a finished tokenizer is read-only; a vt_bpe_work belongs to one call. */
#ifndef VT_MODEL_TOKENIZER_BPE_H
#define VT_MODEL_TOKENIZER_BPE_H

#include "model/tokenizer.h"
#include "model/tokenizer_split.h"

typedef enum {
    VT_TOKEN_NORMAL = 1,
    VT_TOKEN_UNKNOWN = 2,
    VT_TOKEN_CONTROL = 3,
    VT_TOKEN_USER_DEFINED = 4, /* added and not special: Qwen's <tool_call> */
    VT_TOKEN_UNUSED = 5,
    VT_TOKEN_BYTE = 6,
} vt_token_type; /* the values are GGUF's */

typedef struct {
    const vt_slice *tokens; /* in GPT-2's printable form of bytes; added ones as they are */
    const int32_t *types;   /* NULL: all normal */
    size_t n_tokens;
    const vt_slice *merges; /* "left right", best first */
    size_t n_merges;
    vt_split_kind split;
    int32_t bos; /* -1: none */
    int32_t eos; /* -1: none */
    bool adds_bos;
} vt_tokenizer_source;

VT_MUSTUSE vt_status vt__tokenizer_new(const vt_tokenizer_source *source, vt_tokenizer **out,
                                       vt_err *err);

typedef struct {
    uint32_t hash;
    int32_t id; /* -1: free */
} vt_name_slot;

/* Names of tokens, to ids: open addressing, slots a power of two. */
typedef struct {
    vt_name_slot *slots;
    size_t n_slots;
} vt_names;

typedef struct {
    int32_t left, right; /* left -1: free */
    int32_t rank;        /* the merge's place in the list: lower goes first */
    int32_t id;          /* what the two become */
} vt_merge;

struct vt_tokenizer {
    char *bytes;      /* of all tokens, one after the other */
    uint32_t *starts; /* n_tokens + 1 */
    uint8_t *types;
    size_t n_tokens;
    vt_names text;  /* what text can become: normal tokens */
    vt_names added; /* control and user-defined tokens */
    vt_merge *merges;
    size_t n_merge_slots;  /* a power of two */
    int32_t byte_ids[256]; /* -1: the vocabulary has no token for this byte */
    vt_split_kind split;
    bool is_nfc;          /* text is normalised first */
    bool has_whole_words; /* a piece that is a token is taken whole, whatever the merges say */
    bool adds_bos;
    int32_t bos, eos;
};

int32_t vt__names_find(const vt_tokenizer *t, const vt_names *names, vt_slice name);

/* NULL when left and right don't merge. */
const vt_merge *vt__merge_find(const vt_tokenizer *t, int32_t left, int32_t right);

/* Scratch memory of one encode call. */
typedef struct {
    struct vt_bpe_symbol *symbols;
    size_t n_symbols;
    uint64_t *heap;
    size_t n_heap;
} vt_bpe_work;

void vt__bpe_work_deinit(vt_bpe_work *w);

/* Append the ids of one piece. Time grows as n log n with its length, memory as n. */
VT_MUSTUSE vt_status vt__bpe_encode(const vt_tokenizer *t, vt_bpe_work *w, vt_slice piece,
                                    vt_tokens *out, vt_err *err);

#endif
