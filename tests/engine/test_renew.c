/* SPDX-License-Identifier: Apache-2.0 */
#include "rig.h"

#include <string.h>

static rig r;

static bool
same(const rig_token *a, const rig_token *b)
{
    return memcmp(a->text, b->text, sizeof a->text) == 0;
}

/* The five events of LC-1, each as a call that replaces `old`. */
static const struct change {
    const char *name;
    coat_call call;
    bool guest;
} changes[] = {
    {"sign-in", {.op = COAT_CALL_CREATE, .user = {(const uint8_t *)"ada", 3}}, true},
    {"re-authentication", {.op = COAT_CALL_RENEW, .reauthenticated = true}, false},
    {"step-up",
     {.op = COAT_CALL_RENEW,
      .reauthenticated = true,
      .methods = {(const uint8_t *)"pwd otp", 7}},
     false},
    {"role change", {.op = COAT_CALL_RENEW, .roles = {(const uint8_t *)"admin", 5}}, false},
    {"password change", {.op = COAT_CALL_RENEW, .reauthenticated = true}, false},
};

static void
new_token_each_time(void)
{
    for (unsigned engines = 1; engines <= 3; engines += 2)
        for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
            coat_call call = changes[i].call;
            rig_token old, next;
            coat_handle before, after;

            test_case(changes[i].name);
            rig_open(&r, engines);
            if (changes[i].guest)
                REQUIRE_OK(rig_run(&r, 0, (coat_call){.op = COAT_CALL_CREATE}));
            else
                (void)rig_sign_in(&r, 0, "ada");
            old = rig_token_of(&r);
            REQUIRE_OK(rig_knock(&r, 0, &old));
            REQUIRE_OK(rig_knock(&r, 0, &old));
            call.token = rig_span(&old);
            REQUIRE_OK(rig_run(&r, 0, call));
            REQUIRE(r.call.set_token);
            next = rig_token_of(&r);
            before = rig_handle(&old);
            after = rig_handle(&next);
            CHECK(!same(&old, &next));
            CHECK(!coat_handle_equal(&before, &after));
            for (unsigned e = 0; e < engines; e++) {
                CHECK_ERR(rig_knock(&r, e, &old), COAT_NO_SESSION);
                CHECK_ERR(rig_knock(&r, e, &next), COAT_OK);
            }
            CHECK_ERR(rig_run(&r, 0,
                              (coat_call){
                                  .op = COAT_CALL_READ, .has_handle = true, .handle = before}),
                      COAT_NOT_FOUND);
            CHECK_INT(rig_listed(&r, 0, "ada"), 1);
            rig_stop(&r);
        }
}

static void
what_changes_and_what_stays(void)
{
    coat_record before;
    rig_token token;
    int64_t absolute_end;

    rig_open(&r, 1);
    token = rig_sign_in(&r, 0, "ada");
    REQUIRE_OK(rig_patch(&r, 0, &token, "{\"k\":1}"));
    before = *coat_session_record(r.call.session);
    absolute_end = before.absolute_end_ms;
    rig_pass(&r, 10 * MINUTE);
    REQUIRE_OK(rig_run(&r, 0,
                       (coat_call){.op = COAT_CALL_RENEW,
                                   .token = rig_span(&token),
                                   .roles = COAT_LIT("admin")}));
    token = rig_token_of(&r);
    {
        const coat_record *after = coat_session_record(r.call.session);

        CHECK(rig_data_is(&r, "{\"k\":1}"));
        CHECK(coat_span_is(after->roles, COAT_LIT("admin")));
        CHECK(coat_span_is(after->methods, COAT_LIT("pwd")));
        CHECK_INT(after->absolute_end_ms, absolute_end);
        CHECK_INT(after->created_ms, before.created_ms);
        CHECK_INT(after->auth_ms, before.auth_ms);
        CHECK(memcmp(after->csrf_key, before.csrf_key, sizeof before.csrf_key) != 0);
        CHECK(memcmp(after->rotation_key, before.rotation_key, sizeof before.rotation_key) !=
              0);
    }
    REQUIRE_OK(rig_run(&r, 0,
                       (coat_call){.op = COAT_CALL_RENEW,
                                   .token = rig_span(&token),
                                   .reauthenticated = true}));
    CHECK_INT(coat_session_record(r.call.session)->absolute_end_ms, r.wall + 12 * HOUR);
    CHECK_INT(coat_session_record(r.call.session)->auth_ms, r.wall);
    rig_stop(&r);
}

static void
both_timers_restart(void)
{
    rig_token token;

    rig_open(&r, 1);
    token = rig_sign_in(&r, 0, "ada");
    rig_pass(&r, 30 * MINUTE - SECOND);
    REQUIRE_OK(rig_run(&r, 0,
                       (coat_call){.op = COAT_CALL_RENEW,
                                   .token = rig_span(&token),
                                   .reauthenticated = true}));
    token = rig_token_of(&r);
    rig_pass(&r, 30 * MINUTE - SECOND);
    CHECK_ERR(rig_knock(&r, 0, &token), COAT_OK);
    rig_stop(&r);
}

