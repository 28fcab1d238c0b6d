/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_TESTS_REDIS_FAKE_H
#define COAT_TESTS_REDIS_FAKE_H

/** A Redis store on one link without a network: the test is the server, and has the clock. */

#include "requests.h"
#include "store/redis/redis.h"
#include "store/remote/value.h"

#include <string.h>

static redis_store store;
static struct coat_store_ops ops;
static struct remote_kind kind;
static coat_lane *lane;
static redis_link *fake;
static int64_t now_ms = 1000000;
static unsigned starts;
static remote_buffer sent;     /* by the link, in the last flush */
static bool kill_refused;      /* the user may not CLIENT KILL */
static const char *drop_reply; /* to being told to drop an earlier connection */

static inline int64_t
fixed_clock(void *ctx)
{
    (void)ctx;
    return now_ms;
}

static inline coat_err
fixed_random(void *ctx, uint8_t *buf, size_t len)
{
    (void)ctx;
    memset(buf, 0, len);
    return COAT_OK;
}

static inline void
fake_start(remote_link *base)
{
    redis_link *link = (redis_link *)base;

    starts++;
    link->greeted = false;
    link->number = 0;
    link->told = link->told_global = 0;
    link->reader = resp_reader_new();
    redis_hello(link);
}

static inline void
fake_flush(remote_link *base)
{
    redis_link *link = (redis_link *)base;

    remote_buffer_free(&sent);
    sent = link->out;
    link->out = (remote_buffer){0};
}

static inline void
hear(const char *text)
{
    redis_bytes(fake, (const uint8_t *)text, strlen(text));
}

/** Connections that a server with these lines of INFO is told to drop. */
static inline size_t
doubts_on(const char *info)
{
    size_t count = 0;

    for (size_t i = 0; i < store.doubt_count; i++)
        count +=
            memmem(info, strlen(info), store.doubts[i].run_id, REDIS_RUN_ID) != NULL ? 1 : 0;
    return kill_refused || store.doubt_count < REDIS_DOUBTS_MANY ? 0 : count;
}

/** The whole of the hello, with these lines of INFO and this format. */
static inline void
greet_with(const char *info, const char *format)
{
    size_t dropped = doubts_on(info);
    char text[300];

    (void)snprintf(text, sizeof text, "$%zu\r\n%s\r\n:7\r\n%s\r\n*0\r\n*0\r\n", strlen(info),
                   info, kill_refused ? "-NOPERM this user has no permissions" : ":0");
    hear(text);
    for (int i = SCRIPT_HELLO + 1; i < SCRIPT_COUNT && fake->reader != NULL; i++)
        hear("$40\r\n0123456789012345678901234567890123456789\r\n");
    (void)snprintf(text, sizeof text, "*4\r\n:0\r\n$1\r\n%s\r\n$1\r\n0\r\n$1\r\n0\r\n", format);
    if (fake->reader != NULL)
        hear(text);
    while (fake->reader != NULL && dropped-- > 0)
        hear(drop_reply);
}

/** By the server of that run id. */
static inline void
greet_as(const char *run_id)
{
    char info[120];

    (void)snprintf(info, sizeof info, "redis_version:7.0.15\r\nrun_id:%s\r\nrole:master\r\n",
                   run_id);
    greet_with(info, "1");
}

static inline void
greet(void)
{
    greet_as("0123456789012345678901234567890123456789");
    CHECK_INT(fake->base.state, REMOTE_READY);
}

static inline void
begin(void)
{
    memset(&store, 0, sizeof store);
    ops = coat_redis_ops;
    kind = redis_kind;
    kind.start = fake_start;
    kind.flush = fake_flush;
    starts = 0;
    kill_refused = false;
    drop_reply = ":0\r\n"; /* it had dropped it already */
    REQUIRE_OK(remote_store_init(&store.remote, &ops, &kind));
    store.remote.links = 1;
    store.remote.monotonic = fixed_clock;
    store.remote.rng = fixed_random;
    memcpy(store.prefix, "p:", 3);
    REQUIRE_OK(remote_lane_open(&store.remote.base, NULL, &lane));
    fake = (redis_link *)((remote_lane *)lane)->links[0];
    greet();
}

static inline void
end(void)
{
    remote_lane_close(lane);
    remote_store_fini(&store.remote);
    remote_buffer_free(&sent);
}

/** One turn of the lane's loop, with its timer due. */
static inline void
turn(void)
{
    (void)uv_run(((remote_lane *)lane)->loop, UV_RUN_NOWAIT);
    uv_sleep(REMOTE_PACE_IDLE_MS + 5);
    (void)uv_run(((remote_lane *)lane)->loop, UV_RUN_NOWAIT);
}

static unsigned done_count;

static inline void
count_done(coat_store_req *req)
{
    (void)req;
    done_count++;
}

static inline coat_store_req
submit(coat_store_req *req, coat_op op)
{
    *req = session_req(op, 1, 1);
    req->timeout_ms = 250;
    req->done = count_done;
    req->result = COAT_CANCELLED;
    coat_store_submit(lane, req);
    return *req;
}

/** The connection is lost, and begun anew for the sake of a request. */
static inline void
reconnect(coat_store_req *req)
{
    redis_fail(fake, "cut");
    now_ms += 1000;
    (void)submit(req, COAT_OP_INSERT);
}

#endif
