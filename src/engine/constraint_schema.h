/* constraint_schema.h -- only JSON that fits a schema can be sampled (schema.h says what of JSON
 * Schema is known).
 *
 * Text tokens may follow as long as their bytes lead to such JSON; one of the stop ids when the
 * value is complete, and then only those (a number at the top may also go on). Control tokens
 * never. An answer that is cut before, by a limit on its length, is no complete JSON.
 *
 * The mask is worked out by running all tokens, in the order of their bytes, through the automaton:
 * what begins the same is run once, and inside the text of strings, where nearly all tokens are
 * allowed, only those with a quote are run.
 *
 * Ownership  the schema is not kept; the tokenizer is borrowed.
 * Failure    as vt_schema_compile; VT_EUNSUPPORTED when the tokenizer lacks a token for some byte,
 * so that answers could end in a place where nothing may follow. */
#ifndef VT_ENGINE_CONSTRAINT_SCHEMA_H
#define VT_ENGINE_CONSTRAINT_SCHEMA_H

#include "base/json.h"
#include "engine/constraint.h"

VT_MUSTUSE vt_status vt_constraint_schema_new(const vt_tokenizer *t, const json_t *schema,
                                              const int32_t *stop_ids, size_t n_stop_ids,
                                              vt_constraint **out, vt_err *err);

#endif
