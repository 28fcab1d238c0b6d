/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_SUITE_MODEL_H
#define COAT_SUITE_MODEL_H

/**
 * The reference model of a store: slow and obvious. It knows nothing of epochs as an order:
 * what a revocation ends, it strikes out. It carries out one request at a time and says whether
 * what the store answered is right.
 */

#include "core/bytes.h"

#include <coatcheck/store.h>

enum { MODEL_ENTRIES = 256, MODEL_OWNERS = 32, MODEL_VALUE = 64, MODEL_ITEMS = 64 };

typedef struct model_entry {
    coat_space space;
    coat_handle address;
    uint64_t version;
    int64_t expires_ms;
    uint8_t value[MODEL_VALUE];
    size_t len;
} model_entry;

typedef struct model_spent { /* the highest version an address ever had */
    coat_space space;
    coat_handle address;
    uint64_t version;
} model_spent;

typedef struct model_owner {
    coat_owner owner;
    uint64_t epoch;
    int64_t raised_ms;
    bool forgettable; /* a sweep may have dropped the epoch: 0 would be right too */
    bool first;       /* never raised, though not 0; 0 stands for it too */
} model_owner;

typedef struct model_item {
    coat_handle address;
    uint64_t version;
    int64_t expires_ms;
    uint8_t value[MODEL_VALUE];
    size_t len;
} model_item;

typedef struct model {
    bool cache; /* COAT_CAP_CACHE */
    model_entry entries[MODEL_ENTRIES];
    size_t count;
    model_owner owners[MODEL_OWNERS];
    size_t owner_count;
    model_spent spent[MODEL_ENTRIES];
    size_t spent_count;
    uint64_t epoch_global, epoch_highest;
} model;

/** What the store did with a request. */
typedef struct model_seen {
    model_item items[MODEL_ITEMS];
    size_t item_count;
    uint8_t found[MODEL_VALUE];
    size_t found_len;
} model_seen;

/** The model's view of an owner's epoch; NULL if never raised. */
const model_owner *model_owner_get(const model *m, const coat_owner *owner);
const model_entry *model_find(const model *m, coat_space space, const coat_handle *address,
                              int64_t now_ms);
/** Sessions (or accounts, or meta entries) that are live. */
size_t model_live(const model *m, coat_space space, int64_t now_ms);

/**
 * Carry out the request in the model and compare.
 * @param asked  the request as it was submitted (limit as normalised)
 * @param req    as it was answered
 * @return NULL if all is right, else what is wrong
 */
const char *model_check(model *m, const coat_store_req *asked, const coat_store_req *req,
                        const model_seen *seen);

#endif
