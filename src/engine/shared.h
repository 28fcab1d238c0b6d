/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_ENGINE_SHARED_H
#define COAT_ENGINE_SHARED_H

/**
 * Shared mode: other machines change sessions too (ARCHITECTURE.md, "Shared mode"). Only where
 * the store has COAT_CAP_SHARED; else engine->shared is NULL and nothing here runs. Without
 * COAT_CAP_WATCH no table is ever trusted, so nobody need confirm anything: what is left is the
 * journal, of what this instance itself has ended.
 *
 *  lease.c    how long the node table may be trusted
 *  watch.c    what the store reports, and what follows from it; beats
 *  confirm.c  a termination is acknowledged once no instance can think otherwise (RV-1)
 *  members.c  the register of instances, as last read, and what they have confirmed
 *  journal.c  what has ended lately, whatever the store says (RV-5)
 *  repair.c   telling the store again what it has lost
 *
 * One desk keeps it: the one that ticks. It has the watch; what it hears it passes on.
 */

#include "engine/internal.h"
#include "engine/lease.h"

enum {
    COAT_PULSE_MS = 250,
    /* How long a termination waits for those who do not confirm it: as long as their lease
     * can last, and what clocks may differ by meanwhile. */
    COAT_CONFIRM_MS = COAT_LEASE_MS + 50,
    COAT_MEMBER_DEAD_MS = 10000,
    COAT_MESSAGE_BYTES = 18,
};

/* ---- message.c: what instances say to one another ---- */

typedef enum coat_message_kind {
    COAT_MESSAGE_BEAT = 1,    /* to oneself: turn, number */
    COAT_MESSAGE_SYNC = 2,    /* to all: who has heard this has heard what was before */
    COAT_MESSAGE_CONFIRM = 3, /* to one: so I have, up to your number */
} coat_message_kind;

typedef struct coat_message {
    coat_message_kind kind;
    uint64_t turn, number;
} coat_message;

void coat_message_put(const coat_message *message, uint8_t bytes[COAT_MESSAGE_BYTES]);
/** @return false: not one of ours, or of a later release: no reason to do anything */
bool coat_message_get(coat_span bytes, coat_message *out);

/* ---- members.c ---- */

typedef struct coat_member {
    coat_handle instance;
    uint64_t version;
    int64_t since_ms;  /* when this version was first read here */
    bool silent;       /* it has said nothing for longer than a lease lasts */
    int64_t tidied_ms; /* when it was last tried to take it out of the register */
    uint64_t confirmed;
    /* What it is to be told. */
    uint64_t heard, answered;
    bool answering;
} coat_member;

typedef struct coat_members {
    coat_member *list;
    size_t count, cap;
    uint64_t version; /* of the register as it was read: our own entry's */
    uint64_t synced;  /* the highest SYNC that was said with or before that reading */
    bool trusted;     /* it was read and stored whole */
} coat_members;

/** A register as it is reported: collected in the task, then stored. */
typedef struct coat_roll {
    coat_store_item *items;
    size_t count, cap;
    bool failed;
} coat_roll;

void coat_members_free(coat_members *members);
/** Another server may have another register. */
void coat_members_reset(coat_members *members);
void coat_roll_add(coat_roll *roll, const coat_store_item *item);
void coat_roll_free(coat_roll *roll);
/** @param sent_ms  when it was asked for */
void coat_members_store(coat_members *members, const coat_roll *roll, const coat_handle *self,
                        uint64_t version, uint64_t number, int64_t sent_ms, int64_t now_ms);
/** NULL without memory. */
coat_member *coat_members_get(coat_members *members, const coat_handle *instance);
/** Has everybody who may hold a lease confirmed the number? */
bool coat_members_confirmed(const coat_members *members, const coat_handle *self,
                            uint64_t number);

/* ---- the state ---- */

typedef struct coat_shared {
    coat_engine *engine;
    coat_handle id; /* of this instance */
    bool watching;  /* the store reports changes */
    coat_clock_fn monotonic;
    void *monotonic_ctx;
    _Atomic uint64_t number; /* of SYNCs */
    _Atomic uint64_t turn;   /* of READY and LOST, as lease.turn */
    _Atomic bool entered;    /* perhaps in the register */
    _Atomic bool global_due; /* the store has lost the global epoch */
    /* Reports that were lost for a while; what was forgotten; waits that ended by time; what
     * the store was told again. */
    _Atomic uint64_t lost, forgotten, unconfirmed, repaired;
    coat_journal journal;

    pthread_mutex_t mutex; /* guards what follows */
    coat_members members;
    coat_desk *desks; /* those open */
    int64_t ready_ms; /* when the watch became ready; 0: it is not */

    /* Other desks ask, too, whether they are it; only its own thread changes it. */
    _Atomic(coat_desk *) keeper;
    /* The keeper's thread only. */
    coat_watch *watch;
    coat_lease lease;
    uint32_t pulses;
    uint32_t repairs;           /* under way */
    bool reading;               /* epochs, after READY */
    struct coat_pulser *pulser; /* timer */
} coat_shared;

/** What a desk has in shared mode. */
typedef struct coat_waiting {
    coat_desk *next_desk;    /* in shared->desks */
    coat_task *first, *last; /* tasks that wait, in order of their deadlines */
    bool flying;             /* a SYNC is on its way to the store */
    bool again;              /* and another is wanted */
    coat_task *sync;
    struct coat_waker *waker; /* NULL: no loop */
} coat_waiting;

int64_t coat_shared_mono_ms(const coat_shared *shared);

coat_err coat_shared_new(coat_engine *engine, const coat_engine_conf *conf);
void coat_shared_free(coat_engine *engine);
void coat_shared_stats(const coat_engine *engine, coat_engine_stats *out);
/** Before the blocking desk is closed: out of the register. */
void coat_shared_leave(coat_engine *engine, coat_desk *desk);

/* ---- watch.c ---- */

/** To be called every COAT_PULSE_MS on the desk that ticks; the first becomes the keeper. */
void coat_shared_pulse(coat_desk *desk);
/** The keeper closes. */
void coat_shared_unkeep(coat_desk *desk);

/* ---- confirm.c ---- */

coat_err coat_waiting_new(coat_desk *desk, struct uv_loop_s *loop);
/** Tasks that wait end in CANCELLED. */
void coat_waiting_free(coat_desk *desk);
/** Go on with those whose wait is over. On the desk's thread. */
void coat_waiting_look(coat_desk *desk);
/** Wait for one task, on a desk without loop. */
void coat_waiting_block(coat_task *task);
/** An instance has confirmed a number. */
void coat_confirm_heard(coat_shared *shared, const coat_handle *from, uint64_t number);
/** A SYNC was heard: confirm it. Keeper's thread. */
void coat_confirm_answer(coat_shared *shared, const coat_handle *to, uint64_t number);

/* ---- repair.c ---- */

/** Start telling the store again what is due. Keeper's thread. */
void coat_repair(coat_desk *desk);

/* ---- say.c ---- */

/**
 * A task that says something, for the desk's own purposes: ends in task->finished.
 * @param to    NULL: everybody
 * @param roll  read the register on the way
 */
coat_task *coat_say_new(coat_desk *desk, const coat_message *message, const coat_handle *to,
                        bool roll, void (*finished)(coat_task *task));

#endif
