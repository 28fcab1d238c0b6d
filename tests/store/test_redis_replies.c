/* SPDX-License-Identifier: Apache-2.0 */
/**
 * Single replies to single requests, without a network: what each error of a server means, and
 * that a late or foreign answer is never used. The clock is the test's.
 */

#include "redis_fake.h"

static unsigned items;

static void
count_item(coat_store_req *req, const coat_store_item *item)
{
    (void)req;
    (void)item;
    items++;
}

static void
errors(void)
{
    static const struct {
        const char *reply;
        coat_op op;
        coat_err want;
        bool dropped;
    } cases[] = {
        {"-READONLY You can't write against a read only replica.\r\n", COAT_OP_INSERT,
         COAT_STORE_DOWN, true},
        {"-READONLY You can't write against a read only replica. script: x, on "
         "@user_script:1.\r\n",
         COAT_OP_REMOVE_OWNER, COAT_STORE_DOWN, true},
        {"-LOADING Redis is loading the dataset in memory\r\n", COAT_OP_REPLACE,
         COAT_STORE_DOWN, true},
        {"-MASTERDOWN Link with MASTER is down\r\n", COAT_OP_END_ALL, COAT_STORE_DOWN, true},
        {"-NOAUTH Authentication required.\r\n", COAT_OP_INSERT, COAT_STORE_DOWN, true},
        {"-MOVED 3999 127.0.0.1:6381\r\n", COAT_OP_INSERT, COAT_STORE_DOWN, true},
        {"-CLUSTERDOWN Hash slot not served\r\n", COAT_OP_INSERT, COAT_STORE_DOWN, true},
        {"-MISCONF Redis is configured to save RDB snapshots\r\n", COAT_OP_INSERT,
         COAT_STORE_DOWN, false},
        {"-NOPERM this user has no permissions\r\n", COAT_OP_LOAD, COAT_STORE_DOWN, false},
        {"-BUSY Redis is busy running a script.\r\n", COAT_OP_LOAD, COAT_STORE_DOWN, false},
        {"-NOREPLICAS Not enough good replicas to write.\r\n", COAT_OP_REMOVE, COAT_STORE_DOWN,
         false},
        {"-OOM command not allowed when used memory > 'maxmemory'.\r\n", COAT_OP_INSERT,
         COAT_STORE_FULL, false},
        {"-ERR Error running script (call to f_x): @user_script:9: -OOM command not "
         "allowed\r\n",
         COAT_OP_REPLACE, COAT_STORE_FULL, false},
        {"-ERR Error running script (call to f_x): @user_script:9: -READONLY You can't\r\n",
         COAT_OP_INSERT, COAT_STORE_DOWN, true},
        {"-WRONGTYPE Operation against a key\r\n", COAT_OP_INSERT, COAT_IO, false},
        {"-ERR user_script:12: an epoch cannot be read\r\n", COAT_OP_REPLACE, COAT_IO, false},
        /* Not what was asked for, in one way or another. */
        {"+OK\r\n", COAT_OP_INSERT, COAT_STORE_DOWN, true},
        {":0\r\n", COAT_OP_REMOVE_OWNER, COAT_STORE_DOWN, true},
        {"*-1\r\n", COAT_OP_INSERT, COAT_STORE_DOWN, true},
        {"*0\r\n", COAT_OP_END_ALL, COAT_STORE_DOWN, true},
        {"*2\r\n:0\r\n$1\r\n1\r\n", COAT_OP_INSERT, COAT_STORE_DOWN, true},
        {"*3\r\n:0\r\n$1\r\nx\r\n$1\r\n1\r\n", COAT_OP_INSERT, COAT_STORE_DOWN, true},
        {"*3\r\n:0\r\n$17\r\n99999999999999999\r\n$1\r\n1\r\n", COAT_OP_END_ALL,
         COAT_STORE_DOWN, true},
        {"*3\r\n:0\r\n$1\r\n7\r\n$1\r\n2\r\n", COAT_OP_INSERT, COAT_STORE_DOWN, true},
        {"*2\r\n:99\r\n$1\r\n1\r\n", COAT_OP_INSERT, COAT_STORE_DOWN, true},
        {"*2\r\n:-1\r\n$1\r\n1\r\n", COAT_OP_INSERT, COAT_STORE_DOWN, true},
        {"*10\r\n:0\r\n:0\r\n:1001\r\n:1\r\n$0\r\n\r\n:0\r\n:0\r\n:0\r\n$1\r\n0\r\n$1\r\n1\r\n",
         COAT_OP_SWEEP, COAT_STORE_DOWN, true}, /* more looked at than it was to look at */
        {"hello\r\n", COAT_OP_INSERT, COAT_STORE_DOWN, true},
        {"*100000\r\n", COAT_OP_INSERT, COAT_STORE_DOWN, true},
        /* And what was. */
        {"*3\r\n:0\r\n$1\r\n7\r\n$1\r\n1\r\n", COAT_OP_INSERT, COAT_OK, false},
        {"*2\r\n:5\r\n$1\r\n1\r\n", COAT_OP_INSERT, COAT_REVOKED, false},
        {"*2\r\n:2\r\n$1\r\n1\r\n", COAT_OP_REPLACE, COAT_CONFLICT, false},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        coat_store_req req;

        test_case(cases[i].reply);
        begin();
        done_count = 0;
        (void)submit(&req, cases[i].op);
        CHECK_INT(done_count, 0);
        hear(cases[i].reply);
        CHECK_INT(done_count, 1);
        CHECK_ERR(req.result, cases[i].want);
        CHECK((fake->base.state != REMOTE_READY) == cases[i].dropped);
        end();
        CHECK_INT(done_count, 1);
    }
    test_case(NULL);
}

