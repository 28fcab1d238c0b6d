/* SPDX-License-Identifier: Apache-2.0 */
/**
 * SCAN: asks all servers for the keys of what they hold (dump.c), puts them in order, and reads
 * what is under them, many at a time, by LIST_OWNER and LOAD. The list stays with the lane: a
 * SCAN that begins anew has it made anew, one that goes on goes on in it. What an earlier list
 * has named and this one does not is asked for once more, so that a server that left out
 * something ends nobody's session.
 *
 * In the order of owners, then serials: what is an owner's is read together.
 */

#include "store/memcached/memcached.h"
#include "store/order.h"

enum {
    BATCH = 128,     /* places that are read at once */
    ROUNDS_MAX = 64, /* batches of a SCAN; then it says where it got, and more */
    SPACES = 3,
};

typedef struct known_place {
    coat_handle address; /* an owner's: 8 zeros and the owner */
    bool empty;          /* when it was read last */
} known_place;

typedef struct known_places {
    known_place *at;
    size_t count, cap;
} known_places;

/** A place that is being read. */
typedef struct part {
    coat_store_req req;
    mc_scan *scan;
    remote_buffer found; /* a coat_store_item and its value, each */
    bool failed;         /* out of memory */
} part;

struct mc_scan {
    coat_lane *lane;
    mc_dumps *dumps;
    known_places places[SPACES], fresh; /* the new list, while it is made */
    bool listed[SPACES];
    bool no_memory, closing;
    coat_store_req *req; /* that is under way; NULL: none */
    size_t at;           /* in its list: the next place */
    uint32_t rounds;
    part parts[BATCH];
    size_t count, left; /* of the batch; still being read */
};

static uint32_t
caps_of(const mc_scan *scan)
{
    return coat_store_caps_of(scan->lane->store);
}

static known_places *
list_of(mc_scan *scan)
{
    return &scan->places[scan->req->space - COAT_SPACE_SESSION];
}

static void
finish(mc_scan *scan, coat_err result)
{
    coat_store_req *req = scan->req;

    scan->req = NULL;
    for (size_t i = 0; i < scan->count; i++)
        remote_buffer_free(&scan->parts[i].found);
    scan->count = 0;
    mc_answer(req, result);
}

/* ---- the list ---- */

static bool
add_place(known_places *list, const coat_handle *address)
{
    if (list->count == list->cap) {
        size_t cap = list->cap == 0 ? 1024 : list->cap * 2;
        known_place *grown = reallocarray(list->at, cap, sizeof *grown);

        if (grown == NULL)
            return false;
        list->at = grown;
        list->cap = cap;
    }
    list->at[list->count++] = (known_place){.address = *address};
    return true;
}

static bool
on_name(void *ctx, coat_span name)
{
    mc_scan *scan = ctx;
    const mc_store *store = (const mc_store *)scan->lane->store;
    coat_handle address;

    if (!mc_name_read(name, store->prefix, scan->req->space, &address))
        return true;
    if (scan->fresh.count == MC_PLACES_MAX)
        return false;
    scan->no_memory = !add_place(&scan->fresh, &address);
    return !scan->no_memory;
}

static int
by_address(const void *a, const void *b)
{
    return coat_scan_compare(COAT_CAP_CACHE, &((const known_place *)a)->address,
                             &((const known_place *)b)->address);
}

/** In order, and each once. */
static void
sort_places(known_places *list)
{
    size_t kept = 0;

    if (list->count > 0)
        qsort(list->at, list->count, sizeof *list->at, by_address);
    for (size_t i = 0; i < list->count; i++)
        if (kept == 0 || by_address(&list->at[kept - 1], &list->at[i]) != 0)
            list->at[kept++] = list->at[i];
    list->count = kept;
}

static coat_err
take_list(mc_scan *scan)
{
    known_places *list = list_of(scan), former = *list;

    for (size_t i = 0; i < former.count; i++)
        if (!former.at[i].empty && !add_place(&scan->fresh, &former.at[i].address))
            return COAT_NO_MEMORY;
    sort_places(&scan->fresh);
    *list = scan->fresh;
    scan->fresh = former;
    return COAT_OK;
}

