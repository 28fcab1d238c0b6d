/* SPDX-License-Identifier: Apache-2.0 */
#include "rig.h"

#include <string.h>

static rig r;

static void
live_from_store_then_table(void)
{
    coat_engine_stats stats;
    rig_token token;

    rig_open(&r, 1);
    token = rig_sign_in(&r, 0, "ada");
    CHECK_ERR(rig_check(&r, 0, &token), COAT_OK);
    CHECK(r.call.session != NULL);
    CHECK(coat_span_is(coat_session_record(r.call.session)->user, COAT_LIT("ada")));
    CHECK(coat_session_has_role(r.call.session, "writer"));
    CHECK(!coat_session_has_role(r.call.session, "write"));
    CHECK(!coat_session_has_role(r.call.session, "reader writer"));
    CHECK(!r.call.set_token);
    CHECK_INT(r.call.max_age_s, -1);
    CHECK_ERR(rig_knock(&r, 0, &token), COAT_OK);
    coat_engine_stats_get(r.engine[0], &stats);
    CHECK_INT(stats.table_hits, 1);
    CHECK_INT(stats.slow_checks, 1);
    rig_stop(&r);
}

static void
unknown_tokens_write_nothing(void)
{
    coat_engine_stats stats;
    uint64_t before;
    rig_token token;
    long n = test_scaled(100000, 1000);

    rig_open(&r, 1);
    token = rig_sign_in(&r, 0, "ada");
    before = sched_seen(r.store, 0);
    for (long i = 0; i < n; i++) {
        coat_token made;
        rig_token text;

        memset(&made, 0, sizeof made);
        REQUIRE_OK(test_rng_fill(&r.random, (uint8_t *)&made, sizeof made));
        coat_token_encode(&made, text.text);
        CHECK_ERR(rig_check(&r, 0, &text), COAT_NO_SESSION);
        CHECK(r.call.session == NULL);
    }
    CHECK_INT(sched_seen(r.store, 0), before);
    coat_engine_stats_get(r.engine[0], &stats);
    CHECK_INT(stats.table_used, 0);
    CHECK_ERR(rig_check(&r, 0, &token), COAT_OK);
    rig_stop(&r);
}

static void
undecided_is_not_no_session(void)
{
    static const sched_fate fates[] = {SCHED_REFUSE, SCHED_LOSE, SCHED_LATE};
    rig_token token;

    rig_open(&r, 1);
    token = rig_sign_in(&r, 0, "ada");
    rig_forget(&r);
    for (size_t i = 0; i < sizeof fates / sizeof fates[0]; i++) {
        sched_fail(r.store, COAT_OP_LOAD, fates[i], 1);
        CHECK_ERR(rig_check(&r, 0, &token), COAT_STORE_DOWN);
        CHECK(r.call.session == NULL && !r.call.set_token);
    }
    CHECK_INT(rig_events(&r, COAT_EVENT_STORE_FAILURE), 1);
    CHECK_INT(rig_events(&r, COAT_EVENT_STORE_RECOVERY), 0);
    CHECK_ERR(rig_check(&r, 0, &token), COAT_OK);
    CHECK_ERR(rig_check(&r, 0, &token), COAT_OK);
    CHECK_INT(rig_events(&r, COAT_EVENT_STORE_RECOVERY), 1);
    rig_stop(&r);
}

typedef struct stored {
    uint8_t bytes[COAT_STORE_VALUE_MAX];
    size_t len;
    uint64_t version;
    int64_t expires_ms;
} stored;

static stored *into;

static void
keep(coat_store_req *req)
{
    if (req->result != COAT_OK)
        return;
    memcpy(into->bytes, req->found.ptr, req->found.len);
    into->len = req->found.len;
    into->version = req->found_version;
    into->expires_ms = req->found_expires_ms;
}

static void
fetch(const coat_handle *handle, stored *out)
{
    coat_store_req req = {.op = COAT_OP_LOAD,
                          .space = COAT_SPACE_SESSION,
                          .address = *handle,
                          .now_ms = r.wall,
                          .done = keep};
    coat_lane *lane;

    into = out;
    REQUIRE_OK(coat_lane_open(r.inner, NULL, &lane));
    REQUIRE_OK(coat_store_run(lane, &req));
    coat_lane_close(lane);
}

static void
put(const coat_handle *handle, stored *s)
{
    coat_store_req req = {.op = COAT_OP_REPLACE,
                          .space = COAT_SPACE_SESSION,
                          .address = *handle,
                          .value = {s->bytes, s->len},
                          .version = s->version,
                          .expires_ms = s->expires_ms,
                          .now_ms = r.wall};
    coat_lane *lane;

    REQUIRE_OK(coat_lane_open(r.inner, NULL, &lane));
    REQUIRE_OK(coat_store_run(lane, &req));
    s->version = req.found_version;
    coat_lane_close(lane);
}

