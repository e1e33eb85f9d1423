/* error.c -- see error.h. */
#include "base/error.h"

#undef vt_fail /* see there: defined here */
#undef vt_fail_errno
#undef vt_fail_wrap

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

/* Append ": text" to a message of n bytes, as much of it as fits. */
static void append_reason(vt_err *err, int n, const char *text)
{
    if (n < 0 || (size_t)n + 3 > sizeof err->msg) return;
    size_t room = sizeof err->msg - (size_t)n - 3;
    size_t len = strnlen(text, room);
    memcpy(err->msg + n, ": ", 2);
    memcpy(err->msg + n + 2, text, len);
    err->msg[(size_t)n + 2 + len] = '\0';
}

static void format_message(vt_err *err, vt_status code, int sys_errno, const char *fmt,
                           va_list args)
{
    err->code = code;
    err->sys_errno = sys_errno;
    int n = vsnprintf(err->msg, sizeof err->msg, fmt, args);
    if (n < 0) err->msg[0] = '\0';
    char text[96];
    if (sys_errno != 0) append_reason(err, n, strerror_r(sys_errno, text, sizeof text));
    vt_utf8_make_printable(err->msg);
}

vt_status vt_fail(vt_err *err, vt_status code, const char *fmt, ...)
{
    if (err == NULL) return code;
    va_list args;
    va_start(args, fmt);
    format_message(err, code, 0, fmt, args);
    va_end(args);
    return code;
}

vt_status vt_fail_errno(vt_err *err, vt_status code, const char *fmt, ...)
{
    int saved = errno;
    if (err == NULL) return code;
    va_list args;
    va_start(args, fmt);
    format_message(err, code, saved, fmt, args);
    va_end(args);
    return code;
}

vt_status vt_fail_wrap(vt_err *err, vt_status code, const char *fmt, ...)
{
    if (err == NULL) return code;
    char inner[sizeof err->msg];
    memcpy(inner, err->msg, sizeof inner);
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(err->msg, sizeof err->msg, fmt, args);
    va_end(args);
    err->code = code;
    append_reason(err, n, inner);
    vt_utf8_make_printable(err->msg);
    return code;
}

const char *vt_status_text(vt_status status)
{
    switch (status) {
#define X(name, value, http, text) \
    case VT_##name: return text;
        VT_STATUS_MAP(X)
#undef X
    }
    return "unknown status";
}

int vt_status_http(vt_status status)
{
    switch (status) {
#define X(name, value, http, text) \
    case VT_##name: return http;
        VT_STATUS_MAP(X)
#undef X
    }
    return 500;
}

void vt_check_failed(const char *file, int line, const char *what)
{
    fprintf(stderr, "vetro: internal error at %s:%d: %s\n", file, line, what);
    abort();
}
