/* catalogue.h -- models known by name: where their publishers have them, what the file must be,
 * under which licence, and how the publisher samples from them. Compiled in; adding a model is one
 * entry.
 *
 * Addresses are the publishers' own; other sources of the same bytes are not vetro's business: a
 * local file with the right digest is recognised (vt_catalogue_by_digest).
 *
 * Threads  constants: safe. */
#ifndef VT_MODEL_CATALOGUE_H
#define VT_MODEL_CATALOGUE_H

#include <stddef.h>

#include "model/gguf.h"
#include "model/sampling.h"

typedef struct {
    const char *name;
    const char *title;
    const char *url; /* NULL: no public address without an account */
    const char *file_name;
    uint64_t n_bytes;
    const char *sha256; /* hexadecimal */
    const char *licence;
    const char *terms; /* shown before the model is used first; NULL: a free licence, named */
    vt_sampling sampling;
    const char *sampling_source;
    const char *caveat; /* what is in the way of pulling and running it; NULL: nothing */
} vt_catalogue_entry;

const vt_catalogue_entry *vt_catalogue_all(size_t *n);
const vt_catalogue_entry *vt_catalogue_find(vt_slice name);        /* NULL: not in it */
const vt_catalogue_entry *vt_catalogue_by_digest(vt_slice sha256); /* hexadecimal */

/* How to sample from a model, and who says so (*source: a sentence, constant). In this order: its
 * catalogue entry (may be NULL), what the file's own metadata says (general.sampling.*), what the
 * publisher of its family says, else greedy. */
vt_sampling vt_catalogue_sampling(const vt_catalogue_entry *entry, const vt_gguf *g,
                                  const char **source);

#endif
