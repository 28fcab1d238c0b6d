/* SPDX-License-Identifier: Apache-2.0 */
#include "rig.h"

#include <stdlib.h>
#include <string.h>

static rig r;

static uint64_t
stored(void)
{
    coat_store_stats stats;

    REQUIRE_OK(coat_store_stats_get(r.inner, &stats));
    return stats.sessions;
}

/* Every call to the source of randomness fails in turn. */
static void
no_randomness(void)
{
    int calls = 0;

    rig_open(&r, 1);
    for (int after = 0; after < 20; after++) {
        coat_err err;

        rig_forget(&r);
        r.rng_left = after;
        err = rig_run(&r, 0, (coat_call){.op = COAT_CALL_CREATE, .user = COAT_LIT("ada")});
        if (err == COAT_OK)
            break;
        calls++;
        CHECK_ERR(err, COAT_RNG_FAILED);
        CHECK(r.call.session == NULL && !r.call.set_token);
        for (size_t i = 0; i < sizeof r.call.token_text; i++)
            CHECK_INT(r.call.token_text[i], 0);
        CHECK_INT(rig_events(&r, COAT_EVENT_RNG_FAILURE), 1);
        CHECK_INT(rig_events(&r, COAT_EVENT_SESSION_CREATED), 0);
        CHECK_INT(stored(), 0);
    }
    CHECK(calls >= 3);
    r.rng_left = -1;
    rig_stop(&r);
}

static void
no_randomness_for_renewal(void)
{
    rig_token token;

    rig_open(&r, 1);
    token = rig_sign_in(&r, 0, "ada");
    for (int after = 0; after < 3; after++) {
        r.rng_left = after;
        CHECK_ERR(rig_run(&r, 0, (coat_call){.op = COAT_CALL_RENEW, .token = rig_span(&token)}),
                  COAT_RNG_FAILED);
        CHECK(r.call.session == NULL && !r.call.set_token);
    }
    r.rng_left = -1;
    CHECK_INT(rig_events(&r, COAT_EVENT_RNG_FAILURE), 3);
    CHECK_ERR(rig_check(&r, 0, &token), COAT_OK);
    rig_stop(&r);
}

static void
foreign_tokens_are_not_adopted(void)
{
    static const coat_call_op ops[] = {COAT_CALL_CHECK, COAT_CALL_RENEW, COAT_CALL_PATCH,
                                       COAT_CALL_READ};
    coat_token chosen;
    rig_token text, token;
    coat_handle handle;

    rig_open(&r, 1);
    REQUIRE_OK(test_rng_fill(&r.random, (uint8_t *)&chosen, sizeof chosen));
    coat_token_encode(&chosen, text.text);
    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++) {
        CHECK(rig_run(&r, 0, (coat_call){.op = ops[i], .token = rig_span(&text)}) != COAT_OK);
        CHECK(r.call.session == NULL);
    }
    CHECK_INT(rig_events(&r, COAT_EVENT_SESSION_UNKNOWN_TOKEN), 0);
    REQUIRE_OK(rig_run(&r, 0,
                       (coat_call){.op = COAT_CALL_CREATE,
                                   .user = COAT_LIT("ada"),
                                   .token = rig_span(&text)}));
    token = rig_token_of(&r);
    CHECK_INT(rig_events(&r, COAT_EVENT_SESSION_UNKNOWN_TOKEN), 1);
    CHECK(memcmp(token.text, text.text, sizeof token.text) != 0);
    handle = rig_handle(&token);
    CHECK(!coat_handle_equal(&handle, &chosen.handle));
    CHECK_ERR(
        rig_run(&r, 0,
                (coat_call){.op = COAT_CALL_READ, .has_handle = true, .handle = chosen.handle}),
        COAT_NOT_FOUND);
    CHECK_ERR(rig_check(&r, 0, &text), COAT_NO_SESSION);
    CHECK_INT(stored(), 1);
    rig_stop(&r);
}

