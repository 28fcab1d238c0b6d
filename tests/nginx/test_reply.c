/* SPDX-License-Identifier: Apache-2.0 */
#include "coat_test.h"
#include "core/bytes.h"
#include "reply.h"

#define OK_HEAD "HTTP/1.1 200 OK\r\n"
#define NONE "Content-Length: 0\r\n\r\n"

static const struct parse_case {
    const char *name, *text;
    size_t len; /* 0: strlen */
    coat_reply_state want;
} parse_cases[] = {
    {"a whole answer", OK_HEAD NONE, 0, COAT_REPLY_WHOLE},
    {"with a body", OK_HEAD "Content-Length: 2\r\n\r\nhi", 0, COAT_REPLY_WHOLE},
    {"without a reason phrase", "HTTP/1.1 200 \r\n" NONE, 0, COAT_REPLY_WHOLE},
    {"204 without a length", "HTTP/1.1 204 No Content\r\n\r\n", 0, COAT_REPLY_WHOLE},
    {"304 without a length", "HTTP/1.1 304 Not Modified\r\n\r\n", 0, COAT_REPLY_WHOLE},
    {"white space around a value", OK_HEAD "A:  x  \r\n" NONE, 0, COAT_REPLY_WHOLE},
    {"a tab", OK_HEAD "A: b\tc\r\n" NONE, 0, COAT_REPLY_BAD},
    {"an empty value", OK_HEAD "A:\r\n" NONE, 0, COAT_REPLY_WHOLE},
    {"bytes above 0x7f in a value", OK_HEAD "A: \xc3\xa9\r\n" NONE, 0, COAT_REPLY_WHOLE},
    {"nothing yet", "", 0, COAT_REPLY_MORE},
    {"half a status line", "HTTP/1.1 2", 0, COAT_REPLY_MORE},
    {"half a header", OK_HEAD "Content-Le", 0, COAT_REPLY_MORE},
    {"no end of the header", OK_HEAD "Content-Length: 0\r\n", 0, COAT_REPLY_MORE},
    {"half a body", OK_HEAD "Content-Length: 3\r\n\r\nhi", 0, COAT_REPLY_MORE},
    {"another version", "HTTP/1.0 200 OK\r\n" NONE, 0, COAT_REPLY_BAD},
    {"another protocol", "SSH-2.0-OpenSSH_9.2\r\n", 0, COAT_REPLY_BAD},
    {"a status of two digits", "HTTP/1.1 20 OK\r\n" NONE, 0, COAT_REPLY_BAD},
    {"a status of four digits", "HTTP/1.1 2000 OK\r\n" NONE, 0, COAT_REPLY_BAD},
    {"a status below 100", "HTTP/1.1 099 OK\r\n" NONE, 0, COAT_REPLY_BAD},
    {"a status above 599", "HTTP/1.1 600 OK\r\n" NONE, 0, COAT_REPLY_BAD},
    {"a signed status", "HTTP/1.1 +20 OK\r\n" NONE, 0, COAT_REPLY_BAD},
    {"no space behind the status", "HTTP/1.1 200\r\n" NONE, 0, COAT_REPLY_BAD},
    {"a bare LF", "HTTP/1.1 200 OK\n" NONE, 0, COAT_REPLY_BAD},
    {"a bare LF in the header", OK_HEAD "A: b\nContent-Length: 0\r\n\r\n", 0, COAT_REPLY_BAD},
    {"a bare CR", OK_HEAD "A: b\rc\r\n" NONE, 0, COAT_REPLY_BAD},
    {"a NUL", OK_HEAD "A: b\0c\r\n" NONE, sizeof(OK_HEAD "A: b\0c\r\n" NONE) - 1,
     COAT_REPLY_BAD},
    {"a folded field", OK_HEAD "A: b\r\n c\r\n" NONE, 0, COAT_REPLY_BAD},
    {"a field without a colon", OK_HEAD "A b\r\n" NONE, 0, COAT_REPLY_BAD},
    {"a field without a name", OK_HEAD ": b\r\n" NONE, 0, COAT_REPLY_BAD},
    {"white space before the colon", OK_HEAD "A : b\r\n" NONE, 0, COAT_REPLY_BAD},
    {"no length", OK_HEAD "\r\n", 0, COAT_REPLY_BAD},
    {"two lengths", OK_HEAD "Content-Length: 0\r\n" NONE, 0, COAT_REPLY_BAD},
    {"a length that is no number", OK_HEAD "Content-Length: 1x\r\n\r\n1", 0, COAT_REPLY_BAD},
    {"a signed length", OK_HEAD "Content-Length: +1\r\n\r\n1", 0, COAT_REPLY_BAD},
    {"an empty length", OK_HEAD "Content-Length:\r\n\r\n", 0, COAT_REPLY_BAD},
    {"a length of seven digits", OK_HEAD "Content-Length: 1000000\r\n\r\n", 0, COAT_REPLY_BAD},
    {"a length over what fits", OK_HEAD "Content-Length: 990\r\n\r\n", 0, COAT_REPLY_BAD},
    {"a transfer coding", OK_HEAD "Transfer-Encoding: chunked\r\n" NONE, 0, COAT_REPLY_BAD},
    {"204 with a body", "HTTP/1.1 204 No\r\nContent-Length: 1\r\n\r\n1", 0, COAT_REPLY_BAD},
    {"something behind the body", OK_HEAD NONE "x", 0, COAT_REPLY_BAD},
    {"a second answer", OK_HEAD NONE OK_HEAD NONE, 0, COAT_REPLY_BAD},
};

