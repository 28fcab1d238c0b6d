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

static void
ended(coat_call *call)
{
    coat_visit *visit = call->ctx;

    if (call->result != COAT_OK && call->result != COAT_NO_SESSION)
        coat_visit_fail(visit, call->result, 0); /* not signed out: say so, keep the cookie */
    else
        signed_out(visit,
                   call->op == COAT_CALL_END ? "notice_signed_out" : "notice_signed_out_all");
}

/* By its token, which is what tells a sign-out from a revocation by somebody else. */
static void
end_own(coat_visit *visit)
{
    memset(&visit->call, 0, sizeof visit->call);
    visit->call.token = visit->token;
    coat_visit_call(visit, COAT_CALL_END, ended);
}

/* Idempotent. Without a live session there is none to protect: the origin policy is enough. */
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
        signed_out(visit, "notice_signed_out");
        return;
    }
    if (coat_csrf_presented(visit, &token) != COAT_OK ||
        coat_session_csrf_check(visit->at->app->engine, visit->session, token) != COAT_OK) {
        coat_visit_event(visit, COAT_EVENT_CSRF_REFUSED, "csrf_token_invalid");
        visit->cookie_count = 0;
        coat_visit_error(visit, 403, "csrf_token_invalid");
        return;
    }
    end_own(visit);
}

void
coat_route_logout_all(coat_http_request *req)
{
    coat_visit *visit = coat_visit_of(req);
    coat_span user = coat_session_record(visit->session)->user;

    if (user.len == 0) { /* nobody signed in: this session is all there is */
        end_own(visit);
        return;
    }
    memset(&visit->call, 0, sizeof visit->call);
    visit->call.user = user;
    coat_visit_call(visit, COAT_CALL_END_USER, ended);
}
