/* source.c -- a library as a source. See source.h. */
#include "agent/source.h"

static vt_status library_search(void *ctx, vt_slice query, size_t k, vt_passages *out, vt_err *err)
{
    return vt_library_search(ctx, query, k, out, err);
}

static vt_status library_lines(void *ctx, vt_slice file, int64_t first, int64_t last, vt_lines *out,
                               vt_err *err)
{
    return vt_library_lines(ctx, file, first, last, out, err);
}

static vt_status library_documents(void *ctx, vt_doc_infos *out, vt_err *err)
{
    return vt_library_documents(ctx, out, err);
}

vt_source vt_library_source(vt_library *lib)
{
    return (vt_source){.search = library_search,
                       .lines = library_lines,
                       .documents = library_documents,
                       .ctx = lib};
}
