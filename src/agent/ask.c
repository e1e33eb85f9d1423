/* ask.c -- score, answer, verify. See ask.h.
 *
 * Two things make a small model trustworthy here. It is asked one narrow question at a time, of
 * one passage at a time. And what it says is checked by code against that passage: the model's own
 * confidence only decides what is looked at, never what is claimed. */
#include "agent/ask.h"

#include <math.h>
#include <stdio.h>

#include "agent/cite.h"
#include "agent/evidence.h"
#include "agent/pieces.h"
#include "agent/placed.h"
#include "base/alloc.h"

enum {
    N_NEAREST = 3,
    N_CORROBORATING = 2,
    RENDER_BYTES = 1 << 20,
    MAX_CANDIDATES = 1 << 16,
};

typedef struct {
    vt_passage piece; /* of a passage that was found; borrows from it all but text and header */
    char *piece_text, *piece_header;
    vt_buffer text;       /* as the model sees it */
    vt_evidence evidence; /* of the passage, its heading, header, title and file name */
    vt_subject subject;
    bool is_other_row; /* a row of a table in which another row fits the question better */
    bool was_read;
    double states;
} candidate;

typedef struct {
    const vt_ask_options *options;
    vt_slice question;
    vt_passages found;
    candidate *items;
    size_t n, cap;
} asking;

/* ---- showing a passage ---- */

static vt_slice last_heading(const vt_passage *p)
{
    vt_slice s = vt_slice_cstr(p->section);
    vt_slice mark = VT_S(" > ");
    for (size_t at = vt_slice_find(s, mark); at < s.len; at = vt_slice_find(s, mark))
        s = vt_slice_skip(s, at + mark.len);
    return s.len > 0 ? s : vt_slice_cstr(p->title);
}

/* "column: cell; column: cell", when header and row have as many cells; empty ones left out. */
static bool render_row(const vt_passage *p, vt_buffer *out)
{
    vt_slice header = vt_slice_cstr(p->header);
    vt_slice row = vt_slice_cstr(p->text);
    if (!vt_passage_is_row(p) || vt_n_cells(header) != vt_n_cells(row)) return false;
    bool any = false;
    while (row.ptr != NULL) {
        vt_slice column = vt_next_cell(&header);
        vt_slice cell = vt_next_cell(&row);
        if (cell.len == 0) continue;
        vt_buffer_printf(out, any ? "; " : "");
        if (column.len > 0) vt_buffer_printf(out, "%.*s: ", VT_ARG(column));
        vt_buffer_append(out, cell);
        any = true;
    }
    return true;
}

vt_status vt_passage_render(const vt_passage *p, vt_buffer *out, vt_err *err)
{
    vt_slice heading = last_heading(p);
    vt_slice text = vt_slice_cstr(p->text);
    if (heading.len > 0 && !vt_slice_eq(heading, text))
        vt_buffer_printf(out, "%.*s: ", VT_ARG(heading));
    if (!render_row(p, out)) {
        if (p->header[0] != '\0') vt_buffer_printf(out, "%s\n", p->header);
        vt_buffer_append(out, text);
    }
    return vt_buffer_status(out, "a passage", err);
}

/* ---- candidates ---- */

static void asking_deinit(asking *a)
{
    for (size_t i = 0; i < a->n; i++) {
        vt_buffer_deinit(&a->items[i].text);
        vt_evidence_deinit(&a->items[i].evidence);
        vt_free(a->items[i].piece_text);
        vt_free(a->items[i].piece_header);
    }
    vt_free(a->items);
    vt_passages_deinit(&a->found);
}

/* A row is about something only when its own cells have a word of the question: the header and the
 * heading have the same words for all rows. */
static vt_status row_is_named(const vt_passage *p, vt_slice question, bool *yes, vt_err *err)
{
    vt_evidence cells = {0};
    vt_status st = vt_evidence_add(&cells, vt_slice_cstr(p->text), err);
    *yes = vt_evidence_subject(&cells, question).n_covered > 0;
    vt_evidence_deinit(&cells);
    return st;
}

