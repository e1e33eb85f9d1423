/* schema_match.c -- see schema.h: the automaton. A byte goes to the top frame of each
 * configuration, which consumes it, opens a value (a frame more), completes (a frame less), or
 * dies. Numbers, and literals that begin another one, end only with the byte behind them: it goes
 * to the frame below. */
#include "engine/schema.h"

#include "base/alloc.h"

enum {
    MAX_FRAMES = 16384,
    MAX_KEYS = 16384,
    INDENT = 4, /* at most, for each level */
    DIGITS_WHOLE = 18,
    DIGITS_FRACTION = 17,
    DIGITS_EXPONENT = 2,
};

typedef struct {
    uint64_t hash;
    int32_t before;
} key;

struct vt_matcher {
    const vt_schema *s;
    vt_match_frame *frames;
    key *keys;
    int32_t *moved; /* of vt_matcher_settle: where an entry goes */
    size_t n_frames, n_keys;
};

/* ---- text ---- */

enum { CLEAN, TAIL, ESCAPE, HEX, PAIR_BACKSLASH, PAIR_U, PAIR_HEX };

static vt_scan_result scan_clean(vt_scan *s, uint8_t b)
{
    if (b == '"') return VT_SCAN_QUOTE;
    if (b == '\\') {
        s->state = ESCAPE;
        return VT_SCAN_CHARACTER;
    }
    if (b < 0x20) return VT_SCAN_BAD;
    if (b < 0x80) return VT_SCAN_CHARACTER;
    if (b < 0xC2 || b > 0xF4) return VT_SCAN_BAD;
    /* Table 3-7 of the Unicode Standard. */
    s->state = TAIL;
    s->n_left = b < 0xE0 ? 1 : b < 0xF0 ? 2 : 3;
    s->low = b == 0xE0 ? 0xA0 : b == 0xF0 ? 0x90 : 0x80;
    s->high = b == 0xED ? 0x9F : b == 0xF4 ? 0x8F : 0xBF;
    return VT_SCAN_CHARACTER;
}

static int hex_value(uint8_t b)
{
    if (b >= '0' && b <= '9') return b - '0';
    if (b >= 'a' && b <= 'f') return b - 'a' + 10;
    if (b >= 'A' && b <= 'F') return b - 'A' + 10;
    return -1;
}

/* Lone surrogates and NUL, which not every reader takes, can't be written. */
static vt_scan_result scan_hex(vt_scan *s, uint8_t b)
{
    int digit = hex_value(b);
    if (digit < 0) return VT_SCAN_BAD;
    uint32_t code = s->code << 4 | (uint32_t)digit;
    unsigned n_left = s->n_left - 1u;
    bool is_pair = s->state == PAIR_HEX;
    bool is_low = n_left == 2 && code >= 0xDC && code <= 0xDF;
    if (n_left == 3 && is_pair && code != 0xD) return VT_SCAN_BAD;
    if (n_left == 2 && is_low != is_pair) return VT_SCAN_BAD;
    if (n_left == 0 && code == 0) return VT_SCAN_BAD;
    if (n_left > 0) {
        s->code = code;
        s->n_left = (uint8_t)n_left;
        return VT_SCAN_GO;
    }
    bool needs_pair = !is_pair && code >= 0xD800 && code <= 0xDBFF;
    *s = (vt_scan){.state = needs_pair ? PAIR_BACKSLASH : CLEAN};
    return VT_SCAN_GO;
}

vt_scan_result vt_schema_scan(vt_scan *s, uint8_t b)
{
    switch (s->state) {
    case CLEAN: return scan_clean(s, b);
    case TAIL:
        if (b < s->low || b > s->high) return VT_SCAN_BAD;
        s->low = 0x80;
        s->high = 0xBF;
        if (--s->n_left == 0) *s = (vt_scan){0};
        return VT_SCAN_GO;
    case ESCAPE:
        if (b == 'u') *s = (vt_scan){.state = HEX, .n_left = 4};
        else if (b != 0 && strchr("\"\\/bfnrt", b) != NULL) *s = (vt_scan){0};
        else return VT_SCAN_BAD;
        return VT_SCAN_GO;
    case PAIR_BACKSLASH:
        if (b != '\\') return VT_SCAN_BAD;
        s->state = PAIR_U;
        return VT_SCAN_GO;
    case PAIR_U:
        if (b != 'u') return VT_SCAN_BAD;
        *s = (vt_scan){.state = PAIR_HEX, .n_left = 4};
        return VT_SCAN_GO;
    default: return scan_hex(s, b);
    }
}

