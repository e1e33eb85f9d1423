/* placed.c -- see placed.h. */
#include "agent/placed.h"

#include "agent/answer.h"
#include "base/buffer.h"

enum { MAX_PARTS = 64, TEXT_BYTES = 1 << 20 };

typedef struct {
    vt_slice items[MAX_PARTS];
    size_t n;
} parts;

/* ---- cells ---- */

vt_slice vt_next_cell(vt_slice *row)
{
    vt_slice mark = VT_S(" | ");
    size_t at = vt_slice_find(*row, mark);
    vt_slice cell = vt_slice_trim(vt_slice_take(*row, at));
    *row = at < row->len ? vt_slice_skip(*row, at + mark.len) : (vt_slice){NULL, 0};
    return cell;
}

size_t vt_n_cells(vt_slice row)
{
    size_t n = 0;
    while (row.ptr != NULL) {
        vt_next_cell(&row);
        n++;
    }
    return n;
}

/* ---- counting ---- */

/* How many words, names and numbers of the question `text` has. Words of asking count here when
 * `with_filler`: "price" is a column. */
static vt_status count_asked(vt_slice question, vt_slice text, bool with_filler, size_t *n,
                             vt_err *err)
{
    vt_evidence e = {0};
    vt_status st = vt_evidence_add(&e, text, err);
    vt_atoms cursor = vt_atoms_of(question);
    vt_atom atom;
    *n = 0;
    while (st == VT_OK && vt_atoms_next(&cursor, &atom)) {
        vt_slice word = vt_slice_of(question.ptr + atom.start, atom.end - atom.start);
        bool is_small = word.len < 4;
        if (atom.kind == VT_ATOM_FILLER && (!with_filler || is_small)) continue;
        if (vt_evidence_has(&e, &atom)) (*n)++;
    }
    vt_evidence_deinit(&e);
    return st;
}

/* Has `text` a number, or a name, that the answer claims and the question has not? */
static vt_status has_claim(vt_slice text, vt_slice question, vt_slice answer, bool *has,
                           vt_err *err)
{
    vt_evidence asked = {0}, here = {0};
    vt_status st = vt_evidence_add(&asked, question, err);
    if (st == VT_OK) st = vt_evidence_add(&here, text, err);
    vt_atoms cursor = vt_atoms_of(answer);
    vt_atom atom;
    *has = false;
    while (st == VT_OK && vt_atoms_next(&cursor, &atom)) {
        bool is_hard = atom.kind == VT_ATOM_NUMBER || atom.kind == VT_ATOM_NAME;
        if (is_hard && !vt_evidence_has(&asked, &atom) && vt_evidence_has(&here, &atom))
            *has = true;
    }
    vt_evidence_deinit(&asked);
    vt_evidence_deinit(&here);
    return st;
}

static bool has_number(vt_slice text)
{
    vt_atoms cursor = vt_atoms_of(text);
    vt_atom atom;
    while (vt_atoms_next(&cursor, &atom))
        if (atom.kind == VT_ATOM_NUMBER) return true;
    return false;
}

/* ---- rows ---- */

static vt_status in_wrong_column(const vt_place *place, vt_slice question, vt_slice answer,
                                 bool *wrong, vt_err *err)
{
    vt_slice header = place->header, row = place->text;
    size_t claimed = 0, best = 0;
    bool any = false;
    if (vt_n_cells(header) != vt_n_cells(row)) return VT_OK;
    while (row.ptr != NULL) {
        vt_slice column = vt_next_cell(&header);
        vt_slice cell = vt_next_cell(&row);
        bool is_claimed = false;
        size_t n = 0;
        vt_status st = count_asked(question, column, true, &n, err);
        if (st == VT_OK) st = has_claim(cell, question, answer, &is_claimed, err);
        if (st != VT_OK) return st;
        if (is_claimed) {
            any = true;
            claimed = n > claimed ? n : claimed;
        } else if (cell.len > 0) best = n > best ? n : best;
    }
    *wrong = any && best > claimed;
    return VT_OK;
}

