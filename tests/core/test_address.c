/* SPDX-License-Identifier: Apache-2.0 */
#include "coat_test.h"
#include "core/bytes.h"

#include <coatcheck/forward.h>

static const struct parse_case {
    const char *text, *want; /* NULL: refused */
} parse_cases[] = {
    {"192.0.2.1", "192.0.2.1"},
    {"0.0.0.0", "0.0.0.0"},
    {"255.255.255.255", "255.255.255.255"},
    {"::1", "::1"},
    {"::", "::"},
    {"2001:db8::1", "2001:db8::1"},
    {"2001:DB8:0:0:0:0:0:1", "2001:db8::1"},
    {"::ffff:192.0.2.1", "192.0.2.1"}, /* one client, one key */
    {"::ffff:c000:201", "192.0.2.1"},
    {"fe80::1", "fe80::1"},
    {"", NULL},
    {" 192.0.2.1", NULL},
    {"192.0.2.1 ", NULL},
    {"192.0.2", NULL},
    {"192.0.2.1.1", NULL},
    {"192.0.2.256", NULL},
    {"192.0.2.01", NULL},
    {"0300.0.2.1", NULL},
    {"0x7f.0.0.1", NULL},
    {"3221225985", NULL},
    {"192.0.2.1:80", NULL},
    {"[::1]", NULL},
    {"[::1]:80", NULL},
    {"fe80::1%eth0", NULL},
    {"fe80::1%1", NULL},
    {"2001:db8::1::2", NULL},
    {"2001:db8", NULL},
    {":", NULL},
    {"12345::", NULL},
    {"localhost", NULL},
    {"unknown", NULL},
    {"_hidden", NULL},
    {"-", NULL},
    {"1111:2222:3333:4444:5555:6666:255.255.255.255:7777777777", NULL},
};

static void
test_parse(void)
{
    for (size_t i = 0; i < sizeof parse_cases / sizeof parse_cases[0]; i++) {
        coat_address address = {.bytes = {0xA5}};
        char text[46];

        test_case(parse_cases[i].text);
        CHECK_ERR(coat_address_parse(coat_span_of(parse_cases[i].text), &address),
                  parse_cases[i].want != NULL ? COAT_OK : COAT_MALFORMED);
        if (parse_cases[i].want == NULL) {
            CHECK(address.bytes[0] == 0xA5 && !address.known);
            continue;
        }
        CHECK(address.known);
        coat_address_format(&address, text, sizeof text);
        CHECK_STR(text, parse_cases[i].want);
        CHECK(coat_address_is_v4(&address) == (strchr(parse_cases[i].want, ':') == NULL));
    }
    CHECK_ERR(coat_address_parse(COAT_LIT("::1\0"), &(coat_address){0}), COAT_MALFORMED);
    CHECK_ERR(coat_address_parse((coat_span){NULL, 0}, &(coat_address){0}), COAT_MALFORMED);
}

static void
test_format(void)
{
    coat_address none = {0}, longest;
    char text[46];

    coat_address_format(&none, text, sizeof text);
    CHECK_STR(text, "unknown");
    CHECK(!coat_address_is_v4(&none));
    memset(longest.bytes, 0x2f, sizeof longest.bytes);
    longest.known = true;
    coat_address_format(&longest, text, sizeof text);
    CHECK_INT(strlen(text), 39);
    coat_address_format(&longest, text, 4); /* too small: cut, never overrun */
    CHECK(strlen(text) < 4);
}

static const struct network_case {
    const char *text;
    int prefix; /* -1: refused */
} network_cases[] = {
    {"10.0.0.0/8", 104},
    {"192.0.2.1", 128},
    {"192.0.2.1/32", 128},
    {"128.0.0.0/1", 97},
    {"::1", 128},
    {"::1/128", 128},
    {"fd00::/8", 8},
    {"2001:db8::/32", 32},
    {"::ffff:10.0.0.0/104", 104},
    {"0.0.0.0/0", -1}, /* everybody */
    {"::/0", -1},
    {"0::0/0", -1},
    {"::ffff:0.0.0.0/96", -1},
    {"::ffff:0:0/95", -1},
    {"::/1", -1},
    {"::/64", -1},
    {"10.0.0.0/0", -1},
    {"10.1.2.3/8", -1}, /* bits behind the prefix */
    {"10.0.0.1/31", -1},
    {"fd00::1/8", -1},
    {"10.0.0.0/33", -1},
    {"::1/129", -1},
    {"::1/1000", -1},
    {"10.0.0.0/", -1},
    {"10.0.0.0/08", -1},
    {"10.0.0.0/+8", -1},
    {"10.0.0.0/-8", -1},
    {"10.0.0.0/ 8", -1},
    {"10.0.0.0/8 ", -1},
    {"10.0.0.0/8/8", -1},
    {"10.0.0.0/255.0.0.0", -1},
    {"10.0.0/8", -1},
    {"10/8", -1},
    {"/8", -1},
    {"", -1},
    {"*", -1},
    {"any", -1},
    {"localhost", -1},
    {"[::1]", -1},
    {"fe80::%eth0/64", -1},
};

