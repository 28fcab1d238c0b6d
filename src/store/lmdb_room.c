/* SPDX-License-Identifier: Apache-2.0 */
/**
 * Room in reserve (SF-8). Ending a session copies pages before it frees any, so a store that is
 * full to the brim could not even do that. INSERT therefore stops while reserve_bytes are left
 * of the map, and of disk blocks that were allocated ahead: blocks behind the end of the data
 * file (FALLOC_FL_KEEP_SIZE) which LMDB grows into. So a full disk shows when we ask for blocks
 * ahead, while removals can still be written, and not first in the middle of a commit.
 */

#include "store/lmdb_store.h"

#include <errno.h>
#include <fcntl.h>

enum { AHEAD_BYTES = 16 << 20 };

static int
allocate(lmdb_store *store, uint64_t from, uint64_t to)
{
    int fd, rc;

    rc = mdb_env_get_fd(store->env, &fd);
    if (rc != 0)
        return rc;
    do {
        rc = fallocate(fd, FALLOC_FL_KEEP_SIZE, (off_t)from, (off_t)(to - from));
    } while (rc != 0 && errno == EINTR);
    return rc == 0 ? 0 : errno;
}

static uint64_t
at_most(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void
allocate_ahead(lmdb_store *store, uint64_t end)
{
    uint64_t least = at_most(end + store->reserve_bytes, store->map_bytes);
    uint64_t more = at_most(least + AHEAD_BYTES, store->map_bytes);
    uint64_t from = store->allocated_end > end ? store->allocated_end : end;
    int rc;

    if (store->allocated_end >= at_most(least + AHEAD_BYTES / 2, store->map_bytes))
        return;
    rc = allocate(store, from, more);
    if (rc == 0) {
        store->allocated_end = more;
    } else if (rc == ENOSPC || rc == EDQUOT || rc == EFBIG || rc == EIO) {
        if (least > from && allocate(store, from, least) == 0)
            store->allocated_end = least;
    } else {
        store->allocated_end = UINT64_MAX; /* a file system that cannot: commits will tell */
    }
}

/** Pages that LMDB can use again; counting them takes a walk, so only when it matters. */
static int
free_pages(lmdb_store *store, uint64_t *count)
{
    MDB_txn *txn;
    MDB_cursor *cursor;
    MDB_val key, value;
    int rc = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn);

    *count = 0;
    if (rc != 0)
        return rc;
    rc = mdb_cursor_open(txn, 0, &cursor); /* 0 is LMDB's map of freed pages */
    if (rc == 0) {
        while ((rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0)
            if (value.mv_size >= sizeof(size_t))
                *count += *(const size_t *)value.mv_data;
        mdb_cursor_close(cursor);
    }
    mdb_txn_abort(txn);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

coat_err
lmdb_used(lmdb_store *store, uint64_t *used, uint64_t *end)
{
    MDB_envinfo info;
    uint64_t reusable;
    int rc = mdb_env_info(store->env, &info);

    if (rc == 0)
        rc = free_pages(store, &reusable);
    if (rc != 0)
        return lmdb_err(rc);
    *end = ((uint64_t)info.me_last_pgno + 1) * store->page_bytes;
    *used = *end - at_most(reusable * store->page_bytes, *end);
    return COAT_OK;
}

int64_t
lmdb_room(lmdb_store *store)
{
    MDB_envinfo info;
    uint64_t end, limit, left, reusable;

    if (mdb_env_info(store->env, &info) != 0)
        return -1;
    end = ((uint64_t)info.me_last_pgno + 1) * store->page_bytes;
    allocate_ahead(store, end);
    limit = at_most(store->map_bytes, store->allocated_end);
    left = limit > end ? limit - end : 0;
    /* Plenty: no need to count what could be used again. */
    if (left < store->reserve_bytes + AHEAD_BYTES / 2) {
        if (free_pages(store, &reusable) != 0)
            return -1;
        left += reusable * store->page_bytes;
    }
    return (int64_t)left - (int64_t)store->reserve_bytes;
}
