/* line_input.c -- see line_input.h. */
#include "cli/line_input.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <editline/readline.h>

#include "base/alloc.h"

enum { HISTORY_LINES = 1000 };

#define QUOTES "\"\"\""

void vt_line_input_begin(vt_line_input *in, const char *history_path)
{
    *in =
        (vt_line_input){.is_interactive = isatty(STDIN_FILENO) == 1 && isatty(STDOUT_FILENO) == 1};
    if (!in->is_interactive) return;
    if (history_path != NULL) in->history_path = vt_strdup(vt_slice_cstr(history_path));
    rl_initialize();
    stifle_history(HISTORY_LINES);
    if (in->history_path != NULL) read_history(in->history_path);
}

void vt_line_input_end(vt_line_input *in)
{
    vt_free(in->history_path);
    *in = (vt_line_input){0};
}

static void keep(vt_line_input *in, const char *line)
{
    if (line[0] == '\0') return;
    add_history(line);
    if (in->history_path == NULL) return;
    /* After every line: a session that is killed keeps its history. What one asks is private. */
    mode_t before = umask(0077);
    write_history(in->history_path);
    umask(before);
}

static bool read_line(vt_line_input *in, const char *prompt, vt_buffer *out)
{
    char *line = NULL;
    if (in->is_interactive) {
        line = readline(prompt);
        if (line == NULL) return false;
        keep(in, line);
        vt_buffer_append(out, vt_slice_cstr(line));
    } else {
        size_t cap = 0;
        ssize_t n = getline(&line, &cap, stdin);
        if (n > 0 && line[n - 1] == '\n') n--;
        else if (n <= 0) {
            free(line);
            return false;
        }
        vt_buffer_append(out, vt_slice_of(line, (size_t)n));
    }
    free(line);
    return true;
}

bool vt_line_input_read(vt_line_input *in, const char *prompt, vt_buffer *out)
{
    vt_buffer_clear(out);
    if (!read_line(in, prompt, out)) return false;
    if (!vt_slice_starts(vt_buffer_slice(out), VT_S(QUOTES))) return true;
    memmove(out->ptr, out->ptr + 3, out->len - 3);
    out->len -= 3;
    size_t begin = 0;
    for (;;) {
        vt_slice line = vt_slice_trim(vt_slice_skip(vt_buffer_slice(out), begin));
        if (vt_slice_ends(line, VT_S(QUOTES))) {
            out->len = (size_t)(line.ptr - out->ptr) + line.len - 3;
            break;
        }
        if (out->len > 0) vt_buffer_byte(out, '\n');
        begin = out->len;
        if (!read_line(in, "... ", out)) break;
    }
    if (out->ptr != NULL) out->ptr[out->len] = '\0';
    return true;
}
