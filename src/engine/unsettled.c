/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/unsettled.h"

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
    atomic_init(&u->count, 0);
    return pthread_mutex_init(&u->mutex, NULL) == 0 ? COAT_OK : COAT_NO_MEMORY;
}

void
coat_unsettled_fini(coat_unsettled *u, coat_table_writer *writer, uint64_t epoch_global)
{
    while (u->first != NULL) {
        coat_unsettled_item *item = u->first;

        u->first = item->next;
        coat_gate_lift(writer, &item->changes, NULL, epoch_global);
        free(item);
    }
    pthread_mutex_destroy(&u->mutex);
}

void
coat_unsettled_add(coat_unsettled *u, const coat_changes *changes)
{
    coat_unsettled_item *item = NULL;

    if (atomic_load(&u->count) < COAT_UNSETTLED_MAX)
        item = malloc(sizeof *item);
    if (item == NULL)
        return;
    item->changes = *changes;
    pthread_mutex_lock(&u->mutex);
    item->number = ++u->number;
    item->next = u->first;
    u->first = item;
    pthread_mutex_unlock(&u->mutex);
    atomic_fetch_add(&u->count, 1);
}

static coat_unsettled_item *
find_ending(coat_unsettled *u, const coat_handle *handle)
{
    for (coat_unsettled_item *i = u->first; i != NULL; i = i->next)
        if (i->changes.ending &&
            (handle == NULL || coat_handle_equal(&i->changes.ended, handle)))
            return i;
    return NULL;
}

bool
coat_unsettled_ending(coat_unsettled *u, const coat_handle *handle)
{
    bool found;

    if (atomic_load(&u->count) == 0)
        return false;
    pthread_mutex_lock(&u->mutex);
    found = find_ending(u, handle) != NULL;
    pthread_mutex_unlock(&u->mutex);
    return found;
}

void
coat_unsettled_ended(coat_unsettled *u, const coat_handle *handle)
{
    coat_unsettled_item *item;

    if (atomic_load(&u->count) == 0)
        return;
    pthread_mutex_lock(&u->mutex);
    while ((item = find_ending(u, handle)) != NULL)
        item->changes.ending = false;
    pthread_mutex_unlock(&u->mutex);
}

bool
coat_unsettled_next(coat_unsettled *u, coat_handle *handle)
{
    coat_unsettled_item *item;

    if (atomic_load(&u->count) == 0)
        return false;
    pthread_mutex_lock(&u->mutex);
    item = find_ending(u, NULL);
    if (item != NULL)
        *handle = item->changes.ended;
    pthread_mutex_unlock(&u->mutex);
    return item != NULL;
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
        free(item);
        atomic_fetch_sub(&u->count, 1);
    }
    pthread_mutex_unlock(&u->mutex);
}
