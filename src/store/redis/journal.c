/* SPDX-License-Identifier: Apache-2.0 */
/**
 * What was ended in the last two minutes (RV-5). A server that comes back may have forgotten
 * it: after a crash, from an older snapshot, as a replica that lagged. So a connection to a
 * server of another run id first says it all again, before it takes requests. The journal is
 * this process's memory: it does not survive a restart of the daemon.
 *
 * What the former server acknowledges meanwhile is either in the journal before the new one is
 * admitted, and said to it first, or is not believed (SF-5): both are decided under the mutex.
 */

#include "store/redis/redis.h"

#include <stdlib.h>

static size_t
sum_of(const coat_handle *handle)
{
    uint64_t sum =
        coat_load64(handle->bytes) * 0x9e3779b97f4a7c15U ^ coat_load64(handle->bytes + 8);

    return (size_t)(sum * 0x9e3779b97f4a7c15U >> 48);
}

/** @return false: out of memory */
static bool
make(redis_journal *j)
{
    if (j->ring == NULL)
        j->ring = calloc(REDIS_JOURNAL_MAX, sizeof *j->ring);
    if (j->heads == NULL)
        j->heads = calloc(REDIS_JOURNAL_HEADS, sizeof *j->heads);
    return j->ring != NULL && j->heads != NULL;
}

void
redis_journal_forget(const redis_link *link, const coat_handle *handle)
{
    redis_store *store = redis_home(redis_store_of(link));
    redis_journal *j = &store->journal;
    uint64_t below = UINT64_MAX;
    size_t at;

    pthread_mutex_lock(&store->remote.mutex);
    at = j->heads != NULL ? j->heads[sum_of(handle)] : 0;
    while (at != 0) {
        redis_ended *ended = &j->ring[at - 1];

        /* What a chain leads to may have given way to what came later. */
        if (ended->number >= below)
            break;
        below = ended->number;
        if (!ended->is_owner &&
            memcmp(ended->handle.bytes, handle->bytes, sizeof handle->bytes) == 0)
            ended->when_ms = INT64_MIN;
        at = ended->before;
    }
    pthread_mutex_unlock(&store->remote.mutex);
}

bool
redis_journal_add(redis_link *link, const redis_ended *ended)
{
    redis_store *store = redis_home(redis_store_of(link));
    redis_journal *j = &store->journal;
    int64_t now_ms = remote_now_ms(&store->remote);
    bool serves;

    pthread_mutex_lock(&store->remote.mutex);
    serves = redis_fit(&link->base);
    if (serves && make(j)) {
        /* When it is full, the oldest gives way. */
        size_t at = (j->first + j->count) % REDIS_JOURNAL_MAX;

        if (j->count == REDIS_JOURNAL_MAX)
            j->first = (j->first + 1) % REDIS_JOURNAL_MAX;
        else
            j->count++;
        j->ring[at] = *ended;
        j->ring[at].when_ms = now_ms;
        j->ring[at].number = ++j->added;
        j->ring[at].before = 0;
        if (!ended->is_owner) {
            j->ring[at].before = j->heads[sum_of(&ended->handle)];
            j->heads[sum_of(&ended->handle)] = (uint16_t)(at + 1);
        }
    }
    pthread_mutex_unlock(&store->remote.mutex);
    return serves;
}

bool
redis_journal_counts(const redis_link *link)
{
    redis_store *store = redis_home(redis_store_of(link));
    bool counts;

    pthread_mutex_lock(&store->remote.mutex);
    counts = redis_fit(&link->base);
    pthread_mutex_unlock(&store->remote.mutex);
    return counts;
}

void
redis_journal_free(redis_journal *journal)
{
    free(journal->ring);
    free(journal->heads);
}

/** The next entry from number `next` on that is young enough. */
static bool
entry_at(redis_store *store, uint64_t *next, redis_ended *out)
{
    redis_journal *j = &store->journal;
    int64_t since_ms = remote_now_ms(&store->remote) - REDIS_JOURNAL_MS;
    bool found = false;

    pthread_mutex_lock(&store->remote.mutex);
    if (*next < j->added - j->count)
        *next = j->added - j->count;
    while (!found && *next < j->added) {
        size_t index = (size_t)((*next)++ - (j->added - j->count));

        *out = j->ring[(j->first + index) % REDIS_JOURNAL_MAX];
        found = out->when_ms >= since_ms;
    }
    pthread_mutex_unlock(&store->remote.mutex);
    return found;
}

bool
redis_journal_heard(const redis_link *link)
{
    redis_store *store = redis_store_of(link), *home = redis_home(store);

    /* What was a replica for a while is another server: it has what its primary had. */
    return (memcmp(store->replayed, link->run_id, REDIS_RUN_ID) == 0 &&
            memcmp(store->replayed_as, link->history, REDIS_RUN_ID) == 0) ||
           (link->told == home->journal.added &&
            link->told_global >= atomic_load(&home->global));
}

/** The end of everybody's sessions is no entry, since it is not forgotten after two minutes. */
static coat_err
say_global(redis_link *link, bool *said)
{
    redis_store *store = redis_store_of(link);
    uint64_t global = atomic_load(&redis_home(store)->global);

    if (link->told_global >= global)
        return COAT_OK;
    link->told_global = global;
    *said = true;
    return store->cluster != NULL
               ? redis_cluster_say_global(link, global)
               : redis_say_global(link, &(coat_store_req){0}, global, HELLO_REPLAY);
}

bool
redis_journal_replay(redis_link *link)
{
    redis_store *store = redis_home(redis_store_of(link));
    redis_ended ended;
    bool heard, said = false;

    pthread_mutex_lock(&store->remote.mutex);
    heard = redis_journal_heard(link);
    pthread_mutex_unlock(&store->remote.mutex);
    if (!heard && say_global(link, &said) != COAT_OK)
        return false;
    while (!heard && entry_at(store, &link->told, &ended)) {
        if (!redis_cluster_claims(link, &ended))
            continue;
        if (redis_say_ended(link, &ended) != COAT_OK)
            return false;
        said = true;
    }
    if (said)
        remote_link_queued(&link->base);
    return true;
}
