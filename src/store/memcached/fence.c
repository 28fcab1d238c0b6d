/* SPDX-License-Identifier: Apache-2.0 */
/**
 * A write that was under way when its connection was dropped may still reach the server, at any
 * time. All our writes name the item as it was (or that there was none), so they come too late
 * for an item that has changed since. SWEEP therefore writes each such item once more, as it
 * is: what has not taken place by then never will.
 */

#include "store/memcached/memcached.h"

static bool
is_same(const mc_place *a, const mc_place *b)
{
    return a->space == b->space &&
           memcmp(a->address.bytes, b->address.bytes, sizeof a->address.bytes) == 0;
}

/** Under the mutex. */
static void
add_doubt(mc_node *node, const mc_place *place)
{
    for (size_t i = 0; i < node->doubt_count; i++)
        if (is_same(&node->doubts[i], place))
            return;
    if (node->doubt_count == node->doubt_cap) {
        size_t cap = node->doubt_cap == 0 ? 64 : node->doubt_cap * 2;
        mc_place *grown = NULL;

        if (cap <= MC_DOUBTS_MAX)
            grown = reallocarray(node->doubts, cap, sizeof *grown);
        if (grown == NULL) {
            node->doubts_lost = true;
            return;
        }
        node->doubts = grown;
        node->doubt_cap = cap;
    }
    node->doubts[node->doubt_count++] = *place;
}

static void
doubt_op(mc_node *node, const mc_op *op)
{
    static const mc_place life;

    if (op->writes_item)
        add_doubt(node, &op->place);
    if (op->writes_life)
        add_doubt(node, &life);
}

void
mc_doubt(mc_link *link)
{
    mc_node *node = mc_node_of_link(link);

    pthread_mutex_lock(&node->remote.mutex);
    for (coat_store_req *req = link->base.flight.head; req != NULL;
         req = remote_pending_of(req)->next) {
        const mc_op *op = remote_pending_of(req)->data;

        if (op != NULL)
            doubt_op(node, op);
    }
    for (const mc_op *op = link->own; op != NULL; op = op->next)
        doubt_op(node, op);
    pthread_mutex_unlock(&node->remote.mutex);
}

bool
mc_fences_start(mc_link *link, mc_op *op)
{
    mc_node *node = mc_node_of_link(link);
    mc_place *places = NULL;
    size_t count;
    bool ok = true;

    pthread_mutex_lock(&node->remote.mutex);
    count = node->doubt_count;
    op->failed = node->doubts_lost;
    if (count > 0)
        places = reallocarray(NULL, count, sizeof *places);
    if (places != NULL)
        memcpy(places, node->doubts, count * sizeof *places);
    else
        op->failed = op->failed || count > 0;
    pthread_mutex_unlock(&node->remote.mutex);
    for (size_t i = 0; places != NULL && ok && i < count; i++) {
        op->fences++;
        ok = mc_op_start(link, MC_OP_FENCE, &places[i], NULL, op->req);
    }
    free(places);
    return ok;
}

static void
settle(mc_node *node, const mc_place *place)
{
    pthread_mutex_lock(&node->remote.mutex);
    for (size_t i = 0; i < node->doubt_count; i++)
        if (is_same(&node->doubts[i], place)) {
            node->doubts[i] = node->doubts[--node->doubt_count];
            break;
        }
    pthread_mutex_unlock(&node->remote.mutex);
}

static void
end_fence(mc_link *link, mc_op *op, bool settled)
{
    mc_op *sweep = remote_pending_of(op->req)->data;

    if (settled)
        settle(mc_node_of_link(link), &op->place);
    else
        sweep->failed = true;
    mc_op_drop(link, op);
    if (--sweep->fences == 0)
        mc_op_finish(link, sweep, sweep->failed ? COAT_STORE_DOWN : COAT_OK);
}

/**
 * An item that is not there may be added late: so an empty one is put in its place. It is of no
 * life: whoever looks at it sees none.
 */
static bool
put_nothing(mc_link *link, mc_op *op)
{
    mc_box none = {.space = op->place.space, .address = op->place.address};
    remote_buffer box = {0};
    mc_write write = {.place = &op->place, .adds = true, .ttl_s = MC_EMPTY_S};
    bool ok;

    /* A life is begun by the next who looks. */
    if (op->place.space != 0) {
        mc_box_begin(&none, &box);
        mc_box_end(&box, 0, 0);
    }
    write.value = (coat_span){box.ptr, box.len};
    ok = !box.failed && mc_say_write(link, op, &write, DUE_WRITE);
    remote_buffer_free(&box);
    return ok;
}

static bool
put_again(mc_link *link, mc_op *op, const mc_reply *reply)
{
    mc_write write = {.place = &op->place,
                      .value = reply->value,
                      .cas = reply->cas,
                      .ttl_s = reply->ttl_s < 0 ? 0 : reply->ttl_s + 1};

    return mc_say_write(link, op, &write, DUE_WRITE);
}

void
mc_fence_reply(mc_link *link, mc_op *op, const mc_due *due, const mc_reply *reply)
{
    if (due->kind == DUE_ITEM) {
        bool ok = reply->code == MC_VA ? put_again(link, op, reply) : put_nothing(link, op);

        if (ok)
            remote_link_queued(&link->base);
        else
            mc_fail(link, "out of memory");
        return;
    }
    op->writes_item = false;
    if (reply->code == MC_NF) { /* gone since: look again */
        remote_link_queued(&link->base);
        (void)mc_say_look(link, op, &op->place, DUE_ITEM);
        return;
    }
    /* HD: written; EX, NS: somebody else has changed it. A line: it could not be. */
    end_fence(link, op, reply->code != MC_LINE);
}
