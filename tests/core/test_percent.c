/* SPDX-License-Identifier: Apache-2.0 */
#include "coat_test.h"
#include "core/bytes.h"

#include <coatcheck/target.h>

static const struct decode_case {
    const char *text;
    bool form;
    const char *want; /* NULL: malformed */
    size_t len;       /* 0: strlen(want) */
} decode_cases[] = {
    {"", false, "", 0},
    {"abc", false, "abc", 0},
    {"a+b", false, "a+b", 0},
    {"a+b", true, "a b", 0},
    {"a%2Bb", true, "a+b", 0},
    {"%41%42", false, "AB", 0},
    {"%c3%A9", false, "\xc3\xa9", 0},
    {"%00", false, "\0", 1},
    {"a%00b", true, "a\0b", 3},
    {"%0d%0a", false, "\r\n", 0},
    {"%25", false, "%", 0},
    {"%2541", false, "%41", 0}, /* once, never twice */
    {"%252541", false, "%2541", 0},
    {"%ff", false, "\xff", 0},
    {"+", true, " ", 0},
    {"+++", true, "   ", 0},
    {"%", false, NULL, 0},
    {"%4", false, NULL, 0},
    {"a%", false, NULL, 0},
    {"a%4", true, NULL, 0},
    {"%zz", false, NULL, 0},
    {"%4z", false, NULL, 0},
    {"%z4", false, NULL, 0},
    {"%%41", false, NULL, 0},
    {"%+1", true, NULL, 0},
    {"%-1", false, NULL, 0},
    {"% 1", false, NULL, 0},
    {"%u0041", false, NULL, 0},
    {"%41%", false, NULL, 0},
};

static void
test_decode(void)
{
    for (size_t i = 0; i < sizeof decode_cases / sizeof decode_cases[0]; i++) {
        const struct decode_case *c = &decode_cases[i];
        uint8_t buf[32];
        size_t len = 99;

        test_case(c->text);
        memset(buf, 'z', sizeof buf);
        CHECK_ERR(coat_percent_decode(coat_span_of(c->text), c->form, buf, sizeof buf, &len),
                  c->want != NULL ? COAT_OK : COAT_MALFORMED);
        if (c->want != NULL)
            CHECK_MEM(buf, len, c->want, c->len != 0 ? c->len : strlen(c->want));
        else
            CHECK(buf[0] == 'z' && len == 99);
    }
}

static void
test_decode_room(void)
{
    uint8_t buf[8] = "zzzzzzz";
    char in_place[] = "%41+%42";
    size_t len = 99;

    CHECK_ERR(coat_percent_decode(COAT_LIT("%41%42%43"), false, buf, 2, &len), COAT_TOO_LARGE);
    CHECK(buf[0] == 'z' && len == 99);
    CHECK_ERR(coat_percent_decode(COAT_LIT("%41%42%43"), false, buf, 3, &len), COAT_OK);
    CHECK_INT(buf[3], 'z'); /* no NUL is added */
    REQUIRE_OK(coat_percent_decode(coat_span_of(in_place), true, (uint8_t *)in_place,
                                   sizeof in_place, &len));
    CHECK_MEM(in_place, len, "A B", 3);
    CHECK_ERR(coat_percent_decode((coat_span){NULL, 0}, true, NULL, 0, &len), COAT_OK);
    CHECK_INT(len, 0);
}

/* Every byte: the unreserved ones stay, all else is three bytes, and it decodes to itself. */
static void
test_encode_bytes(void)
{
    static const char stays[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";

    for (unsigned c = 0; c < 256; c++) {
        uint8_t byte = (uint8_t)c, back[4];
        char buf[8], want[8];
        size_t len, back_len;

        REQUIRE_OK(coat_percent_encode((coat_span){&byte, 1}, buf, sizeof buf, &len));
        if (c != 0 && strchr(stays, (int)c) != NULL)
            (void)snprintf(want, sizeof want, "%c", (int)c);
        else
            (void)snprintf(want, sizeof want, "%%%02X", c);
        CHECK_STR(buf, want);
        CHECK_INT(len, strlen(want));
        for (int form = 0; form < 2; form++) {
            REQUIRE_OK(coat_percent_decode((coat_span){(const uint8_t *)buf, len}, form != 0,
                                           back, sizeof back, &back_len));
            CHECK_MEM(back, back_len, &byte, 1);
        }
    }
}

static void
test_encode_room(void)
{
    char buf[16];
    size_t len = 99;

    memset(buf, 'z', sizeof buf);
    CHECK_ERR(coat_percent_encode(COAT_LIT("a b"), buf, 5, &len), COAT_TOO_LARGE);
    CHECK_ERR(coat_percent_encode(COAT_LIT("a b"), buf, 0, &len), COAT_TOO_LARGE);
    CHECK(buf[0] == 'z' && len == 99);
    CHECK_ERR(coat_percent_encode(COAT_LIT("a b"), buf, 6, &len), COAT_OK);
    CHECK_STR(buf, "a%20b");
    CHECK_ERR(coat_percent_encode((coat_span){NULL, 0}, buf, 1, &len), COAT_OK);
    CHECK_STR(buf, "");
    CHECK_INT(len, 0);
}

static void
test_round_trip(void)
{
    test_rng rng = {11};

    for (long n = test_scaled(1000000, 5000); n > 0; n--) {
        uint8_t text[64], back[64];
        char buf[3 * sizeof text + 1];
        size_t len = test_rng_below(&rng, sizeof text), encoded, decoded;

        (void)test_rng_fill(&rng, text, len);
        REQUIRE_OK(coat_percent_encode((coat_span){text, len}, buf, sizeof buf, &encoded));
        REQUIRE_OK(coat_percent_decode((coat_span){(const uint8_t *)buf, encoded}, true, back,
                                       sizeof back, &decoded));
        CHECK_MEM(back, decoded, text, len);
    }
}

static const coat_test tests[] = {
    {"RD-1: escapes are decoded exactly once, bad ones are refused", test_decode},
    {"RD-1: decoding knows its room, also in place", test_decode_room},
    {"RD-2: every byte encodes to harmless ones and decodes to itself", test_encode_bytes},
    {"RD-2: encoding knows its room", test_encode_room},
    {"RD-2: generated bytes survive encoding and decoding", test_round_trip},
};

COAT_TEST_MAIN(tests)
