/* SPDX-License-Identifier: Apache-2.0 */
#include "store/move.h"

#include "core/out.h"
#include "store/copy_put.h"
#include "store/order.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { TRIES = 40, AGAIN_MS = 250 };

struct coat_move {
    const coat_move_conf *conf;
    coat_lane *from, *to;
    coat_mark here, there;
    coat_copy *copy;
    bool is_new;  /* the source had no mark */
    bool resumed; /* the target was begun by a process that is no more */
};

coat_err
coat_move_say(coat_err err, char *message, size_t cap, const char *text)
{
    coat_out out = coat_out_init(message, cap);

    coat_out_str(&out, text);
    (void)coat_out_end(&out);
    return err;
}

void
coat_move_explain(coat_err err, char *message, size_t cap)
{
    static const struct {
        coat_err err;
        const char *text;
    } texts[] = {
        {COAT_REVOKED,
         "everybody's sessions were ended in the target, later than in the source: "
         "empty it and begin anew"},
        {COAT_TAMPERED, "there is something in the target that cannot be read: empty it and "
                        "begin anew"},
        {COAT_STORE_FULL, "the target is full"},
        {COAT_CONFLICT,
         "the copy was given up, or is finished by somebody else; or the source is "
         "a cache that has forgotten of it: begin anew"},
        {COAT_BUSY, "one of the stores has something else to do: try again"},
        {COAT_STORE_DOWN, "one of the stores does not answer"},
    };

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (texts[i].err == err) {
            (void)coat_move_say(err, message, cap, texts[i].text);
            return;
        }
    (void)coat_move_say(err, message, cap, coat_err_text(err));
}

bool
coat_move_is_passing(coat_err err)
{
    return err == COAT_STORE_DOWN || err == COAT_BUSY;
}

void
coat_move_pause(const coat_move_conf *conf, int64_t ms)
{
    struct timespec left = {ms / 1000, ms % 1000 * 1000000};

    if (conf->sleep_ms != NULL)
        conf->sleep_ms(conf->sleep_ctx, ms);
    else
        while (nanosleep(&left, &left) != 0) {
        }
}

static bool
is_cache(const coat_store *store)
{
    return (coat_store_caps_of(store) & COAT_CAP_CACHE) != 0;
}

/* ---- beginning ---- */

typedef struct search {
    bool any, has_last;
    coat_handle last;
} search;

static void
note_one(coat_store_req *req, const coat_store_item *item)
{
    search *s = req->ctx;

    s->last = item->address;
    s->has_last = true;
    if (req->space != COAT_SPACE_META || !coat_copy_stays(&item->address))
        s->any = true;
}

/** Is there anything but what stays? A report may pass over much that is dead. */
static coat_err
has_any(coat_lane *lane, coat_space space, bool *any)
{
    search s = {.any = false};
    bool more = true;

    while (more && !s.any) {
        coat_store_req req = {.op = COAT_OP_SCAN,
                              .space = space,
                              .now_ms = COAT_COPY_NO_TIME,
                              .timeout_ms = COAT_COPY_TIMEOUT_MS,
                              .limit = 4, /* one more than may stay */
                              .has_cursor = s.has_last,
                              .cursor = s.last,
                              .item = note_one,
                              .ctx = &s};
        coat_err err = coat_store_run(lane, &req);

        if (err != COAT_OK)
            return err;
        more = req.more;
        s.has_last =
            coat_scan_behind(coat_store_caps_of(lane->store), &req, s.has_last, &s.last);
    }
    *any = *any || s.any;
    return COAT_OK;
}

static coat_mark_of
mark_of(const coat_move *move)
{
    return move->conf->what == COAT_COPY_ACCOUNTS ? COAT_MARK_OF_ACCOUNTS : COAT_MARK_OF_STORE;
}

static coat_err
must_be_empty(const coat_move *move, char *message, size_t cap)
{
    bool any = false;
    coat_err err = COAT_OK;

    for (int space = move->conf->what == COAT_COPY_ACCOUNTS ? COAT_SPACE_ACCOUNT
                                                            : COAT_SPACE_SESSION;
         space <= COAT_SPACE_META && err == COAT_OK; space++)
        err = has_any(move->to, (coat_space)space, &any);
    if (err == COAT_UNSUPPORTED && is_cache(move->conf->to))
        return COAT_OK; /* it does not say */
    if (err != COAT_OK || !any)
        return err;
    return coat_move_say(
        COAT_EXISTS, message, cap,
        "the target is not empty: it belongs to another installation, or was used");
}

