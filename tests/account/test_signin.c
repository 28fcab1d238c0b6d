/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

static void
test_sign_in(void)
{
    fixture f;

    fixture_init(&f);
    REQUIRE_OK(fixture_add(&f, "alice", GOOD_PASSWORD));
    CHECK_INT(f.events[COAT_EVENT_ACCOUNT_CREATED], 1);
    CHECK_ERR(fixture_add(&f, "alice", GOOD_PASSWORD), COAT_EXISTS);
    CHECK_ERR(fixture_sign_in(&f, "alice", GOOD_PASSWORD), COAT_OK);
    CHECK_STR(f.call.user, "alice");
    CHECK_STR(f.call.user_roles, "reader writer");
    CHECK_INT(strlen(f.call.device_text), 34);
    CHECK_INT(f.events[COAT_EVENT_LOGIN_SUCCESS], 1);
    CHECK_ERR(fixture_sign_in(&f, "alice", WRONG_PASSWORD), COAT_DENIED);
    CHECK_STR(f.call.user, "");
    CHECK_STR(f.call.device_text, "");
    CHECK_INT(f.events[COAT_EVENT_LOGIN_FAILURE], 1);
    CHECK_STR(f.reason, "wrong_password");
    CHECK_ERR(fixture_sign_in(&f, "Alice", GOOD_PASSWORD), COAT_DENIED);
    CHECK_STR(f.reason, "unknown_user");
    fixture_fini(&f);
}

/* Last byte of passwords of several lengths; NUL; normalization. */
static void
test_exact(void)
{
    static const size_t lengths[] = {15,  63,  64,  65,  71,   72,  73,
                                     128, 511, 512, 513, 1023, 1024};
    fixture f;

    fixture_init(&f);
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        uint8_t password[1024];
        char name[16];

        for (size_t k = 0; k < lengths[i]; k++)
            password[k] = (uint8_t)('a' + k * 7 % 26);
        (void)snprintf(name, sizeof name, "user%zu", lengths[i]);
        test_case(name);
        REQUIRE_OK(fixture_run(&f, (coat_account_call){.op = COAT_ACCOUNT_ADD,
                                                       .name = coat_span_of(name),
                                                       .password = {password, lengths[i]}}));
        CHECK_ERR(
            fixture_sign_in_span(&f, coat_span_of(name), (coat_span){password, lengths[i]}),
            COAT_OK);
        CHECK_ERR(
            fixture_sign_in_span(&f, coat_span_of(name), (coat_span){password, lengths[i] - 1}),
            COAT_DENIED);
        password[lengths[i] - 1] ^= 1;
        CHECK_ERR(
            fixture_sign_in_span(&f, coat_span_of(name), (coat_span){password, lengths[i]}),
            COAT_DENIED);
        password[lengths[i] - 1] ^= 1 ^ 0x20;
        CHECK_ERR(
            fixture_sign_in_span(&f, coat_span_of(name), (coat_span){password, lengths[i]}),
            COAT_DENIED);
    }
    test_case(NULL);
    REQUIRE_OK(
        fixture_run(&f, (coat_account_call){.op = COAT_ACCOUNT_ADD,
                                            .name = COAT_LIT("nul"),
                                            .password = COAT_LIT("lamp\0behind the sofa")}));
    CHECK_ERR(fixture_sign_in_span(&f, COAT_LIT("nul"), COAT_LIT("lamp\0behind the sofa")),
              COAT_OK);
    CHECK_ERR(fixture_sign_in_span(&f, COAT_LIT("nul"), COAT_LIT("lamp\0behind the door")),
              COAT_DENIED);
    CHECK_ERR(fixture_sign_in_span(&f, COAT_LIT("nul"), COAT_LIT("lamp")), COAT_DENIED);
    REQUIRE_OK(fixture_add(&f, "nfc", "caf\xc3\xa9 au lait, s'il vous pla\xc3\xaet"));
    CHECK_ERR(fixture_sign_in(&f, "nfc", "cafe\xcc\x81 au lait, s'il vous plai\xcc\x82t"),
              COAT_OK);
    CHECK_ERR(fixture_sign_in(&f, "nfc", "cafe au lait, s'il vous plait"), COAT_DENIED);
    fixture_fini(&f);
}

