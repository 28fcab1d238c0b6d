/* SPDX-License-Identifier: Apache-2.0 */
/**
 * A lane is one of remote/ for each node, on one loop. What a request asks a node for is a part
 * of its own: it goes to who has its bucket, and goes again, until its time is up, when that
 * node says that it has it no more. Where redirections lead is not believed: who has what is
 * asked for anew, of any node that answers.
 */

#include "store/redis/cluster.h"

#include <stdlib.h>

typedef struct lane_seat {
    cluster_seat *seat;
    coat_lane *lane; /* NULL: none */
    bool named, seed;
} lane_seat;

struct cluster_lane {
    coat_lane base;
    uv_loop_t *loop, own; /* own: if opened without one */
    bool owned, running, closing;
    uint32_t outstanding; /* requests of the caller's */
    uint32_t generation;  /* of the topology that is copied here */
    uint8_t seat_of[CLUSTER_BUCKETS];
    lane_seat seats[CLUSTER_SEATS_MAX];
    uint32_t seat_count;
    cluster_part *waiting, **waiting_end;
    uv_timer_t pace;
    bool trouble;  /* a node is away */
    bool doubtful; /* one has said that a slot is not its own */
    bool asking;
    cluster_watch *watch; /* NULL: none */
    uint32_t asked_seat;
    int64_t asked_ms, dark_ms; /* dark: since when nobody answers; 0: somebody does */
};

redis_cluster *
cluster_of_lane(const cluster_lane *lane)
{
    return (redis_cluster *)(void *)lane->base.store;
}

static int64_t
now_of(const cluster_lane *lane)
{
    return remote_now_ms(&cluster_of_lane(lane)->home.remote);
}

static void on_pace(uv_timer_t *timer);

/** Only what waits keeps the loop alive. */
static void
pace(cluster_lane *lane, uint64_t ms)
{
    if (lane->closing)
        return;
    if (lane->waiting != NULL)
        uv_ref((uv_handle_t *)&lane->pace);
    else
        uv_unref((uv_handle_t *)&lane->pace);
    (void)uv_timer_start(&lane->pace, on_pace, ms, 0);
}

static uint64_t
usual_pace(const cluster_lane *lane)
{
    if (lane->waiting != NULL || lane->doubtful)
        return CLUSTER_PACE_MS;
    return lane->trouble ? CLUSTER_LOOK_MS : CLUSTER_CALM_MS;
}

/* ---- nodes ---- */

static void
open_seat(cluster_lane *lane, uint32_t i)
{
    redis_cluster *cluster = cluster_of_lane(lane);
    lane_seat *at = &lane->seats[i];
    bool held = false;

    if (at->lane != NULL || at->seat == NULL || lane->closing)
        return;
    pthread_mutex_lock(&cluster->home.remote.mutex);
    if (cluster->seats[i] == at->seat) {
        at->seat->users++;
        held = true;
    }
    pthread_mutex_unlock(&cluster->home.remote.mutex);
    if (held &&
        remote_lane_open(&at->seat->store.remote.base, lane->loop, &at->lane) == COAT_OK)
        return;
    at->lane = NULL;
    if (!held)
        return;
    pthread_mutex_lock(&cluster->home.remote.mutex);
    at->seat->users--;
    pthread_mutex_unlock(&cluster->home.remote.mutex);
}

static void
close_seat(cluster_lane *lane, uint32_t i)
{
    redis_cluster *cluster = cluster_of_lane(lane);
    coat_lane *closed = lane->seats[i].lane;

    if (closed == NULL)
        return;
    if (lane->watch != NULL)
        cluster_watch_leave(lane->watch, i);
    lane->seats[i].lane = NULL;
    remote_lane_close(closed);
    pthread_mutex_lock(&cluster->home.remote.mutex);
    lane->seats[i].seat->users--;
    pthread_mutex_unlock(&cluster->home.remote.mutex);
}

