/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_CORE_RNG_H
#define COAT_CORE_RNG_H

#include <coatcheck/base.h>
#include <sys/types.h>

/** getrandom(2), or what a test puts in its place. */
typedef ssize_t (*coat_getrandom_fn)(void *buf, size_t len, unsigned flags);

/** coat_rng_system() over a given source: all of buf, or COAT_RNG_FAILED and buf wiped. */
coat_err coat_rng_fill(coat_getrandom_fn source, uint8_t *buf, size_t len) COAT_MUST_USE;

#endif
