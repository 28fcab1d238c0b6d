/* SPDX-License-Identifier: Apache-2.0 */
#include "store/redis/redis.h"

#include "core/out.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

enum { OPEN_PATIENCE_MS = 1000, DEFAULT_PORT = 6379 };

uint64_t
redis_global_seen(redis_store *store, uint64_t epoch)
{
    return remote_raise(&redis_home(store)->global, epoch);
}

void
redis_given_seen(redis_store *store, uint64_t epoch)
{
    (void)remote_raise(&redis_home(store)->given, epoch);
}

static coat_err
refuse(const coat_store_conf *conf, const char *what, const char *why)
{
    if (conf->message != NULL && conf->message_cap > 0)
        (void)snprintf(conf->message, conf->message_cap, "store.url: %s%s%s", what,
                       what[0] != '\0' ? " " : "", why);
    return COAT_INVALID;
}

/* ---- the URL ---- */

static bool
is_known(const char *key, bool of_sentinels)
{
    static const char *const known[] = {"password-file", "ca-file", "cert-file", "key-file",
                                        "server-name",   "prefix",  "db",        "plaintext"};
    static const char *const sentinels[] = {"sentinel-user", "sentinel-password-file"};

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(key, known[i]) == 0)
            return true;
    for (size_t i = 0; of_sentinels && i < sizeof sentinels / sizeof sentinels[0]; i++)
        if (strcmp(key, sentinels[i]) == 0)
            return true;
    return false;
}

static coat_err
check_params(const redis_store *store, const coat_store_conf *conf)
{
    const remote_url *url = &store->url;

    for (size_t i = 0; i < url->param_count; i++)
        if (!is_known(url->params[i].key, store->sentinels.count > 0))
            return refuse(conf, url->params[i].key, "is no parameter of a Redis store");
    return COAT_OK;
}

static bool
parse_db(const char *text, uint32_t *out)
{
    unsigned db = 0;

    if (*text == '\0' || strlen(text) > 4)
        return false;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9')
            return false;
        db = db * 10 + (unsigned)(*text - '0');
    }
    *out = db;
    return true;
}

/** Characters that need no quoting anywhere, and no brace, which would move a key's slot. */
static bool
take_prefix(redis_store *store, const char *prefix)
{
    size_t len = strlen(prefix);

    if (len == 0 || len > REDIS_PREFIX_MAX)
        return false;
    for (size_t i = 0; i < len; i++)
        if (strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.:-",
                   prefix[i]) == NULL)
            return false;
    (void)snprintf(store->prefix, sizeof store->prefix, "%s:", prefix);
    return true;
}

/** A host of the URL that is another machine; NULL: there is none. */
static const char *
other_machine(const redis_store *store)
{
    if (store->sentinels.count > 0)
        return redis_sentinel_remote(&store->sentinels);
    return remote_url_is_local(&store->url) ? NULL : store->url.host;
}

static coat_err
check_place(const remote_url *url, const coat_store_conf *conf, bool socket)
{
    if (socket != (url->host == NULL))
        return refuse(conf, "",
                      socket ? "redis+unix: is followed by a path"
                             : "the host is missing; a socket is redis+unix:/path");
    if (socket && strlen(url->path) > REMOTE_PATH_MAX)
        return refuse(conf, "", "the path of the socket is too long");
    return COAT_OK;
}

static coat_err
check_transport(const redis_store *store, const coat_store_conf *conf, bool tls, bool socket)
{
    const remote_url *url = &store->url;
    const char *plaintext = remote_url_param(url, "plaintext");
    const char *elsewhere = other_machine(store);

    if (check_place(url, conf, socket) != COAT_OK)
        return COAT_INVALID;
    if (plaintext != NULL && strcmp(plaintext, "allowed") != 0)
        return refuse(conf, "plaintext", "can only be \"allowed\"");
    if (plaintext != NULL && tls)
        return refuse(conf, "plaintext", "contradicts rediss:");
    if (!tls && plaintext == NULL && elsewhere != NULL)
        return refuse(
            conf, elsewhere,
            "is another machine: write rediss: for TLS, or ?plaintext=allowed if nobody "
            "else can reach the wire");
    if (!tls && (remote_url_param(url, "ca-file") != NULL ||
                 remote_url_param(url, "cert-file") != NULL ||
                 remote_url_param(url, "key-file") != NULL ||
                 remote_url_param(url, "server-name") != NULL))
        return refuse(conf, "", "certificates need rediss:");
    return COAT_OK;
}

