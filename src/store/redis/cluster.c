/* SPDX-License-Identifier: Apache-2.0 */
/**
 * The URL: redis+cluster://[USER@]HOST[:PORT],HOST[:PORT]...[?KEY=VALUE&..], or rediss+cluster:
 * for TLS. One of the nodes that it names must answer; they say who the others are.
 */

#include "store/redis/cluster.h"

#include <stdio.h>
#include <stdlib.h>

static coat_err
refuse(const coat_store_conf *conf, const char *why)
{
    if (conf->message != NULL && conf->message_cap > 0)
        (void)snprintf(conf->message, conf->message_cap, "store.url: %s", why);
    return COAT_INVALID;
}

/** Each node's URL is that of a single server, put together from these and its address. */
static coat_err
split_url(redis_cluster *cluster, const coat_store_conf *conf, remote_url_list *servers)
{
    const char *colon = strchr(conf->url, ':');

    if (!remote_url_split(conf->url, servers) || strncmp(colon, "://", 3) != 0)
        return refuse(conf, "write redis+cluster://host:port,host:port");
    (void)snprintf(cluster->front, sizeof cluster->front, "%s%.*s",
                   strncmp(conf->url, "rediss", 6) == 0 ? "rediss" : "redis",
                   (int)((const char *)servers->hosts.ptr - colon), colon);
    (void)snprintf(cluster->rest, sizeof cluster->rest, "%s", servers->rest);
    return COAT_OK;
}

/** A server of the list, through the parser of a single one's URL: it says what is wrong. */
static coat_err
add_seed(redis_cluster *cluster, const coat_store_conf *conf, const char *url)
{
    redis_store *home = &cluster->home;
    coat_store_conf of_server = *conf;
    cluster_seat *seat;
    coat_err err = COAT_OK;

    of_server.url = url;
    remote_tls_context_free(home->address.tls);
    home->address.tls = NULL;
    if (redis_take_url(home, &of_server) != COAT_OK)
        return COAT_INVALID;
    if (home->db != 0)
        return refuse(conf, "a cluster has no databases but 0");
    if (strlen(home->url.host) > CLUSTER_HOST_MAX)
        return refuse(conf, "the name of a server is too long");
    pthread_mutex_lock(&home->remote.mutex);
    seat = cluster_seat_find(cluster, home->url.host, home->address.port, &err);
    if (seat != NULL && seat->seed)
        err = refuse(conf, "a server is named twice");
    if (seat != NULL)
        seat->seed = true;
    home->trouble[0] = '\0';
    pthread_mutex_unlock(&home->remote.mutex);
    return err;
}

static coat_err
add_seeds(redis_cluster *cluster, const coat_store_conf *conf)
{
    remote_url_list servers;
    coat_err err = split_url(cluster, conf, &servers);
    char url[REMOTE_URL_MAX + 1];

    for (size_t count = 0; err == COAT_OK && remote_url_next(&servers, url); count++)
        err = count < CLUSTER_SEEDS_MAX
                  ? add_seed(cluster, conf, url)
                  : refuse(conf, "it names more than 32 servers; a few will do");
    return err;
}

static void
cluster_close(coat_store *base)
{
    redis_cluster *cluster = (redis_cluster *)(void *)base;

    if (cluster == NULL)
        return;
    for (uint32_t i = 0; i < cluster->seat_count; i++)
        cluster_seat_free(cluster->seats[i]);
    remote_tls_context_free(cluster->home.address.tls);
    redis_journal_free(&cluster->home.journal);
    remote_store_fini(&cluster->home.remote);
    sodium_memzero(cluster->home.password, sizeof cluster->home.password);
    free(cluster);
}

/** Of each node that has something to be said of it, what that is. Under the mutex. */
static void
write_notice(const redis_cluster *cluster, coat_out *out)
{
    for (uint32_t i = 0; i < cluster->seat_count; i++) {
        cluster_seat *seat = cluster->seats[i];
        redis_store *store = &seat->store;
        const char *text;

        if (!seat->named && !seat->seed)
            continue;
        pthread_mutex_lock(&store->remote.mutex);
        text = store->notice; /* of when it was last greeted */
        if (atomic_load(&store->remote.ready) == 0 && store->trouble[0] != '\0')
            text = store->trouble;
        if (text[0] == '\0')
            text = store->watches.trouble;
        if (!seat->named && cluster->epoch != 0)
            text = ""; /* one of the URL that is no primary need not be there */
        if (text[0] != '\0') {
            coat_out_str(out, out->len > 0 ? "; " : "");
            coat_out_str(out, seat->name);
            coat_out_str(out, ": ");
            coat_out_str(out, text);
        }
        pthread_mutex_unlock(&store->remote.mutex);
    }
    if (cluster->home.trouble[0] != '\0') {
        coat_out_str(out, out->len > 0 ? "; " : "");
        coat_out_str(out, cluster->home.trouble);
    }
}

