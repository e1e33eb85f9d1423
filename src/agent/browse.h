/* browse.h -- answering with a model that was trained to search by itself (gpt-oss): its own loop
 * of search, open and find, over the user's documents, and the check of what it cites.
 *
 *     question -> turn -> calls -> browser -> results -> turn -> ... -> final text
 *
 * The final text cites as 【cursor†L3-L5】. Every sentence is then tied to lines that exist, were
 * shown, and hold its numbers, names and quoted words; a sentence that fails is kept and
 * marked as unsupported, with the reason. A sentence without a mark is held, longer words too,
 * against the lines that the rest of the answer cites. When no sentence holds, the question is not
 * answered: the nearest lines are offered.
 *
 * A call that was made before gets a note instead of the same text again; after max_turns the model
 * is told to answer from what it has seen, and given one more turn. So it is when the results of
 * its calls do not fit into the context; the answer's reason then says so.
 *
 * Threads    one thread at a time.
 * Failure    what the turn or the library fail with; never what the model writes. */
#ifndef VT_AGENT_BROWSE_H
#define VT_AGENT_BROWSE_H

#include "agent/answer.h"
#include "agent/browser.h"
#include "chat/parser.h"

/* One turn of a model: render the conversation, let the model write, append its items (reasoning,
 * text, calls). A recorded stream in tests, agent/turn.h in the program. */
typedef struct {
    vt_status (*run)(void *ctx, vt_conversation *c, vt_finish *finish, vt_err *err);
    void *ctx;
} vt_turn;

typedef struct {
    vt_source source;
    vt_turn turn;
    uint32_t max_turns;          /* 0: 24 */
    vt_slice date;               /* for the prompt; may be empty */
    const vt_progress *progress; /* may be NULL */
} vt_browse_options;

VT_MUSTUSE vt_status vt_browse(const vt_browse_options *options, vt_slice question, vt_answer *out,
                               vt_err *err);

/* The check alone: `text` with its marks against what `browser` showed. */
VT_MUSTUSE vt_status vt_browse_check(const vt_browser *browser, vt_slice question, vt_slice text,
                                     vt_answer *out, vt_err *err);

#endif