/* ---- sets and the arena ---- */

static void emit(vt_match_set *set, const vt_match_frame *f)
{
    for (size_t i = 0; i < set->n; i++)
        if (memcmp(&set->at[i], f, sizeof *f) == 0) return;
    /* A set that is full forgets branches: less can be generated, nothing wrong. */
    if (set->n < VT_MATCH_CONFIGS) set->at[set->n++] = *f;
}

static int32_t put_below(vt_matcher *m, const vt_match_frame *f)
{
    if (m->n_frames >= MAX_FRAMES) return VT_SCHEMA_NONE;
    m->frames[m->n_frames] = *f;
    return (int32_t)m->n_frames++;
}

/* The value of `f` is complete: the frame below goes on. */
static void complete(vt_matcher *m, const vt_match_frame *f, vt_match_set *out)
{
    vt_match_frame done;
    memset(&done, 0, sizeof done);
    done.node = VT_SCHEMA_NONE;
    done.below = VT_SCHEMA_NONE;
    emit(out, f->below < 0 ? &done : &m->frames[f->below]);
}

static bool fits(const vt_matcher *m, unsigned depth, int32_t node)
{
    return depth + m->s->nodes[node].min_depth <= VT_SCHEMA_DEPTH;
}

static bool is_space(vt_match_frame *f, uint8_t b)
{
    if (b == '\n' && f->space == 0) f->space = 2;
    else if (b == ' ' && f->space == 0) f->space = 1;
    else if ((b == ' ' || b == '\t') && f->space >= 2 && f->space - 2 < INDENT * f->depth + INDENT)
        f->space++;
    else return false;
    return true;
}

/* ---- scalars ---- */

static void step_string(vt_matcher *m, vt_match_frame *f, uint8_t b, vt_match_set *out)
{
    const vt_schema_node *node = &m->s->nodes[f->node];
    vt_scan_result r = vt_schema_scan(&f->scan, b);
    if (r == VT_SCAN_QUOTE) {
        if (f->i >= node->min) complete(m, f, out);
        return;
    }
    if (r == VT_SCAN_BAD || (r == VT_SCAN_CHARACTER && f->i >= node->max)) return;
    /* Without bounds nothing is counted, so that configurations stay equal. */
    bool is_counted = node->max != UINT32_MAX || f->i < node->min;
    if (r == VT_SCAN_CHARACTER && is_counted) f->i++;
    emit(out, f);
}

enum { SIGN, ZERO, WHOLE, POINT, FRACTION, EXPONENT, EXPONENT_SIGN, EXPONENT_DIGITS };

static bool number_can_end(const vt_match_frame *f)
{
    return f->phase == ZERO || f->phase == WHOLE || f->phase == FRACTION ||
           f->phase == EXPONENT_DIGITS;
}

static bool more_digits(vt_match_frame *f, int phase, uint32_t limit)
{
    if (f->phase != phase) f->i = 0;
    f->phase = (uint8_t)phase;
    return f->i++ < limit;
}

static bool step_digit(vt_match_frame *f, uint8_t b)
{
    switch (f->phase) {
    case SIGN:
        if (b != '0') return more_digits(f, WHOLE, DIGITS_WHOLE);
        f->phase = ZERO;
        return true;
    case WHOLE: return more_digits(f, WHOLE, DIGITS_WHOLE);
    case POINT:
    case FRACTION: return more_digits(f, FRACTION, DIGITS_FRACTION);
    case EXPONENT:
    case EXPONENT_SIGN:
    case EXPONENT_DIGITS: return more_digits(f, EXPONENT_DIGITS, DIGITS_EXPONENT);
    default: return false;
    }
}

