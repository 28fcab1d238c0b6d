/* SPDX-License-Identifier: Apache-2.0 */
#include "coat_test.h"
#include "core/plain.h"

#include <coatcheck/forward.h>
#include <coatcheck/target.h>
#include <stdlib.h>

static const struct encode_case {
    const char *text, *want;
} cases[] = {
    {"", ""},
    {"alice", "alice"},
    {"alice@example.org", "alice@example.org"},
    {"a,b;c=d\"e\\", "a,b;c=d\"e\\"},
    {"a b", "a%20b"},
    {" a ", "%20a%20"},
    {"100%", "100%25"},
    {"%0d%0a", "%250d%250a"},
    {"a\r\nX-Role: admin", "a%0D%0AX-Role:%20admin"},
    {"a\nb", "a%0Ab"},
    {"a\tb", "a%09b"},
    {"J\xc3\xb6rg", "J%C3%B6rg"},
    {"\xff\x80", "%FF%80"},
    {"\x7f\x1b", "%7F%1B"},
};

static void
test_table(void)
{
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char buf[64];
        size_t len;

        test_case(cases[i].text);
        REQUIRE_OK(coat_identity_encode(coat_span_of(cases[i].text), buf, sizeof buf, &len));
        CHECK_STR(buf, cases[i].want);
        CHECK_INT(len, strlen(cases[i].want));
    }
}

/* Nothing that could end a field line, whatever went in, and the reader gets it back. */
static void
test_bytes(void)
{
    for (unsigned c = 0; c < 256; c++) {
        uint8_t text[3] = {'a', (uint8_t)c, 'b'}, back[16];
        char buf[16];
        size_t len, back_len;

        REQUIRE_OK(coat_identity_encode((coat_span){text, 3}, buf, sizeof buf, &len));
        CHECK_INT(strlen(buf), len);
        CHECK_INT(len, c > 0x20 && c < 0x7f && c != '%' ? 3 : 5);
        for (size_t i = 0; i < len; i++)
            CHECK(buf[i] > 0x20 && buf[i] < 0x7f);
        REQUIRE_OK(coat_percent_decode((coat_span){(const uint8_t *)buf, len}, false, back,
                                       sizeof back, &back_len));
        CHECK_MEM(back, back_len, text, 3);
    }
}

/* Plain text is looked at in words: wherever a byte stands in them, it is not overlooked. */
static void
test_positions(void)
{
    uint8_t text[40];
    char buf[128];
    size_t len;

    for (size_t text_len = 1; text_len <= sizeof text; text_len++)
        for (size_t at = 0; at < text_len; at++)
            for (unsigned c = 0; c < 256; c++) {
                memset(text, c % 2 == 0 ? '!' : '~', sizeof text);
                text[at] = (uint8_t)c;
                REQUIRE_OK(
                    coat_identity_encode((coat_span){text, text_len}, buf, sizeof buf, &len));
                CHECK_INT(len, text_len + (c > 0x20 && c < 0x7f && c != '%' ? 0 : 2));
                CHECK(strlen(buf) == len && memcmp(buf, text, at) == 0);
            }
}

static void
test_limits(void)
{
    static uint8_t text[10 * 1024];
    static char buf[4 * sizeof text];
    size_t len = 99;

    memset(text, 'u', sizeof text);
    memset(buf, 'z', sizeof buf);
    CHECK_ERR(coat_identity_encode((coat_span){text, sizeof text}, buf, sizeof buf, &len),
              COAT_TOO_LARGE);
    CHECK_ERR(
        coat_identity_encode((coat_span){text, COAT_IDENTITY_MAX + 1}, buf, sizeof buf, &len),
        COAT_TOO_LARGE);
    CHECK(buf[0] == 'z' && len == 99);
    REQUIRE_OK(
        coat_identity_encode((coat_span){text, COAT_IDENTITY_MAX}, buf, sizeof buf, &len));
    CHECK_INT(len, COAT_IDENTITY_MAX);
    memset(text, ' ', sizeof text); /* the limit is on what is sent */
    CHECK_ERR(
        coat_identity_encode((coat_span){text, COAT_IDENTITY_MAX / 3}, buf, sizeof buf, &len),
        COAT_OK);
    CHECK_ERR(coat_identity_encode((coat_span){text, COAT_IDENTITY_MAX / 3 + 1}, buf,
                                   sizeof buf, &len),
              COAT_TOO_LARGE);
    CHECK_ERR(coat_identity_encode(COAT_LIT("abc"), buf, 3, &len), COAT_TOO_LARGE);
    CHECK_ERR(coat_identity_encode(COAT_LIT("abc"), buf, 4, &len), COAT_OK);
}

/** coat_plain_put() byte by byte. @return length; or -1: there is more to be encoded */
static int
put_slowly(coat_span text, char *to)
{
    int len = 0;

    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] != ' ' && !coat_byte_is_plain(text.ptr[i]))
            return -1;
        if (text.ptr[i] == ' ') {
            memcpy(to + len, "%20", 3);
            len += 3;
        } else {
            to[len++] = (char)text.ptr[i];
        }
    }
    return len;
}

/* Every length, with spaces at random, and with any one byte anywhere; text and room are as
 * long as it says, so that a sanitizer sees what goes beyond. */
static void
test_words(void)
{
    test_rng rng = {11};

    for (size_t len = 0; len <= 40; len++)
        for (unsigned round = 0; round < 600; round++) {
            uint8_t *text = malloc(len + 1), *to = malloc(3 * len + COAT_PLAIN_SPARE), *end;
            coat_span span = {text + 1, len};
            char want[128];
            int want_len;

            REQUIRE(text != NULL && to != NULL);
            for (size_t i = 0; i < len; i++)
                text[1 + i] = test_rng_next(&rng) % 4 == 0
                                  ? ' '
                                  : (uint8_t)('&' + test_rng_next(&rng) % ('~' - '&' + 1));
            if (len > 0 && round < 512)
                text[1 + test_rng_next(&rng) % len] = (uint8_t)round;
            want_len = put_slowly(span, want);
            end = coat_plain_put(span, to);
            CHECK_INT(end != NULL, want_len >= 0);
            if (end != NULL && want_len >= 0) {
                CHECK_MEM(to, (size_t)(end - to), want, (size_t)want_len);
                CHECK_INT(*end, '\0');
            }
            free(text);
            free(to);
        }
}

static const coat_test tests[] = {
    {"FA-5: identity values are one line of visible ASCII", test_table},
    {"FA-5: every byte is encoded or harmless, and comes back", test_bytes},
    {"FA-5: no position hides a byte", test_positions},
    {"FA-5: words of text are written as byte by byte", test_words},
    {"FA-5: 1 KiB encoded is the limit; 10 KiB are refused", test_limits},
};

COAT_TEST_MAIN(tests)
