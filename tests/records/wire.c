/* SPDX-License-Identifier: Apache-2.0 */

/** What goes over the wire to a store: hostile bytes and strangers' tokens change nothing. */

#include "records.h"
#include "remote_world.h"
#include "store/remote/remote.h"

#include <malloc.h>
#include <stdlib.h>

/* ---- what was sent ---- */

enum { SENT_MAX = 1 << 20 };

static struct {
    pthread_mutex_t mutex;
    bool on;
    uint8_t bytes[SENT_MAX];
    size_t len;
} sent = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static size_t
tap(void *ctx, int way, const uint8_t *bytes, size_t len)
{
    (void)ctx;
    pthread_mutex_lock(&sent.mutex);
    if (sent.on && way == 0 && len <= SENT_MAX - sent.len) {
        memcpy(sent.bytes + sent.len, bytes, len);
        sent.len += len;
    }
    pthread_mutex_unlock(&sent.mutex);
    return len;
}

static void
listen_to(bool on)
{
    pthread_mutex_lock(&sent.mutex);
    sent.on = on;
    sent.len = on ? 0 : sent.len;
    pthread_mutex_unlock(&sent.mutex);
}

static void
wire_begin(void)
{
    the_world.begin();
    world_proxy.tap = tap; /* before there is any connection */
    rig_prepare(&r, the_world.url(true), 1);
    /* One connection a lane: what goes to the server is what was asked for, and no greeting of
     * another. */
    the_world.remote(r.inner)->links = 1;
    r.conf.table_slots = 0;
    r.conf.monotonic = records_monotonic;
    rig_start(&r);
}

/* ---- ST-6 ---- */

static const struct hostile {
    const char *name;
    const char *bytes;
    size_t len;
} hostiles[] = {
#define HOSTILE(name, text)                                                                    \
    {                                                                                          \
        name, text, sizeof(text) - 1                                                           \
    }
    HOSTILE("harmless", "0123456789abcdef"),
    HOSTILE("line breaks", "\r\nset x 0 0 1\r\n\r\n"),
    HOSTILE("a command of memcached", "\r\nms x 1\r\na\r\nmn\r"),
    HOSTILE("a null of RESP", "$-1\r\n*-1\r\n$-1\r\n"),
    HOSTILE("an array of RESP", "*1\r\n$8\r\nFLUSHALL\r\n"),
    HOSTILE("quotes of SQL", "';DROP TABLE x;--"),
    HOSTILE("an escape of SQL", "\\x00'\"\\';\\\\\\'$$;;"),
    HOSTILE("nothing but NUL", "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
    HOSTILE("blanks", "                "),
    HOSTILE("braces of a hash tag", "{}}{:s:{a}:i\x7f\xff\xfe"),
    HOSTILE("no UTF-8", "\xff\xfe\xc0\x80\xed\xa0\x80\xf8\x88\x80\x80\x80\xf5\x1b\x1a\x04"),
#undef HOSTILE
};
enum { HOSTILES = sizeof hostiles / sizeof hostiles[0] };

static stored came;

static void
keep_value(coat_store_req *req)
{
    if (req->op != COAT_OP_LOAD || req->result != COAT_OK)
        return;
    memcpy(came.bytes, req->found.ptr, req->found.len);
    came.len = req->found.len;
}

static coat_handle listed;

static void
keep_item(coat_store_req *req, const coat_store_item *item)
{
    if (req->op == COAT_OP_LIST_OWNER) {
        listed = item->address;
        CHECK_MEM(item->value.ptr, item->value.len, came.bytes, came.len);
    }
}

/** One operation, and the commands that it took; "late": a busy machine, to be done again. */
static const char *
commands_of(coat_store_req *req, coat_err want)
{
    static char verbs[4096];

    req->timeout_ms = 60000;
    req->done = keep_value;
    req->item = keep_item;
    req->now_ms = r.wall;
    listen_to(true);
    CHECK_ERR(coat_store_run(coat_desk_lane(r.desk[0]), req), want);
    listen_to(false);
    CHECK(the_world.verbs(sent.bytes, sent.len, verbs, sizeof verbs));
    return verbs;
}

/** The life of one entry whose address and value are hostile. */
static void
one_life(const struct hostile *h, coat_space space, char (*trace)[4096])
{
    static const coat_op ops[] = {COAT_OP_EPOCHS, COAT_OP_INSERT,      COAT_OP_LOAD,
                                  COAT_OP_INSERT, COAT_OP_LIST_OWNER,  COAT_OP_REMOVE,
                                  COAT_OP_LOAD,   COAT_OP_REMOVE_OWNER};
    uint64_t owner = 0, global = 0;
    coat_handle address;

    (*trace)[0] = '\0';
    memcpy(address.bytes, h->bytes, sizeof address.bytes);
    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++) {
        bool owned = ops[i] == COAT_OP_EPOCHS || ops[i] == COAT_OP_LIST_OWNER ||
                     ops[i] == COAT_OP_REMOVE_OWNER;
        coat_store_req req = {.op = ops[i],
                              .space = owned ? COAT_SPACE_SESSION : space,
                              .address = address,
                              .owner = coat_handle_owner(&address),
                              .value = {(const uint8_t *)h->bytes, h->len},
                              .epoch_owner = owner,
                              .epoch_global = global};
        coat_err want = i == 3 ? COAT_EXISTS : i == 6 ? COAT_NO_SESSION : COAT_OK;

        if (owned && space != COAT_SPACE_SESSION)
            continue;
        if (ops[i] != COAT_OP_INSERT)
            req.value = (coat_span){NULL, 0};
        if (space != COAT_SPACE_SESSION)
            req.epoch_owner = req.epoch_global = 0;
        (void)strncat(*trace, commands_of(&req, want), sizeof *trace - 1 - strlen(*trace));
        (void)strncat(*trace, "; ", sizeof *trace - 1 - strlen(*trace));
        if (ops[i] == COAT_OP_EPOCHS) {
            owner = req.epoch_owner;
            global = req.epoch_global;
        }
        if (i == 2)
            CHECK_MEM(came.bytes, came.len, h->bytes, h->len);
        if (ops[i] == COAT_OP_LIST_OWNER)
            CHECK(req.count == 1 && coat_handle_equal(&listed, &address));
    }
}

