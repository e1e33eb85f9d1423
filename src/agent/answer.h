/* answer.h -- an answer with its citations: what both ways of answering (ask.h, browse.h) give, and
 * what the command line and the server show.
 *
 * Every sentence is either supported, by citations that were checked, or marked as unsupported with
 * the reason. A citation is verified when its lines exist, were shown to the model, and hold the
 * numbers, names and quoted words of the sentence (together with their heading, header row and the
 * question).
 *
 * Ownership  an answer owns everything in it: vt_answer_deinit.
 * Threads    one thread at a time. */
#ifndef VT_AGENT_ANSWER_H
#define VT_AGENT_ANSWER_H

#include <stdint.h>

#include "base/error.h"
#include "base/slice.h"

typedef struct {
    char *file;
    int64_t start_line, end_line; /* from 1, inclusive */
    int page;                     /* of start_line; 0: the format has no pages */
    char *quote;                  /* the lines, joined by \n */
    bool verified;
} vt_citation;

enum { VT_SENTENCE_CITATIONS = 8 };

typedef struct {
    char *text;
    bool supported;
    char *problem; /* why not; NULL when supported */
    size_t citations[VT_SENTENCE_CITATIONS];
    size_t n_citations;
} vt_sentence;

/* Lines offered when there is no answer, or beside it. */
typedef struct {
    char *file;
    int64_t start_line, end_line;
    int page;
    char *text;
    double score; /* the search's, 0 to 1 */
} vt_nearest;

typedef struct {
    bool answered;
    char *answer; /* the sentences, joined; "not in your documents" when there is none */
    char *reason; /* for people: why it is not answered, or what was left out; NULL: nothing */
    vt_sentence *sentences;
    size_t n_sentences, cap_sentences;
    vt_citation *citations;
    size_t n_citations, cap_citations;
    vt_nearest *nearest;
    size_t n_nearest, cap_nearest;
    double states, confirms; /* log odds that decided (ask.h); 0: not asked */
} vt_answer;

void vt_answer_deinit(vt_answer *a);

/* Builders. Texts are copied; indexes are returned through *i (may be NULL). */
VT_MUSTUSE vt_status vt_answer_add_sentence(vt_answer *a, vt_slice text, size_t *i, vt_err *err);
/* Mark sentence i as unsupported. */
VT_MUSTUSE vt_status vt_answer_reject(vt_answer *a, size_t i, const char *problem, vt_slice what,
                                      vt_err *err);
/* The same file and lines again are the same citation. */
VT_MUSTUSE vt_status vt_answer_add_citation(vt_answer *a, const vt_citation *citation, size_t *i,
                                            vt_err *err);
/* False when the sentence has as many as it can. */
bool vt_answer_cite(vt_answer *a, size_t i_sentence, size_t i_citation);
VT_MUSTUSE vt_status vt_answer_add_nearest(vt_answer *a, const vt_nearest *nearest, vt_err *err);
/* Ends the answer: joins the sentences, or says that there is none, and why. */
VT_MUSTUSE vt_status vt_answer_finish(vt_answer *a, const char *reason, vt_err *err);

/* Takes the first sentence off *rest. False when nothing but space is left. */
bool vt_sentence_next(vt_slice *rest, vt_slice *sentence);

#endif
