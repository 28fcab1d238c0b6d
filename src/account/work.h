/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_ACCOUNT_WORK_H
#define COAT_ACCOUNT_WORK_H

/**
 * One call on a clerk, as a chain of steps. A step asks for at most one thing (a store
 * operation, a hash) and names the step that goes on with its result; or it finishes. Steps run
 * on the clerk's thread, one after the other, never inside one another.
 */

#include "account/directory.h"
#include "account/entry.h"
#include "account/throttle.h"

#define COAT_TRIES_MAX 32 /* lost compare-and-sets until BUSY */

typedef struct coat_work coat_work;
typedef void (*coat_step)(coat_work *work);

typedef enum coat_work_state { COAT_WORK_RUN, COAT_WORK_STORE, COAT_WORK_HASH } coat_work_state;

struct coat_work {
    coat_clerk *clerk; /* NULL: cancelled, only the store still knows it */
    coat_account_call *call;
    coat_directory *directory;
    coat_policy *policy;
    coat_work *prev, *next;
    coat_work_state state;
    coat_step step;
    bool going, finished;
    uint32_t tries;

    /* The store's operation and what it found. */
    coat_store_req req;
    coat_err result;
    uint64_t version;
    uint8_t found[COAT_ENTRY_MAX + COAT_MARK_BYTES]; /* an account */
    size_t found_len;
    uint8_t found_counter[COAT_COUNTER_STORED];
    size_t found_counter_len;
    uint8_t value[COAT_ENTRY_MAX + COAT_MARK_BYTES];

    /* Of whom; where. */
    coat_name name;
    coat_handle account;
    coat_entry entry; /* borrows from found */
    uint64_t entry_version;
    void (*change)(coat_work *work);

    /* Sign-in. */
    bool absent;  /* no such account, or one that cannot be read */
    bool rewound; /* the clock was set back: only the counter's time is corrected */
    coat_client_class client;
    uint32_t limit;
    coat_handle place;
    coat_counter before, counter;
    uint64_t counter_version;

    /* Hashing. */
    coat_job job;
    coat_hash hash; /* borrows from stored */
    uint8_t stored[COAT_HASH_MAX];
    bool usable; /* hash is set */
    uint8_t password[COAT_PASSWORD_NFC_MAX];
    size_t password_len;
};

static inline int64_t
coat_work_now_ms(const coat_work *work)
{
    return coat_policy_now_ms(work->policy);
}

/* Each ends the running step; `then` goes on with work->result. */
void coat_work_load(coat_work *work, coat_space space, const coat_handle *address,
                    coat_step then);
/** Writes work->value[0..len): INSERT if version is 0, REPLACE of that version otherwise. */
void coat_work_write(coat_work *work, coat_space space, const coat_handle *address, size_t len,
                     uint64_t version, coat_step then);
void coat_work_remove(coat_work *work, coat_space space, const coat_handle *address,
                      coat_step then);
void coat_work_submit(coat_work *work, coat_step then); /* work->req, otherwise filled */
void coat_work_hash(coat_work *work, coat_job_kind kind, coat_step then);
void coat_work_finish(coat_work *work, coat_err result);
void coat_work_event(const coat_work *work, coat_event_type type, bool failed,
                     const char *reason, coat_span user, uint64_t count);

/** Copy the password in NFC; as received if it is not UTF-8. @return whether it is UTF-8 */
bool coat_work_take_password(coat_work *work);

/** Read what was found as the account; reports what cannot be read. */
coat_err coat_work_read_entry(coat_work *work) COAT_MUST_USE;
/** Encode work->entry and write it in place of the version that was read. */
void coat_work_write_entry(coat_work *work, uint64_t version, coat_step then);

/** First steps. */
void coat_signin_begin(coat_work *work);
void coat_manage_begin(coat_work *work);

#endif
