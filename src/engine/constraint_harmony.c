/* constraint_harmony.c -- see constraint_harmony.h. The automaton is a table of nodes; each knows
 * the ids that lead on from it, in ascending order. Text is not in the table: `content` says which
 * kind of text we are in, and which token may end it. */
#include "engine/constraint_harmony.h"

#include "base/alloc.h"
#include "base/buffer.h"

enum { MAX_NODES = 1 << 20 };

typedef enum {
    MARK_START,
    MARK_END,
    MARK_MESSAGE,
    MARK_CHANNEL,
    MARK_CONSTRAIN,
    MARK_RETURN,
    MARK_CALL,
    N_MARKS,
} mark;

static const char *const mark_names[N_MARKS] = {
    "<|start|>", "<|end|>", "<|message|>", "<|channel|>", "<|constrain|>", "<|return|>", "<|call|>",
};

/* Where a path of the trie leads, or what we are in. */
typedef enum {
    NOWHERE,
    IN_ANALYSIS,
    IN_PREAMBLE,
    IN_FINAL,
    IN_CALL,
    N_CONTENTS,
    TO_HEADER = N_CONTENTS, /* <|start|>assistant is behind us: the next header */
    AT_END,
} place;

typedef struct {
    int32_t id;    /* that leads here */
    int32_t child; /* the first; -1: none */
    int32_t next;  /* sibling; -1: none. Siblings ascend by id */
    place leads_to;
    size_t first_id; /* ids of the children, in `ids` */
    size_t n_ids;
} node;

typedef struct {
    vt_constraint base;
    size_t n_vocab;
    int32_t marks[N_MARKS];
    node *nodes;
    size_t n_nodes, cap_nodes;
    int32_t *ids; /* children's ids of all nodes */
    /* Ids that are no text, and the same without one that may end a message. */
    int32_t *banned;
    size_t n_banned;
    int32_t *banned_but[N_CONTENTS];
    vt_constraint *final_text; /* borrowed; NULL: final is free */
    int32_t header, restart;   /* roots: before <|channel|>; before <|start|>assistant */

    place content; /* NOWHERE: in the trie, at `at` */
    int32_t at;
    bool is_empty; /* no text yet */
} automaton;

static mark end_of(place content)
{
    return content == IN_FINAL ? MARK_RETURN : content == IN_CALL ? MARK_CALL : MARK_END;
}

static vt_status new_node(automaton *a, int32_t id, int32_t *out, vt_err *err)
{
    if (!vt_grow((void **)&a->nodes, &a->cap_nodes, a->n_nodes + 1, sizeof *a->nodes, MAX_NODES))
        return vt_fail(err, VT_ELIMIT, "too many tools for the constraint on headers");
    a->nodes[a->n_nodes] = (node){.id = id, .child = -1, .next = -1};
    *out = (int32_t)a->n_nodes++;
    return VT_OK;
}

/* The child of `parent` by id, made where it is missing. */
static vt_status step_in(automaton *a, int32_t *at, int32_t id, vt_err *err)
{
    int32_t before = -1;
    int32_t child = a->nodes[*at].child;
    while (child >= 0 && a->nodes[child].id < id) {
        before = child;
        child = a->nodes[child].next;
    }
    if (child < 0 || a->nodes[child].id != id) {
        int32_t fresh = -1;
        vt_status st = new_node(a, id, &fresh, err);
        if (st != VT_OK) return st;
        a->nodes[fresh].next = child;
        if (before < 0) a->nodes[*at].child = fresh;
        else a->nodes[before].next = fresh;
        child = fresh;
    }
    *at = child;
    return VT_OK;
}

/* A path of the trie being written, with a sticky status. */
typedef struct {
    automaton *a;
    const vt_tokenizer *t;
    int32_t at;
    vt_status status;
    vt_err *err;
} path;

static void put_mark(path *p, mark m)
{
    if (p->status == VT_OK) p->status = step_in(p->a, &p->at, p->a->marks[m], p->err);
}

static void put_text(path *p, vt_slice text)
{
    vt_tokens ids = {0};
    if (p->status == VT_OK) p->status = vt_tokenizer_encode(p->t, text, &ids, p->err);
    for (size_t i = 0; i < ids.n && p->status == VT_OK; i++)
        p->status = step_in(p->a, &p->at, ids.ids[i], p->err);
    vt_tokens_deinit(&ids);
}

typedef enum { TYPE_NONE, TYPE_JSON, TYPE_CODE } content_type;

