/* SPDX-License-Identifier: Apache-2.0 */
/** The allocation functions of a program that is tortured, and of its libraries. */

#include "torture_seam.h"

#include <stdlib.h>

#if TORTURE_ASAN
#define REAL(name) __interceptor_##name
#else
#define REAL(name) __libc_##name
#endif

extern void *REAL(malloc)(size_t len);
extern void *REAL(calloc)(size_t n, size_t len);
extern void *REAL(realloc)(void *old, size_t len);
extern void *REAL(memalign)(size_t alignment, size_t len);

TORTURE_API void *malloc(size_t len);
TORTURE_API void *calloc(size_t n, size_t len);
TORTURE_API void *realloc(void *old, size_t len);
TORTURE_API void *reallocarray(void *old, size_t n, size_t len);
TORTURE_API void *aligned_alloc(size_t alignment, size_t len);
TORTURE_API int posix_memalign(void **out, size_t alignment, size_t len);

#define FAILS(name) fails(name, __builtin_return_address(0))

static bool
fails(const char *call, void *caller)
{
    if (!torture_fails(TORTURE_MEMORY, call, caller))
        return false;
    errno = ENOMEM;
    return true;
}

void *
malloc(size_t len)
{
    return FAILS("malloc") ? NULL : REAL(malloc)(len);
}

void *
calloc(size_t n, size_t len)
{
    return FAILS("calloc") ? NULL : REAL(calloc)(n, len);
}

void *
realloc(void *old, size_t len)
{
    /* libuv's table of watchers */
    if (!torture_is_uv(__builtin_return_address(0)) && FAILS("realloc"))
        return NULL;
    return REAL(realloc)(old, len);
}

void *
reallocarray(void *old, size_t n, size_t len)
{
    size_t all;

    if (__builtin_mul_overflow(n, len, &all) || FAILS("reallocarray"))
        return NULL;
    return REAL(realloc)(old, all);
}

void *
aligned_alloc(size_t alignment, size_t len)
{
    return FAILS("aligned_alloc") ? NULL : REAL(memalign)(alignment, len);
}

int
posix_memalign(void **out, size_t alignment, size_t len)
{
    void *got = FAILS("posix_memalign") ? NULL : REAL(memalign)(alignment, len);

    if (got == NULL)
        return ENOMEM;
    *out = got;
    return 0;
}
