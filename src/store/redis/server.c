/* SPDX-License-Identifier: Apache-2.0 */
/**
 * One server at a time (store.h, watching, rule 3). A store has a current server, known by its
 * run id, and counts its eras: a connection is used in the era that it was greeted in. While a
 * watch is ready on another server a new connection waits: the watch reports LOST first, on its
 * own thread. A watch becomes ready in an era of its server, so that no connection to another
 * one takes a request from then on.
 */

#include "store/redis/watch.h"

#include <stdio.h>

/** Under the mutex. Is one of them ready elsewhere? It is told to go. */
static bool
held_elsewhere(redis_store *store, const char *run_id)
{
    bool held = false;

    for (redis_watch *w = store->watches; w != NULL; w = w->next) {
        if (!w->ready || (run_id != NULL && memcmp(w->run_id, run_id, REDIS_RUN_ID) == 0))
            continue;
        held = true;
        atomic_store(&w->told_to_lose, true);
        (void)uv_async_send(&w->async);
    }
    return held;
}

static const char nobody[REDIS_RUN_ID];

/** Under the mutex. @return false: not yet */
static bool
turn_to(redis_store *store, const char *run_id, const redis_place *place)
{
    if (held_elsewhere(store, run_id))
        return false;
    if (memcmp(store->serving, run_id, REDIS_RUN_ID) != 0) {
        memcpy(store->serving, run_id, REDIS_RUN_ID);
        atomic_fetch_add(&store->era, 1);
    }
    store->serving_at = *place;
    return true;
}

/** Under the mutex. Whatever connection it is, nothing it says counts from now on. */
static void
turn_away(redis_store *store)
{
    if (memcmp(store->serving, nobody, REDIS_RUN_ID) == 0)
        return;
    memcpy(store->serving, nobody, REDIS_RUN_ID);
    atomic_fetch_add(&store->era, 1);
}

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
    /* First, so that nothing is acknowledged there any more that this one would have to hear.
     */
    if (memcmp(store->serving, link->run_id, REDIS_RUN_ID) != 0)
        turn_away(store);
    admitted = redis_journal_heard(link) && turn_to(store, link->run_id, &link->place);
    if (admitted) {
        memcpy(store->replayed, link->run_id, REDIS_RUN_ID);
        memcpy(store->replayed_as, link->history, REDIS_RUN_ID);
    }
    link->era = atomic_load(&store->era);
    unlock_both(store);
    return admitted;
}

bool
redis_fit(const remote_link *base)
{
    const redis_link *link = (const redis_link *)base;

    return link->era == atomic_load(&redis_store_of(link)->era);
}

void
redis_unfit(redis_link *link)
{
    redis_store *store = redis_store_of(link);

    pthread_mutex_lock(&store->remote.mutex);
    if (link->era == atomic_load(&store->era)) {
        turn_away(store);
        (void)held_elsewhere(store, NULL);
    }
    pthread_mutex_unlock(&store->remote.mutex);
}

void
redis_leave_other(redis_store *store, const redis_place *place)
{
    pthread_mutex_lock(&store->remote.mutex);
    if (memcmp(store->serving, nobody, REDIS_RUN_ID) != 0 &&
        !redis_place_equal(&store->serving_at, place)) {
        turn_away(store);
        (void)held_elsewhere(store, NULL);
    }
    pthread_mutex_unlock(&store->remote.mutex);
}

void
redis_describe(redis_store *store, bool away, char *text, size_t cap)
{
    char primary[SENTINEL_HOST_MAX + 40] = "";

    pthread_mutex_lock(&store->remote.mutex);
    if (store->sentinels.count > 0)
        (void)snprintf(primary, sizeof primary, "the primary is %s:%u", store->serving_at.host,
                       store->serving_at.port);
    if (away)
        (void)snprintf(text, cap, "%s", store->trouble);
    else
        (void)snprintf(
            text, cap, "%s%s%s%s%s", primary,
            primary[0] != '\0' && store->notice[0] != '\0' ? "; " : "", store->notice,
            (primary[0] != '\0' || store->notice[0] != '\0') && store->watching[0] != '\0'
                ? "; "
                : "",
            store->watching);
    pthread_mutex_unlock(&store->remote.mutex);
}

bool
redis_watch_admit(redis_watch *w)
{
    redis_store *store = w->store;

    pthread_mutex_lock(&store->remote.mutex);
    w->ready = turn_to(store, w->run_id, &w->place);
    if (w->ready)
        (void)snprintf(store->watching, sizeof store->watching, "%s",
                       w->blind ? "notify-keyspace-events without Egxe: what others delete or "
                                  "evict goes unnoticed"
                                : "");
    pthread_mutex_unlock(&store->remote.mutex);
    return w->ready;
}

void
redis_watch_leave(redis_watch *w, const char *why)
{
    redis_store *store = w->store;

    pthread_mutex_lock(&store->remote.mutex);
    w->ready = false;
    if (why != NULL) {
        size_t len = (size_t)snprintf(store->watching, sizeof store->watching,
                                      "changes are not heard of: %s", why);

        if (len >= sizeof store->watching)
            len = sizeof store->watching - 1;
        redis_printable(store->watching, (const uint8_t *)store->watching, len);
    }
    pthread_mutex_unlock(&store->remote.mutex);
}

void
redis_watch_enter(redis_watch *w)
{
    redis_store *store = w->store;

    pthread_mutex_lock(&store->remote.mutex);
    w->next = store->watches;
    store->watches = w;
    pthread_mutex_unlock(&store->remote.mutex);
}

void
redis_watch_exit(redis_watch *w)
{
    redis_store *store = w->store;
    redis_watch **at = &store->watches;

    pthread_mutex_lock(&store->remote.mutex);
    while (*at != NULL && *at != w)
        at = &(*at)->next;
    if (*at != NULL)
        *at = w->next;
    w->ready = false;
    store->watching[0] = '\0';
    pthread_mutex_unlock(&store->remote.mutex);
}
