/* browse.c -- the loop of a model that searches by itself. See browse.h. */
#include "agent/browse.h"

#include "base/alloc.h"

enum { MAX_TURNS = 24, RESULT_BYTES = 1 << 20, N_NEAREST = 3 };

typedef struct {
    const vt_browse_options *options;
    vt_slice question;
    vt_browser *browser;
    vt_conversation *conversation;
    bool was_full; /* results were dropped: they did not fit into the context */
} browsing;

static const char repeated[] =
    "You made this very call before; its result is above. Make another one, or answer.";
static const char answer_now[] = "No more calls are possible. Answer now from what you have seen, "
                                 "with citations; if it does not "
                                 "hold the answer, say so.";
static const char no_room[] = "The context is full: this result does not fit. Answer now from what "
                              "you have seen before, with "
                              "citations; if it does not hold the answer, say so.";

/* Was the call at item i made before with the same arguments? */
static bool was_made(const vt_conversation *c, size_t i)
{
    const vt_item *call = vt_conversation_item(c, i);
    for (size_t k = 0; k < i; k++) {
        const vt_item *old = vt_conversation_item(c, k);
        if (old->kind == VT_ITEM_CALL && vt_slice_eq(old->name, call->name) &&
            vt_slice_eq(old->text, call->text))
            return true;
    }
    return false;
}

static vt_status answer_call(browsing *b, size_t i, vt_err *err)
{
    const vt_item *call = vt_conversation_item(b->conversation, i);
    vt_buffer result;
    vt_buffer_init(&result, RESULT_BYTES);
    vt_status st = VT_OK;
    if (was_made(b->conversation, i)) vt_buffer_append(&result, vt_slice_cstr(repeated));
    else st = vt_browser_call(b->browser, call->name, call->text, &result, err);
    if (st == VT_OK) st = vt_buffer_status(&result, "a tool's result", err);
    if (st == VT_OK) {
        vt_item item = {.kind = VT_ITEM_RESULT,
                        .role = VT_ROLE_TOOL,
                        .name = call->name,
                        .call_id = call->call_id,
                        .text = vt_buffer_slice(&result)};
        st = vt_conversation_add(b->conversation, &item, err);
    }
    vt_buffer_deinit(&result);
    return st;
}

/* Run the calls among the items from `first` on. *n: how many there were. */
static vt_status answer_calls(browsing *b, size_t first, size_t *n, vt_err *err)
{
    size_t end = vt_conversation_n_items(b->conversation);
    vt_status st = VT_OK;
    *n = 0;
    for (size_t i = first; i < end && st == VT_OK; i++) {
        if (vt_conversation_item(b->conversation, i)->kind != VT_ITEM_CALL) continue;
        if (vt_progress_cancelled(b->options->progress))
            return vt_fail(err, VT_ECANCEL, "cancelled while searching");
        st = answer_call(b, i, err);
        (*n)++;
    }
    return st;
}

/* The final text of the items from `first` on: what is no preamble. */
static vt_status final_text(const browsing *b, size_t first, vt_buffer *out, vt_err *err)
{
    for (size_t i = first; i < vt_conversation_n_items(b->conversation); i++) {
        const vt_item *item = vt_conversation_item(b->conversation, i);
        if (item->kind == VT_ITEM_TEXT && item->role == VT_ROLE_ASSISTANT && !item->is_preamble)
            vt_buffer_append(out, item->text);
    }
    return vt_buffer_status(out, "the answer", err);
}

static vt_status offer_nearest(browsing *b, vt_answer *out, vt_err *err)
{
    vt_passages found = {0};
    const vt_source *s = &b->options->source;
    vt_status st = s->search(s->ctx, b->question, N_NEAREST, &found, err);
    if (st != VT_OK) return st;
    for (size_t i = 0; i < found.n && st == VT_OK; i++) {
        const vt_passage *p = &found.items[i];
        vt_nearest nearest = {.file = p->file,
                              .start_line = p->start_line,
                              .end_line = p->end_line,
                              .page = p->page,
                              .text = p->text,
                              .score = p->score};
        st = vt_answer_add_nearest(out, &nearest, err);
    }
    vt_passages_deinit(&found);
    return st;
}

static vt_status conclude(browsing *b, vt_slice text, vt_finish finish, vt_answer *out, vt_err *err)
{
    const char *reason = NULL;
    vt_status st = vt_browse_check(b->browser, b->question, text, out, err);
    bool any = false;
    for (size_t i = 0; st == VT_OK && i < out->n_sentences; i++)
        any = any || out->sentences[i].supported;
    if (finish == VT_FINISH_LENGTH) reason = "the answer was cut: the context is full";
    else if (b->was_full) reason = "the context was full before the search was over (--ctx)";
    else if (out->n_sentences == 0) reason = "the model gave no answer";
    else if (!any) reason = "no sentence of the answer is supported by lines that were shown";
    if (st == VT_OK && !any) st = offer_nearest(b, out, err);
    return st == VT_OK ? vt_answer_finish(out, reason, err) : st;
}

