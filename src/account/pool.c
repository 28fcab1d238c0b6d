/* SPDX-License-Identifier: Apache-2.0 */
#include "account/pool.h"

#include <pthread.h>
#include <signal.h>
#include <sodium.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { POOL_NICE = 10 };

struct coat_pool {
    pthread_mutex_t lock;  /* guards all but `heavy`; held for no hash and no callback */
    pthread_mutex_t heavy; /* taken while a hash over usual_kib is computed; before no other */
    pthread_cond_t work;
    coat_pool_conf conf;
    coat_job *head, **tail;
    coat_pool_stats stats;
    bool stopping;
    uint32_t started;
    pthread_t threads[];
};

static int64_t
system_monotonic_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void
job_compute(coat_job *job)
{
    job->result = COAT_OK;
    switch (job->kind) {
    case COAT_JOB_VERIFY:
        job->match = coat_hash_verify(job->stored, &job->params, job->password);
        /* A new hash that cannot be made leaves the old one in force. */
        job->renewed =
            job->match && job->renew && coat_hash_outdated(job->stored, &job->params) &&
            coat_hash_make(&job->params, job->password, job->salt, job->hash) == COAT_OK;
        break;
    case COAT_JOB_DECOY:
        coat_hash_decoy(&job->params, job->password, job->salt);
        break;
    case COAT_JOB_MAKE:
        job->result = coat_hash_make(&job->params, job->password, job->salt, job->hash);
        break;
    default:
        job->result = COAT_INVALID;
    }
}

static void
job_run(coat_pool *pool, coat_job *job, uint32_t usual_kib)
{
    bool heavy = job->kind == COAT_JOB_VERIFY && coat_hash_kib(job->stored) > usual_kib;

    if (heavy)
        (void)pthread_mutex_lock(&pool->heavy);
    job_compute(job);
    if (heavy)
        (void)pthread_mutex_unlock(&pool->heavy);
}

/* Called with the lock held; gives it back for the callback. */
static void
job_finish(coat_pool *pool, coat_job *job)
{
    (void)pthread_mutex_unlock(&pool->lock);
    job->done(job); /* job may be gone now */
    (void)pthread_mutex_lock(&pool->lock);
}

static coat_job *
queue_pop(coat_pool *pool)
{
    coat_job *job = pool->head;

    pool->head = job->next;
    if (pool->head == NULL)
        pool->tail = &pool->head;
    job->next = NULL;
    pool->stats.queued--;
    return job;
}

static void
pool_take_one(coat_pool *pool)
{
    coat_job *job = queue_pop(pool);
    uint32_t usual_kib = pool->conf.usual_kib;

    if (pool->conf.monotonic_ms() - job->queued_ms > (int64_t)pool->conf.wait_ms) {
        pool->stats.overflows++;
        job->result = COAT_BUSY;
        job_finish(pool, job);
        return;
    }
    pool->stats.running++;
    if (pool->stats.running > pool->stats.running_peak)
        pool->stats.running_peak = pool->stats.running;
    (void)pthread_mutex_unlock(&pool->lock);
    job_run(pool, job, usual_kib);
    (void)pthread_mutex_lock(&pool->lock);
    pool->stats.running--;
    pool->stats.hashes += 1 + job->renewed;
    pool->stats.verifications += job->kind == COAT_JOB_VERIFY;
    job_finish(pool, job);
}

static void *
pool_main(void *arg)
{
    coat_pool *pool = arg;

    /* Hashes can wait some milliseconds, the requests beside them should not. On Linux this is
     * a matter of the thread alone. */
    (void)setpriority(PRIO_PROCESS, (id_t)gettid(), POOL_NICE);
    (void)pthread_mutex_lock(&pool->lock);
    while (!pool->stopping) {
        if (pool->head == NULL)
            (void)pthread_cond_wait(&pool->work, &pool->lock);
        else
            pool_take_one(pool);
    }
    (void)pthread_mutex_unlock(&pool->lock);
    return NULL;
}

