/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_TESTS_DUMP_FRONT_H
#define COAT_TESTS_DUMP_FRONT_H

/**
 * What stands before a memcached server: it passes on everything, but who asks what the server
 * holds may hear something else. On a Unix socket; a thread serves all connections.
 */

#include "memcached_fixture.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>

enum { FRONT_PAIRS_MAX = 32, FRONT_SAYS_MAX = 4 };

typedef struct front_says {
    const char *text; /* NULL: what the server says */
    bool closes;
} front_says;

typedef struct dump_front {
    const mc_server *server;
    mc_server at; /* where it listens: as a server's place */
    int listener;
    int pairs[FRONT_PAIRS_MAX][2]; /* client, server; 0: none */
    pthread_t thread;
    _Atomic bool stopping;
    _Atomic int asked; /* so often */
    pthread_mutex_t mutex;
    front_says says[FRONT_SAYS_MAX]; /* the next ones; the last one again and again */
    int count, next;
} dump_front;

static inline void
front_close(dump_front *f, int i)
{
    for (int side = 0; side < 2; side++) {
        if (f->pairs[i][side] > 0)
            (void)close(f->pairs[i][side]);
        f->pairs[i][side] = 0;
    }
}

static inline bool
front_send(int fd, const void *bytes, size_t len)
{
    return send(fd, bytes, len, MSG_NOSIGNAL) == (ssize_t)len;
}

/** Somebody asks. @return false: the server is to answer */
static inline bool
front_answer(dump_front *f, int i)
{
    front_says s = {0};

    atomic_fetch_add(&f->asked, 1);
    pthread_mutex_lock(&f->mutex);
    if (f->count > 0)
        s = f->says[f->next];
    if (f->next + 1 < f->count)
        f->next++;
    pthread_mutex_unlock(&f->mutex);
    if (s.text == NULL)
        return false;
    if (!front_send(f->pairs[i][0], s.text, strlen(s.text)) || s.closes)
        front_close(f, i);
    return true;
}

static inline void
front_pass(dump_front *f, int i, int side)
{
    static const char question[] = "lru_crawler metadump hash\r\n";
    static char bytes[1 << 16];
    ssize_t got = recv(f->pairs[i][side], bytes, sizeof bytes, 0);

    if (got <= 0) {
        front_close(f, i);
        return;
    }
    if (side == 0 && got == sizeof question - 1 && memcmp(bytes, question, (size_t)got) == 0 &&
        front_answer(f, i))
        return;
    if (!front_send(f->pairs[i][1 - side], bytes, (size_t)got))
        front_close(f, i);
}

static inline void
front_accept(dump_front *f)
{
    int fd = accept4(f->listener, NULL, NULL, SOCK_CLOEXEC), i = 0;

    while (i < FRONT_PAIRS_MAX && f->pairs[i][0] > 0)
        i++;
    if (fd < 0)
        return;
    if (i == FRONT_PAIRS_MAX) {
        (void)close(fd);
        return;
    }
    f->pairs[i][0] = fd;
    f->pairs[i][1] = server_connect(f->server);
    if (f->pairs[i][1] < 0)
        front_close(f, i);
}

static inline void *
front_serve(void *ctx)
{
    dump_front *f = ctx;

    while (!atomic_load(&f->stopping)) {
        struct pollfd polled[1 + 2 * FRONT_PAIRS_MAX];

        polled[0] = (struct pollfd){.fd = f->listener, .events = POLLIN};
        for (int n = 0; n < 2 * FRONT_PAIRS_MAX; n++) {
            int fd = f->pairs[n / 2][n % 2];

            polled[1 + n] = (struct pollfd){.fd = fd > 0 ? fd : -1, .events = POLLIN};
        }
        if (poll(polled, sizeof polled / sizeof polled[0], 10) <= 0)
            continue;
        for (int n = 0; n < 2 * FRONT_PAIRS_MAX; n++)
            if (polled[1 + n].revents != 0 && f->pairs[n / 2][n % 2] == polled[1 + n].fd)
                front_pass(f, n / 2, n % 2);
        if (polled[0].revents != 0)
            front_accept(f);
    }
    for (int i = 0; i < FRONT_PAIRS_MAX; i++)
        front_close(f, i);
    return NULL;
}

static inline void
front_start(dump_front *f, const mc_server *server)
{
    struct sockaddr_un path = {.sun_family = AF_UNIX};

    memset(f, 0, sizeof *f);
    f->server = server;
    (void)snprintf(f->at.socket, sizeof f->at.socket, "%s/f", server->dir);
    (void)unlink(f->at.socket);
    memcpy(path.sun_path, f->at.socket, strlen(f->at.socket));
    f->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    REQUIRE(bind(f->listener, (struct sockaddr *)&path, sizeof path) == 0);
    REQUIRE(listen(f->listener, 64) == 0);
    REQUIRE(pthread_mutex_init(&f->mutex, NULL) == 0);
    REQUIRE(pthread_create(&f->thread, NULL, front_serve, f) == 0);
}

static inline void
front_stop(dump_front *f)
{
    atomic_store(&f->stopping, true);
    (void)pthread_join(f->thread, NULL);
    (void)close(f->listener);
    (void)pthread_mutex_destroy(&f->mutex);
    (void)unlink(f->at.socket);
}

/** What is said from now on. */
static inline void
front_will(dump_front *f, const front_says *says, int count)
{
    pthread_mutex_lock(&f->mutex);
    memcpy(f->says, says, (size_t)count * sizeof *says);
    f->count = count;
    f->next = 0;
    pthread_mutex_unlock(&f->mutex);
}

#endif