static vt_status candidate_init(candidate *c, const vt_passage *p, const vt_piece_of *piece,
                                vt_slice question, vt_err *err)
{
    *c = (candidate){.piece = *p, .states = -INFINITY};
    vt_buffer_init(&c->text, RENDER_BYTES);
    c->piece_text = vt_strdup(piece->text);
    c->piece_header = vt_strdup(piece->intro.len > 0 ? piece->intro : vt_slice_cstr(p->header));
    if (c->piece_text == NULL || c->piece_header == NULL)
        return vt_fail(err, VT_ENOMEM, "no memory for a passage");
    c->piece.text = c->piece_text;
    c->piece.header = c->piece_header;
    c->piece.start_line = piece->start_line;
    c->piece.end_line = piece->end_line;
    const char *parts[] = {c->piece.text, c->piece.header, p->section, p->title, p->file};
    vt_status st = VT_OK;
    bool is_named = true;
    for (size_t i = 0; i < 5 && st == VT_OK; i++)
        st = vt_evidence_add(&c->evidence, vt_slice_cstr(parts[i]), err);
    if (st == VT_OK) st = vt_passage_render(&c->piece, &c->text, err);
    if (st == VT_OK && vt_passage_is_row(&c->piece))
        st = row_is_named(&c->piece, question, &is_named, err);
    c->subject = vt_evidence_subject(&c->evidence, question);
    c->is_other_row = !is_named;
    return st;
}

static bool same_table(const vt_passage *a, const vt_passage *b)
{
    return vt_passage_is_row(a) && vt_passage_is_row(b) && a->header_line == b->header_line &&
           strcmp(a->file, b->file) == 0;
}

/* A row is the wrong one when the question has a word that stands in another row of the same table
 * but not in this one, its header or its heading. */
static vt_status find_other_rows(asking *a, vt_err *err)
{
    for (size_t i = 0; i < a->n; i++) {
        vt_evidence others = {0};
        vt_status st = VT_OK;
        for (size_t k = 0; k < a->n && st == VT_OK; k++)
            if (k != i && same_table(&a->items[i].piece, &a->items[k].piece))
                st = vt_evidence_add(&others, vt_slice_cstr(a->items[k].piece.text), err);
        vt_atoms cursor = vt_atoms_of(a->question);
        vt_atom atom;
        while (st == VT_OK && vt_atoms_next(&cursor, &atom))
            if (atom.kind != VT_ATOM_FILLER && vt_evidence_has(&others, &atom) &&
                !vt_evidence_has(&a->items[i].evidence, &atom))
                a->items[i].is_other_row = true;
        vt_evidence_deinit(&others);
        if (st != VT_OK) return st;
    }
    return VT_OK;
}

static vt_status gather(asking *a, vt_err *err)
{
    const vt_source *source = &a->options->source;
    vt_status st =
        source->search(source->ctx, a->question, a->options->limits.n_search, &a->found, err);
    if (st != VT_OK || a->found.n == 0) return st;
    for (size_t i = 0; i < a->found.n && st == VT_OK; i++) {
        vt_pieces pieces = vt_pieces_of(&a->found.items[i]);
        vt_piece_of piece;
        while (st == VT_OK && vt_pieces_next(&pieces, &piece)) {
            if (!vt_grow((void **)&a->items, &a->cap, a->n + 1, sizeof a->items[0], MAX_CANDIDATES))
                return vt_fail(err, VT_ENOMEM, "no memory for the passages");
            st = candidate_init(&a->items[a->n++], &a->found.items[i], &piece, a->question, err);
        }
    }
    return st == VT_OK ? find_other_rows(a, err) : st;
}

static bool may_answer(const candidate *c)
{
    return c->subject.missing.len == 0 && !c->is_other_row && c->subject.n_covered > 0;
}

