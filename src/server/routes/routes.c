/* SPDX-License-Identifier: Apache-2.0 */
#include "server/routes/routes.h"

#define FORM_OR_JSON (COAT_HTTP_TAKES_FORM | COAT_HTTP_TAKES_JSON)
#define ANY_OR_NONE (FORM_OR_JSON | COAT_HTTP_TAKES_NONE)
#define VERIFY_ALL (COAT_ROUTE_VERIFY | COAT_HTTP_RAW_REST | ANY_OR_NONE)

/* Envoy asks with the method of the original request, and its path behind ours. */
#define ENVOY(method)                                                                          \
    {                                                                                          \
        method, "/verify/*", VERIFY_ALL, coat_route_verify                                     \
    }

#define PREFLIGHT(pattern)                                                                     \
    {                                                                                          \
        COAT_HTTP_OPTIONS, pattern, COAT_ROUTE_PREFLIGHT, coat_route_preflight                 \
    }

const coat_http_route coat_routes[] = {
    {COAT_HTTP_GET, "/", COAT_ROUTE_SESSION, coat_route_home},
    {COAT_HTTP_GET, "/verify", COAT_ROUTE_VERIFY, coat_route_verify},
    {COAT_HTTP_GET, "/live", COAT_ROUTE_VERIFY, coat_route_live},
    {COAT_HTTP_GET, "/refused", COAT_ROUTE_VERIFY, coat_route_refused},
    ENVOY(COAT_HTTP_GET),
    ENVOY(COAT_HTTP_POST),
    ENVOY(COAT_HTTP_PUT),
    ENVOY(COAT_HTTP_PATCH),
    ENVOY(COAT_HTTP_DELETE),
    ENVOY(COAT_HTTP_OPTIONS),
    {COAT_HTTP_GET, "/login", COAT_ROUTE_OWN_CSRF, coat_route_login_page},
    {COAT_HTTP_POST, "/login", COAT_ROUTE_OWN_CSRF | FORM_OR_JSON, coat_route_login},
    {COAT_HTTP_POST, "/logout", COAT_ROUTE_OWN_CSRF | COAT_ROUTE_OUTAGE | ANY_OR_NONE,
     coat_route_logout},
    {COAT_HTTP_POST, "/logout-all", COAT_ROUTE_OUTAGE | ANY_OR_NONE, coat_route_logout_all},
    {COAT_HTTP_GET, "/session", COAT_ROUTE_SESSION, coat_route_session},
    {COAT_HTTP_GET, "/csrf", COAT_ROUTE_SESSION | COAT_ROUTE_STEP_UP_OK, coat_route_csrf},
    {COAT_HTTP_GET, "/sessions", COAT_ROUTE_FRESH, coat_route_sessions},
    {COAT_HTTP_POST, "/sessions/{handle}/end", COAT_ROUTE_FRESH | ANY_OR_NONE,
     coat_route_session_end},
    {COAT_HTTP_GET, "/reauth", COAT_ROUTE_SESSION | COAT_ROUTE_STEP_UP_OK,
     coat_route_reauth_page},
    {COAT_HTTP_POST, "/reauth", COAT_ROUTE_STEP_UP_OK | FORM_OR_JSON, coat_route_reauth},
    {COAT_HTTP_GET, "/password", COAT_ROUTE_FRESH, coat_route_password_page},
    {COAT_HTTP_POST, "/password", COAT_ROUTE_FRESH | FORM_OR_JSON, coat_route_password},
    {COAT_HTTP_GET, "/assets/{name}", COAT_ROUTE_STATIC, coat_route_asset},
    {COAT_HTTP_GET, "/jwks.json", COAT_ROUTE_STATIC, coat_route_jwks},
    PREFLIGHT("/login"),
    PREFLIGHT("/logout"),
    PREFLIGHT("/logout-all"),
    PREFLIGHT("/session"),
    PREFLIGHT("/csrf"),
    PREFLIGHT("/sessions"),
    PREFLIGHT("/sessions/{handle}/end"),
    PREFLIGHT("/reauth"),
    PREFLIGHT("/password"),
};
const size_t coat_routes_count = sizeof coat_routes / sizeof coat_routes[0];
