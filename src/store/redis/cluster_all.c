/* SPDX-License-Identifier: Apache-2.0 */
/**
 * Requests to all buckets.
 *
 * END_ALL reads the global epochs of all buckets, has one of them give out a higher one, and
 * puts that into all: OK when all have answered each time. What a bucket had when END_ALL began
 * is stamped with less than that number, whatever others do meanwhile and whatever clocks say.
 * What does not reach all is spread by whoever has seen it, as on a single server; SWEEP first
 * makes all even again.
 *
 * SWEEP walks through the buckets in groups.
 */

#include "store/redis/cluster.h"

#include <stdlib.h>

enum { GROUPS = CLUSTER_BUCKETS / CLUSTER_GROUP, WHOLE_GROUP = (1 << CLUSTER_GROUP) - 1 };

typedef struct all_op all_op;
struct all_op {
    coat_store_req *req;
    cluster_lane *lane;
    int64_t deadline_ms, began_ms;
    int64_t until_ms; /* for what is asked now: one who does not answer must not keep END_ALL
                       * from the others */
    uint32_t left;    /* parts that have not ended, and one while they are being sent */
    coat_err result;
    void (*next)(all_op *all); /* when they all have */
    uint64_t epoch;            /* of END_ALL, as it is put into all */
    uint32_t answered;         /* a part that was answered OK */
    uint64_t ends_failed;      /* when a SWEEP began to make all even */
    uint32_t looked, erased;
    uint32_t group, asked; /* of the walk: where it was, and who was asked */
    uint64_t walk_steps;
    cluster_part parts[CLUSTER_BUCKETS];
};

static remote_store *
home_of(const all_op *all)
{
    return &cluster_of_lane(all->lane)->home.remote;
}

static all_op *
all_new(cluster_lane *lane, coat_store_req *req, int64_t deadline_ms)
{
    all_op *all = calloc(1, sizeof *all);

    if (all == NULL) {
        cluster_answer(lane, req, COAT_NO_MEMORY);
        return NULL;
    }
    all->req = req;
    all->lane = lane;
    all->deadline_ms = deadline_ms;
    all->until_ms = deadline_ms;
    all->began_ms = remote_now_ms(home_of(all));
    return all;
}

static void
all_finish(all_op *all, coat_err result)
{
    cluster_lane *lane = all->lane;
    coat_store_req *req = all->req;

    free(all);
    cluster_answer(lane, req, result);
}

static void
one_less(all_op *all)
{
    if (--all->left == 0)
        all->next(all);
}

static void
part_ended(cluster_part *part)
{
    all_op *all = part->ctx;

    if (part->req.result == COAT_OK)
        all->answered = part->bucket;
    else if (all->result == COAT_OK)
        all->result = part->req.result;
    one_less(all);
}

/** A part anew, not yet sent. */
static cluster_part *
part_at(all_op *all, uint32_t i, coat_op op)
{
    cluster_part *part = &all->parts[i];

    *part = (cluster_part){.lane = all->lane,
                           .bucket = (uint16_t)i,
                           .deadline_ms = all->until_ms,
                           .ended = part_ended,
                           .ctx = all};
    part->req.op = op;
    part->req.now_ms = all->req->now_ms;
    return part;
}

static void
ask_all(all_op *all, coat_op op, void (*next)(all_op *all))
{
    all->next = next;
    all->left = CLUSTER_BUCKETS + 1;
    all->answered = CLUSTER_BUCKETS;
    for (uint32_t i = 0; i < CLUSTER_BUCKETS; i++)
        part_at(all, i, op)->req.again = all->epoch;
    for (uint32_t i = 0; i < CLUSTER_BUCKETS; i++)
        cluster_send(&all->parts[i]);
    one_less(all);
}

/* ---- END_ALL ---- */

