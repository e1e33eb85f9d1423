/* cite.c -- the lines of a passage that hold a sentence. See cite.h. */
#include "agent/cite.h"

#include "agent/evidence.h"
#include "base/alloc.h"

enum { MAX_NEEDED = 64, MAX_GROW = 3 };

typedef struct {
    const vt_lines *lines;
    vt_evidence *by_line;       /* one for each line */
    vt_atom needed[MAX_NEEDED]; /* what the sentence adds to the question */
    size_t n_needed;
    vt_slice question;
} search;

static vt_slice line_text(const vt_lines *lines, size_t i)
{
    return vt_slice_cstr(lines->items[i].text);
}

static bool holds(const search *s, size_t first, size_t last, const vt_atom *atom)
{
    for (size_t i = first; i <= last; i++)
        if (vt_evidence_has(&s->by_line[i], atom)) return true;
    return false;
}

/* Atoms of the sentence that some line has and the question has not. */
static vt_status find_needed(search *s, vt_slice sentence, vt_err *err)
{
    vt_evidence asked = {0};
    vt_status st = vt_evidence_add(&asked, s->question, err);
    vt_atoms cursor = vt_atoms_of(sentence);
    vt_atom atom;
    while (st == VT_OK && s->n_needed < MAX_NEEDED && vt_atoms_next(&cursor, &atom)) {
        if (atom.kind == VT_ATOM_FILLER || vt_evidence_has(&asked, &atom)) continue;
        if (holds(s, 0, s->lines->n - 1, &atom)) s->needed[s->n_needed++] = atom;
    }
    vt_evidence_deinit(&asked);
    return st;
}

static size_t n_asked(const search *s, size_t first, size_t last)
{
    vt_atoms cursor = vt_atoms_of(s->question);
    vt_atom atom;
    size_t n = 0;
    while (vt_atoms_next(&cursor, &atom))
        if (atom.kind != VT_ATOM_FILLER && holds(s, first, last, &atom)) n++;
    return n;
}

static bool holds_all(const search *s, size_t first, size_t last)
{
    for (size_t k = 0; k < s->n_needed; k++)
        if (!holds(s, first, last, &s->needed[k])) return false;
    return true;
}

static void smallest(const search *s, size_t *first, size_t *last)
{
    size_t n = s->lines->n;
    size_t best_length = n + 1;
    size_t best_asked = 0;
    *first = 0;
    *last = n - 1;
    for (size_t i = 0; i < n; i++) {
        size_t j = i;
        while (j < n && !holds_all(s, i, j)) j++;
        if (j == n) break;
        size_t length = j - i + 1;
        size_t asked = n_asked(s, i, j);
        if (length > best_length || (length == best_length && asked <= best_asked)) continue;
        best_length = length;
        best_asked = asked;
        *first = i;
        *last = j;
    }
}

static bool is_letter_or_digit(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           (unsigned char)c >= 0x80;
}

/* Does prose run on over the end of line i? Not after a full stop, not in tables or programs. */
static bool runs_on(const vt_lines *lines, size_t i)
{
    vt_slice here = vt_slice_trim(line_text(lines, i));
    vt_slice next = line_text(lines, i + 1);
    if (here.len == 0 || next.len == 0) return false;
    if (vt_slice_find(here, VT_S("=")) < here.len || vt_slice_find(here, VT_S("|")) < here.len)
        return false;
    char end = here.ptr[here.len - 1];
    if (here.ptr[0] == '#' || !(is_letter_or_digit(end) || end == ',' || end == '-')) return false;
    next = vt_slice_trim(next);
    return next.len > 0 && is_letter_or_digit(next.ptr[0]) &&
           vt_slice_find(next, VT_S("=")) == next.len && vt_slice_find(next, VT_S("|")) == next.len;
}

/* Offset in `text` after which only the end of the sentence, or nothing, may come. */
static bool has_stop(vt_slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if (memchr(".!?", text.ptr[i], 3) != NULL && (i + 1 == text.len || text.ptr[i + 1] == ' '))
            return true;
    return false;
}

/* The bytes of the line where needed atoms begin and end. */
static bool extent(const search *s, size_t i, size_t *start, size_t *end)
{
    bool any = false;
    const vt_evidence *line = &s->by_line[i];
    for (size_t a = 0; a < line->n; a++) {
        vt_evidence one = {.items = &line->items[a], .n = 1};
        bool is_needed = false;
        for (size_t k = 0; k < s->n_needed && !is_needed; k++)
            is_needed = vt_evidence_has(&one, &s->needed[k]);
        if (!is_needed || line->items[a].end == 0) continue;
        if (!any) *start = line->items[a].start;
        *end = line->items[a].end;
        any = true;
    }
    return any;
}

/* Take in the rest of the document's sentence where it began on an earlier line or goes on. */
static void grow(const search *s, size_t *first, size_t *last)
{
    size_t start = 0, end = 0;
    if (!extent(s, *first, &start, &end)) return;
    vt_slice before = vt_slice_take(line_text(s->lines, *first), start);
    for (int k = 0; k < MAX_GROW && *first > 0 && !has_stop(before); k++) {
        if (!runs_on(s->lines, *first - 1)) break;
        (*first)--;
        before = line_text(s->lines, *first);
    }
    if (!extent(s, *last, &start, &end)) return;
    vt_slice after = vt_slice_skip(line_text(s->lines, *last), end);
    for (int k = 0; k < MAX_GROW && *last + 1 < s->lines->n && !has_stop(after); k++) {
        if (!runs_on(s->lines, *last)) break;
        (*last)++;
        after = line_text(s->lines, *last);
    }
}

vt_status vt_cite_lines(const vt_lines *lines, vt_slice question, vt_slice sentence, size_t *first,
                        size_t *last, vt_err *err)
{
    *first = 0;
    *last = lines->n > 0 ? lines->n - 1 : 0;
    if (lines->n <= 1) return VT_OK;
    search s = {.lines = lines, .question = question};
    s.by_line = vt_calloc(lines->n, sizeof s.by_line[0]);
    if (s.by_line == NULL) return vt_fail(err, VT_ENOMEM, "no memory for the lines of a passage");
    vt_status st = VT_OK;
    for (size_t i = 0; i < lines->n && st == VT_OK; i++)
        st = vt_evidence_add(&s.by_line[i], line_text(lines, i), err);
    if (st == VT_OK) st = find_needed(&s, sentence, err);
    if (st == VT_OK) {
        smallest(&s, first, last);
        if (s.n_needed > 0) grow(&s, first, last);
    }
    for (size_t i = 0; i < lines->n; i++) vt_evidence_deinit(&s.by_line[i]);
    vt_free(s.by_line);
    return st;
}
