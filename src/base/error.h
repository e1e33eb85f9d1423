/* error.h -- one status for every fallible function, and a record that says what went wrong.
 *
 * A function that can fail returns vt_status and takes `vt_err *err` last; err may be NULL. On
 * failure the out-parameters and the object are as they were, unless its header says otherwise. A
 * message is lower case without a full stop and says what failed before why. It often quotes what
 * is wrong, so it is made printable (vt_utf8_make_printable) here, once for all.
 *
 * VT_CHECK guards invariants of our own (a bug, never input): it prints and aborts, in every build.
 *
 * Threads  safe; vt_err belongs to the caller. */
#ifndef VT_BASE_ERROR_H
#define VT_BASE_ERROR_H

#include "base/compiler.h"

/* name, value, HTTP status, text */
#define VT_STATUS_MAP(X)                                           \
    X(OK, 0, 200, "success")                                       \
    X(ENOMEM, -1, 503, "out of memory")                            \
    X(EINPUT, -2, 400, "malformed input")                          \
    X(ELIMIT, -3, 413, "a limit was reached")                      \
    X(EIO, -4, 500, "input/output error")                          \
    X(ECORRUPT, -5, 500, "stored data failed its integrity check") \
    X(ECANCEL, -6, 499, "cancelled by the caller")                 \
    X(ENOTFOUND, -7, 404, "not found")                             \
    X(EUNSUPPORTED, -8, 501, "not supported")                      \
    X(EREFUSED, -9, 403, "refused by a rule")                      \
    X(EEXIST, -10, 409, "already exists")                          \
    X(EVERIFY, -11, 409, "verification failed")

typedef enum {
#define X(name, value, http, text) VT_##name = (value),
    VT_STATUS_MAP(X)
#undef X
} vt_status;

typedef struct {
    vt_status code;
    int sys_errno; /* 0 when no system call was involved */
    char msg[384]; /* "cannot rename %s": lower case, no full stop */
} vt_err;

/* Fill *err when the caller passed one, and return `code`, so that failing is one line at the place
 * of failure: return vt_fail(err, VT_EINPUT, ...). vt_fail_errno also keeps errno and appends its
 * text. */
vt_status vt_fail(vt_err *err, vt_status code, const char *fmt, ...) VT_PRINTF(3, 4);
vt_status vt_fail_errno(vt_err *err, vt_status code, const char *fmt, ...) VT_PRINTF(3, 4);

/* Put "what: " before the message that a callee left, when a wider context helps the reader. */
vt_status vt_fail_wrap(vt_err *err, vt_status code, const char *fmt, ...) VT_PRINTF(3, 4);

/* clang's analyzer looks at one file at a time, and would follow failures that return VT_OK. */
#ifdef __clang_analyzer__
#define vt_fail(err, code, ...)       (vt_fail(err, code, __VA_ARGS__), (code))
#define vt_fail_errno(err, code, ...) (vt_fail_errno(err, code, __VA_ARGS__), (code))
#define vt_fail_wrap(err, code, ...)  (vt_fail_wrap(err, code, __VA_ARGS__), (code))
#endif

const char *vt_status_text(vt_status status);
int vt_status_http(vt_status status);

void vt_check_failed(const char *file, int line, const char *what) VT_NORETURN;

#define VT_CHECK(cond) (VT_LIKELY(cond) ? (void)0 : vt_check_failed(__FILE__, __LINE__, #cond))
#ifdef NDEBUG
#define VT_ASSERT(cond) ((void)sizeof(cond))
#else
#define VT_ASSERT(cond) VT_CHECK(cond)
#endif

#endif