/** Nothing after a deadline: neither for that request nor for the next on the connection. */
static void
late(void)
{
    coat_store_req first, second;

    begin();
    done_count = 0;
    (void)submit(&first, COAT_OP_INSERT);
    now_ms += 249;
    turn();
    CHECK_INT(done_count, 0);
    now_ms += 1;
    turn();
    CHECK_INT(done_count, 1);
    CHECK_ERR(first.result, COAT_STORE_DOWN);
    CHECK_INT(fake->base.state, REMOTE_IDLE);
    CHECK(fake->reader == NULL && fake->due_count == 0);
    CHECK_INT(store.doubt_count, 1); /* it may still take place */
    /* The next waits for a new connection; the answer to the first is nowhere to be heard. */
    (void)submit(&second, COAT_OP_INSERT);
    CHECK_INT(starts, 1);
    now_ms += 60;
    turn();
    CHECK_INT(starts, 2);
    CHECK_INT(done_count, 1);
    greet();
    hear("*3\r\n:0\r\n$1\r\n7\r\n$1\r\n1\r\n");
    CHECK_INT(done_count, 2);
    CHECK_ERR(second.result, COAT_OK);
    end();
}

/** Reads and REMOVE are tried again, once, if there is time; nothing else is. */
static void
retries(void)
{
    static const struct {
        coat_op op;
        unsigned tries;
    } cases[] = {{COAT_OP_LOAD, 2},   {COAT_OP_EPOCHS, 2},       {COAT_OP_REMOVE, 2},
                 {COAT_OP_INSERT, 1}, {COAT_OP_REMOVE_OWNER, 1}, {COAT_OP_REPLACE, 1},
                 {COAT_OP_END_ALL, 1}};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        coat_store_req req;
        unsigned tries = 0;

        begin();
        done_count = 0;
        (void)submit(&req, cases[i].op);
        for (int n = 0; n < 6 && done_count == 0; n++) {
            tries++;
            redis_fail(fake, "cut"); /* while it is in flight */
            if (done_count > 0)
                break;
            now_ms += 60;
            turn();
            greet();
        }
        CHECK_INT(tries, cases[i].tries);
        CHECK_ERR(req.result, COAT_STORE_DOWN);
        CHECK_INT(
            store.doubt_count,
            cases[i].op == COAT_OP_LOAD || cases[i].op == COAT_OP_EPOCHS ? 0 : cases[i].tries);
        end();
    }
}