static coat_err
take_tls(redis_store *store, const coat_store_conf *conf)
{
    const remote_url *url = &store->url;
    const char *name = remote_url_param(url, "server-name");
    remote_tls_conf tls = {
        .ca_file = remote_url_param(url, "ca-file"),
        .cert_file = remote_url_param(url, "cert-file"),
        .key_file = remote_url_param(url, "key-file"),
        .name = name != NULL ? name : url->host,
    };
    char why[200] = "TLS cannot be set up";

    if (remote_tls_context_new(&tls, &store->address.tls, why, sizeof why) != COAT_OK)
        return refuse(conf, "", why);
    return COAT_OK;
}

static coat_err
take_secret(const coat_store_conf *conf, const char *file, char *out)
{
    const char *why;

    if (file != NULL && remote_secret_read(file, out, &why) != COAT_OK)
        return refuse(conf, file, why);
    return COAT_OK;
}

static coat_err
take_password(redis_store *store, const coat_store_conf *conf)
{
    const char *file = remote_url_param(&store->url, "password-file");

    if (file == NULL && store->url.user != NULL)
        return refuse(conf, "", "a user needs ?password-file=/path");
    return take_secret(conf, file, store->password);
}

/** What only a store of sentinels has. */
static coat_err
take_sentinels(redis_store *store, const coat_store_conf *conf)
{
    const char *file = remote_url_param(&store->url, "sentinel-password-file");
    redis_sentinels *s = &store->sentinels;

    if (s->count == 0)
        return COAT_OK;
    s->user = remote_url_param(&store->url, "sentinel-user");
    s->server_name = remote_url_param(&store->url, "server-name");
    s->plaintext = remote_url_param(&store->url, "plaintext") != NULL;
    s->tls = store->address.tls;
    if (s->user != NULL && file == NULL)
        return refuse(conf, "sentinel-user", "needs sentinel-password-file=/path");
    return take_secret(conf, file, s->password);
}

void
redis_channel(const redis_store *store, const coat_handle *to, const char *node, char *out)
{
    coat_out channel = coat_out_init(out, REDIS_CHANNEL_MAX);

    coat_out_str(&channel, store->channels);
    coat_out_str(&channel, to != NULL ? "to:" : "changes");
    if (to != NULL)
        coat_out_hex(&channel, to->bytes, sizeof to->bytes);
    if (node[0] != '\0') {
        coat_out_str(&channel, ":");
        coat_out_str(&channel, node);
    }
    (void)coat_out_end(&channel);
}

static coat_err
parse_url(redis_store *store, const coat_store_conf *conf)
{
    const char *why;
    coat_err err = redis_sentinel_is_url(conf->url)
                       ? redis_sentinel_parse(conf->url, &store->sentinels, &store->url, &why)
                       : remote_url_parse(conf->url, &store->url, &why);

    if (err != COAT_OK)
        return refuse(conf, "", why);
    return check_params(store, conf);
}

coat_err
redis_take_url(redis_store *store, const coat_store_conf *conf)
{
    remote_url *url = &store->url;
    const char *prefix, *db;
    bool tls, socket;

    if (parse_url(store, conf) != COAT_OK)
        return COAT_INVALID;
    tls = strncmp(url->scheme, "rediss", 6) == 0;
    socket = strcmp(url->scheme, "redis+unix") == 0;
    prefix = remote_url_param(url, "prefix");
    if (!take_prefix(store, prefix != NULL ? prefix : "coat"))
        return refuse(conf, "prefix", "may have up to 64 letters, digits and _.:-");
    if (check_transport(store, conf, tls, socket) != COAT_OK)
        return COAT_INVALID;
    db = remote_url_param(url, "db");
    if (db == NULL && !socket)
        db = url->path;
    if (db != NULL && *db != '\0' && !parse_db(db, &store->db))
        return refuse(conf, "", "the database is not a number");
    if (take_password(store, conf) != COAT_OK)
        return COAT_INVALID;
    (void)snprintf(store->channels, sizeof store->channels, "%s%u:", store->prefix, store->db);
    store->address.host = url->host;
    store->address.path = socket ? url->path : NULL;
    store->address.port = url->port != 0 ? url->port : DEFAULT_PORT;
    if (tls && take_tls(store, conf) != COAT_OK)
        return COAT_INVALID;
    return take_sentinels(store, conf);
}

