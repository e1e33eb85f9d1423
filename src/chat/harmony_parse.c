/* harmony_parse.c -- gpt-oss's turns, from token ids. The prompt ended in <|start|>assistant, so
 * the first message begins inside its header.
 *
 *              text, channel, constrain            text
 *                   ┌──────┐                      ┌──────┐
 *     (start) ───▶ HEADER ◀┘ ─── <|message|> ───▶ BODY ◀─┘
 *                   ▲   │                          │
 *                   │   └─ an end: body = rest ─┐  ├─ <|end|> <|call|> <|return|>
 *                   └────────────────◀──────────┴──┘   (or <|start|>, <|channel|>: end is missing)
 *
 * A header has up to three parts: what stands before <|channel|> (the role), after it, and after
 * <|constrain|>. They are read as a whole at <|message|>, by parse_header. Real models get headers
 * wrong in 1 to 4 of 100 turns; each known way has its place here and its test, and none is an
 * error. A message in another role's name is not the model's to write: it is dropped. */
#include "chat/format_ops.h"
#include "chat/parser_ops.h"

enum { MAX_HEADER = 512 }; /* bytes of a part; past it, it is no header */

typedef enum {
    MARK_START,
    MARK_END,
    MARK_MESSAGE,
    MARK_CHANNEL,
    MARK_CONSTRAIN,
    MARK_RETURN,
    MARK_CALL,
    MARK_EOT,
    N_MARKS,
    MARK_TEXT,
    MARK_OTHER, /* a control token that means nothing here */
} mark;

static const char *const mark_names[N_MARKS] = {
    "<|start|>",     "<|end|>",    "<|message|>", "<|channel|>",
    "<|constrain|>", "<|return|>", "<|call|>",    "<|endoftext|>",
};

typedef enum { CHANNEL_ANALYSIS, CHANNEL_COMMENTARY, CHANNEL_FINAL, N_CHANNELS } channel;

static const char *const channel_names[N_CHANNELS] = {"analysis", "commentary", "final"};

typedef enum { IN_HEADER, IN_TEXT, IN_CALL, IN_FOREIGN } phase;

typedef struct {
    int32_t marks[N_MARKS];
    phase phase;
    bool is_first; /* the role was in the prompt */
    bool is_bent;  /* something in this message was put right: don't replay its ids */
    bool has_channel, has_type;
    vt_buffer role, channel, type;  /* the header's parts */
    vt_buffer early;                /* a recipient of a header that was begun anew */
    vt_buffer recipient, arguments; /* of the call in IN_CALL */
    size_t first_id;                /* <|channel|> of this message */
} state;

typedef struct {
    bool is_foreign;
    bool is_exact; /* as the format has it, to the letter */
    channel channel;
    vt_slice recipient; /* empty: none */
    vt_slice rest;      /* what belongs to none of it: the body when <|message|> is missing */
} header;

static void init(vt_parser *p)
{
    state *s = p->state;
    for (size_t i = 0; i < N_MARKS; i++)
        s->marks[i] = vt_tokenizer_control(p->format->tokenizer, vt_slice_cstr(mark_names[i]));
    vt_buffer_init(&s->role, VT_CONVERSATION_BYTES);
    vt_buffer_init(&s->channel, VT_CONVERSATION_BYTES);
    vt_buffer_init(&s->type, VT_CONVERSATION_BYTES);
    vt_buffer_init(&s->early, VT_CONVERSATION_BYTES);
    vt_buffer_init(&s->recipient, VT_CONVERSATION_BYTES);
    vt_buffer_init(&s->arguments, VT_CONVERSATION_BYTES);
    s->is_first = true;
}

static void deinit(vt_parser *p)
{
    state *s = p->state;
    vt_buffer_deinit(&s->role);
    vt_buffer_deinit(&s->channel);
    vt_buffer_deinit(&s->type);
    vt_buffer_deinit(&s->early);
    vt_buffer_deinit(&s->recipient);
    vt_buffer_deinit(&s->arguments);
}

