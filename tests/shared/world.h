/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_TEST_WORLD_H
#define COAT_TEST_WORLD_H

/**
 * Several instances over one store, on one thread and in virtual time. Each instance has its
 * own coat_store over the same primary, and a channel of reports whose delivery is in the
 * test's hands: late, doubled, in another order where the contract allows that, cut, silent.
 * Requests can be held, and then take place and are answered when the test says so. Behind the
 * primary is a replica, as far behind as the test wants, which can take its place.
 */

#include "coat_test.h"
#include "core/bytes.h"
#include "engine/shared.h"

#include <coatcheck/coatcheck.h>

enum { WORLD_NODES = 3, WORLD_TABLE = 256 };

/* ---- the store ---- */

void world_open(void); /* store and channels; no instances yet */
void world_close(void);
/** A store that reports nothing; before instances start. */
void world_without_watch(void);
coat_store *world_store(unsigned node);

/** From now on requests of this kind (0: all) of this node are held. */
void world_hold(unsigned node, coat_op op, bool hold);
size_t world_held(void);
const coat_store_req *world_request(size_t index);
/** It takes place, or does not; its caller hears nothing yet. */
void world_place(size_t index);
void world_answer(size_t index); /* what came of it; STORE_DOWN if it was not placed */
void world_refuse(size_t index); /* answer STORE_DOWN, whatever came of it */
/** Requests of this node are answered STORE_DOWN and do not take place. */
void world_cut(unsigned node, bool cut);
uint64_t world_seen(unsigned node, coat_op op);
/** The address is there, whoever asks. */
bool world_has(const coat_handle *handle);
uint64_t world_epoch_global(void);

void world_replicate(void); /* the replica catches up */
/** The replica takes over; channels are lost first, silent ones without their noticing. */
void world_failover(void);

/* ---- channels ---- */

size_t channel_waiting(unsigned node);
coat_watch_kind channel_peek(unsigned node, size_t index);
/** Report the first `count` that wait. */
void channel_deliver(unsigned node, size_t count);
void channel_double(unsigned node, size_t index);
/** Swap with the next, if both are changes: else the order is promised. */
bool channel_swap(unsigned node, size_t index);
/** LOST: at once, or (late) behind what waits. Nothing comes until channel_join. */
void channel_lose(unsigned node, bool late);
void channel_join(unsigned node);
bool channel_open(unsigned node);
bool channel_joined(unsigned node);

/* ---- instances ---- */

typedef struct node {
    coat_engine_conf conf;
    coat_engine *engine;
    coat_desk *desk;
    int64_t wall, mono;
    bool silent;  /* channel is not delivered by itself */
    bool stopped; /* neither pulses nor delivery */
} node;

extern node nodes[WORLD_NODES];

void node_start(unsigned n); /* joins its channel and gets a lease */
void node_stop(unsigned n);  /* in order */
void nodes_end(void);        /* all of them */
/** Time passes for everybody in steps; nodes that run pulse and hear. */
void world_pass(int64_t ms);
/** Deliver what there is to nodes that run, until nothing moves. */
void world_settle(void);

typedef struct world_token {
    char text[COAT_TOKEN_CHARS];
} world_token;

/** A call that can wait: done tells. */
typedef struct started {
    coat_call call;
    bool done;
    char user[32];
    world_token token;
} started;

/** Start it; it may be over when this returns. Freed by world_close. */
started *begin(unsigned n, coat_call_op op, const world_token *token, const char *user);
/** Start it and let everything run until it is over. */
coat_err run(unsigned n, coat_call_op op, const world_token *token, const char *user,
             world_token *out);
/** At once: reports of it wait. */
coat_err patch(unsigned n, const world_token *token, const char *json);
world_token sign_in(unsigned n, const char *user);
coat_err check(unsigned n, const world_token *token);
/** The node table alone. */
coat_table_verdict peek(unsigned n, const world_token *token);
/** Checked until it is in the table of this node. */
void warm(unsigned n, const world_token *token);
coat_handle handle_of(const world_token *token);
unsigned events_of(coat_event_type type);

#endif