/** A report that has begun does not begin again: what it has reported would come twice. */
static void
begun_reports(void)
{
    coat_store_req req = session_req(COAT_OP_SCAN, 0, 0);

    begin();
    done_count = 0;
    req.limit = 10;
    req.item = count_item;
    req.done = count_done;
    coat_store_submit(lane, &req);
    hear("*4\r\n:0\r\n:2\r\n$16\r\n0123456789abcdef\r\n$1\r\n1\r\n"); /* so far; to go on */
    CHECK_INT(done_count, 0);
    redis_fail(fake, "cut");
    CHECK_INT(done_count, 1);
    CHECK_ERR(req.result, COAT_STORE_DOWN);
    end();
}

/** What is late is over, whether it waits or could be tried again; and no more wait than may.
 */
static void
late_reads(void)
{
    coat_store_req reqs[3];

    begin();
    done_count = 0;
    (void)submit(&reqs[0], COAT_OP_LOAD);
    now_ms += 250;
    turn();
    CHECK_INT(done_count, 1);
    CHECK_ERR(reqs[0].result, COAT_STORE_DOWN);
    now_ms += 1000;
    (void)submit(&reqs[1], COAT_OP_LOAD); /* waits for the connection to be greeted */
    now_ms += 249;
    turn();
    CHECK_INT(done_count, 1);
    now_ms += 1;
    turn();
    CHECK_INT(done_count, 2);
    CHECK_ERR(reqs[1].result, COAT_STORE_DOWN);
    CHECK_INT(fake->base.state, REMOTE_CONNECTING);
    ((remote_lane *)lane)->outstanding = REMOTE_WAITING_MAX;
    (void)submit(&reqs[2], COAT_OP_LOAD);
    CHECK_ERR(reqs[2].result, COAT_BUSY);
    ((remote_lane *)lane)->outstanding = 0;
    end();
}

/** What one turn of the loop brings leaves in one write, and is answered in its order. */
static void
pipelining(void)
{
    enum { N = 50 };
    static coat_store_req reqs[N];
    char text[80];
    size_t commands = 0;

    begin();
    turn();
    done_count = 0;
    for (size_t i = 0; i < N; i++)
        (void)submit(&reqs[i], COAT_OP_INSERT);
    (void)uv_run(((remote_lane *)lane)->loop, UV_RUN_NOWAIT);
    for (size_t at = 0; at + 7 < sent.len; at++)
        commands += memcmp(sent.ptr + at, "EVALSHA", 7) == 0;
    CHECK_INT(commands, N);
    for (size_t i = 0; i < N; i++) {
        (void)snprintf(text, sizeof text, "*3\r\n:0\r\n$4\r\n%zu\r\n$%d\r\n%zu\r\n", 1000 + i,
                       i < 9 ? 1 : 2, i + 1);
        hear(text);
        CHECK_INT(done_count, i + 1);
        CHECK(reqs[i].found_version == 1000 + i);
    }
    end();
}

/** A load that finds another's record or nothing asks again, with a number. */
static void
asks_again(void)
{
    coat_store_req req;

    begin();
    done_count = 0;
    (void)submit(&req, COAT_OP_LOAD);
    hear("*3\r\n$-1\r\n$-1\r\n$-1\r\n");
    CHECK_INT(done_count, 0);
    hear("*5\r\n:0\r\n$-1\r\n$-1\r\n$-1\r\n$1\r\n2\r\n");
    CHECK_INT(done_count, 1);
    CHECK_ERR(req.result, COAT_NO_SESSION);
    (void)submit(&req, COAT_OP_LOAD);
    hear("*3\r\n$-1\r\n$-1\r\n$-1\r\n");
    hear("*5\r\n:0\r\n$-1\r\n$-1\r\n$-1\r\n$1\r\n3\r\n"); /* of the one before */
    CHECK_INT(done_count, 1);
    CHECK_INT(fake->base.state, REMOTE_IDLE);
    end();
    CHECK_INT(done_count, 2);
    CHECK_ERR(req.result, COAT_CANCELLED);
}

