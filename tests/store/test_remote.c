/* SPDX-License-Identifier: Apache-2.0 */
/** The common ground of stores behind a network, as far as it needs no network. */

#include "coat_test.h"
#include "core/bytes.h"
#include "store/remote/backoff.h"
#include "store/remote/remote.h"
#include "store/remote/url.h"
#include "store/remote/value.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void
backoff_bounds(void)
{
    static const int64_t most[] = {600, 1200, 2400, 4800, 5000, 5000, 5000};

    for (uint32_t random = 0; random < 200000; random += 37) {
        remote_backoff b = {0};

        for (size_t i = 0; i < sizeof most / sizeof most[0]; i++) {
            int64_t ms = remote_backoff_next(&b, random);

            CHECK(ms >= 50 && ms < most[i]);
        }
    }
    {
        remote_backoff b = {UINT32_MAX};

        CHECK(remote_backoff_next(&b, 4949) == 50 + 4949);
        CHECK(b.failures == UINT32_MAX);
    }
}

/** 1,000 clients lose their server at once, and it stays away for a while. */
static void
no_burst(void)
{
    enum { CLIENTS = 1000, SPAN_MS = 20000, WINDOW_MS = 50, SEEDS = 20 };
    static uint16_t connects[SPAN_MS];

    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        test_rng rng = {seed};
        int in_window = 0, most = 0;

        memset(connects, 0, sizeof connects);
        for (int c = 0; c < CLIENTS; c++) {
            remote_backoff b = {0};

            for (int64_t at = 0;
                 (at += remote_backoff_next(&b, (uint32_t)test_rng_next(&rng))) < SPAN_MS;)
                connects[at]++;
        }
        for (int ms = 0; ms < SPAN_MS; ms++) {
            in_window += connects[ms];
            if (ms >= WINDOW_MS)
                in_window -= connects[ms - WINDOW_MS];
            most = in_window > most ? in_window : most;
        }
        CHECK(most > 0 && most <= 200);
    }
}

static void
breaker_opens(void)
{
    remote_breaker b = {0};
    int probes = 0;

    for (int i = 0; i < 4; i++) {
        remote_breaker_bad(&b, 1000, 0);
        CHECK(remote_breaker_admits(&b, 1000, 0));
    }
    remote_breaker_good(&b); /* only failures in a row count */
    for (int i = 0; i < 4; i++)
        remote_breaker_bad(&b, 1000, 0);
    CHECK(remote_breaker_admits(&b, 1000, 0));
    CHECK_INT(b.closings, 0);
    remote_breaker_bad(&b, 1000, 0);
    CHECK(!remote_breaker_admits(&b, 1000, 0));
    CHECK(!remote_breaker_admits(&b, 1999, 0));
    CHECK(remote_breaker_admits(&b, 2000, 0)); /* the probe */
    CHECK(!remote_breaker_admits(&b, 2000, 0));

    /* However often it is asked, and whatever fails meanwhile: one a second at most. */
    for (int64_t ms = 2001; ms < 102001; ms++) {
        uint32_t random = (uint32_t)(ms * 2654435761U);

        probes += remote_breaker_admits(&b, ms, random);
        if (ms % 3 == 0)
            remote_breaker_bad(&b, ms, random);
    }
    CHECK(probes >= 75 && probes <= 100);

    remote_breaker_good(&b);
    CHECK(remote_breaker_admits(&b, 102001, 0));
    CHECK_INT(b.closings, 1);
}

/* ---- a lane, with a store that needs a few turns of the loop to be connected to ---- */

enum { TURNS_TO_CONNECT = 3 };
static int64_t clock_ms;
static int turns, starts;

static int64_t
set_clock(void *ctx)
{
    (void)ctx;
    return clock_ms;
}

static void
slow_start(remote_link *link)
{
    (void)link;
    turns = 0;
    starts++;
}

static void
slow_look(remote_link *link)
{
    if (++turns == TURNS_TO_CONNECT)
        remote_link_ready(link);
}

static coat_err
slow_send(remote_link *link, coat_store_req *req)
{
    (void)link;
    (void)req;
    return COAT_OK;
}

static void
slow_flush(remote_link *link)
{
    while (link->flight.head != NULL) {
        link->flight.head->result = COAT_OK;
        remote_answer(link->flight.head);
    }
}

static void
slow_stop(remote_link *link)
{
    (void)link;
}

