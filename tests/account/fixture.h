/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_ACCOUNT_FIXTURE_H
#define COAT_ACCOUNT_FIXTURE_H

/** A directory with a memory store, cheap hashes, a clock and events that tests look at. */

#include "account/directory.h"
#include "account/entry.h"
#include "account/throttle.h"
#include "coat_test.h"
#include "core/bytes.h"
#include <stdlib.h>

#define GOOD_PASSWORD "a quiet lamp behind the sofa"
#define WRONG_PASSWORD "a quiet lamp behind the door"

typedef struct fixture {
    test_rng rng;
    int64_t now_ms;
    coat_keys *keys;
    coat_store *store;
    coat_lane *lane;
    coat_directory_conf conf;
    coat_directory *directory;
    coat_clerk *clerk;
    unsigned events[COAT_EVENT_COUNT];
    char reason[32];        /* of the last event with one */
    uint64_t count;         /* of the last event with one */
    coat_account_call call; /* of the last operation */
    char device[64];        /* shown with sign-ins; empty: a stranger */
} fixture;

static void
fixture_event(void *ctx, const coat_event *event)
{
    fixture *f = ctx;

    f->events[event->type]++;
    if (event->reason != NULL)
        (void)snprintf(f->reason, sizeof f->reason, "%s", event->reason);
    if (event->count != 0)
        f->count = event->count;
}

static inline void
fixture_open(fixture *f, const coat_directory_test *test)
{
    char message[160];

    REQUIRE_OK(coat_directory_open(&f->conf, test, &f->directory, message, sizeof message));
    REQUIRE_OK(coat_clerk_open(f->directory, f->lane, NULL, &f->clerk));
}

static const coat_directory_test fixture_weak = {.weak_ok = true};

/** Everything but the directory, so that a test can change the configuration. */
static inline void
fixture_prepare(fixture *f, const char *url)
{
    const coat_store_conf store = {.url = url, .map_bytes = 64 << 20};

    memset(f, 0, sizeof *f);
    REQUIRE_OK(coat_init());
    f->rng.state = 7;
    f->now_ms = 1700000000000;
    REQUIRE_OK(coat_keys_generate(f->now_ms, test_rng_fill, &f->rng, &f->keys));
    REQUIRE_OK(coat_store_open(&store, &f->store));
    REQUIRE_OK(coat_lane_open(f->store, NULL, &f->lane));
    coat_directory_conf_default(&f->conf);
    f->conf.keys = f->keys;
    f->conf.store = f->store;
    f->conf.argon_kib = 8;
    f->conf.argon_passes = 1;
    f->conf.hash_threads = 1;
    f->conf.rng = test_rng_fill;
    f->conf.rng_ctx = &f->rng;
    f->conf.clock = test_clock;
    f->conf.clock_ctx = &f->now_ms;
    f->conf.events = fixture_event;
    f->conf.events_ctx = f;
}

static inline void
fixture_init(fixture *f)
{
    fixture_prepare(f, "memory:");
    fixture_open(f, &fixture_weak);
}

static inline void
fixture_shut(fixture *f)
{
    coat_clerk_close(f->clerk);
    coat_directory_free(f->directory);
    f->clerk = NULL;
    f->directory = NULL;
}

static inline void
fixture_fini(fixture *f)
{
    fixture_shut(f);
    coat_lane_close(f->lane);
    coat_store_close(f->store);
    coat_keys_free(f->keys);
}

static inline coat_err
fixture_run(fixture *f, coat_account_call call)
{
    f->call = call;
    return coat_account_run(f->clerk, &f->call);
}

static inline coat_err
fixture_add(fixture *f, const char *name, const char *password)
{
    return fixture_run(f, (coat_account_call){.op = COAT_ACCOUNT_ADD,
                                              .name = coat_span_of(name),
                                              .password = coat_span_of(password),
                                              .roles = COAT_LIT("reader writer")});
}

/** With a hash of another system. */
static inline coat_err
fixture_import(fixture *f, const char *name, const char *hash)
{
    return fixture_run(f, (coat_account_call){.op = COAT_ACCOUNT_ADD,
                                              .name = coat_span_of(name),
                                              .hash = coat_span_of(hash)});
}

static inline coat_err
fixture_sign_in_span(fixture *f, coat_span name, coat_span password)
{
    return fixture_run(f, (coat_account_call){.op = COAT_ACCOUNT_SIGN_IN,
                                              .name = name,
                                              .password = password,
                                              .device = coat_span_of(f->device)});
}

static inline coat_err
fixture_sign_in(fixture *f, const char *name, const char *password)
{
    return fixture_sign_in_span(f, coat_span_of(name), coat_span_of(password));
}

static inline coat_err
fixture_do(fixture *f, coat_account_op op, const char *name)
{
    return fixture_run(f, (coat_account_call){.op = op, .name = coat_span_of(name)});
}

static inline coat_handle
fixture_address(fixture *f, const char *name)
{
    return coat_policy_address(f->directory->policy, coat_span_of(name));
}

/** Loads what is stored; @return length, 0 if absent */
static inline size_t fixture_stored(fixture *f, coat_space space, coat_handle address,
                                    uint8_t *buf, size_t cap, uint64_t *version);

typedef struct fixture_copy {
    uint8_t *buf;
    size_t cap, len;
} fixture_copy;

static void
fixture_copy_done(coat_store_req *req)
{
    fixture_copy *copy = req->ctx;

    copy->len = req->result == COAT_OK && req->found.len <= copy->cap ? req->found.len : 0;
    if (copy->len > 0)
        memcpy(copy->buf, req->found.ptr, copy->len);
}

static inline size_t
fixture_stored(fixture *f, coat_space space, coat_handle address, uint8_t *buf, size_t cap,
               uint64_t *version)
{
    fixture_copy copy = {buf, cap, 0};
    coat_store_req req = {.op = COAT_OP_LOAD,
                          .space = space,
                          .address = address,
                          .now_ms = f->now_ms,
                          .done = fixture_copy_done,
                          .ctx = &copy};
    coat_err err = coat_store_run(f->lane, &req);

    if (version != NULL)
        *version = err == COAT_OK ? req.found_version : 0;
    return copy.len;
}

static inline coat_err
fixture_overwrite(fixture *f, coat_space space, coat_handle address, coat_span value)
{
    uint8_t old[4096];
    uint64_t version;
    coat_store_req req = {.op = COAT_OP_REPLACE,
                          .space = space,
                          .address = address,
                          .value = value,
                          .now_ms = f->now_ms};

    (void)fixture_stored(f, space, address, old, sizeof old, &version);
    req.version = version;
    return coat_store_run(f->lane, &req);
}

/** The counter of an account for a class of clients; 0 if there is none. */
static inline uint32_t
fixture_failures(fixture *f, const char *name, coat_client_class client)
{
    coat_handle account = fixture_address(f, name);
    coat_handle place = coat_throttle_address(f->directory->policy, &account, client, false);
    uint8_t buf[256];
    coat_counter counter = {0, 0, 0};
    size_t len = fixture_stored(f, COAT_SPACE_META, place, buf, sizeof buf, NULL);

    if (len > 0 && coat_counter_decode(f->directory->policy, &place, (coat_span){buf, len},
                                       coat_throttle_whose(&account), &counter) != COAT_OK)
        return UINT32_MAX;
    return counter.failures;
}

/** Past every wait that a counter can ask for. */
static inline void
fixture_rest(fixture *f)
{
    f->now_ms += COAT_WAIT_MAX_MS;
}

#endif
