/* SPDX-License-Identifier: Apache-2.0 */
#include "http_fixture.h"
#include "http_vectors.h"
#include "server/http/internal.h"

#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define GET(path) "GET /auth" path " HTTP/1.1\r\nHost: a\r\n\r\n"

static http_fixture f;
static http_client c, other;

static void
start(void)
{
    http_fixture_init(&f);
    http_fixture_start(&f);
    http_client_open(&c, &f, 0);
}

static void
finish(void)
{
    http_client_close(&c);
    http_fixture_spin(&f);
    http_fixture_fini(&f);
}

static unsigned
status(void)
{
    http_answer answer;

    return http_answer_parse(c.in, c.len, false, &answer) ? answer.status : 0;
}

static void
refuses_and_closes(void)
{
    start();
    http_client_close(&c);
    for (size_t i = 0; i < COUNT(http_vectors); i++) {
        static const char next[] = GET("/run") GET("/run");

        test_case(http_vectors[i].name);
        http_client_open(&c, &f, 0);
        http_fixture_spin(&f);
        (void)http_client_send(&c, http_vectors[i].raw, http_vectors[i].len);
        (void)http_client_send(&c, next, sizeof next - 1);
        http_fixture_spin(&f);
        http_client_read(&c);
        CHECK_INT(status(), http_vectors[i].status);
        CHECK_INT(http_client_answers(&c), 1);
        CHECK(c.eof);
        http_client_close(&c);
    }
    CHECK_INT(f.runs, 0);
    http_client_open(&c, &f, 0);
    finish();
}

/* What comes later on a refused connection is dropped as well, and it ends in time. */
static void
drops_what_follows(void)
{
    coat_http_stats stats;

    start();
    http_client_talk(&c, &f, "GET /auth/run HTTP/1.1\r\n\r\n");
    CHECK_INT(status(), 400);
    for (int i = 0; i < 5; i++)
        http_client_talk(&c, &f, GET("/run"));
    CHECK_INT(http_client_answers(&c), 1);
    CHECK_INT(f.runs, 0);
    http_fixture_pass(&f, COAT_LINGER_MS + 500);
    coat_http_server_stats(f.server, &stats);
    CHECK_INT(stats.open, 0);
    finish();
}

static void
answers_in_order(void)
{
    http_answer answer;
    size_t at = 0;

    start();
    http_client_talk(&c, &f, GET("/items/1") GET("/hold") GET("/items/2") GET("/items/3"));
    CHECK_INT(http_client_answers(&c), 1);
    REQUIRE(f.held_count == 1);
    http_client_talk(&c, &f, GET("/items/4"));
    CHECK_INT(http_client_answers(&c), 1); /* one at a time */
    f.held_count = 0;
    coat_http_send(coat_http_reply(f.held[0], 200), COAT_HTTP_TEXT, COAT_LIT("held"));
    http_client_talk(&c, &f, "");
    CHECK_INT(http_client_answers(&c), 5);
    for (int i = 0; i < 5; i++, at += answer.total) {
        static const char *const want[] = {"1", "held", "2", "3", "4"};

        REQUIRE(http_answer_parse(c.in + at, c.len - at, false, &answer));
        CHECK_MEM(answer.body.ptr, answer.body.len, want[i], strlen(want[i]));
    }
    finish();
}

static void
answers_byte_by_byte(void)
{
    static const char raw[] =
        "POST /auth/echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\n\r\n"
        "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n" GET("/items/x");
    http_answer answer;

    start();
    for (size_t i = 0; i < sizeof raw - 1; i++) {
        http_fixture_spin(&f);
        CHECK(http_client_send(&c, raw + i, 1));
    }
    http_client_talk(&c, &f, "");
    CHECK_INT(http_client_answers(&c), 2);
    REQUIRE(http_answer_parse(c.in, c.len, false, &answer));
    CHECK(coat_span_is(answer.body, COAT_LIT("abcde")));
    finish();
}

