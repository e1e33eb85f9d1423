/* line_input.h -- lines from a person (libedit: editing, history) or from a pipe.
 *
 * Threads  one thread at a time; libedit has one history for the process. */
#ifndef VT_CLI_LINE_INPUT_H
#define VT_CLI_LINE_INPUT_H

#include "base/buffer.h"

typedef struct {
    bool is_interactive;
    char *history_path; /* NULL: none is kept */
} vt_line_input;

/* `history_path` may be NULL; it is copied. */
void vt_line_input_begin(vt_line_input *in, const char *history_path);
void vt_line_input_end(vt_line_input *in);

/* One message into `out` (cleared first): a line, or all lines between one that begins with """ and
 * one that ends with it. False at the end of the input. */
bool vt_line_input_read(vt_line_input *in, const char *prompt, vt_buffer *out);

#endif
