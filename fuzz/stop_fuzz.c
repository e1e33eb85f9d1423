/* stop_fuzz.c -- any bytes on their way through the stop filter: what comes out does not depend on
 * how the text was cut, is valid UTF-8, and holds no stop string that the text did not end with.
 *
 * Byte 0: how many stop strings (0 to 3). For each, a length (1 to 8) and its bytes. The rest is
 * the text; its own bytes decide where it is cut. */
#include <stdint.h>

#include "base/utf8.h"
#include "engine/stop.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef enum { WHOLE, BYTES, BY_CONTENT, N_WAYS } cutting;

static bool cuts_here(cutting way, char c)
{
    return way == BYTES || (way == BY_CONTENT && (c & 3) == 1);
}

static void run(const vt_slice *stops, size_t n, vt_slice text, cutting way, vt_buffer *all,
                int *which)
{
    vt_stop_filter f;
    vt_slice out = {0};
    VT_CHECK(vt_stop_init(&f, stops, n, NULL) == VT_OK);
    size_t begin = 0;
    for (size_t i = 1; i <= text.len; i++) {
        if (i < text.len && !cuts_here(way, text.ptr[i - 1])) continue;
        VT_CHECK(vt_stop_push(&f, vt_slice_of(text.ptr + begin, i - begin), &out, NULL) == VT_OK);
        VT_CHECK(vt_utf8_is_valid(out) && vt_buffer_append(all, out));
        begin = i;
    }
    VT_CHECK(vt_stop_finish(&f, &out, NULL) == VT_OK);
    VT_CHECK(vt_utf8_is_valid(out) && vt_buffer_append(all, out));
    *which = f.i_stop;
    vt_stop_deinit(&f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    vt_slice text = vt_slice_of((const char *)data, size);
    vt_slice stops[3];
    if (size < 1 || size > 4096) return 0;
    size_t n = data[0] % 4;
    text = vt_slice_skip(text, 1);
    for (size_t i = 0; i < n; i++) {
        if (text.len < 2) return 0;
        size_t len = (size_t)((unsigned char)text.ptr[0] % 8) + 1;
        text = vt_slice_skip(text, 1);
        if (len > text.len) return 0;
        stops[i] = vt_slice_take(text, len);
        text = vt_slice_skip(text, len);
    }
    vt_buffer all[N_WAYS];
    int which[N_WAYS];
    for (int way = 0; way < N_WAYS; way++) {
        vt_buffer_init(&all[way], 1 << 20);
        run(stops, n, text, (cutting)way, &all[way], &which[way]);
        VT_CHECK(which[way] == which[0]);
        VT_CHECK(vt_slice_eq(vt_buffer_slice(&all[way]), vt_buffer_slice(&all[0])));
    }
    /* A valid stop string is in what came out only if replaced bytes made it. */
    for (size_t i = 0; i < n && vt_utf8_is_valid(text); i++)
        VT_CHECK(vt_slice_find(vt_buffer_slice(&all[0]), stops[i]) == all[0].len);
    for (int way = 0; way < N_WAYS; way++) vt_buffer_deinit(&all[way]);
    return 0;
}
