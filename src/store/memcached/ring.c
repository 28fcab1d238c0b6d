/* SPDX-License-Identifier: Apache-2.0 */
/**
 * Consistent hashing: each server has many points on a ring, and a place belongs to the server
 * of the next point. An owner is one place, so all that is an owner's is on one server. When
 * the list of servers changes, sessions end all the same: see docs/stores.md.
 */

#include "store/memcached/memcached.h"

#include <stdio.h>

static uint64_t
hash(const void *bytes, size_t len)
{
    uint8_t out[crypto_generichash_BYTES_MIN];

    (void)crypto_generichash(out, sizeof out, bytes, len, NULL, 0);
    return coat_load64(out);
}

static int
by_place(const void *a, const void *b)
{
    const mc_point *p = a, *q = b;

    if (p->at != q->at)
        return p->at < q->at ? -1 : 1;
    return p->node < q->node ? -1 : p->node > q->node;
}

coat_err
mc_ring_make(mc_store *store)
{
    size_t count = (size_t)store->node_count * MC_POINTS;
    mc_point *points = calloc(count, sizeof *points);

    if (points == NULL)
        return COAT_NO_MEMORY;
    for (uint32_t n = 0; n < store->node_count; n++) {
        const mc_node *node = store->nodes[n];

        /* The same servers in another order are the same ring. */
        store->ring_id ^= hash(node->name, strlen(node->name));
        for (uint32_t i = 0; i < MC_POINTS; i++) {
            char text[sizeof node->name + 16];
            int len = snprintf(text, sizeof text, "%s-%u", node->name, i);

            points[n * MC_POINTS + i] = (mc_point){hash(text, (size_t)len), n};
        }
    }
    qsort(points, count, sizeof *points, by_place);
    store->points = points;
    store->point_count = count;
    return COAT_OK;
}

mc_node *
mc_node_of(const mc_store *store, const mc_place *place)
{
    uint64_t at = hash(place->address.bytes, sizeof place->address.bytes);
    size_t low = 0, high = store->point_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (store->points[middle].at < at)
            low = middle + 1;
        else
            high = middle;
    }
    return store->nodes[store->points[low < store->point_count ? low : 0].node];
}