static bool step_number(const vt_matcher *m, vt_match_frame *f, uint8_t b)
{
    if (b >= '0' && b <= '9') return step_digit(f, b);
    bool is_whole = f->phase == ZERO || f->phase == WHOLE;
    if (m->s->nodes[f->node].kind == VT_NODE_INTEGER) return false;
    if (b == '.' && is_whole) f->phase = POINT;
    else if ((b == 'e' || b == 'E') && (is_whole || f->phase == FRACTION)) f->phase = EXPONENT;
    else if ((b == '-' || b == '+') && f->phase == EXPONENT) f->phase = EXPONENT_SIGN;
    else return false;
    return true;
}

static vt_slice text_of(const vt_schema *s, vt_schema_text t)
{
    return (vt_slice){s->bytes.ptr + t.offset, t.len};
}

static vt_slice literal(const vt_matcher *m, uint32_t i)
{
    return text_of(m->s, m->s->texts[i]);
}

/* i to j are the literals with what was read so far; they are in order, so those with one more byte
 * lie side by side, and one that ends here is the first. */
static bool step_literal(const vt_matcher *m, vt_match_frame *f, uint8_t b)
{
    uint32_t i = f->i;
    while (i < f->j) {
        vt_slice text = literal(m, i);
        if (text.len > f->at && (uint8_t)text.ptr[f->at] >= b) break;
        i++;
    }
    uint32_t j = i;
    while (j < f->j && (uint8_t)literal(m, j).ptr[f->at] == b) j++;
    if (i == j) return false;
    f->i = i;
    f->j = j;
    f->at++;
    return true;
}

static bool literal_can_end(const vt_matcher *m, const vt_match_frame *f)
{
    return f->at > 0 && literal(m, f->i).len == f->at;
}

/* ---- opening a value ---- */

/* The first byte of a value of `node`, which is no union. */
static void open_value(vt_matcher *m, const vt_match_frame *blank, int32_t node, uint8_t b,
                       vt_match_set *out)
{
    const vt_schema_node *n = &m->s->nodes[node];
    vt_match_frame f = *blank;
    bool is_open = false;
    if (!fits(m, f.depth, node)) return;
    f.node = node;
    switch (n->kind) {
    case VT_NODE_STRING: is_open = b == '"'; break;
    case VT_NODE_OBJECT: is_open = b == '{'; break;
    case VT_NODE_ARRAY: is_open = b == '['; break;
    case VT_NODE_NUMBER:
    case VT_NODE_INTEGER:
        f.phase = SIGN;
        is_open = b == '-' || (b >= '0' && b <= '9' && step_digit(&f, b));
        break;
    case VT_NODE_LITERALS:
        f.i = n->first;
        f.j = n->first + n->n;
        is_open = step_literal(m, &f, b);
        if (is_open && f.j == f.i + 1 && literal_can_end(m, &f)) {
            complete(m, &f, out);
            return;
        }
        break;
    default: break;
    }
    if (is_open) emit(out, &f);
}

static void open_any(vt_matcher *m, int32_t below, unsigned depth, int32_t node, uint8_t b,
                     vt_match_set *out)
{
    const vt_schema_node *n = &m->s->nodes[node];
    vt_match_frame blank;
    memset(&blank, 0, sizeof blank);
    blank.below = below;
    blank.keys = VT_SCHEMA_NONE;
    blank.value = VT_SCHEMA_NONE;
    blank.depth = (uint8_t)depth;
    if (n->kind != VT_NODE_UNION) open_value(m, &blank, node, b, out);
    for (uint32_t i = 0; n->kind == VT_NODE_UNION && i < n->n; i++)
        open_value(m, &blank, m->s->branches[n->first + i], b, out);
}

/* A value inside `f`, which goes on in phase `after` when it is complete. */
static void open_inside(vt_matcher *m, vt_match_frame *f, int32_t node, uint8_t after, uint8_t b,
                        vt_match_set *out)
{
    size_t n_frames = m->n_frames, n = out->n;
    f->phase = after;
    f->space = 0;
    f->value = VT_SCHEMA_NONE;
    int32_t below = put_below(m, f);
    if (below >= 0) open_any(m, below, f->depth + 1u, node, b, out);
    if (out->n == n) m->n_frames = n_frames;
}

/* ---- objects ---- */

enum { OPEN, COMMA, NAME, OTHER_NAME, COLON, VALUE, AFTER };

static const vt_schema_property *property(const vt_matcher *m, const vt_match_frame *f, uint32_t i)
{
    return &m->s->properties[m->s->nodes[f->node].first + i];
}

