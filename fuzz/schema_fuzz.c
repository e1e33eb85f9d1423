/* schema_fuzz.c -- any schema, and any bytes by it. Up to the first line break the input is a
 * schema, the rest goes through its automaton. What is accepted to its end is JSON, and from every
 * point that is reached something leads on. */
#include <stdint.h>

#include "base/alloc.h"
#include "engine/schema.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_goes_on(vt_matcher *m, const vt_match_set *here, vt_match_set *next)
{
    bool goes_on = vt_matcher_is_complete(m, here);
    vt_match_mark mark = vt_matcher_mark(m);
    for (unsigned b = 0; b < 256 && !goes_on; b++) {
        goes_on = vt_matcher_step(m, here, (uint8_t)b, next);
        vt_matcher_release(m, mark);
    }
    VT_CHECK(goes_on);
}

static void match(const vt_schema *s, vt_slice text)
{
    vt_matcher *m = NULL;
    vt_match_set *sets = vt_calloc(2, sizeof *sets);
    if (sets == NULL || vt_matcher_new(s, &m, NULL) != VT_OK) goto out;
    vt_matcher_begin(m, &sets[0]);
    for (size_t i = 0; i < text.len; i++) {
        check_goes_on(m, &sets[0], &sets[1]);
        if (!vt_matcher_step(m, &sets[0], (uint8_t)text.ptr[i], &sets[1])) goto out;
        sets[0] = sets[1];
        vt_matcher_settle(m, &sets[0]);
    }
    if (vt_matcher_is_complete(m, &sets[0])) {
        json_t *value =
            json_loadb(text.ptr, text.len, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
        VT_CHECK(value != NULL);
        json_decref(value);
    }
out:
    vt_matcher_free(m);
    vt_free(sets);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    vt_slice all = vt_slice_of((const char *)data, size);
    if (size > 65536) return 0;
    size_t end = vt_slice_find(all, VT_S("\n"));
    json_t *schema = NULL;
    vt_schema s;
    if (vt_json_parse(vt_slice_take(all, end), &schema, NULL) != VT_OK) return 0;
    if (vt_schema_compile(schema, &s, NULL) == VT_OK) match(&s, vt_slice_skip(all, end + 1));
    vt_schema_deinit(&s);
    json_decref(schema);
    return 0;
}
