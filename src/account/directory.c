/* SPDX-License-Identifier: Apache-2.0 */
#include "account/directory.h"

#include "account/limiter.h"
#include "core/out.h"
#include <sodium.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    THREADS_MAX = 256,
    QUEUE_PER_THREAD = 64,
    QUEUE_MAX = 1000000,
    WAIT_MAX_MS = 60000,
    ATTEMPTS_MAX = 8000
};

/* Together at most what NIST SP 800-63B section 3.2.2 allows. */
enum { FAILURES_TOTAL_MAX = 100, DISTINCT_ACCOUNTS = 10 };

void
coat_directory_conf_default(coat_directory_conf *conf)
{
    *conf = (coat_directory_conf){
        .argon_kib = 19456,
        .argon_passes = 2,
        .queue_wait_ms = 2000,
        .failures_known = 50,
        .failures_unknown = 50,
        .attempts_per_minute = 20,
        .service_name = "coatcheck",
    };
}

static const char *
conf_fault_limits(const coat_directory_conf *conf)
{
    if (conf->failures_known == 0 || conf->failures_unknown == 0 ||
        (uint64_t)conf->failures_known + conf->failures_unknown > FAILURES_TOTAL_MAX)
        return "failures until an account is disabled: at least 1 for each class of clients, "
               "at most 100 for both together";
    if (conf->hash_threads > THREADS_MAX || conf->queue_max > QUEUE_MAX)
        return "at most 256 hashing threads and 1000000 waiting hashes";
    if (conf->queue_wait_ms == 0 || conf->queue_wait_ms > WAIT_MAX_MS)
        return "a hash may wait 1 ms to 60 s";
    if (conf->attempts_per_minute == 0 || conf->attempts_per_minute > ATTEMPTS_MAX)
        return "attempts a minute from one network: 1 to 8000";
    return NULL;
}

static const char *
conf_fault(const coat_directory_conf *conf, bool weak_ok)
{
    const char *fault = coat_hash_params_fault(conf->argon_kib, conf->argon_passes);

    if (fault != NULL && !(weak_ok && conf->argon_kib >= 8 && conf->argon_passes >= 1))
        return fault;
    if (conf->keys == NULL || conf->store == NULL)
        return "keys and a store are needed";
    if ((coat_store_caps_of(conf->store) & COAT_CAP_ACCOUNTS) == 0)
        return "this store is not fit to keep accounts: set accounts.url to one that is, such "
               "as lmdb:";
    return conf_fault_limits(conf);
}

static coat_err
conf_check(const coat_directory_conf *conf, bool weak_ok, char *message, size_t cap)
{
    coat_out line = coat_out_init(message, message != NULL ? cap : 0);
    const char *fault = conf_fault(conf, weak_ok);

    coat_out_str(&line, fault != NULL ? fault : "");
    (void)coat_out_end(&line);
    return fault != NULL ? COAT_INVALID : COAT_OK;
}

static uint32_t
conf_threads(const coat_directory_conf *conf)
{
    long cores;

    if (conf->hash_threads > 0)
        return conf->hash_threads;
    cores = sysconf(_SC_NPROCESSORS_ONLN);
    return cores < 1 ? 1 : cores > THREADS_MAX ? THREADS_MAX : (uint32_t)cores;
}

static uint32_t
conf_queue(const coat_directory_conf *conf)
{
    return conf->queue_max > 0 ? conf->queue_max : QUEUE_PER_THREAD * conf_threads(conf);
}

