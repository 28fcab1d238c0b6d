/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_STORE_MEMORY_WATCH_H
#define COAT_STORE_MEMORY_WATCH_H

/**
 * Watches of the store in memory, which nobody else can change: a subject for the contract
 * suite. The caller holds the store's lock, unless a function says otherwise.
 */

#include "store/apply.h"

#include <pthread.h>

struct uv_loop_s;
typedef struct memory_watch memory_watch;

typedef struct memory_member {
    coat_handle instance;
    uint64_t version;
} memory_member;

typedef struct memory_watches {
    memory_watch *first;
    memory_member *members; /* the register */
    size_t count, cap;
    uint64_t version; /* last one given out in the register */
} memory_watches;

void memory_watches_free(memory_watches *all);
/** @param mutex  the store's, taken to deliver */
coat_err memory_watch_new(memory_watches *all, coat_lane *lane, struct uv_loop_s *loop,
                          pthread_mutex_t *mutex, const coat_watch_sink *sink,
                          memory_watch **out);
/** Frees it, and what it has not reported. */
void memory_watch_end(memory_watches *all, memory_watch *watch);
/** Report what is queued. Without the lock, on the lane's thread. NULL is a no-op. */
void memory_watch_deliver(memory_watch *watch);

/** A request has been carried out: tell the watches. */
void memory_watches_tell(memory_watches *all, const coat_store_req *req,
                         const coat_evicted *evicted);
/** SAY, LEAVE. What the register holds is reported to `emit`. */
void memory_watches_apply(memory_watches *all, coat_store_req *req,
                          coat_err (*emit)(void *ctx, coat_store_req *req,
                                           const coat_store_item *item),
                          void *ctx);

#endif
