/* format.h -- prompt formats: how a model was trained to see a conversation.
 *
 *     name     models                        what its file renders
 *     harmony  gpt-oss                       harmony_render.c
 *     chatml   Qwen2, Qwen2.5, SmolLM2       chatml_render.c
 *     llama3   Llama 3, 3.1, 3.2, 3.3        llama3_render.c
 *
 * A model file brings a chat template, a program in Jinja. We don't run it: it only tells which of
 * our formats this is, and which publisher's wording (a default system message, a fixed date). A
 * template that we don't recognise is VT_EUNSUPPORTED, never a guess.
 *
 * Ownership  a vt_chat_format is a value; it borrows the tokenizer.
 * Threads    read-only: safe. */
#ifndef VT_CHAT_FORMAT_H
#define VT_CHAT_FORMAT_H

#include "chat/conversation.h"
#include "chat/prompt.h"
#include "engine/constraint.h"

typedef enum {
    VT_DIALECT_PLAIN,       /* the bare format: no default system message, no tools */
    VT_DIALECT_QWEN2,       /* chatml, "You are a helpful assistant." */
    VT_DIALECT_QWEN25,      /* chatml with tools */
    VT_DIALECT_QWEN25_TWIN, /* the same with "{{" for "{" in its instruction on calls: some of the
                               published files have it so */
    VT_DIALECT_SMOLLM2,     /* chatml, SmolLM's system message */
    VT_DIALECT_LLAMA31,     /* llama3 with dates and tools */
} vt_chat_dialect;

enum { VT_CHAT_MAX_STOPS = 4 };

typedef struct vt_chat_ops vt_chat_ops; /* format_ops.h */

typedef struct {
    const char *name; /* "harmony", "chatml", "llama3" */
    vt_chat_dialect dialect;
    const vt_tokenizer *tokenizer; /* NULL: rendering only, to text */
    /* Any of these ends the model's turn. (<|end|> of harmony is none: one turn holds several
     * messages.) */
    int32_t stop_ids[VT_CHAT_MAX_STOPS];
    size_t n_stop_ids;
    const vt_chat_ops *ops;
} vt_chat_format;

/* What tells the format of a model. */
typedef struct {
    vt_slice forced;               /* --format NAME; empty: recognise */
    vt_slice chat_template;        /* tokenizer.chat_template of the file; may be empty */
    vt_slice architecture;         /* general.architecture */
    const vt_tokenizer *tokenizer; /* may be NULL (rendering to text only) */
} vt_chat_hints;

/* Is it the name of a format? Needs no model. VT_EINPUT, with the names there are. */
VT_MUSTUSE vt_status vt_chat_format_check_name(vt_slice name, vt_err *err);

/* VT_EUNSUPPORTED when nothing fits, naming --format and the formats; VT_EINPUT for a forced name
 * that is none of them; VT_EUNSUPPORTED when the tokenizer lacks the format's tokens. */
VT_MUSTUSE vt_status vt_chat_format_find(const vt_chat_hints *hints, vt_chat_format *out,
                                         vt_err *err);
/* The same with hints from a model's file. */
VT_MUSTUSE vt_status vt_chat_format_for_gguf(const vt_gguf *g, const vt_tokenizer *t,
                                             vt_slice forced, vt_chat_format *out, vt_err *err);
bool vt_chat_format_is_stop(const vt_chat_format *f, int32_t id);

/* Append the whole conversation to `prompt`, ready for the assistant's turn. */
VT_MUSTUSE vt_status vt_chat_render(const vt_chat_format *f, const vt_conversation *c,
                                    vt_prompt *prompt, vt_err *err);

/* Rendered and encoded, appended to `out`. */
VT_MUSTUSE vt_status vt_chat_tokens(const vt_chat_format *f, const vt_conversation *c,
                                    vt_tokens *out, vt_err *err);

/* What the sampler must keep to, so that the turn is well formed and calls only what is offered and
 * chosen (tool_choice). *out is NULL when the format has no such constraint; VT_EUNSUPPORTED when
 * the conversation's tool_choice would need one. The conversation is not kept. */
VT_MUSTUSE vt_status vt_chat_constraint(const vt_chat_format *f, const vt_conversation *c,
                                        vt_constraint **out, vt_err *err);

#endif