static void
done_nothing(coat_store_req *req)
{
    (void)req;
}

/** Nobody drives such a lane between two calls, and its connection has a second by the clock:
 * so the one probe must be a request's, which drives it. */
static void
seldom_used(void)
{
    static const struct coat_store_ops ops = {.abi = COAT_STORE_ABI,
                                              .name = "slow",
                                              .lane_open = remote_lane_open,
                                              .lane_close = remote_lane_close,
                                              .submit = remote_submit,
                                              .wait = remote_wait};
    static const struct remote_kind kind = {.link_bytes = sizeof(remote_link),
                                            .start = slow_start,
                                            .send = slow_send,
                                            .flush = slow_flush,
                                            .stop = slow_stop,
                                            .look = slow_look};
    remote_store store = {.kind = NULL};
    coat_store_req req = {.op = COAT_OP_EPOCHS, .done = done_nothing};
    coat_lane *lane;

    clock_ms = 1000;
    starts = 0;
    REQUIRE_OK(remote_store_init(&store, &ops, &kind));
    store.monotonic = set_clock;
    store.links = 1;
    REQUIRE_OK(coat_lane_open(&store.base, NULL, &lane));
    clock_ms += REMOTE_CONNECT_MS;
    for (uint32_t i = 0; i < REMOTE_BREAKER_FAILURES; i++)
        remote_note_bad(&store);
    CHECK_ERR(coat_store_run(lane, &req), COAT_STORE_DOWN); /* and the first attempt is over */
    CHECK_INT(starts, 1);
    clock_ms += REMOTE_PROBE_LEAST_MS + REMOTE_PROBE_SPREAD_MS;
    CHECK_ERR(coat_store_run(lane, &req), COAT_OK);
    CHECK_INT(starts, 2);
    CHECK(!store.breaker.open);
    coat_lane_close(lane);
    remote_store_fini(&store);
}

static void
lines(void)
{
    static const char *const cases[][2] = {
        {"ERR no\n", "ERR no"},
        {"a\nb \n \n", "a b"},
        {"\033[31m\t\177", "?[31m??"},
        {"\xc3\xa9", "??"},
        {"", ""},
        {"much longer than fits", "much longer tha"},
    };
    char line[16];

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        remote_line(line, sizeof line, cases[i][0]);
        CHECK(strcmp(line, cases[i][1]) == 0);
        remote_line(line, sizeof line, line);
        CHECK(strcmp(line, cases[i][1]) == 0);
    }
}

static void
rings(void)
{
    enum { MANY = 1000 };
    uint32_t *ring = NULL;
    size_t first = 0, count = 0, cap = 0;
    uint32_t in = 0, out = 0;

    while (in < MANY) {
        if (count == cap) {
            ring = remote_ring_grow(ring, sizeof *ring, &first, &cap);
            REQUIRE(ring != NULL && cap > count);
        }
        ring[(first + count++) % cap] = in++;
        if (in % 3 == 0) { /* so that it begins anywhere when it is full */
            CHECK(ring[first] == out++);
            first = (first + 1) % cap;
            count--;
        }
    }
    for (; count > 0; count--, first = (first + 1) % cap)
        CHECK(ring[first] == out++);
    CHECK(out == MANY);
    free(ring);
}

static void
notices(void)
{
    char notice[12] = "";

    remote_notice_add(notice, sizeof notice, "");
    CHECK(strcmp(notice, "") == 0);
    remote_notice_add(notice, sizeof notice, "one");
    remote_notice_add(notice, sizeof notice, "");
    remote_notice_add(notice, sizeof notice, "two");
    CHECK(strcmp(notice, "one; two") == 0);
    remote_notice_add(notice, sizeof notice, "three");
    CHECK(strcmp(notice, "one; two; t") == 0);
    remote_notice_add(notice, sizeof notice, "four");
    CHECK(strcmp(notice, "one; two; t") == 0);
}

