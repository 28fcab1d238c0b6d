/* SPDX-License-Identifier: Apache-2.0 */
/**
 * Lanes. Reads run in place, in a read transaction that stays open until done() has returned,
 * since what they report lies in the map; requests made in callbacks take the next one. Writes
 * travel to the writer and come back through `finished`.
 */

#include "store/lmdb_store.h"
#include "store/read.h"

#include <stdlib.h>
#include <time.h>

static void
complete(lmdb_lane *lane, coat_store_req *req)
{
    lmdb_pending *p = lmdb_pending_of(req);
    coat_evicted evicted = p->evicted;

    lane->outstanding--;
    if (lane->outstanding == 0 && lane->loop != NULL && !lane->closing) {
        uv_unref((uv_handle_t *)&lane->async);
        (void)uv_timer_stop(&lane->timer);
    }
    if (req->item != NULL && req->op == COAT_OP_INSERT)
        for (uint32_t i = 0; i < evicted.count; i++)
            req->item(req, &(coat_store_item){.address = evicted.handles[i]});
    free(evicted.handles);
    p->answered = true;
    req->done(req);
}

static void
deliver(lmdb_lane *lane)
{
    lmdb_store *store = lmdb_store_of(lane);
    coat_store_req *req;

    do {
        pthread_mutex_lock(&store->mutex);
        req = lane->finished.head;
        if (req != NULL)
            lmdb_list_remove(&lane->finished, req);
        pthread_mutex_unlock(&store->mutex);
        if (req != NULL)
            complete(lane, req);
    } while (req != NULL);
}

/** Withdraw this lane's waiting requests whose deadline has passed. The mutex is held. */
static void
withdraw(lmdb_lane *lane, int64_t until_ms, coat_err result)
{
    lmdb_store *store = lmdb_store_of(lane);
    coat_store_req *req = store->queue.head, *next;

    for (; req != NULL; req = next) {
        lmdb_pending *p = lmdb_pending_of(req);

        next = p->next;
        if (p->lane != lane || p->deadline_ms > until_ms)
            continue;
        lmdb_list_remove(&store->queue, req);
        lmdb_finish(store, req, result);
    }
}

static void
on_async(uv_async_t *async)
{
    deliver(async->data);
}

static void
on_timer(uv_timer_t *timer)
{
    enum { AGAIN_MS = 25 };
    lmdb_lane *lane = timer->data;
    lmdb_store *store = lmdb_store_of(lane);

    pthread_mutex_lock(&store->mutex);
    withdraw(lane, lmdb_monotonic_ms(), COAT_STORE_DOWN);
    pthread_mutex_unlock(&store->mutex);
    /* Before delivering: a callback may start it anew or stop it. */
    (void)uv_timer_start(timer, on_timer, AGAIN_MS, 0);
    deliver(lane);
}

static coat_err
open_handles(lmdb_lane *lane)
{
    if (lane->loop == NULL)
        return COAT_OK;
    if (uv_async_init(lane->loop, &lane->async, on_async) != 0)
        return COAT_NO_MEMORY;
    lane->handles = 2;
    (void)uv_timer_init(lane->loop, &lane->timer);
    lane->async.data = lane;
    lane->timer.data = lane;
    /* An idle lane does not keep the loop running. */
    uv_unref((uv_handle_t *)&lane->async);
    uv_unref((uv_handle_t *)&lane->timer);
    return COAT_OK;
}

static int
begin_read(lmdb_store *store, MDB_txn **txn)
{
    int dead, rc = mdb_txn_begin(store->env, NULL, MDB_RDONLY, txn);

    if (rc == MDB_READERS_FULL && mdb_reader_check(store->env, &dead) == 0)
        rc = mdb_txn_begin(store->env, NULL, MDB_RDONLY, txn);
    return rc;
}

coat_err
lmdb_lane_open(coat_store *base, struct uv_loop_s *loop, coat_lane **out)
{
    lmdb_store *store = (lmdb_store *)base;
    lmdb_lane *lane = calloc(1, sizeof *lane);
    pthread_condattr_t attr;
    coat_err err;

    if (lane == NULL)
        return COAT_NO_MEMORY;
    lane->base.store = base;
    lane->loop = loop;
    err = lmdb_err(begin_read(store, &lane->txn[0]));
    if (err != COAT_OK) {
        free(lane);
        return err;
    }
    mdb_txn_reset(lane->txn[0]);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    if (pthread_cond_init(&lane->change, &attr) != 0)
        err = COAT_NO_MEMORY;
    pthread_condattr_destroy(&attr);
    if (err == COAT_OK && (err = open_handles(lane)) != COAT_OK)
        pthread_cond_destroy(&lane->change);
    if (err != COAT_OK) {
        mdb_txn_abort(lane->txn[0]);
        free(lane);
        return err;
    }
    *out = &lane->base;
    return COAT_OK;
}

static void
on_close(uv_handle_t *handle)
{
    lmdb_lane *lane = handle->data;

    if (--lane->handles == 0)
        free(lane);
}

