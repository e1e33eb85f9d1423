/* words.c -- see words.h. ASCII, nearly all of most texts, has a path of its own. */
#include "docs/words.h"

#include <utf8proc.h>

#include "base/compiler.h"
#include "base/utf8.h"

static bool in_range(uint32_t c, uint32_t first, uint32_t last)
{
    return c >= first && c <= last;
}

/* Scripts whose words aren't separated by spaces. */
static bool has_no_spaces(uint32_t c)
{
    if (c < 0x0E00) return false;
    return in_range(c, 0x0E00, 0x0EFF) || /* Thai, Lao */
           in_range(c, 0x1000, 0x109F) || /* Burmese */
           in_range(c, 0x1780, 0x17FF) || /* Khmer */
           in_range(c, 0x3005, 0x3007) || /* iteration mark, closing mark, zero */
           in_range(c, 0x3041, 0x30FF) || /* kana */
           in_range(c, 0x31F0, 0x31FF) || in_range(c, 0x3400, 0x4DBF) ||
           in_range(c, 0x4E00, 0x9FFF) || /* Han */
           in_range(c, 0xF900, 0xFAFF) || in_range(c, 0xFF66, 0xFF9F) ||
           in_range(c, 0x20000, 0x3FFFF);
}

static bool is_word_char(uint32_t c)
{
    if (c < 0x80) return (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');
    switch (utf8proc_category((utf8proc_int32_t)c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO: return true;
    default: return false;
    }
}

/* Marks that searching ignores: accents, vowel points, variation selectors. */
static bool is_dropped(uint32_t c)
{
    return in_range(c, 0x0300, 0x036F) || in_range(c, 0x0591, 0x05C7) ||
           in_range(c, 0x064B, 0x065F) || c == 0x0670 || in_range(c, 0xFE00, 0xFE0F);
}

/* Append the folded form of c; false when the word is full. */
static bool fold_into(vt_word *w, uint32_t c)
{
    utf8proc_int32_t folded[32];
    int last_class = 0;
    utf8proc_ssize_t n = utf8proc_decompose_char(
        (utf8proc_int32_t)c, folded, VT_COUNT(folded),
        UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT | UTF8PROC_CASEFOLD | UTF8PROC_IGNORE, &last_class);
    if (n < 0 || n > (utf8proc_ssize_t)VT_COUNT(folded)) return true;
    for (utf8proc_ssize_t i = 0; i < n; i++) {
        if (is_dropped((uint32_t)folded[i]) || !is_word_char((uint32_t)folded[i])) continue;
        char bytes[4];
        size_t len = vt_utf8_encode((uint32_t)folded[i], bytes);
        if (w->len + len > VT_WORD_MAX) return false;
        memcpy(w->text + w->len, bytes, len);
        w->len = (uint8_t)(w->len + len);
        if (utf8proc_category(folded[i]) == UTF8PROC_CATEGORY_ND) w->has_digit = true;
    }
    return true;
}

/* The character at `at` and its length; U+FFFD (no word character) where it is invalid. */
static size_t peek(const vt_words *w, size_t at, uint32_t *c)
{
    unsigned char b = (unsigned char)w->text.ptr[at];
    if (b < 0x80) {
        *c = b;
        return 1;
    }
    bool is_valid;
    return vt_utf8_decode(vt_slice_skip(w->text, at), c, &is_valid);
}

/* A pair that starts here, or the last character of its run. */
static void take_pair(vt_words *w, vt_word *out, uint32_t first, size_t len)
{
    out->is_pair = true;
    out->start = w->at;
    fold_into(out, first);
    w->at += len;
    out->end = w->at;
    if (w->at >= w->text.len) return;
    uint32_t second;
    size_t n = peek(w, w->at, &second);
    if (!has_no_spaces(second) || !is_word_char(second)) return;
    fold_into(out, second);
    out->end = w->at + n;
}

static void take_word(vt_words *w, vt_word *out)
{
    bool is_full = false;
    out->start = w->at;
    while (w->at < w->text.len) {
        uint32_t c;
        size_t len = peek(w, w->at, &c);
        if (!is_word_char(c) || has_no_spaces(c)) break;
        if (c < 0x80 && !is_full) {
            if (out->len == VT_WORD_MAX) is_full = true;
            else out->text[out->len++] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
            if (c <= '9') out->has_digit = true;
        } else if (!is_full) {
            is_full = !fold_into(out, c);
        }
        w->at += len;
    }
    out->end = w->at;
}

bool vt_words_next(vt_words *w, vt_word *out)
{
    while (w->at < w->text.len) {
        uint32_t c;
        size_t len = peek(w, w->at, &c);
        if (!is_word_char(c)) {
            w->at += len;
            continue;
        }
        out->len = 0;
        out->is_pair = out->has_digit = false;
        if (has_no_spaces(c)) take_pair(w, out, c, len);
        else take_word(w, out);
        out->text[out->len] = '\0';
        if (out->len > 0) return true;
    }
    return false;
}

bool vt_word_is_stop(const char *word, size_t len)
{
    /* English function and question words, sorted. Words that may be a subject ("may", "second",
     * "will" of a person) stay out where leaving them costs little. */
    static const char *const stops[] = {
        "a",     "about", "all",    "also",  "am",    "an",    "and",   "any",   "are",  "as",
        "at",    "be",    "been",   "being", "but",   "by",    "can",   "could", "did",  "do",
        "does",  "for",   "from",   "had",   "has",   "have",  "he",    "her",   "his",  "how",
        "i",     "if",    "in",     "into",  "is",    "it",    "its",   "just",  "many", "me",
        "much",  "must",  "my",     "no",    "not",   "of",    "on",    "or",    "our",  "s",
        "shall", "she",   "should", "so",    "such",  "t",     "tell",  "than",  "that", "the",
        "their", "them",  "then",   "there", "these", "they",  "this",  "those", "to",   "us",
        "was",   "we",    "were",   "what",  "when",  "where", "which", "while", "who",  "whom",
        "whose", "why",   "will",   "with",  "would", "you",   "your",
    };
    size_t low = 0;
    size_t high = VT_COUNT(stops);
    while (low < high) {
        size_t mid = (low + high) / 2;
        int order = strncmp(word, stops[mid], len);
        if (order == 0 && stops[mid][len] != '\0') order = -1;
        if (order == 0) return true;
        if (order < 0) high = mid;
        else low = mid + 1;
    }
    return false;
}
