/* SPDX-License-Identifier: Apache-2.0 */

/** Room for identities that do not fit in a slot: runs of cells, first fit from a hint. */

#include "table/inside.h"

enum {
    SAMPLE = 512, /* slots looked at for one entry to give way */
};

static uint32_t
cells_for(uint32_t len)
{
    return (len + COAT_TABLE_CELL - 1) / COAT_TABLE_CELL;
}

static bool
cell_used(const coat_table_writer *w, uint32_t cell)
{
    return (w->cells[cell / 64] >> cell % 64 & 1) != 0;
}

static void
mark(coat_table_writer *w, uint32_t cell, uint32_t count, bool used)
{
    for (uint32_t i = cell; i < cell + count; i++) {
        if (used)
            w->cells[i / 64] |= (uint64_t)1 << i % 64;
        else
            w->cells[i / 64] &= ~((uint64_t)1 << i % 64);
    }
    if (used)
        w->stats.arena_used += (uint64_t)count * COAT_TABLE_CELL;
    else
        w->stats.arena_used -= (uint64_t)count * COAT_TABLE_CELL;
}

/** First free run of `need` cells within [from, to). */
static bool
search(const coat_table_writer *w, uint32_t from, uint32_t to, uint32_t need, uint32_t *cell)
{
    uint32_t run = 0;

    for (uint32_t i = from; i < to; i++) {
        if (i % 64 == 0 && w->cells[i / 64] == UINT64_MAX) {
            i += 63; /* a full word at once */
            run = 0;
            continue;
        }
        run = cell_used(w, i) ? 0 : run + 1;
        if (run == need) {
            *cell = i + 1 - need;
            return true;
        }
    }
    return false;
}

bool
coat_table_arena_take(coat_table_writer *w, uint32_t len, uint32_t *offset)
{
    uint32_t need = cells_for(len), cell;

    if (need > w->cell_count)
        return false;
    if (!search(w, w->cell_hint, w->cell_count, need, &cell) &&
        !search(w, 0, w->cell_count, need, &cell))
        return false;
    mark(w, cell, need, true);
    w->cell_hint = cell + need;
    *offset = cell * COAT_TABLE_CELL;
    return true;
}

bool
coat_table_arena_claim(coat_table_writer *w, uint32_t offset, uint32_t len)
{
    uint32_t first = offset / COAT_TABLE_CELL, need = cells_for(len);

    if (first > w->cell_count || need > w->cell_count - first)
        return false;
    for (uint32_t i = first; i < first + need; i++)
        if (cell_used(w, i))
            return false;
    mark(w, first, need, true);
    return true;
}

void
coat_table_arena_give(coat_table_writer *w, uint32_t offset, uint32_t len)
{
    mark(w, offset / COAT_TABLE_CELL, cells_for(len), false);
}

bool
coat_table_arena_force(coat_table_writer *w, uint32_t len, uint32_t *offset,
                       coat_table_ousted *ousted)
{
    for (uint32_t round = 0; round < COAT_TABLE_GIVE_WAY; round++) {
        int64_t oldest_ms = INT64_MAX, victim = -1;

        for (uint32_t n = 0; n < SAMPLE && n < w->view.geometry.slots; n++) {
            uint32_t index = w->oust_at;
            coat_table_image image;
            int64_t active_ms;

            w->oust_at = (index + 1) % w->view.geometry.slots;
            if (coat_table_print(w, index) == 0 ||
                coat_table_total(coat_table_peek(w, index, &image)) <= COAT_TABLE_INLINE)
                continue;
            active_ms = coat_table_active_ms(w, index, &image);
            if (active_ms < oldest_ms) {
                oldest_ms = active_ms;
                victim = index;
            }
        }
        if (victim < 0)
            continue;
        coat_table_oust(w, (uint32_t)victim, ousted);
        if (coat_table_arena_take(w, len, offset))
            return true;
    }
    return false;
}