static void
tampered_records_are_refused(void)
{
    static stored s, other;
    rig_token token, second;
    coat_handle handle;
    unsigned flips = 0;

    rig_open(&r, 1);
    token = rig_sign_in(&r, 0, "ada");
    second = rig_sign_in(&r, 0, "bob");
    handle = rig_handle(&token);
    fetch(&handle, &s);
    for (size_t bit = 0; bit < s.len * 8; bit += 7) {
        rig_forget(&r);
        s.bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
        put(&handle, &s);
        CHECK_ERR(rig_check(&r, 0, &token), COAT_NO_SESSION);
        CHECK_INT(rig_events(&r, COAT_EVENT_RECORD_TAMPERED), 1);
        s.bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
        put(&handle, &s);
        flips++;
    }
    CHECK(flips > 100);

    /* what cannot be read is not anybody's to end */
    s.bytes[0] ^= 1;
    put(&handle, &s);
    CHECK_ERR(rig_run(&r, 0,
                      (coat_call){.op = COAT_CALL_END,
                                  .has_handle = true,
                                  .handle = handle,
                                  .owner_user = COAT_LIT("bob")}),
              COAT_NOT_FOUND);
    s.bytes[0] ^= 1;
    put(&handle, &s);
    CHECK_ERR(rig_check(&r, 0, &token), COAT_OK); /* refused, but never deleted */

    handle = rig_handle(&second);
    fetch(&handle, &other);
    s.version = other.version;
    put(&handle, &s); /* ada's record under bob's address */
    rig_forget(&r);
    CHECK_ERR(rig_check(&r, 0, &second), COAT_NO_SESSION);
    CHECK_INT(rig_events(&r, COAT_EVENT_RECORD_TAMPERED), 1);
    rig_stop(&r);
}

static void
reseal(stored *s, const coat_handle *handle)
{
    coat_seal(r.keys, 1, handle->bytes, s->bytes, s->len - COAT_SEAL_BYTES);
}

static void
unreadable_records_are_kept(void)
{
    static stored s, kept;
    rig_token token;
    coat_handle handle;

    rig_open(&r, 1);
    token = rig_sign_in(&r, 0, "ada");
    handle = rig_handle(&token);
    fetch(&handle, &s);
    kept = s;

    s.bytes[2] = 0x7f; /* format, little-endian at offset 2 */
    reseal(&s, &handle);
    put(&handle, &s);
    CHECK_ERR(rig_check(&r, 0, &token), COAT_NEWER_FORMAT);
    CHECK(r.call.session == NULL);
    CHECK_INT(rig_events(&r, COAT_EVENT_RECORD_UNREADABLE), 1);
    CHECK_ERR(rig_check(&r, 0, &token), COAT_NEWER_FORMAT);

    kept.version = s.version;
    put(&handle, &kept);
    CHECK_ERR(rig_check(&r, 0, &token), COAT_OK); /* nothing was deleted */

    /* every prefix, sealed anew */
    s = kept;
    for (size_t len = 0; len + COAT_SEAL_BYTES < kept.len; len += 3) {
        memcpy(s.bytes, kept.bytes, len);
        s.len = len + COAT_SEAL_BYTES;
        s.version = kept.version;
        reseal(&s, &handle);
        put(&handle, &s);
        kept.version = s.version;
        CHECK_ERR(rig_check(&r, 0, &token), COAT_NO_SESSION);
        CHECK(r.call.session == NULL);
    }
    /* a sign-out works whatever the record looks like */
    CHECK_ERR(rig_end(&r, 0, &token), COAT_OK);
    rig_stop(&r);
}

static void
limits_end_sessions(void)
{
    rig_token token;

    rig_open(&r, 1);
    token = rig_sign_in(&r, 0, "ada");
    rig_pass(&r, 30 * MINUTE - SECOND);
    CHECK_ERR(rig_knock(&r, 0, &token), COAT_OK);
    rig_pass(&r, 30 * MINUTE + SECOND);
    rig_forget(&r);
    CHECK_ERR(rig_knock(&r, 0, &token), COAT_NO_SESSION);
    CHECK_INT(rig_events(&r, COAT_EVENT_SESSION_EXPIRED), 1);
    CHECK_ERR(rig_knock(&r, 0, &token), COAT_NO_SESSION);
    CHECK_INT(rig_events(&r, COAT_EVENT_SESSION_EXPIRED), 1);
    CHECK_INT(rig_events(&r, COAT_EVENT_SESSION_USE_AFTER_EXPIRE), 1);
    rig_stop(&r);
}

static void
absolute_end_never_moves(void)
{
    rig_token token;
    int64_t start;

    rig_open(&r, 1);
    token = rig_sign_in(&r, 0, "ada");
    start = r.wall;
    for (int64_t at = MINUTE; at <= 12 * HOUR; at += MINUTE) {
        rig_pass(&r, start + at - SECOND - r.wall);
        REQUIRE_OK(rig_knock(&r, 0, &token));
        if (r.call.set_token)
            token = rig_token_of(&r);
        r.call.set_token = false;
        coat_desk_tick(r.desk[0]);
    }
    rig_pass(&r, start + 12 * HOUR + SECOND - r.wall);
    CHECK_ERR(rig_knock(&r, 0, &token), COAT_NO_SESSION);
    CHECK_INT(rig_events(&r, COAT_EVENT_SESSION_CONFIRMED), 12 * 60 / 16 - 1); /* 15 min + 1 */
    rig_stop(&r);
}