/* <|channel|>TEXT[ type]<|message|> */
static void put_header(path *p, vt_slice text, content_type type, place leads_to)
{
    vt_buffer all;
    vt_buffer_init(&all, 0);
    vt_buffer_append(&all, text);
    if (type == TYPE_JSON) vt_buffer_append(&all, VT_S(" "));
    if (type == TYPE_CODE) vt_buffer_append(&all, VT_S(" code"));
    if (p->status == VT_OK) p->status = vt_buffer_status(&all, "a header", p->err);
    p->at = p->a->header;
    put_mark(p, MARK_CHANNEL);
    put_text(p, vt_buffer_slice(&all));
    if (type == TYPE_JSON) {
        put_mark(p, MARK_CONSTRAIN);
        put_text(p, VT_S("json"));
    }
    put_mark(p, MARK_MESSAGE);
    if (p->status == VT_OK) p->a->nodes[p->at].leads_to = leads_to;
    vt_buffer_deinit(&all);
}

static void put_recipient(path *p, vt_slice recipient)
{
    bool is_function = vt_slice_starts(recipient, VT_S("functions."));
    bool is_code = vt_slice_eq(recipient, VT_S("python"));
    vt_buffer text;
    vt_buffer_init(&text, 0);
    vt_buffer_append(&text, is_function ? VT_S("commentary to=") : VT_S("analysis to="));
    vt_buffer_append(&text, recipient);
    if (p->status == VT_OK) p->status = vt_buffer_status(&text, "a header", p->err);
    put_header(p, vt_buffer_slice(&text), TYPE_NONE, IN_CALL);
    if (!is_code) put_header(p, vt_buffer_slice(&text), TYPE_JSON, IN_CALL);
    if (!is_function) put_header(p, vt_buffer_slice(&text), TYPE_CODE, IN_CALL);
    vt_buffer_deinit(&text);
}

static vt_status build_trie(automaton *a, const vt_tokenizer *t, const vt_harmony_options *o,
                            vt_err *err)
{
    path p = {.a = a, .t = t, .err = err};
    p.status = new_node(a, -1, &a->header, err);
    if (p.status == VT_OK) p.status = new_node(a, -1, &a->restart, err);
    if (p.status != VT_OK) return p.status;
    put_header(&p, VT_S("analysis"), TYPE_NONE, IN_ANALYSIS);
    if (o->n_recipients > 0) put_header(&p, VT_S("commentary"), TYPE_NONE, IN_PREAMBLE);
    if (!o->must_call) put_header(&p, VT_S("final"), TYPE_NONE, IN_FINAL);
    if (!o->must_call && o->has_json_final) put_header(&p, VT_S("final"), TYPE_JSON, IN_FINAL);
    for (size_t i = 0; i < o->n_recipients; i++) put_recipient(&p, o->recipients[i]);
    p.at = a->restart;
    put_mark(&p, MARK_START);
    put_text(&p, VT_S("assistant"));
    if (p.status == VT_OK) a->nodes[p.at].leads_to = TO_HEADER;
    return p.status;
}

/* Lay the ids of every node's children side by side. */
static vt_status list_children(automaton *a, vt_err *err)
{
    size_t n = 0;
    a->ids = vt_calloc(a->n_nodes, sizeof *a->ids);
    if (a->ids == NULL) return vt_fail(err, VT_ENOMEM, "out of memory for a constraint");
    for (size_t i = 0; i < a->n_nodes; i++) {
        a->nodes[i].first_id = n;
        for (int32_t c = a->nodes[i].child; c >= 0; c = a->nodes[c].next)
            a->ids[n++] = a->nodes[c].id;
        a->nodes[i].n_ids = n - a->nodes[i].first_id;
    }
    return VT_OK;
}

static vt_status list_banned(automaton *a, const vt_tokenizer *t, vt_err *err)
{
    for (size_t i = 0; i < a->n_vocab; i++) a->n_banned += !vt_tokenizer_is_text(t, (int32_t)i);
    a->banned = vt_calloc(a->n_banned + 1, sizeof *a->banned);
    if (a->banned == NULL) return vt_fail(err, VT_ENOMEM, "out of memory for a constraint");
    size_t n = 0;
    for (size_t i = 0; i < a->n_vocab; i++)
        if (!vt_tokenizer_is_text(t, (int32_t)i)) a->banned[n++] = (int32_t)i;
    for (place content = IN_ANALYSIS; content < N_CONTENTS; content++) {
        int32_t *list = vt_calloc(a->n_banned + 1, sizeof *list);
        if (list == NULL) return vt_fail(err, VT_ENOMEM, "out of memory for a constraint");
        a->banned_but[content] = list;
        for (size_t i = 0; i < a->n_banned; i++)
            if (a->banned[i] != a->marks[end_of(content)]) *list++ = a->banned[i];
    }
    return VT_OK;
}

