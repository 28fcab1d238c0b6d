/* SPDX-License-Identifier: Apache-2.0 */
#include "core/origin.h"

#include "core/chars.h"
#include "core/host.h"
#include "core/out.h"

static coat_err
refuse(char *message, size_t cap, const char *text, const char *value)
{
    coat_out out = coat_out_init(message, cap);

    coat_out_str(&out, text);
    coat_out_str(&out, value);
    (void)coat_out_end(&out);
    return COAT_INVALID;
}

/* 1 to 65535 in decimal without leading zeros, and not the one that goes without saying. */
static bool
port_is_good(coat_span port, bool https)
{
    uint32_t value = 0;

    if (port.len == 0 || port.len > 5 || port.ptr[0] == '0')
        return false;
    for (size_t i = 0; i < port.len; i++) {
        if (!coat_char_is_digit(port.ptr[i]))
            return false;
        value = value * 10 + (port.ptr[i] - '0');
    }
    return value <= 65535 && value != (https ? 443 : 80);
}

static coat_err
check_host(coat_span host, char *message, size_t cap)
{
    if (host.len >= 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']') {
        coat_span inner = coat_span_slice(host, 1, host.len - 1);

        if (coat_span_find(inner, ':') < inner.len &&
            coat_host_kind_of(inner) == COAT_HOST_ADDRESS)
            return COAT_OK;
        return refuse(message, cap, "origin has an IPv6 address that is not in shortest form",
                      "");
    }
    if (coat_span_find(host, ':') == host.len && coat_host_kind_of(host) != COAT_HOST_BAD)
        return COAT_OK;
    return refuse(message, cap, "origin needs a host in lower case (IDN as xn-- labels), ",
                  "without trailing dot, user name, path or pattern");
}

static coat_err
check_host_and_port(coat_span text, bool https, char *message, size_t cap)
{
    size_t colon = text.len;
    coat_err err;

    while (colon > 0 && text.ptr[colon - 1] != ':' && text.ptr[colon - 1] != ']')
        colon--;
    if (colon == 0 || text.ptr[colon - 1] == ']')
        return check_host(text, message, cap);
    err = check_host(coat_span_slice(text, 0, colon - 1), message, cap);
    if (err == COAT_OK && !port_is_good(coat_span_slice(text, colon, text.len), https))
        return refuse(message, cap, "origin needs a port from 1 to 65535, ",
                      "and none at all if it is the default one");
    return err;
}

coat_err
coat_origin_check(const char *origin, char *message, size_t cap)
{
    coat_span text = coat_span_of(origin);
    bool https = coat_span_starts(text, COAT_LIT("https://"));

    if (text.len > COAT_ORIGIN_MAX)
        return refuse(message, cap, "origin is longer than 300 bytes", "");
    if (coat_span_find(text, '*') < text.len)
        return refuse(message, cap, "origin holds a *: patterns are not supported, ",
                      "list every origin");
    if (!https && !coat_span_starts(text, COAT_LIT("http://")))
        return refuse(message, cap, "origin must begin with https:// or http://, ",
                      "as in https://app.example.org");
    text = coat_span_slice(text, https ? 8 : 7, text.len);
    if (text.len > 0 && text.ptr[text.len - 1] == '/')
        return refuse(message, cap, "origin has a path: leave the / at the end out", "");
    return check_host_and_port(text, https, message, cap);
}

const char *
coat_origins_match(const coat_origins *origins, coat_span origin)
{
    if (origins == NULL || origin.len == 0 || coat_span_is(origin, COAT_LIT("null")))
        return NULL;
    for (size_t i = 0; i < origins->count; i++)
        if (coat_span_is(origin, coat_span_of(origins->list[i])))
            return origins->list[i];
    return NULL;
}

bool
coat_method_is_safe(coat_span method)
{
    return coat_span_is(method, COAT_LIT("GET")) || coat_span_is(method, COAT_LIT("HEAD")) ||
           coat_span_is(method, COAT_LIT("OPTIONS"));
}

