/* SPDX-License-Identifier: Apache-2.0 */
/**
 * A request looks at the server's life and at its item, in one write; decides what to make of
 * it (apply.c); and writes that, if the item is still the one it saw. If somebody was faster it
 * begins anew. Everything of one operation goes over one connection.
 */

#include "store/memcached/memcached.h"

#include "core/out.h"

#include <time.h>

enum { MONTH_S = 30 * 24 * 3600 };

/* ---- commands ---- */

static void
put_key(coat_out *out, const mc_store *store, const mc_place *place)
{
    coat_out_str(out, store->prefix);
    switch ((int)place->space) {
    case 0:
        coat_out_str(out, "life");
        break;
    case COAT_SPACE_SESSION:
        coat_out_str(out, "o:");
        coat_out_hex(out, place->address.bytes + 8, 8);
        break;
    default:
        coat_out_str(out, place->space == COAT_SPACE_ACCOUNT ? "a:" : "m:");
        coat_out_hex(out, place->address.bytes, sizeof place->address.bytes);
        break;
    }
}

/** The number by which the reply is known, and the end of the line. */
static void
put_end(coat_out *out, mc_link *link)
{
    uint8_t number[8];

    coat_store64be(number, ++link->number);
    coat_out_str(out, " O");
    coat_out_hex(out, number, sizeof number);
    coat_out_str(out, "\r\n");
}

bool
mc_say_look(mc_link *link, mc_op *op, const mc_place *place, mc_due_kind due)
{
    char text[MC_KEY_MAX + 64];
    coat_out out = coat_out_init(text, sizeof text);

    coat_out_str(&out, "mg ");
    put_key(&out, mc_node_of_link(link)->store, place);
    coat_out_str(&out, op->kind == MC_OP_FENCE ? " v c t" : " v c");
    put_end(&out, link);
    remote_buffer_add(&link->out, text, out.len);
    return mc_expect(link, op, due);
}

/** Over 30 days it is a time, not a duration (ST-7); what does not fit 31 bits is for ever. */
static uint64_t
time_to_live(int64_t ttl_s)
{
    int64_t at = ttl_s <= MONTH_S ? ttl_s : (int64_t)time(NULL) + ttl_s;

    return at > INT32_MAX ? 0 : (uint64_t)at;
}

bool
mc_say_write(mc_link *link, mc_op *op, const mc_write *write, mc_due_kind due)
{
    char text[MC_KEY_MAX + 128];
    coat_out out = coat_out_init(text, sizeof text);

    coat_out_str(&out, "ms ");
    put_key(&out, mc_node_of_link(link)->store, write->place);
    coat_out_str(&out, " ");
    coat_out_uint(&out, write->value.len);
    coat_out_str(&out, " T");
    coat_out_uint(&out, time_to_live(write->ttl_s));
    if (write->adds) {
        coat_out_str(&out, " ME");
    } else {
        coat_out_str(&out, " C");
        coat_out_uint(&out, write->cas);
    }
    put_end(&out, link);
    remote_buffer_add(&link->out, text, out.len);
    remote_buffer_add(&link->out, write->value.ptr, write->value.len);
    remote_buffer_add(&link->out, "\r\n", 2);
    remote_buffer_add(&link->cuts, &link->out.len, sizeof link->out.len);
    if (due == DUE_REVIVE)
        op->writes_life = true;
    else
        op->writes_item = true;
    return mc_expect(link, op, due);
}

/** What cannot be written, and was to end something, is deleted: fewer sessions, not more. */
static bool
say_erase(mc_link *link, mc_op *op)
{
    char text[MC_KEY_MAX + 64];
    coat_out out = coat_out_init(text, sizeof text);

    coat_out_str(&out, "md ");
    put_key(&out, mc_node_of_link(link)->store, &op->place);
    coat_out_str(&out, " C");
    coat_out_uint(&out, op->item_cas);
    put_end(&out, link);
    remote_buffer_add(&link->out, text, out.len);
    op->erases = true;
    op->writes_item = true;
    return mc_expect(link, op, DUE_WRITE);
}