static void
end_all_done(all_op *all)
{
    redis_cluster *cluster = cluster_of_lane(all->lane);

    all->req->epoch_global = 0;
    for (uint32_t i = 0; i < CLUSTER_BUCKETS; i++)
        if (all->parts[i].req.result == COAT_OK &&
            all->parts[i].req.epoch_global > all->req->epoch_global)
            all->req->epoch_global = all->parts[i].req.epoch_global;
    if (all->result != COAT_OK) {
        pthread_mutex_lock(&cluster->home.remote.mutex);
        cluster->ends_failed++;
        pthread_mutex_unlock(&cluster->home.remote.mutex);
    }
    all_finish(all, all->result);
}

static void
raised(all_op *all)
{
    /* Not known, but perhaps given out: who has seen it will spread it. */
    if (all->answered == CLUSTER_BUCKETS) {
        end_all_done(all);
        return;
    }
    all->epoch = all->parts[all->answered].req.epoch_global;
    all->until_ms = all->deadline_ms;
    ask_all(all, COAT_OP_END_ALL, end_all_done);
}

/** All epochs that were answered have been seen: what is given out now is higher than they. */
static void
epochs_read(all_op *all)
{
    uint32_t bucket = all->answered;

    if (bucket == CLUSTER_BUCKETS) {
        end_all_done(all);
        return;
    }
    all->until_ms = all->began_ms + (all->deadline_ms - all->began_ms) * 2 / 3;
    all->next = raised;
    all->left = 1;
    all->answered = CLUSTER_BUCKETS;
    cluster_send(part_at(all, bucket, COAT_OP_END_ALL));
}

void
cluster_end_all(cluster_lane *lane, coat_store_req *req, int64_t deadline_ms)
{
    all_op *all = all_new(lane, req, deadline_ms);

    if (all == NULL)
        return;
    all->epoch = req->again;
    if (req->again != 0) {
        ask_all(all, COAT_OP_END_ALL, end_all_done);
        return;
    }
    all->until_ms = all->began_ms + (deadline_ms - all->began_ms) / 3;
    ask_all(all, COAT_OP_EPOCHS, epochs_read);
}

/* ---- SWEEP ---- */

static void walk(all_op *all);

/** @return false: another SWEEP was faster, and knows */
static bool
move_on(all_op *all, bool *end)
{
    redis_cluster *cluster = cluster_of_lane(all->lane);
    bool ours;

    *end = false;
    pthread_mutex_lock(&cluster->home.remote.mutex);
    ours = cluster->walk_steps == all->walk_steps;
    for (uint32_t i = 0; i < CLUSTER_GROUP && ours; i++) {
        const coat_store_req *req = &all->parts[all->group * CLUSTER_GROUP + i].req;

        if ((all->asked & 1U << i) != 0 && (req->result != COAT_OK || !req->more))
            cluster->pending &= ~(1U << i);
    }
    if (ours) {
        cluster->walk_steps++;
        if (cluster->pending == 0) {
            cluster->pending = WHOLE_GROUP;
            cluster->group = (cluster->group + 1) % GROUPS;
            *end = cluster->group == 0;
        }
    }
    pthread_mutex_unlock(&cluster->home.remote.mutex);
    return ours;
}

static void
walked(all_op *all)
{
    int64_t now_ms = remote_now_ms(home_of(all));
    bool end;

    for (uint32_t i = 0; i < CLUSTER_GROUP; i++) {
        cluster_part *part = &all->parts[all->group * CLUSTER_GROUP + i];

        if ((all->asked & 1U << i) == 0)
            continue;
        /* A slot that began to move between two steps: what is erased is erased. */
        if (part->again && remote_pending_of(&part->req)->step != 0) {
            part->req.result = COAT_OK;
            part->req.more = true;
        }
        if (part->req.result != COAT_OK && all->result == COAT_OK)
            all->result = part->req.result;
        all->erased += part->req.count;
        all->looked += remote_pending_of(&part->req)->count;
    }
    (void)move_on(all, &end);
    all->req->count = all->erased;
    all->req->more = !end;
    if (all->result != COAT_OK || end || all->erased >= all->req->limit ||
        all->looked >= COAT_STORE_SWEEP_MAX ||
        now_ms - all->began_ms >= (all->deadline_ms - all->began_ms) / 2)
        all_finish(all, all->result);
    else
        walk(all);
}

static void
walk_part_ended(cluster_part *part)
{
    one_less(part->ctx);
}

