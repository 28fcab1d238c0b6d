/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_ACCOUNT_POOL_H
#define COAT_ACCOUNT_POOL_H

/**
 * The directory's hashing threads (LG-10): K of them, a bounded queue, a wait limit, so at most
 * K Argon2 computations' worth of memory. A hash that takes more memory than configured (an
 * imported one) waits until no other such hash is running.
 */

#include "account/hash.h"

typedef struct coat_pool coat_pool;

typedef enum coat_job_kind {
    COAT_JOB_VERIFY = 1, /* match; with renew, a new hash if the stored one is outdated */
    COAT_JOB_DECOY,      /* the same time, never a match */
    COAT_JOB_MAKE,       /* hash */
} coat_job_kind;

typedef struct coat_job coat_job;
struct coat_job {
    coat_job_kind kind;
    coat_hash_params params; /* pepper borrowed until done */
    coat_span password;      /* borrowed until done */
    const coat_hash *stored; /* VERIFY; borrowed until done */
    bool renew;
    uint8_t salt[COAT_SALT_BYTES]; /* of a new hash, or of the decoy */
    void (*done)(coat_job *job);   /* on a hashing thread */
    void *ctx;

    /* Results. */
    coat_err result; /* OK, BUSY: never started; NO_MEMORY */
    bool match, renewed;
    char hash[COAT_HASH_MAX + 1];

    coat_job *next;
    int64_t queued_ms;
};

typedef struct coat_pool_conf {
    uint32_t threads, queue_max, wait_ms;
    uint32_t usual_kib;
    int64_t (*monotonic_ms)(void); /* NULL: the system's */
} coat_pool_conf;

typedef struct coat_pool_stats {
    uint64_t hashes, verifications, overflows;
    uint32_t queued, queued_peak, running, running_peak;
} coat_pool_stats;

coat_err coat_pool_new(const coat_pool_conf *conf, coat_pool **out) COAT_MUST_USE;
/** Runs nothing more; waits for what is running. No job may be left whose owner cares. */
void coat_pool_free(coat_pool *pool);
void coat_pool_configure(coat_pool *pool, uint32_t queue_max, uint32_t wait_ms,
                         uint32_t usual_kib);

/** A hint to refuse early, before anything was written. */
bool coat_pool_full(coat_pool *pool);
/** @retval COAT_BUSY  queue full; done is not called */
coat_err coat_pool_submit(coat_pool *pool, coat_job *job) COAT_MUST_USE;
/** Take a waiting job back. @return false if it is running or done */
bool coat_pool_withdraw(coat_pool *pool, coat_job *job) COAT_MUST_USE;
void coat_pool_stats_get(coat_pool *pool, coat_pool_stats *out);

#endif
