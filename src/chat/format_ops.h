/* format_ops.h -- what a prompt format consists of; for the files of this folder. Adding one is
 * told in docs/adding-a-prompt-format.md. */
#ifndef VT_CHAT_FORMAT_OPS_H
#define VT_CHAT_FORMAT_OPS_H

#include "chat/format.h"

struct vt_parser_ops; /* parser_ops.h */

struct vt_chat_ops {
    const char *name;
    /* Is this ours, and in which dialect? Judged by the chat template and the architecture. */
    bool (*recognise)(const vt_chat_hints *hints, vt_chat_dialect *dialect);
    vt_status (*render)(const vt_chat_format *f, const vt_conversation *c, vt_prompt *prompt,
                        vt_err *err);
    const char *stops[VT_CHAT_MAX_STOPS]; /* the first must be there, the others may */
    const struct vt_parser_ops *parser;
    /* NULL: turns of this format are not constrained. */
    vt_status (*constrain)(const vt_chat_format *f, const vt_conversation *c, vt_constraint **out,
                           vt_err *err);
};

extern const vt_chat_ops vt__chat_harmony;
extern const vt_chat_ops vt__chat_chatml;
extern const vt_chat_ops vt__chat_llama3;
extern const struct vt_parser_ops vt__parser_harmony; /* harmony_parse.c */
extern const struct vt_parser_ops vt__parser_tagged;  /* tagged_parse.c */

/* Writing a prompt: segments with a sticky status, so that a row of them reads like the format's
 * description. Check `status` at the end. */
typedef struct {
    vt_prompt *prompt;
    const vt_tokenizer *tokenizer; /* may be NULL */
    vt_status status;
    vt_err *err;
} vt_emit;

void vt__emit_control(vt_emit *e, vt_slice name);
void vt__emit_trusted(vt_emit *e, vt_slice text);
void vt__emit_text(vt_emit *e, vt_slice text); /* untrusted */
void vt__emit_ids(vt_emit *e, const int32_t *ids, size_t n);
/* A tag of ours ("<tool_call>"): the token where the vocabulary has one, else text. */
void vt__emit_tag(vt_emit *e, vt_slice tag);
/* JSON text `json` as templates print it; what does not parse is printed as a JSON string. */
void vt__emit_json_text(vt_emit *e, vt_slice json);
/* A value as templates print it. */
void vt__emit_json(vt_emit *e, const json_t *value, int indent);

/* Items i to the returned end (exclusive) are one message. */
size_t vt__message_end(const vt_conversation *c, size_t i);
/* The ids of every item of [i, end), when all have them: the turn is replayed. */
bool vt__emit_replay(vt_emit *e, const vt_conversation *c, size_t i, size_t end);

/* For formats that have no words of their own for it: the wish for JSON, as an addition to the
 * system message (a paragraph of its own where that has text); nothing when the answer is plain
 * text. */
void vt__emit_response_form(vt_emit *e, const vt_conversation *c, bool is_after_text);

/* `s` without white space at both ends, as Python's str.strip() (and Jinja's trim) understands it.
 */
vt_slice vt__strip(vt_slice s);

/* harmony_constrain.c */
vt_status vt__harmony_constrain(const vt_chat_format *f, const vt_conversation *c,
                                vt_constraint **out, vt_err *err);

/* harmony_types.c: a function's parameters as TypeScript, the way gpt-oss was trained on. */
void vt__harmony_type(const json_t *schema, int indent, vt_buffer *out);

#endif
