/* tokenizer.h -- text to token ids and back, exactly as the published tokenizer does it.
 *
 * Text never becomes a special token: vt_tokenizer_encode treats "<|im_start|>" as the ordinary
 * characters it is written with. Control tokens are looked up by name (vt_tokenizer_control) and
 * placed by whoever builds a prompt.
 *
 * Invalid UTF-8 in text is replaced by U+FFFD before splitting.
 *
 * Ownership  the tokenizer copies what it needs from the file; slices returned are borrowed from
 * it. Threads    read-only after creation: safe. */
#ifndef VT_MODEL_TOKENIZER_H
#define VT_MODEL_TOKENIZER_H

#include "base/buffer.h"
#include "model/gguf.h"

typedef struct vt_tokenizer vt_tokenizer;

/* A growing list of ids. */
typedef struct {
    int32_t *ids;
    size_t n;
    size_t cap;
} vt_tokens;

void vt_tokens_deinit(vt_tokens *t);
VT_MUSTUSE vt_status vt_tokens_push(vt_tokens *t, int32_t id, vt_err *err);
VT_MUSTUSE vt_status vt_tokens_append(vt_tokens *t, const int32_t *ids, size_t n, vt_err *err);

/* From GGUF metadata (tokenizer.ggml.*). VT_ENOTFOUND when the file says it has no tokenizer (model
 * "none", or no key); VT_EUNSUPPORTED for a kind or pre-tokenizer we don't know, listing those that
 * we do. `architecture` is the file's general.architecture: Ollama's gptoss files name the
 * pre-tokenizer "default" and need the o200k split. */
VT_MUSTUSE vt_status vt_tokenizer_from_gguf(const vt_gguf *g, vt_tokenizer **out, vt_err *err);
void vt_tokenizer_free(vt_tokenizer *t);

size_t vt_tokenizer_n_vocab(const vt_tokenizer *t);

/* Append the ids of `text` to `out`. No BOS, no control tokens. Time grows as n log n with the
 * longest unbroken word at worst. VT_ELIMIT over 1 GiB of text, or 16 MiB without a break. Qwen's
 * published tokenizer normalises text to NFC first, and so do we: its text need not come back the
 * same. */
VT_MUSTUSE vt_status vt_tokenizer_encode(const vt_tokenizer *t, vt_slice text, vt_tokens *out,
                                         vt_err *err);

/* The id of an added token by its exact text, or -1: a control token ("<|im_start|>"), or a
 * user-defined one, which is added but not special (Qwen's "<tool_call>": the model reads and
 * writes it as one token, and it shows in its text). Ordinary vocabulary entries are never found,
 * and encoding never makes what is found here. is_control is about the special ones only. */
int32_t vt_tokenizer_control(const vt_tokenizer *t, vt_slice name);
bool vt_tokenizer_is_control(const vt_tokenizer *t, int32_t id);
/* An ordinary token, one that text can become: neither control nor added nor an unused row. */
bool vt_tokenizer_is_text(const vt_tokenizer *t, int32_t id);

/* The bytes a token stands for (for a control token its name); empty for an id out of range. May be
 * part of a UTF-8 character: streams hold incomplete tails back (base/utf8.h). */
vt_slice vt_tokenizer_bytes(const vt_tokenizer *t, int32_t id);

/* Append the bytes of ids; control tokens are left out unless with_control. */
VT_MUSTUSE vt_status vt_tokenizer_decode(const vt_tokenizer *t, const int32_t *ids, size_t n,
                                         bool with_control, vt_buffer *out, vt_err *err);

int32_t vt_tokenizer_bos(const vt_tokenizer *t); /* -1: none */
int32_t vt_tokenizer_eos(const vt_tokenizer *t); /* -1: none */
bool vt_tokenizer_adds_bos(
    const vt_tokenizer *t); /* what the file says a raw completion starts with */
const char *vt_tokenizer_split_name(
    const vt_tokenizer *t); /* "o200k", "llama3", "qwen2", "gpt2", "smollm" */

#endif
