/* SPDX-License-Identifier: Apache-2.0 */
#include "server/http/wheel.h"

#include <stddef.h>

static void
ring_init(coat_wheel_node *head)
{
    head->next = head->prev = head;
}

static void
link_before(coat_wheel_node *head, coat_wheel_node *node)
{
    node->prev = head->prev;
    node->next = head;
    head->prev->next = node;
    head->prev = node;
}

/* First step at which the deadline has passed. */
static int64_t
step_of(const coat_wheel *wheel, int64_t deadline_ms)
{
    int64_t step = (deadline_ms + COAT_WHEEL_STEP_MS - 1) / COAT_WHEEL_STEP_MS;

    if (step <= wheel->step)
        return wheel->step + 1;
    /* Farther than the wheel is round: it comes by and is put in again. */
    if (step >= wheel->step + COAT_WHEEL_SLOTS)
        return wheel->step + COAT_WHEEL_SLOTS - 1;
    return step;
}

void
coat_wheel_init(coat_wheel *wheel, int64_t now_ms)
{
    for (size_t i = 0; i < COAT_WHEEL_SLOTS; i++)
        ring_init(&wheel->slots[i]);
    wheel->step = now_ms / COAT_WHEEL_STEP_MS;
}

void
coat_wheel_set(coat_wheel *wheel, coat_wheel_node *node, int64_t deadline_ms)
{
    int64_t step = step_of(wheel, deadline_ms);

    node->deadline_ms = deadline_ms;
    if (node->next != NULL && node->step <= step)
        return;
    coat_wheel_remove(node);
    node->step = step;
    link_before(&wheel->slots[step % COAT_WHEEL_SLOTS], node);
}

void
coat_wheel_remove(coat_wheel_node *node)
{
    if (node->next == NULL)
        return;
    node->next->prev = node->prev;
    node->prev->next = node->next;
    node->next = node->prev = NULL;
}

static void
advance_one(coat_wheel *wheel, int64_t now_ms, void (*fire)(void *ctx, coat_wheel_node *node),
            void *ctx)
{
    coat_wheel_node due, *head = &wheel->slots[++wheel->step % COAT_WHEEL_SLOTS];

    if (head->next == head)
        return;
    /* Onto a ring of its own: fire() may put new nodes into this very slot. */
    due = *head;
    due.next->prev = due.prev->next = &due;
    ring_init(head);
    while (due.next != &due) {
        coat_wheel_node *node = due.next;

        coat_wheel_remove(node);
        if (node->deadline_ms <= now_ms)
            fire(ctx, node);
        else
            coat_wheel_set(wheel, node, node->deadline_ms);
    }
}

void
coat_wheel_advance(coat_wheel *wheel, int64_t now_ms,
                   void (*fire)(void *ctx, coat_wheel_node *node), void *ctx)
{
    int64_t target = now_ms / COAT_WHEEL_STEP_MS;

    /* After a long pause each slot needs to be looked at only once. */
    if (target - wheel->step > COAT_WHEEL_SLOTS)
        wheel->step = target - COAT_WHEEL_SLOTS;
    while (wheel->step < target)
        advance_one(wheel, now_ms, fire, ctx);
}
