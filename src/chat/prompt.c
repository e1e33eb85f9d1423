/* prompt.c -- see prompt.h.
 *
 * All text lies in one buffer and names of control tokens in another, so text segments that follow
 * each other are one stretch of bytes already, and joining them costs nothing. Segments hold
 * offsets, because buffers move as they grow. */
#include "chat/prompt.h"

#include "base/alloc.h"

enum {
    MAX_TEXT = 1 << 30,
    MAX_NAMES = 64 << 20,
    MAX_SEGMENTS = 1 << 24,
};

typedef struct {
    vt_segment_kind kind;
    size_t start; /* in text, names or ids */
    size_t n;
} segment;

struct vt_prompt {
    vt_buffer text;
    vt_buffer names;
    vt_tokens ids;
    segment *segments;
    size_t n_segments;
    size_t cap_segments;
};

vt_status vt_prompt_new(vt_prompt **out, vt_err *err)
{
    vt_prompt *p = vt_calloc(1, sizeof *p);
    if (p == NULL) return vt_fail(err, VT_ENOMEM, "no memory for a prompt");
    vt_buffer_init(&p->text, MAX_TEXT);
    vt_buffer_init(&p->names, MAX_NAMES);
    *out = p;
    return VT_OK;
}

void vt_prompt_free(vt_prompt *p)
{
    if (p == NULL) return;
    vt_buffer_deinit(&p->text);
    vt_buffer_deinit(&p->names);
    vt_tokens_deinit(&p->ids);
    vt_free(p->segments);
    vt_free(p);
}

/* Room for one more segment, so that adding it after its data cannot fail. */
static vt_status reserve(vt_prompt *p, vt_err *err)
{
    if (vt_grow((void **)&p->segments, &p->cap_segments, p->n_segments + 1, sizeof *p->segments,
                MAX_SEGMENTS))
        return VT_OK;
    return vt_fail(err, VT_ELIMIT, "a prompt of more than %d segments, or memory ran out",
                   MAX_SEGMENTS);
}

static vt_status add_text(vt_prompt *p, vt_segment_kind kind, vt_buffer *to, vt_slice text,
                          vt_err *err)
{
    size_t start = to->len;
    vt_status st = reserve(p, err);
    if (st != VT_OK) return st;
    if (!vt_buffer_append(to, text)) {
        st = vt_buffer_status(to, "the prompt", err);
        to->failed = false; /* the prompt is as it was, and may still be used */
        return st;
    }
    p->segments[p->n_segments++] = (segment){.kind = kind, .start = start, .n = text.len};
    return VT_OK;
}

vt_status vt_prompt_control(vt_prompt *p, vt_slice name, vt_err *err)
{
    return add_text(p, VT_SEGMENT_CONTROL, &p->names, name, err);
}

vt_status vt_prompt_trusted(vt_prompt *p, vt_slice text, vt_err *err)
{
    return add_text(p, VT_SEGMENT_TRUSTED, &p->text, text, err);
}

vt_status vt_prompt_untrusted(vt_prompt *p, vt_slice text, vt_err *err)
{
    return add_text(p, VT_SEGMENT_UNTRUSTED, &p->text, text, err);
}

vt_status vt_prompt_ids(vt_prompt *p, const int32_t *ids, size_t n, vt_err *err)
{
    if (n == 0) return VT_OK;
    size_t start = p->ids.n;
    vt_status st = reserve(p, err);
    if (st != VT_OK) return st;
    st = vt_tokens_append(&p->ids, ids, n, err);
    if (st != VT_OK) return st;
    p->segments[p->n_segments++] = (segment){.kind = VT_SEGMENT_IDS, .start = start, .n = n};
    return VT_OK;
}

size_t vt_prompt_n_segments(const vt_prompt *p)
{
    return p->n_segments;
}

vt_segment vt_prompt_segment(const vt_prompt *p, size_t i)
{
    VT_CHECK(i < p->n_segments);
    const segment *s = &p->segments[i];
    if (s->kind == VT_SEGMENT_IDS)
        return (vt_segment){.kind = s->kind, .ids = p->ids.ids + s->start, .n_ids = s->n};
    const vt_buffer *in = s->kind == VT_SEGMENT_CONTROL ? &p->names : &p->text;
    return (vt_segment){.kind = s->kind, .text = {in->ptr + s->start, s->n}};
}

static bool is_text(const segment *s)
{
    return s->kind == VT_SEGMENT_TRUSTED || s->kind == VT_SEGMENT_UNTRUSTED;
}

/* Encode the run of text segments that starts at *i, as one text; *i is then the segment after. */
static vt_status encode_text(const vt_prompt *p, size_t *i, const vt_tokenizer *t, vt_tokens *out,
                             vt_err *err)
{
    vt_slice text = {p->text.ptr + p->segments[*i].start, 0};
    for (; *i < p->n_segments && is_text(&p->segments[*i]); ++*i) text.len += p->segments[*i].n;
    return vt_tokenizer_encode(t, text, out, err);
}

static vt_status encode_control(vt_slice name, const vt_tokenizer *t, vt_tokens *out, vt_err *err)
{
    int32_t id = vt_tokenizer_control(t, name);
    if (id < 0)
        return vt_fail(err, VT_EUNSUPPORTED, "the model's tokenizer has no token \"%.*s\"",
                       VT_ARG(vt_slice_take(name, 64)));
    return vt_tokens_push(out, id, err);
}

vt_status vt_prompt_encode(const vt_prompt *p, const vt_tokenizer *t, vt_tokens *out, vt_err *err)
{
    size_t before = out->n;
    vt_status st = VT_OK;
    size_t i = 0;
    while (st == VT_OK && i < p->n_segments) {
        if (is_text(&p->segments[i])) {
            st = encode_text(p, &i, t, out, err);
            continue;
        }
        vt_segment s = vt_prompt_segment(p, i++);
        st = s.kind == VT_SEGMENT_IDS ? vt_tokens_append(out, s.ids, s.n_ids, err)
                                      : encode_control(s.text, t, out, err);
    }
    if (st != VT_OK) out->n = before;
    return st;
}
