/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_ENGINE_INTERNAL_H
#define COAT_ENGINE_INTERNAL_H

/**
 * What the files of the engine share.
 *
 * A call that has to ask the store is a task: a state machine whose `step` is the next thing to
 * do once the store has answered `req`. One task is one allocation; the snapshots of records it
 * works on (struct coat_session) are one each.
 */

#include "engine/clock.h"
#include "engine/count.h"
#include "engine/journal.h"
#include "engine/outbox.h"
#include "engine/skew.h"
#include "engine/unsettled.h"
#include "table/writer.h"

#include <coatcheck/engine.h>
#include <pthread.h>
#include <stdatomic.h>

enum {
    COAT_SEAL_SESSION = 1,   /* kind byte of a session's seal */
    COAT_TRIES_CHECK = 8,    /* compare-and-set rounds of a check, whose writes can wait */
    COAT_TRIES_MUST = 64,    /* ... of a call whose write is its purpose */
    COAT_LAG_MAX_MS = 60000, /* LC-4: activity is folded in at most this late */
};

/** A configuration in force; immutable, shared by count. */
typedef struct coat_setup {
    atomic_uint refs;
    coat_engine_conf conf;
} coat_setup;

typedef struct coat_late { /* activity still to be folded in */
    coat_handle handle;
    int64_t seen_ms;
} coat_late;

enum { COAT_LATE_MAX = 4096 };

struct coat_engine {
    pthread_mutex_t mutex; /* setup, late */
    coat_setup *setup;
    coat_table_writer *writer; /* NULL: no table (table_slots is 0) */
    coat_clock clock;
    coat_counters counters;
    coat_unsettled unsettled;
    coat_outbox outbox;
    atomic_bool store_down, store_full; /* reported, not yet recovered */
    coat_skew skew;
    atomic_bool skew_due; /* to be measured: the store was away, it may be another one */
    _Atomic uint64_t epoch_global; /* highest one seen */
    coat_late late[COAT_LATE_MAX]; /* evicted from the table before they were folded in */
    uint32_t late_count;
    uint64_t fold_at; /* next slot that folding looks at; of whoever keeps house */
    pthread_mutex_t blocking_mutex;
    coat_desk *blocking;
    struct coat_shared *shared;     /* NULL: nobody else changes sessions */
    _Atomic int64_t trust_until_ms; /* trust.h; 0: always */
};

typedef struct coat_task coat_task;

struct coat_desk {
    coat_engine *engine;
    coat_lane *lane;
    bool looped; /* driven by a loop */
    struct uv_loop_s *loop;
    coat_task *tasks; /* outstanding */
    bool closing;
    struct coat_housekeeping *housekeeping; /* of the desk that ticks */
    struct coat_waiting *waiting;           /* shared mode */
};

typedef void (*coat_step)(coat_task *task);

typedef enum coat_task_state {
    COAT_TASK_READY,
    COAT_TASK_WAITING,
    COAT_TASK_FINISHED,
} coat_task_state;

struct coat_task {
    coat_store_req req;
    coat_call *call;                   /* NULL: housekeeping */
    void (*finished)(coat_task *task); /* housekeeping's done() */
    coat_desk *desk;
    coat_setup *setup;
    coat_task *prev, *next;
    coat_step step;
    coat_task_state state;
    bool driving; /* a step is running: an answer inside submit only marks it ready */
    bool waited;  /* coat_call_run drives it */
    coat_err result;

    int64_t now_ms;
    int64_t sent_ms; /* of EPOCHS */
    int64_t seen_ms; /* last activity known besides the record's */
    uint32_t tries;
    coat_handle handle;
    coat_token token; /* as presented, opened */
    bool has_token;
    coat_session *have;  /* as loaded */
    coat_session *after; /* as to be committed, or committed */
    coat_err unsealed;   /* what became of the bytes LOAD found */
    coat_table_ticket ticket;
    coat_changes gates;   /* what is to be lifted at the end */
    bool gates_unsettled; /* a write has got no definite answer */
    bool waits;           /* until others have confirmed what has ended (confirm.c) */
    int64_t wait_until_ms;
    uint64_t wait_number;
    coat_task *wait_next;