static void
bytes_are_bytes(void)
{
    static char want[3][4096], got[4096];
    static const coat_space spaces[] = {COAT_SPACE_SESSION, COAT_SPACE_ACCOUNT,
                                        COAT_SPACE_META};

    wire_begin();
    (void)rig_sign_in(&r, 0, "ada");      /* and the server knows our commands */
    for (size_t i = 0; i < HOSTILES; i++) /* whatever is sent once only, also for each owner */
        for (size_t s = 0; s < 3; s++)
            one_life(&hostiles[i], spaces[s], &got);
    for (size_t i = 0; i < HOSTILES; i++)
        for (size_t s = 0; s < 3; s++) {
            test_case(hostiles[i].name);
            one_life(&hostiles[i], spaces[s], &got);
            if (i == 0)
                memcpy(want[s], got, sizeof got);
            CHECK_STR(got, want[s]); /* the same commands, one by one */
        }
    test_case(NULL);
    if (getenv("COAT_TEST_VERBOSE") != NULL)
        printf("# %s\n", want[0]);
    records_end();
}

static void
sizes_over_the_limit(void)
{
    static uint8_t huge[1 << 20];
    rig_token token;
    coat_store_req req = {
        .op = COAT_OP_INSERT, .space = COAT_SPACE_ACCOUNT, .value = {huge, sizeof huge}};

    wire_begin();
    token = rig_sign_in(&r, 0, "ada");
    memset(huge, '\n', sizeof huge);
    CHECK_STR(commands_of(&req, COAT_TOO_LARGE), ""); /* refused here */
    CHECK_INT(sent.len, 0);
    for (size_t i = 0; i < COAT_STORE_VALUE_MAX; i++)
        huge[i] = (uint8_t)(i * 7 + i / 256);
    req = (coat_store_req){.op = COAT_OP_INSERT,
                           .space = COAT_SPACE_ACCOUNT,
                           .value = {huge, COAT_STORE_VALUE_MAX}};
    (void)commands_of(&req, COAT_OK);
    req = (coat_store_req){.op = COAT_OP_LOAD, .space = COAT_SPACE_ACCOUNT};
    (void)commands_of(&req, COAT_OK);
    CHECK_MEM(came.bytes, came.len, huge, COAT_STORE_VALUE_MAX);
    CHECK_ERR(rig_check(&r, 0, &token), COAT_OK);
    records_end();
}

