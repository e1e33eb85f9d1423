/* utf8.h -- UTF-8 as the Unicode Standard defines it (no surrogates, no overlong forms, up to
 * U+10FFFF). Invalid input is replaced by U+FFFD, one for each maximal subpart, as the Standard
 * (3.9) recommends and Python and browsers do. */
#ifndef VT_BASE_UTF8_H
#define VT_BASE_UTF8_H

#include <stdint.h>

#include "base/buffer.h"

enum { VT_UTF8_REPLACEMENT = 0xFFFD };

/* Decode the first character of s (s.len > 0). Returns its length in bytes; *code is the code
 * point, or VT_UTF8_REPLACEMENT with *is_valid false (the length is then that of the maximal
 * subpart, at least 1). */
size_t vt_utf8_decode(vt_slice s, uint32_t *code, bool *is_valid);

/* Bytes written (1 to 4); code must be a scalar value. */
size_t vt_utf8_encode(uint32_t code, char out[4]);

bool vt_utf8_is_valid(vt_slice s);

/* Append s with every invalid part replaced by U+FFFD. False when out's ceiling is reached. */
bool vt_utf8_replace_invalid(vt_slice s, vt_buffer *out);

/* Could this character command a terminal? Control characters but newline and tab, and the marks
 * that turn the direction of text around (UAX #9). */
bool vt_utf8_is_control(uint32_t code);

/* In place, for texts from outside that people will read on one line: every byte of a control
 * character and of an invalid part becomes '?', a newline or tab a blank. A character that is cut
 * off at the end is left out. */
void vt_utf8_make_printable(char *text);

/* How many bytes at the end of s belong to a character that is not complete yet but may become
 * valid (0 to 3): what a stream holds back. */
size_t vt_utf8_incomplete_tail(vt_slice s);

#endif
