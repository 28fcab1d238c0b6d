/* SPDX-License-Identifier: Apache-2.0 */
#include "account/limiter.h"

#include "core/bytes.h"
#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>

/*
 * Events of the last minute are counted in slices of 15 s, so that no 60 s, wherever they
 * begin, hold more than the limit. Per family a set-associative table of 65,536 networks:
 *
 * - A network that is at its limit (penalized) is never pushed out.
 * - Otherwise the one that was quiet longest makes room; it loses less than a full count.
 * - If all of a set are penalized, further networks of that set count together in one entry of
 *   the family, with the limit of a wide network: bounded, and never unlimited.
 */
enum {
    SLICE_MS = 15000,
    SLICES = 5,
    WAYS = 8,
    SETS = COAT_LIMITER_TRACKED / WAYS,
    FAMILIES = 2,
    DISTINCT_S = 600,
};

typedef struct network {
    uint64_t key; /* 0: free */
    uint64_t slice;
    uint16_t counts[SLICES]; /* [slice % SLICES] is the current one */
    bool reported;           /* `first` was given for the limit that holds now */
} network;

typedef struct failed {
    uint32_t account, at_s; /* 0: free */
} failed;

typedef struct family {
    network *networks; /* COAT_LIMITER_TRACKED, then one for overflow */
    failed *failed;    /* distinct_max for each */
} family;

struct coat_limiter {
    pthread_mutex_t lock;
    uint8_t key[crypto_shorthash_KEYBYTES];
    coat_limiter_conf conf;
    uint32_t distinct_room;
    int64_t last_ms, offset_ms;
    family families[FAMILIES];
};

coat_err
coat_limiter_new(const coat_limiter_conf *conf, coat_limiter **out)
{
    coat_limiter *limiter;

    if (conf->per_minute == 0 || conf->per_minute > UINT16_MAX / COAT_LIMITER_WIDE ||
        conf->distinct_max > COAT_LIMITER_DISTINCT_MAX)
        return COAT_INVALID;
    limiter = calloc(1, sizeof *limiter);
    if (limiter == NULL)
        return COAT_NO_MEMORY;
    if (coat_rng_system(NULL, limiter->key, sizeof limiter->key) != COAT_OK) {
        free(limiter);
        return COAT_RNG_FAILED;
    }
    (void)pthread_mutex_init(&limiter->lock, NULL);
    limiter->conf = *conf;
    limiter->distinct_room = conf->distinct_max;
    for (unsigned i = 0; i < FAMILIES; i++) {
        family *f = &limiter->families[i];

        /* Untouched pages of calloc cost nothing: memory follows the networks seen. */
        f->networks = calloc(COAT_LIMITER_TRACKED + 1, sizeof *f->networks);
        if (conf->distinct_max > 0)
            f->failed = calloc((size_t)(COAT_LIMITER_TRACKED + 1) * conf->distinct_max,
                               sizeof *f->failed);
        if (f->networks == NULL || (conf->distinct_max > 0 && f->failed == NULL)) {
            coat_limiter_free(limiter);
            return COAT_NO_MEMORY;
        }
    }
    *out = limiter;
    return COAT_OK;
}

void
coat_limiter_free(coat_limiter *limiter)
{
    if (limiter == NULL)
        return;
    for (unsigned i = 0; i < FAMILIES; i++) {
        free(limiter->families[i].networks);
        free(limiter->families[i].failed);
    }
    (void)pthread_mutex_destroy(&limiter->lock);
    sodium_memzero(limiter->key, sizeof limiter->key);
    free(limiter);
}

void
coat_limiter_configure(coat_limiter *limiter, const coat_limiter_conf *conf)
{
    (void)pthread_mutex_lock(&limiter->lock);
    if (conf->per_minute > 0 && conf->per_minute <= UINT16_MAX / COAT_LIMITER_WIDE)
        limiter->conf.per_minute = conf->per_minute;
    if (conf->distinct_max > 0 && conf->distinct_max <= limiter->distinct_room)
        limiter->conf.distinct_max = conf->distinct_max;
    (void)pthread_mutex_unlock(&limiter->lock);
}

size_t
coat_limiter_bytes(const coat_limiter *limiter)
{
    size_t each = sizeof(network) + limiter->distinct_room * sizeof(failed);

    return sizeof *limiter + FAMILIES * (COAT_LIMITER_TRACKED + 1) * each;
}

/* Time that never runs backward: a clock that is set back neither lifts nor prolongs. */
static int64_t
limiter_now(coat_limiter *limiter, int64_t now_ms)
{
    int64_t now = now_ms + limiter->offset_ms;

    if (now < limiter->last_ms) {
        limiter->offset_ms += limiter->last_ms - now;
        now = limiter->last_ms;
    }
    limiter->last_ms = now;
    return now;
}

