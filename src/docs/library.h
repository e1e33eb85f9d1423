/* library.h -- folders of documents, indexed and searched as one: what `index`, `search`, `ask` and
 * the agent's document browser stand on.
 *
 *     vt_library_open  ->  vt_library_refresh  ->  vt_library_search / _lines / _documents
 *
 * Each folder has its own index (docs/index.h); scores are computed over all of them together, so
 * results from different folders compare.
 *
 * File names in results are the folder as it was given, "/", and the path below it ("./" is left
 * out), so that they can be opened from where the user is; vt_library_lines takes the same names.
 *
 * Ownership  results are owned by the caller (vt_passages_deinit, vt_lines_deinit).
 * Threads    one thread at a time per library. Several processes may use one folder at once.
 * Failure    a file that can't be read costs that file a note in the report, never the refresh. A
 *            damaged index is rebuilt with a notice in the report. */
#ifndef VT_DOCS_LIBRARY_H
#define VT_DOCS_LIBRARY_H

#include <stdint.h>

#include "base/error.h"
#include "base/progress.h"
#include "base/slice.h"
#include "docs/document.h"
#include "sandbox/sandbox.h"

typedef struct vt_library vt_library;

typedef struct {
    const char *data_dir;      /* for the index of a folder that can't be written; NULL: refused */
    const vt_sandbox *sandbox; /* for PDF; NULL: each PDF gets an error note. Borrowed. */
    vt_doc_limits limits;
} vt_library_options;

/* A file that was left out or failed, and why. */
typedef struct {
    char *file;
    char *reason;
    bool is_error; /* false: skipped on purpose (binary, hidden, link) */
} vt_note;

typedef struct {
    uint64_t n_documents; /* in the index now; likewise passages and lines */
    uint64_t n_passages;
    uint64_t n_lines;
    uint64_t n_added, n_updated, n_renamed, n_removed, n_unchanged;
    uint64_t n_skipped, n_errors; /* all of them, also where `notes` had to stop */
    vt_note *notes;               /* at most VT_REPORT_NOTES, in the order of the walk */
    size_t n_notes;
    size_t cap_notes;
    bool was_rebuilt; /* an index was damaged or of another version */
    double seconds;
} vt_report;
enum { VT_REPORT_NOTES = 10000 };

/* A piece of a document that can answer: a paragraph, a row, an item, some lines of code. */
typedef struct {
    char *file;
    int64_t start_line, end_line; /* from 1, inclusive */
    int page;                     /* of start_line; 0: no pages */
    double score;                 /* 0 to 1: share of the best score possible for this query */
    char *title;                  /* of the document; "" none, as below */
    char *section;                /* "Maintenance > Weekly checks" */
    char *header;        /* a table row's header row, a list item's introduction; <= 1000 bytes */
    char *text;          /* rows as "cell | cell"; lines joined by \n */
    int64_t header_line; /* of `header`; 0: none */
} vt_passage;

typedef struct {
    vt_passage *items;
    size_t n;
} vt_passages;

typedef struct {
    int64_t number;
    int page;
    char *text;
} vt_line;

typedef struct {
    vt_line *items;
    size_t n;
    int64_t n_total; /* lines in the document */
    char *title;
    char *section; /* that holds the first line; "" none */
} vt_lines;

typedef struct {
    char *file;
    vt_doc_kind kind;
    char *title;
    int64_t n_lines, n_pages, n_passages;
    uint64_t n_bytes;
} vt_doc_info;

typedef struct {
    vt_doc_info *items;
    size_t n;
} vt_doc_infos;

/* Opens (or creates) the index of each folder; reads no document yet. */
VT_MUSTUSE vt_status vt_library_open(const char *const *folders, size_t n_folders,
                                     const vt_library_options *options, vt_library **out,
                                     vt_err *err);
void vt_library_close(vt_library *lib);

/* Brings every index up to date with its folder. Unchanged files cost one stat. Cancelled, what was
 * done so far stays done (VT_ECANCEL). `report` is filled in either case; progress and report may
 * be NULL. */
VT_MUSTUSE vt_status vt_library_refresh(vt_library *lib, const vt_progress *progress,
                                        vt_report *report, vt_err *err);
void vt_report_deinit(vt_report *report);

/* The best k passages for a question or some words, best first; equal scores by file and line. Any
 * text is a query: nothing in it is syntax. No match is VT_OK with n == 0. */
VT_MUSTUSE vt_status vt_library_search(vt_library *lib, vt_slice query, size_t k, vt_passages *out,
                                       vt_err *err);
void vt_passages_deinit(vt_passages *passages);

/* Lines first to last (from 1, inclusive; past the end is cut) of a document. VT_ENOTFOUND when the
 * file isn't indexed or has no such line. */
VT_MUSTUSE vt_status vt_library_lines(vt_library *lib, vt_slice file, int64_t first, int64_t last,
                                      vt_lines *out, vt_err *err);
void vt_lines_deinit(vt_lines *lines);

/* Every document, by name. */
VT_MUSTUSE vt_status vt_library_documents(vt_library *lib, vt_doc_infos *out, vt_err *err);
void vt_doc_infos_deinit(vt_doc_infos *infos);

#endif