/** Take over who serves; connections are made when they are first needed. */
static void
sync_seats(cluster_lane *lane)
{
    redis_cluster *cluster = cluster_of_lane(lane);

    if (atomic_load(&cluster->generation) == lane->generation && lane->seat_count > 0)
        return;
    pthread_mutex_lock(&cluster->home.remote.mutex);
    lane->generation = atomic_load(&cluster->generation);
    memcpy(lane->seat_of, cluster->seat_of, sizeof lane->seat_of);
    lane->seat_count = cluster->seat_count;
    for (uint32_t i = 0; i < lane->seat_count; i++) {
        /* One in use is never another's. */
        lane->seats[i].seat = cluster->seats[i];
        lane->seats[i].named = cluster->seats[i]->named;
        lane->seats[i].seed = cluster->seats[i]->seed;
    }
    pthread_mutex_unlock(&cluster->home.remote.mutex);
    pace(lane, CLUSTER_PACE_MS); /* and leave who was */
}

static bool
is_ready(const lane_seat *at)
{
    const remote_lane *lane = (const remote_lane *)(const void *)at->lane;

    if (lane == NULL)
        return false;
    for (uint32_t i = 0; i < at->seat->store.remote.links; i++)
        if (lane->links[i]->state == REMOTE_READY)
            return true;
    return false;
}

/** Since when nobody answers who is asked. */
static void
note_dark(cluster_lane *lane, bool dark, int64_t now_ms)
{
    redis_cluster *cluster = cluster_of_lane(lane);

    if (!dark) {
        lane->dark_ms = 0;
    } else if (lane->dark_ms == 0) {
        lane->dark_ms = now_ms;
    } else if (now_ms - lane->dark_ms >= CLUSTER_DARK_MS) {
        /* It may have been built anew, and counts from the beginning. */
        lane->dark_ms = now_ms;
        pthread_mutex_lock(&cluster->home.remote.mutex);
        cluster->epoch = 0;
        pthread_mutex_unlock(&cluster->home.remote.mutex);
    }
}

typedef struct lane_view {
    bool dark;  /* nobody answers */
    bool away;  /* or not everybody who is asked does */
    bool known; /* who serves */
} lane_view;

static lane_view
look_at_seats(const cluster_lane *lane)
{
    lane_view v = {.dark = true, .away = lane->generation == 0 || lane->doubtful};

    for (uint32_t i = 0; i < lane->seat_count; i++) {
        const lane_seat *at = &lane->seats[i];
        bool ready = is_ready(at);

        v.dark = v.dark && !ready;
        v.known = v.known || at->named;
        v.away = v.away || (at->named && at->lane != NULL && !ready);
    }
    return v;
}

/**
 * Who serves no more is left. If nobody answers, all who are known are asked who serves, and
 * after a while those of the URL. Not called from within a callback of a node's: what is closed
 * here may be what calls.
 */
static void
choose_seats(cluster_lane *lane, int64_t now_ms)
{
    lane_view v = look_at_seats(lane);
    bool seeds;

    note_dark(lane, v.dark && v.away, now_ms);
    seeds = (!v.known && v.away) ||
            (lane->dark_ms != 0 && now_ms - lane->dark_ms >= CLUSTER_SEEDS_MS);
    for (uint32_t i = 0; i < lane->seat_count; i++) {
        const lane_seat *at = &lane->seats[i];

        if ((at->named && v.dark && v.away) || (at->seed && seeds))
            open_seat(lane, i);
        else if (!at->named)
            close_seat(lane, i);
    }
    lane->trouble = v.away;
}

/* ---- for its watch ---- */

coat_lane *
cluster_seat_lane(cluster_lane *lane, uint32_t seat)
{
    sync_seats(lane);
    if (seat < lane->seat_count)
        open_seat(lane, seat);
    return seat < lane->seat_count ? lane->seats[seat].lane : NULL;
}

struct uv_loop_s *
cluster_loop(cluster_lane *lane)
{
    return lane->loop;
}

