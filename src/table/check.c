/* SPDX-License-Identifier: Apache-2.0 */

/**
 * The hot path: no allocation, no lock, no system call, bounded work. Whatever does not add up
 * is ASK, and only the last line of judge() and of coat_table_live() says LIVE.
 */

#include "core/judge.h"
#include "table/layout.h"
#include "table/writer.h"

#include <time.h>

enum {
    CANDIDATES = 4, /* chance makes a second one once in a hundred million look-ups */
    RETRIES = 64,   /* of a slot that is being written; a writer may have been stopped in it */
    CACHE_LINE = 64,
};

static inline void
pause_cpu(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

/** Loaded as words, read as keys. */
typedef union tag_words {
    uint64_t word[COAT_TABLE_TAG_WORDS];
    coat_tag_keys keys;
} tag_words;

/** @return false when the writer was busy with them all the time */
static bool
copy_tags(const coat_table_head *head, tag_words *out)
{
    for (int i = 0; i < RETRIES; i++) {
        uint32_t seq = atomic_load_explicit(&head->tag_seq, memory_order_acquire);

        for (size_t w = 0; w < COAT_TABLE_TAG_WORDS; w++)
            out->word[w] = atomic_load_explicit(&head->tags[w], memory_order_acquire);
        if ((seq & 1) == 0 && seq == atomic_load_explicit(&head->tag_seq, memory_order_relaxed))
            return true;
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

/**
 * Copy a slot out whole, and its identity if that is in the arena and wanted.
 * @return its sequence (even), or 1 when the writer was busy with it all the time
 */
static uint32_t
copy_slot(const coat_table *table, uint32_t index, coat_table_image *image, uint32_t *lengths,
          uint8_t *identity)
{
    const coat_table_slot *slot = &table->slot[index];
    uint64_t *words = (void *)image;

    for (int i = 0; i < RETRIES; i++) {
        uint32_t seq = atomic_load_explicit(&slot->seq, memory_order_acquire);
        uint32_t offset;
        bool fits;

        *lengths = atomic_load_explicit(&slot->lengths, memory_order_acquire);
        for (size_t w = 0; w < COAT_TABLE_WORDS; w++)
            words[w] = atomic_load_explicit(&slot->word[w], memory_order_acquire);
        /* Perhaps half-written: the bounds hold whatever it says. */
        memcpy(&offset, image->identity, sizeof offset);
        fits = coat_table_lengths_fit(*lengths, offset, table->geometry.arena);
        if (fits && identity != NULL && coat_table_total(*lengths) > COAT_TABLE_INLINE)
            copy_arena(table, offset, coat_table_total(*lengths), identity);
        if ((seq & 1) == 0 && seq == atomic_load_explicit(&slot->seq, memory_order_relaxed))
            return fits ? seq : 1;
        pause_cpu();
    }
    return 1;
}

static inline void
prefetch_prints(const coat_table *table, const coat_table_place *place)
{
    for (int side = 0; side < 2; side++) {
        const _Atomic uint64_t *line = table->prints + (size_t)place->set[side] * 8;

        __builtin_prefetch((const void *)(uintptr_t)line);
    }
}

/** A bit in each half of pair that may be print; false hits are sorted out by the handle. */
static inline uint64_t
matches(uint64_t pair, uint32_t print)
{
    const uint64_t ones = 0x0000000100000001U;
    uint64_t differs = pair ^ print * ones;

    return (differs - ones) & ~differs & ones << 31;
}

/** Slots whose fingerprint is right. */
typedef struct candidates {
    uint32_t count, index[CANDIDATES];
} candidates;

/** Of one set: two fingerprints at a time. */
static inline void
match_set(const coat_table *table, uint32_t set, uint32_t print, candidates *found)
{
    const _Atomic uint64_t *line = table->prints + (size_t)set * (COAT_TABLE_WAYS / 2);

    for (uint32_t i = 0; i < COAT_TABLE_WAYS / 2; i++) {
        uint64_t hits = matches(atomic_load_explicit(&line[i], memory_order_acquire), print);

        if (__builtin_expect(hits == 0, 1))
            continue;
        for (uint32_t half = 0; half < 2; half++)
            if ((uint32_t)(hits >> 32 * half) != 0 && found->count < CANDIDATES)
                found->index[found->count++] = set * COAT_TABLE_WAYS + 2 * i + half;
    }
}

static candidates
candidates_of(const coat_table *table, const coat_table_place *place)
{
    COAT_UNSET candidates found;

    found.count = 0;
    match_set(table, place->set[0], place->print, &found);
    match_set(table, place->set[1], place->print, &found);
    return found;
}

/** An entry as found: where, and a whole copy. */
typedef struct found_entry {
    uint32_t index, seq, lengths;
    uint32_t noted; /* activity word */
    coat_table_image image;
} found_entry;

/** All that there is to judge by. */
typedef struct looked_up {
    found_entry entry;
    uint8_t digest[COAT_DIGEST_BYTES];
    uint64_t context;
} looked_up;

/** Where the handle's entry may be. It starts the fetch of it: the caller has work meanwhile.
 */
static candidates
locate(const coat_table *table, const coat_table_place *place)
{
    candidates found = candidates_of(table, place);

    for (uint32_t i = 0; i < found.count; i++) {
        const uint8_t *slot = (const void *)&table->slot[found.index[i]];

        for (size_t line = 0; line < sizeof(coat_table_slot); line += CACHE_LINE)
            __builtin_prefetch(slot + line);
        __builtin_prefetch((const void *)(uintptr_t)&table->seen[found.index[i]]);
    }
    return found;
}

/** Copy out the entry of a handle, without its identity if that is NULL. */
static bool
find(const coat_table *table, const candidates *among, const coat_handle *handle,
     found_entry *found, uint8_t *identity)
{
    for (uint32_t i = 0; i < among->count; i++) {
        uint32_t index = among->index[i];

        found->index = index;
        found->noted = atomic_load_explicit(&table->seen[index], memory_order_relaxed);
        found->seq = copy_slot(table, index, &found->image, &found->lengths, identity);
        if ((found->seq & 1) == 0 && coat_handle_equal(&found->image.handle, handle))
            return table->mode == COAT_TABLE_EMBEDDED ||
                   coat_table_stamped(table, &found->image);
    }
    return false;
}

/**
 * The entry of an opened token, the digest of its secret, and the context if one is given. Each
 * miss of the cache is waited for by computing: the fingerprints arrive while the context is
 * hashed, and the entry while the secret is.
 */
static bool
find_token(const coat_table *table, const coat_table_query *query, const coat_token *token,
           looked_up *out, uint8_t *identity)
{
    coat_table_place place = coat_table_place_of(table->hash_key, table->sets, &token->handle);
    candidates among;

    prefetch_prints(table, &place);
    out->context =
        query->from != NULL ? coat_table_context(table, query->from) : query->context;
    among = locate(table, &place);
    if (among.count == 0)
        return false;
    coat_secret_digest(token->secret, out->digest);
    return find(table, &among, &token->handle, &out->entry, identity);
}

/** The image as a record whose only secret is the current one, for the common judge. */
static void
to_record(const coat_table_image *image, coat_record *out)
{
    out->flags = (uint32_t)image->idle_flags & COAT_RECORD_REMEMBER;
    out->created_ms = image->created_ms;
    out->auth_ms = image->auth_ms;
    out->seen_ms = image->seen_ms;
    out->idle_ms = coat_table_idle_ms(image->idle_flags);
    out->absolute_end_ms = image->absolute_end_ms;
    out->epoch_global = image->epoch_global;
    memcpy(out->current_digest, image->digest, sizeof out->current_digest);
}

static void
publish(const coat_table_image *image, uint32_t lengths, int64_t ends_ms,
        coat_table_answer *out)
{
    const uint8_t *identity = (const uint8_t *)out->identity;
    uint32_t total = coat_table_total(lengths);
    uint32_t user = lengths & 0xff, roles = lengths >> 8 & 0xffff;

    if (total <= COAT_TABLE_INLINE)
        memcpy(out->identity, image->identity, sizeof image->identity);
    out->identity[total] = '\0';
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

/** Decide about an opened token; the caller has looked at the header. */
static coat_table_verdict
judge(const coat_table *table, const coat_table_query *query, const coat_token *token,
      int64_t now_ms, coat_table_answer *out)
{
    COAT_UNSET looked_up found;
    const found_entry *entry = &found.entry;
    coat_policy policy = {
        .epoch_global = atomic_load_explicit(&table->head->epoch_min, memory_order_acquire),
    };
    coat_demand demand = {.max_age_ms = query->max_age_ms};
    coat_record record = {0};
    coat_judgement judgement;

    if (!find_token(table, query, token, &found, (uint8_t *)out->identity))
        return COAT_TABLE_ASK;
    if (found.context != 0 && found.context != entry->image.context)
        return COAT_TABLE_ASK;
    if (now_ms >= entry->image.next_due_ms)
        return COAT_TABLE_ASK;

    to_record(&entry->image, &record);
    coat_judge_digest(&record, found.digest, now_ms,
                      coat_table_seen_ms(table->base_s, entry->noted, entry->seq), &policy,
                      &demand, &judgement);
    /* Another secret may be pending, previous or stolen: the daemon knows. */
    if (judgement.verdict != COAT_VERDICT_LIVE || judgement.bearer != COAT_BEARER_CURRENT ||
        judgement.due != COAT_DUE_NOTHING)
        return COAT_TABLE_ASK;

    if (!query->background) {
        note(table, entry->index, entry->seq, entry->noted, now_ms);
        judgement.ends_ms = ends_after(&record, now_ms);
    }
    publish(&entry->image, entry->lengths, judgement.ends_ms, out);
    return COAT_TABLE_LIVE;
}

/**
 * Is this our token? Only then is there more to find out.
 * @return false if not: *verdict is REFUSE, or ASK where there is nothing to judge it by
 */
static bool
open_token(const coat_table *table, coat_span text, coat_token *token,
           coat_table_verdict *verdict)
{
    const coat_table_head *head = table->head;
    COAT_UNSET tag_words tags;

    *verdict = COAT_TABLE_ASK;
    if (atomic_load_explicit(&head->replaced, memory_order_acquire) != 0 ||
        !copy_tags(head, &tags) || tags.keys.count == 0)
        return false;
    if (coat_token_open(text, &tags.keys, token) == COAT_OK)
        return true;
    *verdict = COAT_TABLE_REFUSE;
    return false;
}

/** The caller's clock, or the daemon's where that is ahead (SF-10). */
static int64_t
not_before_floor(const coat_table *table, int64_t now_ms)
{
    int64_t floor_ms = atomic_load_explicit(&table->head->floor_ms, memory_order_relaxed);

    return now_ms > floor_ms ? now_ms : floor_ms;
}

int64_t
coat_table_clock_ms(void)
{
    struct timespec now;

    /* Behind by a tick of the kernel at most, and a quarter of the price. */
    if (clock_gettime(CLOCK_MONOTONIC_COARSE, &now) != 0)
        return INT64_MAX;
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/** Shared mode: does the daemon answer for what is here, by both clocks? */
static bool
leased(const coat_table *table, int64_t now_ms)
{
    const coat_table_head *head = table->head;
    int64_t mono_ms = table->monotonic != NULL ? table->monotonic(table->monotonic_ctx)
                                               : coat_table_clock_ms();
    int64_t left_ms;

    /* More than any lease lasts: this process has another clock than the daemon. */
    return !__builtin_sub_overflow(
               atomic_load_explicit(&head->lease_mono_ms, memory_order_relaxed), mono_ms,
               &left_ms) &&
           left_ms > 0 && left_ms <= COAT_TABLE_LEASE_MAX_MS &&
           now_ms < atomic_load_explicit(&head->lease_ms, memory_order_relaxed);
}

/** May entries be trusted now? Before any of them is looked at. */
static bool
trusted(const coat_table *table, int64_t now_ms)
{
    const coat_table_head *head = table->head;

    return atomic_load_explicit(&head->hold, memory_order_acquire) == 0 &&
           (table->mode == COAT_TABLE_EMBEDDED || leased(table, now_ms));
}

void
coat_table_check(const coat_table *table, const coat_table_query *query, coat_table_answer *out)
{
    int64_t now_ms = not_before_floor(table, query->now_ms);
    COAT_UNSET coat_token token;

    /* All but the bytes of identity, which nothing points to yet. */
    memset(out, 0, offsetof(coat_table_answer, identity) + 1);
    if (!open_token(table, query->token, &token, &out->verdict))
        return;
    out->handle = token.handle;
    if (trusted(table, now_ms))
        out->verdict = judge(table, query, &token, now_ms, out);
    if (out->verdict != COAT_TABLE_LIVE)
        out->identity[0] = '\0';
    coat_token_wipe(&token);
}

coat_table_verdict
coat_table_live(const coat_table *table, coat_span text, int64_t now_ms)
{
    COAT_UNSET found_entry found;
    coat_table_verdict verdict;
    coat_table_place place;
    candidates among;
    coat_record record = {0};
    coat_policy policy = {.epoch_global = 0};
    coat_handle handle;
    coat_token token;

    now_ms = not_before_floor(table, now_ms);
    if (!open_token(table, text, &token, &verdict))
        return verdict;
    handle = token.handle;
    coat_token_wipe(&token); /* its secret may be an old one by now: it does not matter here */
    if (!trusted(table, now_ms))
        return COAT_TABLE_ASK;

    policy.epoch_global = atomic_load_explicit(&table->head->epoch_min, memory_order_acquire);
    place = coat_table_place_of(table->hash_key, table->sets, &handle);
    among = locate(table, &place);
    if (!find(table, &among, &handle, &found, NULL))
        return COAT_TABLE_ASK;
    to_record(&found.image, &record);
    if (coat_judge_life(&record, now_ms,
                        coat_table_seen_ms(table->base_s, found.noted, found.seq),
                        &policy) != COAT_WHY_LIVE)
        return COAT_TABLE_ASK;
    return COAT_TABLE_LIVE;
}
