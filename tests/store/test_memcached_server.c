/* SPDX-License-Identifier: Apache-2.0 */
/** What real servers do beside answering: forgetting, being full, dying, remembering too much.
 */

#include "memcached_kit.h"

/* ---- forgetting ---- */

static void
flushed(void)
{
    coat_store_req epochs, late;

    begin(1);
    CHECK_ERR(sign_in(lane, 1, 1, 10), COAT_OK);
    epochs = session_req(COAT_OP_EPOCHS, 1, 0);
    REQUIRE_OK(coat_store_run(lane, &epochs));
    CHECK_ERR(run_op(lane, COAT_OP_REMOVE_OWNER, 1, 0), COAT_OK);
    CHECK(strncmp(server_ask(&servers[0], "flush_all"), "OK", 2) == 0);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 1), COAT_NO_SESSION);
    /* The revocation is forgotten; the sign-in that began before it is refused all the same. */
    late = session_req(COAT_OP_INSERT, 1, 2);
    late.epoch_owner = epochs.epoch_owner;
    late.epoch_global = epochs.epoch_global;
    CHECK_ERR(coat_store_run(lane, &late), COAT_REVOKED);
    CHECK_ERR(sign_in(lane, 1, 3, 10), COAT_OK);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 3), COAT_OK);
    end();
}

static void
owner_evicted(void)
{
    coat_store_req before, after;
    char key[100];

    begin(1);
    owner_key(1, key);
    CHECK_ERR(sign_in(lane, 1, 1, 10), COAT_OK);
    CHECK_ERR(sign_in(lane, 2, 1, 10), COAT_OK);
    CHECK_ERR(run_op(lane, COAT_OP_REMOVE_OWNER, 1, 0), COAT_OK);
    before = session_req(COAT_OP_EPOCHS, 1, 0);
    REQUIRE_OK(coat_store_run(lane, &before));
    CHECK(strncmp(server_ask(&servers[0], "md %s", key), "HD", 2) == 0);
    after = session_req(COAT_OP_EPOCHS, 1, 0);
    REQUIRE_OK(coat_store_run(lane, &after));
    CHECK(after.epoch_owner > before.epoch_owner);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 1), COAT_NO_SESSION);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 2, 1), COAT_OK);
    end();
}

/** The life is lost alone: what was written in it counts for nothing, whoever kept it. */
static void
life_evicted(void)
{
    static server_bytes kept;
    coat_store_req all = session_req(COAT_OP_END_ALL, 0, 0);
    coat_lane *other_lane;
    coat_store *other;
    char key[100];

    begin(1);
    owner_key(1, key);
    CHECK_ERR(sign_in(lane, 1, 1, 10), COAT_OK);
    kept = *server_get(&servers[0], key);
    CHECK(kept.len > 0);
    REQUIRE_OK(coat_store_run(lane, &all));
    CHECK(strncmp(server_ask(&servers[0], "md t%d:life", prefixes), "HD", 2) == 0);
    /* A daemon that was started since knows nothing of what has ended. */
    other = open_store("");
    REQUIRE_OK(coat_lane_open(other, NULL, &other_lane));
    CHECK_ERR(run_op(other_lane, COAT_OP_LOAD, 1, 1), COAT_NO_SESSION);
    server_set(&servers[0], key, kept.bytes, kept.len);
    CHECK_ERR(run_op(other_lane, COAT_OP_LOAD, 1, 1), COAT_NO_SESSION);
    CHECK_ERR(sign_in(other_lane, 1, 2, 10), COAT_OK);
    /* Who has seen that all were ended says so again: rather once more than not at all. */
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 1), COAT_NO_SESSION);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 2), COAT_NO_SESSION);
    CHECK_ERR(run_op(other_lane, COAT_OP_LOAD, 1, 2), COAT_NO_SESSION);
    CHECK_ERR(sign_in(other_lane, 1, 3, 10), COAT_OK);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 3), COAT_OK);
    coat_lane_close(other_lane);
    coat_store_close(other);
    end();
}

static void
restarted(void)
{
    begin(1);
    CHECK_ERR(sign_in(lane, 1, 1, 10), COAT_OK);
    server_kill(&servers[0]);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 1), COAT_STORE_DOWN);
    server_start(&servers[0]);
    CHECK_ERR(come_back(lane, 1), COAT_OK);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 1), COAT_NO_SESSION);
    CHECK_ERR(sign_in(lane, 1, 2, 10), COAT_OK);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 2), COAT_OK);
    end();
}

