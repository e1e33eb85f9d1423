/* tagged_parse.c -- the turns of chatml and llama3, from token ids: text, with reasoning between
 * <think> and </think> at its start, and calls as JSON: between <tool_call> and </tool_call>
 * (chatml), or bare, as all there is (llama3, and Qwen when it forgets the tags).
 *
 * Tags are read from the bytes, whether the model wrote them as one token or in pieces; only at the
 * start of the turn (<think>, bare JSON) and only when tools were offered (calls), so that an
 * answer *about* tags stays one. What looks like a call and is none becomes the text that it was.
 */
#include "chat/format_ops.h"
#include "chat/json_repair.h"
#include "chat/json_text.h"
#include "chat/parser_ops.h"

enum { BARE_NAME_WITHIN = 96 }; /* bytes in which bare JSON must name its tool */

typedef enum { AT_START, IN_THOUGHT, IN_TEXT, IN_CALL, IN_BARE, AT_END } phase;

typedef struct {
    phase phase;
    bool has_tools;
    bool has_thought; /* behind us: no second one */
    bool skips_space; /* white space between parts is nobody's text */
    bool is_called;   /* <|python_tag|>: what follows is a call */
    vt_buffer held;   /* bytes not yet given away */
    size_t first_id;  /* of the next item */
} state;

#define OPEN        VT_S("<tool_call>")
#define CLOSE       VT_S("</tool_call>")
#define THINK       VT_S("<think>")
#define THINK_CLOSE VT_S("</think>")

static void init(vt_parser *p)
{
    state *s = p->state;
    vt_buffer_init(&s->held, VT_CONVERSATION_BYTES);
    s->has_tools = vt_conversation_n_tools(p->conversation) > 0;
}

static void deinit(vt_parser *p)
{
    state *s = p->state;
    vt_buffer_deinit(&s->held);
}

static vt_slice held(const vt_parser *p)
{
    const state *s = p->state;
    return vt_buffer_slice(&s->held);
}

static void drop(vt_parser *p, size_t n)
{
    state *s = p->state;
    vt_slice rest = vt_slice_skip(held(p), n);
    if (rest.len > 0) memmove(s->held.ptr, rest.ptr, rest.len);
    s->held.len = rest.len;
}

static size_t n_space(vt_slice s)
{
    size_t n = 0;
    while (n < s.len && memchr(" \t\r\n", s.ptr[n], 4) != NULL) n++;
    return n;
}

static vt_slice trim_right(vt_slice s)
{
    while (s.len > 0 && memchr(" \t\r\n", s.ptr[s.len - 1], 4) != NULL) s.len--;
    return s;
}

/* Length of the longest end of s that is white space and then a beginning of `tag`. */
static size_t n_undecided(vt_slice s, vt_slice tag)
{
    size_t n = s.len < tag.len - 1 ? s.len : tag.len - 1;
    while (n > 0 && !vt_slice_starts(tag, vt_slice_skip(s, s.len - n))) n--;
    return s.len - trim_right(vt_slice_take(s, s.len - n)).len;
}

/* The ids since the last item, without the n_after newest. */
static vt_id_range take_ids(vt_parser *p, size_t n_after)
{
    state *s = p->state;
    size_t end = p->ids.n - n_after;
    vt_id_range range = {.first_id = s->first_id,
                         .n_ids = end > s->first_id ? end - s->first_id : 0};
    s->first_id = end;
    return range;
}

/* Give away n bytes as text or reasoning. */
static void put(vt_parser *p, vt_item_kind kind, vt_slice bytes)
{
    if (bytes.len == 0) return;
    if (!p->is_open) vt__item_begin(p, kind, false);
    vt__item_text(p, bytes);
}

/* End what is open; without it, the ids wait for the next item. */
static vt_status end_item(vt_parser *p, size_t n_after, vt_err *err)
{
    return p->is_open ? vt__item_end(p, take_ids(p, n_after), err) : VT_OK;
}

