/* constraint_schema_test.c -- what a schema allows and refuses, byte by byte; random walks along
 * the masks, judged by a validator that knows nothing of the automaton; what is refused, by name.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "../model/tokenizer_small.h"
#include "base/alloc.h"
#include "engine/constraint_schema.h"
#include "engine/schema.h"

static const char person[] =
    "{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\",\"minLength\":1,"
    "\"maxLength\":8},\"age\":{\"type\":\"integer\"},\"tag\":{\"enum\":[\"a\",\"ab\",3,null]}},"
    "\"required\":[\"name\",\"tag\"]}";
static const char tree[] =
    "{\"$ref\":\"#/$defs/node\",\"$defs\":{\"node\":{\"type\":\"object\",\"properties\":{\"v\":{"
    "\"type\":\"number\"},\"next\":{\"anyOf\":[{\"$ref\":\"#/$defs/node\"},{\"type\":\"null\"}]},"
    "\"kids\":{\"type\":\"array\",\"items\":{\"$ref\":\"#/$defs/node\"},\"maxItems\":2}},"
    "\"required\":[\"next\"],\"additionalProperties\":false}}}";
static const char pair[] = "{\"type\":\"array\",\"items\":{\"type\":[\"boolean\",\"integer\"]},"
                           "\"minItems\":2,\"maxItems\":3}";
static const char shapes[] =
    "{\"oneOf\":[{\"properties\":{\"k\":{\"const\":\"c\"},\"r\":{\"type\":\"number\"}},"
    "\"required\":[\"k\",\"r\"]},{\"properties\":{\"k\":{\"const\":\"s\"},\"r\":{\"type\":"
    "\"boolean\"}},\"required\":[\"k\",\"r\"]}]}";
static const char map[] = "{\"properties\":{\"id\":{\"type\":\"null\"}},\"required\":[\"zz\"],"
                          "\"additionalProperties\":{\"type\":\"integer\"}}";
static const char anything[] = "{}";
static const char top_number[] = "{\"type\":\"number\"}";
static const char top_enum[] = "{\"enum\":[1,12,123,\"\\u00e9\\n\",{\"a\":[1.5]}]}";
static const char branches[] =
    "{\"anyOf\":[{\"properties\":{\"x\":{\"type\":\"string\"}}},{\"properties\":{\"x\":{\"type\":"
    "\"string\",\"maxLength\":3},\"y\":{\"type\":\"boolean\"}},\"required\":[\"x\",\"y\"]}]}";

static json_t *parse(const char *text)
{
    json_t *value = NULL;
    vt_err err = {0};
    if (vt_json_parse(vt_slice_cstr(text), &value, &err) != VT_OK) fail_msg("%s", err.msg);
    return value;
}

/* ---- bytes ---- */

typedef enum { REFUSED, INCOMPLETE, COMPLETE } verdict;

static verdict judge(const char *schema_text, const char *text)
{
    json_t *schema = parse(schema_text);
    vt_schema s;
    vt_matcher *m = NULL;
    vt_err err = {0};
    vt_match_set *sets = vt_calloc(2, sizeof *sets);
    if (vt_schema_compile(schema, &s, &err) != VT_OK) fail_msg("%s", err.msg);
    assert_int_equal(vt_matcher_new(&s, &m, &err), VT_OK);
    vt_matcher_begin(m, &sets[0]);
    verdict v = INCOMPLETE;
    for (const char *c = text; *c && v != REFUSED; c++) {
        if (!vt_matcher_step(m, &sets[0], (uint8_t)*c, &sets[1])) v = REFUSED;
        sets[0] = sets[1];
        vt_matcher_settle(m, &sets[0]);
    }
    if (v != REFUSED && vt_matcher_is_complete(m, &sets[0])) v = COMPLETE;
    vt_free(sets);
    vt_matcher_free(m);
    vt_schema_deinit(&s);
    json_decref(schema);
    return v;
}

static void check(const char *schema, const char *text, verdict want)
{
    verdict got = judge(schema, text);
    if (got != want) fail_msg("%s by %s: %d, not %d", text, schema, got, want);
}