/** 96 MiB of sessions into 64: what is revoked stays so, what is there is right. */
static void
pressed_out(void)
{
    enum { OWNERS = 24000, REVOKED = 200, BYTES = 4000 };
    uint64_t live = 0, lost = 0;
    mc_server small = {.args = {"-m", "64"}}, usual = servers[0];

    server_start(&small);
    servers[0] = small;
    begin(1);
    for (uint64_t owner = 1; owner <= OWNERS; owner++) {
        coat_err last;

        if (sign_in_many(lane, owner, 1, 2, BYTES, &last) != 1)
            CHECK_ERR(last, COAT_OK);
        if (owner <= REVOKED)
            CHECK_ERR(run_op(lane, COAT_OP_REMOVE_OWNER, owner, 0), COAT_OK);
    }
    for (uint64_t owner = 1; owner <= OWNERS; owner += 7) {
        coat_err err = run_op(lane, COAT_OP_LOAD, owner, 1);

        CHECK(err == COAT_OK || err == COAT_NO_SESSION);
        CHECK(err == COAT_NO_SESSION || owner > REVOKED);
        live += err == COAT_OK;
        lost += err != COAT_OK;
    }
    CHECK(live > 0);
    CHECK(lost > REVOKED / 7 + 1); /* the server did evict */
    end();
    server_kill(&servers[0]);
    servers[0] = usual;
}

/** As if a write of this place had been under way on a connection that was dropped. */
static void
doubt(coat_space space, uint64_t serial)
{
    mc_node *node = inside(store)->nodes[0];

    if (node->doubts == NULL)
        node->doubts = calloc(1, sizeof *node->doubts);
    node->doubt_cap = node->doubt_count = 1;
    node->doubts[0] = (mc_place){space, handle_of(1, serial)};
}

static coat_err
sweep(void)
{
    return run_op(lane, COAT_OP_SWEEP, 0, 0);
}

/** Owners with so many sessions each, until there is no room for another. */
static void
fill(uint64_t sessions, uint64_t from)
{
    coat_err last = COAT_OK;

    for (uint64_t owner = from; owner < from + 20000 && last == COAT_OK; owner++)
        if (sessions > 0)
            (void)sign_in_many(lane, owner, 1, 1 + sessions, 2000, &last);
        else
            last = run_op(lane, COAT_OP_EPOCHS, owner, 0);
    CHECK_ERR(last, COAT_STORE_FULL);
}

/** A server that does not evict has no room: nothing new, but ending goes on. */
static void
no_room(void)
{
    mc_server strict = {.args = {"-m", "8", "-M"}}, usual = servers[0];
    coat_err last = COAT_OK;
    uint64_t owners = 0;

    server_start(&strict);
    servers[0] = strict;
    begin(1);
    while (last == COAT_OK && owners < 20000)
        (void)sign_in_many(lane, ++owners, 1, 3, 2000, &last);
    CHECK_ERR(last, COAT_STORE_FULL);
    CHECK(inside(store)->nodes[0]->full);
    /* Nor is there any for what is left of it, nor for nothing: sizes have room of their own.
     */
    fill(1, 20001);
    fill(0, 40001);
    doubt(COAT_SPACE_SESSION, 1); /* it cannot be written again, and so stays in doubt */
    CHECK_ERR(sweep(), COAT_STORE_DOWN);
    CHECK_INT(inside(store)->nodes[0]->doubt_count, 1);
    for (uint64_t owner = 1; owner < owners; owner++) {
        coat_op op = owner % 2 == 0 ? COAT_OP_REMOVE : COAT_OP_REMOVE_OWNER;

        CHECK_ERR(run_op(lane, op, owner, 1), COAT_OK);
        CHECK_ERR(run_op(lane, COAT_OP_LOAD, owner, 1), COAT_NO_SESSION);
    }
    end();
    server_kill(&servers[0]);
    servers[0] = usual;
}

/** Without compare-and-set no change would be safe. */
static void
no_cas(void)
{
    mc_server without = {.args = {"-C"}}, usual = servers[0];
    coat_store_stats stats;

    server_start(&without);
    servers[0] = without;
    begin(1);
    CHECK_ERR(run_op(lane, COAT_OP_EPOCHS, 1, 0), COAT_STORE_DOWN);
    REQUIRE_OK(coat_store_stats_get(store, &stats));
    CHECK(strstr(stats.notice, "without CAS") != NULL);
    end();
    server_kill(&servers[0]);
    servers[0] = usual;
}

/** What was not there cannot be added any more; and what cannot be decided is not said to be.
 */
