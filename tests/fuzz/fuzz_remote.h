/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_FUZZ_REMOTE_H
#define COAT_FUZZ_REMOTE_H

/** A conversation of a store with the fuzzer as its server: every request ends exactly once,
 * with an answer that the contract knows, and nothing is reported afterwards. */

#include "fuzz.h"
#include "store/remote/remote.h"

#include <string.h>

enum { REQUESTS = 4 };

static int64_t fuzz_ms = 1000;
static unsigned ended[REQUESTS];
static coat_store_req reqs[REQUESTS];

static inline int64_t
fixed_clock(void *ctx)
{
    (void)ctx;
    return fuzz_ms;
}

static inline coat_err
fixed_random(void *ctx, uint8_t *buf, size_t len)
{
    (void)ctx;
    memset(buf, 0, len);
    return COAT_OK;
}

static inline void
on_item(coat_store_req *req, const coat_store_item *item)
{
    FUZZ_CHECK(item->value.len <= COAT_STORE_VALUE_MAX);
    FUZZ_CHECK(ended[(size_t)(uintptr_t)req->ctx] == 0);
}

static inline void
has_ended(const coat_store_req *req)
{
    ended[(size_t)(uintptr_t)req->ctx]++;
    FUZZ_CHECK(req->result <= COAT_UNSUPPORTED);
}

/** The i-th request, for who asks for more than ask() does. */
static inline coat_store_req *
prepare(size_t i, coat_op op, uint8_t space, void (*done)(coat_store_req *req))
{
    reqs[i] = (coat_store_req){.op = op,
                               .space = (coat_space)(COAT_SPACE_SESSION + space % 3),
                               .now_ms = 1000,
                               .version = 5,
                               .item = on_item,
                               .done = done,
                               .ctx = (void *)(uintptr_t)i};
    memset(reqs[i].address.bytes, 'a', sizeof reqs[i].address.bytes);
    memset(reqs[i].owner.bytes, 'a', sizeof reqs[i].owner.bytes);
    ended[i] = 0;
    return &reqs[i];
}

static inline void
ask(coat_lane *lane, size_t i, coat_op op, uint8_t space, void (*done)(coat_store_req *req))
{
    coat_store_submit(lane, prepare(i, op, space, done));
}

static inline void
all_have_ended(void)
{
    for (size_t i = 0; i < REQUESTS; i++)
        FUZZ_CHECK(ended[i] == 1);
}

/** By which steps the input says that it is read. */
static inline size_t
step_of(uint8_t byte)
{
    return byte % 16 == 0 ? SIZE_MAX : byte % 16;
}

/** @param take  redis_bytes(), or another kind's; not after it has failed */
static inline void
feed(remote_link *link, void (*take)(void *link, const uint8_t *bytes, size_t len),
     const uint8_t *bytes, size_t len, size_t step)
{
    while (len > 0 && link->state != REMOTE_IDLE) {
        size_t n = len < step ? len : step;

        take(link, bytes, n);
        bytes += n;
        len -= n;
    }
}

#endif
