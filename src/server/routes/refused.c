/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GET /auth/refused?why=csrf|cors, for the nginx module: it has refused a request by where that
 * came from, before any session was looked at. Here the refusal is put on record, beside all
 * others, and the answer for the client is made: always 403.
 */
#include "server/routes/routes.h"

/* @return false: the question is not understood */
static bool
read_why(coat_http_request *req, coat_event_type *type)
{
    const coat_params *params = NULL;
    coat_span why;

    if (!req->has_query || coat_http_query(req, &params) != COAT_OK || params->count != 1 ||
        !coat_params_get(params, "why", &why))
        return false;
    *type =
        coat_span_is(why, COAT_LIT("csrf")) ? COAT_EVENT_CSRF_REFUSED : COAT_EVENT_CORS_REFUSED;
    return coat_span_is(why, COAT_LIT("csrf")) || coat_span_is(why, COAT_LIT("cors"));
}

void
coat_route_refused(coat_http_request *req)
{
    coat_visit *visit = coat_visit_begin_module(req);
    coat_event_type type;

    if (visit == NULL)
        return;
    if (!read_why(req, &type)) {
        coat_visit_error(visit, 400, "bad_parameters");
        return;
    }
    coat_visit_event(visit, type, "gate");
    if (type == COAT_EVENT_CSRF_REFUSED)
        coat_meter_add(&visit->at->meter, COAT_METER_CSRF_REFUSED, 1);
    coat_visit_error(visit, 403, "origin_refused");
}
