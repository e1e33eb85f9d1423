/* parse.h -- numbers from text, whatever the locale. Strict: the whole slice must be the number; no
 * white space, no "nan", "inf" or hexadecimal; out of range is false, as is a decimal of more than
 * 127 bytes. *out is untouched on false. */
#ifndef VT_BASE_PARSE_H
#define VT_BASE_PARSE_H

#include <stdint.h>

#include "base/slice.h"

bool vt_parse_u64(vt_slice text, uint64_t *out);
bool vt_parse_i64(vt_slice text, int64_t *out);
bool vt_parse_double(vt_slice text, double *out); /* decimal, optional exponent, finite */

#endif
