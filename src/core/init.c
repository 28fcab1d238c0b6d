/* SPDX-License-Identifier: Apache-2.0 */
#include "core/kat.h"

#include <sodium.h>

coat_err
coat_init(void)
{
    const coat_kat *tests;
    uint8_t probe[16];
    size_t count;

    /* First of all: where there is no randomness, sodium_init() aborts instead of answering. */
    if (coat_rng_system(NULL, probe, sizeof probe) != COAT_OK)
        return COAT_RNG_FAILED;
    if (sodium_init() < 0)
        return COAT_IO;
    tests = coat_kat_all(&count);
    return coat_kat_check(tests, count);
}