static void
test_network_parse(void)
{
    for (size_t i = 0; i < sizeof network_cases / sizeof network_cases[0]; i++) {
        coat_network network = {.prefix = 7};

        test_case(network_cases[i].text);
        CHECK_ERR(coat_network_parse(network_cases[i].text, &network),
                  network_cases[i].prefix >= 0 ? COAT_OK : COAT_INVALID);
        CHECK_INT(network.prefix, network_cases[i].prefix >= 0 ? network_cases[i].prefix : 7);
    }
    CHECK_ERR(coat_network_parse(NULL, &(coat_network){0}), COAT_INVALID);
}

static coat_address
address(const char *text)
{
    coat_address out = {0};

    REQUIRE_OK(coat_address_parse(coat_span_of(text), &out));
    return out;
}

static const struct has_case {
    const char *network, *address;
    bool want;
} has_cases[] = {
    {"10.0.0.0/8", "10.0.0.0", true},
    {"10.0.0.0/8", "10.255.255.255", true},
    {"10.0.0.0/8", "11.0.0.0", false},
    {"10.0.0.0/8", "9.255.255.255", false},
    {"10.0.0.0/8", "::ffff:10.1.2.3", true},
    {"10.0.0.0/8", "::10.1.2.3", false},
    {"10.0.0.0/8", "2001:db8::10", false},
    {"192.0.2.128/25", "192.0.2.128", true},
    {"192.0.2.128/25", "192.0.2.127", false},
    {"192.0.2.4/30", "192.0.2.7", true},
    {"192.0.2.4/30", "192.0.2.8", false},
    {"192.0.2.1", "192.0.2.1", true},
    {"192.0.2.1", "192.0.2.2", false},
    {"2001:db8::/33", "2001:db8:7fff::", true},
    {"2001:db8::/33", "2001:db8:8000::", false},
    {"::1", "::1", true},
    {"::1", "127.0.0.1", false},
    {"fd00::/8", "fdff::1", true},
    {"fd00::/8", "fc00::1", false},
};

static void
test_network_has(void)
{
    coat_address none = {0};
    coat_network zero = {0}, network;

    for (size_t i = 0; i < sizeof has_cases / sizeof has_cases[0]; i++) {
        coat_address candidate = address(has_cases[i].address);

        test_case(has_cases[i].network);
        REQUIRE_OK(coat_network_parse(has_cases[i].network, &network));
        CHECK(coat_network_has(&network, &candidate) == has_cases[i].want);
        CHECK(!coat_network_has(&network, &none));   /* a Unix socket is in no network */
        CHECK(!coat_network_has(&zero, &candidate)); /* a zeroed network holds nobody */
    }
}

/* Against comparing bit by bit. */
static void
test_network_bits(void)
{
    test_rng rng = {3};

    for (long n = test_scaled(1000000, 5000); n > 0; n--) {
        coat_network network = {.base = {.known = true},
                                .prefix = (uint8_t)test_rng_below(&rng, 129)};
        coat_address other = {.known = true};
        bool same = true;

        (void)test_rng_fill(&rng, network.base.bytes, sizeof network.base.bytes);
        other = network.base;
        other.bytes[test_rng_below(&rng, 16)] ^= (uint8_t)(1U << test_rng_below(&rng, 8));
        for (unsigned bit = 0; bit < network.prefix; bit++)
            same &= ((network.base.bytes[bit / 8] ^ other.bytes[bit / 8]) >> (7 - bit % 8) &
                     1) == 0;
        CHECK(coat_network_has(&network, &other) == same);
    }
}

static const struct mask_case {
    const char *address;
    unsigned v4, v6;
    const char *want;
} mask_cases[] = {
    {"192.0.2.129", 24, 56, "192.0.2.0"},
    {"192.0.2.129", 25, 56, "192.0.2.128"},
    {"192.0.2.129", 32, 0, "192.0.2.129"},
    {"192.0.2.129", 99, 0, "192.0.2.129"},
    {"192.0.2.129", 0, 0, "0.0.0.0"},
    {"2001:db8:1:2:3:4:5:6", 24, 56, "2001:db8:1::"},
    {"2001:db8:1:2ff:3:4:5:6", 24, 60, "2001:db8:1:2f0::"},
    {"2001:db8:1:2:3:4:5:6", 0, 128, "2001:db8:1:2:3:4:5:6"},
    {"2001:db8:1:2:3:4:5:6", 0, 999, "2001:db8:1:2:3:4:5:6"},
    {"2001:db8::1", 24, 0, "::"},
};

static void
test_mask(void)
{
    coat_address none = {.bytes = {1, 2, 3}};

    for (size_t i = 0; i < sizeof mask_cases / sizeof mask_cases[0]; i++) {
        coat_address masked = address(mask_cases[i].address);
        char text[46];

        test_case(mask_cases[i].address);
        coat_address_mask(&masked, mask_cases[i].v4, mask_cases[i].v6);
        coat_address_format(&masked, text, sizeof text);
        CHECK_STR(text, mask_cases[i].want);
    }
    coat_address_mask(&none, 0, 0);
    CHECK_INT(none.bytes[2], 3); /* nothing to mask where nothing is known */
}

static const coat_test tests[] = {
    {"FA-2: addresses have strict forms, and IPv4 has one key", test_parse},
    {"FA-2: addresses are written in their shortest form", test_format},
    {"FA-1: networks; whatever trusts everybody is refused", test_network_parse},
    {"FA-1: an address is in a network or not", test_network_has},
    {"FA-1: networks against a comparison bit by bit", test_network_bits},
    {"LC-13: an address is reduced to its network", test_mask},
};

COAT_TEST_MAIN(tests)