static void
walk(all_op *all)
{
    redis_cluster *cluster = cluster_of_lane(all->lane);
    uint32_t erase = all->req->limit - all->erased, look = COAT_STORE_SWEEP_MAX - all->looked;
    uint32_t pending, most, count = 0;

    pthread_mutex_lock(&cluster->home.remote.mutex);
    all->group = cluster->group;
    all->walk_steps = cluster->walk_steps;
    pending = cluster->pending;
    pthread_mutex_unlock(&cluster->home.remote.mutex);
    most = erase < look ? erase : look;
    all->asked = 0;
    for (uint32_t i = 0; i < CLUSTER_GROUP && count < most; i++) {
        all->asked |= pending & 1U << i;
        count += (pending >> i) & 1U;
    }
    all->next = walked;
    all->left = count + 1;
    for (uint32_t i = 0; i < CLUSTER_GROUP; i++) {
        cluster_part *part = part_at(all, all->group * CLUSTER_GROUP + i, COAT_OP_SWEEP);

        part->req.limit = erase / count;
        part->look = look / count;
        part->ended = walk_part_ended;
    }
    for (uint32_t i = 0; i < CLUSTER_GROUP; i++)
        if ((all->asked & 1U << i) != 0)
            cluster_send(&all->parts[all->group * CLUSTER_GROUP + i]);
    one_less(all);
}

static void
evened(all_op *all)
{
    redis_cluster *cluster = cluster_of_lane(all->lane);

    if (all->result != COAT_OK) {
        all_finish(all, all->result);
        return;
    }
    pthread_mutex_lock(&cluster->home.remote.mutex);
    if (cluster->leveled < all->ends_failed)
        cluster->leveled = all->ends_failed;
    pthread_mutex_unlock(&cluster->home.remote.mutex);
    walk(all);
}

static void
uneven_read(all_op *all)
{
    all->epoch = atomic_load(&cluster_of_lane(all->lane)->home.global);
    if (all->result != COAT_OK || all->epoch == 0)
        evened(all);
    else
        ask_all(all, COAT_OP_END_ALL, evened);
}

static void
settled(all_op *all)
{
    redis_cluster *cluster = cluster_of_lane(all->lane);
    bool even;

    if (all->result != COAT_OK) {
        all_finish(all, all->result);
        return;
    }
    pthread_mutex_lock(&cluster->home.remote.mutex);
    all->ends_failed = cluster->ends_failed;
    even = cluster->leveled == cluster->ends_failed;
    pthread_mutex_unlock(&cluster->home.remote.mutex);
    if (even)
        walk(all);
    else
        ask_all(all, COAT_OP_EPOCHS, uneven_read);
}

static bool
is_in_doubt(cluster_seat *seat)
{
    redis_store *store = &seat->store;
    bool doubt;

    pthread_mutex_lock(&store->remote.mutex);
    doubt = store->doubt_count > 0 || store->lost_on[0] != '\0';
    pthread_mutex_unlock(&store->remote.mutex);
    return doubt;
}

/**
 * First what was in flight on dropped connections is decided, on each node that serves. What a
 * node does that serves no more is nothing: its successor has other data, which it will take
 * over before it serves again.
 */
void
cluster_sweep(cluster_lane *lane, coat_store_req *req, int64_t deadline_ms)
{
    redis_cluster *cluster = cluster_of_lane(lane);
    all_op *all = all_new(lane, req, deadline_ms);
    uint32_t count = 0;

    if (all == NULL)
        return;
    pthread_mutex_lock(&cluster->home.remote.mutex);
    for (uint32_t i = 0; i < cluster->seat_count; i++)
        if (cluster->seats[i]->named && is_in_doubt(cluster->seats[i])) {
            cluster_part *part = part_at(all, count++, COAT_OP_SWEEP);

            part->kind = PART_SETTLE;
            part->seat = (uint8_t)i;
        }
    pthread_mutex_unlock(&cluster->home.remote.mutex);
    all->next = settled;
    all->left = count + 1;
    for (uint32_t i = 0; i < count; i++)
        cluster_send(&all->parts[i]);
    one_less(all);
}
