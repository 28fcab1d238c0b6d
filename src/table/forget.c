/* SPDX-License-Identifier: Apache-2.0 */

/**
 * What other machines have changed (shared mode), and owners with many sessions. One session is
 * cleared; for more there are stamps. An entry bears the stamp that its owner's bucket had when
 * it was entered, and is not trusted once the bucket has another. It stays where it is, with
 * its activity, until it is refreshed or gives way.
 */

#include "table/inside.h"

static uint16_t
stamp_of(const coat_table_writer *w, uint32_t at)
{
    return atomic_load_explicit(&w->head->stamp[at], memory_order_relaxed);
}

uint16_t
coat_table_stamp_now(const coat_table_writer *w, const coat_handle *handle)
{
    return stamp_of(w, coat_table_stamp_at(coat_handle_owner(handle).bytes));
}

/** Before a bucket's stamps begin anew, nothing that bears one of them may be left. */
static void
clear_worn(coat_table_writer *w, uint32_t from, uint32_t to)
{
    for (uint32_t i = 0; i < w->view.geometry.slots; i++) {
        coat_table_image image;
        uint32_t at;

        if (coat_table_print(w, i) == 0)
            continue;
        (void)coat_table_peek(w, i, &image);
        at = coat_table_stamp_at(coat_handle_owner(&image.handle).bytes);
        if (at >= from && at < to && stamp_of(w, at) == UINT16_MAX)
            coat_table_wipe(w, i);
    }
}

static void
next_stamps(coat_table_writer *w, uint32_t from, uint32_t to)
{
    bool worn = false;

    for (uint32_t at = from; at < to; at++)
        worn |= stamp_of(w, at) == UINT16_MAX;
    if (worn)
        clear_worn(w, from, to);
    for (uint32_t at = from; at < to; at++) {
        if (w->step != NULL)
            w->step(w->step_ctx);
        /* In full order, as the clearing of a slot. */
        atomic_store(&w->head->stamp[at], (uint16_t)(stamp_of(w, at) + 1U));
    }
}

void
coat_table_stamp_all(coat_table_writer *w)
{
    next_stamps(w, 0, COAT_TABLE_STAMPS);
}

int64_t
coat_table_forget(coat_table_writer *w, const coat_handle *handle)
{
    coat_table_place place = coat_table_place_of(w->view.hash_key, w->view.sets, handle);
    int64_t unfolded_ms = 0, index;

    coat_table_lock(w);
    coat_table_disturb(w, coat_handle_owner(handle).bytes);
    index = coat_table_find(w, &place, handle);
    if (index >= 0) {
        coat_table_image image;
        int64_t active_ms;

        (void)coat_table_peek(w, (uint32_t)index, &image);
        active_ms = coat_table_active_ms(w, (uint32_t)index, &image);
        if (active_ms > coat_table_folded_ms(w, (uint32_t)index, &image))
            unfolded_ms = active_ms;
        (void)coat_table_remove(w, handle);
    }
    coat_table_unlock(w);
    return unfolded_ms;
}

void
coat_table_forget_owner(coat_table_writer *w, coat_owner owner)
{
    uint32_t at = coat_table_stamp_at(owner.bytes);

    coat_table_lock(w);
    coat_table_disturb(w, owner.bytes);
    next_stamps(w, at, at + 1);
    coat_table_unlock(w);
}

void
coat_table_forget_all(coat_table_writer *w)
{
    coat_table_lock(w);
    w->all.version++;
    coat_table_stamp_all(w);
    coat_table_unlock(w);
}
