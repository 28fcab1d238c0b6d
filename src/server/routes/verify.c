/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GET /auth/verify, for proxies: may this request pass, and who makes it?
 *
 *   200  go on; identity headers, perhaps one Set-Cookie (pass it to the client)
 *   401  nobody is signed in; X-Auth-Login names the page. Proxies that pass our answer on get
 *        a 302 to it for navigations; nginx's auth_request knows 401 and 403 only, so dialect
 *        nginx gets X-Auth-Redirect instead
 *   403  step-up required (X-Auth-Redirect likewise), or a role is missing
 *   503  cannot tell: never a sign-in page, the cookie stays
 *
 * Query: max_age=SECONDS, role=NAMES (separated by spaces, all of them needed),
 * background=yes, optional=yes (anonymous: 200, no identity), assertion=yes or
 * assertion=AUDIENCE (a signed assertion for that API as well), cookies=yes (the request's
 * cookies but ours as well); the last two for proxies only. Not understood whole: 400. Envoy
 * puts the path of the request behind ours, so it says the same in X-Auth-Require.
 *
 * The nginx module (dialect module) is told all of the identity, under names of its own: what
 * the application gets of it is set there.
 */
#include "core/chars.h"
#include "core/out.h"
#include "server/routes/routes.h"

#include <coatcheck/target.h>
#include <uv.h>

enum { DEMANDS_MAX = 512 /* of X-Auth-Require */ };

typedef struct verify_ask {
    int64_t max_age_ms;
    coat_span roles;    /* one space between two of them; empty: none needed */
    coat_span audience; /* of the assertion, as it was asked for; empty: none was */
    bool background, optional;
    bool cookies; /* tell the request's cookies but ours */
} verify_ask;

/** Who it is, from the node table or from a session. */
typedef struct identity {
    coat_span user, roles, methods;
    const coat_handle *handle;
    int64_t auth_ms, ends_ms;
} identity;

/* @return false if it is there and neither "yes" nor "no" */
static bool
parse_flag(const coat_params *params, const char *name, bool *out)
{
    coat_span value;

    if (!coat_params_get(params, name, &value))
        return true;
    *out = coat_span_is(value, COAT_LIT("yes"));
    return *out || coat_span_is(value, COAT_LIT("no"));
}

/* @return false if it is there and empty; which audiences there are says the configuration */
static bool
parse_audience(const coat_params *params, coat_span *out)
{
    coat_span value;

    if (!coat_params_get(params, "assertion", &value))
        return true;
    if (!coat_span_is(value, COAT_LIT("no")))
        *out = value;
    return value.len > 0;
}

/* The next of a list of roles; *rest is what follows it, NULL after the last one. */
static coat_span
next_role(coat_span *rest)
{
    size_t end = coat_span_find(*rest, ' ');
    coat_span role = coat_span_slice(*rest, 0, end);

    *rest = end < rest->len ? coat_span_slice(*rest, end + 1, rest->len) : (coat_span){0};
    return role;
}

static bool
roles_are_good(coat_span roles)
{
    if (roles.len == 0 || roles.len > COAT_ROLES_MAX)
        return false;
    while (roles.ptr != NULL)
        if (next_role(&roles).len == 0)
            return false;
    return true;
}

/* What is demanded; *out stays NULL where that is nothing. @return false: not understood */
static bool
find_demands(coat_http_request *req, coat_params *own, const coat_params **out)
{
    coat_http_found found;
    coat_span text;
    uint8_t *buf;

    if (!(req->route->flags & COAT_HTTP_RAW_REST))
        return !req->has_query || coat_http_query(req, out) == COAT_OK;
    found = coat_http_single(req, "X-Auth-Require", &text);
    if (found != COAT_HTTP_ONE)
        return found == COAT_HTTP_ABSENT;
    buf = text.len <= DEMANDS_MAX ? coat_http_alloc(req, text.len) : NULL;
    if (buf == NULL || coat_params_parse(text, buf, text.len, own) != COAT_OK)
        return false;
    *out = own;
    return true;
}