static void
fenced(void)
{
    coat_handle h = handle_of(1, 5);
    char key[60], life[60], late[120];
    int n;

    begin(1);
    n = snprintf(key, sizeof key, "t%d:m:", prefixes);
    for (size_t i = 0; i < sizeof h.bytes; i++)
        n += snprintf(key + n, sizeof key - (size_t)n, "%02x", h.bytes[i]);
    doubt(COAT_SPACE_META, 5);
    CHECK_ERR(sweep(), COAT_OK);
    CHECK_INT(inside(store)->nodes[0]->doubt_count, 0);
    n = snprintf(late, sizeof late, "ms %s 1 ME\r\nx\r\n", key);
    CHECK(strncmp((const char *)server_say(&servers[0], late, (size_t)n, "\r\n")->bytes, "NS",
                  2) == 0);
    (void)snprintf(life, sizeof life, "t%d:life", prefixes);
    CHECK(server_get(&servers[0], life)->len > 0);
    inside(store)->nodes[0]->doubts_lost = true;
    CHECK_ERR(sweep(), COAT_STORE_DOWN);
    end();
}

/** More than an item takes: refused before the server sees it, which would delete the item. */
static void
too_many_bytes(void)
{
    coat_err last = COAT_OK;
    uint64_t n;

    begin(1);
    n = sign_in_many(lane, 1, 1, 40, 60000, &last);
    CHECK_ERR(last, COAT_STORE_FULL);
    CHECK_INT(n, 17); /* 17 of them are just less than 1 MiB */
    for (uint64_t serial = 1; serial <= n; serial++)
        CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, serial), COAT_OK);
    CHECK_ERR(run_op(lane, COAT_OP_REMOVE, 1, 1), COAT_OK);
    CHECK_ERR(sign_in(lane, 1, 50, 60000), COAT_OK);
    end();
}

/* ---- several servers ---- */

enum { USERS = 300 };

static void
one_of_three_lost(void)
{
    uint32_t down = 0, on[3] = {0};
    size_t lost = 1;

    begin(3);
    for (uint64_t owner = 1; owner <= USERS; owner++) {
        CHECK_ERR(sign_in(lane, owner, 1, 10), COAT_OK);
        on[server_of(owner)]++;
    }
    for (size_t i = 0; i < 3; i++)
        CHECK(on[i] > USERS / 5 && on[i] < USERS / 2);
    server_kill(&servers[lost]);
    for (uint64_t owner = 1; owner <= USERS; owner++) {
        coat_err err = run_op(lane, COAT_OP_LOAD, owner, 1);

        CHECK_ERR(err, server_of(owner) == lost ? COAT_STORE_DOWN : COAT_OK);
        down += err == COAT_STORE_DOWN;
    }
    CHECK_INT(down, on[lost]);
    CHECK(!inside(store)->nodes[0]->remote.breaker.open);
    CHECK(inside(store)->nodes[lost]->remote.breaker.open);
    server_start(&servers[lost]);
    for (uint64_t owner = 1; owner <= USERS; owner++) {
        CHECK_ERR(come_back(lane, owner), COAT_OK);
        CHECK_ERR(run_op(lane, COAT_OP_LOAD, owner, 1),
                  server_of(owner) == lost ? COAT_NO_SESSION : COAT_OK);
    }
    end();
}

/** With a server away nobody can promise it; once it is back, it holds there too. */
static void
end_all_with_one_away(void)
{
    coat_store_req all = session_req(COAT_OP_END_ALL, 0, 0);

    begin(3);
    for (uint64_t owner = 1; owner <= USERS; owner++)
        CHECK_ERR(sign_in(lane, owner, 1, 10), COAT_OK);
    /* Away, not dead: it keeps what it has. All of its threads have stopped when that is told.
     */
    CHECK(kill(servers[2].pid, SIGSTOP) == 0);
    CHECK(waitpid(servers[2].pid, NULL, WUNTRACED) == servers[2].pid);
    all.timeout_ms = 300;
    CHECK_ERR(coat_store_run(lane, &all), COAT_STORE_DOWN);
    for (uint64_t owner = 1; owner <= USERS; owner++)
        if (server_of(owner) != 2)
            CHECK_ERR(run_op(lane, COAT_OP_LOAD, owner, 1), COAT_NO_SESSION);
    CHECK(kill(servers[2].pid, SIGCONT) == 0);
    for (uint64_t owner = 1; owner <= USERS; owner++) {
        CHECK_ERR(come_back(lane, owner), COAT_OK);
        CHECK_ERR(run_op(lane, COAT_OP_LOAD, owner, 1), COAT_NO_SESSION);
    }
    all = session_req(COAT_OP_END_ALL, 0, 0);
    CHECK_ERR(coat_store_run(lane, &all), COAT_OK);
    CHECK_ERR(sign_in(lane, 1, 2, 10), COAT_OK);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 2), COAT_OK);
    end();
}

