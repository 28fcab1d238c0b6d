/* SPDX-License-Identifier: Apache-2.0 */
#include "server/routes/routes.h"

/* What a signed-out browser should forget (LC-8). "cookies" would reach beyond this host. */
static const char clear_site_data[] = "\"cache\", \"storage\"";

static void
signed_out(coat_visit *visit, const char *notice)
{
    const coat_pages *pages = visit->set->pages;
    coat_http_response *res;

    coat_session_free(visit->session);
    visit->session = NULL;
    visit->cookie_count = 0;
    coat_visit_delete_cookie(visit, &visit->set->cookie);
    visit->clear_site_data = clear_site_data;
    coat_meter_add(&visit->at->meter, COAT_METER_LOGOUTS, 1);
    if (!coat_http_wants_html(visit->req)) {
        res = coat_visit_reply(visit, 200);
        coat_visit_send_json(visit, res, json_pack("{s:b}", "signed_out", 1));
        return;
    }
    coat_visit_page(visit, 200, "message", "title_signed_out",
                    json_pack("{s:s,s:s,s:s}", "notice", coat_pages_text(pages, notice), "text",
                              coat_pages_text(pages, "text_signed_out"), "login",
                              visit->set->login_url));
}

static bool
has_ended(const coat_call *call)
{
    return call->result == COAT_OK || call->result == COAT_NO_SESSION;
}

/* SF-4: this is no success, but there is nothing left for the browser to do. So it forgets the
 * cookie, and is not asked to try again: without one that would look like a success. */
static void
without_store(coat_visit *visit, const char *code)
{
    visit->cookie_count = 0;
    coat_visit_delete_cookie(visit, &visit->set->cookie);
    visit->clear_site_data = clear_site_data;
    coat_visit_error(visit, 503, code);
}

static void
ended(coat_call *call)
{
    coat_visit *visit = call->ctx;

    if (has_ended(call))
        signed_out(visit, "notice_signed_out");
    else if (call->pending)
        without_store(visit, "sign_out_pending");
    else
        coat_visit_fail(visit, call->result, 0); /* not signed out: say so, keep the cookie */
}

/* By its token, which is what tells a sign-out from a revocation by somebody else. */
static void
end_own(coat_visit *visit, void (*done)(coat_call *call))
{
    memset(&visit->call, 0, sizeof visit->call);
    visit->call.token = visit->token;
    coat_visit_call(visit, COAT_CALL_END, done);
}

/* A token of ours among the cookies; `csrf`, if given, says which. */
static bool
find_token(coat_visit *visit, const coat_span *csrf)
{
    const coat_keys *keys = coat_app_keys(visit->at->app);

    for (uint32_t i = 0; i < visit->cookie.count && i < COAT_COOKIE_CANDIDATES; i++) {
        coat_span value = visit->cookie.value[i];
        coat_token token;
        bool fits;

        if (coat_token_open(value, coat_keys_tags(keys), &token) != COAT_OK)
            continue;
        fits = csrf == NULL || coat_csrf_check_handle(keys, &token.handle, *csrf) == COAT_OK;
        coat_token_wipe(&token);
        if (fits) {
            visit->token = value;
            return true;
        }
    }
    return false;
}

/* Without the record it is the handle that the CSRF token is held against. */
static bool
find_token_by_csrf(coat_visit *visit)
{
    coat_span csrf;

    return coat_csrf_presented(visit, &csrf) == COAT_OK && find_token(visit, &csrf);
}

static void
logout_without_session(coat_visit *visit)
{
    bool none = visit->identified == COAT_NO_SESSION || visit->identified == COAT_THROTTLED;

    /* Without a live session there is none to protect: the origin policy is enough. Its end may
     * still be under way, so what was ours is ended all the same. */
    if (find_token_by_csrf(visit) || (none && find_token(visit, NULL)))
        end_own(visit, ended);
    else if (none)
        signed_out(visit, "notice_signed_out");
    else
        coat_visit_fail(visit, visit->identified, 0);
}

/* Idempotent. */
void
coat_route_logout(coat_http_request *req)
{
    coat_visit *visit = coat_visit_of(req);
    coat_span token;

    if (visit->cookie.ambiguous) { /* one of them may live on: do not say that it has ended */
        coat_visit_delete_cookie(visit, &visit->set->cookie);
        coat_visit_error(visit, 400, "cookie_ambiguous");
        return;
    }
    if (visit->session == NULL) {
        logout_without_session(visit);
        return;
    }
    if (coat_csrf_presented(visit, &token) != COAT_OK ||
        coat_session_csrf_check(visit->at->app->engine, visit->session, token) != COAT_OK) {
        coat_visit_event(visit, COAT_EVENT_CSRF_REFUSED, "csrf_token_invalid");
        visit->cookie_count = 0;
        coat_visit_error(visit, 403, "csrf_token_invalid");
        return;
    }
    end_own(visit, ended);
}

/* Without its record a session may have been ended long ago: whoever still has its token may
 * end that one, and not all others of the user. Or there was no room to remember them. */
static void
ended_only_here(coat_call *call)
{
    coat_visit *visit = call->ctx;

    if (has_ended(call) || call->pending)
        without_store(visit, "sign_out_only_here");
    else
        coat_visit_fail(visit, call->result, 0);
}

static void
all_ended(coat_call *call)
{
    coat_visit *visit = call->ctx;

    if (has_ended(call))
        signed_out(visit, "notice_signed_out_all");
    else if (call->pending)
        without_store(visit, "sign_out_pending");
    else
        end_own(visit, ended_only_here);
}

void
coat_route_logout_all(coat_http_request *req)
{
    coat_visit *visit = coat_visit_of(req);
    coat_span user;

    if (visit->session == NULL) { /* the store cannot say whose it is */
        if (find_token_by_csrf(visit))
            end_own(visit, ended_only_here);
        else
            coat_visit_fail(visit, visit->identified, 0);
        return;
    }
    user = coat_session_record(visit->session)->user;
    if (user.len == 0) { /* nobody signed in: this session is all there is */
        end_own(visit, ended);
        return;
    }
    memset(&visit->call, 0, sizeof visit->call);
    visit->call.user = user;
    coat_visit_call(visit, COAT_CALL_END_USER, all_ended);
}
