/* SPDX-License-Identifier: Apache-2.0 */

/**
 * How soon a sign-out is heeded at the gate, by all of its workers, or by several instances:
 *
 *   bench_revoke GATE WORKERS ADMIN PAGES HOST REQUEST TOKENS
 *
 * GATE: HOST:PORT of nginx, which names its worker in X-Worker and who decided in X-Source; or
 * the listeners of as many daemons as there are WORKERS, separated by commas.
 * ADMIN: the daemon's admin socket, or those of several, which are used in turn. PAGES, HOST:
 * its public listener and how that is called. REQUEST: file with a GET for the gate; '@' stand
 * for the token. TOKENS: file of live sessions, one a line, each good for one trial.
 *
 * A trial: every worker accepts the session, nginx's from the node table. Then all of them are
 * asked without a pause while the session is ended, in turn through the admin socket and by the
 * sign-out of its page. A request that is sent after the acknowledgement has arrived must be
 * refused: if one is not, that is a late accept. A sign-out that gets 503 is not counted: it
 * says that it has not been done. Prints one line of JSON; the status is 1 if there was a late
 * one.
 */

#include "wire.h"

#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    WORKERS_MAX = 8,
    ATTEMPTS = 2000, /* at a connection to a worker that has none yet */
    TRIES = 20,      /* until the table has a session */
    TRIES_PLAIN = 3, /* then a daemon's has it, if it may */
    LATE_MAX = 1000, /* then it has been shown */
    ANSWER_MAX = 32768,
    REQUEST_MAX = 8192,
    TOKEN_CHARS = 54,
    HANDLE_CHARS = 22,
    CSRF_MAX = 128,
    WAIT_MS = 20000,
};

/** A connection; one request at a time. */
typedef struct line {
    int fd;
    long pid;   /* of the worker at its other end */
    bool after; /* the request under way was sent after the acknowledgement */
    bool done;  /* one that was has been refused */
    unsigned status;
    size_t have;
    char buf[ANSWER_MAX + 1];
} line;

static struct {
    line gate[WORKERS_MAX], admin[WORKERS_MAX], pages;
    uint32_t workers, admins;
    bool several; /* daemons, not workers of one nginx */
    const char *host;
    char request[REQUEST_MAX];
    size_t len;
    char *token; /* in the request */
    uint64_t late, accepted, early, undecided;
    size_t count;
    double *ack_us, *first_us, *all_us, *whole_us;
} all;

/* ---- one question, one answer ---- */

static void
send_text(line *conn, const char *text, size_t len)
{
    conn->have = 0;
    conn->status = 0;
    if (send(conn->fd, text, len, MSG_NOSIGNAL) != (ssize_t)len)
        wire_die("cannot send");
}

/** @return whether the answer is whole */
static bool
receive(line *conn)
{
    ssize_t n = recv(conn->fd, conn->buf + conn->have, ANSWER_MAX - conn->have, 0);

    if (n <= 0)
        wire_die("a server closed a connection");
    conn->have += (size_t)n;
    conn->buf[conn->have] = '\0';
    return wire_answer(conn->buf, conn->have, &conn->status) != 0;
}

static void
receive_all(line *conn)
{
    while (!receive(conn))
        ;
}

static bool
good(const line *conn)
{
    return conn->status >= 200 && conn->status < 300;
}

static bool
is_away(const line *conn)
{
    return conn->status == 503;
}

/* ---- connections, one to each worker ---- */

static long
worker_of(const line *conn)
{
    const char *at = strstr(conn->buf, "X-Worker: ");

    if (at == NULL)
        wire_die("the gate does not name its worker");
    return strtol(at + 10, NULL, 10);
}

static bool
have_worker(long pid)
{
    for (uint32_t i = 0; i < all.workers; i++)
        if (all.gate[i].pid == pid)
            return true;
    return false;
}

static void
find_workers(const char *target, uint32_t wanted)
{
    for (uint32_t i = 0; i < ATTEMPTS && all.workers < wanted; i++) {
        line *conn = &all.gate[all.workers];

        conn->fd = wire_connect(target);
        send_text(conn, all.request, all.len);
        receive_all(conn);
        conn->pid = worker_of(conn);
        if (have_worker(conn->pid))
            (void)close(conn->fd);
        else
            all.workers++;
    }
    if (all.workers < wanted)
        wire_die("fewer workers than there should be");
}

/** One connection to each of the targets, which commas separate. @return how many they are */
static uint32_t
connect_each(line lines[static WORKERS_MAX], char *targets)
{
    uint32_t count = 0;
    char *rest;

    for (char *one = strtok_r(targets, ",", &rest); one != NULL;
         one = strtok_r(NULL, ",", &rest)) {
        if (count == WORKERS_MAX)
            wire_die("too many targets");
        lines[count++].fd = wire_connect(one);
    }
    return count;
}

