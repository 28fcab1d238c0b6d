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

static coat_err
kv_put(coat_kv *base, coat_map map, const uint8_t *key, coat_span head, coat_span body)
{
    lmdb_kv *kv = (lmdb_kv *)base;
    MDB_val k = key_of(map, key), v = {head.len + body.len, NULL};
    int rc;

    kv->at_known[map] = false;
    rc = mdb_put(kv->txn, kv->store->dbi[map], &k, &v, MDB_RESERVE);
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
