/* SPDX-License-Identifier: Apache-2.0 */
#include "core/bytes.h"
#include "core/record.h"
#include "fixture.h"

#include <sodium.h>
#include <stdlib.h>

/* The record of golden() in format 1. If this changes, so must COAT_RECORD_FORMAT. */
static const char golden_hex[] =
    "4343010040010000070000000a000000080706050403020118171615141312112827262524232221"
    "38373635343332314847464544434241585756555453525168676665646362617877767574737271"
    "88878685848382819897969594939291000102030405060708090a0b0c0d0e0f1011121314151617"
    "18191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f"
    "404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f6061626364656667"
    "68696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f"
    "04000000070000000a000000110000001a0000001c0000001f0000001f0000002100000028000000"
    "75c3a972612062707764312e322e332e346167656e74206f6e65656e3a3a3164657b226b223a317d";

static void
fill(uint8_t *buf, size_t len, uint8_t first)
{
    for (size_t i = 0; i < len; i++)
        buf[i] = (uint8_t)(first + i);
}

static coat_record
golden(void)
{
    coat_record r = {
        .flags = COAT_RECORD_REMEMBER | COAT_RECORD_PENDING | COAT_RECORD_PREVIOUS,
        .created_ms = 0x0102030405060708,
        .auth_ms = 0x1112131415161718,
        .seen_ms = 0x2122232425262728,
        .idle_ms = 0x3132333435363738,
        .absolute_end_ms = 0x4142434445464748,
        .rotated_ms = 0x5152535455565758,
        .handed_ms = 0x6162636465666768,
        .previous_end_ms = 0x7172737475767778,
        .epoch_global = 0x8182838485868788,
        .epoch_owner = 0x9192939495969798,
        .user = COAT_LIT("u\xc3\xa9r"),
        .roles = COAT_LIT("a b"),
        .methods = COAT_LIT("pwd"),
        .first = {COAT_LIT("1.2.3.4"), COAT_LIT("agent one"), COAT_LIT("en")},
        .last = {COAT_LIT("::1"), COAT_LIT(""), COAT_LIT("de")},
        .data = COAT_LIT("{\"k\":1}"),
    };

    fill(r.current_digest, 32, 0x00);
    fill(r.pending_digest, 32, 0x20);
    fill(r.previous_digest, 32, 0x40);
    fill(r.rotation_key, 32, 0x60);
    fill(r.csrf_key, 16, 0x80);
    return r;
}

static bool
same(const coat_record *a, const coat_record *b)
{
    static uint8_t x[COAT_RECORD_MAX], y[COAT_RECORD_MAX];
    size_t len_x, len_y;

    return coat_record_encode(a, x, sizeof x, &len_x) == COAT_OK &&
           coat_record_encode(b, y, sizeof y, &len_y) == COAT_OK && len_x == len_y &&
           memcmp(x, y, len_x) == 0;
}

static void
golden_bytes(void)
{
    coat_record r = golden(), back;
    uint8_t buf[1024], want[1024];
    size_t len = 0, want_len = 0;

    REQUIRE(sodium_hex2bin(want, sizeof want, golden_hex, sizeof golden_hex - 1, NULL,
                           &want_len, NULL) == 0);
    REQUIRE_OK(coat_record_encode(&r, buf, sizeof buf, &len));
    CHECK_MEM(buf, len, want, want_len);
    REQUIRE_OK(coat_record_view((coat_span){want, want_len}, &back));
    CHECK(same(&r, &back));
    CHECK_INT(back.seen_ms, r.seen_ms);
    CHECK_INT(back.epoch_owner, r.epoch_owner);
    CHECK(coat_span_is(back.user, r.user) && coat_span_is(back.data, r.data));
    CHECK(coat_span_is(back.first.agent, COAT_LIT("agent one")));
    CHECK(back.user.ptr == want + COAT_RECORD_FIXED); /* read in place */
}

static void
newer_format(void)
{
    coat_record r = golden(), out = {.flags = 4711};
    uint8_t buf[1024];
    size_t len = 0;

    REQUIRE_OK(coat_record_encode(&r, buf, sizeof buf, &len));
    for (unsigned format = 0; format < 65536; format++) {
        coat_err want = format == COAT_RECORD_FORMAT ? COAT_OK
                        : format == 0                ? COAT_MALFORMED
                                                     : COAT_NEWER_FORMAT;

        coat_store16(buf + COAT_RECORD_AT_FORMAT, (uint16_t)format);
        out.flags = 4711;
        CHECK_ERR(coat_record_view((coat_span){buf, len}, &out), want);
        if (want != COAT_OK)
            CHECK_INT(out.flags, 4711);
    }
    /* Whatever a later release puts behind the header is none of our business. */
    coat_store16(buf + COAT_RECORD_AT_FORMAT, COAT_RECORD_FORMAT + 1);
    memset(buf + 4, 0xFF, sizeof buf - 4);
    CHECK_ERR(coat_record_view((coat_span){buf, sizeof buf}, &out), COAT_NEWER_FORMAT);
    CHECK_ERR(coat_record_view((coat_span){buf, 8}, &out), COAT_NEWER_FORMAT);
}