/* ---- a trial ---- */

static void
warm(line *conn)
{
    for (int i = 0; i < TRIES; i++) {
        send_text(conn, all.request, all.len);
        receive_all(conn);
        if (is_away(conn))
            continue;
        if (!good(conn))
            wire_die("a live session was refused");
        if (all.several ? i + 1 >= TRIES_PLAIN : strstr(conn->buf, "X-Source: table") != NULL)
            return;
    }
    wire_die("the table never had a session");
}

/** The handle is the first 16 bytes of the token: 21 characters and two bits. */
static void
handle_of(const char *token, char handle[static HANDLE_CHARS + 1])
{
    static const char set[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const char *last = strchr(set, token[HANDLE_CHARS - 1]);

    if (last == NULL)
        wire_die("not a token");
    memcpy(handle, token, HANDLE_CHARS - 1);
    handle[HANDLE_CHARS - 1] = set[(last - set) & 0x30];
    handle[HANDLE_CHARS] = '\0';
}

/** Text of the question that ends the session. */
static size_t
by_admin(const char *token, char text[static REQUEST_MAX])
{
    char handle[HANDLE_CHARS + 1];

    handle_of(token, handle);
    return (size_t)snprintf(text, REQUEST_MAX,
                            "POST /v1/sessions/%s/end HTTP/1.1\r\nHost: localhost\r\n"
                            "Content-Length: 0\r\n\r\n",
                            handle);
}

static size_t
by_page(const char *token, char text[static REQUEST_MAX])
{
    char csrf[CSRF_MAX];
    const char *at;
    int len = snprintf(text, REQUEST_MAX,
                       "GET /auth/csrf HTTP/1.1\r\nHost: %s\r\nCookie: id=%.*s\r\n\r\n",
                       all.host, TOKEN_CHARS, token);

    for (int i = 0; i < TRIES && (i == 0 || is_away(&all.pages)); i++) {
        send_text(&all.pages, text, (size_t)len);
        receive_all(&all.pages);
    }
    at = strstr(all.pages.buf, "{\"csrf\":\"");
    if (!good(&all.pages) || at == NULL || sscanf(at + 9, "%127[^\"]", csrf) != 1)
        wire_die("no CSRF token");
    return (size_t)snprintf(text, REQUEST_MAX,
                            "POST /auth/logout HTTP/1.1\r\nHost: %s\r\nOrigin: http://%s\r\n"
                            "Accept: application/json\r\nX-CSRF-Token: %s\r\n"
                            "Cookie: id=%.*s\r\nContent-Length: 0\r\n\r\n",
                            all.host, all.host, csrf, TOKEN_CHARS, token);
}

/** What a worker has answered; then it is asked again, until it has refused what came late. */
static void
on_gate(line *conn, bool acked, bool *refused)
{
    if (good(conn) && conn->after) {
        conn->done = ++all.late >= LATE_MAX;
    } else if (good(conn)) {
        all.accepted++;
    } else if (!is_away(conn)) {
        *refused = true;
        conn->done = conn->after;
    }
    if (conn->done)
        return;
    conn->after = acked;
    send_text(conn, all.request, all.len);
}

static bool
all_done(void)
{
    for (uint32_t i = 0; i < all.workers; i++)
        if (!all.gate[i].done)
            return false;
    return true;
}

/** What was asked of the workers is answered: nothing more is asked in this trial. */
static void
give_up(void)
{
    all.undecided++;
    for (uint32_t i = 0; i < all.workers; i++)
        if (!all.gate[i].done)
            receive_all(&all.gate[i]);
}

static void
note_times(int64_t start_ns, int64_t ack_ns, int64_t first_ns)
{
    int64_t now_ns = wire_clock_ns();

    all.early += first_ns < ack_ns;
    all.ack_us[all.count] = (double)(ack_ns - start_ns) / 1e3;
    all.first_us[all.count] = first_ns < ack_ns ? 0 : (double)(first_ns - ack_ns) / 1e3;
    all.whole_us[all.count] = (double)(now_ns - start_ns) / 1e3;
    all.all_us[all.count++] = (double)(now_ns - ack_ns) / 1e3;
}

static void
race(line *out, const char *text, size_t len)
{
    struct pollfd fds[WORKERS_MAX + 1];
    int64_t start_ns, ack_ns = 0, first_ns = 0;

    for (uint32_t i = 0; i < all.workers; i++) {
        all.gate[i].after = all.gate[i].done = false;
        send_text(&all.gate[i], all.request, all.len);
        fds[i] = (struct pollfd){.fd = all.gate[i].fd, .events = POLLIN};
    }
    start_ns = wire_clock_ns();
    send_text(out, text, len);
    fds[all.workers] = (struct pollfd){.fd = out->fd, .events = POLLIN};
    while (!all_done()) {
        bool refused = false;

        if (poll(fds, all.workers + 1, WAIT_MS) <= 0)
            wire_die("no answer");
        if (fds[all.workers].revents != 0 && receive(out)) {
            if (is_away(out)) {
                give_up();
                return;
            }
            if (!good(out))
                wire_die("a sign-out was refused");
            ack_ns = wire_clock_ns();
        }
        for (uint32_t i = 0; i < all.workers; i++)
            if (fds[i].revents != 0 && !all.gate[i].done && receive(&all.gate[i]))
                on_gate(&all.gate[i], ack_ns != 0, &refused);
        if (refused && first_ns == 0)
            first_ns = wire_clock_ns();
    }
    note_times(start_ns, ack_ns, first_ns);
}

static void
trial(const char *token, size_t number)
{
    bool page = number % 2 != 0;
    line *admin = &all.admin[number / 2 % all.admins];
    char text[REQUEST_MAX];
    size_t len;

    memcpy(all.token, token, TOKEN_CHARS);
    for (uint32_t i = 0; i < all.workers; i++)
        warm(&all.gate[i]);
    len = page ? by_page(token, text) : by_admin(token, text);
    race(page ? &all.pages : admin, text, len);
}

/* ---- what came of it ---- */

static int
by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void
print(const char *name, double *us)
{
    qsort(us, all.count, sizeof *us, by_value);
    printf(", \"%s\": {\"p50\": %.1f, \"p99\": %.1f, \"p999\": %.1f, \"max\": %.1f}", name,
           us[all.count / 2], us[all.count * 99 / 100], us[all.count * 999 / 1000],
           us[all.count - 1]);
}

static void
take_request(const char *path)
{
    char mark[TOKEN_CHARS + 1];
    char *text = wire_file(path, &all.len);

    if (all.len >= sizeof all.request)
        wire_die("the request is too long");
    memcpy(all.request, text, all.len + 1);
    free(text);
    memset(mark, '@', TOKEN_CHARS);
    mark[TOKEN_CHARS] = '\0';
    all.token = strstr(all.request, mark);
    if (all.token == NULL)
        wire_die("no place for a token in the request");
}

int
main(int argc, char **argv)
{
    unsigned long workers = argc == 8 ? strtoul(argv[2], NULL, 10) : 0;
    size_t len, trials;
    char *tokens;

    if (workers < 1 || workers > WORKERS_MAX)
        wire_die("usage: bench_revoke GATE WORKERS ADMIN PAGES HOST REQUEST TOKENS");
    all.host = argv[5];
    take_request(argv[6]);
    tokens = wire_file(argv[7], &len);
    trials = len / (TOKEN_CHARS + 1);
    all.ack_us = calloc(trials + 1, sizeof(double));
    all.first_us = calloc(trials + 1, sizeof(double));
    all.all_us = calloc(trials + 1, sizeof(double));
    all.whole_us = calloc(trials + 1, sizeof(double));
    if (trials == 0 || all.ack_us == NULL || all.first_us == NULL || all.all_us == NULL ||
        all.whole_us == NULL)
        wire_die("no tokens or no memory");
    all.admins = connect_each(all.admin, argv[3]);
    all.pages.fd = wire_connect(argv[4]);
    all.several = strchr(argv[1], ',') != NULL;
    if (!all.several)
        find_workers(argv[1], (uint32_t)workers);
    else if ((all.workers = connect_each(all.gate, argv[1])) != workers)
        wire_die("not as many daemons as there should be");
    for (size_t i = 0; i < trials && all.late < LATE_MAX; i++)
        trial(tokens + i * (TOKEN_CHARS + 1), i);
    if (all.count == 0)
        wire_die("no sign-out was acknowledged");
    printf("{\"trials\": %zu, \"workers\": %u, \"late\": %llu, \"early\": %llu, "
           "\"accepted\": %llu, \"undecided\": %llu",
           all.count, all.workers, (unsigned long long)all.late, (unsigned long long)all.early,
           (unsigned long long)all.accepted, (unsigned long long)all.undecided);
    print("ack_us", all.ack_us);
    print("first_us", all.first_us);
    print("all_us", all.all_us);
    print("whole_us", all.whole_us);
    printf("}\n");
    return all.late == 0 ? 0 : 1;
}
