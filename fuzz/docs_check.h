/* docs_check.h -- what must hold of every extracted document and of its passages. */
#ifndef FUZZ_DOCS_CHECK_H
#define FUZZ_DOCS_CHECK_H

#include <stdlib.h>

#include "base/utf8.h"
#include "docs/extract.h"
#include "docs/split.h"

typedef struct {
    const vt_document *doc;
    size_t n_bytes;
} docs_check;

static bool docs_check_piece(void *ctx, const vt_piece *p)
{
    docs_check *c = ctx;
    if (p->first > p->last || p->last >= c->doc->n_lines) abort();
    if (p->section >= (int32_t)c->doc->n_sections) abort();
    if (p->header >= (int32_t)c->doc->n_lines) abort();
    if (p->text.len == 0 || !vt_utf8_is_valid(p->text)) abort();
    c->n_bytes += p->text.len;
    return true;
}

static void docs_check_document(const vt_document *doc)
{
    for (size_t i = 0; i < doc->n_lines; i++) {
        const vt_doc_line *l = &doc->lines[i];
        vt_slice line = vt_document_line(doc, i);
        if (l->start + l->len >= doc->text.len + 1) abort();
        if (l->header >= (int32_t)i || l->section >= (int32_t)doc->n_sections) abort();
        if (line.len > 0 && memchr(line.ptr, '\n', line.len) != NULL) abort();
    }
    for (size_t i = 0; i < doc->n_sections; i++)
        if (doc->sections[i].parent >= (int32_t)i) abort();
    docs_check c = {.doc = doc};
    if (vt_split(doc, docs_check_piece, &c, NULL) != VT_OK) return;
    /* Overlaps of code are the only text that stands in two passages. */
    if (c.n_bytes > 4 * doc->text.len + 64) abort();
}

#endif