static void
test_too_long(void)
{
    enum { MIB_10 = 10 << 20 };
    uint8_t *big = malloc(MIB_10);
    coat_directory_stats before, after;
    fixture f;

    fixture_init(&f);
    REQUIRE(big != NULL);
    memset(big, 'x', MIB_10);
    REQUIRE_OK(fixture_add(&f, "alice", GOOD_PASSWORD));
    coat_directory_stats_get(f.directory, &before);
    CHECK_ERR(fixture_sign_in_span(&f, COAT_LIT("alice"), (coat_span){big, 1025}), COAT_DENIED);
    CHECK_ERR(fixture_sign_in_span(&f, COAT_LIT("alice"), (coat_span){big, MIB_10}),
              COAT_DENIED);
    CHECK_ERR(fixture_sign_in_span(&f, COAT_LIT("alice"), (coat_span){big, 0}), COAT_DENIED);
    coat_directory_stats_get(f.directory, &after);
    CHECK_INT(after.hashes - before.hashes, 0);
    CHECK_INT(f.events[COAT_EVENT_LOGIN_FAILURE], 3);
    free(big);
    fixture_fini(&f);
}

/* What a caller can see of a refusal, as bytes. */
static void
outcome(const coat_account_call *call, uint8_t *buf, size_t *len)
{
    *len = 0;
    memcpy(buf, &call->result, sizeof call->result);
    *len += sizeof call->result;
    memcpy(buf + *len, call->user, sizeof call->user);
    *len += sizeof call->user;
    memcpy(buf + *len, call->user_roles, sizeof call->user_roles);
    *len += sizeof call->user_roles;
    memcpy(buf + *len, call->device_text, sizeof call->device_text);
    *len += sizeof call->device_text;
    memcpy(buf + *len, &call->retry_after_s, sizeof call->retry_after_s);
    *len += sizeof call->retry_after_s;
    memcpy(buf + *len, &call->fault, sizeof call->fault);
    *len += sizeof call->fault;
}

/* alice: wrong password; bob: disabled; carol: locked; dave: no password; eve: nobody. */
static const char *const refused[] = {"alice", "bob", "carol", "dave", "eve", " odd name "};

static void
prepare_refused(fixture *f)
{
    REQUIRE_OK(fixture_add(f, "alice", GOOD_PASSWORD));
    REQUIRE_OK(fixture_add(f, "bob", GOOD_PASSWORD));
    REQUIRE_OK(fixture_add(f, "carol", GOOD_PASSWORD));
    REQUIRE_OK(fixture_add(f, "dave", ""));
    REQUIRE_OK(fixture_do(f, COAT_ACCOUNT_DISABLE, "bob"));
    for (unsigned i = 0; i < 50; i++, fixture_rest(f))
        CHECK_ERR(fixture_sign_in(f, "carol", WRONG_PASSWORD), COAT_DENIED);
    CHECK_INT(f->events[COAT_EVENT_LOGIN_LOCKED], 1);
}

static void
test_same_answer(void)
{
    uint8_t first[2048], other[2048];
    size_t first_len = 0, len;
    fixture f;

    fixture_init(&f);
    prepare_refused(&f);
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        bool wrong = i == 0; /* the others are refused with any password */

        test_case(refused[i]);
        CHECK_ERR(fixture_sign_in(&f, refused[i], wrong ? WRONG_PASSWORD : GOOD_PASSWORD),
                  COAT_DENIED);
        outcome(&f.call, i == 0 ? first : other, i == 0 ? &first_len : &len);
        if (i > 0)
            CHECK_MEM(other, len, first, first_len);
    }
    /* and the waits that follow are the same too */
    for (unsigned n = 1; n < 12; n++) {
        for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
            if (i == 2)
                continue; /* carol has gone through all of it */
            test_case(refused[i]);
            (void)fixture_sign_in(&f, refused[i], WRONG_PASSWORD);
            outcome(&f.call, i == 0 ? first : other, i == 0 ? &first_len : &len);
            if (i > 0)
                CHECK_MEM(other, len, first, first_len);
        }
        f.now_ms += n % 2 != 0 ? 2000 : 500;
    }
    fixture_fini(&f);
}

static void
operations(fixture *f, uint64_t out[16])
{
    coat_store_stats stats;

    REQUIRE_OK(coat_store_stats_get(f->store, &stats));
    memcpy(out, stats.operations, sizeof stats.operations);
}

static void
test_same_cost(void)
{
    uint64_t want[16] = {0}, before[16], after[16];
    coat_directory_stats hashes_before, hashes_after;
    fixture f;

    fixture_init(&f);
    prepare_refused(&f);
    /* the second attempt of each: every counter is there already, as carol's is */
    for (unsigned round = 0; round < 2; round++, fixture_rest(&f))
        for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
            test_case(refused[i]);
            operations(&f, before);
            coat_directory_stats_get(f.directory, &hashes_before);
            CHECK_ERR(fixture_sign_in(&f, refused[i], WRONG_PASSWORD), COAT_DENIED);
            coat_directory_stats_get(f.directory, &hashes_after);
            operations(&f, after);
            CHECK_INT(hashes_after.hashes - hashes_before.hashes, 1);
            for (unsigned op = 0; op < 16 && round == 1; op++) {
                if (i == 0)
                    want[op] = after[op] - before[op];
                else
                    CHECK_INT(after[op] - before[op], want[op]);
            }
        }
    CHECK_INT(want[COAT_OP_LOAD], 2);
    CHECK_INT(want[COAT_OP_REPLACE], 1);
    fixture_fini(&f);
}

