/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_STORE_TREE_H
#define COAT_STORE_TREE_H

/** An ordered map of fixed-size keys to bytes: a treap. Not thread-safe. */

#include "store/kv.h"

typedef struct coat_tree_node coat_tree_node;
struct coat_tree_node {
    coat_tree_node *left, *right;
    uint64_t priority;
    uint8_t key[COAT_KEY_MAX];
    size_t len;
    uint8_t value[];
};

typedef struct coat_tree {
    coat_tree_node *root;
    size_t key_len, count, bytes;
    uint64_t seed;
} coat_tree;

void coat_tree_init(coat_tree *tree, size_t key_len);
void coat_tree_clear(coat_tree *tree);
const coat_tree_node *coat_tree_get(const coat_tree *tree, const uint8_t *key);
/** The first node at, or if `after` behind, the key; NULL at the end. */
const coat_tree_node *coat_tree_seek(const coat_tree *tree, const uint8_t *key, bool after);
/** Inserts or replaces. @retval COAT_NO_MEMORY  nothing has changed */
coat_err coat_tree_put(coat_tree *tree, const uint8_t *key, coat_span head, coat_span body);
bool coat_tree_del(coat_tree *tree, const uint8_t *key);

#endif
