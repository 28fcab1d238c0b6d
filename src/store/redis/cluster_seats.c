/* SPDX-License-Identifier: Apache-2.0 */
/**
 * Nodes have seats: each address that the URL or the cluster names. One that is named no more
 * keeps its seat, and what is in doubt about it, until there is no room; its connections are
 * dropped at once.
 */

#include "store/redis/cluster.h"

#include <stdio.h>
#include <stdlib.h>

static int64_t
home_clock(void *ctx)
{
    redis_cluster *cluster = ctx;

    return remote_now_ms(&cluster->home.remote);
}

void
cluster_seat_free(cluster_seat *seat)
{
    remote_tls_context_free(seat->store.address.tls);
    remote_store_fini(&seat->store.remote);
    sodium_memzero(seat->store.password, sizeof seat->store.password);
    free(seat);
}

/** What was said of the URL's servers holds for all: TLS, its authorities, the password. */
static coat_err
take_url(redis_cluster *cluster, cluster_seat *seat)
{
    bool six = strchr(seat->host, ':') != NULL;
    char url[2 * REMOTE_URL_MAX + CLUSTER_HOST_MAX + 16];
    coat_store_conf conf = {.url = url,
                            .message = cluster->home.trouble,
                            .message_cap = sizeof cluster->home.trouble};

    (void)snprintf(url, sizeof url, "%s%s%s%s:%u%s", cluster->front, six ? "[" : "", seat->host,
                   six ? "]" : "", seat->port, cluster->rest);
    return redis_take_url(&seat->store, &conf);
}

static coat_err
make_seat(redis_cluster *cluster, const char *host, uint16_t port, cluster_seat **out)
{
    remote_store *home = &cluster->home.remote;
    cluster_seat *seat = calloc(1, sizeof *seat);
    redis_store *store;
    coat_err err;

    if (seat == NULL)
        return COAT_NO_MEMORY;
    store = &seat->store;
    err = remote_store_init(&store->remote, home->base.ops, &redis_kind);
    if (err != COAT_OK) {
        free(seat);
        return err;
    }
    store->remote.monotonic = home_clock;
    store->remote.monotonic_ctx = cluster;
    store->remote.rng = home->rng;
    store->remote.rng_ctx = home->rng_ctx;
    store->cluster = cluster;
    store->home = &cluster->home;
    memcpy(store->self, cluster->home.self, sizeof store->self);
    (void)snprintf(seat->host, sizeof seat->host, "%s", host);
    seat->port = port;
    (void)snprintf(seat->name, sizeof seat->name, "%s:%u", host, port);
    err = take_url(cluster, seat);
    if (err != COAT_OK) {
        cluster_seat_free(seat);
        return err;
    }
    *out = seat;
    return COAT_OK;
}

/** @return the number of a free seat; CLUSTER_SEATS_MAX: there is none */
static uint32_t
free_seat(redis_cluster *cluster)
{
    uint32_t i = 0;

    if (cluster->seat_count < CLUSTER_SEATS_MAX)
        return cluster->seat_count++;
    while (i < CLUSTER_SEATS_MAX && (cluster->seats[i]->named || cluster->seats[i]->seed ||
                                     cluster->seats[i]->users > 0 ||
                                     cluster->seats[i]->marked == cluster->installations))
        i++;
    if (i < CLUSTER_SEATS_MAX)
        cluster_seat_free(cluster->seats[i]);
    return i;
}

cluster_seat *
cluster_seat_find(redis_cluster *cluster, const char *host, uint16_t port, coat_err *err)
{
    cluster_seat *seat;
    uint32_t at;

    for (uint32_t i = 0; i < cluster->seat_count; i++)
        if (cluster->seats[i]->port == port && strcmp(cluster->seats[i]->host, host) == 0)
            return cluster->seats[i];
    *err = make_seat(cluster, host, port, &seat);
    if (*err != COAT_OK)
        return NULL;
    at = free_seat(cluster);
    if (at == CLUSTER_SEATS_MAX) {
        cluster_seat_free(seat);
        *err = COAT_TOO_MANY;
        return NULL;
    }
    cluster->seats[at] = seat;
    return seat;
}

/** It serves no more, or serves again: connections from before are dropped. */
static void
new_era(redis_store *store)
{
    pthread_mutex_lock(&store->remote.mutex);
    remote_server_drop(&store->watches);
    pthread_mutex_unlock(&store->remote.mutex);
}

static uint8_t
number_of(const redis_cluster *cluster, const cluster_seat *seat)
{
    for (uint32_t i = 0; i < cluster->seat_count; i++)
        if (cluster->seats[i] == seat)
            return (uint8_t)i;
    return CLUSTER_NOBODY;
}

/** Find a seat for each primary. @return one of them is another node now */
static bool
seat_primaries(redis_cluster *cluster, const cluster_topology *topology, uint8_t *seats)
{
    bool changed = false;

    for (size_t i = 0; i < topology->count; i++) {
        const cluster_primary *p = &topology->primaries[i];
        coat_err err;
        cluster_seat *seat = cluster_seat_find(cluster, p->host, p->port, &err);

        seats[i] = seat != NULL ? number_of(cluster, seat) : CLUSTER_NOBODY;
        if (seat == NULL)
            continue;
        seat->marked = cluster->installations;
        if (seat->named && memcmp(seat->id, p->id, sizeof seat->id) != 0) {
            new_era(&seat->store); /* links publish by the name that they were greeted with */
            changed = true;
        }
        memcpy(seat->id, p->id, sizeof seat->id);
    }
    return changed;
}

bool
cluster_install(redis_cluster *cluster, const cluster_topology *topology, uint64_t epoch)
{
    uint8_t seats[CLUSTER_PRIMARIES_MAX], seat_of[CLUSTER_BUCKETS];
    uint64_t shape = cluster_shape(topology, epoch);
    bool changed;

    if (epoch < cluster->epoch)
        return false;
    cluster->epoch = epoch;
    cluster->installations++;
    changed = seat_primaries(cluster, topology, seats);
    for (size_t b = 0; b < CLUSTER_BUCKETS; b++)
        seat_of[b] = topology->primary_of[b] < topology->count ? seats[topology->primary_of[b]]
                                                               : CLUSTER_NOBODY;
    changed = changed || memcmp(seat_of, cluster->seat_of, sizeof seat_of) != 0;
    memcpy(cluster->seat_of, seat_of, sizeof seat_of);
    for (uint32_t i = 0; i < cluster->seat_count; i++) {
        cluster_seat *seat = cluster->seats[i];
        bool named = seat->marked == cluster->installations;

        if (seat->named == named)
            continue;
        seat->named = named;
        new_era(&seat->store);
        changed = true;
    }
    if (changed || shape != cluster->shape)
        cluster_watches_lose(cluster);
    cluster->shape = shape;
    if (changed || atomic_load(&cluster->generation) == 0)
        atomic_fetch_add(&cluster->generation, 1);
    return true;
}