static void test_what_fits_is_accepted(void **state)
{
    (void)state;
    check(person, "{\"name\":\"Bo\",\"age\":-12,\"tag\":\"ab\"}", COMPLETE);
    check(person, "{\n  \"name\": \"B\xc3\xa9\\u00e9\\ud83d\\ude00\",\n  \"tag\": null\n}",
          COMPLETE);
    check(tree,
          "{\"v\":-1.5e-9,\"next\":{\"next\":null,\"kids\":[{\"next\":null}, {\"next\":null}]}}",
          COMPLETE);
    check(pair, "[true, 0, -7]", COMPLETE);
    check(shapes, "{\"k\":\"s\",\"r\":false}", COMPLETE);
    check(map, "{\"zz\":1,\"b\":2,\"\xc3\xa9\":3}", COMPLETE);
    check(anything, "[{\"a\":[null,\"\\\"\"],\"b\":{}},1e5]", COMPLETE);
    check(top_number, "12", COMPLETE);
    check(top_enum, "12", COMPLETE);
    check(top_enum, "{\"a\":[1.5]}", COMPLETE);
    check(branches, "{\"x\":\"abc\",\"y\":true}", COMPLETE);
    check(branches, "{\"x\":\"abcd\"}", COMPLETE);
}

static void test_what_does_not_fit_is_refused_at_once(void **state)
{
    (void)state;
    check(person, "{\"name\":\"\"", REFUSED);
    check(person, "{\"name\":\"123456789", REFUSED);
    check(person, "{\"age\"", REFUSED);
    check(person, "{\"name\":\"a\",\"tag\":\"b", REFUSED);
    check(person, "{\"name\":\"a\",\"tag\":3,", REFUSED);
    check(person, "{\"name\":\"a\"}", REFUSED);
    check(person, " {", REFUSED);
    check(person, "{  ", REFUSED);
    check(person, "{\n\n", REFUSED);
    check(person, "{\"name\":\"\xc0", REFUSED);
    check(person, "{\"name\":\"\xed\xa0", REFUSED);
    check(person, "{\"name\":\"\\ud800a", REFUSED);
    check(person, "{\"name\":\"\\udc", REFUSED);
    check(person, "{\"name\":\"\\x", REFUSED);
    check(person, "{\"name\":\"\n", REFUSED);
    check(pair, "[1]", REFUSED);
    check(pair, "[1,2,3,", REFUSED);
    check(pair, "[1.", REFUSED);
    check(pair, "[01", REFUSED);
    check(shapes, "{\"k\":\"c\",\"r\":t", REFUSED);
    check(map, "{\"zz\":1,\"zz\"", REFUSED);
    check(map, "{\"zz\":1,\"b\":2,\"b\"", REFUSED);
    check(top_number, "1 ", REFUSED);
    check(branches, "{\"x\":\"abcd\",", REFUSED);
    check(top_number, "-", INCOMPLETE);
    check(top_enum, "", INCOMPLETE);
}

/* ---- a validator, on parsed JSON ---- */

static bool is_type(const json_t *v, const char *name)
{
    if (strcmp(name, "integer") == 0) return json_is_integer(v);
    if (strcmp(name, "number") == 0) return json_is_number(v);
    if (strcmp(name, "string") == 0) return json_is_string(v);
    if (strcmp(name, "boolean") == 0) return json_is_boolean(v);
    if (strcmp(name, "null") == 0) return json_is_null(v);
    return strcmp(name, "object") == 0 ? json_is_object(v) : json_is_array(v);
}

static size_t n_characters(const json_t *v)
{
    vt_slice s = vt_json_text(v);
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++) n += ((unsigned char)s.ptr[i] & 0xC0) != 0x80;
    return n;
}

static bool fits(const json_t *root, const json_t *s, const json_t *v);

static size_t n_fitting(const json_t *root, const json_t *list, const json_t *v)
{
    size_t n = 0;
    for (size_t i = 0; i < json_array_size(list); i++) n += fits(root, json_array_get(list, i), v);
    return n;
}

static bool fits_object(const json_t *root, const json_t *s, const json_t *v)
{
    const json_t *required = json_object_get(s, "required");
    const json_t *others = json_object_get(s, "additionalProperties");
    const char *name;
    json_t *value;
    for (size_t i = 0; i < json_array_size(required); i++)
        if (!json_object_get(v, json_string_value(json_array_get(required, i)))) return false;
    json_object_foreach((json_t *)v, name, value)
    {
        const json_t *p = json_object_get(json_object_get(s, "properties"), name);
        if (p == NULL) p = others;
        if (p != NULL && !fits(root, p, value)) return false;
    }
    return true;
}

