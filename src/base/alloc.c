/* alloc.c -- see alloc.h. The counters are on the list of allowed globals: they exist so that tests
 * can fail each allocation in turn, and cost one relaxed increment. */
#include "base/alloc.h"

#include <stdatomic.h>
#include <stdlib.h>

static atomic_uint_fast64_t n_allocations;
static atomic_uint_fast64_t failing_allocation; /* 0: none */

static bool may_allocate(void)
{
    uint64_t n = atomic_fetch_add_explicit(&n_allocations, 1, memory_order_relaxed) + 1;
    uint64_t failing = atomic_load_explicit(&failing_allocation, memory_order_relaxed);
    return failing == 0 || n != failing;
}

void *vt_alloc(size_t n_bytes)
{
    return may_allocate() ? malloc(n_bytes ? n_bytes : 1) : NULL;
}

void *vt_calloc(size_t n, size_t size)
{
    return may_allocate() ? calloc(n ? n : 1, size ? size : 1) : NULL;
}

void *vt_realloc_array(void *old, size_t n, size_t size)
{
    if (!may_allocate()) return NULL;
    return reallocarray(old, n ? n : 1, size ? size : 1);
}

void *vt_alloc_aligned(size_t align, size_t n_bytes)
{
    if (!may_allocate()) return NULL;
    size_t rounded;
    if (__builtin_add_overflow(n_bytes ? n_bytes : 1, align - 1, &rounded)) return NULL;
    return aligned_alloc(align, rounded & ~(align - 1));
}

char *vt_strdup(vt_slice s)
{
    if (s.len == SIZE_MAX) return NULL;
    char *copy = vt_alloc(s.len + 1);
    if (copy == NULL) return NULL;
    if (s.len > 0) memcpy(copy, s.ptr, s.len);
    copy[s.len] = '\0';
    return copy;
}

void vt_free(void *ptr)
{
    free(ptr);
}

uint64_t vt_alloc_fail_nth(uint64_t n)
{
    atomic_store(&failing_allocation, n);
    return atomic_exchange(&n_allocations, 0);
}

bool vt_grow(void **ptr, size_t *cap, size_t need, size_t size, size_t limit)
{
    if (need <= *cap) return true;
    if (need > limit) return false;
    size_t bigger = *cap < 8 ? 8 : *cap;
    while (bigger < need) {
        if (bigger > limit / 2) {
            bigger = limit;
            break;
        }
        bigger *= 2;
    }
    if (bigger > limit) bigger = limit;
    /* The caller's pointer is a `char *` or a `struct x *`: reading it as a `void *` would break
     * the aliasing rules, copying its bytes does not. */
    void *old;
    memcpy(&old, ptr, sizeof old);
    void *grown = vt_realloc_array(old, bigger, size);
    if (grown == NULL) return false;
    memcpy(ptr, &grown, sizeof grown);
    *cap = bigger;
    return true;
}