static void
guest_signs_in(void)
{
    rig_token guest, user;

    rig_open(&r, 1);
    REQUIRE_OK(rig_run(
        &r, 0,
        (coat_call){.op = COAT_CALL_CREATE, .data = COAT_LIT("{\"cart\":[1],\"a\":1}")}));
    guest = rig_token_of(&r);
    CHECK_INT(coat_session_record(r.call.session)->auth_ms, 0);
    REQUIRE_OK(rig_knock(&r, 0, &guest));
    REQUIRE_OK(rig_knock(&r, 0, &guest));
    REQUIRE_OK(rig_run(&r, 0,
                       (coat_call){.op = COAT_CALL_CREATE,
                                   .token = rig_span(&guest),
                                   .user = COAT_LIT("ada"),
                                   .keep_data = true,
                                   .data = COAT_LIT("{\"a\":null,\"b\":2}")}));
    user = rig_token_of(&r);
    CHECK(rig_data_is(&r, "{\"cart\":[1],\"b\":2}"));
    CHECK_ERR(rig_knock(&r, 0, &guest), COAT_NO_SESSION);
    CHECK_ERR(rig_knock(&r, 0, &user), COAT_OK);
    CHECK_INT(stored(), 1);
    /* signing in again, same user: the former session goes in the same step */
    REQUIRE_OK(rig_run(&r, 0,
                       (coat_call){.op = COAT_CALL_CREATE,
                                   .token = rig_span(&user),
                                   .user = COAT_LIT("ada")}));
    CHECK(rig_data_is(&r, ""));
    CHECK_ERR(rig_knock(&r, 0, &user), COAT_NO_SESSION);
    CHECK_INT(stored(), 1);
    CHECK_INT(sched_seen(r.store, COAT_OP_REMOVE), 1);
    rig_stop(&r);
}

/* A superseded token at sign-in names a stolen session: it ends, and nothing is taken over. */
static void
stolen_one_is_not_followed(void)
{
    rig_token token, next;

    rig_open(&r, 1);
    REQUIRE_OK(rig_run(
        &r, 0, (coat_call){.op = COAT_CALL_CREATE, .data = COAT_LIT("{\"cart\":[1]}")}));
    token = rig_token_of(&r);
    rig_pass(&r, 15 * MINUTE);
    REQUIRE_OK(rig_knock(&r, 0, &token));
    next = rig_token_of(&r);
    REQUIRE_OK(rig_knock(&r, 0, &next));
    rig_pass(&r, 60 * SECOND);
    REQUIRE_OK(rig_run(&r, 0,
                       (coat_call){.op = COAT_CALL_CREATE,
                                   .token = rig_span(&token),
                                   .user = COAT_LIT("ada"),
                                   .keep_data = true}));
    CHECK(rig_data_is(&r, ""));
    CHECK_INT(rig_events(&r, COAT_EVENT_TOKEN_REUSE), 1);
    CHECK_ERR(rig_knock(&r, 0, &next), COAT_NO_SESSION);
    CHECK_INT(stored(), 1);
    rig_stop(&r);
}

/* The old session cannot be removed: then there is no new one. */
static void
guest_cannot_be_ended(void)
{
    rig_token guest;

    rig_open(&r, 1);
    REQUIRE_OK(rig_run(&r, 0, (coat_call){.op = COAT_CALL_CREATE}));
    guest = rig_token_of(&r);
    sched_fail(r.store, COAT_OP_REMOVE, SCHED_REFUSE, 1);
    CHECK_ERR(rig_run(&r, 0,
                      (coat_call){.op = COAT_CALL_CREATE,
                                  .token = rig_span(&guest),
                                  .user = COAT_LIT("ada")}),
              COAT_STORE_DOWN);
    CHECK(r.call.session == NULL && !r.call.set_token);
    CHECK_INT(rig_listed(&r, 0, "ada"), 0);
    CHECK_ERR(rig_check(&r, 0, &guest), COAT_OK);
    rig_stop(&r);
}

enum { SIGN_INS = 50, KEPT = 10 };
static coat_call calls[SIGN_INS];

static void
ignore_done(coat_call *call)
{
    (void)call;
}

static void
limit_is_exact(bool deny)
{
    test_rng order = {3};
    unsigned live = 0, made = 0, refused = 0;
    rig_token token;

    rig_prepare(&r, NULL, 3);
    r.conf.sessions_deny = deny;
    rig_start(&r);
    sched_immediate(r.store, false);
    for (unsigned i = 0; i < SIGN_INS; i++) {
        calls[i] =
            (coat_call){.op = COAT_CALL_CREATE, .user = COAT_LIT("ada"), .done = ignore_done};
        coat_call_start(r.desk[i % 3], &calls[i]);
    }
    while (sched_waiting(r.store) > 0)
        sched_finish(r.store, test_rng_below(&order, sched_waiting(r.store)), SCHED_RUN);
    sched_immediate(r.store, true);
    for (unsigned i = 0; i < SIGN_INS; i++) {
        made += calls[i].result == COAT_OK;
        refused += calls[i].result == COAT_TOO_MANY;
        CHECK((calls[i].result == COAT_OK) == (calls[i].session != NULL));
        memcpy(token.text, calls[i].token_text, sizeof token.text);
        if (calls[i].result == COAT_OK && rig_check(&r, i % 3, &token) == COAT_OK)
            live++;
        coat_session_free(calls[i].session);
    }
    CHECK_INT(live, KEPT);
    CHECK_INT(made, deny ? KEPT : SIGN_INS);
    CHECK_INT(refused, deny ? SIGN_INS - KEPT : 0);
    CHECK_INT(rig_events(&r, COAT_EVENT_SESSION_EVICTED), SIGN_INS - KEPT);
    CHECK_INT(rig_listed(&r, 0, "ada"), KEPT);
    rig_stop(&r);
}

