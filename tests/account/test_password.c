/* SPDX-License-Identifier: Apache-2.0 */
#include "account/password.h"
#include "account/text.h"
#include "fixture.h"

#define F10                                                                                    \
    "\xf0\x9f\x98\x80\xf0\x9f\x90\x8c\xf0\x9f\x8d\x8b\xf0\x9f\x9a\xb2\xf0\x9f\x8e\xa9"         \
    "\xf0\x9f\xa7\xad\xf0\x9f\xaa\x81\xf0\x9f\xab\x96\xf0\x9f\x93\x8e\xf0\x9f\xa7\xb5"
#define F4 "\xf0\x9f\xa7\xa9\xf0\x9f\x8e\xbb\xf0\x9f\xaa\x91\xf0\x9f\xab\x90"

static const struct judge_case {
    const char *password;
    coat_password_fault want;
} judged[] = {
    /* length, in code points, whatever they are */
    {"", COAT_PASSWORD_SHORT},
    {"kqzvxwjmbdpfgt", COAT_PASSWORD_SHORT},
    {"kqzvxwjmbdpfgtr", COAT_PASSWORD_FINE},
    {F10 F4, COAT_PASSWORD_SHORT},
    {F10 F4 "\xf0\x9f\xa7\xb6", COAT_PASSWORD_FINE},
    {"               ", COAT_PASSWORD_FINE},
    {"caf\xc3\xa9 caf\xc3\xa9 caf\xc3\xa9", COAT_PASSWORD_SHORT}, /* 14, in 17 bytes */
    /* no rules on composition */
    {"lowercase letters only here", COAT_PASSWORD_FINE},
    {"742683951862404", COAT_PASSWORD_FINE},
    {"correct horse battery lamp", COAT_PASSWORD_FINE},
    {GOOD_PASSWORD, COAT_PASSWORD_FINE},
    /* encoding */
    {"not \xff UTF-8, but long", COAT_PASSWORD_ENCODING},
    {"overlong \xc0\x80 encoding here", COAT_PASSWORD_ENCODING},
    {"a surrogate \xed\xa0\x80 inside it", COAT_PASSWORD_ENCODING},
    /* listed, as such or behind the usual changes */
    {"correcthorsebatterystaple", COAT_PASSWORD_COMMON},
    {"CorrectHorseBatteryStaple1", COAT_PASSWORD_COMMON},
    {"passwordpassword", COAT_PASSWORD_COMMON},
    {"Password12345678", COAT_PASSWORD_COMMON},
    {"P@ssw0rd20242024", COAT_PASSWORD_COMMON},
    {"p4ssw0rdp4ssw0rd", COAT_PASSWORD_COMMON},
    {"123456789012345", COAT_PASSWORD_COMMON},
    {"1234567890123456789", COAT_PASSWORD_COMMON},
    {"987654321098765", COAT_PASSWORD_COMMON},
    {"000000000000000", COAT_PASSWORD_COMMON},
    {"aaaaaaaaaaaaaaa", COAT_PASSWORD_COMMON},
    {"abcdefghijklmnopq", COAT_PASSWORD_COMMON},
    {"qwertyuiopasdfghjkl", COAT_PASSWORD_COMMON},
    {"qwertyqwertyqwerty", COAT_PASSWORD_COMMON},
    {"1q2w3e4r5t6y7u8i", COAT_PASSWORD_COMMON},
    {"1qaz2wsx1qaz2wsx", COAT_PASSWORD_COMMON},
    {"abc123abc123abc", COAT_PASSWORD_COMMON},
    {"iloveyou1234567890", COAT_PASSWORD_COMMON},
    {"monkeymonkeymonkey!", COAT_PASSWORD_COMMON},
    {"dragonprincess99!!", COAT_PASSWORD_COMMON},
    {"!!!letmein!!!!!!", COAT_PASSWORD_COMMON},
    {"p.a.s.s.w.o.r.d.1", COAT_PASSWORD_COMMON},
    {"trustno1trustno1", COAT_PASSWORD_COMMON},
    {"changemeplease!!!!!", COAT_PASSWORD_COMMON},
    /* made from alice.smith@example.org or the service, "Coat Room" */
    {"alicealicealice", COAT_PASSWORD_CONTEXT},
    {"Alice.Smith.2024!", COAT_PASSWORD_CONTEXT},
    {"alicesmith12345678", COAT_PASSWORD_CONTEXT},
    {"smithalice-smithalice", COAT_PASSWORD_CONTEXT},
    {"htimsecila1234567", COAT_PASSWORD_CONTEXT},
    {"4l1c3sm1th4l1c3sm1th", COAT_PASSWORD_CONTEXT},
    {"alicepassword123", COAT_PASSWORD_CONTEXT},
    {"alice.smith@example.org", COAT_PASSWORD_CONTEXT},
    {"coatroomcoatroom", COAT_PASSWORD_CONTEXT},
    {"CoatRoom#2024#2024", COAT_PASSWORD_CONTEXT},
    {"welcome coat room", COAT_PASSWORD_CONTEXT},
    {"alice keeps seven bicycles", COAT_PASSWORD_FINE},
};

static void
test_judge(void)
{
    for (size_t i = 0; i < sizeof judged / sizeof judged[0]; i++) {
        coat_password_fault got = coat_password_judge(
            COAT_LIT("alice.smith@example.org"), coat_span_of(judged[i].password), "Coat Room");

        if (got != judged[i].want)
            test_fail(__FILE__, __LINE__, "%s: %s, expected %s", judged[i].password,
                      coat_password_fault_name(got), coat_password_fault_name(judged[i].want));
    }
}

