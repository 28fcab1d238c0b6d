/* SPDX-License-Identifier: Apache-2.0 */
/**
 * SWEEP promises that what was answered STORE_DOWN before it is decided. What was in flight on
 * a dropped connection may still be on its way to the server, or wait there: so the server is
 * told to drop that connection too, and what it has not carried out by then never happens. A
 * server that was started anew has dropped it; of one that serves no more nothing is kept.
 *
 * When there are many, each connection begins with that: so there come to be no more than one a
 * link beside those, and REDIS_DOUBTS_MAX are enough. Where CLIENT KILL is not allowed they may
 * come to be more all the same.
 */

#include "store/redis/redis.h"

static bool
is_on(const char *run_id, const redis_link *link)
{
    return memcmp(run_id, link->run_id, REDIS_RUN_ID) == 0;
}

/** Of the last server that serves: a connection to a former one may be dropped late. */
static void
lose(redis_store *store, const redis_link *link)
{
    if (link->era < store->lost_era)
        return;
    store->lost_era = link->era;
    memcpy(store->lost_on, link->run_id, REDIS_RUN_ID);
}

void
redis_doubt_note(const redis_link *link)
{
    redis_store *store = redis_store_of(link);
    coat_store_req *req = link->base.flight.head;

    while (req != NULL && remote_reads(req->op))
        req = remote_pending_of(req)->next;
    if (req == NULL || !link->greeted)
        return;
    pthread_mutex_lock(&store->remote.mutex);
    store->doubt_number++;
    if (store->doubt_count == REDIS_DOUBTS_MAX) {
        lose(store, link);
    } else {
        redis_doubt *doubt = &store->doubts[store->doubt_count++];

        doubt->number = store->doubt_number;
        doubt->client = link->client;
        memcpy(doubt->run_id, link->run_id, REDIS_RUN_ID);
    }
    pthread_mutex_unlock(&store->remote.mutex);
}

static coat_err
say_kill(redis_link *link, uint64_t client, coat_store_req *req, uint8_t what)
{
    resp_begin(&link->out, 4);
    resp_arg_str(&link->out, "CLIENT");
    resp_arg_str(&link->out, "KILL");
    resp_arg_str(&link->out, "ID");
    resp_arg_uint(&link->out, client);
    return redis_expect(link, req, what, SCRIPT_COUNT);
}

coat_err
redis_doubts_end(redis_link *link, coat_store_req *req, uint8_t what, uint64_t *mark)
{
    redis_store *store = redis_store_of(link);
    coat_err err = COAT_OK;

    pthread_mutex_lock(&store->remote.mutex);
    if (req == NULL && store->doubt_count < REDIS_DOUBTS_MANY) {
        *mark = 0;
        pthread_mutex_unlock(&store->remote.mutex);
        return COAT_OK;
    }
    if (is_on(store->lost_on, link))
        err = COAT_STORE_DOWN;
    for (size_t i = 0; i < store->doubt_count && err != COAT_NO_MEMORY; i++) {
        if (!is_on(store->doubts[i].run_id, link))
            continue;
        if (!link->may_kill)
            err = COAT_STORE_DOWN;
        else if (say_kill(link, store->doubts[i].client, req, what) != COAT_OK)
            err = COAT_NO_MEMORY;
    }
    *mark = store->doubt_number;
    pthread_mutex_unlock(&store->remote.mutex);
    return err;
}

void
redis_doubts_ended(const redis_link *link, uint64_t mark)
{
    redis_store *store = redis_store_of(link);
    size_t kept = 0;

    pthread_mutex_lock(&store->remote.mutex);
    for (size_t i = 0; i < store->doubt_count; i++) {
        const redis_doubt *doubt = &store->doubts[i];

        if (doubt->number > mark || (is_on(doubt->run_id, link) && !link->may_kill))
            store->doubts[kept++] = *doubt;
    }
    store->doubt_count = kept;
    if (!is_on(store->lost_on, link))
        store->lost_on[0] = '\0';
    pthread_mutex_unlock(&store->remote.mutex);
}
