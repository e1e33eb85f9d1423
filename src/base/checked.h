/* checked.h -- arithmetic on sizes and counts that come from outside. Each returns true when the
 * result fits and stores it; on false *out is untouched. */
#ifndef VT_BASE_CHECKED_H
#define VT_BASE_CHECKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline bool vt_add_u64(uint64_t a, uint64_t b, uint64_t *out)
{
    uint64_t r;
    if (__builtin_add_overflow(a, b, &r)) return false;
    *out = r;
    return true;
}

static inline bool vt_mul_u64(uint64_t a, uint64_t b, uint64_t *out)
{
    uint64_t r;
    if (__builtin_mul_overflow(a, b, &r)) return false;
    *out = r;
    return true;
}

static inline bool vt_add_size(size_t a, size_t b, size_t *out)
{
    size_t r;
    if (__builtin_add_overflow(a, b, &r)) return false;
    *out = r;
    return true;
}

static inline bool vt_mul_size(size_t a, size_t b, size_t *out)
{
    size_t r;
    if (__builtin_mul_overflow(a, b, &r)) return false;
    *out = r;
    return true;
}

/* x rounded up to a multiple of `align`, a power of two. */
static inline bool vt_align_u64(uint64_t x, uint64_t align, uint64_t *out)
{
    uint64_t r;
    if (__builtin_add_overflow(x, align - 1, &r)) return false;
    *out = r & ~(align - 1);
    return true;
}

#endif
