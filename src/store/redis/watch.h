/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_STORE_REDIS_WATCH_H
#define COAT_STORE_REDIS_WATCH_H

/**
 * A watch: a connection of its own that subscribes to what the scripts publish. A script
 * publishes before it ends, Redis runs one at a time, and a connection's messages stay in
 * order: so order and completeness hold as long as the connection lives.
 *
 *  watch.c   the connection
 *  report.c  messages to events
 *  server.c  one server at a time
 */

#include "store/redis/redis.h"

enum { REDIS_WATCH_DUE = 8 };

typedef struct redis_watch {
    coat_watch base;
    coat_watch_sink sink;
    redis_store *store;
    uv_timer_t timer;
    uv_async_t async; /* from other threads: see told_to_lose */
    int handles;
    bool closing;

    redis_sentry *sentry;
    redis_ask *ask; /* before there is a stream */
    redis_place place;
    remote_stream *stream;
    resp_reader *reader;
    remote_buffer out;
    uint64_t connection; /* how many there were before */
    uint8_t due[REDIS_WATCH_DUE];
    size_t due_first, due_count;
    bool subscribed;
    bool blind; /* keys that others delete go unnoticed */
    remote_backoff backoff;
    char run_id[REDIS_RUN_ID];

    _Atomic bool told_to_lose;
    bool ready; /* set under the store's mutex */
    struct redis_watch *next;
} redis_watch;

/* report.c */
/** @return false: not what our scripts publish */
bool redis_report(redis_watch *w, coat_span channel, const resp_reply *message);

/* server.c */
bool redis_watch_admit(redis_watch *w);
void redis_watch_leave(redis_watch *w, const char *why);
void redis_watch_enter(redis_watch *w);
void redis_watch_exit(redis_watch *w);

#endif
