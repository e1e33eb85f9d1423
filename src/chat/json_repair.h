/* json_repair.h -- a call's arguments as models really write them, made a JSON object.
 *
 *     {"a":1}]         trailing brackets, fences, semicolons: cut
 *     [{"a":1}]        wrapped in an array: unwrapped
 *     "{\"a\":1}"      encoded twice: decoded
 *     {"a":"x⏎y"}      raw control characters in a string: escaped
 *     {"a":{"b":1}     closing brackets missing at the end: added
 *     ```json … ```    fenced: taken out
 *     (nothing)        no arguments: {}
 *     some text        a tool with one text parameter `key`: {"key": "some text"}
 *
 * It never guesses inside the object: what stays unparsable is left to the caller.
 * Threads  safe. */
#ifndef VT_CHAT_JSON_REPAIR_H
#define VT_CHAT_JSON_REPAIR_H

#include "base/json.h"

/* Append the object's text to `out` (as written where nothing had to be done; duplicate keys: the
 * last). False: beyond repair, nothing appended. *is_repaired tells whether it differs from `raw`
 * in more than white space around it. key may be empty. When memory or the ceiling of `out` ran out
 * it is false too, and out->failed tells. */
bool vt_json_repair(vt_slice raw, vt_slice key, vt_buffer *out, bool *is_repaired);

#endif