/* ---- open and close ---- */

static void
done_nothing(coat_store_req *req)
{
    (void)req;
}

static void
redis_close(coat_store *base)
{
    redis_store *store = (redis_store *)base;

    if (store == NULL)
        return;
    remote_tls_context_free(store->address.tls);
    redis_journal_free(&store->journal);
    remote_store_fini(&store->remote);
    sodium_memzero(store->password, sizeof store->password);
    sodium_memzero(store->sentinels.password, sizeof store->sentinels.password);
    free(store);
}

/**
 * Look once, and say what was found. A store that is not there yet is no failure: it is
 * connected to when it comes (SF-11). One that will never do is not tried in vain, but retried
 * as well: the operator may mend it.
 */
void
redis_look_once(redis_store *store, const coat_store_conf *conf, const coat_store_req *question)
{
    coat_store_req req = *question;
    coat_lane *lane;
    const struct coat_store_ops *ops = store->remote.base.ops;
    coat_err err = ops->lane_open(&store->remote.base, NULL, &lane);

    if (err != COAT_OK || conf->message == NULL || conf->message_cap == 0) {
        if (err == COAT_OK)
            ops->lane_close(lane);
        return;
    }
    req.timeout_ms = OPEN_PATIENCE_MS;
    req.done = done_nothing;
    ops->submit(lane, &req);
    ops->wait(lane, &req);
    ops->lane_close(lane);
    pthread_mutex_lock(&store->remote.mutex);
    if (req.result == COAT_OK)
        (void)snprintf(conf->message, conf->message_cap, "%s", store->notice);
    else
        (void)snprintf(conf->message, conf->message_cap, "the store is not ready: %s",
                       store->trouble[0] != '\0' ? store->trouble : "no answer");
    store->remote.breaker = (remote_breaker){0};
    atomic_store(&store->remote.doubted, false);
    pthread_mutex_unlock(&store->remote.mutex);
}

static bool
is_cluster(const char *url)
{
    return strncmp(url, "redis+cluster:", 14) == 0 || strncmp(url, "rediss+cluster:", 15) == 0;
}

static coat_err
redis_open(const coat_store_conf *conf, coat_store **out)
{
    redis_store *store;
    coat_err err;

    if (is_cluster(conf->url))
        return redis_cluster_open(conf, out);
    store = calloc(1, sizeof *store);
    if (store == NULL)
        return COAT_NO_MEMORY;
    err = remote_store_init(&store->remote, &coat_redis_ops, &redis_kind);
    if (err != COAT_OK) {
        free(store);
        return err;
    }
    err = store->remote.rng(store->remote.rng_ctx, store->self, sizeof store->self);
    if (err == COAT_OK)
        err = redis_take_url(store, conf);
    if (err != COAT_OK) {
        redis_close(&store->remote.base);
        return err;
    }
    redis_look_once(store, conf, &(coat_store_req){.op = COAT_OP_EPOCHS});
    *out = &store->remote.base;
    return COAT_OK;
}

static coat_err
redis_stats(coat_store *base, coat_store_stats *out)
{
    redis_store *store = (redis_store *)base;
    coat_store_stats stats = {
        .sessions = atomic_load(&store->sessions),
        .accounts = atomic_load(&store->accounts),
        .full = atomic_load(&store->full),
        .away = atomic_load(&store->remote.ready) == 0,
    };

    remote_stats_add(&store->remote, &stats);
    redis_describe(store, stats.away, stats.notice, sizeof stats.notice);
    *out = stats;
    return COAT_OK;
}

/* No COAT_CAP_DURABLE: what an acknowledgment is worth is the server's setting, see notice. */
const struct coat_store_ops coat_redis_ops = {
    .abi = COAT_STORE_ABI,
    .caps = COAT_CAP_SHARED | COAT_CAP_ACCOUNTS | COAT_CAP_WATCH,
    .name = "redis",
    .open = redis_open,
    .close = redis_close,
    .lane_open = remote_lane_open,
    .lane_close = remote_lane_close,
    .submit = remote_submit,
    .wait = remote_wait,
    .stats = redis_stats,
    .watch_open = redis_watch_open,
    .watch_close = redis_watch_close,
};