/** More entries than were asked for: none of them is reported. */
static void
too_many_entries(void)
{
    coat_store_req req = session_req(COAT_OP_LIST_OWNER, 1, 0);

    begin();
    items = 0;
    req.limit = 1;
    req.item = count_item;
    coat_store_submit(lane, &req);
    hear("*8\r\n:0\r\n:0\r\n$0\r\n\r\n$8\r\n00000000\r\n$1\r\nx\r\n$8\r\n00000001\r\n$"
         "1\r\nx\r\n$1\r\n1"
         "\r\n");
    CHECK_INT(fake->base.state, REMOTE_IDLE);
    CHECK_INT(items, 0);
    end();
}

static void
unasked(void)
{
    begin();
    hear("+OK\r\n");
    CHECK_INT(fake->base.state, REMOTE_IDLE);
    end();
}

/** Nothing is said by nothing only: what else is there instead of a record is a fault. */
static void
strange_records(void)
{
    static const char *const first[] = {"*3\r\n-ERR lost\r\n$-1\r\n$-1\r\n",
                                        "*3\r\n:0\r\n$-1\r\n$-1\r\n",
                                        "*3\r\n*0\r\n$-1\r\n$-1\r\n"};
    coat_store_req req;

    for (size_t i = 0; i < sizeof first / sizeof first[0]; i++) {
        test_case(first[i]);
        begin();
        done_count = 0;
        (void)submit(&req, COAT_OP_LOAD);
        hear(first[i]);
        CHECK_INT(done_count, 0); /* to be tried again */
        CHECK_INT(fake->base.state, REMOTE_IDLE);
        end();
    }
    test_case(NULL);
    begin();
    (void)submit(&req, COAT_OP_LOAD);
    hear("*3\r\n$-1\r\n$-1\r\n$-1\r\n");
    hear("*5\r\n:0\r\n-ERR lost\r\n$-1\r\n$-1\r\n$1\r\n2\r\n");
    CHECK_INT(fake->base.state, REMOTE_IDLE);
    end();
}

/** A record that is live by its own epochs, and an owner's epoch that cannot be read. */
static void
unreadable_epoch(void)
{
    static const char *const epochs[] = {"$0\r\n\r\n", ":0\r\n", "$1\r\n1\r\n",
                                         "$3\r\n1x \r\n"};
    coat_store_req req, made = session_req(COAT_OP_INSERT, 1, 1);
    uint8_t record[REMOTE_VALUE_HEAD] = {0};

    made.epoch_owner = 5;
    remote_value_front(COAT_SPACE_SESSION, 0, record);
    coat_store64(record + 8, 7);
    remote_value_back(&made, record + 16);
    for (size_t i = 0; i < sizeof epochs / sizeof epochs[0]; i++) {
        test_case(epochs[i]);
        begin();
        done_count = 0;
        (void)submit(&req, COAT_OP_LOAD);
        for (int again = 0; again < 2; again++) {
            hear(again ? "*5\r\n:0\r\n$56\r\n" : "*3\r\n$56\r\n");
            redis_bytes(fake, record, sizeof record);
            hear("\r\n");
            hear(epochs[i]);
            hear(again ? "$-1\r\n$1\r\n2\r\n" : "$-1\r\n");
        }
        CHECK_INT(done_count, 1);
        CHECK_ERR(req.result, COAT_IO);
        end();
    }
    test_case(NULL);
}

/* ---- another server ---- */

static const char second[] = "abcdefabcdefabcdefabcdefabcdefabcdefabcd";

static redis_ended
ended_session(uint64_t serial)
{
    return (redis_ended){.handle = handle_of(1, serial)};
}