static bool may_close(const vt_matcher *m, const vt_match_frame *f)
{
    if (f->i >= m->s->nodes[f->node].n) return true;
    return !property(m, f, property(m, f, f->i)->last)->is_required;
}

static bool is_room_for_other(const vt_matcher *m, const vt_match_frame *f)
{
    int32_t other = m->s->nodes[f->node].child;
    return other >= 0 && may_close(m, f) && f->n_keys < VT_SCHEMA_KEYS &&
           fits(m, f->depth + 1u, other);
}

/* The first property that may come next, and whose name goes on with b at f->at behind the bytes
 * read so far, or -1. */
static int64_t next_property(const vt_matcher *m, const vt_match_frame *f, uint8_t b)
{
    if (f->i >= m->s->nodes[f->node].n) return -1;
    uint32_t last = property(m, f, f->i)->last;
    vt_slice so_far = {0};
    if (f->at > 0) so_far = vt_slice_take(text_of(m->s, property(m, f, f->j)->name), f->at);
    for (uint32_t i = f->i; i <= last; i++) {
        const vt_schema_property *p = property(m, f, i);
        vt_slice name = text_of(m->s, p->name);
        if (name.len > f->at && (uint8_t)name.ptr[f->at] == b && vt_slice_starts(name, so_far) &&
            fits(m, f->depth + 1u, p->node))
            return i;
    }
    return -1;
}

static bool may_go_on(const vt_matcher *m, const vt_match_frame *f)
{
    vt_match_frame fresh = *f;
    fresh.at = 0;
    return is_room_for_other(m, f) || next_property(m, &fresh, '"') >= 0;
}

static void begin_name(vt_matcher *m, vt_match_frame *f, vt_match_set *out)
{
    f->space = 0;
    f->at = 0;
    f->j = 0;
    vt_match_frame other = *f;
    int64_t i = next_property(m, f, '"');
    if (i >= 0) {
        f->phase = NAME;
        f->j = (uint32_t)i;
        f->at = 1;
        emit(out, f);
    }
    if (!is_room_for_other(m, &other)) return;
    other.phase = OTHER_NAME;
    other.hash = VT_SCHEMA_HASH_BASE;
    memset(&other.scan, 0, sizeof other.scan);
    emit(out, &other);
}

static void step_name(vt_matcher *m, vt_match_frame *f, uint8_t b, vt_match_set *out)
{
    int64_t i = next_property(m, f, b);
    if (i < 0) return;
    const vt_schema_property *p = property(m, f, (uint32_t)i);
    f->j = (uint32_t)i;
    f->at++;
    if (f->at == p->name.len) {
        f->phase = COLON;
        f->value = p->node;
        f->i = f->j + 1;
        f->j = 0;
        f->at = 0;
    }
    emit(out, f);
}

static bool is_taken(const vt_matcher *m, const vt_match_frame *f)
{
    for (int32_t k = f->keys; k >= 0; k = m->keys[k].before)
        if (m->keys[k].hash == f->hash) return true;
    for (uint32_t i = 0; i < m->s->nodes[f->node].n; i++)
        if (property(m, f, i)->hash == f->hash) return true;
    return false;
}

static void step_other_name(vt_matcher *m, vt_match_frame *f, uint8_t b, vt_match_set *out)
{
    vt_scan_result r = b == '\\' ? VT_SCAN_BAD : vt_schema_scan(&f->scan, b);
    if (r == VT_SCAN_BAD) return;
    if (r != VT_SCAN_QUOTE) {
        f->hash = vt_schema_hash(f->hash, b);
        emit(out, f);
        return;
    }
    if (is_taken(m, f) || m->n_keys >= MAX_KEYS) return;
    m->keys[m->n_keys] = (key){f->hash, f->keys};
    f->keys = (int32_t)m->n_keys++;
    f->n_keys++;
    f->hash = 0;
    f->phase = COLON;
    f->i = m->s->nodes[f->node].n;
    f->value = m->s->nodes[f->node].child;
    emit(out, f);
}

