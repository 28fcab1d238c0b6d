/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_TEST_SCHED_STORE_H
#define COAT_TEST_SCHED_STORE_H

/**
 * A store over another one in which the test decides when each request takes place and what
 * its caller hears: so races are enumerated instead of hoped for. One thread.
 */

#include <coatcheck/store.h>

typedef enum sched_fate {
    SCHED_RUN,    /* takes place, is answered */
    SCHED_REFUSE, /* does not take place; STORE_DOWN */
    SCHED_LOSE,   /* takes place; STORE_DOWN */
    SCHED_LATE,   /* STORE_DOWN now; takes place at sched_catch_up(), or with a SWEEP */
    SCHED_FULL,   /* does not take place; STORE_FULL */
} sched_fate;

coat_store *sched_store_new(coat_store *inner); /* close with coat_store_close; inner stays */
/** At once (true, as at the beginning), or when the test says so? */
void sched_immediate(coat_store *store, bool immediate);
size_t sched_waiting(const coat_store *store);
const coat_store_req *sched_request(const coat_store *store, size_t index);
void sched_finish(coat_store *store, size_t index, sched_fate fate);
/** The next `count` requests of this kind (0: of any) meet this fate. */
void sched_fail(coat_store *store, coat_op op, sched_fate fate, unsigned count);
/** Call once just before the next request of this kind takes place: something overtakes it. */
void sched_before(coat_store *store, coat_op op, void (*overtake)(void));
/** The same when it has taken place, just before its caller hears of it. */
void sched_after(coat_store *store, coat_op op, void (*overtake)(void));
/** From now on EPOCHS tells this clock as the store's own; NULL: it tells none. */
void sched_clock(coat_store *store, const int64_t *clock_ms);
/** What was late takes place. */
void sched_catch_up(coat_store *store);
/** Requests seen, of one kind or (0) of all. */
uint64_t sched_seen(const coat_store *store, coat_op op);

#endif
