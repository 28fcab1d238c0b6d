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

enum { SERIAL_BYTES = COAT_HANDLE_BYTES - COAT_OWNER_BYTES };

/** A serial is random at its end; an owner is all over. */
static size_t
bucket_of(const coat_handle *handle, coat_end_of of)
{
    if (of == COAT_END_OF_EVERYBODY)
        return COAT_UNSETTLED_BUCKETS;
    return coat_load64be(handle->bytes + (of == COAT_END_OF_OWNER ? SERIAL_BYTES : 0)) %
           COAT_UNSETTLED_BUCKETS;
}

static bool
same_owner(const coat_handle *a, const coat_handle *b)
{
    return memcmp(a->bytes + SERIAL_BYTES, b->bytes + SERIAL_BYTES, COAT_OWNER_BYTES) == 0;
}

static int
compare_serials(const coat_handle *a, const coat_handle *b)
{
    return memcmp(a->bytes, b->bytes, SERIAL_BYTES);
}

/** Is it the end of this session? */
static bool
ends(const coat_end *end, const coat_handle *handle)
{
    switch (end->of) {
    case COAT_END_OF_SESSION:
        return coat_handle_equal(&end->last, handle);
    case COAT_END_OF_OWNER:
        return same_owner(&end->last, handle) && compare_serials(handle, &end->last) <= 0 &&
               !(end->has_spare && coat_handle_equal(&end->spare, handle));
    case COAT_END_OF_EVERYBODY:
        return compare_serials(handle, &end->last) <= 0;
    default:
        return false;
    }
}

bool
coat_end_is_same(const coat_end *a, const coat_end *b)
{
    if (a->of != b->of)
        return false;
    switch (a->of) {
    case COAT_END_OF_SESSION:
        return coat_handle_equal(&a->last, &b->last);
    case COAT_END_OF_OWNER:
        return same_owner(&a->last, &b->last) && a->has_spare == b->has_spare &&
               (!a->has_spare || coat_handle_equal(&a->spare, &b->spare));
    default:
        return true;
    }
}

/** Has `done` ended all of it? Not asked of an owner's: which single ones are still to be ended
 * is said one by one as all of them are (replay.c). */
static bool
includes(const coat_end *done, const coat_end *end)
{
    bool all = done->of == COAT_END_OF_EVERYBODY ||
               (done->of == COAT_END_OF_OWNER && end->of == COAT_END_OF_OWNER &&
                !done->has_spare && same_owner(&done->last, &end->last));

    return (all || coat_end_is_same(done, end)) &&
           compare_serials(&end->last, &done->last) <= 0;
}

/** Under the mutex. */
static coat_unsettled_item *
find(coat_unsettled *u, const coat_end *end)
{
    coat_unsettled_item *item = atomic_load(&u->ending[bucket_of(&end->last, end->of)]);

    while (item != NULL && !coat_end_is_same(&item->changes.end, end))
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
    if (item == NULL && changes->end.of != COAT_END_OF_NOTHING && u->unused != NULL) {
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
    if (changes->end.of != COAT_END_OF_NOTHING) {
        size_t bucket = bucket_of(&changes->end.last, changes->end.of);

        item->same = atomic_load(&u->ending[bucket]);
        atomic_store(&u->ending[bucket], item);
    }
    atomic_fetch_add(&u->count, 1);
    pthread_mutex_unlock(&u->mutex);
}

/** Under the mutex. */
static bool
any_ends(coat_unsettled *u, coat_end_of of, const coat_handle *handle)
{
    const coat_unsettled_item *item = atomic_load(&u->ending[bucket_of(handle, of)]);

    while (item != NULL && !(item->changes.end.of == of && ends(&item->changes.end, handle)))
        item = item->same;
    return item != NULL;
}

bool
coat_unsettled_ending(coat_unsettled *u, const coat_handle *handle)
{
    bool any = false;

    for (coat_end_of of = COAT_END_OF_SESSION; of <= COAT_END_OF_EVERYBODY && !any; of++)
        any = atomic_load(&u->ending[bucket_of(handle, of)]) != NULL;
    if (!any)
        return false;
    any = false;
    pthread_mutex_lock(&u->mutex);
    for (coat_end_of of = COAT_END_OF_SESSION; of <= COAT_END_OF_EVERYBODY && !any; of++)
        any = any_ends(u, of, handle);
    pthread_mutex_unlock(&u->mutex);
    return any;
}

bool
coat_unsettled_has(coat_unsettled *u, const coat_end *end)
{
    coat_unsettled_item *item;

    if (atomic_load(&u->ending[bucket_of(&end->last, end->of)]) == NULL)
        return false;
    pthread_mutex_lock(&u->mutex);
    item = find(u, end);
    if (item != NULL && compare_serials(&end->last, &item->changes.end.last) > 0)
        item->changes.end.last = end->last;
    pthread_mutex_unlock(&u->mutex);
    return item != NULL;
}

/** Under the mutex. */
static void
end_in(coat_unsettled *u, size_t bucket, const coat_end *end)
{
    coat_unsettled_item *left = NULL, *item, *next;

    for (item = atomic_load(&u->ending[bucket]); item != NULL; item = next) {
        next = item->same;
        /* What has been asked for since then is still to be done. */
        if (includes(end, &item->changes.end)) {
            item->changes.end.of = COAT_END_OF_NOTHING;
            continue;
        }
        item->same = left;
        left = item;
    }
    atomic_store(&u->ending[bucket], left);
}

void
coat_unsettled_ended(coat_unsettled *u, const coat_end *end)
{
    bool all = end->of == COAT_END_OF_EVERYBODY;
    size_t first = all ? 0 : bucket_of(&end->last, end->of);
    size_t last = all ? COAT_UNSETTLED_BUCKETS : first;

    for (size_t bucket = first; bucket <= last; bucket++) {
        if (atomic_load(&u->ending[bucket]) == NULL)
            continue;
        pthread_mutex_lock(&u->mutex);
        end_in(u, bucket, end);
        pthread_mutex_unlock(&u->mutex);
    }
}

bool
coat_unsettled_next(coat_unsettled *u, uint32_t *from, coat_end *end)
{
    const coat_unsettled_item *item = NULL;
    uint32_t bucket = 0;

    if (atomic_load(&u->count) == 0)
        return false;
    pthread_mutex_lock(&u->mutex);
    for (uint32_t i = 0; i <= COAT_UNSETTLED_BUCKETS && item == NULL; i++) {
        bucket = (*from % (COAT_UNSETTLED_BUCKETS + 1) + i) % (COAT_UNSETTLED_BUCKETS + 1);
        item = atomic_load(&u->ending[bucket]);
    }
    if (item != NULL) {
        *from = bucket;
        *end = item->changes.end;
    }
    pthread_mutex_unlock(&u->mutex);
    return item != NULL;
}

void
coat_unsettled_later(coat_unsettled *u, const coat_end *end)
{
    size_t bucket = bucket_of(&end->last, end->of);
    coat_unsettled_item *first, *last;

    pthread_mutex_lock(&u->mutex);
    first = atomic_load(&u->ending[bucket]);
    if (first != NULL && first->same != NULL && coat_end_is_same(&first->changes.end, end)) {
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

        if (item->number > mark || item->changes.end.of != COAT_END_OF_NOTHING) {
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
