/* request_fuzz.c -- any bytes as the body of a Chat Completions request: refused with a message, or
 * a conversation that every format renders or refuses. */
#include "chat/format.h"
#include "chat/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void render(const vt_conversation *c, const char *name, vt_chat_dialect dialect)
{
    vt_prompt *prompt = NULL;
    vt_err err = {0};
    vt_chat_format f = {0};
    vt_chat_hints hints = {.forced = vt_slice_cstr(name)};
    VT_CHECK(vt_chat_format_find(&hints, &f, NULL) == VT_OK);
    VT_CHECK(vt_prompt_new(&prompt, NULL) == VT_OK);
    f.dialect = dialect;
    vt_status st = vt_chat_render(&f, c, prompt, &err);
    VT_CHECK(st == VT_OK || (err.code == st && err.msg[0] != '\0'));
    vt_prompt_free(prompt);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    vt_conversation *c = NULL;
    vt_err err = {0};
    vt_status st = vt_chat_request_parse(vt_slice_of(data, size), &c, &err);
    if (st != VT_OK) {
        VT_CHECK(c == NULL && err.code == st && err.msg[0] != '\0');
        return 0;
    }
    render(c, "harmony", VT_DIALECT_PLAIN);
    render(c, "chatml", VT_DIALECT_QWEN25);
    render(c, "chatml", VT_DIALECT_SMOLLM2);
    render(c, "llama3", VT_DIALECT_LLAMA31);
    vt_conversation_free(c);
    return 0;
}
