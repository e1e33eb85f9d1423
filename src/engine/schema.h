/* schema.h -- a JSON schema as an automaton over bytes: at each point it knows whether a byte can
 * lead to JSON that the schema accepts. constraint_schema.h makes token masks of it.
 *
 * Two halves. vt_schema_compile turns the schema into a flat table of nodes (schema_compile.c);
 * vt_matcher runs over bytes (schema_match.c) with a set of configurations, because anyOf can leave
 * open for a while which branch it is. A configuration is a stack of frames, one for each value
 * that is open; the frames below the top are shared, never changed, and lie in one arena.
 *
 * What can be generated is a subset of what the schema accepts, never more:
 *   - named properties come in the schema's order; optional ones may be left out
 *   - other properties only where additionalProperties allows them (or where an object names none
 *     at all); they come last, without escapes in their names, each name once, at most 64
 *   - a schema with properties but no type is an object, with items an array, with minLength a
 *     string
 *   - integers have no fraction or exponent; numbers have at most 18 digits before and 17 behind
 *     the point and 2 of exponent
 *   - a value of enum or const is spelled in one way
 *   - white space is one space, or a line break and an indentation; values nest at most 64 deep
 *
 * What changes the meaning of a schema and is not known here is VT_EUNSUPPORTED, by its name and
 * its place as a JSON pointer. Every configuration can be completed: a prefix that is accepted has
 * a rest.
 *
 * Ownership  a grammar owns its memory and keeps nothing of the schema; a matcher borrows its
 * grammar.
 * Threads    a grammar is read-only; a matcher belongs to one thread.
 * Failure    the matcher allocates nothing after vt_matcher_new. */
#ifndef VT_ENGINE_SCHEMA_H
#define VT_ENGINE_SCHEMA_H

#include <stdint.h>

#include "base/json.h"

enum {
    VT_SCHEMA_NONE = -1,
    VT_SCHEMA_DEPTH = 64, /* of values, and of the schema itself */
    VT_SCHEMA_NODES = 4096,
    VT_SCHEMA_PROPERTIES = 256, /* named, of one object */
    VT_SCHEMA_KEYS = 64,        /* not named, of one object */
    VT_SCHEMA_TEXTS = 8192,     /* names and values of enum, together */
    VT_SCHEMA_BYTES = 1 << 20,
    VT_SCHEMA_BRANCHES = 32, /* of one anyOf, nested ones included */
};

typedef enum {
    VT_NODE_UNION, /* `first`, `n`: alternatives, none of them a union */
    VT_NODE_STRING,
    VT_NODE_NUMBER,
    VT_NODE_INTEGER,
    VT_NODE_LITERALS, /* `first`, `n`: texts, in the order of their bytes */
    VT_NODE_OBJECT,   /* `first`, `n`: properties */
    VT_NODE_ARRAY,
} vt_schema_kind;

typedef struct {
    vt_schema_kind kind;
    uint32_t first;
    uint32_t n;
    int32_t child;      /* array: items; object: other properties, or VT_SCHEMA_NONE */
    uint32_t min, max;  /* characters of a string, items of an array */
    uint32_t min_depth; /* levels that its flattest value has; a string has 1 */
} vt_schema_node;

typedef struct {
    uint32_t offset, len;
} vt_schema_text;

typedef struct {
    vt_schema_text name; /* with its quotes, as JSON */
    uint64_t hash;       /* vt_schema_hash of the name itself */
    int32_t node;
    bool is_required;
    uint32_t last; /* the first required one from here on, or the last */
} vt_schema_property;

typedef struct {
    vt_schema_node *nodes;
    size_t n_nodes, cap_nodes;
    vt_schema_property *properties;
    size_t n_properties, cap_properties;
    vt_schema_text *texts;
    size_t n_texts, cap_texts;
    int32_t *branches;
    size_t n_branches, cap_branches;
    vt_buffer bytes;
    int32_t root;
} vt_schema;

/* VT_EUNSUPPORTED, VT_EINPUT (no schema, or one that no value fits) or VT_ELIMIT; the message ends
 * with the place. Release with vt_schema_deinit, also after a failure. */
VT_MUSTUSE vt_status vt_schema_compile(const json_t *schema, vt_schema *out, vt_err *err);
void vt_schema_deinit(vt_schema *s);

/* Continue with hash = VT_SCHEMA_HASH_BASE. */
#define VT_SCHEMA_HASH_BASE UINT64_C(14695981039346656037)
static inline uint64_t vt_schema_hash(uint64_t hash, uint8_t b)
{
    return (hash ^ b) * UINT64_C(1099511628211); /* FNV-1a */
}

/* ---- text of a string ---- */

typedef enum { VT_SCAN_BAD, VT_SCAN_GO, VT_SCAN_CHARACTER, VT_SCAN_QUOTE } vt_scan_result;

/* Between the quotes; all zero between two characters. */
typedef struct {
    uint8_t state, n_left, low, high;
    uint32_t code;
} vt_scan;

/* VT_SCAN_CHARACTER when the byte begins a character. Changed only when not BAD. */
vt_scan_result vt_schema_scan(vt_scan *s, uint8_t b);

/* ---- the matcher ---- */

enum { VT_MATCH_CONFIGS = 32 };

/* All of its bytes count: frames are compared with memcmp. */
typedef struct {
    uint64_t hash; /* of the name being read */
    int32_t node;  /* VT_SCHEMA_NONE: the whole value is complete */
    int32_t below; /* the frame under this one, in the arena */
    int32_t keys;  /* object: names read so far that are not in the schema */
    int32_t value; /* object: the node of the value to come */
    uint32_t i;    /* next property; items; characters; first literal; digits */
    uint32_t j;    /* property being read; end of the literals */
    uint32_t at;   /* bytes of a name or literal */
    vt_scan scan;
    uint16_t space; /* white space before what comes */
    uint8_t phase;
    uint8_t depth;
    uint32_t n_keys;
    uint32_t always_zero; /* in the place of padding */
} vt_match_frame;

_Static_assert(sizeof(vt_match_frame) == 56, "a frame has no padding");

typedef struct {
    vt_match_frame at[VT_MATCH_CONFIGS];
    size_t n;
} vt_match_set;

typedef struct vt_matcher vt_matcher;

VT_MUSTUSE vt_status vt_matcher_new(const vt_schema *s, vt_matcher **out, vt_err *err);
void vt_matcher_free(vt_matcher *m);

/* Before the first byte. */
void vt_matcher_begin(vt_matcher *m, vt_match_set *set);
/* *to is what `from` becomes by a byte; false when nothing. `to` is not `from`. */
bool vt_matcher_step(vt_matcher *m, const vt_match_set *from, uint8_t b, vt_match_set *to);
bool vt_matcher_is_complete(vt_matcher *m, const vt_match_set *set);

/* Steps use the arena. Trying: mark, step, release, and sets made in between are void. Going on:
 * vt_matcher_settle keeps what `set` needs, and every other set is void. */
typedef struct {
    size_t n_frames, n_keys;
} vt_match_mark;

vt_match_mark vt_matcher_mark(const vt_matcher *m);
void vt_matcher_release(vt_matcher *m, vt_match_mark mark);
void vt_matcher_settle(vt_matcher *m, vt_match_set *set);

/* In the text of a string, between two characters: how many more it may have. False elsewhere.
 * *is_key: of a name, where no escapes are allowed. */
bool vt_matcher_in_text(const vt_matcher *m, const vt_match_frame *f, uint32_t *n_room,
                        bool *is_key);

#endif
