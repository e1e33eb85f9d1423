/* schema_compile.c -- see schema.h: from JSON to the table of nodes.
 *
 * A $ref becomes a union of one branch; when all nodes are there, unions are flattened (a union
 * that leads back to itself without a value in between is an error) and the depth of the flattest
 * value of each node is found by iteration: a node that never gets one has no finite value. */
#include "engine/schema.h"

#include <stdlib.h>

#include "base/alloc.h"

enum { NEVER = 1 << 20, MAX_REFERENCES = 1024 };

typedef struct {
    const json_t *schema;
    int32_t node;
} reference;

/* A oneOf: its branches are in the table, its place in `places`. */
typedef struct {
    uint32_t first, n;
    vt_schema_text place;
} choice;

typedef struct {
    vt_schema *s;
    const json_t *root;
    vt_buffer path; /* where we are, as a JSON pointer */
    reference *references;
    size_t n_references, cap_references;
    unsigned depth;
    int32_t any;     /* the node of any value, or VT_SCHEMA_NONE when nobody asked */
    size_t n_steps;  /* of flatten */
    choice *choices; /* every oneOf: looked at when all nodes are there */
    size_t n_choices, cap_choices;
    vt_buffer places; /* of the choices */
    vt_err *err;
} compiler;

/* ---- failing, with the place ---- */

static vt_status fail_at(compiler *c, vt_status code, const char *fmt, ...) VT_PRINTF(3, 4);

static vt_status fail_at(compiler *c, vt_status code, const char *fmt, ...)
{
    char what[200];
    va_list args;
    va_start(args, fmt);
    vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    vt_slice path = vt_slice_take(vt_buffer_slice(&c->path), 120);
    return vt_fail(c->err, code, "schema: %s, at #%.*s", what, VT_ARG(path));
}

static vt_status no_memory(compiler *c)
{
    return vt_fail(c->err, VT_ENOMEM, "out of memory for a schema");
}

/* ---- the path ---- */

static size_t enter(compiler *c, vt_slice name)
{
    size_t len = c->path.len;
    vt_buffer_byte(&c->path, '/');
    for (size_t i = 0; i < name.len; i++) {
        if (name.ptr[i] == '~') vt_buffer_append(&c->path, VT_S("~0"));
        else if (name.ptr[i] == '/') vt_buffer_append(&c->path, VT_S("~1"));
        else vt_buffer_byte(&c->path, name.ptr[i]);
    }
    return len;
}

static size_t enter_index(compiler *c, size_t i)
{
    size_t len = c->path.len;
    vt_buffer_printf(&c->path, "/%zu", i);
    return len;
}

static void leave(compiler *c, size_t len)
{
    c->path.len = len;
    if (c->path.ptr != NULL) c->path.ptr[len] = '\0';
}

/* ---- growing tables ---- */

static vt_status grow(compiler *c, void **ptr, size_t *cap, size_t need, size_t size, size_t limit)
{
    if (vt_grow(ptr, cap, need, size, limit)) return VT_OK;
    if (need <= limit) return no_memory(c);
    return fail_at(c, VT_ELIMIT, "it is too large (a table of %zu entries is full)", limit);
}

static vt_status add_node(compiler *c, vt_schema_kind kind, int32_t *out)
{
    vt_schema *s = c->s;
    vt_status st = grow(c, (void **)&s->nodes, &s->cap_nodes, s->n_nodes + 1, sizeof *s->nodes,
                        VT_SCHEMA_NODES);
    if (st != VT_OK) return st;
    *out = (int32_t)s->n_nodes;
    s->nodes[s->n_nodes++] = (vt_schema_node){.kind = kind, .child = VT_SCHEMA_NONE};
    return VT_OK;
}

static vt_status add_branches(compiler *c, int32_t node, const int32_t *branches, size_t n)
{
    vt_schema *s = c->s;
    if (n > VT_SCHEMA_BRANCHES)
        return fail_at(c, VT_ELIMIT, "more than %d alternatives", VT_SCHEMA_BRANCHES);
    vt_status st = grow(c, (void **)&s->branches, &s->cap_branches, s->n_branches + n,
                        sizeof *s->branches, VT_SCHEMA_NODES * VT_SCHEMA_BRANCHES);
    if (st != VT_OK) return st;
    s->nodes[node].kind = VT_NODE_UNION;
    s->nodes[node].first = (uint32_t)s->n_branches;
    s->nodes[node].n = (uint32_t)n;
    memcpy(s->branches + s->n_branches, branches, n * sizeof *branches);
    s->n_branches += n;
    return VT_OK;
}

static vt_status add_text(compiler *c, vt_slice text, vt_schema_text *out)
{
    vt_schema *s = c->s;
    if (text.len > vt_buffer_room(&s->bytes))
        return fail_at(c, VT_ELIMIT, "names and values are longer than %d bytes", VT_SCHEMA_BYTES);
    *out = (vt_schema_text){(uint32_t)s->bytes.len, (uint32_t)text.len};
    return vt_buffer_append(&s->bytes, text) ? VT_OK : no_memory(c);
}

static vt_status add_literal(compiler *c, vt_slice text)
{
    vt_schema *s = c->s;
    vt_status st = grow(c, (void **)&s->texts, &s->cap_texts, s->n_texts + 1, sizeof *s->texts,
                        VT_SCHEMA_TEXTS);
    if (st == VT_OK) st = add_text(c, text, &s->texts[s->n_texts]);
    if (st == VT_OK) s->n_texts++;
    return st;
}