/* A Referer is an absolute URL as browsers write it; its origin ends at the first of "/?#".
 * What they would have written otherwise (user name, upper case, default port) matches
 * nothing. */
static bool
referer_is_own(const coat_origins *own, coat_span referer)
{
    size_t slashes = 0, i = 0;

    for (; i < referer.len; i++) {
        slashes += referer.ptr[i] == '/';
        if (slashes == 3 || referer.ptr[i] == '?' || referer.ptr[i] == '#')
            break;
    }
    return referer.len > 0 && coat_origins_match(own, coat_span_slice(referer, 0, i)) != NULL;
}

/* Only the essence counts, as in the Fetch standard: parameters may follow. */
static bool
type_is_json(coat_span content_type)
{
    coat_span rest = content_type, essence;

    return coat_span_split(&rest, ';', &essence) &&
           coat_span_is_nocase(essence, COAT_LIT("application/json"));
}

/**
 * CS-4. What browsers do (WHATWG Fetch, "append a request `Origin` header"): a form on a page
 * with Referrer-Policy: no-referrer, such as ours, posts with "Origin: null" and no Referer.
 * Only Sec-Fetch-Site, which no script can set, tells it from a sandboxed foreign page.
 */
static bool
source_is_own(const coat_site_facts *facts, const coat_origins *own, bool same_origin)
{
    bool any_fetch = facts->any_fetch || facts->fetch_site.ptr != NULL;
    bool null_origin = coat_span_is(facts->origin, COAT_LIT("null"));

    if (facts->origin.ptr != NULL && !null_origin)
        return coat_origins_match(own, facts->origin) != NULL;
    if (facts->referer.ptr != NULL)
        return (same_origin || !null_origin) && referer_is_own(own, facts->referer);
    return same_origin || (type_is_json(facts->content_type) && !any_fetch);
}

coat_err
coat_site_check(const coat_site_facts *facts, const coat_site_policy *policy)
{
    bool same_origin = coat_span_is(facts->fetch_site, COAT_LIT("same-origin"));

    if (coat_method_is_safe(facts->method))
        return COAT_OK;
    if (facts->origin_repeated || coat_span_is(facts->fetch_site, COAT_LIT("cross-site")))
        return COAT_DENIED;
    if (coat_span_is(facts->fetch_site, COAT_LIT("same-site")) && !policy->allow_same_site)
        return COAT_DENIED;
    return source_is_own(facts, &policy->own, same_origin) ? COAT_OK : COAT_DENIED;
}

/* "q=0", "q=0.0" ... : not wanted at all. */
static bool
quality_is_zero(coat_span parameters)
{
    coat_span parameter;

    while (coat_span_split(&parameters, ';', &parameter)) {
        if (!coat_span_starts_nocase(parameter, COAT_LIT("q=")))
            continue;
        for (size_t i = 2; i < parameter.len; i++)
            if (parameter.ptr[i] != '0' && parameter.ptr[i] != '.')
                return false;
        return true;
    }
    return false;
}

/* Scripts send the wildcard type, so a wildcard does not count as asking for a page. */
static bool
accepts_page(coat_span accept)
{
    coat_span range, type;

    while (coat_span_split(&accept, ',', &range)) {
        if (!coat_span_split(&range, ';', &type))
            continue;
        if ((coat_span_is_nocase(type, COAT_LIT("text/html")) ||
             coat_span_is_nocase(type, COAT_LIT("application/xhtml+xml"))) &&
            !quality_is_zero(range))
            return true;
    }
    return false;
}

bool
coat_is_navigation(const coat_site_facts *facts)
{
    bool document = coat_span_is(facts->fetch_dest, COAT_LIT("document"));

    if (facts->fetch_mode.ptr != NULL)
        return coat_span_is(facts->fetch_mode, COAT_LIT("navigate")) &&
               (document || facts->fetch_dest.ptr == NULL);
    if (facts->fetch_dest.ptr != NULL)
        return document;
    return accepts_page(facts->accept);
}
