/* SPDX-License-Identifier: Apache-2.0 */
#include "core/bytes.h"
#include "fuzz_remote.h"
#include "store/memcached/memcached.h"

#include <stdlib.h>

/* What a server sends, whatever it is: every request ends exactly once, with an answer that the
 * contract knows; LOAD finds nothing that has expired; and how the bytes were cut into reads
 * makes no difference to the replies.
 *
 * Input: whether a well-behaved greeting goes first (so that the rest is read as answers) and
 * which space is asked; which operations are asked; the length of a read, and whether there is
 * a password; then the bytes. Sums of boxes and lives among them are mended. */

static bool with_password;

static void
start(remote_link *base)
{
    mc_link *link = (mc_link *)base;

    link->greeted = link->ready = false;
    link->number = 0;
    link->hello = 0; /* a password was sent, */
    if (!with_password || !mc_expect(link, NULL, DUE_HELLO))
        mc_hello(link); /* or none is */
}

static void
flush(remote_link *base)
{
    remote_buffer_free(&((mc_link *)base)->out);
    remote_buffer_free(&((mc_link *)base)->cuts);
}

static void
on_done(coat_store_req *req)
{
    has_ended(req);
    FUZZ_CHECK(req->count <= req->limit);
    if (req->op == COAT_OP_LOAD && req->result == COAT_OK) {
        FUZZ_CHECK(req->found_expires_ms == 0 || req->found_expires_ms > req->now_ms);
        FUZZ_CHECK(req->found.len <= COAT_STORE_VALUE_MAX);
    }
}

static void
greet(mc_link *link, size_t step)
{
    static const char settings[] = "VERSION 1.6.18\r\nSTAT item_size_max 1048576\r\n"
                                   "STAT cas_enabled yes\r\nSTAT maxbytes 67108864\r\nEND\r\n";
    static const char head[] = "VA 40 c1 O0000000000000001\r\n";
    const mc_life life = {.birth = 7};
    uint8_t bytes[MC_LIFE_BYTES];

    mc_life_encode(&life, bytes);
    if (with_password)
        feed(&link->base, mc_bytes, (const uint8_t *)"STORED\r\n", 8, step);
    feed(&link->base, mc_bytes, (const uint8_t *)settings, sizeof settings - 1, step);
    feed(&link->base, mc_bytes, (const uint8_t *)head, sizeof head - 1, step);
    feed(&link->base, mc_bytes, bytes, sizeof bytes, step);
    feed(&link->base, mc_bytes, (const uint8_t *)"\r\n", 2, step);
    FUZZ_CHECK(link->base.state == REMOTE_READY);
}

static struct remote_kind kind;

static void
converse(const uint8_t *head, const uint8_t *bytes, size_t len)
{
    static mc_store store;
    static mc_node node;
    struct coat_store_ops ops = coat_memcached_ops;
    coat_lane *lane;
    mc_link *link;
    size_t step = step_of(head[2]);

    memset(&store, 0, sizeof store);
    memset(&node, 0, sizeof node);
    with_password = head[2] >= 128;
    kind = mc_kind;
    kind.start = start;
    kind.flush = flush;
    ops.submit = remote_submit;
    if (remote_store_init(&node.remote, &ops, &kind) != COAT_OK)
        return;
    node.remote.links = 1;
    node.remote.monotonic = fixed_clock;
    node.remote.rng = fixed_random;
    node.store = &store;
    memcpy(store.prefix, "p:", 3);
    FUZZ_CHECK(remote_lane_open(&node.remote.base, NULL, &lane) == COAT_OK);
    link = (mc_link *)((remote_lane *)lane)->links[0];
    if (head[0] >= 128)
        greet(link, step);
    for (size_t i = 0; i < REQUESTS; i++) {
        coat_op op = (coat_op)(COAT_OP_INSERT + (head[1] + i) % COAT_OP_SWEEP);

        ask(lane, i, op == COAT_OP_SCAN ? COAT_OP_LOAD : op, head[0], on_done);
    }
    feed(&link->base, mc_bytes, bytes, len, step);
    fuzz_ms += 10;
    remote_lane_close(lane);
    all_have_ended();
    remote_store_fini(&node.remote);
    free(node.doubts);
    free(node.journal.ring);
}