/* ---- keywords ---- */

typedef enum {
    KEY_ANNOTATION,
    KEY_DEFINITIONS, /* looked at where a $ref leads to them */
    KEY_TYPE,
    KEY_VALUES, /* these leave room for a type only */
    KEY_ALONE,
    KEY_OBJECT,
    KEY_ARRAY,
    KEY_STRING,
} keyword_class;

static const struct {
    const char *name;
    keyword_class class;
} keywords[] = {
    {"title", KEY_ANNOTATION},    {"description", KEY_ANNOTATION},
    {"default", KEY_ANNOTATION},  {"examples", KEY_ANNOTATION},
    {"$schema", KEY_ANNOTATION},  {"$id", KEY_ANNOTATION},
    {"$comment", KEY_ANNOTATION}, {"deprecated", KEY_ANNOTATION},
    {"readOnly", KEY_ANNOTATION}, {"writeOnly", KEY_ANNOTATION},
    {"$defs", KEY_DEFINITIONS},   {"definitions", KEY_DEFINITIONS},
    {"type", KEY_TYPE},           {"enum", KEY_VALUES},
    {"const", KEY_VALUES},        {"anyOf", KEY_ALONE},
    {"oneOf", KEY_ALONE},         {"$ref", KEY_ALONE},
    {"properties", KEY_OBJECT},   {"required", KEY_OBJECT},
    {"items", KEY_ARRAY},         {"minItems", KEY_ARRAY},
    {"maxItems", KEY_ARRAY},      {"minLength", KEY_STRING},
    {"maxLength", KEY_STRING},    {"additionalProperties", KEY_OBJECT},
};

/* What a schema has: a bit for each class, and the name of one keyword of each. */
typedef struct {
    unsigned classes;
    const char *names[KEY_STRING + 1];
} contents;

static bool has(const contents *k, keyword_class class)
{
    return (k->classes >> class & 1) != 0;
}

static vt_status list_contents(compiler *c, const json_t *schema, contents *out)
{
    const char *name;
    json_t *value;
    *out = (contents){0};
    json_object_foreach((json_t *)schema, name, value)
    {
        size_t i = 0;
        while (i < VT_COUNT(keywords) && strcmp(keywords[i].name, name) != 0) i++;
        if (i == VT_COUNT(keywords))
            return fail_at(c, VT_EUNSUPPORTED, "the keyword '%.60s' is not supported", name);
        keyword_class class = keywords[i].class;
        bool is_second = has(out, class) && (class == KEY_VALUES || class == KEY_ALONE);
        if (is_second)
            return fail_at(c, VT_EUNSUPPORTED, "'%s' beside '%s' is not supported", name,
                           out->names[class]);
        out->classes |= 1u << class;
        out->names[class] = keywords[i].name;
    }
    for (unsigned class = KEY_TYPE; class <= KEY_STRING; class ++) {
        bool clashes =
            has(out, KEY_ALONE) ? class != KEY_ALONE : has(out, KEY_VALUES) && class > KEY_VALUES;
        if (clashes && has(out, class))
            return fail_at(c, VT_EUNSUPPORTED, "'%s' beside '%s' is not supported",
                           out->names[class],
                           out->names[has(out, KEY_ALONE) ? KEY_ALONE : KEY_VALUES]);
    }
    return VT_OK;
}

static vt_status read_bound(compiler *c, const json_t *schema, const char *name, uint32_t absent,
                            uint32_t *out)
{
    const json_t *v = json_object_get(schema, name);
    *out = absent;
    if (v == NULL) return VT_OK;
    json_int_t n = json_integer_value(v);
    if (!json_is_integer(v) || n < 0 || n >= INT32_MAX)
        return fail_at(c, VT_EINPUT, "'%s' is not a count", name);
    *out = (uint32_t)n;
    return VT_OK;
}

static vt_status read_bounds(compiler *c, const json_t *schema, const char *min, const char *max,
                             vt_schema_node *node)
{
    vt_status st = read_bound(c, schema, min, 0, &node->min);
    if (st == VT_OK) st = read_bound(c, schema, max, UINT32_MAX, &node->max);
    if (st == VT_OK && node->min > node->max)
        st = fail_at(c, VT_EINPUT, "'%s' is more than '%s'", min, max);
    return st;
}

/* ---- values ---- */

typedef enum {
    TYPE_STRING = 1,
    TYPE_INTEGER = 2,
    TYPE_NUMBER = 4,
    TYPE_BOOLEAN = 8,
    TYPE_NULL = 16,
    TYPE_OBJECT = 32,
    TYPE_ARRAY = 64,
    TYPE_ALL = 127,
} type_bits;

static const struct {
    const char *name;
    type_bits bit;
} types[] = {
    {"string", TYPE_STRING},   {"integer", TYPE_INTEGER}, {"number", TYPE_NUMBER},
    {"boolean", TYPE_BOOLEAN}, {"null", TYPE_NULL},       {"object", TYPE_OBJECT},
    {"array", TYPE_ARRAY},
};

