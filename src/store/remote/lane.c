/* SPDX-License-Identifier: Apache-2.0 */
/**
 * Lanes. One timer paces deadlines and reconnections, and runs only while there is something to
 * wait for; one prepare handle sends what a turn of the loop has queued. Both, and all
 * connections, let the loop end: the timer is referenced while a request is outstanding.
 */

#include "store/remote/remote.h"

#include <signal.h>
#include <stdlib.h>

static remote_store *
store_of(const remote_lane *lane)
{
    return (remote_store *)lane->base.store;
}

void
remote_list_push(remote_list *list, coat_store_req *req)
{
    remote_pending *p = remote_pending_of(req);

    p->next = NULL;
    p->prev = list->tail;
    if (list->tail != NULL)
        remote_pending_of(list->tail)->next = req;
    else
        list->head = req;
    list->tail = req;
    list->count++;
}

void
remote_list_remove(remote_list *list, coat_store_req *req)
{
    remote_pending *p = remote_pending_of(req);

    if (p->prev != NULL)
        remote_pending_of(p->prev)->next = p->next;
    else
        list->head = p->next;
    if (p->next != NULL)
        remote_pending_of(p->next)->prev = p->prev;
    else
        list->tail = p->prev;
    list->count--;
}

/** The request is in no list any more. */
static void
complete(remote_lane *lane, coat_store_req *req, coat_err result)
{
    remote_pending *p = remote_pending_of(req);

    p->link = NULL;
    p->answered = true;
    req->result = result;
    if (--lane->outstanding == 0 && !lane->closing)
        uv_unref((uv_handle_t *)&lane->pace);
    req->done(req);
}

static void on_flush(uv_prepare_t *flush);

void
remote_answer(coat_store_req *req)
{
    remote_link *link = remote_pending_of(req)->link;

    remote_list_remove(&link->flight, req);
    /* There is room on this link now. All that this turn makes room for is sent at its end. */
    if (link->lane->waiting.count > 0)
        (void)uv_prepare_start(&link->lane->flush, on_flush);
    complete(link->lane, req, req->result);
}

/* ---- sending ---- */

static void send_waiting(remote_lane *lane);

static void
on_flush(uv_prepare_t *flush)
{
    remote_lane *lane = flush->data;

    send_waiting(lane);
    (void)uv_prepare_stop(flush);
    for (uint32_t i = 0; i < store_of(lane)->links; i++) {
        remote_link *link = lane->links[i];

        if (!link->queued)
            continue;
        link->queued = false;
        store_of(lane)->kind->flush(link);
    }
}

void
remote_link_queued(remote_link *link)
{
    link->queued = true;
    (void)uv_prepare_start(&link->lane->flush, on_flush);
}

static void
send_on(remote_link *link, coat_store_req *req)
{
    remote_lane *lane = link->lane;
    remote_pending *p = remote_pending_of(req);
    coat_err err;

    p->link = link;
    p->tries++;
    p->step = 0;
    p->count = 0;
    p->mark = 0;
    p->data = NULL;
    req->count = 0;
    req->more = false;
    remote_list_push(&link->flight, req);
    err = store_of(lane)->kind->send(link, req);
    if (err == COAT_OK) {
        remote_link_queued(link);
        return;
    }
    remote_list_remove(&link->flight, req);
    complete(lane, req, err);
}

static bool
is_fit(const remote_link *link)
{
    const struct remote_kind *kind = remote_store_of(link)->kind;

    return kind->fit == NULL || kind->fit(link);
}

/** The first ready link with room, so that a turn's requests leave together. */
static remote_link *
ready_link(const remote_lane *lane)
{
    for (uint32_t i = 0; i < store_of(lane)->links; i++) {
        remote_link *link = lane->links[i];

        if (link->state == REMOTE_READY && link->flight.count < store_of(lane)->flight_max &&
            is_fit(link))
            return link;
    }
    return NULL;
}

static void
send_waiting(remote_lane *lane)
{
    remote_link *link;
    coat_store_req *req;

    while (!lane->closing && (req = lane->waiting.head) != NULL &&
           (link = ready_link(lane)) != NULL) {
        remote_list_remove(&lane->waiting, req);
        send_on(link, req);
    }
}

/* ---- links ---- */

static void on_pace(uv_timer_t *timer);

static void
start_link(remote_link *link, int64_t now_ms)
{
    link->state = REMOTE_CONNECTING;
    link->next_ms = now_ms + REMOTE_CONNECT_MS;
    remote_store_of(link)->kind->start(link);
}

