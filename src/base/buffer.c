/* buffer.c -- see buffer.h. */
#include "base/buffer.h"

#include <stdint.h>
#include <stdio.h>

#include "base/alloc.h"

enum { DEFAULT_LIMIT = 64 << 20 };

void vt_buffer_init(vt_buffer *b, size_t limit)
{
    *b = (vt_buffer){.limit = limit};
}

void vt_buffer_deinit(vt_buffer *b)
{
    vt_free(b->ptr);
    *b = (vt_buffer){.limit = b->limit};
}

void vt_buffer_clear(vt_buffer *b)
{
    b->len = 0;
    b->failed = false;
    if (b->ptr) b->ptr[0] = '\0';
}

/* The ceiling of len; below SIZE_MAX, so that the NUL has room too. */
static size_t ceiling(const vt_buffer *b)
{
    if (b->limit == 0) return DEFAULT_LIMIT;
    return b->limit < SIZE_MAX ? b->limit : SIZE_MAX - 1;
}

size_t vt_buffer_room(const vt_buffer *b)
{
    return b->len < ceiling(b) ? ceiling(b) - b->len : 0;
}

bool vt_buffer_reserve(vt_buffer *b, size_t extra)
{
    if (b->failed || extra > vt_buffer_room(b)) {
        b->failed = true;
        return false;
    }
    /* One byte more than the text: the NUL that lets it be handed to C functions. */
    if (!vt_grow((void **)&b->ptr, &b->cap, b->len + extra + 1, 1, ceiling(b) + 1))
        b->failed = true;
    return !b->failed;
}

bool vt_buffer_append(vt_buffer *b, vt_slice s)
{
    if (!vt_buffer_reserve(b, s.len)) return false;
    if (s.len > 0) memcpy(b->ptr + b->len, s.ptr, s.len);
    b->len += s.len;
    b->ptr[b->len] = '\0';
    return true;
}

bool vt_buffer_byte(vt_buffer *b, char c)
{
    return vt_buffer_append(b, (vt_slice){&c, 1});
}

bool vt_buffer_printf(vt_buffer *b, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (n < 0 || !vt_buffer_reserve(b, (size_t)n)) {
        b->failed = true;
        return false;
    }
    va_start(args, fmt);
    vsnprintf(b->ptr + b->len, (size_t)n + 1, fmt, args);
    va_end(args);
    b->len += (size_t)n;
    return true;
}

vt_status vt_buffer_status(const vt_buffer *b, const char *what, vt_err *err)
{
    if (!b->failed) return VT_OK;
    return vt_fail(err, VT_ELIMIT, "%s is larger than %zu bytes, or memory ran out", what,
                   ceiling(b));
}

char *vt_buffer_take(vt_buffer *b)
{
    if (b->failed || (b->ptr == NULL && !vt_buffer_reserve(b, 0))) return NULL;
    char *taken = b->ptr;
    taken[b->len] = '\0';
    *b = (vt_buffer){.limit = b->limit};
    return taken;
}