static coat_err
look_at_source(coat_move *move, char *message, size_t cap)
{
    coat_mark *m = &move->here;
    coat_err err = coat_mark_read(move->from, mark_of(move), m);

    if (err != COAT_OK)
        return err;
    if (coat_mark_usable(m->state) ||
        (m->state != COAT_MARK_FILLING && m->state != COAT_MARK_UNREADABLE &&
         strcmp(m->other, move->conf->to_url) == 0))
        return COAT_OK;
    coat_mark_explain(m, message, cap);
    return COAT_INVALID;
}

/** An id, by which both know each other again. Whoever uses the source may go on. */
static coat_err
mark_source(coat_move *move)
{
    coat_mark *m = &move->here;
    coat_err err = COAT_OK;

    if (m->state == COAT_MARK_NONE)
        err = move->conf->rng(move->conf->rng_ctx, m->id, sizeof m->id);
    if (err != COAT_OK || m->state == COAT_MARK_MOVED)
        return err;
    m->state = COAT_MARK_SOURCE;
    memcpy(m->other, move->conf->to_url, strlen(move->conf->to_url) + 1);
    return coat_mark_write(move->from, m);
}

/** A cache may have lost its mark: the target was being filled from the same place. */
static bool
is_forgotten(const coat_move *move)
{
    return is_cache(move->conf->from) && move->is_new &&
           strcmp(move->there.other, move->conf->from_url) == 0;
}

/** A copy that was cut off is gone on with where the target says what it has of it. */
static coat_err
must_list(const coat_move *move, char *message, size_t cap)
{
    bool any = false;
    coat_err err =
        is_cache(move->conf->to) ? has_any(move->to, COAT_SPACE_SESSION, &any) : COAT_OK;

    if (err != COAT_UNSUPPORTED)
        return err;
    return coat_move_say(
        COAT_EXISTS, message, cap,
        "the target has kept what it will of a copy that was cut off: empty it");
}

static coat_err
look_at_target(coat_move *move, char *message, size_t cap)
{
    coat_mark *m = &move->there;
    coat_err err = coat_mark_read(move->to, mark_of(move), m);
    bool ours = memcmp(m->id, move->here.id, sizeof m->id) == 0;

    if (err != COAT_OK)
        return err;
    if (m->state == COAT_MARK_NONE && move->here.state == COAT_MARK_MOVED)
        return coat_move_say(COAT_INVALID, message, cap,
                             "this was finished already: use the target");
    if (m->state == COAT_MARK_NONE)
        return must_be_empty(move, message, cap);
    move->resumed = true;
    if (m->state == COAT_MARK_FILLING && (ours || is_forgotten(move)))
        return must_list(move, message, cap);
    if (m->state == COAT_MARK_FILLING)
        return coat_move_say(
            COAT_EXISTS, message, cap,
            "the target has an unfinished copy of another store: empty it first");
    if (ours)
        return coat_move_say(COAT_INVALID, message, cap,
                             "source and target are the same store");
    return coat_move_say(COAT_EXISTS, message, cap,
                         "the target is not empty: it was the source of a copy itself");
}

static coat_err
mark_target(coat_move *move)
{
    coat_mark *m = &move->there;

    if (m->state != COAT_MARK_NONE && memcmp(m->id, move->here.id, sizeof m->id) == 0)
        return COAT_OK;
    m->state = COAT_MARK_FILLING;
    memcpy(m->id, move->here.id, sizeof m->id);
    memcpy(m->other, move->conf->from_url, strlen(move->conf->from_url) + 1);
    return coat_mark_write(move->to, m);
}

