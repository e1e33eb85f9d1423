/* markdown.h -- Markdown as a terminal shows it, and text made harmless for a terminal.
 *
 * Threads  safe. */
#ifndef VT_CLI_MARKDOWN_H
#define VT_CLI_MARKDOWN_H

#include "base/buffer.h"

/* Append `text` (UTF-8, Markdown) with ANSI styles to `out`: headings, emphasis, code, lists,
 * quotes, tables, rules, links. Lines are not broken: the terminal does that. HTML is shown as it
 * is written. False when out's ceiling is reached. */
bool vt_markdown_render(vt_slice text, vt_buffer *out);

/* Append `text` without what could command a terminal: control characters but newline and tab
 * become U+FFFD. A model's answer may quote anything that it read. */
bool vt_terminal_safe(vt_slice text, vt_buffer *out);

#endif
