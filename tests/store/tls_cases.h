/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_TESTS_TLS_CASES_H
#define COAT_TESTS_TLS_CASES_H

/** What holds of TLS to whatever server: certificates of tls_fixture.h, and a user "door" whose
 * password is in the file "secret". */

#include "drill.h"
#include "fault_proxy.h"
#include "store/remote/remote.h"
#include "test_clock.h"
#include "tls_fixture.h"

/** Open a store at the port, as "door"; `query` begins with an ampersand. */
typedef coat_err tls_open(const char *query, int port, char *message, size_t cap,
                          coat_store **out);

static inline const char *
with_ca(const char *file)
{
    static char text[200];

    (void)snprintf(text, sizeof text, "&ca-file=%s/%s", dir, file);
    return text;
}

static inline coat_store *
open_ready(tls_open *open, const char *query, int port)
{
    char message[400] = "";
    coat_store *store;

    REQUIRE_OK(open(query, port, message, sizeof message, &store));
    if (strstr(message, "not ready") != NULL)
        test_fail(__FILE__, __LINE__, "said: %s", message);
    return store;
}

/** @param said  why not, or a part of it */
static inline coat_store *
open_refused(tls_open *open, const char *query, int port, const char *said)
{
    char message[400] = "";
    coat_store *store;

    REQUIRE_OK(open(query, port, message, sizeof message, &store));
    if (strstr(message, "not ready") == NULL || strstr(message, said) == NULL)
        test_fail(__FILE__, __LINE__, "said: %s", message);
    return store;
}

/** Also what is longer than a record of TLS. */
static inline void
much_works(coat_lane *lane)
{
    for (uint64_t i = 1; i <= 50; i++) {
        CHECK_ERR(sign_in(lane, i, i, i * 1300), COAT_OK);
        CHECK_ERR(run_op(lane, COAT_OP_LOAD, i, i), COAT_OK);
    }
    CHECK_ERR(run_op(lane, COAT_OP_END_ALL, 0, 0), COAT_OK);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 1), COAT_NO_SESSION);
}

/** The server wants a certificate of ours. */
static inline void
wants_certificate(tls_open *open, int port)
{
    char query[600];

    coat_store_close(open_refused(open, with_ca("ca.pem"), port, ""));
    (void)snprintf(query, sizeof query, "%s&cert-file=%s/good.pem&key-file=%s/good.key",
                   with_ca("ca.pem"), dir, dir);
    coat_store_close(open_ready(open, query, port));
}

/** However often it is tried. */
static inline void
nothing_works(coat_store *store)
{
    coat_lane *lane;

    ((remote_store *)store)->monotonic = test_monotonic;
    REQUIRE_OK(coat_lane_open(store, NULL, &lane));
    for (int n = 0; n < 4; n++) {
        coat_store_req req = session_req(COAT_OP_LOAD, 1, 1);

        coat_store_submit(lane, &req);
        for (int turn = 0; turn < 10; turn++) {
            (void)uv_run(((remote_lane *)lane)->loop, UV_RUN_NOWAIT);
            server_sleep();
        }
        atomic_fetch_add(&ahead_ms, PATIENCE_MS);
        lane->store->ops->wait(lane, &req);
        CHECK_ERR(req.result, COAT_STORE_DOWN);
    }
    coat_lane_close(lane);
}

/**
 * A server that says this to everything, and is none.
 * @param first  bytes that may go before a ClientHello, as often as they like
 */
static inline void
tell_no_secrets(tls_open *open, const char *says, const char *first, size_t first_len)
{
    listener l;
    size_t at = 0;

    if (dir[0] == '\0')
        make_all();
    listener_start(&l, says);
    coat_store_close(open_refused(open, with_ca("ca.pem"), l.port, ""));
    listener_stop(&l);
    while (first_len > 0 && l.len - at >= first_len &&
           memcmp(l.heard + at, first, first_len) == 0)
        at += first_len;
    CHECK(first_len == 0 || at > 0);
    CHECK(l.len == at || l.heard[at] == 0x16);
    CHECK(l.len > 0);
    CHECK(memmem(l.heard, l.len, "s3same", 6) == NULL);
    CHECK(memmem(l.heard, l.len, "door", 4) == NULL);
    CHECK(memmem(l.heard, l.len, "AUTH", 4) == NULL);
    CHECK(memmem(l.heard, l.len, "user", 4) == NULL);
}

/** Until what was in doubt is decided. */
static inline coat_err
decided(coat_lane *lane)
{
    coat_err err = COAT_STORE_DOWN;

    for (int i = 0; i < 4000 && err != COAT_OK; i++) {
        err = run_op(lane, COAT_OP_SWEEP, 0, 0);
        if (err == COAT_OK)
            break;
        atomic_fetch_add(&ahead_ms, 200);
        server_sleep();
    }
    return err;
}

static inline void
drill_steps(drill *drills, uint64_t steps, uint32_t timeout_ms)
{
    for (int i = 0; i < DRILL_THREADS; i++) {
        drills[i].steps = steps;
        drills[i].timeout_ms = timeout_ms;
    }
    drill_all(drills);
}

/** Bits flip on the wire, one way and the other: no changed answer is ever believed. */
static inline void
flip_bits(tls_open *open, int port, uint64_t steps)
{
    static drill drills[DRILL_THREADS];
    fault_proxy proxy = {.upstream_port = port};
    coat_store *store;

    proxy_start(&proxy, 9);
    store = open_ready(open, with_ca("ca.pem"), proxy.port);
    ((remote_store *)store)->monotonic = test_monotonic;
    for (int i = 0; i < DRILL_THREADS; i++) {
        drills[i] = (drill){.store = store,
                            .owner = (uint64_t)i + 1,
                            .rng = {(uint64_t)i + 1},
                            .ahead_ms = &ahead_ms};
        REQUIRE_OK(coat_lane_open(store, NULL, &drills[i].lane));
    }
    drill_steps(drills, 100, PATIENCE_MS);
    proxy_set(&proxy, FAULT_CORRUPT, FAULT_NONE, 5);
    drill_steps(drills, steps, 100);
    proxy_set(&proxy, FAULT_NONE, FAULT_CORRUPT, 5);
    drill_steps(drills, steps, 100);
    CHECK(atomic_load(&proxy.met) > 0);
    /* How many were answered meanwhile is the machine's business; afterwards it goes on. */
    proxy_set(&proxy, FAULT_NONE, FAULT_NONE, 0);
    for (int i = 0; i < DRILL_THREADS; i++) {
        CHECK_ERR(decided(drills[i].lane), COAT_OK);
        drills[i].answered = 0;
    }
    drill_steps(drills, 20, PATIENCE_MS);
    for (int i = 0; i < DRILL_THREADS; i++) {
        CHECK(drills[i].answered > 0);
        coat_lane_close(drills[i].lane);
    }
    coat_store_close(store);
    proxy_stop(&proxy);
}

#endif
