/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_MODEL_EXPLORE_H
#define COAT_MODEL_EXPLORE_H

/**
 * Explicit-state exploration: every state that can be reached, each once, breadth first, so
 * that the path to a broken property is a shortest one. A state is a fixed number of bytes
 * without padding; equal bytes are the same state.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct explore explore;

/** Calls explore_add() for each successor of state, explore_break() where a property fails. */
typedef void (*explore_fn)(explore *e, const void *state, void *ctx);

typedef struct explore_result {
    uint32_t states, edges;
    uint32_t depth;        /* of the last state expanded */
    bool exhausted;        /* all reachable states were expanded */
    char property;         /* 0: nothing broken */
    const char *text;      /* what was broken */
    const char *trace[64]; /* labels of the steps that lead there, from the beginning */
    uint32_t trace_length; /* may be above 64: only the first are listed */
} explore_result;

/** Explore from initial until done, a property breaks, or limit states are known. */
explore_result explore_run(const void *initial, size_t state_size, uint32_t limit,
                           explore_fn expand, void *ctx);
/** @param label  static text: the step that leads to state */
void explore_add(explore *e, const void *state, const char *label);
/** The step named label from the state being expanded breaks a property. */
void explore_break(explore *e, char property, const char *text, const char *label);

#endif
