/* child_json.h -- the one JSON object that a command printed. Include after cmocka.h. */
#ifndef VT_TESTS_SUPPORT_CHILD_JSON_H
#define VT_TESTS_SUPPORT_CHILD_JSON_H

#include "base/json.h"
#include "support/child.h"

static VT_UNUSED json_t *child_json(const child_result *r)
{
    json_t *value = NULL;
    vt_err err = {0};
    if (r->out.len == 0) fail_msg("code %d, nothing printed: %s", r->code, r->err.ptr);
    if (vt_json_parse(vt_slice_trim(vt_buffer_slice(&r->out)), &value, &err) != VT_OK)
        fail_msg("%s: %s", err.msg, r->out.ptr);
    return value;
}

static VT_UNUSED double child_number(const json_t *o, const char *name)
{
    const json_t *value = json_object_get(o, name);
    if (!json_is_number(value)) fail_msg("no number \"%s\"", name);
    return json_number_value(value);
}

#endif