static void
limit_evicts(void)
{
    limit_is_exact(false);
}

static void
limit_denies(void)
{
    limit_is_exact(true);
}

static void
evicted_leave_the_table(void)
{
    rig_token first;

    rig_open(&r, 1);
    first = rig_sign_in(&r, 0, "ada");
    REQUIRE_OK(rig_knock(&r, 0, &first));
    REQUIRE_OK(rig_knock(&r, 0, &first));
    for (int i = 0; i < KEPT; i++) {
        rig_pass(&r, SECOND);
        (void)rig_sign_in(&r, 0, "ada");
    }
    CHECK_ERR(rig_knock(&r, 0, &first), COAT_NO_SESSION);
    rig_stop(&r);
}

static void
full_store(void)
{
    rig_token token;

    rig_open(&r, 1);
    token = rig_sign_in(&r, 0, "ada");
    rig_forget(&r);
    sched_fail(r.store, COAT_OP_INSERT, SCHED_FULL, 2);
    for (int i = 0; i < 2; i++)
        CHECK_ERR(rig_run(&r, 0, (coat_call){.op = COAT_CALL_CREATE, .user = COAT_LIT("bob")}),
                  COAT_STORE_FULL);
    CHECK(r.call.session == NULL && !r.call.set_token);
    CHECK_INT(rig_events(&r, COAT_EVENT_STORE_FAILURE), 1);
    CHECK_ERR(rig_knock(&r, 0, &token), COAT_OK);
    rig_pass(&r, 16 * MINUTE); /* rotation is due and cannot be written */
    sched_fail(r.store, COAT_OP_REPLACE, SCHED_FULL, 1);
    CHECK_ERR(rig_knock(&r, 0, &token), COAT_OK);
    CHECK_ERR(rig_end(&r, 0, &token), COAT_OK);
    CHECK_ERR(rig_knock(&r, 0, &token), COAT_NO_SESSION);
    (void)rig_sign_in(&r, 0, "bob");
    CHECK_INT(rig_events(&r, COAT_EVENT_STORE_RECOVERY), 1);
    rig_stop(&r);
}

/* ---- ST-1: what the store holds cannot be used to authenticate ---- */

static uint8_t *dump;
static size_t dump_len, dump_cap;

static void
into_dump(coat_store_req *req, const coat_store_item *item)
{
    (void)req;
    if (dump_len + 16 + item->value.len > dump_cap) {
        dump_cap = (dump_len + 16 + item->value.len) * 2;
        dump = realloc(dump, dump_cap);
    }
    memcpy(dump + dump_len, item->address.bytes, 16);
    memcpy(dump + dump_len + 16, item->value.ptr, item->value.len);
    dump_len += 16 + item->value.len;
}

static bool
dumped(const void *needle, size_t len)
{
    return memmem(dump, dump_len, needle, len) != NULL;
}

static void
all_forms(const uint8_t *bytes, size_t len)
{
    char text[128], other[128];
    size_t chars = (len * 8 + 5) / 6;

    CHECK(!dumped(bytes, len));
    for (size_t i = 0; i < len; i++)
        snprintf(text + 2 * i, 3, "%02x", bytes[i]);
    CHECK(!dumped(text, 2 * len));
    coat_b64url_encode(bytes, len, text);
    CHECK(!dumped(text, chars));
    for (size_t i = 0; i < chars; i++)
        other[i] = text[i] == '-' ? '+' : text[i] == '_' ? '/' : text[i];
    CHECK(!dumped(other, chars));
}

