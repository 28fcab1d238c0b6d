/* SPDX-License-Identifier: Apache-2.0 */
#include "explore.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct node {
    const char *label;
    uint32_t parent, depth;
} node;

struct explore {
    size_t size;
    uint8_t *states;
    node *nodes;
    uint32_t *table; /* index + 1 of a state, 0: free */
    uint32_t count, cap, limit, slots, at, edges;
    explore_result result;
};

enum { FIRST_CAP = 1 << 16 };

static void *
grow(void *ptr, size_t count, size_t size)
{
    void *grown = reallocarray(ptr, count, size);

    if (grown == NULL) {
        perror("model");
        abort();
    }
    return grown;
}

static uint32_t
hash_of(const uint8_t *state, size_t size)
{
    uint64_t h = size;

    for (size_t i = 0; i < size; i += 8) {
        uint64_t word = 0;

        memcpy(&word, state + i, size - i < 8 ? size - i : 8);
        h = (h ^ word) * 0x9e3779b97f4a7c15U;
        h ^= h >> 29;
    }
    return (uint32_t)(h >> 16);
}

static void
rehash(explore *e)
{
    free(e->table);
    e->slots = e->cap * 2;
    e->table = calloc(e->slots, sizeof *e->table);
    if (e->table == NULL)
        abort();
    for (uint32_t i = 0; i < e->count; i++) {
        uint32_t slot = hash_of(e->states + i * e->size, e->size) & (e->slots - 1);

        while (e->table[slot] != 0)
            slot = (slot + 1) & (e->slots - 1);
        e->table[slot] = i + 1;
    }
}

void
explore_add(explore *e, const void *state, const char *label)
{
    uint32_t slot = hash_of(state, e->size) & (e->slots - 1);

    e->edges++;
    for (; e->table[slot] != 0; slot = (slot + 1) & (e->slots - 1))
        if (memcmp(e->states + (e->table[slot] - 1) * e->size, state, e->size) == 0)
            return;
    if (e->count == e->cap) {
        e->cap *= 2;
        e->states = grow(e->states, e->cap, e->size);
        e->nodes = grow(e->nodes, e->cap, sizeof *e->nodes);
        rehash(e);
        slot = hash_of(state, e->size) & (e->slots - 1);
        while (e->table[slot] != 0)
            slot = (slot + 1) & (e->slots - 1);
    }
    memcpy(e->states + e->count * e->size, state, e->size);
    e->nodes[e->count] = (node){label, e->at, e->count == 0 ? 0 : e->nodes[e->at].depth + 1};
    e->table[slot] = ++e->count;
}

void
explore_break(explore *e, char property, const char *text, const char *label)
{
    explore_result *r = &e->result;
    uint32_t length = e->nodes[e->at].depth + 1;

    if (r->property != 0)
        return;
    r->property = property;
    r->text = text;
    r->trace_length = length;
    if (length <= 64)
        r->trace[length - 1] = label;
    for (uint32_t at = e->at; at != 0; at = e->nodes[at].parent)
        if (e->nodes[at].depth <= 64)
            r->trace[e->nodes[at].depth - 1] = e->nodes[at].label;
}

explore_result
explore_run(const void *initial, size_t state_size, uint32_t limit, explore_fn expand,
            void *ctx)
{
    explore e = {.size = state_size, .cap = FIRST_CAP, .limit = limit};
    uint8_t *state = grow(NULL, 1, state_size);

    e.states = grow(NULL, e.cap, e.size);
    e.nodes = grow(NULL, e.cap, sizeof *e.nodes);
    rehash(&e);
    explore_add(&e, initial, "start");
    for (; e.at < e.count && e.count <= limit && e.result.property == 0; e.at++) {
        memcpy(state, e.states + e.at * e.size, e.size); /* adding may move the array */
        expand(&e, state, ctx);
    }
    e.result.exhausted = e.at == e.count;
    e.result.states = e.count;
    e.result.edges = e.edges;
    e.result.depth = e.nodes[e.at > 0 ? e.at - 1 : 0].depth;
    free(state);
    free(e.states);
    free(e.nodes);
    free(e.table);
    return e.result;
}