/* ---- parts and limits ---- */

static const struct part_case {
    const char *name;
    size_t at;
    size_t max;
} part_cases[] = {
    {"user", offsetof(coat_record, user), COAT_USER_MAX},
    {"roles", offsetof(coat_record, roles), COAT_ROLES_MAX},
    {"methods", offsetof(coat_record, methods), COAT_METHODS_MAX},
    {"first address", offsetof(coat_record, first.address), COAT_ADDRESS_MAX},
    {"first agent", offsetof(coat_record, first.agent), COAT_AGENT_MAX},
    {"first language", offsetof(coat_record, first.language), COAT_LANGUAGE_MAX},
    {"last address", offsetof(coat_record, last.address), COAT_ADDRESS_MAX},
    {"last agent", offsetof(coat_record, last.agent), COAT_AGENT_MAX},
    {"last language", offsetof(coat_record, last.language), COAT_LANGUAGE_MAX},
    {"data", offsetof(coat_record, data), COAT_DATA_MAX},
};

enum { PARTS = sizeof part_cases / sizeof part_cases[0] };

static void
set_part(coat_record *r, const struct part_case *c, const uint8_t *bytes, size_t len)
{
    coat_span span = {bytes, len};

    memcpy((char *)r + c->at, &span, sizeof span);
}

static void
limits(void)
{
    static uint8_t filler[COAT_DATA_MAX + 1], buf[COAT_RECORD_MAX];

    memset(filler, 'x', sizeof filler);
    for (size_t i = 0; i < PARTS; i++) {
        const struct part_case *c = &part_cases[i];
        coat_record r = golden(), back;
        coat_span got;
        size_t len = 0;

        test_case(c->name);
        set_part(&r, c, filler, c->max);
        REQUIRE_OK(coat_record_encode(&r, buf, sizeof buf, &len));
        CHECK_INT(len, coat_record_size(&r));
        REQUIRE_OK(coat_record_view((coat_span){buf, len}, &back));
        memcpy(&got, (char *)&back + c->at, sizeof got);
        CHECK_MEM(got.ptr, got.len, filler, c->max);
        CHECK(same(&r, &back));

        set_part(&r, c, filler, c->max + 1);
        CHECK_INT(coat_record_size(&r), 0);
        CHECK_ERR(coat_record_encode(&r, buf, sizeof buf, &len), COAT_TOO_LARGE);
        set_part(&r, c, filler, SIZE_MAX - 100);
        CHECK_ERR(coat_record_encode(&r, buf, sizeof buf, &len), COAT_TOO_LARGE);
    }
}

/** A record whose part i claims to be one byte longer than its limit. */
static void
part_over_limit(void)
{
    static uint8_t filler[COAT_DATA_MAX + 1], buf[COAT_RECORD_MAX];

    memset(filler, 'x', sizeof filler);
    for (size_t i = 0; i + 1 < PARTS; i++) {
        coat_record r = golden(), back;
        uint32_t end;
        size_t len = 0;

        test_case(part_cases[i].name);
        set_part(&r, &part_cases[i], filler, part_cases[i].max);
        set_part(&r, &part_cases[i + 1], filler, 2);
        REQUIRE_OK(coat_record_encode(&r, buf, sizeof buf, &len));
        end = coat_load32(buf + COAT_RECORD_AT_ENDS + 4 * i);
        coat_store32(buf + COAT_RECORD_AT_ENDS + 4 * i, end + 1); /* takes one from the next */
        CHECK_ERR(coat_record_view((coat_span){buf, len}, &back), COAT_MALFORMED);
    }
}

static void
caps(void)
{
    coat_record r = golden();
    uint8_t buf[1024];
    size_t size = coat_record_size(&r), len = 4711;

    for (size_t cap = 0; cap < size; cap++) {
        memset(buf, 0x5A, sizeof buf);
        CHECK_ERR(coat_record_encode(&r, buf, cap, &len), COAT_TOO_LARGE);
        CHECK_INT(buf[cap], 0x5A);
    }
    CHECK_INT(len, 4711);
    CHECK_ERR(coat_record_encode(&r, buf, size, &len), COAT_OK);
}

/* ---- ST-8 ---- */

