/* parser.h -- from the token ids that a model samples to events: reasoning, text, calls, the end.
 *
 *     vt_parser_new(format, conversation, on_event, ctx, &p, err)
 *     vt_parser_feed(p, id, err)          for every sampled id, the stop token included
 *     vt_parser_finish(p, reason, err)    once; the last event is VT_EVENT_END
 *     vt_parser_append(p, conversation, err)   the turn's items, for the next prompt
 *
 * Whatever the model writes, it is no error: a malformed turn is repaired, or becomes text. What
 * fails is only memory or a ceiling. Text comes in whole characters (incomplete UTF-8 is held back,
 * invalid bytes become U+FFFD) and may come in pieces of any size; pieces of one item put together
 * are its text.
 *
 * A call of a tool that was not offered comes as a call with `is_known` false, and arguments that
 * are beyond repair with `is_valid` false: whoever runs tools answers both with an error *result*,
 * so that the model can do better. A call cut off by the token limit is no call.
 *
 * Ownership  the format, its tokenizer and the conversation are borrowed and outlive the parser
 * (the conversation tells which tools there are; adding items to it meanwhile is fine). What events
 * point to is valid during the callback only.
 * Threads    one thread at a time. */
#ifndef VT_CHAT_PARSER_H
#define VT_CHAT_PARSER_H

#include "chat/format.h"

typedef struct vt_parser vt_parser;

typedef enum {
    VT_FINISH_STOP,   /* the model ended its turn */
    VT_FINISH_CALLS,  /* it did, and wants tools called (the parser finds out by itself) */
    VT_FINISH_LENGTH, /* the token limit or the context cut it off */
    VT_FINISH_CANCEL,
} vt_finish;

typedef enum {
    VT_EVENT_REASONING, /* text: a piece of reasoning */
    VT_EVENT_TEXT,      /* text: a piece of what the user sees */
    VT_EVENT_CALL,      /* text: the arguments, JSON (python: code) */
    VT_EVENT_ITEM_END,  /* the reasoning or text before is complete */
    VT_EVENT_END,       /* the turn is over: finish */
} vt_event_kind;

typedef struct {
    vt_event_kind kind;
    vt_slice text;
    bool is_preamble; /* TEXT: said before a call */
    vt_slice name;    /* CALL: the tool's */
    vt_slice call_id; /* CALL: new, unlike any in the conversation */
    bool is_known;    /* CALL: the tool was offered */
    bool is_valid;    /* CALL: text is a JSON object (python: anything) */
    vt_finish finish; /* END */
} vt_event;

typedef void vt_event_fn(void *ctx, const vt_event *event);

/* on_event may be NULL. VT_EINPUT when the format was made without a tokenizer. */
VT_MUSTUSE vt_status vt_parser_new(const vt_chat_format *f, const vt_conversation *c,
                                   vt_event_fn *on_event, void *ctx, vt_parser **out, vt_err *err);
void vt_parser_free(vt_parser *p);
VT_MUSTUSE vt_status vt_parser_feed(vt_parser *p, int32_t id, vt_err *err);
VT_MUSTUSE vt_status vt_parser_finish(vt_parser *p, vt_finish reason, vt_err *err);

/* How often something had to be put right in this turn. */
size_t vt_parser_n_repairs(const vt_parser *p);

/* Add the turn's items to a conversation, with the ids that made them where the turn was well
 * formed (otherwise it is rendered from its text: a malformed header is not shown to the model
 * twice). */
VT_MUSTUSE vt_status vt_parser_append(const vt_parser *p, vt_conversation *c, vt_err *err);

#endif
