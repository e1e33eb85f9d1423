/* parser_ops.h -- what a format's parser is made of, and the common ground under them: items being
 * built, text as whole characters, calls matched with tools. For the files of this folder. */
#ifndef VT_CHAT_PARSER_OPS_H
#define VT_CHAT_PARSER_OPS_H

#include "chat/parser.h"

struct vt_parser_ops {
    size_t state_size; /* zeroed memory at vt_parser.state */
    void (*init)(vt_parser *p);
    void (*deinit)(vt_parser *p);
    vt_status (*feed)(vt_parser *p, int32_t id, vt_err *err);
    vt_status (*finish)(vt_parser *p, vt_finish reason, vt_err *err);
};

typedef struct {
    size_t first_id; /* of vt_parser.ids */
    size_t n_ids;    /* 0: render the text */
} vt_id_range;

struct vt_parser {
    const vt_chat_format *format;
    const vt_conversation *conversation;
    vt_event_fn *on_event;
    void *ctx;
    void *state;

    vt_conversation *turn; /* finished items, without ids */
    vt_id_range *ranges;   /* one for each of them */
    size_t cap_ranges;
    vt_tokens ids; /* everything fed */
    size_t n_repairs;
    size_t n_calls;
    bool is_finished;

    /* the text or reasoning being built */
    bool is_open;
    vt_item_kind kind;
    bool is_preamble;
    vt_buffer text;    /* valid UTF-8 */
    vt_buffer pending; /* bytes of a character that is not complete */
    bool is_failed;    /* a buffer ran full: reported by the next feed or finish */
};

/* Begin reasoning or text; pieces; end. Ending with nothing open does nothing. An item without text
 * is kept when `range` has ids (it is the model's) and dropped otherwise. */
void vt__item_begin(vt_parser *p, vt_item_kind kind, bool is_preamble);
void vt__item_text(vt_parser *p, vt_slice bytes);
VT_MUSTUSE vt_status vt__item_end(vt_parser *p, vt_id_range range, vt_err *err);

/* A complete call: match the tool, repair the arguments, tell, keep. */
VT_MUSTUSE vt_status vt__item_call(vt_parser *p, vt_slice recipient, vt_slice arguments,
                                   vt_id_range range, vt_err *err);

/* tool_match.c: which offered tool does a model mean? False: none. */
bool vt__match_tool(const vt_conversation *c, vt_slice recipient, vt_slice *name);
/* The parameter that a bare text can stand for, when there is just one candidate. */
vt_slice vt__only_text_parameter(const vt_conversation *c, vt_slice tool);

#endif
