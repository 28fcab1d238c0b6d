/* SPDX-License-Identifier: Apache-2.0 */
#include "core/out.h"
#include "store/copy_put.h"
#include "store/move.h"

#include <string.h>

/**
 * Giving a copy up. The target is emptied while it still says that it is not complete: with
 * half of the sessions in it, some of which have ended since, it must never be used. It was
 * empty when the copy began, so all there is was put there by it.
 */

enum { PASSES_MAX = 5 };

typedef struct cancelling {
    const coat_move_conf *conf;
    coat_lane *from, *to;
    coat_mark here, there;
    char *message;
    size_t cap;
} cancelling;

static coat_err
refuse(const cancelling *c, const char *text)
{
    return coat_move_say(COAT_INVALID, c->message, c->cap, text);
}

static bool
is_ours(const cancelling *c)
{
    return memcmp(c->there.id, c->here.id, sizeof c->here.id) == 0 ||
           strcmp(c->there.other, c->conf->from_url) == 0;
}

static coat_mark_of
mark_of(const cancelling *c)
{
    return c->conf->what == COAT_COPY_ACCOUNTS ? COAT_MARK_OF_ACCOUNTS : COAT_MARK_OF_STORE;
}

static coat_err
judge_source(const cancelling *c)
{
    const coat_mark *here = &c->here;

    if (here->state == COAT_MARK_NONE)
        return COAT_OK;
    if (here->state == COAT_MARK_MOVED && c->there.state == COAT_MARK_FILLING && is_ours(c))
        return refuse(c, "the move was cut off in its last step: end it with store copy "
                         "--from --to");
    if (here->state != COAT_MARK_SOURCE && here->state != COAT_MARK_HOLDING) {
        coat_mark_explain(here, c->message, c->cap);
        return COAT_INVALID;
    }
    if (strcmp(here->other, c->conf->to_url) != 0)
        return refuse(c, "the source is being copied to another store than that of --to");
    return COAT_OK;
}

static coat_err
judge_target(const cancelling *c)
{
    if (c->there.state == COAT_MARK_NONE)
        return c->here.state != COAT_MARK_NONE
                   ? COAT_OK
                   : refuse(c, "nothing is being copied between these two");
    if (c->there.state != COAT_MARK_FILLING || !is_ours(c))
        return refuse(c, "the target belongs to another copy");
    return COAT_OK;
}

static coat_err
look(cancelling *c)
{
    coat_err err = coat_mark_read(c->from, mark_of(c), &c->here);

    if (err == COAT_OK)
        err = coat_mark_read(c->to, mark_of(c), &c->there);
    if (err == COAT_OK)
        err = judge_source(c);
    return err == COAT_OK ? judge_target(c) : err;
}

/** Whoever copies finds another version of the mark than its own, and goes no further. */
static coat_err
stop_others(cancelling *c)
{
    coat_err err;

    if (c->here.state == COAT_MARK_NONE)
        return COAT_OK;
    c->here.state = COAT_MARK_SOURCE;
    err = coat_mark_write(c->from, &c->here);
    if (err == COAT_OK && (coat_store_caps_of(c->conf->from) & COAT_CAP_SHARED) != 0)
        coat_move_pause(c->conf, COAT_MOVE_HOLD_MS); /* what it has under way is decided then */
    return err;
}

/** An empty store with the target's global epoch, to make the target equal to. */
static coat_err
nothing_like(const cancelling *c, coat_lane *nothing)
{
    coat_store_req there = {
        .op = COAT_OP_EPOCHS, .now_ms = COAT_COPY_NO_TIME, .timeout_ms = COAT_COPY_TIMEOUT_MS};
    coat_store_req here = {.op = COAT_OP_END_ALL, .now_ms = COAT_COPY_NO_TIME};
    coat_err err = coat_store_run(c->to, &there);

    here.again = there.epoch_global;
    return err == COAT_OK && here.again != 0 ? coat_store_run(nothing, &here) : err;
}

/** Until a whole pass has found nothing any more. */
static coat_err
empty_with(const cancelling *c, coat_lane *nothing)
{
    const coat_move_conf *conf = c->conf;
    /* What is no account was there before, if only accounts were to be moved. */
    coat_copy_what what = conf->what == COAT_COPY_ACCOUNTS ? COAT_COPY_ACCOUNTS : COAT_COPY_ALL;
    coat_copy *copy = NULL;
    coat_err err = nothing_like(c, nothing);

    if (err == COAT_OK)
        err = coat_copy_new(nothing, c->to, what, conf->clock, conf->clock_ctx, &copy);
    for (int i = 0; i < PASSES_MAX && err == COAT_OK; i++) {
        err = coat_copy_pass(copy);
        if (err == COAT_OK && coat_copy_changes(copy) == 0)
            break;
    }
    if (err == COAT_OK && coat_copy_changes(copy) != 0)
        err = coat_move_say(COAT_BUSY, c->message, c->cap,
                            "somebody still writes to the target: stop the copy there first");
    coat_copy_free(copy);
    return err;
}

static void
nothing_seen(coat_store_req *req, const coat_store_item *item)
{
    (void)req;
    (void)item;
}

/** @retval COAT_UNSUPPORTED  a cache that does not say what it holds */
static coat_err
can_list(const cancelling *c)
{
    coat_store_req req = {.op = COAT_OP_SCAN,
                          .space = COAT_SPACE_SESSION,
                          .now_ms = COAT_COPY_NO_TIME,
                          .timeout_ms = COAT_COPY_TIMEOUT_MS,
                          .limit = 1,
                          .item = nothing_seen};

    return coat_store_run(c->to, &req);
}

static coat_err
empty_target(const cancelling *c)
{
    const coat_store_conf conf = {.url = "memory:"};
    coat_store *store = NULL;
    coat_lane *nothing = NULL;
    coat_err err = coat_store_open(&conf, &store);

    if (err == COAT_OK)
        err = can_list(c);
    if (err == COAT_OK)
        err = coat_lane_open(store, NULL, &nothing);
    if (err == COAT_OK)
        err = empty_with(c, nothing);
    coat_lane_close(nothing);
    coat_store_close(store);
    return err;
}

static coat_err
free_target(const cancelling *c)
{
    coat_err err;

    if (c->there.state == COAT_MARK_NONE)
        return COAT_OK;
    err = empty_target(c);
    if (err == COAT_UNSUPPORTED && (coat_store_caps_of(c->conf->to) & COAT_CAP_CACHE) != 0)
        return coat_move_say(COAT_OK, c->message, c->cap,
                             "flush the target before it is used for something else");
    return err == COAT_OK ? coat_mark_remove(c->to, mark_of(c)) : err;
}

static coat_err
cancel(cancelling *c)
{
    coat_err err = look(c);

    if (err == COAT_OK)
        err = stop_others(c);
    if (err == COAT_OK)
        err = free_target(c);
    return err == COAT_OK ? coat_mark_remove(c->from, mark_of(c)) : err;
}

coat_err
coat_move_cancel(const coat_move_conf *conf, char *message, size_t cap)
{
    cancelling c = {.conf = conf, .message = message, .cap = cap};
    coat_err err;

    message[0] = '\0';
    err = coat_lane_open(conf->from, NULL, &c.from);
    if (err == COAT_OK)
        err = coat_lane_open(conf->to, NULL, &c.to);
    if (err == COAT_OK)
        err = cancel(&c);
    if (err != COAT_OK && message[0] == '\0')
        coat_move_explain(err, message, cap);
    coat_lane_close(c.from);
    coat_lane_close(c.to);
    return err;
}