static void
dump_holds_no_token(void)
{
    long n = test_scaled(10000, 50);
    rig_token *tokens = calloc((size_t)n, 2 * sizeof *tokens);
    coat_store_req req = {.op = COAT_OP_SCAN, .space = COAT_SPACE_SESSION, .item = into_dump};
    coat_lane *lane;

    rig_open(&r, 1);
    for (long i = 0; i < n; i++) {
        char user[32];

        snprintf(user, sizeof user, "user%ld", i);
        tokens[2 * i] = tokens[2 * i + 1] = rig_sign_in(&r, 0, user);
    }
    rig_pass(&r, 15 * MINUTE);
    for (long i = 0; i < n; i++) { /* now there are pending secrets, too */
        REQUIRE_OK(rig_knock(&r, 0, &tokens[2 * i]));
        REQUIRE(r.call.set_token);
        tokens[2 * i + 1] = rig_token_of(&r);
    }
    dump_len = 0;
    REQUIRE_OK(coat_lane_open(r.inner, NULL, &lane));
    req.now_ms = r.wall;
    do {
        REQUIRE_OK(coat_store_run(lane, &req));
        if (dump_len >= 16 && req.more)
            break;
    } while (req.more);
    coat_lane_close(lane);
    CHECK(dump_len > (size_t)(n < 1000 ? n : 1000) * 300);
    for (long i = 0; i < 2 * n; i++) {
        coat_token token;

        REQUIRE_OK(coat_token_decode(rig_span(&tokens[i]), &token));
        all_forms(token.secret, sizeof token.secret);
        CHECK(!dumped(tokens[i].text, sizeof tokens[i].text));
    }
    /* a stored key, made to look like a cookie */
    for (size_t at = 0; at + 40 < dump_len && at < 4000; at += 13) {
        rig_token text;

        coat_b64url_encode(dump + at, COAT_TOKEN_BYTES, text.text);
        CHECK_ERR(rig_check(&r, 0, &text), COAT_NO_SESSION);
    }
    free(tokens);
    free(dump);
    dump = NULL;
    dump_cap = 0;
    rig_stop(&r);
}

static void
remembered(void)
{
    rig_token token;

    rig_open(&r, 1);
    REQUIRE_OK(rig_run(
        &r, 0, (coat_call){.op = COAT_CALL_CREATE, .user = COAT_LIT("ada"), .remember = true}));
    token = rig_token_of(&r);
    CHECK_INT(r.call.max_age_s, 24 * 3600);
    rig_pass(&r, 23 * HOUR);
    CHECK_ERR(rig_knock(&r, 0, &token), COAT_OK);
    CHECK_INT(r.call.max_age_s, 3600);
    rig_pass(&r, HOUR + 1);
    CHECK_ERR(rig_knock(&r, 0, &token), COAT_NO_SESSION);
    rig_stop(&r);
}

static void
oversized_input(void)
{
    static char long_text[5000];

    memset(long_text, 'x', sizeof long_text);
    rig_open(&r, 1);
    CHECK_ERR(rig_run(&r, 0,
                      (coat_call){.op = COAT_CALL_CREATE,
                                  .user = {(uint8_t *)long_text, COAT_USER_MAX + 1}}),
              COAT_TOO_LARGE);
    CHECK_ERR(rig_run(&r, 0,
                      (coat_call){.op = COAT_CALL_CREATE,
                                  .roles = {(uint8_t *)long_text, COAT_ROLES_MAX + 1}}),
              COAT_TOO_LARGE);
    REQUIRE_OK(rig_run(
        &r, 0,
        (coat_call){.op = COAT_CALL_CREATE, .context.agent = {(uint8_t *)long_text, 5000}}));
    CHECK_INT(coat_session_record(r.call.session)->first.agent.len, COAT_AGENT_MAX);
    rig_stop(&r);
}

static const coat_test tests[] = {
    {"ID-2: without randomness nothing is issued", no_randomness},
    {"ID-2: without randomness nothing is renewed, and the session stays",
     no_randomness_for_renewal},
    {"ID-3: a token that was not issued here is never adopted", foreign_tokens_are_not_adopted},
    {"LC-1: a guest signs in: new token, old one dead, data kept", guest_signs_in},
    {"LC-7: a superseded token at sign-in ends its session and gives nothing",
     stolen_one_is_not_followed},
    {"LC-1: no new session beside an old one that cannot be ended", guest_cannot_be_ended},
    {"LC-10: 50 parallel sign-ins leave exactly 10, the oldest give way", limit_evicts},
    {"LC-10: 50 parallel sign-ins leave exactly 10, the newest are refused", limit_denies},
    {"LC-10: what gave way leaves the table", evicted_leave_the_table},
    {"SF-8: on a full store, checks and sign-outs go on", full_store},
    {"ST-1: a dump of the store holds no token", dump_holds_no_token},
    {"LC-2: a remembered session has limits of its own", remembered},
    {"inputs over their limits are refused or cut", oversized_input},
};
COAT_TEST_MAIN(tests)
