/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/unsettled.h"

#include "core/bytes.h"

#include <stdlib.h>

void
coat_gate_one(coat_table_writer *writer, coat_changes *c, const coat_handle *handle)
{
    c->one = true;
    if (writer != NULL)
        coat_table_change_begin(writer, handle, &c->change);
    else
        c->change = (coat_table_change){.handle = *handle};
}

void
coat_gate_owner(coat_table_writer *writer, coat_changes *c, coat_owner owner)
{
    c->owner = true;
    c->whose = owner;
    if (writer != NULL)
        coat_table_owner_begin(writer, owner);
}

void
coat_gate_all(coat_table_writer *writer, coat_changes *c)
{
    c->all = true;
    if (writer != NULL)
        coat_table_all_begin(writer);
}

void
coat_gate_lift(coat_table_writer *writer, coat_changes *c, const coat_table_entry *entry,
               uint64_t epoch_global)
{
    if (writer != NULL && c->one)
        coat_table_change_end(writer, &c->change, entry);
    if (writer != NULL && c->owner)
        coat_table_owner_end(writer, c->whose);
    if (writer != NULL && c->all)
        coat_table_all_end(writer, epoch_global);
    c->one = c->owner = c->all = false;
}

coat_err
coat_unsettled_init(coat_unsettled *u)
{
    u->first = NULL;
    u->number = 0;
    u->unused = NULL;
    for (size_t i = 0; i < COAT_UNSETTLED_RESERVE; i++) {
        u->reserve[i].next = u->unused;
        u->unused = &u->reserve[i];
    }
    atomic_init(&u->count, 0);
    for (size_t i = 0; i < COAT_UNSETTLED_BUCKETS; i++)
        atomic_init(&u->ending[i], NULL);
    return pthread_mutex_init(&u->mutex, NULL) == 0 ? COAT_OK : COAT_NO_MEMORY;
}

/* Under the mutex, or while nobody else is there. */
static void
give_back(coat_unsettled *u, coat_unsettled_item *item)
{
    if (item < u->reserve || item >= u->reserve + COAT_UNSETTLED_RESERVE) {
        free(item);
        return;
    }
    item->next = u->unused;
    u->unused = item;
}

void
coat_unsettled_fini(coat_unsettled *u, coat_table_writer *writer, uint64_t epoch_global)
{
    while (u->first != NULL) {
        coat_unsettled_item *item = u->first;

        u->first = item->next;
        coat_gate_lift(writer, &item->changes, NULL, epoch_global);
        give_back(u, item);
    }
    pthread_mutex_destroy(&u->mutex);
}

coat_handle
coat_handle_last(coat_owner owner, int64_t now_ms)
{
    enum { RANDOM_BITS = 20 }; /* behind the time, see token.h */
    coat_handle last;

    coat_store64be(last.bytes,
                   (uint64_t)now_ms << RANDOM_BITS | (((uint64_t)1 << RANDOM_BITS) - 1));
    memcpy(last.bytes + COAT_HANDLE_BYTES - COAT_OWNER_BYTES, owner.bytes, sizeof owner.bytes);
    return last;
}

/** A serial is random at its end; an owner is all over. */
static size_t
bucket_of(const coat_handle *handle, bool older)
{
    size_t at = older ? COAT_HANDLE_BYTES - COAT_OWNER_BYTES : 0;

    return coat_load64be(handle->bytes + at) % COAT_UNSETTLED_BUCKETS;
}

static bool
same_owner(const coat_handle *a, const coat_handle *b)
{
    return memcmp(a->bytes + COAT_HANDLE_BYTES - COAT_OWNER_BYTES,
                  b->bytes + COAT_HANDLE_BYTES - COAT_OWNER_BYTES, COAT_OWNER_BYTES) == 0;
}

static int
compare_serials(const coat_handle *a, const coat_handle *b)
{
    return memcmp(a->bytes, b->bytes, COAT_HANDLE_BYTES - COAT_OWNER_BYTES);
}

/** The entry for this session, or for this owner. */
static bool
is_entry(const coat_unsettled_item *item, const coat_handle *handle, bool older)
{
    if (item->changes.older != older)
        return false;
    return older ? same_owner(&item->changes.ended, handle)
                 : coat_handle_equal(&item->changes.ended, handle);
}

/** Under the mutex. */
static coat_unsettled_item *
find(coat_unsettled *u, const coat_handle *handle, bool older)
{
    coat_unsettled_item *item = atomic_load(&u->ending[bucket_of(handle, older)]);

    while (item != NULL && !is_entry(item, handle, older))
        item = item->same;
    return item;
}