cluster_watch **
cluster_watch_of(cluster_lane *lane)
{
    return &lane->watch;
}

void
cluster_ask_soon(cluster_lane *lane)
{
    lane->doubtful = true;
    pace(lane, CLUSTER_PACE_MS);
}

/* ---- sending ---- */

static void part_done(coat_store_req *req);

static void
end(cluster_part *part, coat_err result)
{
    part->req.result = result;
    part->ended(part);
}

void
cluster_send_later(cluster_part *part)
{
    cluster_lane *lane = part->lane;
    int64_t wait_ms = (int64_t)CLUSTER_PACE_MS << (part->tries < 4 ? part->tries : 4);

    if (wait_ms > CLUSTER_PACE_MOST_MS)
        wait_ms = CLUSTER_PACE_MOST_MS;
    if (part->tries > 0 && part->deadline_ms - now_of(lane) < wait_ms + CLUSTER_LEAST_MS) {
        end(part, COAT_STORE_DOWN);
        return;
    }
    part->next_ms = now_of(lane) + wait_ms;
    if (part->next_ms > part->deadline_ms)
        part->next_ms = part->deadline_ms;
    part->next = NULL;
    *lane->waiting_end = part;
    lane->waiting_end = &part->next;
    pace(lane, CLUSTER_PACE_MS);
}

void
cluster_send(cluster_part *part)
{
    cluster_lane *lane = part->lane;
    int64_t left_ms = part->deadline_ms - now_of(lane);
    uint8_t seat;

    sync_seats(lane);
    part->again = false;
    seat = part->kind == PART_REQUEST ? lane->seat_of[part->bucket] : part->seat;
    if (seat < lane->seat_count)
        open_seat(lane, seat);
    if (lane->closing) {
        end(part, COAT_CANCELLED);
    } else if (left_ms <= 0) {
        end(part, COAT_STORE_DOWN);
    } else if (seat < lane->seat_count && lane->seats[seat].lane != NULL) {
        part->tries++;
        part->req.done = part_done;
        part->req.ctx = part;
        part->req.timeout_ms = left_ms < UINT32_MAX ? (uint32_t)left_ms : UINT32_MAX;
        remote_submit(lane->seats[seat].lane, &part->req);
    } else if (lane->generation == 0 && part->kind == PART_REQUEST) {
        cluster_send_later(part); /* nobody has said yet who has what */
    } else {
        lane->doubtful = true;
        pace(lane, CLUSTER_PACE_MS);
        end(part, COAT_STORE_DOWN);
    }
}

static bool
goes_again(const cluster_part *part)
{
    const coat_store_req *req = &part->req;
    const remote_pending *p = (const remote_pending *)(const void *)req->priv;

    if (part->kind != PART_REQUEST || part->lane->closing || part->tries >= CLUSTER_TRIES_MAX)
        return false;
    if (part->again)
        return true;
    /* Its node's lane was closed: that is no answer. What was never sent cannot take place. */
    return req->result == COAT_CANCELLED && (remote_is_idempotent(req->op) || p->tries == 0);
}

static void
part_done(coat_store_req *req)
{
    cluster_part *part = cluster_part_of(req);
    cluster_lane *lane = part->lane;

    if (part->again && !lane->doubtful) {
        lane->doubtful = true;
        pace(lane, CLUSTER_PACE_MS);
    }
    if (goes_again(part)) {
        cluster_send_later(part);
        return;
    }
    if (req->result == COAT_CANCELLED && !lane->closing)
        req->result = COAT_STORE_DOWN;
    if (req->result == COAT_STORE_DOWN && !lane->trouble) {
        lane->trouble = true;
        pace(lane, usual_pace(lane));
    }
    part->ended(part);
}

