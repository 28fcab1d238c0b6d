/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_TESTS_STORE_TORTURE_H
#define COAT_TESTS_STORE_TORTURE_H

/**
 * HD-4 for any store: a conversation in which all that can fail does, each in its turn. Of each
 * session it is known what must be true of it, or that nobody can know.
 *
 * A program defines how its store is opened, and calls torture_talk() and torture_opening().
 */

#include "requests.h"
#include "torture.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

/** Open the store that keeps what it has from one opening to the next. */
typedef coat_err opening(coat_store **out);

enum {
    SERIALS = 9,
    UNKNOWN = 7,
    LATER = 8,
    VALUE_LEN = 300,
    TALK_MS = 3000, /* nothing is late for want of a processor */
    AGAIN = 2000,
    SCANNED = 8
};
enum { ALICE, BOB, OWNERS };

typedef enum fate {
    NEVER, /* was there */
    LIVES,
    ENDED, /* acknowledged: for good */
    DOUBT, /* a change of unknown outcome */
} fate;

static opening *torture_open;
static int step_ms =
    400; /* that pass between attempts: less, where a connection takes longer */
static bool may_give_up;
static unsigned given_up;
static coat_store *tortured;
static coat_lane *tortured_lane;
static uint64_t round_number;
static fate fates[OWNERS][SERIALS];
static uint64_t versions[OWNERS][SERIALS];

/* What the watch of the lane has heard in this round. */
static coat_watch *ear;
static struct heard {
    bool lost, said, all, owner[OWNERS], address[OWNERS][SERIALS];
    bool ready; /* the last one: it lasts from one round to the next */
} heard;

/* ---- who is who: each round has owners of its own ---- */

static uint64_t
owner_number(int who)
{
    return 1000000 + round_number * OWNERS + (uint64_t)who;
}

static coat_store_req
torture_req(coat_op op, int who, uint64_t serial)
{
    coat_store_req req = session_req(op, owner_number(who), serial);

    req.timeout_ms = TALK_MS;
    return req;
}

/** No answer: it may or may not have happened. */
static bool
is_undecided(coat_err err)
{
    return err == COAT_STORE_DOWN || err == COAT_NO_MEMORY || err == COAT_IO ||
           err == COAT_BUSY || err == COAT_STORE_FULL || err == COAT_CANCELLED;
}

/** Much on the clocks, and a little in earnest: more each time, since a connection takes what
 * it takes on a busy machine. */
static void
take_time(int times)
{
    (void)nanosleep(&(struct timespec){0, (times + 1) * 20000}, NULL);
    torture_pass_ms(step_ms);
}

/** Until it is answered; time passes. For what is done when all is well again. */
static coat_err
insist(coat_store_req *req)
{
    coat_store_req again = *req;
    coat_err err = COAT_STORE_DOWN;

    for (int i = 0; i < AGAIN && is_undecided(err); i++) {
        *req = again;
        err = coat_store_run(tortured_lane, req);
        if (is_undecided(err))
            take_time(i);
    }
    return err;
}

/* ---- watching ---- */

static bool
is_watched(void)
{
    return (coat_store_caps_of(tortured) & COAT_CAP_WATCH) != 0;
}

static void
hear_address(const coat_handle *address)
{
    for (int who = 0; who < OWNERS; who++)
        for (uint64_t s = 0; s < SERIALS; s++) {
            coat_handle h = handle_of(owner_number(who), s);

            if (memcmp(&h, address, sizeof h) == 0)
                heard.address[who][s] = true;
        }
}