    union {
        struct {
            bool folded;         /* activity was written already */
            bool context_strict; /* the visitor looks different: step-up */
            coat_why why;
            coat_event_type event; /* what ending it is reported as */
            const char *reason;
            uint32_t wants; /* call_check.c */
            uint32_t changed;
        } check;
        struct {
            coat_token issued;
            coat_epochs epochs;
            bool follows, same_owner, stolen;
            bool undo; /* the new session is taken back */
            coat_err undo_err;
        } create;
        struct {
            coat_owner owner;
            bool has_spare;
            coat_handle spare;
            coat_handle cursor;
            bool has_cursor;
            bool more;  /* than are listed */
            bool moved; /* the cursor, in this page */
            uint32_t listed;
        } list;
        struct {
            coat_end end;
            bool past, lost;        /* one is younger; one could not be kept */
            bool has_cursor, moved; /* moved: in this page */
            bool more;              /* there is another page */
            coat_handle cursor;
        } replay;
        struct {
            uint8_t bytes[18];
            uint8_t kind;
            bool has_to;
            coat_handle to;
            uint64_t number, turn;
            int64_t sent_ms;
            struct coat_roll *roll;
        } say;
        struct {
            bool global;
            coat_journal_item item;
        } repair;
    } u;
};

/* ---- engine.c ---- */
coat_setup *coat_setup_take(coat_engine *engine);
void coat_setup_drop(coat_setup *setup);
/** The policy to judge by: the configured one at the highest global epoch seen. */
coat_policy coat_engine_policy(coat_engine *engine, const coat_setup *setup);
void coat_engine_epoch(coat_engine *engine, uint64_t epoch_global);

/* ---- trust.c ---- */
bool coat_engine_is_trusted(coat_engine *engine);
/** Send the task's request, if the store may be used; else it is answered STORE_DOWN. */
void coat_trust_submit(coat_task *task);

/* ---- events.c ---- */
void coat_report(const coat_task *task, coat_event_type type, const char *reason,
                 const coat_handle *handle, coat_span user);
void coat_report_count(coat_engine *engine, const coat_setup *setup, coat_event_type type,
                       const char *reason, uint64_t count);
/** Every answer of the store passes here: outages are reported once, and their end. */
void coat_note_store(const coat_task *task, coat_err result);
/** An answer of EPOCHS, asked for at sent_ms, has come: how far is our clock from the store's?
 */
void coat_note_clock(coat_engine *engine, const coat_setup *setup, const coat_store_req *req,
                     int64_t sent_ms);

/* ---- task.c ---- */
/** @return NULL without memory */
coat_task *coat_task_new(coat_desk *desk, coat_call *call, coat_step first);
/** Run until it waits or is over; if it is over, done() and release. */
void coat_task_drive(coat_task *task);
/** Run to its end on a lane without loop. */
void coat_task_run(coat_task *task);
/** A zeroed request of this kind, with the clock filled in. */
coat_store_req *coat_task_req(coat_task *task, coat_op op);
void coat_task_submit(coat_task *task, coat_step next);
void coat_task_finish(coat_task *task, coat_err result);
/** Has this write possibly taken place although its result is an error? */
bool coat_undecided(coat_err result);
void coat_call_fail(coat_call *call, coat_err result);
void coat_call_reset(coat_call *call);

/* ---- commit.c: loading and replacing one record ---- */
void coat_task_load(coat_task *task, coat_step next);
/** Answer of LOAD: OK with task->have; else what the call is to end with, reported. */
coat_err coat_task_loaded(coat_task *task);
/** Compare-and-set task->have to record; afterwards task->after is what was written. */
coat_err coat_task_replace(coat_task *task, const coat_record *record, coat_step next);
/** The same where only activity differs: nobody need hear of that. */
coat_err coat_task_fold(coat_task *task, const coat_record *record, coat_step next);
/** Is the loaded session within its limits, whoever asks? */
bool coat_task_alive(coat_task *task);
int64_t coat_record_expiry(const coat_record *record);
int64_t coat_lag_ms(const coat_record *record);
void coat_task_known_activity(coat_task *task);

