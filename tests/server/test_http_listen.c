/* SPDX-License-Identifier: Apache-2.0 */
#include "http_fixture.h"
#include "server/http/internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define GET(path) "GET /auth" path " HTTP/1.1\r\nHost: a\r\n\r\n"

static http_fixture f;
static http_client c, admin;

static void
sets_modes(void)
{
    static const unsigned modes[] = {0, 0600, 0660, 0666};
    mode_t mask = umask(022);

    (void)umask(mask);
    for (size_t i = 0; i < COUNT(modes); i++) {
        struct stat st;

        http_fixture_init(&f);
        f.listeners[0].mode = modes[i];
        (void)umask(i % 2 == 0 ? 0 : 0777);
        http_fixture_start(&f);
        (void)umask(mask);
        REQUIRE(stat(f.paths[0] + 5, &st) == 0);
        CHECK_INT(st.st_mode & 07777, modes[i] != 0 ? modes[i] : 0600);
        http_fixture_fini(&f);
        CHECK(stat(f.paths[0] + 5, &st) != 0); /* removed at the end */
    }
}

static void
replaces_only_stale_sockets(void)
{
    char message[256];
    coat_http_server *second = NULL;
    struct stat st;
    int fd;

    http_fixture_init(&f);
    /* somebody listens */
    http_fixture_start(&f);
    CHECK_ERR(coat_http_server_new(&f.conf, message, sizeof message, &second), COAT_IO);
    CHECK(strstr(message, "another process") != NULL);
    CHECK(stat(f.paths[0] + 5, &st) == 0);
    http_client_open(&c, &f, 0);
    http_client_talk(&c, &f, GET("/run"));
    CHECK_INT(http_client_answers(&c), 1);
    http_client_close(&c);
    http_fixture_fini(&f);
    /* left behind */
    {
        struct sockaddr_un addr = {.sun_family = AF_UNIX};

        (void)snprintf(addr.sun_path, sizeof addr.sun_path, "%.100s", f.paths[0] + 5);
        fd = socket(AF_UNIX, SOCK_STREAM, 0);
        REQUIRE(bind(fd, (const struct sockaddr *)&addr, sizeof addr) == 0);
        REQUIRE(listen(fd, 1) == 0);
        (void)close(fd);
        REQUIRE(stat(f.paths[0] + 5, &st) == 0);
    }
    f.starts = f.stops = 0;
    http_fixture_start(&f);
    http_client_open(&c, &f, 0);
    http_client_talk(&c, &f, GET("/run"));
    CHECK_INT(http_client_answers(&c), 1);
    http_client_close(&c);
    http_fixture_fini(&f);
    /* a file */
    fd = open(f.paths[0] + 5, O_CREAT | O_WRONLY, 0600);
    REQUIRE(fd >= 0);
    (void)close(fd);
    CHECK_ERR(coat_http_server_new(&f.conf, message, sizeof message, &second), COAT_INVALID);
    CHECK(stat(f.paths[0] + 5, &st) == 0 && S_ISREG(st.st_mode));
}

static void
refuses_addresses(void)
{
    static const char *const bad[] = {"",
                                      "localhost:80",
                                      "127.0.0.1",
                                      "127.0.0.1:",
                                      "127.0.0.1:65536",
                                      "127.0.0.1:x",
                                      "[::1]",
                                      "[::1:80",
                                      "::1:80",
                                      "127.1:80",
                                      "unix:rel",
                                      "unix:",
                                      "fd:absent",
                                      "*:80",
                                      "127.0.0.1:-1",
                                      ":80"};

    for (size_t i = 0; i < COUNT(bad); i++) {
        char message[256] = "";
        int fd = -1;
        coat_http_listener conf = {.address = bad[i], .owner = -1, .group = -1};

        test_case(bad[i]);
        CHECK_ERR(coat_listen_bind(&conf, message, sizeof message, &fd), COAT_INVALID);
        CHECK_INT(fd, -1);
        CHECK(message[0] != '\0');
    }
}