/* ---- sentences ---- */

static bool add_part(parts *p, vt_slice part)
{
    if (p->n >= MAX_PARTS) return false;
    p->items[p->n++] = part;
    return true;
}

/* The length of a separator of parts at the start of s: a comma or semicolon with a space, "and",
 * "but", "while". */
static size_t separator(vt_slice s)
{
    static const char *const marks[] = {", ", "; ", ": ", " and ", " but ", " while "};
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++)
        if (vt_slice_starts(s, vt_slice_cstr(marks[i]))) return strlen(marks[i]);
    return 0;
}

static void split_clauses(vt_slice sentence, parts *out)
{
    size_t start = 0;
    out->n = 0;
    for (size_t i = 0; i < sentence.len;) {
        size_t n = separator(vt_slice_skip(sentence, i));
        if (n == 0) {
            i++;
            continue;
        }
        if (i > start && !add_part(out, vt_slice_of(sentence.ptr + start, i - start))) return;
        i += n;
        start = i;
    }
    if (start < sentence.len) add_part(out, vt_slice_skip(sentence, start));
}

/* Has part b a word of the question that part a lacks? */
static vt_status has_more(vt_slice question, vt_slice a, vt_slice b, bool *more, vt_err *err)
{
    vt_evidence ea = {0}, eb = {0};
    vt_status st = vt_evidence_add(&ea, a, err);
    if (st == VT_OK) st = vt_evidence_add(&eb, b, err);
    vt_atoms cursor = vt_atoms_of(question);
    vt_atom atom;
    *more = false;
    while (st == VT_OK && vt_atoms_next(&cursor, &atom))
        if (atom.kind != VT_ATOM_FILLER && vt_evidence_has(&eb, &atom) &&
            !vt_evidence_has(&ea, &atom))
            *more = true;
    vt_evidence_deinit(&ea);
    vt_evidence_deinit(&eb);
    return st;
}

static vt_status in_wrong_clause(vt_slice sentence, vt_slice question, vt_slice answer, bool *wrong,
                                 vt_err *err)
{
    parts clauses;
    split_clauses(sentence, &clauses);
    for (size_t i = 0; i < clauses.n; i++) {
        bool is_claimed = false;
        size_t n_own = 0;
        vt_slice own = clauses.items[i];
        vt_status st = has_claim(own, question, answer, &is_claimed, err);
        if (st == VT_OK) st = count_asked(question, own, false, &n_own, err);
        for (size_t k = 0; k < clauses.n && st == VT_OK && is_claimed; k++) {
            bool also = false, more = false;
            if (k == i || !has_number(clauses.items[k])) continue;
            st = has_claim(clauses.items[k], question, answer, &also, err);
            if (st == VT_OK) st = has_more(question, own, clauses.items[k], &more, err);
            if (st == VT_OK && !also && more && (k > i || n_own == 0)) *wrong = true;
        }
        if (st != VT_OK) return st;
    }
    return VT_OK;
}

vt_status vt_answer_is_misplaced(const vt_place *place, vt_slice question, vt_slice answer,
                                 bool *misplaced, vt_err *err)
{
    *misplaced = false;
    if (place->header.len > 0 && vt_slice_find(place->text, VT_S(" | ")) < place->text.len)
        return in_wrong_column(place, question, answer, misplaced, err);
    vt_buffer prose;
    vt_buffer_init(&prose, TEXT_BYTES);
    for (size_t i = 0; i < place->text.len; i++)
        vt_buffer_byte(&prose, place->text.ptr[i] == '\n' ? ' ' : place->text.ptr[i]);
    vt_status st = vt_buffer_status(&prose, "a passage", err);
    vt_slice rest = vt_buffer_slice(&prose), sentence;
    while (st == VT_OK && vt_sentence_next(&rest, &sentence))
        st = in_wrong_clause(sentence, question, answer, misplaced, err);
    vt_buffer_deinit(&prose);
    return st;
}
