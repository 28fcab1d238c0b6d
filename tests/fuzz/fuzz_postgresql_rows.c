/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"
#include "store/postgresql/postgresql.h"

#include <string.h>

/* Results of a PostgreSQL server, whatever is in them: a request ends exactly once, with an
 * answer that the contract knows; LOAD finds nothing but a live record of its own address; a
 * report holds no more than was asked for, and a write is not answered before its transaction
 * is.
 *
 * Input: the operation (from 128: a question of the greeting), the space, columns, rows; then
 * the fields, each a byte of length and its bytes. Lengths from 250 are things that fit: see
 * field(). */

enum {
    NUMBER = 7,
    COLUMNS_MAX = 10,
    ROWS_MAX = 8,
    ALIVE = 2 /* of the greeting, and one more behind */
};

static coat_store_req req;
static unsigned ended;
static bool synced;

static int64_t
fixed_clock(void *ctx)
{
    (void)ctx;
    return 1000000;
}

static coat_err
fixed_random(void *ctx, uint8_t *buf, size_t len)
{
    (void)ctx;
    memset(buf, 0, len);
    return COAT_OK;
}

static void
start(remote_link *base)
{
    pg_link *link = (pg_link *)base;

    link->greeted = true;
    link->due_count = 0;
    link->broken = false;
    remote_link_ready(base);
}

static pg_statement
statement_of(coat_op op, coat_space space)
{
    static const pg_statement by_op[] = {[COAT_OP_INSERT] = PG_INSERT_SESSION,
                                         [COAT_OP_LOAD] = PG_LOAD_SESSION,
                                         [COAT_OP_REPLACE] = PG_REPLACE_SESSION,
                                         [COAT_OP_REMOVE] = PG_REMOVE_SESSION,
                                         [COAT_OP_LIST_OWNER] = PG_LIST,
                                         [COAT_OP_REMOVE_OWNER] = PG_REMOVE_OWNER,
                                         [COAT_OP_EPOCHS] = PG_EPOCHS,
                                         [COAT_OP_END_ALL] = PG_END_ALL,
                                         [COAT_OP_SCAN] = PG_SCAN_SESSIONS,
                                         [COAT_OP_SWEEP] = PG_SWEEP_EXPIRED,
                                         [COAT_OP_SAY] = PG_SAY,
                                         [COAT_OP_LEAVE] = PG_LEAVE};
    bool spaced = op == COAT_OP_INSERT || op == COAT_OP_LOAD || op == COAT_OP_REPLACE ||
                  op == COAT_OP_REMOVE || op == COAT_OP_SCAN;

    return by_op[op] + (pg_statement)(spaced ? space - COAT_SPACE_SESSION : 0);
}

static coat_err
send_nothing(remote_link *base, coat_store_req *r)
{
    pg_due due = {.kind = PG_DUE_REQUEST,
                  .what = (uint8_t)statement_of(r->op, r->space),
                  .req = r,
                  .number = NUMBER};

    if (pg_expect((pg_link *)base, &due) != COAT_OK)
        return COAT_NO_MEMORY;
    due.kind = PG_DUE_SYNC;
    return pg_expect((pg_link *)base, &due);
}

static void
flush(remote_link *base)
{
    if (((pg_link *)base)->broken)
        remote_link_failed(base);
}

static void
on_item(coat_store_req *r, const coat_store_item *item)
{
    FUZZ_CHECK(ended == 0);
    FUZZ_CHECK(item->value.len <= COAT_STORE_VALUE_MAX && item->expires_ms >= 0);
    if (r->op == COAT_OP_LIST_OWNER)
        FUZZ_CHECK(memcmp(item->address.bytes + 8, r->owner.bytes, COAT_OWNER_BYTES) == 0);
}

static void
on_done(coat_store_req *r)
{
    ended++;
    FUZZ_CHECK(r->result <= COAT_UNSUPPORTED);
    FUZZ_CHECK(r->count <= r->limit);
    if (r->result == COAT_OK && !remote_reads(r->op))
        FUZZ_CHECK(synced);
    if (r->op == COAT_OP_LOAD && r->result == COAT_OK)
        FUZZ_CHECK(r->found.ptr != NULL && r->found.len <= COAT_STORE_VALUE_MAX &&
                   (r->found_expires_ms == 0 || r->found_expires_ms > r->now_ms));
}

/** 255 NULL, 254 the number of the question, 253 the request's address, 252 eight bytes of a
 * small number, 251 four bytes of one, 250 a long value. */