static void
urls(void)
{
    static const struct {
        const char *text, *scheme, *user, *host, *path;
        uint16_t port;
        const char *why; /* part of the complaint; NULL: none */
    } cases[] = {
        {"redis://h", "redis", NULL, "h", "", 0, NULL},
        {"redis://h:1/2", "redis", NULL, "h", "2", 1, NULL},
        {"redis://u@h:65535/", "redis", "u", "h", "", 65535, NULL},
        {"redis://a%40b@h", "redis", "a@b", "h", "", 0, NULL},
        {"redis://[::1]:6379/0", "redis", NULL, "::1", "0", 6379, NULL},
        {"redis://[::1]", "redis", NULL, "::1", "", 0, NULL},
        {"redis+unix:/run/r.sock", "redis+unix", NULL, NULL, "/run/r.sock", 0, NULL},
        {"redis+unix:///run/r%20s", "redis+unix", NULL, NULL, "/run/r s", 0, NULL},
        {"redis://u:secret@h", NULL, NULL, NULL, NULL, 0, "password"},
        {"redis://u%3asecret:x@h", NULL, NULL, NULL, NULL, 0, "password"},
        {"redis://@h", NULL, NULL, NULL, NULL, 0, "user"},
        {"redis://", NULL, NULL, NULL, NULL, 0, "host"},
        {"redis://:1", NULL, NULL, NULL, NULL, 0, "host"},
        {"redis://h:0", NULL, NULL, NULL, NULL, 0, "port"},
        {"redis://h:65536", NULL, NULL, NULL, NULL, 0, "port"},
        {"redis://h:+1", NULL, NULL, NULL, NULL, 0, "port"},
        {"redis://h:", NULL, NULL, NULL, NULL, 0, "port"},
        {"redis://[::1", NULL, NULL, NULL, NULL, 0, "bracket"},
        {"redis://[::1]x", NULL, NULL, NULL, NULL, 0, "bracket"},
        {"redis://h%41", NULL, NULL, NULL, NULL, 0, "host"},
        {"redis://h/%zz", NULL, NULL, NULL, NULL, 0, "percent"},
        {"redis://h/%00", NULL, NULL, NULL, NULL, 0, "percent"},
        {"redis://h/%4", NULL, NULL, NULL, NULL, 0, "percent"},
        {"redis://h#f", NULL, NULL, NULL, NULL, 0, "fragment"},
        {"redis://h?a", NULL, NULL, NULL, NULL, 0, "key=value"},
        {"redis://h?=a", NULL, NULL, NULL, NULL, 0, "key=value"},
        {"redis://h?a=1&a=2", NULL, NULL, NULL, NULL, 0, "twice"},
        {"redis://h x", NULL, NULL, NULL, NULL, 0, "spaces"},
        {"redis://h\nx", NULL, NULL, NULL, NULL, 0, "control"},
        {"redis:h", NULL, NULL, NULL, NULL, 0, "scheme://host"},
        {"://h", NULL, NULL, NULL, NULL, 0, "scheme"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        remote_url url;
        const char *why = NULL;
        coat_err err = remote_url_parse(cases[i].text, &url, &why);

        test_case(cases[i].text);
        CHECK_ERR(err, cases[i].why == NULL ? COAT_OK : COAT_INVALID);
        if (cases[i].why != NULL) {
            CHECK(why != NULL && strstr(why, cases[i].why) != NULL);
            CHECK(why == NULL || strstr(why, "secret") == NULL);
            continue;
        }
        CHECK_STR(url.scheme, cases[i].scheme);
        CHECK_STR(url.path, cases[i].path);
        CHECK((url.user == NULL) == (cases[i].user == NULL));
        CHECK((url.host == NULL) == (cases[i].host == NULL));
        if (url.user != NULL && cases[i].user != NULL)
            CHECK_STR(url.user, cases[i].user);
        if (url.host != NULL && cases[i].host != NULL)
            CHECK_STR(url.host, cases[i].host);
        CHECK_INT(url.port, cases[i].port);
    }
    test_case(NULL);
}

/** The URL of each host, of those that name several. */
static void
url_lists(void)
{
    static const struct {
        const char *url, *each[4];
    } cases[] = {
        {"redis://h", {"redis://h"}},
        {"x://u@a:1,b,[::1]:2/n?k=v,w",
         {"x://u@a:1/n?k=v,w", "x://u@b/n?k=v,w", "x://u@[::1]:2/n?k=v,w"}},
        {"x://a,?k=v", {"x://a?k=v", "x://?k=v"}},
        {"x://,a", {"x://", "x://a"}},
        {"x:/path,b", {"x:/path,b"}},
        {"m+unix:/a,/b?k=v", {"m+unix:/a?k=v", "m+unix:/b?k=v"}},
        {"m+unix:/a@b", {"m+unix:/a@b"}},
    };
    char one[REMOTE_URL_MAX + 1];
    remote_url_list list;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        test_case(cases[i].url);
        REQUIRE(remote_url_split(cases[i].url, &list));
        for (size_t k = 0; cases[i].each[k] != NULL; k++)
            CHECK(remote_url_next(&list, one) && strcmp(one, cases[i].each[k]) == 0);
        CHECK(!remote_url_next(&list, one));
    }
    test_case(NULL);
    CHECK(!remote_url_split("no colon", &list));
    memset(one, 'a', sizeof one - 1);
    one[1] = ':';
    one[sizeof one - 1] = '\0';
    CHECK(remote_url_split(one, &list));
    {
        char longer[REMOTE_URL_MAX + 2];

        (void)snprintf(longer, sizeof longer, "%sa", one);
        CHECK(!remote_url_split(longer, &list));
    }
}

