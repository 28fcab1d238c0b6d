/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_TESTS_DRILL_H
#define COAT_TESTS_DRILL_H

/**
 * Many users' sessions under faults. Each thread knows what must be true of its own sessions,
 * or that it cannot know; no answer may contradict it. The value of a session names it and
 * carries a check sum in place of the seal that the engine puts on it.
 */

#include "requests.h"

#include <pthread.h>
#include <stdatomic.h>

enum { DRILL_SESSIONS = 24, DRILL_THREADS = 2, DRILL_VALUE = 40, DRILL_TRACE = 512 };

typedef enum known {
    KNOWN_ABSENT,
    KNOWN_LIVE,
    KNOWN_MAYBE, /* a change of unknown outcome */
} known;

typedef struct drill_session {
    known state;
    bool ended; /* its end was acknowledged, and no sign-in has begun or taken place since */
    /* A change was answered STORE_DOWN, and no SWEEP has come through since: it may take place
     * at any time. A late REPLACE cannot bring back what was ended. A late INSERT can: nobody
     * was given its session, so nobody's end of it is undone. */
    bool undecided, maybe_insert;
    uint64_t version;
    uint64_t value; /* what it holds if it is live */
} drill_session;

/** What was asked and answered, for the message of a failure. */
typedef struct drill_event {
    coat_op op;
    uint64_t serial;
    coat_err err;
} drill_event;

typedef struct drill {
    coat_store *store;
    coat_lane *lane;
    uint64_t owner;
    test_rng rng;
    uint64_t steps, values;
    uint32_t timeout_ms;
    bool may_corrupt; /* bytes change on the wire and nothing protects them */
    drill_session sessions[DRILL_SESSIONS];
    uint64_t answered, down;
    _Atomic int64_t *ahead_ms; /* the store's clock is set ahead when it is down: no waiting */
    const char *fault;
    drill_event trace[DRILL_TRACE]; /* a ring */
    uint64_t events;
} drill;

static inline uint64_t
drill_sum(const uint8_t *bytes, size_t len)
{
    uint64_t sum = 14695981039346656037U;

    for (size_t i = 0; i < len; i++)
        sum = (sum ^ bytes[i]) * 1099511628211U;
    return sum;
}

static inline void
drill_value(const drill *d, uint64_t serial, uint64_t value, uint8_t out[DRILL_VALUE])
{
    coat_store64(out, d->owner);
    coat_store64(out + 8, serial);
    coat_store64(out + 16, value);
    coat_store64(out + 24, value * 7);
    coat_store64(out + 32, drill_sum(out, 32));
}

typedef struct drill_found {
    uint8_t bytes[DRILL_VALUE];
    bool whole;
} drill_found;

static inline void
drill_done(coat_store_req *req)
{
    drill_found *found = req->ctx;

    found->whole = req->op == COAT_OP_LOAD && req->result == COAT_OK &&
                   req->found.len == DRILL_VALUE &&
                   drill_sum(req->found.ptr, 32) == coat_load64(req->found.ptr + 32);
    if (found->whole)
        memcpy(found->bytes, req->found.ptr, DRILL_VALUE);
}

static inline bool
drill_undecided(coat_err err)
{
    return err == COAT_STORE_DOWN || err == COAT_IO || err == COAT_BUSY ||
           err == COAT_STORE_FULL;
}

static inline void
drill_count(drill *d, coat_op op, uint64_t serial, coat_err err)
{
    d->down += drill_undecided(err);
    d->answered += !drill_undecided(err);
    d->trace[d->events++ % DRILL_TRACE] = (drill_event){op, serial, err};
}

