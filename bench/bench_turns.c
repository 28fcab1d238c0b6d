/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Load on several sides in turn, a slice of requests each, so that whatever else happens on the
 * machine meets all of them alike:
 *
 *   bench_turns ROUNDS < PLAN
 *
 * A line of PLAN is a side: NAME TARGET CONNECTIONS REQUESTS REQUEST TOKENS PID[,PID...]
 * REQUEST: file with one GET. TOKENS: file of session tokens, one a line, which take the place
 * of the '@' in it, in turn; "-": none; behind a '+': in turn from the first to be measured,
 * not each of them once before. REQUESTS: how many make a slice.
 *
 * First each side gets a slice, or each of its tokens once if those are more; then ROUNDS
 * rounds, every other one backwards. Prints one line of JSON: for each side the microseconds of
 * CPU that its processes took for a request, and the requests a second, of each round. An
 * answer that is not 2xx ends it with status 1.
 */

#include "wire.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    SIDES_MAX = 24,
    LINES_MAX = 256,
    PIDS_MAX = 32,
    ANSWER_MAX = 32768,
    REQUEST_MAX = 8192,
    TOKEN_CHARS = 54,
    PATH_CHARS = 200,
    SETTLE_US = 300, /* until a server is done with what follows an answer */
};

static const int64_t PATIENCE_NS = 20000000000;

/** A connection. */
typedef struct line {
    int fd;
    size_t have;
} line;

typedef struct side {
    char name[32];
    uint32_t slice, line_count;
    char request[REQUEST_MAX];
    size_t len;
    char *token; /* where one goes; NULL: nowhere */
    char *tokens;
    size_t token_count, next;
    bool fresh;
    clockid_t clocks[PIDS_MAX];
    uint32_t clock_count;
    line lines[LINES_MAX];
    int poll;
    double *cpu_us, *rate;
} side;

/* ---- the plan ---- */

static void
take_tokens(side *s, const char *path)
{
    char mark[TOKEN_CHARS + 1];
    size_t len;

    memset(mark, '@', TOKEN_CHARS);
    mark[TOKEN_CHARS] = '\0';
    s->token = strstr(s->request, mark);
    if ((s->token == NULL) != (strcmp(path, "-") == 0))
        wire_die("a request with a place for a token and none, or the other way round");
    if (s->token == NULL)
        return;
    s->fresh = path[0] == '+';
    s->tokens = wire_file(path + s->fresh, &len);
    s->token_count = len / (TOKEN_CHARS + 1);
    if (s->token_count == 0 || len % (TOKEN_CHARS + 1) != 0)
        wire_die("not a file of tokens, one a line");
}

static void
take_clocks(side *s, const char *pids)
{
    int taken;
    int pid;

    for (; sscanf(pids, "%9d%n", &pid, &taken) == 1; pids += taken, pids += *pids == ',') {
        if (s->clock_count == PIDS_MAX ||
            clock_getcpuclockid(pid, &s->clocks[s->clock_count++]) != 0)
            wire_die("too many processes, or one that is not there");
    }
    if (*pids != '\0' || s->clock_count == 0)
        wire_die("bad list of processes");
}

static void
take_side(side *s, const char *text, uint32_t rounds)
{
    char target[PATH_CHARS + 1], request[PATH_CHARS + 1], tokens[PATH_CHARS + 1], pids[256];
    char *file;

    if (sscanf(text, "%31s %200s %3u %7u %200s %200s %255s", s->name, target, &s->line_count,
               &s->slice, request, tokens, pids) != 7 ||
        s->line_count < 1 || s->line_count > LINES_MAX || s->slice < s->line_count)
        wire_die("bad line in the plan");
    file = wire_file(request, &s->len);
    if (s->len == 0 || s->len >= sizeof s->request)
        wire_die("no request, or too long");
    memcpy(s->request, file, s->len + 1);
    free(file);
    take_tokens(s, tokens);
    take_clocks(s, pids);
    s->cpu_us = calloc(rounds, sizeof *s->cpu_us);
    s->rate = calloc(rounds, sizeof *s->rate);
    s->poll = epoll_create1(EPOLL_CLOEXEC);
    if (s->cpu_us == NULL || s->rate == NULL || s->poll < 0)
        wire_die("out of memory or files");
    for (uint32_t i = 0; i < s->line_count; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &s->lines[i]};

        s->lines[i].fd = wire_connect(target);
        if (epoll_ctl(s->poll, EPOLL_CTL_ADD, s->lines[i].fd, &event) != 0)
            wire_die("no epoll");
    }
}

/* ---- a slice ---- */