/* A question that is not understood whole gets no yes: a misspelt or empty role, a refused
 * "optional", must not let everybody in. */
static bool
parse_ask(coat_http_request *req, verify_ask *ask)
{
    const coat_params *params = NULL;
    coat_params own;
    coat_span value;
    int64_t seconds = 0;
    size_t known = 0;

    *ask = (verify_ask){0};
    if (!find_demands(req, &own, &params))
        return false;
    if (params == NULL)
        return true;
    if (coat_params_get(params, "max_age", &value)) {
        if (coat_integer_parse(value, &seconds) != COAT_OK || seconds < 1 ||
            seconds > 30 * 24 * 3600)
            return false;
        ask->max_age_ms = seconds * 1000;
        known++;
    }
    if (coat_params_get(params, "role", &ask->roles)) {
        if (!roles_are_good(ask->roles))
            return false;
        known++;
    }
    known += coat_params_get(params, "background", &value);
    known += coat_params_get(params, "optional", &value);
    known += coat_params_get(params, "assertion", &value);
    known += coat_params_get(params, "cookies", &value);
    return known == params->count && parse_flag(params, "background", &ask->background) &&
           parse_flag(params, "optional", &ask->optional) &&
           parse_flag(params, "cookies", &ask->cookies) &&
           parse_audience(params, &ask->audience);
}

static bool
has_role(coat_span roles, coat_span role)
{
    while (roles.ptr != NULL)
        if (coat_span_is(next_role(&roles), role))
            return true;
    return false;
}

static bool
has_roles(coat_span roles, coat_span needed)
{
    if (needed.len == 0)
        return true;
    while (needed.ptr != NULL)
        if (!has_role(roles, next_role(&needed)))
            return false;
    return true;
}

/** What the identity is told under; an empty name leaves one out. */
typedef struct identity_names {
    const char *user, *roles, *methods, *session, *time;
} identity_names;

/* The module knows these; identity.* is for proxies that pass on what we say (FA-5). */
static identity_names
names_for(const coat_http_request *req, const coat_config *config)
{
    const coat_listener_conf *listener = req->listener->user;

    if (listener->dialect == COAT_DIALECT_MODULE)
        return (identity_names){"X-Auth-User", "X-Auth-Roles", "X-Auth-Methods",
                                "X-Auth-Session", "X-Auth-Time"};
    return (identity_names){config->header_user, config->header_roles, config->header_methods,
                            config->header_session, config->header_time};
}

/* FA-5: encoded, each within its limit and all within theirs; false: deny. */
static bool
identity_fields(coat_http_response *res, const identity_names *names, const identity *who)
{
    char handle[COAT_HANDLE_CHARS];
    COAT_UNSET char buf[COAT_IDENTITY_MAX]; /* len bytes of it are written */
    size_t total = 0, len = 0;

    coat_handle_encode(who->handle, handle);
    const struct {
        const char *name;
        coat_span value;
    } fields[] = {
        {names->user, who->user},
        {names->roles, who->roles},
        {names->methods, who->methods},
        {names->session, {(uint8_t *)handle, sizeof handle}},
    };
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        if (fields[i].name[0] == '\0' || fields[i].value.len == 0)
            continue;
        if (coat_identity_encode(fields[i].value, buf, sizeof buf, &len) != COAT_OK)
            return false;
        total += len;
        if (total > COAT_IDENTITY_ALL_MAX)
            return false;
        coat_http_field(res, fields[i].name, (coat_span){(uint8_t *)buf, len});
    }
    if (names->time[0] != '\0' && who->auth_ms > 0)
        coat_http_field_uint(res, names->time, (uint64_t)(who->auth_ms / 1000));
    return true;
}