static unsigned bits_of(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_STRING: return TYPE_STRING;
    case JSON_INTEGER: return TYPE_INTEGER | TYPE_NUMBER;
    case JSON_REAL: return TYPE_NUMBER;
    case JSON_OBJECT: return TYPE_OBJECT;
    case JSON_ARRAY: return TYPE_ARRAY;
    case JSON_NULL: return TYPE_NULL;
    default: return TYPE_BOOLEAN;
    }
}

static vt_status read_type(compiler *c, const json_t *type, unsigned *bits)
{
    const char *name = json_string_value(type);
    for (size_t i = 0; name != NULL && i < VT_COUNT(types); i++) {
        if (strcmp(types[i].name, name) != 0) continue;
        *bits |= types[i].bit;
        return VT_OK;
    }
    return fail_at(c, VT_EINPUT, "'type' is no type of JSON: '%.40s'", name ? name : "?");
}

static vt_status read_types(compiler *c, const json_t *schema, const contents *k, unsigned *bits)
{
    const json_t *type = json_object_get(schema, "type");
    *bits = 0;
    if (type == NULL) {
        if (has(k, KEY_OBJECT)) *bits |= TYPE_OBJECT;
        if (has(k, KEY_ARRAY)) *bits |= TYPE_ARRAY;
        if (has(k, KEY_STRING)) *bits |= TYPE_STRING;
        if (*bits == 0) *bits = TYPE_ALL;
        return VT_OK;
    }
    if (!json_is_array(type)) return read_type(c, type, bits);
    vt_status st = VT_OK;
    for (size_t i = 0; i < json_array_size(type) && st == VT_OK; i++)
        st = read_type(c, json_array_get(type, i), bits);
    if (st == VT_OK && *bits == 0) st = fail_at(c, VT_EINPUT, "'type' names no type");
    return st;
}

static int compare_texts(const void *a, const void *b, void *ctx)
{
    const vt_schema *s = ctx;
    const vt_schema_text *x = a, *y = b;
    size_t len = x->len < y->len ? x->len : y->len;
    int order = memcmp(s->bytes.ptr + x->offset, s->bytes.ptr + y->offset, len);
    return order != 0 ? order : (x->len > y->len) - (x->len < y->len);
}

/* The literals from `first` on become those of `node`: in order, each once. */
static void close_literals(compiler *c, int32_t node, size_t first)
{
    vt_schema *s = c->s;
    vt_schema_text *t = s->texts + first;
    size_t n = s->n_texts - first, n_kept = 0;
    qsort_r(t, n, sizeof *t, compare_texts, s);
    for (size_t i = 0; i < n; i++)
        if (n_kept == 0 || compare_texts(&t[n_kept - 1], &t[i], s) != 0) t[n_kept++] = t[i];
    s->n_texts = first + n_kept;
    s->nodes[node].kind = VT_NODE_LITERALS;
    s->nodes[node].first = (uint32_t)first;
    s->nodes[node].n = (uint32_t)n_kept;
}

/* In the fewest digits that read back the same. */
static vt_status add_value(compiler *c, const json_t *value)
{
    vt_status st = VT_OK;
    bool is_exact = false;
    for (size_t digits = 15; digits <= 17 && st == VT_OK && !is_exact; digits++) {
        size_t flags = JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(digits);
        char *text = json_dumps(value, flags);
        json_t *again = text ? json_loads(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL) : NULL;
        is_exact = again != NULL && json_equal(again, value) != 0;
        if (again == NULL) st = no_memory(c);
        else if (is_exact || digits == 17) st = add_literal(c, vt_slice_cstr(text));
        json_decref(again);
        free(text);
    }
    return st;
}

static vt_status compile_values(compiler *c, const json_t *schema, unsigned bits, int32_t node)
{
    const json_t *constant = json_object_get(schema, "const");
    const json_t *list = json_object_get(schema, "enum");
    size_t first = c->s->n_texts;
    vt_status st = VT_OK;
    if (constant == NULL && !json_is_array(list))
        return fail_at(c, VT_EINPUT, "'enum' is not an array");
    for (size_t i = 0; st == VT_OK && i < (constant ? 1 : json_array_size(list)); i++) {
        const json_t *value = constant ? constant : json_array_get(list, i);
        if ((bits_of(value) & bits) != 0) st = add_value(c, value);
    }
    if (st == VT_OK && c->s->n_texts == first)
        st = fail_at(c, VT_EINPUT, "no value of '%s' is allowed", constant ? "const" : "enum");
    if (st == VT_OK) close_literals(c, node, first);
    return st;
}

/* ---- objects and arrays ---- */

static vt_status compile(compiler *c, const json_t *schema, int32_t *out);

static vt_status compile_any(compiler *c, int32_t *out)
{
    vt_status st = VT_OK;
    if (c->any < 0) {
        int32_t node = VT_SCHEMA_NONE;
        st = add_node(c, VT_NODE_UNION, &node);
        c->any = node; /* before it is complete: it contains itself */
        static const vt_schema_kind kinds[] = {VT_NODE_STRING, VT_NODE_NUMBER, VT_NODE_LITERALS,
                                               VT_NODE_OBJECT, VT_NODE_ARRAY};
        int32_t branches[VT_COUNT(kinds)];
        for (size_t i = 0; i < VT_COUNT(kinds) && st == VT_OK; i++) {
            st = add_node(c, kinds[i], &branches[i]);
            if (st != VT_OK) break;
            c->s->nodes[branches[i]].max = UINT32_MAX;
            if (kinds[i] == VT_NODE_OBJECT || kinds[i] == VT_NODE_ARRAY)
                c->s->nodes[branches[i]].child = node;
        }
        size_t first = c->s->n_texts;
        if (st == VT_OK) st = add_literal(c, VT_S("true"));
        if (st == VT_OK) st = add_literal(c, VT_S("false"));
        if (st == VT_OK) st = add_literal(c, VT_S("null"));
        if (st == VT_OK) close_literals(c, branches[2], first);
        if (st == VT_OK) st = add_branches(c, node, branches, VT_COUNT(kinds));
    }
    *out = c->any;
    return st;
}

