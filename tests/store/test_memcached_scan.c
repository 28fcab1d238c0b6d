/* SPDX-License-Identifier: Apache-2.0 */
/** SCAN: what real servers list and refuse, and what else may be said in their place. */

#include "dump_front.h"
#include "memcached_kit.h"
#include "store/order.h"

#include <uv.h>

enum { SEEN_MAX = 4096 };

typedef struct seen {
    coat_handle at[SEEN_MAX];
    size_t count;
} seen;

static dump_front front;

static void
see(coat_store_req *req, const coat_store_item *item)
{
    seen *s = req->ctx;

    if (s->count < SEEN_MAX)
        s->at[s->count] = item->address;
    s->count++;
}

static coat_store_req
scan_req(coat_space space, seen *s)
{
    return (coat_store_req){.op = COAT_OP_SCAN,
                            .space = space,
                            .now_ms = NOW_MS,
                            .timeout_ms = PATIENCE_MS,
                            .item = see,
                            .done = done_nothing,
                            .ctx = s};
}

/** All pages; they are in order, and none is twice. */
static coat_err
scan_all(coat_lane *with, coat_space space, uint32_t limit, seen *s)
{
    coat_store_req req = scan_req(space, s);

    s->count = 0;
    do {
        size_t before = s->count;

        req.limit = limit;
        if (coat_store_run(with, &req) != COAT_OK)
            return req.result;
        CHECK_INT(s->count - before, req.count);
        CHECK(!req.more || req.has_cursor);
    } while (req.more);
    for (size_t i = 1; i < s->count && s->count <= SEEN_MAX; i++)
        CHECK(coat_scan_compare(COAT_CAP_CACHE, &s->at[i - 1], &s->at[i]) < 0);
    return COAT_OK;
}

static size_t
scan_count(coat_lane *with, coat_space space)
{
    seen s;

    REQUIRE_OK(scan_all(with, space, 100, &s));
    return s.count;
}

static const char *
notice(void)
{
    static coat_store_stats stats;

    REQUIRE_OK(coat_store_stats_get(store, &stats));
    return stats.notice;
}

/** On a server of its own settings, which ends with the test. */
static void
begin_with(mc_server *s)
{
    server_start(s);
    prefixes++;
    REQUIRE_OK(servers_open(s, 1, "", &store));
    inside(store)->nodes[0]->remote.monotonic = test_monotonic;
    REQUIRE_OK(coat_lane_open(store, NULL, &lane));
}

static void
begin_behind_front(void)
{
    count = 1;
    if (servers[0].pid == 0)
        server_start(&servers[0]);
    front_start(&front, &servers[0]);
    prefixes++;
    REQUIRE_OK(servers_open(&front.at, 1, "", &store));
    inside(store)->nodes[0]->remote.monotonic = test_monotonic;
    REQUIRE_OK(coat_lane_open(store, NULL, &lane));
}

static void
end_behind_front(void)
{
    end();
    front_stop(&front);
}

/* ---- what is there ---- */

static void
put_other(coat_space space, uint64_t owner, uint64_t serial)
{
    coat_store_req req = session_req(COAT_OP_INSERT, owner, serial);

    req.space = space;
    REQUIRE_OK(coat_store_run(lane, &req));
}

static void
all_of_it(void)
{
    enum { OWNED = 700, EACH = 3 };

    begin(3);
    for (uint64_t owner = 1; owner <= OWNED; owner++)
        for (uint64_t serial = 1; serial <= EACH; serial++)
            CHECK_ERR(sign_in(lane, owner, serial, 10), COAT_OK);
    put_other(COAT_SPACE_META, 1, 1);
    put_other(COAT_SPACE_META, 1, 2);
    put_other(COAT_SPACE_ACCOUNT, 2, 1);
    for (uint32_t limit = 1; limit <= 1000; limit *= 10) {
        seen s;

        REQUIRE_OK(scan_all(lane, COAT_SPACE_SESSION, limit, &s));
        CHECK_INT(s.count, OWNED * EACH);
    }
    CHECK_INT(scan_count(lane, COAT_SPACE_META), 2);
    CHECK_INT(scan_count(lane, COAT_SPACE_ACCOUNT), 1);
    /* Begun anew it knows of what has come and gone. */
    CHECK_ERR(run_op(lane, COAT_OP_REMOVE_OWNER, 5, 0), COAT_OK);
    CHECK_ERR(run_op(lane, COAT_OP_REMOVE, 6, 2), COAT_OK);
    CHECK_ERR(sign_in(lane, OWNED + 1, 1, 10), COAT_OK);
    CHECK_INT(scan_count(lane, COAT_SPACE_SESSION), OWNED * EACH - EACH - 1 + 1);
    CHECK_ERR(run_op(lane, COAT_OP_END_ALL, 0, 0), COAT_OK);
    CHECK_INT(scan_count(lane, COAT_SPACE_SESSION), 0);
    CHECK_INT(scan_count(lane, COAT_SPACE_META), 2);
    end();
}