static void
field(PGresult *result, int row, int column, const uint8_t **data, size_t *size)
{
    static uint8_t longest[COAT_STORE_VALUE_MAX + 2];
    uint8_t bytes[256] = {0};
    size_t got, len;
    const uint8_t *from = fuzz_take(data, size, 1, &got);
    uint8_t code = got == 1 ? *from : 255;
    char *value = (char *)bytes;
    int out = -1;

    if (code == 254) {
        coat_store64be(bytes, NUMBER);
        out = 8;
    } else if (code == 253) {
        memcpy(bytes, req.address.bytes, COAT_HANDLE_BYTES);
        out = COAT_HANDLE_BYTES;
    } else if (code == 252 || code == 251) {
        from = fuzz_take(data, size, 1, &got);
        out = code == 252 ? 8 : 4;
        bytes[out - 1] = got == 1 ? *from : 0;
    } else if (code == 250) {
        from = fuzz_take(data, size, 1, &got);
        value = (char *)longest;
        out = COAT_STORE_VALUE_MAX + (got == 1 ? *from % 2 : 0);
    } else if (code < 250) {
        from = fuzz_take(data, size, code, &len);
        memcpy(bytes, from, len);
        out = (int)len;
    }
    FUZZ_CHECK(PQsetvalue(result, row, column, value, out) == 1);
}

/** Numbers are of their own length only, whatever stands there. */
static void
check_numbers(const PGresult *result, int row, int column)
{
    int len = PQgetisnull(result, row, column) ? -1 : PQgetlength(result, row, column);
    uint64_t number;
    int64_t with_sign;
    int32_t small;
    bool flag;

    FUZZ_CHECK(pg_signed(result, row, column, &with_sign) == (len == 8));
    FUZZ_CHECK(pg_number(result, row, column, &number) == (len == 8 && with_sign >= 0));
    FUZZ_CHECK(pg_small(result, row, column, &small) == (len == 4));
    if (pg_bool(result, row, column, &flag))
        FUZZ_CHECK(len == 1);
}

static PGresult *
make_result(int columns, int rows, const uint8_t **data, size_t *size)
{
    static char name[] = "x";
    PGresAttDesc attributes[COLUMNS_MAX];
    PGresult *result = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);

    memset(attributes, 0, sizeof attributes);
    for (int i = 0; i < columns; i++) {
        attributes[i].name = name;
        attributes[i].format = 1;
    }
    FUZZ_CHECK(result != NULL &&
               (columns == 0 || PQsetResultAttrs(result, columns, attributes)));
    for (int row = 0; row < rows && columns > 0; row++)
        for (int column = 0; column < columns; column++) {
            field(result, row, column, data, size);
            check_numbers(result, row, column);
        }
    return result;
}

static void
greeting(pg_link *link, uint8_t what, PGresult *result)
{
    pg_due due = {.kind = PG_DUE_HELLO, .what = what};
    pg_store *store = pg_store_of(link);

    link->greeted = false;
    store->doubts[0] = (pg_doubt){.number = 1, .pid = 7, .started_us = 9};
    store->doubts[1] = (pg_doubt){.number = 2, .pid = 7, .started_us = 9, .server = "other"};
    store->doubt_count = link->asked_doubts = 2;
    (void)pg_hello_result(link, &due, result);
    FUZZ_CHECK(store->doubt_count == 2 ||
               (what == ALIVE && store->doubt_count == 1 && store->doubts[0].server[0] == 'o'));
    PQclear(result);
}

static void
conversation(pg_link *link, coat_lane *lane, PGresult *result)
{
    coat_store_submit(lane, &req);
    pg_take_result(link, result);
    synced = true;
    if (link->due_count > 0)
        pg_take_result(link, PQmakeEmptyPGresult(NULL, PGRES_PIPELINE_SYNC));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static pg_store store;
    static struct remote_kind kind;
    struct coat_store_ops ops = coat_postgresql_ops;
    coat_lane *lane;
    pg_link *link;
    PGresult *result;
    uint8_t head[4];

    if (size < sizeof head)
        return 0;
    memcpy(head, data, sizeof head);
    data += sizeof head;
    size -= sizeof head;
    memset(&store, 0, sizeof store);
    memcpy(store.schema, "s", 2);
    kind = pg_kind;
    kind.start = start;
    kind.send = send_nothing;
    kind.flush = flush;
    if (remote_store_init(&store.remote, &ops, &kind) != COAT_OK)
        return 0;
    store.remote.links = 1;
    store.remote.monotonic = fixed_clock;
    store.remote.rng = fixed_random;
    FUZZ_CHECK(remote_lane_open(&store.remote.base, NULL, &lane) == COAT_OK);
    link = (pg_link *)((remote_lane *)lane)->links[0];
    ended = 0;
    synced = false;
    req = (coat_store_req){.op = (coat_op)(COAT_OP_INSERT + head[0] % COAT_OP_LEAVE),
                           .space = (coat_space)(COAT_SPACE_SESSION + head[1] % 3),
                           .version = 5,
                           .value = COAT_LIT("x"),
                           .now_ms = 100,
                           .limit = 3,
                           .item = on_item,
                           .done = on_done};
    memset(req.address.bytes, 'a', sizeof req.address.bytes);
    memset(req.owner.bytes, 'a', sizeof req.owner.bytes);
    result = make_result(head[2] % (COLUMNS_MAX + 1), head[3] % (ROWS_MAX + 1), &data, &size);
    if (head[0] >= 128)
        greeting(link, head[0] % (ALIVE + 2), result);
    else
        conversation(link, lane, result);
    remote_lane_close(lane);
    FUZZ_CHECK(ended == (head[0] >= 128 ? 0 : 1));
    remote_store_fini(&store.remote);
    return 0;
}