static int
tcp_connect(uint16_t port, bool six)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    int fd = socket(six ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int err;

    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    in6.sin6_addr = in6addr_loopback;
    err = six ? connect(fd, (const struct sockaddr *)&in6, sizeof in6)
              : connect(fd, (const struct sockaddr *)&in, sizeof in);
    REQUIRE(err == 0);
    (void)fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static void
listens_on_tcp(void)
{
    http_fixture_init(&f);
    f.listeners[0].address = "127.0.0.1:0";
    http_fixture_start(&f);
    c.len = 0;
    c.fd = tcp_connect(coat_http_server_port(f.server, 0), false);
    http_client_talk(&c, &f, GET("/whoami"));
    CHECK_INT(http_client_answers(&c), 1);
    CHECK(memmem(c.in, c.len, "0 0 public", 10) != NULL);
    http_client_close(&c);
    http_fixture_fini(&f);
}

/* A child with the variables of a service manager takes the sockets, once. */
static void
takes_activation(void)
{
    static const char *const names[] = {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"};
    pid_t pid = test_fork();
    int status = 0;

    if (pid == 0) {
        struct sockaddr_in in = {.sin_family = AF_INET};
        char text[16];
        int fd = socket(AF_INET, SOCK_STREAM, 0);

        in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        if (bind(fd, (const struct sockaddr *)&in, sizeof in) != 0 || listen(fd, 5) != 0 ||
            (fd != 4 && dup2(fd, 4) != 4))
            _exit(2);
        (void)dup2(4, 3);
        (void)snprintf(text, sizeof text, "%d", (int)getpid());
        (void)setenv("LISTEN_PID", text, 1);
        (void)setenv("LISTEN_FDS", "2", 1);
        (void)setenv("LISTEN_FDNAMES", "first:web", 1);
        if (coat_http_activation_take() != 2)
            _exit(3);
        for (size_t i = 0; i < COUNT(names); i++)
            if (getenv(names[i]) != NULL)
                _exit(4);
        if ((fcntl(3, F_GETFD) & FD_CLOEXEC) == 0 || (fcntl(4, F_GETFL) & O_NONBLOCK) == 0)
            _exit(5);
        if (coat_activation_fd("first") != 3 || coat_activation_fd("web") != 4 ||
            coat_activation_fd("other") != -1)
            _exit(6);
        http_fixture_init(&f);
        f.listeners[0].address = "fd:web";
        http_fixture_start(&f);
        c.len = 0;
        c.fd = tcp_connect(coat_http_server_port(f.server, 0), false);
        http_client_talk(&c, &f, GET("/run"));
        _exit(http_client_answers(&c) == 1 ? 0 : 7);
    }
    REQUIRE(waitpid(pid, &status, 0) == pid);
    CHECK_INT(status, 0);
}

static void
ignores_foreign_activation(void)
{
    static const struct {
        const char *name, *pid, *fds;
    } cases[] = {
        {"other process", "1", "1"}, {"no pid", NULL, "1"},      {"pid no number", "x", "1"},
        {"no count", "self", NULL},  {"too many", "self", "17"}, {"negative", "self", "-1"},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        char self[16];

        test_case(cases[i].name);
        (void)snprintf(self, sizeof self, "%d", (int)getpid());
        (void)unsetenv("LISTEN_PID");
        (void)unsetenv("LISTEN_FDS");
        if (cases[i].pid != NULL)
            (void)setenv("LISTEN_PID", strcmp(cases[i].pid, "self") == 0 ? self : cases[i].pid,
                         1);
        if (cases[i].fds != NULL)
            (void)setenv("LISTEN_FDS", cases[i].fds, 1);
        CHECK_INT(coat_http_activation_take(), 0);
        CHECK(getenv("LISTEN_FDS") == NULL && getenv("LISTEN_PID") == NULL);
    }
}

static bool
answers(http_client *client, const char *text)
{
    client->len = 0;
    http_client_talk(client, &f, text);
    return http_client_answers(client) == 1;
}

/* At the cap: who is in stays in, others wait and get in when there is room, the admin socket
 * has room of its own. */
static void
caps_connections(void)
{
    static http_client many[12];
    coat_http_stats stats;

    http_fixture_init(&f);
    f.conf.limits.connections = 8;
    f.conf.limits.admin_connections = 2;
    http_fixture_start(&f);
    for (size_t i = 0; i < COUNT(many); i++)
        http_client_open(&many[i], &f, 0);
    http_fixture_spin(&f);
    coat_http_server_stats(f.server, &stats);
    CHECK_INT(stats.open, 8);
    for (size_t i = 0; i < COUNT(many); i++)
        CHECK_INT(answers(&many[i], GET("/run")), i < 8);
    http_client_open(&admin, &f, 1);
    CHECK(answers(&admin, GET("/whoami")));
    http_client_close(&many[0]);
    http_fixture_spin(&f);
    many[8].len = 0;
    http_client_talk(&many[8], &f, "");
    CHECK_INT(http_client_answers(&many[8]), 1); /* asked while it waited */
    for (size_t i = 1; i < COUNT(many); i++)
        http_client_close(&many[i]);
    http_client_close(&admin);
    http_fixture_spin(&f);
    http_fixture_fini(&f);
}

/* The cap is reached by other loops: this one has nothing, and still comes back to look. */
static void
wakes_up_for_room(void)
{
    http_fixture_init(&f);
    http_fixture_start(&f);
    f.server->open = f.server->cap;
    http_client_open(&c, &f, 0);
    http_client_talk(&c, &f, GET("/run"));
    CHECK_INT(http_client_answers(&c), 0);
    CHECK(f.server->loops[0].ticking);
    http_fixture_pass(&f, 1000);
    CHECK(f.server->loops[0].ticking);
    f.server->open = 0;
    http_fixture_pass(&f, 500);
    http_client_read(&c);
    CHECK_INT(http_client_answers(&c), 1);
    http_client_close(&c);
    http_fixture_pass(&f, 500);
    CHECK(!f.server->loops[0].ticking); /* an idle daemon sleeps */
    http_fixture_fini(&f);
}

static void
caps_sources(void)
{
    coat_http_stats stats;
    int fds[6];

    http_fixture_init(&f);
    f.listeners[0].address = "127.0.0.1:0";
    f.conf.limits.per_source = 4;
    http_fixture_start(&f);
    for (size_t i = 0; i < COUNT(fds); i++)
        fds[i] = tcp_connect(coat_http_server_port(f.server, 0), false);
    http_fixture_spin(&f);
    coat_http_server_stats(f.server, &stats);
    CHECK_INT(stats.open, 4);
    CHECK_INT(stats.refused_source, 2);
    (void)close(fds[0]);
    http_fixture_spin(&f);
    (void)close(fds[5]);
    fds[5] = tcp_connect(coat_http_server_port(f.server, 0), false);
    http_fixture_spin(&f);
    coat_http_server_stats(f.server, &stats);
    CHECK_INT(stats.open, 4);
    CHECK_INT(stats.refused_source, 2);
    for (size_t i = 1; i < COUNT(fds); i++)
        (void)close(fds[i]);
    http_fixture_spin(&f);
    http_fixture_fini(&f);
}

static coat_address
address_of(const char *text)
{
    coat_address address = {0};

    CHECK_ERR(coat_address_parse(coat_span_of(text), &address), COAT_OK);
    return address;
}

static unsigned random_left; /* the call from which on the source fails; 0: it does not */

/** In place of the system's. */
ssize_t getrandom(void *to, size_t len, unsigned flags);
ssize_t
getrandom(void *to, size_t len, unsigned flags)
{
    if (random_left == 1) {
        errno = ENOSYS;
        return -1;
    }
    if (random_left > 0)
        random_left--;
    return syscall(SYS_getrandom, to, len, flags);
}

/** Wherever randomness is missing at the start: an answer that names it, and no end of the
 * process. */
static void
without_randomness(void)
{
    char message[256] = "";
    unsigned missed = 0;
    coat_err err = COAT_RNG_FAILED;

    http_fixture_init(&f);
    for (; missed < 10; missed++) {
        random_left = missed + 1;
        err = coat_http_server_new(&f.conf, message, sizeof message, &f.server);
        random_left = 0;
        if (err == COAT_OK)
            break;
        CHECK_ERR(err, COAT_RNG_FAILED);
        CHECK_STR(message, coat_err_text(COAT_RNG_FAILED));
    }
    CHECK_INT(missed, 2); /* counters of sources, and a loop */
    REQUIRE_OK(coat_http_server_start(f.server));
    http_fixture_fini(&f);
}

/* Against plain counters, with many networks coming and going. */
static void
counts_sources(void)
{
    coat_sources *sources = NULL;
    static uint32_t slots[400];
    static unsigned nets[400], counts[120];
    size_t open = 0;
    test_rng rng = {11};
    coat_address a = address_of("2001:db8::1"), b = address_of("2001:db8::2"),
                 other = address_of("2001:db8:0:1::1");
    bool allowed;

    REQUIRE_OK(coat_sources_new(400, 3, &sources));
    for (long i = 0; i < test_scaled(3000000, 60000); i++) {
        if (open < COUNT(slots) && test_rng_below(&rng, 2) == 0) {
            unsigned net = (unsigned)test_rng_below(&rng, COUNT(counts));
            coat_address address = {{0}, true};

            address.bytes[10] = address.bytes[11] = 0xff;
            address.bytes[15] = (uint8_t)net;
            slots[open] = coat_sources_take(sources, &address, &allowed);
            CHECK_INT(allowed, counts[net] < 3);
            CHECK_INT(slots[open] != 0, allowed);
            if (allowed) {
                counts[net]++;
                nets[open++] = net;
            }
        } else if (open > 0) {
            size_t at = (size_t)test_rng_below(&rng, open);

            coat_sources_give(sources, slots[at]);
            counts[nets[at]]--;
            slots[at] = slots[--open];
            nets[at] = nets[open];
        }
    }
    while (open > 0)
        coat_sources_give(sources, slots[--open]);
    /* One /64 is one source. */
    for (int i = 0; i < 3; i++)
        (void)coat_sources_take(sources, i % 2 == 0 ? &a : &b, &allowed);
    (void)coat_sources_take(sources, &b, &allowed);
    CHECK(!allowed);
    (void)coat_sources_take(sources, &other, &allowed);
    CHECK(allowed);
    coat_sources_free(sources);
}

/* Takes all descriptors but `left`. @return how many */
static size_t
use_up(int *fds, size_t max, size_t left)
{
    size_t n = 0;

    while (n < max && (fds[n] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
        n++;
    while (left-- > 0 && n > 0)
        (void)close(fds[--n]);
    return n;
}

/*
 * No descriptors left, which the cap should prevent: the loop does not spin, who is in stays
 * in, an operator still gets in, and the others do when there is room again.
 */
static void
survives_emfile_child(void)
{
    static int fds[1024];
    struct rlimit limit = {200, 200};
    coat_http_stats stats;
    size_t used;

    http_fixture_init(&f);
    http_fixture_start(&f); /* while the limit is high: the cap is too */
    http_client_open(&c, &f, 0);
    REQUIRE(answers(&c, GET("/run")));
    http_client_open(&admin, &f, 1);
    admin.len = 0;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
    {
        static http_client waiting[3];

        for (size_t i = 0; i < COUNT(waiting); i++)
            http_client_open(&waiting[i], &f, 0);
        used = use_up(fds, COUNT(fds), 0);
        for (int i = 0; i < 1000; i++)
            (void)coat_http_server_run(f.server, false);
        coat_http_server_stats(f.server, &stats);
        CHECK(stats.accept_errors >= 1 &&
              stats.accept_errors <= 2); /* then it was left alone */
        CHECK_INT(stats.open, 1);
        CHECK(answers(&c, GET("/run")));
        CHECK(answers(&admin, GET("/whoami")));
        while (used > 0)
            (void)close(fds[--used]);
        http_fixture_pass(&f, 500);
        coat_http_server_stats(f.server, &stats);
        CHECK_INT(stats.open, 1 + COUNT(waiting));
        for (size_t i = 0; i < COUNT(waiting); i++) {
            CHECK(answers(&waiting[i], GET("/run")));
            http_client_close(&waiting[i]);
        }
    }
    http_client_close(&c);
    http_client_close(&admin);
    http_fixture_spin(&f);
    http_fixture_fini(&f);
}

static void
keeps_below_the_limit(void)
{
    static http_client many[300];
    struct rlimit old, limit = {256, 0};
    coat_http_stats stats;
    size_t opened = 0;

    /* Descriptor limit 256 as in the daemon; the clients are sockets of the same process, so
     * connect with the limit lifted again: the cap was computed at start. */
    REQUIRE(getrlimit(RLIMIT_NOFILE, &old) == 0);
    limit.rlim_max = old.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
    http_fixture_init(&f);
    http_fixture_start(&f);
    (void)setrlimit(RLIMIT_NOFILE, &old);
    for (size_t i = 0; i < COUNT(many); i++, opened++)
        http_client_open(&many[i], &f, 0);
    http_fixture_pass(&f, 500);
    coat_http_server_stats(f.server, &stats);
    CHECK(stats.open < 256 - 64);
    CHECK(stats.open > 64);
    CHECK_INT(stats.accept_errors, 0);
    CHECK(answers(&many[0], GET("/run")));
    http_client_open(&admin, &f, 1);
    CHECK(answers(&admin, GET("/whoami")));
    http_client_close(&admin);
    for (size_t i = 0; i < opened; i++)
        http_client_close(&many[i]);
    http_fixture_spin(&f);
    http_fixture_fini(&f);
}

static unsigned each_calls;

static void
count_each(void *arg, void *loop_data)
{
    (void)loop_data;
    (void)__atomic_add_fetch((unsigned *)arg, 1, __ATOMIC_RELAXED);
}

static coat_err
start_ok(void *ctx, struct uv_loop_s *loop, unsigned index, void **data)
{
    (void)loop;
    (void)index;
    (void)__atomic_add_fetch((unsigned *)ctx, 1, __ATOMIC_RELAXED);
    *data = NULL;
    return COAT_OK;
}

static coat_err
start_fails(void *ctx, struct uv_loop_s *loop, unsigned index, void **data)
{
    (void)ctx;
    (void)loop;
    (void)data;
    return index == 1 ? COAT_IO : COAT_OK;
}

static void
runs_in_threads(void)
{
    unsigned starts = 0;
    char message[256], in[4096];
    int fds[16];

    http_fixture_init(&f);
    f.conf.by_hand = false;
    f.conf.loops = 3;
    f.conf.ctx = &starts;
    f.conf.loop_start = start_ok;
    f.conf.loop_stop = NULL;
    f.conf.log = NULL;
    f.listeners[0].address = "127.0.0.1:0";
    REQUIRE_OK(coat_http_server_new(&f.conf, message, sizeof message, &f.server));
    REQUIRE_OK(coat_http_server_start(f.server));
    CHECK_INT(starts, 3);
    for (size_t i = 0; i < COUNT(fds); i++) {
        fds[i] = tcp_connect(coat_http_server_port(f.server, 0), false);
        (void)fcntl(fds[i], F_SETFL, 0);
    }
    for (int round = 0; round < 50; round++) {
        for (size_t i = 0; i < COUNT(fds); i++)
            REQUIRE(send(fds[i], GET("/verify"), strlen(GET("/verify")), 0) > 0);
        for (size_t i = 0; i < COUNT(fds); i++) {
            ssize_t n = recv(fds[i], in, sizeof in, 0);

            REQUIRE(n > 12 && memcmp(in, "HTTP/1.1 204", 12) == 0);
        }
    }
    each_calls = 0;
    REQUIRE_OK(coat_http_server_each(f.server, count_each, &each_calls));
    CHECK_INT(each_calls, 3);
    coat_http_server_stop(f.server);
    coat_http_server_join(f.server);
    CHECK_ERR(coat_http_server_each(f.server, count_each, &each_calls), COAT_BUSY);
    coat_http_server_free(f.server);
    for (size_t i = 0; i < COUNT(fds); i++) {
        CHECK_INT(recv(fds[i], in, sizeof in, 0), 0);
        (void)close(fds[i]);
    }
    /* A loop that cannot start stops the others. */
    f.conf.loop_start = start_fails;
    REQUIRE_OK(coat_http_server_new(&f.conf, message, sizeof message, &f.server));
    CHECK_ERR(coat_http_server_start(f.server), COAT_IO);
    coat_http_server_free(f.server);
}

static void
survives_emfile(void)
{
    pid_t pid = test_fork();
    int status = 0;

    test_not_under_valgrind("it takes descriptors of its own");
    if (pid == 0) {
        static const coat_test child[] = {{"child", survives_emfile_child}};

        if (freopen("/dev/stderr", "w", stdout) == NULL)
            _exit(1);
        _exit(coat_test_main(0, NULL, child, 1));
    }
    REQUIRE(waitpid(pid, &status, 0) == pid);
    CHECK_INT(status, 0);
}

static const coat_test tests[] = {
    {"Unix sockets have their mode whatever the umask", sets_modes},
    {"only stale sockets are replaced", replaces_only_stale_sockets},
    {"addresses that are none", refuses_addresses},
    {"TCP", listens_on_tcp},
    {"socket activation", takes_activation},
    {"socket activation that is not for us", ignores_foreign_activation},
    {"RX-3: at the cap others wait, and the admin socket works", caps_connections},
    {"RX-3: who waits for room of other loops is not forgotten", wakes_up_for_room},
    {"RX-3: connections per source", caps_sources},
    {"without randomness the server does not start, and says so", without_randomness},
    {"RX-3 RX-5: sources are counted right, /64 by /64", counts_sources},
    {"RX-3: the cap lies below the limit of descriptors", keeps_below_the_limit},
    {"RX-3: out of descriptors: no spinning, the admin socket works", survives_emfile},
    {"several loops", runs_in_threads},
};

COAT_TEST_MAIN(tests)