coat_err
coat_pool_new(const coat_pool_conf *conf, coat_pool **out)
{
    coat_pool *pool;
    sigset_t all, before;

    if (conf->threads == 0 || conf->threads > 1024 || conf->queue_max == 0)
        return COAT_INVALID;
    pool = calloc(1, sizeof *pool + conf->threads * sizeof pool->threads[0]);
    if (pool == NULL)
        return COAT_NO_MEMORY;
    (void)pthread_mutex_init(&pool->lock, NULL);
    (void)pthread_mutex_init(&pool->heavy, NULL);
    (void)pthread_cond_init(&pool->work, NULL);
    pool->conf = *conf;
    if (pool->conf.monotonic_ms == NULL)
        pool->conf.monotonic_ms = system_monotonic_ms;
    pool->tail = &pool->head;
    /* Signals are for the threads of the program. */
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    while (pool->started < conf->threads &&
           pthread_create(&pool->threads[pool->started], NULL, pool_main, pool) == 0)
        pool->started++;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (pool->started < conf->threads) {
        coat_pool_free(pool);
        return COAT_NO_MEMORY;
    }
    *out = pool;
    return COAT_OK;
}

void
coat_pool_free(coat_pool *pool)
{
    if (pool == NULL)
        return;
    (void)pthread_mutex_lock(&pool->lock);
    pool->stopping = true;
    (void)pthread_cond_broadcast(&pool->work);
    (void)pthread_mutex_unlock(&pool->lock);
    for (uint32_t i = 0; i < pool->started; i++)
        (void)pthread_join(pool->threads[i], NULL);
    (void)pthread_cond_destroy(&pool->work);
    (void)pthread_mutex_destroy(&pool->heavy);
    (void)pthread_mutex_destroy(&pool->lock);
    free(pool);
}

void
coat_pool_configure(coat_pool *pool, uint32_t queue_max, uint32_t wait_ms, uint32_t usual_kib)
{
    (void)pthread_mutex_lock(&pool->lock);
    pool->conf.queue_max = queue_max;
    pool->conf.wait_ms = wait_ms;
    pool->conf.usual_kib = usual_kib;
    (void)pthread_mutex_unlock(&pool->lock);
}

bool
coat_pool_full(coat_pool *pool)
{
    bool full;

    (void)pthread_mutex_lock(&pool->lock);
    full = pool->stats.queued >= pool->conf.queue_max;
    pool->stats.overflows += full;
    (void)pthread_mutex_unlock(&pool->lock);
    return full;
}

coat_err
coat_pool_submit(coat_pool *pool, coat_job *job)
{
    coat_err err = COAT_OK;

    job->next = NULL;
    job->match = job->renewed = false;
    job->result = COAT_BUSY;
    (void)pthread_mutex_lock(&pool->lock);
    if (pool->stats.queued >= pool->conf.queue_max) {
        pool->stats.overflows++;
        err = COAT_BUSY;
    } else {
        job->queued_ms = pool->conf.monotonic_ms();
        *pool->tail = job;
        pool->tail = &job->next;
        pool->stats.queued++;
        if (pool->stats.queued > pool->stats.queued_peak)
            pool->stats.queued_peak = pool->stats.queued;
        (void)pthread_cond_signal(&pool->work);
    }
    (void)pthread_mutex_unlock(&pool->lock);
    return err;
}

bool
coat_pool_withdraw(coat_pool *pool, coat_job *job)
{
    bool found = false;

    (void)pthread_mutex_lock(&pool->lock);
    for (coat_job **at = &pool->head; *at != NULL; at = &(*at)->next) {
        if (*at != job)
            continue;
        *at = job->next;
        if (pool->tail == &job->next)
            pool->tail = at;
        pool->stats.queued--;
        found = true;
        break;
    }
    (void)pthread_mutex_unlock(&pool->lock);
    return found;
}

void
coat_pool_stats_get(coat_pool *pool, coat_pool_stats *out)
{
    (void)pthread_mutex_lock(&pool->lock);
    *out = pool->stats;
    (void)pthread_mutex_unlock(&pool->lock);
}
