/* SPDX-License-Identifier: Apache-2.0 */
/* Who am I, and the CSRF token, for scripts. */
#include "server/app/words.h"
#include "server/routes/routes.h"

void
coat_route_session(coat_http_request *req)
{
    coat_visit *visit = coat_visit_of(req);
    const coat_record *r = coat_session_record(visit->session);
    int64_t now = coat_engine_now_ms(visit->at->app->engine);
    json_t *json = json_pack(
        "{s:o,s:o,s:o,s:b,s:I,s:I,s:I,s:I,s:I}", "user",
        r->user.len > 0 ? json_stringn((const char *)r->user.ptr, r->user.len) : json_null(),
        "roles", coat_words_json(r->roles), "methods", coat_words_json(r->methods), "remember",
        (r->flags & COAT_RECORD_REMEMBER) != 0, "created_ms", (json_int_t)r->created_ms,
        "authenticated_ms", (json_int_t)r->auth_ms, "age_ms", (json_int_t)(now - r->created_ms),
        "idle_ends_ms", (json_int_t)(coat_session_seen_ms(visit->session) + r->idle_ms),
        "ends_ms", (json_int_t)coat_session_ends_ms(visit->session));

    coat_visit_send_json(visit, coat_visit_reply(visit, 200), json);
}

void
coat_route_csrf(coat_http_request *req)
{
    coat_visit *visit = coat_visit_of(req);
    coat_err err = coat_csrf_fresh(visit);

    if (err != COAT_OK)
        coat_visit_fail(visit, err, 0);
    else
        coat_visit_send_json(visit, coat_visit_reply(visit, 200),
                             json_pack("{s:s}", "csrf", visit->csrf));
}

static void
set_time(const coat_visit *visit, json_t *data, const char *iso_key, const char *text_key,
         int64_t when_ms)
{
    char iso[24], text[64];

    coat_iso_time(when_ms, iso);
    coat_pages_ago(visit->set->pages, when_ms, coat_engine_now_ms(visit->at->app->engine), text,
                   sizeof text);
    (void)json_object_set_new(data, iso_key, json_string(iso));
    (void)json_object_set_new(data, text_key, json_string(text));
}

/* The page that an application links to: who I am, and the way out. */
void
coat_route_home(coat_http_request *req)
{
    coat_visit *visit = coat_visit_of(req);
    const coat_record *r = coat_session_record(visit->session);
    json_t *data;

    if (r->user.len == 0) {
        coat_visit_ask_login(visit);
        return;
    }
    if (coat_csrf_fresh(visit) != COAT_OK) {
        coat_visit_fail(visit, COAT_RNG_FAILED, 0);
        return;
    }
    data = json_pack("{s:s,s:s%}", "csrf", visit->csrf, "user", r->user.ptr, r->user.len);
    if (data != NULL) {
        set_time(visit, data, "created_iso", "created_text", r->created_ms);
        set_time(visit, data, "ends_iso", "ends_text", coat_session_ends_ms(visit->session));
    }
    coat_visit_page(visit, 200, "account", "title_account", data);
}