static void
network_age(network *n, int64_t now_ms)
{
    uint64_t slice = (uint64_t)now_ms / SLICE_MS;

    if (slice - n->slice >= SLICES)
        memset(n->counts, 0, sizeof n->counts);
    else
        for (uint64_t s = n->slice + 1; s <= slice; s++)
            n->counts[s % SLICES] = 0;
    n->slice = slice;
}

static uint32_t
network_sum(const network *n)
{
    uint32_t sum = 0;

    for (unsigned i = 0; i < SLICES; i++)
        sum += n->counts[i];
    return sum;
}

/* Seconds until enough of the oldest slices have passed to be below the limit; 0: it is. */
static uint32_t
network_left_s(const network *n, uint32_t limit, int64_t now_ms)
{
    uint32_t sum = network_sum(n);

    for (unsigned k = 0; k < SLICES; k++) {
        if (sum < limit)
            return k == 0
                       ? 0
                       : (uint32_t)((((int64_t)n->slice + k) * SLICE_MS - now_ms + 999) / 1000);
        sum -= n->counts[(n->slice + 1 + k) % SLICES];
    }
    return (uint32_t)((((int64_t)n->slice + SLICES) * SLICE_MS - now_ms + 999) / 1000);
}

/* One place of the tables, and what holds for it. */
typedef struct place {
    network *network;
    failed *failed; /* NULL: distinct accounts are not counted here */
    uint32_t limit;
} place;

static uint32_t
failed_left_s(const coat_limiter *limiter, const failed *list, int64_t now_ms)
{
    uint32_t now_s = (uint32_t)(now_ms / 1000), oldest = UINT32_MAX, live = 0;

    if (list == NULL || limiter->conf.distinct_max == 0)
        return 0;
    for (uint32_t i = 0; i < limiter->conf.distinct_max; i++) {
        if (list[i].at_s == 0 || now_s - list[i].at_s >= DISTINCT_S)
            continue;
        live++;
        oldest = list[i].at_s < oldest ? list[i].at_s : oldest;
    }
    return live < limiter->conf.distinct_max ? 0 : oldest + DISTINCT_S - now_s;
}

static uint32_t
place_left_s(const coat_limiter *limiter, const place *p, int64_t now_ms)
{
    uint32_t left = p->network != NULL ? network_left_s(p->network, p->limit, now_ms) : 0;
    uint32_t distinct = failed_left_s(limiter, p->failed, now_ms);

    return left > distinct ? left : distinct;
}

static place
place_at(coat_limiter *limiter, unsigned fam, size_t index, bool wide)
{
    family *f = &limiter->families[fam];
    bool shared = index == COAT_LIMITER_TRACKED;
    place p = {.network = &f->networks[index]};

    p.limit = limiter->conf.per_minute * (wide || shared ? COAT_LIMITER_WIDE : 1);
    if (f->failed != NULL && !wide && !shared)
        p.failed = &f->failed[index * limiter->distinct_room];
    return p;
}

/* Is anything known here that still counts? Wide or not is part of the key's lowest bit. */
static bool
place_penalized(coat_limiter *limiter, unsigned fam, size_t index, int64_t now_ms)
{
    place p =
        place_at(limiter, fam, index, (limiter->families[fam].networks[index].key & 1) != 0);

    network_age(p.network, now_ms);
    return place_left_s(limiter, &p, now_ms) > 0;
}

static place
place_claim(coat_limiter *limiter, unsigned fam, size_t index, uint64_t key)
{
    place p = place_at(limiter, fam, index, (key & 1) != 0);

    memset(p.network, 0, sizeof *p.network);
    if (limiter->families[fam].failed != NULL)
        memset(&limiter->families[fam].failed[index * limiter->distinct_room], 0,
               limiter->distinct_room * sizeof(failed));
    p.network->key = key;
    return p;
}

/* The network's place: its own, a free or given-up one, or the shared one. Without `claim`,
 * network is NULL for one that is not known but would find room. */
static place
place_find(coat_limiter *limiter, unsigned fam, uint64_t key, int64_t now_ms, bool claim)
{
    size_t set = (size_t)(key >> 1) % SETS * WAYS, victim = COAT_LIMITER_TRACKED;
    uint64_t oldest = UINT64_MAX;
    network *networks = limiter->families[fam].networks;
    place p;

    for (size_t i = set; i < set + WAYS; i++)
        if (networks[i].key == key) {
            p = place_at(limiter, fam, i, (key & 1) != 0);
            network_age(p.network, now_ms);
            return p;
        }
    for (size_t i = set; i < set + WAYS; i++) {
        uint64_t slice = networks[i].key == 0 ? 0 : networks[i].slice + 1;

        if (slice < oldest && (slice == 0 || !place_penalized(limiter, fam, i, now_ms))) {
            oldest = slice;
            victim = i;
        }
    }
    if (victim != COAT_LIMITER_TRACKED && !claim)
        return (place){.network = NULL};
    p = victim == COAT_LIMITER_TRACKED ? place_at(limiter, fam, victim, true)
                                       : place_claim(limiter, fam, victim, key);
    network_age(p.network, now_ms);
    return p;
}

