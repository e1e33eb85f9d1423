/* source.h -- where an agent's passages and lines come from: a library of folders, or a list in a
 * test. The functions are those of docs/library.h. */
#ifndef VT_AGENT_SOURCE_H
#define VT_AGENT_SOURCE_H

#include "docs/library.h"

typedef struct {
    vt_status (*search)(void *ctx, vt_slice query, size_t k, vt_passages *out, vt_err *err);
    vt_status (*lines)(void *ctx, vt_slice file, int64_t first, int64_t last, vt_lines *out,
                       vt_err *err);
    vt_status (*documents)(void *ctx, vt_doc_infos *out, vt_err *err);
    void *ctx;
} vt_source;

vt_source vt_library_source(vt_library *lib);

#endif
