/* extract.h -- files to documents (document.h).
 *
 * vt_extract_file reads an open file and calls the format's extractor; the extractors themselves
 * are pure: bytes in, lines out, no files, so that they can be fuzzed. On failure the document is
 * empty and only needs vt_document_deinit.
 *
 * Failure  VT_EUNSUPPORTED: not a document (binary, an unknown format): to be skipped. VT_EINPUT,
 * VT_ELIMIT, VT_EIO: the file is at fault or over a limit. VT_ENOTFOUND: a program that reads this
 * format isn't installed. VT_EREFUSED: there is no sandbox for it. Threads safe. */
#ifndef VT_DOCS_EXTRACT_H
#define VT_DOCS_EXTRACT_H

#include "docs/document.h"
#include "sandbox/sandbox.h"

typedef struct {
    vt_doc_limits limits;
    const vt_sandbox *sandbox; /* for PDF; NULL: VT_EREFUSED */
    const atomic_bool *is_cancelled;
} vt_extract_options;

/* Which extractor a file name asks for; false: none, and *reason (static) says why. A name without
 * or with an unknown extension counts as text. */
bool vt_extract_kind(vt_slice name, vt_doc_kind *kind, const char **reason);

/* `bytes` is the whole file; fd is the same file, for readers in the sandbox. */
VT_MUSTUSE vt_status vt_extract_file(int fd, vt_slice bytes, vt_slice name,
                                     const vt_extract_options *options, vt_document *out,
                                     vt_err *err);

/* Plain text, Markdown, source code (UTF-8): each line of the file is a line. */
VT_MUSTUSE vt_status vt_extract_text(vt_slice text, vt_doc_kind kind, const vt_doc_limits *limits,
                                     vt_document *out, vt_err *err);

/* CSV and relatives (UTF-8), quoting as RFC 4180: a row may span lines. `delimiter` 0: whichever of
 * , ; tab | fits the first rows best. The first row is the header unless it holds a number or an
 * empty cell. A quote that nothing closes counts as a character. */
VT_MUSTUSE vt_status vt_extract_table(vt_slice text, char delimiter, const vt_doc_limits *limits,
                                      vt_document *out, vt_err *err);

/* The cells of one row, "cell | cell", line ends inside a cell as spaces. */
bool vt_table_row(vt_slice row, char delimiter, vt_buffer *out);

/* HTML (UTF-8). Script, style and template are dropped; nothing is loaded, no entity is expanded
 * but the characters that HTML names. Headings open sections, table rows become "cell | cell", a
 * paragraph becomes a line, or several that end with sentences. */
VT_MUSTUSE vt_status vt_extract_html(vt_slice text, const vt_doc_limits *limits, vt_document *out,
                                     vt_err *err);

/* What `pdftotext -layout` printed: pages end with a form feed. */
VT_MUSTUSE vt_status vt_extract_pdf_text(vt_slice text, const vt_doc_limits *limits,
                                         vt_document *out, vt_err *err);

/* For the extractors: the columns of a line laid out with spaces, "cell | cell"; returns how many
 * cells there are (cells are two or more spaces, or a tab, apart). `out` may be NULL to count. */
size_t vt_layout_row(vt_slice line, vt_buffer *out);

/* How much of a line is a list marker ("- ", "12. ", "(a) "); 0: it starts no item. */
size_t vt_list_marker(vt_slice line);

#endif
