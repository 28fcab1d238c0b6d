/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COATCHECK_COOKIE_H
#define COATCHECK_COOKIE_H

/** Cookie parsing and serializing after RFC 6265bis. Pure; no allocation; any thread. */

#include <coatcheck/base.h>

#define COAT_COOKIE_NAME_MAX 64
#define COAT_COOKIE_HEADER_MAX 8192 /* all Cookie lines of a request together */
#define COAT_COOKIE_LINE_MAX 256    /* one Set-Cookie line of the session cookie (CK-5) */
#define COAT_COOKIE_CANDIDATES 4    /* values tried under a name without prefix (CK-3) */

typedef enum coat_samesite {
    COAT_SAMESITE_LAX = 0, /* never omitted */
    COAT_SAMESITE_STRICT,
    COAT_SAMESITE_NONE,
} coat_samesite;

/** How the session cookie looks. Zeroed and with a name: Secure is off, check before use. */
typedef struct coat_cookie_conf {
    char name[COAT_COOKIE_NAME_MAX + 1]; /* default "__Host-id" */
    char domain[254];                    /* empty: host-only (default) */
    char path[256];                      /* default "/" */
    bool secure;                         /* default true */
    bool partitioned;                    /* CHIPS; needs secure */
    coat_samesite samesite;
    bool share_domain; /* the explicit switch that allows domain */
} coat_cookie_conf;

COAT_API void coat_cookie_default(coat_cookie_conf *conf);

/**
 * Refuse what contradicts the prefix and scope rules (CK-2): __Host- with domain, other path
 * or no secure; __Secure- without secure; a prefix in other letter case; SameSite=None or
 * Partitioned without secure; domain without share_domain, or on a public suffix (libpsl is not
 * needed: a built-in rule refuses single labels and IP addresses; the caller may pass a
 * predicate); a name that is not an RFC 9110 token; lines over their limits.
 * @param is_public_suffix  may be NULL
 * @param message  at least 160 bytes: what is wrong and what would be right
 */
COAT_API coat_err coat_cookie_check(const coat_cookie_conf *conf,
                                    bool (*is_public_suffix)(const char *domain), char *message,
                                    size_t cap) COAT_MUST_USE;

/** Cursor over the pairs of one Cookie header line. Double quotes belong to the value. */
typedef struct coat_cookie_iter {
    coat_span rest;
} coat_cookie_iter;

COAT_API void coat_cookie_iter_init(coat_cookie_iter *iter, coat_span line);
/** @return false at the end. Pairs without "=" have an empty name, as in RFC 6265bis 5.6. */
COAT_API bool coat_cookie_next(coat_cookie_iter *iter, coat_span *name, coat_span *value);

/** Result of looking for the session cookie in all Cookie lines of a request. */
typedef struct coat_cookie_found {
    coat_span value[COAT_COOKIE_CANDIDATES];
    uint32_t count; /* how many values stand under the name, also beyond the array */
    bool ambiguous; /* deny: >1 under a __Host- name, > COAT_COOKIE_CANDIDATES elsewhere */
} coat_cookie_found;

/** Collect; names compare case-sensitively. Lines over COAT_COOKIE_HEADER_MAX: ambiguous. */
COAT_API void coat_cookie_find(const coat_cookie_conf *conf, const coat_span *lines,
                               size_t line_count, coat_cookie_found *out);

/**
 * Serialize one Set-Cookie field value (no field name, no CRLF), NUL-terminated; len counts
 * without the NUL. At most COAT_COOKIE_LINE_MAX bytes.
 * @param max_age_s  < 0: a cookie for the browser session (no Max-Age, no Expires); capped at
 *                   400 days; 0 is refused, use coat_cookie_delete
 * @retval COAT_TOO_LARGE
 * @retval COAT_MALFORMED  an empty value, or one with a byte that cookies cannot hold
 */
COAT_API coat_err coat_cookie_set(const coat_cookie_conf *conf, coat_span value,
                                  int64_t max_age_s, char *buf, size_t cap,
                                  size_t *len) COAT_MUST_USE;
/** The same attributes with Max-Age=0 and a past Expires (CK-6). */
COAT_API coat_err coat_cookie_delete(const coat_cookie_conf *conf, char *buf, size_t cap,
                                     size_t *len) COAT_MUST_USE;

/**
 * Copy a Cookie line without the pairs of the given names, all others byte-exact (FA-7).
 * buf needs line.len bytes. @return bytes written
 */
COAT_API size_t coat_cookie_strip(coat_span line, const coat_span *names, size_t count,
                                  char *buf);

/** What that leaves of a line, without a copy where it is one piece of the line: ours were at
 * one of its ends, or not there. */
typedef struct coat_cookie_rest {
    coat_span piece; /* {NULL, 0}: nothing is left */
    bool scattered;  /* it is several pieces, of which piece says nothing */
} coat_cookie_rest;

/**
 * Both in one walk: coat_cookie_find() for the first of the names, and what is left of each
 * line without the pairs of all of them, however many lines there are and however long.
 * @param count  at least 1
 * @param rests  room for line_count; or NULL
 */
COAT_API void coat_cookie_survey(const coat_span *names, size_t count, const coat_span *lines,
                                 size_t line_count, coat_cookie_found *found,
                                 coat_cookie_rest *rests);

#endif