/* {"name": …, "arguments" or "parameters": …} as a call. False: it is no call. */
static bool read_call(const json_t *object, vt_slice *name, vt_buffer *arguments)
{
    const json_t *function = json_object_get(object, "function");
    if (json_is_object(function)) object = function;
    const json_t *value = json_object_get(object, "arguments");
    if (value == NULL) value = json_object_get(object, "parameters");
    *name = vt_json_text(json_object_get(object, "name"));
    if (name->len == 0) return false;
    if (json_is_string(value)) return vt_buffer_append(arguments, vt_json_text(value));
    if (value == NULL || json_is_null(value)) return vt_buffer_append(arguments, VT_S("{}"));
    return vt_json_write_spaced(value, -1, arguments, NULL) == VT_OK;
}

/* Qwen's twin braces, learnt from its own prompt. */
static vt_slice without_twins(vt_slice s)
{
    s = vt_slice_trim(s);
    if (vt_slice_starts(s, VT_S("{{")) && vt_slice_ends(s, VT_S("}}"))) {
        s = vt_slice_skip(s, 1);
        s.len--;
    }
    return s;
}

/* The body of a tagged call; *is_call false: it is none, and nothing was done. */
static vt_status tagged_call(vt_parser *p, vt_slice body, vt_id_range range, bool *is_call,
                             vt_err *err)
{
    vt_buffer text, arguments;
    vt_slice name = {0};
    json_t *object = NULL;
    bool is_repaired = false;
    vt_status st = VT_OK;
    vt_buffer_init(&text, VT_CONVERSATION_BYTES);
    vt_buffer_init(&arguments, VT_CONVERSATION_BYTES);
    *is_call = vt_json_repair(without_twins(body), (vt_slice){0}, &text, &is_repaired) &&
               vt_json_parse(vt_buffer_slice(&text), &object, NULL) == VT_OK &&
               read_call(object, &name, &arguments);
    if (*is_call) {
        if (is_repaired) {
            range.n_ids = 0;
            p->n_repairs++;
        }
        st = vt__item_call(p, name, vt_buffer_slice(&arguments), range, err);
    }
    if (text.failed || arguments.failed) p->is_failed = true;
    json_decref(object);
    vt_buffer_deinit(&text);
    vt_buffer_deinit(&arguments);
    return st;
}

/* Bare JSON: the calls at the start of s, as far as they are some, of tools that are offered.
 * *n_read: the bytes they took. */
static vt_status bare_calls(vt_parser *p, vt_slice s, size_t n_after, size_t *n_read, vt_err *err)
{
    size_t at = 0;
    vt_status st = VT_OK;
    *n_read = 0;
    while (st == VT_OK) {
        vt_buffer arguments;
        vt_slice name = {0}, known = {0};
        json_error_t why;
        while (at < s.len && memchr(" \t\r\n;,`", s.ptr[at], 7) != NULL) at++;
        if (vt_slice_starts(vt_slice_skip(s, at), VT_S("json\n"))) at += 5;
        vt_slice rest = vt_slice_skip(s, at);
        if (rest.len == 0 && *n_read > 0) *n_read = s.len;
        if (rest.len == 0 || rest.ptr[0] != '{') break;
        json_t *object = json_loadb(rest.ptr, rest.len, JSON_DISABLE_EOF_CHECK, &why);
        vt_buffer_init(&arguments, VT_CONVERSATION_BYTES);
        bool is_call = object != NULL && read_call(object, &name, &arguments) &&
                       vt__match_tool(p->conversation, name, &known);
        if (is_call) {
            at += (size_t)why.position;
            *n_read = at;
            st = vt__item_call(p, name, vt_buffer_slice(&arguments), take_ids(p, n_after), err);
        }
        if (arguments.failed) p->is_failed = true;
        json_decref(object);
        vt_buffer_deinit(&arguments);
        if (!is_call) break;
    }
    return st;
}

