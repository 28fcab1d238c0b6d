/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_TESTS_FAULT_PROXY_H
#define COAT_TESTS_FAULT_PROXY_H

/**
 * A proxy between a store and its server that does to the bytes what networks do. It listens on
 * a free port of the loopback address; a thread serves each connection, and both directions
 * have a fault of their own. What happens is chosen by a seeded generator; when, by the
 * machine, or by the bytes that pass: a fault may wait for them (proxy_arm).
 */

#include "coat_test.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

typedef enum fault {
    FAULT_NONE,
    FAULT_DELAY,     /* up to delay_ms */
    FAULT_RESET,     /* both sides reset instead of the bytes */
    FAULT_TRUNCATE,  /* a part of the bytes, then both sides closed or reset */
    FAULT_CORRUPT,   /* one bit */
    FAULT_GARBAGE,   /* all of them others */
    FAULT_BLACKHOLE, /* the bytes vanish, the connection stays */
    FAULT_REORDER,   /* behind what comes next, if that comes soon */
    FAULT_REPEAT,    /* what came before comes once more, before these */
    FAULT_HOLD,      /* kept until the fault is lifted */
    FAULT_COUNT,
} fault;

enum {
    PROXY_BACKLOG = 4096,
    PROXY_CHUNK = 65536,
    PROXY_HELD_MAX = 1 << 20,
    PROXY_NEEDLE_MAX = 128,
    PROXY_TICK_MS = 10,
};

typedef struct fault_proxy {
    char upstream_path[108]; /* Unix socket; or "" and. Later on: proxy_point() */
    int upstream_port;
    int listener, port;
    _Atomic int faults[2]; /* to the server, to the client */
    _Atomic int
        percent; /* of the chunks that meet the fault; HOLD and BLACKHOLE: all of them */
    _Atomic int delay_ms;
    _Atomic bool refuse, stopping;
    _Atomic uint64_t random;
    _Atomic int accepted, live;
    _Atomic int cut_below;  /* connections numbered less are reset */
    _Atomic int spare_from; /* this one and later ones meet no faults; 0: all meet them */
    _Atomic uint64_t met;   /* chunks that were tampered with */
    _Atomic uint64_t bytes[2];
    /* May be NULL: sees every chunk, way 0 to the server. Less than len: so much of it still
     * goes on, then both sides are closed. Called by the connections' threads. */
    size_t (*tap)(void *ctx, int way, const uint8_t *bytes, size_t len);
    void *tap_ctx;
    pthread_t thread;

    pthread_mutex_t mutex; /* guards upstream_path, and what follows */
    uint8_t needle[PROXY_NEEDLE_MAX];
    size_t needle_len; /* 0: none is looked for */
    int seen;          /* how often it went to the server */
    bool armed;
    fault arm[2]; /* set when it comes by, before it passes */
} fault_proxy;

typedef struct proxy_half {
    int from, to;
    uint8_t held[PROXY_HELD_MAX], before[PROXY_CHUNK];
    size_t held_len, before_len;
} proxy_half;

typedef struct proxy_pair {
    fault_proxy *proxy;
    int number;                         /* from 1 */
    bool reset;                         /* it ends with a reset */
    bool late;                          /* something was held on its way to the server */
    uint8_t tail[PROXY_NEEDLE_MAX * 2]; /* what went to the server last */
    size_t tail_len;
    proxy_half half[2];
} proxy_pair;

static inline uint64_t
proxy_random(fault_proxy *p)
{
    test_rng rng = {atomic_fetch_add(&p->random, 0x9e3779b97f4a7c15U)};

    return test_rng_next(&rng);
}

static inline bool
proxy_send(int fd, const uint8_t *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);

        if (n <= 0)
            return false;
        bytes += n;
        len -= (size_t)n;
    }
    return true;
}

static inline void
proxy_set(fault_proxy *p, fault to_server, fault to_client, int percent)
{
    atomic_store(&p->percent, percent);
    atomic_store(&p->faults[0], to_server);
    atomic_store(&p->faults[1], to_client);
}