/** Others keep things there, too: whatever their keys look like. */
static void
keys_of_others(void)
{
    static const struct {
        const char *before, *behind; /* our prefix */
    } others[] = {
        {"t", ":o:00112233445566"},       /* short */
        {"t", ":o:00112233445566778"},    /* long */
        {"t", ":o:00112233445566AA"},     /* not as we write it */
        {"t", ":o:00112233445566g7"},     /* no number */
        {"t", ":x:0011223344556677"},     /* no kind of ours */
        {"t", ":m:0011223344556677"},     /* half of one */
        {"t", "x:o:0011223344556677"},    /* of a longer prefix */
        {"xt", ":o:0011223344556677"},    /* behind another */
        {"t%", ":o:0011223344556677"},    /* what looks encoded */
        {"t", "%3Ao%3A0011223344556677"}, /* what is, if it is decoded twice */
        {"t", ""},                        /* the prefix alone */
        {"\xff\xfe\x01", ""},             /* any bytes */
    };
    seen s;

    begin(1);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        char key[100];

        (void)snprintf(key, sizeof key, "%s%d%s", others[i].before, prefixes, others[i].behind);
        server_set(&servers[0], key, "x", 1);
    }
    CHECK_INT(scan_count(lane, COAT_SPACE_SESSION), 0);
    CHECK_INT(scan_count(lane, COAT_SPACE_META), 0);
    CHECK_ERR(sign_in(lane, 7, 7, 10), COAT_OK);
    REQUIRE_OK(scan_all(lane, COAT_SPACE_SESSION, 10, &s));
    CHECK_INT(s.count, 1);
    CHECK_MEM(s.at[0].bytes, 16, handle_of(7, 7).bytes, 16);
    end();
}

/** A prefix of all that may be in one, as the server encodes it. */
static void
odd_prefix(void)
{
    char url[400], why[400];
    coat_store_conf conf = {.url = url, .message = why, .message_cap = sizeof why};

    begin(1);
    end();
    (void)snprintf(url, sizeof url, "memcached+unix:%s?prefix=a.b_c-d:e%d:", servers[0].socket,
                   prefixes);
    REQUIRE_OK(coat_memcached_ops.open(&conf, &store));
    REQUIRE_OK(coat_lane_open(store, NULL, &lane));
    CHECK_ERR(sign_in(lane, 7, 7, 10), COAT_OK);
    CHECK_INT(scan_count(lane, COAT_SPACE_SESSION), 1);
    end();
}

static void
what_cannot_be_read(void)
{
    coat_store_stats stats;
    char key[100];

    begin(1);
    for (uint64_t owner = 1; owner <= 5; owner++)
        CHECK_ERR(sign_in(lane, owner, 1, 10), COAT_OK);
    owner_key(3, key);
    server_set(&servers[0], key, "nonsense", 8);
    CHECK_INT(scan_count(lane, COAT_SPACE_SESSION), 4);
    REQUIRE_OK(coat_store_stats_get(store, &stats));
    CHECK_INT(stats.unreadable, 1);
    end();
}

