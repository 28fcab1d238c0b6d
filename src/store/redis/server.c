/* SPDX-License-Identifier: Apache-2.0 */
/**
 * One server at a time (remote/watch.h), which has heard the journal first.
 */

#include "store/redis/redis.h"

#include <stdio.h>

/* The journal is the cluster's, the era a node's; always in this order. */
static void
lock_both(redis_store *store)
{
    redis_store *home = redis_home(store);

    pthread_mutex_lock(&home->remote.mutex);
    if (home != store)
        pthread_mutex_lock(&store->remote.mutex);
}

static void
unlock_both(redis_store *store)
{
    redis_store *home = redis_home(store);

    if (home != store)
        pthread_mutex_unlock(&store->remote.mutex);
    pthread_mutex_unlock(&home->remote.mutex);
}

bool
redis_admit(redis_link *link)
{
    redis_store *store = redis_store_of(link);
    bool admitted;

    lock_both(store);
    admitted = (store->cluster == NULL || redis_cluster_covered(store)) &&
               remote_server_turn(&store->watches, link->run_id);
    if (admitted)
        store->serving_at = link->place;
    /* It is the current one even if it has not heard all: so the former one acknowledges
     * nothing more that it would have to hear. */
    admitted = admitted && redis_journal_heard(link);
    if (admitted) {
        memcpy(store->replayed, link->run_id, REDIS_RUN_ID);
        memcpy(store->replayed_as, link->history, REDIS_RUN_ID);
    }
    link->era = atomic_load(&store->watches.era);
    unlock_both(store);
    if (admitted)
        redis_doubts_ended(link, link->settles);
    return admitted;
}

bool
redis_fit(const remote_link *base)
{
    const redis_link *link = (const redis_link *)base;

    return link->era == atomic_load(&redis_store_of(link)->watches.era);
}

void
redis_leave_other(redis_store *store, const redis_place *place)
{
    pthread_mutex_lock(&store->remote.mutex);
    if (store->watches.serving[0] != '\0' && !redis_place_equal(&store->serving_at, place))
        remote_server_drop(&store->watches);
    pthread_mutex_unlock(&store->remote.mutex);
}

void
redis_describe(redis_store *store, bool away, char *text, size_t cap)
{
    char primary[SENTINEL_HOST_MAX + 40] = "";

    text[0] = '\0';
    pthread_mutex_lock(&store->remote.mutex);
    if (away) {
        remote_notice_add(text, cap, store->trouble);
    } else {
        if (store->sentinels.count > 0)
            (void)snprintf(primary, sizeof primary, "the primary is %s:%u",
                           store->serving_at.host, store->serving_at.port);
        remote_notice_add(text, cap, primary);
        remote_notice_add(text, cap, store->notice);
        remote_notice_add(text, cap, store->watches.trouble);
    }
    pthread_mutex_unlock(&store->remote.mutex);
}