static vt_allowed allowed(const vt_constraint *c)
{
    const automaton *a = (const automaton *)c;
    vt_allowed out = {.n_vocab = a->n_vocab};
    if (a->content == AT_END) {
        out.kind = VT_ALLOW_ONLY;
    } else if (a->content == NOWHERE) {
        const node *at = &a->nodes[a->at];
        out.kind = VT_ALLOW_ONLY;
        out.ids = a->ids + at->first_id;
        out.n = at->n_ids;
    } else if (a->content == IN_FINAL && a->final_text != NULL) {
        out = vt_constraint_allowed(a->final_text);
    } else if (a->is_empty && a->content != IN_ANALYSIS) {
        out.ids = a->banned;
        out.n = a->n_banned;
    } else {
        out.ids = a->banned_but[a->content];
        out.n = a->n_banned - 1;
    }
    return out;
}

/* Along the trie while there is one way. */
static size_t foresee(vt_constraint *c, int32_t *ids, size_t n_most)
{
    const automaton *a = (const automaton *)c;
    size_t n = 0;
    if (a->content == IN_FINAL && a->final_text != NULL)
        return vt_constraint_foresee(a->final_text, ids, n_most);
    if (a->content != NOWHERE) return 0;
    for (int32_t at = a->at; n < n_most && a->nodes[at].n_ids == 1;) {
        const int32_t child = a->nodes[at].child;
        const place leads_to = a->nodes[child].leads_to;
        ids[n++] = a->nodes[child].id;
        if (leads_to != NOWHERE && leads_to != TO_HEADER) break;
        at = leads_to == TO_HEADER ? a->header : child;
    }
    return n;
}

static void accept(vt_constraint *c, int32_t id)
{
    automaton *a = (automaton *)c;
    if (a->content != NOWHERE) {
        bool is_end = id == a->marks[end_of(a->content)];
        a->is_empty = false;
        if (a->content == IN_FINAL && a->final_text != NULL)
            a->final_text->ops->accept(a->final_text, id);
        if (!is_end) return;
        bool goes_on = a->content == IN_ANALYSIS || a->content == IN_PREAMBLE;
        a->content = goes_on ? NOWHERE : AT_END;
        a->at = a->restart;
        return;
    }
    int32_t child = a->nodes[a->at].child;
    while (a->nodes[child].id != id) child = a->nodes[child].next;
    place leads_to = a->nodes[child].leads_to;
    a->at = leads_to == TO_HEADER ? a->header : child;
    if (leads_to == NOWHERE || leads_to == TO_HEADER) return;
    a->content = leads_to;
    a->is_empty = true;
}

static void free_automaton(vt_constraint *c)
{
    automaton *a = (automaton *)c;
    for (size_t i = 0; i < N_CONTENTS; i++) vt_free(a->banned_but[i]);
    vt_free(a->banned);
    vt_free(a->ids);
    vt_free(a->nodes);
    vt_free(a);
}

static const vt_constraint_ops ops = {
    .allowed = allowed,
    .accept = accept,
    .free = free_automaton,
    .foresee = foresee,
};

vt_status vt_constraint_harmony_new(const vt_tokenizer *t, const vt_harmony_options *options,
                                    vt_constraint **out, vt_err *err)
{
    if (options->must_call && options->n_recipients == 0)
        return vt_fail(err, VT_EINPUT, "a call is required, but no tool is offered");
    automaton *a = vt_calloc(1, sizeof *a);
    if (a == NULL) return vt_fail(err, VT_ENOMEM, "out of memory for a constraint");
    a->base.ops = &ops;
    a->final_text = options->final_text;
    a->n_vocab = vt_tokenizer_n_vocab(t);
    vt_status st = VT_OK;
    for (size_t i = 0; i < N_MARKS && st == VT_OK; i++) {
        a->marks[i] = vt_tokenizer_control(t, vt_slice_cstr(mark_names[i]));
        if (a->marks[i] < 0)
            st = vt_fail(err, VT_EUNSUPPORTED, "the model's tokenizer has no token '%s'",
                         mark_names[i]);
    }
    if (st == VT_OK) st = build_trie(a, t, options, err);
    if (st == VT_OK) st = list_children(a, err);
    if (st == VT_OK) st = list_banned(a, t, err);
    if (st == VT_OK) {
        a->at = a->header;
        *out = &a->base;
    } else free_automaton(&a->base);
    return st;
}
