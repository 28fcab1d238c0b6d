/* SPDX-License-Identifier: Apache-2.0 */
#include "store/tree.h"

#include <stdlib.h>

void
coat_tree_init(coat_tree *tree, size_t key_len)
{
    *tree = (coat_tree){.key_len = key_len, .seed = (uintptr_t)tree};
}

static int
compare(const coat_tree *tree, const uint8_t *key, const coat_tree_node *node)
{
    return memcmp(key, node->key, tree->key_len);
}

static size_t
size_of(const coat_tree_node *node)
{
    return sizeof *node + node->len;
}

const coat_tree_node *
coat_tree_get(const coat_tree *tree, const uint8_t *key)
{
    const coat_tree_node *node = tree->root;
    int order;

    while (node != NULL && (order = compare(tree, key, node)) != 0)
        node = order < 0 ? node->left : node->right;
    return node;
}

const coat_tree_node *
coat_tree_seek(const coat_tree *tree, const uint8_t *key, bool after)
{
    const coat_tree_node *node = tree->root, *best = NULL;

    while (node != NULL) {
        int order = compare(tree, key, node);

        if (order < 0 || (order == 0 && !after)) {
            best = node;
            node = node->left;
        } else {
            node = node->right;
        }
    }
    return best;
}

/** The link that points to the node of this key, or to where it would hang. */
static coat_tree_node **
link_of(coat_tree *tree, const uint8_t *key)
{
    coat_tree_node **link = &tree->root;
    int order;

    while (*link != NULL && (order = compare(tree, key, *link)) != 0)
        link = order < 0 ? &(*link)->left : &(*link)->right;
    return link;
}

/** Cut the tree under node into what is below the key and what is above it. */
static void
split(const coat_tree *tree, coat_tree_node *node, const uint8_t *key, coat_tree_node **below,
      coat_tree_node **above)
{
    while (node != NULL) {
        if (compare(tree, key, node) < 0) {
            *above = node;
            above = &node->left;
            node = node->left;
        } else {
            *below = node;
            below = &node->right;
            node = node->right;
        }
    }
    *below = NULL;
    *above = NULL;
}

static coat_tree_node *
merge(coat_tree_node *below, coat_tree_node *above)
{
    coat_tree_node *root = NULL, **link = &root;

    while (below != NULL && above != NULL) {
        if (below->priority > above->priority) {
            *link = below;
            link = &below->right;
            below = below->right;
        } else {
            *link = above;
            link = &above->left;
            above = above->left;
        }
    }
    *link = below != NULL ? below : above;
    return root;
}

static uint64_t
next_priority(coat_tree *tree)
{
    uint64_t z = (tree->seed += 0x9e3779b97f4a7c15U);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
}

static void
hang(coat_tree *tree, coat_tree_node *node)
{
    coat_tree_node **link = &tree->root;

    while (*link != NULL && (*link)->priority >= node->priority)
        link = compare(tree, node->key, *link) < 0 ? &(*link)->left : &(*link)->right;
    split(tree, *link, node->key, &node->left, &node->right);
    *link = node;
}

coat_err
coat_tree_put(coat_tree *tree, const uint8_t *key, coat_span head, coat_span body)
{
    coat_tree_node **link, *node;
    size_t len = head.len + body.len;

    if (len < head.len || len > SIZE_MAX - sizeof *node)
        return COAT_NO_MEMORY;
    node = calloc(1, sizeof *node + len);
    if (node == NULL)
        return COAT_NO_MEMORY;
    memcpy(node->key, key, tree->key_len);
    node->len = len;
    if (head.len > 0)
        memcpy(node->value, head.ptr, head.len);
    if (body.len > 0)
        memcpy(node->value + head.len, body.ptr, body.len);
    tree->bytes += size_of(node);

    link = link_of(tree, key);
    if (*link == NULL) {
        node->priority = next_priority(tree);
        hang(tree, node);
        tree->count++;
        return COAT_OK;
    }
    node->left = (*link)->left;
    node->right = (*link)->right;
    node->priority = (*link)->priority;
    tree->bytes -= size_of(*link);
    free(*link);
    *link = node;
    return COAT_OK;
}

bool
coat_tree_del(coat_tree *tree, const uint8_t *key)
{
    coat_tree_node **link = link_of(tree, key), *node = *link;

    if (node == NULL)
        return false;
    *link = merge(node->left, node->right);
    tree->count--;
    tree->bytes -= size_of(node);
    free(node);
    return true;
}

void
coat_tree_clear(coat_tree *tree)
{
    while (tree->root != NULL) {
        coat_tree_node *node = tree->root;

        tree->root = merge(node->left, node->right);
        free(node);
    }
    tree->count = 0;
    tree->bytes = 0;
}
