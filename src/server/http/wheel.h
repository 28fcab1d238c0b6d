/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_SERVER_HTTP_WHEEL_H
#define COAT_SERVER_HTTP_WHEEL_H

/**
 * Coarse timeouts: one wheel per loop instead of one timer per connection. Putting a deadline
 * off, which every request does, is a store; the entry moves when its slot comes round. Time is
 * a parameter, so tests hold the clock. Nothing fires early; at most one step late.
 */

#include <stdbool.h>
#include <stdint.h>

#define COAT_WHEEL_SLOTS 512
#define COAT_WHEEL_STEP_MS 250

typedef struct coat_wheel_node {
    struct coat_wheel_node *next, *prev; /* NULL: not waiting */
    int64_t deadline_ms;
    int64_t step; /* of the slot it lies in */
} coat_wheel_node;

typedef struct coat_wheel {
    coat_wheel_node slots[COAT_WHEEL_SLOTS]; /* heads of rings */
    int64_t step;                            /* all up to here have fired */
} coat_wheel;

void coat_wheel_init(coat_wheel *wheel, int64_t now_ms);
/** Set or change a deadline. */
void coat_wheel_set(coat_wheel *wheel, coat_wheel_node *node, int64_t deadline_ms);
void coat_wheel_remove(coat_wheel_node *node);
/** Fire what is due. fire() may set and remove any node. */
void coat_wheel_advance(coat_wheel *wheel, int64_t now_ms,
                        void (*fire)(void *ctx, coat_wheel_node *node), void *ctx);

#endif
