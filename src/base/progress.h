/* progress.h -- how long work tells how far it is and hears that it should stop.
 *
 * Both may be NULL / zero. The callback is called from the thread that called the long function, at
 * most some ten times a second, with done <= total (total 0: not known). */
#ifndef VT_BASE_PROGRESS_H
#define VT_BASE_PROGRESS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    void (*report)(void *ctx, const char *what, uint64_t done, uint64_t total);
    void *ctx;
    const atomic_bool *is_cancelled; /* set from a signal handler or another thread */
} vt_progress;

static inline void vt_progress_report(const vt_progress *p, const char *what, uint64_t done,
                                      uint64_t total)
{
    if (p != NULL && p->report != NULL) p->report(p->ctx, what, done, total);
}

static inline bool vt_progress_cancelled(const vt_progress *p)
{
    return p != NULL && p->is_cancelled != NULL &&
           atomic_load_explicit(p->is_cancelled, memory_order_relaxed);
}

#endif
