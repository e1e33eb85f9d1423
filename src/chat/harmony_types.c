/* harmony_types.c -- a function's parameters (JSON schema) as the TypeScript-like text that gpt-oss
 * was trained on. Follows json_schema_to_typescript of the published renderer
 * (openai/harmony:src/encoding.rs) to the byte, whatever one may think of its layout; the fixtures
 * of tests/data/chat/harmony compare. */
#include "chat/format_ops.h"
#include "chat/json_text.h"

static void put(vt_buffer *out, int indent, const char *text)
{
    vt_buffer_printf(out, "%*s%s", indent, "", text);
}

static void put_slice(vt_buffer *out, vt_slice s)
{
    vt_buffer_append(out, s);
}

/* "// text" on a line of its own; a text of several lines is not split (nor is the reference's). */
static void put_comment(vt_buffer *out, int indent, vt_slice text)
{
    put(out, indent, "// ");
    put_slice(out, text);
    vt_buffer_byte(out, '\n');
}

static const json_t *string_of(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_string(value) ? value : NULL;
}

static bool is_enum(const json_t *schema)
{
    return json_array_size(json_object_get(schema, "enum")) > 0;
}

static void put_json(vt_buffer *out, const json_t *value)
{
    if (vt_json_write_spaced(value, -1, out, NULL) != VT_OK) out->failed = true;
}

/* default: 5, default: "text"; the default of an enumeration is bare where `bare_enums`. */
static void put_default(vt_buffer *out, const json_t *schema, const json_t *value, bool bare_enums)
{
    put_slice(out, VT_S("default: "));
    if (json_is_string(value) && !is_enum(schema)) {
        vt_buffer_byte(out, '"');
        put_slice(out, vt_json_text(value));
        vt_buffer_byte(out, '"');
    } else if (json_is_string(value) && bare_enums) put_slice(out, vt_json_text(value));
    else put_json(out, value);
}

/* The type, with "| null" where the schema says nullable and the type doesn't. */
static void put_nullable(vt_buffer *out, const json_t *schema, int indent)
{
    size_t before = out->len;
    vt__harmony_type(schema, indent, out);
    vt_slice type = vt_slice_skip(vt_buffer_slice(out), before);
    if (json_is_true(json_object_get(schema, "nullable")) &&
        vt_slice_find(type, VT_S("null")) == type.len)
        put_slice(out, VT_S(" | null"));
}

/* " // description default: x" after a variant. */
static void put_trailing(vt_buffer *out, const json_t *variant, const json_t *description,
                         bool bare_enums)
{
    const json_t *value = json_object_get(variant, "default");
    if (description == NULL && value == NULL) return;
    put_slice(out, VT_S(" // "));
    if (description != NULL) put_slice(out, vt_json_text(description));
    if (description != NULL && value != NULL) vt_buffer_byte(out, ' ');
    if (value != NULL) put_default(out, variant, value, bare_enums);
}

static void put_one_of(vt_buffer *out, const json_t *variants, int indent)
{
    size_t i = 0;
    json_t *variant = NULL;
    json_array_foreach(variants, i, variant)
    {
        vt_buffer_byte(out, '\n');
        put(out, indent, " | ");
        put_nullable(out, variant, indent + 3);
        put_trailing(out, variant, string_of(variant, "description"), false);
    }
}

/* A property whose schema is oneOf: its comments, its name, a line for each variant. */
static void put_one_of_property(vt_buffer *out, const json_t *schema, vt_slice name, int indent)
{
    const json_t *variants = json_object_get(schema, "oneOf");
    const json_t *own = string_of(schema, "description");
    const json_t *first = string_of(json_array_get(variants, 0), "description");
    const json_t *value = json_object_get(schema, "default");
    bool is_above = own != NULL && !(first != NULL && json_equal(own, first));
    size_t i = 0;
    json_t *variant = NULL;
    if (is_above) put_comment(out, indent, vt_json_text(own));
    if (value != NULL) {
        put(out, indent, "// ");
        put_default(out, schema, value, true);
        vt_buffer_byte(out, '\n');
    }
    put(out, indent, "");
    put_slice(out, name);
    put_slice(out, VT_S(":\n"));
    json_array_foreach(variants, i, variant)
    {
        const json_t *description = string_of(variant, "description");
        if ((i == 0 && is_above) || (own != NULL && description && json_equal(own, description)))
            description = NULL;
        put(out, indent, " | ");
        put_nullable(out, variant, indent + 3);
        put_trailing(out, variant, description, true);
        vt_buffer_byte(out, '\n');
    }
    put(out, indent, ",\n");
}