static void next_batch(mc_scan *scan);
static void go_to(mc_scan *scan);

static void
on_dumped(void *ctx, coat_err result)
{
    mc_scan *scan = ctx;
    bool *listed = &scan->listed[scan->req->space - COAT_SPACE_SESSION];

    if (scan->no_memory)
        result = COAT_NO_MEMORY;
    if (result == COAT_OK)
        result = take_list(scan);
    scan->fresh.count = 0;
    *listed = *listed || result == COAT_OK;
    if (result != COAT_OK) {
        finish(scan, result);
        return;
    }
    go_to(scan);
    next_batch(scan);
}

/* ---- reading ---- */

static void
keep_item(coat_store_req *req, const coat_store_item *item)
{
    part *p = req->ctx;

    remote_buffer_add(&p->found, item, sizeof *item);
    remote_buffer_add(&p->found, item->value.ptr, item->value.len);
    p->failed = p->failed || p->found.failed;
}

static void finish_batch(mc_scan *scan);

static void
on_part(coat_store_req *req)
{
    part *p = req->ctx;
    mc_scan *scan = p->scan;

    if (scan->closing)
        return;
    if (req->op == COAT_OP_LOAD && req->result == COAT_OK) {
        coat_store_item item = {.address = req->address,
                                .version = req->found_version,
                                .expires_ms = req->found_expires_ms,
                                .value = req->found};

        keep_item(req, &item);
    }
    if (--scan->left == 0)
        finish_batch(scan);
}

/** Is it where the cursor is? */
static bool
is_at_cursor(const coat_store_req *req, const coat_handle *address)
{
    return req->has_cursor && memcmp(req->cursor.bytes + 8, address->bytes + 8, 8) == 0;
}

static void
ask(mc_scan *scan, part *p, const coat_handle *address)
{
    const coat_store_req *whole = scan->req;
    bool owner = whole->space == COAT_SPACE_SESSION;

    p->scan = scan;
    p->failed = false;
    p->req = (coat_store_req){.op = owner ? COAT_OP_LIST_OWNER : COAT_OP_LOAD,
                              .space = whole->space,
                              .address = *address,
                              .now_ms = whole->now_ms,
                              .timeout_ms = whole->timeout_ms,
                              .limit = whole->limit - whole->count,
                              .has_cursor = owner && is_at_cursor(whole, address),
                              .cursor = whole->cursor,
                              .item = keep_item,
                              .done = on_part,
                              .ctx = p};
    memcpy(p->req.owner.bytes, address->bytes + 8, sizeof p->req.owner.bytes);
    mc_submit(scan->lane, &p->req);
}

/** The first place that may have something behind the cursor. */
static void
go_to(mc_scan *scan)
{
    const coat_store_req *req = scan->req;
    const known_places *list = list_of(scan);
    size_t low = 0, high = list->count;

    while (req->has_cursor && low < high) {
        size_t middle = low + (high - low) / 2;
        const coat_handle *address = &list->at[middle].address;
        bool before;

        if (req->space == COAT_SPACE_SESSION)
            before = memcmp(address->bytes + 8, req->cursor.bytes + 8, 8) < 0;
        else
            before = coat_scan_compare(caps_of(scan), address, &req->cursor) <= 0;
        if (before)
            low = middle + 1;
        else
            high = middle;
    }
    scan->at = low;
}

static void
next_batch(mc_scan *scan)
{
    const known_places *list = list_of(scan);
    size_t room = scan->req->limit - scan->req->count, count = list->count - scan->at;

    scan->rounds++;
    count = count < BATCH ? count : BATCH;
    count = count < room ? count : room;
    if (count == 0) {
        finish(scan, COAT_OK);
        return;
    }
    scan->count = scan->left = count;
    /* Any of them may be answered at once; with the last one the batch may be another. */
    for (size_t i = 0; i < count; i++)
        ask(scan, &scan->parts[i], &list->at[scan->at + i].address);
}

/* ---- reporting ---- */

