/* evidence.c -- atoms of a text and the checks made with them. See evidence.h.
 *
 * Cost: a question of some twelve atoms against a passage of some hundred; linear scans are enough.
 */
#include "agent/evidence.h"

#include <stdint.h>
#include <stdio.h>
#include <utf8proc.h>

#include "base/alloc.h"
#include "base/utf8.h"

enum { LONG_WORD = 5, SHARED_BEGINNING = 4 };

typedef struct {
    const char *form;
    const char *base;
} pair;

/* Irregular forms that answers use where the question has the base form, or the other way round. */
static const pair irregular[] = {
    {"stood", "stand"},   {"spent", "spend"},  {"held", "hold"},      {"took", "take"},
    {"taken", "take"},    {"began", "begin"},  {"begun", "begin"},    {"paid", "pay"},
    {"kept", "keep"},     {"left", "leave"},   {"gave", "give"},      {"given", "give"},
    {"made", "make"},     {"built", "build"},  {"bought", "buy"},     {"sold", "sell"},
    {"won", "win"},       {"led", "lead"},     {"wore", "wear"},      {"worn", "wear"},
    {"broke", "break"},   {"broken", "break"}, {"chose", "choose"},   {"chosen", "choose"},
    {"rose", "rise"},     {"risen", "rise"},   {"ran", "run"},        {"went", "go"},
    {"gone", "go"},       {"came", "come"},    {"met", "meet"},       {"sent", "send"},
    {"lent", "lend"},     {"found", "find"},   {"wrote", "write"},    {"written", "write"},
    {"drove", "drive"},   {"driven", "drive"}, {"grew", "grow"},      {"grown", "grow"},
    {"knew", "know"},     {"known", "know"},   {"fell", "fall"},      {"fallen", "fall"},
    {"brought", "bring"}, {"taught", "teach"}, {"told", "tell"},      {"lost", "lose"},
    {"swam", "swim"},     {"swum", "swim"},    {"rode", "ride"},      {"ridden", "ride"},
    {"spoke", "speak"},   {"spoken", "speak"}, {"shown", "show"},     {"eaten", "eat"},
    {"men", "man"},       {"women", "woman"},  {"children", "child"}, {"people", "person"},
};

/* Units and short forms, folded, to one spelling. */
static const pair units[] = {
    {"euro", "eur"},
    {"euros", "eur"},
    {"dollar", "usd"},
    {"dollars", "usd"},
    {"pound", "gbp"},
    {"pounds", "gbp"},
    {"kilogram", "kg"},
    {"kilograms", "kg"},
    {"kilogramme", "kg"},
    {"kilogrammes", "kg"},
    {"gram", "g"},
    {"grams", "g"},
    {"tonne", "t"},
    {"tonnes", "t"},
    {"metre", "m"},
    {"metres", "m"},
    {"meter", "m"},
    {"meters", "m"},
    {"kilometre", "km"},
    {"kilometres", "km"},
    {"kilometer", "km"},
    {"kilometers", "km"},
    {"millimetre", "mm"},
    {"millimetres", "mm"},
    {"millimeter", "mm"},
    {"millimeters", "mm"},
    {"litre", "l"},
    {"litres", "l"},
    {"liter", "l"},
    {"liters", "l"},
    {"hour", "h"},
    {"hours", "h"},
    {"hrs", "h"},
    {"minute", "min"},
    {"minutes", "min"},
    {"mins", "min"},
    {"pct", "percent"},
    {"kilowatt", "kw"},
    {"kilowatts", "kw"},
    {"celsius", "c"},
    {"mon", "monday"},
    {"tue", "tuesday"},
    {"tues", "tuesday"},
    {"wed", "wednesday"},
    {"thu", "thursday"},
    {"thur", "thursday"},
    {"thurs", "thursday"},
    {"fri", "friday"},
    {"sat", "saturday"},
    {"sun", "sunday"},
    {"mondays", "monday"},
    {"tuesdays", "tuesday"},
    {"wednesdays", "wednesday"},
    {"thursdays", "thursday"},
    {"fridays", "friday"},
    {"saturdays", "saturday"},
    {"sundays", "sunday"},
    {"jan", "january"},
    {"feb", "february"},
    {"mar", "march"},
    {"apr", "april"},
    {"jun", "june"},
    {"jul", "july"},
    {"aug", "august"},
    {"sep", "september"},
    {"sept", "september"},
    {"oct", "october"},
    {"nov", "november"},
    {"dec", "december"},
};