/* ---- session.c ---- */
struct coat_session {
    coat_record record; /* spans point into bytes */
    coat_handle handle;
    uint64_t version;
    int64_t seen_ms;
    size_t size; /* of bytes */
    size_t len;  /* of the sealed record in bytes */
    uint8_t bytes[];
};
/** Copy, unseal, view. @retval TAMPERED, MALFORMED, NEWER_FORMAT, NO_MEMORY */
coat_err coat_session_open(const coat_keys *keys, const coat_handle *handle, coat_span sealed,
                           uint64_t version, coat_session **out);
/** Encode and seal. @retval TOO_LARGE, NO_MEMORY */
coat_err coat_session_make(const coat_keys *keys, const coat_handle *handle,
                           const coat_record *record, coat_session **out);
static inline coat_span
coat_session_sealed(const coat_session *session)
{
    return (coat_span){session->bytes, session->len};
}

/* ---- the calls ---- */
void coat_check_start(coat_task *task);
void coat_check_kill(coat_task *task, coat_event_type event, const char *reason);
void coat_check_again(coat_task *task);
void coat_create_start(coat_task *task);
void coat_renew_start(coat_task *task);
void coat_patch_start(coat_task *task);
void coat_end_start(coat_task *task);
void coat_end_user_start(coat_task *task);
void coat_end_all_start(coat_task *task);
void coat_read_start(coat_task *task);
void coat_list_start(coat_task *task);
/** A page of a list may have passed many that are dead behind the last one reported: go on
 * behind those. @return whether the cursor was moved */
bool coat_list_behind(const coat_store_req *req, coat_handle *cursor, bool *has_cursor);
void coat_epochs_start(coat_task *task);
/** May tokens be issued? OK or CLOCK_OFF, by the last answer of EPOCHS (SF-10). */
coat_err coat_may_issue(coat_engine *engine);
/** Read the epochs of the same owner once more. */
void coat_epochs_again(coat_task *task, coat_step next);
void coat_alive_start(coat_task *task);

/* ---- shared mode (shared.h); without it these do nothing, and find nothing wrong ---- */
/**
 * The store has answered that something is ended: go on when nobody can think otherwise. Lifts
 * the task's gates. Afterwards req.result is OK, or CANCELLED if the desk has closed.
 */
void coat_confirm(coat_task *task, coat_step next);
/** Note what has ended, so that the store cannot forget it (RV-5). */
void coat_shared_ended(coat_engine *engine, const coat_handle *handle);
void coat_shared_owner_ended(coat_engine *engine, coat_owner owner, uint64_t epoch,
                             const coat_handle *spare);
/** The store was away: it may have come back as it was before. */
void coat_shared_doubt(coat_engine *engine);
/** Is what was loaded known to have ended? */
bool coat_shared_denies(coat_engine *engine, const coat_handle *handle,
                        const coat_record *record);
/** Take over the global epoch as read. @return false if it was higher before */
bool coat_shared_epoch(coat_engine *engine, uint64_t epoch_global);
/** The same for an answer of EPOCHS about an owner. false: it is not to be relied on. */
bool coat_shared_epochs(coat_engine *engine, coat_owner owner, const coat_store_req *req);

/* ---- tick.c, fold.c ---- */
void coat_housekeeping_free(coat_desk *desk);
/** Finish everything that is under way on a desk without loop. */
void coat_desk_drain(coat_desk *desk);
/** Fold in all activity there is; for a desk without loop, at shutdown. */
void coat_fold_all(coat_desk *desk);
void coat_engine_late(void *engine, const coat_handle *handle, int64_t seen_ms);

#endif