/** Nothing that the whole would fail with: it is denied, counted and left where it is. */
static bool
is_answer(coat_err result)
{
    return result == COAT_OK || result == COAT_NO_SESSION || result == COAT_MALFORMED ||
           result == COAT_TAMPERED || result == COAT_NEWER_FORMAT;
}

static coat_err
fault_of(const mc_scan *scan)
{
    for (size_t i = 0; i < scan->count; i++) {
        const part *p = &scan->parts[i];

        if (p->failed)
            return COAT_NO_MEMORY;
        if (!is_answer(p->req.result))
            return p->req.result;
    }
    return COAT_OK;
}

/** @return false: there is no room for all of it */
static bool
report(mc_scan *scan, part *p)
{
    coat_store_req *whole = scan->req;
    coat_store_item item;

    for (size_t at = 0; at < p->found.len; at += sizeof item + item.value.len) {
        memcpy(&item, p->found.ptr + at, sizeof item);
        item.value.ptr = p->found.ptr + at + sizeof item;
        if (whole->count == whole->limit)
            return false;
        whole->cursor = item.address;
        whole->has_cursor = true;
        whole->count++;
        whole->item(whole, &item);
    }
    return !p->req.more;
}

/** All that is in this place lies before it. */
static void
set_behind(coat_store_req *req, const coat_handle *address)
{
    req->cursor = *address;
    req->has_cursor = true;
    if (req->space == COAT_SPACE_SESSION)
        memset(req->cursor.bytes, 0xff, 8);
}

static void
finish_batch(mc_scan *scan)
{
    coat_store_req *whole = scan->req;
    known_places *list = list_of(scan);
    coat_err err = fault_of(scan);
    bool fits = true;

    for (size_t i = 0; i < scan->count && err == COAT_OK && fits; i++) {
        part *p = &scan->parts[i];
        known_place *place = &list->at[scan->at];

        fits = report(scan, p);
        if (!p->req.has_cursor)
            place->empty = p->found.len == 0;
        remote_buffer_free(&p->found);
        scan->at += fits;
    }
    if (err != COAT_OK || !fits || scan->at == list->count) {
        whole->more = err == COAT_OK && scan->at < list->count;
        finish(scan, err);
        return;
    }
    set_behind(whole, &list->at[scan->at - 1].address);
    if (whole->count < whole->limit && scan->rounds < ROUNDS_MAX) {
        next_batch(scan);
        return;
    }
    whole->more = true;
    finish(scan, COAT_OK);
}

/* ---- for the lane ---- */

coat_err
mc_scan_new(coat_lane *lane, uv_loop_t *loop, mc_scan **out)
{
    mc_scan *scan = calloc(1, sizeof *scan);
    const mc_dumps_owner owner = {scan, on_name, on_dumped};
    coat_err err;

    if (scan == NULL)
        return COAT_NO_MEMORY;
    scan->lane = lane;
    err = mc_dumps_new((mc_store *)lane->store, loop, &owner, &scan->dumps);
    if (err != COAT_OK) {
        free(scan);
        return err;
    }
    *out = scan;
    return COAT_OK;
}

void
mc_scan_start(mc_scan *scan, coat_store_req *req)
{
    if (scan->req != NULL) {
        mc_answer(req, COAT_BUSY);
        return;
    }
    scan->req = req;
    scan->rounds = 0;
    scan->no_memory = false;
    req->count = 0;
    req->more = false;
    if (!req->has_cursor || !scan->listed[req->space - COAT_SPACE_SESSION]) {
        mc_dumps_start(scan->dumps);
        return;
    }
    go_to(scan);
    next_batch(scan);
}

void
mc_scan_stop(mc_scan *scan)
{
    if (scan == NULL)
        return;
    scan->closing = true;
    mc_dumps_stop(scan->dumps);
    if (scan->req != NULL)
        finish(scan, COAT_CANCELLED);
}

void
mc_scan_free(mc_scan *scan)
{
    if (scan == NULL)
        return;
    for (size_t i = 0; i < SPACES; i++)
        free(scan->places[i].at);
    free(scan->fresh.at);
    mc_dumps_free(scan->dumps);
    free(scan);
}
