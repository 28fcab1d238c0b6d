/* SPDX-License-Identifier: Apache-2.0 */
/* Single values of the command line: where to listen, where the application is, what a path
 * needs. */
#include "cli/gateway/gateway.h"

#include "core/chars.h"

#include <stdarg.h>

enum { DAY_S = 24 * 3600 };

coat_err
coat_gateway_refuse(char *message, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)vsnprintf(message, COAT_GATEWAY_MESSAGE_MAX, format, args);
    va_end(args);
    return COAT_INVALID;
}

static bool
port_parse(coat_span text, uint16_t *port)
{
    int64_t number;

    if (coat_integer_parse(text, &number) != COAT_OK || number < 1 || number > 65535)
        return false;
    *port = (uint16_t)number;
    return true;
}

/* "a:1" and "[::1]:1" to host and port; the port is {NULL, 0} if there is none. */
static void
split_port(coat_span text, coat_span *host, coat_span *port)
{
    size_t colon = text.len;

    while (colon > 0 && text.ptr[colon - 1] != ':' && text.ptr[colon - 1] != ']')
        colon--;
    if (colon == 0 || text.ptr[colon - 1] == ']') {
        *host = text;
        *port = (coat_span){NULL, 0};
        return;
    }
    *host = (coat_span){text.ptr, colon - 1};
    *port = (coat_span){text.ptr + colon, text.len - colon};
}

/* IPv4, or IPv6 in brackets. */
static bool
address_parse(coat_span host, coat_address *out)
{
    bool bracketed = host.len > 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']';

    if (bracketed)
        host = (coat_span){host.ptr + 1, host.len - 2};
    return coat_address_parse(host, out) == COAT_OK && coat_address_is_v4(out) != bracketed;
}

coat_err
coat_gateway_listen_parse(const char *text, coat_gateway_listen *out, char *message)
{
    static const coat_network loopback4 = {
        .base = {.known = true, .bytes = {[10] = 0xff, [11] = 0xff, [12] = 127}},
        .prefix = 96 + 8};
    static const uint8_t loopback6[16] = {[15] = 1};
    coat_gateway_listen read = {.text = text};
    coat_address address;
    coat_span host, port;

    split_port(coat_span_of(text), &host, &port);
    if (!address_parse(host, &address) || !port_parse(port, &read.port))
        return coat_gateway_refuse(
            message,
            "--listen %.80s: write an address and a port, as in 127.0.0.1:8080, "
            "[::1]:8080 or, for every interface, 0.0.0.0:443",
            text);
    read.loopback = coat_network_has(&loopback4, &address) ||
                    memcmp(address.bytes, loopback6, sizeof loopback6) == 0;
    *out = read;
    return COAT_OK;
}

/* ---- the application ---- */

/* Names as DNS and container networks have them; '_' is in many of the latter. */
static bool
name_is_good(coat_span name)
{
    bool letter = false; /* 3000 alone would be an address to the resolver */

    for (size_t i = 0; i < name.len; i++) {
        if (!coat_char_is_alnum(name.ptr[i]) && memchr("-._", name.ptr[i], 3) == NULL)
            return false;
        letter = letter || coat_char_is_lower(coat_ascii_lower(name.ptr[i]));
    }
    return letter && name.len <= 253 && coat_char_is_alnum(name.ptr[0]);
}

static coat_err
unix_parse(const char *url, coat_span path, coat_gateway_upstream *out, char *message)
{
    enum { UNIX_PATH_MAX = 107 };

    /* nginx writes a colon behind the path where a URI may follow. */
    if (path.len > 0 && path.ptr[path.len - 1] == ':')
        path.len--;
    if (path.len < 2 || path.ptr[0] != '/' || coat_span_find(path, ':') < path.len)
        return coat_gateway_refuse(
            message,
            "--upstream %.200s: write the socket's absolute path and nothing behind "
            "it, as in http://unix:/run/app.sock",
            url);
    if (path.len > UNIX_PATH_MAX)
        return coat_gateway_refuse(
            message, "--upstream: the socket's path has %zu bytes, at most %d are possible",
            path.len, UNIX_PATH_MAX);
    (void)snprintf(out->server, sizeof out->server, "unix:%.*s", (int)path.len, path.ptr);
    return COAT_OK;
}