/** A connection beside the fake one, as another lane has it, to the server that serves now. */
static redis_link
beside(void)
{
    redis_link link = *fake;

    link.era = atomic_load(&store.watches.era);
    return link;
}

/** What the former server acknowledges once another one is being turned to counts no more. */
static void
late_acknowledgment(void)
{
    static const coat_op ops_tried[] = {COAT_OP_INSERT, COAT_OP_REMOVE_OWNER, COAT_OP_END_ALL};

    for (size_t i = 0; i < sizeof ops_tried / sizeof ops_tried[0]; i++) {
        redis_ended ended = ended_session(9);
        redis_link other;
        coat_store_req req;

        begin();
        done_count = 0;
        other = beside();
        (void)submit(&req, ops_tried[i]);
        memcpy(other.run_id, second, sizeof second);
        CHECK(redis_admit(&other)); /* a lane has come to the promoted one */
        hear("*3\r\n:0\r\n$1\r\n7\r\n$1\r\n1\r\n");
        CHECK_INT(done_count, 1);
        CHECK_ERR(req.result, COAT_STORE_DOWN);
        CHECK_INT(fake->base.state, REMOTE_IDLE);
        CHECK_INT(store.journal.added, 0);
        CHECK_INT(atomic_load(&store.global), 0);
        /* Even where it was looked at just before. */
        CHECK(!redis_journal_add(fake, &ended));
        CHECK(!redis_journal_counts(fake));
        CHECK_INT(store.journal.added, 0);
        CHECK(redis_journal_counts(&other));
        CHECK(redis_journal_add(&other, &ended));
        CHECK_INT(store.journal.added, 1);
        redis_journal_free(&store.journal);
        end();
    }
}

/** Another server comes to serve between the look at the era and the end of the request. */
static void
overtaken_acknowledgment(void)
{
    static const coat_op ops_tried[] = {COAT_OP_REMOVE_OWNER, COAT_OP_END_ALL};

    for (size_t i = 0; i < sizeof ops_tried / sizeof ops_tried[0]; i++) {
        redis_link other;
        coat_store_req req;

        begin();
        done_count = 0;
        other = beside();
        memcpy(other.run_id, second, REDIS_RUN_ID);
        (void)submit(&req, ops_tried[i]);
        CHECK(redis_admit(&other));
        redis_finish(fake, &req, COAT_OK);
        CHECK_INT(done_count, 1);
        CHECK_ERR(req.result, COAT_STORE_DOWN);
        CHECK_INT(store.journal.added, 0);
        end();
    }
}

/** Servers that will not do, and why: nothing is asked of them. */
static void
unfit_servers(void)
{
#define WHO "run_id:0123456789012345678901234567890123456789\r\n"
    static const struct {
        const char *info, *format, *why;
    } cases[] = {
        {"redis_version:7.0.15\r\nrole:master\r\n", "1", "which server it is"},
        {"redis_version:7.0.15\r\nrun_id:0\r\nrole:master\r\n", "1", "which server it is"},
        {"redis_version:6.0.16\r\n" WHO "role:master\r\n", "1", "older than 6.2"},
        {"redis_version:x\r\n" WHO "role:master\r\n", "1", "older than 6.2"},
        {"redis_version:7.0.15\r\n" WHO "redis_mode:sentinel\r\n", "1", "sentinel"},
        {"redis_version:7.0.15\r\n" WHO "role:slave\r\n", "1", "replica"},
        {"redis_version:7.0.15\r\n" WHO, "1", "replica"},
        {"redis_version:7.0.15\r\n" WHO "role:master\r\ncluster_enabled:1\r\n", "1",
         "redis+cluster://"},
        {"redis_version:7.0.15\r\n" WHO "role:master\r\nloading:1\r\n", "1", "loading"},
        {"redis_version:7.0.15\r\n" WHO "role:master\r\n", "2", "newer version"},
        {"redis_version:7.0.15\r\n" WHO "role:master\r\n", "0", "newer version"},
    };
#undef WHO

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        coat_store_req req;

        test_case(cases[i].info);
        begin();
        reconnect(&req);
        greet_with(cases[i].info, cases[i].format);
        CHECK_INT(fake->base.state, REMOTE_IDLE);
        if (strstr(store.trouble, cases[i].why) == NULL)
            test_fail(__FILE__, __LINE__, "%s", store.trouble);
        end();
    }
    test_case(NULL);
}

