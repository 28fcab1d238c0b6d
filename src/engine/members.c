/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/shared.h"

#include "core/bytes.h"

#include <stdlib.h>

/**
 * The register as last read. An instance is in it before it holds its first lease. One whose
 * entry does not change for longer than a lease lasts holds none: it renews a lease by saying
 * something, which changes its entry. So a dead instance delays nobody for long, and no clock
 * of another machine is needed to know.
 */

void
coat_members_free(coat_members *m)
{
    free(m->list);
    m->list = NULL;
}

void
coat_members_reset(coat_members *m)
{
    m->version = m->synced = 0;
    m->trusted = false;
    for (size_t i = 0; i < m->count; i++)
        m->list[i].version = 0;
}

void
coat_roll_add(coat_roll *roll, const coat_store_item *item)
{
    if (roll->count == roll->cap) {
        size_t cap = roll->cap == 0 ? 8 : roll->cap * 2;
        coat_store_item *grown = reallocarray(roll->items, cap, sizeof *grown);

        if (grown == NULL) {
            roll->failed = true;
            return;
        }
        roll->items = grown;
        roll->cap = cap;
    }
    roll->items[roll->count++] = *item;
}

void
coat_roll_free(coat_roll *roll)
{
    free(roll->items);
    *roll = (coat_roll){0};
}

static coat_member *
find(const coat_members *m, const coat_handle *instance)
{
    for (size_t i = 0; i < m->count; i++)
        if (coat_handle_equal(&m->list[i].instance, instance))
            return &m->list[i];
    return NULL;
}

coat_member *
coat_members_get(coat_members *m, const coat_handle *instance)
{
    coat_member *member = find(m, instance);

    if (member != NULL)
        return member;
    if (m->count >= COAT_STORE_LIST_MAX)
        return NULL;
    if (m->count == m->cap) {
        size_t cap = m->cap == 0 ? 8 : m->cap * 2;
        coat_member *grown = reallocarray(m->list, cap, sizeof *grown);

        if (grown == NULL)
            return NULL;
        m->list = grown;
        m->cap = cap;
    }
    member = &m->list[m->count++];
    *member = (coat_member){.instance = *instance};
    return member;
}

static bool
listed(const coat_roll *roll, const coat_handle *instance)
{
    for (size_t i = 0; i < roll->count; i++)
        if (coat_handle_equal(&roll->items[i].address, instance))
            return true;
    return false;
}

static void
drop_others(coat_members *m, const coat_roll *roll)
{
    for (size_t i = 0; i < m->count;)
        if (listed(roll, &m->list[i].instance) || m->list[i].answering)
            i++;
        else
            m->list[i] = m->list[--m->count];
}

void
coat_members_store(coat_members *m, const coat_roll *roll, const coat_handle *self,
                   uint64_t version, uint64_t number, int64_t sent_ms, int64_t now_ms)
{
    if (number > m->synced)
        m->synced = number;
    if (version <= m->version)
        return; /* a later reading has come earlier */
    m->version = version;
    m->trusted = !roll->failed;
    drop_others(m, roll);
    for (size_t i = 0; i < roll->count; i++) {
        const coat_store_item *item = &roll->items[i];
        coat_member *member = coat_members_get(m, &item->address);

        if (coat_handle_equal(&item->address, self))
            continue;
        if (member == NULL) {
            m->trusted = false;
            return;
        }
        if (member->version != item->version) {
            member->version = item->version;
            member->since_ms = now_ms;
        }
        member->silent = sent_ms - member->since_ms >= COAT_CONFIRM_MS;
    }
}

bool
coat_members_confirmed(const coat_members *m, const coat_handle *self, uint64_t number)
{
    if (!m->trusted || m->synced < number)
        return false;
    for (size_t i = 0; i < m->count; i++) {
        const coat_member *member = &m->list[i];

        if (member->version != 0 && !member->silent && member->confirmed < number &&
            !coat_handle_equal(&member->instance, self))
            return false;
    }
    return true;
}
