/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_SERVER_APP_VISIT_H
#define COAT_SERVER_APP_VISIT_H

/**
 * One request to a public route: who asks, from where, with which session; and its answer.
 *
 * A visit lives in the request's arena. It ends with exactly one of coat_visit_send(),
 * coat_visit_error(), coat_visit_redirect(), which also release what it holds.
 */

#include "account/text.h"
#include "server/app/app.h"
#include <coatcheck/target.h>

#define COAT_VISIT_COOKIES 3
#define COAT_AUTH_FRESH_MS (5 * 60 * 1000) /* LC-12: before sensitive actions */

typedef struct coat_visit coat_visit;
struct coat_visit {
    coat_audit_origin origin; /* first: audit events take it from the ctx of calls */
    coat_http_request *req;
    coat_app_loop *at;
    const coat_settings *set;
    coat_forward forward;
    coat_site_facts facts;
    coat_cors_answer cors;
    coat_context context;
    coat_cookie_found cookie;
    coat_session *session; /* live, or stepped down: see step_up */
    coat_span token;       /* that named it: borrowed from the request */
    bool step_up;          /* live, but a context change asks for the password again */
    bool has_cookie;       /* a session cookie was presented */
    int64_t auth_age_ms;
    coat_err identified; /* COAT_OK, STEP_UP, NO_SESSION, THROTTLED, or undecided */
    void (*then)(coat_visit *visit);
    coat_call call;
    coat_account_call account;
    coat_epochs epochs;
    uint64_t begun_ns;
    char address[46], language[COAT_LANGUAGE_MAX], csrf[COAT_CSRF_CHARS + 1];
    coat_name name; /* of who wants to sign in */
    char target[COAT_TARGET_MAX + 1];
    char cookies[COAT_VISIT_COOKIES][2 * COAT_COOKIE_LINE_MAX];
    size_t cookie_len[COAT_VISIT_COOKIES], cookie_count;
    /* for routes */
    json_t *list;
    const char *notice, *clear_site_data;
    coat_span new_password;
    bool keep_others;
    /* identify: the candidate values under a name without prefix */
    uint32_t candidate;
    coat_session *found;
    bool found_step_up;
    int64_t found_age_ms;
};

/**
 * Make the visit of a request: forwarding, site facts, client context.
 * @return NULL if the request has been answered (400 for contradicting forwarding fields)
 */
coat_visit *coat_visit_begin(coat_http_request *req);
static inline coat_visit *
coat_visit_of(const coat_http_request *req)
{
    return req->user;
}

/** Only what verify's fast path needs: forwarding and cookie. false: answered with 400. */
bool coat_forward_of(coat_http_request *req, coat_forward *out);

/**
 * Find the live session of the request, then call visit->then. Sets identified, session,
 * and the cookie to be sent if the secret rotated.
 */
void coat_visit_identify(coat_visit *visit, int64_t max_age_ms, bool background,
                         void (*then)(coat_visit *visit));

/** Start a call of the engine / directory for this visit; `done` gets call->ctx == visit. */
void coat_visit_call(coat_visit *visit, coat_call_op op, void (*done)(coat_call *call));
void coat_visit_account(coat_visit *visit, coat_account_op op,
                        void (*done)(coat_account_call *call));

void coat_visit_event(coat_visit *visit, coat_event_type type, const char *reason);

/** Cookies of the answer. */
void coat_visit_set_token(coat_visit *visit, coat_call *call);
/**
 * A call has made the session that this browser has from now on: take it over, with its cookie
 * and the known-client value, if there is a new one.
 */
void coat_visit_adopt(coat_visit *visit, coat_call *call);
/** Where this visitor wanted to go: the validated target, else the configured default. */
const char *coat_visit_destination(const coat_visit *visit);
void coat_visit_set_cookie(coat_visit *visit, const coat_cookie_conf *conf, coat_span value,
                           int64_t max_age_s);
void coat_visit_delete_cookie(coat_visit *visit, const coat_cookie_conf *conf);

/** Begin an answer: the cookies, CORS and Vary fields of this visit included. */
coat_http_response *coat_visit_reply(coat_visit *visit, unsigned status);
void coat_visit_send(coat_visit *visit, coat_http_response *res, coat_http_type type,
                     coat_span body);
/** A JSON object; takes the reference. */
void coat_visit_send_json(coat_visit *visit, coat_http_response *res, json_t *json);
void coat_visit_redirect(coat_visit *visit, const char *location);
void coat_visit_error(coat_visit *visit, unsigned status, const char *code);
void coat_visit_send_error(coat_visit *visit, coat_http_response *res, const char *code);
/** What an undecided or refused call means for the client: 503, 429, 401 ... */
void coat_visit_fail(coat_visit *visit, coat_err err, uint32_t retry_after_s);

/** Show a page; data is taken. status 200, or the error's. */
void coat_visit_page(coat_visit *visit, unsigned status, const char *page, const char *title,
                     json_t *data);
/** Send the visitor to sign in (or again): a redirect for navigations, else 401 / 403. */
void coat_visit_ask_login(coat_visit *visit);
void coat_visit_ask_step_up(coat_visit *visit);

/** The validated return target of this request (query or form field "return"), or NULL. */
const char *coat_visit_target(coat_visit *visit, const coat_params *params);
/** Parameters of query or form; answers 400 / 415 itself and gives NULL. */
const coat_params *coat_visit_query(coat_visit *visit);
const coat_params *coat_visit_form(coat_visit *visit);
json_t *coat_visit_json(coat_visit *visit);

#endif