/** Who has signed in where somebody had signed out stays. */
static void
put_again(void)
{
    redis_ended ended = ended_session(1);
    coat_store_req reqs[2];

    begin();
    CHECK(redis_journal_add(fake, &ended));
    (void)submit(&reqs[0], COAT_OP_INSERT);
    hear("*3\r\n:0\r\n$1\r\n7\r\n$1\r\n1\r\n");
    CHECK_ERR(reqs[0].result, COAT_OK);
    reconnect(&reqs[1]);
    greet_as(second);
    CHECK_INT(fake->due_count, 1); /* the request: nothing is said again */
    CHECK_INT(fake->base.state, REMOTE_READY);
    redis_journal_free(&store.journal);
    store.journal = (redis_journal){0};
    end();
}

/** What the former one acknowledges while the new one is greeted is said to that one first. */
static void
acknowledged_meanwhile(void)
{
    coat_store_req reqs[3];
    redis_ended ended;
    redis_link other;

    begin();
    other = beside();
    for (uint64_t serial = 1; serial <= 3; serial++) {
        ended = ended_session(serial);
        CHECK(redis_journal_add(&other, &ended));
    }
    reconnect(&reqs[0]);
    greet_as(second);
    CHECK_INT(fake->due_count, 3); /* three to be said again */
    CHECK(redis_journal_add(&other, &(redis_ended){.handle = handle_of(1, 4)}));
    hear("*2\r\n:0\r\n$1\r\n1\r\n");
    hear("*2\r\n:0\r\n$1\r\n1\r\n");
    CHECK_INT(fake->base.state, REMOTE_CONNECTING);
    hear("*2\r\n:0\r\n$1\r\n1\r\n");
    /* The fourth is due, and the former server has lost its say. */
    CHECK_INT(fake->base.state, REMOTE_CONNECTING);
    CHECK_INT(fake->due_count, 1);
    CHECK(!redis_journal_add(&other, &(redis_ended){.handle = handle_of(1, 5)}));
    hear("*2\r\n:0\r\n$1\r\n1\r\n");
    CHECK_INT(fake->base.state, REMOTE_READY);
    CHECK(strcmp(store.watches.serving, second) == 0);
    /* Once is enough. */
    reconnect(&reqs[1]);
    greet_as(second);
    CHECK_INT(fake->base.state, REMOTE_READY);
    /* And the former one has to hear it all if it comes back. */
    reconnect(&reqs[2]);
    greet_as("0123456789012345678901234567890123456789");
    CHECK_INT(fake->base.state, REMOTE_CONNECTING);
    CHECK_INT(fake->due_count, 4);
    redis_journal_free(&store.journal);
    store.journal = (redis_journal){0};
    end();
}

/** Servers are told apart by text: one whose name ends early could pass for none at all. */
static void
unnamed(void)
{
    static const char *const ids[] = {"", "0123456789012345678901234567890123456789x",
                                      "012345678901234567890123456789012345678"};
    static const char info[] = "redis_version:7.0.15\r\nrun_id:%s\r\nrole:master\r\n";
    char text[120], run_id[REDIS_RUN_ID + 1] = "untouched";
    int len;

    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        len = snprintf(text, sizeof text, info, ids[i]);
        CHECK(redis_info_wrong((coat_span){(uint8_t *)text, (size_t)len}, false, run_id) !=
              NULL);
    }
    len = snprintf(text, sizeof text, info, second);
    for (size_t at = 0; at < REDIS_RUN_ID; at++) {
        char *c = strstr(text, second) + at, was = *c;

        *c = '\0';
        CHECK(redis_info_wrong((coat_span){(uint8_t *)text, (size_t)len}, false, run_id) !=
              NULL);
        CHECK(strcmp(run_id, "untouched") == 0);
        *c = was;
    }
    CHECK(redis_info_wrong((coat_span){(uint8_t *)text, (size_t)len}, false, run_id) == NULL);
    CHECK(strcmp(run_id, second) == 0);
}

