/* SPDX-License-Identifier: Apache-2.0 */
#include "server/http/internal.h"

#include <sodium.h>
#include <stdlib.h>

/*
 * Open connections per IPv4 address or IPv6 /64. Fixed in size: at most one entry per open
 * connection, in a table twice as large, so probing ends. Keyed hash, because the addresses are
 * the attacker's (RX-5). One lock: it is taken once when a connection opens and once when it
 * ends.
 */

typedef struct entry {
    uint8_t network[8]; /* IPv4 with a marker, or the first half of an IPv6 address */
    uint32_t count;     /* 0: free, but probing goes on if used */
    bool used;
} entry;

struct coat_sources {
    uv_mutex_t lock;
    uint8_t key[crypto_shorthash_KEYBYTES];
    uint32_t slots, limit; /* slots: power of two */
    entry *entries;
};

coat_err
coat_sources_new(uint32_t connections, uint32_t limit, coat_sources **out)
{
    coat_sources *sources = calloc(1, sizeof *sources);
    uint32_t slots = 64;

    if (sources == NULL)
        return COAT_NO_MEMORY;
    /* Not libsodium's, which ends the process where there is none to be had. */
    if (coat_rng_system(NULL, sources->key, sizeof sources->key) != COAT_OK) {
        free(sources);
        return COAT_RNG_FAILED;
    }
    while (slots < 2 * (uint64_t)connections && slots < 1u << 24)
        slots *= 2;
    sources->entries = calloc(slots, sizeof *sources->entries);
    if (sources->entries == NULL || uv_mutex_init(&sources->lock) != 0) {
        free(sources->entries);
        free(sources);
        return COAT_NO_MEMORY;
    }
    sources->slots = slots;
    sources->limit = limit;
    *out = sources;
    return COAT_OK;
}

void
coat_sources_free(coat_sources *sources)
{
    if (sources == NULL)
        return;
    uv_mutex_destroy(&sources->lock);
    free(sources->entries);
    free(sources);
}

static void
network_of(const coat_address *address, uint8_t network[8])
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

    memcpy(network, address->bytes, 8);
    if (memcmp(address->bytes, mapped, sizeof mapped) != 0)
        return;
    /* ::ffff:0:0/96 lies in ::/64, which no real peer has: the address takes its place. */
    memcpy(network, "IPv4", 4);
    memcpy(network + 4, address->bytes + 12, 4);
}

/* The entry of the network, or the first free one; NULL: the table is full. */
static entry *
find(coat_sources *sources, const uint8_t network[8])
{
    uint8_t hash[crypto_shorthash_BYTES];
    entry *free_entry = NULL;
    uint64_t at;

    (void)crypto_shorthash(hash, network, 8, sources->key);
    at = coat_load64(hash);
    for (uint32_t i = 0; i < sources->slots; i++) {
        entry *e = &sources->entries[(at + i) & (sources->slots - 1)];

        if (e->count > 0 && memcmp(e->network, network, 8) == 0)
            return e;
        if (e->count == 0 && free_entry == NULL)
            free_entry = e;
        if (!e->used)
            break;
    }
    return free_entry;
}

uint32_t
coat_sources_take(coat_sources *sources, const coat_address *address, bool *allowed)
{
    uint8_t network[8];
    uint32_t slot = 0;
    entry *e;

    *allowed = true;
    if (sources == NULL || sources->limit == 0)
        return 0;
    network_of(address, network);
    uv_mutex_lock(&sources->lock);
    e = find(sources, network);
    if (e == NULL || e->count >= sources->limit) {
        *allowed = false;
    } else {
        memcpy(e->network, network, sizeof network);
        e->used = true;
        e->count++;
        slot = (uint32_t)(e - sources->entries) + 1;
    }
    uv_mutex_unlock(&sources->lock);
    return slot;
}

/* Marks that only keep probing going, and behind which nothing is left, are taken away. */
static void
clean_behind(coat_sources *sources, uint32_t at)
{
    uint32_t mask = sources->slots - 1;

    if (sources->entries[(at + 1) & mask].used)
        return;
    while (sources->entries[at].used && sources->entries[at].count == 0) {
        sources->entries[at].used = false;
        at = (at - 1) & mask;
    }
}

void
coat_sources_give(coat_sources *sources, uint32_t slot)
{
    if (sources == NULL || slot == 0)
        return;
    uv_mutex_lock(&sources->lock);
    if (--sources->entries[slot - 1].count == 0)
        clean_behind(sources, slot - 1);
    uv_mutex_unlock(&sources->lock);
}
