/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz_redis.h"
#include "store/remote/value.h"

/* What a server sends, whatever it is: every request ends exactly once, with an answer that the
 * contract knows; LOAD finds nothing but a live record of its own address; and how the bytes
 * were cut into reads makes no difference to the replies.
 *
 * Input: flags, and which space is asked; which operations are asked; the length of a read;
 * then the bytes. */

enum {
    GREETED = 0x80,  /* a well-behaved greeting goes first, so the rest is read as answers */
    GUARDED = 0x40,  /* a password was sent, another database is chosen, a sentinel was asked */
    ENDING = 0x20,   /* INSERT is over a session that it ends, REMOVE_OWNER spares one */
    GOING_ON = 0x10, /* LIST_OWNER and SCAN begin behind an entry */
};

static uint8_t flags;

/** Where a list goes on is among the owner's, and never before where it began. */
static void
check_cursor(const coat_store_req *req)
{
    const uint8_t *serial = req->cursor.bytes, *owner = serial + 8;

    if (req->op != COAT_OP_LIST_OWNER || req->result != COAT_OK || !req->has_cursor)
        return;
    FUZZ_CHECK(memcmp(owner, req->owner.bytes, sizeof req->owner.bytes) == 0);
    FUZZ_CHECK((flags & GOING_ON) == 0 || memcmp(serial, "aaaaaaaa", 8) >= 0);
}

static void
on_done(coat_store_req *req)
{
    has_ended(req);
    check_cursor(req);
    FUZZ_CHECK(req->count <= req->limit);
    if (req->op == COAT_OP_LOAD && req->result == COAT_OK) {
        coat_span whole = {req->found.ptr - REMOTE_VALUE_HEAD,
                           req->found.len + REMOTE_VALUE_HEAD};
        coat_value value;

        FUZZ_CHECK(remote_value_decode(whole, req->space, &req->address, &value) == COAT_OK);
        FUZZ_CHECK(!coat_value_expired(&value, req->now_ms));
    }
}

static const char who[] =
    "$163\r\nredis_version:7.0.15\r\nrun_id:0123456789012345678901234567890123456789\r\n"
    "role:master\r\nloading:0\r\naof_enabled:1\r\nmaxmemory:0\r\nmaxmemory_policy:"
    "noeviction\r\n"
    "cluster:0\r\n\r\n:7\r\n:0\r\n*2\r\n$11\r\nappendfsync\r\n$6\r\nalways\r\n*2\r\n$"
    "4\r\nsave\r\n$0\r\n\r\n";
static const char script[] = "$40\r\n0123456789012345678901234567890123456789\r\n";
static const char format[] = "*4\r\n:0\r\n$1\r\n1\r\n$1\r\n0\r\n$1\r\n0\r\n";

static void
greet(size_t step)
{
    bool guarded = (flags & GUARDED) != 0;

    feed_text(guarded ? "+OK\r\n+OK\r\n" : "", step); /* AUTH, SELECT */
    feed_text(who, step);
    feed_text(guarded ? "*2\r\n$1\r\nm\r\n$1\r\n0\r\n" : "", step);
    for (int i = SCRIPT_HELLO + 1; i < SCRIPT_COUNT; i++)
        feed_text(script, step);
    feed_text(format, step);
    FUZZ_CHECK(the_link->base.state == REMOTE_READY);
}

static void
submit(coat_lane *lane, size_t i, coat_op op)
{
    coat_store_req *req = prepare(i, op, flags, on_done);

    req->value = COAT_LIT("x");
    req->has_cursor = (flags & GOING_ON) != 0;
    memset(req->cursor.bytes, 'a', sizeof req->cursor.bytes);
    req->has_spare = (flags & ENDING) != 0;
    req->has_superseded = req->has_spare && req->space == COAT_SPACE_SESSION;
    memset(req->superseded.bytes, 'a', sizeof req->superseded.bytes);
    memset(req->spare.bytes, 'a', sizeof req->spare.bytes);
    coat_store_submit(lane, req);
}

