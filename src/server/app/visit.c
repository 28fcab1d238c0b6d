/* SPDX-License-Identifier: Apache-2.0 */
#include "server/app/visit.h"

#include "core/chars.h"

#include <sodium.h>
#include <string.h>

static void
read_facts(const coat_http_request *req, coat_site_facts *facts)
{
    const struct {
        const char *name;
        coat_span *to;
        bool decides; /* of where a request comes from: must not be repeated */
    } fields[] = {
        {"Origin", &facts->origin, true},
        {"Referer", &facts->referer, true},
        {"Sec-Fetch-Site", &facts->fetch_site, true},
        {"Sec-Fetch-Mode", &facts->fetch_mode, true},
        {"Sec-Fetch-Dest", &facts->fetch_dest, true},
        {"Accept", &facts->accept, false},
        {"Content-Type", &facts->content_type, false},
    };

    facts->method = req->method_text;
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        if (coat_http_single(req, fields[i].name, fields[i].to) == COAT_HTTP_REPEATED &&
            fields[i].decides)
            facts->origin_repeated = true;
    for (size_t i = 0; i < req->field_count; i++)
        if (req->fields[i].name.len > 10 &&
            coat_span_is_nocase((coat_span){req->fields[i].name.ptr, 10},
                                COAT_LIT("Sec-Fetch-")))
            facts->any_fetch = true;
}

static void
read_context(coat_visit *visit)
{
    coat_span agent = {NULL, 0}, language = {NULL, 0};
    size_t len;

    (void)coat_http_single(visit->req, "User-Agent", &agent);
    (void)coat_http_single(visit->req, "Accept-Language", &language);
    if (agent.len > COAT_AGENT_MAX)
        agent.len = COAT_AGENT_MAX;
    len = coat_language_first(language, visit->language, sizeof visit->language);
    if (visit->forward.client.known)
        coat_address_format(&visit->forward.client, visit->address, sizeof visit->address);
    visit->context = (coat_context){
        .address = coat_span_of(visit->address),
        .agent = agent,
        .language = {(const uint8_t *)visit->language, len},
    };
}

/* Envoy puts our path in front of the one that was asked for. */
static coat_span
own_target(const coat_http_request *req)
{
    const coat_app_loop *at = req->loop_data;
    const coat_settings *set = atomic_load_explicit(&at->app->settings, memory_order_acquire);
    size_t ours = strlen(set->config->base_path) + strlen("/verify");

    return (req->route->flags & COAT_HTTP_RAW_REST) && req->target.len > ours
               ? coat_span_slice(req->target, ours, req->target.len)
               : req->target;
}

bool
coat_forward_of(coat_http_request *req, coat_forward *out)
{
    const coat_app_loop *at = req->loop_data;
    const coat_listener_conf *listener = req->listener->user;
    coat_forward_conf conf = coat_config_forward(listener);

    if (coat_forward_read(&conf, &req->peer.address, req->fields, req->field_count,
                          req->method_text, own_target(req), req->host, out) == COAT_OK) {
        req->tls = out->tls;
        return true;
    }
    coat_audit_event(at->app->log,
                     &(coat_event){.type = COAT_EVENT_HEADER_TRUST_REFUSED,
                                   .failed = true,
                                   .reason = "conflicting_fields"},
                     &(coat_audit_origin){coat_span_of(req->id), req->peer.address});
    coat_http_error(req, 400, "conflicting_forwarding_fields");
    return false;
}