static mark mark_of(const vt_parser *p, int32_t id)
{
    const state *s = p->state;
    for (size_t i = 0; i < N_MARKS; i++)
        if (s->marks[i] == id && id >= 0) return (mark)i;
    return vt_tokenizer_is_control(p->format->tokenizer, id) ? MARK_OTHER : MARK_TEXT;
}

static vt_slice trim_left(vt_slice s)
{
    while (s.len > 0 && memchr(" \t\r\n", s.ptr[0], 4) != NULL) s = vt_slice_skip(s, 1);
    return s;
}

/* s after any number of "assistant", which is the role that we expect. */
static vt_slice after_role(vt_slice s)
{
    s = trim_left(s);
    while (vt_slice_starts(s, VT_S("assistant"))) s = trim_left(vt_slice_skip(s, 9));
    return s;
}

static bool is_prefix_of(vt_slice s, const char *word)
{
    return vt_slice_starts(vt_slice_cstr(word), s);
}

static bool begins_word(vt_slice s, const char *word)
{
    vt_slice w = vt_slice_cstr(word);
    return vt_slice_starts(s, w) && (s.len == w.len || memchr(" :\n", s.ptr[w.len], 3) != NULL);
}

static const char *const roles[] = {"user", "system", "developer", "tool", "python"};
static const char *const tools[] = {"functions.", "browser."};

static bool is_foreign_role(vt_slice s)
{
    for (size_t i = 0; i < VT_COUNT(roles); i++)
        if (begins_word(s, roles[i])) return true;
    return false;
}

static bool is_tool_name(vt_slice s)
{
    return vt_slice_starts(s, VT_S("functions.")) || vt_slice_starts(s, VT_S("browser."));
}

/* Can this, standing before <|channel|>, still be a header? If not it is text for the user. */
static bool may_be_header(vt_slice role, bool is_first)
{
    vt_slice s = after_role(role);
    if (s.len == 0 || is_prefix_of(s, "assistant") || is_prefix_of(s, "to=")) return true;
    if (vt_slice_starts(s, VT_S("to=")) || is_tool_name(s)) return true;
    for (size_t i = 0; i < VT_COUNT(tools); i++)
        if (is_prefix_of(s, tools[i])) return true;
    for (size_t i = 0; i < N_CHANNELS; i++) {
        vt_slice name = vt_slice_cstr(channel_names[i]);
        if (is_prefix_of(s, channel_names[i])) return true;
        if (!vt_slice_starts(s, name)) continue;
        vt_slice rest = trim_left(vt_slice_skip(s, name.len));
        return is_prefix_of(rest, "to=") || vt_slice_starts(rest, VT_S("to="));
    }
    if (is_first) return false;
    for (size_t i = 0; i < VT_COUNT(roles); i++) {
        vt_slice rest = vt_slice_skip(s, strlen(roles[i]));
        if (is_prefix_of(s, roles[i])) return true;
        if (begins_word(s, roles[i]))
            return rest.ptr[0] == ':' || is_prefix_of(trim_left(rest), "to=") ||
                   vt_slice_starts(trim_left(rest), VT_S("to="));
    }
    return false;
}

/* The word after "to=" (what stands after it in *rest); empty when there is none. */
static vt_slice find_recipient(vt_slice s, vt_slice *rest)
{
    size_t at = vt_slice_find(s, VT_S("to="));
    *rest = s;
    if (at == s.len) return (vt_slice){0};
    vt_slice name = vt_slice_skip(s, at + 3);
    size_t n = 0;
    while (n < name.len && memchr(" \t\r\n<", name.ptr[n], 5) == NULL) n++;
    *rest = vt_slice_skip(name, n);
    return vt_slice_take(name, n);
}

/* Recipients that are no tool: the message is a plain one. */
static bool is_person(vt_slice recipient)
{
    static const char *const people[] = {"assistant", "user", "all"};
    for (size_t i = 0; i < VT_COUNT(people); i++) {
        vt_slice name = vt_slice_cstr(people[i]);
        if (!vt_slice_starts(recipient, name)) continue;
        vt_slice rest = vt_slice_skip(recipient, name.len);
        if (rest.len == 0 || vt_slice_eq(rest, VT_S("json")) || vt_slice_eq(rest, VT_S("code")) ||
            vt_slice_starts(rest, VT_S("commentary")) || vt_slice_starts(rest, VT_S("analysis")) ||
            vt_slice_starts(rest, VT_S("final")))
            return true;
    }
    return false;
}