/** What a server kept from an earlier list of servers never counts again. */
static void
list_changed(void)
{
    coat_store *other = NULL;
    coat_lane *other_lane;
    uint64_t moved = 1;
    coat_store_stats stats;

    begin(3);
    while (server_of(moved) != 2)
        moved++;
    CHECK_ERR(sign_in(lane, moved, 1, 10), COAT_OK);
    /* Without a word, the list must be the same. */
    count = 2;
    REQUIRE_OK(servers_open(servers, 2, "", &other));
    REQUIRE_OK(coat_lane_open(other, NULL, &other_lane));
    CHECK_ERR(run_op(other_lane, COAT_OP_LOAD, moved, 1), COAT_STORE_DOWN);
    REQUIRE_OK(coat_store_stats_get(other, &stats));
    CHECK(strstr(stats.notice, "generation=") != NULL);
    coat_lane_close(other_lane);
    coat_store_close(other);
    /* A new generation: the user signs in on another server, and is signed out there. */
    other = open_store("&generation=1");
    REQUIRE_OK(coat_lane_open(other, NULL, &other_lane));
    CHECK_ERR(run_op(other_lane, COAT_OP_LOAD, moved, 1), COAT_NO_SESSION);
    CHECK_ERR(sign_in(other_lane, moved, 2, 10), COAT_OK);
    CHECK_ERR(run_op(other_lane, COAT_OP_REMOVE_OWNER, moved, 0), COAT_OK);
    coat_lane_close(other_lane);
    coat_store_close(other);
    /* Back to the first list: what the third one has is older than that. */
    count = 3;
    other = open_store("");
    REQUIRE_OK(coat_lane_open(other, NULL, &other_lane));
    CHECK_ERR(run_op(other_lane, COAT_OP_LOAD, moved, 1), COAT_STORE_DOWN);
    coat_lane_close(other_lane);
    coat_store_close(other);
    /* The third one again, as it should be. */
    other = open_store("&generation=2");
    REQUIRE_OK(coat_lane_open(other, NULL, &other_lane));
    CHECK_ERR(run_op(other_lane, COAT_OP_LOAD, moved, 1), COAT_NO_SESSION);
    CHECK_ERR(run_op(other_lane, COAT_OP_LOAD, moved, 2), COAT_NO_SESSION);
    CHECK_ERR(sign_in(other_lane, moved, 3, 10), COAT_OK);
    coat_lane_close(other_lane);
    coat_store_close(other);
    /* Who still has the first list is told, and serves nothing. */
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, moved, 1), COAT_STORE_DOWN);
    end();
}

/* ---- times and keys ---- */

/** 31 days, in seconds, would be a time in 1970. */
static void
long_lives(void)
{
    static const int64_t days[] = {29, 31, 400, 365 * 90};
    const int64_t now_ms = (int64_t)time(NULL) * 1000, day_ms = 24 * 3600 * 1000;

    begin(1);
    for (uint64_t i = 0; i < sizeof days / sizeof days[0]; i++) {
        coat_store_req req = session_req(COAT_OP_INSERT, i + 1, 1);
        coat_store_req get = session_req(COAT_OP_LOAD, i + 1, 1);
        char key[100];
        const char *meta;
        long long ttl;

        req.now_ms = get.now_ms = now_ms;
        req.expires_ms = now_ms + days[i] * day_ms;
        REQUIRE_OK(coat_store_run(lane, &req));
        CHECK_ERR(coat_store_run(lane, &get), COAT_OK);
        get.now_ms = req.expires_ms;
        CHECK_ERR(coat_store_run(lane, &get), COAT_NO_SESSION);
        owner_key(i + 1, key);
        meta = server_ask(&servers[0], "mg %s t", key);
        REQUIRE(strncmp(meta, "HD t", 4) == 0);
        ttl = strtoll(meta + 4, NULL, 10);
        CHECK(ttl == -1 || (ttl > days[i] * 24 * 3600 && ttl < days[i] * 24 * 3600 + 7300));
        CHECK((ttl == -1) == (days[i] > 10000));
    }
    end();
}

/** Bytes of ours that look like commands are values, whatever they are. */
static void
commands_in_values(void)
{
    static const char text[] = "\r\nms x 1\r\ny\r\nflush_all\r\n\0EN\r\nVA 3 c1\r\nabc\r\n";
    coat_store_req put = session_req(COAT_OP_INSERT, 1, 1);
    const char *before;
    char key[100];

    begin(1);
    put.value = (coat_span){(const uint8_t *)text, sizeof text};
    REQUIRE_OK(coat_store_run(lane, &put));
    before = strstr(server_ask(&servers[0], "mg x v"), "EN");
    CHECK(before != NULL);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 1), COAT_OK);
    owner_key(1, key);
    CHECK(memmem(server_get(&servers[0], key)->bytes, server_get(&servers[0], key)->len, text,
                 sizeof text) != NULL);
    end();
}