coat_visit *
coat_visit_begin(coat_http_request *req)
{
    coat_visit *visit = coat_http_alloc(req, sizeof *visit);
    coat_forward forward;
    coat_span lines[COAT_HTTP_FIELDS_MAX];
    size_t count = 0, at = 0;

    if (visit == NULL) {
        coat_http_error(req, 500, "internal");
        return NULL;
    }
    if (!coat_forward_of(req, &forward))
        return NULL;
    memset(visit, 0, sizeof *visit);
    visit->req = req;
    visit->at = req->loop_data;
    visit->set = atomic_load_explicit(&visit->at->app->settings, memory_order_acquire);
    visit->forward = forward;
    visit->origin = (coat_audit_origin){coat_span_of(req->id), forward.client};
    visit->identified = COAT_NO_SESSION;
    read_facts(req, &visit->facts);
    read_context(visit);
    while (coat_http_next(req, "Cookie", &at, &lines[count]))
        count++;
    coat_cookie_find(&visit->set->cookie, lines, count, &visit->cookie);
    visit->has_cookie = visit->cookie.count > 0;
    req->user = visit;
    return visit;
}

void
coat_visit_event(coat_visit *visit, coat_event_type type, const char *reason)
{
    coat_event event = {.type = type, .failed = true, .reason = reason, .cause = visit};

    if (visit->session != NULL) {
        event.has_handle = true;
        event.handle = *coat_session_handle(visit->session);
        event.user = coat_session_record(visit->session)->user;
    }
    coat_audit_event(visit->at->app->log, &event, &visit->origin);
}

void
coat_visit_call(coat_visit *visit, coat_call_op op, void (*done)(coat_call *call))
{
    visit->call.op = op;
    visit->call.done = done;
    visit->call.ctx = visit;
    coat_call_start(visit->at->desk, &visit->call);
}

void
coat_visit_account(coat_visit *visit, coat_account_op op, void (*done)(coat_account_call *call))
{
    visit->account.op = op;
    visit->account.address = visit->forward.client;
    visit->account.done = done;
    visit->account.ctx = visit;
    coat_account_start(visit->at->clerk, &visit->account);
}

/* ---- a token where none belongs ---- */

/* A word of the token's length with our tag in it. */
static bool
holds_token(const coat_visit *visit, coat_span text)
{
    const coat_tag_keys *tags = coat_keys_tags(coat_app_keys(visit->at->app));
    size_t from = 0;

    while (from < text.len) {
        size_t to = from;
        coat_token token;

        while (to < text.len &&
               (coat_char_is_alnum(text.ptr[to]) || text.ptr[to] == '-' || text.ptr[to] == '_'))
            to++;
        if (to - from == COAT_TOKEN_CHARS &&
            coat_token_open((coat_span){text.ptr + from, to - from}, tags, &token) == COAT_OK) {
            coat_token_wipe(&token);
            return true;
        }
        from = to + 1;
    }
    return false;
}

/* A token belongs into the cookie only; elsewhere it is ignored, and reported (ID-5). */
static void
report_wrong_channel(coat_visit *visit)
{
    static const char *const names[] = {"Authorization", "X-Session", "X-Auth-Token"};
    const coat_http_request *req = visit->req;
    const char *where = NULL;

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        coat_span value = {NULL, 0};

        if (coat_http_single(req, names[i], &value) == COAT_HTTP_ONE &&
            holds_token(visit, value))
            where = "header";
    }
    if (holds_token(visit, req->target))
        where = "target";
    else if (holds_token(visit, req->body))
        where = "body";
    if (where != NULL)
        coat_visit_event(visit, COAT_EVENT_TOKEN_WRONG_CHANNEL, where);
}

/* ---- identify ---- */

static void try_next(coat_visit *visit);

static void
identified(coat_visit *visit, coat_err err)
{
    visit->identified = err;
    visit->then(visit);
}

