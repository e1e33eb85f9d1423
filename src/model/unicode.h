/* unicode.h -- the class of a code point, as the patterns of published tokenizers ask for it:
 * general category of letters, marks and numbers, and White_Space. Not a Unicode library:
 * normalisation is utf8proc's, case is not needed.
 *
 * The tables are of Unicode 16.0 (scripts/make-unicode-tables says why).
 *
 * Threads  safe: constant data. */
#ifndef VT_MODEL_UNICODE_H
#define VT_MODEL_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum {
    VT_UNICODE_OTHER, /* punctuation, symbols, controls, unassigned, private */
    VT_UNICODE_SPACE, /* White_Space; disjoint from all the others */
    VT_UNICODE_N,     /* Nd Nl No */
    VT_UNICODE_M,     /* Mn Mc Me */
    VT_UNICODE_LU,
    VT_UNICODE_LL,
    VT_UNICODE_LT,
    VT_UNICODE_LM,
    VT_UNICODE_LO,
} vt_unicode_class; /* the values are the generator's; letters come last */

enum { VT_UNICODE_BLOCK = 128, VT_UNICODE_END = 0x110000 };

extern const uint8_t vt__unicode_index[];
extern const uint8_t vt__unicode_blocks[];

/* Both ends included. */
typedef struct {
    uint32_t first, last;
} vt_unicode_range;

extern const vt_unicode_range vt__unicode_late[]; /* in order */
extern const size_t vt__unicode_n_late;

/* `code` at most U+10FFFF. */
static inline vt_unicode_class vt_unicode_class_of(uint32_t code)
{
    uint32_t i = vt__unicode_index[code / VT_UNICODE_BLOCK] * (uint32_t)VT_UNICODE_BLOCK +
                 code % VT_UNICODE_BLOCK;
    return (vt_unicode_class)(vt__unicode_blocks[i / 2] >> (i % 2 * 4) & 0xF);
}

static inline bool vt_unicode_is_letter(vt_unicode_class c)
{
    return c >= VT_UNICODE_LU;
}

/* Whether normalisation knows the code point now and did not in Unicode 9.0, which is what the
 * published tokenizers normalise by. */
static inline bool vt_unicode_is_late(uint32_t code)
{
    size_t low = 0;
    size_t high = vt__unicode_n_late;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (code > vt__unicode_late[mid].last) low = mid + 1;
        else high = mid;
    }
    return low < vt__unicode_n_late && code >= vt__unicode_late[low].first;
}

#endif
