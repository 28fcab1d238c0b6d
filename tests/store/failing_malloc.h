/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_TESTS_FAILING_MALLOC_H
#define COAT_TESTS_FAILING_MALLOC_H

/** An allocator of the program's own, of which one allocation fails, or all from one on. */

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CANNOT_FAIL 1
#else
#define CANNOT_FAIL 0
#define API __attribute__((visibility("default")))

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
API void *malloc(size_t len);
API void *calloc(size_t n, size_t len);
API void *realloc(void *old, size_t len);
API void *reallocarray(void *old, size_t n, size_t len);
#endif

static long countdown = -1; /* allocations until the one that fails; below 0: none */
static bool from_then_on;
static long seen;

static inline bool
fails(void)
{
    seen++;
    if (countdown < 0)
        return false;
    if (countdown == 0) {
        if (!from_then_on)
            countdown = -1;
        errno = ENOMEM;
        return true;
    }
    countdown--;
    return false;
}

#if !CANNOT_FAIL
void *
malloc(size_t len)
{
    return fails() ? NULL : __libc_malloc(len);
}

void *
calloc(size_t n, size_t len)
{
    return fails() ? NULL : __libc_calloc(n, len);
}

void *
realloc(void *old, size_t len)
{
    return fails() ? NULL : __libc_realloc(old, len);
}

void *
reallocarray(void *old, size_t n, size_t len)
{
    return fails() ? NULL : __libc_realloc(old, n * len);
}
#endif

#endif
