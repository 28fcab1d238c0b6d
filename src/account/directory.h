/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_ACCOUNT_DIRECTORY_H
#define COAT_ACCOUNT_DIRECTORY_H

#include "account/policy.h"
#include "account/pool.h"
#include <pthread.h>

enum { COAT_QUIET_SLOTS = 256, COAT_QUIET_MS = 60000 };

/* Throttled attempts on one account are reported once a minute, with their number. */
typedef struct coat_quiet {
    uint64_t whose;
    int64_t since_ms;
    uint64_t count;
} coat_quiet;

struct coat_directory {
    coat_store *store;
    bool weak_ok; /* see coat_directory_test */
    coat_pool *pool;
    coat_limiter *limiter;
    pthread_mutex_t lock; /* guards policy and quiet; held for no call */
    coat_policy *policy;
    coat_quiet quiet[COAT_QUIET_SLOTS];
    atomic_ullong rehashes, sign_ins, failures;
};

/** What only tests change. */
typedef struct coat_directory_test {
    bool weak_ok; /* Argon2 below the floor of LG-1: nothing but a test can ask for it */
    int64_t (*monotonic_ms)(void);
} coat_directory_test;

/** coat_directory_new with test settings; NULL for none. Not exported. */
coat_err coat_directory_open(const coat_directory_conf *conf, const coat_directory_test *test,
                             coat_directory **out, char *message, size_t cap) COAT_MUST_USE;

/** The policy in force; drop it when the call is over. */
coat_policy *coat_directory_policy(coat_directory *directory);

/** @return 0: keep quiet; else how many throttled attempts to report now */
uint64_t coat_directory_throttled(coat_directory *directory, uint64_t whose, int64_t now_ms);

#endif
