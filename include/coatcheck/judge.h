/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COATCHECK_JUDGE_H
#define COATCHECK_JUDGE_H

/**
 * The heart: decides what a presented token means, and what a rotation changes.
 * Pure, total, allocation-free; any thread. See ARCHITECTURE.md "Rotation".
 */

#include <coatcheck/record.h>

/** What the operator set. Fill with coat_policy_default(), then change. */
typedef struct coat_policy {
    int64_t idle_ms;          /* 30 min */
    int64_t absolute_ms;      /* 12 h */
    int64_t remember_idle_ms; /* pair of remember-me sessions; 24 h in profile aal2 */
    int64_t remember_absolute_ms;
    int64_t rotate_every_ms;     /* 15 min */
    int64_t rotate_grace_ms;     /* 10 s */
    int64_t rotate_redeliver_ms; /* 60 s */
    uint64_t epoch_global;       /* records of a lower epoch are dead */
} coat_policy;

COAT_API void coat_policy_default(coat_policy *policy);

/** What this request asks beyond "is it live". Zeroed: nothing. */
typedef struct coat_demand {
    int64_t max_age_ms; /* step-up: authenticated no longer ago than this; 0: any age */
} coat_demand;

/** 0 is "no", so that a zeroed judgement denies. */
typedef enum coat_verdict {
    COAT_VERDICT_NONE = 0,    /* no session */
    COAT_VERDICT_STOLEN = 1,  /* a superseded secret came back after its grace */
    COAT_VERDICT_STEP_UP = 2, /* live, but authentication is too old for this request */
    COAT_VERDICT_LIVE = 3,
} coat_verdict;

/** Why, for logs and metrics; never told to the visitor. */
typedef enum coat_why {
    COAT_WHY_NONE = 0,
    COAT_WHY_LIVE,
    COAT_WHY_IDLE,     /* idle limit passed */
    COAT_WHY_ABSOLUTE, /* absolute limit passed */
    COAT_WHY_EPOCH,    /* everybody was signed out */
    COAT_WHY_REUSE,    /* see COAT_VERDICT_STOLEN */
    COAT_WHY_AGE,      /* see COAT_VERDICT_STEP_UP */
} coat_why;

typedef enum coat_bearer {
    COAT_BEARER_NONE = 0,
    COAT_BEARER_CURRENT,
    COAT_BEARER_PENDING,
    COAT_BEARER_PREVIOUS, /* within its grace */
} coat_bearer;

enum coat_due {
    COAT_DUE_NOTHING = 0,
    COAT_DUE_ROTATE = 1U << 0,  /* hand out a successor (a first or a repeated delivery) */
    COAT_DUE_CONFIRM = 1U << 1, /* the pending secret was presented: it becomes current */
};

typedef struct coat_judgement {
    coat_verdict verdict;
    coat_why why;
    coat_bearer bearer;
    uint32_t due;        /* coat_due bits; set for LIVE and STEP_UP */
    int64_t idle_end_ms; /* both known whenever the secret was recognised */
    int64_t absolute_end_ms;
    int64_t ends_ms;     /* the earlier of both */
    int64_t auth_age_ms; /* since authentication; -1: nobody signed in */
    int64_t next_due_ms; /* from when the current secret is due for ROTATE */
} coat_judgement;

/**
 * @param token    from coat_token_open(): its tag has been checked. A secret that is neither
 *                 current, pending nor previous was therefore issued by us and superseded
 *                 long ago: COAT_VERDICT_STOLEN.
 * @param seen_ms  last activity known to the caller; the later of it and record->seen_ms counts
 * Order: a dead session (epoch, absolute, idle) is NONE whatever the secret. Digests are
 * compared in constant time.
 */
COAT_API void coat_judge(const coat_record *record, const coat_token *token, int64_t now_ms,
                         int64_t seen_ms, const coat_policy *policy, const coat_demand *demand,
                         coat_judgement *out) COAT_NONNULL;

/**
 * The successor of a secret: BLAKE2b-128(key = record->rotation_key, message = secret), as a
 * whole token under the same handle, tagged.
 */
COAT_API void coat_rotate_successor(const coat_record *record, const coat_token *token,
                                    const coat_tag_keys *keys, coat_token *out) COAT_NONNULL;

/**
 * Apply what judgement->due says to record, for one compare-and-set. Whoever wins that
 * compare-and-set with COAT_DUE_ROTATE, and only it, sends the successor in a Set-Cookie.
 *  ROTATE:  pending = digest(successor), handed = now.
 *  CONFIRM: previous = current with grace, current = pending, pending cleared, rotated = now.
 * Does nothing when nothing is due. @return true if record changed.
 */
COAT_API bool coat_rotate_apply(coat_record *record, const coat_token *token, int64_t now_ms,
                                const coat_policy *policy,
                                const coat_judgement *judgement) COAT_NONNULL;

#endif