static void put_property_comments(vt_buffer *out, const json_t *schema, int indent)
{
    const json_t *title = string_of(schema, "title");
    const json_t *description = string_of(schema, "description");
    const json_t *examples = json_object_get(schema, "examples");
    size_t i = 0;
    json_t *example = NULL;
    if (title != NULL) {
        put_comment(out, indent, vt_json_text(title));
        put(out, indent, "//\n");
    }
    if (description != NULL && json_object_get(schema, "oneOf") == NULL)
        put_comment(out, indent, vt_json_text(description));
    if (json_array_size(examples) == 0) return;
    put(out, indent, "// Examples:\n");
    json_array_foreach(examples, i, example)
    {
        if (!json_is_string(example)) continue;
        put(out, indent, "// - \"");
        put_slice(out, vt_json_text(example));
        put_slice(out, VT_S("\"\n"));
    }
}

static bool is_required(const json_t *schema, vt_slice name)
{
    size_t i = 0;
    json_t *entry = NULL;
    json_array_foreach(json_object_get(schema, "required"), i, entry)
    {
        if (json_is_string(entry) && vt_slice_eq(vt_json_text(entry), name)) return true;
    }
    return false;
}

static void put_property(vt_buffer *out, const json_t *schema, vt_slice name, int indent)
{
    const json_t *value = json_object_get(schema, "default");
    put(out, indent, "");
    put_slice(out, name);
    put_slice(out, VT_S(": "));
    put_nullable(out, schema, indent + 4);
    vt_buffer_byte(out, ',');
    if (value != NULL && json_object_get(schema, "oneOf") == NULL) {
        put_slice(out, VT_S(" // "));
        put_default(out, schema, value, true);
    }
    vt_buffer_byte(out, '\n');
}

static void put_object(vt_buffer *out, const json_t *schema, int indent)
{
    const json_t *description = string_of(schema, "description");
    const char *key = NULL;
    size_t len = 0;
    json_t *property = NULL;
    if (description != NULL) put_comment(out, indent, vt_json_text(description));
    put_slice(out, VT_S("{\n"));
    json_object_keylen_foreach(json_object_get(schema, "properties"), key, len, property)
    {
        vt_buffer name; /* with "?" when it may be left out */
        vt_buffer_init(&name, len + 1);
        vt_buffer_append(&name, vt_slice_of(key, len));
        if (!is_required(schema, vt_slice_of(key, len))) vt_buffer_byte(&name, '?');
        if (name.failed) out->failed = true;
        put_property_comments(out, property, indent);
        if (json_is_array(json_object_get(property, "oneOf")))
            put_one_of_property(out, property, vt_buffer_slice(&name), indent);
        else put_property(out, property, vt_buffer_slice(&name), indent);
        vt_buffer_deinit(&name);
    }
    put(out, indent, "}");
}

/* "a" | "b"; false when there is no text to choose from. */
static bool put_enum(vt_buffer *out, const json_t *values)
{
    size_t i = 0, n = 0;
    json_t *value = NULL;
    json_array_foreach(values, i, value)
    {
        if (!json_is_string(value)) continue;
        if (n++ > 0) put_slice(out, VT_S(" | "));
        vt_buffer_byte(out, '"');
        put_slice(out, vt_json_text(value));
        vt_buffer_byte(out, '"');
    }
    return n > 0;
}

/* ["integer", "null"] as number | null; false when no type is named. */
static bool put_types(vt_buffer *out, const json_t *types)
{
    size_t i = 0, n = 0;
    json_t *type = NULL;
    json_array_foreach(types, i, type)
    {
        if (!json_is_string(type)) continue;
        if (n++ > 0) put_slice(out, VT_S(" | "));
        bool is_integer = vt_slice_eq(vt_json_text(type), VT_S("integer"));
        put_slice(out, is_integer ? VT_S("number") : vt_json_text(type));
    }
    return n > 0;
}

void vt__harmony_type(const json_t *schema, int indent, vt_buffer *out)
{
    const json_t *one_of = json_object_get(schema, "oneOf");
    const json_t *types = json_object_get(schema, "type");
    vt_slice type = vt_json_text(types);
    if (out->failed) return;
    if (json_is_array(one_of)) {
        put_one_of(out, one_of, indent);
        return;
    }
    if (json_is_array(types) && put_types(out, types)) return;
    if (vt_slice_eq(type, VT_S("object"))) {
        put_object(out, schema, indent);
    } else if (vt_slice_eq(type, VT_S("string"))) {
        if (!put_enum(out, json_object_get(schema, "enum"))) put_slice(out, VT_S("string"));
    } else if (vt_slice_eq(type, VT_S("number")) || vt_slice_eq(type, VT_S("integer"))) {
        put_slice(out, VT_S("number"));
    } else if (vt_slice_eq(type, VT_S("boolean"))) {
        put_slice(out, VT_S("boolean"));
    } else if (vt_slice_eq(type, VT_S("array"))) {
        const json_t *items = json_object_get(schema, "items");
        if (items != NULL) {
            vt__harmony_type(items, indent, out);
            put_slice(out, VT_S("[]"));
        } else put_slice(out, VT_S("Array<any>"));
    } else put_slice(out, VT_S("any"));
}
