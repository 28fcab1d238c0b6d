/* SPDX-License-Identifier: Apache-2.0 */
#include <coatcheck/forward.h>

#include "core/chars.h"
#include "core/out.h"

#include <arpa/inet.h>

enum { MAPPED_BITS = 96 }; /* the prefix of IPv4-mapped addresses, ::ffff:0:0/96 */

static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

coat_err
coat_address_parse(coat_span text, coat_address *out)
{
    char copy[INET6_ADDRSTRLEN];
    coat_address address = {.known = true};

    if (text.len == 0 || text.len >= sizeof copy || coat_span_find(text, '\0') < text.len)
        return COAT_MALFORMED;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    if (coat_span_find(text, ':') < text.len) {
        if (inet_pton(AF_INET6, copy, address.bytes) != 1)
            return COAT_MALFORMED;
    } else {
        memcpy(address.bytes, mapped, sizeof mapped);
        if (inet_pton(AF_INET, copy, address.bytes + sizeof mapped) != 1)
            return COAT_MALFORMED;
    }
    *out = address;
    return COAT_OK;
}

bool
coat_address_is_v4(const coat_address *address)
{
    return address->known && memcmp(address->bytes, mapped, sizeof mapped) == 0;
}

void
coat_address_format(const coat_address *address, char *buf, size_t cap)
{
    char text[INET6_ADDRSTRLEN] = "unknown"; /* as in RFC 7239 6.2 */
    coat_out out = coat_out_init(buf, cap);

    if (coat_address_is_v4(address)) {
        /* By hand: inet_ntop() goes through printf, on each request. */
        coat_out four = coat_out_init(text, sizeof text);

        for (size_t i = sizeof mapped; i < sizeof address->bytes; i++) {
            if (four.len > 0)
                coat_out_char(&four, '.');
            coat_out_uint(&four, address->bytes[i]);
        }
        (void)coat_out_end(&four);
    } else if (address->known) {
        /* It cannot fail with a known family and this much room. */
        (void)inet_ntop(AF_INET6, address->bytes, text, sizeof text);
    }
    coat_out_str(&out, text);
    (void)coat_out_end(&out);
}

static void
clear_bits_from(coat_address *address, unsigned prefix)
{
    for (unsigned i = 0; i < sizeof address->bytes; i++) {
        unsigned keep = prefix > 8 * i ? prefix - 8 * i : 0;

        if (keep < 8)
            address->bytes[i] &= (uint8_t)(0xff00U >> keep);
    }
}

void
coat_address_mask(coat_address *address, unsigned v4_prefix, unsigned v6_prefix)
{
    if (!address->known)
        return;
    if (coat_address_is_v4(address))
        clear_bits_from(address, MAPPED_BITS + (v4_prefix < 32 ? v4_prefix : 32));
    else
        clear_bits_from(address, v6_prefix < 128 ? v6_prefix : 128);
}

bool
coat_network_has(const coat_network *network, const coat_address *address)
{
    unsigned whole = network->prefix / 8, rest = network->prefix % 8;

    if (!address->known || !network->base.known || network->prefix > 128 ||
        memcmp(network->base.bytes, address->bytes, whole) != 0)
        return false;
    return rest == 0 ||
           ((network->base.bytes[whole] ^ address->bytes[whole]) >> (8 - rest)) == 0;
}

/* Decimal, one to three digits, no leading zero. */
static bool
parse_prefix(coat_span text, unsigned max, unsigned *out)
{
    unsigned value = 0;

    if (text.len == 0 || text.len > 3 || (text.len > 1 && text.ptr[0] == '0'))
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (!coat_char_is_digit(text.ptr[i]))
            return false;
        value = value * 10 + (text.ptr[i] - '0');
    }
    *out = value;
    return value <= max;
}

coat_err
coat_network_parse(const char *text, coat_network *out)
{
    coat_span whole = coat_span_of(text), part;
    size_t slash = coat_span_find(whole, '/');
    coat_network network = {0};
    coat_address first;
    unsigned prefix;
    bool dotted;

    if (whole.len == 0)
        return COAT_INVALID;
    part = coat_span_slice(whole, 0, slash);
    dotted = coat_span_find(part, ':') == part.len;
    if (coat_address_parse(part, &network.base) != COAT_OK)
        return COAT_INVALID;
    prefix = dotted ? 32 : 128;
    if (slash < whole.len &&
        !parse_prefix(coat_span_slice(whole, slash + 1, whole.len), prefix, &prefix))
        return COAT_INVALID;
    network.prefix = (uint8_t)(prefix + (dotted ? MAPPED_BITS : 0));

    /* Whatever contains all of IPv4, in any spelling, trusts everybody; so does ::/0. */
    first = (coat_address){.known = true};
    memcpy(first.bytes, mapped, sizeof mapped);
    if (network.prefix <= MAPPED_BITS && coat_network_has(&network, &first))
        return COAT_INVALID;

    /* "10.1.2.3/8" is either a slip of the address or of the prefix. */
    first = network.base;
    clear_bits_from(&first, network.prefix);
    if (memcmp(first.bytes, network.base.bytes, sizeof first.bytes) != 0)
        return COAT_INVALID;
    *out = network;
    return COAT_OK;
}
