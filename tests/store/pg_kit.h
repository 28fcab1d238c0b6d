/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_TESTS_PG_KIT_H
#define COAT_TESTS_PG_KIT_H

/** One server, one store on it with a clock that tests set, one lane. */

#include "pg_fixture.h"

static pg_server server = {.args = {"fsync=off", "full_page_writes=off"}};
static coat_store *store;
static coat_lane *lane;
static _Atomic int64_t ahead_ms;   /* of the real clock */
static _Atomic int64_t stopped_ms; /* not 0: our clock stands still */

static inline int64_t
test_monotonic(void *ctx)
{
    struct timespec now;

    (void)ctx;
    if (atomic_load(&stopped_ms) != 0)
        return atomic_load(&stopped_ms);
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 + atomic_load(&ahead_ms);
}

static inline pg_store *
inside(void)
{
    return (pg_store *)store;
}

/** A fresh store, with a clock that tests set ahead. */
static inline void
begin_on(pg_server *s)
{
    if (s->pid == 0)
        server_start(s);
    REQUIRE_OK(server_open(s, &store));
    inside()->remote.monotonic = test_monotonic;
    REQUIRE_OK(coat_lane_open(store, NULL, &lane));
}

static inline void
begin(void)
{
    begin_on(&server);
}

static inline void
end(void)
{
    coat_lane_close(lane);
    coat_store_close(store);
    lane = NULL;
    store = NULL;
}

static inline __attribute__((format(printf, 1, 2))) const char *
sql(const char *format, ...)
{
    char text[2000], whole[2200];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    (void)snprintf(whole, sizeof whole, "SET search_path = t%d; %s", server.schema, text);
    return server_sql(&server, "%s", whole);
}

/** The lane's loop for a while: reconnections, deadlines. */
static inline void
turn(int times)
{
    for (int i = 0; i < times; i++) {
        (void)uv_run(((remote_lane *)lane)->loop, UV_RUN_NOWAIT);
        server_sleep();
    }
}

/** Until an operation is answered definitely; the breaker is led by the clock. */
static inline coat_err
come_back(void)
{
    coat_err err = COAT_STORE_DOWN;

    for (int i = 0; i < 4000 && err == COAT_STORE_DOWN; i++) {
        coat_store_req req = session_req(COAT_OP_EPOCHS, 1, 0);

        req.timeout_ms = 500; /* a connection may be held */
        err = coat_store_run(lane, &req);
        if (err == COAT_STORE_DOWN) {
            atomic_fetch_add(&ahead_ms, 200);
            turn(1);
        }
    }
    return err;
}

static inline coat_err
replace_with(uint64_t owner, uint64_t serial, size_t len, uint32_t timeout_ms)
{
    static const uint8_t bytes[COAT_STORE_VALUE_MAX];
    coat_store_req get = session_req(COAT_OP_LOAD, owner, serial);
    coat_store_req put = session_req(COAT_OP_REPLACE, owner, serial);
    coat_err err = coat_store_run(lane, &get);

    if (err != COAT_OK)
        return err;
    put.version = get.found_version;
    put.value = (coat_span){bytes, len};
    put.timeout_ms = timeout_ms;
    return coat_store_run(lane, &put);
}

static inline coat_err
replace(uint64_t owner, uint64_t serial, size_t len)
{
    return replace_with(owner, serial, len, PATIENCE_MS);
}

/** A trigger that fails the next `times` changes of a session with an SQLSTATE. */
static inline void
fail_next(const char *state, int times)
{
    (void)sql(
        "DROP SEQUENCE IF EXISTS failures; CREATE SEQUENCE failures;"
        "GRANT ALL ON SEQUENCE failures TO coatcheck;"
        "CREATE OR REPLACE FUNCTION stumble() RETURNS trigger LANGUAGE plpgsql AS $$ "
        "BEGIN IF nextval('t%d.failures') <= %d THEN RAISE EXCEPTION 'stumbled' USING "
        "ERRCODE = '%s'; END IF; RETURN coalesce(NEW, OLD); END $$;"
        "DROP TRIGGER IF EXISTS stumble ON sessions;"
        "CREATE TRIGGER stumble BEFORE INSERT OR UPDATE OR DELETE ON sessions FOR EACH ROW "
        "EXECUTE FUNCTION stumble()",
        server.schema, times, state);
}

#endif