/* The unread candidate that covers most of the question; of equals the search's first. */
static candidate *next_to_read(asking *a)
{
    candidate *best = NULL;
    for (size_t i = 0; i < a->n; i++) {
        candidate *c = &a->items[i];
        if (c->was_read || !may_answer(c)) continue;
        if (best == NULL || c->subject.n_covered > best->subject.n_covered) best = c;
    }
    return best;
}

static vt_status read_candidates(asking *a, candidate **best, vt_err *err)
{
    const vt_ask_limits *limits = &a->options->limits;
    const vt_reader *reader = &a->options->reader;
    size_t n_bytes = 0;
    *best = NULL;
    for (uint32_t i = 0; i < limits->n_read; i++) {
        candidate *c = next_to_read(a);
        if (c == NULL) break;
        n_bytes += c->text.len;
        bool is_good = *best != NULL && (*best)->states >= limits->min_states;
        /* Once one is good, the others must have as many words of the question to be worth it. */
        bool is_less = is_good && c->subject.n_covered < (*best)->subject.n_covered;
        if (is_less || (is_good && n_bytes > limits->read_bytes)) break;
        vt_progress_report(a->options->progress, "reading", i, limits->n_read);
        if (vt_progress_cancelled(a->options->progress))
            return vt_fail(err, VT_ECANCEL, "cancelled while reading");
        vt_status st =
            reader->states(reader->ctx, vt_buffer_slice(&c->text), a->question, &c->states, err);
        if (st != VT_OK) return st;
        c->was_read = true;
        if (*best == NULL || c->states > (*best)->states) *best = c;
        double clear =
            limits->clear_states + (c->subject.n_covered < c->subject.n_terms ? 0.5 : 0.0);
        if (c->states >= clear) break;
    }
    return VT_OK;
}

/* ---- checking an answer ---- */

/* Small models say in words that the answer is not there. */
static bool says_nothing(vt_slice answer)
{
    static const char *const phrases[] = {
        "text does not",  "text doesn't",     "not mentioned",    "not stated",
        "not specified",  "not provided",     "not given",        "no information",
        "does not state", "does not mention", "does not specify", "does not provide",
    };
    for (size_t i = 0; i < sizeof phrases / sizeof phrases[0]; i++)
        if (vt_slice_find(answer, vt_slice_cstr(phrases[i])) < answer.len) return true;
    return answer.len == 0;
}

/* Is everything the answer claims in the passage, or in the question? *adds is false when the
 * answer has nothing that the question had not. */
static vt_status check(const asking *a, const candidate *c, vt_slice answer, vt_slice *unsupported,
                       vt_err *err)
{
    vt_evidence all = {0};
    const vt_passage *p = &c->piece;
    const char *parts[] = {p->text, p->header, p->section, p->title};
    vt_status st = VT_OK;
    for (size_t i = 0; i < 4 && st == VT_OK; i++)
        st = vt_evidence_add(&all, vt_slice_cstr(parts[i]), err);
    if (st == VT_OK) st = vt_evidence_add(&all, a->question, err);
    if (st == VT_OK) *unsupported = vt_evidence_unsupported(&all, answer, VT_STRICT_WORDS);
    vt_evidence_deinit(&all);
    return st;
}

/* Numbers and names of the answer that the question has not: do they all stand in `c`? False when
 * there are none: then another passage proves nothing. */
static vt_status corroborates(const asking *a, const candidate *c, vt_slice answer, bool *yes,
                              vt_err *err)
{
    vt_evidence asked = {0};
    size_t n = 0;
    bool all = true;
    vt_status st = vt_evidence_add(&asked, a->question, err);
    vt_atoms cursor = vt_atoms_of(answer);
    vt_atom atom;
    while (st == VT_OK && vt_atoms_next(&cursor, &atom)) {
        bool is_hard = atom.kind == VT_ATOM_NUMBER || atom.kind == VT_ATOM_NAME;
        if (!is_hard || vt_evidence_has(&asked, &atom)) continue;
        n++;
        all = all && vt_evidence_has(&c->evidence, &atom);
    }
    vt_evidence_deinit(&asked);
    *yes = n > 0 && all;
    return st;
}

