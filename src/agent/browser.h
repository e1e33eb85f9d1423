/* browser.h -- the browser that gpt-oss was trained on, over the user's documents: search, open and
 * find, with the texts of the published tool (gpt-oss, gpt_oss/tools/simple_browser), so that the
 * model is at home.
 *
 *     [cursor] Title (file)
 *     **viewing lines [0 - 37] of 112**
 *
 *     L0: ...
 *     L1: ...
 *
 * State is a stack of pages; a page's cursor is its index; every successful call pushes one. Lines
 * are the document's, wrapped at 80 columns and counted from 0 in a page; each remembers which line
 * of which document it is, and whether it was shown. That is what a citation 【cursor†L3-L5】 is
 * checked against (cites.h). In page text 【 】 and † are replaced by 〖 〗 and ‡: a document can't
 * forge a link or a citation.
 *
 * Whatever the model asks for, the result is a text: a wrong cursor, an unknown file, arguments
 * that are no JSON give a message that says what was wrong, and the loop goes on.
 *
 * Not a web browser: it opens what the library holds, nothing else.
 *
 * Ownership  borrows the source; pages own their texts.
 * Threads    one thread at a time.
 * Failure    memory, a cancelled or failing library; never a wrong call. */
#ifndef VT_AGENT_BROWSER_H
#define VT_AGENT_BROWSER_H

#include "agent/source.h"

typedef struct vt_browser vt_browser;

enum {
    VT_BROWSER_COLUMNS = 80,
    VT_BROWSER_VIEW_BYTES = 4096, /* one view: about 1024 tokens, as the published tool has */
    VT_BROWSER_PAGES = 256,
    VT_BROWSER_PAGE_LINES = 1 << 20,
};

typedef struct {
    vt_slice text;  /* as shown, escaped */
    vt_slice file;  /* empty: the line is the browser's own (headings of search results) */
    int64_t number; /* of the document's line, from 1 */
    int page;       /* of the document, 0: none */
    bool was_shown;
} vt_page_line;

VT_MUSTUSE vt_status vt_browser_new(const vt_source *source, vt_browser **out, vt_err *err);
void vt_browser_free(vt_browser *b);

/* Run "browser.search", "browser.open" or "browser.find" with its JSON arguments and append what
 * the tool answers. */
VT_MUSTUSE vt_status vt_browser_call(vt_browser *b, vt_slice name, vt_slice arguments,
                                     vt_buffer *out, vt_err *err);

size_t vt_browser_n_pages(const vt_browser *b);
/* Lines of page `cursor`; 0 when there is no such page. */
size_t vt_browser_n_lines(const vt_browser *b, size_t cursor);
vt_page_line vt_browser_line(const vt_browser *b, size_t cursor, size_t i);
/* The page's heading: title and, for a line of a table, nothing more. Empty: no such page. */
vt_slice vt_browser_title(const vt_browser *b, size_t cursor);

#endif
