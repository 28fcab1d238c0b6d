/* SPDX-License-Identifier: Apache-2.0 */
/**
 * The thread that writes. It takes everything that waits, up to LMDB_BATCH_MAX requests, into
 * one transaction, commits once, and hands the requests back to their lanes. A request whose
 * own operation fails is taken out, and the others are tried again without it; a batch that
 * finds no room is tried again in halves. A failed commit fails every request in it: what is
 * not durable is not acknowledged.
 */

#include "store/lmdb_store.h"

#include <signal.h>
#include <stdlib.h>

void
lmdb_list_push(lmdb_list *list, coat_store_req *req)
{
    lmdb_pending *p = lmdb_pending_of(req);

    p->next = NULL;
    p->prev = list->tail;
    if (list->tail != NULL)
        lmdb_pending_of(list->tail)->next = req;
    else
        list->head = req;
    list->tail = req;
    list->count++;
}

void
lmdb_list_remove(lmdb_list *list, coat_store_req *req)
{
    lmdb_pending *p = lmdb_pending_of(req);

    if (p->prev != NULL)
        lmdb_pending_of(p->prev)->next = p->next;
    else
        list->head = p->next;
    if (p->next != NULL)
        lmdb_pending_of(p->next)->prev = p->prev;
    else
        list->tail = p->prev;
    list->count--;
}

void
lmdb_finish(lmdb_store *store, coat_store_req *req, coat_err result)
{
    lmdb_pending *p = lmdb_pending_of(req);
    lmdb_lane *lane = p->lane;
    bool first = lane->finished.count == 0;

    (void)store;
    if (p->state == LMDB_WRITING)
        lane->writing--;
    req->result = result;
    p->state = LMDB_FINISHED;
    lmdb_list_push(&lane->finished, req);
    if (first && lane->loop != NULL)
        (void)uv_async_send(&lane->async);
    pthread_cond_signal(&lane->change);
}

/** Move what waits into the batch; the mutex is held. */
static size_t
take_batch(lmdb_store *store)
{
    int64_t now_ms = lmdb_monotonic_ms();
    coat_store_req *req;
    size_t n = 0;

    while (n < LMDB_BATCH_MAX && (req = store->queue.head) != NULL) {
        lmdb_pending *p = lmdb_pending_of(req);

        lmdb_list_remove(&store->queue, req);
        if (p->deadline_ms <= now_ms) {
            lmdb_finish(store, req, COAT_STORE_DOWN);
            continue;
        }
        p->state = LMDB_WRITING;
        p->lane->writing++;
        store->batch[n++] = req;
    }
    return n;
}

static void
drop_evicted(coat_store_req *req)
{
    lmdb_pending *p = lmdb_pending_of(req);

    free(p->evicted.handles);
    p->evicted = (coat_evicted){NULL, 0};
}

static void
check_readers(lmdb_store *store, const coat_store_req *req)
{
    int64_t since = req->now_ms - store->readers_checked_ms;
    int dead;

    if (since >= 0 && since < LMDB_READER_CHECK_MS)
        return;
    (void)mdb_reader_check(store->env, &dead);
    store->readers_checked_ms = req->now_ms;
}

/** @param failed  set to the request whose operation failed; n if it was something else */
static coat_err
apply_all(lmdb_store *store, MDB_txn *txn, coat_store_req **reqs, size_t n, size_t *failed)
{
    lmdb_kv kv;
    coat_err err = COAT_OK;
    coat_work work = {.kv = &kv.kv,
                      .sweeper = &store->sweeper,
                      .scratch = store->scratch,
                      .version = (uint64_t)mdb_txn_id(txn) << 16,
                      .room = lmdb_room(store),
                      .entry_cost = 256,
                      .mono_ms = lmdb_monotonic_ms()};

    atomic_store(&store->full, work.room <= 0);
    lmdb_kv_begin(&kv, store, txn);
    for (*failed = 0; err == COAT_OK && *failed < n; ++*failed) {
        coat_store_req *req = reqs[*failed];

        drop_evicted(req);
        req->count = 0;
        req->more = false;
        err = coat_apply(&work, req, &lmdb_pending_of(req)->evicted);
    }
    if (err != COAT_OK)
        --*failed;
    lmdb_kv_end(&kv);
    return err;
}