static vt_status start(browsing *b, vt_err *err)
{
    vt_status st = vt_browser_new(&b->options->source, &b->browser, err);
    if (st == VT_OK) st = vt_conversation_new(&b->conversation, err);
    if (st != VT_OK) return st;
    vt_conversation_set_builtin(b->conversation, true, false);
    if (b->options->date.len > 0)
        st = vt_conversation_set_date(b->conversation, b->options->date, err);
    if (st == VT_OK)
        st = vt_conversation_add_text(b->conversation, VT_ROLE_DEVELOPER,
                                      VT_S("The browser searches the user's own documents, not the "
                                           "web. Answer from them only, and cite every sentence. "
                                           "When they do not hold the answer, say so."),
                                      err);
    if (st == VT_OK) st = vt_conversation_add_text(b->conversation, VT_ROLE_USER, b->question, err);
    return st;
}

/* The results of the last calls do not fit into the context: put a word in their place, allow no
 * further calls, and let the model answer from what came before. */
static vt_status drop_results(browsing *b, size_t first, size_t end, vt_err *err)
{
    vt_conversation *c = b->conversation;
    vt_conversation_truncate(c, end);
    vt_status st = vt_conversation_set_choice(c, VT_CHOICE_NONE, VT_S(""), err);
    for (size_t i = first; i < end && st == VT_OK; i++) {
        const vt_item *call = vt_conversation_item(c, i);
        if (call->kind != VT_ITEM_CALL) continue;
        vt_item item = {.kind = VT_ITEM_RESULT,
                        .role = VT_ROLE_TOOL,
                        .name = call->name,
                        .call_id = call->call_id,
                        .text = vt_slice_cstr(no_room)};
        st = vt_conversation_add(c, &item, err);
    }
    return st;
}

/* One turn after the other until there is one without calls; its text is the answer's. */
static vt_status converse(browsing *b, vt_buffer *text, vt_finish *finish, vt_err *err)
{
    const vt_browse_options *o = b->options;
    uint32_t max_turns = o->max_turns > 0 ? o->max_turns : MAX_TURNS;
    size_t calls_at = 0, calls_end = 0; /* the items of the turn before */
    for (uint32_t turn = 0;; turn++) {
        size_t first = vt_conversation_n_items(b->conversation);
        size_t n_calls = 0;
        vt_progress_report(o->progress, "searching and reading", turn, 0);
        vt_status st = o->turn.run(o->turn.ctx, b->conversation, finish, err);
        if (st == VT_ELIMIT && turn > 0 && !b->was_full) {
            b->was_full = true;
            st = drop_results(b, calls_at, calls_end, err);
            if (st != VT_OK) return st;
            continue;
        }
        if (st == VT_OK && *finish == VT_FINISH_CANCEL)
            st = vt_fail(err, VT_ECANCEL, "cancelled while answering");
        calls_at = first;
        calls_end = vt_conversation_n_items(b->conversation);
        if (st == VT_OK && turn < max_turns && !b->was_full)
            st = answer_calls(b, first, &n_calls, err);
        if (st != VT_OK) return st;
        if (n_calls == 0) return final_text(b, first, text, err);
        if (turn + 1 < max_turns) continue;
        st = vt_conversation_set_choice(b->conversation, VT_CHOICE_NONE, VT_S(""), err);
        if (st == VT_OK)
            st = vt_conversation_add_text(b->conversation, VT_ROLE_DEVELOPER,
                                          vt_slice_cstr(answer_now), err);
        if (st != VT_OK) return st;
    }
}

vt_status vt_browse(const vt_browse_options *options, vt_slice question, vt_answer *out,
                    vt_err *err)
{
    browsing b = {.options = options, .question = vt_slice_trim(question)};
    vt_answer answer = {0};
    vt_finish finish = VT_FINISH_STOP;
    vt_buffer text;
    if (b.question.len == 0) return vt_fail(err, VT_EINPUT, "the question is empty");
    vt_buffer_init(&text, 0);
    vt_status st = start(&b, err);
    if (st == VT_OK) st = converse(&b, &text, &finish, err);
    if (st == VT_OK) st = conclude(&b, vt_buffer_slice(&text), finish, &answer, err);
    vt_buffer_deinit(&text);
    vt_conversation_free(b.conversation);
    vt_browser_free(b.browser);
    if (st == VT_OK) *out = answer;
    else vt_answer_deinit(&answer);
    return st;
}
