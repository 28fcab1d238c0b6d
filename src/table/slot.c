/* SPDX-License-Identifier: Apache-2.0 */
#include "table/inside.h"

uint32_t
coat_table_print(const coat_table_writer *w, uint32_t index)
{
    uint64_t pair = atomic_load_explicit(&w->prints[index / 2], memory_order_relaxed);

    return (uint32_t)(pair >> 32 * (index % 2));
}

void
coat_table_print_set(coat_table_writer *w, uint32_t index, uint32_t print)
{
    uint64_t pair = atomic_load_explicit(&w->prints[index / 2], memory_order_relaxed);
    uint32_t shift = 32 * (index % 2);

    pair = (pair & ~((uint64_t)UINT32_MAX << shift)) | (uint64_t)print << shift;
    coat_table_put64(w, &w->prints[index / 2], pair);
}

uint32_t
coat_table_seq(const coat_table_writer *w, uint32_t index)
{
    return atomic_load_explicit(&w->slot[index].seq, memory_order_relaxed);
}

uint32_t
coat_table_peek(const coat_table_writer *w, uint32_t index, coat_table_image *image)
{
    const coat_table_slot *slot = &w->slot[index];
    uint64_t words[COAT_TABLE_WORDS];

    for (size_t i = 0; i < COAT_TABLE_WORDS; i++)
        words[i] = atomic_load_explicit(&slot->word[i], memory_order_relaxed);
    memcpy(image, words, sizeof *image);
    return atomic_load_explicit(&slot->lengths, memory_order_relaxed);
}

int64_t
coat_table_find(const coat_table_writer *w, const coat_table_place *place,
                const coat_handle *handle)
{
    for (uint32_t i = 0; i < 2 * COAT_TABLE_WAYS; i++) {
        uint32_t index =
            place->set[i / COAT_TABLE_WAYS] * COAT_TABLE_WAYS + i % COAT_TABLE_WAYS;
        coat_table_image image;

        if (coat_table_print(w, index) != place->print)
            continue;
        (void)coat_table_peek(w, index, &image);
        if (coat_handle_equal(&image.handle, handle))
            return index;
    }
    return -1;
}

int64_t
coat_table_active_ms(const coat_table_writer *w, uint32_t index, const coat_table_image *image)
{
    uint32_t word = atomic_load_explicit(&w->view.seen[index], memory_order_relaxed);
    int64_t noted_ms = coat_table_seen_ms(w->view.base_s, word, coat_table_seq(w, index));

    return noted_ms > image->seen_ms ? noted_ms : image->seen_ms;
}

int64_t
coat_table_folded_ms(const coat_table_writer *w, uint32_t index, const coat_table_image *image)
{
    int64_t folded_ms =
        coat_table_seen_ms(w->view.base_s, w->folded[index], coat_table_seq(w, index));

    return folded_ms > image->seen_ms ? folded_ms : image->seen_ms;
}

/** Replace what a slot holds. The sequence is odd while it is neither the old nor the new. */
static void
write_slot(coat_table_writer *w, uint32_t index, const coat_table_image *image,
           uint32_t lengths)
{
    coat_table_slot *slot = &w->slot[index];
    uint32_t seq = coat_table_seq(w, index) | 1;
    uint64_t words[COAT_TABLE_WORDS];

    memcpy(words, image, sizeof words);
    coat_table_put32(w, &slot->seq, seq);
    coat_table_put32(w, &slot->lengths, lengths);
    for (size_t i = 0; i < COAT_TABLE_WORDS; i++)
        coat_table_put64(w, &slot->word[i], words[i]);
    if (w->step != NULL)
        w->step(w->step_ctx);
    /* In full order: a change that is acknowledged after this must not overtake it. */
    atomic_store_explicit(&slot->seq, seq + 1, memory_order_seq_cst);
}

void
coat_table_wipe(coat_table_writer *w, uint32_t index)
{
    const coat_table_image nothing = {0};
    coat_table_image image;
    uint32_t lengths = coat_table_peek(w, index, &image), offset;

    memcpy(&offset, image.identity, sizeof offset);
    if (coat_table_print(w, index) != 0) {
        coat_table_print_set(w, index, 0);
        w->stats.used--;
        if (coat_table_total(lengths) > COAT_TABLE_INLINE)
            coat_table_arena_give(w, offset, coat_table_total(lengths));
    }
    write_slot(w, index, &nothing, 0);
    w->folded[index] = 0;
}

