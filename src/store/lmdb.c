/* SPDX-License-Identifier: Apache-2.0 */
#include "store/lmdb_store.h"

#include "store/find.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { STORE_FORMAT = 1 };

static const uint64_t default_map = (uint64_t)64 << 30;
static const uint64_t default_reserve = (uint64_t)16 << 20;

static const char *const map_names[COAT_MAP_COUNT] = {
    [COAT_MAP_SESSION] = "sessions", [COAT_MAP_INDEX] = "index", [COAT_MAP_OWNER] = "owners",
    [COAT_MAP_ACCOUNT] = "accounts", [COAT_MAP_META] = "meta",   [COAT_MAP_INFO] = "info",
};

coat_err
lmdb_err(int rc)
{
    switch (rc) {
    case 0:
        return COAT_OK;
    case MDB_NOTFOUND:
        return COAT_NOT_FOUND;
    case MDB_MAP_FULL:
    case MDB_TXN_FULL:
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return COAT_STORE_FULL;
    case ENOMEM:
        return COAT_NO_MEMORY;
    default:
        return COAT_IO;
    }
}

int64_t
lmdb_monotonic_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static coat_err
open_env(lmdb_store *store, const coat_store_conf *conf, const char *path)
{
    MDB_stat stat;
    MDB_envinfo info;
    int dead, rc = mdb_env_create(&store->env);

    if (rc == 0)
        rc = mdb_env_set_mapsize(store->env, store->map_bytes);
    if (rc == 0)
        rc = mdb_env_set_maxdbs(store->env, COAT_MAP_COUNT);
    if (rc == 0)
        rc = mdb_env_set_maxreaders(store->env, LMDB_READERS_MAX);
    if (rc == 0)
        rc = mdb_env_open(store->env, path, MDB_NORDAHEAD | MDB_NOTLS, 0600);
    if (rc == 0)
        rc = mdb_reader_check(store->env, &dead);
    if (rc == 0)
        rc = mdb_env_stat(store->env, &stat);
    if (rc == 0)
        rc = mdb_env_info(store->env, &info);
    if (rc != 0) {
        coat_store_message(conf, path, ": LMDB says: ", mdb_strerror(rc));
        return lmdb_err(rc);
    }
    store->page_bytes = stat.ms_psize;
    store->map_bytes = info.me_mapsize; /* a file that is larger than asked for wins */
    (void)fsync(store->dir_fd);
    return COAT_OK;
}

static coat_err
check_format(lmdb_kv *kv, const coat_store_conf *conf, const char *path)
{
    uint64_t format;
    coat_err err = coat_info_get(&kv->kv, COAT_INFO_FORMAT, &format);

    if (err != COAT_OK)
        return err;
    if (format == 0)
        return coat_info_put(&kv->kv, COAT_INFO_FORMAT, STORE_FORMAT);
    if (format > STORE_FORMAT) {
        coat_store_message(conf, path, ": was written by a newer version of coatcheck;",
                           " it has been left as it is");
        return COAT_NEWER_FORMAT;
    }
    return COAT_OK;
}

static coat_err
open_maps(lmdb_store *store, const coat_store_conf *conf, const char *path)
{
    lmdb_kv kv;
    MDB_txn *txn;
    coat_err err = lmdb_err(mdb_txn_begin(store->env, NULL, 0, &txn));

    if (err != COAT_OK)
        return err;
    for (int map = 0; err == COAT_OK && map < COAT_MAP_COUNT; map++)
        err = lmdb_err(mdb_dbi_open(txn, map_names[map], MDB_CREATE, &store->dbi[map]));
    lmdb_kv_begin(&kv, store, txn);
    if (err == COAT_OK)
        err = check_format(&kv, conf, path);
    if (err == COAT_OK)
        err = coat_info_get(&kv.kv, COAT_INFO_EPOCHS, &store->sweeper.settled);
    lmdb_kv_end(&kv);
    if (err == COAT_OK)
        err = lmdb_err(mdb_txn_commit(txn));
    else
        mdb_txn_abort(txn);
    store->sweeper.pending = store->sweeper.settled;
    store->sweeper.pending_mono_ms = lmdb_monotonic_ms();
    return err;
}

static void
lmdb_close(coat_store *base)
{
    lmdb_store *store = (lmdb_store *)base;

    if (store == NULL)
        return;
    lmdb_writer_stop(store);
    if (store->env != NULL)
        mdb_env_close(store->env);
    lmdb_dir_close(store);
    pthread_cond_destroy(&store->wake);
    pthread_mutex_destroy(&store->mutex);
    free(store);
}