static void
keeps_alive_or_closes(void)
{
    static const struct {
        const char *name, *raw;
        bool closes;
        const char *connection;
    } cases[] = {
        {"1.1", GET("/run"), false, NULL},
        {"1.1 close", "GET /auth/run HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", true,
         "close"},
        {"1.0", "GET /auth/run HTTP/1.0\r\n\r\n", true, "close"},
        {"1.0 keep-alive", "GET /auth/run HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", false,
         "keep-alive"},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        http_answer answer;
        coat_span value = {NULL, 0};

        test_case(cases[i].name);
        start();
        http_client_talk(&c, &f, cases[i].raw);
        REQUIRE(http_answer_parse(c.in, c.len, false, &answer));
        (void)http_answer_field(&answer, "Connection", &value);
        CHECK(coat_span_is(value, coat_span_of(cases[i].connection)));
        CHECK_INT(c.eof, cases[i].closes);
        finish();
    }
}

/* Nothing behind the last request is looked at. */
static void
closes_after_the_last(void)
{
    start();
    http_client_talk(
        &c, &f, "GET /auth/run HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" GET("/run"));
    CHECK_INT(http_client_answers(&c), 1);
    CHECK_INT(f.runs, 1);
    finish();
}

static void
continues_on_demand(void)
{
    static const char go[] = "HTTP/1.1 100 Continue\r\n\r\n";

    start();
    http_client_talk(
        &c, &f,
        "POST /auth/echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 3\r\n\r\n");
    CHECK_MEM(c.in, c.len, go, sizeof go - 1);
    c.len = 0;
    http_client_talk(&c, &f, "abc");
    CHECK_INT(status(), 200);
    c.len = 0;
    http_client_talk(&c, &f, GET("/run"));
    CHECK_INT(http_client_answers(&c), 1);
    finish();
}

/* RX-2. Not closed just before, closed within a second after. */
static const struct slow_case {
    const char *name;
    const char *first; /* sent at once */
    const char *drip;  /* then one byte of it each second */
    int64_t after_ms;
    unsigned status; /* 0: closed without a word */
} slow_cases[] = {
    {"connects and is silent", "", "", 10000, 0},
    {"stops within the line", "GET /auth", "", 10000, 408},
    {"stops within the fields", "GET /auth/run HTTP/1.1\r\nHost: a\r\n", "", 10000, 408},
    {"drips fields", "GET /auth/run HTTP/1.1\r\n", "aaaaaaaaaaaaaaaa", 10000, 408},
    {"stops within the body",
     "POST /auth/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 90\r\n\r\na", "", 10000, 408},
    {"drips a body", "POST /auth/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 90\r\n\r\n",
     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 10000, 408},
    {"drips chunks",
     "POST /auth/echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;",
     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 10000, 408},
    {"idle after an answer", GET("/run"), "", 60000, 0},
    {"stops within a second request", GET("/run") "GET", "", 10000, 408},
};

static void
ends_slow_clients(void)
{
    for (size_t i = 0; i < COUNT(slow_cases); i++) {
        const struct slow_case *s = &slow_cases[i];
        size_t dripped = 0;

        test_case(s->name);
        start();
        http_client_talk(&c, &f, s->first);
        c.len = 0;
        for (int64_t t = 0; t < s->after_ms - 1000; t += 1000) {
            if (dripped < strlen(s->drip))
                (void)http_client_send(&c, &s->drip[dripped++], 1);
            http_fixture_pass(&f, 1000);
        }
        http_fixture_pass(&f, 900);
        http_client_read(&c);
        CHECK(!c.eof);
        CHECK_INT(c.len, 0);
        http_fixture_pass(&f, 1000);
        http_client_read(&c);
        CHECK(c.eof);
        CHECK_INT(status(), s->status);
        finish();
    }
}

/* A body that begins late has its own ten seconds. */
static void
gives_body_its_time(void)
{
    start();
    http_client_talk(&c, &f, "POST /auth/echo HTTP/1.1\r\nHost: a\r\n");
    http_fixture_pass(&f, 9000);
    http_client_talk(&c, &f,
                     "Content-Type: application/x-www-form-urlencoded\r\n"
                     "Content-Length: 2\r\n\r\na");
    http_fixture_pass(&f, 9000);
    http_client_talk(&c, &f, "b");
    CHECK_INT(status(), 200);
    finish();
}