/* ---- replies do not depend on how the bytes were cut ---- */

static uint64_t
mix(uint64_t sum, uint64_t value)
{
    return (sum ^ value) * 1099511628211U;
}

/** A number of ours is as we write it. */
static void
check_opaque(const mc_reply *reply)
{
    char text[24];
    int len = snprintf(text, sizeof text, " O%016llx", (unsigned long long)reply->opaque);

    if (reply->has_opaque)
        FUZZ_CHECK(memmem(reply->line.ptr, reply->line.len, text, (size_t)len) != NULL);
}

static uint64_t
sum_in_steps(const uint8_t *data, size_t size, size_t step)
{
    mc_reader reader = {0};
    uint64_t sum = 14695981039346656037U;
    coat_err err = COAT_OK;

    while (err == COAT_OK && size > 0) {
        size_t n = size < step ? size : step;
        mc_reply reply = {0};
        bool whole = true;

        err = mc_reader_feed(&reader, data, n);
        while (err == COAT_OK && (err = mc_reader_next(&reader, &reply, &whole)) == COAT_OK &&
               whole) {
            FUZZ_CHECK(reply.line.len <= MC_LINE_MAX && reply.value.len <= MC_VALUE_MAX);
            check_opaque(&reply);
            sum = mix(mix(mix(sum, reply.code), reply.cas), (uint64_t)reply.ttl_s);
            sum = mix(mix(sum, reply.opaque), reply.value.len);
            for (size_t i = 0; i < reply.value.len; i++)
                sum = mix(sum, reply.value.ptr[i]);
            mc_reply_free(&reply);
        }
        data += n;
        size -= n;
    }
    mc_reader_fini(&reader);
    return mix(sum, err != COAT_OK);
}

/** A value that is too long is refused by what its line says. */
static void
check_limit(const uint8_t *data, size_t size)
{
    mc_reader reader = {0};
    mc_reply reply = {0};
    size_t at = 3, len = 0;
    bool whole;

    for (; at < size && at < 12 && data[at] >= '0' && data[at] <= '9'; at++)
        len = len * 10 + (size_t)(data[at] - '0');
    if (size < at + 2 || memcmp(data, "VA ", 3) != 0 || memcmp(data + at, "\r\n", 2) != 0 ||
        len <= MC_VALUE_MAX)
        return;
    FUZZ_CHECK(mc_reader_feed(&reader, data, at + 2) == COAT_OK);
    FUZZ_CHECK(mc_reader_next(&reader, &reply, &whole) != COAT_OK);
    mc_reader_fini(&reader);
}

/** "VA LEN ...": the sum of what follows is made right. */
static void
mend(uint8_t *bytes, size_t len)
{
    for (size_t at = 0; at + 4 < len; at++) {
        uint8_t *end = memchr(bytes + at, '\n', len - at);
        size_t size = 0;

        if (memcmp(bytes + at, "VA ", 3) != 0 || end == NULL)
            continue;
        for (size_t i = at + 3; bytes[i] >= '0' && bytes[i] <= '9' && size < len; i++)
            size = size * 10 + (size_t)(bytes[i] - '0');
        at = (size_t)(end - bytes);
        if (size >= 16 && size < len - at)
            coat_store64(end + 1 + 8, mc_sum((coat_span){end + 1, size}));
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *bytes;

    if (size < 3)
        return 0;
    bytes = malloc(size - 2);
    if (bytes == NULL)
        return 0;
    memcpy(bytes, data + 3, size - 3);
    mend(bytes, size - 3);
    converse(data, bytes, size - 3);
    check_limit(bytes, size - 3);
    FUZZ_CHECK(sum_in_steps(bytes, size - 3, SIZE_MAX) ==
               sum_in_steps(bytes, size - 3, 1 + data[2] % 7));
    free(bytes);
    return 0;
}
