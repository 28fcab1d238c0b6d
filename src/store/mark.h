/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_STORE_MARK_H
#define COAT_STORE_MARK_H

/**
 * What a store says of itself while it is copied: at most one of two stores can be used, and
 * which one is decided here. An entry of META: "c" format u8 | state u8 | id (16) | URL of the
 * other store. Whoever opens a store to use it looks at the mark first.
 */

#include <coatcheck/store.h>

#define COAT_MARK_URL_MAX 1024

/** A store may hold accounts (accounts.url) after its sessions were moved, and the contrary. */
typedef enum coat_mark_of {
    COAT_MARK_OF_STORE = 0, /* of all in it, or of sessions */
    COAT_MARK_OF_ACCOUNTS,
} coat_mark_of;

typedef enum coat_mark_state {
    COAT_MARK_NONE = 0,       /* nobody copies: to be used */
    COAT_MARK_SOURCE = 's',   /* is being copied: to be used */
    COAT_MARK_HOLDING = 'h',  /* the last pass: not to be used, for a moment */
    COAT_MARK_MOVED = 'm',    /* the other one is to be used */
    COAT_MARK_FILLING = 'f',  /* a target: not complete */
    COAT_MARK_UNREADABLE = 1, /* of a later release, or damaged: not to be used */
} coat_mark_state;

typedef struct coat_mark {
    coat_mark_of of;
    coat_mark_state state;
    uint8_t id[16]; /* of the copy: both stores have the same */
    uint64_t version;
    char other[COAT_MARK_URL_MAX + 1];
} coat_mark;

const coat_handle *coat_mark_address(coat_mark_of of);

static inline bool
coat_mark_usable(coat_mark_state state)
{
    return state == COAT_MARK_NONE || state == COAT_MARK_SOURCE;
}

/** A LOAD of the mark of a store, to be submitted or run; in its done() coat_mark_take says
 * what it is. */
void coat_mark_ask(coat_store_req *req);
/** From an answered LOAD. Its result is OK or NO_SESSION. */
void coat_mark_take(const coat_store_req *req, coat_mark *out);

/** @retval STORE_DOWN etc. */
coat_err coat_mark_read(coat_lane *lane, coat_mark_of of, coat_mark *out) COAT_MUST_USE;
/** By the version in it. @retval CONFLICT, EXISTS, NO_SESSION  somebody else has changed it */
coat_err coat_mark_write(coat_lane *lane, coat_mark *mark) COAT_MUST_USE;
coat_err coat_mark_remove(coat_lane *lane, coat_mark_of of) COAT_MUST_USE;

/** Why a store with this mark is not to be used and what would help; for the operator. */
void coat_mark_explain(const coat_mark *mark, char *message, size_t cap);

#endif
