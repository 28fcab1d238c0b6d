/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/journal.h"

#include "core/bytes.h"

#include <sodium.h>
#include <stdlib.h>

coat_err
coat_journal_init(coat_journal *j)
{
    j->buckets = NULL;
    j->oldest = j->newest = j->due_first = j->due_last = NULL;
    j->items = 0;
    atomic_init(&j->count, 0);
    return pthread_mutex_init(&j->mutex, NULL) == 0 ? COAT_OK : COAT_NO_MEMORY;
}

void
coat_journal_fini(coat_journal *j)
{
    while (j->oldest != NULL) {
        coat_journal_item *item = j->oldest;

        j->oldest = item->newer;
        free(item);
    }
    free(j->buckets);
    pthread_mutex_destroy(&j->mutex);
}

static coat_handle
owner_key(const uint8_t owner[static COAT_OWNER_BYTES])
{
    coat_handle key = {{0}};

    memcpy(key.bytes, owner, COAT_OWNER_BYTES);
    return key;
}

/** Owners are keyed hashes and serials hold random bits: no attacker fills a bucket. */
static coat_journal_item **
bucket(coat_journal *j, const coat_handle *key)
{
    uint64_t mix =
        (coat_load64(key->bytes) ^ coat_load64(key->bytes + 8)) * 0x9e3779b97f4a7c15U;

    return &j->buckets[mix >> 50];
}

static coat_journal_item *
find(coat_journal *j, bool of_owner, const coat_handle *key)
{
    coat_journal_item *item = j->buckets != NULL ? *bucket(j, key) : NULL;

    while (item != NULL &&
           (item->of_owner != of_owner || !coat_handle_equal(&item->handle, key)))
        item = item->chain;
    return item;
}

static void
unlink_age(coat_journal *j, coat_journal_item *item)
{
    if (item->older != NULL)
        item->older->newer = item->newer;
    else
        j->oldest = item->newer;
    if (item->newer != NULL)
        item->newer->older = item->older;
    else
        j->newest = item->older;
}

static void
link_newest(coat_journal *j, coat_journal_item *item)
{
    item->newer = NULL;
    item->older = j->newest;
    if (j->newest != NULL)
        j->newest->newer = item;
    else
        j->oldest = item;
    j->newest = item;
}

static void
make_due(coat_journal *j, coat_journal_item *item)
{
    if (item->due)
        return;
    item->due = true;
    item->due_after = NULL;
    item->due_before = j->due_last;
    if (j->due_last != NULL)
        j->due_last->due_after = item;
    else
        j->due_first = item;
    j->due_last = item;
}

static void
not_due(coat_journal *j, coat_journal_item *item)
{
    if (!item->due)
        return;
    item->due = false;
    if (item->due_before != NULL)
        item->due_before->due_after = item->due_after;
    else
        j->due_first = item->due_after;
    if (item->due_after != NULL)
        item->due_after->due_before = item->due_before;
    else
        j->due_last = item->due_before;
}

static void
drop(coat_journal *j, coat_journal_item *item)
{
    coat_journal_item **at = bucket(j, &item->handle);

    while (*at != item)
        at = &(*at)->chain;
    *at = item->chain;
    unlink_age(j, item);
    not_due(j, item);
    j->items--;
    free(item);
}

static void
expire(coat_journal *j, int64_t mono_ms)
{
    while (j->oldest != NULL && (j->oldest->until_ms <= mono_ms || j->items > COAT_JOURNAL_MAX))
        drop(j, j->oldest);
    atomic_store(&j->count, j->items);
}

/** Without memory nothing is noted: the store has it, and must only not lose it. */
static coat_journal_item *
note(coat_journal *j, bool of_owner, const coat_handle *key, bool own, int64_t mono_ms)
{
    coat_journal_item *item = find(j, of_owner, key);

    if (j->buckets == NULL)
        j->buckets = calloc(COAT_JOURNAL_BUCKETS, sizeof *j->buckets);
    if (j->buckets == NULL)
        return NULL;
    if (item == NULL) {
        item = calloc(1, sizeof *item);
        if (item == NULL)
            return NULL;
        item->of_owner = of_owner;
        item->handle = *key;
        item->chain = *bucket(j, key);
        *bucket(j, key) = item;
        j->items++;
    } else {
        unlink_age(j, item);
    }
    item->own |= own;
    item->until_ms = mono_ms + COAT_JOURNAL_MS;
    link_newest(j, item);
    return item;
}

