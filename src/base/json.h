/* json.h -- JSON by jansson, with our limits: strict UTF-8, duplicate keys refused, trailing bytes
 * refused, one message with line and column. Emit with json_dumps(value, VT_JSON_FLAGS). */
#ifndef VT_BASE_JSON_H
#define VT_BASE_JSON_H

#include <jansson.h>

#include "base/buffer.h"

enum { VT_JSON_COMPACT = JSON_COMPACT | JSON_REAL_PRECISION(9) | JSON_ENCODE_ANY };

/* *out is a new reference (json_decref). */
VT_MUSTUSE vt_status vt_json_parse(vt_slice text, json_t **out, vt_err *err);

/* Append compact JSON. */
VT_MUSTUSE vt_status vt_json_write(const json_t *value, vt_buffer *out, vt_err *err);

/* The bytes of a JSON string (NUL included); empty for anything else. Borrowed from `value`. */
vt_slice vt_json_text(const json_t *value);

/* A JSON string of text that may hold invalid UTF-8: each bad byte becomes U+FFFD. NULL when memory
 * ran out. */
json_t *vt_json_string(vt_slice text);

#endif
