/* tokenizer_split.h -- cuts text into the pieces that byte-pair merging then works on, exactly as
 * the published patterns do. Internal to the tokenizer.
 *
 * Each pattern is a scanner written by hand: linear in the text whatever it holds, no regex engine,
 * no recursion. The pieces of a text, put together, are the text.
 *
 * Ownership  pieces borrow from the text.
 * Threads    a splitter by one thread at a time. */
#ifndef VT_MODEL_TOKENIZER_SPLIT_H
#define VT_MODEL_TOKENIZER_SPLIT_H

#include "base/slice.h"

typedef enum {
    VT_SPLIT_GPT2,
    VT_SPLIT_SMOLLM, /* each number character alone, then gpt2 between them */
    VT_SPLIT_LLAMA3,
    VT_SPLIT_QWEN2,
    VT_SPLIT_O200K,
} vt_split_kind;

typedef struct {
    vt_split_kind kind;
    vt_slice text;
    size_t pos;
    size_t end; /* what the patterns take for the end of the text; set by the scanner */
} vt_splitter;

/* `text` must be valid UTF-8. */
static inline vt_splitter vt__splitter(vt_split_kind kind, vt_slice text)
{
    return (vt_splitter){.kind = kind, .text = text};
}

/* The next piece, never empty; false at the end. */
bool vt__split_next(vt_splitter *s, vt_slice *piece);

#endif