static size_t
random_record(test_rng *rng, uint8_t *buf, size_t cap)
{
    static const coat_tag_keys keys = {.key = {{1}}, .count = 1};
    uint8_t data[200];
    coat_token token = fixture_token(rng, &keys);
    coat_record r = fixture_record(rng, &token);
    size_t len = 0;

    (void)test_rng_fill(rng, data, sizeof data);
    r.data = (coat_span){data, test_rng_below(rng, sizeof data)};
    r.user.len = test_rng_below(rng, 6);
    if (test_rng_below(rng, 2) == 0) {
        r.flags |= COAT_RECORD_PENDING;
        r.handed_ms = 7;
        (void)test_rng_fill(rng, r.pending_digest, sizeof r.pending_digest);
    }
    REQUIRE_OK(coat_record_encode(&r, buf, cap, &len));
    return len;
}

static void
prefixes(void)
{
    test_rng rng = {1};

    for (int i = 0; i < 100; i++) {
        uint8_t buf[1024];
        size_t len = random_record(&rng, buf, sizeof buf);
        coat_record out = {.flags = 4711};

        for (size_t cut = 0; cut < len; cut++) {
            uint8_t *exact = malloc(cut > 0 ? cut : 1); /* ASan sees a read behind it */

            REQUIRE(exact != NULL);
            memcpy(exact, buf, cut);
            CHECK_ERR(coat_record_view((coat_span){exact, cut}, &out), COAT_MALFORMED);
            if (cut >= COAT_RECORD_FIXED) { /* also if the length agrees */
                coat_store32(exact + COAT_RECORD_AT_TOTAL, (uint32_t)cut);
                CHECK_ERR(coat_record_view((coat_span){exact, cut}, &out), COAT_MALFORMED);
            }
            free(exact);
        }
        CHECK_ERR(coat_record_view((coat_span){buf, len + 1}, &out), COAT_MALFORMED);
        CHECK_INT(out.flags, 4711);
        CHECK_ERR(coat_record_view((coat_span){buf, len}, &out), COAT_OK);
    }
}

static void
offsets(void)
{
    static const uint32_t bad[] = {0xFFFFFFFF, 0x80000000, 0x7FFFFFFF, 65536, 65535, 2000};
    test_rng rng = {2};
    uint8_t buf[1024];
    size_t len = random_record(&rng, buf, sizeof buf);
    coat_record out;

    for (size_t i = 0; i < COAT_RECORD_PARTS; i++) {
        uint8_t *end = buf + COAT_RECORD_AT_ENDS + 4 * i;
        uint32_t kept = coat_load32(end);

        for (size_t k = 0; k < sizeof bad / sizeof bad[0]; k++) {
            coat_store32(end, bad[k]);
            CHECK_ERR(coat_record_view((coat_span){buf, len}, &out), COAT_MALFORMED);
        }
        coat_store32(end, kept + 1000); /* behind its successor, or behind the end */
        CHECK_ERR(coat_record_view((coat_span){buf, len}, &out), COAT_MALFORMED);
        coat_store32(end, kept);
    }
    coat_store32(buf + COAT_RECORD_AT_ENDS + 4 * (COAT_RECORD_PARTS - 1),
                 (uint32_t)(len - COAT_RECORD_FIXED - 1)); /* bytes that belong to no part */
    CHECK_ERR(coat_record_view((coat_span){buf, len}, &out), COAT_MALFORMED);
}

/* Whatever bytes: refused, or the one encoding of what was read. */
static void
mutations(void)
{
    long count = test_scaled(1000000, 20000);
    test_rng rng = {3};
    long accepted = 0;

    for (long i = 0; i < count; i++) {
        uint8_t buf[1024], again[1024];
        size_t len = random_record(&rng, buf, sizeof buf), again_len = 0;
        coat_record out;

        for (uint64_t n = 1 + test_rng_below(&rng, 3); n > 0; n--)
            buf[test_rng_below(&rng, n == 1 ? 290 : len)] ^=
                (uint8_t)(1 << test_rng_below(&rng, 8));
        if (coat_record_view((coat_span){buf, len}, &out) != COAT_OK)
            continue;
        accepted++;
        REQUIRE_OK(coat_record_encode(&out, again, sizeof again, &again_len));
        CHECK_MEM(again, again_len, buf, len);
    }
    CHECK(accepted > count / 100 && accepted < count);
}

typedef struct fixed_case {
    const char *name;
    size_t at;
    int64_t value;
} fixed_case;

