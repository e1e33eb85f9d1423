/* log.h -- messages about what the program does, for the person who runs it: warnings and progress,
 * never prompts, documents or keys. The library never prints: it hands messages to the sink that
 * the program installed, or drops them.
 *
 * Threads  safe after the sink is set; set it before other threads run. */
#ifndef VT_BASE_LOG_H
#define VT_BASE_LOG_H

#include "base/compiler.h"

typedef enum { VT_LOG_INFO, VT_LOG_WARN, VT_LOG_ERROR } vt_log_level;
typedef void vt_log_sink(void *ctx, vt_log_level level, const char *message);

void vt_log_set_sink(vt_log_sink *sink, void *ctx);
void vt_log(vt_log_level level, const char *fmt, ...) VT_PRINTF(2, 3);

#endif
