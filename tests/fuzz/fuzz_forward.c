/* SPDX-License-Identifier: Apache-2.0 */
#include "core/chars.h"
#include "fuzz.h"

#include <coatcheck/forward.h>

enum { FIELDS_MAX = 48, METHOD_MAX = 32, HOST_MAX = 300, PORT_DIGITS = 5 };

/* "Name: value" lines. */
static size_t
fields_of(coat_span text, coat_field *fields)
{
    size_t count = 0;
    coat_span line;

    while (count < FIELDS_MAX && coat_span_split(&text, '\n', &line)) {
        size_t colon = coat_span_find(line, ':');

        if (colon == line.len)
            continue;
        fields[count].name = coat_span_slice(line, 0, colon);
        fields[count++].value = coat_span_trim(coat_span_slice(line, colon + 1, line.len));
    }
    return count;
}

static bool
has_line(const coat_field *fields, size_t count, coat_span value)
{
    for (size_t i = 0; i < count; i++)
        if (coat_span_is(fields[i].value, value))
            return true;
    return false;
}

/* Of the last hop at least it was read who it is: nothing in it is longer than a port. */
static void
check_hop(const coat_field *fields, size_t count)
{
    size_t digits = 0;

    while (count > 0 &&
           !coat_span_is_nocase(fields[count - 1].name, COAT_LIT("X-Forwarded-For")))
        count--;
    if (count == 0)
        return;
    for (size_t at = fields[count - 1].value.len; at > 0; at--) {
        uint8_t c = fields[count - 1].value.ptr[at - 1];

        if (c == ',')
            return;
        digits = coat_char_is_digit(c) ? digits + 1 : 0;
        FUZZ_CHECK(digits <= PORT_DIGITS);
    }
}

/* What a trusted proxy says is one of its fields as it stands, and plainly valid. */
static void
check_trusted(const coat_forward_conf *conf, const coat_address *peer, const coat_field *fields,
              size_t count)
{
    coat_forward out, before, again;
    coat_field more[FIELDS_MAX + 1] = {0};

    memset(&before, 0xA5, sizeof before);
    out = before;
    if (coat_forward_read(conf, peer, fields, count, (coat_span){0}, (coat_span){0},
                          (coat_span){0}, &out) != COAT_OK) {
        FUZZ_CHECK(memcmp(&out, &before, sizeof out) == 0);
        return;
    }
    FUZZ_CHECK(out.trusted);
    FUZZ_CHECK(out.target.len == 0 ||
               (coat_span_is_visible(out.target) && has_line(fields, count, out.target)));
    FUZZ_CHECK(out.method.len == 0 ||
               (out.method.len <= METHOD_MAX && coat_span_is_token(out.method)));
    FUZZ_CHECK(out.host.len == 0 ||
               (out.host.len <= HOST_MAX && has_line(fields, count, out.host)));
    if (memcmp(&out.client, peer, sizeof *peer) != 0)
        check_hop(fields, count);

    /* Names with underscores change nothing; a second path always does. */
    memcpy(more, fields, count * sizeof *fields);
    more[count] = (coat_field){COAT_LIT("X_Original_URI"), COAT_LIT("/public")};
    FUZZ_CHECK(coat_forward_read(conf, peer, more, count + 1, (coat_span){0}, (coat_span){0},
                                 (coat_span){0}, &again) == COAT_OK);
    FUZZ_CHECK(coat_span_is(again.target, out.target) && again.tls == out.tls &&
               memcmp(&again.client, &out.client, sizeof out.client) == 0);
    more[count].name = conf->dialect == COAT_DIALECT_NGINX ? COAT_LIT("x-original-URI")
                                                           : COAT_LIT("x-forwarded-URI");
    if (out.target.len > 0)
        FUZZ_CHECK(coat_forward_read(conf, peer, more, count + 1, (coat_span){0},
                                     (coat_span){0}, (coat_span){0}, &again) == COAT_MALFORMED);
}

/* Whatever an untrusted peer sends: itself, and nothing else. */
static void
check_untrusted(const coat_forward_conf *conf, const coat_field *fields, size_t count)
{
    coat_address peer;
    coat_forward out;

    FUZZ_CHECK(coat_address_parse(COAT_LIT("203.0.113.9"), &peer) == COAT_OK);
    FUZZ_CHECK(coat_forward_read(conf, &peer, fields, count, (coat_span){0}, (coat_span){0},
                                 (coat_span){0}, &out) == COAT_OK);
    FUZZ_CHECK(!out.trusted && !out.tls && out.target.len == 0 && out.method.len == 0 &&
               out.host.len == 0 && memcmp(&out.client, &peer, sizeof peer) == 0);
}

/* What a mask leaves is the base of a network that has the address; masking twice is masking
 * once. */
static void
check_mask(const coat_address *address)
{
    bool v4 = coat_address_is_v4(address);
    coat_address masked = *address, twice;
    coat_network network = {.prefix = v4 ? 96 + 20 : 48};

    coat_address_mask(&masked, 20, 48);
    twice = masked;
    coat_address_mask(&twice, 20, 48);
    FUZZ_CHECK(memcmp(&twice, &masked, sizeof twice) == 0);
    network.base = masked;
    FUZZ_CHECK(coat_network_has(&network, address));
    twice = *address;
    coat_address_mask(&twice, UINT32_MAX, UINT32_MAX);
    FUZZ_CHECK(memcmp(&twice, address, sizeof twice) == 0);
}

/* An address that parses has one written form, and it parses to the same. */
static void
check_address(coat_span text)
{
    coat_address address, again;
    char buf[46];

    if (coat_address_parse(text, &address) != COAT_OK)
        return;
    coat_address_format(&address, buf, sizeof buf);
    FUZZ_CHECK(coat_address_parse(coat_span_of(buf), &again) == COAT_OK);
    FUZZ_CHECK(memcmp(&again, &address, sizeof again) == 0);
    check_mask(&address);
}

static void
check_network(coat_span text)
{
    coat_network network, everyone = {.prefix = 0};
    char copy[64];

    if (text.len == 0 || text.len >= sizeof copy)
        return;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    if (coat_network_parse(copy, &network) != COAT_OK)
        return;
    FUZZ_CHECK(network.prefix > 0 && network.prefix <= 128);
    FUZZ_CHECK(coat_network_has(&network, &network.base));
    everyone.base = network.base;
    everyone.base.bytes[0] ^= 0x80;
    FUZZ_CHECK(!coat_network_has(&network, &everyone.base));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    coat_field fields[FIELDS_MAX];
    coat_network trusted;
    coat_address peer;
    size_t count = fields_of((coat_span){data, size}, fields);

    check_address((coat_span){data, size});
    check_network((coat_span){data, size});
    FUZZ_CHECK(coat_network_parse("10.0.0.0/8", &trusted) == COAT_OK);
    FUZZ_CHECK(coat_address_parse(COAT_LIT("10.0.0.1"), &peer) == COAT_OK);
    static const coat_dialect dialects[] = {COAT_DIALECT_NGINX, COAT_DIALECT_FORWARDED,
                                            COAT_DIALECT_MODULE};
    for (size_t i = 0; i < sizeof dialects / sizeof dialects[0]; i++) {
        coat_forward_conf conf = {dialects[i], &trusted, 1, false};

        check_trusted(&conf, &peer, fields, count);
        check_untrusted(&conf, fields, count);
    }
    return 0;
}