enum { CAP = 1000 };

static void
test_parse(void)
{
    for (size_t i = 0; i < sizeof parse_cases / sizeof parse_cases[0]; i++) {
        const struct parse_case *c = &parse_cases[i];
        size_t len = c->len != 0 ? c->len : strlen(c->text);
        coat_reply reply, untouched;

        test_case(c->name);
        memset(&reply, 0xA5, sizeof reply);
        memcpy(&untouched, &reply, sizeof untouched);
        CHECK_INT(coat_reply_parse((coat_span){(const uint8_t *)c->text, len}, CAP, &reply),
                  c->want);
        if (c->want != COAT_REPLY_WHOLE)
            CHECK(memcmp(&reply, &untouched, sizeof reply) == 0);
    }
}

static void
test_fields(void)
{
    const coat_span text = COAT_LIT("HTTP/1.1 302 Found\r\nLocation: /a\r\nSet-Cookie: x=1\r\n"
                                    "set-cookie: y=2\r\nContent-Length: 3\r\n\r\nabc");
    coat_reply reply;

    CHECK_INT(coat_reply_parse(text, CAP, &reply), COAT_REPLY_WHOLE);
    CHECK_INT(reply.status, 302);
    CHECK_INT(reply.field_count, 4);
    CHECK(reply.keep);
    CHECK(coat_span_is(reply.body, COAT_LIT("abc")));
    CHECK(coat_span_is(coat_reply_field(&reply, "location"), COAT_LIT("/a")));
    CHECK(coat_span_is(coat_reply_field(&reply, "Set-Cookie"), COAT_LIT("x=1")));
    CHECK(coat_reply_field(&reply, "Vary").ptr == NULL);
}

static void
test_keep(void)
{
    coat_reply reply;

    CHECK_INT(coat_reply_parse(COAT_LIT(OK_HEAD "Connection: close\r\n" NONE), CAP, &reply),
              COAT_REPLY_WHOLE);
    CHECK(!reply.keep);
    CHECK_INT(
        coat_reply_parse(COAT_LIT(OK_HEAD "Connection: Keep-Alive\r\n" NONE), CAP, &reply),
        COAT_REPLY_WHOLE);
    CHECK(reply.keep);
    CHECK_INT(
        coat_reply_parse(COAT_LIT(OK_HEAD "Connection: upgrade, close\r\n" NONE), CAP, &reply),
        COAT_REPLY_WHOLE);
    CHECK(!reply.keep);
}

/* More fields than there is room for, and an answer that never ends. */
static void
test_limits(void)
{
    char text[CAP + 1] = OK_HEAD;
    coat_reply reply;
    size_t len = strlen(text);

    for (int i = 0; i < COAT_REPLY_FIELDS_MAX; i++, len += 6)
        memcpy(text + len, "A: b\r\n", 6);
    memcpy(text + len, NONE, sizeof NONE);
    CHECK_INT(coat_reply_parse(coat_span_of(text), CAP, &reply), COAT_REPLY_BAD);

    len = strlen(OK_HEAD);
    memset(text + len, 'a', CAP - len);
    CHECK_INT(coat_reply_parse((coat_span){(uint8_t *)text, CAP - 1}, CAP, &reply),
              COAT_REPLY_MORE);
    CHECK_INT(coat_reply_parse((coat_span){(uint8_t *)text, CAP}, CAP, &reply), COAT_REPLY_BAD);
}

/* FA-6: nothing short of the last byte is an answer. */
static void
test_prefixes(void)
{
    const coat_span whole =
        COAT_LIT(OK_HEAD "X-Auth-User: mara\r\nContent-Length: 2\r\n\r\nhi");
    coat_reply reply;

    for (size_t len = 0; len < whole.len; len++)
        CHECK_INT(coat_reply_parse((coat_span){whole.ptr, len}, CAP, &reply), COAT_REPLY_MORE);
    CHECK_INT(coat_reply_parse(whole, CAP, &reply), COAT_REPLY_WHOLE);
}

static const coat_test tests[] = {
    {"FA-6: only a plain answer is an answer", test_parse},
    {"fields and body of an answer", test_fields},
    {"a connection is kept only if the answer allows it", test_keep},
    {"FA-6: an answer over its limits is none", test_limits},
    {"FA-6: no prefix of an answer is one", test_prefixes},
};

COAT_TEST_MAIN(tests)
