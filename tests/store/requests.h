/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_TESTS_REQUESTS_H
#define COAT_TESTS_REQUESTS_H

/** Requests in one line, for tests of stores. Sessions are (owner, serial). */

#include "coat_test.h"
#include "core/bytes.h"

#include <coatcheck/store.h>
#include <string.h>

enum { NOW_MS = 1000000000, PATIENCE_MS = 60000, BULK = 512 };

/** SF-10: a server on this machine has this machine's clock. */
static inline void
check_store_clock(coat_lane *lane)
{
    coat_store_req req = {.op = COAT_OP_EPOCHS, .timeout_ms = PATIENCE_MS};
    int64_t before_ms = coat_clock_system(NULL);

    REQUIRE_OK(coat_store_run(lane, &req));
    CHECK(req.found_clock_ms >= before_ms);
    CHECK(req.found_clock_ms <= coat_clock_system(NULL));
}

/** It is not opened, and why not is said without the password. */
static inline void
check_url_refused(const struct coat_store_ops *ops, const char *url, const char *said)
{
    char message[400] = "";
    coat_store_conf conf = {.url = url, .message = message, .message_cap = sizeof message};
    coat_store *none = NULL;

    test_case(url);
    CHECK_ERR(ops->open(&conf, &none), COAT_INVALID);
    CHECK(none == NULL);
    if (strstr(message, said) == NULL)
        test_fail(__FILE__, __LINE__, "not \"%s\", but: %s", said, message);
    CHECK(strstr(message, "secret@") == NULL);
    coat_store_close(none);
    test_case(NULL);
}

static inline coat_owner
owner_of(uint64_t owner)
{
    coat_owner o;

    coat_store64be(o.bytes, owner * 0x9e3779b97f4a7c15U);
    return o;
}

static inline coat_handle
handle_of(uint64_t owner, uint64_t serial)
{
    coat_handle h;
    coat_owner o = owner_of(owner);

    coat_store64be(h.bytes, serial);
    memcpy(h.bytes + 8, o.bytes, 8);
    return h;
}

static inline void
done_nothing(coat_store_req *req)
{
    (void)req;
}

static inline coat_store_req
session_req(coat_op op, uint64_t owner, uint64_t serial)
{
    return (coat_store_req){.op = op,
                            .space = COAT_SPACE_SESSION,
                            .address = handle_of(owner, serial),
                            .owner = owner_of(owner),
                            .now_ms = NOW_MS,
                            .timeout_ms = PATIENCE_MS,
                            .done = done_nothing};
}

static inline coat_err
run_op(coat_lane *lane, coat_op op, uint64_t owner, uint64_t serial)
{
    coat_store_req req = session_req(op, owner, serial);

    return coat_store_run(lane, &req);
}

/** INSERT under the epochs of now. */
static inline coat_err
sign_in(coat_lane *lane, uint64_t owner, uint64_t serial, size_t len)
{
    static const uint8_t bytes[COAT_STORE_VALUE_MAX];
    coat_store_req epochs = session_req(COAT_OP_EPOCHS, owner, 0);
    coat_store_req req = session_req(COAT_OP_INSERT, owner, serial);

    if (coat_store_run(lane, &epochs) != COAT_OK)
        return epochs.result;
    req.epoch_owner = epochs.epoch_owner;
    req.epoch_global = epochs.epoch_global;
    req.value = (coat_span){bytes, len};
    return coat_store_run(lane, &req);
}

/** Insert serials from..to in bulk; stops at a group with a failure. @return inserted ones */
static inline uint64_t
sign_in_many(coat_lane *lane, uint64_t owner, uint64_t from, uint64_t to, size_t len,
             coat_err *last)
{
    static const uint8_t bytes[COAT_STORE_VALUE_MAX];
    static coat_store_req reqs[BULK];
    coat_store_req epochs = session_req(COAT_OP_EPOCHS, owner, 0);
    uint64_t inserted = 0;

    *last = coat_store_run(lane, &epochs);
    while (from < to && *last == COAT_OK) {
        size_t n = to - from < BULK ? to - from : BULK;

        for (size_t i = 0; i < n; i++) {
            reqs[i] = session_req(COAT_OP_INSERT, owner, from + i);
            reqs[i].epoch_owner = epochs.epoch_owner;
            reqs[i].epoch_global = epochs.epoch_global;
            reqs[i].value = (coat_span){bytes, len};
            coat_store_submit(lane, &reqs[i]);
        }
        for (size_t i = 0; i < n; i++) {
            lane->store->ops->wait(lane, &reqs[i]);
            inserted += reqs[i].result == COAT_OK;
            if (reqs[i].result != COAT_OK)
                *last = reqs[i].result;
        }
        from += n;
    }
    return inserted;
}

/** Remove serials from..to in bulk. */
static inline void
sign_out_many(coat_lane *lane, uint64_t owner, uint64_t from, uint64_t to)
{
    static coat_store_req reqs[BULK];

    while (from < to) {
        size_t n = to - from < BULK ? to - from : BULK;

        for (size_t i = 0; i < n; i++) {
            reqs[i] = session_req(COAT_OP_REMOVE, owner, from + i);
            coat_store_submit(lane, &reqs[i]);
        }
        for (size_t i = 0; i < n; i++) {
            lane->store->ops->wait(lane, &reqs[i]);
            CHECK_ERR(reqs[i].result, COAT_OK);
        }
        from += n;
    }
}

/** Sweep two whole walks. @return what was erased */
static inline uint64_t
sweep_all(coat_lane *lane, int64_t now_ms)
{
    uint64_t erased = 0;

    for (int walks = 0; walks < 2;) {
        coat_store_req req = session_req(COAT_OP_SWEEP, 0, 0);

        req.now_ms = now_ms;
        if (coat_store_run(lane, &req) != COAT_OK) {
            test_fail(__FILE__, __LINE__, "sweep: %s", coat_err_name(req.result));
            break;
        }
        erased += req.count;
        walks += !req.more;
    }
    return erased;
}

#endif
