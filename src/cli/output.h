/* output.h -- where a command may put the result that takes a path as a whole (`pack -o`, `logits
 * --out`). What such a result replaces is gone, so it replaces a regular file only: a device or a
 * FIFO would become one, and a link would no longer lead anywhere. And never the model it is made
 * from. */
#ifndef VT_CLI_OUTPUT_H
#define VT_CLI_OUTPUT_H

#include "base/error.h"

/* May a result be put at `path`? Yes when nothing is there, or a regular file that is none of the
 * files of the model at `model` (of a split one: of its parts). To be asked before anything is
 * computed. VT_EINPUT says what is there. */
VT_MUSTUSE vt_status vt_cli_check_output(const char *path, const char *model, vt_err *err);

#endif
