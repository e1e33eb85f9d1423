/* nearest.h -- the name a person probably meant: for "did you mean" in error messages. */
#ifndef VT_BASE_NEAREST_H
#define VT_BASE_NEAREST_H

#include "base/slice.h"

/* How many single-character edits (insert, delete, replace, swap neighbours; ASCII case does not
 * count) lead from a to b. Names over 64 bytes are never near: the result is then SIZE_MAX. */
size_t vt_edit_distance(vt_slice a, vt_slice b);

/* How near `candidate` is to `wrong`: the edits between them, or 1 where one is the beginning of
 * the other. SIZE_MAX: not near enough to be offered, which is one edit for every three characters.
 */
size_t vt_nearness(vt_slice wrong, vt_slice candidate);

#endif
