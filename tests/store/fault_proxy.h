/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_TESTS_FAULT_PROXY_H
#define COAT_TESTS_FAULT_PROXY_H

/**
 * A proxy between a store and its server that does to the bytes what networks do. It listens on
 * a free port of the loopback address; a thread serves each connection, and both directions
 * have a fault of their own. What happens is chosen by a seeded generator; when, by the
 * machine.
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
    FAULT_RESET,     /* both sides closed instead of the bytes */
    FAULT_TRUNCATE,  /* a part of the bytes, then both sides closed */
    FAULT_CORRUPT,   /* one bit */
    FAULT_BLACKHOLE, /* the bytes vanish, the connection stays */
    FAULT_REORDER,   /* behind what comes next, if that comes soon */
    FAULT_REPEAT,    /* what came before comes once more, before these */
    FAULT_HOLD,      /* kept until the fault is lifted */
    FAULT_COUNT,
} fault;

enum { PROXY_CONNECTIONS_MAX = 4096, PROXY_CHUNK = 65536, PROXY_HELD_MAX = 1 << 20 };

typedef struct fault_proxy {
    char upstream_path[108]; /* Unix socket; or "" and */
    int upstream_port;
    int listener, port;
    _Atomic int faults[2]; /* to the server, to the client */
    _Atomic int
        percent; /* of the chunks that meet the fault; HOLD and BLACKHOLE: all of them */
    _Atomic int delay_ms;
    _Atomic bool refuse, stopping;
    _Atomic uint64_t random;
    _Atomic int accepted, live;
    _Atomic uint64_t met; /* chunks that were tampered with */
    _Atomic uint64_t bytes[2];
    /* May be NULL: sees every chunk, way 0 to the server. Less than len: so much of it still
     * goes on, then both sides are closed. Called by the connections' threads. */
    size_t (*tap)(void *ctx, int way, const uint8_t *bytes, size_t len);
    void *tap_ctx;
    pthread_t thread;
} fault_proxy;

typedef struct proxy_half {
    int from, to;
    uint8_t held[PROXY_HELD_MAX], before[PROXY_CHUNK];
    size_t held_len, before_len;
} proxy_half;

typedef struct proxy_pair {
    fault_proxy *proxy;
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

/** @return false: the connection ends */
static inline bool
proxy_chunk(proxy_pair *pair, int way, uint8_t *bytes, size_t len)
{
    fault_proxy *p = pair->proxy;
    proxy_half *h = &pair->half[way];
    fault f = (fault)atomic_load(&p->faults[way]);
    uint64_t random = proxy_random(p);
    bool ok = true;

    if (p->tap != NULL) {
        size_t kept = p->tap(p->tap_ctx, way, bytes, len);

        if (kept < len) {
            (void)proxy_send(h->to, bytes, kept);
            return false;
        }
    }
    if (f != FAULT_HOLD && f != FAULT_BLACKHOLE &&
        (int)(random % 100) >= atomic_load(&p->percent))
        f = FAULT_NONE;
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
        return false;
    case FAULT_TRUNCATE:
        (void)proxy_send(h->to, bytes, random % len);
        return false;
    case FAULT_CORRUPT:
        bytes[random % len] ^= (uint8_t)(1U << (random / len % 8));
        break;
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
    }
    return true;
}

static inline int
proxy_upstream(const fault_proxy *p)
{
    int fd, rc;

    if (p->upstream_path[0] != '\0') {
        struct sockaddr_un to = {.sun_family = AF_UNIX};

        memcpy(to.sun_path, p->upstream_path, strlen(p->upstream_path));
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        rc = connect(fd, (struct sockaddr *)&to, sizeof to);
    } else {
        struct sockaddr_in to = {.sin_family = AF_INET,
                                 .sin_port = htons((uint16_t)p->upstream_port),
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

        fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        rc = connect(fd, (struct sockaddr *)&to, sizeof to);
    }
    if (rc == 0)
        return fd;
    (void)close(fd);
    return -1;
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

        (void)poll(fds, 2, 10);
        ok = proxy_release(pair);
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
            ok = got > 0 && proxy_chunk(pair, way, bytes, (size_t)got);
        }
    }
    (void)close(client);
    if (server >= 0)
        (void)close(server);
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

        if (poll(&fd, 1, 10) <= 0)
            continue;
        client = accept4(p->listener, NULL, NULL, SOCK_CLOEXEC);
        if (client < 0)
            continue;
        atomic_fetch_add(&p->accepted, 1);
        (void)setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
        pair = atomic_load(&p->refuse) ? NULL : calloc(1, sizeof *pair);
        if (pair == NULL) {
            (void)close(client);
            continue;
        }
        pair->proxy = p;
        pair->half[0].from = client;
        atomic_fetch_add(&p->live, 1);
        if (pthread_create(&thread, NULL, proxy_serve, pair) != 0)
            abort();
        (void)pthread_detach(thread);
    }
    return NULL;
}

static inline void
proxy_start(fault_proxy *p, uint64_t seed)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;

    p->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    REQUIRE(bind(p->listener, (struct sockaddr *)&at, len) == 0);
    REQUIRE(listen(p->listener, 128) == 0);
    REQUIRE(getsockname(p->listener, (struct sockaddr *)&at, &len) == 0);
    p->port = ntohs(at.sin_port);
    atomic_store(&p->random, seed);
    REQUIRE(pthread_create(&p->thread, NULL, proxy_main, p) == 0);
}

static inline void
proxy_set(fault_proxy *p, fault to_server, fault to_client, int percent)
{
    atomic_store(&p->percent, percent);
    atomic_store(&p->faults[0], to_server);
    atomic_store(&p->faults[1], to_client);
}

static inline void
proxy_stop(fault_proxy *p)
{
    atomic_store(&p->stopping, true);
    (void)pthread_join(p->thread, NULL);
    while (atomic_load(&p->live) > 0)
        (void)nanosleep(&(struct timespec){0, 2000000}, NULL);
    (void)close(p->listener);
}

#endif