static void
refusals(void)
{
    rig_token token;

    rig_open(&r, 1);
    token = rig_sign_in(&r, 0, "ada");
    CHECK_ERR(rig_run(&r, 0,
                      (coat_call){.op = COAT_CALL_RENEW,
                                  .token = rig_span(&token),
                                  .user = COAT_LIT("bob")}),
              COAT_DENIED);
    REQUIRE_OK(rig_end(&r, 0, &token));
    CHECK_ERR(rig_run(&r, 0, (coat_call){.op = COAT_CALL_RENEW, .token = rig_span(&token)}),
              COAT_NO_SESSION);
    token = rig_sign_in(&r, 0, "ada");
    rig_pass(&r, 31 * MINUTE);
    CHECK_ERR(rig_run(&r, 0, (coat_call){.op = COAT_CALL_RENEW, .token = rig_span(&token)}),
              COAT_NO_SESSION);
    rig_stop(&r);
}

static coat_call calls[2];

static void
ignore_done(coat_call *call)
{
    (void)call;
}

/* A revocation of everything else while the acting session renews: it must survive. */
static void
password_change(void)
{
    rig_token acting, others[5];

    rig_open(&r, 1);
    acting = rig_sign_in(&r, 0, "ada");
    for (int i = 0; i < 5; i++) {
        others[i] = rig_sign_in(&r, 0, "ada");
        REQUIRE_OK(rig_knock(&r, 0, &others[i]));
    }
    REQUIRE_OK(rig_run(&r, 0,
                       (coat_call){.op = COAT_CALL_END_USER,
                                   .user = COAT_LIT("ada"),
                                   .token = rig_span(&acting)}));
    CHECK_INT(r.call.count, 5);
    REQUIRE_OK(rig_run(&r, 0,
                       (coat_call){.op = COAT_CALL_RENEW,
                                   .token = rig_span(&acting),
                                   .reauthenticated = true}));
    CHECK_ERR(rig_knock(&r, 0, &acting), COAT_NO_SESSION);
    acting = rig_token_of(&r);
    for (int i = 0; i < 5; i++)
        CHECK_ERR(rig_knock(&r, 0, &others[i]), COAT_NO_SESSION);
    rig_stop(&r);
}

/* Renewal against a patch, a sign-out and a revocation, in every order of store operations. */
static void
interleavings(void)
{
    static const coat_call_op against[] = {COAT_CALL_PATCH, COAT_CALL_END, COAT_CALL_END_USER,
                                           COAT_CALL_END_ALL};
    long rounds = test_scaled(20000, 400);

    for (long round = 0; round < rounds; round++) {
        test_rng order = {(uint64_t)round + 1};
        coat_call_op op = against[round % 4];
        rig_token old, next;
        coat_err err;

        rig_open(&r, 1);
        old = rig_sign_in(&r, 0, "ada");
        sched_immediate(r.store, false);
        calls[0] =
            (coat_call){.op = COAT_CALL_RENEW, .token = rig_span(&old), .done = ignore_done};
        calls[1] = (coat_call){.op = op,
                               .token = rig_span(&old),
                               .user = COAT_LIT("ada"),
                               .data = COAT_LIT("{\"k\":1}"),
                               .done = ignore_done};
        if (op == COAT_CALL_END_USER)
            calls[1].token = (coat_span){0};
        coat_call_start(r.desk[0], &calls[round / 4 % 2]);
        coat_call_start(r.desk[0], &calls[1 - round / 4 % 2]);
        while (sched_waiting(r.store) > 0)
            sched_finish(r.store, test_rng_below(&order, sched_waiting(r.store)), SCHED_RUN);
        sched_immediate(r.store, true);

        memcpy(next.text, calls[0].token_text, sizeof next.text);
        CHECK_ERR(rig_check(&r, 0, &old), calls[0].result == COAT_OK || op != COAT_CALL_PATCH
                                              ? COAT_NO_SESSION
                                              : COAT_OK);
        err = calls[0].result == COAT_OK ? rig_check(&r, 0, &next) : COAT_NO_SESSION;
        if (op == COAT_CALL_END_USER || op == COAT_CALL_END_ALL) {
            CHECK_ERR(calls[1].result, COAT_OK);
            CHECK_ERR(err, COAT_NO_SESSION);
        }
        if (op == COAT_CALL_PATCH && calls[1].result == COAT_OK) {
            REQUIRE_OK(err);
            CHECK(rig_data_is(&r, "{\"k\":1}"));
        }
        coat_session_free(calls[0].session);
        coat_session_free(calls[1].session);
        rig_stop(&r);
    }
}

static const coat_test tests[] = {
    {"LC-1: each of five events makes a new token and kills the old one", new_token_each_time},
    {"LC-1: what renewal changes and what it keeps", what_changes_and_what_stays},
    {"LC-4: re-authentication restarts both timers", both_timers_restart},
    {"renewal is refused without a live session of that user", refusals},
    {"LC-11: a password change ends the others and keeps the acting session", password_change},
    {"LC-9 RV-4: renewal against patch, sign-out and revocations", interleavings},
};
COAT_TEST_MAIN(tests)