/** All that is damaged is denied, whichever bit; and keeps nobody out. */
static void
damaged(void)
{
    static server_bytes whole;
    char key[100];

    begin(1);
    owner_key(1, key);
    CHECK_ERR(sign_in(lane, 1, 1, 10), COAT_OK);
    whole = *server_get(&servers[0], key);
    for (size_t bit = 0; bit < whole.len * 8; bit++) {
        coat_err err;

        whole.bytes[bit / 8] ^= (uint8_t)(1U << (bit % 8));
        server_set(&servers[0], key, whole.bytes, whole.len);
        whole.bytes[bit / 8] ^= (uint8_t)(1U << (bit % 8));
        err = run_op(lane, COAT_OP_LOAD, 1, 1);
        CHECK(err == COAT_MALFORMED || err == COAT_NEWER_FORMAT || err == COAT_TAMPERED);
        err = run_op(lane, COAT_OP_INSERT, 1, 2);
        CHECK(err == COAT_MALFORMED || err == COAT_NEWER_FORMAT || err == COAT_TAMPERED);
    }
    for (size_t len = 0; len < whole.len; len++) {
        server_set(&servers[0], key, whole.bytes, len);
        CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 1), COAT_MALFORMED);
    }
    CHECK_ERR(sign_in(lane, 1, 2, 10), COAT_OK);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 1), COAT_NO_SESSION);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 2), COAT_OK);
    /* Another owner's box at this key is not this owner's. */
    CHECK_ERR(sign_in(lane, 2, 2, 10), COAT_OK);
    whole = *server_get(&servers[0], key);
    owner_key(2, key);
    server_set(&servers[0], key, whole.bytes, whole.len);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 2, 2), COAT_TAMPERED);
    end();
}

/** Entries are in order, each once: another one behind would be found by some and not by
 * others.
 */
static void
entries_out_of_order(void)
{
    static const uint8_t serials[][2] = {{1, 2}, {2, 1}, {1, 1}};
    coat_handle address = handle_of(1, 0);

    for (size_t i = 0; i < sizeof serials / sizeof serials[0]; i++) {
        mc_box out, box = {.space = COAT_SPACE_SESSION, .address = address};
        remote_buffer bytes = {0};

        mc_box_begin(&box, &bytes);
        for (size_t k = 0; k < 2; k++)
            mc_box_add(&bytes, &(mc_entry){.serial = {serials[i][k]}, .version = 1});
        mc_box_end(&bytes, 2, 1);
        CHECK_ERR(mc_box_decode((coat_span){bytes.ptr, bytes.len}, COAT_SPACE_SESSION, &address,
                                &out),
                  i == 0 ? COAT_OK : COAT_MALFORMED);
        remote_buffer_free(&bytes);
    }
}

static const coat_test tests[] = {
    {"SF-7 RV-4: flush_all means to sign in again, and not before a revocation", flushed},
    {"SF-7: an owner that is evicted is signed out, and its epochs do not repeat",
     owner_evicted},
    {"SF-7 RV-5: what a server's life began with ends with it", life_evicted},
    {"SF-7: a restart means to sign in again", restarted},
    {"SF-7: eviction under pressure ends sessions, and revives none", pressed_out},
    {"a server without eviction and room refuses sessions and goes on ending them", no_room},
    {"more sessions than fit an item are refused, and cost nobody theirs", too_many_bytes},
    {"a server without compare-and-set is not used", no_cas},
    {"SF-2: a sweep makes late writes impossible, or promises nothing", fenced},
    {"SF-5: the loss of one of three servers touches its own users only", one_of_three_lost},
    {"RV-4: ending everybody's sessions holds on a server that was away",
     end_all_with_one_away},
    {"RV-5: another list of servers makes no old session live", list_changed},
    {"ST-7: lives of more than 30 days", long_lives},
    {"ST-6: values are values", commands_in_values},
    {"ST-8: a box whose entries are not in order is denied", entries_out_of_order},
    {"ST-8: what is damaged is denied, and healed by the next sign-in", damaged},
};

int
main(int argc, char **argv)
{
    int rc = coat_test_main(argc, argv, tests, sizeof tests / sizeof tests[0]);

    for (size_t i = 0; i < 3; i++)
        server_kill(&servers[i]);
    return rc;
}