/** Note activity that is to be folded by the caller, since its entry is gone. */
static void
note_ousted(coat_table_ousted *ousted, const coat_handle *handle, int64_t seen_ms)
{
    if (ousted->count == sizeof ousted->entry / sizeof ousted->entry[0])
        return;
    ousted->entry[ousted->count].handle = *handle;
    ousted->entry[ousted->count].seen_ms = seen_ms;
    ousted->count++;
}

void
coat_table_oust(coat_table_writer *w, uint32_t index, coat_table_ousted *ousted)
{
    coat_table_image image;
    int64_t active_ms;

    (void)coat_table_peek(w, index, &image);
    active_ms = coat_table_active_ms(w, index, &image);
    if (active_ms > coat_table_folded_ms(w, index, &image))
        note_ousted(ousted, &image.handle, active_ms);
    coat_table_wipe(w, index);
    w->stats.evicted++;
}

int64_t
coat_table_remove(coat_table_writer *w, const coat_handle *handle)
{
    coat_table_place place = coat_table_place_of(w->view.hash_key, w->view.sets, handle);
    int64_t seen_ms = 0, index;

    /* All of them, though there is never more than one: this must hold whatever went wrong. */
    while ((index = coat_table_find(w, &place, handle)) >= 0) {
        coat_table_image image;
        int64_t active_ms;

        (void)coat_table_peek(w, (uint32_t)index, &image);
        active_ms = coat_table_active_ms(w, (uint32_t)index, &image);
        if (active_ms > seen_ms)
            seen_ms = active_ms;
        coat_table_wipe(w, (uint32_t)index);
        w->stats.cleared++;
    }
    return seen_ms;
}

/** Free slots of a set; *free is one of them, if there are any. */
static uint32_t
room_in(const coat_table_writer *w, uint32_t set, uint32_t *free)
{
    uint32_t room = 0;

    for (uint32_t i = 0; i < COAT_TABLE_WAYS; i++) {
        if (coat_table_print(w, set * COAT_TABLE_WAYS + i) != 0)
            continue;
        *free = set * COAT_TABLE_WAYS + i;
        room++;
    }
    return room;
}

/** A free slot in the emptier of both sets, else the least recently active entry's. */
static uint32_t
choose(coat_table_writer *w, const coat_table_place *place, coat_table_ousted *ousted)
{
    uint32_t free[2] = {0, 0}, victim = place->set[0] * COAT_TABLE_WAYS;
    uint32_t room[2] = {room_in(w, place->set[0], &free[0]),
                        room_in(w, place->set[1], &free[1])};
    int64_t oldest_ms = INT64_MAX;

    if (room[0] != 0 || room[1] != 0)
        return free[room[1] > room[0] ? 1 : 0];
    for (uint32_t i = 0; i < 2 * COAT_TABLE_WAYS; i++) {
        uint32_t index =
            place->set[i / COAT_TABLE_WAYS] * COAT_TABLE_WAYS + i % COAT_TABLE_WAYS;
        coat_table_image image;
        int64_t active_ms;

        (void)coat_table_peek(w, index, &image);
        active_ms = coat_table_active_ms(w, index, &image);
        if (active_ms < oldest_ms) {
            oldest_ms = active_ms;
            victim = index;
        }
    }
    coat_table_oust(w, victim, ousted);
    return victim;
}

/** @return false if a part is over its limit */
static bool
image_of(const coat_table_entry *entry, coat_table_image *image, uint32_t *lengths,
         uint8_t identity[static COAT_TABLE_IDENTITY_MAX])
{
    const coat_record *record = entry->record;
    int64_t idle_ms = record->idle_ms;
    size_t user = record->user.len, roles = record->roles.len, methods = record->methods.len;

    if (user > COAT_USER_MAX || roles > COAT_ROLES_MAX || methods > COAT_METHODS_MAX ||
        idle_ms < 0)
        return false;
    if (idle_ms > COAT_TABLE_IDLE_MAX_MS)
        idle_ms = COAT_TABLE_IDLE_MAX_MS; /* after 34 years the daemon is asked */
    *lengths = (uint32_t)user | (uint32_t)roles << 8 | (uint32_t)methods << 24;
    if (user > 0)
        memcpy(identity, record->user.ptr, user);
    if (roles > 0)
        memcpy(identity + user, record->roles.ptr, roles);
    if (methods > 0)
        memcpy(identity + user + roles, record->methods.ptr, methods);
    *image = (coat_table_image){
        .handle = *entry->handle,
        .created_ms = record->created_ms,
        .auth_ms = record->auth_ms,
        .absolute_end_ms = record->absolute_end_ms,
        .next_due_ms = entry->next_due_ms,
        .seen_ms = record->seen_ms,
        .idle_flags = (uint64_t)idle_ms << 8 | (record->flags & COAT_RECORD_REMEMBER),
        .context = entry->context,
        .epoch_global = record->epoch_global,
    };
    memcpy(image->digest, record->current_digest, sizeof image->digest);
    return true;
}

