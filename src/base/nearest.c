/* nearest.c -- see nearest.h. The textbook table of optimal string alignment, three rows of it. */
#include "base/nearest.h"

#include <stdint.h>

enum { MAX_NAME = 64 };

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

size_t vt_edit_distance(vt_slice a, vt_slice b)
{
    size_t rows[3][MAX_NAME + 1];
    if (a.len > MAX_NAME || b.len > MAX_NAME) return SIZE_MAX;
    size_t *before = rows[0];
    size_t *last = rows[1];
    size_t *row = rows[2];
    for (size_t j = 0; j <= b.len; j++) last[j] = j;
    memset(rows[0], 0, sizeof rows[0]);
    for (size_t i = 1; i <= a.len; i++) {
        row[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            bool same = lower(a.ptr[i - 1]) == lower(b.ptr[j - 1]);
            row[j] = least(least(last[j] + 1, row[j - 1] + 1), last[j - 1] + (same ? 0 : 1));
            if (i > 1 && j > 1 && lower(a.ptr[i - 1]) == lower(b.ptr[j - 2]) &&
                lower(a.ptr[i - 2]) == lower(b.ptr[j - 1]))
                row[j] = least(row[j], before[j - 2] + 1);
        }
        size_t *oldest = before;
        before = last;
        last = row;
        row = oldest;
    }
    return last[b.len];
}

size_t vt_nearness(vt_slice wrong, vt_slice candidate)
{
    if (wrong.len < 2 || candidate.len < 2) return SIZE_MAX;
    const size_t edits = vt_edit_distance(wrong, candidate),
                 longer = wrong.len > candidate.len ? wrong.len : candidate.len;
    if (edits == 0) return 0;
    if (wrong.len >= 3 && vt_slice_starts(candidate, wrong)) return 1;
    if (candidate.len >= 3 && vt_slice_starts(wrong, candidate)) return 1;
    return edits <= (longer + 2) / 3 ? edits : SIZE_MAX;
}