/* ---- the course of an operation ---- */

void
mc_op_free(mc_op *op)
{
    if (op == NULL)
        return;
    mc_change_free(&op->change);
    free(op);
}

void
mc_op_drop(mc_link *link, mc_op *op)
{
    mc_op **at = &link->own;

    while (*at != NULL && *at != op)
        at = &(*at)->next;
    if (*at != NULL)
        *at = op->next;
    mc_op_free(op);
}

static const mc_place life_place;

static bool
is_of_life(const mc_op *op)
{
    return op->kind == MC_OP_GREET ||
           (op->kind == MC_OP_REQUEST &&
            (op->req->op == COAT_OP_END_ALL || op->req->op == COAT_OP_SWEEP));
}

/** Look, or look again. */
static bool
look(mc_link *link, mc_op *op)
{
    if (!mc_say_look(link, op, &life_place, DUE_LIFE))
        return false;
    if (!is_of_life(op) && !mc_say_look(link, op, &op->place, DUE_ITEM))
        return false;
    remote_link_queued(&link->base);
    return true;
}

/** A link's own operation is done: what waits for it goes on. */
void
mc_op_finish(mc_link *link, mc_op *op, coat_err result)
{
    coat_store_req *req = op->req;

    if (op->kind != MC_OP_REQUEST) {
        mc_op_drop(link, op);
        if (result == COAT_OK)
            mc_hello_go_on(link);
        else
            mc_fail(link, "what was ended before cannot be said again");
        return;
    }
    if (result != COAT_STORE_DOWN)
        remote_note_good(&mc_node_of_link(link)->remote);
    remote_pending_of(req)->data = NULL;
    req->result = result;
    remote_answer(req); /* what was found is in the reply */
    mc_op_free(op);
}

static void
turn(mc_link *link, mc_op *op)
{
    mc_change_free(&op->change);
    op->has_life = op->has_item = op->erases = false;
    if (++op->turns < MC_TURNS_MAX)
        (void)look(link, op);
    else
        mc_op_finish(link, op, COAT_STORE_DOWN);
}

static mc_op *
new_op(mc_op_kind kind, const mc_place *place, coat_store_req *req)
{
    mc_op *op = calloc(1, sizeof *op);

    if (op != NULL) {
        op->kind = kind;
        op->place = *place;
        op->req = req;
    }
    return op;
}

coat_err
mc_send(remote_link *base, coat_store_req *req)
{
    mc_link *link = (mc_link *)base;
    mc_place place = mc_place_of(req);
    mc_op *op = new_op(MC_OP_REQUEST, &place, req);

    if (op == NULL)
        return COAT_NO_MEMORY;
    remote_pending_of(req)->data = op;
    /* Without memory for what is due the link fails at its flush, and this request with it. */
    (void)look(link, op);
    return COAT_OK;
}

bool
mc_op_start(mc_link *link, mc_op_kind kind, const mc_place *place, const mc_ended *ended,
            coat_store_req *req)
{
    mc_op *op = new_op(kind, place, req);

    if (op == NULL) {
        mc_fail(link, "out of memory");
        return false;
    }
    if (ended != NULL)
        op->ended = *ended;
    op->next = link->own;
    link->own = op;
    if (kind != MC_OP_FENCE)
        return look(link, op);
    remote_link_queued(&link->base);
    return mc_say_look(link, op, place, DUE_ITEM);
}

/* ---- the life of a server ---- */

/**
 * Begin a life: none of the boxes there is of it. Random, so that none ever will be.
 */
static bool
begin_life(mc_link *link, mc_op *op, const mc_reply *reply, const mc_life *was)
{
    mc_store *store = mc_node_of_link(link)->store;
    uint8_t bytes[MC_LIFE_BYTES];
    mc_life life = {.generation = store->generation,
                    .ring = store->ring_id,
                    .global = atomic_load(&store->global)};
    mc_write write = {.place = &life_place,
                      .value = {bytes, sizeof bytes},
                      .adds = reply->code == MC_EN,
                      .cas = reply->cas};

    if (!mc_random(link, &life.birth))
        return false;
    if (was != NULL && was->global > life.global)
        life.global = was->global;
    mc_life_encode(&life, bytes);
    op->turns++;
    return mc_say_write(link, op, &write, DUE_REVIVE);
}