static void step_object(vt_matcher *m, vt_match_frame *f, uint8_t b, vt_match_set *out)
{
    switch (f->phase) {
    case NAME: step_name(m, f, b, out); return;
    case OTHER_NAME: step_other_name(m, f, b, out); return;
    case COLON:
        if (b != ':') return;
        f->phase = VALUE;
        emit(out, f);
        return;
    case VALUE:
        if (b == ' ' && is_space(f, b)) emit(out, f);
        else open_inside(m, f, f->value, AFTER, b, out);
        return;
    case AFTER:
        if (b == ',' && f->space == 0 && may_go_on(m, f)) {
            f->phase = COMMA;
            emit(out, f);
            return;
        }
        break;
    default:
        if (b == '"') begin_name(m, f, out);
        break;
    }
    bool is_end = f->phase != COMMA && may_close(m, f);
    if (b == '}' && is_end) complete(m, f, out);
    else if ((is_end || f->phase != AFTER) && is_space(f, b)) emit(out, f);
}

/* ---- arrays ---- */

static void step_array(vt_matcher *m, vt_match_frame *f, uint8_t b, vt_match_set *out)
{
    const vt_schema_node *node = &m->s->nodes[f->node];
    bool has_room = f->i < node->max && fits(m, f->depth + 1u, node->child);
    bool is_end = f->phase != COMMA && f->i >= node->min;
    if (f->phase == AFTER && b == ',') {
        if (!has_room || f->space > 0) return;
        f->phase = COMMA;
        emit(out, f);
    } else if (b == ']') {
        if (is_end) complete(m, f, out);
    } else if ((is_end || f->phase != AFTER) && is_space(f, b)) {
        emit(out, f);
    } else if (f->phase != AFTER && has_room) {
        if (node->max != UINT32_MAX || f->i < node->min) f->i++;
        open_inside(m, f, node->child, AFTER, b, out);
    }
}

/* ---- the whole ---- */

static void step_frame(vt_matcher *m, const vt_match_frame *from, uint8_t b, vt_match_set *out)
{
    vt_match_frame f = *from;
    bool can_end = false;
    if (f.node < 0) {
        /* Before everything, or behind it. */
        if (f.phase == OPEN) return;
        open_any(m, VT_SCHEMA_NONE, 0, m->s->root, b, out);
        return;
    }
    switch (m->s->nodes[f.node].kind) {
    case VT_NODE_STRING: step_string(m, &f, b, out); return;
    case VT_NODE_OBJECT: step_object(m, &f, b, out); return;
    case VT_NODE_ARRAY: step_array(m, &f, b, out); return;
    case VT_NODE_LITERALS:
        can_end = literal_can_end(m, &f);
        if (!step_literal(m, &f, b)) break;
        if (f.j == f.i + 1 && literal_can_end(m, &f)) complete(m, &f, out);
        else emit(out, &f);
        return;
    default:
        can_end = number_can_end(&f);
        if (!step_number(m, &f, b)) break;
        emit(out, &f);
        return;
    }
    /* What is below is an object or an array, so this goes one deep. */
    if (can_end && from->below >= 0) step_frame(m, &m->frames[from->below], b, out);
}

void vt_matcher_begin(vt_matcher *m, vt_match_set *set)
{
    m->n_frames = 0;
    m->n_keys = 0;
    memset(&set->at[0], 0, sizeof set->at[0]);
    set->at[0].node = VT_SCHEMA_NONE;
    set->at[0].below = VT_SCHEMA_NONE;
    set->at[0].phase = COMMA; /* a value must come */
    set->n = 1;
}

bool vt_matcher_step(vt_matcher *m, const vt_match_set *from, uint8_t b, vt_match_set *to)
{
    to->n = 0;
    for (size_t i = 0; i < from->n; i++) step_frame(m, &from->at[i], b, to);
    return to->n > 0;
}

bool vt_matcher_is_complete(vt_matcher *m, const vt_match_set *set)
{
    for (size_t i = 0; i < set->n; i++) {
        const vt_match_frame *f = &set->at[i];
        if (f->node < 0 && f->phase == OPEN) return true;
        if (f->node < 0 || f->below >= 0) continue;
        vt_schema_kind kind = m->s->nodes[f->node].kind;
        if (kind == VT_NODE_LITERALS && literal_can_end(m, f)) return true;
        if ((kind == VT_NODE_NUMBER || kind == VT_NODE_INTEGER) && number_can_end(f)) return true;
    }
    return false;
}