static coat_err
try_batch(lmdb_store *store, coat_store_req **reqs, size_t n, size_t *failed)
{
    coat_sweeper sweeper = store->sweeper;
    MDB_txn *txn;
    coat_err err;

    *failed = n;
    err = lmdb_err(mdb_txn_begin(store->env, NULL, 0, &txn));
    if (err != COAT_OK)
        return err;
    err = apply_all(store, txn, reqs, n, failed);
    if (err == COAT_OK)
        err = lmdb_err(mdb_txn_commit(txn));
    else
        mdb_txn_abort(txn);
    if (err != COAT_OK) {
        store->sweeper = sweeper;
        store->tail_known = false;
    }
    return err;
}

static void
fail_request(coat_store_req *req, coat_err err)
{
    drop_evicted(req);
    req->result = err;
}

static void
write_batch(lmdb_store *store, coat_store_req **reqs, size_t n)
{
    size_t failed;
    coat_err err;

    while (n > 0 && (err = try_batch(store, reqs, n, &failed)) != COAT_OK) {
        if ((err == COAT_STORE_FULL || err == COAT_NO_MEMORY) && n > 1) {
            write_batch(store, reqs, n / 2);
            reqs += n / 2;
            n -= n / 2;
        } else if (failed < n) {
            coat_store_req *req = reqs[failed];

            /* To the end, where it is left out; the others keep their order. */
            memmove(reqs + failed, reqs + failed + 1, (n - failed - 1) * sizeof *reqs);
            reqs[--n] = req;
            fail_request(req, err);
        } else {
            for (size_t i = 0; i < n; i++)
                fail_request(reqs[i], err);
            return;
        }
    }
}

static bool
is_session_insert(const coat_store_req *req)
{
    return req->op == COAT_OP_INSERT && req->space == COAT_SPACE_SESSION;
}

static int
by_address(const void *a, const void *b)
{
    const coat_store_req *const *x = a, *const *y = b;

    return memcmp((*x)->address.bytes, (*y)->address.bytes, sizeof(*x)->address.bytes);
}

/** Put runs of new sessions in the order of their handles: they then go to the end of the map
 * one behind the other. Nobody has been promised an order among requests that wait together. */
static void
sort_inserts(coat_store_req **reqs, size_t n)
{
    size_t from = 0, to;

    while (from < n) {
        for (to = from; to < n && is_session_insert(reqs[to]);)
            to++;
        if (to > from + 1)
            qsort(reqs + from, to - from, sizeof *reqs, by_address);
        from = to + 1;
    }
}

static void
work_off(lmdb_store *store, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (store->batch[i]->op == COAT_OP_SWEEP)
            check_readers(store, store->batch[i]);
    sort_inserts(store->batch, n);
    write_batch(store, store->batch, n);
}

static void *
writer_main(void *arg)
{
    lmdb_store *store = arg;
    size_t n;

    pthread_mutex_lock(&store->mutex);
    for (;;) {
        while (store->queue.count == 0 && !store->stopping)
            pthread_cond_wait(&store->wake, &store->mutex);
        if (store->queue.count == 0)
            break;
        n = take_batch(store);
        pthread_mutex_unlock(&store->mutex);
        work_off(store, n);
        pthread_mutex_lock(&store->mutex);
        for (size_t i = 0; i < n; i++)
            lmdb_finish(store, store->batch[i], store->batch[i]->result);
    }
    pthread_mutex_unlock(&store->mutex);
    return NULL;
}

coat_err
lmdb_writer_start(lmdb_store *store)
{
    sigset_t all, before;
    int rc;

    sigfillset(&all); /* signals are the program's business, not this thread's */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_create(&store->thread, NULL, writer_main, store);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    store->started = rc == 0;
    return rc == 0 ? COAT_OK : COAT_NO_MEMORY;
}

void
lmdb_writer_stop(lmdb_store *store)
{
    if (!store->started)
        return;
    pthread_mutex_lock(&store->mutex);
    store->stopping = true;
    pthread_cond_signal(&store->wake);
    pthread_mutex_unlock(&store->mutex);
    pthread_join(store->thread, NULL);
    store->started = false;
}
