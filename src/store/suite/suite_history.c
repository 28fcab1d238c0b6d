/* SPDX-License-Identifier: Apache-2.0 */
/** Seeded random histories against the model. */

#include "store/suite/history.h"
#include "store/suite/suite.h"

#include <stdlib.h>

static uint64_t
choose(void *ctx, uint64_t limit)
{
    return suite_random(ctx) % limit;
}

static const char *
count_sessions(suite_run *run, const history *h)
{
    coat_store_stats stats;

    if ((coat_store_caps_of(run->store) & COAT_CAP_EXPIRES) != 0)
        return NULL;
    if (coat_store_stats_get(run->store, &stats) != COAT_OK)
        return "no statistics";
    if (stats.sessions != model_live(&h->model, COAT_SPACE_SESSION, h->now_ms))
        return "sweeping left sessions behind, or took some";
    return NULL;
}

static const char *
reopen(suite_run *run, history *h)
{
    coat_lane_close(run->lane);
    run->lane = NULL;
    if (run->suite->reopen(run->suite->ctx, &run->store) != COAT_OK ||
        coat_lane_open(run->store, NULL, &run->lane) != COAT_OK)
        return "it could not be opened again";
    h->lane = run->lane;
    return NULL;
}

static void
one_history(suite_run *run, history *h, uint32_t number, bool reopening)
{
    uint32_t steps = run->suite->steps != 0 ? run->suite->steps : 500, step;
    uint64_t state = run->suite->seed + number * 1000003;
    const char *fault = NULL;

    history_init(h, run->lane, choose, &state);
    for (step = 0; fault == NULL && step < steps; step++) {
        fault = history_step(h);
        if (fault == NULL && reopening && suite_random(&state) % 50 == 0)
            fault = reopen(run, h);
    }
    if (fault == NULL)
        fault = history_settle(h);
    if (fault == NULL)
        fault = count_sessions(run, h);
    if (fault != NULL)
        suite_fault(run, __FILE__, __LINE__,
                    "%s: seed %llu, history %u, step %u, operation %d, result %s", fault,
                    (unsigned long long)run->suite->seed, number, step, (int)h->asked.op,
                    coat_err_name(h->req.result));
}

/** Empty the store for the next history. */
static void
start_anew(suite_run *run)
{
    coat_lane_close(run->lane);
    run->suite->close(run->suite->ctx, run->store);
    run->lane = NULL;
    run->store = NULL;
    EXPECT_ERR(run, run->suite->open(run->suite->ctx, &run->store), COAT_OK);
    if (!run->failed)
        EXPECT_ERR(run, coat_lane_open(run->store, NULL, &run->lane), COAT_OK);
}

static void
histories(suite_run *run, bool reopening)
{
    uint32_t n = run->suite->histories != 0 ? run->suite->histories : 20;
    history *h = malloc(sizeof *h);

    if (h == NULL) {
        suite_fault(run, __FILE__, __LINE__, "out of memory");
        return;
    }
    if (reopening)
        n = n / 4 + 1;
    for (uint32_t i = 0; i < n && !run->failed; i++) {
        if (i > 0)
            start_anew(run);
        if (!run->failed)
            one_history(run, h, i, reopening);
    }
    free(h);
}

static void
model_agrees(suite_run *run)
{
    histories(run, false);
}

static void
model_agrees_reopening(suite_run *run)
{
    histories(run, true);
}

const suite_case suite_history_cases[] = {
    {"LC-9 LC-10 RV-4 ST-7: random histories agree with the model, step by step", model_agrees,
     false},
    {"LC-8: so they do when the store is reopened in between", model_agrees_reopening, true},
    {NULL, NULL, false},
};
