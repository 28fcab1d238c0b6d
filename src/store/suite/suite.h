/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_SUITE_SUITE_H
#define COAT_SUITE_SUITE_H

#include "core/bytes.h"

#include <coatcheck/store_suite.h>
#include <stdio.h>

/** A running case. The first fault stays. */
typedef struct suite_run {
    const coat_suite *suite;
    coat_store *store;
    coat_lane *lane; /* without loop */
    char *fault;
    size_t cap;
    bool failed;
} suite_run;

void suite_fault(suite_run *run, const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#define EXPECT(run, cond)                                                                      \
    ((cond) ? (void)0 : suite_fault(run, __FILE__, __LINE__, "not true: %s", #cond))
#define EXPECT_ERR(run, got, want) suite_expect_err(run, __FILE__, __LINE__, #got, got, want)
#define EXPECT_INT(run, got, want)                                                             \
    suite_expect_int(run, __FILE__, __LINE__, #got, (long long)(got), (long long)(want))

void suite_expect_err(suite_run *run, const char *file, int line, const char *what,
                      coat_err got, coat_err want);
void suite_expect_int(suite_run *run, const char *file, int line, const char *what,
                      long long got, long long want);

/** Random numbers: the same for the same seed. */
uint64_t suite_random(uint64_t *state);

/** Handle number `serial` of owner number `owner`. */
coat_handle suite_handle(uint64_t owner, uint64_t serial);
coat_owner suite_owner(uint64_t owner);
uint64_t suite_serial(const coat_handle *handle);

enum { SUITE_LIST_MAX = 64 };
/** Entries that an operation reported, without their values. */
typedef struct suite_list {
    uint32_t count;
    coat_store_item items[SUITE_LIST_MAX];
} suite_list;
/** A req->item for req->ctx == suite_list. */
void suite_collect(coat_store_req *req, const coat_store_item *item);

/* Requests in one line. */
coat_err suite_insert(coat_lane *lane, coat_store_req *req, coat_space space,
                      coat_handle address, const char *text, int64_t expires_ms,
                      int64_t now_ms);
coat_err suite_load(coat_lane *lane, coat_space space, coat_handle address, int64_t now_ms);
coat_err suite_load_text(coat_lane *lane, coat_space space, coat_handle address, int64_t now_ms,
                         char *text, size_t cap);
coat_err suite_replace(coat_lane *lane, coat_space space, coat_handle address,
                       uint64_t *version, const char *text, int64_t expires_ms, int64_t now_ms);
coat_err suite_remove(coat_lane *lane, coat_space space, coat_handle address);
coat_err suite_remove_owner(coat_lane *lane, uint64_t owner, int64_t now_ms, uint64_t *epoch);
coat_err suite_epochs(coat_lane *lane, uint64_t owner, uint64_t *epoch_owner,
                      uint64_t *epoch_global);
/** Sweep everything: two walks, the first may be the end of one that began earlier. */
coat_err suite_sweep(coat_lane *lane, int64_t now_ms, uint32_t *erased);

typedef void (*suite_case_fn)(suite_run *run);
typedef struct suite_case {
    const char *name;
    suite_case_fn run;
    bool durable; /* needs reopen; passes at once without */
} suite_case;

extern const suite_case suite_entry_cases[], suite_owner_cases[], suite_thread_cases[],
    suite_loop_cases[], suite_watch_cases[],
    suite_history_cases[]; /* each ends with a NULL name */

#endif