static bool is_listed(const json_t *required, vt_slice name)
{
    for (size_t i = 0; i < json_array_size(required); i++)
        if (vt_slice_eq(vt_json_text(json_array_get(required, i)), name)) return true;
    return false;
}

static vt_status describe(compiler *c, vt_slice name, vt_schema_property *p)
{
    vt_buffer text;
    vt_buffer_init(&text, VT_SCHEMA_BYTES);
    json_t *string = vt_json_string(name);
    vt_status st = string ? vt_json_write(string, &text, c->err) : no_memory(c);
    if (st == VT_OK) st = add_text(c, vt_buffer_slice(&text), &p->name);
    p->hash = VT_SCHEMA_HASH_BASE;
    for (size_t i = 0; i < name.len; i++) p->hash = vt_schema_hash(p->hash, (uint8_t)name.ptr[i]);
    json_decref(string);
    vt_buffer_deinit(&text);
    return st;
}

/* The properties of an object while it is read: those of nested objects are laid down before. */
typedef struct {
    vt_schema_property *at;
    size_t n;
} property_list;

static vt_status add_property(compiler *c, property_list *list, vt_slice name, vt_schema_property p)
{
    if (list->n == VT_SCHEMA_PROPERTIES)
        return fail_at(c, VT_ELIMIT, "an object with more than %d properties",
                       VT_SCHEMA_PROPERTIES);
    vt_status st = describe(c, name, &p);
    if (st == VT_OK) list->at[list->n++] = p;
    return st;
}

static vt_status read_properties(compiler *c, const json_t *schema, property_list *list)
{
    const json_t *required = json_object_get(schema, "required");
    json_t *properties = json_object_get(schema, "properties");
    const char *name;
    size_t len;
    json_t *value;
    vt_status st = VT_OK;
    if (properties != NULL && !json_is_object(properties))
        return fail_at(c, VT_EINPUT, "'properties' is not an object");
    size_t outer = enter(c, VT_S("properties"));
    json_object_keylen_foreach(properties, name, len, value)
    {
        vt_slice text = vt_slice_of(name, len);
        size_t path = enter(c, text);
        vt_schema_property p = {.is_required = is_listed(required, text)};
        st = compile(c, value, &p.node);
        if (st == VT_OK) st = add_property(c, list, text, p);
        if (st != VT_OK) return st;
        leave(c, path);
    }
    leave(c, outer);
    return VT_OK;
}

static vt_status read_others(compiler *c, const json_t *schema, int32_t *out)
{
    const json_t *others = json_object_get(schema, "additionalProperties");
    *out = VT_SCHEMA_NONE;
    if (json_is_false(others)) return VT_OK;
    if (others == NULL && json_object_size(json_object_get(schema, "properties")) > 0) return VT_OK;
    if (others == NULL) return compile_any(c, out);
    size_t path = enter(c, VT_S("additionalProperties"));
    vt_status st = compile(c, others, out);
    if (st == VT_OK) leave(c, path);
    return st;
}

/* Names in `required` that `properties` doesn't have. */
static vt_status read_required(compiler *c, const json_t *schema, int32_t others,
                               property_list *list)
{
    const json_t *required = json_object_get(schema, "required");
    const json_t *properties = json_object_get(schema, "properties");
    vt_status st = VT_OK;
    if (required != NULL && !json_is_array(required))
        return fail_at(c, VT_EINPUT, "'required' is not an array");
    for (size_t i = 0; i < json_array_size(required) && st == VT_OK; i++) {
        const json_t *item = json_array_get(required, i);
        vt_slice name = vt_json_text(item);
        if (!json_is_string(item)) return fail_at(c, VT_EINPUT, "'required' holds no name");
        bool is_known = json_object_getn(properties, name.ptr, name.len) != NULL;
        for (size_t j = 0; j < i && !is_known; j++)
            is_known = vt_slice_eq(vt_json_text(json_array_get(required, j)), name);
        if (is_known) continue;
        vt_schema_property p = {.node = others, .is_required = true};
        if (json_is_false(json_object_get(schema, "additionalProperties")))
            return fail_at(c, VT_EINPUT, "'required' names '%.*s', which is not allowed",
                           VT_ARG(vt_slice_take(name, 60)));
        if (others < 0) st = compile_any(c, &p.node);
        if (st == VT_OK) st = add_property(c, list, name, p);
    }
    return st;
}