static bool
raise_global(mc_link *link, mc_op *op, uint64_t global)
{
    uint8_t bytes[MC_LIFE_BYTES];
    mc_life life = op->life;
    mc_write write = {
        .place = &life_place, .value = {bytes, sizeof bytes}, .cas = op->life_cas};

    life.global = global;
    mc_life_encode(&life, bytes);
    return mc_say_write(link, op, &write, DUE_REVIVE);
}

/** Whose list of servers is the right one? @return false: the link was dropped */
static bool
check_ring(mc_link *link, const mc_life *life)
{
    mc_store *store = mc_node_of_link(link)->store;
    const char *wrong = NULL;

    /* Then other servers are of no use either: they may have what was ended elsewhere. */
    if (life->generation > store->generation)
        atomic_store(&store->outdated, true);
    if (atomic_load(&store->outdated))
        wrong = "other machines use a newer list of servers (a higher generation=)";
    else if (life->generation == store->generation && life->ring != store->ring_id)
        wrong = "it was used with another list of servers: give all machines the same list "
                "and a generation= higher than before; everybody signs in again";
    if (wrong != NULL)
        mc_fail(link, wrong);
    return wrong == NULL;
}

/**
 * What was said of the life. @return true: op->life is it; false: a new one is being written,
 * or the link was dropped
 */
static bool
take_life(mc_link *link, mc_op *op, const mc_reply *reply)
{
    mc_store *store = mc_node_of_link(link)->store;
    coat_err err = COAT_NOT_FOUND;
    bool queued = false;

    if (reply->code == MC_VA)
        err = mc_life_decode(reply->value, &op->life);
    if (err == COAT_NEWER_FORMAT) {
        mc_fail(link, "what it keeps was written by a newer version of coatcheck");
        return false;
    }
    if (err == COAT_OK && !check_ring(link, &op->life))
        return false;
    op->life_cas = reply->cas;
    if (err != COAT_OK) {
        queued = begin_life(link, op, reply, NULL);
    } else if (op->life.generation < store->generation) {
        queued = begin_life(link, op, reply, &op->life);
    } else if (mc_global_seen(store, op->life.global) > op->life.global) {
        /* What ended everybody's sessions was not heard here, or is lost (RV-5). */
        queued = raise_global(link, op, atomic_load(&store->global));
    } else {
        op->has_life = true;
        return true;
    }
    if (queued)
        remote_link_queued(&link->base);
    return false;
}

/* ---- replies ---- */

static int64_t
ttl_of(const mc_op *op)
{
    const mc_change *change = &op->change;
    int64_t now_ms = op->kind == MC_OP_REQUEST ? op->req->now_ms : 0, left_ms;

    if (change->count == 0)
        return MC_EMPTY_S;
    if (change->is_forever)
        return 0;
    if (now_ms == 0)
        now_ms = (int64_t)time(NULL) * 1000;
    left_ms = change->until_ms - now_ms;
    /* Later than we refuse it: its clock is not ours. */
    return (left_ms > 0 ? left_ms / 1000 : 0) + MC_SLACK_S;
}

/** What this answer acknowledges as ended, for the journal. */
static void
note_ended(mc_link *link, const mc_op *op)
{
    const coat_store_req *req = op->req;
    mc_ended ended = {.handle = req->address, .number = op->change.number};

    if (req->op == COAT_OP_REMOVE_OWNER) {
        ended.is_owner = true;
        ended.epoch = op->change.epoch;
        ended.has_spare = req->has_spare;
        ended.handle = req->spare;
        memcpy(ended.handle.bytes + 8, req->owner.bytes, sizeof req->owner.bytes);
    } else if (req->op == COAT_OP_INSERT && req->has_superseded) {
        ended.handle = req->superseded;
    } else if (req->op != COAT_OP_REMOVE || req->space != COAT_SPACE_SESSION) {
        return;
    }
    mc_journal_add(mc_node_of_link(link), &ended);
}