static const char *const months[] = {"january",   "february", "march",    "april",
                                     "may",       "june",     "july",     "august",
                                     "september", "october",  "november", "december"};

static const pair number_words[] = {
    {"zero", "0"},       {"two", "2"},       {"three", "3"},     {"four", "4"},
    {"five", "5"},       {"six", "6"},       {"seven", "7"},     {"eight", "8"},
    {"nine", "9"},       {"ten", "10"},      {"eleven", "11"},   {"twelve", "12"},
    {"thirteen", "13"},  {"fourteen", "14"}, {"fifteen", "15"},  {"sixteen", "16"},
    {"seventeen", "17"}, {"eighteen", "18"}, {"nineteen", "19"}, {"twenty", "20"},
    {"thirty", "30"},    {"forty", "40"},    {"fifty", "50"},    {"sixty", "60"},
    {"seventy", "70"},   {"eighty", "80"},   {"ninety", "90"},   {"hundred", "100"},
};

/* Words of answering itself: they claim nothing about the world. */
static const char *const filler[] = {
    "accord", "answer", "text",   "document", "state", "mention", "provid",  "locat",   "call",
    "name",   "amount", "number", "price",    "total", "follow",  "given",   "specifi", "list",
    "requir", "need",   "happen", "also",     "there", "which",   "each",    "per",     "one",
    "much",   "mani",   "often",  "long",     "far",   "please",  "tell",    "how",     "cost",
    "take",   "place",  "us",     "do",       "kind",  "type",    "exactli", "current",
};

static const char *lookup(const pair *table, size_t n, const char *key)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(table[i].form, key) == 0) return table[i].base;
    return NULL;
}
#define LOOKUP(table, key) lookup(table, sizeof(table) / sizeof((table)[0]), key)

