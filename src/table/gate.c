/* SPDX-License-Identifier: Apache-2.0 */

/**
 * What may be filled in when. A gate counts every begin and end of a change of its owners; a
 * fill is let in only if the count is what it was before the load began and nothing is up. So
 * a fill can neither precede an acknowledged change nor carry what was loaded before it.
 */

#include "table/inside.h"

static uint32_t
bucket_of(const coat_table_writer *w, const uint8_t owner[static COAT_OWNER_BYTES])
{
    uint8_t hash[crypto_shorthash_BYTES];

    (void)crypto_shorthash(hash, owner, COAT_OWNER_BYTES, w->gate_key);
    return coat_load32(hash) % COAT_TABLE_BUCKETS;
}

static void
raise_gate(coat_table_gate *gate)
{
    gate->up++;
    gate->version++;
}

static void
lift_gate(coat_table_gate *gate)
{
    gate->up--;
    gate->version++;
}

/** Was nothing of these owners changed, and is nothing being changed, since both were read? */
static bool
undisturbed(const coat_table_writer *w, uint32_t bucket, uint64_t owner, uint64_t all)
{
    const coat_table_gate *gate = &w->gate[bucket];

    return gate->up == 0 && w->all.up == 0 && gate->version == owner && w->all.version == all;
}

void
coat_table_disturb(coat_table_writer *w, const uint8_t owner[static COAT_OWNER_BYTES])
{
    w->gate[bucket_of(w, owner)].version++;
}

coat_table_ticket
coat_table_ticket_take(coat_table_writer *w, const coat_handle *handle)
{
    uint32_t bucket = bucket_of(w, coat_handle_owner(handle).bytes);
    coat_table_ticket ticket;

    coat_table_lock(w);
    ticket.owner = w->gate[bucket].version;
    ticket.all = w->all.version;
    coat_table_unlock(w);
    return ticket;
}

static bool
of_this_epoch(const coat_table_writer *w, const coat_record *record)
{
    return record->epoch_global >=
           atomic_load_explicit(&w->head->epoch_min, memory_order_relaxed);
}

coat_err
coat_table_fill(coat_table_writer *w, coat_table_ticket ticket, const coat_table_entry *entry)
{
    uint32_t bucket = bucket_of(w, coat_handle_owner(entry->handle).bytes);
    coat_table_ousted ousted = {.count = 0};
    coat_err err = COAT_CONFLICT;

    coat_table_lock(w);
    if (undisturbed(w, bucket, ticket.owner, ticket.all) && of_this_epoch(w, entry->record))
        err = coat_table_enter(w, entry, &ousted);
    else
        w->stats.refused++;
    coat_table_unlock(w);
    coat_table_report_ousted(w, &ousted);
    return err;
}

void
coat_table_change_begin(coat_table_writer *w, const coat_handle *handle,
                        coat_table_change *change)
{
    change->handle = *handle;
    change->bucket = bucket_of(w, coat_handle_owner(handle).bytes);
    coat_table_lock(w);
    raise_gate(&w->gate[change->bucket]);
    change->owner = w->gate[change->bucket].version;
    change->all = w->all.version;
    change->seen_ms = coat_table_remove(w, handle);
    coat_table_unlock(w);
}

void
coat_table_change_end(coat_table_writer *w, coat_table_change *change,
                      const coat_table_entry *entry)
{
    coat_table_gate *gate = &w->gate[change->bucket];
    coat_table_ousted ousted = {.count = 0};

    coat_table_lock(w);
    gate->up--;
    /* Nobody else began or ended since our begin: what we committed is how things are. */
    if (entry != NULL && undisturbed(w, change->bucket, change->owner, change->all) &&
        of_this_epoch(w, entry->record))
        (void)coat_table_enter(w, entry, &ousted);
    gate->version++;
    coat_table_unlock(w);
    coat_table_report_ousted(w, &ousted);
}

void
coat_table_owner_begin(coat_table_writer *w, coat_owner owner)
{
    uint32_t bucket = bucket_of(w, owner.bytes);

    coat_table_lock(w);
    raise_gate(&w->gate[bucket]);
    coat_table_unlock(w);
}

void
coat_table_owner_end(coat_table_writer *w, coat_owner owner)
{
    uint32_t bucket = bucket_of(w, owner.bytes);

    coat_table_lock(w);
    lift_gate(&w->gate[bucket]);
    coat_table_unlock(w);
}

int64_t
coat_table_clear(coat_table_writer *w, const coat_handle *handle)
{
    int64_t seen_ms;

    coat_table_lock(w);
    seen_ms = coat_table_remove(w, handle);
    coat_table_unlock(w);
    return seen_ms;
}

void
coat_table_all_begin(coat_table_writer *w)
{
    coat_table_lock(w);
    raise_gate(&w->all);
    atomic_store(&w->head->hold, w->all.up);
    coat_table_unlock(w);
}

void
coat_table_all_end(coat_table_writer *w, uint64_t epoch_global)
{
    coat_table_lock(w);
    if (epoch_global > atomic_load(&w->head->epoch_min))
        atomic_store(&w->head->epoch_min, epoch_global);
    lift_gate(&w->all);
    /* Only now: readers that find no hold find the new epoch. */
    atomic_store(&w->head->hold, w->all.up);
    coat_table_unlock(w);
}

bool
coat_table_seen(coat_table_writer *w, const coat_handle *handle, int64_t *seen_ms)
{
    coat_table_place place = coat_table_place_of(w->view.hash_key, w->view.sets, handle);
    int64_t index;

    coat_table_lock(w);
    index = coat_table_find(w, &place, handle);
    if (index >= 0) {
        coat_table_image image;

        (void)coat_table_peek(w, (uint32_t)index, &image);
        *seen_ms = coat_table_active_ms(w, (uint32_t)index, &image);
    }
    coat_table_unlock(w);
    return index >= 0;
}