static void
report_evicted(coat_store_req *req, const remote_buffer *evicted)
{
    coat_store_item item = {0};

    for (size_t at = 0; at < evicted->len && req->item != NULL; at += 8) {
        memcpy(item.address.bytes, evicted->ptr + at, 8);
        memcpy(item.address.bytes + 8, req->address.bytes + 8, 8);
        req->item(req, &item);
    }
}

/** The request's change has taken place. */
static void
succeed(mc_link *link, mc_op *op)
{
    if (op->kind == MC_OP_REQUEST) {
        note_ended(link, op);
        if (op->req->op == COAT_OP_INSERT) {
            atomic_store(&mc_node_of_link(link)->full, false);
            report_evicted(op->req, &op->change.evicted);
        }
    }
    mc_op_finish(link, op, COAT_OK);
}

static void
write_change(mc_link *link, mc_op *op)
{
    const mc_write write = {.place = &op->place,
                            .value = {op->change.box.ptr, op->change.box.len},
                            .adds = !op->has_item,
                            .cas = op->item_cas,
                            .ttl_s = ttl_of(op)};
    bool is_insert = op->kind == MC_OP_REQUEST && op->req->op == COAT_OP_INSERT;

    if (!mc_say_write(link, op, &write, DUE_WRITE))
        return;
    /* Has somebody ended all sessions since we looked? Then this one is dead already. */
    if (is_insert && !mc_say_look(link, op, &life_place, DUE_AGAIN))
        return;
    remote_link_queued(&link->base);
}

static coat_err
see(mc_link *link, mc_op *op, const mc_reply *reply, mc_sight *sight)
{
    mc_node *node = mc_node_of_link(link);
    coat_err err = COAT_NOT_FOUND;

    *sight = (mc_sight){.birth = op->life.birth,
                        .global = atomic_load(&node->store->global),
                        .size_max = atomic_load(&node->size_max)};
    op->has_item = reply->code == MC_VA;
    op->item_cas = reply->cas;
    if (op->has_item)
        err = mc_box_decode(reply->value, op->place.space, &op->place.address, &sight->box);
    /* Of another life: it was not there when something may have been ended. */
    sight->has_box = err == COAT_OK && sight->box.birth == op->life.birth;
    if (!sight->has_box)
        sight->box = (mc_box){0};
    sight->box.space = op->place.space;
    sight->number = mc_number_next(node->store);
    if (sight->box.last >= sight->number)
        sight->number = sight->box.last + 1;
    op->birth = sight->birth;
    op->global = sight->global;
    return err == COAT_NOT_FOUND ? COAT_OK : err;
}

/**
 * What cannot be read is denied and kept; but it does not keep anybody out for ever: who signs
 * in next begins a new box, and what ends an owner's sessions ends these.
 */
static bool
may_overwrite(const mc_op *op, coat_err err)
{
    if (err == COAT_OK)
        return true;
    if (err == COAT_NEWER_FORMAT || op->kind != MC_OP_REQUEST)
        return false;
    return op->req->op == COAT_OP_EPOCHS || op->req->op == COAT_OP_REMOVE_OWNER;
}

static void
take_item(mc_link *link, mc_op *op, const mc_reply *reply)
{
    mc_sight sight;
    coat_err err;

    if (!op->has_life)
        return; /* it is written anew, and then looked at again */
    err = see(link, op, reply, &sight);
    if (err != COAT_OK)
        atomic_fetch_add_explicit(&mc_node_of_link(link)->remote.unreadable, 1,
                                  memory_order_relaxed);
    if (!may_overwrite(op, err)) {
        mc_op_finish(link, op, op->kind == MC_OP_REQUEST ? err : COAT_OK);
        return;
    }
    err = COAT_OK;
    if (op->kind == MC_OP_ENDED)
        mc_apply_ended(&op->ended, &sight, &op->change);
    else
        err = mc_apply(op->req, &sight, &op->change);
    if (op->change.box.failed)
        err = COAT_NO_MEMORY;
    if (err == COAT_STORE_FULL)
        atomic_store(&mc_node_of_link(link)->full, true);
    if (err != COAT_OK)
        mc_op_finish(link, op, err);
    else if (op->change.writes)
        write_change(link, op);
    else
        succeed(link, op);
}

