/* answer.c -- building and releasing answers; cutting a text into sentences. See answer.h. */
#include "agent/answer.h"

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/utf8.h"

enum { MAX_SENTENCES = 4096, MAX_CITATIONS = 4096, MAX_NEAREST = 64 };

void vt_answer_deinit(vt_answer *a)
{
    for (size_t i = 0; i < a->n_sentences; i++) {
        vt_free(a->sentences[i].text);
        vt_free(a->sentences[i].problem);
    }
    for (size_t i = 0; i < a->n_citations; i++) {
        vt_free(a->citations[i].file);
        vt_free(a->citations[i].quote);
    }
    for (size_t i = 0; i < a->n_nearest; i++) {
        vt_free(a->nearest[i].file);
        vt_free(a->nearest[i].text);
    }
    vt_free(a->sentences);
    vt_free(a->citations);
    vt_free(a->nearest);
    vt_free(a->answer);
    vt_free(a->reason);
    *a = (vt_answer){0};
}

static vt_status no_memory(vt_err *err)
{
    return vt_fail(err, VT_ENOMEM, "no memory for the answer");
}

vt_status vt_answer_add_sentence(vt_answer *a, vt_slice text, size_t *i, vt_err *err)
{
    if (a->n_sentences >= MAX_SENTENCES)
        return vt_fail(err, VT_ELIMIT, "an answer of more than %d sentences", MAX_SENTENCES);
    if (!vt_grow((void **)&a->sentences, &a->cap_sentences, a->n_sentences + 1,
                 sizeof a->sentences[0], MAX_SENTENCES))
        return no_memory(err);
    char *copy = vt_strdup(text);
    if (copy == NULL) return no_memory(err);
    if (i != NULL) *i = a->n_sentences;
    a->sentences[a->n_sentences++] = (vt_sentence){.text = copy, .supported = true};
    return VT_OK;
}

vt_status vt_answer_reject(vt_answer *a, size_t i, const char *problem, vt_slice what, vt_err *err)
{
    vt_buffer text;
    vt_buffer_init(&text, 4096);
    if (what.len > 0) vt_buffer_printf(&text, "%s: \"%.*s\"", problem, VT_ARG(what));
    else vt_buffer_printf(&text, "%s", problem);
    char *taken = text.failed ? NULL : vt_buffer_take(&text);
    vt_buffer_deinit(&text);
    if (taken == NULL) return no_memory(err);
    vt_free(a->sentences[i].problem);
    a->sentences[i].problem = taken;
    a->sentences[i].supported = false;
    return VT_OK;
}

vt_status vt_answer_add_citation(vt_answer *a, const vt_citation *c, size_t *i, vt_err *err)
{
    for (size_t k = 0; k < a->n_citations; k++) {
        vt_citation *old = &a->citations[k];
        if (strcmp(old->file, c->file) != 0 || old->start_line != c->start_line ||
            old->end_line != c->end_line)
            continue;
        old->verified = old->verified && c->verified;
        if (i != NULL) *i = k;
        return VT_OK;
    }
    if (!vt_grow((void **)&a->citations, &a->cap_citations, a->n_citations + 1,
                 sizeof a->citations[0], MAX_CITATIONS))
        return no_memory(err);
    vt_citation copy = *c;
    copy.file = vt_strdup(vt_slice_cstr(c->file));
    copy.quote = vt_strdup(vt_slice_cstr(c->quote));
    if (copy.file == NULL || copy.quote == NULL) {
        vt_free(copy.file);
        vt_free(copy.quote);
        return no_memory(err);
    }
    if (i != NULL) *i = a->n_citations;
    a->citations[a->n_citations++] = copy;
    return VT_OK;
}

bool vt_answer_cite(vt_answer *a, size_t i_sentence, size_t i_citation)
{
    vt_sentence *s = &a->sentences[i_sentence];
    for (size_t k = 0; k < s->n_citations; k++)
        if (s->citations[k] == i_citation) return true;
    if (s->n_citations >= VT_SENTENCE_CITATIONS) return false;
    s->citations[s->n_citations++] = i_citation;
    return true;
}

