/* buffer.h -- a growing byte buffer, created with its ceiling.
 *
 * Ownership  the buffer owns its bytes; vt_buffer_slice borrows until the next append.
 * Failure    appends return false when the ceiling or memory is reached and leave the buffer as it
 * was; the failure is sticky (`failed`), so a row of appends is checked once, by vt_buffer_status.
 * Threads    one thread at a time. */
#ifndef VT_BASE_BUFFER_H
#define VT_BASE_BUFFER_H

#include <stdarg.h>

#include "base/error.h"
#include "base/slice.h"

typedef struct {
    char *ptr; /* always NUL-terminated after the first append: ptr[len] == 0 */
    size_t len;
    size_t cap;
    size_t limit; /* ceiling of len; 0 means 64 MiB */
    bool failed;
} vt_buffer;

void vt_buffer_init(vt_buffer *b, size_t limit);
void vt_buffer_deinit(vt_buffer *b);
void vt_buffer_clear(vt_buffer *b); /* keeps the memory, forgets the failure */
bool vt_buffer_reserve(vt_buffer *b, size_t extra);
size_t vt_buffer_room(const vt_buffer *b); /* bytes until the ceiling */
/* `s` must not lie in the buffer itself. */
bool vt_buffer_append(vt_buffer *b, vt_slice s);
bool vt_buffer_byte(vt_buffer *b, char c);
bool vt_buffer_printf(vt_buffer *b, const char *fmt, ...) VT_PRINTF(2, 3);
/* VT_OK, or VT_ELIMIT naming `what` when an append failed. */
VT_MUSTUSE vt_status vt_buffer_status(const vt_buffer *b, const char *what, vt_err *err);
/* The caller now owns the NUL-terminated bytes (vt_free); the buffer is empty. NULL when an append
 * failed or memory ran out: the buffer is as it was. */
char *vt_buffer_take(vt_buffer *b);

static inline vt_slice vt_buffer_slice(const vt_buffer *b)
{
    return (vt_slice){b->ptr, b->len};
}

#endif
