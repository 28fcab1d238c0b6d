/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_STORE_APPLY_H
#define COAT_STORE_APPLY_H

/** The operations that write, once for memory and LMDB. */

#include "store/kv.h"
#include "store/value.h"

/** Where the sweep stands. Lives in the store; a copy is put back when a transaction fails. */
typedef struct coat_sweeper {
    int phase;
    bool inside; /* key is the last entry looked at in this phase */
    uint8_t key[COAT_KEY_MAX];
    /* Owner epochs up to `settled` are older than any sign-in that this process has begun and
     * not finished; up to `pending` they will be, a day of this machine's clock later. */
    uint64_t settled, pending;
    int64_t pending_mono_ms;
} coat_sweeper;

/** Sessions that an INSERT evicted, to be reported once that is durable. */
typedef struct coat_evicted {
    coat_handle *handles;
    uint32_t count;
} coat_evicted;

/** One transaction as the operations see it. */
typedef struct coat_work {
    coat_kv *kv;
    coat_sweeper *sweeper;
    uint8_t *scratch;   /* COAT_STORE_VALUE_MAX bytes */
    uint64_t version;   /* the next version to give out */
    int64_t room;       /* bytes that INSERT may still use */
    int64_t entry_cost; /* bytes that an entry takes beside its value, at most */
    int64_t mono_ms;
} coat_work;

enum { COAT_GROWTH_MAX = 1024 }; /* what REPLACE may add to a value in a full store */

/**
 * Carry out req: its answer goes to req->result.
 * @retval COAT_OK  decided, whatever the answer; anything else: the transaction has failed
 */
coat_err coat_apply(coat_work *work, coat_store_req *req, coat_evicted *evicted);

/** SWEEP (sweep.c). */
coat_err coat_apply_sweep(coat_work *work, coat_store_req *req);

/** Erase a session's value and its entry in the index; absent is fine. */
coat_err coat_erase_session(coat_kv *kv, const coat_handle *handle);

#endif
