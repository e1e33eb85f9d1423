/* cited.c -- an answer with citation marks against the lines that were shown. See browse.h. */
#include <stdio.h>

#include "agent/browse.h"
#include "agent/cites.h"
#include "agent/evidence.h"
#include "base/alloc.h"

enum { QUOTE_BYTES = 1 << 20, REASON = 160 };

typedef struct {
    const vt_browser *browser;
    vt_slice question;
    vt_answer *out;
    vt_evidence cited; /* all lines that any sentence cites with right */
} checking;

/* Why a mark points at nothing; false: it points at lines that were shown. */
static bool is_dangling(const vt_browser *b, vt_mark mark, char why[REASON])
{
    size_t n = vt_browser_n_lines(b, mark.cursor);
    if (mark.cursor >= vt_browser_n_pages(b)) {
        snprintf(why, REASON, "it cites page %llu, which was never opened",
                 (unsigned long long)mark.cursor);
        return true;
    }
    if (mark.last >= n) {
        snprintf(why, REASON, "it cites line %llu of a page of %zu lines",
                 (unsigned long long)mark.last, n);
        return true;
    }
    for (uint64_t i = mark.first; i <= mark.last; i++) {
        if (vt_browser_line(b, mark.cursor, i).was_shown) continue;
        snprintf(why, REASON, "it cites line %llu, which was not shown", (unsigned long long)i);
        return true;
    }
    return false;
}

/* One citation for each run of document lines that the mark covers: lines of one page may come from
 * several documents (search results). */
static vt_status cite_run(checking *k, vt_mark mark, uint64_t *at, size_t i_sentence, bool verified,
                          vt_err *err)
{
    vt_page_line first = vt_browser_line(k->browser, mark.cursor, *at);
    vt_page_line last = first;
    vt_buffer quote, file;
    vt_buffer_init(&quote, QUOTE_BYTES);
    vt_buffer_init(&file, 1 << 16);
    uint64_t i = *at;
    for (; i <= mark.last; i++) {
        vt_page_line line = vt_browser_line(k->browser, mark.cursor, i);
        bool goes_on = line.file.ptr != NULL && vt_slice_eq(line.file, first.file) &&
                       (line.number == last.number || line.number == last.number + 1);
        if (!goes_on) break;
        if (line.number != last.number) vt_buffer_byte(&quote, '\n');
        vt_buffer_append(&quote, line.text);
        last = line;
    }
    vt_buffer_append(&quote, VT_S(""));
    vt_buffer_append(&file, first.file);
    *at = i > *at ? i : *at + 1;
    size_t index = 0;
    vt_status st = vt_buffer_status(&quote, "a citation", err);
    if (st == VT_OK) st = vt_buffer_status(&file, "a citation", err);
    if (st == VT_OK && first.file.ptr != NULL) {
        vt_citation c = {.file = file.ptr,
                         .start_line = first.number,
                         .end_line = last.number,
                         .page = first.page,
                         .quote = quote.ptr,
                         .verified = verified};
        st = vt_answer_add_citation(k->out, &c, &index, err);
        if (st == VT_OK) vt_answer_cite(k->out, i_sentence, index);
    }
    vt_buffer_deinit(&quote);
    vt_buffer_deinit(&file);
    return st;
}

static vt_status cite(checking *k, vt_mark mark, size_t i_sentence, bool verified, vt_err *err)
{
    vt_status st = VT_OK;
    for (uint64_t at = mark.first; at <= mark.last && st == VT_OK;)
        st = cite_run(k, mark, &at, i_sentence, verified, err);
    return st;
}

static vt_status add_lines(const checking *k, vt_mark mark, vt_evidence *e, vt_err *err)
{
    vt_status st = vt_evidence_add(e, vt_browser_title(k->browser, mark.cursor), err);
    for (uint64_t i = mark.first; i <= mark.last && st == VT_OK; i++)
        st = vt_evidence_add(e, vt_browser_line(k->browser, mark.cursor, i).text, err);
    return st;
}

/* Hold the sentence against its marks' lines and the question. */
static vt_status check_marked(checking *k, vt_slice sentence, const vt_mark *marks, size_t n,
                              size_t i_sentence, vt_err *err)
{
    char why[REASON] = "";
    vt_evidence e = {0};
    vt_status st = vt_evidence_add(&e, k->question, err);
    bool is_wrong = false;
    for (size_t i = 0; i < n && st == VT_OK; i++) {
        if (is_dangling(k->browser, marks[i], why)) is_wrong = true;
        else st = add_lines(k, marks[i], &e, err);
    }
    vt_slice missing = {NULL, 0};
    if (st == VT_OK) missing = vt_evidence_unsupported(&e, sentence, VT_STRICT_NAMES);
    bool holds = !is_wrong && missing.ptr == NULL;
    for (size_t i = 0; i < n && st == VT_OK; i++) {
        if (is_dangling(k->browser, marks[i], (char[REASON]){0})) continue;
        st = cite(k, marks[i], i_sentence, holds, err);
        if (st == VT_OK && holds) st = add_lines(k, marks[i], &k->cited, err);
    }
    if (st == VT_OK && is_wrong) st = vt_answer_reject(k->out, i_sentence, why, VT_S(""), err);
    else if (st == VT_OK && missing.ptr != NULL)
        st = vt_answer_reject(k->out, i_sentence, "not in the cited lines", missing, err);
    vt_evidence_deinit(&e);
    return st;
}

/* Sentences without marks, once all marks were read: held against everything that was cited. */
static vt_status check_unmarked(checking *k, vt_err *err)
{
    vt_status st = vt_evidence_add(&k->cited, k->question, err);
    size_t n_citations = k->out->n_citations;
    for (size_t i = 0; i < k->out->n_sentences && st == VT_OK; i++) {
        const vt_sentence *s = &k->out->sentences[i];
        if (s->n_citations > 0 || !s->supported) continue;
        vt_slice missing =
            vt_evidence_unsupported(&k->cited, vt_slice_cstr(s->text), VT_STRICT_WORDS);
        bool any = false;
        for (size_t c = 0; c < n_citations && missing.ptr == NULL; c++)
            if (k->out->citations[c].verified) any = vt_answer_cite(k->out, i, c) || any;
        if (missing.ptr != NULL)
            st = vt_answer_reject(k->out, i, "no citation holds", missing, err);
        else if (!any) st = vt_answer_reject(k->out, i, "nothing is cited", VT_S(""), err);
    }
    return st;
}

vt_status vt_browse_check(const vt_browser *browser, vt_slice question, vt_slice text,
                          vt_answer *out, vt_err *err)
{
    checking k = {.browser = browser, .question = question, .out = out};
    vt_slice rest = text, sentence;
    vt_status st = VT_OK;
    while (st == VT_OK && vt_sentence_next(&rest, &sentence)) {
        vt_mark marks[VT_MARKS_MAX];
        size_t n = 0, i = 0;
        vt_buffer clean;
        vt_buffer_init(&clean, 0);
        st = vt_marks_take(sentence, &clean, marks, &n, err);
        vt_slice said = vt_slice_trim(vt_buffer_slice(&clean));
        if (st == VT_OK && said.len > 0) {
            st = vt_answer_add_sentence(out, said, &i, err);
            if (st == VT_OK && n > 0) st = check_marked(&k, said, marks, n, i, err);
        }
        vt_buffer_deinit(&clean);
    }
    if (st == VT_OK) st = check_unmarked(&k, err);
    vt_evidence_deinit(&k.cited);
    return st;
}
