/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COATCHECK_STORE_SUITE_H
#define COATCHECK_STORE_SUITE_H

/**
 * The contract of <coatcheck/store.h> as tests, for authors of stores. Link with
 * libcoat-store-suite and libcoatcheck; no test framework is needed.
 *
 * Every case opens a store of its own. Among the cases are random histories, compared step by
 * step with a plain model; the same seed makes the same history. Clocks come from the requests:
 * nothing sleeps.
 */

#include <coatcheck/store.h>

typedef struct coat_suite {
    /* An empty store. The suite opens lanes on it from several threads. */
    coat_err (*open)(void *ctx, coat_store **out);
    /* Close it and remove what it kept. */
    void (*close)(void *ctx, coat_store *store);
    /* Close it and open it again with what it kept; NULL for a store that keeps nothing. */
    coat_err (*reopen)(void *ctx, coat_store **store);
    void *ctx;
    uint64_t seed;
    uint32_t histories; /* random histories; 0: 20 */
    uint32_t steps;     /* operations in each; 0: 500 */
    uint32_t races;     /* rounds of each race between threads; 0: 50 */
} coat_suite;

COAT_API size_t coat_suite_count(void);
/** What case `index` checks; NULL behind the last. */
COAT_API const char *coat_suite_name(size_t index);
/**
 * Run one case.
 * @param fault  why it failed: where, what was expected and found; cut at cap
 * @return true if the store keeps this part of the contract
 */
COAT_API bool coat_suite_run(const coat_suite *suite, size_t index, char *fault,
                             size_t cap) COAT_MUST_USE;

#endif