/** User ids and application data go in as they are and come back so. */
static void
users_and_data(void)
{
    static const char *const users[] = {"\r\nset x 0 0 1\r\nx",
                                        "$-1",
                                        "*1\r\n$8\r\nFLUSHALL\r\n",
                                        "'; DELETE FROM sessions; --",
                                        "{}:s:",
                                        "\xc3\xa4\xe2\x80\xae\xf0\x9f\x94\x91",
                                        " "};
    static const char data[] =
        "{\"a\":\"\\r\\nset x 0 0 1\\r\\n\",\"b\":\"$-1\",\"c\":\"'\\\\\\\"; --\"}";

    wire_begin();
    for (size_t i = 0; i < sizeof users / sizeof users[0]; i++) {
        coat_err err = rig_run(&r, 0,
                               (coat_call){.op = COAT_CALL_CREATE,
                                           .user = coat_span_of(users[i]),
                                           .data = coat_span_of(data)});
        rig_token token = rig_token_of(&r);

        test_case(users[i]);
        CHECK_ERR(err, COAT_OK);
        CHECK_ERR(rig_check(&r, 0, &token), COAT_OK);
        CHECK(coat_span_is(coat_session_record(r.call.session)->user, coat_span_of(users[i])));
        CHECK(rig_data_is(&r, data));
        CHECK_INT(rig_listed(&r, 0, users[i]), 1);
        CHECK_ERR(rig_end_user(&r, 0, users[i]), COAT_OK);
        CHECK_ERR(rig_check(&r, 0, &token), COAT_NO_SESSION);
    }
    test_case(NULL);
    records_end();
}

/* ---- RX-4 ---- */

static rig_token
invented(bool tagged)
{
    coat_token token;
    coat_owner owner;
    rig_token text;

    REQUIRE_OK(test_rng_fill(&r.random, owner.bytes, sizeof owner.bytes));
    REQUIRE_OK(coat_token_mint(owner, r.wall, coat_keys_tags(r.keys), test_rng_fill, &r.random,
                               &token));
    if (!tagged)
        token.tag[0] ^= 1;
    coat_token_encode(&token, text.text);
    return text;
}

/** What nobody issued is refused here; what might have been costs a read, and no write. */
static void
strangers(void)
{
    /* Nothing here ends anything, so nothing waits for time to pass. */
    long forged = test_scaled(10000000, 20000), unknown = test_scaled(5000, 50), seen = 0;
    static char verbs[4096], hit[4096];
    uint64_t entries, before;
    rig_token token, stranger;
    size_t used;

    wire_begin();
    records_precise(true);
    token = rig_sign_in(&r, 0, "ada");
    listen_to(true);
    CHECK_ERR(rig_check(&r, 0, &token), COAT_OK);
    listen_to(false);
    CHECK(the_world.verbs(sent.bytes, sent.len, hit, sizeof hit));
    entries = records_entries();
    stranger = invented(false);
    CHECK_ERR(rig_check(&r, 0, &stranger), COAT_NO_SESSION);
    used = mallinfo2().uordblks;
    before = atomic_load(&world_proxy.bytes[0]);
    for (long i = 0; i < forged; i++) {
        stranger = invented(false);
        CHECK_ERR(rig_check(&r, 0, &stranger), COAT_NO_SESSION);
    }
    CHECK_INT(atomic_load(&world_proxy.bytes[0]), before); /* not a byte */
    for (long i = 0; i < unknown; i++) {
        int greeted = atomic_load(&world_proxy.accepted);

        stranger = invented(true);
        listen_to(true);
        CHECK_ERR(rig_check(&r, 0, &stranger), COAT_NO_SESSION);
        listen_to(false);
        if (atomic_load(&world_proxy.accepted) != greeted)
            continue; /* late on a busy machine: a greeting is no question */
        seen++;
        CHECK(the_world.verbs(sent.bytes, sent.len, verbs, sizeof verbs));
        CHECK(strstr(verbs, "ms ") == NULL && strstr(verbs, "md ") == NULL);
    }
    CHECK(seen > 0);
    CHECK_INT(records_entries(), entries);
    CHECK(mallinfo2().uordblks <= used + used / 100 + 65536);
    CHECK_ERR(rig_check(&r, 0, &token), COAT_OK);
    records_precise(false);
    records_end();
}

static const coat_test tests[] = {
    {"ST-6: one command an operation, whatever bytes are in addresses and values",
     bytes_are_bytes},
    {"ST-6: values up to the limit come back whole, larger ones are never sent",
     sizes_over_the_limit},
    {"ST-6: user ids and data come back byte by byte", users_and_data},
    {"RX-4: tokens of strangers write nothing to a store, and forged ones do not reach it",
     strangers},
};
const records_tests wire_tests = {tests, sizeof tests / sizeof tests[0]};
