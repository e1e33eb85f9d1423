/* documents.c -- see documents.h. */
#include "cli/documents.h"

#include <stdio.h>

#include "base/alloc.h"
#include "base/env.h"

int vt_cli_documents_open(const char *const *folders, size_t n, vt_cli_documents *out)
{
    static const char *const here[] = {"."};
    vt_err err = {0};
    char *data_dir = NULL;
    *out = (vt_cli_documents){0};
    /* Without a home directory only folders that can be written have an index. */
    if (vt_env_dir(VT_DIR_DATA, &data_dir, NULL) != VT_OK) data_dir = NULL;
    vt_status st = vt_sandbox_open(NULL, &out->sandbox, &err);
    vt_library_options options = {.data_dir = data_dir, .sandbox = out->sandbox};
    if (st == VT_OK)
        st = vt_library_open(n > 0 ? folders : here, n > 0 ? n : 1, &options, &out->library, &err);
    vt_free(data_dir);
    if (st == VT_OK) return VT_EXIT_OK;
    vt_cli_documents_close(out);
    return vt_cli_fail(&err, NULL);
}

void vt_cli_documents_close(vt_cli_documents *docs)
{
    vt_library_close(docs->library);
    vt_sandbox_close(docs->sandbox);
    *docs = (vt_cli_documents){0};
}

static void print_errors(const vt_report *report)
{
    uint64_t n_named = 0;
    for (size_t i = 0; i < report->n_notes; i++) {
        const vt_note *note = &report->notes[i];
        if (!note->is_error) continue;
        fputs("vetro: ", stderr);
        vt_cli_print_safe(stderr, vt_slice_cstr(note->file), false);
        fputs(": ", stderr);
        vt_cli_print_safe(stderr, vt_slice_cstr(note->reason), false);
        fputc('\n', stderr);
        n_named++;
    }
    if (report->n_errors > n_named)
        vt_cli_note("vetro: %llu more files could not be read",
                    (unsigned long long)(report->n_errors - n_named));
}

int vt_cli_documents_refresh(vt_cli_documents *docs, vt_report *report)
{
    vt_err err = {0};
    vt_cli_progress bar;
    vt_cli_interrupt_flag();
    vt_cli_progress_begin(&bar);
    vt_status st = vt_library_refresh(docs->library, &bar.progress, report, &err);
    vt_cli_progress_end(&bar);
    if (report->was_rebuilt)
        vt_cli_note("vetro: the index was damaged or of another version: built anew");
    print_errors(report);
    if (st == VT_OK) return VT_EXIT_OK;
    if (st == VT_ECANCEL) vt_cli_note("vetro: stopped; what was indexed so far is kept");
    return vt_cli_fail(&err, NULL);
}
