/* docstore.h -- one document into the index and out of it: the rows of index.h's tables. Called
 * inside a transaction that the caller holds.
 *
 * Ownership  a vt_docstore keeps prepared statements; close it before the database.
 * Threads    one thread at a time. */
#ifndef VT_DOCS_DOCSTORE_H
#define VT_DOCS_DOCSTORE_H

#include "base/hash.h"
#include "docs/index.h"

enum { VT_DOCSTORE_STATEMENTS = 12 };

typedef struct {
    const vt_index *ix;
    sqlite3_stmt *statements[VT_DOCSTORE_STATEMENTS];
} vt_docstore;

/* A file as it was when it was looked at. */
typedef struct {
    vt_slice path;
    int64_t size, mtime_ns, inode;
    int64_t checked_ns; /* when */
    bool has_sha256;
    uint8_t sha256[VT_SHA256_BYTES];
    vt_file_outcome outcome;
    vt_doc_kind kind;
    const char *reason; /* NULL for VT_FILE_READ */
} vt_docstore_file;

VT_MUSTUSE vt_status vt_docstore_open(vt_docstore *store, const vt_index *ix, vt_err *err);
void vt_docstore_close(vt_docstore *store);

/* Adds the file; doc is NULL unless it was read. A row of the same path must be removed first. */
VT_MUSTUSE vt_status vt_docstore_add(vt_docstore *store, const vt_docstore_file *file,
                                     const vt_document *doc, vt_err *err);

/* Removes a document and all that hangs on it. */
VT_MUSTUSE vt_status vt_docstore_remove(vt_docstore *store, int64_t id, vt_err *err);

/* Gives document `id` a new path and stat; its content is the same. */
VT_MUSTUSE vt_status vt_docstore_touch(vt_docstore *store, int64_t id, const vt_docstore_file *file,
                                       vt_err *err);

/* *id is 0 when the path isn't there; *is_same: it was read and has this SHA-256. */
VT_MUSTUSE vt_status vt_docstore_find(vt_docstore *store, const vt_docstore_file *file, int64_t *id,
                                      bool *is_same, vt_err *err);

#endif
