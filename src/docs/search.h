/* search.h -- ranking over the indexes of a library; see vt_library_search. */
#ifndef VT_DOCS_SEARCH_H
#define VT_DOCS_SEARCH_H

#include "docs/index.h"

VT_MUSTUSE vt_status vt_search(vt_index *indexes, size_t n_indexes, vt_slice text, size_t k,
                               vt_passages *out, vt_err *err);

#endif