/** A cache may be unable to say what it holds; it knows why. */
static coat_err
check_source(const coat_move *move, char *message, size_t cap)
{
    bool any = false;
    coat_store_stats stats = {0};
    coat_err err =
        is_cache(move->conf->from) ? has_any(move->from, COAT_SPACE_SESSION, &any) : COAT_OK;
    coat_out out = coat_out_init(message, cap);

    if (err != COAT_UNSUPPORTED)
        return err;
    coat_out_str(&out, "the source does not say what it holds, so nothing can be copied out");
    if (coat_store_stats_get(move->conf->from, &stats) == COAT_OK && stats.notice[0] != '\0') {
        coat_out_str(&out, ": ");
        coat_out_str(&out, stats.notice);
    }
    (void)coat_out_end(&out);
    return err;
}

static coat_err
check_accounts(const coat_move *move, char *message, size_t cap)
{
    const coat_move_conf *c = move->conf;
    bool any = false;
    coat_err err = COAT_OK;

    if (c->what != COAT_COPY_SESSIONS && (coat_store_caps_of(c->to) & COAT_CAP_ACCOUNTS) == 0)
        err = has_any(move->from, COAT_SPACE_ACCOUNT, &any);
    if (err == COAT_OK && any)
        return coat_move_say(
            COAT_UNSUPPORTED, message, cap,
            "the target does not keep accounts, and there are some: they need a store of "
            "their own (accounts.url)");
    return err;
}

static coat_err
check_kinds(const coat_move *move, char *message, size_t cap)
{
    const coat_move_conf *c = move->conf;
    coat_err err;

    if (strcmp(c->from_url, c->to_url) == 0 || c->from == c->to)
        return coat_move_say(COAT_INVALID, message, cap,
                             "source and target are the same store");
    if (strlen(c->from_url) > COAT_MARK_URL_MAX || strlen(c->to_url) > COAT_MARK_URL_MAX)
        return coat_move_say(COAT_INVALID, message, cap, "the URL of a store is too long");
    err = check_source(move, message, cap);
    return err == COAT_OK ? check_accounts(move, message, cap) : err;
}

static coat_err
begin(coat_move *move, char *message, size_t cap)
{
    coat_err err = check_kinds(move, message, cap);

    if (err == COAT_OK)
        err = look_at_source(move, message, cap);
    move->is_new = move->here.state == COAT_MARK_NONE;
    if (err == COAT_OK)
        err = mark_source(move);
    if (err != COAT_OK)
        return err;
    err = look_at_target(move, message, cap);
    if (err == COAT_OK)
        err = mark_target(move);
    if (err != COAT_OK && move->is_new &&
        coat_mark_remove(move->from, mark_of(move)) != COAT_OK)
        return err; /* it stays, and does no harm: the source may be used with it */
    /* What the former process had under way is decided by then. */
    if (err == COAT_OK && move->resumed &&
        (coat_store_caps_of(move->conf->to) & COAT_CAP_SHARED) != 0)
        coat_move_pause(move->conf, COAT_COPY_TIMEOUT_MS);
    if (err == COAT_OK)
        err = coat_copy_new(move->from, move->to, move->conf->what, move->conf->clock,
                            move->conf->clock_ctx, &move->copy);
    return err;
}

coat_err
coat_move_begin(const coat_move_conf *conf, coat_move **out, char *message, size_t cap)
{
    coat_move *move = calloc(1, sizeof *move);
    coat_err err;

    message[0] = '\0';
    if (move == NULL)
        return COAT_NO_MEMORY;
    move->conf = conf;
    err = coat_lane_open(conf->from, NULL, &move->from);
    if (err == COAT_OK)
        err = coat_lane_open(conf->to, NULL, &move->to);
    if (err == COAT_OK)
        err = begin(move, message, cap);
    if (err == COAT_OK) {
        *out = move;
        return COAT_OK;
    }
    if (message[0] == '\0')
        coat_move_explain(err, message, cap);
    coat_move_free(move);
    return err;
}

void
coat_move_free(coat_move *move)
{
    if (move == NULL)
        return;
    coat_copy_free(move->copy);
    coat_lane_close(move->from);
    coat_lane_close(move->to);
    free(move);
}