static uint64_t
network_key(const coat_limiter *limiter, coat_address address, bool wide)
{
    uint8_t digest[crypto_shorthash_BYTES];
    uint64_t key;

    coat_address_mask(&address, wide ? 24 : 32, wide ? 48 : 64);
    (void)crypto_shorthash(digest, address.bytes, sizeof address.bytes, limiter->key);
    key = coat_load64(digest) & ~(uint64_t)1;
    return (key == 0 ? 2 : key) | wide;
}

typedef struct places {
    place narrow, wide;
    uint32_t left_s;
} places;

static places
places_of(coat_limiter *limiter, const coat_address *address, int64_t now_ms, bool claim)
{
    unsigned fam = coat_address_is_v4(address) ? 0 : 1;
    uint64_t narrow_key = network_key(limiter, *address, false);
    uint64_t wide_key = network_key(limiter, *address, true);
    uint32_t wide_left;
    places p;

    /* Claiming the second place may push out the first: then look for it again, and take what
     * is found. The order makes the narrow one, which matters more, the survivor. */
    p.wide = place_find(limiter, fam, wide_key, now_ms, claim);
    p.narrow = place_find(limiter, fam, narrow_key, now_ms, claim);
    if (p.narrow.network == p.wide.network)
        p.wide = p.narrow;
    p.left_s = place_left_s(limiter, &p.narrow, now_ms);
    wide_left = place_left_s(limiter, &p.wide, now_ms);
    if (wide_left > p.left_s)
        p.left_s = wide_left;
    return p;
}

/* True once per period at the limit; a place below its limit may report again. */
static bool
places_report(coat_limiter *limiter, places *p, int64_t now_ms)
{
    bool narrow = place_left_s(limiter, &p->narrow, now_ms) > 0;
    bool wide = place_left_s(limiter, &p->wide, now_ms) > 0;
    bool first =
        (narrow && !p->narrow.network->reported) || (wide && !p->wide.network->reported);

    p->narrow.network->reported = narrow;
    p->wide.network->reported = wide;
    return first;
}

static void
place_count(place *p)
{
    uint16_t *count = &p->network->counts[p->network->slice % SLICES];

    if (*count < UINT16_MAX)
        (*count)++;
}

uint32_t
coat_limiter_hit(coat_limiter *limiter, const coat_address *address, int64_t now_ms,
                 bool *first)
{
    places p;

    *first = false;
    if (!address->known)
        return 0;
    (void)pthread_mutex_lock(&limiter->lock);
    now_ms = limiter_now(limiter, now_ms);
    p = places_of(limiter, address, now_ms, true);
    if (p.left_s > 0) {
        *first = places_report(limiter, &p, now_ms);
    } else {
        p.narrow.network->reported = false;
        p.wide.network->reported = false;
        place_count(&p.narrow);
        if (p.wide.network != p.narrow.network)
            place_count(&p.wide);
    }
    (void)pthread_mutex_unlock(&limiter->lock);
    return p.left_s;
}

uint32_t
coat_limiter_ask(coat_limiter *limiter, const coat_address *address, int64_t now_ms)
{
    places p;

    if (!address->known)
        return 0;
    (void)pthread_mutex_lock(&limiter->lock);
    now_ms = limiter_now(limiter, now_ms);
    p = places_of(limiter, address, now_ms, false);
    (void)pthread_mutex_unlock(&limiter->lock);
    return p.left_s;
}

static void
failed_note(const coat_limiter *limiter, failed *list, uint32_t account, int64_t now_ms)
{
    uint32_t now_s = (uint32_t)(now_ms / 1000);
    failed *room = NULL;

    for (uint32_t i = 0; i < limiter->conf.distinct_max; i++) {
        bool live = list[i].at_s != 0 && now_s - list[i].at_s < DISTINCT_S;

        if (live && list[i].account == account) {
            list[i].at_s = now_s;
            return;
        }
        if (!live)
            room = &list[i];
    }
    if (room != NULL)
        *room = (failed){account, now_s > 0 ? now_s : 1};
}

uint32_t
coat_limiter_failed(coat_limiter *limiter, const coat_address *address, uint64_t account_hash,
                    int64_t now_ms, bool *first)
{
    uint32_t left;
    places p;

    *first = false;
    if (!address->known)
        return 0;
    (void)pthread_mutex_lock(&limiter->lock);
    now_ms = limiter_now(limiter, now_ms);
    p = places_of(limiter, address, now_ms, true);
    if (p.narrow.failed != NULL && limiter->conf.distinct_max > 0) {
        failed_note(limiter, p.narrow.failed, (uint32_t)(account_hash ^ account_hash >> 32),
                    now_ms);
        p.left_s = place_left_s(limiter, &p.narrow, now_ms);
        *first = p.left_s > 0 && places_report(limiter, &p, now_ms);
    }
    left = p.left_s;
    (void)pthread_mutex_unlock(&limiter->lock);
    return left;
}