static bool
admits(remote_store *store, int64_t now_ms)
{
    uint32_t random;
    bool yes;

    if (!atomic_load_explicit(&store->doubted, memory_order_relaxed))
        return true;
    random = remote_random(store);
    pthread_mutex_lock(&store->mutex);
    yes = remote_breaker_admits(&store->breaker, now_ms, random);
    pthread_mutex_unlock(&store->mutex);
    return yes;
}

/** The store is back, as another lane has found: come back too, not all at once. */
static void
look_for_closing(remote_lane *lane, int64_t now_ms)
{
    remote_store *store = store_of(lane);
    uint64_t closings;

    pthread_mutex_lock(&store->mutex);
    closings = store->breaker.closings;
    pthread_mutex_unlock(&store->mutex);
    if (closings == lane->closings)
        return;
    lane->closings = closings;
    for (uint32_t i = 0; i < store->links; i++) {
        int64_t soon_ms = now_ms + remote_random(store) % REMOTE_BACKOFF_FIRST_MS;

        if (lane->links[i]->state == REMOTE_IDLE && lane->links[i]->next_ms > soon_ms)
            lane->links[i]->next_ms = soon_ms;
    }
}

/** Is the breaker open? Then connections are its probes: others wait for it to close. */
static bool
is_open(remote_store *store)
{
    bool open;

    if (!atomic_load_explicit(&store->doubted, memory_order_relaxed))
        return false;
    pthread_mutex_lock(&store->mutex);
    open = store->breaker.open;
    pthread_mutex_unlock(&store->mutex);
    return open;
}

static void
connect_links(remote_lane *lane, int64_t now_ms)
{
    remote_store *store = store_of(lane);
    bool undriven = lane->owned && lane->outstanding == 0;

    for (uint32_t i = 0; i < store->links && !lane->closing; i++) {
        remote_link *link = lane->links[i];

        if (link->state != REMOTE_IDLE)
            continue;
        /* The probe is once a second, however far the back-off has come. Where nobody drives
         * the loop it would not come through: a request is it, which waits and so drives it. */
        if (is_open(store) ? !undriven && admits(store, now_ms) : link->next_ms <= now_ms)
            start_link(link, now_ms);
    }
}

/** One that may probe: not the last one that did, if that still waits in vain. */
static remote_link *
idle_link(const remote_lane *lane)
{
    for (uint32_t i = 0; i < store_of(lane)->links; i++)
        if (lane->links[i]->state == REMOTE_IDLE)
            return lane->links[i];
    return NULL;
}

static bool
all_ready(const remote_lane *lane)
{
    for (uint32_t i = 0; i < store_of(lane)->links; i++)
        if (lane->links[i]->state != REMOTE_READY)
            return false;
    return true;
}

static void
pace(remote_lane *lane)
{
    uint64_t ms = lane->outstanding > 0 ? REMOTE_PACE_BUSY_MS : REMOTE_PACE_IDLE_MS;

    if (lane->closing || (lane->outstanding == 0 && all_ready(lane)))
        return;
    (void)uv_timer_start(&lane->pace, on_pace, ms, 0);
}

void
remote_link_ready(remote_link *link)
{
    remote_lane *lane = link->lane;

    link->state = REMOTE_READY;
    link->backoff.failures = 0;
    atomic_fetch_add(&store_of(lane)->ready, 1);
    remote_note_good(store_of(lane));
    send_waiting(lane);
}

/** Take what was in flight: what may be sent again goes back to the waiting ones, once. */
static void
take_back(remote_link *link, remote_list *lost)
{
    remote_lane *lane = link->lane;
    int64_t now_ms = remote_now_ms(store_of(lane));
    coat_store_req *req;

    while ((req = link->flight.head) != NULL) {
        remote_pending *p = remote_pending_of(req);

        remote_list_remove(&link->flight, req);
        p->link = NULL;
        /* A report that has begun (step) must not begin again. */
        if (remote_is_idempotent(req->op) && p->tries < 2 && p->step == 0 &&
            p->deadline_ms > now_ms && !lane->closing)
            remote_list_push(&lane->waiting, req);
        else
            remote_list_push(lost, req);
    }
}

static void
drop_link(remote_link *link, remote_list *lost)
{
    remote_store *store = remote_store_of(link);

    if (link->state == REMOTE_READY)
        atomic_fetch_sub(&store->ready, 1);
    link->state = REMOTE_IDLE;
    link->queued = false;
    store->kind->stop(link);
    take_back(link, lost);
}

static void
complete_all(remote_lane *lane, remote_list *list, coat_err result)
{
    coat_store_req *req;

    while ((req = list->head) != NULL) {
        remote_list_remove(list, req);
        complete(lane, req, result);
    }
}