coat_err
coat_directory_open(const coat_directory_conf *conf, const coat_directory_test *test,
                    coat_directory **out, char *message, size_t cap)
{
    const coat_limiter_conf limits = {conf->attempts_per_minute, DISTINCT_ACCOUNTS};
    const coat_pool_conf pool = {
        .threads = conf_threads(conf),
        .queue_max = conf_queue(conf),
        .wait_ms = conf->queue_wait_ms,
        .usual_kib = conf->argon_kib,
        .monotonic_ms = test != NULL ? test->monotonic_ms : NULL,
    };
    coat_directory *directory;
    coat_err err = conf_check(conf, test != NULL && test->weak_ok, message, cap);

    if (err != COAT_OK)
        return err;
    directory = calloc(1, sizeof *directory);
    if (directory == NULL)
        return COAT_NO_MEMORY;
    directory->store = conf->store;
    directory->weak_ok = test != NULL && test->weak_ok;
    (void)pthread_mutex_init(&directory->lock, NULL);
    err = coat_policy_new(conf, &directory->policy);
    if (err == COAT_OK)
        err = coat_limiter_new(&limits, &directory->limiter);
    if (err == COAT_OK)
        err = coat_pool_new(&pool, &directory->pool);
    if (err != COAT_OK) {
        coat_directory_free(directory);
        return err;
    }
    *out = directory;
    return COAT_OK;
}

coat_err
coat_directory_new(const coat_directory_conf *conf, coat_directory **out, char *message,
                   size_t cap)
{
    return coat_directory_open(conf, NULL, out, message, cap);
}

void
coat_directory_free(coat_directory *directory)
{
    if (directory == NULL)
        return;
    coat_pool_free(directory->pool);
    coat_limiter_free(directory->limiter);
    coat_policy_drop(directory->policy);
    (void)pthread_mutex_destroy(&directory->lock);
    free(directory);
}

coat_err
coat_directory_reconfigure(coat_directory *directory, const coat_directory_conf *conf,
                           char *message, size_t cap)
{
    const coat_limiter_conf limits = {conf->attempts_per_minute, DISTINCT_ACCOUNTS};
    coat_policy *next, *former;
    coat_err err = conf_check(conf, directory->weak_ok, message, cap);

    if (err != COAT_OK)
        return err;
    if (conf->store != directory->store)
        return COAT_INVALID;
    err = coat_policy_new(conf, &next);
    if (err != COAT_OK)
        return err;
    (void)pthread_mutex_lock(&directory->lock);
    former = directory->policy;
    directory->policy = next;
    (void)pthread_mutex_unlock(&directory->lock);
    coat_policy_drop(former); /* calls that run keep it alive */
    coat_limiter_configure(directory->limiter, &limits);
    coat_pool_configure(directory->pool, conf_queue(conf), conf->queue_wait_ms,
                        conf->argon_kib);
    return COAT_OK;
}

coat_policy *
coat_directory_policy(coat_directory *directory)
{
    coat_policy *policy;

    (void)pthread_mutex_lock(&directory->lock);
    policy = coat_policy_keep(directory->policy);
    (void)pthread_mutex_unlock(&directory->lock);
    return policy;
}

uint64_t
coat_directory_throttled(coat_directory *directory, uint64_t whose, int64_t now_ms)
{
    coat_quiet *slot = &directory->quiet[whose % COAT_QUIET_SLOTS];
    uint64_t report = 0;

    (void)pthread_mutex_lock(&directory->lock);
    slot->count = slot->whose == whose ? slot->count + 1 : 1;
    if (slot->whose != whose || now_ms < slot->since_ms ||
        now_ms - slot->since_ms >= COAT_QUIET_MS) {
        report = slot->count;
        *slot = (coat_quiet){whose, now_ms, 0};
    }
    (void)pthread_mutex_unlock(&directory->lock);
    return report;
}

void
coat_directory_stats_get(coat_directory *directory, coat_directory_stats *out)
{
    coat_pool_stats pool;

    coat_pool_stats_get(directory->pool, &pool);
    *out = (coat_directory_stats){
        .hashes = pool.hashes,
        .rehashes = atomic_load(&directory->rehashes),
        .queue_length = pool.queued,
        .queue_peak = pool.queued_peak,
        .overflows = pool.overflows,
        .sign_ins = atomic_load(&directory->sign_ins),
        .failures = atomic_load(&directory->failures),
    };
}
