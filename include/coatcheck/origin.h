/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COATCHECK_ORIGIN_H
#define COATCHECK_ORIGIN_H

/** Origin, Fetch Metadata and CORS policy (CS-4, CS-5, CO-1 to CO-3). Pure; any thread. */

#include <coatcheck/base.h>

#define COAT_ORIGIN_MAX 300 /* "https://" host ":" port */
#define COAT_ORIGINS_MAX 64

/** Origins as configured: canonical serialization, lower case, default port left out. */
typedef struct coat_origins {
    const char *const *list;
    size_t count;
} coat_origins;

/**
 * Check one configured origin: scheme http or https, host in ASCII lower case (IDN as
 * A-labels), no default port, no path, userinfo, pattern or trailing dot.
 * @param message what is wrong and what would be right
 */
COAT_API coat_err coat_origin_check(const char *origin, char *message,
                                    size_t cap) COAT_MUST_USE;

/** Header facts of a request; absent fields are {NULL, 0}; repeated ones set the flag. */
typedef struct coat_site_facts {
    coat_span method;
    coat_span origin;
    coat_span referer;
    coat_span fetch_site;
    coat_span fetch_mode;
    coat_span fetch_dest;
    coat_span accept;
    coat_span content_type;
    bool origin_repeated; /* also for referer and the Sec-Fetch fields */
    bool any_fetch;       /* some Sec-Fetch-* field is present */
} coat_site_facts;

typedef struct coat_site_policy {
    coat_origins own;     /* our own origins: from configuration, never from Host */
    bool allow_same_site; /* accept Sec-Fetch-Site: same-site for unsafe methods */
} coat_site_policy;

/** GET, HEAD and OPTIONS are safe; every other token is not. Case-sensitive. */
COAT_API bool coat_method_is_safe(coat_span method);

/**
 * May this request change state, judging by where it comes from? Safe methods: yes. Else
 * Sec-Fetch-Site decides (cross-site, same-site: no), then Origin, then Referer; with neither
 * (or Origin "null"), Sec-Fetch-Site: same-origin, or application/json without any Sec-Fetch-*
 * field. A request that coat_cors_decide() found ACTUAL is not ours and not asked about here.
 * @retval COAT_DENIED
 */
COAT_API coat_err coat_site_check(const coat_site_facts *facts,
                                  const coat_site_policy *policy) COAT_MUST_USE;

/** A top-level navigation (redirect it) rather than a fetch (answer 401)? */
COAT_API bool coat_is_navigation(const coat_site_facts *facts);

typedef struct coat_cors_policy {
    coat_origins allowed; /* empty: no CORS at all */
    const char *methods;  /* "GET, POST" */
    const char *headers;  /* lower case, ", " between: "content-type, x-csrf-token" */
    const char *exposed;  /* may be empty */
    int32_t max_age_s;    /* at most 600 */
} coat_cors_policy;

/**
 * Check a configured policy (CO-1): canonical origins, no patterns, no "*" in any list, max-age
 * within its limit.
 * @param message  at least 160 bytes: what is wrong and what would be right
 */
COAT_API coat_err coat_cors_check(const coat_cors_policy *policy, char *message,
                                  size_t cap) COAT_MUST_USE;

typedef enum coat_cors_verdict {
    COAT_CORS_REFUSED = 0, /* foreign origin: 403, no CORS headers, no side effect */
    COAT_CORS_NONE,        /* not a CORS request, or no policy: go on, no headers */
    COAT_CORS_ACTUAL,      /* allowed: go on, with headers */
    COAT_CORS_PREFLIGHT,   /* allowed preflight: answer 204 at once */
} coat_cors_verdict;

typedef struct coat_cors_answer {
    coat_cors_verdict verdict;
    bool vary_origin;         /* add Vary: Origin, whatever the verdict */
    const char *allow_origin; /* from the policy's list, never the request's bytes */
} coat_cors_answer;

/**
 * @param request_method   Access-Control-Request-Method, absent if not a preflight
 * @param request_headers  Access-Control-Request-Headers
 * An origin of our own is never treated as CORS.
 */
COAT_API void coat_cors_decide(const coat_cors_policy *policy, const coat_origins *own,
                               const coat_site_facts *facts, coat_span request_method,
                               coat_span request_headers, coat_cors_answer *out);

#endif