/** @return true if there was a fault, with what led to it */
static inline bool
drill_failed(const drill *d, const char *file, int line)
{
    static const char *const names[] = {[COAT_OP_LOAD] = "load",
                                        [COAT_OP_INSERT] = "insert",
                                        [COAT_OP_REPLACE] = "replace",
                                        [COAT_OP_REMOVE] = "remove",
                                        [COAT_OP_SWEEP] = "sweep"};
    uint64_t from = d->events > DRILL_TRACE ? d->events - DRILL_TRACE : 0;
    const drill_event *last = &d->trace[(d->events - 1) % DRILL_TRACE];

    if (d->fault == NULL)
        return false;
    test_fail(file, line, "owner %llu, session %llu: %s", (unsigned long long)d->owner,
              (unsigned long long)last->serial, d->fault);
    for (; from < d->events; from++) {
        const drill_event *e = &d->trace[from % DRILL_TRACE];

        if (e->serial == last->serial || e->op == COAT_OP_SWEEP)
            printf("#   %s: %s\n", names[e->op], coat_err_name(e->err));
    }
    return true;
}

/** A SWEEP was OK: every change of unknown outcome has taken place by now, or never will. */
static inline void
drill_decided(drill *d)
{
    d->trace[d->events++ % DRILL_TRACE] = (drill_event){COAT_OP_SWEEP, 0, COAT_OK};
    for (uint64_t i = 0; i < DRILL_SESSIONS; i++) {
        drill_session *s = &d->sessions[i];

        if (s->undecided)
            s->state = KNOWN_MAYBE;
        if (s->maybe_insert)
            s->ended = false; /* it may be there: see maybe_insert */
        s->undecided = s->maybe_insert = false;
    }
}

static inline coat_store_req
drill_req(drill *d, coat_op op, uint64_t serial, drill_found *found)
{
    coat_store_req req = session_req(op, d->owner, serial);

    req.timeout_ms = d->timeout_ms;
    req.done = drill_done;
    req.ctx = found;
    return req;
}

static inline void
drill_load(drill *d, uint64_t serial)
{
    drill_session *s = &d->sessions[serial];
    drill_found found;
    coat_store_req req = drill_req(d, COAT_OP_LOAD, serial, &found);
    coat_err err = coat_store_run(d->lane, &req);

    if (err == COAT_OK && found.whole) {
        if (coat_load64(found.bytes) != d->owner || coat_load64(found.bytes + 8) != serial)
            d->fault = "a record of somebody else";
        if (s->ended && !s->maybe_insert && !d->may_corrupt)
            d->fault = "accepted after its end was acknowledged";
        if (s->state == KNOWN_ABSENT && !s->maybe_insert && !d->may_corrupt)
            d->fault = "accepted, and never was";
        if (s->state == KNOWN_LIVE && !s->undecided && !d->may_corrupt &&
            coat_load64(found.bytes + 16) != s->value)
            d->fault = "an old state of a record";
        s->version = req.found_version;
        s->value = coat_load64(found.bytes + 16);
        s->state = KNOWN_LIVE;
        s->ended = false;
    } else if (err == COAT_OK && !d->may_corrupt) {
        d->fault = "a record that nobody wrote";
    } else if (err == COAT_NO_SESSION) {
        if (s->state == KNOWN_LIVE && !s->undecided && !d->may_corrupt)
            d->fault = "signed out by a fault";
        s->state = KNOWN_ABSENT;
    } else if (err != COAT_OK && !drill_undecided(err) && !d->may_corrupt) {
        d->fault = coat_err_name(err);
    }
    drill_count(d, COAT_OP_LOAD, serial, err);
}

static inline void
drill_insert(drill *d, uint64_t serial)
{
    drill_session *s = &d->sessions[serial];
    uint64_t value = ++d->values;
    uint8_t bytes[DRILL_VALUE];
    drill_found found;
    coat_store_req req = drill_req(d, COAT_OP_INSERT, serial, &found);
    coat_err err;

    drill_value(d, serial, value, bytes);
    req.value = (coat_span){bytes, sizeof bytes};
    s->ended = false;
    err = coat_store_run(d->lane, &req);
    drill_count(d, COAT_OP_INSERT, serial, err);
    if (err == COAT_OK) {
        if (s->state == KNOWN_LIVE && !s->undecided && !d->may_corrupt)
            d->fault = "inserted over a live one";
        s->state = KNOWN_LIVE;
        s->version = req.found_version;
        s->value = value;
    } else if (drill_undecided(err)) {
        s->undecided = s->maybe_insert = true;
        s->state = s->state == KNOWN_LIVE ? KNOWN_LIVE : KNOWN_MAYBE;
    } else if (err == COAT_EXISTS) {
        if (s->state == KNOWN_ABSENT && !s->maybe_insert && !d->may_corrupt)
            d->fault = "something is there that never was";
        s->state = KNOWN_MAYBE;
    } else if (!d->may_corrupt) {
        d->fault = coat_err_name(err);
    }
    if (d->may_corrupt && s->state != KNOWN_LIVE)
        s->state = KNOWN_MAYBE;
}