static lmdb_store *
store_new(const coat_store_conf *conf)
{
    lmdb_store *store = calloc(1, sizeof *store);

    if (store == NULL)
        return NULL;
    store->base.ops = &coat_lmdb_ops;
    store->dir_fd = store->lock_fd = -1;
    store->map_bytes = conf->map_bytes != 0 ? conf->map_bytes : default_map;
    store->reserve_bytes = conf->reserve_bytes;
    if (store->reserve_bytes == 0)
        store->reserve_bytes =
            store->map_bytes / 16 < default_reserve ? store->map_bytes / 16 : default_reserve;
    store->readers_checked_ms = INT64_MAX;
    (void)pthread_mutex_init(&store->mutex, NULL);
    (void)pthread_cond_init(&store->wake, NULL);
    return store;
}

static coat_err
lmdb_open(const coat_store_conf *conf, coat_store **out)
{
    const char *path = conf->url + sizeof "lmdb:" - 1;
    lmdb_store *store;
    coat_err err;

    if (*path == '\0') {
        coat_store_message(conf, conf->url, " lacks the directory;",
                           " write \"lmdb:/path/of/a/directory\"");
        return COAT_INVALID;
    }
    store = store_new(conf);
    if (store == NULL)
        return COAT_NO_MEMORY;
    if (store->reserve_bytes >= store->map_bytes) {
        coat_store_message(conf, conf->url, ": the reserve must be smaller than the map", "");
        lmdb_close(&store->base);
        return COAT_INVALID;
    }
    err = lmdb_dir_open(store, conf, path);
    if (err == COAT_OK)
        err = open_env(store, conf, path);
    if (err == COAT_OK) {
        err = open_maps(store, conf, path);
        if (err != COAT_OK && err != COAT_NEWER_FORMAT)
            coat_store_message(conf, path, ": ", coat_err_text(err));
    }
    if (err == COAT_OK) {
        atomic_store(&store->full, lmdb_room(store) <= 0);
        err = lmdb_writer_start(store);
    }
    if (err != COAT_OK) {
        lmdb_close(&store->base);
        return err;
    }
    *out = &store->base;
    return COAT_OK;
}

static int
count_entries(lmdb_store *store, coat_store_stats *stats)
{
    MDB_txn *txn;
    MDB_stat sessions, accounts;
    int rc = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn);

    if (rc != 0)
        return rc;
    rc = mdb_stat(txn, store->dbi[COAT_MAP_SESSION], &sessions);
    if (rc == 0)
        rc = mdb_stat(txn, store->dbi[COAT_MAP_ACCOUNT], &accounts);
    mdb_txn_abort(txn);
    if (rc != 0)
        return rc;
    stats->sessions = sessions.ms_entries;
    stats->accounts = accounts.ms_entries;
    return 0;
}

static coat_err
lmdb_stats(coat_store *base, coat_store_stats *out)
{
    lmdb_store *store = (lmdb_store *)base;
    coat_store_stats stats = {.bytes_map = store->map_bytes};
    uint64_t end;
    int rc = count_entries(store, &stats);
    coat_err err = lmdb_err(rc);

    if (err == COAT_OK)
        err = lmdb_used(store, &stats.bytes_used, &end);
    /* It could not write which commit is the last one, so nobody knows what the disk says. */
    stats.away = rc == MDB_PANIC;
    if (stats.away)
        (void)snprintf(stats.notice, sizeof stats.notice,
                       "the disk has failed in the middle of a commit: look at it, and start "
                       "the daemon again");
    else if (err != COAT_OK)
        return err;
    for (int op = 0; op < 16; op++)
        stats.operations[op] = atomic_load(&store->operations[op]);
    stats.unreadable = atomic_load(&store->unreadable);
    stats.full = atomic_load(&store->full);
    *out = stats;
    return COAT_OK;
}

const struct coat_store_ops coat_lmdb_ops = {
    .abi = COAT_STORE_ABI,
    .caps = COAT_CAP_DURABLE | COAT_CAP_ACCOUNTS,
    .name = "lmdb",
    .open = lmdb_open,
    .close = lmdb_close,
    .lane_open = lmdb_lane_open,
    .lane_close = lmdb_lane_close,
    .submit = lmdb_submit,
    .wait = lmdb_wait,
    .stats = lmdb_stats,
};