/* Prose as one line: a line end inside it is a space, except before an item of a list. */
static void append_unwrapped(vt_slice text, vt_buffer *out)
{
    for (size_t i = 0; i < text.len; i++) {
        bool is_item =
            i + 2 < text.len && memchr("-*+", text.ptr[i + 1], 3) != NULL && text.ptr[i + 2] == ' ';
        vt_buffer_byte(out, text.ptr[i] == '\n' && !is_item ? ' ' : text.ptr[i]);
    }
}

/* The passage's own sentence (a row whole) that covers most of the question, appended to out. */
static vt_status own_words(const asking *a, const candidate *c, vt_buffer *out, vt_err *err)
{
    vt_buffer prose;
    vt_buffer_init(&prose, RENDER_BYTES);
    if (vt_passage_is_row(&c->piece)) vt_buffer_append(&prose, vt_buffer_slice(&c->text));
    else append_unwrapped(vt_slice_cstr(c->piece.text), &prose);
    vt_slice rest = vt_buffer_slice(&prose);
    vt_slice sentence, best = rest;
    size_t best_covered = 0;
    vt_status st = vt_buffer_status(&prose, "a passage", err);
    while (st == VT_OK && !vt_passage_is_row(&c->piece) && vt_sentence_next(&rest, &sentence)) {
        vt_evidence e = {0};
        st = vt_evidence_add(&e, sentence, err);
        size_t covered = vt_evidence_subject(&e, a->question).n_covered;
        if (covered > best_covered) {
            best_covered = covered;
            best = sentence;
        }
        vt_evidence_deinit(&e);
    }
    vt_buffer_append(out, best);
    vt_buffer_deinit(&prose);
    return st == VT_OK ? vt_buffer_status(out, "a passage's words", err) : st;
}

/* ---- citing ---- */

static vt_status cite(const asking *a, const candidate *c, vt_answer *out, size_t i_sentence,
                      vt_err *err)
{
    const vt_passage *p = &c->piece;
    const vt_source *source = &a->options->source;
    vt_slice sentence = vt_slice_cstr(out->sentences[i_sentence].text);
    vt_lines lines = {0};
    vt_buffer quote;
    size_t first = 0, last = 0, index = 0;
    vt_buffer_init(&quote, 0);
    vt_status st =
        source->lines(source->ctx, vt_slice_cstr(p->file), p->start_line, p->end_line, &lines, err);
    if (st == VT_OK && lines.n == 0)
        st = vt_fail(err, VT_ECORRUPT, "%s has no lines %lld to %lld", p->file,
                     (long long)p->start_line, (long long)p->end_line);
    if (st == VT_OK) st = vt_cite_lines(&lines, a->question, sentence, &first, &last, err);
    for (size_t i = first; st == VT_OK && i <= last; i++)
        vt_buffer_printf(&quote, "%s%s", i > first ? "\n" : "", lines.items[i].text);
    vt_buffer_append(&quote, VT_S("")); /* an empty line is a text, not NULL */
    if (st == VT_OK) st = vt_buffer_status(&quote, "a citation", err);
    if (st == VT_OK) {
        vt_citation citation = {.file = p->file,
                                .start_line = lines.items[first].number,
                                .end_line = lines.items[last].number,
                                .page = lines.items[first].page,
                                .quote = quote.ptr,
                                .verified = out->sentences[i_sentence].supported};
        st = vt_answer_add_citation(out, &citation, &index, err);
    }
    if (st == VT_OK) vt_answer_cite(out, i_sentence, index);
    vt_buffer_deinit(&quote);
    vt_lines_deinit(&lines);
    return st;
}

static vt_status offer_nearest(const asking *a, vt_answer *out, vt_err *err)
{
    vt_status st = VT_OK;
    for (size_t i = 0; i < a->found.n && i < N_NEAREST && st == VT_OK; i++) {
        const vt_passage *p = &a->found.items[i];
        vt_nearest nearest = {.file = p->file,
                              .start_line = p->start_line,
                              .end_line = p->end_line,
                              .page = p->page,
                              .text = p->text,
                              .score = p->score};
        st = vt_answer_add_nearest(out, &nearest, err);
    }
    return st;
}

