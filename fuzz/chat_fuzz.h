/* chat_fuzz.h -- what the three fuzz targets of prompt formats share. The input is a turn as text,
 * control tokens by their names; its first byte says whether tools are offered and how the turn
 * ends.
 *
 * Checked: no error; events are well formed (chat_small.h aborts otherwise); a vocabulary of longer
 * tokens gives the same events; the turn can be appended and rendered. */
#ifndef VT_FUZZ_CHAT_FUZZ_H
#define VT_FUZZ_CHAT_FUZZ_H

#include <stdlib.h>

#include "../tests/chat/chat_small.h"

/* Past this a header is cut into text, at a place that may depend on the tokens. */
enum { FUZZ_SAME_EVENTS_UP_TO = 400 };

typedef struct {
    vt_tokenizer *tokenizer;
    vt_chat_format format;
} fuzz_side;

/* Bytes that are no name of a control token, one token each: also invalid UTF-8. */
static void fuzz_bytes(const vt_tokenizer *t, vt_slice text, vt_tokens *out)
{
    for (size_t i = 0; i < text.len; i++) {
        int32_t id = (unsigned char)text.ptr[i];
        if (id == '<') {
            vt_slice rest = vt_slice_skip(text, i);
            size_t n = vt_slice_find(rest, VT_S(">")) + 1;
            int32_t control = n <= rest.len ? vt_tokenizer_control(t, vt_slice_take(rest, n)) : -1;
            if (control >= 0) {
                id = control;
                i += n - 1;
            }
        }
        VT_CHECK(vt_tokens_push(out, id, NULL) == VT_OK);
    }
}

static void fuzz_run(const fuzz_side *side, vt_conversation *c, const vt_tokens *ids,
                     vt_finish reason, transcript *t)
{
    vt_parser *p = NULL;
    vt_tokens prompt = {0};
    size_t n_items = vt_conversation_n_items(c);
    *t = (transcript){0};
    vt_buffer_init(&t->text, 0);
    VT_CHECK(vt_parser_new(&side->format, c, transcript_event, t, &p, NULL) == VT_OK);
    for (size_t i = 0; i < ids->n; i++) VT_CHECK(vt_parser_feed(p, ids->ids[i], NULL) == VT_OK);
    VT_CHECK(vt_parser_finish(p, reason, NULL) == VT_OK);
    VT_CHECK(t->is_ended);
    VT_CHECK(vt_parser_append(p, c, NULL) == VT_OK);
    vt_parser_free(p);
    VT_CHECK(vt_chat_tokens(&side->format, c, &prompt, NULL) == VT_OK);
    vt_tokens_deinit(&prompt);
    vt_conversation_truncate(c, n_items);
}

static inline void fuzz_chat(const char *format, const uint8_t *data, size_t size)
{
    static fuzz_side bytes, longer;
    static const vt_finish reasons[] = {VT_FINISH_STOP, VT_FINISH_STOP, VT_FINISH_LENGTH,
                                        VT_FINISH_CANCEL};
    if (size == 0) return;
    if (bytes.tokenizer == NULL) {
        bytes.format = small_format(format, no_merges, &bytes.tokenizer);
        longer.format = small_format(format, some_merges, &longer.tokenizer);
    }
    static const char with_tools[] = SMALL_BODY(SMALL_BUILTINS);
    static const char without[] = "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}";
    vt_conversation *c = small_conversation(data[0] & 4 ? without : with_tools);
    vt_finish reason = reasons[data[0] & 3];
    vt_slice text = vt_slice_of(data + 1, size - 1);
    vt_tokens ids = {0}, other = {0};
    transcript a, b;
    fuzz_bytes(bytes.tokenizer, text, &ids);
    fuzz_run(&bytes, c, &ids, reason, &a);
    if (text.len <= FUZZ_SAME_EVENTS_UP_TO && vt_utf8_is_valid(text)) {
        small_ids(longer.tokenizer, text, &other);
        fuzz_run(&longer, c, &other, reason, &b);
        VT_CHECK(vt_slice_eq(vt_buffer_slice(&a.text), vt_buffer_slice(&b.text)));
        vt_buffer_deinit(&b.text);
    }
    vt_buffer_deinit(&a.text);
    vt_tokens_deinit(&ids);
    vt_tokens_deinit(&other);
    vt_conversation_free(c);
}

#endif
