/* document.h -- a file turned into lines of text with anchors: what a citation can point at.
 *
 * Lines count from 1. In text, Markdown, CSV and source code an extracted line *is* the file's line
 * (`sed -n 12p FILE` shows line 12); in HTML and PDF the extracted text has its own numbering, in
 * reading order, which `vetro search --show FILE:LINES` prints. A line is never wrapped or cut,
 * however long.
 *
 * Ownership  a document owns its text; slices from it live until vt_document_deinit.
 * Threads    one thread at a time. */
#ifndef VT_DOCS_DOCUMENT_H
#define VT_DOCS_DOCUMENT_H

#include <stdint.h>

#include "base/buffer.h"

typedef enum {
    VT_DOC_TEXT,
    VT_DOC_MARKDOWN,
    VT_DOC_HTML,
    VT_DOC_TABLE, /* CSV, TSV */
    VT_DOC_SOURCE,
    VT_DOC_PDF,
} vt_doc_kind;

typedef enum {
    VT_LINE_BLANK,
    VT_LINE_TEXT,
    VT_LINE_HEADING,
    VT_LINE_ITEM,   /* starts an item of a list */
    VT_LINE_CODE,   /* a program, or preformatted */
    VT_LINE_HEADER, /* the header row of a table */
    VT_LINE_ROW,    /* starts a row of a table */
    VT_LINE_MORE,   /* goes on with the item or row above */
    VT_LINE_RULE,   /* decoration without text: Markdown's |---| and ``` lines */
} vt_line_kind;

typedef struct {
    size_t start; /* offset and length in the text, without the line end */
    size_t len;
    int32_t page;    /* 0: the format has no pages */
    int32_t section; /* index of the section that holds it; -1: none */
    int32_t header;  /* index of the header row of its table; -1: none */
    uint8_t kind;    /* vt_line_kind */
} vt_doc_line;

typedef struct {
    char *path;     /* "Maintenance > Weekly checks": the headings from the outside in */
    int32_t i_line; /* of its heading */
    int32_t level;  /* 1 is the outermost */
    int32_t parent; /* -1: none */
} vt_doc_section;

typedef struct {
    vt_doc_kind kind;
    char *title;    /* NULL when the document has none */
    char delimiter; /* of a VT_DOC_TABLE */
    int32_t n_pages;
    vt_buffer text; /* valid UTF-8, lines ended by \n, no \r and no NUL */
    vt_doc_line *lines;
    size_t n_lines;
    size_t cap_lines;
    vt_doc_section *sections;
    size_t n_sections;
    size_t cap_sections;
    size_t max_lines;
    int32_t open_section; /* of the lines added next; -1: none */
    bool has_failed;      /* sticky, see vt_document_status */
} vt_document;

/* Zero means the default in brackets. */
typedef struct {
    uint64_t file_bytes; /* largest file read [200 MiB] */
    uint64_t text_bytes; /* largest text extracted from one file [200 MiB] */
    uint32_t n_lines;    /* most lines of one file [8 million] */
    uint32_t wall_ms;    /* for one PDF [120,000] */
} vt_doc_limits;

/* Fills the defaults in. */
vt_doc_limits vt_doc_limits_default(const vt_doc_limits *limits);

void vt_document_init(vt_document *doc, vt_doc_kind kind, const vt_doc_limits *limits);
void vt_document_deinit(vt_document *doc);

/* The text of the line with index i (its number less one). */
static inline vt_slice vt_document_line(const vt_document *doc, size_t i)
{
    return vt_slice_of(doc->text.ptr + doc->lines[i].start, doc->lines[i].len);
}

/* For extractors. Appends a line (`text` without line end) with the kind, page, section and header
 * of `like`; false when a limit or memory ran out (vt_document_status then tells which). */
bool vt_document_add(vt_document *doc, vt_slice text, vt_doc_line like);
/* Opens the section of the heading on line index i_line; sections of the same or a deeper level
 * end. doc->open_section is its index afterwards. */
bool vt_document_open_section(vt_document *doc, int level, vt_slice heading, size_t i_line);
/* The first title wins. */
bool vt_document_set_title(vt_document *doc, vt_slice title);
VT_MUSTUSE vt_status vt_document_status(const vt_document *doc, vt_err *err);

const char *vt_doc_kind_name(vt_doc_kind kind); /* "text", "markdown", ... */

#endif