/* ---- answering ---- */

/* More is asked of an answer when the passage lacks a word of the question, and much more when it
 * lacks two that are side by side: what was asked for is probably something else. Log odds. */
#define UNCOVERED_DOUBT   0.5
#define LACKED_PAIR_DOUBT 2.0

static const char not_named[] = "no line speaks of everything that the question names";
static const char not_stated[] = "the nearest lines do not state an answer";

static vt_status refuse(const asking *a, vt_answer *out, const char *reason, vt_err *err)
{
    vt_status st = offer_nearest(a, out, err);
    return st == VT_OK ? vt_answer_finish(out, reason, err) : st;
}

/* Other passages that were read, found good and hold the same numbers and names. */
static vt_status cite_others(const asking *a, const candidate *best, vt_answer *out, vt_err *err)
{
    size_t n = 0;
    for (size_t i = 0; i < a->n && n < N_CORROBORATING; i++) {
        const candidate *c = &a->items[i];
        if (c == best || !c->was_read || c->states < a->options->limits.min_states) continue;
        for (size_t k = 0; k < out->n_sentences; k++) {
            bool yes = false;
            vt_slice text = vt_slice_cstr(out->sentences[k].text);
            vt_status st = corroborates(a, c, text, &yes, err);
            if (st == VT_OK && yes) st = cite(a, c, out, k, err);
            if (st != VT_OK) return st;
            n += yes;
        }
    }
    return VT_OK;
}

/* Each sentence of `text` with the lines it stands on. */
static vt_status write_answer(const asking *a, const candidate *best, vt_slice text, vt_answer *out,
                              vt_err *err)
{
    vt_slice rest = text, sentence;
    vt_status st = VT_OK;
    while (st == VT_OK && vt_sentence_next(&rest, &sentence)) {
        size_t i = 0;
        vt_slice unsupported = {NULL, 0};
        st = vt_answer_add_sentence(out, sentence, &i, err);
        if (st == VT_OK) st = check(a, best, sentence, &unsupported, err);
        if (st == VT_OK && unsupported.ptr != NULL)
            st = vt_answer_reject(out, i, "not in the cited lines", unsupported, err);
        else if (st == VT_OK) st = cite(a, best, out, i, err);
    }
    if (st == VT_OK) st = cite_others(a, best, out, err);
    return st == VT_OK ? vt_answer_finish(out, NULL, err) : st;
}

/* ---- a second opinion ---- */

/* A passage torn from its page can mislead: "on the early shift it starts at 09:15" was said of the
 * break. So prose is read once more with the lines around it. When that gives another number or
 * name, and another passage holds it well enough to be an answer by itself, that one is right: the
 * model has then seen both. */

enum { LINES_AROUND = 10, BYTES_AROUND = 2000 };

/* Is there another passage near the best one that it could be? Without one a second reading can
 * change nothing, and is not worth its time. */
static bool has_rival(const asking *a, const candidate *best)
{
    for (size_t i = 0; i < a->n; i++) {
        const candidate *c = &a->items[i];
        bool is_near = strcmp(c->piece.file, best->piece.file) == 0 &&
                       c->piece.end_line >= best->piece.start_line - LINES_AROUND &&
                       c->piece.start_line <= best->piece.end_line + LINES_AROUND;
        if (c != best && may_answer(c) && is_near &&
            c->subject.n_covered + 1 >= best->subject.n_covered)
            return true;
    }
    return false;
}

/* Has `said` a number or name that neither the question nor `answer` has? */
static vt_status says_other(const asking *a, vt_slice answer, vt_slice said, bool *yes, vt_err *err)
{
    vt_evidence known = {0};
    vt_status st = vt_evidence_add(&known, a->question, err);
    if (st == VT_OK) st = vt_evidence_add(&known, answer, err);
    vt_atoms cursor = vt_atoms_of(said);
    vt_atom atom;
    *yes = false;
    while (st == VT_OK && vt_atoms_next(&cursor, &atom)) {
        bool is_hard = atom.kind == VT_ATOM_NUMBER || atom.kind == VT_ATOM_NAME;
        *yes = *yes || (is_hard && !vt_evidence_has(&known, &atom));
    }
    vt_evidence_deinit(&known);
    return st;
}