static inline void
drill_replace(drill *d, uint64_t serial)
{
    drill_session *s = &d->sessions[serial];
    uint64_t value = ++d->values;
    uint8_t bytes[DRILL_VALUE];
    drill_found found;
    coat_store_req req = drill_req(d, COAT_OP_REPLACE, serial, &found);
    bool known_live = s->state == KNOWN_LIVE;
    coat_err err;

    drill_value(d, serial, value, bytes);
    req.value = (coat_span){bytes, sizeof bytes};
    req.version = s->version != 0 ? s->version : 1;
    err = coat_store_run(d->lane, &req);
    drill_count(d, COAT_OP_REPLACE, serial, err);
    if (err == COAT_OK) {
        if ((s->ended || s->state == KNOWN_ABSENT) && !s->maybe_insert && !d->may_corrupt)
            d->fault = "a late write was taken";
        s->state = KNOWN_LIVE;
        s->version = req.found_version;
        s->value = value;
        return;
    }
    if (known_live && !s->undecided && (err == COAT_NO_SESSION || err == COAT_CONFLICT) &&
        !d->may_corrupt)
        d->fault = "lost to nobody";
    s->undecided = s->undecided || drill_undecided(err);
    if (err == COAT_NO_SESSION)
        s->state = KNOWN_ABSENT;
    else if (drill_undecided(err) || err == COAT_CONFLICT)
        s->state = s->state == KNOWN_ABSENT ? KNOWN_ABSENT : KNOWN_MAYBE;
    if (d->may_corrupt)
        s->state = KNOWN_MAYBE;
}

static inline void
drill_remove(drill *d, uint64_t serial)
{
    drill_session *s = &d->sessions[serial];
    drill_found found;
    coat_store_req req = drill_req(d, COAT_OP_REMOVE, serial, &found);
    coat_err err = coat_store_run(d->lane, &req);

    drill_count(d, COAT_OP_REMOVE, serial, err);
    if (err == COAT_OK && !d->may_corrupt) {
        s->state = KNOWN_ABSENT;
        s->ended = true;
    } else {
        s->undecided = true; /* of one that is absent, too: it may meet a later sign-in */
        if (s->state != KNOWN_ABSENT || d->may_corrupt)
            s->state = KNOWN_MAYBE;
    }
    if (err != COAT_OK && !drill_undecided(err) && !d->may_corrupt)
        d->fault = coat_err_name(err);
}

static inline void *
drill_run(void *arg)
{
    drill *d = arg;

    for (uint64_t i = 0; i < d->steps && d->fault == NULL; i++) {
        uint64_t serial = test_rng_below(&d->rng, DRILL_SESSIONS);
        uint64_t n = test_rng_below(&d->rng, 100), down = d->down;

        if (n < 45)
            drill_load(d, serial);
        else if (n < 70)
            drill_insert(d, serial);
        else if (n < 90)
            drill_replace(d, serial);
        else
            drill_remove(d, serial);
        if (d->down > down)
            atomic_fetch_add(d->ahead_ms, (int64_t)test_rng_below(&d->rng, 400));
    }
    return NULL;
}

/** All threads at once; notes what was wrong. */
static inline void
drill_all(drill *drills)
{
    pthread_t threads[DRILL_THREADS];

    for (int i = 0; i < DRILL_THREADS; i++)
        REQUIRE(pthread_create(&threads[i], NULL, drill_run, &drills[i]) == 0);
    for (int i = 0; i < DRILL_THREADS; i++)
        (void)pthread_join(threads[i], NULL);
    for (int i = 0; i < DRILL_THREADS; i++)
        (void)drill_failed(&drills[i], __FILE__, __LINE__);
}

#endif
