/* SPDX-License-Identifier: Apache-2.0 */
#include "rig.h"

#include <string.h>

static rig r;

enum { SEEN_MAX = 64 };
static coat_handle seen[SEEN_MAX];
static unsigned seen_count;
static bool foreign;

static void
collect(coat_call *call, const coat_session *session)
{
    if (call->user.len > 0 && !coat_span_is(coat_session_record(session)->user, call->user))
        foreign = true;
    if (seen_count < SEEN_MAX)
        seen[seen_count++] = *coat_session_handle(session);
}

static void
own_sessions_only(void)
{
    rig_token tokens[5];

    rig_open(&r, 1);
    for (int i = 0; i < 5; i++) {
        tokens[i] = rig_sign_in(&r, 0, i % 2 == 0 ? "ada" : "bob");
        rig_pass(&r, SECOND);
    }
    seen_count = 0;
    foreign = false;
    REQUIRE_OK(rig_run(
        &r, 0, (coat_call){.op = COAT_CALL_LIST, .user = COAT_LIT("ada"), .item = collect}));
    CHECK_INT(seen_count, 3);
    CHECK_INT(r.call.count, 3);
    CHECK(!r.call.more);
    CHECK(!foreign);
    for (unsigned i = 0; i < 3; i++) {
        coat_handle want = rig_handle(&tokens[2 * i]); /* oldest first */

        CHECK(coat_handle_equal(&seen[i], &want));
    }
    rig_stop(&r);
}

static void
in_pages(void)
{
    coat_call call = {.op = COAT_CALL_LIST, .user = COAT_LIT("ada"), .limit = 4};
    unsigned pages = 0;

    rig_prepare(&r, NULL, 1);
    r.conf.sessions_per_user = 0;
    rig_start(&r);
    for (int i = 0; i < 30; i++) {
        if (i == 20)
            rig_pass(&r, 20 * MINUTE);
        (void)rig_sign_in(&r, 0, "ada");
    }
    rig_pass(&r, 11 * MINUTE); /* the first 20 are dead, but in the store still */
    seen_count = 0;
    call.item = collect;
    do {
        REQUIRE_OK(rig_run(&r, 0, call));
        call.has_cursor = true;
        call.cursor = seen[seen_count - 1];
        pages++;
    } while (r.call.more && pages < 50);
    CHECK_INT(seen_count, 10);
    CHECK_INT(pages, 3);
    rig_stop(&r);
}

static void
scan_everybody(void)
{
    coat_call call = {.op = COAT_CALL_SCAN, .limit = 7, .item = collect};
    char user[32];

    rig_open(&r, 1);
    for (int i = 0; i < 40; i++) {
        snprintf(user, sizeof user, "user%d", i);
        (void)rig_sign_in(&r, 0, user);
    }
    seen_count = 0;
    do {
        REQUIRE_OK(rig_run(&r, 0, call));
        call.has_cursor = true;
        call.cursor = seen[seen_count - 1];
    } while (r.call.more);
    CHECK_INT(seen_count, 40);
    rig_stop(&r);
}

static int64_t shown_seen;

static void
look(coat_call *call, const coat_session *session)
{
    (void)call;
    shown_seen = coat_session_seen_ms(session);
}

static void
activity_shown(void)
{
    rig_token token;

    rig_open(&r, 1);
    token = rig_sign_in(&r, 0, "ada");
    REQUIRE_OK(rig_knock(&r, 0, &token));
    rig_pass(&r, 10 * MINUTE);
    REQUIRE_OK(rig_knock(&r, 0, &token)); /* noted in the table only */
    REQUIRE_OK(rig_run(
        &r, 0, (coat_call){.op = COAT_CALL_LIST, .user = COAT_LIT("ada"), .item = look}));
    CHECK(shown_seen >= r.wall - SECOND && shown_seen <= r.wall + SECOND);
    rig_stop(&r);
}