/* The lines around the passage, itself included, as its file has them: as many on each side as fit
 * into BYTES_AROUND. Lines may be of any length. */
static vt_status lines_around(const asking *a, const vt_passage *p, vt_buffer *out, vt_err *err)
{
    const vt_source *source = &a->options->source;
    vt_lines lines = {0};
    int64_t first = p->start_line > LINES_AROUND ? p->start_line - LINES_AROUND : 1;
    vt_status st = source->lines(source->ctx, vt_slice_cstr(p->file), first,
                                 p->end_line + LINES_AROUND, &lines, err);
    if (st != VT_OK) return st;
    size_t from = (size_t)(p->start_line - first), to = (size_t)(p->end_line - first) + 1;
    if (from > lines.n) from = lines.n; /* the file was indexed anew, shorter */
    size_t n_bytes = strlen(p->text);
    for (bool grew = true; grew;) {
        grew = false;
        if (from > 0 && n_bytes + strlen(lines.items[from - 1].text) <= BYTES_AROUND) {
            n_bytes += strlen(lines.items[--from].text);
            grew = true;
        }
        if (to < lines.n && n_bytes + strlen(lines.items[to].text) <= BYTES_AROUND) {
            n_bytes += strlen(lines.items[to++].text);
            grew = true;
        }
    }
    for (size_t i = from; i < to && i < lines.n; i++)
        vt_buffer_printf(out, "%s\n", lines.items[i].text);
    vt_lines_deinit(&lines);
    return vt_buffer_status(out, "the lines around a passage", err);
}

/* Does `c` hold what was said, and would it have done as an answer by itself? Then *confirms is its
 * own. */
static vt_status holds(const asking *a, candidate *c, vt_slice said, bool *yes, double *confirms,
                       vt_err *err)
{
    const vt_ask_limits *limits = &a->options->limits;
    const vt_reader *reader = &a->options->reader;
    vt_slice text = vt_buffer_slice(&c->text), unsupported = {NULL, 0};
    *yes = false;
    vt_status st = check(a, c, said, &unsupported, err);
    if (st != VT_OK || unsupported.ptr != NULL) return st;
    if (!c->was_read) st = reader->states(reader->ctx, text, a->question, &c->states, err);
    if (st == VT_OK) st = reader->confirms(reader->ctx, text, a->question, said, confirms, err);
    if (st != VT_OK) return st;
    c->was_read = true;
    *yes = c->states >= limits->min_states && *confirms >= limits->min_confirms &&
           c->states + *confirms >= limits->min_together;
    return st;
}

/* On return *best, `answer` and *confirms are the second opinion's where it was better. */
static vt_status second_opinion(asking *a, candidate **best, vt_buffer *answer, double *confirms,
                                vt_err *err)
{
    const vt_reader *reader = &a->options->reader;
    const char *file = (*best)->piece.file;
    vt_buffer around, said;
    bool differs = false, better = false;
    /* A row stands for itself. */
    if (vt_passage_is_row(&(*best)->piece) || !has_rival(a, *best)) return VT_OK;
    vt_buffer_init(&around, RENDER_BYTES);
    vt_buffer_init(&said, 1 << 16);
    vt_status st = lines_around(a, &(*best)->piece, &around, err);
    if (st == VT_OK)
        st = reader->answers(reader->ctx, vt_buffer_slice(&around), a->question, &said, err);
    if (st == VT_OK && !says_nothing(vt_buffer_slice(&said)))
        st = says_other(a, vt_buffer_slice(answer), vt_buffer_slice(&said), &differs, err);
    for (size_t i = 0; i < a->n && differs && !better && st == VT_OK; i++) {
        candidate *c = &a->items[i];
        double odds = 0.0;
        if (c == *best || !may_answer(c) || strcmp(c->piece.file, file) != 0) continue;
        st = holds(a, c, vt_buffer_slice(&said), &better, &odds, err);
        if (st != VT_OK || !better) continue;
        *best = c;
        *confirms = odds;
        vt_buffer_clear(answer);
        vt_buffer_append(answer, vt_buffer_slice(&said));
    }
    vt_buffer_deinit(&around);
    vt_buffer_deinit(&said);
    return st == VT_OK ? vt_buffer_status(answer, "the answer", err) : st;
}