static bool fits_array(const json_t *root, const json_t *s, const json_t *v)
{
    const json_t *min = json_object_get(s, "minItems"), *max = json_object_get(s, "maxItems");
    const json_t *items = json_object_get(s, "items");
    size_t n = json_array_size(v);
    if (min && n < (size_t)json_integer_value(min)) return false;
    if (max && n > (size_t)json_integer_value(max)) return false;
    for (size_t i = 0; items && i < n; i++)
        if (!fits(root, items, json_array_get(v, i))) return false;
    return true;
}

static bool fits_scalar(const json_t *s, const json_t *v)
{
    const json_t *type = json_object_get(s, "type"), *list = json_object_get(s, "enum");
    const json_t *constant = json_object_get(s, "const");
    const json_t *min = json_object_get(s, "minLength"), *max = json_object_get(s, "maxLength");
    bool is_found = list == NULL, has_type = type == NULL;
    for (size_t i = 0; i < json_array_size(list); i++)
        is_found = is_found || json_equal(json_array_get(list, i), v);
    if (json_is_string(type)) has_type = is_type(v, json_string_value(type));
    for (size_t i = 0; i < json_array_size(type); i++)
        has_type = has_type || is_type(v, json_string_value(json_array_get(type, i)));
    if (!is_found || !has_type || (constant && !json_equal(constant, v))) return false;
    if (json_is_string(v) && min && n_characters(v) < (size_t)json_integer_value(min)) return false;
    return !json_is_string(v) || !max || n_characters(v) <= (size_t)json_integer_value(max);
}

static bool fits(const json_t *root, const json_t *s, const json_t *v)
{
    const char *ref = json_string_value(json_object_get(s, "$ref"));
    if (json_is_boolean(s)) return json_is_true(s);
    if (ref) {
        const json_t *defs = json_object_get(root, "$defs");
        if (!fits(root, strlen(ref) == 1 ? root : json_object_get(defs, ref + 8), v)) return false;
    }
    const json_t *any = json_object_get(s, "anyOf"), *one = json_object_get(s, "oneOf");
    if (any && n_fitting(root, any, v) == 0) return false;
    if (one && n_fitting(root, one, v) != 1) return false;
    if (json_is_object(v) && !fits_object(root, s, v)) return false;
    if (json_is_array(v) && !fits_array(root, s, v)) return false;
    return fits_scalar(s, v);
}

/* ---- walks ---- */

static const char *const added[] = {"<end>", "<other>", NULL};

static vt_tokenizer *tokenizer(void)
{
    static small_vocabulary v;
    static const char *const merges[] = {"{ \"", "\" :",  "\" ,", "\" }", "a b", "t r",
                                         "tr u", "tru e", "n a",  "1 2",  NULL};
    vt_tokenizer *t = NULL;
    vt_err err = {0};
    small_init(&v, VT_SPLIT_QWEN2, merges, added);
    if (vt__tokenizer_new(&v.source, &t, &err) != VT_OK) fail_msg("%s", err.msg);
    return t;
}

static uint32_t next_random(uint64_t *s)
{
    *s = *s * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*s >> 33);
}

/* At random, but after a while what closes something is taken where it may come. */
static int32_t choose(const vt_constraint *c, const vt_tokenizer *t, int32_t end, bool hurries,
                      uint64_t *seed)
{
    vt_allowed a = vt_constraint_allowed(c);
    assert_int_equal(a.kind, VT_ALLOW_ONLY);
    assert_true(a.n > 0);
    if (vt_constraint_allows(c, end)) return end;
    for (size_t i = 0; hurries && i < a.n; i++) {
        vt_slice bytes = vt_tokenizer_bytes(t, a.ids[i]);
        if (bytes.len == 1 && strchr("\"}]", bytes.ptr[0])) return a.ids[i];
    }
    return a.ids[next_random(seed) % a.n];
}