static coat_err
cluster_stats(coat_store *base, coat_store_stats *out)
{
    redis_cluster *cluster = (redis_cluster *)(void *)base;
    coat_store_stats stats = {.away = true};
    coat_out notice = coat_out_init(stats.notice, sizeof stats.notice);

    for (int op = 0; op < 16; op++)
        stats.operations[op] = atomic_load(&cluster->operations[op]);
    pthread_mutex_lock(&cluster->home.remote.mutex);
    for (uint32_t i = 0; i < cluster->seat_count; i++) {
        redis_store *store = &cluster->seats[i]->store;

        stats.away = stats.away && atomic_load(&store->remote.ready) == 0;
        stats.unreadable += atomic_load(&store->remote.unreadable);
        stats.full = stats.full || atomic_load(&store->full);
    }
    for (size_t b = 0; b < CLUSTER_BUCKETS; b++) {
        stats.sessions += cluster->sessions[b];
        stats.accounts += cluster->accounts[b];
    }
    write_notice(cluster, &notice);
    pthread_mutex_unlock(&cluster->home.remote.mutex);
    (void)coat_out_end(&notice);
    *out = stats;
    return COAT_OK;
}

static const struct coat_store_ops cluster_ops = {
    .abi = COAT_STORE_ABI,
    .caps = COAT_CAP_WATCH | COAT_CAP_SHARED | COAT_CAP_ACCOUNTS,
    .name = "redis+cluster",
    .open = redis_cluster_open,
    .close = cluster_close,
    .lane_open = cluster_lane_open,
    .lane_close = cluster_lane_close,
    .submit = cluster_submit,
    .wait = cluster_wait,
    .stats = cluster_stats,
    .watch_open = cluster_watch_open,
    .watch_close = cluster_watch_close,
};

static void
item_nothing(coat_store_req *req, const coat_store_item *item)
{
    (void)req;
    (void)item;
}

/** Ask all nodes once, so that it can be said what was found: what is away is connected to when
 * it comes (SF-11). */
static void
look_once(redis_cluster *cluster, const coat_store_conf *conf)
{
    redis_store *home = &cluster->home;
    coat_store_stats stats;

    redis_look_once(
        home, conf,
        &(coat_store_req){
            .op = COAT_OP_SCAN, .space = COAT_SPACE_META, .limit = 1, .item = item_nothing});
    if (conf->message == NULL || conf->message_cap == 0)
        return;
    (void)cluster_stats(&home->remote.base, &stats);
    pthread_mutex_lock(&home->remote.mutex);
    (void)snprintf(
        conf->message, conf->message_cap, "%s%s",
        atomic_load(&cluster->generation) > 0 ? "" : "the store is not ready: ", stats.notice);
    for (uint32_t i = 0; i < cluster->seat_count; i++) {
        remote_store *remote = &cluster->seats[i]->store.remote;

        pthread_mutex_lock(&remote->mutex);
        remote->breaker = (remote_breaker){0};
        atomic_store(&remote->doubted, false);
        pthread_mutex_unlock(&remote->mutex);
    }
    pthread_mutex_unlock(&home->remote.mutex);
}

coat_err
redis_cluster_open(const coat_store_conf *conf, coat_store **out)
{
    redis_cluster *cluster = calloc(1, sizeof *cluster);
    redis_store *home;
    coat_err err;

    if (cluster == NULL)
        return COAT_NO_MEMORY;
    home = &cluster->home;
    err = remote_store_init(&home->remote, &cluster_ops, &redis_kind);
    if (err != COAT_OK) {
        free(cluster);
        return err;
    }
    cluster_buckets_make(&cluster->buckets);
    memset(cluster->seat_of, CLUSTER_NOBODY, sizeof cluster->seat_of);
    cluster->pending = (1U << CLUSTER_GROUP) - 1;
    cluster->installations = 1;
    err = home->remote.rng(home->remote.rng_ctx, home->self, sizeof home->self);
    if (err == COAT_OK)
        err = add_seeds(cluster, conf);
    if (err != COAT_OK) {
        cluster_close(&home->remote.base);
        return err;
    }
    look_once(cluster, conf);
    *out = &home->remote.base;
    return COAT_OK;
}