static vt_status answer_from(asking *a, candidate *best, vt_answer *out, vt_err *err)
{
    const vt_reader *reader = &a->options->reader;
    const vt_ask_limits *limits = &a->options->limits;
    vt_slice text = vt_buffer_slice(&best->text);
    vt_slice unsupported = {NULL, 0};
    bool adds = false, misplaced = false;
    double doubt = (best->subject.n_covered < best->subject.n_terms ? UNCOVERED_DOUBT : 0.0) +
                   (best->subject.lacks_pair ? LACKED_PAIR_DOUBT : 0.0);
    vt_buffer said;
    vt_buffer_init(&said, 1 << 16);
    vt_progress_report(a->options->progress, "answering", 0, 0);
    vt_status st = reader->answers(reader->ctx, text, a->question, &said, err);
    vt_slice answer = vt_buffer_slice(&said);
    if (st == VT_OK && says_nothing(answer)) {
        st = refuse(a, out, "the model found no answer in the nearest lines", err);
        goto out;
    }
    if (st == VT_OK) st = check(a, best, answer, &unsupported, err);
    if (st == VT_OK && unsupported.ptr == NULL) {
        vt_place place = {
            .text = vt_slice_cstr(best->piece.text),
            .header = vt_slice_cstr(vt_passage_is_row(&best->piece) ? best->piece.header : "")};
        st = vt_answer_is_misplaced(&place, a->question, answer, &misplaced, err);
    }
    if (st == VT_OK && (unsupported.ptr != NULL || misplaced)) {
        vt_buffer_clear(&said);
        st = own_words(a, best, &said, err);
        answer = vt_buffer_slice(&said);
    }
    if (st == VT_OK) st = vt_evidence_adds(a->question, answer, &adds, err);
    if (st == VT_OK && adds)
        st = reader->confirms(reader->ctx, text, a->question, answer, &out->confirms, err);
    if (st != VT_OK) goto out;
    if (!adds || out->confirms < limits->min_confirms ||
        best->states + out->confirms < limits->min_together + doubt)
        st = refuse(a, out, not_stated, err);
    else {
        st = second_opinion(a, &best, &said, &out->confirms, err);
        out->states = best->states;
        if (st == VT_OK) st = write_answer(a, best, vt_buffer_slice(&said), out, err);
    }

out:
    vt_buffer_deinit(&said);
    return st;
}

vt_status vt_ask(const vt_ask_options *options, vt_slice question, vt_answer *out, vt_err *err)
{
    asking a = {.options = options, .question = vt_slice_trim(question)};
    vt_answer answer = {0};
    candidate *best = NULL;
    if (a.question.len == 0) return vt_fail(err, VT_EINPUT, "the question is empty");
    vt_status st = gather(&a, err);
    if (st == VT_OK) st = read_candidates(&a, &best, err);
    if (st != VT_OK) goto out;
    if (best != NULL) answer.states = best->states;
    if (a.n == 0) st = refuse(&a, &answer, "no line has a word of the question", err);
    else if (best == NULL) st = refuse(&a, &answer, not_named, err);
    else if (best->states < options->limits.min_states) st = refuse(&a, &answer, not_stated, err);
    else st = answer_from(&a, best, &answer, err);

out:
    asking_deinit(&a);
    if (st == VT_OK) *out = answer;
    else vt_answer_deinit(&answer);
    return st;
}