vt_status vt_answer_add_nearest(vt_answer *a, const vt_nearest *nearest, vt_err *err)
{
    if (!vt_grow((void **)&a->nearest, &a->cap_nearest, a->n_nearest + 1, sizeof a->nearest[0],
                 MAX_NEAREST))
        return no_memory(err);
    vt_nearest copy = *nearest;
    copy.file = vt_strdup(vt_slice_cstr(nearest->file));
    copy.text = vt_strdup(vt_slice_cstr(nearest->text));
    if (copy.file == NULL || copy.text == NULL) {
        vt_free(copy.file);
        vt_free(copy.text);
        return no_memory(err);
    }
    a->nearest[a->n_nearest++] = copy;
    return VT_OK;
}

vt_status vt_answer_finish(vt_answer *a, const char *reason, vt_err *err)
{
    vt_buffer text;
    vt_buffer_init(&text, 0);
    bool any = false;
    for (size_t i = 0; i < a->n_sentences; i++) {
        vt_buffer_printf(&text, "%s%s", i > 0 ? " " : "", a->sentences[i].text);
        any = any || a->sentences[i].supported;
    }
    if (a->n_sentences == 0) vt_buffer_append(&text, VT_S("not in your documents"));
    char *why = reason != NULL ? vt_strdup(vt_slice_cstr(reason)) : NULL;
    char *taken = text.failed ? NULL : vt_buffer_take(&text);
    vt_buffer_deinit(&text);
    if (taken == NULL || (reason != NULL && why == NULL)) {
        vt_free(taken);
        vt_free(why);
        return no_memory(err);
    }
    vt_free(a->answer);
    vt_free(a->reason);
    a->answer = taken;
    a->reason = why;
    a->answered = any;
    return VT_OK;
}

/* ---- sentences ---- */

static bool is_word_byte(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           (unsigned char)c >= 0x80;
}

/* A full stop ends a sentence when the word before it is no initial or short form ("J.", "p.m.")
 * and what follows does not go on in lower case. */
static bool ends_sentence(vt_slice s, size_t at)
{
    char c = s.ptr[at];
    if (c == '\n') return true;
    if (c != '.' && c != '!' && c != '?') return false;
    size_t next = at + 1;
    while (next < s.len && memchr("\"')]", s.ptr[next], 4) != NULL) next++;
    if (vt_slice_starts(vt_slice_skip(s, next), VT_S("\xE3\x80\x90"))) return true; /* a citation */
    if (next < s.len && s.ptr[next] != ' ' && s.ptr[next] != '\n') return false;
    while (next < s.len && s.ptr[next] == ' ') next++;
    if (next < s.len && s.ptr[next] >= 'a' && s.ptr[next] <= 'z') return false;
    if (c != '.' || at == 0) return true;
    size_t start = at;
    while (start > 0 && is_word_byte(s.ptr[start - 1])) start--;
    char letter = s.ptr[start];
    bool is_initial = letter >= 'A' && letter <= 'Z';
    bool is_dotted = start > 0 && s.ptr[start - 1] == '.';
    bool is_letter = at - start == 1 && (is_initial || is_dotted);
    return !is_letter || next >= s.len;
}

bool vt_sentence_next(vt_slice *rest, vt_slice *sentence)
{
    *rest = vt_slice_trim(*rest);
    if (rest->len == 0) return false;
    size_t end = 0;
    while (end < rest->len && !ends_sentence(*rest, end)) end++;
    if (end < rest->len) end++;
    while (end < rest->len && memchr("\"')]", rest->ptr[end], 4) != NULL) end++;
    /* Citation marks after the full stop belong to the sentence before them. */
    vt_slice open = VT_S("\xE3\x80\x90"), close = VT_S("\xE3\x80\x91");
    for (;;) {
        size_t at = end;
        while (at < rest->len && rest->ptr[at] == ' ') at++;
        vt_slice tail = vt_slice_skip(*rest, at);
        size_t mark = vt_slice_find(tail, close);
        if (!vt_slice_starts(tail, open) || mark == tail.len) break;
        end = at + mark + close.len;
    }
    *sentence = vt_slice_trim(vt_slice_take(*rest, end));
    *rest = vt_slice_skip(*rest, end);
    return true;
}