/* Whatever verifies can be listed, and dies by revoking the user: random histories. */
static void
acceptable_is_listed(void)
{
    enum { TOKENS = 24 };
    long rounds = test_scaled(5000, 60);
    static const char *const users[] = {"ada", "bob", "eve"};

    for (long round = 0; round < rounds; round++) {
        rig_token tokens[TOKENS];
        unsigned count = 0;
        test_rng random = {(uint64_t)round};

        rig_prepare(&r, NULL, 1);
        r.conf.sessions_per_user = 4;
        rig_start(&r);
        for (int step = 0; step < 40; step++) {
            unsigned pick = count > 0 ? (unsigned)test_rng_below(&random, count) : 0;

            rig_pass(&r, (int64_t)test_rng_below(&random, 5 * MINUTE));
            if (count < TOKENS && test_rng_below(&random, 2) == 0)
                tokens[count++] = rig_sign_in(&r, 0, users[test_rng_below(&random, 3)]);
            else if (count > 0 && test_rng_below(&random, 4) == 0)
                (void)rig_end(&r, 0, &tokens[pick]);
            else if (count > 0)
                (void)rig_knock(&r, 0, &tokens[pick]);
        }
        seen_count = 0;
        for (int u = 0; u < 3; u++)
            REQUIRE_OK(rig_run(&r, 0,
                               (coat_call){.op = COAT_CALL_LIST,
                                           .user = coat_span_of(users[u]),
                                           .item = collect}));
        for (unsigned i = 0; i < count; i++) {
            coat_handle handle = rig_handle(&tokens[i]);
            bool listed = false;

            for (unsigned k = 0; k < seen_count; k++)
                listed = listed || coat_handle_equal(&seen[k], &handle);
            CHECK_INT(rig_check(&r, 0, &tokens[i]) == COAT_OK, listed);
        }
        for (int u = 0; u < 3; u++)
            REQUIRE_OK(rig_end_user(&r, 0, users[u]));
        for (unsigned i = 0; i < count; i++)
            CHECK_ERR(rig_knock(&r, 0, &tokens[i]), COAT_NO_SESSION);
        rig_stop(&r);
    }
}

/* What a list lends holds no secret: nothing of the token is in the record's bytes. */
static bool leaked;
static coat_token secret_of;

static void
search(coat_call *call, const coat_session *session)
{
    const coat_record *record = coat_session_record(session);

    (void)call;
    leaked = leaked || memmem(record, sizeof *record, secret_of.secret, COAT_SECRET_BYTES) ||
             memmem(record->user.ptr, record->user.len, secret_of.secret, COAT_SECRET_BYTES);
}

static void
no_secret_in_lists(void)
{
    rig_token token;

    rig_open(&r, 1);
    token = rig_sign_in(&r, 0, "ada");
    REQUIRE_OK(coat_token_decode(rig_span(&token), &secret_of));
    REQUIRE_OK(rig_run(
        &r, 0, (coat_call){.op = COAT_CALL_LIST, .user = COAT_LIT("ada"), .item = search}));
    CHECK(!leaked);
    CHECK(r.call.session == NULL && !r.call.set_token);
    rig_stop(&r);
}

/** So many dead are not passed in one step of the store. */
static void
behind_the_dead(void)
{
    enum { DEAD = 2 * COAT_STORE_LIST_MAX + 5 };
    rig_token first, last;

    rig_prepare(&r, NULL, 1);
    r.conf.sessions_per_user = 0;
    rig_start(&r);
    for (int i = 0; i < DEAD; i++)
        first = rig_sign_in(&r, 0, "ada");
    REQUIRE_OK(rig_run(&r, 0, (coat_call){.op = COAT_CALL_END_ALL}));
    CHECK_INT(rig_listed(&r, 0, "ada"), 0);
    last = rig_sign_in(&r, 0, "ada");
    CHECK_INT(rig_listed(&r, 0, "ada"), 1);
    CHECK_ERR(rig_check(&r, 0, &first), COAT_NO_SESSION);
    REQUIRE_OK(rig_end_user(&r, 0, "ada"));
    CHECK(r.call.more); /* not looked through to the end for the sake of a number */
    CHECK_ERR(rig_check(&r, 0, &last), COAT_NO_SESSION);
    CHECK_INT(rig_listed(&r, 0, "ada"), 0);
    rig_stop(&r);
}

static const coat_test tests[] = {
    {"LC-12: a list holds the user's own live sessions, oldest first", own_sessions_only},
    {"pages are full although dead sessions lie between", in_pages},
    {"AD-5: a list goes on behind very many dead sessions", behind_the_dead},
    {"a scan reports everybody's", scan_everybody},
    {"LC-12: the last use shown includes what only the table knows", activity_shown},
    {"ST-9: every session that verifies is listed and dies by revoking its user",
     acceptable_is_listed},
    {"LC-12: a list lends no token", no_secret_in_lists},
};
COAT_TEST_MAIN(tests)
