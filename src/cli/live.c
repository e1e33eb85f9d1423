/* live.c -- see live.h. Writing to the terminal cannot fail in a way that matters here: main checks
 * stdout at the end. A buffer that cannot grow costs the style, never the text. */
#include "cli/live.h"

#include <sys/ioctl.h>
#include <unistd.h>
#include <utf8proc.h>

#include "base/utf8.h"
#include "cli/markdown.h"

enum { BLOCK_LIMIT = 1 << 20 };

void vt_live_begin(vt_live *l, FILE *out, bool wants_style)
{
    struct winsize size = {0};
    bool is_terminal = isatty(fileno(out)) == 1;
    *l = (vt_live){.out = out,
                   .is_terminal = is_terminal,
                   .has_style = is_terminal && wants_style,
                   .n_columns = 80,
                   .n_screen_rows = 24};
    if (is_terminal && ioctl(fileno(out), TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
        l->n_columns = size.ws_col;
        l->n_screen_rows = size.ws_row;
    }
    vt_buffer_init(&l->block, BLOCK_LIMIT);
    vt_buffer_init(&l->drawn, 16 * BLOCK_LIMIT);
}

/* Follow the cursor through text that the terminal shows. */
static void follow(vt_live *l, vt_slice text)
{
    while (text.len > 0) {
        uint32_t code;
        bool is_valid;
        size_t n = vt_utf8_decode(text, &code, &is_valid);
        text = vt_slice_skip(text, n);
        if (code == '\n') {
            l->n_rows++;
            l->column = 0;
            continue;
        }
        int width = code == '\t' ? 8 - l->column % 8 : utf8proc_charwidth((utf8proc_int32_t)code);
        /* A full line wraps when the next character comes, not before. */
        if (l->column + width > l->n_columns) {
            l->n_rows++;
            l->column = 0;
        }
        l->column += width;
    }
}

/* Replace the block's plain text by its styled form, and begin a new block. */
static void close_block(vt_live *l)
{
    vt_slice text = vt_buffer_slice(&l->block);
    vt_buffer_clear(&l->drawn);
    bool fits = l->n_rows < l->n_screen_rows - 1;
    if (vt_slice_trim(text).len > 0 && fits && vt_markdown_render(text, &l->drawn)) {
        fputc('\r', l->out);
        if (l->n_rows > 0) fprintf(l->out, "\033[%dA", l->n_rows);
        fputs("\033[J", l->out);
        fwrite(l->drawn.ptr, 1, l->drawn.len, l->out);
        bool had_gap = vt_slice_ends(text, VT_S("\n\n"));
        if (had_gap) fputc('\n', l->out);
    }
    vt_buffer_clear(&l->block);
    l->line = 0;
    l->column = 0;
    l->n_rows = 0;
}

/* A line is complete: does it end the block? */
static void end_line(vt_live *l)
{
    vt_slice line = vt_slice_trim(vt_slice_skip(vt_buffer_slice(&l->block), l->line));
    l->line = l->block.len;
    bool is_mark = vt_slice_starts(line, VT_S("```")) || vt_slice_starts(line, VT_S("~~~"));
    if (!l->is_fenced && is_mark) {
        l->is_fenced = true;
        l->fence = line.ptr[0];
    } else if (l->is_fenced && is_mark && line.ptr[0] == l->fence) {
        l->is_fenced = false;
        close_block(l);
    } else if (!l->is_fenced && line.len == 0) {
        close_block(l);
    }
}

static void push_safe(vt_live *l, vt_slice text)
{
    while (text.len > 0) {
        size_t n = vt_slice_find(text, VT_S("\n"));
        n = n < text.len ? n + 1 : n;
        vt_slice piece = vt_slice_take(text, n);
        fwrite(piece.ptr, 1, piece.len, l->out);
        follow(l, piece);
        if (!vt_buffer_append(&l->block, piece)) l->has_style = false;
        if (l->has_style && piece.ptr[n - 1] == '\n') end_line(l);
        text = vt_slice_skip(text, n);
    }
}

void vt_live_push(vt_live *l, vt_slice text)
{
    vt_buffer safe;
    if (!l->is_terminal) {
        fwrite(text.ptr ? text.ptr : "", 1, text.len, l->out);
        follow(l, text);
    } else {
        vt_buffer_init(&safe, text.len * 3 + 16);
        if (vt_terminal_safe(text, &safe)) {
            if (l->has_style) push_safe(l, vt_buffer_slice(&safe));
            else {
                fwrite(safe.ptr ? safe.ptr : "", 1, safe.len, l->out);
                follow(l, vt_buffer_slice(&safe));
            }
        }
        vt_buffer_deinit(&safe);
    }
    fflush(l->out);
}

void vt_live_end(vt_live *l)
{
    if (l->column > 0) {
        fputc('\n', l->out);
        l->column = 0;
        l->n_rows++;
    }
    if (l->has_style && l->block.len > 0) close_block(l);
    fflush(l->out);
    vt_buffer_deinit(&l->block);
    vt_buffer_deinit(&l->drawn);
}