/** A server that does not take what was ended is none to ask. */
static void
not_taken(void)
{
    coat_store_req req;

    begin();
    CHECK(redis_journal_add(fake, &(redis_ended){.handle = handle_of(1, 1)}));
    reconnect(&req);
    greet_as(second);
    CHECK_INT(fake->base.state, REMOTE_CONNECTING);
    hear("-ERR no\r\n");
    CHECK_INT(fake->base.state, REMOTE_IDLE);
    CHECK(memcmp(store.replayed, second, REDIS_RUN_ID) != 0);
    redis_journal_free(&store.journal);
    store.journal = (redis_journal){0};
    end();
}

/** The same of an end of everybody's sessions; there is nothing to be said of it twice. */
static void
all_ended_meanwhile(void)
{
    static const char again[] = "$2\r\n50\r\n$2\r\n50\r\n"; /* seen; to be put back */
    coat_store_req reqs[2];
    redis_link other;
    size_t found = 0;

    begin();
    other = beside();
    reconnect(&reqs[0]);
    (void)redis_global_seen(&store, 40);
    greet_as(second);
    CHECK_INT(fake->due_count, 1);
    (void)redis_global_seen(&store, 50); /* the former one has acknowledged it */
    hear("*3\r\n:0\r\n$2\r\n40\r\n$1\r\n1\r\n");
    CHECK_INT(fake->base.state, REMOTE_CONNECTING);
    CHECK_INT(fake->due_count, 1);
    CHECK(!redis_journal_counts(&other)); /* from here on it may not */
    for (size_t at = 0; at + strlen(again) <= fake->out.len; at++)
        found += memcmp(fake->out.ptr + at, again, strlen(again)) == 0;
    CHECK_INT(found, 1);
    hear("*3\r\n:0\r\n$2\r\n50\r\n$1\r\n1\r\n");
    CHECK_INT(fake->base.state, REMOTE_READY);
    CHECK(redis_journal_counts(fake));
    reconnect(&reqs[1]);
    greet_as(second);
    CHECK_INT(fake->base.state, REMOTE_READY);
    end();
}

static const coat_test tests[] = {
    {"a server whose run id is not one is refused", unnamed},
    {"SF-5: a late acknowledgment of a former server is not believed", late_acknowledgment},
    {"SF-5: nor one that is overtaken", overtaken_acknowledgment},
    {"RV-5: a session that was put again is not ended again", put_again},
    {"RV-5 SF-5: the promoted server hears what the former one said meanwhile",
     acknowledged_meanwhile},
    {"RV-5 SF-5: and that everybody's sessions were ended meanwhile", all_ended_meanwhile},
    {"SF-1 ST-8: what every error and every strange reply of a server means", errors},
    {"SF-6: after a deadline no reply of that connection is used", late},
    {"SF-2: what is idempotent is tried again once, the rest never", retries},
    {"SF-2: a report that has begun is not tried again", begun_reports},
    {"SF-2: what is late is over, and what waits is bounded", late_reads},
    {"what one turn of the loop brings leaves in one write", pipelining},
    {"SF-6: more entries than were asked for are no answer", too_many_entries},
    {"SF-6: a reply that nobody has asked for ends the connection", unasked},
    {"RV-5: a server that does not take what was ended is not used", not_taken},
    {"SF-1: what is neither a record nor nothing is no missing session", strange_records},
    {"RV-5 SF-1: an epoch that cannot be read lets nobody in", unreadable_epoch},
    {"SF-5 SF-7: servers that will not do, and why", unfit_servers},
    {"SF-6: that there is no session is believed only of a numbered answer", asks_again},
};
COAT_TEST_MAIN(tests)