static void
url_parameters(void)
{
    char text[REMOTE_URL_MAX + 2] = "redis://h?a=1&password-file=/x%20y&empty=";
    remote_url url;
    const char *why;

    REQUIRE_OK(remote_url_parse(text, &url, &why));
    CHECK_STR(remote_url_param(&url, "a"), "1");
    CHECK_STR(remote_url_param(&url, "password-file"), "/x y");
    CHECK_STR(remote_url_param(&url, "empty"), "");
    CHECK(remote_url_param(&url, "b") == NULL);
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    CHECK_ERR(remote_url_parse(text, &url, &why), COAT_TOO_LARGE);
}

static void
local_hosts(void)
{
    static const struct {
        const char *text;
        bool local;
    } cases[] = {
        {"redis://localhost", true},    {"redis://127.0.0.1", true},
        {"redis://127.9.9.9", true},    {"redis://[::1]", true},
        {"redis+unix:/x", true},        {"redis://10.0.0.1", false},
        {"redis://localhost.x", false}, {"redis://[::2]", false},
        {"redis://0x7f.1", false},      {"redis://127.0.0.1.x", false},
        {"redis://128.0.0.1", false},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        remote_url url;
        const char *why;

        test_case(cases[i].text);
        REQUIRE_OK(remote_url_parse(cases[i].text, &url, &why));
        CHECK(remote_url_is_local(&url) == cases[i].local);
    }
    test_case(NULL);
}

static void
write_file(const char *path, const char *text, size_t len, mode_t mode)
{
    FILE *f = fopen(path, "w");

    REQUIRE(f != NULL);
    CHECK_INT(fwrite(text, 1, len, f), len);
    (void)fclose(f);
    CHECK_INT(chmod(path, mode), 0);
}

static void
secrets(void)
{
    static char long_one[REMOTE_SECRET_MAX + 2];
    const char *dir = test_tmpdir();
    char path[400], link[400], out[REMOTE_SECRET_MAX + 1];
    static const struct {
        const char *name, *text;
        size_t len;
        mode_t mode;
        const char *want, *why;
    } cases[] = {
        {"a line", "secret\n", 7, 0600, "secret", NULL},
        {"no newline, read-only", "secret", 6, 0400, "secret", NULL},
        {"spaces belong to it", " s t \r\n", 7, 0600, " s t ", NULL},
        {"group may read", "secret\n", 7, 0640, NULL, "mode"},
        {"others may read", "secret\n", 7, 0604, NULL, "mode"},
        {"empty", "", 0, 0600, NULL, "one line"},
        {"only a newline", "\n", 1, 0600, NULL, "one line"},
        {"two lines", "a\nb\n", 4, 0600, NULL, "one line"},
        {"NUL inside", "a\0b\n", 4, 0600, NULL, "one line"},
        {"too long", long_one, sizeof long_one - 1, 0600, NULL, "512"},
    };

    memset(long_one, 'x', sizeof long_one - 1);
    (void)snprintf(path, sizeof path, "%s/secret", dir);
    (void)snprintf(link, sizeof link, "%s/link", dir);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *why = NULL;
        coat_err err;

        test_case(cases[i].name);
        (void)unlink(path);
        write_file(path, cases[i].text, cases[i].len, cases[i].mode);
        err = remote_secret_read(path, out, &why);
        CHECK_ERR(err, cases[i].want != NULL ? COAT_OK : COAT_INVALID);
        if (cases[i].want != NULL)
            CHECK_STR(out, cases[i].want);
        else
            CHECK(why != NULL && strstr(why, cases[i].why) != NULL);
    }
    test_case("symbolic link");
    {
        const char *why = NULL;

        /* To one that would do by itself. */
        (void)unlink(path);
        write_file(path, "secret", 6, 0600);
        CHECK_ERR(remote_secret_read(path, out, &why), COAT_OK);
        CHECK_INT(symlink(path, link), 0);
        CHECK_ERR(remote_secret_read(link, out, &why), COAT_INVALID);
        if (geteuid() == 0) { /* somebody else's, which only root can make */
            CHECK_INT(chown(path, 1, 1), 0);
            CHECK_ERR(remote_secret_read(path, out, &why), COAT_INVALID);
        }
        CHECK_ERR(remote_secret_read(dir, out, &why), COAT_INVALID);
        CHECK_ERR(remote_secret_read("/nonexistent", out, &why), COAT_INVALID);
    }
    test_case(NULL);
}

