/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_CORE_KAT_H
#define COAT_CORE_KAT_H

/** Known-answer tests of the primitives that coatcheck relies on, run by coat_init() (HD-9). */

#include <coatcheck/base.h>

enum { COAT_KAT_ANSWER_MAX = 64 };

typedef struct coat_kat {
    const char *name;
    /** Writes the primitive's answer. @return its length, 0 if the primitive failed */
    size_t (*run)(uint8_t out[COAT_KAT_ANSWER_MAX]);
    const char *answer; /* hex, from a source other than libsodium */
} coat_kat;

/** @param count  set to the number of tests */
const coat_kat *coat_kat_all(size_t *count);

/** @retval COAT_IO  one did not give its known answer */
coat_err coat_kat_check(const coat_kat *tests, size_t count) COAT_MUST_USE;

#endif
