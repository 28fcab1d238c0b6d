/* SPDX-License-Identifier: Apache-2.0 */
#include "core/chars.h"
#include "core/origin.h"
#include "core/out.h"

enum { CORS_MAX_AGE_S = 600 };

static bool
list_has(const char *list, coat_span wanted, bool nocase)
{
    coat_span rest = coat_span_of(list), element;

    while (coat_span_split(&rest, ',', &element))
        if (nocase ? coat_span_is_nocase(element, wanted) : coat_span_is(element, wanted))
            return wanted.len > 0;
    return false;
}

static bool
list_has_all(const char *list, coat_span wanted)
{
    coat_span element;

    while (coat_span_split(&wanted, ',', &element))
        if (element.len > 0 && !list_has(list, element, true))
            return false;
    return true;
}

/* HEAD is GET without the body, so whoever lists GET means both. */
static bool
method_is_listed(const coat_cors_policy *policy, coat_span method)
{
    return list_has(policy->methods, method, false) ||
           (coat_span_is(method, COAT_LIT("HEAD")) &&
            list_has(policy->methods, COAT_LIT("GET"), false));
}

/* Our own pages send "Origin: null" from forms (see coat_site_check); the browser's word that
 * they are same-origin keeps them out of CORS. */
static bool
is_own(const coat_origins *own, const coat_site_facts *facts)
{
    if (coat_span_is(facts->origin, COAT_LIT("null")))
        return coat_span_is(facts->fetch_site, COAT_LIT("same-origin"));
    return coat_origins_match(own, facts->origin) != NULL;
}

void
coat_cors_decide(const coat_cors_policy *policy, const coat_origins *own,
                 const coat_site_facts *facts, coat_span request_method,
                 coat_span request_headers, coat_cors_answer *out)
{
    bool preflight =
        request_method.ptr != NULL && coat_span_is(facts->method, COAT_LIT("OPTIONS"));
    const char *match;

    *out = (coat_cors_answer){.verdict = COAT_CORS_NONE};
    if (policy == NULL || policy->allowed.count == 0)
        return;
    out->vary_origin = true;
    if (facts->origin_repeated) {
        out->verdict = COAT_CORS_REFUSED;
        return;
    }
    if (facts->origin.ptr == NULL || is_own(own, facts))
        return;
    out->verdict = COAT_CORS_REFUSED;
    match = coat_origins_match(&policy->allowed, facts->origin);
    if (match == NULL || !method_is_listed(policy, preflight ? request_method : facts->method))
        return;
    if (preflight && !list_has_all(policy->headers, request_headers))
        return;
    out->verdict = preflight ? COAT_CORS_PREFLIGHT : COAT_CORS_ACTUAL;
    out->allow_origin = match;
}

static coat_err
refuse(char *message, size_t cap, const char *text, const char *value)
{
    coat_out out = coat_out_init(message, cap);

    coat_out_str(&out, text);
    coat_out_str(&out, value);
    (void)coat_out_end(&out);
    return COAT_INVALID;
}

/* With credentials a "*" would be a literal name, which nobody can mean. */
static bool
list_is_good(const char *list, bool lower)
{
    coat_span rest = coat_span_of(list), element;

    if (rest.len == 0)
        return true;
    while (coat_span_split(&rest, ',', &element)) {
        if (!coat_span_is_token(element) || coat_span_find(element, '*') < element.len)
            return false;
        for (size_t i = 0; lower && i < element.len; i++)
            if (coat_ascii_lower(element.ptr[i]) != element.ptr[i])
                return false;
    }
    return true;
}

coat_err
coat_cors_check(const coat_cors_policy *policy, char *message, size_t cap)
{
    if (policy->allowed.count > COAT_ORIGINS_MAX)
        return refuse(message, cap, "origins: at most 64 can be listed", "");
    for (size_t i = 0; i < policy->allowed.count; i++)
        if (coat_origin_check(policy->allowed.list[i], message, cap) != COAT_OK)
            return COAT_INVALID;
    if (!list_is_good(policy->methods, false))
        return refuse(message, cap, "methods must be a list of method names such as ",
                      "\"GET, POST\", without *");
    if (!list_is_good(policy->headers, true))
        return refuse(message, cap, "headers must be a list of lower-case field names such as ",
                      "\"content-type, x-csrf-token\", without *");
    if (!list_is_good(policy->exposed, false))
        return refuse(message, cap, "exposed must be a list of field names, without *", "");
    if (policy->max_age_s < 0 || policy->max_age_s > CORS_MAX_AGE_S)
        return refuse(message, cap, "max-age must be from 0 to 600 seconds", "");
    return COAT_OK;
}