/* What was held as a call is one, or text. `tail` is what stood after the body ("</tool_call>"). */
static vt_status end_call(vt_parser *p, size_t n_body, vt_slice tail, size_t n_after, vt_err *err)
{
    state *s = p->state;
    bool is_call = false;
    vt_slice body = vt_slice_take(held(p), n_body);
    size_t first_id = s->first_id;
    vt_id_range range = take_ids(p, n_after);
    vt_status st = tagged_call(p, body, range, &is_call, err);
    if (st != VT_OK) return st;
    if (!is_call) {
        s->first_id = first_id;
        p->n_repairs++;
        put(p, VT_ITEM_TEXT, OPEN);
        put(p, VT_ITEM_TEXT, body);
        put(p, VT_ITEM_TEXT, tail);
    }
    s->skips_space = is_call;
    s->phase = IN_TEXT;
    drop(p, n_body + tail.len);
    return VT_OK;
}

/* Each step_ function decides what it can about the held bytes; true: call again. */

static bool step_start(vt_parser *p)
{
    state *s = p->state;
    size_t space = n_space(held(p));
    vt_slice t = vt_slice_skip(held(p), space);
    if (t.len == 0) return false;
    if (!s->has_thought) {
        if (vt_slice_starts(t, THINK)) {
            drop(p, space + THINK.len);
            s->phase = IN_THOUGHT;
            s->has_thought = s->skips_space = true;
            return true;
        }
        if (vt_slice_starts(THINK, t)) return false;
    }
    vt_slice fence = VT_S("```json\n{");
    if (s->has_tools && t.len < fence.len && vt_slice_starts(fence, t)) return false;
    bool is_bare = s->has_tools && (t.ptr[0] == '{' || vt_slice_starts(t, fence) || s->is_called);
    if (is_bare || s->skips_space) drop(p, space);
    s->skips_space = false;
    s->phase = is_bare ? IN_BARE : IN_TEXT;
    return true;
}

static bool step_thought(vt_parser *p, vt_err *err, vt_status *st)
{
    state *s = p->state;
    if (s->skips_space) drop(p, n_space(held(p)));
    if (held(p).len == 0) return false;
    size_t at = vt_slice_find(held(p), THINK_CLOSE);
    if (at < held(p).len) {
        put(p, VT_ITEM_REASONING, trim_right(vt_slice_take(held(p), at)));
        *st = end_item(p, 0, err);
        drop(p, at + THINK_CLOSE.len);
        s->phase = AT_START;
        s->skips_space = true;
        return *st == VT_OK;
    }
    size_t n = held(p).len - n_undecided(held(p), THINK_CLOSE);
    if (n > 0) s->skips_space = false;
    put(p, VT_ITEM_REASONING, vt_slice_take(held(p), n));
    drop(p, n);
    return false;
}

static bool step_text(vt_parser *p, vt_err *err, vt_status *st)
{
    state *s = p->state;
    if (s->skips_space) drop(p, n_space(held(p)));
    if (held(p).len == 0) return false;
    size_t at = s->has_tools ? vt_slice_find(held(p), OPEN) : held(p).len;
    if (at < held(p).len) {
        put(p, VT_ITEM_TEXT, trim_right(vt_slice_take(held(p), at)));
        *st = end_item(p, 1, err);
        drop(p, at + OPEN.len);
        s->phase = IN_CALL;
        return *st == VT_OK;
    }
    size_t n = held(p).len - (s->has_tools ? n_undecided(held(p), OPEN) : 0);
    if (n > 0) s->skips_space = false;
    put(p, VT_ITEM_TEXT, vt_slice_take(held(p), n));
    drop(p, n);
    return false;
}

static bool step_call(vt_parser *p, vt_err *err, vt_status *st)
{
    size_t close = vt_slice_find(held(p), CLOSE), open = vt_slice_find(held(p), OPEN);
    if (close == held(p).len && open == held(p).len) return false;
    *st = end_call(p, close < open ? close : open, close < open ? CLOSE : VT_S(""), 0, err);
    return *st == VT_OK;
}

static bool step_bare(vt_parser *p)
{
    state *s = p->state;
    vt_slice t = held(p);
    if (t.len < BARE_NAME_WITHIN) return false;
    t = vt_slice_take(t, BARE_NAME_WITHIN);
    if (vt_slice_find(t, VT_S("\"name\"")) < t.len) return false;
    s->phase = IN_TEXT;
    return true;
}

