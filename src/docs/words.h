/* words.h -- text cut into words for searching: one definition for the index, for queries and for
 * ranking.
 *
 * A word is a run of letters, marks and digits, folded: lower case (Unicode case folding),
 * compatibility forms unified (NFKD), accents of Latin, Greek and Cyrillic and the vowel points of
 * Arabic and Hebrew dropped ("Prüfung" is "prufung"; the vowel signs of Indic scripts are letters
 * of their own and stay). Scripts written without spaces (Chinese, Japanese, Thai, Lao, Khmer,
 * Burmese) give overlapping pairs of characters, and the last character of a run alone, so that a
 * query of one character is the prefix of a word wherever it stands.
 *
 * Threads  safe, no state. Invalid UTF-8 separates words. */
#ifndef VT_DOCS_WORDS_H
#define VT_DOCS_WORDS_H

#include <stdint.h>

#include "base/slice.h"

enum { VT_WORD_MAX = 96 }; /* bytes of a folded word; longer ones are cut at a character's end */

typedef struct {
    char text[VT_WORD_MAX + 1]; /* folded, NUL-terminated */
    uint8_t len;
    bool is_pair; /* of a script without spaces */
    bool has_digit;
    size_t start, end; /* bytes of the text that it came from */
} vt_word;

typedef struct {
    vt_slice text;
    size_t at;
} vt_words;

static inline vt_words vt_words_of(vt_slice text)
{
    return (vt_words){text, 0};
}

/* The next word; false at the end. */
bool vt_words_next(vt_words *w, vt_word *out);

/* The stem of a folded English word (Porter's algorithm of 1980) into out (VT_WORD_MAX + 1 bytes).
 * Words with other than a-z, and those of two letters or fewer, are their own stem. */
size_t vt_word_stem(const char *word, size_t len, char *out);

/* Words that carry no subject ("the", "is", "what"): folded. */
bool vt_word_is_stop(const char *word, size_t len);

#endif