/** Where others could have changed it: has nobody given the copy up? */
static coat_err
look_after(coat_move *move)
{
    coat_mark now;
    coat_err err;

    if ((coat_store_caps_of(move->conf->from) & COAT_CAP_SHARED) == 0)
        return COAT_OK;
    err = coat_mark_read(move->from, mark_of(move), &now);
    if (err != COAT_OK)
        return err;
    return now.version == move->here.version ? COAT_OK : COAT_CONFLICT;
}

coat_err
coat_move_step(coat_move *move, bool *complete)
{
    coat_err err = look_after(move);

    return err == COAT_OK ? coat_copy_step(move->copy, complete) : err;
}

const coat_copy *
coat_move_copy(const coat_move *move)
{
    return move->copy;
}

/* ---- finishing ---- */

static coat_err
settle_source(coat_move *move)
{
    coat_store_req req = {
        .op = COAT_OP_SWEEP, .now_ms = COAT_COPY_NO_TIME, .timeout_ms = COAT_COPY_TIMEOUT_MS};

    return coat_store_run(move->from, &req);
}

static coat_err
set_source(coat_move *move)
{
    return coat_mark_write(move->from, &move->here);
}

static coat_err
read_source(coat_move *move)
{
    return coat_mark_read(move->from, mark_of(move), &move->here);
}

static coat_err
last_pass(coat_move *move)
{
    return coat_copy_pass(move->copy);
}

static coat_err
free_target(coat_move *move)
{
    return coat_mark_remove(move->to, mark_of(move));
}

/** Until it is done, or is not to be had. What is tried must be idempotent. */
static coat_err
insist(coat_move *move, coat_err (*what)(coat_move *move))
{
    coat_err err = what(move);

    for (int i = 0; i < TRIES && coat_move_is_passing(err); i++) {
        coat_move_pause(move->conf, AGAIN_MS);
        err = what(move);
    }
    return err;
}

static coat_err
last_look(coat_move *move)
{
    coat_err err = COAT_OK;

    /* Of accounts: no daemon looks while it runs, so none may. */
    if ((coat_store_caps_of(move->conf->from) & COAT_CAP_SHARED) != 0 &&
        move->conf->what != COAT_COPY_ACCOUNTS && move->here.state != COAT_MARK_MOVED) {
        move->here.state = COAT_MARK_HOLDING;
        err = set_source(move);
        if (err == COAT_OK)
            coat_move_pause(move->conf, COAT_MOVE_HOLD_MS);
    }
    if (err == COAT_OK)
        err = insist(move, settle_source);
    return err == COAT_OK ? insist(move, last_pass) : err;
}

/** The source is to be used again, unless it is moved. If even this fails it is not used, and
 * says that it is being moved. */
static void
take_back(coat_move *move)
{
    if (insist(move, read_source) != COAT_OK || move->here.state != COAT_MARK_HOLDING)
        return;
    move->here.state = COAT_MARK_SOURCE;
    if (set_source(move) != COAT_OK)
        move->here.state = COAT_MARK_HOLDING;
}

static coat_err
end_source(coat_move *move)
{
    coat_store_req req = {.op = COAT_OP_END_ALL,
                          .now_ms = move->conf->clock(move->conf->clock_ctx),
                          .timeout_ms = COAT_COPY_TIMEOUT_MS};

    return coat_store_run(move->from, &req);
}

/**
 * A cache may forget that it was moved, and would be taken for one to be used: then it must not
 * let in whose sessions have ended since. Not before the target is free: from here on a pass
 * would carry that over.
 */
static void
leave_nothing(coat_move *move)
{
    if (is_cache(move->conf->from) && move->conf->what != COAT_COPY_ACCOUNTS)
        (void)insist(move, end_source);
}

coat_err
coat_move_finish(coat_move *move, char *message, size_t cap)
{
    coat_err err = last_look(move);

    if (err == COAT_OK && move->here.state != COAT_MARK_MOVED) {
        move->here.state = COAT_MARK_MOVED;
        err = set_source(move);
    }
    /* In this order: between both nobody may use either. */
    if (err == COAT_OK)
        err = insist(move, free_target);
    if (err == COAT_OK) {
        leave_nothing(move);
        return COAT_OK;
    }
    coat_move_explain(err, message, cap);
    take_back(move);
    return err;
}
