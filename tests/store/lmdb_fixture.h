/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_TESTS_LMDB_FIXTURE_H
#define COAT_TESTS_LMDB_FIXTURE_H

/** LMDB stores in directories of their own, below one temporary directory. */

#include "coat_test.h"

#include <coatcheck/store.h>
#include <string.h>
#include <unistd.h>

typedef struct lmdb_fixture {
    uint64_t map_bytes, reserve_bytes;
    char dir[300], url[320];
    char message[400]; /* of the last fixture_open() */
} lmdb_fixture;

/** Name a directory that does not exist yet. */
static inline void
fixture_fresh(lmdb_fixture *f)
{
    static const char *base;
    static int number;

    if (base == NULL)
        base = test_tmpdir();
    (void)snprintf(f->dir, sizeof f->dir, "%s/%d", base, number++);
    (void)snprintf(f->url, sizeof f->url, "lmdb:%s", f->dir);
}

static inline coat_err
fixture_open(lmdb_fixture *f, coat_store **out)
{
    coat_store_conf conf = {.url = f->url,
                            .map_bytes = f->map_bytes,
                            .reserve_bytes = f->reserve_bytes,
                            .message = f->message,
                            .message_cap = sizeof f->message};

    return coat_store_open(&conf, out);
}

static inline const char *
fixture_path(const lmdb_fixture *f, const char *file)
{
    static char path[400];

    (void)snprintf(path, sizeof path, "%s/%s", f->dir, file);
    return path;
}

static inline void
fixture_remove(const lmdb_fixture *f)
{
    (void)unlink(fixture_path(f, "data.mdb"));
    (void)unlink(fixture_path(f, "lock.mdb"));
    (void)unlink(fixture_path(f, "lock"));
    (void)rmdir(f->dir);
}

#endif