/** Under the mutex. How often the needle is in these bytes. */
static inline int
proxy_count(const fault_proxy *p, const uint8_t *bytes, size_t len)
{
    const uint8_t *at = bytes, *end = bytes + len;
    int n = 0;

    while (at < end &&
           (at = memmem(at, (size_t)(end - at), p->needle, p->needle_len)) != NULL) {
        n++;
        at++;
    }
    return n;
}

/** Is what is waited for in what goes to the server, or across two of its chunks? */
static inline void
proxy_look(proxy_pair *pair, const uint8_t *bytes, size_t len)
{
    fault_proxy *p = pair->proxy;

    pthread_mutex_lock(&p->mutex);
    if (p->needle_len > 0) {
        size_t part = p->needle_len - 1, head = len < part ? len : part, kept;
        int seen;

        if (pair->tail_len > part) {
            memmove(pair->tail, pair->tail + pair->tail_len - part, part);
            pair->tail_len = part;
        }
        kept = pair->tail_len;
        memcpy(pair->tail + kept, bytes, head);
        seen = proxy_count(p, bytes, len) + proxy_count(p, pair->tail, kept + head) -
               proxy_count(p, bytes, head);
        p->seen += seen;
        if (seen > 0 && p->armed) {
            p->armed = false;
            proxy_set(p, p->arm[0], p->arm[1], 100);
        }
        if (len >= part) {
            memcpy(pair->tail, bytes + len - part, part);
            pair->tail_len = part;
        } else {
            pair->tail_len = kept + head;
        }
    }
    pthread_mutex_unlock(&p->mutex);
}

static inline fault
proxy_fault(proxy_pair *pair, int way, uint64_t random)
{
    fault_proxy *p = pair->proxy;
    fault f = (fault)atomic_load(&p->faults[way]);
    int spare_from = atomic_load(&p->spare_from);

    if (spare_from != 0 && pair->number >= spare_from)
        return FAULT_NONE;
    if (f != FAULT_HOLD && f != FAULT_BLACKHOLE &&
        (int)(random % 100) >= atomic_load(&p->percent))
        return FAULT_NONE;
    return f;
}

/** @return false: the connection ends */
static inline bool
proxy_chunk(proxy_pair *pair, int way, uint8_t *bytes, size_t len)
{
    fault_proxy *p = pair->proxy;
    proxy_half *h = &pair->half[way];
    uint64_t random = proxy_random(p);
    bool ok = true;
    fault f;

    if (p->tap != NULL) {
        size_t kept = p->tap(p->tap_ctx, way, bytes, len);

        if (kept < len) {
            (void)proxy_send(h->to, bytes, kept);
            return false;
        }
    }
    if (way == 0)
        proxy_look(pair, bytes, len);
    f = proxy_fault(pair, way, random);
    random /= 100;
    if (f != FAULT_NONE)
        atomic_fetch_add(&p->met, 1);
    switch (f) {
    case FAULT_DELAY: {
        int ms = (int)(random % (uint64_t)(atomic_load(&p->delay_ms) + 1));

        (void)nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000L}, NULL);
        break;
    }
    case FAULT_RESET:
        pair->reset = true;
        return false;
    case FAULT_TRUNCATE:
        (void)proxy_send(h->to, bytes, random % len);
        pair->reset = random / len % 2 == 0;
        return false;
    case FAULT_CORRUPT:
        bytes[random % len] ^= (uint8_t)(1U << (random / len % 8));
        break;
    case FAULT_GARBAGE: {
        test_rng rng = {random};

        (void)test_rng_fill(&rng, bytes, len);
        break;
    }
    case FAULT_BLACKHOLE:
        return true;
    case FAULT_REPEAT:
        ok = proxy_send(h->to, h->before, h->before_len);
        break;
    case FAULT_HOLD:
    case FAULT_REORDER:
        if (h->held_len + len > sizeof h->held)
            return false;
        memcpy(h->held + h->held_len, bytes, len);
        h->held_len += len;
        return true;
    default:
        break;
    }
    memcpy(h->before, bytes, len);
    h->before_len = len;
    ok = ok && proxy_send(h->to, bytes, len);
    if (ok && h->held_len > 0) {
        ok = proxy_send(h->to, h->held, h->held_len);
        h->held_len = 0;
    }
    atomic_fetch_add(&p->bytes[way], len);
    return ok;
}