/* Identity, with an assertion if one was asked for. @return NULL, or why there is no yes */
static const char *
tell_identity(coat_http_response *res, coat_http_request *req, const coat_settings *set,
              const verify_ask *ask, const identity *who)
{
    identity_names names = names_for(req, set->config);
    coat_assertion claims = {.user = who->user,
                             .roles = who->roles,
                             .methods = who->methods,
                             .handle = who->handle,
                             .auth_ms = who->auth_ms};

    if (!identity_fields(res, &names, who))
        return "identity_too_large";
    if (!coat_assertion_field(res, req, set, ask->audience, &claims, who->ends_ms))
        return "identity_not_assertable";
    return NULL;
}

/* All that a yes says; who: NULL, anonymous. @return NULL, or why the answer cannot be 200 */
static const char *
tell(coat_http_response *res, coat_http_request *req, const coat_settings *set,
     const verify_ask *ask, const identity *who)
{
    const char *wrong = who != NULL ? tell_identity(res, req, set, ask, who) : NULL;

    if (wrong == NULL && ask->cookies && !coat_cookies_field(res, req, set))
        return "cookies_too_large";
    return wrong;
}

static const coat_settings *
settings_of(const coat_http_request *req)
{
    const coat_app_loop *at = req->loop_data;

    return atomic_load_explicit(&at->app->settings, memory_order_acquire);
}

/* ---- the fast path: the node table alone, nothing allocated ---- */

static bool
one_cookie(const coat_http_request *req, const coat_settings *set, coat_cookie_found *found)
{
    COAT_UNSET coat_span lines[COAT_HTTP_FIELDS_MAX]; /* count of them are written */
    size_t count = 0, at = 0;

    while (coat_http_next(req, "Cookie", &at, &lines[count]))
        count++;
    coat_cookie_find(&set->cookie, lines, count, found);
    return found->count == 1 && !found->ambiguous;
}

/** Who asks, with room for what has to be put together. */
typedef struct asker {
    const coat_http_request *req;
    const coat_forward *forward;
    coat_context context;
    char address[46], language[COAT_LANGUAGE_MAX];
} asker;

static const coat_context *
context_of(void *data)
{
    asker *a = data;
    coat_span agent = {NULL, 0}, accepted = {NULL, 0};

    (void)coat_http_single(a->req, "User-Agent", &agent);
    (void)coat_http_single(a->req, "Accept-Language", &accepted);
    if (agent.len > COAT_AGENT_MAX)
        agent.len = COAT_AGENT_MAX;
    a->address[0] = '\0';
    if (a->forward->client.known)
        coat_address_format(&a->forward->client, a->address, sizeof a->address);
    a->context = (coat_context){
        .address = coat_span_of(a->address),
        .agent = agent,
        .language = {(uint8_t *)a->language,
                     coat_language_first(accepted, a->language, sizeof a->language)},
    };
    return &a->context;
}

/* @return true if the request has been answered */
static bool
answer_from_table(coat_http_request *req, const coat_settings *set, const coat_forward *forward,
                  const verify_ask *ask, coat_span token)
{
    coat_app_loop *at = req->loop_data;
    COAT_UNSET asker who; /* set when it is asked for */
    coat_table_query query;
    COAT_UNSET coat_table_answer answer; /* set by every peek */
    coat_http_response *res;
    const char *wrong;

    who.req = req;
    who.forward = forward;
    query = (coat_table_query){
        .token = token,
        .now_ms = coat_engine_now_ms(at->app->engine),
        .max_age_ms = ask->max_age_ms,
        .from = context_of,
        .from_ctx = &who,
        .background = ask->background,
    };
    coat_engine_peek(at->app->engine, &query, &answer);
    if (answer.verdict != COAT_TABLE_LIVE || !has_roles(answer.roles, ask->roles))
        return false;
    coat_meter_add(&at->meter, COAT_METER_VERIFY_LIVE, 1);
    coat_meter_add(&at->meter, COAT_METER_VERIFY_FAST, 1);
    res = coat_http_reply(req, 200);
    wrong = tell(res, req, set, ask,
                 &(identity){answer.user, answer.roles, answer.methods, &answer.handle,
                             answer.auth_ms, answer.ends_ms});
    if (wrong != NULL)
        coat_http_error(req, 500, wrong);
    else
        coat_http_send(res, COAT_HTTP_EMPTY, (coat_span){NULL, 0});
    return true;
}

