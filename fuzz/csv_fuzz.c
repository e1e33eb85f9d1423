/* csv_fuzz.c -- any UTF-8 as a table, its delimiter given or guessed. */
#include "docs_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char delimiters[] = {0, ',', ';', '\t', '|'};
    vt_document doc;
    vt_slice text = vt_slice_of(data, size);
    if (size == 0) return 0;
    char delimiter = delimiters[data[0] % sizeof delimiters];
    text = vt_slice_skip(text, 1);
    if (!vt_utf8_is_valid(text) || (text.len > 0 && memchr(text.ptr, 0, text.len))) return 0;
    if (vt_extract_table(text, delimiter, NULL, &doc, NULL) != VT_OK) return 0;
    docs_check_document(&doc);
    vt_document_deinit(&doc);
    return 0;
}
