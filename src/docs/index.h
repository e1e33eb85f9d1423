/* index.h -- the index of one folder: a SQLite database with its documents, their passages and
 * lines, and a full-text table over the passages. Used through docs/library.h.
 *
 * Where     FOLDER/.vetro/index.db when the folder can be written, else
 *           DATA/index/<SHA-256 of the folder's canonical path>.db
 * Format    schema VT_INDEX_VERSION; another version, other word rules (words.h) or a damaged file
 *           means that it is built anew: everything in it comes from the folder.
 * Crash     WAL; a batch of files is one transaction. Killed at any time, the index holds whole
 *           files only and the next refresh goes on from there.
 * Safety    a database that came with a folder is not trusted: no triggers or functions of its own
 *           run (DEFENSIVE, trusted_schema off), a link in its place is not followed, and cells are
 *           size-checked.
 *
 *   document  one row per file that was looked at: identity, outcome, counts
 *   label     section paths and header rows, shared by passages
 *   passage   what search finds
 *   chunk     the lines, in pieces of at most 64 that don't cross a page
 *   fts       FTS5, contentless: text | context (title, section, header row); tokens are stems */
#ifndef VT_DOCS_INDEX_H
#define VT_DOCS_INDEX_H

#include <sqlite3.h>

#include "docs/library.h"

enum { VT_INDEX_VERSION = 1, VT_CHUNK_LINES = 64, VT_CHUNK_BYTES = 32 << 10 };

typedef enum { VT_FILE_READ, VT_FILE_SKIPPED, VT_FILE_FAILED } vt_file_outcome;

typedef struct {
    char *given; /* the folder as the caller named it; "" for "." */
    char *path;  /* canonical */
    char *db_path;
    int dirfd;
    sqlite3 *db;
    bool was_rebuilt;
} vt_index;

VT_MUSTUSE vt_status vt_index_open(const char *folder, const vt_library_options *options,
                                   vt_index *out, vt_err *err);
void vt_index_close(vt_index *ix);

/* After VT_ECORRUPT: deletes the database and makes an empty one. */
VT_MUSTUSE vt_status vt_index_rebuild(vt_index *ix, vt_err *err);

/* One folder's part of vt_library_refresh; adds to the report. */
VT_MUSTUSE vt_status vt_index_refresh(vt_index *ix, const vt_library_options *options,
                                      const vt_progress *progress, vt_report *report, vt_err *err);

/* VT_ECORRUPT for a damaged database, VT_ENOMEM, VT_EIO otherwise; the message says what `doing`
 * failed and SQLite's reason. */
vt_status vt_index_fail(const vt_index *ix, int rc, const char *doing, vt_err *err);

VT_MUSTUSE vt_status vt_index_prepare(const vt_index *ix, const char *sql, sqlite3_stmt **out,
                                      vt_err *err);

/* The name of a document for results: the folder as given and its path below. NULL: no memory. */
char *vt_index_shown_name(const vt_index *ix, vt_slice path);

/* A note in the report; counts it too. False when memory ran out (it is counted still). */
bool vt_report_note(vt_report *report, char *file, const char *reason, bool is_error);

/* Registers words.h as FTS5's tokenizer "vetro". SQLite result code. */
int vt_tokenizer_register(sqlite3 *db);

#endif
