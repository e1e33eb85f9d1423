/* html_fuzz.c -- any bytes as a page: lines within the text, sections and headers that exist, whole
 * passages. */
#include "docs/encoding.h"
#include "docs_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    vt_document doc;
    vt_buffer b;
    vt_slice text;
    vt_slice bytes = vt_slice_of(data, size);
    vt_buffer_init(&b, 16 << 20);
    if (vt_encoding_to_utf8(bytes, vt_encoding_of_html(bytes), &b, &text, NULL) == VT_OK &&
        vt_extract_html(text, NULL, &doc, NULL) == VT_OK) {
        docs_check_document(&doc);
        vt_document_deinit(&doc);
    }
    vt_buffer_deinit(&b);
    return 0;
}