static vt_status compile_object(compiler *c, const json_t *schema, int32_t node)
{
    vt_schema *s = c->s;
    int32_t others = VT_SCHEMA_NONE;
    if (json_array_size(json_object_get(schema, "required")) > VT_SCHEMA_PROPERTIES)
        return fail_at(c, VT_ELIMIT, "'required' has more than %d names", VT_SCHEMA_PROPERTIES);
    property_list list = {.at = vt_calloc(VT_SCHEMA_PROPERTIES, sizeof *list.at)};
    if (list.at == NULL) return no_memory(c);
    vt_status st = read_properties(c, schema, &list);
    if (st == VT_OK) st = read_others(c, schema, &others);
    if (st == VT_OK) st = read_required(c, schema, others, &list);
    for (size_t i = list.n; i-- > 0;)
        list.at[i].last =
            (uint32_t)(list.at[i].is_required || i + 1 == list.n ? i : list.at[i + 1].last);
    if (st == VT_OK)
        st = grow(c, (void **)&s->properties, &s->cap_properties, s->n_properties + list.n,
                  sizeof *s->properties, VT_SCHEMA_TEXTS);
    if (st == VT_OK) {
        if (list.n > 0) memcpy(s->properties + s->n_properties, list.at, list.n * sizeof *list.at);
        s->nodes[node] = (vt_schema_node){.kind = VT_NODE_OBJECT,
                                          .first = (uint32_t)s->n_properties,
                                          .n = (uint32_t)list.n,
                                          .child = others};
        s->n_properties += list.n;
    }
    vt_free(list.at);
    return st;
}

static vt_status compile_array(compiler *c, const json_t *schema, int32_t node)
{
    vt_schema_node array = {.kind = VT_NODE_ARRAY};
    const json_t *items = json_object_get(schema, "items");
    vt_status st = read_bounds(c, schema, "minItems", "maxItems", &array);
    if (st == VT_OK && items == NULL) st = compile_any(c, &array.child);
    if (st == VT_OK && items != NULL) {
        size_t path = enter(c, VT_S("items"));
        st = compile(c, items, &array.child);
        if (st == VT_OK) leave(c, path);
    }
    if (st == VT_OK) c->s->nodes[node] = array;
    return st;
}

/* ---- types ---- */

static vt_status compile_words(compiler *c, unsigned bits, int32_t node)
{
    size_t first = c->s->n_texts;
    vt_status st = VT_OK;
    if ((bits & TYPE_NULL) != 0) st = add_literal(c, VT_S("null"));
    if (st == VT_OK && (bits & TYPE_BOOLEAN) != 0) {
        st = add_literal(c, VT_S("true"));
        if (st == VT_OK) st = add_literal(c, VT_S("false"));
    }
    if (st == VT_OK) close_literals(c, node, first);
    return st;
}

static vt_status compile_one_type(compiler *c, const json_t *schema, unsigned bits, int32_t node)
{
    if ((bits & TYPE_OBJECT) != 0) return compile_object(c, schema, node);
    if ((bits & TYPE_ARRAY) != 0) return compile_array(c, schema, node);
    if ((bits & (TYPE_NULL | TYPE_BOOLEAN)) != 0) return compile_words(c, bits, node);
    vt_schema_node scalar = {.kind = VT_NODE_NUMBER, .child = VT_SCHEMA_NONE};
    if ((bits & TYPE_INTEGER) != 0) scalar.kind = VT_NODE_INTEGER;
    vt_status st = VT_OK;
    if ((bits & TYPE_STRING) != 0) {
        scalar.kind = VT_NODE_STRING;
        st = read_bounds(c, schema, "minLength", "maxLength", &scalar);
    }
    if (st == VT_OK) c->s->nodes[node] = scalar;
    return st;
}

static vt_status compile_types(compiler *c, const json_t *schema, unsigned bits, int32_t node)
{
    static const unsigned groups[] = {
        TYPE_STRING, TYPE_NUMBER, TYPE_INTEGER, TYPE_BOOLEAN | TYPE_NULL, TYPE_OBJECT, TYPE_ARRAY};
    int32_t branches[VT_COUNT(groups)];
    size_t n = 0;
    if ((bits & TYPE_NUMBER) != 0) bits &= ~(unsigned)TYPE_INTEGER;
    for (size_t i = 0; i < VT_COUNT(groups); i++) {
        unsigned group = bits & groups[i];
        if (group == 0) continue;
        if (group == bits) return compile_one_type(c, schema, group, node);
        vt_status st = add_node(c, VT_NODE_UNION, &branches[n]);
        if (st == VT_OK) st = compile_one_type(c, schema, group, branches[n]);
        if (st != VT_OK) return st;
        n++;
    }
    return add_branches(c, node, branches, n);
}

/* ---- references and alternatives ---- */

static vt_status find_target(compiler *c, const json_t *ref, const json_t **out)
{
    vt_slice text = vt_json_text(ref);
    static const char *const folders[] = {"$defs", "definitions"};
    if (!json_is_string(ref)) return fail_at(c, VT_EINPUT, "'$ref' is not a string");
    *out = vt_slice_eq(text, VT_S("#")) ? c->root : NULL;
    for (size_t i = 0; i < VT_COUNT(folders) && *out == NULL; i++) {
        vt_slice rest = text;
        vt_slice folder = vt_slice_cstr(folders[i]);
        if (!vt_slice_starts(rest, VT_S("#/"))) break;
        rest = vt_slice_skip(rest, 2);
        if (!vt_slice_starts(rest, folder)) continue;
        rest = vt_slice_skip(rest, folder.len);
        if (!vt_slice_starts(rest, VT_S("/"))) continue;
        rest = vt_slice_skip(rest, 1);
        if (vt_slice_find(rest, VT_S("/")) < rest.len || vt_slice_find(rest, VT_S("~")) < rest.len)
            continue;
        *out = json_object_getn(json_object_get(c->root, folders[i]), rest.ptr, rest.len);
    }
    if (*out != NULL) return VT_OK;
    return fail_at(c, VT_EUNSUPPORTED,
                   "'$ref' leads to '%.*s': only '#', '#/$defs/NAME' and '#/definitions/NAME' of "
                   "the schema itself are supported",
                   VT_ARG(vt_slice_take(text, 60)));
}

