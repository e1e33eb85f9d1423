/* json_text.h -- JSON as prompts have it: byte for byte what the published templates print.
 *
 * Chat templates print with Python's json module (transformers' `tojson`: ensure_ascii off,
 * separators ", " and ": ", optionally an indent), and models are trained on that text: another
 * spacing is another prompt. Keys keep their order.
 *
 * Failure  VT_ELIMIT when `out` is full; what was appended so far stays in it.
 * Threads  safe. */
#ifndef VT_CHAT_JSON_TEXT_H
#define VT_CHAT_JSON_TEXT_H

#include "base/json.h"

/* indent 0: on one line; negative: on one line without any space. */
VT_MUSTUSE vt_status vt_json_write_spaced(const json_t *value, int indent, vt_buffer *out,
                                          vt_err *err);

/* A JSON string of `text` (valid UTF-8; invalid bytes become U+FFFD), with its quotes. */
VT_MUSTUSE vt_status vt_json_write_text(vt_slice text, vt_buffer *out, vt_err *err);

#endif