void
lmdb_lane_close(coat_lane *base)
{
    lmdb_lane *lane = (lmdb_lane *)base;
    lmdb_store *store = lmdb_store_of(lane);

    lane->closing = true;
    pthread_mutex_lock(&store->mutex);
    withdraw(lane, INT64_MAX, COAT_CANCELLED);
    while (lane->writing > 0)
        pthread_cond_wait(&lane->change, &store->mutex);
    pthread_mutex_unlock(&store->mutex);
    deliver(lane);

    for (int i = 0; i < LMDB_NESTED_MAX; i++)
        if (lane->txn[i] != NULL)
            mdb_txn_abort(lane->txn[i]);
    pthread_cond_destroy(&lane->change);
    if (lane->loop == NULL) {
        free(lane);
        return;
    }
    uv_close((uv_handle_t *)&lane->timer, on_close);
    uv_close((uv_handle_t *)&lane->async, on_close);
}

static coat_err
emit(void *ctx, coat_store_req *req, const coat_store_item *item)
{
    (void)ctx;
    req->item(req, item);
    return COAT_OK;
}

/** A snapshot of now; nested deeper than usual, one of its own. */
static int
enter_read(lmdb_lane *lane, MDB_txn **txn)
{
    lmdb_store *store = lmdb_store_of(lane);
    int rc;

    if (lane->depth >= LMDB_NESTED_MAX)
        return begin_read(store, txn);
    if (lane->txn[lane->depth] == NULL) {
        rc = begin_read(store, &lane->txn[lane->depth]);
        if (rc != 0)
            lane->txn[lane->depth] = NULL;
    } else {
        rc = mdb_txn_renew(lane->txn[lane->depth]);
    }
    *txn = lane->txn[lane->depth];
    return rc;
}

static void
leave_read(lmdb_lane *lane, MDB_txn *txn)
{
    if (lane->depth >= LMDB_NESTED_MAX)
        mdb_txn_abort(txn);
    else
        mdb_txn_reset(txn);
}

static void
submit_read(lmdb_lane *lane, coat_store_req *req)
{
    lmdb_kv kv;
    MDB_txn *txn;
    coat_err err = lmdb_err(enter_read(lane, &txn));

    lmdb_pending_of(req)->answered = true;
    if (err != COAT_OK) {
        req->result = err;
        req->done(req);
        return;
    }
    lane->depth++;
    lmdb_kv_begin(&kv, lmdb_store_of(lane), txn);
    coat_read(&kv.kv, req, emit, NULL);
    lmdb_kv_end(&kv);
    req->done(req);
    lane->depth--;
    leave_read(lane, txn);
}

static void
refuse(coat_store_req *req, coat_err err)
{
    lmdb_pending_of(req)->answered = true;
    req->result = err;
    req->done(req);
}

static void
submit_write(lmdb_lane *lane, coat_store_req *req)
{
    lmdb_store *store = lmdb_store_of(lane);
    lmdb_pending *p = lmdb_pending_of(req);
    bool busy;

    p->lane = lane;
    p->deadline_ms = lmdb_monotonic_ms() + req->timeout_ms;
    pthread_mutex_lock(&store->mutex);
    busy = store->queue.count >= LMDB_QUEUE_MAX;
    if (!busy) {
        p->state = LMDB_QUEUED;
        lmdb_list_push(&store->queue, req);
        pthread_cond_signal(&store->wake);
    }
    pthread_mutex_unlock(&store->mutex);
    if (busy) {
        refuse(req, COAT_BUSY);
        return;
    }
    if (lane->outstanding++ == 0 && lane->loop != NULL) {
        uv_ref((uv_handle_t *)&lane->async);
        (void)uv_timer_start(&lane->timer, on_timer, req->timeout_ms + 1, 0);
    }
}

void
lmdb_submit(coat_lane *base, coat_store_req *req)
{
    lmdb_lane *lane = (lmdb_lane *)base;
    lmdb_store *store = lmdb_store_of(lane);

    *lmdb_pending_of(req) = (lmdb_pending){0};
    atomic_fetch_add_explicit(&store->operations[req->op], 1, memory_order_relaxed);
    if (lane->closing)
        refuse(req, COAT_CANCELLED);
    else if (coat_op_reads(req->op))
        submit_read(lane, req);
    else
        submit_write(lane, req);
}

/** Wait until something has finished; withdraw req if its time is over before it began. */
static void
await(lmdb_lane *lane, coat_store_req *req)
{
    lmdb_store *store = lmdb_store_of(lane);
    lmdb_pending *p = lmdb_pending_of(req);
    struct timespec until = {p->deadline_ms / 1000, p->deadline_ms % 1000 * 1000000};
    int rc = 0;

    pthread_mutex_lock(&store->mutex);
    while (lane->finished.count == 0) {
        if (p->state == LMDB_QUEUED)
            rc = pthread_cond_timedwait(&lane->change, &store->mutex, &until);
        else
            rc = pthread_cond_wait(&lane->change, &store->mutex);
        if (rc != 0 && p->state == LMDB_QUEUED)
            withdraw(lane, lmdb_monotonic_ms(), COAT_STORE_DOWN);
    }
    pthread_mutex_unlock(&store->mutex);
}

void
lmdb_wait(coat_lane *base, coat_store_req *req)
{
    lmdb_lane *lane = (lmdb_lane *)base;

    for (;;) {
        deliver(lane);
        if (lmdb_pending_of(req)->answered)
            return;
        await(lane, req);
    }
}
