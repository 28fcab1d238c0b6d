/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_STORE_ORDER_H
#define COAT_STORE_ORDER_H

#include <coatcheck/store.h>
#include <string.h>

/** The order in which SCAN of a store with these capabilities reports: as memcmp. */
static inline int
coat_scan_compare(uint32_t caps, const coat_handle *a, const coat_handle *b)
{
    enum { HALF = COAT_HANDLE_BYTES / 2 };
    int order = 0;

    /* A cache keeps what is an owner's together. */
    if ((caps & COAT_CAP_CACHE) != 0)
        order = memcmp(a->bytes + HALF, b->bytes + HALF, HALF);
    return order != 0 ? order : memcmp(a->bytes, b->bytes, COAT_HANDLE_BYTES);
}

/**
 * How far has this report got? It is the last entry's address, or its cursor, if that is behind
 * it: a report may pass over entries without reporting any.
 * @param last  of the entry that was reported last, or where it began
 * @return false: nothing is known, neither before (has_last) nor now
 */
static inline bool
coat_scan_behind(uint32_t caps, const coat_store_req *req, bool has_last, coat_handle *last)
{
    if (!req->has_cursor || (has_last && coat_scan_compare(caps, &req->cursor, last) <= 0))
        return has_last;
    *last = req->cursor;
    return true;
}

#endif