static void set_text(vt_atom *a, const char *text, size_t len)
{
    if (len > VT_WORD_MAX) len = VT_WORD_MAX;
    memcpy(a->text, text, len);
    a->text[len] = '\0';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static size_t n_digits(vt_slice s, size_t at)
{
    size_t n = 0;
    while (at + n < s.len && is_digit(s.ptr[at + n])) n++;
    return n;
}

/* ---- numbers ---- */

/* The fraction without trailing zeros, the integer without leading ones. */
static void set_decimal(vt_atom *a, const char *whole, size_t n_whole, vt_slice fraction)
{
    while (n_whole > 1 && whole[0] == '0') whole++, n_whole--;
    while (fraction.len > 0 && fraction.ptr[fraction.len - 1] == '0') fraction.len--;
    if (n_whole > VT_WORD_MAX / 2) n_whole = VT_WORD_MAX / 2;
    if (fraction.len > VT_WORD_MAX / 3) fraction.len = VT_WORD_MAX / 3;
    int n = snprintf(a->text, sizeof a->text, fraction.len > 0 ? "%.*s.%.*s" : "%.*s", (int)n_whole,
                     whole, (int)fraction.len, fraction.len > 0 ? fraction.ptr : "");
    (void)n; /* fits by the limits above */
}

/* "5:30 pm", "5 pm": 12-hour forms become 24-hour ones. Returns the bytes of the suffix. */
static size_t half_of_day(vt_slice s, size_t at, bool *is_pm)
{
    size_t i = at;
    while (i < s.len && s.ptr[i] == ' ' && i < at + 1) i++;
    if (i + 1 >= s.len) return 0;
    char half = (char)(s.ptr[i] | 0x20);
    if (half != 'a' && half != 'p') return 0;
    size_t j = i + 1;
    if (s.ptr[j] == '.') j++;
    if (j >= s.len || (s.ptr[j] | 0x20) != 'm') return 0;
    j++;
    if (j < s.len && s.ptr[j] == '.') j++;
    if (j < s.len && ((s.ptr[j] | 0x20) >= 'a' && (s.ptr[j] | 0x20) <= 'z')) return 0;
    *is_pm = half == 'p';
    return j - at;
}

static void set_time(vt_atom *a, unsigned hour, unsigned minute, size_t suffix, bool is_pm)
{
    if (suffix > 0 && hour <= 12) hour = hour % 12 + (is_pm ? 12 : 0);
    snprintf(a->text, sizeof a->text, "%u:%02u", hour, minute);
}

static unsigned small_number(const char *digits, size_t n)
{
    unsigned value = 0;
    for (size_t i = 0; i < n && i < 4; i++) value = value * 10 + (unsigned)(digits[i] - '0');
    return value;
}

/* 2026-06-19: year, month and day as atoms of their own, so that "19 June 2026" matches. */
static bool take_iso_date(vt_atoms *s, vt_atom *out)
{
    vt_slice t = s->text;
    size_t at = s->at;
    if (n_digits(t, at) != 4 || at + 10 > t.len || t.ptr[at + 4] != '-' ||
        n_digits(t, at + 5) != 2 || t.ptr[at + 7] != '-' || n_digits(t, at + 8) != 2)
        return false;
    unsigned month = small_number(t.ptr + at + 5, 2);
    if (month < 1 || month > 12) return false;
    *out = (vt_atom){.kind = VT_ATOM_NUMBER, .start = at, .end = at + 4};
    set_text(out, t.ptr + at, 4);
    vt_atom *day = &s->queued[0];
    *day = (vt_atom){.kind = VT_ATOM_NUMBER, .start = at + 8, .end = at + 10};
    set_decimal(day, t.ptr + at + 8, 2, (vt_slice){NULL, 0});
    vt_atom *name = &s->queued[1];
    *name = (vt_atom){.kind = VT_ATOM_WORD, .start = at + 5, .end = at + 7};
    vt_word_stem(months[month - 1], strlen(months[month - 1]), name->text);
    s->n_queued = 2;
    s->at = at + 10;
    return true;
}

static bool take_time(vt_atoms *s, vt_atom *out)
{
    vt_slice t = s->text;
    size_t n = n_digits(t, s->at);
    if (n == 0 || n > 2) return false;
    unsigned hour = small_number(t.ptr + s->at, n);
    size_t end = s->at + n;
    unsigned minute = 0;
    bool has_minutes = end < t.len && t.ptr[end] == ':' && n_digits(t, end + 1) == 2;
    if (has_minutes) {
        minute = small_number(t.ptr + end + 1, 2);
        end += 3;
    }
    bool is_pm = false;
    size_t suffix = half_of_day(t, end, &is_pm);
    if (!has_minutes && suffix == 0) return false;
    *out = (vt_atom){.kind = VT_ATOM_NUMBER, .start = s->at, .end = end + suffix};
    set_time(out, hour, minute, suffix, is_pm);
    s->at = end + suffix;
    return true;
}

/* 1,480 and 1.480.000 have separators of thousands; 7,5 and 7.5 have a fraction. */
static void take_decimal(vt_atoms *s, vt_atom *out)
{
    vt_slice t = s->text;
    char whole[VT_WORD_MAX + 1];
    size_t n_whole = 0;
    size_t start = s->at;
    size_t at = start;
    size_t n = n_digits(t, at);
    char separator = 0;
    vt_slice fraction = {NULL, 0};
    for (size_t i = 0; i < n && n_whole < VT_WORD_MAX; i++) whole[n_whole++] = t.ptr[at + i];
    at += n;
    while (at + 1 < t.len && (t.ptr[at] == ',' || t.ptr[at] == '.')) {
        size_t m = n_digits(t, at + 1);
        bool again = m == 3 && at + 4 < t.len && t.ptr[at + 4] == t.ptr[at];
        bool is_group = m == 3 && n_whole > 0 && n <= 3 && whole[0] != '0' &&
                        (t.ptr[at] == ',' || t.ptr[at] == separator || again) && fraction.len == 0;
        if (m == 0) break;
        if (!is_group) {
            if (fraction.len > 0) break;
            fraction = vt_slice_of(t.ptr + at + 1, m);
            at += 1 + m;
            break;
        }
        separator = t.ptr[at];
        for (size_t i = 0; i < m && n_whole < VT_WORD_MAX; i++)
            whole[n_whole++] = t.ptr[at + 1 + i];
        at += 1 + m;
    }
    *out = (vt_atom){.kind = VT_ATOM_NUMBER, .start = start, .end = at};
    out->is_bare = fraction.len == 0 && separator == 0;
    set_decimal(out, whole, n_whole, fraction);
    s->at = at;
    /* 25th: the suffix belongs to the number. */
    static const char *const suffixes[] = {"th", "st", "nd", "rd"};
    for (size_t i = 0; i < 4; i++) {
        vt_slice rest = vt_slice_skip(t, at);
        if (!vt_slice_starts(rest, vt_slice_cstr(suffixes[i]))) continue;
        char after = rest.len > 2 ? (char)(rest.ptr[2] | 0x20) : ' ';
        if (after < 'a' || after > 'z') s->at = out->end = at + 2;
    }
}

/* ---- words ---- */

static bool is_upper_at(vt_slice text, size_t at)
{
    uint32_t code = 0;
    bool valid = false;
    if (at >= text.len) return false;
    vt_utf8_decode(vt_slice_skip(text, at), &code, &valid);
    return valid && utf8proc_category((utf8proc_int32_t)code) == UTF8PROC_CATEGORY_LU;
}

static bool next_word_is_upper(vt_slice text, size_t at)
{
    if (at < text.len && text.ptr[at] == ' ') at++;
    return is_upper_at(text, at);
}

static void classify_word(const vt_atoms *s, const vt_word *w, vt_atom *out)
{
    vt_slice t = s->text;
    bool is_upper = is_upper_at(t, out->start);
    bool is_stop = vt_word_is_stop(w->text, w->len);
    bool starts = s->at_sentence_start;
    const char *unit = LOOKUP(units, w->text);
    const char *base = LOOKUP(irregular, w->text);
    const char *number = LOOKUP(number_words, w->text);
    if (number != NULL) {
        set_text(out, number, strlen(number));
        out->kind = VT_ATOM_NUMBER;
        return;
    }
    if (unit != NULL) set_text(out, unit, strlen(unit));
    else if (base != NULL) vt_word_stem(base, strlen(base), out->text);
    else vt_word_stem(w->text, w->len, out->text);
    out->kind = VT_ATOM_WORD;
    if (w->has_digit) {
        out->kind = VT_ATOM_NAME;
        return;
    }
    /* A capital at the start of a sentence says nothing, unless another one follows it. */
    bool named = is_upper && !is_stop && (!starts || next_word_is_upper(t, out->end));
    if (named && unit == NULL) out->kind = VT_ATOM_NAME;
    if (is_stop) out->kind = VT_ATOM_FILLER;
    for (size_t i = 0; out->kind == VT_ATOM_WORD && i < sizeof filler / sizeof filler[0]; i++)
        if (strcmp(filler[i], out->text) == 0) out->kind = VT_ATOM_FILLER;
}

static bool take_symbol(vt_atoms *s, vt_atom *out)
{
    static const struct {
        const char *symbol;
        const char *unit;
    } symbols[] = {{"%", "percent"}, {"\xE2\x82\xAC", "eur"}, {"$", "usd"}, {"\xC2\xA3", "gbp"}};
    vt_slice rest = vt_slice_skip(s->text, s->at);
    for (size_t i = 0; i < 4; i++) {
        vt_slice symbol = vt_slice_cstr(symbols[i].symbol);
        if (!vt_slice_starts(rest, symbol)) continue;
        *out = (vt_atom){.kind = VT_ATOM_WORD, .start = s->at, .end = s->at + symbol.len};
        set_text(out, symbols[i].unit, strlen(symbols[i].unit));
        s->at += symbol.len;
        return true;
    }
    return false;
}

vt_atoms vt_atoms_of(vt_slice text)
{
    return (vt_atoms){.text = text, .at_sentence_start = true};
}

/* The word that begins at s->at, if a digit does not; a word may hold digits later ("S3"). */
static bool take_word(vt_atoms *s, vt_atom *out)
{
    vt_words words = vt_words_of(vt_slice_skip(s->text, s->at));
    vt_word w;
    if (!vt_words_next(&words, &w) || w.start != 0) return false;
    *out = (vt_atom){.start = s->at, .end = s->at + w.end};
    classify_word(s, &w, out);
    s->at += w.end > 0 ? w.end : 1;
    return true;
}

bool vt_atoms_next(vt_atoms *s, vt_atom *out)
{
    if (s->n_queued > 0) {
        *out = s->queued[--s->n_queued];
        return true;
    }
    while (s->at < s->text.len) {
        char c = s->text.ptr[s->at];
        if (is_digit(c)) {
            if (!take_iso_date(s, out) && !take_time(s, out)) take_decimal(s, out);
            s->at_sentence_start = false;
            return true;
        }
        if (take_symbol(s, out)) return true;
        if (take_word(s, out)) {
            s->at_sentence_start = false;
            return true;
        }
        if (c == '.' || c == '!' || c == '?' || c == '\n' || c == '|' || c == ':' || c == ';')
            s->at_sentence_start = true;
        uint32_t code = 0;
        bool valid = false;
        s->at += vt_utf8_decode(vt_slice_skip(s->text, s->at), &code, &valid);
    }
    return false;
}

/* ---- evidence ---- */

void vt_evidence_deinit(vt_evidence *e)
{
    vt_free(e->items);
    *e = (vt_evidence){0};
}

vt_status vt_evidence_add(vt_evidence *e, vt_slice text, vt_err *err)
{
    vt_atoms cursor = vt_atoms_of(text);
    vt_atom atom;
    while (vt_atoms_next(&cursor, &atom)) {
        if (!vt_grow((void **)&e->items, &e->cap, e->n + 1, sizeof e->items[0], VT_EVIDENCE_ATOMS))
            return vt_fail(err, VT_ENOMEM, "no memory for the words of a passage");
        e->items[e->n++] = atom;
    }
    /* Texts added one after the other are not neighbours ("Corvin" ends one, "7" begins the next).
     */
    if (!vt_grow((void **)&e->items, &e->cap, e->n + 1, sizeof e->items[0], VT_EVIDENCE_ATOMS))
        return vt_fail(err, VT_ENOMEM, "no memory for the words of a passage");
    e->items[e->n++] = (vt_atom){.kind = VT_ATOM_FILLER, .text = "|"};
    return VT_OK;
}

static bool same_atom(const vt_atom *a, const vt_atom *b)
{
    if (strcmp(a->text, b->text) == 0) return true;
    if (a->kind == VT_ATOM_NUMBER || b->kind == VT_ATOM_NUMBER) return false;
    size_t n = strlen(a->text), m = strlen(b->text);
    size_t shorter = n < m ? n : m;
    return shorter >= SHARED_BEGINNING && memcmp(a->text, b->text, shorter) == 0;
}

bool vt_evidence_has(const vt_evidence *e, const vt_atom *atom)
{
    for (size_t i = 0; i < e->n; i++)
        if (same_atom(&e->items[i], atom)) return true;
    return false;
}

/* Does every atom between quotation marks stand in the evidence in this order, side by side? */
static bool has_sequence(const vt_evidence *e, vt_slice quoted)
{
    for (size_t i = 0; i < e->n; i++) {
        vt_atoms cursor = vt_atoms_of(quoted);
        vt_atom atom;
        size_t k = i;
        bool all = true;
        while (all && vt_atoms_next(&cursor, &atom)) {
            all = k < e->n && strcmp(e->items[k].text, atom.text) == 0;
            k++;
        }
        if (all) return true;
    }
    return false;
}

/* The next "quoted" part at or after *at, without the marks. */
static bool next_quoted(vt_slice text, size_t *at, vt_slice *out)
{
    static const char *const open[] = {"\"", "\xE2\x80\x9C", "\xE2\x80\x9E"};
    static const char *const close[] = {"\"", "\xE2\x80\x9D", "\xE2\x80\x9C"};
    for (; *at < text.len; (*at)++) {
        for (size_t k = 0; k < 3; k++) {
            vt_slice rest = vt_slice_skip(text, *at);
            vt_slice mark = vt_slice_cstr(open[k]);
            if (!vt_slice_starts(rest, mark)) continue;
            rest = vt_slice_skip(rest, mark.len);
            size_t end = vt_slice_find(rest, vt_slice_cstr(close[k]));
            if (end == rest.len) continue;
            *out = vt_slice_take(rest, end);
            *at += mark.len + end + strlen(close[k]);
            return true;
        }
    }
    return false;
}

vt_slice vt_evidence_unsupported(const vt_evidence *e, vt_slice answer, vt_strictness strictness)
{
    vt_atoms cursor = vt_atoms_of(answer);
    vt_atom atom;
    while (vt_atoms_next(&cursor, &atom)) {
        bool must = atom.kind == VT_ATOM_NUMBER || atom.kind == VT_ATOM_NAME ||
                    (strictness == VT_STRICT_WORDS && atom.kind == VT_ATOM_WORD &&
                     atom.end - atom.start >= LONG_WORD);
        if (must && !vt_evidence_has(e, &atom))
            return vt_slice_of(answer.ptr + atom.start, atom.end - atom.start);
    }
    size_t at = 0;
    vt_slice quoted;
    while (next_quoted(answer, &at, &quoted))
        if (!has_sequence(e, quoted)) return quoted;
    return (vt_slice){NULL, 0};
}

/* ---- the subject of a question ---- */

/* Capitals tell names in English; German writes every noun with one. English is told by its small
 * words: more than a quarter of a question. */
static bool capitals_tell_names(vt_slice question)
{
    size_t n_words = 0, n_stop = 0;
    vt_words cursor = vt_words_of(question);
    vt_word w;
    while (vt_words_next(&cursor, &w)) {
        n_words++;
        if (vt_word_is_stop(w.text, w.len)) n_stop++;
    }
    return n_stop * 4 > n_words;
}

static bool has_pair(const vt_evidence *e, const vt_atom *first, const vt_atom *second)
{
    for (size_t i = 0; i + 1 < e->n; i++)
        if (same_atom(&e->items[i], first) && same_atom(&e->items[i + 1], second)) return true;
    return false;
}

vt_subject vt_evidence_subject(const vt_evidence *e, vt_slice question)
{
    vt_subject s = {0};
    bool names = capitals_tell_names(question);
    vt_atoms cursor = vt_atoms_of(question);
    vt_atom atom;
    vt_atom before = {.kind = VT_ATOM_FILLER};
    bool lacked = false; /* the atom before is not in the evidence */
    while (vt_atoms_next(&cursor, &atom)) {
        vt_slice where = vt_slice_of(question.ptr + atom.start, atom.end - atom.start);
        if (atom.kind != VT_ATOM_FILLER) {
            bool has = vt_evidence_has(e, &atom);
            bool is_hard = atom.kind == VT_ATOM_NUMBER || (atom.kind == VT_ATOM_NAME && names);
            s.n_terms++;
            if (has) s.n_covered++;
            if (!has && lacked && before.end + 1 == atom.start) s.lacks_pair = true;
            lacked = !has;
            if (!has && is_hard && s.missing.len == 0) s.missing = where;
            /* "Corvin 7": name and number must stand side by side, not the 7 of another column. */
            if (has && atom.kind == VT_ATOM_NUMBER && atom.is_bare && before.kind == VT_ATOM_NAME &&
                before.end + 1 == atom.start && s.missing.len == 0 && !has_pair(e, &before, &atom))
                s.missing = vt_slice_of(question.ptr + before.start, atom.end - before.start);
        }
        if (atom.kind == VT_ATOM_FILLER) lacked = false;
        before = atom;
    }
    return s;
}

/* ---- what an answer adds ---- */

static bool has_word(vt_slice text, const char *const *words, size_t n)
{
    vt_words cursor = vt_words_of(text);
    vt_word w;
    while (vt_words_next(&cursor, &w))
        for (size_t i = 0; i < n; i++)
            if (strcmp(w.text, words[i]) == 0) return true;
    return false;
}

/* "how many", "how much" */
static bool asks_for_number(vt_slice question)
{
    vt_words cursor = vt_words_of(question);
    vt_word w;
    bool after_how = false;
    while (vt_words_next(&cursor, &w)) {
        if (after_how && (strcmp(w.text, "many") == 0 || strcmp(w.text, "much") == 0)) return true;
        after_how = strcmp(w.text, "how") == 0;
    }
    return false;
}

vt_status vt_evidence_adds(vt_slice question, vt_slice answer, bool *adds, vt_err *err)
{
    static const char *const wh[] = {"what", "who",   "whom", "whose", "which",
                                     "when", "where", "why",  "how"};
    static const char *const things[] = {"who", "whom", "whose", "where"};
    static const char *const amounts[] = {"half", "none", "no", "nothing", "one", "all", "nobody"};
    *adds = true;
    if (!has_word(question, wh, VT_COUNT(wh))) return VT_OK;
    vt_evidence asked = {0};
    vt_status st = vt_evidence_add(&asked, question, err);
    bool any = false, any_number = false, any_word = false;
    vt_atoms cursor = vt_atoms_of(answer);
    vt_atom atom;
    while (st == VT_OK && vt_atoms_next(&cursor, &atom)) {
        if (atom.kind == VT_ATOM_FILLER || vt_evidence_has(&asked, &atom)) continue;
        any = true;
        any_number = any_number || atom.kind == VT_ATOM_NUMBER;
        any_word = any_word || atom.kind != VT_ATOM_NUMBER;
    }
    vt_evidence_deinit(&asked);
    if (st != VT_OK) return st;
    bool has_amount = has_word(answer, amounts, VT_COUNT(amounts));
    bool asks_for_thing = has_word(question, things, VT_COUNT(things));
    *adds = has_amount || (asks_for_number(question) ? any_number
                           : asks_for_thing          ? any_word
                                                     : any);
    return VT_OK;
}
