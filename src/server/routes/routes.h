/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_SERVER_ROUTES_ROUTES_H
#define COAT_SERVER_ROUTES_ROUTES_H

/**
 * The public routes, below server.base-path. A row without flags is protected: an unsafe method
 * needs a live session, the origin policy, and a CSRF token of that session (CS-1).
 */

#include "server/app/visit.h"
#include <coatcheck/assertion.h>

/** Handlers find a live session in their visit; without one: sign in first. */
#define COAT_ROUTE_SESSION (COAT_HTTP_FLAG_USER << 0)
/** As SESSION, and authenticated in the last five minutes (LC-12); else step-up. */
#define COAT_ROUTE_FRESH (COAT_HTTP_FLAG_USER << 1)
/** The handler checks the CSRF token itself: there may be no session to bind one to. */
#define COAT_ROUTE_OWN_CSRF (COAT_HTTP_FLAG_USER << 2)
/** A live session that needs a step-up will do (the step-up itself, signing out). */
#define COAT_ROUTE_STEP_UP_OK (COAT_HTTP_FLAG_USER << 3)
/** Asked by a proxy on behalf of another request: no policy of its own. Changes nothing. */
#define COAT_ROUTE_VERIFY (COAT_HTTP_FLAG_USER << 4)
/** The same for everybody: no visit, no policy. Safe methods only. */
#define COAT_ROUTE_STATIC (COAT_HTTP_FLAG_USER << 5)
/** Answers preflights: no cookie is read, no session touched (CO-3). */
#define COAT_ROUTE_PREFLIGHT (COAT_HTTP_FLAG_USER << 6)
/**
 * Runs also when the store cannot say whether there is a session: the handler does what can be
 * done without it, and checks the CSRF token against the handle (SF-4).
 */
#define COAT_ROUTE_OUTAGE (COAT_HTTP_FLAG_USER << 7)

extern const coat_http_route coat_routes[];
extern const size_t coat_routes_count;

/** The policy hook of the router (policy.c). */
void coat_policy_hook(coat_http_request *req);
/**
 * As coat_visit_begin(), for questions that only the nginx module may ask.
 * @return NULL if the request has been answered; anybody else is told that there is no such
 * page
 */
coat_visit *coat_visit_begin_module(coat_http_request *req) COAT_MUST_USE;
/** The router's transport hook: did the client come by TLS, as far as a trusted proxy says? */
void coat_transport_hook(coat_http_request *req);
/** The error_page hook of the server (error_page.c); ctx: the coat_app. */
bool coat_error_page(void *ctx, coat_http_response *res, unsigned status, const char *code,
                     const char *message, const char *request_id);

/** CSRF token presented in header, form or JSON; DENIED if absent or contradictory. */
coat_err coat_csrf_presented(coat_visit *visit, coat_span *out) COAT_MUST_USE;
/** A fresh token of the visit's session into visit->csrf. */
coat_err coat_csrf_fresh(coat_visit *visit) COAT_MUST_USE;

/** The request's cookies but ours (cookies.c). false: over COAT_COOKIE_HEADER_MAX together */
bool coat_cookies_field(coat_http_response *res, const coat_http_request *req,
                        const coat_settings *set);

/**
 * Signed assertions (assertion.c). Does the configuration have the audience that was asked for?
 * Empty: none was, which is fine.
 */
bool coat_assertion_known(const coat_settings *set, coat_span asked);
/**
 * Add a freshly signed assertion to an answer that lets the request pass, if one was asked for.
 * who: user, roles, methods, handle and auth_ms are set, the rest is filled in here. ends_ms:
 * when the session ends by itself; an assertion does not outlive it. A session without a user
 * has none. The nginx module is told as well how many seconds it may keep the assertion.
 * @return false: it cannot be told, so the answer must not be 200
 */
bool coat_assertion_field(coat_http_response *res, coat_http_request *req,
                          const coat_settings *set, coat_span asked, coat_assertion *who,
                          int64_t ends_ms) COAT_MUST_USE;

void coat_route_verify(coat_http_request *req);
void coat_route_live(coat_http_request *req);
void coat_route_refused(coat_http_request *req);
void coat_route_login_page(coat_http_request *req);
void coat_route_login(coat_http_request *req);
void coat_route_logout(coat_http_request *req);
void coat_route_logout_all(coat_http_request *req);
void coat_route_session(coat_http_request *req);
void coat_route_csrf(coat_http_request *req);
void coat_route_sessions(coat_http_request *req);
void coat_route_session_end(coat_http_request *req);
void coat_route_reauth_page(coat_http_request *req);
void coat_route_reauth(coat_http_request *req);
void coat_route_password_page(coat_http_request *req);
void coat_route_password(coat_http_request *req);
void coat_route_asset(coat_http_request *req);
void coat_route_jwks(coat_http_request *req);
void coat_route_home(coat_http_request *req);
void coat_route_preflight(coat_http_request *req);

#endif