static void
hear_event(void *ctx, const coat_watch_event *event)
{
    (void)ctx;
    switch (event->kind) {
    case COAT_WATCH_READY:
        heard.ready = true;
        break;
    case COAT_WATCH_LOST:
        heard.lost = true;
        heard.ready = false;
        break;
    case COAT_WATCH_ADDRESS:
        hear_address(&event->address);
        break;
    case COAT_WATCH_OWNER:
        for (int who = 0; who < OWNERS; who++) {
            coat_owner o = owner_of(owner_number(who));

            if (memcmp(&o, &event->owner, sizeof o) == 0)
                heard.owner[who] = true;
        }
        break;
    case COAT_WATCH_ALL:
        heard.all = true;
        break;
    case COAT_WATCH_SAID:
        heard.said = true;
        break;
    }
}

static coat_watch_sink
sink_of(uint64_t number)
{
    return (coat_watch_sink){.instance = handle_of(7, number), .event = hear_event};
}

/** Turn the lane's loop. */
static void
pump(int times)
{
    coat_store_req req = torture_req(COAT_OP_EPOCHS, ALICE, 0);

    (void)insist(&req);
    take_time(times);
}

static void
hear_until(const bool *what)
{
    for (int i = 0; i < AGAIN && !*what; i++)
        pump(i);
    REQUIRE(*what);
}

static coat_err
say(void)
{
    coat_store_req req = torture_req(COAT_OP_SAY, ALICE, 0);

    req.address = handle_of(7, 1);
    req.value = (coat_span){(const uint8_t *)"x", 1};
    return coat_store_run(tortured_lane, &req);
}

/** What was acknowledged was heard, or that something was not heard. */
static void
check_heard(void)
{
    if (!is_watched())
        return;
    if (heard.ready && !heard.lost) {
        heard.said = false;
        for (int i = 0; i < AGAIN && say() != COAT_OK; i++)
            take_time(i);
        hear_until(&heard.said);
    }
    hear_until(&heard.ready);
}

/* ---- the conversation ---- */

typedef struct utterance {
    coat_op op;
    int who;
    uint64_t serial;
    coat_err want;
    uint64_t other; /* INSERT: superseded; REMOVE_OWNER: spared; 0: none */
    uint32_t owner_max;
} utterance;

static const utterance talk[] = {
    {COAT_OP_LOAD, ALICE, 1, COAT_OK, 0, 0},
    {COAT_OP_LOAD, ALICE, 3, COAT_NO_SESSION, 0, 0},
    {COAT_OP_LOAD, ALICE, UNKNOWN, COAT_NO_SESSION, 0, 0},
    {COAT_OP_REPLACE, ALICE, 2, COAT_OK, 0, 0},
    {COAT_OP_INSERT, ALICE, 2, COAT_EXISTS, 0, 0},
    {COAT_OP_INSERT, ALICE, 4, COAT_OK, 0, 2}, /* 1 gives way */
    {COAT_OP_LOAD, ALICE, 1, COAT_NO_SESSION, 0, 0},
    {COAT_OP_LIST_OWNER, ALICE, 0, COAT_OK, 0, 0},
    {COAT_OP_REMOVE, ALICE, 2, COAT_OK, 0, 0},
    {COAT_OP_REPLACE, ALICE, 2, COAT_NO_SESSION, 0, 0},
    {COAT_OP_LOAD, ALICE, 2, COAT_NO_SESSION, 0, 0},
    {COAT_OP_INSERT, ALICE, 5, COAT_OK, 4, 0},
    {COAT_OP_LOAD, ALICE, 4, COAT_NO_SESSION, 0, 0},
    {COAT_OP_SAY, ALICE, 0, COAT_OK, 0, 0},
    {COAT_OP_SCAN, ALICE, 0, COAT_OK, 0, 0},
    {COAT_OP_EPOCHS, ALICE, 0, COAT_OK, 0, 0},
    {COAT_OP_SWEEP, ALICE, 0, COAT_OK, 0, 0},
    {COAT_OP_REMOVE_OWNER, BOB, 0, COAT_OK, 0, 0},
    {COAT_OP_LOAD, BOB, 1, COAT_NO_SESSION, 0, 0},
    {COAT_OP_INSERT, ALICE, 6, COAT_OK, 0, 0},
    {COAT_OP_REMOVE_OWNER, ALICE, 0, COAT_OK, 6, 0},
    {COAT_OP_LOAD, ALICE, 6, COAT_OK, 0, 0},
    {COAT_OP_LOAD, ALICE, 5, COAT_NO_SESSION, 0, 0},
    {COAT_OP_LEAVE, ALICE, 0, COAT_OK, 0, 0},
    {COAT_OP_END_ALL, ALICE, 0, COAT_OK, 0, 0},
    {COAT_OP_LOAD, ALICE, 6, COAT_NO_SESSION, 0, 0},
};
enum { LINES = sizeof talk / sizeof talk[0] };

