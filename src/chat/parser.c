/* parser.c -- see parser.h: the common ground of the parsers. Items without their ids are kept in a
 * conversation of the parser's own; ids are kept once, in the order fed, and items own ranges of
 * them. */
#include "chat/parser.h"

#include <stdio.h>

#include "base/alloc.h"
#include "base/utf8.h"
#include "chat/format_ops.h"
#include "chat/json_repair.h"
#include "chat/parser_ops.h"

vt_status vt_parser_new(const vt_chat_format *f, const vt_conversation *c, vt_event_fn *on_event,
                        void *ctx, vt_parser **out, vt_err *err)
{
    vt_status st = VT_OK;
    if (f->tokenizer == NULL)
        return vt_fail(err, VT_EINPUT, "a parser needs the model's tokenizer");
    vt_parser *p = vt_calloc(1, sizeof *p);
    if (p == NULL) return vt_fail(err, VT_ENOMEM, "out of memory for a parser");
    *p = (vt_parser){.format = f, .conversation = c, .on_event = on_event, .ctx = ctx};
    vt_buffer_init(&p->text, VT_CONVERSATION_BYTES);
    vt_buffer_init(&p->pending, VT_CONVERSATION_BYTES);
    p->state = vt_calloc(1, f->ops->parser->state_size);
    if (p->state == NULL) {
        st = vt_fail(err, VT_ENOMEM, "out of memory for a parser");
        goto out;
    }
    f->ops->parser->init(p);
    st = vt_conversation_new(&p->turn, err);
out:
    if (st == VT_OK) *out = p;
    else vt_parser_free(p);
    return st;
}

void vt_parser_free(vt_parser *p)
{
    if (p == NULL) return;
    if (p->state != NULL) p->format->ops->parser->deinit(p);
    vt_free(p->state);
    vt_conversation_free(p->turn);
    vt_free(p->ranges);
    vt_tokens_deinit(&p->ids);
    vt_buffer_deinit(&p->text);
    vt_buffer_deinit(&p->pending);
    vt_free(p);
}

static void tell(const vt_parser *p, const vt_event *event)
{
    if (p->on_event != NULL) p->on_event(p->ctx, event);
}

static vt_status check(const vt_parser *p, vt_err *err)
{
    if (!p->is_failed) return VT_OK;
    return vt_fail(err, VT_ELIMIT, "the model's turn is too long, or memory ran out");
}

vt_status vt_parser_feed(vt_parser *p, int32_t id, vt_err *err)
{
    if (p->is_finished) return VT_OK;
    vt_status st = vt_tokens_push(&p->ids, id, err);
    if (st == VT_OK) st = p->format->ops->parser->feed(p, id, err);
    return st == VT_OK ? check(p, err) : st;
}

vt_status vt_parser_finish(vt_parser *p, vt_finish reason, vt_err *err)
{
    if (p->is_finished) return VT_OK;
    vt_status st = p->format->ops->parser->finish(p, reason, err);
    if (st == VT_OK) st = check(p, err);
    if (st != VT_OK) return st;
    p->is_finished = true;
    vt_event event = {.kind = VT_EVENT_END, .finish = reason};
    if (reason == VT_FINISH_STOP && p->n_calls > 0) event.finish = VT_FINISH_CALLS;
    tell(p, &event);
    return VT_OK;
}

size_t vt_parser_n_repairs(const vt_parser *p)
{
    return p->n_repairs;
}

vt_status vt_parser_append(const vt_parser *p, vt_conversation *c, vt_err *err)
{
    size_t before = vt_conversation_n_items(c);
    size_t last_call = vt_conversation_n_items(p->turn); /* text before it announces it */
    while (last_call > 0 && vt_conversation_item(p->turn, last_call - 1)->kind != VT_ITEM_CALL)
        last_call--;
    vt_status st = VT_OK;
    for (size_t i = 0; st == VT_OK && i < vt_conversation_n_items(p->turn); i++) {
        vt_item item = *vt_conversation_item(p->turn, i);
        item.continues = i > 0;
        item.is_preamble = item.is_preamble || (item.kind == VT_ITEM_TEXT && i < last_call);
        item.ids = p->ranges[i].n_ids > 0 ? p->ids.ids + p->ranges[i].first_id : NULL;
        item.n_ids = p->ranges[i].n_ids;
        st = vt_conversation_add(c, &item, err);
    }
    if (st != VT_OK) vt_conversation_truncate(c, before);
    return st;
}

void vt__item_begin(vt_parser *p, vt_item_kind kind, bool is_preamble)
{
    p->is_open = true;
    p->kind = kind;
    p->is_preamble = is_preamble;
    vt_buffer_clear(&p->text);
    vt_buffer_clear(&p->pending);
}

