/* SPDX-License-Identifier: Apache-2.0 */
#include "store/suite/suite.h"

#include <stdarg.h>

static const suite_case *const groups[] = {suite_entry_cases,  suite_owner_cases,
                                           suite_thread_cases, suite_loop_cases,
                                           suite_watch_cases,  suite_history_cases};

static const suite_case *
case_at(size_t index)
{
    for (size_t g = 0; g < sizeof groups / sizeof groups[0]; g++)
        for (const suite_case *c = groups[g]; c->name != NULL; c++)
            if (index-- == 0)
                return c;
    return NULL;
}

size_t
coat_suite_count(void)
{
    size_t n = 0;

    while (case_at(n) != NULL)
        n++;
    return n;
}

const char *
coat_suite_name(size_t index)
{
    const suite_case *c = case_at(index);

    return c != NULL ? c->name : NULL;
}

bool
coat_suite_run(const coat_suite *suite, size_t index, char *fault, size_t cap)
{
    const suite_case *c = case_at(index);
    suite_run run = {.suite = suite, .fault = fault, .cap = cap};
    coat_err err;

    if (c == NULL || cap == 0)
        return false;
    fault[0] = '\0';
    if (c->durable && suite->reopen == NULL)
        return true;
    err = suite->open(suite->ctx, &run.store);
    EXPECT_ERR(&run, err, COAT_OK);
    if (err != COAT_OK)
        return false;
    err = coat_lane_open(run.store, NULL, &run.lane);
    EXPECT_ERR(&run, err, COAT_OK);
    if (err == COAT_OK)
        c->run(&run);
    coat_lane_close(run.lane);
    suite->close(suite->ctx, run.store);
    return !run.failed;
}

void
suite_fault(suite_run *run, const char *file, int line, const char *format, ...)
{
    va_list args;
    int used;

    if (run->failed)
        return;
    run->failed = true;
    used = snprintf(run->fault, run->cap, "%s:%d: ", file, line);
    if (used < 0 || (size_t)used >= run->cap)
        return;
    va_start(args, format);
    (void)vsnprintf(run->fault + used, run->cap - (size_t)used, format, args);
    va_end(args);
}

void
suite_expect_err(suite_run *run, const char *file, int line, const char *what, coat_err got,
                 coat_err want)
{
    if (got != want)
        suite_fault(run, file, line, "%s is %s, expected %s", what, coat_err_name(got),
                    coat_err_name(want));
}

void
suite_expect_int(suite_run *run, const char *file, int line, const char *what, long long got,
                 long long want)
{
    if (got != want)
        suite_fault(run, file, line, "%s is %lld, expected %lld", what, got, want);
}

uint64_t
suite_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15U);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
}

coat_owner
suite_owner(uint64_t owner)
{
    coat_owner o;

    coat_store64be(o.bytes, owner * 0x9e3779b97f4a7c15U + 1);
    return o;
}

coat_handle
suite_handle(uint64_t owner, uint64_t serial)
{
    coat_handle h;
    coat_owner o = suite_owner(owner);

    coat_store64be(h.bytes, serial);
    memcpy(h.bytes + 8, o.bytes, sizeof o.bytes);
    return h;
}

uint64_t
suite_serial(const coat_handle *handle)
{
    return coat_load64be(handle->bytes);
}

void
suite_collect(coat_store_req *req, const coat_store_item *item)
{
    suite_list *list = req->ctx;

    if (list->count < SUITE_LIST_MAX) {
        list->items[list->count] = *item;
        list->items[list->count].value.ptr = NULL;
    }
    list->count++;
}

coat_err
suite_insert(coat_lane *lane, coat_store_req *req, coat_space space, coat_handle address,
             const char *text, int64_t expires_ms, int64_t now_ms)
{
    coat_store_req own = {0};

    if (req == NULL)
        req = &own;
    req->op = COAT_OP_INSERT;
    req->space = space;
    req->address = address;
    req->value = coat_span_of(text);
    req->expires_ms = expires_ms;
    req->now_ms = now_ms;
    req->timeout_ms = 60000;
    return coat_store_run(lane, req);
}

