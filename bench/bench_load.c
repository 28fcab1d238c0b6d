/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Load over keep-alive connections, cheap enough that one core of it saturates one of any
 * server here.
 *
 *   bench_load TARGET CONNECTIONS SECONDS RATE [reconnect] < REQUESTS
 *
 * TARGET: HOST:PORT (IPv4) or /path of a Unix socket. RATE: requests a second, 0 as many as
 * possible. REQUESTS: GET requests one after another, used in turn. With a rate, latency counts
 * from when a request was due, whether or not a connection was free: a stall of the server
 * is seen by all requests that were due in it. Prints one line of JSON; a server that closes
 * or answers what cannot be understood ends it with status 1. With "reconnect" it may close:
 * then a request under way is sent again on another connection, and was due when it was.
 */

#include "wire.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum {
    LINES_MAX = 256,
    ANSWER_MAX = 32768,
    REQUESTS_MAX = 16384,
};

typedef struct piece {
    const char *text;
    size_t len;
} piece;

/** A connection. */
typedef struct line {
    int fd;
    bool busy;
    piece request; /* under way */
    int64_t due_ns;
    size_t have;
    char buf[ANSWER_MAX];
} line;

typedef struct load {
    const char *target;
    bool reconnect;
    int poll;
    piece requests[REQUESTS_MAX];
    size_t request_count, next;
    line lines[LINES_MAX];
    uint32_t line_count;
    line *idle[LINES_MAX];
    uint32_t idle_count;
    int64_t interval_ns; /* between requests, 0: as many as possible */
    int64_t due_ns;      /* of the next one */
    uint32_t *ns;        /* latencies */
    size_t count, cap, good;
    unsigned other_status; /* of an answer that was not 2xx */
} load;

static void
read_requests(load *l)
{
    size_t len;
    char *from = wire_file("-", &len), *end; /* kept: the requests point into it */

    while (l->request_count < REQUESTS_MAX && (end = strstr(from, "\r\n\r\n")) != NULL) {
        l->requests[l->request_count++] = (piece){from, (size_t)(end + 4 - from)};
        from = end + 4;
    }
    if (l->request_count == 0)
        wire_die("no request on standard input");
}

/* If it has been closed meanwhile, reading from it tells. */
static void
send_request(load *l, line *conn)
{
    ssize_t n = send(conn->fd, conn->request.text, conn->request.len, MSG_NOSIGNAL);

    conn->have = 0;
    if (n != (ssize_t)conn->request.len && !l->reconnect)
        wire_die("cannot send");
}

static void
send_next(load *l, line *conn, int64_t due_ns)
{
    conn->request = l->requests[l->next++ % l->request_count];
    conn->due_ns = due_ns;
    conn->busy = true;
    send_request(l, conn);
}

static void
watch(const load *l, int fd, void *what)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = what};

    if (epoll_ctl(l->poll, EPOLL_CTL_ADD, fd, &event) != 0)
        wire_die("no epoll");
}

static void
reconnect(load *l, line *conn)
{
    (void)close(conn->fd);
    conn->fd = wire_connect(l->target);
    watch(l, conn->fd, conn);
    if (conn->busy)
        send_request(l, conn);
}

static void
note(load *l, int64_t ns, unsigned status)
{
    if (l->count == l->cap) {
        l->cap = l->cap == 0 ? 1 << 16 : 2 * l->cap;
        l->ns = realloc(l->ns, l->cap * sizeof *l->ns);
        if (l->ns == NULL)
            wire_die("out of memory");
    }
    l->ns[l->count++] = ns > UINT32_MAX ? UINT32_MAX : (uint32_t)ns;
    if (status >= 200 && status < 300)
        l->good++;
    else
        l->other_status = status;
}

