/* SPDX-License-Identifier: Apache-2.0 */
#include "core/rng.h"

#include <errno.h>
#include <sodium.h>
#include <sys/random.h>

coat_err
coat_rng_fill(coat_getrandom_fn source, uint8_t *buf, size_t len)
{
    size_t done = 0;

    while (done < len) {
        ssize_t got = source(buf + done, len - done, 0);

        if (got < 0 && errno == EINTR)
            continue;
        /* Nothing, or more than was asked for, is no answer of a source to be trusted. */
        if (got <= 0 || (size_t)got > len - done) {
            sodium_memzero(buf, len);
            return COAT_RNG_FAILED;
        }
        done += (size_t)got;
    }
    return COAT_OK;
}

/* Flags 0: waits until the kernel's generator is seeded. Nothing is buffered in the process, so
 * a fork has nothing to repeat. */
coat_err
coat_rng_system(void *ctx, uint8_t *buf, size_t len)
{
    (void)ctx;
    return coat_rng_fill(getrandom, buf, len);
}
