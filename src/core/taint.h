/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_CORE_TAINT_H
#define COAT_CORE_TAINT_H

/**
 * Marks the places where a result of secret bytes becomes public knowledge: the answer
 * yes or no that the caller gets anyway. Nothing in a build of the product; the taint test
 * (tests/core/taint_secrets.c) compiles core with COAT_TAINT and runs it under Valgrind, which
 * then reports every other branch or index that depends on a secret (ID-6).
 */
#ifdef COAT_TAINT
#include <valgrind/memcheck.h>
#define coat_reveal(ptr, len) ((void)VALGRIND_MAKE_MEM_DEFINED((ptr), (len)))
#else
#define coat_reveal(ptr, len) ((void)(ptr))
#endif

#endif
