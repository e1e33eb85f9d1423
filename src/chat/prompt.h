/* prompt.h -- a prompt as a list of typed segments, the only road from text to model input.
 *
 * Only VT_SEGMENT_CONTROL makes special tokens. Trusted text is ours (headers, instructions);
 * untrusted text comes from users, tools and files. Both are encoded as plain text: "<|im_start|>"
 * in a document stays thirteen ordinary characters. Text segments between two controls are joined
 * before encoding, as the published tokenizers see them. Segments of ids replay what the model
 * itself sampled, never rendered anew.
 *
 * Ownership  the prompt copies what it is given.
 * Threads    one thread at a time. */
#ifndef VT_CHAT_PROMPT_H
#define VT_CHAT_PROMPT_H

#include "model/tokenizer.h"

typedef enum {
    VT_SEGMENT_UNTRUSTED, /* the safe value is 0 */
    VT_SEGMENT_TRUSTED,
    VT_SEGMENT_CONTROL, /* text is the token's name */
    VT_SEGMENT_IDS,     /* sampled earlier by the model */
} vt_segment_kind;

typedef struct {
    vt_segment_kind kind;
    vt_slice text;      /* borrowed from the prompt; CONTROL: the token's name */
    const int32_t *ids; /* IDS only */
    size_t n_ids;
} vt_segment;

typedef struct vt_prompt vt_prompt;

VT_MUSTUSE vt_status vt_prompt_new(vt_prompt **out, vt_err *err);
void vt_prompt_free(vt_prompt *p);
VT_MUSTUSE vt_status vt_prompt_control(vt_prompt *p, vt_slice name, vt_err *err);
VT_MUSTUSE vt_status vt_prompt_trusted(vt_prompt *p, vt_slice text, vt_err *err);
VT_MUSTUSE vt_status vt_prompt_untrusted(vt_prompt *p, vt_slice text, vt_err *err);
VT_MUSTUSE vt_status vt_prompt_ids(vt_prompt *p, const int32_t *ids, size_t n, vt_err *err);
size_t vt_prompt_n_segments(const vt_prompt *p);
vt_segment vt_prompt_segment(const vt_prompt *p, size_t i);

/* The ids of the whole prompt, appended to out. A control token that the tokenizer does not have is
 * VT_EUNSUPPORTED with its name. */
VT_MUSTUSE vt_status vt_prompt_encode(const vt_prompt *p, const vt_tokenizer *t, vt_tokens *out,
                                      vt_err *err);

#endif
