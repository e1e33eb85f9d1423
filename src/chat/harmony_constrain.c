/* harmony_constrain.c -- the automaton of engine/constraint_harmony.h for one conversation: its
 * tools by the names that headers have, its tool_choice, its answer's form. */
#include "base/alloc.h"
#include "chat/format_ops.h"
#include "engine/constraint_harmony.h"

static const char *const builtins[] = {
    "browser.search",
    "browser.open",
    "browser.find",
    "python",
};

/* Names with their recipients in one buffer; offsets become slices when it is complete. */
typedef struct {
    vt_buffer text;
    size_t ends[VT_CONVERSATION_TOOLS + VT_COUNT(builtins)];
    size_t n;
} name_list;

static void add_name(name_list *list, const vt_conversation *c, vt_slice name)
{
    vt_slice chosen = {0};
    vt_choice choice = vt_conversation_choice(c, &chosen);
    if (choice == VT_CHOICE_NONE) return;
    if (choice == VT_CHOICE_NAMED && !vt_slice_eq(chosen, name)) return;
    if (!vt_conversation_is_builtin(c, name)) vt_buffer_append(&list->text, VT_S("functions."));
    vt_buffer_append(&list->text, name);
    list->ends[list->n++] = list->text.len;
}

vt_status vt__harmony_constrain(const vt_chat_format *f, const vt_conversation *c,
                                vt_constraint **out, vt_err *err)
{
    vt_choice choice = vt_conversation_choice(c, NULL);
    vt_status st = VT_OK;
    vt_slice *recipients = NULL;
    name_list *list = vt_calloc(1, sizeof *list);
    if (list == NULL) return vt_fail(err, VT_ENOMEM, "out of memory for a constraint");
    vt_buffer_init(&list->text, 0);
    for (size_t i = 0; i < vt_conversation_n_tools(c); i++)
        add_name(list, c, vt_conversation_tool(c, i)->name);
    for (size_t i = 0; i < VT_COUNT(builtins); i++) {
        vt_slice name = vt_slice_cstr(builtins[i]);
        if (vt_conversation_is_builtin(c, name)) add_name(list, c, name);
    }
    st = vt_buffer_status(&list->text, "the tools' names", err);
    if (st != VT_OK) goto out;
    recipients = vt_calloc(list->n + 1, sizeof *recipients);
    if (recipients == NULL) {
        st = vt_fail(err, VT_ENOMEM, "out of memory for a constraint");
        goto out;
    }
    for (size_t i = 0, start = 0; i < list->n; start = list->ends[i++])
        recipients[i] = vt_slice_of(list->text.ptr + start, list->ends[i] - start);
    vt_harmony_options options = {
        .recipients = recipients,
        .n_recipients = list->n,
        .must_call = choice == VT_CHOICE_REQUIRED || choice == VT_CHOICE_NAMED,
        .has_json_final = vt_conversation_response(c).is_json,
    };
    st = vt_constraint_harmony_new(f->tokenizer, &options, out, err);
out:
    vt_buffer_deinit(&list->text);
    vt_free(list);
    vt_free(recipients);
    return st;
}