/** So many owners without a session that no page goes through all of them. */
static void
much_of_nothing(void)
{
    enum { EMPTY = 300 };
    seen s;
    coat_store_req req = scan_req(COAT_SPACE_SESSION, &s);
    coat_handle before;
    uint32_t pages = 0;

    begin(1);
    for (uint64_t owner = 1; owner <= EMPTY; owner++)
        CHECK_ERR(run_op(lane, COAT_OP_EPOCHS, owner, 0), COAT_OK);
    do {
        s.count = 0;
        before = req.cursor;
        req.limit = 1;
        REQUIRE_OK(coat_store_run(lane, &req));
        CHECK_INT(req.count, 0);
        CHECK(!req.more || coat_scan_compare(COAT_CAP_CACHE, &before, &req.cursor) < 0);
        pages++;
    } while (req.more);
    CHECK(pages > 2 && pages < EMPTY);
    /* On a lane that has no list yet it goes on in a new one. */
    CHECK_ERR(sign_in(lane, EMPTY + 1, 1, 10), COAT_OK);
    coat_lane_close(lane);
    REQUIRE_OK(coat_lane_open(store, NULL, &lane));
    req.has_cursor = true;
    memset(&req.cursor, 0, sizeof req.cursor);
    req.limit = 1000;
    s.count = 0;
    REQUIRE_OK(coat_store_run(lane, &req));
    CHECK_INT(s.count, 1);
    end();
}

/* ---- what is refused ---- */

static void
switched_off(void)
{
    static const struct {
        const char *name, *arg, *value, *said;
    } cases[] = {
        {"-X", "-X", NULL, "started with -X"},
        {"no_lru_crawler", "-o", "no_lru_crawler", "-o no_lru_crawler"},
    };
    seen s;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        mc_server own = {.args = {cases[i].arg, cases[i].value}};

        test_case(cases[i].name);
        begin_with(&own);
        CHECK_ERR(sign_in(lane, 1, 1, 10), COAT_OK);
        CHECK_ERR(scan_all(lane, COAT_SPACE_SESSION, 10, &s), COAT_UNSUPPORTED);
        CHECK(strstr(notice(), cases[i].said) != NULL);
        CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 1), COAT_OK); /* nothing else changes */
        end();
        server_kill(&own);
    }
    test_case(NULL);
}

/** What the operator is told to do helps, at once. */
static void
switched_on(void)
{
    seen s;

    begin(1);
    CHECK_ERR(sign_in(lane, 1, 1, 10), COAT_OK);
    server_crawler_off(&servers[0]);
    CHECK_ERR(scan_all(lane, COAT_SPACE_SESSION, 10, &s), COAT_UNSUPPORTED);
    CHECK(strstr(notice(), "lru_crawler enable") != NULL);
    server_crawler_on(&servers[0]);
    CHECK_INT(scan_count(lane, COAT_SPACE_SESSION), 1);
    CHECK(strstr(notice(), "lru_crawler") == NULL);
    end();
}

static void
note_done(coat_store_req *req)
{
    ++*(int *)req->ctx;
}

static void
no_item(coat_store_req *req, const coat_store_item *item)
{
    (void)req;
    (void)item;
}

static void
only_by_itself(void)
{
    uv_loop_t loop;
    coat_lane *looped;
    int done = 0;
    seen s;
    coat_store_req first = scan_req(COAT_SPACE_SESSION, &s), second = first;

    begin(1);
    /* On a loop that serves others it would keep them waiting. */
    REQUIRE(uv_loop_init(&loop) == 0);
    REQUIRE_OK(coat_lane_open(store, &loop, &looped));
    first.done = note_done;
    first.item = no_item;
    first.ctx = &done;
    coat_store_submit(looped, &first);
    CHECK_INT(done, 1);
    CHECK_ERR(first.result, COAT_UNSUPPORTED);
    coat_lane_close(looped);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    CHECK_INT(uv_loop_close(&loop), 0);
    /* Two at once. */
    s.count = 0;
    first = second;
    coat_store_submit(lane, &first);
    coat_store_submit(lane, &second);
    CHECK_ERR(second.result, COAT_BUSY);
    store->ops->wait(lane, &first);
    CHECK_ERR(first.result, COAT_OK);
    end();
}