static void
inconsistent(void)
{
    static const fixed_case cases[] = {
        {"negative created", 16, -1},
        {"negative auth", 24, -1},
        {"negative seen", 32, -1},
        {"negative idle", 40, -1},
        {"negative absolute end", 48, -1},
        {"negative rotated", 56, -1},
        {"negative handed", 64, INT64_MIN},
        {"negative previous end", 72, INT64_MIN},
        {"unknown flag", 8, 0x0000000a0000000f},
        {"flags high bit", 8, 0x0000000a80000007},
        {"nine parts", 8, 0x0000000900000007},
        {"eleven parts", 8, 0x0000000b00000007},
        {"pending without its flag", 8, 0x0000000a00000005},
        {"previous without its flag", 8, 0x0000000a00000003},
    };
    coat_record r = golden(), out = {.flags = 4711};
    uint8_t buf[1024];
    size_t len = 0;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        test_case(cases[i].name);
        REQUIRE_OK(coat_record_encode(&r, buf, sizeof buf, &len));
        CHECK_ERR(coat_record_view((coat_span){buf, len}, &out), COAT_OK);
        out.flags = 4711;
        coat_store64(buf + cases[i].at, (uint64_t)cases[i].value);
        CHECK_ERR(coat_record_view((coat_span){buf, len}, &out), COAT_MALFORMED);
        CHECK_INT(out.flags, 4711);
    }
    buf[0] = 'c';
    CHECK_ERR(coat_record_view((coat_span){buf, len}, &out), COAT_MALFORMED);
    CHECK_ERR(coat_record_view((coat_span){NULL, 0}, &out), COAT_MALFORMED);
}

/* A digest whose flag and time are gone must not stay behind. */
static void
leftover_digest(void)
{
    static const struct {
        size_t time_at, digest_at;
        uint32_t flag;
    } cases[] = {{64, 128, COAT_RECORD_PENDING}, {72, 160, COAT_RECORD_PREVIOUS}};
    coat_record r = golden(), out;
    uint8_t buf[1024];
    size_t len = 0;

    for (size_t i = 0; i < 2; i++) {
        REQUIRE_OK(coat_record_encode(&r, buf, sizeof buf, &len));
        coat_store32(buf + COAT_RECORD_AT_FLAGS, 7 & ~cases[i].flag);
        coat_store64(buf + cases[i].time_at, 0);
        CHECK_ERR(coat_record_view((coat_span){buf, len}, &out), COAT_MALFORMED);
        memset(buf + cases[i].digest_at, 0, COAT_DIGEST_BYTES - 1);
        CHECK_ERR(coat_record_view((coat_span){buf, len}, &out), COAT_MALFORMED);
        buf[cases[i].digest_at + COAT_DIGEST_BYTES - 1] = 0;
        CHECK_ERR(coat_record_view((coat_span){buf, len}, &out), COAT_OK);
    }
}

static void
encode_refuses_what_view_would(void)
{
    coat_record r[7];
    uint8_t buf[1024];
    size_t len = 4711;

    for (size_t i = 0; i < 7; i++)
        r[i] = golden();
    r[0].created_ms = -1;
    r[1].flags |= 1U << 7;
    r[2].flags &= ~(uint32_t)COAT_RECORD_PENDING;
    r[3].flags &= ~(uint32_t)COAT_RECORD_PREVIOUS;
    r[4].flags = 0;
    r[4].handed_ms = r[4].previous_end_ms = 0; /* but the digests are left */
    r[5].flags &= ~(uint32_t)COAT_RECORD_PENDING;
    r[5].handed_ms = 0;
    r[6].flags &= ~(uint32_t)COAT_RECORD_PREVIOUS;
    r[6].previous_end_ms = 0;
    for (size_t i = 0; i < 7; i++)
        CHECK_ERR(coat_record_encode(&r[i], buf, sizeof buf, &len), COAT_INVALID);
    CHECK_INT(len, 4711);
}

static void
empty_record(void)
{
    coat_record r = {0}, back;
    uint8_t buf[COAT_RECORD_FIXED];
    size_t len = 0;

    REQUIRE_OK(coat_record_encode(&r, buf, sizeof buf, &len));
    CHECK_INT(len, COAT_RECORD_FIXED);
    REQUIRE_OK(coat_record_view((coat_span){buf, len}, &back));
    CHECK_INT(back.data.len, 0);
}

static const coat_test tests[] = {
    {"UP-1: format 1 has not drifted", golden_bytes},
    {"UP-1 ST-8: another format is refused, never misread", newer_format},
    {"each part round-trips at its limit and is refused beyond", limits},
    {"ST-8: a stored part over its limit is refused", part_over_limit},
    {"encoding never writes beyond its buffer", caps},
    {"ST-8: all prefixes of 100 records are refused", prefixes},
    {"ST-8: offsets that lead outside or back are refused", offsets},
    {"ST-8: changed bytes are refused, or read as exactly themselves", mutations},
    {"ST-8: impossible fixed parts are refused", inconsistent},
    {"ST-8: a digest without its flag is refused", leftover_digest},
    {"encoding refuses what reading would", encode_refuses_what_view_would},
    {"a record of zeros is a record", empty_record},
};
COAT_TEST_MAIN(tests)