static void
test_long(void)
{
    uint8_t password[1025];

    for (size_t i = 0; i < sizeof password; i++)
        password[i] = (uint8_t)('a' + i * 11 % 25 + i / 100 % 2);
    CHECK_INT(coat_password_judge(COAT_LIT("bob"), (coat_span){password, 1024}, NULL),
              COAT_PASSWORD_FINE);
    CHECK_INT(coat_password_judge(COAT_LIT("bob"), (coat_span){password, 1025}, NULL),
              COAT_PASSWORD_LONG);
}

/* The most common ones of all, as they are and repeated until they are long enough. */
static void
test_most_common(void)
{
    static const char *const words[] = {
        "123456",   "password",   "12345678",  "qwerty",   "123456789", "12345",    "1234",
        "111111",   "1234567",    "dragon",    "123123",   "baseball",  "abc123",   "football",
        "monkey",   "letmein",    "shadow",    "master",   "696969",    "michael",  "mustang",
        "666666",   "qwertyuiop", "123321",    "superman", "1qaz2wsx",  "iloveyou", "sunshine",
        "princess", "admin",      "welcome",   "login",    "starwars",  "hello",    "freedom",
        "whatever", "qazwsx",     "trustno1",  "jordan",   "harley",    "robert",   "matthew",
        "daniel",   "andrew",     "joshua",    "ashley",   "passw0rd",  "secret",   "changeme",
        "p@ssw0rd", "zxcvbnm",    "asdfghjkl", "azerty",   "000000",    "access",   "hunter",
    };

    CHECK(coat_blocklist_count() >= 3000);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        char repeated[128] = "", padded[128];

        test_case(words[i]);
        while (strlen(repeated) < COAT_PASSWORD_MIN)
            (void)snprintf(repeated + strlen(repeated), sizeof repeated - strlen(repeated),
                           "%s", words[i]);
        (void)snprintf(padded, sizeof padded, "%s1234567890123", words[i]);
        CHECK_INT(coat_password_judge(COAT_LIT("bob"), coat_span_of(repeated), "coatcheck"),
                  COAT_PASSWORD_COMMON);
        if (strpbrk(words[i], "abcdefghijklmnopqrstuvwxyz") != NULL)
            CHECK_INT(coat_password_judge(COAT_LIT("bob"), coat_span_of(padded), "coatcheck"),
                      COAT_PASSWORD_COMMON);
    }
    test_case(NULL);
}

static void
test_random_passes(void)
{
    long count = test_scaled(100000, 2000);
    test_rng rng = {11};

    for (long i = 0; i < count; i++) {
        uint8_t password[15];

        for (size_t k = 0; k < sizeof password; k++)
            password[k] = (uint8_t)('a' + test_rng_below(&rng, 26));
        CHECK_INT(coat_password_judge(COAT_LIT("alice"), (coat_span){password, sizeof password},
                                      "coatcheck"),
                  COAT_PASSWORD_FINE);
    }
}

static void
test_reasons(void)
{
    for (int fault = COAT_PASSWORD_FINE; fault <= COAT_PASSWORD_ENCODING; fault++) {
        CHECK(strlen(coat_password_fault_name((coat_password_fault)fault)) > 3);
        CHECK(strlen(coat_password_fault_text((coat_password_fault)fault)) > 10);
    }
    CHECK_STR(coat_password_fault_name((coat_password_fault)99), "unknown");
    CHECK_STR(coat_password_fault_name(COAT_PASSWORD_CONTEXT), "context");
}

static void
test_enforced(void)
{
    coat_account_call set = {.op = COAT_ACCOUNT_SET_PASSWORD, .name = COAT_LIT("alice")};
    fixture f;

    fixture_init(&f);
    CHECK_ERR(fixture_add(&f, "alice", "short"), COAT_INVALID);
    CHECK_INT(f.call.fault, COAT_PASSWORD_SHORT);
    CHECK_ERR(fixture_add(&f, "alice", "alicealicealicealice"), COAT_INVALID);
    CHECK_INT(f.call.fault, COAT_PASSWORD_CONTEXT);
    CHECK_ERR(fixture_add(&f, "alice", "coatcheckcoatcheck"), COAT_INVALID);
    CHECK_INT(f.call.fault, COAT_PASSWORD_CONTEXT);
    CHECK_ERR(fixture_do(&f, COAT_ACCOUNT_SHOW, "alice"), COAT_NOT_FOUND);
    REQUIRE_OK(fixture_add(&f, "alice", GOOD_PASSWORD));
    set.password = COAT_LIT("passwordpassword");
    CHECK_ERR(fixture_run(&f, set), COAT_INVALID);
    CHECK_INT(f.call.fault, COAT_PASSWORD_COMMON);
    set.password = COAT_LIT("");
    CHECK_ERR(fixture_run(&f, set), COAT_INVALID);
    CHECK_ERR(fixture_sign_in(&f, "alice", GOOD_PASSWORD), COAT_OK);
    fixture_fini(&f);
}

static const coat_test tests[] = {
    {"LG-4: length, encoding, lists and context, each with its reason", test_judge},
    {"LG-4: up to 1,024 bytes", test_long},
    {"LG-4: the most common passwords, repeated or padded", test_most_common},
    {"LG-4: 15 random letters are accepted", test_random_passes},
    {"LG-4: reasons have stable names and texts", test_reasons},
    {"LG-4: adding and changing obey", test_enforced},
};
COAT_TEST_MAIN(tests)