/** It has no room. What was to end something ends more than that; nothing else happens. */
static void
refused(mc_link *link, mc_op *op)
{
    coat_op what = op->kind == MC_OP_REQUEST ? op->req->op : COAT_OP_REMOVE;
    bool ends = what == COAT_OP_REMOVE || what == COAT_OP_REMOVE_OWNER;

    atomic_store(&mc_node_of_link(link)->full, true);
    if (ends && !op->has_item) {
        succeed(link, op); /* nothing is there that could be ended */
        return;
    }
    if (!ends || op->erases) {
        /* An INSERT's second look is still due: its answer comes then. */
        op->result = COAT_STORE_FULL;
        if (what != COAT_OP_INSERT)
            mc_op_finish(link, op, COAT_STORE_FULL);
        return;
    }
    if (say_erase(link, op))
        remote_link_queued(&link->base);
}

static void
take_written(mc_link *link, mc_op *op, const mc_reply *reply)
{
    bool is_insert = op->kind == MC_OP_REQUEST && op->req->op == COAT_OP_INSERT;
    bool done = reply->code == MC_HD || (op->erases && reply->code == MC_NF);

    op->writes_item = false;
    if (reply->code == MC_LINE) {
        refused(link, op);
        return;
    }
    op->result = done ? COAT_OK : COAT_CONFLICT;
    if (is_insert)
        return; /* the second look follows */
    if (done)
        succeed(link, op);
    else
        turn(link, op);
}

/** An INSERT's look behind its write. */
static void
take_again(mc_link *link, mc_op *op, const mc_reply *reply)
{
    mc_life life;
    bool same = reply->code == MC_VA && mc_life_decode(reply->value, &life) == COAT_OK &&
                life.birth == op->birth && life.global <= op->global;

    if (op->result == COAT_CONFLICT)
        turn(link, op);
    else if (op->result != COAT_OK)
        mc_op_finish(link, op, op->result);
    else if (!same)
        mc_op_finish(link, op, COAT_REVOKED);
    else
        succeed(link, op);
}

/** END_ALL: the number is the same for all servers. */
static void
end_all(mc_link *link, mc_op *op)
{
    if (op->life.global >= op->req->epoch_global) {
        op->req->epoch_global = op->life.global;
        mc_op_finish(link, op, COAT_OK);
        return;
    }
    if (raise_global(link, op, op->req->epoch_global))
        remote_link_queued(&link->base);
}

static void
live(mc_link *link, mc_op *op)
{
    if (op->kind == MC_OP_GREET)
        mc_op_finish(link, op, COAT_OK);
    else if (op->req->op == COAT_OP_END_ALL)
        end_all(link, op);
    else if (mc_fences_start(link, op) && op->fences == 0)
        mc_op_finish(link, op, op->failed ? COAT_STORE_DOWN : COAT_OK);
}

void
mc_op_reply(mc_link *link, const mc_due *due, const mc_reply *reply)
{
    mc_op *op = due->op;

    if (op->kind == MC_OP_FENCE) {
        mc_fence_reply(link, op, due, reply);
        return;
    }
    switch (due->kind) {
    case DUE_LIFE:
        if (take_life(link, op, reply) && is_of_life(op))
            live(link, op);
        return;
    case DUE_ITEM:
        take_item(link, op, reply);
        return;
    case DUE_WRITE:
        take_written(link, op, reply);
        return;
    case DUE_AGAIN:
        take_again(link, op, reply);
        return;
    default: /* DUE_REVIVE: whoever was faster, there is one now; or no room even for that */
        op->writes_life = false;
        if (reply->code == MC_LINE)
            mc_fail(link, "it has no room for anything");
        else
            turn(link, op);
        return;
    }
}