static size_t
encode(const coat_store_req *req, uint64_t version, uint8_t *out)
{
    remote_value_front(req->space, req->value.len, out);
    coat_store64(out + 8, version);
    remote_value_back(req, out + 16);
    memcpy(out + REMOTE_VALUE_HEAD, req->value.ptr, req->value.len);
    return REMOTE_VALUE_HEAD + req->value.len;
}

static void
values(void)
{
    coat_store_req req = {.space = COAT_SPACE_SESSION,
                          .expires_ms = 77,
                          .epoch_owner = 5,
                          .epoch_global = 6,
                          .value = COAT_LIT("payload")};
    uint8_t bytes[REMOTE_VALUE_HEAD + 7];
    coat_handle other;
    coat_value value = {.version = 99};
    size_t len;

    memset(req.address.bytes, 3, sizeof req.address.bytes);
    other = req.address;
    other.bytes[15] ^= 1;
    len = encode(&req, 4, bytes);
    /* Whatever is cut off: denied, and the output left alone. */
    for (size_t cut = 0; cut < len; cut++)
        CHECK_ERR(remote_value_decode((coat_span){bytes, cut}, COAT_SPACE_SESSION, &req.address,
                                      &value),
                  COAT_MALFORMED);
    CHECK_INT(value.version, 99);
    CHECK_ERR(remote_value_decode((coat_span){bytes, len}, COAT_SPACE_SESSION, &other, &value),
              COAT_TAMPERED);
    CHECK_ERR(
        remote_value_decode((coat_span){bytes, len}, COAT_SPACE_META, &req.address, &value),
        COAT_TAMPERED);
    CHECK_INT(value.version, 99);
    REQUIRE_OK(
        remote_value_decode((coat_span){bytes, len}, COAT_SPACE_SESSION, &req.address, &value));
    CHECK_INT(value.version, 4);
    CHECK_INT(value.expires_ms, 77);
    CHECK_INT(value.epoch_owner, 5);
    CHECK_INT(value.epoch_global, 6);
    CHECK_MEM(value.payload.ptr, value.payload.len, "payload", 7);
    bytes[2] = REMOTE_VALUE_FORMAT + 1;
    CHECK_ERR(
        remote_value_decode((coat_span){bytes, len}, COAT_SPACE_SESSION, &req.address, &value),
        COAT_NEWER_FORMAT);
    bytes[2] = REMOTE_VALUE_FORMAT;
    bytes[23] = 0x80; /* a negative expiry */
    CHECK_ERR(
        remote_value_decode((coat_span){bytes, len}, COAT_SPACE_SESSION, &req.address, &value),
        COAT_MALFORMED);
}

static const coat_test tests[] = {
    {"SF-11: back-off is random within bounds that double up to 5 s", backoff_bounds},
    {"SF-11: of 1,000 clients at most 200 connect within any 50 ms", no_burst},
    {"SF-2: five failures in a row open the breaker, one probe a second", breaker_opens},
    {"SF-2 SF-11: a lane that is seldom used comes back after an outage", seldom_used},
    {"what a server says is one line that no terminal obeys", lines},
    {"notices are joined, as far as there is room", notices},
    {"a ring that grows keeps its order", rings},
    {"store URLs are taken apart, or refused saying why", urls},
    {"URLs of several hosts are one of each", url_lists},
    {"parameters of URLs, once each", url_parameters},
    {"ST-5: which hosts are this machine", local_hosts},
    {"ST-4: a secret is read from a file of ours only", secrets},
    {"ST-8 SF-6: a value is denied unless whole and of its address", values},
};
COAT_TEST_MAIN(tests)
