/* SPDX-License-Identifier: Apache-2.0 */

/**
 * The hot path: no allocation, no lock, no system call, bounded work. Whatever does not add up
 * is ASK, and only the last line of judge() and of coat_table_live() says LIVE.
 */

#include "core/judge.h"
#include "core/token.h"
#include "table/layout.h"
#include "table/memo.h"
#include "table/writer.h"

#include <time.h>

enum {
    CANDIDATES = 4, /* chance makes a second one once in a hundred million look-ups */
    RETRIES = 64,   /* of a slot that is being written; a writer may have been stopped in it */
    CACHE_LINE = 64,
    IMAGE_WORDS = offsetof(coat_table_image, identity) / 8,
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

/**
 * The ways of a set whose fingerprint is right, as bits: way 2i + h is bit 31 - i of half h. No
 * branch before the last word: where among 16 an entry lies, nobody can predict.
 */
static inline uint64_t
match_set(const coat_table *table, uint32_t set, uint32_t print)
{
    const _Atomic uint64_t *line = table->prints + (size_t)set * (COAT_TABLE_WAYS / 2);
    uint64_t found = 0;

#pragma GCC unroll 8
    for (uint32_t i = 0; i < COAT_TABLE_WAYS / 2; i++)
        found |= matches(atomic_load_explicit(&line[i], memory_order_acquire), print) >> i;
    return found;
}

static inline void
add_found(uint64_t ways, uint32_t set, candidates *found)
{
    for (; ways != 0 && found->count < CANDIDATES; ways &= ways - 1) {
        uint32_t bit = (uint32_t)__builtin_ctzll(ways);

        found->index[found->count++] = set * COAT_TABLE_WAYS + 2 * (31 - bit % 32) + bit / 32;
    }
}

static candidates
candidates_of(const coat_table *table, const coat_table_place *place)
{
    COAT_UNSET candidates found;

    found.count = 0;
    add_found(match_set(table, place->set[0], place->print), place->set[0], &found);
    add_found(match_set(table, place->set[1], place->print), place->set[1], &found);
    return found;
}

/** An entry as found: where, and a copy; its identity has gone elsewhere. */
typedef struct found_entry {
    uint32_t index, lengths;
    uint32_t seq;   /* even, or 1: nothing that could be used */
    uint32_t noted; /* activity word */
    coat_table_image image;
} found_entry;

/** All that there is to judge by. */
typedef struct looked_up {
    found_entry entry;
    uint8_t digest[COAT_DIGEST_BYTES];
    uint64_t context;
} looked_up;

static inline void
prefetch_entry(const coat_table *table, uint32_t index)
{
    const uint8_t *slot = (const void *)&table->slot[index];

    for (size_t line = 0; line < sizeof(coat_table_slot); line += CACHE_LINE)
        __builtin_prefetch(slot + line);
    __builtin_prefetch((const void *)(uintptr_t)&table->seen[index]);
}

/** Where the handle's entry may be. It starts the fetch of it: the caller has work meanwhile.
 */
static candidates
locate(const coat_table *table, const coat_table_place *place)
{
    candidates found = candidates_of(table, place);

    for (uint32_t i = 0; i < found.count; i++)
        prefetch_entry(table, found.index[i]);
    return found;
}

/** A slot's words but for the identity, which is wanted elsewhere. */
static inline void
copy_image(const coat_table_slot *slot, coat_table_image *image)
{
    uint64_t *words = (void *)image;

#pragma GCC unroll 14
    for (size_t w = 0; w < IMAGE_WORDS; w++)
        words[w] = atomic_load_explicit(&slot->word[w], memory_order_acquire);
}

static inline void
copy_inline(const coat_table_slot *slot, uint8_t *identity)
{
#pragma GCC unroll 9
    for (size_t w = IMAGE_WORDS; w < COAT_TABLE_WORDS; w++) {
        uint64_t word = atomic_load_explicit(&slot->word[w], memory_order_acquire);

        memcpy(identity + 8 * (w - IMAGE_WORDS), &word, sizeof word);
    }
}

/**
 * Copy a slot out, and its identity if that is not NULL. A function of its own, since in a loop
 * the compiler works out the address of each word beforehand.
 * @return false: the writer was busy with it
 */
static __attribute__((noinline)) bool
try_slot(const coat_table *table, const coat_table_slot *slot, found_entry *found,
         uint8_t *identity)
{
    uint32_t seq = atomic_load_explicit(&slot->seq, memory_order_acquire);
    uint32_t lengths = atomic_load_explicit(&slot->lengths, memory_order_acquire);
    uint64_t first = atomic_load_explicit(&slot->word[IMAGE_WORDS], memory_order_acquire);
    uint32_t total = coat_table_total(lengths), offset;
    bool fits;

    copy_image(slot, &found->image);
    /* Perhaps half-written: the bounds hold whatever it says. */
    memcpy(&offset, &first, sizeof offset);
    fits = coat_table_lengths_fit(lengths, offset, table->geometry.arena);
    if (identity != NULL && total <= COAT_TABLE_INLINE)
        copy_inline(slot, identity);
    else if (identity != NULL && fits)
        copy_arena(table, offset, total, identity);
    found->lengths = lengths;
    found->seq = fits ? seq : 1;
    return (seq & 1) == 0 && seq == atomic_load_explicit(&slot->seq, memory_order_relaxed);
}

/** Copy out what lies there, and its identity if that is not NULL. @return it is of handle */
static inline bool
copy_entry(const coat_table *table, uint32_t index, const coat_handle *handle,
           found_entry *found, uint8_t *identity)
{
    found->index = index;
    found->noted = atomic_load_explicit(&table->seen[index], memory_order_relaxed);
    for (int i = 0; i < RETRIES; i++) {
        if (try_slot(table, &table->slot[index], found, identity))
            return (found->seq & 1) == 0 &&
                   memcmp(found->image.handle.bytes, handle->bytes, sizeof handle->bytes) == 0;
        pause_cpu();
    }
    return false;
}

/** Copy out the entry of a handle, and its identity if that is not NULL. */
static bool
find(const coat_table *table, const candidates *among, const coat_handle *handle,
     found_entry *found, uint8_t *identity)
{
    for (uint32_t i = 0; i < among->count; i++)
        if (copy_entry(table, among->index[i], handle, found, identity))
            return coat_table_stamped(table, &found->image);
    return false;
}

/** What is known of a token, and lies within this table. It starts the fetch of the entry. */
static coat_table_known *
recall(const coat_table *table, coat_table_known *set, const coat_token *token)
{
    coat_table_known *known = coat_table_memo_find(set, token);

    if (known == NULL || known->slot >= table->geometry.slots)
        return NULL; /* or of another table */
    prefetch_entry(table, known->slot);
    return known;
}

/** A token that was asked for, and what is known of it. */
typedef struct asked {
    coat_token token;
    coat_table_known *set, *known; /* or NULL */
} asked;

/**
 * The entry of an opened token, the digest of its secret, and the context if one is given. Each
 * miss of the cache is waited for by computing: the entry of a token that is known arrives
 * while the tag is, the fingerprints of another while the context is hashed, and the entry that
 * they lead to while the secret is.
 */
static bool
find_token(const coat_table *table, const coat_table_query *query, const asked *a,
           looked_up *out, uint8_t *identity)
{
    const coat_handle *handle = &a->token.handle;
    COAT_UNSET coat_table_place place;
    COAT_UNSET candidates among;

    if (a->known == NULL) {
        place = coat_table_place_of(table->hash_key, table->sets, handle);
        prefetch_prints(table, &place);
    }
    out->context = query->from != NULL ? coat_table_context(table, query->from(query->from_ctx))
                                       : query->context;
    if (a->known != NULL) {
        memcpy(out->digest, a->known->digest, sizeof out->digest);
        if (copy_entry(table, a->known->slot, handle, &out->entry, identity))
            return coat_table_stamped(table, &out->entry.image);
        place = coat_table_place_of(table->hash_key, table->sets, handle);
    }
    among = locate(table, &place);
    if (among.count == 0)
        return false;
    if (a->known == NULL)
        coat_secret_digest(a->token.secret, out->digest);
    if (!find(table, &among, handle, &out->entry, identity))
        return false;
    coat_table_memo_keep(a->set, &a->token, out->digest, out->entry.index);
    return true;
}

static coat_limits
limits_of(const coat_table_image *image)
{
    return (coat_limits){.epoch_global = image->epoch_global,
                         .seen_ms = image->seen_ms,
                         .idle_ms = coat_table_idle_ms(image->idle_flags),
                         .absolute_end_ms = image->absolute_end_ms};
}

/** May the bearer of this digest do what is asked for? Only this says so. */
static bool
is_live(const coat_table *table, const coat_table_query *query, const looked_up *found,
        const coat_limits *limits, int64_t noted_ms, int64_t now_ms)
{
    const coat_table_image *image = &found->entry.image;
    uint64_t epoch_min = atomic_load_explicit(&table->head->epoch_min, memory_order_acquire);
    coat_demand demand = {.max_age_ms = query->max_age_ms};

    if (found->context != 0 && found->context != image->context)
        return false;
    /* Another secret may be pending, previous or stolen: the daemon knows. */
    return crypto_verify_32(found->digest, image->digest) == 0 && now_ms < image->next_due_ms &&
           coat_limits_judge(limits, now_ms, noted_ms, epoch_min) == COAT_WHY_LIVE &&
           coat_judge_age(image->auth_ms, now_ms, &demand);
}

static void
publish(const coat_table_image *image, uint32_t lengths, int64_t ends_ms,
        coat_table_answer *out)
{
    const uint8_t *identity = (const uint8_t *)out->identity;
    uint32_t total = coat_table_total(lengths);
    uint32_t user = lengths & 0xff, roles = lengths >> 8 & 0xffff;

    out->identity[total] = '\0';
    out->user = (coat_span){identity, user};
    out->roles = (coat_span){identity + user, roles};
    out->methods = (coat_span){identity + user + roles, lengths >> 24};
    out->created_ms = image->created_ms;
    out->auth_ms = image->auth_ms;
    out->ends_ms = ends_ms;
    out->remember = (image->idle_flags & COAT_RECORD_REMEMBER) != 0;
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
judge(const coat_table *table, const coat_table_query *query, const asked *a, int64_t now_ms,
      coat_table_answer *out)
{
    COAT_UNSET looked_up found;
    const found_entry *entry = &found.entry;
    coat_limits limits;
    int64_t noted_ms;

    if (!find_token(table, query, a, &found, (uint8_t *)out->identity))
        return COAT_TABLE_ASK;
    limits = limits_of(&entry->image);
    noted_ms = coat_table_seen_ms(table->base_s, entry->noted, entry->seq);
    if (!is_live(table, query, &found, &limits, noted_ms, now_ms))
        return COAT_TABLE_ASK;

    if (!query->background) {
        note(table, entry->index, entry->seq, entry->noted, now_ms);
        noted_ms = now_ms > noted_ms ? now_ms : noted_ms;
    }
    publish(&entry->image, entry->lengths, coat_limits_end(&limits, noted_ms), out);
    out->context = found.context;
    return COAT_TABLE_LIVE;
}

/** @return false: there is nothing to judge a token by */
static bool
copy_keys(const coat_table_head *head, tag_words *out)
{
    return atomic_load_explicit(&head->replaced, memory_order_acquire) == 0 &&
           copy_tags(head, out) && out->keys.count != 0;
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

/** Only of our own tokens there is more to find out. */
static coat_table_verdict
check(const coat_table *table, const coat_table_query *query, asked *a, coat_table_answer *out)
{
    int64_t now_ms = not_before_floor(table, query->now_ms);
    COAT_UNSET tag_words tags;

    if (!copy_keys(table->head, &tags))
        return COAT_TABLE_ASK;
    if (!coat_token_read(query->token, &a->token))
        return COAT_TABLE_REFUSE;
    a->known = recall(table, a->set, &a->token);
    if (!coat_token_tag_fits(&a->token, &tags.keys))
        return COAT_TABLE_REFUSE;
    out->handle = a->token.handle;
    return trusted(table, now_ms) ? judge(table, query, a, now_ms, out) : COAT_TABLE_ASK;
}

/** All but the bytes of identity, which nothing points to yet. One by one: for this many bytes
 * the compiler takes an instruction that is slow to start. */
static void
clear(coat_table_answer *out)
{
    const coat_span nothing = {NULL, 0};

    out->verdict = COAT_TABLE_ASK;
    out->handle = (coat_handle){{0}};
    out->user = out->roles = out->methods = nothing;
    out->created_ms = out->auth_ms = out->ends_ms = 0;
    out->context = 0;
    out->remember = false;
    out->identity[0] = '\0';
}

void
coat_table_check(const coat_table *table, const coat_table_query *query, coat_table_answer *out)
{
    COAT_UNSET asked a;

    a.set = coat_table_memo_set(query->memo, query->token);
    clear(out);
    out->verdict = check(table, query, &a, out);
    if (out->verdict != COAT_TABLE_LIVE)
        out->identity[0] = '\0';
    coat_wipe(&a.token, sizeof a.token);
}

coat_table_verdict
coat_table_live(const coat_table *table, coat_span text, int64_t now_ms)
{
    COAT_UNSET found_entry found;
    COAT_UNSET tag_words tags;
    coat_table_place place;
    candidates among;
    coat_limits limits;
    coat_handle handle;
    coat_token token;
    uint64_t epoch_min;

    now_ms = not_before_floor(table, now_ms);
    if (!copy_keys(table->head, &tags))
        return COAT_TABLE_ASK;
    if (coat_token_open(text, &tags.keys, &token) != COAT_OK)
        return COAT_TABLE_REFUSE;
    handle = token.handle;
    coat_token_wipe(&token); /* its secret may be an old one by now: it does not matter here */
    if (!trusted(table, now_ms))
        return COAT_TABLE_ASK;

    epoch_min = atomic_load_explicit(&table->head->epoch_min, memory_order_acquire);
    place = coat_table_place_of(table->hash_key, table->sets, &handle);
    among = locate(table, &place);
    if (!find(table, &among, &handle, &found, NULL))
        return COAT_TABLE_ASK;
    limits = limits_of(&found.image);
    if (coat_limits_judge(&limits, now_ms,
                          coat_table_seen_ms(table->base_s, found.noted, found.seq),
                          epoch_min) != COAT_WHY_LIVE)
        return COAT_TABLE_ASK;
    return COAT_TABLE_LIVE;
}