/* Move the first n pending bytes to the text, repaired, and tell. */
static void release(vt_parser *p, size_t n)
{
    size_t before = p->text.len;
    if (!vt_utf8_replace_invalid(vt_slice_take(vt_buffer_slice(&p->pending), n), &p->text))
        p->is_failed = true;
    vt_slice rest = vt_slice_skip(vt_buffer_slice(&p->pending), n);
    if (rest.len > 0) memmove(p->pending.ptr, rest.ptr, rest.len);
    p->pending.len = rest.len;
    vt_event event = {.kind = p->kind == VT_ITEM_REASONING ? VT_EVENT_REASONING : VT_EVENT_TEXT,
                      .text = vt_slice_skip(vt_buffer_slice(&p->text), before),
                      .is_preamble = p->is_preamble};
    if (event.text.len > 0) tell(p, &event);
}

void vt__item_text(vt_parser *p, vt_slice bytes)
{
    if (bytes.len == 0) return;
    if (!vt_buffer_append(&p->pending, bytes)) p->is_failed = true;
    size_t n = p->pending.len - vt_utf8_incomplete_tail(vt_buffer_slice(&p->pending));
    if (n > 0) release(p, n);
}

static vt_status keep(vt_parser *p, const vt_item *item, vt_id_range range, vt_err *err)
{
    size_t n = vt_conversation_n_items(p->turn);
    if (!vt_grow((void **)&p->ranges, &p->cap_ranges, n + 1, sizeof *p->ranges,
                 VT_CONVERSATION_ITEMS))
        return vt_fail(err, VT_ELIMIT, "the model's turn has too many parts");
    vt_status st = vt_conversation_add(p->turn, item, err);
    if (st == VT_OK) p->ranges[n] = range;
    return st;
}

vt_status vt__item_end(vt_parser *p, vt_id_range range, vt_err *err)
{
    if (!p->is_open) return VT_OK;
    if (p->pending.len > 0) release(p, p->pending.len);
    p->is_open = false;
    if (p->text.len == 0 && range.n_ids == 0) return VT_OK;
    vt_item item = {.kind = p->kind,
                    .role = VT_ROLE_ASSISTANT,
                    .is_preamble = p->is_preamble,
                    .text = vt_buffer_slice(&p->text)};
    vt_status st = keep(p, &item, range, err);
    vt_event event = {.kind = VT_EVENT_ITEM_END, .is_preamble = p->is_preamble};
    if (st == VT_OK) tell(p, &event);
    return st;
}

static bool is_id_used(const vt_conversation *c, vt_slice id)
{
    for (size_t i = 0; i < vt_conversation_n_items(c); i++)
        if (vt_slice_eq(vt_conversation_item(c, i)->call_id, id)) return true;
    return false;
}

/* "call_7", unlike any in the conversation and in this turn. */
static vt_slice new_call_id(const vt_parser *p, char *out, size_t size)
{
    size_t n = vt_conversation_n_items(p->conversation) + p->n_calls;
    for (;; n++) {
        vt_slice id = vt_slice_of(out, (size_t)snprintf(out, size, "call_%zu", n));
        if (!is_id_used(p->conversation, id) && !is_id_used(p->turn, id)) return id;
    }
}

vt_status vt__item_call(vt_parser *p, vt_slice recipient, vt_slice arguments, vt_id_range range,
                        vt_err *err)
{
    char id[32];
    vt_buffer text;
    bool is_repaired = false;
    vt_slice name = recipient;
    vt_status st = VT_OK;
    vt_event event = {.kind = VT_EVENT_CALL, .call_id = new_call_id(p, id, sizeof id)};
    vt_buffer_init(&text, VT_CONVERSATION_BYTES);
    event.is_known = vt__match_tool(p->conversation, recipient, &name);
    bool is_code = event.is_known && vt_slice_eq(name, VT_S("python")) &&
                   vt_conversation_is_builtin(p->conversation, name);
    vt_slice key = vt__only_text_parameter(p->conversation, name);
    event.is_valid = is_code || vt_json_repair(arguments, key, &text, &is_repaired);
    if (text.failed) p->is_failed = true;
    if (is_code || !event.is_valid) {
        vt_buffer_clear(&text);
        if (!vt_utf8_replace_invalid(arguments, &text)) p->is_failed = true;
    }
    if (is_repaired || !event.is_valid || !event.is_known) {
        p->n_repairs++;
        range.n_ids = 0;
    }
    event.name = name;
    event.text = vt_buffer_slice(&text);
    vt_item item = {.kind = VT_ITEM_CALL,
                    .role = VT_ROLE_ASSISTANT,
                    .name = name,
                    .call_id = event.call_id,
                    .text = event.text};
    st = keep(p, &item, range, err);
    if (st == VT_OK) {
        p->n_calls++;
        tell(p, &event);
    }
    vt_buffer_deinit(&text);
    return st;
}