static void
send_waiting(cluster_lane *lane)
{
    cluster_part *part = lane->waiting, *next;
    int64_t now_ms = now_of(lane);

    lane->waiting = NULL;
    lane->waiting_end = &lane->waiting;
    for (; part != NULL; part = next) {
        next = part->next;
        if (part->next_ms <= now_ms || lane->closing) {
            cluster_send(part);
        } else {
            part->next = NULL;
            *lane->waiting_end = part;
            lane->waiting_end = &part->next;
        }
    }
}

/* ---- who has what ---- */

static void
asked(cluster_part *part)
{
    cluster_lane *lane = part->lane;

    lane->asking = false;
    if (part->req.result == COAT_OK)
        lane->doubtful = false;
    pace(lane, lane->trouble || lane->waiting != NULL ? CLUSTER_PACE_MS : CLUSTER_CALM_MS);
    free(part);
}

/** The next node that answers. Its reply is installed by the link that it comes on. */
static void
ask(cluster_lane *lane, int64_t now_ms)
{
    cluster_part *part;
    uint32_t at = lane->asked_seat, tried = 0;

    do
        at = (at + 1) % CLUSTER_SEATS_MAX;
    while (++tried < CLUSTER_SEATS_MAX &&
           (at >= lane->seat_count || !is_ready(&lane->seats[at])));
    if (at >= lane->seat_count || !is_ready(&lane->seats[at]))
        return;
    part = calloc(1, sizeof *part);
    if (part == NULL)
        return;
    lane->asked_seat = at;
    lane->asked_ms = now_ms;
    lane->asking = true;
    part->kind = PART_TOPOLOGY;
    part->lane = lane;
    part->seat = (uint8_t)at;
    part->req.op = COAT_OP_EPOCHS; /* a question, to who sends it */
    part->deadline_ms = now_ms + coat_store_timeout_of(lane->base.store);
    part->ended = asked;
    cluster_send(part);
}

static void
on_pace(uv_timer_t *timer)
{
    cluster_lane *lane = timer->data;
    int64_t now_ms = now_of(lane);

    sync_seats(lane);
    choose_seats(lane, now_ms);
    if (lane->watch != NULL)
        cluster_watch_sync(lane->watch);
    if (!lane->asking && ((lane->doubtful && now_ms - lane->asked_ms >= CLUSTER_PACE_MS) ||
                          (lane->trouble && now_ms - lane->asked_ms >= CLUSTER_LOOK_MS)))
        ask(lane, now_ms);
    send_waiting(lane);
    pace(lane, usual_pace(lane));
}

/* ---- the store's functions ---- */

static void
run_once(cluster_lane *lane, uv_run_mode mode)
{
    if (lane->running)
        return; /* a callback waits for another request: it must not */
    lane->running = true;
    remote_run(&lane->own, mode);
    lane->running = false;
}

/** Nobody drives an idle lane of its own loop: see first what has become of its links. */
static void
look_around(cluster_lane *lane)
{
    if (!lane->owned || lane->running || lane->closing || lane->outstanding > 0)
        return;
    uv_ref((uv_handle_t *)&lane->pace);
    (void)uv_timer_start(&lane->pace, on_pace, 0, 0);
    run_once(lane, UV_RUN_NOWAIT);
}

coat_err
cluster_lane_open(coat_store *base, struct uv_loop_s *loop, coat_lane **out)
{
    cluster_lane *lane = calloc(1, sizeof *lane);

    if (lane == NULL)
        return COAT_NO_MEMORY;
    if (loop == NULL && uv_loop_init(&lane->own) != 0) {
        free(lane);
        return COAT_NO_MEMORY;
    }
    lane->base.store = base;
    lane->owned = loop == NULL;
    lane->loop = lane->owned ? &lane->own : loop;
    lane->waiting_end = &lane->waiting;
    memset(lane->seat_of, CLUSTER_NOBODY, sizeof lane->seat_of);
    (void)uv_timer_init(lane->loop, &lane->pace);
    lane->pace.data = lane;
    sync_seats(lane);
    choose_seats(lane, now_of(lane));
    pace(lane, usual_pace(lane));
    *out = &lane->base;
    return COAT_OK;
}