static vt_status compile_into(compiler *c, const json_t *schema, int32_t node);

static vt_status add_reference(compiler *c, const json_t *schema, int32_t node)
{
    vt_status st = grow(c, (void **)&c->references, &c->cap_references, c->n_references + 1,
                        sizeof *c->references, MAX_REFERENCES);
    if (st == VT_OK) c->references[c->n_references++] = (reference){schema, node};
    return st;
}

static vt_status compile_ref(compiler *c, const json_t *schema, int32_t node)
{
    const json_t *target = NULL;
    int32_t branch = VT_SCHEMA_NONE;
    vt_status st = find_target(c, json_object_get(schema, "$ref"), &target);
    if (st != VT_OK) return st;
    for (size_t i = 0; i < c->n_references; i++)
        if (c->references[i].schema == target) branch = c->references[i].node;
    if (branch < 0) {
        st = add_node(c, VT_NODE_UNION, &branch);
        if (st == VT_OK) st = add_reference(c, target, branch);
        if (st == VT_OK) st = compile_into(c, target, branch);
    }
    return st == VT_OK ? add_branches(c, node, &branch, 1) : st;
}

static vt_status add_choice(compiler *c, int32_t node)
{
    const vt_schema_node *n = &c->s->nodes[node];
    choice one = {.first = n->first, .n = n->n};
    one.place = (vt_schema_text){(uint32_t)c->places.len, (uint32_t)c->path.len};
    vt_status st = grow(c, (void **)&c->choices, &c->cap_choices, c->n_choices + 1,
                        sizeof *c->choices, VT_SCHEMA_NODES);
    if (st != VT_OK) return st;
    if (!vt_buffer_append(&c->places, vt_buffer_slice(&c->path))) return no_memory(c);
    c->choices[c->n_choices++] = one;
    return VT_OK;
}

static vt_status compile_alternatives(compiler *c, const json_t *schema, const char *name,
                                      int32_t node)
{
    const json_t *list = json_object_get(schema, name);
    int32_t branches[VT_SCHEMA_BRANCHES];
    size_t n = json_array_size(list);
    if (n == 0) return fail_at(c, VT_EINPUT, "'%s' is not an array of schemas", name);
    if (n > VT_SCHEMA_BRANCHES)
        return fail_at(c, VT_ELIMIT, "'%s' has more than %d alternatives", name,
                       VT_SCHEMA_BRANCHES);
    size_t outer = enter(c, vt_slice_cstr(name));
    for (size_t i = 0; i < n; i++) {
        size_t path = enter_index(c, i);
        vt_status st = compile(c, json_array_get(list, i), &branches[i]);
        if (st != VT_OK) return st;
        leave(c, path);
    }
    leave(c, outer);
    vt_status st = add_branches(c, node, branches, n);
    if (st == VT_OK && strcmp(name, "oneOf") == 0) st = add_choice(c, node);
    return st;
}

static vt_status compile_kind(compiler *c, const json_t *schema, int32_t node)
{
    contents k;
    unsigned bits = 0;
    int32_t any = VT_SCHEMA_NONE;
    bool is_free = json_is_true(schema);
    if (json_is_false(schema))
        return fail_at(c, VT_EUNSUPPORTED, "the schema 'false' is not supported here");
    if (!is_free && !json_is_object(schema)) return fail_at(c, VT_EINPUT, "a schema is an object");
    vt_status st = is_free ? VT_OK : list_contents(c, schema, &k);
    if (st != VT_OK) return st;
    if (is_free || k.classes >> KEY_TYPE == 0) {
        st = compile_any(c, &any);
        return st == VT_OK ? add_branches(c, node, &any, 1) : st;
    }
    if (json_object_get(schema, "$ref")) return compile_ref(c, schema, node);
    if (json_object_get(schema, "anyOf")) return compile_alternatives(c, schema, "anyOf", node);
    if (json_object_get(schema, "oneOf")) return compile_alternatives(c, schema, "oneOf", node);
    st = read_types(c, schema, &k, &bits);
    if (st == VT_OK && has(&k, KEY_VALUES)) return compile_values(c, schema, bits, node);
    return st == VT_OK ? compile_types(c, schema, bits, node) : st;
}

static vt_status compile_into(compiler *c, const json_t *schema, int32_t node)
{
    if (c->depth >= VT_SCHEMA_DEPTH)
        return fail_at(c, VT_ELIMIT, "it is nested more than %d deep", VT_SCHEMA_DEPTH);
    if (c->path.failed) return no_memory(c);
    c->depth++;
    vt_status st = compile_kind(c, schema, node);
    c->depth--;
    return st;
}

