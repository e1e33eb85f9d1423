/* documents.h -- how commands get at folders of documents: sandbox, indexes and their refresh.
 * Failures are printed here; a command returns the exit code it is given. */
#ifndef VT_CLI_DOCUMENTS_H
#define VT_CLI_DOCUMENTS_H

#include "cli/cli.h"
#include "docs/library.h"

typedef struct {
    vt_sandbox *sandbox;
    vt_library *library;
} vt_cli_documents;

/* Opens the folders' indexes; none given (n == 0): the current folder's. */
int vt_cli_documents_open(const char *const *folders, size_t n, vt_cli_documents *out);
void vt_cli_documents_close(vt_cli_documents *docs);

/* Brings the indexes up to date, with a progress bar and Ctrl-C. Files that failed are named on
 * stderr, a line each. Free the report with vt_report_deinit. */
int vt_cli_documents_refresh(vt_cli_documents *docs, vt_report *report);

#endif