static void
step_up(void)
{
    rig_token token;
    coat_call call = {.op = COAT_CALL_CHECK, .demand.max_age_ms = 5 * MINUTE};

    rig_open(&r, 1);
    token = rig_sign_in(&r, 0, "ada");
    call.token = rig_span(&token);
    CHECK_ERR(rig_run(&r, 0, call), COAT_OK);
    rig_pass(&r, 6 * MINUTE);
    CHECK_ERR(rig_run(&r, 0, call), COAT_STEP_UP);
    CHECK(r.call.session != NULL);
    CHECK_ERR(rig_check(&r, 0, &token), COAT_OK);
    rig_stop(&r);
}

static void
zeroed_results_deny(void)
{
    static const coat_table_answer no_answer;
    static const coat_judgement no_judgement;
    static const uint8_t patterns[] = {0x00, 0xff, 0xa5};
    rig_token token;

    CHECK(no_answer.verdict != COAT_TABLE_LIVE);
    CHECK(no_judgement.verdict == COAT_VERDICT_NONE);
    rig_open(&r, 1);
    token = rig_sign_in(&r, 0, "ada");
    token.text[20] = token.text[20] == 'A' ? 'B' : 'A';
    for (size_t i = 0; i < sizeof patterns; i++) {
        coat_call call;

        memset(&call, patterns[i], sizeof call); /* results of an earlier call, or none */
        call = (coat_call){.op = COAT_CALL_CHECK,
                           .token = rig_span(&token),
                           .result = COAT_OK,
                           .judgement.verdict = COAT_VERDICT_LIVE,
                           .set_token = true};
        memset(call.token_text, 'x', sizeof call.token_text);
        CHECK_ERR(rig_run(&r, 0, call), COAT_NO_SESSION);
        CHECK(r.call.session == NULL && !r.call.set_token);
        CHECK_INT(r.call.judgement.verdict, COAT_VERDICT_NONE);
        for (size_t k = 0; k < sizeof r.call.token_text; k++)
            CHECK_INT(r.call.token_text[k], 0);
    }
    CHECK_ERR(rig_run(&r, 0, (coat_call){.op = 0}), COAT_INVALID);
    CHECK_ERR(rig_run(&r, 0, (coat_call){.op = 99}), COAT_INVALID);
    CHECK_ERR(rig_run(&r, 0, (coat_call){.op = COAT_CALL_CHECK}), COAT_NO_SESSION);
    CHECK_ERR(rig_run(&r, 0, (coat_call){.op = COAT_CALL_LIST}), COAT_INVALID);
    CHECK_ERR(rig_run(&r, 0, (coat_call){.op = COAT_CALL_END_USER}), COAT_INVALID);
    rig_stop(&r);
}

static void
keys_rotate_without_sign_out(void)
{
    coat_keys *second, *third, *first;
    rig_token token, young;

    rig_open(&r, 1);
    first = r.keys;
    token = rig_sign_in(&r, 0, "ada");
    CHECK_ERR(rig_knock(&r, 0, &token), COAT_OK);
    REQUIRE_OK(coat_keys_rotate(first, r.wall, test_rng_fill, &r.random, &second));
    r.conf.keys = second;
    REQUIRE_OK(coat_engine_reconfigure(r.engine[0], &r.conf));
    CHECK_ERR(rig_knock(&r, 0, &token), COAT_OK);
    CHECK_ERR(rig_check(&r, 0, &token), COAT_OK);
    young = rig_sign_in(&r, 0, "ada");
    REQUIRE_OK(coat_keys_rotate(second, r.wall, test_rng_fill, &r.random, &third));
    r.conf.keys = third;
    REQUIRE_OK(coat_engine_reconfigure(r.engine[0], &r.conf));
    CHECK_ERR(rig_knock(&r, 0, &young), COAT_OK);
    CHECK_ERR(rig_knock(&r, 0, &token), COAT_NO_SESSION); /* two rotations: key is gone */
    rig_stop(&r);
    coat_keys_free(second);
    coat_keys_free(third);
}

static const coat_test tests[] = {
    {"a live session is answered from the store, then from the table",
     live_from_store_then_table},
    {"RX-4: unknown tokens touch no store and no table", unknown_tokens_write_nothing},
    {"SF-1 AU-3: no answer from the store is not \"no session\"", undecided_is_not_no_session},
    {"ST-2: changed or transplanted records are refused and reported",
     tampered_records_are_refused},
    {"ST-8 UP-1: unreadable and newer records are refused and kept",
     unreadable_records_are_kept},
    {"LC-2: a session ends at its idle limit, once", limits_end_sessions},
    {"LC-2: the absolute end never moves", absolute_end_never_moves},
    {"step-up asks for a recent sign-in", step_up},
    {"HD-10: stale or zeroed results deny", zeroed_results_deny},
    {"UP-2: keys rotate without signing anybody out", keys_rotate_without_sign_out},
};
COAT_TEST_MAIN(tests)