static coat_err
host_parse(const char *url, coat_span rest, coat_gateway_upstream *out, char *message)
{
    coat_span host, port;
    coat_address address;
    uint16_t number = out->tls ? 443 : 80;
    bool is_address;

    /* One slash is what browsers show; a path would change what the application sees. */
    if (rest.len > 0 && rest.ptr[rest.len - 1] == '/')
        rest.len--;
    split_port(rest, &host, &port);
    is_address = address_parse(host, &address);
    if ((!is_address && !name_is_good(host)) ||
        (port.ptr != NULL && !port_parse(port, &number)))
        return coat_gateway_refuse(
            message,
            "--upstream %.200s: write http://HOST:PORT, http://[ADDRESS]:PORT, "
            "https://NAME or http://unix:/path, without a path behind it: the "
            "application gets the path as it came",
            url);
    if (is_address && out->tls)
        return coat_gateway_refuse(
            message,
            "--upstream %.200s: nginx checks a certificate by name only; write "
            "https://NAME, or http:// if nobody else is on the way there",
            url);
    (void)snprintf(out->server, sizeof out->server, "%.*s:%u", (int)host.len, host.ptr,
                   (unsigned)number);
    if (out->tls)
        (void)snprintf(out->host, sizeof out->host, "%.*s", (int)host.len, host.ptr);
    return COAT_OK;
}

coat_err
coat_gateway_upstream_parse(const char *url, coat_gateway_upstream *out, char *message)
{
    static const char plain[] = "http://", tls[] = "https://", file[] = "unix:";
    coat_gateway_upstream read = {.url = url};
    const char *rest;
    coat_err err;

    if (strncmp(url, plain, strlen(plain)) == 0)
        rest = url + strlen(plain);
    else if (strncmp(url, tls, strlen(tls)) == 0)
        rest = url + strlen(tls);
    else
        return coat_gateway_refuse(message,
                                   "--upstream %.200s: write the application's address, as in "
                                   "http://127.0.0.1:3000 or http://unix:/run/app.sock",
                                   url);
    read.tls = rest == url + strlen(tls);
    if (strncmp(rest, file, strlen(file)) == 0 && rest[strlen(file)] == '/' && !read.tls)
        err = unix_parse(url, coat_span_of(rest + strlen(file)), &read, message);
    else
        err = host_parse(url, coat_span_of(rest), &read, message);
    if (err == COAT_OK)
        *out = read;
    return err;
}

/* ---- rules ---- */

/* Plain characters only: the path becomes a regular expression, and looks like what it does. */
static bool
path_is_good(coat_span path)
{
    for (size_t i = 0; i < path.len; i++)
        if (!coat_char_is_alnum(path.ptr[i]) && memchr("/-._~", path.ptr[i], 5) == NULL)
            return false;
    return path.len > 0 && path.len <= COAT_GATEWAY_PATH_MAX && path.ptr[0] == '/' &&
           memmem(path.ptr, path.len, "//", 2) == NULL &&
           memmem(path.ptr, path.len, "/.", 2) == NULL;
}

static bool
role_is_good(coat_span role)
{
    for (size_t i = 0; i < role.len; i++)
        if (!coat_char_is_visible(role.ptr[i]))
            return false;
    return role.len > 0 && role.len <= 64;
}

static bool
demand_parse(coat_span demand, coat_gateway_rule *out)
{
    static const coat_span role = {(const uint8_t *)"role=", 5},
                           age = {(const uint8_t *)"max-age=", 8};
    int64_t ms;

    if (coat_span_starts(demand, role)) {
        demand = coat_span_slice(demand, role.len, demand.len);
        if (!role_is_good(demand) || out->role_count == COAT_GATEWAY_ROLES_MAX)
            return false;
        out->roles[out->role_count++] = demand;
        return true;
    }
    if (!coat_span_starts(demand, age) || out->max_age_s != 0 ||
        coat_duration_parse(coat_span_slice(demand, age.len, demand.len), &ms) != COAT_OK ||
        ms < 1000 || ms > 30LL * DAY_S * 1000 || ms % 1000 != 0)
        return false;
    out->max_age_s = ms / 1000;
    return true;
}

coat_err
coat_gateway_rule_parse(const char *text, coat_gateway_rule *out, char *message)
{
    coat_gateway_rule read = {.role_count = 0};
    coat_span rest = coat_span_of(text), path = rest, demand;
    size_t colon = coat_span_find(rest, ':');
    bool fine;

    path.len = colon;
    fine = path_is_good(path);
    rest = colon < rest.len ? coat_span_slice(rest, colon + 1, rest.len) : (coat_span){NULL, 0};
    fine = fine && (colon == strlen(text) || rest.len > 0);
    while (fine && coat_span_split(&rest, ',', &demand))
        fine = demand_parse(demand, &read);
    if (!fine)
        return coat_gateway_refuse(
            message,
            "--protect %.200s: write a path of letters, digits and / - . _ ~, and what "
            "it needs, as in /admin:role=admin or /admin:role=admin,max-age=5m (1s to "
            "30d, at most %d roles)",
            text, COAT_GATEWAY_ROLES_MAX);
    memcpy(read.path, path.ptr, path.len);
    *out = read;
    return COAT_OK;
}