static coat_err answers[LINES];
static fate fate_before[LINES];
static uint64_t epoch_owner, epoch_global;

static void
check_item(coat_store_req *req, const coat_store_item *item)
{
    (void)req;
    (void)item;
}

static void
set_fate(int who, uint64_t serial, coat_err answer, fate then)
{
    fate *f = &fates[who][serial];

    if (serial == 0 || *f == ENDED)
        return;
    if (answer == COAT_OK)
        *f = then;
    else if (is_undecided(answer) && (*f == LIVES || then == LIVES))
        *f = DOUBT;
}

static void
end_owner(int who, uint64_t spare, coat_err answer)
{
    for (uint64_t s = 1; s < SERIALS; s++)
        if (s != spare && fates[who][s] != NEVER)
            set_fate(who, s, answer, ENDED);
        else if (fates[who][s] == LIVES && is_undecided(answer))
            fates[who][s] = LIVES; /* the spared one lives in either case */
}

/** What an utterance, answered like this, means for each session. */
static void
note_answer(const utterance *l, coat_err answer)
{
    switch (l->op) {
    case COAT_OP_INSERT:
        if (l->want != COAT_OK)
            break;
        set_fate(l->who, l->serial, answer, LIVES);
        set_fate(l->who, l->other, answer, ENDED);
        if (l->owner_max > 0)
            set_fate(l->who, 1, answer, ENDED);
        break;
    case COAT_OP_REMOVE:
        set_fate(l->who, l->serial, answer, ENDED);
        break;
    case COAT_OP_REMOVE_OWNER:
        end_owner(l->who, l->other, answer);
        break;
    case COAT_OP_END_ALL:
        end_owner(ALICE, 0, answer);
        end_owner(BOB, 0, answer);
        break;
    default:
        break;
    }
}

static bool
is_spoken(const utterance *l)
{
    if (l->op == COAT_OP_SAY || l->op == COAT_OP_LEAVE)
        return (coat_store_caps_of(tortured) & COAT_CAP_WATCH) != 0;
    return true;
}

static coat_err
speak(const utterance *l)
{
    static const uint8_t value[VALUE_LEN];
    coat_store_req req = torture_req(l->op, l->who, l->serial);
    coat_err err;

    req.value = (coat_span){value, l->op == COAT_OP_SAY ? 5 : sizeof value};
    req.version = l->op == COAT_OP_REPLACE ? versions[l->who][l->serial] : 0;
    req.epoch_owner = epoch_owner;
    req.epoch_global = epoch_global;
    req.owner_max = l->owner_max;
    req.owner_evict = true;
    req.has_superseded = l->op == COAT_OP_INSERT && l->other != 0;
    req.superseded = handle_of(owner_number(l->who), l->other);
    req.has_spare = l->op == COAT_OP_REMOVE_OWNER && l->other != 0;
    req.spare = req.superseded;
    req.item = check_item;
    req.limit = l->op == COAT_OP_SCAN ? SCANNED : 0;
    if (l->op == COAT_OP_SAY || l->op == COAT_OP_LEAVE)
        req.address = handle_of(7, 1);
    err = coat_store_run(tortured_lane, &req);
    return err;
}

