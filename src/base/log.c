/* log.c -- see log.h. The sink is on the list of allowed globals. */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

static vt_log_sink *log_sink;
static void *log_sink_ctx;

void vt_log_set_sink(vt_log_sink *sink, void *ctx)
{
    log_sink = sink;
    log_sink_ctx = ctx;
}

void vt_log(vt_log_level level, const char *fmt, ...)
{
    if (log_sink == NULL) return;
    char message[1024];
    va_list args;
    va_start(args, fmt);
    vsnprintf(message, sizeof message, fmt, args);
    va_end(args);
    log_sink(log_sink_ctx, level, message);
}