/* The channel that s begins with; N_CHANNELS when it is none of ours. *rest: what follows. */
static channel find_channel(vt_slice s, vt_slice *rest)
{
    s = trim_left(s);
    for (channel i = 0; i < N_CHANNELS; i++) {
        vt_slice name = vt_slice_cstr(channel_names[i]);
        if (!vt_slice_starts(s, name)) continue;
        *rest = vt_slice_skip(s, name.len);
        return i;
    }
    *rest = s;
    return N_CHANNELS;
}

/* Is the header just what the format's description has: one channel, one recipient, a content type
 * or none? Only such a message is replayed by its ids. */
static bool is_exact(const vt_parser *p, const header *h)
{
    const state *s = p->state;
    vt_slice role = vt_buffer_slice(&s->role);
    vt_slice chan = vt_buffer_slice(&s->channel), type = vt_buffer_slice(&s->type);
    vt_slice tool = {0};
    if (s->is_bent || !s->has_channel ||
        (s->is_first ? role.len > 0 : !vt_slice_eq(role, VT_S("assistant"))))
        return false;
    chan = vt_slice_skip(chan, strlen(channel_names[h->channel]));
    if (h->recipient.len > 0) {
        if (!vt_slice_starts(chan, VT_S(" to="))) return false;
        chan = vt_slice_skip(chan, 4 + h->recipient.len);
        (void)vt__match_tool(p->conversation, h->recipient, &tool);
        bool is_builtin = vt_conversation_is_builtin(p->conversation, tool);
        if (h->recipient.len != tool.len + (is_builtin ? 0 : sizeof "functions." - 1)) return false;
    }
    if (s->has_type) return vt_slice_eq(chan, VT_S(" ")) && vt_slice_eq(type, VT_S("json"));
    return chan.len == 0 || vt_slice_eq(chan, VT_S(" code")) || vt_slice_eq(chan, VT_S(" json"));
}

static void drop_word(vt_slice *s, const char *word)
{
    *s = trim_left(*s);
    if (begins_word(*s, word) || vt_slice_eq(*s, vt_slice_cstr(word)))
        *s = trim_left(vt_slice_skip(*s, strlen(word)));
}

static header parse_header(const vt_parser *p)
{
    const state *s = p->state;
    header h = {0};
    vt_slice role = vt_buffer_slice(&s->role), chan = vt_buffer_slice(&s->channel);
    vt_slice type = vt_buffer_slice(&s->type), rest = {0}, name = {0};
    bool says_assistant = s->is_first || vt_slice_starts(trim_left(role), VT_S("assistant"));
    role = after_role(role);
    h.channel = find_channel(s->has_channel ? chan : role, &h.rest);
    h.recipient = find_recipient(h.rest, &rest);
    if (h.recipient.len > 0) h.rest = rest;
    if (h.recipient.len == 0 && s->has_channel) h.recipient = find_recipient(role, &rest);
    if (h.recipient.len == 0 && s->has_type) {
        h.recipient = find_recipient(type, &rest);
        if (h.recipient.len > 0) type = rest;
    }
    if (h.recipient.len == 0) h.recipient = vt_buffer_slice(&s->early);
    bool is_named = is_tool_name(role); /* a tool's name where a role belongs */
    if (h.recipient.len == 0 && is_named)
        h.recipient = vt_slice_take(role, strcspn(role.ptr, " \t\r\n"));
    h.is_foreign =
        !says_assistant && (is_foreign_role(role) || (is_named && is_person(h.recipient)));
    if (is_person(h.recipient)) h.recipient = (vt_slice){0};
    if (h.channel == N_CHANNELS) /* unknown: thinking, unless there is no channel at all */
        h.channel = s->has_channel ? CHANNEL_ANALYSIS : CHANNEL_FINAL;
    drop_word(&h.rest, "code");
    drop_word(&h.rest, "json");
    if (trim_left(h.rest).len == 0 && s->has_type) {
        h.rest = type;
        if (vt_slice_starts(h.rest, VT_S("json"))) h.rest = vt_slice_skip(h.rest, 4);
    }
    h.rest = trim_left(h.rest);
    bool is_known = h.recipient.len == 0 || vt__match_tool(p->conversation, h.recipient, &name);
    vt_slice word = vt_slice_cstr(channel_names[h.channel]);
    h.is_exact = is_known && vt_slice_starts(chan, word) && is_exact(p, &h);
    return h;
}

