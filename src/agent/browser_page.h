/* browser_page.h -- one page of the browser: a title, an address, lines wrapped at 80 columns that
 * know which line of which document they are, and links. For browser.c only.
 *
 * Ownership  a page owns everything in it. Threads one at a time. */
#ifndef VT_AGENT_BROWSER_PAGE_H
#define VT_AGENT_BROWSER_PAGE_H

#include <stdint.h>

#include "base/buffer.h"

typedef struct {
    size_t start, len; /* in text */
    int32_t i_file;    /* index into files; -1: the browser's own line */
    int32_t page;
    int64_t number;
    bool was_shown;
} vt__page_line;

typedef struct {
    int32_t i_file;
    int64_t number; /* the document's line to open at */
} vt__page_link;

typedef struct {
    char *title;
    char *url;
    vt_buffer text;
    vt__page_line *lines;
    size_t n_lines, cap_lines;
    char **files;
    size_t n_files, cap_files;
    vt__page_link *links;
    size_t n_links, cap_links;
} vt__page;

/* What a line says about where it is from. */
typedef struct {
    int32_t i_file;
    int32_t page;
    int64_t number;
} vt__page_origin;

VT_MUSTUSE vt_status vt__page_new(vt_slice title, vt_slice url, vt__page **out, vt_err *err);
void vt__page_free(vt__page *p);
/* The index of a file name, added when it is new. */
VT_MUSTUSE vt_status vt__page_file(vt__page *p, vt_slice file, int32_t *i, vt_err *err);
VT_MUSTUSE vt_status vt__page_link_add(vt__page *p, vt__page_link link, vt_err *err);
/* One line of a document: marks replaced, tabs as spaces, wrapped. */
VT_MUSTUSE vt_status vt__page_add(vt__page *p, vt_slice line, vt__page_origin origin, vt_err *err);
/* A line of the browser's own, or one that was escaped before: added as it is. */
VT_MUSTUSE vt_status vt__page_add_raw(vt__page *p, vt_slice line, vt__page_origin origin,
                                      vt_err *err);
static inline vt_slice vt__page_text(const vt__page *p, size_t i)
{
    return vt_slice_of(p->text.ptr + p->lines[i].start, p->lines[i].len);
}
/* Append text with 【 】 † replaced, so that it can form no mark. */
bool vt__append_escaped(vt_slice text, vt_buffer *out);

#endif