static void
run_talk(void)
{
    for (size_t i = 0; i < LINES; i++) {
        const utterance *l = &talk[i];

        fate_before[i] = fates[l->who][l->serial];
        answers[i] = is_spoken(l) ? speak(l) : l->want;
        note_answer(l, answers[i]);
    }
}

/** @param sure  nothing before it was without an answer */
static void
check_answer(size_t i, bool harmed, bool sure)
{
    const utterance *l = &talk[i];
    coat_err got = answers[i];

    if (is_undecided(got) ? !harmed : sure && got != l->want)
        test_fail(__FILE__, __LINE__, "line %zu: %s, expected %s", i, coat_err_name(got),
                  coat_err_name(l->want));
    if (l->op != COAT_OP_LOAD)
        return;
    if (got == COAT_OK && (fate_before[i] == ENDED || fate_before[i] == NEVER))
        test_fail(__FILE__, __LINE__, "line %zu: it lives, and must not", i);
    if (got == COAT_NO_SESSION && fate_before[i] == LIVES &&
        (coat_store_caps_of(tortured) & COAT_CAP_CACHE) == 0)
        test_fail(__FILE__, __LINE__, "line %zu: signed out by a failure", i);
}

/* ---- afterwards ---- */

static bool listed[SERIALS];

static void
note_listed(coat_store_req *req, const coat_store_item *item)
{
    (void)req;
    if (item->value.len == VALUE_LEN)
        listed[coat_load64be(item->address.bytes)] = true;
}

/** ST-9: what verifies is listed, and what is listed verifies. @return how many they are */
static unsigned
check_owner(int who)
{
    coat_store_req list = torture_req(COAT_OP_LIST_OWNER, who, 0);
    unsigned count = 0;

    memset(listed, 0, sizeof listed);
    list.item = note_listed;
    CHECK_ERR(insist(&list), COAT_OK);
    for (uint64_t s = 1; s < SERIALS; s++) {
        coat_store_req load = torture_req(COAT_OP_LOAD, who, s);
        coat_err err = insist(&load);
        fate f = fates[who][s];

        if (err != COAT_OK && err != COAT_NO_SESSION)
            test_fail(__FILE__, __LINE__, "session %d: %s", (int)s, coat_err_name(err));
        if (err == COAT_OK && (f == ENDED || f == NEVER))
            test_fail(__FILE__, __LINE__, "session %d lives afterwards", (int)s);
        if (err != COAT_OK && f == LIVES &&
            (coat_store_caps_of(tortured) & COAT_CAP_CACHE) == 0)
            test_fail(__FILE__, __LINE__, "session %d is lost", (int)s);
        if (listed[s] != (err == COAT_OK))
            test_fail(__FILE__, __LINE__, "session %d is %slisted", (int)s,
                      listed[s] ? "" : "not ");
        count += err == COAT_OK;
    }
    return count;
}

static void
keeper_open(void)
{
    coat_watch_sink sink = sink_of(1);

    memset(&heard, 0, sizeof heard);
    REQUIRE_OK(torture_open(&tortured));
    REQUIRE_OK(coat_lane_open(tortured, NULL, &tortured_lane));
    if (is_watched())
        REQUIRE_OK(coat_watch_open(tortured_lane, &sink, &ear));
}

static void
keeper_close(void)
{
    coat_watch_close(ear);
    coat_lane_close(tortured_lane);
    coat_store_close(tortured);
    ear = NULL;
}

/** Everything in doubt has taken place by now, or never will. */
static void
settle(void)
{
    coat_store_req req = torture_req(COAT_OP_SWEEP, 0, 0);

    if (insist(&req) != COAT_OK) {
        coat_store_stats stats = {0};

        test_fail(__FILE__, __LINE__, "it does not come back: %s, %s",
                  coat_err_name(req.result),
                  coat_store_stats_get(tortured, &stats) == COAT_OK ? stats.notice : "");
        test_abort();
    }
}