static void clear_header(vt_parser *p, bool is_first)
{
    state *s = p->state;
    s->phase = IN_HEADER;
    s->is_first = is_first;
    s->is_bent = false;
    s->has_channel = s->has_type = false;
    vt_buffer_clear(&s->role);
    vt_buffer_clear(&s->channel);
    vt_buffer_clear(&s->type);
    vt_buffer_clear(&s->early);
}

static void begin_body(vt_parser *p, const header *h)
{
    state *s = p->state;
    if (!h->is_exact) {
        s->is_bent = true;
        p->n_repairs++;
    }
    if (h->is_foreign) s->phase = IN_FOREIGN;
    else if (h->recipient.len > 0) {
        s->phase = IN_CALL;
        vt_buffer_clear(&s->recipient);
        vt_buffer_clear(&s->arguments);
        if (!vt_buffer_append(&s->recipient, h->recipient)) p->is_failed = true;
    } else {
        s->phase = IN_TEXT;
        vt__item_begin(p, h->channel == CHANNEL_ANALYSIS ? VT_ITEM_REASONING : VT_ITEM_TEXT,
                       h->channel == CHANNEL_COMMENTARY);
    }
}

static void body_text(vt_parser *p, vt_slice bytes)
{
    state *s = p->state;
    if (s->phase == IN_TEXT) vt__item_text(p, bytes);
    if (s->phase == IN_CALL && !vt_buffer_append(&s->arguments, bytes)) p->is_failed = true;
}

/* The message is complete; n_after ids at the end of the list are not its own. */
static vt_status end_body(vt_parser *p, size_t n_after, vt_err *err)
{
    state *s = p->state;
    vt_id_range range = {.first_id = s->first_id, .n_ids = p->ids.n - n_after - s->first_id};
    phase was = s->phase;
    if (s->is_bent) range.n_ids = 0;
    vt_slice recipient = vt_buffer_slice(&s->recipient);
    vt_slice arguments = vt_buffer_slice(&s->arguments);
    clear_header(p, false);
    if (was == IN_CALL) return vt__item_call(p, recipient, arguments, range, err);
    return was == IN_TEXT ? vt__item_end(p, range, err) : VT_OK;
}

/* What stands before any channel is text for the user (a refusal, say): a final message. */
static void free_text(vt_parser *p)
{
    state *s = p->state;
    header h = {.channel = CHANNEL_FINAL};
    begin_body(p, &h);
    body_text(p, after_role(vt_buffer_slice(&s->role)));
}

/* <|message|> never came: the rest of the header is the body. */
static void headless_body(vt_parser *p)
{
    state *s = p->state;
    header h = parse_header(p);
    h.is_exact = false;
    if (!s->has_channel && h.recipient.len == 0 && !h.is_foreign) {
        free_text(p);
        return;
    }
    begin_body(p, &h);
    body_text(p, h.rest);
}

static bool is_empty_header(const state *s)
{
    return !s->has_channel && !s->has_type && after_role(vt_buffer_slice(&s->role)).len == 0;
}

static void header_text(vt_parser *p, vt_slice bytes)
{
    state *s = p->state;
    vt_buffer *part = s->has_type ? &s->type : s->has_channel ? &s->channel : &s->role;
    if (!vt_buffer_append(part, bytes)) p->is_failed = true;
    if (part == &s->role && !s->has_type && !may_be_header(vt_buffer_slice(part), s->is_first))
        free_text(p);
    else if (part->len > MAX_HEADER) headless_body(p);
}

