/* SPDX-License-Identifier: Apache-2.0 */
#include "store/lmdb_store.h"

static MDB_val
key_of(coat_map map, const uint8_t *key)
{
    return (MDB_val){coat_map_key_len(map), (void *)(uintptr_t)key};
}

static coat_err
kv_get(coat_kv *base, coat_map map, const uint8_t *key, coat_span *value)
{
    lmdb_kv *kv = (lmdb_kv *)base;
    MDB_val k = key_of(map, key), v;
    int rc = mdb_get(kv->txn, kv->store->dbi[map], &k, &v);

    if (rc != 0)
        return lmdb_err(rc);
    *value = (coat_span){v.mv_data, v.mv_size};
    return COAT_OK;
}

/**
 * Handles grow with time, so most new sessions go behind the highest one. Told so, LMDB fills
 * pages to the brim instead of halving them.
 */
static unsigned
append_flag(lmdb_kv *kv, const uint8_t *key)
{
    lmdb_store *store = kv->store;
    MDB_cursor *cursor;
    MDB_val k, v;
    int rc;

    if (!store->tail_known) {
        if (mdb_cursor_open(kv->txn, store->dbi[COAT_MAP_SESSION], &cursor) != 0)
            return 0;
        rc = mdb_cursor_get(cursor, &k, &v, MDB_LAST);
        mdb_cursor_close(cursor);
        if (rc == MDB_NOTFOUND)
            memset(store->tail, 0, sizeof store->tail);
        else if (rc != 0 || k.mv_size != sizeof store->tail)
            return 0;
        else
            memcpy(store->tail, k.mv_data, sizeof store->tail);
        store->tail_known = true;
    }
    if (memcmp(key, store->tail, sizeof store->tail) <= 0)
        return 0;
    memcpy(store->tail, key, sizeof store->tail);
    return MDB_APPEND;
}

static coat_err
kv_put(coat_kv *base, coat_map map, const uint8_t *key, coat_span head, coat_span body)
{
    lmdb_kv *kv = (lmdb_kv *)base;
    MDB_val k = key_of(map, key), v = {head.len + body.len, NULL};
    unsigned append = map == COAT_MAP_SESSION ? append_flag(kv, key) : 0;
    int rc;

    kv->at_known[map] = false;
    rc = mdb_put(kv->txn, kv->store->dbi[map], &k, &v, MDB_RESERVE | append);
    if (rc != 0)
        return lmdb_err(rc);
    if (head.len > 0)
        memcpy(v.mv_data, head.ptr, head.len);
    if (body.len > 0)
        memcpy((uint8_t *)v.mv_data + head.len, body.ptr, body.len);
    return COAT_OK;
}

static coat_err
kv_del(coat_kv *base, coat_map map, const uint8_t *key)
{
    lmdb_kv *kv = (lmdb_kv *)base;
    MDB_val k = key_of(map, key);

    kv->at_known[map] = false;
    if (map == COAT_MAP_SESSION && kv->store->tail_known &&
        memcmp(key, kv->store->tail, sizeof kv->store->tail) == 0)
        kv->store->tail_known = false;
    return lmdb_err(mdb_del(kv->txn, kv->store->dbi[map], &k, NULL));
}

static coat_err
kv_seek(coat_kv *base, coat_map map, const uint8_t *key, bool after, coat_kv_entry *out)
{
    lmdb_kv *kv = (lmdb_kv *)base;
    size_t len = coat_map_key_len(map);
    MDB_val k = key_of(map, key), v;
    bool here = after && kv->at_known[map] && memcmp(kv->at[map], key, len) == 0;
    int rc = 0;

    if (kv->cursor[map] == NULL)
        rc = mdb_cursor_open(kv->txn, kv->store->dbi[map], &kv->cursor[map]);
    if (rc == 0)
        rc = mdb_cursor_get(kv->cursor[map], &k, &v, here ? MDB_NEXT : MDB_SET_RANGE);
    if (rc == 0 && !here && after && k.mv_size == len && memcmp(k.mv_data, key, len) == 0)
        rc = mdb_cursor_get(kv->cursor[map], &k, &v, MDB_NEXT);
    kv->at_known[map] = rc == 0;
    if (rc != 0)
        return lmdb_err(rc);
    if (k.mv_size != len)
        return COAT_IO;
    memcpy(kv->at[map], k.mv_data, len);
    memcpy(out->key, k.mv_data, len);
    out->value = (coat_span){v.mv_data, v.mv_size};
    return COAT_OK;
}

static const struct coat_kv_ops kv_ops = {kv_get, kv_put, kv_del, kv_seek};

void
lmdb_kv_begin(lmdb_kv *kv, lmdb_store *store, MDB_txn *txn)
{
    *kv = (lmdb_kv){.kv = {&kv_ops, &store->unreadable}, .store = store, .txn = txn};
}

void
lmdb_kv_end(lmdb_kv *kv)
{
    for (int map = 0; map < COAT_MAP_COUNT; map++) {
        if (kv->cursor[map] != NULL)
            mdb_cursor_close(kv->cursor[map]);
        kv->cursor[map] = NULL;
    }
}
