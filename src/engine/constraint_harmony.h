/* constraint_harmony.h -- the automaton of harmony turns (gpt-oss): an ill-formed header cannot be
 * sampled, nor a call of a tool that was not offered.
 *
 *     turn    = message+
 *     message = <|channel|> ( analysis | commentary | final [ <|constrain|>json]
 *                           | commentary to=functions.X [ <|constrain|>json]
 *                           | analysis to=BUILTIN [ code |  <|constrain|>json] )
 *               <|message|> text ( <|end|> <|start|>assistant | <|return|> | <|call|> )
 *
 * <|return|> ends final messages only, <|call|> those with a recipient, <|end|> the others; a final
 * message and a call are not empty. Reserved and control tokens are never text. The turn begins
 * after <|start|>assistant.
 *
 * Headers are a trie of token paths, so that a state of a header allows a handful of ids, and often
 * one, which is then forced. Text is free but for the control tokens. */
#ifndef VT_ENGINE_CONSTRAINT_HARMONY_H
#define VT_ENGINE_CONSTRAINT_HARMONY_H

#include "engine/constraint.h"
#include "model/tokenizer.h"

typedef struct {
    /* The tools that may be called, as recipients: "functions.get_weather", "python",
     * "browser.search". For tool_choice none: no recipients; for a named one: only that. */
    const vt_slice *recipients;
    size_t n_recipients;
    bool must_call;      /* tool_choice required, or named: no final message */
    bool has_json_final; /* the answer is JSON: final may say so */
    /* What the text of final messages keeps to, or NULL: a constraint that ends with <|return|>.
     * Borrowed for the life of the automaton. */
    vt_constraint *final_text;
} vt_harmony_options;

/* VT_EUNSUPPORTED when the tokenizer has not the tokens of harmony; VT_EINPUT for must_call without
 * recipients. */
VT_MUSTUSE vt_status vt_constraint_harmony_new(const vt_tokenizer *t,
                                               const vt_harmony_options *options,
                                               vt_constraint **out, vt_err *err);

#endif
