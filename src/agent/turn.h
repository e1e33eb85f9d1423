/* turn.h -- one turn of a local model for the agent's loop (browse.h): renders the conversation,
 * generates under the format's constraint, parses, and appends what came.
 *
 * Ownership  everything in the options is borrowed and outlives the turn.
 * Threads    that of the session.
 * Failure    a prompt that does not fit the context is VT_ELIMIT with numbers; a turn that was cut
 *            by it ends with VT_FINISH_LENGTH. */
#ifndef VT_AGENT_TURN_H
#define VT_AGENT_TURN_H

#include "agent/browse.h"
#include "agent/reader.h"
#include "engine/generate.h"

typedef struct {
    vt_engine *engine;
    vt_session *session;
    const vt_chat_format *format;
    vt_sampling sampling;
    uint64_t seed;
    const vt_progress *progress; /* may be NULL */
    vt_speculate speculate;
    vt_reader_usage usage; /* added to */
} vt_engine_turn;

vt_turn vt_engine_turn_as_turn(vt_engine_turn *t);

#endif