void
remote_link_failed(remote_link *link)
{
    remote_lane *lane = link->lane;
    remote_store *store = store_of(lane);
    remote_list lost = {0};

    if (link->state == REMOTE_IDLE)
        return;
    /* A server may close what is idle; that is no failure. */
    if (link->state == REMOTE_CONNECTING || link->flight.count > 0)
        remote_note_bad(store);
    drop_link(link, &lost);
    link->next_ms =
        remote_now_ms(store) + remote_backoff_next(&link->backoff, remote_random(store));
    complete_all(lane, &lost, COAT_STORE_DOWN);
    send_waiting(lane);
    pace(lane);
}

static void
drop_unfit(remote_lane *lane)
{
    for (uint32_t i = 0; i < store_of(lane)->links; i++)
        if (lane->links[i]->state == REMOTE_READY && !is_fit(lane->links[i]))
            remote_link_failed(lane->links[i]);
}

/* ---- time ---- */

static bool
has_late(const remote_list *list, int64_t now_ms)
{
    for (coat_store_req *req = list->head; req != NULL; req = remote_pending_of(req)->next)
        if (remote_pending_of(req)->deadline_ms <= now_ms)
            return true;
    return false;
}

/** Withdraw what waits and is late: it never happens. */
static void
withdraw_late(remote_lane *lane, int64_t now_ms)
{
    coat_store_req *req, *next;
    remote_list late = {0};

    for (req = lane->waiting.head; req != NULL; req = next) {
        next = remote_pending_of(req)->next;
        if (remote_pending_of(req)->deadline_ms > now_ms)
            continue;
        remote_list_remove(&lane->waiting, req);
        remote_list_push(&late, req);
        remote_note_bad(store_of(lane));
    }
    complete_all(lane, &late, COAT_STORE_DOWN);
}

/** What waits while the breaker is open would wait in vain, but for the one that probes. */
static void
withdraw_waiting(remote_lane *lane)
{
    remote_list late = {0};
    coat_store_req *req;

    for (uint32_t i = 0; i < store_of(lane)->links; i++)
        if (lane->links[i]->state != REMOTE_IDLE)
            return;
    while ((req = lane->waiting.head) != NULL) {
        remote_list_remove(&lane->waiting, req);
        remote_list_push(&late, req);
    }
    complete_all(lane, &late, COAT_STORE_DOWN);
}

static void
tick(remote_lane *lane)
{
    int64_t now_ms = remote_now_ms(store_of(lane));

    withdraw_late(lane, now_ms);
    for (uint32_t i = 0; i < store_of(lane)->links; i++) {
        remote_link *link = lane->links[i];

        if (link->state == REMOTE_CONNECTING ? link->next_ms <= now_ms
                                             : has_late(&link->flight, now_ms))
            remote_link_failed(link);
        else if (link->state == REMOTE_CONNECTING && store_of(lane)->kind->look != NULL)
            store_of(lane)->kind->look(link);
    }
    drop_unfit(lane);
    look_for_closing(lane, now_ms);
    connect_links(lane, now_ms);
    if (is_open(store_of(lane)))
        withdraw_waiting(lane);
}

static void
on_pace(uv_timer_t *timer)
{
    remote_lane *lane = timer->data;

    tick(lane);
    pace(lane);
}

/* ---- the store's functions ---- */

static void
free_lane(remote_lane *lane)
{
    for (uint32_t i = 0; i < REMOTE_LINKS_MAX; i++)
        free(lane->links[i]);
    free(lane);
}

static coat_err
make_links(remote_lane *lane, const remote_store *store)
{
    for (uint32_t i = 0; i < store->links; i++) {
        lane->links[i] = calloc(1, store->kind->link_bytes);
        if (lane->links[i] == NULL)
            return COAT_NO_MEMORY;
        lane->links[i]->lane = lane;
    }
    return COAT_OK;
}

coat_err
remote_lane_open(coat_store *base, struct uv_loop_s *loop, coat_lane **out)
{
    remote_store *store = (remote_store *)base;
    remote_lane *lane = calloc(1, sizeof *lane);

    if (lane == NULL)
        return COAT_NO_MEMORY;
    lane->base.store = base;
    if (make_links(lane, store) != COAT_OK || (loop == NULL && uv_loop_init(&lane->own) != 0)) {
        free_lane(lane);
        return COAT_NO_MEMORY;
    }
    lane->owned = loop == NULL;
    lane->loop = lane->owned ? &lane->own : loop;
    (void)uv_timer_init(lane->loop, &lane->pace);
    (void)uv_prepare_init(lane->loop, &lane->flush);
    lane->handles = 2;
    lane->pace.data = lane;
    lane->flush.data = lane;
    uv_unref((uv_handle_t *)&lane->pace);
    uv_unref((uv_handle_t *)&lane->flush);
    connect_links(lane, remote_now_ms(store));
    pace(lane);
    *out = &lane->base;
    return COAT_OK;
}