static void
test_rehash(void)
{
    coat_directory_stats stats;
    fixture f;

    fixture_init(&f);
    REQUIRE_OK(fixture_add(&f, "alice", GOOD_PASSWORD));
    fixture_shut(&f);
    f.conf.argon_passes = 2;
    fixture_open(&f, &fixture_weak);
    CHECK_ERR(fixture_sign_in(&f, "alice", WRONG_PASSWORD), COAT_DENIED);
    coat_directory_stats_get(f.directory, &stats);
    CHECK_INT(stats.rehashes, 0);
    CHECK_ERR(fixture_sign_in(&f, "alice", GOOD_PASSWORD), COAT_OK);
    CHECK_ERR(fixture_sign_in(&f, "alice", GOOD_PASSWORD), COAT_OK);
    coat_directory_stats_get(f.directory, &stats);
    CHECK_INT(stats.rehashes, 1);
    CHECK_INT(f.events[COAT_EVENT_PASSWORD_REHASHED], 1);
    fixture_fini(&f);
}

static void
test_disabled(void)
{
    fixture f;

    fixture_init(&f);
    REQUIRE_OK(fixture_add(&f, "alice", GOOD_PASSWORD));
    CHECK_ERR(fixture_sign_in(&f, "alice", GOOD_PASSWORD), COAT_OK);
    REQUIRE_OK(fixture_do(&f, COAT_ACCOUNT_DISABLE, "alice"));
    CHECK_ERR(fixture_sign_in(&f, "alice", GOOD_PASSWORD), COAT_DENIED);
    CHECK_STR(f.reason, "disabled");
    CHECK_ERR(fixture_run(&f, (coat_account_call){.op = COAT_ACCOUNT_VERIFY,
                                                  .name = COAT_LIT("alice"),
                                                  .password = COAT_LIT(GOOD_PASSWORD)}),
              COAT_DENIED);
    REQUIRE_OK(fixture_do(&f, COAT_ACCOUNT_ENABLE, "alice"));
    CHECK_ERR(fixture_sign_in(&f, "alice", GOOD_PASSWORD), COAT_OK);
    REQUIRE_OK(fixture_do(&f, COAT_ACCOUNT_DELETE, "alice"));
    CHECK_ERR(fixture_sign_in(&f, "alice", GOOD_PASSWORD), COAT_DENIED);
    CHECK_STR(f.reason, "unknown_user");
    fixture_fini(&f);
}

static void
test_step_up(void)
{
    fixture f;
    coat_account_call verify = {.op = COAT_ACCOUNT_VERIFY,
                                .name = COAT_LIT("alice"),
                                .password = COAT_LIT(GOOD_PASSWORD)};

    fixture_init(&f);
    REQUIRE_OK(fixture_add(&f, "alice", GOOD_PASSWORD));
    CHECK_ERR(fixture_run(&f, verify), COAT_OK);
    CHECK_STR(f.call.user, "alice");
    CHECK_STR(f.call.device_text, "");
    CHECK_INT(f.events[COAT_EVENT_STEP_UP_SUCCESS], 1);
    CHECK_INT(f.events[COAT_EVENT_LOGIN_SUCCESS], 0);
    verify.password = COAT_LIT(WRONG_PASSWORD);
    CHECK_ERR(fixture_run(&f, verify), COAT_DENIED);
    CHECK_INT(f.events[COAT_EVENT_STEP_UP_FAILURE], 1);
    CHECK_INT(fixture_failures(&f, "alice", COAT_CLIENT_KNOWN), 1);
    CHECK_INT(fixture_failures(&f, "alice", COAT_CLIENT_UNKNOWN), 0);
    fixture_fini(&f);
}

static const coat_test tests[] = {
    {"a right password opens, a wrong one does not", test_sign_in},
    {"LG-3: every byte of a password counts, whatever its length", test_exact},
    {"LG-3: too long a password fails like a wrong one, with no hash", test_too_long},
    {"LG-5: unknown, wrong, disabled, locked and without password are the same answer",
     test_same_answer},
    {"LG-6: they cost one hash and the same store operations", test_same_cost},
    {"LG-2: signing in renews a hash of older parameters", test_rehash},
    {"LC-11: a disabled or deleted account opens no more", test_disabled},
    {"step-up verifies, and counts as a known client", test_step_up},
};
COAT_TEST_MAIN(tests)