/** What is held and not to be held any more. */
static inline bool
proxy_release(proxy_pair *pair)
{
    for (int way = 0; way < 2; way++) {
        proxy_half *h = &pair->half[way];

        if (h->held_len == 0 || atomic_load(&pair->proxy->faults[way]) == FAULT_HOLD)
            continue;
        if (!proxy_send(h->to, h->held, h->held_len))
            return false;
        h->held_len = 0;
        pair->late |= way == 0;
    }
    return true;
}

static inline int
proxy_upstream(fault_proxy *p)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    int fd, rc;

    pthread_mutex_lock(&p->mutex);
    memcpy(to.sun_path, p->upstream_path, sizeof to.sun_path);
    pthread_mutex_unlock(&p->mutex);
    if (to.sun_path[0] != '\0') {
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        rc = connect(fd, (struct sockaddr *)&to, sizeof to);
    } else {
        struct sockaddr_in at = {.sin_family = AF_INET,
                                 .sin_port = htons((uint16_t)p->upstream_port),
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

        fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        rc = connect(fd, (struct sockaddr *)&at, sizeof at);
    }
    if (rc == 0)
        return fd;
    (void)close(fd);
    return -1;
}

/** A reset is heard at once, and takes along what was sent but not read. */
static inline void
proxy_close(int fd, bool reset)
{
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};

    if (reset)
        (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    (void)close(fd);
}

static inline bool
proxy_is_cut(proxy_pair *pair)
{
    if (pair->number >= atomic_load(&pair->proxy->cut_below))
        return false;
    pair->reset = true;
    return true;
}

/** What came late is dealt with to its end: that its sender is gone the server hears behind it,
 * and not from answers that nobody takes. */
static inline void
proxy_drain(proxy_pair *pair, int server)
{
    uint8_t bytes[512];
    ssize_t got = 1;

    (void)shutdown(server, SHUT_WR);
    while (got > 0 && !atomic_load(&pair->proxy->stopping) && !proxy_is_cut(pair)) {
        struct pollfd fd = {server, POLLIN, 0};

        if (poll(&fd, 1, PROXY_TICK_MS) > 0)
            got = read(server, bytes, sizeof bytes);
    }
}

static inline void *
proxy_serve(void *arg)
{
    proxy_pair *pair = arg;
    fault_proxy *p = pair->proxy;
    int client = pair->half[0].from, server = proxy_upstream(p);
    static _Thread_local uint8_t bytes[PROXY_CHUNK];
    bool ok = server >= 0;

    pair->half[0].to = pair->half[1].from = server;
    pair->half[1].to = client;
    while (ok && !atomic_load(&p->stopping)) {
        struct pollfd fds[2] = {{client, POLLIN, 0}, {server, POLLIN, 0}};

        (void)poll(fds, 2, PROXY_TICK_MS);
        ok = !proxy_is_cut(pair) && proxy_release(pair);
        for (int way = 0; ok && way < 2; way++) {
            ssize_t got;

            if (fds[way].revents == 0)
                continue;
            got = read(fds[way].fd, bytes, sizeof bytes);
            /* A close travels through a proxy only behind what it holds. */
            if (got <= 0 && pair->half[way].held_len > 0 && way == 0) {
                (void)nanosleep(&(struct timespec){0, 2000000}, NULL);
                continue;
            }
            if (got <= 0 && way == 0 && pair->late)
                proxy_drain(pair, server);
            ok = got > 0 && proxy_chunk(pair, way, bytes, (size_t)got);
        }
    }
    proxy_close(client, pair->reset);
    if (server >= 0)
        proxy_close(server, pair->reset);
    free(pair);
    atomic_fetch_sub(&p->live, 1);
    return NULL;
}

static inline void *
proxy_main(void *arg)
{
    fault_proxy *p = arg;

    while (!atomic_load(&p->stopping)) {
        struct pollfd fd = {p->listener, POLLIN, 0};
        proxy_pair *pair;
        pthread_t thread;
        int client;

        if (poll(&fd, 1, PROXY_TICK_MS) <= 0)
            continue;
        client = accept4(p->listener, NULL, NULL, SOCK_CLOEXEC);
        if (client < 0) { /* refuses, which poll() reports at once */
            (void)nanosleep(&(struct timespec){0, 1000000}, NULL);
            continue;
        }
        (void)setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
        pair = calloc(1, sizeof *pair);
        if (pair == NULL)
            abort();
        pair->number = atomic_fetch_add(&p->accepted, 1) + 1;
        pair->proxy = p;
        pair->half[0].from = client;
        atomic_fetch_add(&p->live, 1);
        if (pthread_create(&thread, NULL, proxy_serve, pair) != 0)
            abort();
        (void)pthread_detach(thread);
    }
    return NULL;
}