/** A lane that closes answers it, however far it has come. */
static void
closed_meanwhile(void)
{
    for (int turns = 0; turns < 12; turns++) {
        seen s = {.count = 0};
        coat_store_req req = scan_req(COAT_SPACE_SESSION, &s), again;

        begin(1);
        for (uint64_t owner = 1; owner <= 4; owner++)
            CHECK_ERR(sign_in(lane, owner, 1, 10), COAT_OK);
        if (turns >= 6)
            CHECK_INT(scan_count(lane, COAT_SPACE_SESSION), 4);
        req.has_cursor = turns >= 6; /* then it reads at once */
        coat_store_submit(lane, &req);
        for (int i = 0; i < turns % 6; i++) {
            again = session_req(COAT_OP_LOAD, 1, 1);
            CHECK_ERR(coat_store_run(lane, &again), COAT_OK);
        }
        coat_lane_close(lane);
        CHECK(req.result == COAT_CANCELLED || (req.result == COAT_OK && s.count == 4));
        CHECK(req.result == COAT_CANCELLED || turns % 6 > 0);
        REQUIRE_OK(coat_lane_open(store, NULL, &lane));
        end();
    }
}

/* ---- what else may be said ---- */

#define KEY(hex) "key=t%3Ao%3A" hex " exp=-1 la=1 cas=1 fetch=no cls=1 size=85\n"

static void
said_instead(void)
{
    static const struct {
        const char *name, *text;
        bool closes;
        coat_err want;
    } cases[] = {
        {"nothing is there", "END\r\n", false, COAT_OK},
        {"said first that it begins", "OK\r\nEND\r\n", false, COAT_OK},
        {"more of each item", "key=x exp=5 la=1 cas=1 fetch=yes cls=1 size=85 hot=1\nEND\r\n",
         false, COAT_OK},
        {"closed at once", "", true, COAT_STORE_DOWN},
        {"closed between lines", KEY("0011223344556677"), true, COAT_STORE_DOWN},
        {"closed within a line", "key=t%3Ao%3A00112233", true, COAT_STORE_DOWN},
        {"two halves in one line", "key=t%3Ao%3A00key=t%3Ao%3A0011223344556677 exp=-1\nEND\r\n",
         false, COAT_STORE_DOWN},
        {"a line without its end", KEY("0011223344556677") "END\n", false, COAT_STORE_DOWN},
        {"garbage", "\x01\x02\x03\r\n", false, COAT_STORE_DOWN},
        {"an answer to something else", "VERSION 1.6.18\r\n", false, COAT_STORE_DOWN},
        {"busy in between", KEY("0011223344556677") "BUSY currently\r\n", false,
         COAT_STORE_DOWN},
        {"older than hash", "BADCLASS invalid class id\r\n", false, COAT_UNSUPPORTED},
        {"unknown", "ERROR\r\n", false, COAT_UNSUPPORTED},
        {"not now", "SERVER_ERROR out of memory\r\n", false, COAT_STORE_DOWN},
    };

    begin_behind_front();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        front_says says = {cases[i].text, cases[i].closes};
        seen s;

        test_case(cases[i].name);
        front_will(&front, &says, 1);
        CHECK_ERR(scan_all(lane, COAT_SPACE_SESSION, 10, &s), cases[i].want);
        CHECK_INT(s.count, 0);
        if (cases[i].want == COAT_UNSUPPORTED)
            CHECK(strstr(notice(), "lru_crawler metadump hash it says: ") != NULL);
    }
    test_case(NULL);
    end_behind_front();
}

/** A list that leaves something out ends nobody's session. */
static void
left_out(void)
{
    static const front_says nothing = {"END\r\n", false};
    size_t before;

    begin_behind_front();
    for (uint64_t owner = 1; owner <= 9; owner++)
        CHECK_ERR(sign_in(lane, owner, 1, 10), COAT_OK);
    CHECK_INT(scan_count(lane, COAT_SPACE_SESSION), 9);
    front_will(&front, &nothing, 1);
    CHECK_INT(scan_count(lane, COAT_SPACE_SESSION), 9);
    CHECK_ERR(run_op(lane, COAT_OP_REMOVE, 4, 1), COAT_OK);
    CHECK_INT(scan_count(lane, COAT_SPACE_SESSION), 8);
    /* Who was found to have none is not asked for again, unless he is named. */
    CHECK_ERR(sign_in(lane, 4, 2, 10), COAT_OK);
    before = scan_count(lane, COAT_SPACE_SESSION);
    CHECK_INT(before, 8);
    front_will(&front, &(front_says){NULL, false}, 1);
    CHECK_INT(scan_count(lane, COAT_SPACE_SESSION), 9);
    end_behind_front();
}