static void
take_text(coat_store_req *req)
{
    coat_span *into = req->ctx; /* found is gone after this function: copy */
    size_t len = req->found.len < into->len ? req->found.len : into->len;

    if (req->result == COAT_OK && len > 0)
        memcpy((void *)(uintptr_t)into->ptr, req->found.ptr, len);
    into->len = len;
}

coat_err
suite_load_text(coat_lane *lane, coat_space space, coat_handle address, int64_t now_ms,
                char *text, size_t cap)
{
    coat_span into = {(uint8_t *)text, cap - 1};
    coat_store_req req = {.op = COAT_OP_LOAD,
                          .space = space,
                          .address = address,
                          .now_ms = now_ms,
                          .timeout_ms = 60000,
                          .done = take_text,
                          .ctx = &into};
    coat_err err = coat_store_run(lane, &req);

    text[into.len] = '\0';
    return err;
}

coat_err
suite_load(coat_lane *lane, coat_space space, coat_handle address, int64_t now_ms)
{
    coat_store_req req = {.op = COAT_OP_LOAD,
                          .space = space,
                          .address = address,
                          .now_ms = now_ms,
                          .timeout_ms = 60000};

    return coat_store_run(lane, &req);
}

coat_err
suite_replace(coat_lane *lane, coat_space space, coat_handle address, uint64_t *version,
              const char *text, int64_t expires_ms, int64_t now_ms)
{
    coat_store_req req = {.op = COAT_OP_REPLACE,
                          .space = space,
                          .address = address,
                          .version = *version,
                          .value = coat_span_of(text),
                          .expires_ms = expires_ms,
                          .now_ms = now_ms,
                          .timeout_ms = 60000};
    coat_err err = coat_store_run(lane, &req);

    if (err == COAT_OK)
        *version = req.found_version;
    return err;
}

coat_err
suite_remove(coat_lane *lane, coat_space space, coat_handle address)
{
    coat_store_req req = {
        .op = COAT_OP_REMOVE, .space = space, .address = address, .timeout_ms = 60000};

    return coat_store_run(lane, &req);
}

coat_err
suite_remove_owner(coat_lane *lane, uint64_t owner, int64_t now_ms, uint64_t *epoch)
{
    coat_store_req req = {.op = COAT_OP_REMOVE_OWNER,
                          .owner = suite_owner(owner),
                          .now_ms = now_ms,
                          .timeout_ms = 60000};
    coat_err err = coat_store_run(lane, &req);

    if (err == COAT_OK && epoch != NULL)
        *epoch = req.epoch_owner;
    return err;
}

coat_err
suite_epochs(coat_lane *lane, uint64_t owner, uint64_t *epoch_owner, uint64_t *epoch_global)
{
    coat_store_req req = {
        .op = COAT_OP_EPOCHS, .owner = suite_owner(owner), .timeout_ms = 60000};
    coat_err err = coat_store_run(lane, &req);

    if (err == COAT_OK) {
        *epoch_owner = req.epoch_owner;
        *epoch_global = req.epoch_global;
    }
    return err;
}

coat_err
suite_sweep(coat_lane *lane, int64_t now_ms, uint32_t *erased)
{
    enum { SLICES_MAX = 100000 };
    uint32_t sum = 0;
    int walks = 0;

    for (int i = 0; i < SLICES_MAX; i++) {
        coat_store_req req = {.op = COAT_OP_SWEEP, .now_ms = now_ms, .timeout_ms = 60000};
        coat_err err = coat_store_run(lane, &req);

        if (err != COAT_OK)
            return err;
        sum += req.count;
        if (!req.more && ++walks == 2) {
            if (erased != NULL)
                *erased = sum;
            return COAT_OK;
        }
    }
    return COAT_BUSY; /* it never ends */
}
