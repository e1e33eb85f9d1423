/* request.h -- the body of a Chat Completions request (OpenAI's shape) as a conversation.
 *
 * Understood: messages (roles system, developer, user, assistant, tool; content as text, null or
 * parts of type text; `reasoning_content` or `reasoning`; tool_calls), tools, tool_choice,
 * reasoning_effort, response_format. Fields that concern sampling and transport (temperature, stop,
 * stream, …) belong to others and are left alone. Everything else is refused by its name: a field
 * that would have changed the behaviour is never ignored.
 *
 * Tools of type browser_search and code_interpreter stand for the browser and python that gpt-oss
 * was trained on.
 *
 * Failure  VT_EINPUT with the place: "messages[3].content[0]: part of type 'image_url' …".
 * Threads  safe. */
#ifndef VT_CHAT_REQUEST_H
#define VT_CHAT_REQUEST_H

#include "chat/conversation.h"

/* *out is new (vt_conversation_free). */
VT_MUSTUSE vt_status vt_chat_request(const json_t *body, vt_conversation **out, vt_err *err);

/* The same from text. */
VT_MUSTUSE vt_status vt_chat_request_parse(vt_slice body, vt_conversation **out, vt_err *err);

#endif
