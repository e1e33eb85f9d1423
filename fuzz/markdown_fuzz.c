/* markdown_fuzz.c -- any UTF-8 as plain text, Markdown or source code, by its first byte. */
#include "docs_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const vt_doc_kind kinds[] = {VT_DOC_MARKDOWN, VT_DOC_TEXT, VT_DOC_SOURCE};
    vt_document doc;
    vt_slice text = vt_slice_of(data, size);
    if (size == 0) return 0;
    vt_doc_kind kind = kinds[data[0] % 3];
    text = vt_slice_skip(text, 1);
    if (!vt_utf8_is_valid(text) || (text.len > 0 && memchr(text.ptr, 0, text.len))) return 0;
    if (vt_extract_text(text, kind, NULL, &doc, NULL) != VT_OK) return 0;
    docs_check_document(&doc);
    vt_document_deinit(&doc);
    return 0;
}