static void
busy(void)
{
    static const front_says says[] = {{"BUSY currently processing crawler request\r\n", false},
                                      {"BUSY currently processing crawler request\r\n", false},
                                      {NULL, false}};
    int asked;
    seen s;
    coat_store_req req = scan_req(COAT_SPACE_SESSION, &s);

    begin_behind_front();
    CHECK_ERR(sign_in(lane, 1, 1, 10), COAT_OK);
    front_will(&front, says, 3);
    asked = atomic_load(&front.asked);
    CHECK_INT(scan_count(lane, COAT_SPACE_SESSION), 1);
    CHECK_INT(atomic_load(&front.asked) - asked, 3);
    /* For ever. */
    front_will(&front, says, 1);
    s.count = 0;
    asked = atomic_load(&front.asked);
    coat_store_submit(lane, &req);
    while (atomic_load(&front.asked) == asked)
        CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 1), COAT_OK);
    atomic_fetch_add(&ahead_ms, MC_DUMP_BUSY_MS + 1);
    store->ops->wait(lane, &req);
    CHECK_ERR(req.result, COAT_BUSY);
    end_behind_front();
}

/** One that stops in the middle, and one that never stops. */
static void
silence(void)
{
    static const front_says says = {KEY("0011223344556677"), false};

    for (int i = 0; i < 2; i++) {
        seen s = {.count = 0};
        coat_store_req req = scan_req(COAT_SPACE_SESSION, &s);
        int asked;

        begin_behind_front();
        CHECK_ERR(sign_in(lane, 1, 1, 10), COAT_OK);
        front_will(&front, &says, 1);
        asked = atomic_load(&front.asked);
        coat_store_submit(lane, &req);
        while (atomic_load(&front.asked) == asked)
            CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 1), COAT_OK);
        atomic_fetch_add(&ahead_ms, i == 0 ? MC_DUMP_QUIET_MS + 1 : MC_DUMP_MAX_MS + 1);
        store->ops->wait(lane, &req);
        CHECK_ERR(req.result, COAT_STORE_DOWN);
        CHECK_INT(s.count, 0);
        end_behind_front();
    }
}

/** One of several servers is away: nobody knows what is on it. */
static void
one_is_away(void)
{
    seen s;

    begin(3);
    for (uint64_t owner = 1; owner <= 30; owner++)
        CHECK_ERR(sign_in(lane, owner, 1, 10), COAT_OK);
    server_kill(&servers[1]);
    CHECK_ERR(scan_all(lane, COAT_SPACE_SESSION, 10, &s), COAT_STORE_DOWN);
    server_start(&servers[1]);
    for (uint64_t owner = 1; owner <= 30; owner++)
        CHECK_ERR(come_back(lane, owner), COAT_OK);
    REQUIRE_OK(scan_all(lane, COAT_SPACE_SESSION, 10, &s));
    CHECK(s.count > 0 && s.count < 30); /* what was on it is lost */
    end();
}

static const coat_test tests[] = {
    {"SCAN of several servers: all there is, in order, page by page", all_of_it},
    {"keys of others are left alone, whatever they look like", keys_of_others},
    {"a prefix of everything that may be in one", odd_prefix},
    {"what cannot be read is passed over, and counted", what_cannot_be_read},
    {"many owners without a session: pages end, and say where", much_of_nothing},
    {"a server that does not list its keys says why, and serves on", switched_off},
    {"switched on again it lists them", switched_on},
    {"SCAN is not for loops that serve others, nor twice at once", only_by_itself},
    {"a lane that closes answers a SCAN", closed_meanwhile},
    {"a list that is not what a server writes is none", said_instead},
    {"UP-4: a list that leaves something out ends nobody's session", left_out},
    {"a busy server is asked again, for a while", busy},
    {"SF-2: a server that falls silent within its list is given up", silence},
    {"one of several servers is away: there is no list", one_is_away},
};

int
main(int argc, char **argv)
{
    int rc = coat_test_main(argc, argv, tests, sizeof tests / sizeof tests[0]);

    for (size_t i = 0; i < sizeof servers / sizeof servers[0]; i++)
        server_kill(&servers[i]);
    return rc;
}
