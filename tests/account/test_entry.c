/* SPDX-License-Identifier: Apache-2.0 */
#include "account/entry.h"
#include "coat_test.h"
#include "core/bytes.h"
#include "fixture.h"

static const coat_entry sample = {
    .flags = COAT_ENTRY_DISABLED,
    .name = {(const uint8_t *)"alice", 5},
    .roles = {(const uint8_t *)"admin", 5},
    .hash = {(const uint8_t *)"$argon2id$...", 13},
    .created_ms = 1,
    .changed_ms = -2,
    .password_ms = INT64_MAX,
    .last_login_ms = INT64_MIN,
};

static void
test_round_trip(void)
{
    uint8_t buf[COAT_ENTRY_MAX], again[COAT_ENTRY_MAX];
    coat_entry entry;
    size_t len = coat_entry_encode(&sample, buf);

    CHECK_INT(len, COAT_ENTRY_FIXED + 23);
    REQUIRE_OK(coat_entry_decode((coat_span){buf, len}, &entry));
    CHECK(coat_span_is(entry.name, sample.name) && coat_span_is(entry.roles, sample.roles) &&
          coat_span_is(entry.hash, sample.hash));
    CHECK_INT(entry.flags, COAT_ENTRY_DISABLED);
    CHECK_INT(entry.changed_ms, -2);
    CHECK_INT(entry.password_ms, INT64_MAX);
    CHECK_INT(entry.last_login_ms, INT64_MIN);
    CHECK_MEM(again, coat_entry_encode(&entry, again), buf, len);
}

static void
test_refused(void)
{
    uint8_t buf[COAT_ENTRY_MAX + 1];
    coat_entry entry, before;
    size_t len = coat_entry_encode(&sample, buf);

    memset(&before, 0xA5, sizeof before);
    entry = before;
    for (size_t cut = 0; cut < len; cut++)
        CHECK_ERR(coat_entry_decode((coat_span){buf, cut}, &entry), COAT_MALFORMED);
    CHECK_ERR(coat_entry_decode((coat_span){buf, len + 1}, &entry), COAT_MALFORMED);
    buf[0] = 2;
    CHECK_ERR(coat_entry_decode((coat_span){buf, len}, &entry), COAT_NEWER_FORMAT);
    buf[0] = 0;
    CHECK_ERR(coat_entry_decode((coat_span){buf, len}, &entry), COAT_MALFORMED);
    buf[0] = 1;
    buf[1] = 2; /* an unknown flag */
    CHECK_ERR(coat_entry_decode((coat_span){buf, len}, &entry), COAT_MALFORMED);
    buf[1] = 0;
    coat_store16(buf + 2, 0); /* no name */
    CHECK_ERR(coat_entry_decode((coat_span){buf, len - 5}, &entry), COAT_MALFORMED);
    CHECK_MEM(&entry, sizeof entry, &before, sizeof before);
}

static void
test_maxima(void)
{
    uint8_t big[COAT_ROLES_MAX + 1], buf[COAT_ENTRY_MAX];
    coat_entry entry = sample;

    memset(big, 'x', sizeof big);
    entry.name = (coat_span){big, COAT_NAME_MAX};
    entry.roles = (coat_span){big, COAT_ROLES_MAX};
    entry.hash = (coat_span){big, COAT_HASH_MAX};
    CHECK_INT(coat_entry_encode(&entry, buf), COAT_ENTRY_MAX);
    entry.name.len++;
    CHECK_INT(coat_entry_encode(&entry, buf), 0);
    entry.name.len = 0;
    CHECK_INT(coat_entry_encode(&entry, buf), 0);
    entry.name.len = 1;
    entry.roles.len++;
    CHECK_INT(coat_entry_encode(&entry, buf), 0);
    entry.roles.len = 0;
    entry.hash.len++;
    CHECK_INT(coat_entry_encode(&entry, buf), 0);
}

static void
test_nfc(void)
{
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"plain", "plain"},
        {"e\xcc\x81", "\xc3\xa9"},
        {"\xe2\x84\xab", "\xc3\x85"},               /* Angstrom sign */
        {"q\xcc\xa3\xcc\x87", "q\xcc\xa3\xcc\x87"}, /* order of marks */
        {"q\xcc\x87\xcc\xa3", "q\xcc\xa3\xcc\x87"},
        {"\xe1\x84\x92\xe1\x85\xa1\xe1\x86\xab", "\xed\x95\x9c"}, /* Hangul */
        {"\xef\xac\x81", "\xef\xac\x81"}, /* fi: no compatibility folding */
        {"\xf0\x9d\x85\xa0",
         "\xf0\x9d\x85\x98\xf0\x9d\x85\xa5\xf0\x9d\x85\xae"}, /* three times as long */
    };
    uint8_t buf[64];
    size_t len;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        test_case(cases[i].want);
        REQUIRE_OK(coat_text_nfc(coat_span_of(cases[i].text), buf, sizeof buf, &len));
        CHECK_MEM(buf, len, cases[i].want, strlen(cases[i].want));
    }
    test_case(NULL);
    CHECK_ERR(coat_text_nfc(COAT_LIT("\xff"), buf, sizeof buf, &len), COAT_MALFORMED);
    CHECK_ERR(coat_text_nfc((coat_span){buf, 22}, buf, sizeof buf, &len), COAT_TOO_LARGE);
    CHECK_INT(coat_text_points(COAT_LIT("a\xc3\xa9\xf0\x9f\x98\x80")), 3);
}

static const coat_test tests[] = {
    {"an account is stored in one spelling", test_round_trip},
    {"LG-11: malformed accounts are refused, newer ones told apart", test_refused},
    {"parts over their maximum are not stored", test_maxima},
    {"LG-3: NFC, and nothing else", test_nfc},
};
COAT_TEST_MAIN(tests)
