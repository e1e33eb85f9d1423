/* evidence.h -- what a text says that can be checked without a model: its numbers, names and words,
 * in a normal form, so that "1,480", "1480" and "1480.0", "three" and "3", "5:30 pm" and "17:30",
 * "EUR", "euros" and the euro sign, "Tue" and "Tuesday" are each the same.
 *
 * Two questions are answered here, both by code alone:
 *   - Does a candidate passage speak of the thing that was asked about? (vt_evidence_subject) The
 *     right thing asked of the wrong object is what small models fall for most.
 *   - Does everything that an answer claims stand in its evidence? (vt_evidence_supports)
 *
 * What it can't see: whether the words are put together rightly ("A pays B" for "B pays A"). That
 * is for the model's own check (agent/answer.c).
 *
 * Limits     irregular verbs, number words, units and names of days are English; other languages
 *            get stems as they are, which is stricter.
 * Ownership  an evidence copies what it is given.
 * Threads    one thread at a time. */
#ifndef VT_AGENT_EVIDENCE_H
#define VT_AGENT_EVIDENCE_H

#include "base/error.h"
#include "base/slice.h"
#include "docs/words.h"

typedef enum {
    VT_ATOM_WORD,   /* a word with meaning, stemmed */
    VT_ATOM_NAME,   /* a capitalised word inside a sentence, or one with digits in it */
    VT_ATOM_NUMBER, /* canonical decimal, "17:30" for a time of day */
    VT_ATOM_FILLER, /* "the", "is", "how": carries nothing that could be wrong */
} vt_atom_kind;

typedef struct {
    char text[VT_WORD_MAX + 1]; /* normal form */
    vt_atom_kind kind;
    bool is_bare;      /* NUMBER: a plain integer with nothing glued to it */
    size_t start, end; /* bytes of the text it came from */
} vt_atom;

/* A cursor over the atoms of a text, in order. */
typedef struct {
    vt_slice text;
    size_t at;
    bool at_sentence_start;
    vt_atom queued[2]; /* a date in digits gives three atoms */
    size_t n_queued;
} vt_atoms;

vt_atoms vt_atoms_of(vt_slice text);
bool vt_atoms_next(vt_atoms *a, vt_atom *out);

typedef struct {
    vt_atom *items;
    size_t n;
    size_t cap;
} vt_evidence;

enum { VT_EVIDENCE_ATOMS = 1 << 20 };

void vt_evidence_deinit(vt_evidence *e);
VT_MUSTUSE vt_status vt_evidence_add(vt_evidence *e, vt_slice text, vt_err *err);
/* Is this number, name or word in it? Words match by stem, and by a shared beginning of at least
 * four letters when one is the beginning of the other ("train", "trainer"). */
bool vt_evidence_has(const vt_evidence *e, const vt_atom *atom);

/* What of `answer` is not in the evidence: the first number, name or quoted text, and with
 * VT_STRICT_WORDS the first longer word (five letters and more) too, as a slice of the answer;
 * empty (ptr NULL) when all of it is. */
typedef enum { VT_STRICT_NAMES, VT_STRICT_WORDS } vt_strictness;
vt_slice vt_evidence_unsupported(const vt_evidence *e, vt_slice answer, vt_strictness strictness);

/* Does the answer say something that the question did not? A number when it asks how many or how
 * much; something else than numbers when it asks who or where. True for questions that are answered
 * with yes or no. */
VT_MUSTUSE vt_status vt_evidence_adds(vt_slice question, vt_slice answer, bool *adds, vt_err *err);

/* How well a passage's evidence covers a question. */
typedef struct {
    size_t n_terms;   /* words, names and numbers of the question that carry meaning */
    size_t n_covered; /* of them, in the evidence */
    bool lacks_pair;  /* two words that are side by side ("sports hall") are both not there */
    vt_slice missing; /* the first name or number of the question that is not there, or a name
                         and number side by side ("Corvin 7") that stand apart in the evidence;
                         empty: none */
} vt_subject;
vt_subject vt_evidence_subject(const vt_evidence *e, vt_slice question);

#endif