bool vt_matcher_in_text(const vt_matcher *m, const vt_match_frame *f, uint32_t *n_room,
                        bool *is_key)
{
    if (f->node < 0 || f->scan.state != CLEAN) return false;
    const vt_schema_node *node = &m->s->nodes[f->node];
    *is_key = node->kind == VT_NODE_OBJECT && f->phase == OTHER_NAME;
    *n_room = *is_key || node->max == UINT32_MAX ? UINT32_MAX : node->max - f->i;
    return *is_key || node->kind == VT_NODE_STRING;
}

vt_match_mark vt_matcher_mark(const vt_matcher *m)
{
    return (vt_match_mark){m->n_frames, m->n_keys};
}

void vt_matcher_release(vt_matcher *m, vt_match_mark mark)
{
    m->n_frames = mark.n_frames;
    m->n_keys = mark.n_keys;
}

/* Slide the entries in use down. An entry refers to earlier ones only, so one pass is enough. */
static void settle_keys(vt_matcher *m, vt_match_set *set)
{
    for (size_t i = 0; i < m->n_keys; i++) m->moved[i] = VT_SCHEMA_NONE;
    for (size_t i = 0; i < m->n_frames + set->n; i++) {
        const vt_match_frame *f = i < m->n_frames ? &m->frames[i] : &set->at[i - m->n_frames];
        if (f->node < 0) continue;
        for (int32_t k = f->keys; k >= 0 && m->moved[k] < 0; k = m->keys[k].before) m->moved[k] = 0;
    }
    size_t n = 0;
    for (size_t i = 0; i < m->n_keys; i++) {
        if (m->moved[i] < 0) continue;
        key k = m->keys[i];
        if (k.before >= 0) k.before = m->moved[k.before];
        m->moved[i] = (int32_t)n;
        m->keys[n++] = k;
    }
    m->n_keys = n;
    for (size_t i = 0; i < m->n_frames + set->n; i++) {
        vt_match_frame *f = i < m->n_frames ? &m->frames[i] : &set->at[i - m->n_frames];
        if (f->node >= 0 && f->keys >= 0) f->keys = m->moved[f->keys];
    }
}

void vt_matcher_settle(vt_matcher *m, vt_match_set *set)
{
    for (size_t i = 0; i < m->n_frames; i++) m->moved[i] = VT_SCHEMA_NONE;
    for (size_t i = 0; i < set->n; i++)
        for (int32_t k = set->at[i].below; k >= 0 && m->moved[k] < 0; k = m->frames[k].below)
            m->moved[k] = 0;
    size_t n = 0;
    for (size_t i = 0; i < m->n_frames; i++) {
        if (m->moved[i] < 0) continue;
        vt_match_frame f = m->frames[i];
        if (f.below >= 0) f.below = m->moved[f.below];
        m->moved[i] = (int32_t)n;
        m->frames[n++] = f;
    }
    m->n_frames = n;
    for (size_t i = 0; i < set->n; i++)
        if (set->at[i].below >= 0) set->at[i].below = m->moved[set->at[i].below];
    settle_keys(m, set);
}

vt_status vt_matcher_new(const vt_schema *s, vt_matcher **out, vt_err *err)
{
    enum { MAX_MOVED = MAX_FRAMES > MAX_KEYS ? MAX_FRAMES : MAX_KEYS };
    vt_matcher *m = vt_calloc(1, sizeof *m);
    if (m != NULL) {
        m->s = s;
        m->frames = vt_calloc(MAX_FRAMES, sizeof *m->frames);
        m->keys = vt_calloc(MAX_KEYS, sizeof *m->keys);
        m->moved = vt_calloc(MAX_MOVED, sizeof *m->moved);
    }
    if (m == NULL || m->frames == NULL || m->keys == NULL || m->moved == NULL) {
        vt_matcher_free(m);
        return vt_fail(err, VT_ENOMEM, "out of memory for a schema's automaton");
    }
    *out = m;
    return VT_OK;
}

void vt_matcher_free(vt_matcher *m)
{
    if (m == NULL) return;
    vt_free(m->frames);
    vt_free(m->keys);
    vt_free(m->moved);
    vt_free(m);
}