void
coat_unsettled_add(coat_unsettled *u, const coat_changes *changes)
{
    coat_unsettled_item *item = NULL;

    if (atomic_load(&u->count) < COAT_UNSETTLED_MAX)
        item = malloc(sizeof *item);
    pthread_mutex_lock(&u->mutex);
    if (item == NULL && changes->ending && u->unused != NULL) {
        item = u->unused;
        u->unused = item->next;
    }
    if (item == NULL) {
        pthread_mutex_unlock(&u->mutex);
        return;
    }
    item->changes = *changes;
    item->number = ++u->number;
    item->next = u->first;
    u->first = item;
    if (changes->ending) {
        size_t bucket = bucket_of(&changes->ended, changes->older);

        item->same = atomic_load(&u->ending[bucket]);
        atomic_store(&u->ending[bucket], item);
    }
    atomic_fetch_add(&u->count, 1);
    pthread_mutex_unlock(&u->mutex);
}

bool
coat_unsettled_ending(coat_unsettled *u, const coat_handle *handle)
{
    const coat_unsettled_item *item;
    bool ends;

    if (atomic_load(&u->ending[bucket_of(handle, false)]) == NULL &&
        atomic_load(&u->ending[bucket_of(handle, true)]) == NULL)
        return false;
    pthread_mutex_lock(&u->mutex);
    ends = find(u, handle, false) != NULL;
    item = find(u, handle, true);
    ends = ends || (item != NULL && compare_serials(handle, &item->changes.ended) <= 0);
    pthread_mutex_unlock(&u->mutex);
    return ends;
}

bool
coat_unsettled_has(coat_unsettled *u, const coat_changes *end)
{
    coat_unsettled_item *item;

    if (atomic_load(&u->ending[bucket_of(&end->ended, end->older)]) == NULL)
        return false;
    pthread_mutex_lock(&u->mutex);
    item = find(u, &end->ended, end->older);
    if (item != NULL && end->older && compare_serials(&end->ended, &item->changes.ended) > 0)
        item->changes.ended = end->ended;
    pthread_mutex_unlock(&u->mutex);
    return item != NULL;
}

void
coat_unsettled_ended(coat_unsettled *u, const coat_handle *handle, bool older)
{
    size_t bucket = bucket_of(handle, older);
    coat_unsettled_item *left = NULL, *item, *next;

    if (atomic_load(&u->ending[bucket]) == NULL)
        return;
    pthread_mutex_lock(&u->mutex);
    for (item = atomic_load(&u->ending[bucket]); item != NULL; item = next) {
        next = item->same;
        /* What has been asked for since then is still to be done. */
        if (is_entry(item, handle, older) &&
            compare_serials(&item->changes.ended, handle) <= 0) {
            item->changes.ending = false;
            continue;
        }
        item->same = left;
        left = item;
    }
    atomic_store(&u->ending[bucket], left);
    pthread_mutex_unlock(&u->mutex);
}

bool
coat_unsettled_next(coat_unsettled *u, uint32_t *from, coat_changes *end)
{
    const coat_unsettled_item *item = NULL;
    uint32_t bucket = 0;

    if (atomic_load(&u->count) == 0)
        return false;
    pthread_mutex_lock(&u->mutex);
    for (uint32_t i = 0; i < COAT_UNSETTLED_BUCKETS && item == NULL; i++) {
        bucket = (*from + i) % COAT_UNSETTLED_BUCKETS;
        item = atomic_load(&u->ending[bucket]);
    }
    if (item != NULL) {
        *from = bucket;
        *end = (coat_changes){
            .ending = true, .older = item->changes.older, .ended = item->changes.ended};
    }
    pthread_mutex_unlock(&u->mutex);
    return item != NULL;
}

void
coat_unsettled_later(coat_unsettled *u, const coat_changes *end)
{
    size_t bucket = bucket_of(&end->ended, end->older);
    coat_unsettled_item *first, *last;

    pthread_mutex_lock(&u->mutex);
    first = atomic_load(&u->ending[bucket]);
    if (first != NULL && first->same != NULL && is_entry(first, &end->ended, end->older)) {
        for (last = first; last->same != NULL; last = last->same)
            continue;
        atomic_store(&u->ending[bucket], first->same);
        last->same = first;
        first->same = NULL;
    }
    pthread_mutex_unlock(&u->mutex);
}

uint64_t
coat_unsettled_mark(coat_unsettled *u)
{
    uint64_t mark;

    if (atomic_load(&u->count) == 0)
        return 0;
    pthread_mutex_lock(&u->mutex);
    mark = u->number;
    pthread_mutex_unlock(&u->mutex);
    return mark;
}

void
coat_unsettled_settle(coat_unsettled *u, coat_table_writer *writer, uint64_t mark,
                      uint64_t epoch_global)
{
    pthread_mutex_lock(&u->mutex);
    for (coat_unsettled_item **at = &u->first; *at != NULL;) {
        coat_unsettled_item *item = *at;

        if (item->number > mark || item->changes.ending) {
            at = &item->next;
            continue;
        }
        *at = item->next;
        coat_gate_lift(writer, &item->changes, NULL, epoch_global);
        give_back(u, item);
        atomic_fetch_sub(&u->count, 1);
    }
    pthread_mutex_unlock(&u->mutex);
}
