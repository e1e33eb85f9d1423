/* pdftext_fuzz.c -- any UTF-8 as what pdftotext printed. */
#include "docs_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    vt_document doc;
    vt_slice text = vt_slice_of(data, size);
    if (!vt_utf8_is_valid(text) || (text.len > 0 && memchr(text.ptr, 0, text.len))) return 0;
    if (vt_extract_pdf_text(text, NULL, &doc, NULL) != VT_OK) return 0;
    docs_check_document(&doc);
    vt_document_deinit(&doc);
    return 0;
}
