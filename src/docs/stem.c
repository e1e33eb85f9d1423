/* stem.c -- Porter's stemmer ("An algorithm for suffix stripping", Program 14(3), 1980), with the
 * two departures of its author's own later release (abli -> able became bli -> ble, and logi ->
 * log). See words.h.
 *
 * A word is b[0..k]; j is the end of the part before a suffix that matched. The measure m of a part
 * counts its vowel-consonant sequences: [C](VC)^m[V]. */
#include "docs/words.h"

typedef struct {
    char *b;
    int k;
    int j;
} stemmer;

static bool is_consonant(const stemmer *z, int i)
{
    switch (z->b[i]) {
    case 'a':
    case 'e':
    case 'i':
    case 'o':
    case 'u': return false;
    case 'y': return i == 0 || !is_consonant(z, i - 1);
    default: return true;
    }
}

static int measure(const stemmer *z)
{
    int n = 0;
    bool was_vowel = false;
    for (int i = 0; i <= z->j; i++) {
        bool vowel = !is_consonant(z, i);
        if (!vowel && was_vowel) n++;
        was_vowel = vowel;
    }
    return n;
}

static bool has_vowel(const stemmer *z)
{
    for (int i = 0; i <= z->j; i++)
        if (!is_consonant(z, i)) return true;
    return false;
}

static bool ends_double(const stemmer *z, int i)
{
    return i >= 1 && z->b[i] == z->b[i - 1] && is_consonant(z, i);
}

/* consonant, vowel, consonant other than w, x, y: "hop" but not "snow". */
static bool ends_cvc(const stemmer *z, int i)
{
    if (i < 2 || !is_consonant(z, i) || is_consonant(z, i - 1) || !is_consonant(z, i - 2))
        return false;
    return z->b[i] != 'w' && z->b[i] != 'x' && z->b[i] != 'y';
}

static bool ends(stemmer *z, const char *suffix)
{
    int len = (int)strlen(suffix);
    if (len > z->k + 1 || memcmp(z->b + z->k + 1 - len, suffix, (size_t)len) != 0) return false;
    z->j = z->k - len;
    return true;
}

static void set_to(stemmer *z, const char *text)
{
    int len = (int)strlen(text);
    memcpy(z->b + z->j + 1, text, (size_t)len);
    z->k = z->j + len;
}

/* Plurals, -ed and -ing. */
static void step_1(stemmer *z)
{
    if (z->b[z->k] == 's') {
        if (ends(z, "sses")) z->k -= 2;
        else if (ends(z, "ies")) set_to(z, "i");
        else if (z->b[z->k - 1] != 's') z->k--;
    }
    if (ends(z, "eed")) {
        if (measure(z) > 0) z->k--;
    } else if ((ends(z, "ed") || ends(z, "ing")) && has_vowel(z)) {
        z->k = z->j;
        if (ends(z, "at")) set_to(z, "ate");
        else if (ends(z, "bl")) set_to(z, "ble");
        else if (ends(z, "iz")) set_to(z, "ize");
        else if (ends_double(z, z->k)) {
            char c = z->b[z->k];
            if (c != 'l' && c != 's' && c != 'z') z->k--;
        } else {
            z->j = z->k;
            if (measure(z) == 1 && ends_cvc(z, z->k)) set_to(z, "e");
        }
    }
    if (ends(z, "y") && has_vowel(z)) z->b[z->k] = 'i';
}

typedef struct {
    const char *suffix;
    const char *replacement;
} rule;

/* The first rule whose suffix fits is the only one that is tried. */
static void apply(stemmer *z, const rule *rules, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!ends(z, rules[i].suffix)) continue;
        if (measure(z) > 0) set_to(z, rules[i].replacement);
        return;
    }
}

static void steps_2_3(stemmer *z)
{
    static const rule step_2[] = {
        {"ational", "ate"}, {"tional", "tion"}, {"enci", "ence"},   {"anci", "ance"},
        {"izer", "ize"},    {"bli", "ble"},     {"alli", "al"},     {"entli", "ent"},
        {"eli", "e"},       {"ousli", "ous"},   {"ization", "ize"}, {"ation", "ate"},
        {"ator", "ate"},    {"alism", "al"},    {"iveness", "ive"}, {"fulness", "ful"},
        {"ousness", "ous"}, {"aliti", "al"},    {"iviti", "ive"},   {"biliti", "ble"},
        {"logi", "log"},
    };
    static const rule step_3[] = {
        {"icate", "ic"}, {"ative", ""}, {"alize", "al"}, {"iciti", "ic"},
        {"ical", "ic"},  {"ful", ""},   {"ness", ""},
    };
    apply(z, step_2, sizeof step_2 / sizeof step_2[0]);
    apply(z, step_3, sizeof step_3 / sizeof step_3[0]);
}

static void step_4(stemmer *z)
{
    static const char *const suffixes[] = {
        "al",  "ance", "ence", "er",  "ic",  "able", "ible", "ant", "ement", "ment",
        "ent", "ion",  "ou",   "ism", "ate", "iti",  "ous",  "ive", "ize",
    };
    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        if (!ends(z, suffixes[i])) continue;
        if (strcmp(suffixes[i], "ion") == 0 &&
            (z->j < 0 || (z->b[z->j] != 's' && z->b[z->j] != 't')))
            continue;
        if (measure(z) > 1) z->k = z->j;
        return;
    }
}

static void step_5(stemmer *z)
{
    z->j = z->k;
    if (z->b[z->k] == 'e') {
        z->j = z->k - 1;
        int m = measure(z);
        if (m > 1 || (m == 1 && !ends_cvc(z, z->k - 1))) z->k--;
    }
    z->j = z->k;
    if (z->b[z->k] == 'l' && ends_double(z, z->k) && measure(z) > 1) z->k--;
}

size_t vt_word_stem(const char *word, size_t len, char *out)
{
    memcpy(out, word, len);
    out[len] = '\0';
    /* A rule may lengthen a word by one letter for a moment (bl -> ble). */
    if (len <= 2 || len >= VT_WORD_MAX) return len;
    for (size_t i = 0; i < len; i++)
        if (word[i] < 'a' || word[i] > 'z') return len;
    stemmer z = {.b = out, .k = (int)len - 1, .j = 0};
    step_1(&z);
    if (z.k > 0) {
        steps_2_3(&z);
        step_4(&z);
        step_5(&z);
    }
    out[z.k + 1] = '\0';
    return (size_t)z.k + 1;
}