static vt_status steps(vt_parser *p, vt_err *err)
{
    const state *s = p->state;
    vt_status st = VT_OK;
    for (bool goes_on = true; goes_on && st == VT_OK;) {
        switch (s->phase) {
        case AT_START: goes_on = step_start(p); break;
        case IN_THOUGHT: goes_on = step_thought(p, err, &st); break;
        case IN_TEXT: goes_on = step_text(p, err, &st); break;
        case IN_CALL: goes_on = step_call(p, err, &st); break;
        case IN_BARE: goes_on = step_bare(p); break;
        case AT_END: goes_on = false; break;
        }
    }
    return st;
}

/* The turn is over; n_after ids at the end of the list are not part of it. */
static vt_status end_turn(vt_parser *p, bool is_whole, size_t n_after, vt_err *err)
{
    state *s = p->state;
    size_t n_read = 0;
    vt_status st = VT_OK;
    if (s->phase == IN_CALL && !is_whole) { /* cut off: no call */
        s->phase = AT_END;
        return VT_OK;
    }
    if (s->phase == IN_CALL) st = end_call(p, held(p).len, VT_S(""), n_after, err);
    if (s->phase == IN_BARE && is_whole && st == VT_OK) {
        st = bare_calls(p, held(p), n_after, &n_read, err);
        drop(p, n_read);
        if (n_read > 0 && trim_right(held(p)).len == 0) drop(p, held(p).len);
        if (n_read > 0) drop(p, n_space(held(p)));
    }
    if (st != VT_OK) return st;
    vt_item_kind kind = s->phase == IN_THOUGHT ? VT_ITEM_REASONING : VT_ITEM_TEXT;
    if (s->skips_space) drop(p, n_space(held(p)));
    put(p, kind, held(p));
    drop(p, held(p).len);
    size_t n_items = vt_conversation_n_items(p->turn);
    if (p->is_open) st = vt__item_end(p, take_ids(p, n_after), err);
    else if (n_items > 0 && p->ranges[n_items - 1].n_ids > 0) /* what trails belongs to the last */
        p->ranges[n_items - 1].n_ids += take_ids(p, n_after).n_ids;
    s->phase = AT_END;
    return st;
}

static bool is_tag(vt_slice name)
{
    return vt_slice_eq(name, OPEN) || vt_slice_eq(name, CLOSE) || vt_slice_eq(name, THINK) ||
           vt_slice_eq(name, THINK_CLOSE);
}

static vt_status feed(vt_parser *p, int32_t id, vt_err *err)
{
    state *s = p->state;
    const vt_tokenizer *t = p->format->tokenizer;
    vt_slice bytes = vt_tokenizer_bytes(t, id);
    if (s->phase == AT_END) return VT_OK;
    if (vt_chat_format_is_stop(p->format, id)) return end_turn(p, true, 1, err);
    if (vt_tokenizer_is_control(t, id) && !is_tag(bytes)) {
        if (vt_slice_eq(bytes, VT_S("<|python_tag|>")) && s->phase == AT_START) s->is_called = true;
        else p->n_repairs++; /* says nothing here */
        if (vt_slice_eq(bytes, VT_S("<|im_start|>")) ||
            vt_slice_eq(bytes, VT_S("<|start_header_id|>")))
            return end_turn(p, true, 1, err); /* a turn that is not the model's to write */
        return VT_OK;
    }
    if (!vt_buffer_append(&s->held, bytes)) p->is_failed = true;
    return steps(p, err);
}

static vt_status finish(vt_parser *p, vt_finish reason, vt_err *err)
{
    const state *s = p->state;
    if (s->phase == AT_END) return VT_OK;
    return end_turn(p, reason == VT_FINISH_STOP, 0, err);
}

const struct vt_parser_ops vt__parser_tagged = {
    .state_size = sizeof(state),
    .init = init,
    .deinit = deinit,
    .feed = feed,
    .finish = finish,
};
