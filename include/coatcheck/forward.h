/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COATCHECK_FORWARD_H
#define COATCHECK_FORWARD_H

/** Forwarding headers from proxies (FA-1, FA-2, FA-5). Pure; any thread. */

#include <coatcheck/base.h>

#define COAT_NETWORKS_MAX 64
#define COAT_FORWARD_HOPS_MAX 32 /* entries of X-Forwarded-For looked at */

/** An address: IPv4 is kept as IPv4-mapped IPv6, so that one comparison serves both. */
typedef struct coat_address {
    uint8_t bytes[16];
    bool known; /* false: a Unix socket peer or nothing */
} coat_address;

typedef struct coat_network {
    coat_address base;
    uint8_t prefix; /* 0 to 128, in the mapped form */
} coat_network;

/** Strict textual forms only (inet_pton); zone ids, ports and brackets are refused. */
COAT_API coat_err coat_address_parse(coat_span text, coat_address *out) COAT_MUST_USE;
/** buf of at least 46 bytes, NUL-terminated. */
COAT_API void coat_address_format(const coat_address *address, char *buf, size_t cap);
COAT_API bool coat_address_is_v4(const coat_address *address);
/** "10.0.0.0/8", "::1", "fd00::/8". 0.0.0.0/0 and ::/0 are refused (FA-1). */
COAT_API coat_err coat_network_parse(const char *text, coat_network *out) COAT_MUST_USE;
COAT_API bool coat_network_has(const coat_network *network, const coat_address *address);
/** Network of an address: v4_prefix of 32, v6_prefix of 128 bits; textual, "192.0.2.0/24". */
COAT_API void coat_address_mask(coat_address *address, unsigned v4_prefix, unsigned v6_prefix);

typedef enum coat_dialect {
    COAT_DIALECT_NONE = 0, /* no forwarding header is believed */
    COAT_DIALECT_NGINX, /* X-Original-Method, X-Original-URI, X-Original-Host, X-Forwarded-* */
    COAT_DIALECT_FORWARDED, /* X-Forwarded-Method, -Uri, -Host, -Proto, -For: Traefik, Caddy */
    COAT_DIALECT_ENVOY,     /* ext_authz: the request itself carries method, path, host */
    COAT_DIALECT_MODULE,    /* as FORWARDED: ngx_http_coatcheck_module */
} coat_dialect;

typedef struct coat_field {
    coat_span name;  /* as received; compared case-insensitively */
    coat_span value; /* without surrounding white space */
} coat_field;

typedef struct coat_forward_conf {
    coat_dialect dialect;
    const coat_network *trusted;
    size_t trusted_count;
    bool trust_unix; /* peers on a Unix socket are trusted */
} coat_forward_conf;

/** What the proxy was asked, after the dialect. Spans borrow from the fields. */
typedef struct coat_forward {
    bool trusted;        /* the direct peer may speak for others */
    coat_address client; /* FA-2: nearest hop outward, stops at untrusted or malformed */
    bool tls;            /* the client reached the trusted proxy over TLS */
    coat_span method, target, host; /* of the original request; empty if not forwarded */
} coat_forward;

/**
 * @param peer        direct peer; !known for a Unix socket
 * @param peer_tls    we terminated TLS ourselves (never, for the daemon)
 * @param own_method, own_target, own_host  of the request to us (dialect ENVOY)
 * @retval COAT_MALFORMED  conflicting or repeated method, path, host or proto fields from a
 *                         trusted peer: answer 400
 */
COAT_API coat_err coat_forward_read(const coat_forward_conf *conf, const coat_address *peer,
                                    const coat_field *fields, size_t count,
                                    coat_span own_method, coat_span own_target,
                                    coat_span own_host, coat_forward *out) COAT_MUST_USE;

/**
 * Encode a value for an identity header (FA-5): visible ASCII but '%' stays, all else is %XX.
 * NUL-terminated; len counts without the NUL.
 * @retval COAT_TOO_LARGE  over 1 KiB encoded
 */
#define COAT_IDENTITY_MAX 1024
#define COAT_IDENTITY_ALL_MAX 4096
COAT_API coat_err coat_identity_encode(coat_span value, char *buf, size_t cap,
                                       size_t *len) COAT_MUST_USE;

/** Coarse family of a User-Agent, "Firefox on Linux"; stable across versions (LC-13). */
COAT_API const char *coat_agent_family(coat_span agent);
/** First language tag of Accept-Language, lower case, at most 31 characters, NUL-terminated;
 *  empty if there is none. */
COAT_API size_t coat_language_first(coat_span accept_language, char *buf, size_t cap);

#endif
