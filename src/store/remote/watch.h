/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_STORE_REMOTE_WATCH_H
#define COAT_STORE_REMOTE_WATCH_H

/**
 * Watches of a store behind a network (store.h, "watching"): their life between LOST and READY,
 * and one server at a time (rule 3).
 *
 * A store has a current server, known by a text that another one, or the same one restarted,
 * does not have, and counts its eras: a connection is used in the era that it was greeted in.
 * While a watch is ready on another server a new connection waits: the watch reports LOST
 * first, on its own thread. A watch becomes ready in an era of its server, so that no
 * connection to another one takes a request from then on.
 */

#include "store/remote/remote.h"

enum { REMOTE_SERVER_MAX = 64, REMOTE_WATCHING_MAX = 160 };

typedef struct remote_watch remote_watch;

/** What a store keeps for it; zeroed at first. */
typedef struct remote_watches {
    _Atomic uint64_t era;

    /* Under the store's mutex. */
    char serving[REMOTE_SERVER_MAX]; /* the current server; "": none */
    remote_watch *first;
    char trouble[REMOTE_WATCHING_MAX]; /* why changes are not heard of; or what else is wrong */
} remote_watches;

/** How one kind of store is listened to. On the lane's thread. */
struct remote_watch_kind {
    /* Begin to connect and to subscribe. Ends, later or before it returns, in
     * remote_watch_subscribed() or remote_watch_lose(). */
    void (*start)(remote_watch *watch);
    /* Drop the connection, if there is one; nothing of it may come any more. */
    void (*stop)(remote_watch *watch);
    /* Under the store's mutex; may be NULL: it is becoming ready. May say in all->trouble what
     * is wrong all the same. */
    void (*ready)(remote_watch *watch);
};

/** First member of every such watch. */
struct remote_watch {
    coat_watch base;
    coat_watch_sink sink;
    remote_store *store;
    remote_watches *all;
    const struct remote_watch_kind *kind;
    uv_timer_t timer;
    uv_async_t async; /* from other threads: see told_to_lose */
    int handles;
    bool closing, started, subscribed;
    remote_backoff backoff;

    _Atomic bool told_to_lose;
    bool ready;                     /* changed under the store's mutex */
    char server[REMOTE_SERVER_MAX]; /* set before remote_watch_subscribed() */
    remote_watch *next;
};

/**
 * @param watch  zeroed and on the heap. On COAT_OK it is freed some time after
 *               remote_watch_close(), else still the caller's.
 */
coat_err remote_watch_open(remote_watch *watch, coat_lane *lane, const coat_watch_sink *sink,
                           remote_watches *all, const struct remote_watch_kind *kind);
void remote_watch_close(remote_watch *watch);

/** READY follows when all connections of the store are to this server. */
void remote_watch_subscribed(remote_watch *watch);
/** Whatever went wrong is LOST, and it begins anew. `why` may be a server's words, or NULL */
void remote_watch_lose(remote_watch *watch, const char *why);
/** Report, unless it is not ready. */
void remote_watch_tell(remote_watch *watch, const coat_watch_event *event);

/** May a connection to this server be used now? @param era  set: what it may be used in */
bool remote_server_admit(remote_store *store, remote_watches *all, const char *server,
                         uint64_t *era);
/** The server of this era serves no more. */
void remote_server_leave(remote_store *store, remote_watches *all, uint64_t era);

/* The same under the store's mutex, for who decides more than that under it. */
bool remote_server_turn(remote_watches *all, const char *server);
void remote_server_drop(remote_watches *all); /* whichever it is */

#endif
