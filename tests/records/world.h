/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_TESTS_WORLD_H
#define COAT_TESTS_WORLD_H

/**
 * The kinds of store behind one face, for tests that hold a requirement on each of them. A
 * program is one world (world_memory.c, world_redis.c, ...) and the tests of this folder.
 */

#include "coat_test.h"

#include <coatcheck/store.h>

/** Servers are started once a program; what cannot be started skips the test. */
typedef struct world {
    const char *name;
    /* Tests that not every world has: wire and crash need what is in remote_world.h. */
    const struct records_tests *more_tests[4];
    const struct records_tests *drills; /* slow ones: with COAT_DRILLS, see scripts/stress */
    const struct coat_store_ops *ops;   /* to be registered; NULL: always there */
    /* What this program is, for ever, when called with --process and these. NULL: nothing else.
     */
    void (*process)(char *const *args);
    bool is_cache; /* keeps all sessions of an owner in one item, of limited size */

    /* A fresh, empty store: what the URLs name from now on. */
    void (*begin)(void);
    /* From the store's own machine's side; remote: through the proxy. */
    const char *(*url)(bool through_proxy);
    void (*end)(void); /* after all stores on it are closed */
    void (*stop)(void);

    /* Everything it keeps, logs and free pages included. `store` is open. */
    void (*dump)(coat_store *store, void (*take)(const uint8_t *bytes, size_t len));
    /* Entries, and the server's size after tidying up. NULL: as the store's statistics say. */
    uint64_t (*entries)(coat_store *store);
    uint64_t (*bytes)(coat_store *store);
    /* Make the server forget an address at once, as by eviction. NULL: it never does. */
    void (*forget)(const coat_handle *handle);
    /* Write down the verbs of the commands in what was sent to the server. @return false: it
     * is not a sequence of whole commands */
    bool (*verbs)(const uint8_t *bytes, size_t len, char *out, size_t cap);
    /* What is the network's of an open store. NULL: it has none. */
    struct remote_store *(*remote)(coat_store *store);
    /* Damage the mark by which a release knows its own format; undo puts it back. */
    void (*newer)(bool undo);
} world;

extern const world the_world;

#endif
