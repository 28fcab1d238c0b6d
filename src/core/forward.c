/* SPDX-License-Identifier: Apache-2.0 */
#include <coatcheck/forward.h>

#include "core/chars.h"

enum {
    METHOD_MAX = 32,
    TARGET_MAX = 8192,
    HOST_MAX = 300,
    LINES_MAX = COAT_FORWARD_HOPS_MAX, /* X-Forwarded-For lines; each holds one hop at least */
};

/** What a forwarding field says. Those below FIELD_SINGLE may appear once only. */
typedef enum fact {
    FACT_METHOD,
    FACT_TARGET,
    FACT_HOST,
    FACT_PROTO,
    FACT_SINGLE, /* count of the ones above */
    FACT_FOR = FACT_SINGLE,
} fact;

static const struct field_name {
    const char *name;
    fact fact;
    unsigned dialects; /* bits, by coat_dialect */
} names[] = {
#define FORWARDED (1U << COAT_DIALECT_FORWARDED | 1U << COAT_DIALECT_MODULE)
    {"X-Original-Method", FACT_METHOD, 1U << COAT_DIALECT_NGINX},
    {"X-Original-URI", FACT_TARGET, 1U << COAT_DIALECT_NGINX},
    {"X-Original-Host", FACT_HOST, 1U << COAT_DIALECT_NGINX},
    {"X-Forwarded-Method", FACT_METHOD, FORWARDED},
    {"X-Forwarded-Uri", FACT_TARGET, FORWARDED},
    {"X-Forwarded-Host", FACT_HOST, FORWARDED},
    {"X-Forwarded-Proto", FACT_PROTO, ~0U},
    {"X-Forwarded-For", FACT_FOR, ~0U},
#undef FORWARDED
};

/** The fields of a request, sorted by what they say. */
typedef struct gathered {
    coat_span single[FACT_SINGLE]; /* of our dialect */
    coat_span other[FACT_SINGLE];  /* of the other dialects: believed by nobody, but compared */
    bool repeated;
    coat_span chain[LINES_MAX]; /* the last lines of X-Forwarded-For, a ring */
    size_t chain_count;
} gathered;

static const struct field_name *
name_find(coat_span name)
{
    if (name.len == 0 || coat_ascii_lower(name.ptr[0]) != 'x')
        return NULL;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (coat_span_is_nocase(name, coat_span_of(names[i].name)))
            return &names[i];
    return NULL;
}

static void
gather(coat_dialect dialect, const coat_field *fields, size_t count, gathered *out)
{
    for (size_t i = 0; i < count; i++) {
        const struct field_name *known = name_find(fields[i].name);
        coat_span *slot;

        if (known == NULL)
            continue;
        if (known->fact == FACT_FOR) {
            out->chain[out->chain_count++ % LINES_MAX] = fields[i].value;
            continue;
        }
        if ((known->dialects & 1U << dialect) == 0) {
            out->other[known->fact] = fields[i].value;
            continue;
        }
        slot = &out->single[known->fact];
        out->repeated |= slot->ptr != NULL;
        *slot = fields[i].value;
        if (slot->ptr == NULL) /* present, though the parser had nothing to point at */
            slot->ptr = (const uint8_t *)"";
    }
}

static bool
method_is_good(coat_span method)
{
    return method.len <= METHOD_MAX && coat_span_is_token(method);
}

static bool
target_is_good(coat_span target)
{
    return target.len > 0 && target.len <= TARGET_MAX && coat_span_is_visible(target) &&
           (target.ptr[0] == '/' || coat_span_is(target, COAT_LIT("*")));
}

static bool
host_is_good(coat_span host)
{
    for (size_t i = 0; i < host.len; i++)
        if (!coat_char_is_alnum(host.ptr[i]) && strchr("-._:[]", host.ptr[i]) == NULL)
            return false;
    return host.len > 0 && host.len <= HOST_MAX && coat_span_find(host, '\0') == host.len;
}

/* Traefik says wss and ws for WebSocket handshakes. A list is not a value but two opinions. */
static bool
proto_read(coat_span proto, bool *tls)
{
    *tls = coat_span_is_nocase(proto, COAT_LIT("https")) ||
           coat_span_is_nocase(proto, COAT_LIT("wss"));
    return *tls || coat_span_is_nocase(proto, COAT_LIT("http")) ||
           coat_span_is_nocase(proto, COAT_LIT("ws"));
}

/* A client's field of the other dialect passes through a proxy that does not know it. If it
 * disagrees about what was asked, then either the client lies or the listener is configured
 * for the wrong proxy, and then ours is the lie. */
static bool
agrees(coat_span ours, coat_span other)
{
    return ours.ptr == NULL || other.ptr == NULL || coat_span_is(ours, other);
}

