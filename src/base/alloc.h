/* alloc.h -- every heap allocation goes through here, so that tests can make any of them fail.
 *
 * Threads    safe.
 * Failure    NULL. vt_calloc and vt_realloc_array check the product for overflow.
 * Ownership  what these return is released with vt_free. */
#ifndef VT_BASE_ALLOC_H
#define VT_BASE_ALLOC_H

#include <stdint.h>

#include "base/slice.h"

void *vt_alloc(size_t n_bytes);
void *vt_calloc(size_t n, size_t size);
/* On failure the old block is untouched and still the caller's. */
void *vt_realloc_array(void *old, size_t n, size_t size);
/* n_bytes rounded up to `align`, a power of two of at least sizeof(void *); released with vt_free.
 */
void *vt_alloc_aligned(size_t align, size_t n_bytes);
/* A NUL-terminated copy. */
char *vt_strdup(vt_slice s);
void vt_free(void *ptr);

/* Tests only: the n-th allocation from now on fails (1 is the next one), once; 0 switches it off.
 * Returns how many allocations were made since the last call. */
uint64_t vt_alloc_fail_nth(uint64_t n);

/* Grow the array *ptr of *cap elements of `size` bytes so that at least `need` fit, by doubling,
 * never past `limit` elements. False when memory or the limit ran out; nothing is changed then.
 * `ptr` is the address of a pointer to any object type, cast. */
bool vt_grow(void **ptr, size_t *cap, size_t need, size_t size, size_t limit);

#endif
