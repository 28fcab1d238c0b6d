/* SPDX-License-Identifier: Apache-2.0 */

/**
 * The hot path: no allocation, no lock, no system call, bounded work. Whatever does not add up
 * is ASK, and only the last line of coat_table_check() says LIVE.
 */

#include "table/layout.h"
#include "table/writer.h"

enum {
    RETRIES = 64, /* of a slot that is being written; a writer may have been stopped in it */
};

/* The build clears all local variables; these are written in full before they are read. */
#define COAT_UNSET __attribute__((uninitialized))

static inline void
pause_cpu(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

/** @return false when the writer was busy with them all the time */
static bool
copy_tags(const coat_table_head *head, coat_tag_keys *out)
{
    COAT_UNSET uint64_t words[COAT_TABLE_TAG_WORDS];

    for (int i = 0; i < RETRIES; i++) {
        uint32_t seq = atomic_load_explicit(&head->tag_seq, memory_order_acquire);

        for (size_t w = 0; w < COAT_TABLE_TAG_WORDS; w++)
            words[w] = atomic_load_explicit(&head->tags[w], memory_order_acquire);
        if ((seq & 1) == 0 &&
            seq == atomic_load_explicit(&head->tag_seq, memory_order_relaxed)) {
            memcpy(out, words, sizeof *out);
            return true;
        }
        pause_cpu();
    }
    return false;
}

static void
copy_arena(const coat_table *table, uint32_t offset, uint32_t total, uint8_t *identity)
{
    for (uint32_t done = 0; done < total; done += 8) {
        uint64_t word =
            atomic_load_explicit(&table->arena[(offset + done) / 8], memory_order_acquire);

        memcpy(identity + done, &word, total - done < 8 ? total - done : 8);
    }
}

uint32_t
coat_table_copy(const coat_table *table, uint32_t index, coat_table_image *image,
                uint32_t *lengths, uint8_t *identity)
{
    const coat_table_slot *slot = &table->slot[index];
    COAT_UNSET uint64_t words[COAT_TABLE_WORDS];

    for (int i = 0; i < RETRIES; i++) {
        uint32_t seq = atomic_load_explicit(&slot->seq, memory_order_acquire);
        uint32_t offset;
        bool fits;

        *lengths = atomic_load_explicit(&slot->lengths, memory_order_acquire);
        for (size_t w = 0; w < COAT_TABLE_WORDS; w++)
            words[w] = atomic_load_explicit(&slot->word[w], memory_order_acquire);
        memcpy(image, words, sizeof *image);
        /* Perhaps half-written: the bounds hold whatever it says. */
        memcpy(&offset, image->identity, sizeof offset);
        fits = coat_table_lengths_fit(*lengths, offset, table->geometry.arena);
        if (identity != NULL && fits) {
            if (coat_table_total(*lengths) > COAT_TABLE_INLINE)
                copy_arena(table, offset, coat_table_total(*lengths), identity);
            else
                memcpy(identity, image->identity, sizeof image->identity);
        }
        if ((seq & 1) == 0 && seq == atomic_load_explicit(&slot->seq, memory_order_relaxed))
            return fits ? seq : 1;
        pause_cpu();
    }
    return 1;
}

/** Copy out the entry of a handle. @return its slot, or -1; *seq, *image, *lengths, identity */
static int64_t
find(const coat_table *table, const coat_handle *handle, uint32_t *seq, coat_table_image *image,
     uint32_t *lengths, uint8_t *identity)
{
    coat_table_place place = coat_table_place_of(table->hash_key, table->sets, handle);
    const _Atomic uint64_t *line[2] = {table->prints + (size_t)place.set[0] * 8,
                                       table->prints + (size_t)place.set[1] * 8};

    __builtin_prefetch((const void *)(uintptr_t)line[0]);
    __builtin_prefetch((const void *)(uintptr_t)line[1]);
    for (int side = 0; side < 2; side++) {
        for (uint32_t pair = 0; pair < COAT_TABLE_WAYS / 2; pair++) {
            uint64_t prints = atomic_load_explicit(&line[side][pair], memory_order_acquire);

            for (uint32_t half = 0; half < 2; half++) {
                uint32_t index = place.set[side] * COAT_TABLE_WAYS + 2 * pair + half;

                if ((uint32_t)(prints >> 32 * half) != place.print)
                    continue;
                __builtin_prefetch((const void *)(uintptr_t)&table->seen[index]);
                *seq = coat_table_copy(table, index, image, lengths, identity);
                if ((*seq & 1) == 0 && coat_handle_equal(&image->handle, handle))
                    return index;
            }
        }
    }
    return -1;
}

/** The image as a record whose only secret is the current one, for the common judge. */
static void
to_record(const coat_table_image *image, coat_record *out)
{
    out->flags = (uint32_t)image->idle_flags & COAT_RECORD_REMEMBER;
    out->created_ms = image->created_ms;
    out->auth_ms = image->auth_ms;
    out->seen_ms = image->seen_ms;
    out->idle_ms = (int64_t)(image->idle_flags >> 8);
    out->absolute_end_ms = image->absolute_end_ms;
    out->epoch_global = image->epoch_global;
    memcpy(out->current_digest, image->digest, sizeof out->current_digest);
}

static void
publish(const coat_table_image *image, uint32_t lengths, int64_t ends_ms,
        coat_table_answer *out)
{
    const uint8_t *identity = (const uint8_t *)out->identity;
    uint32_t user = lengths & 0xff, roles = lengths >> 8 & 0xffff;

    out->identity[coat_table_total(lengths)] = '\0';
    out->user = (coat_span){identity, user};
    out->roles = (coat_span){identity + user, roles};
    out->methods = (coat_span){identity + user + roles, lengths >> 24};
    out->created_ms = image->created_ms;
    out->auth_ms = image->auth_ms;
    out->ends_ms = ends_ms;
    out->remember = (image->idle_flags & COAT_RECORD_REMEMBER) != 0;
}

/** When the session ends if nothing more is heard of it: after idle_ms, or at its absolute end.
 */
static int64_t
ends_after(const coat_record *record, int64_t now_ms)
{
    int64_t idle_end_ms;

    if (__builtin_add_overflow(now_ms, record->idle_ms, &idle_end_ms) ||
        idle_end_ms > record->absolute_end_ms)
        return record->absolute_end_ms;
    return idle_end_ms;
}

/** Note activity of now, unless this second or a later one is noted already. */
static void
note(const coat_table *table, uint32_t index, uint32_t seq, uint32_t noted, int64_t now_ms)
{
    uint32_t word = coat_table_seen_word(table->base_s, now_ms, seq);

    if (word == 0 || coat_table_seen_ms(table->base_s, noted, seq) >=
                         coat_table_seen_ms(table->base_s, word, seq))
        return;
    atomic_store_explicit(&table->seen[index], word, memory_order_relaxed);
}

/** Judge an entry that was found for an opened token. */
static coat_table_verdict
judge(const coat_table *table, const coat_table_query *query, const coat_token *token,
      int64_t now_ms, coat_table_answer *out)
{
    COAT_UNSET coat_table_image image;
    coat_policy policy = {
        .epoch_global = atomic_load_explicit(&table->head->epoch_min, memory_order_acquire),
    };
    coat_demand demand = {.max_age_ms = query->max_age_ms};
    coat_record record = {0};
    coat_judgement judgement;
    uint32_t seq, lengths, noted;
    int64_t index;

    index = find(table, &token->handle, &seq, &image, &lengths, (uint8_t *)out->identity);
    if (index < 0)
        return COAT_TABLE_ASK;
    if (query->context != 0 && query->context != image.context)
        return COAT_TABLE_ASK;
    if (now_ms >= image.next_due_ms)
        return COAT_TABLE_ASK;

    noted = atomic_load_explicit(&table->seen[index], memory_order_relaxed);
    to_record(&image, &record);
    coat_judge(&record, token, now_ms, coat_table_seen_ms(table->base_s, noted, seq), &policy,
               &demand, &judgement);
    /* Another secret may be pending, previous or stolen: the daemon knows. */
    if (judgement.verdict != COAT_VERDICT_LIVE || judgement.bearer != COAT_BEARER_CURRENT ||
        judgement.due != COAT_DUE_NOTHING)
        return COAT_TABLE_ASK;

    if (!query->background) {
        note(table, (uint32_t)index, seq, noted, now_ms);
        judgement.ends_ms = ends_after(&record, now_ms);
    }
    publish(&image, lengths, judgement.ends_ms, out);
    return COAT_TABLE_LIVE;
}

void
coat_table_check(const coat_table *table, const coat_table_query *query, coat_table_answer *out)
{
    const coat_table_head *head = table->head;
    int64_t now_ms = atomic_load_explicit(&head->floor_ms, memory_order_relaxed);
    COAT_UNSET coat_token token;
    COAT_UNSET coat_tag_keys keys;

    /* All but the bytes of identity, which nothing points to yet. */
    memset(out, 0, offsetof(coat_table_answer, identity) + 1);
    if (atomic_load_explicit(&head->replaced, memory_order_acquire) != 0 ||
        !copy_tags(head, &keys) || keys.count == 0)
        return;
    if (coat_token_open(query->token, &keys, &token) != COAT_OK) {
        out->verdict = COAT_TABLE_REFUSE;
        return;
    }
    out->handle = token.handle;
    if (query->now_ms > now_ms)
        now_ms = query->now_ms;
    if (atomic_load_explicit(&head->hold, memory_order_acquire) == 0 &&
        (table->mode == COAT_TABLE_EMBEDDED ||
         now_ms < atomic_load_explicit(&head->lease_ms, memory_order_relaxed)))
        out->verdict = judge(table, query, &token, now_ms, out);
    if (out->verdict != COAT_TABLE_LIVE)
        out->identity[0] = '\0';
    coat_token_wipe(&token);
}
