/* SPDX-License-Identifier: Apache-2.0 */
#include "rig.h"

#include <string.h>

static rig r;

static void
by_token_and_by_handle(void)
{
    rig_token token;
    coat_handle handle;

    rig_open(&r, 1);
    token = rig_sign_in(&r, 0, "ada");
    handle = rig_handle(&token);
    REQUIRE_OK(rig_patch(&r, 0, &token, "{\"a\":1}"));
    CHECK(rig_data_is(&r, "{\"a\":1}"));
    REQUIRE_OK(rig_run(&r, 0,
                       (coat_call){.op = COAT_CALL_PATCH,
                                   .has_handle = true,
                                   .handle = handle,
                                   .data = COAT_LIT("{\"b\":2}")}));
    CHECK(rig_data_is(&r, "{\"a\":1,\"b\":2}"));
    REQUIRE_OK(rig_check(&r, 0, &token));
    CHECK(rig_data_is(&r, "{\"a\":1,\"b\":2}"));
    CHECK_ERR(rig_patch(&r, 0, &token, "[]"), COAT_MALFORMED);
    REQUIRE_OK(rig_check(&r, 0, &token));
    CHECK(rig_data_is(&r, "{\"a\":1,\"b\":2}"));
    rig_stop(&r);
}

static void
who_may(void)
{
    rig_token token, next;
    coat_token forged;
    rig_token text;

    rig_open(&r, 1);
    token = rig_sign_in(&r, 0, "ada");
    REQUIRE_OK(coat_token_decode(rig_span(&token), &forged));
    forged.secret[0] ^= 1;
    coat_token_encode(&forged, text.text);
    CHECK_ERR(rig_patch(&r, 0, &text, "{\"a\":1}"), COAT_NO_SESSION);
    rig_pass(&r, 15 * MINUTE);
    REQUIRE_OK(rig_knock(&r, 0, &token));
    next = rig_token_of(&r);
    REQUIRE_OK(rig_knock(&r, 0, &next));
    rig_pass(&r, MINUTE);
    CHECK_ERR(rig_patch(&r, 0, &token, "{\"a\":1}"), COAT_NO_SESSION); /* superseded */
    CHECK_ERR(rig_patch(&r, 0, &next, "{\"a\":1}"), COAT_OK);
    rig_pass(&r, 31 * MINUTE);
    CHECK_ERR(rig_patch(&r, 0, &next, "{\"a\":2}"), COAT_NO_SESSION);
    CHECK_ERR(rig_run(&r, 0,
                      (coat_call){.op = COAT_CALL_PATCH,
                                  .has_handle = true,
                                  .handle = rig_handle(&next),
                                  .data = COAT_LIT("{\"a\":1}")}),
              COAT_NO_SESSION);
    CHECK_ERR(
        rig_run(
            &r, 0,
            (coat_call){.op = COAT_CALL_READ, .has_handle = true, .handle = rig_handle(&next)}),
        COAT_NOT_FOUND);
    rig_stop(&r);
}

static void
size_limit(void)
{
    static char json[6000];
    rig_token token;

    rig_open(&r, 1);
    token = rig_sign_in(&r, 0, "ada");
    memset(json, 'x', sizeof json);
    memcpy(json, "{\"a\":\"", 6);
    memcpy(json + 4094, "\"}", 3);
    CHECK_ERR(rig_patch(&r, 0, &token, json), COAT_OK); /* 4096 bytes */
    memset(json + 4094, 'x', 3);
    memcpy(json + 4095, "\"}", 3);
    CHECK_ERR(rig_patch(&r, 0, &token, json), COAT_TOO_LARGE);
    CHECK_ERR(rig_patch(&r, 0, &token, "{\"b\":1}"), COAT_TOO_LARGE);
    CHECK_ERR(rig_patch(&r, 0, &token, "{\"a\":null}"), COAT_OK);
    CHECK_ERR(rig_patch(&r, 0, &token, "{\"b\":1}"), COAT_OK);
    rig_stop(&r);
}

enum { PATCHES = 50 };
static coat_call calls[PATCHES];
static char texts[PATCHES][32];

static void
ignore_done(coat_call *call)
{
    (void)call;
}

static void
all_patches_win(void)
{
    for (uint64_t seed = 1; seed <= 10; seed++) {
        test_rng order = {seed};
        rig_token token;
        char want[32];

        rig_open(&r, 3);
        token = rig_sign_in(&r, 0, "ada");
        sched_immediate(r.store, false);
        for (unsigned i = 0; i < PATCHES; i++) {
            snprintf(texts[i], sizeof texts[i], "{\"k%u\":%u}", i, i);
            calls[i] = (coat_call){.op = COAT_CALL_PATCH,
                                   .token = rig_span(&token),
                                   .data = coat_span_of(texts[i]),
                                   .done = ignore_done};
            coat_call_start(r.desk[i % 3], &calls[i]);
        }
        while (sched_waiting(r.store) > 0)
            sched_finish(r.store, test_rng_below(&order, sched_waiting(r.store)), SCHED_RUN);
        sched_immediate(r.store, true);
        REQUIRE_OK(rig_check(&r, 0, &token));
        for (unsigned i = 0; i < PATCHES; i++) {
            coat_span data = coat_session_record(r.call.session)->data;

            CHECK_ERR(calls[i].result, COAT_OK);
            coat_session_free(calls[i].session);
            snprintf(want, sizeof want, "\"k%u\":%u", i, i);
            CHECK(memmem(data.ptr, data.len, want, strlen(want)) != NULL);
        }
        rig_stop(&r);
    }
}

static void
ended_meanwhile(void)
{
    rig_token token;
    coat_store_stats stats;

    rig_open(&r, 1);
    token = rig_sign_in(&r, 0, "ada");
    sched_immediate(r.store, false);
    calls[0] = (coat_call){.op = COAT_CALL_PATCH,
                           .token = rig_span(&token),
                           .data = COAT_LIT("{\"a\":1}"),
                           .done = ignore_done};
    coat_call_start(r.desk[0], &calls[0]);
    sched_finish(r.store, 0, SCHED_RUN); /* it has loaded */
    sched_immediate(r.store, true);
    REQUIRE_OK(rig_end(&r, 0, &token));
    sched_finish(r.store, 0, SCHED_RUN); /* its late write */
    CHECK_ERR(calls[0].result, COAT_NO_SESSION);
    CHECK(calls[0].session == NULL);
    CHECK_ERR(rig_knock(&r, 0, &token), COAT_NO_SESSION);
    REQUIRE_OK(coat_store_stats_get(r.inner, &stats));
    CHECK_INT(stats.sessions, 0);
    rig_stop(&r);
}

static const coat_test tests[] = {
    {"by token, by handle", by_token_and_by_handle},
    {"only whoever holds the live session, by token", who_may},
    {"the result has a size limit", size_limit},
    {"parallel patches of different keys all win", all_patches_win},
    {"LC-9: a late patch does not bring a session back", ended_meanwhile},
};
COAT_TEST_MAIN(tests)
