/* SPDX-License-Identifier: Apache-2.0 */
#include "core/host.h"

#include "core/chars.h"

#include <arpa/inet.h>

enum { HOST_MAX = 253, LABEL_MAX = 63 };

static bool
label_is_good(coat_span label)
{
    if (label.len == 0 || label.len > LABEL_MAX || label.ptr[0] == '-' ||
        label.ptr[label.len - 1] == '-')
        return false;
    for (size_t i = 0; i < label.len; i++)
        if (!coat_char_is_digit(label.ptr[i]) && !coat_char_is_lower(label.ptr[i]) &&
            label.ptr[i] != '-')
            return false;
    return true;
}

/* WHATWG URL: a host whose last label is a number is an IPv4 address or nothing, so that
 * "127.1" and "0x7f000001" can never be taken for names. */
static bool
label_is_number(coat_span label)
{
    bool hex = label.len >= 2 && label.ptr[0] == '0' && label.ptr[1] == 'x';

    for (size_t i = hex ? 2 : 0; i < label.len; i++)
        if (hex ? coat_char_hex(label.ptr[i]) < 0 : !coat_char_is_digit(label.ptr[i]))
            return false;
    return true;
}

static bool
address_is_canonical(int family, coat_span host)
{
    char text[INET6_ADDRSTRLEN], again[INET6_ADDRSTRLEN];
    uint8_t bytes[16];

    if (host.len >= sizeof text || coat_span_find(host, '\0') < host.len)
        return false;
    memcpy(text, host.ptr, host.len);
    text[host.len] = '\0';
    return inet_pton(family, text, bytes) == 1 &&
           inet_ntop(family, bytes, again, sizeof again) != NULL && strcmp(text, again) == 0;
}

coat_host_kind
coat_host_kind_of(coat_span host)
{
    coat_span label = {0};
    size_t from = 0;

    if (host.len == 0 || host.len > HOST_MAX)
        return COAT_HOST_BAD;
    if (coat_span_find(host, ':') < host.len) /* inet_ntop writes dots where browsers do not */
        return coat_span_find(host, '.') == host.len && address_is_canonical(AF_INET6, host)
                   ? COAT_HOST_ADDRESS
                   : COAT_HOST_BAD;
    while (from <= host.len) {
        label = coat_span_slice(host, from, host.len);
        label.len = coat_span_find(label, '.');
        if (!label_is_good(label))
            return COAT_HOST_BAD;
        from += label.len + 1;
    }
    if (!label_is_number(label))
        return COAT_HOST_NAME;
    return address_is_canonical(AF_INET, host) ? COAT_HOST_ADDRESS : COAT_HOST_BAD;
}
