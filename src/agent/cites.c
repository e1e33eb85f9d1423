/* cites.c -- citation marks. See cites.h. */
#include "agent/cites.h"

#include "base/parse.h"

static const vt_slice open_mark = {"\xE3\x80\x90", 3};
static const vt_slice close_mark = {"\xE3\x80\x91", 3};
static const vt_slice dagger = {"\xE2\x80\xA0", 3};

/* "L10" or "10" */
static bool read_line(vt_slice text, uint64_t *out)
{
    text = vt_slice_trim(text);
    if (text.len > 0 && (text.ptr[0] == 'L' || text.ptr[0] == 'l')) text = vt_slice_skip(text, 1);
    return vt_parse_u64(text, out);
}

/* "L10-L12" */
static bool read_range(vt_slice text, vt_mark *mark)
{
    size_t dash = vt_slice_find(text, VT_S("-"));
    if (!read_line(vt_slice_take(text, dash), &mark->first)) return false;
    mark->last = mark->first;
    return dash == text.len ||
           (read_line(vt_slice_skip(text, dash + 1), &mark->last) && mark->last >= mark->first);
}

/* The inside of one mark: cursor, then ranges. False when it is none. */
static bool read_mark(vt_slice inside, vt_mark *marks, size_t room, size_t *n)
{
    uint64_t cursor = 0;
    size_t at = vt_slice_find(inside, dagger);
    if (at == inside.len || !vt_parse_u64(vt_slice_trim(vt_slice_take(inside, at)), &cursor))
        return false;
    vt_slice rest = vt_slice_skip(inside, at + dagger.len);
    *n = 0;
    while (rest.len > 0) {
        size_t comma = vt_slice_find(rest, VT_S(","));
        vt_mark mark = {.cursor = cursor};
        if (!read_range(vt_slice_take(rest, comma), &mark)) return false;
        if (*n < room) marks[*n] = mark;
        (*n)++;
        rest = vt_slice_skip(rest, comma + 1);
    }
    return *n > 0;
}

vt_status vt_marks_take(vt_slice text, vt_buffer *clean, vt_mark marks[VT_MARKS_MAX], size_t *n,
                        vt_err *err)
{
    size_t count = 0;
    while (text.len > 0) {
        size_t start = vt_slice_find(text, open_mark);
        vt_buffer_append(clean, vt_slice_take(text, start));
        text = vt_slice_skip(text, start);
        if (text.len == 0) break;
        size_t end = vt_slice_find(text, close_mark);
        vt_slice inside = vt_slice_skip(vt_slice_take(text, end), open_mark.len);
        vt_mark found[VT_MARKS_MAX];
        size_t n_found = 0;
        if (end == text.len || !read_mark(inside, found, VT_MARKS_MAX, &n_found)) {
            vt_buffer_append(clean, open_mark);
            text = vt_slice_skip(text, open_mark.len);
            continue;
        }
        if (n_found > VT_MARKS_MAX - count)
            return vt_fail(err, VT_ELIMIT, "more than %d citations in one sentence", VT_MARKS_MAX);
        memcpy(marks + count, found, n_found * sizeof found[0]);
        count += n_found;
        while (clean->len > 0 && clean->ptr[clean->len - 1] == ' ') clean->ptr[--clean->len] = '\0';
        text = vt_slice_skip(text, end + close_mark.len);
    }
    *n = count;
    return vt_buffer_status(clean, "a sentence", err);
}