static vt_status compile(compiler *c, const json_t *schema, int32_t *out)
{
    vt_status st = add_node(c, VT_NODE_UNION, out);
    return st == VT_OK ? compile_into(c, schema, *out) : st;
}

/* ---- when all nodes are there ---- */

/* Append what is reached from a union through unions, each once. The schema's own nesting is
 * bounded, so what goes on deeper than it can runs in a circle. */
static vt_status flatten(compiler *c, int32_t from, int32_t *out, size_t *n, unsigned depth)
{
    const vt_schema *s = c->s;
    if (depth > VT_SCHEMA_DEPTH * 2)
        return fail_at(c, VT_EINPUT, "a '$ref' leads back to itself without a value in between");
    if (++c->n_steps > VT_SCHEMA_NODES)
        return fail_at(c, VT_ELIMIT, "its alternatives are nested in too many ways");
    for (uint32_t i = 0; i < s->nodes[from].n; i++) {
        int32_t branch = s->branches[s->nodes[from].first + i];
        bool is_new = true;
        if (s->nodes[branch].kind == VT_NODE_UNION) {
            vt_status st = flatten(c, branch, out, n, depth + 1);
            if (st != VT_OK) return st;
            continue;
        }
        for (size_t j = 0; j < *n; j++) is_new = is_new && out[j] != branch;
        if (!is_new) continue;
        if (*n == VT_SCHEMA_BRANCHES)
            return fail_at(c, VT_ELIMIT, "more than %d alternatives", VT_SCHEMA_BRANCHES);
        out[(*n)++] = branch;
    }
    return VT_OK;
}

static vt_status flatten_unions(compiler *c)
{
    vt_schema *s = c->s;
    for (size_t i = 0; i < s->n_nodes; i++) {
        int32_t flat[VT_SCHEMA_BRANCHES];
        size_t n = 0;
        if (s->nodes[i].kind != VT_NODE_UNION) continue;
        c->n_steps = 0;
        vt_status st = flatten(c, (int32_t)i, flat, &n, 0);
        if (st == VT_OK) st = add_branches(c, (int32_t)i, flat, n);
        if (st != VT_OK) return st;
    }
    return VT_OK;
}

static uint32_t depth_of(const vt_schema *s, const vt_schema_node *node)
{
    uint32_t depth = 1;
    switch (node->kind) {
    case VT_NODE_UNION:
        depth = NEVER;
        for (uint32_t i = 0; i < node->n; i++) {
            uint32_t branch = s->nodes[s->branches[node->first + i]].min_depth;
            if (branch < depth) depth = branch;
        }
        break;
    case VT_NODE_OBJECT:
        for (uint32_t i = 0; i < node->n; i++) {
            const vt_schema_property *p = &s->properties[node->first + i];
            uint32_t inner = s->nodes[p->node].min_depth + 1;
            if (p->is_required && inner > depth) depth = inner;
        }
        break;
    case VT_NODE_ARRAY:
        if (node->min > 0) depth = s->nodes[node->child].min_depth + 1;
        break;
    default: break;
    }
    return depth < NEVER ? depth : NEVER;
}

/* Depths only fall, and a value of depth d is found in round d: deeper ones are never allowed. */
static vt_status find_depths(compiler *c)
{
    vt_schema *s = c->s;
    for (size_t i = 0; i < s->n_nodes; i++) s->nodes[i].min_depth = NEVER;
    for (unsigned round = 0; round <= 2 * VT_SCHEMA_DEPTH; round++)
        for (size_t i = 0; i < s->n_nodes; i++) s->nodes[i].min_depth = depth_of(s, &s->nodes[i]);
    if (s->nodes[s->root].min_depth <= VT_SCHEMA_DEPTH) return VT_OK;
    return fail_at(c, VT_EINPUT, "no value of at most %d levels fits it", VT_SCHEMA_DEPTH);
}

/* ---- oneOf ---- */

static vt_slice text_at(const vt_schema *s, vt_schema_text t)
{
    return (vt_slice){s->bytes.ptr + t.offset, t.len};
}

/* The type of a value by its first byte. */
static vt_schema_kind kind_of(vt_slice literal)
{
    switch (literal.ptr[0]) {
    case '"': return VT_NODE_STRING;
    case '{': return VT_NODE_OBJECT;
    case '[': return VT_NODE_ARRAY;
    case 't':
    case 'f':
    case 'n': return VT_NODE_LITERALS;
    default: return VT_NODE_NUMBER;
    }
}

static bool is_apart_literal(vt_slice a, vt_slice b)
{
    vt_schema_kind kind = kind_of(a);
    if (kind != kind_of(b)) return true;
    /* 1 and 1.0 are one number, and objects are equal in any order. */
    return (kind == VT_NODE_STRING || kind == VT_NODE_LITERALS) && !vt_slice_eq(a, b);
}

static bool is_apart_from_literals(const vt_schema *s, const vt_schema_node *a,
                                   const vt_schema_node *literals)
{
    for (uint32_t i = 0; i < literals->n; i++) {
        vt_slice b = text_at(s, s->texts[literals->first + i]);
        vt_schema_kind kind = a->kind == VT_NODE_INTEGER ? VT_NODE_NUMBER : a->kind;
        if (a->kind != VT_NODE_LITERALS && kind == kind_of(b)) return false;
        for (uint32_t j = 0; a->kind == VT_NODE_LITERALS && j < a->n; j++)
            if (!is_apart_literal(text_at(s, s->texts[a->first + j]), b)) return false;
    }
    return true;
}