static void
on_close(uv_handle_t *handle)
{
    remote_lane *lane = handle->data;

    if (--lane->handles == 0 && !lane->owned)
        free_lane(lane);
}

/** libuv writes with write(2): to a server that has gone, that is SIGPIPE. Those who have loops
 * of their own know; those who only wait for a store need not. */
void
remote_run(uv_loop_t *loop, uv_run_mode mode)
{
    static const struct timespec at_once = {0, 0};
    sigset_t pipe, before, pending;

    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    sigpending(&pending);
    pthread_sigmask(SIG_BLOCK, &pipe, &before);
    (void)uv_run(loop, mode);
    if (!sigismember(&pending, SIGPIPE))
        (void)sigtimedwait(&pipe, NULL, &at_once);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void
remote_lane_close(coat_lane *base)
{
    remote_lane *lane = (remote_lane *)base;
    remote_list lost = {0};

    lane->closing = true;
    for (uint32_t i = 0; i < store_of(lane)->links; i++)
        drop_link(lane->links[i], &lost);
    complete_all(lane, &lost, COAT_CANCELLED);
    complete_all(lane, &lane->waiting, COAT_CANCELLED);
    uv_close((uv_handle_t *)&lane->pace, on_close);
    uv_close((uv_handle_t *)&lane->flush, on_close);
    if (!lane->owned)
        return;
    remote_run(&lane->own, UV_RUN_DEFAULT);
    (void)uv_loop_close(&lane->own);
    free_lane(lane);
}

static void
run_once(remote_lane *lane, uv_run_mode mode)
{
    if (lane->running)
        return; /* a callback waits for another request: it must not */
    lane->running = true;
    remote_run(lane->loop, mode);
    lane->running = false;
}

/**
 * Nobody drives an idle lane of its own loop: see first what has become of its links, and what
 * a watch has to report. A loop without a referenced handle that is active does not run at all.
 */
static void
look_around(remote_lane *lane)
{
    if (!lane->owned || lane->running || lane->closing || lane->outstanding > 0)
        return;
    uv_ref((uv_handle_t *)&lane->pace);
    (void)uv_timer_start(&lane->pace, on_pace, 0, 0);
    run_once(lane, UV_RUN_NOWAIT);
    if (lane->outstanding == 0)
        uv_unref((uv_handle_t *)&lane->pace);
}

static void
refuse(coat_store_req *req, coat_err err)
{
    remote_pending_of(req)->answered = true;
    req->result = err;
    req->done(req);
}

void
remote_submit(coat_lane *base, coat_store_req *req)
{
    remote_lane *lane = (remote_lane *)base;
    remote_store *store = store_of(lane);
    remote_link *link;
    int64_t now_ms = remote_now_ms(store);

    *remote_pending_of(req) = (remote_pending){0};
    atomic_fetch_add_explicit(&store->operations[req->op], 1, memory_order_relaxed);
    look_around(lane);
    if (lane->closing || lane->outstanding >= REMOTE_WAITING_MAX) {
        refuse(req, lane->closing ? COAT_CANCELLED : COAT_BUSY);
        return;
    }
    if (!admits(store, now_ms)) {
        refuse(req, COAT_STORE_DOWN);
        return;
    }
    remote_pending_of(req)->deadline_ms = now_ms + req->timeout_ms;
    if (lane->outstanding++ == 0) {
        uv_ref((uv_handle_t *)&lane->pace);
        pace(lane);
    }
    drop_unfit(lane);
    link = lane->waiting.count == 0 ? ready_link(lane) : NULL;
    if (link != NULL) {
        send_on(link, req);
        return;
    }
    remote_list_push(&lane->waiting, req);
    link = is_open(store) ? idle_link(lane) : NULL;
    if (link != NULL)
        start_link(link, now_ms); /* this request is the probe */
    else
        connect_links(lane, now_ms);
}

void
remote_wait(coat_lane *base, coat_store_req *req)
{
    remote_lane *lane = (remote_lane *)base;

    while (!remote_pending_of(req)->answered && lane->owned && !lane->running)
        run_once(lane, UV_RUN_ONCE);
}