static void
converse(const uint8_t *data, size_t size)
{
    static redis_store store;
    struct coat_store_ops ops = coat_redis_ops;
    coat_lane *lane;
    size_t step = step_of(data[2]);

    flags = data[0];
    auth_is_due = (flags & GUARDED) != 0;
    memset(&store, 0, sizeof store);
    if (remote_store_init(&store.remote, &ops, redis_without_network()) != COAT_OK)
        return;
    store.remote.links = 1;
    store.remote.monotonic = fixed_clock;
    store.remote.rng = fixed_random;
    memcpy(store.prefix, "p:", 3);
    if ((flags & GUARDED) != 0) {
        store.db = 1;
        store.sentinels.count = 1;
    }
    FUZZ_CHECK(remote_lane_open(&store.remote.base, NULL, &lane) == COAT_OK);
    if ((flags & GREETED) != 0)
        greet(step);
    for (size_t i = 0; i < REQUESTS; i++)
        submit(lane, i, (coat_op)(COAT_OP_INSERT + (data[1] + i) % COAT_OP_LEAVE));
    feed_redis(data + 3, size - 3, step);
    fuzz_ms += 10;
    remote_lane_close(lane);
    all_have_ended();
    redis_journal_free(&store.journal);
    remote_store_fini(&store.remote);
}

/* ---- replies do not depend on how the bytes were cut ---- */

static uint64_t
mix(uint64_t sum, uint64_t value)
{
    return (sum ^ value) * 1099511628211U;
}

static uint64_t
sum_of(const resp_reply *reply, uint64_t sum)
{
    uint64_t number;

    sum = mix(mix(mix(sum, reply->type), (uint64_t)reply->integer), reply->count);
    for (size_t i = 0; i < reply->text.len; i++)
        sum = mix(sum, reply->text.ptr[i]);
    for (size_t i = 0; i < reply->count; i++)
        sum = sum_of(reply->items[i], sum);
    FUZZ_CHECK(reply->count <= RESP_ELEMENTS_MAX);
    if (resp_number(reply, &number))
        FUZZ_CHECK(reply->text.len <= 16 && number < (uint64_t)1 << 53);
    return sum;
}

static uint64_t
sum_in_steps(const uint8_t *data, size_t size, size_t step)
{
    resp_reader *reader = resp_reader_new();
    uint64_t sum = 14695981039346656037U;
    coat_err err = COAT_OK;

    if (reader == NULL)
        return 0;
    while (err == COAT_OK && size > 0) {
        size_t n = size < step ? size : step;
        resp_reply *reply = NULL;

        err = resp_feed(reader, data, n);
        while (err == COAT_OK && (err = resp_next(reader, &reply)) == COAT_OK &&
               reply != NULL) {
            sum = sum_of(reply, sum);
            resp_reply_free(reply);
            reply = NULL;
        }
        data += n;
        size -= n;
    }
    resp_reader_free(reader);
    return mix(sum, err != COAT_OK);
}

/** An array of too many elements is refused by what its first line says. */
static void
check_limit(const uint8_t *data, size_t size)
{
    resp_reader *reader;
    resp_reply *reply = NULL;
    size_t at = 1, count = 0;

    for (; at < size && at < 10 && data[at] >= '0' && data[at] <= '9'; at++)
        count = count * 10 + (size_t)(data[at] - '0');
    if (size < at + 2 || data[0] != '*' || memcmp(data + at, "\r\n", 2) != 0 ||
        count <= RESP_ELEMENTS_MAX)
        return;
    reader = resp_reader_new();
    FUZZ_CHECK(reader != NULL && resp_feed(reader, data, at + 2) == COAT_OK);
    FUZZ_CHECK(resp_next(reader, &reply) != COAT_OK && reply == NULL);
    resp_reader_free(reader);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3)
        return 0;
    converse(data, size);
    check_limit(data + 3, size - 3);
    FUZZ_CHECK(sum_in_steps(data + 3, size - 3, SIZE_MAX) ==
               sum_in_steps(data + 3, size - 3, 1 + data[2] % 7));
    return 0;
}
