/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_SUITE_HISTORY_H
#define COAT_SUITE_HISTORY_H

/** Random histories: one operation at a time, on a store and on the model. */

#include "store/suite/model.h"

typedef struct history history;
struct history {
    /* Where choices come from: a seeded generator, or the bytes of a fuzzer. Below limit. */
    uint64_t (*choose)(void *ctx, uint64_t limit);
    void *ctx;
    coat_lane *lane; /* without loop */
    model model;
    bool expires; /* COAT_CAP_EXPIRES */
    int64_t now_ms;
    /* Filled by a step, for messages. */
    coat_store_req asked, req;
    model_seen seen;
    uint8_t value[MODEL_VALUE];
};

void history_init(history *h, coat_lane *lane, uint64_t (*choose)(void *ctx, uint64_t limit),
                  void *ctx);
/** One random operation. @return NULL, or what the store did wrong */
const char *history_step(history *h);
/** Sweep everything, then compare all entries. */
const char *history_settle(history *h);

#endif
