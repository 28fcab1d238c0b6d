/* SPDX-License-Identifier: Apache-2.0 */
#include "store/remote/remote.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { RING_LEAST = 64 };

/* Goes on while the machine sleeps: what was asked before is late afterwards. */
static int64_t
boot_time_ms(void *ctx)
{
    struct timespec now;

    (void)ctx;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

coat_err
remote_store_init(remote_store *store, const struct coat_store_ops *ops,
                  const struct remote_kind *kind)
{
    store->base.ops = ops;
    store->kind = kind;
    store->links = 2;
    store->flight_max = REMOTE_WAITING_MAX;
    store->monotonic = boot_time_ms;
    store->rng = coat_rng_system;
    return pthread_mutex_init(&store->mutex, NULL) == 0 ? COAT_OK : COAT_NO_MEMORY;
}

void
remote_store_fini(remote_store *store)
{
    pthread_mutex_destroy(&store->mutex);
}

int64_t
remote_now_ms(const remote_store *store)
{
    return store->monotonic(store->monotonic_ctx);
}

/** Spreads attempts, protects nothing: without randomness they merely come together. */
uint32_t
remote_random(const remote_store *store)
{
    uint8_t bytes[4];

    return store->rng(store->rng_ctx, bytes, sizeof bytes) == COAT_OK ? coat_load32(bytes) : 0;
}

void
remote_note_good(remote_store *store)
{
    if (!atomic_load_explicit(&store->doubted, memory_order_relaxed))
        return;
    pthread_mutex_lock(&store->mutex);
    remote_breaker_good(&store->breaker);
    atomic_store(&store->doubted, false);
    pthread_mutex_unlock(&store->mutex);
}

void
remote_note_bad(remote_store *store)
{
    int64_t now_ms = remote_now_ms(store);
    uint32_t random = remote_random(store);

    pthread_mutex_lock(&store->mutex);
    remote_breaker_bad(&store->breaker, now_ms, random);
    atomic_store(&store->doubted, true);
    pthread_mutex_unlock(&store->mutex);
}

uint64_t
remote_raise(_Atomic uint64_t *highest, uint64_t seen)
{
    uint64_t before = atomic_load(highest);

    while (seen > before && !atomic_compare_exchange_weak(highest, &before, seen)) {
    }
    return seen > before ? seen : before;
}

void
remote_stats_add(remote_store *store, coat_store_stats *stats)
{
    stats->unreadable += atomic_load(&store->unreadable);
    for (int op = 0; op < 16; op++)
        stats->operations[op] += atomic_load(&store->operations[op]);
}

void *
remote_ring_grow(void *ring, size_t each, size_t *first, size_t *cap)
{
    size_t wanted = *cap == 0 ? RING_LEAST : *cap * 2, tail = *cap - *first;
    uint8_t *grown = reallocarray(NULL, wanted, each);

    if (grown == NULL)
        return NULL;
    if (*cap > 0) {
        memcpy(grown, (uint8_t *)ring + *first * each, tail * each);
        memcpy(grown + tail * each, ring, *first * each);
    }
    free(ring);
    *first = 0;
    *cap = wanted;
    return grown;
}

void
remote_line(char *out, size_t cap, const char *words)
{
    if (words != out)
        (void)snprintf(out, cap, "%s", words);
    for (char *c = out; *c != '\0'; c++)
        if (*c < 0x20 || *c >= 0x7f)
            *c = *c == '\n' ? ' ' : '?';
    for (size_t len = strlen(out); len > 0 && out[len - 1] == ' '; len--)
        out[len - 1] = '\0';
}

void
remote_notice_add(char *notice, size_t cap, const char *more)
{
    size_t len = strlen(notice);

    if (more[0] != '\0')
        (void)snprintf(notice + len, cap - len, "%s%s", len > 0 ? "; " : "", more);
}
