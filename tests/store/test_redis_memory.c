/* SPDX-License-Identifier: Apache-2.0 */
/**
 * HD-4 for a conversation with a Redis that is the test itself, so that each answer is known:
 * every allocation fails. Requests still end exactly once, and never with an answer that the
 * server did not give.
 */

#include "redis_fake.h"
#include "torture.h"

enum { REQUESTS = 8 };

static coat_store_req reqs[REQUESTS];
static unsigned ends[REQUESTS];

static void
note_end(coat_store_req *req)
{
    ends[req - reqs]++;
}

static void
note_item(coat_store_req *req, const coat_store_item *item)
{
    (void)req;
    (void)item;
}

static const struct {
    coat_op op;
    const char *reply; /* but for the number of the request */
    coat_err want;
} talk[REQUESTS] = {
    {COAT_OP_INSERT, "*4\r\n:0\r\n$1\r\n7\r\n$8\r\n12345678\r\n", COAT_OK},
    {COAT_OP_REPLACE, "*2\r\n:2\r\n", COAT_CONFLICT},
    {COAT_OP_REMOVE, "*2\r\n:0\r\n", COAT_OK},
    {COAT_OP_REMOVE_OWNER, "*3\r\n:0\r\n$1\r\n9\r\n", COAT_OK},
    {COAT_OP_EPOCHS, "*5\r\n:0\r\n$1\r\n9\r\n$1\r\n3\r\n$13\r\n1700000000000\r\n", COAT_OK},
    {COAT_OP_LIST_OWNER, "*4\r\n:0\r\n:0\r\n$0\r\n\r\n", COAT_OK},
    {COAT_OP_END_ALL, "*3\r\n:0\r\n$2\r\n12\r\n", COAT_OK},
    {COAT_OP_SWEEP,
     "*10\r\n:0\r\n:1\r\n:1000\r\n:0\r\n$2\r\nab\r\n:0\r\n:1\r\n:0\r\n$1\r\n9\r\n", COAT_OK},
};

static bool
is_alive(void)
{
    return fake->base.state == REMOTE_READY;
}

/** What is answered as long as the connection lasts; then it is closed. */
static void
converse(void)
{
    static uint8_t value[20000];
    char text[200];

    for (size_t i = 0; i < REQUESTS; i++) {
        reqs[i] = session_req(talk[i].op, 1, 1);
        reqs[i].done = note_end;
        reqs[i].item = note_item;
        reqs[i].value = (coat_span){value, sizeof value};
        ends[i] = 0;
        coat_store_submit(lane, &reqs[i]);
    }
    (void)uv_run(((remote_lane *)lane)->loop, UV_RUN_NOWAIT);
    for (size_t i = 0; i < REQUESTS && is_alive(); i++) {
        (void)snprintf(text, sizeof text, "%s$1\r\n%zu\r\n", talk[i].reply, i + 1);
        hear(text);
    }
    if (is_alive()) {
        hear("+x\r\n"); /* more than was asked for */
        CHECK(!is_alive());
    }
}

static void
check_answers(bool harmed)
{
    for (size_t i = 0; i < REQUESTS; i++) {
        bool answered = ends[i] == 1;

        CHECK(ends[i] <= 1);
        if (answered && !harmed)
            CHECK_ERR(reqs[i].result, talk[i].want);
        if (answered && reqs[i].result != talk[i].want)
            CHECK(reqs[i].result == COAT_STORE_DOWN || reqs[i].result == COAT_NO_MEMORY ||
                  reqs[i].result == COAT_TOO_LARGE);
    }
    end();
    for (size_t i = 0; i < REQUESTS; i++)
        CHECK_INT(ends[i], 1);
    redis_journal_free(&store.journal);
}

static void
every_allocation(void)
{
    static const torture t = {
        .kinds = TORTURE_MEMORY | TORTURE_EACH,
        .begin = begin,
        .run = converse,
        .end = check_answers,
        .least = 10,
    };

    torture_all(&t);
}

static const coat_test tests[] = {
    {"HD-4: without memory requests end once, and with no answer of our own making",
     every_allocation},
};
COAT_TEST_MAIN(tests)