static coat_err
sign_in_here(int who, uint64_t serial)
{
    static const uint8_t value[VALUE_LEN];
    coat_store_req epochs = torture_req(COAT_OP_EPOCHS, who, 0);
    coat_store_req req = torture_req(COAT_OP_INSERT, who, serial);
    coat_err err = insist(&epochs);

    if (err != COAT_OK)
        return err;
    req.epoch_owner = epoch_owner = epochs.epoch_owner;
    req.epoch_global = epoch_global = epochs.epoch_global;
    req.value = (coat_span){value, sizeof value};
    err = insist(&req);
    if (err == COAT_EXISTS) { /* one that was answered too late */
        req = torture_req(COAT_OP_LOAD, who, serial);
        err = insist(&req);
    }
    versions[who][serial] = req.found_version;
    if (err == COAT_OK)
        fates[who][serial] = LIVES;
    return err;
}

/** A store that has given itself up, and says so, may be opened anew. Where it may at all. */
static void
revive(void)
{
    coat_store_req req = torture_req(COAT_OP_EPOCHS, ALICE, 0);
    coat_store_stats stats = {0};

    if (!may_give_up || coat_store_run(tortured_lane, &req) != COAT_IO)
        return;
    given_up++;
    CHECK_ERR(coat_store_stats_get(tortured, &stats), COAT_OK);
    CHECK(stats.away && strstr(stats.notice, "start the daemon again") != NULL);
    keeper_close();
    keeper_open();
}

/** What was in doubt dies with its owner's sessions, and there is life after that. */
static void
check_afterwards(void)
{
    revive();
    settle();
    for (int who = 0; who < OWNERS; who++) {
        coat_store_req end = torture_req(COAT_OP_REMOVE_OWNER, who, 0), load;

        (void)check_owner(who);
        CHECK_ERR(insist(&end), COAT_OK);
        end_owner(who, 0, COAT_OK);
        CHECK_INT(check_owner(who), 0);
        CHECK_ERR(sign_in_here(who, LATER), COAT_OK);
        load = torture_req(COAT_OP_LOAD, who, LATER);
        CHECK_ERR(insist(&load), COAT_OK);
        end = torture_req(COAT_OP_REMOVE, who, LATER);
        CHECK_ERR(insist(&end), COAT_OK);
    }
}

static void
begin_round(void)
{
    coat_store_req end;

    round_number++;
    memset(fates, 0, sizeof fates);
    REQUIRE_OK(sign_in_here(BOB, 1));
    for (uint64_t s = 1; s <= 3; s++) /* last, since all that is added later is hers */
        REQUIRE_OK(sign_in_here(ALICE, s));
    end = torture_req(COAT_OP_REMOVE, ALICE, 3);
    REQUIRE_OK(insist(&end));
    fates[ALICE][3] = ENDED;
}

/* ---- a conversation ---- */

static void
begin_talk(void)
{
    if (is_watched())
        hear_until(&heard.ready);
    memset(&heard, 0, offsetof(struct heard, ready));
    begin_round();
    if (is_watched()) {
        /* What was done so far is not to be mixed up with what comes. */
        for (int i = 0; i < AGAIN && !heard.address[ALICE][3] && !heard.lost; i++)
            pump(i);
        CHECK(heard.address[ALICE][3] || heard.lost);
        hear_until(&heard.ready);
    }
    memset(&heard, 0, sizeof heard);
    heard.ready = is_watched();
}

/** Of what was acknowledged, all was heard, unless it is known that something was not. */
static void
check_reports(void)
{
    if (!is_watched())
        return;
    check_heard();
    for (size_t i = 0; i < LINES && !heard.lost; i++) {
        const utterance *l = &talk[i];

        if (answers[i] != COAT_OK)
            continue;
        if (l->op == COAT_OP_REMOVE)
            CHECK(heard.address[l->who][l->serial]);
        if (l->op == COAT_OP_INSERT && l->other != 0)
            CHECK(heard.address[l->who][l->other]);
        if (l->op == COAT_OP_REMOVE_OWNER)
            CHECK(heard.owner[l->who]);
        if (l->op == COAT_OP_END_ALL)
            CHECK(heard.all);
    }
}