/* Counts distinct tokens that we never issued: guesses, not a browser's stale cookie (ID-7). */
static coat_err
count_unknown(coat_visit *visit, coat_span token)
{
    coat_app *app = visit->at->app;
    coat_token ignored;
    uint64_t hash;
    bool first = false;
    uint32_t wait;

    if (coat_token_decode(token, &ignored) != COAT_OK)
        return COAT_NO_SESSION;
    coat_token_wipe(&ignored);
    (void)crypto_shorthash((uint8_t *)&hash, token.ptr, token.len, app->hash_key);
    wait = coat_limiter_failed(app->unknown, &visit->forward.client, hash,
                               coat_engine_now_ms(app->engine), &first);
    if (first)
        coat_audit_event(app->log,
                         &(coat_event){.type = COAT_EVENT_TOKEN_GUESSING,
                                       .failed = true,
                                       .reason = "unknown_tokens",
                                       .count = COAT_UNKNOWN_TOKENS_MAX},
                         &visit->origin);
    if (wait == 0)
        coat_visit_event(visit, COAT_EVENT_SESSION_UNKNOWN_TOKEN, "not_issued_here");
    visit->account.retry_after_s = wait;
    return wait == 0 ? COAT_NO_SESSION : COAT_THROTTLED;
}

static void
finish(coat_visit *visit)
{
    if (visit->found == NULL) {
        identified(visit, visit->identified);
        return;
    }
    visit->session = visit->found;
    visit->found = NULL;
    visit->step_up = visit->found_step_up;
    visit->auth_age_ms = visit->found_age_ms;
    identified(visit, visit->step_up ? COAT_STEP_UP : COAT_OK);
}

static void
checked(coat_call *call)
{
    coat_visit *visit = call->ctx;
    coat_err err = call->result;

    if (err == COAT_OK || err == COAT_STEP_UP) {
        if (visit->found != NULL) { /* two live ones: nobody can tell which is meant */
            coat_session_free(call->session);
            coat_session_free(visit->found);
            visit->found = NULL;
            visit->cookie_count = 0; /* nor which one a successor would be for */
            sodium_memzero(call->token_text, sizeof call->token_text);
            visit->cookie.ambiguous = true;
            coat_visit_event(visit, COAT_EVENT_COOKIE_AMBIGUOUS, "two_live");
            identified(visit, COAT_NO_SESSION);
            return;
        }
        visit->found = call->session;
        visit->token = visit->cookie.value[visit->candidate];
        visit->found_step_up = err == COAT_STEP_UP;
        visit->found_age_ms = call->judgement.auth_age_ms;
        if (call->set_token)
            coat_visit_set_token(visit, call);
    } else if (err != COAT_NO_SESSION) {
        coat_session_free(visit->found);
        visit->found = NULL;
        identified(visit, err);
        return;
    }
    visit->candidate++;
    try_next(visit);
}

static void
try_next(coat_visit *visit)
{
    coat_demand demand = visit->call.demand;
    bool background = visit->call.background;

    while (visit->candidate < visit->cookie.count) {
        coat_span value = visit->cookie.value[visit->candidate];
        coat_token token;
        bool ours = coat_token_open(value, coat_keys_tags(coat_app_keys(visit->at->app)),
                                    &token) == COAT_OK;

        if (ours) {
            coat_token_wipe(&token);
            memset(&visit->call, 0, sizeof visit->call);
            visit->call.token = value;
            visit->call.context = visit->context;
            visit->call.demand = demand;
            visit->call.background = background;
            coat_visit_call(visit, COAT_CALL_CHECK, checked);
            return;
        }
        if (visit->found == NULL)
            visit->identified = count_unknown(visit, value);
        visit->candidate++;
    }
    finish(visit);
}

void
coat_visit_identify(coat_visit *visit, int64_t max_age_ms, bool background,
                    void (*then)(coat_visit *visit))
{
    visit->then = then;
    visit->identified = COAT_NO_SESSION;
    if (visit->cookie.ambiguous) {
        coat_visit_event(visit, COAT_EVENT_COOKIE_AMBIGUOUS, "repeated");
        identified(visit, COAT_NO_SESSION);
        return;
    }
    if (!visit->has_cookie)
        report_wrong_channel(visit);
    visit->candidate = 0;
    visit->call.demand.max_age_ms = max_age_ms;
    visit->call.background = background;
    try_next(visit);
}