static bool is_apart(const vt_schema *s, int32_t x, int32_t y, unsigned depth);

/* What is written for `a` never fits `b`: b requires something that a never has. */
static bool lacks(const vt_schema *s, const vt_schema_node *a, const vt_schema_node *b)
{
    for (uint32_t i = 0; i < b->n && a->child < 0; i++) {
        const vt_schema_property *q = &s->properties[b->first + i];
        bool is_there = !q->is_required;
        for (uint32_t j = 0; j < a->n && !is_there; j++)
            is_there = s->properties[a->first + j].hash == q->hash;
        if (!is_there) return true;
    }
    return false;
}

static bool is_apart_object(const vt_schema *s, const vt_schema_node *a, const vt_schema_node *b,
                            unsigned depth)
{
    if (lacks(s, a, b) && lacks(s, b, a)) return true;
    for (uint32_t i = 0; i < a->n; i++) {
        const vt_schema_property *p = &s->properties[a->first + i];
        for (uint32_t j = 0; p->is_required && j < b->n; j++) {
            const vt_schema_property *q = &s->properties[b->first + j];
            if (q->is_required && p->hash == q->hash && is_apart(s, p->node, q->node, depth + 1))
                return true;
        }
    }
    return false;
}

static bool is_apart_one(const vt_schema *s, const vt_schema_node *a, const vt_schema_node *b,
                         unsigned depth)
{
    if (a->kind == VT_NODE_LITERALS) return is_apart_from_literals(s, b, a);
    if (b->kind == VT_NODE_LITERALS) return is_apart_from_literals(s, a, b);
    if (a->kind == VT_NODE_OBJECT && b->kind == VT_NODE_OBJECT)
        return depth < 2 && is_apart_object(s, a, b, depth);
    bool are_numbers = (a->kind == VT_NODE_NUMBER || a->kind == VT_NODE_INTEGER) &&
                       (b->kind == VT_NODE_NUMBER || b->kind == VT_NODE_INTEGER);
    return a->kind != b->kind && !are_numbers;
}

/* No value fits both. False when that is not plain to see. */
static bool is_apart(const vt_schema *s, int32_t x, int32_t y, unsigned depth)
{
    const vt_schema_node *a = &s->nodes[x], *b = &s->nodes[y];
    uint32_t n_a = a->kind == VT_NODE_UNION ? a->n : 1;
    uint32_t n_b = b->kind == VT_NODE_UNION ? b->n : 1;
    for (uint32_t i = 0; i < n_a; i++) {
        for (uint32_t j = 0; j < n_b; j++) {
            int32_t p = a->kind == VT_NODE_UNION ? s->branches[a->first + i] : x;
            int32_t q = b->kind == VT_NODE_UNION ? s->branches[b->first + j] : y;
            if (!is_apart_one(s, &s->nodes[p], &s->nodes[q], depth)) return false;
        }
    }
    return true;
}

/* "Exactly one" is the same as "any" where no value fits two. */
static vt_status check_choices(compiler *c)
{
    const vt_schema *s = c->s;
    for (size_t k = 0; k < c->n_choices; k++) {
        const choice *one = &c->choices[k];
        for (uint32_t i = 0; i < one->n; i++) {
            for (uint32_t j = 0; j < i; j++) {
                if (is_apart(s, s->branches[one->first + i], s->branches[one->first + j], 0))
                    continue;
                vt_buffer_append(&c->path,
                                 vt_slice_of(c->places.ptr + one->place.offset, one->place.len));
                return fail_at(c, VT_EUNSUPPORTED,
                               "'oneOf' whose alternatives %u and %u may both fit is not "
                               "supported ('anyOf' is)",
                               (unsigned)j, (unsigned)i);
            }
        }
    }
    return VT_OK;
}

vt_status vt_schema_compile(const json_t *schema, vt_schema *out, vt_err *err)
{
    compiler c = {.s = out, .root = schema, .any = VT_SCHEMA_NONE, .err = err};
    *out = (vt_schema){.root = VT_SCHEMA_NONE};
    vt_buffer_init(&out->bytes, VT_SCHEMA_BYTES);
    vt_buffer_init(&c.path, 0);
    vt_buffer_init(&c.places, 0);
    vt_status st = add_node(&c, VT_NODE_UNION, &out->root);
    if (st == VT_OK) st = add_reference(&c, schema, out->root);
    if (st == VT_OK) st = compile_into(&c, schema, out->root);
    if (st == VT_OK) leave(&c, 0);
    if (st == VT_OK) st = flatten_unions(&c);
    if (st == VT_OK) st = find_depths(&c);
    if (st == VT_OK) st = check_choices(&c);
    vt_buffer_deinit(&c.path);
    vt_buffer_deinit(&c.places);
    vt_free(c.choices);
    vt_free(c.references);
    return st;
}

void vt_schema_deinit(vt_schema *s)
{
    vt_free(s->nodes);
    vt_free(s->properties);
    vt_free(s->texts);
    vt_free(s->branches);
    vt_buffer_deinit(&s->bytes);
    *s = (vt_schema){.root = VT_SCHEMA_NONE};
}
