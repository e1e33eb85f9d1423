/* constraint.h -- which tokens may come next, as a state machine over token ids.
 *
 *     vt_constraint_allowed(c)       what may come
 *     vt_constraint_accept(c, id)    it came
 *
 * Most of the time a constraint forbids few tokens (inside text: the control tokens) or allows few
 * (inside a header); it tells which. vt_constraint_for_generate makes it a constraint of the decode
 * loop (generate.h).
 *
 * Ownership  a constraint borrows its tokenizer. What vt_constraint_allowed returns is valid until
 * the next accept.
 * Threads    one thread at a time. */
#ifndef VT_ENGINE_CONSTRAINT_H
#define VT_ENGINE_CONSTRAINT_H

#include "engine/generate.h"

typedef struct vt_constraint vt_constraint;

typedef enum { VT_ALLOW_ALL_BUT, VT_ALLOW_ONLY } vt_allow_kind;

typedef struct {
    vt_allow_kind kind;
    const int32_t *ids; /* ascending */
    size_t n;
    size_t n_vocab; /* ids from here on are never allowed (rows that no token has) */
} vt_allowed;

/* What a kind of constraint consists of; a constraint's own struct begins with a vt_constraint. */
typedef struct {
    vt_allowed (*allowed)(const vt_constraint *c);
    void (*accept)(vt_constraint *c, int32_t id); /* id is allowed */
    void (*free)(vt_constraint *c);
    /* May be NULL: then only an id that is the only one is foreseen. Changes nothing. */
    size_t (*foresee)(vt_constraint *c, int32_t *ids, size_t n_most);
} vt_constraint_ops;

struct vt_constraint {
    const vt_constraint_ops *ops;
    uint64_t *words; /* the mask of vt_constraint_for_generate; NULL before it */
    size_t n_rows;
};

vt_allowed vt_constraint_allowed(const vt_constraint *c);
bool vt_constraint_allows(const vt_constraint *c, int32_t id);

/* The only id that is allowed, or -1. */
int32_t vt_constraint_forced(const vt_constraint *c);

/* The ids that must come next, as far as this can be told without the model, or are likely to
 * because the text must: at most n_most; returns how many. For speculation (draft.h). */
size_t vt_constraint_foresee(vt_constraint *c, int32_t *ids, size_t n_most);

/* False when the id is not allowed; nothing is changed then. */
bool vt_constraint_accept(vt_constraint *c, int32_t id);

/* A bit for each of n_rows tokens: bit id % 64 of word id / 64. */
void vt_constraint_fill(const vt_constraint *c, uint64_t *words, size_t n_rows);

/* As the decode loop wants it, for a model with n_rows logits. *out borrows the constraint. */
VT_MUSTUSE vt_status vt_constraint_for_generate(vt_constraint *c, size_t n_rows,
                                                vt_generate_constraint *out, vt_err *err);

void vt_constraint_free(vt_constraint *c); /* NULL is fine */

#endif
