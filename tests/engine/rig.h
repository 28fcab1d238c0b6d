/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_TEST_RIG_H
#define COAT_TEST_RIG_H

/** Engines over one store, with clock, randomness and events in the test's hands. */

#include "coat_test.h"
#include "core/bytes.h"
#include "sched_store.h"

#include <coatcheck/coatcheck.h>

enum { RIG_ENGINES = 3, RIG_EVENTS = 8192 };
#define SECOND ((int64_t)1000)
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)

typedef struct rig_event {
    coat_event_type type;
    char reason[32];
    char user[64];
    bool has_handle;
    coat_handle handle;
} rig_event;

typedef struct rig_token {
    char text[COAT_TOKEN_CHARS];
} rig_token;

typedef struct rig {
    coat_engine_conf conf;
    int64_t wall, mono;
    test_rng random;
    int rng_left; /* calls until the source fails; below 0: never */
    coat_keys *keys;
    coat_store *inner, *store;
    unsigned engines;
    coat_engine *engine[RIG_ENGINES];
    coat_desk *desk[RIG_ENGINES];
    coat_call call; /* the last one run; its session is freed with the next */
    rig_event events[RIG_EVENTS];
    unsigned event_count;
} rig;

/**
 * rig_prepare(), change r->conf, rig_start().
 * @param url      NULL: in memory, scheduled (sched_store.h); else that store as it is
 * @param engines  with more than one there is no node table: they share the store only
 */
void rig_prepare(rig *r, const char *url, unsigned engines);
void rig_start(rig *r);
void rig_stop(rig *r);
/** Both of the above with default settings. */
void rig_open(rig *r, unsigned engines);
/** Stop and start the engines: as a restart of the process, with the same store. */
void rig_restart(rig *r);

void rig_pass(rig *r, int64_t ms);
unsigned rig_events(const rig *r, coat_event_type type);
void rig_forget(rig *r);

coat_span rig_span(const rig_token *token);
/** Run a call on an engine; the result stays in r->call. */
coat_err rig_run(rig *r, unsigned engine, coat_call call);
rig_token rig_sign_in(rig *r, unsigned engine, const char *user);
rig_token rig_token_of(const rig *r);
coat_err rig_check(rig *r, unsigned engine, const rig_token *token);
/** A check as a door makes it: the table first. */
coat_err rig_knock(rig *r, unsigned engine, const rig_token *token);
coat_err rig_end(rig *r, unsigned engine, const rig_token *token);
coat_err rig_end_user(rig *r, unsigned engine, const char *user);
coat_err rig_patch(rig *r, unsigned engine, const rig_token *token, const char *json);
coat_handle rig_handle(const rig_token *token);
/** Live sessions of a user, as listed. */
unsigned rig_listed(rig *r, unsigned engine, const char *user);
bool rig_data_is(const rig *r, const char *json);

#endif
