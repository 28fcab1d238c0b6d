/* SPDX-License-Identifier: Apache-2.0 */
/** A name with several addresses: whichever answers is the server's. */

#include "coat_test.h"
#include "loopback.h"
#include "store/remote/stream.h"

#include <netdb.h>
#include <string.h>

enum { ADDRESSES_MAX = 4 };

/* What an address of the name does. */
typedef enum fate {
    NONE,
    TAKES,       /* somebody listens there */
    REFUSES,     /* nobody does: connect(2) is on its way and fails then */
    UNREACHABLE, /* connect(2) fails at once */
} fate;

static struct sockaddr_in to[ADDRESSES_MAX];
static struct addrinfo found[ADDRESSES_MAX];
static bool unknown; /* the name */

/* In place of the system's resolver, for libuv. */
#define IN_PLACE __attribute__((visibility("default")))

IN_PLACE int
getaddrinfo(const char *restrict host, const char *restrict port,
            const struct addrinfo *restrict hints, struct addrinfo **restrict out)
{
    (void)host;
    (void)port;
    (void)hints;
    if (unknown)
        return EAI_NONAME;
    *out = found;
    return 0;
}

IN_PLACE void
freeaddrinfo(struct addrinfo *list)
{
    (void)list;
}

static void
resolve_to(const fate *fates, int port)
{
    size_t count = 0;

    unknown = fates[0] == NONE;
    for (; count < ADDRESSES_MAX && fates[count] != NONE; count++) {
        /* TCP has no way to where many are. */
        uint32_t address = fates[count] == UNREACHABLE ? INADDR_BROADCAST : INADDR_LOOPBACK;

        to[count] = (struct sockaddr_in){
            .sin_family = AF_INET,
            .sin_addr.s_addr = htonl(address),
            .sin_port = htons((uint16_t)(fates[count] == REFUSES ? free_port() : port)),
        };
        found[count] = (struct addrinfo){.ai_family = AF_INET,
                                         .ai_socktype = SOCK_STREAM,
                                         .ai_addrlen = sizeof to[count],
                                         .ai_addr = (struct sockaddr *)&to[count]};
        if (count > 0)
            found[count - 1].ai_next = &found[count];
    }
}

static int
listen_on(int *port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    REQUIRE(fd >= 0 && bind(fd, (struct sockaddr *)&at, len) == 0 && listen(fd, 16) == 0 &&
            getsockname(fd, (struct sockaddr *)&at, &len) == 0);
    *port = ntohs(at.sin_port);
    return fd;
}

typedef struct outcome {
    unsigned ready, lost;
    char why[80];
} outcome;

static void
on_ready(void *ctx)
{
    ((outcome *)ctx)->ready++;
}

static void
on_bytes(void *ctx, const uint8_t *bytes, size_t len)
{
    (void)ctx;
    (void)bytes;
    (void)len;
}

static void
on_lost(void *ctx, const char *why)
{
    outcome *o = ctx;

    o->lost++;
    (void)snprintf(o->why, sizeof o->why, "%s", why);
}

static outcome
connect_by_name(uv_loop_t *loop, int port)
{
    outcome o = {0};
    remote_owner owner = {&o, on_ready, on_bytes, on_lost};
    remote_address address = {.host = "db.example", .port = (uint16_t)port};
    remote_stream *stream;

    REQUIRE_OK(remote_stream_open(loop, &address, &owner, &stream));
    (void)uv_run(loop, UV_RUN_DEFAULT);
    remote_stream_drop(stream);
    (void)uv_run(loop, UV_RUN_DEFAULT);
    return o;
}

static void
several_addresses(void)
{
    static const struct {
        const char *name;
        fate fates[ADDRESSES_MAX];
        int lost; /* of libuv; 0: it is connected */
    } cases[] = {
        {"one", {TAKES}, 0},
        {"the second", {REFUSES, TAKES}, 0},
        {"the second, and the first has no way", {UNREACHABLE, TAKES}, 0},
        {"the last of many", {UNREACHABLE, UNREACHABLE, REFUSES, TAKES}, 0},
        {"which are mixed", {REFUSES, UNREACHABLE, REFUSES, TAKES}, 0},
        {"none but the first is needed", {TAKES, UNREACHABLE}, 0},
        {"none", {REFUSES, REFUSES}, UV_ECONNREFUSED},
        {"none has a way", {UNREACHABLE, UNREACHABLE}, UV_ENETUNREACH},
        {"nor the last", {REFUSES, UNREACHABLE}, UV_ENETUNREACH},
        {"nor the first", {UNREACHABLE, REFUSES}, UV_ECONNREFUSED},
        {"no such name", {NONE}, UV_EAI_NONAME},
    };
    uv_loop_t loop;
    int port, fd = listen_on(&port);

    REQUIRE(uv_loop_init(&loop) == 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        outcome o;

        test_case(cases[i].name);
        resolve_to(cases[i].fates, port);
        o = connect_by_name(&loop, port);
        CHECK_INT(o.ready, cases[i].lost == 0);
        CHECK_INT(o.lost, cases[i].lost != 0);
        CHECK_STR(o.why, cases[i].lost != 0 ? uv_strerror(cases[i].lost) : "");
        if (o.ready > 0)
            (void)close(accept(fd, NULL, NULL));
    }
    test_case(NULL);
    CHECK(uv_loop_close(&loop) == 0); /* nothing is left open */
    (void)close(fd);
}

/** Dropped while the next address is being come to: nothing more is heard, nothing is kept. */
static void
dropped_meanwhile(void)
{
    static const fate fates[ADDRESSES_MAX] = {UNREACHABLE, REFUSES, UNREACHABLE, TAKES};
    int port, fd = listen_on(&port);

    resolve_to(fates, port);
    for (int turns = 0; turns < 8; turns++) {
        outcome o = {0};
        remote_owner owner = {&o, on_ready, on_bytes, on_lost};
        remote_address address = {.host = "db.example", .port = (uint16_t)port};
        remote_stream *stream;
        uv_loop_t loop;
        unsigned ready;

        REQUIRE(uv_loop_init(&loop) == 0);
        REQUIRE_OK(remote_stream_open(&loop, &address, &owner, &stream));
        for (int n = 0; n < turns; n++)
            (void)uv_run(&loop, UV_RUN_ONCE);
        ready = o.ready;
        remote_stream_drop(stream);
        (void)uv_run(&loop, UV_RUN_DEFAULT);
        CHECK_INT(o.ready, ready);
        CHECK_INT(o.lost, 0);
        CHECK(uv_loop_close(&loop) == 0);
    }
    (void)close(fd);
}

static const coat_test tests[] = {
    {"SF-9: all addresses of a name are tried, however the former ones fail",
     several_addresses},
    {"SF-2: a connection that is given up meanwhile leaves nothing", dropped_meanwhile},
};
COAT_TEST_MAIN(tests)
