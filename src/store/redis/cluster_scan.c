/* SPDX-License-Identifier: Apache-2.0 */
/**
 * SCAN: every bucket knows its own entries in the order of addresses. A few of each are
 * fetched, the lowest is reported, and where a bucket's are used up more are fetched before
 * anything else is.
 */

#include "store/redis/cluster.h"

#include <stdlib.h>

enum { FETCH_LEAST = 4 };

typedef struct held {
    coat_store_item item;
    struct held *next;
    uint8_t bytes[]; /* item.value */
} held;

typedef struct shelf {
    held *first, **end;
    bool more; /* behind them */
} shelf;

typedef struct scan_op {
    coat_store_req *req;
    cluster_lane *lane;
    int64_t deadline_ms;
    uint32_t left; /* parts that have not ended, and one while they are being sent */
    coat_err result;
    shelf shelves[CLUSTER_BUCKETS];
    cluster_part parts[CLUSTER_BUCKETS];
} scan_op;

static void
finish(scan_op *scan)
{
    cluster_lane *lane = scan->lane;
    coat_store_req *req = scan->req;
    coat_err result = scan->result;

    for (size_t i = 0; i < CLUSTER_BUCKETS; i++)
        while (scan->shelves[i].first != NULL) {
            held *first = scan->shelves[i].first;

            scan->shelves[i].first = first->next;
            free(first);
        }
    free(scan);
    cluster_answer(lane, req, result);
}

static bool
fetches(const scan_op *scan)
{
    for (size_t i = 0; i < CLUSTER_BUCKETS; i++)
        if (scan->shelves[i].first == NULL && scan->shelves[i].more)
            return true;
    return false;
}

/** @return the shelf with the lowest address, NULL: all are empty */
static shelf *
lowest(scan_op *scan)
{
    shelf *least = NULL;

    for (size_t i = 0; i < CLUSTER_BUCKETS; i++) {
        shelf *s = &scan->shelves[i];

        if (s->first != NULL &&
            (least == NULL || memcmp(s->first->item.address.bytes,
                                     least->first->item.address.bytes, COAT_HANDLE_BYTES) < 0))
            least = s;
    }
    return least;
}

static void fetch(scan_op *scan);

/** Report as long as it is known which one is next. */
static void
report(scan_op *scan)
{
    coat_store_req *req = scan->req;

    while (scan->result == COAT_OK && !fetches(scan)) {
        shelf *s = lowest(scan);
        held *first;

        if (s == NULL || req->count == req->limit) {
            req->more = s != NULL;
            finish(scan);
            return;
        }
        first = s->first;
        req->count++;
        req->item(req, &first->item);
        s->first = first->next;
        free(first);
    }
    if (scan->result == COAT_OK)
        fetch(scan);
    else
        finish(scan);
}

static void
one_less(scan_op *scan)
{
    if (--scan->left == 0)
        report(scan);
}

static void
part_item(coat_store_req *req, const coat_store_item *item)
{
    const cluster_part *part = cluster_part_of(req);
    scan_op *scan = part->ctx;
    shelf *s = &scan->shelves[part->bucket];
    held *copy = malloc(sizeof *copy + item->value.len);

    if (copy == NULL) {
        scan->result = COAT_NO_MEMORY;
        return;
    }
    copy->item = *item;
    copy->item.value.ptr = copy->bytes;
    if (item->value.len > 0)
        memcpy(copy->bytes, item->value.ptr, item->value.len);
    copy->next = NULL;
    *s->end = copy;
    s->end = &copy->next;
    req->cursor = item->address; /* from here on, when more are fetched */
    req->has_cursor = true;
}

static void
part_ended(cluster_part *part)
{
    scan_op *scan = part->ctx;
    shelf *s = &scan->shelves[part->bucket];

    if (part->req.result != COAT_OK && scan->result == COAT_OK)
        scan->result = part->req.result;
    /* There is more behind what was found; where nothing was, it cannot be read. */
    s->more = part->req.more && s->first != NULL;
    one_less(scan);
}

static void
fetch(scan_op *scan)
{
    scan->left = 1;
    for (size_t i = 0; i < CLUSTER_BUCKETS; i++)
        scan->left += scan->shelves[i].first == NULL && scan->shelves[i].more;
    for (size_t i = 0; i < CLUSTER_BUCKETS; i++) {
        shelf *s = &scan->shelves[i];
        cluster_part *part = &scan->parts[i];

        if (s->first != NULL || !s->more)
            continue;
        s->end = &s->first;
        s->more = false;
        part->tries = 0;
        part->req.count = 0;
        part->req.more = false;
        cluster_send(part);
    }
    one_less(scan);
}

void
cluster_scan(cluster_lane *lane, coat_store_req *req, int64_t deadline_ms)
{
    scan_op *scan = calloc(1, sizeof *scan);
    uint32_t most = FETCH_LEAST + 2 * req->limit / CLUSTER_BUCKETS;

    if (scan == NULL) {
        cluster_answer(lane, req, COAT_NO_MEMORY);
        return;
    }
    scan->req = req;
    scan->lane = lane;
    scan->deadline_ms = deadline_ms;
    req->count = 0;
    req->more = false;
    for (uint32_t i = 0; i < CLUSTER_BUCKETS; i++) {
        cluster_part *part = &scan->parts[i];

        *part = (cluster_part){.lane = lane,
                               .req = *req,
                               .bucket = (uint16_t)i,
                               .deadline_ms = deadline_ms,
                               .ended = part_ended,
                               .ctx = scan};
        part->req.item = part_item;
        part->req.limit = most < req->limit ? most : req->limit;
        scan->shelves[i].more = true;
    }
    fetch(scan);
}
