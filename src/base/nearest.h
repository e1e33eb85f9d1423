/* nearest.h -- the name a person probably meant: for "did you mean" in error messages. */
#ifndef VT_BASE_NEAREST_H
#define VT_BASE_NEAREST_H

#include "base/slice.h"

/* How many single-character edits (insert, delete, replace, swap neighbours; ASCII case does not
 * count) lead from a to b. Names over 64 bytes are never near: the result is then SIZE_MAX. */
size_t vt_edit_distance(vt_slice a, vt_slice b);

/* Is `candidate` near enough to `wrong` to be offered? One edit for every three characters, or one
 * is the beginning of the other. */
bool vt_is_near(vt_slice wrong, vt_slice candidate);

#endif