static void
on_readable(load *l, line *conn)
{
    ssize_t n = recv(conn->fd, conn->buf + conn->have, sizeof conn->buf - 1 - conn->have, 0);
    unsigned status = 0;

    if (n <= 0 && !l->reconnect)
        wire_die("the server closed a connection");
    if (n <= 0) {
        reconnect(l, conn);
        return;
    }
    conn->have += (size_t)n;
    conn->buf[conn->have] = '\0';
    if (wire_answer(conn->buf, conn->have, &status) == 0)
        return;
    note(l, wire_clock_ns() - conn->due_ns, status);
    conn->busy = false;
    if (l->interval_ns == 0)
        send_next(l, conn, wire_clock_ns());
    else
        l->idle[l->idle_count++] = conn;
}

static void
send_due(load *l, int64_t now_ns)
{
    while (l->interval_ns > 0 && l->due_ns <= now_ns && l->idle_count > 0) {
        send_next(l, l->idle[--l->idle_count], l->due_ns);
        l->due_ns += l->interval_ns;
    }
}

static void
run(load *l, int64_t end_ns)
{
    struct epoll_event events[LINES_MAX + 1];
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    struct itimerspec every = {.it_interval.tv_nsec = l->interval_ns % 1000000000,
                               .it_value.tv_nsec = 1};
    uint64_t ticks;

    if (timer < 0)
        wire_die("no timer");
    watch(l, timer, NULL);
    for (uint32_t i = 0; i < l->line_count; i++)
        watch(l, l->lines[i].fd, &l->lines[i]);
    if (l->interval_ns > 0)
        (void)timerfd_settime(timer, 0, &every, NULL);
    while (wire_clock_ns() < end_ns) {
        int count = epoll_wait(l->poll, events, LINES_MAX + 1, 100);

        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr == NULL)
                (void)!read(timer, &ticks, sizeof ticks);
            else
                on_readable(l, events[i].data.ptr);
        }
        send_due(l, wire_clock_ns());
    }
}

static int
by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static double
percentile(const load *l, double part)
{
    size_t at = (size_t)(part * (double)(l->count - 1));

    return (double)l->ns[at] / 1000;
}

int
main(int argc, char **argv)
{
    static load l;
    double seconds, rate;
    int64_t begun_ns;

    l.reconnect = argc == 6 && strcmp(argv[5], "reconnect") == 0;
    if (argc != 5 && !l.reconnect)
        wire_die("usage: bench_load TARGET CONNECTIONS SECONDS RATE [reconnect] < REQUESTS");
    l.target = argv[1];
    l.poll = epoll_create1(EPOLL_CLOEXEC);
    if (l.poll < 0)
        wire_die("no epoll");
    l.line_count = (uint32_t)strtoul(argv[2], NULL, 10);
    seconds = strtod(argv[3], NULL);
    rate = strtod(argv[4], NULL);
    if (l.line_count < 1 || l.line_count > LINES_MAX || seconds <= 0 || rate < 0 || rate > 1e6)
        wire_die("out of range");
    l.interval_ns = rate > 0 ? (int64_t)(1e9 / rate) : 0;
    read_requests(&l);
    for (uint32_t i = 0; i < l.line_count; i++)
        l.lines[i].fd = wire_connect(argv[1]);
    begun_ns = wire_clock_ns();
    l.due_ns = begun_ns;
    for (uint32_t i = 0; i < l.line_count; i++) {
        if (l.interval_ns == 0)
            send_next(&l, &l.lines[i], begun_ns);
        else
            l.idle[l.idle_count++] = &l.lines[i];
    }
    run(&l, begun_ns + (int64_t)(seconds * 1e9));
    if (l.count == 0)
        wire_die("no answer");
    seconds = (double)(wire_clock_ns() - begun_ns) / 1e9;
    qsort(l.ns, l.count, sizeof *l.ns, by_value);
    printf("{\"count\": %zu, \"good\": %zu, \"other_status\": %u, \"seconds\": %.4f, "
           "\"p50_us\": %.1f, \"p99_us\": %.1f, \"p999_us\": %.1f, \"max_us\": %.1f}\n",
           l.count, l.good, l.other_status, seconds, percentile(&l, 0.5), percentile(&l, 0.99),
           percentile(&l, 0.999), percentile(&l, 1));
    free(l.ns);
    return 0;
}