void
coat_journal_end(coat_journal *j, const coat_handle *handle, bool own, int64_t mono_ms)
{
    pthread_mutex_lock(&j->mutex);
    (void)note(j, false, handle, own, mono_ms);
    expire(j, mono_ms);
    pthread_mutex_unlock(&j->mutex);
}

void
coat_journal_end_owner(coat_journal *j, coat_owner owner, uint64_t epoch,
                       const coat_handle *spare, bool own, int64_t mono_ms)
{
    coat_handle key = owner_key(owner.bytes);
    coat_journal_item *item;

    pthread_mutex_lock(&j->mutex);
    item = note(j, true, &key, own, mono_ms);
    if (item != NULL && epoch > item->epoch) { /* reports may come late or twice */
        item->epoch = epoch;
        item->has_spare = spare != NULL;
        if (spare != NULL)
            item->spare = *spare;
    }
    expire(j, mono_ms);
    pthread_mutex_unlock(&j->mutex);
}

bool
coat_journal_denies(coat_journal *j, const coat_handle *handle, const coat_record *record,
                    int64_t mono_ms)
{
    coat_handle key = owner_key(coat_handle_owner(handle).bytes);
    coat_journal_item *item;

    if (atomic_load(&j->count) == 0)
        return false;
    pthread_mutex_lock(&j->mutex);
    expire(j, mono_ms);
    item = find(j, false, handle);
    if (item == NULL) {
        item = find(j, true, &key);
        if (item != NULL && (record->epoch_owner >= item->epoch ||
                             (item->has_spare && coat_handle_equal(&item->spare, handle))))
            item = NULL;
    }
    if (item != NULL)
        make_due(j, item);
    pthread_mutex_unlock(&j->mutex);
    return item != NULL;
}

bool
coat_journal_older(coat_journal *j, coat_owner owner, uint64_t epoch, int64_t mono_ms)
{
    coat_handle key = owner_key(owner.bytes);
    coat_journal_item *item;

    if (atomic_load(&j->count) == 0)
        return false;
    pthread_mutex_lock(&j->mutex);
    expire(j, mono_ms);
    item = find(j, true, &key);
    if (item != NULL && epoch >= item->epoch)
        item = NULL;
    if (item != NULL)
        make_due(j, item);
    pthread_mutex_unlock(&j->mutex);
    return item != NULL;
}

void
coat_journal_doubt(coat_journal *j, int64_t mono_ms)
{
    pthread_mutex_lock(&j->mutex);
    expire(j, mono_ms);
    for (coat_journal_item *item = j->oldest; item != NULL; item = item->newer)
        if (item->own)
            make_due(j, item);
    pthread_mutex_unlock(&j->mutex);
}

bool
coat_journal_is_due(coat_journal *j)
{
    bool due;

    if (atomic_load(&j->count) == 0)
        return false;
    pthread_mutex_lock(&j->mutex);
    due = j->due_first != NULL;
    pthread_mutex_unlock(&j->mutex);
    return due;
}

bool
coat_journal_next(coat_journal *j, coat_journal_item *out)
{
    coat_journal_item *item;

    if (atomic_load(&j->count) == 0)
        return false;
    pthread_mutex_lock(&j->mutex);
    item = j->due_first;
    if (item != NULL) {
        not_due(j, item);
        *out = *item;
    }
    pthread_mutex_unlock(&j->mutex);
    return item != NULL;
}

void
coat_journal_again(coat_journal *j, const coat_journal_item *taken)
{
    coat_journal_item *item;

    pthread_mutex_lock(&j->mutex);
    item = find(j, taken->of_owner, &taken->handle);
    if (item != NULL)
        make_due(j, item);
    pthread_mutex_unlock(&j->mutex);
}
