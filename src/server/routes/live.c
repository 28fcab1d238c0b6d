/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GET /auth/live, for the nginx module: a connection goes on for long; has the session that it
 * began with ended?
 *
 *   200  it has not, and the node table has it now: the next look needs no asking
 *   404  it has ended, or never was
 *   503  cannot tell
 *
 * Asked with the cookies that the connection came with, whose secret may be an old one by now.
 * Only whoever may speak for clients can ask: told to anybody, the answer would let a thief
 * watch over a session without being noticed. Not a request of the visitor's: no activity, no
 * rotation, no Set-Cookie, nothing in the audit log.
 */
#include "server/routes/routes.h"

static void try_next(coat_visit *visit);

static void
say(coat_visit *visit, unsigned status)
{
    coat_visit_send(visit, coat_visit_reply(visit, status), COAT_HTTP_EMPTY,
                    (coat_span){NULL, 0});
}

static void
answered(coat_call *call)
{
    coat_visit *visit = call->ctx;

    if (call->result == COAT_OK) {
        say(visit, 200);
    } else if (call->result == COAT_NO_SESSION) {
        visit->candidate++;
        try_next(visit);
    } else {
        coat_visit_fail(visit, call->result, 0);
    }
}

/* Under a cookie name without prefix there may be several; one of them was live. */
static void
try_next(coat_visit *visit)
{
    if (visit->candidate == visit->cookie.count) {
        say(visit, 404);
        return;
    }
    memset(&visit->call, 0, sizeof visit->call);
    visit->call.token = visit->cookie.value[visit->candidate];
    coat_visit_call(visit, COAT_CALL_ALIVE, answered);
}

void
coat_route_live(coat_http_request *req)
{
    coat_visit *visit = coat_visit_begin_module(req);

    if (visit == NULL)
        return;
    if (req->has_query)
        coat_visit_error(visit, 400, "bad_parameters");
    else if (visit->cookie.ambiguous)
        say(visit, 404);
    else
        try_next(visit);
}