/* What is foreseen after `text`; nothing of the constraint changes by asking. Returns the bytes. */
static void foresee(vt_constraint *c, const vt_tokenizer *t, vt_buffer *out)
{
    int32_t ids[8];
    const vt_allowed before = vt_constraint_allowed(c);
    vt_buffer list;
    vt_buffer_init(&list, 0);
    vt_buffer_append(&list,
                     vt_slice_of((const char *)(const void *)before.ids, before.n * sizeof *ids));
    const size_t n = vt_constraint_foresee(c, ids, VT_COUNT(ids));
    const vt_allowed after = vt_constraint_allowed(c);
    assert_true(n <= VT_COUNT(ids));
    assert_int_equal(after.n * sizeof *ids, list.len);
    if (list.len > 0) assert_memory_equal(after.ids, list.ptr, list.len);
    if (n > 0) assert_true(vt_constraint_allows(c, ids[0]));
    if (before.n == 1) assert_true(n > 0);
    out->len = 0;
    for (size_t i = 0; i < n; i++) vt_buffer_append(out, vt_tokenizer_bytes(t, ids[i]));
    vt_buffer_deinit(&list);
}

static size_t n_foreseen; /* bytes */

static void walk(const char *schema_text, uint64_t seed)
{
    vt_tokenizer *t = tokenizer();
    json_t *schema = parse(schema_text), *value = NULL;
    vt_constraint *c = NULL;
    vt_err err = {0};
    vt_buffer text, due; /* due: what must come behind the first `at` bytes of text */
    size_t at = 0;
    int32_t end = vt_tokenizer_control(t, VT_S("<end>"));
    vt_buffer_init(&text, 0);
    vt_buffer_init(&due, 0);
    if (vt_constraint_schema_new(t, schema, &end, 1, &c, &err) != VT_OK) fail_msg("%s", err.msg);
    for (int n = 0;; n++) {
        assert_true(n < 20000);
        if (text.len >= at + due.len) {
            if (due.len > 0) assert_memory_equal(text.ptr + at, due.ptr, due.len);
            at = text.len;
            foresee(c, t, &due);
            n_foreseen += due.len;
        }
        int32_t id = choose(c, t, end, n > 60, &seed);
        assert_true(vt_constraint_accept(c, id));
        if (id == end) break;
        assert_true(vt_tokenizer_is_text(t, id));
        vt_buffer_append(&text, vt_tokenizer_bytes(t, id));
    }
    assert_int_equal(vt_constraint_allowed(c).n, 0);
    if (vt_json_parse(vt_buffer_slice(&text), &value, &err) != VT_OK) {
        value = json_loadb(text.ptr, text.len, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
        if (value == NULL) fail_msg("%s: %s", err.msg, text.ptr);
    }
    if (!fits(schema, schema, value)) fail_msg("%s does not fit %s", text.ptr, schema_text);
    json_decref(value);
    json_decref(schema);
    vt_buffer_deinit(&due);
    vt_buffer_deinit(&text);
    vt_constraint_free(c);
    vt_tokenizer_free(t);
}

static void test_every_random_walk_ends_in_json_that_fits(void **state)
{
    (void)state;
    const char *const all[] = {person,   tree,       pair,     shapes,  map,
                               anything, top_number, top_enum, branches};
    for (size_t i = 0; i < VT_COUNT(all); i++)
        for (uint64_t seed = 1; seed <= 20; seed++) walk(all[i], seed * 77 + i);
    assert_true(n_foreseen > 1000);
}

static void test_what_can_be_written_in_one_way_only_is_foreseen(void **state)
{
    (void)state;
    static const struct {
        const char *start, *next;
    } cases[] = {{"", "{"},
                 {"{\"", "name\":"},
                 {"{\"na", "me\":"},
                 {"{\"name\":\"", ""},
                 {"{\"name\":\"12345678", "\","}, /* full: 8 characters */
                 {"{\"name\":\"x\",\"t", "ag\":"},
                 {"{\"name\":\"x\",\"tag\":n", "ull"}};
    vt_tokenizer *t = tokenizer();
    json_t *schema = parse(person);
    int32_t end = vt_tokenizer_control(t, VT_S("<end>"));
    vt_buffer got;
    vt_buffer_init(&got, 0);
    for (size_t k = 0; k < VT_COUNT(cases); k++) {
        vt_constraint *c = NULL;
        assert_int_equal(vt_constraint_schema_new(t, schema, &end, 1, &c, NULL), VT_OK);
        for (const char *p = cases[k].start; *p; p++) {
            int32_t id = -1;
            for (int32_t i = 0; i < 256 && id < 0; i++)
                if (vt_slice_eq(vt_tokenizer_bytes(t, i), vt_slice_of(p, 1))) id = i;
            assert_true(vt_constraint_accept(c, id));
        }
        foresee(c, t, &got);
        if (!vt_slice_eq(vt_buffer_slice(&got), vt_slice_cstr(cases[k].next)))
            fail_msg("after %s: '%.*s'", cases[k].start, VT_ARG(vt_buffer_slice(&got)));
        vt_constraint_free(c);
    }
    vt_buffer_deinit(&got);
    json_decref(schema);
    vt_tokenizer_free(t);
}

/* The mask is what the bytes of each token say. */
static void test_the_mask_is_what_the_bytes_of_each_token_say(void **state)
{
    (void)state;
    static const char *const starts[] = {"",
                                         "{\"name\":\"",
                                         "{\"name\":\"1234567",
                                         "{\"name\":\"x\"",
                                         "{\"name\":\"\xc3",
                                         "{\"name\":\"\\"};
    vt_tokenizer *t = tokenizer();
    json_t *schema = parse(person);
    int32_t end = vt_tokenizer_control(t, VT_S("<end>"));
    for (size_t k = 0; k < VT_COUNT(starts); k++) {
        vt_constraint *c = NULL;
        assert_int_equal(vt_constraint_schema_new(t, schema, &end, 1, &c, NULL), VT_OK);
        for (const char *p = starts[k]; *p; p++) {
            int32_t id = -1;
            for (int32_t i = 0; i < 256 && id < 0; i++)
                if (vt_slice_eq(vt_tokenizer_bytes(t, i), vt_slice_of(p, 1))) id = i;
            assert_true(vt_constraint_accept(c, id));
        }
        for (int32_t id = 0; id < (int32_t)vt_tokenizer_n_vocab(t); id++) {
            char text[128];
            vt_slice bytes = vt_tokenizer_bytes(t, id);
            int n = snprintf(text, sizeof text, "%s%.*s", starts[k], VT_ARG(bytes));
            bool is_whole = bytes.len > 0 && (size_t)n == strlen(starts[k]) + bytes.len;
            bool want = is_whole && vt_tokenizer_is_text(t, id) && judge(person, text) != REFUSED;
            if (vt_constraint_allows(c, id) != want) fail_msg("token %d after %s", id, starts[k]);
        }
        vt_constraint_free(c);
    }
    json_decref(schema);
    vt_tokenizer_free(t);
}

/* ---- schemas that are refused ---- */

static void check_error(const char *schema_text, vt_status want, const char *word)
{
    json_t *schema = parse(schema_text);
    vt_schema s;
    vt_err err = {0};
    vt_status st = vt_schema_compile(schema, &s, &err);
    if (st != want || strstr(err.msg, word) == NULL)
        fail_msg("%s: %d %s (wanted %d, %s)", schema_text, st, err.msg, want, word);
    vt_schema_deinit(&s);
    json_decref(schema);
}

static void test_every_keyword_that_is_not_supported_is_refused_by_its_name(void **state)
{
    (void)state;
    static const char *const names[] = {
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
        "pattern",
        "format",
        "patternProperties",
        "propertyNames",
        "minProperties",
        "maxProperties",
        "prefixItems",
        "additionalItems",
        "uniqueItems",
        "contains",
        "minContains",
        "maxContains",
        "allOf",
        "not",
        "if",
        "then",
        "else",
        "dependentRequired",
        "dependentSchemas",
        "dependencies",
        "unevaluatedItems",
        "$dynamicRef",
        "$recursiveRef",
        "contentEncoding",
        "contentMediaType",
        "unevaluatedProperties",
        "nullable",
    };
    for (size_t i = 0; i < VT_COUNT(names); i++) {
        char text[160], place[80];
        snprintf(text, sizeof text, "{\"properties\":{\"a~/\":{\"type\":\"string\",\"%s\":1}}}",
                 names[i]);
        snprintf(place, sizeof place, "'%s' is not supported, at #/properties/a~0~1", names[i]);
        check_error(text, VT_EUNSUPPORTED, place);
    }
    check_error("{\"type\":\"object\",\"anyOf\":[{}]}", VT_EUNSUPPORTED, "'type' beside 'anyOf'");
    check_error("{\"enum\":[1],\"minLength\":1}", VT_EUNSUPPORTED, "'minLength' beside 'enum'");
    check_error("{\"$ref\":\"http://x/y\"}", VT_EUNSUPPORTED, "http://x/y");
    check_error("{\"oneOf\":[{\"type\":\"string\"},{\"const\":\"a\"}]}", VT_EUNSUPPORTED, "oneOf");
    check_error("{\"oneOf\":[{\"type\":\"number\"},{\"type\":\"integer\"}]}", VT_EUNSUPPORTED,
                "oneOf");
}

static void test_schemas_that_no_value_fits_or_that_are_none_are_errors(void **state)
{
    (void)state;
    check_error("{\"$ref\":\"#\"}", VT_EINPUT, "back to itself");
    check_error("{\"anyOf\":[{\"$ref\":\"#\"},{\"$ref\":\"#\"}]}", VT_EINPUT, "back to itself");
    check_error("{\"properties\":{\"a\":{\"$ref\":\"#\"}},\"required\":[\"a\"]}", VT_EINPUT,
                "no value");
    check_error("{\"type\":\"array\",\"items\":{\"$ref\":\"#\"},\"minItems\":1}", VT_EINPUT,
                "no value");
    check_error("{\"enum\":[]}", VT_EINPUT, "enum");
    check_error("{\"type\":\"string\",\"enum\":[1]}", VT_EINPUT, "enum");
    check_error("{\"type\":\"text\"}", VT_EINPUT, "text");
    check_error("{\"minItems\":2,\"maxItems\":1}", VT_EINPUT, "minItems");
    check_error("{\"minLength\":-1}", VT_EINPUT, "minLength");
    check_error("{\"required\":[\"a\"],\"additionalProperties\":false}", VT_EINPUT, "'a'");
    check_error("[]", VT_EINPUT, "object");
}

static void test_hostile_schemas_meet_limits(void **state)
{
    (void)state;
    vt_buffer deep, wide;
    vt_buffer_init(&deep, 0);
    vt_buffer_init(&wide, 0);
    for (int i = 0; i < 200; i++) vt_buffer_append(&deep, VT_S("{\"items\":"));
    vt_buffer_append(&deep, VT_S("{}"));
    for (int i = 0; i < 200; i++) vt_buffer_byte(&deep, '}');
    check_error(deep.ptr, VT_ELIMIT, "deep");
    vt_buffer_append(&wide, VT_S("{\"enum\":[0"));
    for (int i = 1; i < 10000; i++) vt_buffer_printf(&wide, ",%d", i);
    vt_buffer_append(&wide, VT_S("]}"));
    check_error(wide.ptr, VT_ELIMIT, "too large");
    vt_buffer_deinit(&deep);
    vt_buffer_deinit(&wide);
}

static void test_every_failed_allocation_is_an_error(void **state)
{
    (void)state;
    const char *const all[] = {tree, shapes, map};
    vt_tokenizer *t = tokenizer();
    int32_t end = vt_tokenizer_control(t, VT_S("<end>"));
    for (size_t i = 0; i < VT_COUNT(all); i++) {
        json_t *schema = parse(all[i]);
        vt_status st = VT_ENOMEM;
        uint64_t n = 0;
        while (st != VT_OK) {
            vt_constraint *c = NULL;
            vt_err err = {0};
            assert_true(++n < 1000);
            vt_alloc_fail_nth(n);
            st = vt_constraint_schema_new(t, schema, &end, 1, &c, &err);
            vt_alloc_fail_nth(0);
            /* A buffer does not tell memory from its ceiling. */
            assert_true(st == VT_OK || st == VT_ENOMEM || st == VT_ELIMIT);
            assert_true(st == VT_OK || (err.code == st && err.msg[0] != '\0'));
            vt_constraint_free(c);
        }
        assert_true(n > 10);
        json_decref(schema);
    }
    vt_tokenizer_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_fits_is_accepted),
        cmocka_unit_test(test_what_does_not_fit_is_refused_at_once),
        cmocka_unit_test(test_every_random_walk_ends_in_json_that_fits),
        cmocka_unit_test(test_what_can_be_written_in_one_way_only_is_foreseen),
        cmocka_unit_test(test_the_mask_is_what_the_bytes_of_each_token_say),
        cmocka_unit_test(test_every_keyword_that_is_not_supported_is_refused_by_its_name),
        cmocka_unit_test(test_schemas_that_no_value_fits_or_that_are_none_are_errors),
        cmocka_unit_test(test_hostile_schemas_meet_limits),
        cmocka_unit_test(test_every_failed_allocation_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