static void
on_close(uv_handle_t *handle)
{
    cluster_lane *lane = handle->data;

    if (!lane->owned)
        free(lane);
}

void
cluster_lane_close(coat_lane *base)
{
    cluster_lane *lane = (cluster_lane *)base;

    lane->closing = true;
    send_waiting(lane); /* which cancels it */
    for (uint32_t i = 0; i < lane->seat_count; i++)
        close_seat(lane, i);
    uv_close((uv_handle_t *)&lane->pace, on_close);
    if (!lane->owned)
        return;
    remote_run(&lane->own, UV_RUN_DEFAULT);
    (void)uv_loop_close(&lane->own);
    free(lane);
}

void
cluster_answer(cluster_lane *lane, coat_store_req *req, coat_err result)
{
    lane->outstanding--;
    remote_pending_of(req)->answered = true;
    req->result = result;
    req->done(req);
}

static void
one_item(coat_store_req *req, const coat_store_item *item)
{
    coat_store_req *whole = cluster_part_of(req)->ctx;

    whole->count = req->count;
    whole->item(whole, item);
}

static void
one_ended(cluster_part *part)
{
    coat_store_req *whole = part->ctx;
    const coat_store_req *req = &part->req;
    coat_err result = req->result;

    whole->epoch_owner = req->epoch_owner;
    whole->epoch_global = req->epoch_global;
    whole->found = req->found;
    whole->found_version = req->found_version;
    whole->found_expires_ms = req->found_expires_ms;
    whole->found_clock_ms = req->found_clock_ms;
    whole->count = req->count;
    whole->more = req->more;
    whole->has_cursor = req->has_cursor;
    whole->cursor = req->cursor;
    cluster_answer(part->lane, whole, result);
    free(part);
}

static void
send_one(cluster_lane *lane, coat_store_req *req, int64_t deadline_ms)
{
    cluster_part *part = calloc(1, sizeof *part);

    if (part == NULL) {
        cluster_answer(lane, req, COAT_NO_MEMORY);
        return;
    }
    part->lane = lane;
    part->req = *req;
    part->req.item = req->item != NULL ? one_item : NULL;
    part->bucket = cluster_bucket_of_request(req);
    part->deadline_ms = deadline_ms;
    part->ended = one_ended;
    part->ctx = req;
    cluster_send(part);
}

void
cluster_submit(coat_lane *base, coat_store_req *req)
{
    cluster_lane *lane = (cluster_lane *)base;
    redis_cluster *cluster = cluster_of_lane(lane);
    int64_t deadline_ms;

    *remote_pending_of(req) = (remote_pending){0};
    atomic_fetch_add_explicit(&cluster->operations[req->op], 1, memory_order_relaxed);
    look_around(lane);
    lane->outstanding++;
    deadline_ms = now_of(lane) + req->timeout_ms;
    if (lane->closing || lane->outstanding > REMOTE_WAITING_MAX) {
        cluster_answer(lane, req, lane->closing ? COAT_CANCELLED : COAT_BUSY);
        return;
    }
    switch (req->op) {
    case COAT_OP_END_ALL:
        cluster_end_all(lane, req, deadline_ms);
        break;
    case COAT_OP_SWEEP:
        cluster_sweep(lane, req, deadline_ms);
        break;
    case COAT_OP_SCAN:
        cluster_scan(lane, req, deadline_ms);
        break;
    case COAT_OP_SAY:
        if (req->unordered)
            send_one(lane, req, deadline_ms);
        else
            cluster_say(lane, req, deadline_ms);
        break;
    default:
        send_one(lane, req, deadline_ms);
        break;
    }
}

void
cluster_wait(coat_lane *base, coat_store_req *req)
{
    cluster_lane *lane = (cluster_lane *)base;

    while (!remote_pending_of(req)->answered && lane->owned && !lane->running)
        run_once(lane, UV_RUN_ONCE);
}