/** On a port that was free, and which stays ours while nobody may connect. */
static inline void
proxy_listen(fault_proxy *p)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1;

    for (int i = 0; i < 100; i++) {
        socklen_t len = sizeof at;
        int probe = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        at.sin_port = 0;
        REQUIRE(bind(probe, (struct sockaddr *)&at, len) == 0);
        REQUIRE(getsockname(probe, (struct sockaddr *)&at, &len) == 0);
        (void)close(probe);
        p->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void)setsockopt(p->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        if (bind(p->listener, (struct sockaddr *)&at, len) == 0 &&
            listen(p->listener, PROXY_BACKLOG) == 0) {
            p->port = ntohs(at.sin_port);
            return;
        }
        (void)close(p->listener);
    }
    test_fail(__FILE__, __LINE__, "no port is free");
    test_abort();
}

static inline void
proxy_start(fault_proxy *p, uint64_t seed)
{
    proxy_listen(p);
    (void)pthread_mutex_init(&p->mutex, NULL);
    atomic_store(&p->random, seed);
    REQUIRE(pthread_create(&p->thread, NULL, proxy_main, p) == 0);
}

/** Count these bytes on their way to the server from now on. */
static inline void
proxy_watch(fault_proxy *p, const void *needle, size_t len)
{
    REQUIRE(len > 0 && len <= PROXY_NEEDLE_MAX);
    pthread_mutex_lock(&p->mutex);
    memcpy(p->needle, needle, len);
    p->needle_len = len;
    p->seen = 0;
    p->armed = false;
    pthread_mutex_unlock(&p->mutex);
}

/** These faults begin when the bytes that are watched come by, and meet them. */
static inline void
proxy_arm(fault_proxy *p, fault to_server, fault to_client)
{
    pthread_mutex_lock(&p->mutex);
    p->arm[0] = to_server;
    p->arm[1] = to_client;
    p->armed = true;
    pthread_mutex_unlock(&p->mutex);
}

static inline int
proxy_seen(fault_proxy *p)
{
    int seen;

    pthread_mutex_lock(&p->mutex);
    seen = p->seen;
    pthread_mutex_unlock(&p->mutex);
    return seen;
}

/** Who connects from now on meets no faults; what is held stays so. */
static inline void
proxy_spare_new(fault_proxy *p)
{
    atomic_store(&p->spare_from, atomic_load(&p->accepted) + 1);
}

/** Who connects from now on is led to this Unix socket. */
static inline void
proxy_point(fault_proxy *p, const char *path)
{
    REQUIRE(strlen(path) < sizeof p->upstream_path);
    pthread_mutex_lock(&p->mutex);
    memcpy(p->upstream_path, path, strlen(path) + 1);
    pthread_mutex_unlock(&p->mutex);
}

/** All connections are reset. */
static inline void
proxy_cut(fault_proxy *p)
{
    atomic_store(&p->cut_below, atomic_load(&p->accepted) + 1);
}

/** Whoever connects is refused, as by a machine on which nobody listens. Established
 * connections stay. */
static inline void
proxy_refuse(fault_proxy *p, bool refuse)
{
    if (atomic_exchange(&p->refuse, refuse) == refuse)
        return;
    if (refuse)
        (void)shutdown(p->listener, SHUT_RD);
    else
        REQUIRE(listen(p->listener, PROXY_BACKLOG) == 0);
}

static inline void
proxy_stop(fault_proxy *p)
{
    atomic_store(&p->stopping, true);
    (void)pthread_join(p->thread, NULL);
    while (atomic_load(&p->live) > 0)
        (void)nanosleep(&(struct timespec){0, 2000000}, NULL);
    (void)close(p->listener);
    (void)pthread_mutex_destroy(&p->mutex);
}

#endif
