/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_TESTS_RECORDS_H
#define COAT_TESTS_RECORDS_H

/** What the tests of this folder share: engines on a fresh store of the world. */

#include "rig.h"
#include "world.h"

#include <string.h>

extern rig r; /* engines through the proxy, where there is one */

/** Engines on a fresh store; the breaker's clock can be set ahead. */
void records_begin(unsigned engines);
/** The same, settings to be changed before rig_start(). */
void records_prepare(unsigned engines);
void records_end(void);

/**
 * The engines' clocks: where ends wait until others must have heard of them, time passes while
 * they do. Not with records_precise(true).
 */
int64_t records_monotonic(void *ctx);
void records_precise(bool precise);

/** The network's clock, and to set it ahead: what waits because of an outage is tried at once.
 */
int64_t records_network_clock(void *ctx);
/** Its randomness: what is put off is put off for the least time. */
coat_err records_nothing(void *ctx, uint8_t *bytes, size_t len);
void records_hurry(int64_t ms);

/** A stored record, fetched and put back by the contract's own means. */
typedef struct stored {
    uint8_t bytes[COAT_STORE_VALUE_MAX];
    size_t len;
    uint64_t version;
    int64_t expires_ms;
} stored;

coat_err records_fetch(const coat_handle *handle, stored *out);
/** Compare-and-set on s->version, which is set anew. */
void records_put(const coat_handle *handle, stored *s);

/** Entries, and the size, as the world says. */
uint64_t records_entries(void);
uint64_t records_bytes(void);

/** Sweep all that is dead. */
void records_sweep(void);

/* Each file's tests. */
enum { RECORDS_TESTS_MAX = 24 };
typedef struct records_tests {
    const coat_test *tests;
    size_t count;
} records_tests;
/** The other process of crash.c: args are a URL, a clock, a seed, a user's name; writes its
 * tokens to output. */
_Noreturn void crash_process(char *const *args);
extern const records_tests at_rest_tests, bulk_tests, cycle_tests, wire_tests, crash_tests;

#endif