/* ---- the slow path: ask the engine ---- */

/* The page the visitor should see, with the way back to what was asked for. */
static void
page_url(const coat_visit *visit, const char *page, char *url, size_t cap)
{
    coat_out full, out = coat_out_init(url, cap - 1);
    char target[COAT_TARGET_MAX + COAT_ORIGIN_MAX], back[COAT_TARGET_MAX];
    size_t len = 0, more = 0;

    coat_out_str(&out, page);
    /* Another host of ours is named in full; which hosts are ours says the configuration. */
    full = coat_out_init(target, sizeof target);
    for (size_t i = 0; i < visit->set->targets.count; i++) {
        coat_span origin = coat_span_of(visit->set->targets.list[i]);
        size_t host = visit->forward.host.len;

        if (i > 0 && host > 0 && origin.len > host + 3 &&
            memcmp(origin.ptr + origin.len - host - 3, "://", 3) == 0 &&
            coat_span_is_nocase((coat_span){origin.ptr + origin.len - host, host},
                                visit->forward.host)) {
            coat_out_span(&full, origin);
            break;
        }
    }
    coat_out_span(&full, visit->forward.target);
    if (!full.over &&
        coat_target_check((coat_span){(uint8_t *)target, full.len}, &visit->set->targets, back,
                          sizeof back, &len) == COAT_OK) {
        coat_out_str(&out, "?return=");
        if (!out.over && coat_percent_encode((coat_span){(uint8_t *)back, len}, url + out.len,
                                             cap - 1 - out.len, &more) == COAT_OK)
            out.len += more;
    }
    url[out.len] = '\0';
}

/* 401 or 403, or a redirect where the proxy passes our answer on. */
static void
send_away(coat_visit *visit, unsigned status, const char *code, const char *page)
{
    const coat_listener_conf *listener = visit->req->listener->user;
    char url[2 * COAT_ORIGIN_MAX + 3 * COAT_TARGET_MAX];
    coat_site_facts facts = visit->facts;
    coat_http_response *res;

    if (visit->forward.method.len > 0)
        facts.method = visit->forward.method;
    page_url(visit, page, url, sizeof url);
    if (coat_is_navigation(&facts)) {
        if (listener->dialect != COAT_DIALECT_NGINX && listener->dialect != COAT_DIALECT_NONE) {
            res = coat_visit_reply(visit, 302);
            coat_http_field_str(res, "Location", url);
            coat_visit_send(visit, res, COAT_HTTP_EMPTY, (coat_span){NULL, 0});
            return;
        }
        res = coat_visit_reply(visit, status);
        coat_http_field_str(res, "X-Auth-Redirect", url);
    } else {
        res = coat_visit_reply(visit, status);
    }
    coat_http_field_str(res, "X-Auth-Login", page);
    coat_visit_send_error(visit, res, code);
}

/* who: NULL, anonymous */
static void
answer_yes(coat_visit *visit, const verify_ask *ask, const identity *who)
{
    coat_http_response *res = coat_visit_reply(visit, 200);
    const char *wrong = tell(res, visit->req, visit->set, ask, who);

    if (wrong != NULL)
        coat_visit_error(visit, 500, wrong);
    else
        coat_visit_send(visit, res, COAT_HTTP_EMPTY, (coat_span){NULL, 0});
}

static void
answer_live(coat_visit *visit, const verify_ask *ask)
{
    const coat_record *record = coat_session_record(visit->session);

    if (!has_roles(record->roles, ask->roles)) {
        coat_meter_add(&visit->at->meter, COAT_METER_VERIFY_FORBIDDEN, 1);
        coat_visit_error(visit, 403, "role_required");
        return;
    }
    answer_yes(visit, ask,
               &(identity){record->user, record->roles, record->methods,
                           coat_session_handle(visit->session), record->auth_ms,
                           coat_session_ends_ms(visit->session)});
}

