/* compiler.h -- the compiler extensions that the rest of the code may use, under names of ours.
 * Nothing here allocates, fails or has state. */
#ifndef VT_BASE_COMPILER_H
#define VT_BASE_COMPILER_H

#define VT_MUSTUSE            __attribute__((warn_unused_result))
#define VT_PRINTF(fmt, args)  __attribute__((format(printf, fmt, args)))
#define VT_LIKELY(x)          __builtin_expect(!!(x), 1)
#define VT_UNLIKELY(x)        __builtin_expect(!!(x), 0)
#define VT_NORETURN           __attribute__((noreturn))
#define VT_INLINE             static inline __attribute__((always_inline))
#define VT_ALIGNED(n)         __attribute__((aligned(n)))
#define VT_UNUSED             __attribute__((unused))
#define VT_VECTOR(n_bytes)    __attribute__((vector_size(n_bytes)))
#define VT_SHUFFLE(a, b, ...) __builtin_shufflevector((a), (b), __VA_ARGS__)

/* Ask for the cache line at p, to be read soon; any address will do. */
#define VT_PREFETCH(p) __builtin_prefetch((p), 0, 3)
/* The compiler forgets what it knows of a pointer, and so may not move loads through it. */
#define VT_FORGET(pointer) __asm__("" : "+r"(pointer))

#define VT_COUNT(array) (sizeof(array) / sizeof((array)[0]))

#endif