static void
drops_who_does_not_read(void)
{
    coat_http_stats stats;
    int small = 4096;
    bool took = true;

    start();
    (void)setsockopt(c.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    for (int i = 0; i < 200 && took; i++) {
        took = http_client_send(&c, GET("/big"), strlen(GET("/big")));
        http_fixture_spin(&f);
    }
    coat_http_server_stats(f.server, &stats);
    CHECK(stats.requests < 60); /* no answers are made that nobody takes */
    CHECK_INT(stats.open, 1);
    http_fixture_pass(&f, 9000);
    coat_http_server_stats(f.server, &stats);
    CHECK_INT(stats.open, 1);
    http_fixture_pass(&f, 2000);
    coat_http_server_stats(f.server, &stats);
    CHECK_INT(stats.open, 0);
    CHECK_INT(stats.timeouts, 1);
    finish();
}

static void
resumes_for_a_late_reader(void)
{
    start();
    for (int i = 0; i < 20; i++)
        REQUIRE(http_client_send(&c, GET("/big"), strlen(GET("/big"))));
    for (int got = 0; got < 20;) {
        size_t before = c.len;

        http_fixture_spin(&f);
        http_client_read(&c);
        if (c.len == before)
            break;
        while (c.len > 0) {
            http_answer answer;

            if (!http_answer_parse(c.in, c.len, false, &answer))
                break;
            got++;
            CHECK_INT(answer.body.len, 60000);
            memmove(c.in, c.in + answer.total, c.len - answer.total);
            c.len -= answer.total;
        }
        if (got == 20)
            CHECK_INT(c.len, 0);
    }
    http_client_talk(&c, &f, GET("/run"));
    CHECK_INT(http_client_answers(&c), 1);
    finish();
}

static void
stays_small(void)
{
    static char junk[65536];

    /* All that a connection ever has: itself, an exchange, and what could not be written. */
    CHECK(sizeof(coat_conn) <= 1024);
    CHECK(sizeof(coat_exchange) + sizeof(coat_conn) <= 65536);
    start();
    memset(junk, 'a', sizeof junk);
    http_client_talk(
        &c, &f, "POST /auth/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1073741824\r\n\r\n");
    CHECK_INT(status(), 413);
    finish();
    /* Pipelining behind a request that takes its time: reading stops when the buffer is full.
     */
    start();
    http_client_talk(&c, &f, GET("/hold"));
    for (int i = 0; i < 100 && http_client_send(&c, junk, sizeof junk); i++)
        http_fixture_spin(&f);
    CHECK(!http_client_send(&c, junk, 1));
    REQUIRE(f.held_count == 1);
    f.held_count = 0;
    coat_http_send(coat_http_reply(f.held[0], 200), COAT_HTTP_TEXT, COAT_LIT("held"));
    http_fixture_spin(&f);
    http_client_read(&c);
    CHECK_INT(http_client_answers(&c), 2); /* the second refuses the junk */
    finish();
}

static void
survives_gone_clients(void)
{
    coat_http_stats stats;

    start();
    http_client_talk(&c, &f, GET("/hold"));
    REQUIRE(f.held_count == 1);
    CHECK(!coat_http_gone(f.held[0]));
    http_client_close(&c);
    http_fixture_spin(&f);
    CHECK_INT(f.gone, 1);
    CHECK(coat_http_gone(f.held[0]));
    CHECK(coat_span_is(f.held[0]->path, COAT_LIT("/auth/hold")));
    f.held_count = 0;
    coat_http_send(coat_http_reply(f.held[0], 200), COAT_HTTP_TEXT, COAT_LIT("late"));
    coat_http_server_stats(f.server, &stats);
    CHECK_INT(stats.gone, 1);
    CHECK_INT(stats.open, 0);
    /* The answer to nobody went to nobody else. */
    http_client_open(&c, &f, 0);
    http_client_talk(&c, &f, GET("/run"));
    CHECK_INT(http_client_answers(&c), 1);
    CHECK_INT(status(), 200);
    finish();
}

/* Many at once: each gets its own answers, whoever is answered from whose handler. */
static void
keeps_clients_apart(void)
{
    static http_client many[32];
    http_answer answer;

    start();
    for (size_t i = 0; i < COUNT(many); i++) {
        http_client_open(&many[i], &f, 0);
        http_client_talk(&many[i], &f, GET("/hold"));
    }
    REQUIRE(f.held_count == COUNT(many));
    for (size_t i = 0; i < COUNT(many); i += 2)
        http_client_close(&many[i]);
    http_fixture_spin(&f);
    f.held_count = 0;
    for (size_t i = COUNT(many); i-- > 0;) {
        uint8_t text = (uint8_t)('A' + i);

        coat_http_send(coat_http_reply(f.held[i], 200), COAT_HTTP_TEXT, (coat_span){&text, 1});
    }
    for (size_t i = 1; i < COUNT(many); i += 2) {
        http_client_talk(&many[i], &f, "");
        REQUIRE(http_answer_parse(many[i].in, many[i].len, false, &answer));
        CHECK_INT(answer.body.ptr[0], 'A' + (int)i);
        CHECK_INT(answer.total, many[i].len);
        http_client_close(&many[i]);
    }
    finish();
}

static void
stops_gracefully(void)
{
    start();
    http_client_open(&other, &f, 0);
    http_client_talk(&other, &f, GET("/run"));
    http_client_talk(&c, &f, GET("/hold"));
    REQUIRE(f.held_count == 1);
    coat_http_server_stop(f.server);
    http_fixture_spin(&f);
    http_client_read(&other);
    CHECK(other.eof); /* idle */
    http_client_close(&other);
    CHECK_INT(f.stops, 0);
    f.held_count = 0;
    coat_http_send(coat_http_reply(f.held[0], 200), COAT_HTTP_TEXT, COAT_LIT("last"));
    http_client_talk(&c, &f, GET("/run"));
    CHECK_INT(http_client_answers(&c), 1);
    CHECK(c.eof);
    CHECK_INT(f.runs, 1); /* that of `other` */
    CHECK(!coat_http_server_run(f.server, false));
    CHECK_INT(f.stops, 1);
    finish();
}

static void
stops_in_time(void)
{
    start();
    http_client_talk(&c, &f, GET("/hold"));
    coat_http_server_stop(f.server);
    http_fixture_pass(&f, 9500);
    CHECK_INT(f.stops, 0);
    http_fixture_pass(&f, 1000);
    CHECK_INT(f.stops, 1);
    http_client_read(&c);
    CHECK(c.eof);
    finish();
}

static void
knows_its_peer(void)
{
    char want[64];
    http_answer answer;

    start();
    http_client_open(&other, &f, 1);
    http_client_talk(&other, &f, GET("/whoami"));
    REQUIRE(http_answer_parse(other.in, other.len, false, &answer));
    (void)snprintf(want, sizeof want, "1 %u admin", (unsigned)getuid());
    CHECK_MEM(answer.body.ptr, answer.body.len, want, strlen(want));
    http_client_close(&other);
    finish();
}

static void
logs(void)
{
    start();
    http_client_talk(&c, &f, GET("/run") GET("/nothing"));
    CHECK_INT(f.logged, 2);
    CHECK_INT(f.last_status, 404);
    CHECK_STR(f.last_reason, "not_found");
    finish();
}

static const coat_test tests[] = {
    {"FA-8: each vector is answered once, then the connection ends", refuses_and_closes},
    {"FA-8: what follows a refused request is dropped", drops_what_follows},
    {"pipelined requests are answered in order, one at a time", answers_in_order},
    {"requests in single bytes", answers_byte_by_byte},
    {"persistence as the client asks for it", keeps_alive_or_closes},
    {"FA-8: nothing follows the last request", closes_after_the_last},
    {"100 Continue is sent once the body is waited for", continues_on_demand},
    {"RX-2: slow and silent clients are ended in time", ends_slow_clients},
    {"RX-2: a body has its own time", gives_body_its_time},
    {"RX-2: who does not read is dropped, with little queued", drops_who_does_not_read},
    {"a late reader gets everything", resumes_for_a_late_reader},
    {"RX-1: a connection stays small", stays_small},
    {"a client that has gone is no trouble", survives_gone_clients},
    {"answers reach who asked", keeps_clients_apart},
    {"stop: idle ones are closed, requests in flight are answered", stops_gracefully},
    {"stop: not later than stop_ms", stops_in_time},
    {"credentials of the peer", knows_its_peer},
    {"each answer is logged", logs},
};

COAT_TEST_MAIN(tests)
