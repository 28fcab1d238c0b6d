/* SPDX-License-Identifier: Apache-2.0 */
/**
 * SAY. A message is to come behind every change, and changes come from all nodes: so each node
 * that has a bucket says it, and who hears it from all of them has heard what was before. In
 * three steps, each when the one before is over:
 *
 *  1. Each node is asked who has what. If one of them sees another cluster than we, somebody
 *     may change sessions on a node that is not listened to: nothing is said until they agree.
 *  2. The node with the register enters who says it there, and says it.
 *  3. The others say it. Not earlier: an instance that is not in the register when it is read
 *     has said its beat, which its lease is reckoned from, to no other node yet.
 */

#include "store/redis/cluster.h"

#include <stdlib.h>

typedef struct say_op say_op;
struct say_op {
    coat_store_req *req;
    cluster_lane *lane;
    int64_t deadline_ms;
    uint64_t shape; /* as the cluster was when it began */
    uint32_t left;  /* parts that have not ended, and one while they are being sent */
    uint8_t rounds; /* of questions */
    coat_err result;
    void (*next)(say_op *say); /* when they all have */
    uint32_t count;
    uint8_t seats[CLUSTER_SEATS_MAX]; /* that have buckets: the first one the register's */
    uint16_t buckets[CLUSTER_SEATS_MAX];
    cluster_part parts[CLUSTER_SEATS_MAX];
};

static void
finish(say_op *say)
{
    cluster_lane *lane = say->lane;
    coat_store_req *req = say->req;
    coat_err result = say->result;

    free(say);
    cluster_answer(lane, req, result);
}

static void
part_ended(cluster_part *part)
{
    say_op *say = part->ctx;

    if (say->result == COAT_OK)
        say->result = part->req.result;
    if (--say->left == 0)
        say->next(say);
}

static void
send_parts(say_op *say, uint32_t from, uint32_t to, void (*next)(say_op *say))
{
    say->next = next;
    say->left = to - from + 1;
    for (uint32_t i = from; i < to; i++)
        cluster_send(&say->parts[i]);
    if (--say->left == 0)
        say->next(say);
}

static void
report(coat_store_req *req, const coat_store_item *item)
{
    say_op *say = cluster_part_of(req)->ctx;

    say->req->item(say->req, item);
}

static void
make_part(say_op *say, uint32_t i, cluster_part_kind kind)
{
    say->parts[i] = (cluster_part){.lane = say->lane,
                                   .kind = kind,
                                   .bucket = say->buckets[i],
                                   .seat = say->seats[i],
                                   .deadline_ms = say->deadline_ms,
                                   .shape = kind == PART_SAY ? say->shape : 0,
                                   .ended = part_ended,
                                   .ctx = say};
    if (kind == PART_SAY)
        say->parts[i].req = *say->req;
    else
        say->parts[i].req.op = COAT_OP_EPOCHS; /* a question, to who sends it */
    say->parts[i].req.item = NULL;
}

static void
entered(say_op *say)
{
    say->req->found_version = say->parts[0].req.found_version;
    for (uint32_t i = 1; i < say->count && say->result == COAT_OK; i++) {
        make_part(say, i, PART_SAY);
        say->parts[i].version = say->req->found_version;
    }
    if (say->result == COAT_OK)
        send_parts(say, 1, say->count, finish);
    else
        finish(say);
}

static bool
all_agree(const say_op *say)
{
    redis_cluster *cluster = cluster_of_lane(say->lane);
    bool agree = say->count > 0 && say->buckets[0] == CLUSTER_REGISTER;

    pthread_mutex_lock(&cluster->home.remote.mutex);
    agree = agree && cluster->shape == say->shape;
    pthread_mutex_unlock(&cluster->home.remote.mutex);
    for (uint32_t i = 0; i < say->count; i++)
        agree = agree && say->parts[i].shape == say->shape;
    return agree;
}

static void ask(say_op *say);

static void
asked(say_op *say)
{
    if (say->result == COAT_OK && !all_agree(say)) {
        cluster_ask_soon(say->lane);
        ask(say);
        return;
    }
    if (say->result != COAT_OK) {
        finish(say);
        return;
    }
    make_part(say, 0, PART_SAY);
    say->parts[0].req.item = say->req->item != NULL ? report : NULL;
    send_parts(say, 0, 1, entered);
}

/** Who has buckets, each with one of them. */
static void
take_seats(say_op *say)
{
    redis_cluster *cluster = cluster_of_lane(say->lane);
    uint64_t taken = 0;

    say->count = 0;
    pthread_mutex_lock(&cluster->home.remote.mutex);
    say->shape = cluster->shape;
    for (uint16_t i = 0; i < CLUSTER_BUCKETS; i++) {
        uint16_t bucket = (uint16_t)((CLUSTER_REGISTER + i) % CLUSTER_BUCKETS);
        uint8_t seat = cluster->seat_of[bucket];

        if (seat == CLUSTER_NOBODY || (taken >> seat & 1) != 0)
            continue;
        taken |= (uint64_t)1 << seat;
        say->seats[say->count] = seat;
        say->buckets[say->count++] = bucket;
    }
    pthread_mutex_unlock(&cluster->home.remote.mutex);
}

/** Of a cluster that nothing is known of yet, whoever serves it: nobody can be asked, later. */
static void
ask(say_op *say)
{
    uint32_t count;

    take_seats(say);
    count = say->count > 0 ? say->count : 1;
    say->next = asked;
    say->left = count + 1;
    for (uint32_t i = 0; i < count; i++) {
        make_part(say, i, PART_TOPOLOGY);
        say->parts[i].tries = say->rounds;
        if (say->rounds > 0)
            cluster_send_later(&say->parts[i]);
        else
            cluster_send(&say->parts[i]);
    }
    if (say->rounds < 4)
        say->rounds++;
    if (--say->left == 0)
        asked(say);
}

void
cluster_say(cluster_lane *lane, coat_store_req *req, int64_t deadline_ms)
{
    say_op *say = calloc(1, sizeof *say);

    if (say == NULL) {
        cluster_answer(lane, req, COAT_NO_MEMORY);
        return;
    }
    say->lane = lane;
    say->req = req;
    say->deadline_ms = deadline_ms;
    ask(say);
}