static void
send_next(side *s, line *conn)
{
    if (s->token != NULL)
        memcpy(s->token, s->tokens + (TOKEN_CHARS + 1) * (s->next++ % s->token_count),
               TOKEN_CHARS);
    conn->have = 0;
    if (send(conn->fd, s->request, s->len, MSG_NOSIGNAL) != (ssize_t)s->len)
        wire_die("cannot send");
}

/** @return whether an answer is whole now */
static bool
take_answer(const side *s, line *conn)
{
    static char buf[ANSWER_MAX + 1]; /* an answer in one piece needs no place of its own */
    static char rest[LINES_MAX][ANSWER_MAX + 1];
    char *to = conn->have == 0 ? buf : rest[conn - s->lines];
    ssize_t n = recv(conn->fd, to + conn->have, ANSWER_MAX - conn->have, 0);
    unsigned status = 0;

    if (n <= 0)
        wire_die("the server closed a connection");
    to[conn->have + (size_t)n] = '\0';
    if (wire_answer(to, conn->have + (size_t)n, &status) == 0) {
        if (conn->have == 0)
            memcpy(rest[conn - s->lines], buf, (size_t)n);
        conn->have += (size_t)n;
        return false;
    }
    if (status < 200 || status > 299) {
        (void)fprintf(stderr, "%s: %.300s\n", s->name, to);
        wire_die("an answer that is not 2xx");
    }
    conn->have = 0;
    return true;
}

/* Without sleeping: to wake a sleeper on another core is the most costly thing that a server
 * does for a request, above all in a virtual machine, and the slower it is the more often it
 * has to. */
static int
wait_for(const side *s, struct epoll_event events[static LINES_MAX])
{
    int64_t end_ns = wire_clock_ns() + PATIENCE_NS;
    int ready;

    while ((ready = epoll_wait(s->poll, events, LINES_MAX, 0)) == 0)
        if (wire_clock_ns() > end_ns)
            break;
    return ready;
}

static void
run_slice(side *s, uint32_t count)
{
    struct epoll_event events[LINES_MAX];
    uint32_t sent = 0, done = 0;

    for (; sent < s->line_count && sent < count; sent++)
        send_next(s, &s->lines[sent]);
    while (done < count) {
        int ready = wait_for(s, events);

        if (ready <= 0)
            wire_die("no answer");
        for (int i = 0; i < ready; i++) {
            if (!take_answer(s, events[i].data.ptr))
                continue;
            done++;
            if (sent < count) {
                sent++;
                send_next(s, events[i].data.ptr);
            }
        }
    }
}

static double
cpu_us(const side *s)
{
    double total = 0;
    struct timespec ts;

    for (uint32_t i = 0; i < s->clock_count; i++) {
        if (clock_gettime(s->clocks[i], &ts) != 0)
            wire_die("a process has ended");
        total += (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
    }
    return total;
}

static void
measure(side *s, uint32_t round)
{
    double before = cpu_us(s);
    int64_t start_ns = wire_clock_ns();

    run_slice(s, s->slice);
    s->rate[round] = s->slice * 1e9 / (double)(wire_clock_ns() - start_ns);
    (void)usleep(SETTLE_US);
    s->cpu_us[round] = (cpu_us(s) - before) / s->slice;
}

static void
print_list(const char *name, const double *values, uint32_t count)
{
    printf("\"%s\": [", name);
    for (uint32_t i = 0; i < count; i++)
        printf("%s%.4f", i == 0 ? "" : ", ", values[i]);
    printf("]");
}

int
main(int argc, char **argv)
{
    static side sides[SIDES_MAX];
    uint32_t count = 0, rounds = argc == 2 ? (uint32_t)strtoul(argv[1], NULL, 10) : 0;
    size_t len;
    char *rest;

    if (rounds < 1 || rounds > 100000)
        wire_die("usage: bench_turns ROUNDS < PLAN");
    for (char *text = strtok_r(wire_file("-", &len), "\n", &rest); text != NULL;
         text = strtok_r(NULL, "\n", &rest)) {
        if (count == SIDES_MAX)
            wire_die("too many sides");
        take_side(&sides[count++], text, rounds);
    }
    for (uint32_t i = 0; i < count; i++)
        run_slice(&sides[i], sides[i].token_count > sides[i].slice && !sides[i].fresh
                                 ? (uint32_t)sides[i].token_count
                                 : sides[i].slice);
    for (uint32_t r = 0; r < rounds; r++)
        for (uint32_t i = 0; i < count; i++)
            measure(&sides[r % 2 == 0 ? i : count - 1 - i], r);
    printf("{");
    for (uint32_t i = 0; i < count; i++) {
        printf("%s\"%s\": {", i == 0 ? "" : ", ", sides[i].name);
        print_list("cpu_us", sides[i].cpu_us, rounds);
        printf(", ");
        print_list("rate", sides[i].rate, rounds);
        printf("}");
    }
    printf("}\n");
    return 0;
}
