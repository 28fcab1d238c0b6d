/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_TORTURE_SEAM_H
#define COAT_TORTURE_SEAM_H

/** Between the definitions that stand before those of the C library, and torture.c. */

#include "torture.h"

#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>

/** For definitions of functions of the C library. */
#define TORTURE_API __attribute__((visibility("default")))

/** Is this call to fail? @param caller  __builtin_return_address(0) */
bool torture_fails(enum torture_kind kind, const char *call, void *caller);
/** Is it libuv that calls? */
bool torture_is_uv(void *caller);
/** The function of the C library, or a sanitizer's, that a definition of ours hides. */
void *torture_real(const char *name);

#define TORTURE_REAL(name)                                                                     \
    static __typeof__(&name) real;                                                             \
    if (real == NULL)                                                                          \
    *(void **)&real = torture_real(#name)

/** How long a loop waits in earnest before time is let pass; below 0: it takes what it takes.
 */
int torture_patience_ms(void);
/** How much passes then, where it would have waited that long. */
int torture_leap_ms(int timeout_ms);
void torture_set_clocks(int64_t ms); /* ahead */

#endif