static void
answer(coat_visit *visit)
{
    verify_ask ask;

    if (!parse_ask(visit->req, &ask)) { /* it was understood before */
        coat_visit_error(visit, 500, "internal");
        return;
    }
    coat_meter_observe(&visit->at->meter, COAT_TIMER_VERIFY, uv_hrtime() - visit->begun_ns);
    coat_meter_add(&visit->at->meter, COAT_METER_VERIFY_SLOW, 1);
    switch (visit->identified) {
    case COAT_OK:
        coat_meter_add(&visit->at->meter, COAT_METER_VERIFY_LIVE, 1);
        answer_live(visit, &ask);
        return;
    case COAT_STEP_UP:
        coat_meter_add(&visit->at->meter, COAT_METER_VERIFY_STEP_UP, 1);
        coat_visit_event(visit, COAT_EVENT_STEP_UP_REQUIRED, "verify");
        send_away(visit, 403, "step_up_required", visit->set->reauth_url);
        return;
    case COAT_NO_SESSION:
        coat_meter_add(&visit->at->meter, COAT_METER_VERIFY_NONE, 1);
        if (ask.optional)
            answer_yes(visit, &ask, NULL);
        else
            send_away(visit, 401, "not_signed_in", visit->set->login_url);
        return;
    default:
        coat_meter_add(&visit->at->meter, COAT_METER_VERIFY_UNAVAILABLE, 1);
        coat_visit_fail(visit, visit->identified, visit->account.retry_after_s);
    }
}

/* Anybody who is signed in may ask about this very request; a script of a page would then hold
 * a credential, or read HttpOnly cookies. So these are for a trusted proxy, about another
 * request: one that it names, or any that the module asks about, for nothing else comes to its
 * listener. For Envoy every target is another's, but only its filter asks behind our own path.
 */
static bool
is_a_proxys(const coat_http_request *req, const coat_forward *forward)
{
    const coat_listener_conf *listener = req->listener->user;

    if (!forward->trusted)
        return false;
    if (listener->dialect == COAT_DIALECT_ENVOY)
        return (req->route->flags & COAT_HTTP_RAW_REST) != 0;
    return forward->target.len > 0 || listener->dialect == COAT_DIALECT_MODULE;
}

void
coat_route_verify(coat_http_request *req)
{
    const coat_settings *set = settings_of(req);
    coat_app_loop *at = req->loop_data;
    coat_cookie_found found;
    coat_forward forward;
    coat_visit *visit;
    verify_ask ask;
    uint64_t begun_ns = uv_hrtime();

    if (!coat_forward_of(req, &forward))
        return;
    if (!parse_ask(req, &ask) || !coat_assertion_known(set, ask.audience)) {
        coat_http_error(req, 400, "bad_parameters");
        return;
    }
    if (ask.audience.len > 0 && !is_a_proxys(req, &forward)) {
        coat_http_error(req, 400, "assertion_for_proxies_only");
        return;
    }
    if (ask.cookies && !is_a_proxys(req, &forward)) {
        coat_http_error(req, 400, "cookies_for_proxies_only");
        return;
    }
    if (set->need_tls && !forward.tls) {
        coat_http_error(req, 403, "https_required");
        return;
    }
    if (one_cookie(req, set, &found) &&
        answer_from_table(req, set, &forward, &ask, found.value[0])) {
        coat_meter_observe(&at->meter, COAT_TIMER_VERIFY, uv_hrtime() - begun_ns);
        return;
    }
    visit = coat_visit_begin(req);
    if (visit == NULL)
        return;
    visit->begun_ns = begun_ns;
    coat_visit_identify(visit, ask.max_age_ms, ask.background, answer);
}
