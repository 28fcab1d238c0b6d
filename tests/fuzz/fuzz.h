/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_FUZZ_H
#define COAT_FUZZ_H

/** What a fuzz target needs, and nothing else: it states properties with FUZZ_CHECK. */

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
/** Optional: set-up before the first input. */
int LLVMFuzzerInitialize(int *argc, char ***argv);

/** Not assert(): it must hold in release builds too. */
#define FUZZ_CHECK(cond)                                                                       \
    do {                                                                                       \
        if (!(cond)) {                                                                         \
            (void)fprintf(stderr, "%s:%d: property broken: %s\n", __FILE__, __LINE__, #cond);  \
            abort();                                                                           \
        }                                                                                      \
    } while (0)

/**
 * Cut the next len bytes off the input (fewer at its end), so that a target can take several
 * things from one input. @return where they begin; *got is how many there are
 */
static inline const uint8_t *
fuzz_take(const uint8_t **data, size_t *size, size_t len, size_t *got)
{
    const uint8_t *start = *data;

    *got = len < *size ? len : *size;
    *data += *got;
    *size -= *got;
    return start;
}

#endif
