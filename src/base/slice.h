/* slice.h -- text and bytes as (pointer, length). A slice borrows; it owns nothing, is never
 * NUL-terminated by assumption, and NUL is a byte like any other. */
#ifndef VT_BASE_SLICE_H
#define VT_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

typedef struct {
    const char *ptr; /* may be NULL when len is 0 */
    size_t len;
} vt_slice;

/* A slice of a string literal. */
#define VT_S(literal) ((vt_slice){"" literal, sizeof(literal) - 1})
/* For printf("%.*s", VT_ARG(s)); cut to what an int holds. */
#define VT_ARG(s) (int)((s).len > 0x7fffffff ? 0x7fffffff : (s).len), ((s).ptr ? (s).ptr : "")

static inline vt_slice vt_slice_of(const void *ptr, size_t len)
{
    return (vt_slice){(const char *)ptr, len};
}

static inline vt_slice vt_slice_cstr(const char *text)
{
    return (vt_slice){text, text ? strlen(text) : 0};
}

static inline bool vt_slice_eq(vt_slice a, vt_slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static inline bool vt_slice_starts(vt_slice s, vt_slice prefix)
{
    return s.len >= prefix.len && (prefix.len == 0 || memcmp(s.ptr, prefix.ptr, prefix.len) == 0);
}

static inline bool vt_slice_ends(vt_slice s, vt_slice suffix)
{
    return s.len >= suffix.len &&
           (suffix.len == 0 || memcmp(s.ptr + (s.len - suffix.len), suffix.ptr, suffix.len) == 0);
}

/* s without its first n bytes (all of it when n is larger). */
static inline vt_slice vt_slice_skip(vt_slice s, size_t n)
{
    if (n > s.len) n = s.len;
    return (vt_slice){s.ptr ? s.ptr + n : NULL, s.len - n};
}

/* The first n bytes of s (all of it when n is larger). */
static inline vt_slice vt_slice_take(vt_slice s, size_t n)
{
    return (vt_slice){s.ptr, n < s.len ? n : s.len};
}

/* Offset of the first `needle` in s, or s.len when there is none; an empty needle is at 0. */
static inline size_t vt_slice_find(vt_slice s, vt_slice needle)
{
    if (needle.len == 0) return 0;
    if (s.len < needle.len) return s.len;
    const char *hit = (const char *)memmem(s.ptr, s.len, needle.ptr, needle.len);
    return hit ? (size_t)(hit - s.ptr) : s.len;
}

/* s without ASCII white space at both ends. */
static inline vt_slice vt_slice_trim(vt_slice s)
{
    while (s.len > 0 && memchr(" \t\r\n\v\f", s.ptr[0], 6)) s = vt_slice_skip(s, 1);
    while (s.len > 0 && memchr(" \t\r\n\v\f", s.ptr[s.len - 1], 6)) s.len--;
    return s;
}

#endif