static coat_err
read_request(const gathered *in, coat_forward *out)
{
    const coat_span *single = in->single;

    if (in->repeated)
        return COAT_MALFORMED;
    if (single[FACT_PROTO].ptr != NULL && !proto_read(single[FACT_PROTO], &out->tls))
        return COAT_MALFORMED;
    if ((single[FACT_METHOD].ptr != NULL && !method_is_good(single[FACT_METHOD])) ||
        (single[FACT_TARGET].ptr != NULL && !target_is_good(single[FACT_TARGET])) ||
        (single[FACT_HOST].ptr != NULL && !host_is_good(single[FACT_HOST])))
        return COAT_MALFORMED;
    if (!agrees(single[FACT_METHOD], in->other[FACT_METHOD]) ||
        !agrees(single[FACT_TARGET], in->other[FACT_TARGET]))
        return COAT_MALFORMED;
    out->method = single[FACT_METHOD];
    out->target = single[FACT_TARGET];
    out->host = single[FACT_HOST];
    return COAT_OK;
}

static bool
is_trusted(const coat_forward_conf *conf, const coat_address *address)
{
    if (!address->known)
        return false;
    for (size_t i = 0; i < conf->trusted_count; i++)
        if (coat_network_has(&conf->trusted[i], address))
            return true;
    return false;
}

static bool
port_is_good(coat_span port)
{
    for (size_t i = 0; i < port.len; i++)
        if (!coat_char_is_digit(port.ptr[i]))
            return false;
    return port.len > 0 && port.len <= 5;
}

/* Some proxies write "192.0.2.1:443" and "[2001:db8::1]:443"; a bare IPv6 has no port. */
static coat_err
hop_parse(coat_span hop, coat_address *out)
{
    size_t end = coat_span_find(hop, ']'), colon = coat_span_find(hop, ':');
    coat_span inner = hop;

    if (hop.len > 0 && hop.ptr[0] == '[') {
        if (end == hop.len)
            return COAT_MALFORMED;
        inner = coat_span_slice(hop, 1, end);
        if (coat_span_find(inner, ':') == inner.len ||
            (end + 1 < hop.len && (hop.ptr[end + 1] != ':' ||
                                   !port_is_good(coat_span_slice(hop, end + 2, hop.len)))))
            return COAT_MALFORMED;
    } else if (colon < hop.len && coat_span_find(hop, '.') < colon) {
        if (!port_is_good(coat_span_slice(hop, colon + 1, hop.len)))
            return COAT_MALFORMED;
        inner = coat_span_slice(hop, 0, colon);
    }
    return coat_address_parse(inner, out);
}

/* The last element of *rest; *rest becomes {NULL, 0} when it was the first one too. */
static coat_span
last_element(coat_span *rest)
{
    coat_span element;
    size_t from = rest->len;

    while (from > 0 && rest->ptr[from - 1] != ',')
        from--;
    element = coat_span_trim(coat_span_slice(*rest, from, rest->len));
    *rest = from > 0 ? coat_span_slice(*rest, 0, from - 1) : (coat_span){NULL, 0};
    return element;
}

static void
walk_chain(const coat_forward_conf *conf, const gathered *in, coat_forward *out)
{
    size_t lines = in->chain_count < LINES_MAX ? in->chain_count : LINES_MAX;
    size_t hops = 0;

    for (size_t i = 0; i < lines; i++) {
        coat_span rest = in->chain[(in->chain_count - 1 - i) % LINES_MAX];

        do {
            coat_address hop;

            if (rest.ptr == NULL || hop_parse(last_element(&rest), &hop) != COAT_OK)
                return;
            out->client = hop;
            if (!is_trusted(conf, &hop) || ++hops == COAT_FORWARD_HOPS_MAX)
                return;
        } while (rest.ptr != NULL);
    }
}

coat_err
coat_forward_read(const coat_forward_conf *conf, const coat_address *peer,
                  const coat_field *fields, size_t count, coat_span own_method,
                  coat_span own_target, coat_span own_host, coat_forward *out)
{
    coat_forward result = {.client = *peer};
    gathered in = {0};
    coat_err err;

    result.trusted = conf->dialect != COAT_DIALECT_NONE &&
                     (peer->known ? is_trusted(conf, peer) : conf->trust_unix);
    if (result.trusted) {
        if (conf->dialect == COAT_DIALECT_ENVOY) {
            in.single[FACT_METHOD] = own_method;
            in.single[FACT_TARGET] = own_target;
            in.single[FACT_HOST] = own_host;
        }
        gather(conf->dialect, fields, count, &in);
        err = read_request(&in, &result);
        if (err != COAT_OK)
            return err;
        walk_chain(conf, &in, &result);
    }
    *out = result;
    return COAT_OK;
}
