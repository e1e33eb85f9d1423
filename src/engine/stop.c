/* stop.c -- see stop.h. */
#include "engine/stop.h"

#include <stdint.h>

#include "base/utf8.h"

enum { PENDING_LIMIT = 64 << 20, RESERVE = 4096 };

vt_status vt_stop_init(vt_stop_filter *f, const vt_slice *stops, size_t n, vt_err *err)
{
    if (n > VT_STOP_MAX)
        return vt_fail(err, VT_ELIMIT, "%zu stop strings; the most is %d", n, VT_STOP_MAX);
    *f = (vt_stop_filter){.n_stops = n, .i_stop = -1};
    for (size_t i = 0; i < n; i++) {
        if (stops[i].len == 0) return vt_fail(err, VT_EINPUT, "an empty stop string");
        if (stops[i].len > VT_STOP_MAX_LEN)
            return vt_fail(err, VT_ELIMIT, "a stop string of %zu bytes; the most is %d",
                           stops[i].len, VT_STOP_MAX_LEN);
        memcpy(f->stops[i], stops[i].ptr, stops[i].len);
        f->lengths[i] = stops[i].len;
    }
    vt_buffer_init(&f->pending, PENDING_LIMIT);
    vt_buffer_init(&f->clean, 3 * (size_t)PENDING_LIMIT);
    if (vt_buffer_reserve(&f->pending, RESERVE) && vt_buffer_reserve(&f->clean, 3 * RESERVE))
        return VT_OK;
    vt_stop_deinit(f);
    return vt_fail(err, VT_ENOMEM, "out of memory");
}

void vt_stop_deinit(vt_stop_filter *f)
{
    vt_buffer_deinit(&f->pending);
    vt_buffer_deinit(&f->clean);
}

/* Where the stop string begins that is complete first; of two that end at one place, the longer.
 * Not the one that begins first: with a later piece it would have to be taken back. */
static size_t find_stop(const vt_stop_filter *f, vt_slice text, int *which)
{
    size_t best_begin = text.len;
    size_t best_end = SIZE_MAX;
    for (size_t i = 0; i < f->n_stops; i++) {
        size_t begin = vt_slice_find(text, vt_slice_of(f->stops[i], f->lengths[i]));
        size_t end = begin + f->lengths[i];
        if (begin == text.len || end > best_end || (end == best_end && begin >= best_begin))
            continue;
        best_begin = begin;
        best_end = end;
        *which = (int)i;
    }
    return best_begin;
}

/* How many bytes at the end of `text` begin a stop string. */
static size_t stop_tail(const vt_stop_filter *f, vt_slice text)
{
    size_t longest = 0;
    for (size_t i = 0; i < f->n_stops; i++) {
        size_t n = f->lengths[i] - 1;
        if (n > text.len) n = text.len;
        for (; n > longest; n--)
            if (memcmp(text.ptr + text.len - n, f->stops[i], n) == 0) longest = n;
    }
    return longest;
}

/* The first n bytes of pending come out. */
static vt_status emit(vt_stop_filter *f, size_t n, vt_slice *out, vt_err *err)
{
    vt_buffer_clear(&f->clean);
    if (!vt_utf8_replace_invalid(vt_slice_of(f->pending.ptr, n), &f->clean))
        return vt_fail(err, VT_ENOMEM, "out of memory");
    memmove(f->pending.ptr, f->pending.ptr + n, f->pending.len - n);
    f->pending.len -= n;
    *out = vt_buffer_slice(&f->clean);
    return VT_OK;
}

vt_status vt_stop_push(vt_stop_filter *f, vt_slice piece, vt_slice *out, vt_err *err)
{
    *out = (vt_slice){0};
    if (f->i_stop >= 0) return VT_OK;
    if (!vt_buffer_append(&f->pending, piece)) return vt_fail(err, VT_ENOMEM, "out of memory");
    vt_slice text = vt_buffer_slice(&f->pending);
    size_t n = find_stop(f, text, &f->i_stop);
    if (f->i_stop < 0) {
        n = text.len - stop_tail(f, text);
        n -= vt_utf8_incomplete_tail(vt_slice_take(text, n));
    }
    return n > 0 ? emit(f, n, out, err) : VT_OK;
}

vt_status vt_stop_finish(vt_stop_filter *f, vt_slice *out, vt_err *err)
{
    *out = (vt_slice){0};
    if (f->i_stop >= 0 || f->pending.len == 0) return VT_OK;
    return emit(f, f->pending.len, out, err);
}