static void
put_arena(coat_table_writer *w, uint32_t offset, const uint8_t *bytes, uint32_t len)
{
    for (uint32_t done = 0; done < len; done += 8) {
        uint64_t word = 0;

        memcpy(&word, bytes + done, len - done < 8 ? len - done : 8);
        coat_table_put64(w, &w->arena[(offset + done) / 8], word);
    }
}

/** Put the identity where it fits; in the arena, other entries may give way. */
static bool
place_identity(coat_table_writer *w, const uint8_t *identity, uint32_t total,
               coat_table_image *image, coat_table_ousted *ousted)
{
    uint32_t offset;

    if (total <= COAT_TABLE_INLINE) {
        memcpy(image->identity, identity, total);
        return true;
    }
    if (!coat_table_arena_take(w, total, &offset) &&
        !coat_table_arena_force(w, total, &offset, ousted))
        return false;
    put_arena(w, offset, identity, total);
    memcpy(image->identity, &offset, sizeof offset);
    return true;
}

coat_err
coat_table_enter(coat_table_writer *w, const coat_table_entry *entry, coat_table_ousted *ousted)
{
    coat_table_place place = coat_table_place_of(w->view.hash_key, w->view.sets, entry->handle);
    uint8_t identity[COAT_TABLE_IDENTITY_MAX];
    coat_table_image image;
    int64_t seen_ms = coat_table_remove(w, entry->handle);
    uint32_t lengths, index, word;

    if (entry->seen_ms > seen_ms)
        seen_ms = entry->seen_ms;
    if (!image_of(entry, &image, &lengths, identity) ||
        !place_identity(w, identity, coat_table_total(lengths), &image, ousted)) {
        if (seen_ms > entry->record->seen_ms)
            note_ousted(ousted, entry->handle, seen_ms);
        w->stats.refused++;
        return COAT_TOO_LARGE;
    }
    image.idle_flags |= (uint64_t)coat_table_stamp_now(w, entry->handle)
                        << COAT_TABLE_STAMP_SHIFT;
    index = choose(w, &place, ousted);
    write_slot(w, index, &image, lengths);
    /* The sequence has changed, so whatever lay here spoke of another occupant. */
    word = coat_table_seen_word(w->view.base_s, seen_ms, coat_table_seq(w, index));
    coat_table_put32(w, &w->view.seen[index], word);
    coat_table_print_set(w, index, place.print);
    w->stats.used++;
    w->stats.filled++;
    return COAT_OK;
}

static bool
believable(coat_table_writer *w, uint32_t index, coat_table_place *place)
{
    uint32_t set = index / COAT_TABLE_WAYS, offset, total;
    coat_table_image image;
    uint32_t lengths = coat_table_peek(w, index, &image);
    int64_t twin;

    *place = coat_table_place_of(w->view.hash_key, w->view.sets, &image.handle);
    memcpy(&offset, image.identity, sizeof offset);
    total = coat_table_total(lengths);
    if ((coat_table_seq(w, index) & 1) != 0 || (set != place->set[0] && set != place->set[1]) ||
        image.epoch_global < atomic_load(&w->head->epoch_min) ||
        !coat_table_lengths_fit(lengths, offset, w->view.geometry.arena))
        return false;
    twin = coat_table_find(w, place, &image.handle);
    if (twin >= 0) {
        coat_table_wipe(w, (uint32_t)twin); /* which of the two is right? neither */
        return false;
    }
    return total <= COAT_TABLE_INLINE || coat_table_arena_claim(w, offset, total);
}

void
coat_table_recheck(coat_table_writer *w)
{
    static const coat_handle none;
    coat_table_place place;

    for (uint32_t i = 0; i < w->view.geometry.slots; i += 2)
        coat_table_put64(w, &w->prints[i / 2], 0);
    for (uint32_t i = 0; i < w->view.geometry.slots; i++) {
        coat_table_image image;

        (void)coat_table_peek(w, i, &image);
        if (coat_handle_equal(&image.handle, &none) && (coat_table_seq(w, i) & 1) == 0)
            continue;
        if (believable(w, i, &place)) {
            coat_table_print_set(w, i, place.print);
            w->stats.used++;
        } else {
            coat_table_wipe(w, i);
        }
    }
}