static void header_channel(vt_parser *p)
{
    state *s = p->state;
    vt_slice rest = {0}, name = {0};
    if (s->has_channel) { /* begun anew: the last one counts, but a tool named before stays */
        vt_slice earlier = find_recipient(vt_buffer_slice(&s->channel), &rest);
        s->is_bent = true;
        vt_buffer_clear(&s->channel);
        vt_buffer_clear(&s->type);
        s->has_type = false;
        if (vt__match_tool(p->conversation, earlier, &name)) {
            vt_buffer_clear(&s->early);
            if (!vt_buffer_append(&s->early, earlier)) p->is_failed = true;
        }
    }
    s->has_channel = true;
    s->first_id = p->ids.n - 1;
}

/* <|start|>: an empty header goes on, a full one without <|message|> ends here. */
static vt_status header_start(vt_parser *p, vt_err *err)
{
    state *s = p->state;
    if (is_empty_header(s)) {
        bool is_bent = s->is_first || s->role.len > 0;
        clear_header(p, false);
        s->is_bent = is_bent;
        return VT_OK;
    }
    headless_body(p);
    return end_body(p, 1, err);
}

static vt_status header_end(vt_parser *p, vt_err *err)
{
    state *s = p->state;
    if (is_empty_header(s)) return VT_OK; /* a stray end */
    headless_body(p);
    return end_body(p, 1, err);
}

static vt_status feed_header(vt_parser *p, mark m, vt_slice bytes, vt_err *err)
{
    state *s = p->state;
    switch (m) {
    case MARK_TEXT: header_text(p, bytes); return VT_OK;
    case MARK_CHANNEL: header_channel(p); return VT_OK;
    case MARK_START: return header_start(p, err);
    case MARK_CONSTRAIN:
        if (s->has_type) s->is_bent = true;
        s->has_type = true;
        return VT_OK;
    case MARK_MESSAGE: {
        header h = parse_header(p);
        begin_body(p, &h);
        return VT_OK;
    }
    case MARK_END:
    case MARK_RETURN:
    case MARK_CALL:
    case MARK_EOT: return header_end(p, err);
    default: return VT_OK;
    }
}

static vt_status feed_body(vt_parser *p, mark m, vt_slice bytes, vt_err *err)
{
    state *s = p->state;
    switch (m) {
    case MARK_TEXT: body_text(p, bytes); return VT_OK;
    case MARK_END:
    case MARK_RETURN:
    case MARK_CALL:
    case MARK_EOT: return end_body(p, 1, err);
    case MARK_START:
    case MARK_CHANNEL: { /* the end is missing */
        vt_status st = end_body(p, 1, err);
        p->n_repairs++;
        return st == VT_OK ? feed_header(p, m, bytes, err) : st;
    }
    default: /* <|message|>, <|constrain|> and reserved ones say nothing here */
        s->is_bent = true;
        p->n_repairs++;
        return VT_OK;
    }
}

static vt_status feed(vt_parser *p, int32_t id, vt_err *err)
{
    const state *s = p->state;
    mark m = mark_of(p, id);
    vt_slice bytes = vt_tokenizer_bytes(p->format->tokenizer, id);
    return s->phase == IN_HEADER ? feed_header(p, m, bytes, err) : feed_body(p, m, bytes, err);
}

static vt_status finish(vt_parser *p, vt_finish reason, vt_err *err)
{
    state *s = p->state;
    bool is_whole = reason == VT_FINISH_STOP;
    if (s->phase == IN_HEADER) {
        if (!is_whole || is_empty_header(s)) return VT_OK;
        headless_body(p);
    }
    if (s->phase == IN_CALL && !is_whole) return VT_OK; /* cut off: no call */
    s->is_bent = s->is_bent || s->phase == IN_CALL;
    return end_body(p, 0, err);
}

const struct vt_parser_ops vt__parser_harmony = {
    .state_size = sizeof(state),
    .init = init,
    .deinit = deinit,
    .feed = feed,
    .finish = finish,
};
