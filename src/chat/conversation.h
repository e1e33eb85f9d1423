/* conversation.h -- a conversation as typed items, each with who it comes from.
 *
 * An item is one thing that was said or done: a text, a piece of reasoning, a call of a tool, a
 * tool's result. What other APIs call an assistant message may be several items (reasoning, then
 * text, then calls): they follow each other, and all but the first have `continues`. Formats
 * (format.h) turn the list into a prompt; parsers (parser.h) turn what the model sampled into new
 * items, with the token ids that made them, so that they are replayed as sampled and never rendered
 * anew.
 *
 * Trust: every text in here is data. It reaches the model as text and can never become a control
 * token, whoever wrote it.
 *
 * Ownership  the conversation copies what it is given; items, tools and their slices are borrowed
 * from it and valid until it is freed.
 * Threads    one thread at a time.
 * Failure    VT_ELIMIT when the texts together would pass the ceiling (VT_CONVERSATION_BYTES);
 * nothing is added then. */
#ifndef VT_CHAT_CONVERSATION_H
#define VT_CHAT_CONVERSATION_H

#include <stdint.h>

#include "base/json.h"

enum {
    VT_CONVERSATION_BYTES = 256 << 20, /* all texts and ids together */
    VT_CONVERSATION_ITEMS = 1 << 20,
    VT_CONVERSATION_TOOLS = 1024,
    VT_TOOL_NAME_MAX = 64,
};

typedef enum {
    VT_ROLE_USER, /* the least trusted one is 0 */
    VT_ROLE_SYSTEM,
    VT_ROLE_DEVELOPER,
    VT_ROLE_ASSISTANT,
    VT_ROLE_TOOL,
} vt_role;

typedef enum {
    VT_ITEM_TEXT,
    VT_ITEM_REASONING, /* assistant */
    VT_ITEM_CALL,      /* assistant: text is the arguments, JSON (for `python` the code itself) */
    VT_ITEM_RESULT,    /* tool: text is what the tool said */
} vt_item_kind;

typedef struct {
    vt_item_kind kind;
    vt_role role;
    bool continues;   /* belongs to the same message as the item before it */
    bool is_preamble; /* assistant text said before a call ("I will look that up") */
    vt_slice name;    /* CALL and RESULT: the tool's; otherwise the author's, may be empty */
    vt_slice call_id; /* CALL and RESULT */
    vt_slice text;
    const int32_t *ids; /* assistant: the ids that the model sampled for this item, in the form
                           that its format's parser keeps them; NULL: render the text */
    size_t n_ids;
} vt_item;

typedef struct {
    vt_slice name;
    vt_slice description;      /* may be empty */
    const json_t *parameters;  /* JSON schema of an object, or NULL */
    const json_t *declaration; /* {"type": "function", "function": {...}} as it was given */
} vt_tool;

typedef enum { VT_EFFORT_DEFAULT, VT_EFFORT_LOW, VT_EFFORT_MEDIUM, VT_EFFORT_HIGH } vt_effort;
typedef enum { VT_CHOICE_AUTO, VT_CHOICE_NONE, VT_CHOICE_REQUIRED, VT_CHOICE_NAMED } vt_choice;

typedef struct vt_conversation vt_conversation;

VT_MUSTUSE vt_status vt_conversation_new(vt_conversation **out, vt_err *err);
void vt_conversation_free(vt_conversation *c);

/* Copies the item with its texts and ids. A RESULT without a name takes that of the call with its
 * call_id; VT_EINPUT when there is none. */
VT_MUSTUSE vt_status vt_conversation_add(vt_conversation *c, const vt_item *item, vt_err *err);
/* The commonest item. */
VT_MUSTUSE vt_status vt_conversation_add_text(vt_conversation *c, vt_role role, vt_slice text,
                                              vt_err *err);
size_t vt_conversation_n_items(const vt_conversation *c);
const vt_item *vt_conversation_item(const vt_conversation *c, size_t i);
/* Forget the items from i on. */
void vt_conversation_truncate(vt_conversation *c, size_t i);

/* Offer a function to the model: {"type": "function", "function": {"name", "description",
 * "parameters"}}. VT_EINPUT when it is anything else, when the name is not 1 to 64 of A-Z a-z 0-9 _
 * - ., or when a tool of that name is there. Keeps a reference. */
VT_MUSTUSE vt_status vt_conversation_add_tool(vt_conversation *c, json_t *declaration, vt_err *err);
size_t vt_conversation_n_tools(const vt_conversation *c);
const vt_tool *vt_conversation_tool(const vt_conversation *c, size_t i);
const vt_tool *vt_conversation_find_tool(const vt_conversation *c, vt_slice name);

/* The tools that gpt-oss was trained on (harmony only; other formats ignore them). */
void vt_conversation_set_builtin(vt_conversation *c, bool has_browser, bool has_python);
bool vt_conversation_has_browser(const vt_conversation *c);
bool vt_conversation_has_python(const vt_conversation *c);
/* "browser.search", "browser.open", "browser.find", "python", where they are offered. */
bool vt_conversation_is_builtin(const vt_conversation *c, vt_slice name);

void vt_conversation_set_effort(vt_conversation *c, vt_effort effort);
vt_effort vt_conversation_effort(const vt_conversation *c);

/* "2026-11-24"; empty: the prompt names no date (llama3: its template's fixed one). */
VT_MUSTUSE vt_status vt_conversation_set_date(vt_conversation *c, vt_slice date, vt_err *err);
vt_slice vt_conversation_date(const vt_conversation *c);

/* Which calls are allowed; `name` with VT_CHOICE_NAMED only, and must be an offered tool. It does
 * not change the prompt: a constraint (engine/constraint_harmony.h) enforces it. */
VT_MUSTUSE vt_status vt_conversation_set_choice(vt_conversation *c, vt_choice choice, vt_slice name,
                                                vt_err *err);
vt_choice vt_conversation_choice(const vt_conversation *c, vt_slice *name);

/* The answer's form: JSON, with a schema (a new reference is kept) or NULL for any object. */
VT_MUSTUSE vt_status vt_conversation_set_response(vt_conversation *c, vt_slice name,
                                                  vt_slice description, json_t *schema,
                                                  vt_err *err);
typedef struct {
    bool is_json; /* false: plain text, the rest is empty */
    vt_slice name;
    vt_slice description;
    const json_t *schema;
} vt_response_form;
vt_response_form vt_conversation_response(const vt_conversation *c);

const char *vt_role_name(vt_role role); /* "user", ... */

#endif