static void
end_talk(bool harmed)
{
    bool sure = true;

    for (size_t i = 0; i < LINES; i++) {
        check_answer(i, harmed, sure);
        sure = sure && !is_undecided(answers[i]);
    }
    check_reports();
    check_afterwards();
}

/** The lowest descriptor that is free: it rises if some are left open. */
static int
lowest_free(void)
{
    int fd = dup(0);

    (void)close(fd);
    return fd;
}

/** Torture, and look what is left open when all is closed again. */
static void
torture_kept(const torture *t, opening *open)
{
    int before;

    torture_open = open;
    keeper_open();
    keeper_close();
    before = lowest_free(); /* what a process opens but once is open now */
    keeper_open();
    torture_all(t);
    keeper_close();
    CHECK_INT(lowest_free(), before);
}

/** All that a store is asked, on a lane that lasts from one failure to the next. */
static void
torture_talk(opening *open, unsigned kinds, long least, long sample)
{
    const torture t = {kinds, begin_talk, run_talk, end_talk, least, sample};

    torture_kept(&t, open);
}

/* ---- opening and closing ---- */

/** What is opened a second time: beside the store that is looked at, instead of it (one process
 * may open it but once), or something that has nothing to do with it. */
enum beside { OPENS_BESIDE, OPENS_ALONE, OPENS_ANEW };

static enum beside beside;
static uv_loop_t torture_loop;
static coat_err opened, read_live, read_ended;

static void
begin_opening(void)
{
    begin_round();
    if (beside == OPENS_ALONE)
        keeper_close();
    torture_spare();
    REQUIRE(uv_loop_init(&torture_loop) == 0);
    torture_spare_no_more();
}

/** With a lane of each kind, and a watch. */
static void
run_opening(void)
{
    coat_watch_sink sink = sink_of(2);
    coat_store *store;
    coat_lane *lane, *looped;
    coat_watch *watch = NULL;
    coat_store_req live = torture_req(COAT_OP_LOAD, ALICE, 1);
    coat_store_req ended = torture_req(COAT_OP_LOAD, ALICE, 3);

    read_live = read_ended = COAT_STORE_DOWN;
    opened = torture_open(&store);
    if (opened != COAT_OK)
        return;
    if (coat_lane_open(store, NULL, &lane) == COAT_OK) {
        read_live = coat_store_run(lane, &live);
        read_ended = coat_store_run(lane, &ended);
        coat_lane_close(lane);
    }
    if (coat_lane_open(store, &torture_loop, &looped) == COAT_OK) {
        if (coat_watch_open(looped, &sink, &watch) == COAT_OK)
            (void)uv_run(&torture_loop, UV_RUN_NOWAIT);
        coat_watch_close(watch);
        coat_lane_close(looped);
    }
    (void)uv_run(&torture_loop, UV_RUN_DEFAULT);
    coat_store_close(store);
}

static void
end_opening(bool harmed)
{
    CHECK_INT(uv_loop_close(&torture_loop), 0);
    if (beside == OPENS_ALONE)
        keeper_open();
    if (!harmed)
        CHECK_ERR(opened, COAT_OK);
    if (beside != OPENS_ANEW) {
        CHECK(is_undecided(read_live) ? harmed : read_live == COAT_OK);
        CHECK(is_undecided(read_ended) ? harmed : read_ended == COAT_NO_SESSION);
    } else {
        CHECK(read_live != COAT_OK && read_ended != COAT_OK);
    }
    check_afterwards();
}

/** From opening a store to closing it. */
static void
torture_opening(opening *open, enum beside how, unsigned kinds, long least, long sample)
{
    const torture t = {kinds, begin_opening, run_opening, end_opening, least, sample};

    beside = how;
    torture_kept(&t, open);
}

#endif
