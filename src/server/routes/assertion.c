/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signed assertions for APIs behind the gateway (FA-10): the field of a passing answer, and
 * GET /auth/jwks.json with the keys that verify it. The newest key signs from the moment it is
 * made: a verifier that meets a kid it does not know fetches the set again.
 */
#include "server/routes/routes.h"

#include <sodium.h>

/* The audience that is meant: "yes" is the first one. NULL: there is no such. */
static const char *
audience_of(const coat_settings *set, coat_span asked)
{
    const coat_strings *list = &set->config->assertion_audiences;

    if (list->count > 0 && coat_span_is(asked, COAT_LIT("yes")))
        return list->list[0];
    for (size_t i = 0; i < list->count; i++)
        if (coat_span_is(asked, coat_span_of(list->list[i])))
            return list->list[i];
    return NULL;
}

bool
coat_assertion_known(const coat_settings *set, coat_span asked)
{
    return asked.len == 0 || audience_of(set, asked) != NULL;
}

/* Whole seconds until exp, rounded down: who passes it on until then is never late. */
static uint64_t
seconds_left(const coat_assertion *a)
{
    int64_t ends_ms = (a->now_ms / 1000 + (a->lifetime_ms + 999) / 1000) * 1000;

    return (uint64_t)((ends_ms - a->now_ms) / 1000);
}

bool
coat_assertion_field(coat_http_response *res, coat_http_request *req, const coat_settings *set,
                     coat_span asked, coat_assertion *who, int64_t ends_ms)
{
    coat_app *app = ((coat_app_loop *)req->loop_data)->app;
    const coat_listener_conf *listener = req->listener->user;
    bool module = listener->dialect == COAT_DIALECT_MODULE;
    const char *audience = audience_of(set, asked);
    int64_t left_ms = ends_ms - coat_engine_now_ms(app->engine);
    COAT_UNSET char text[COAT_ASSERTION_MAX]; /* len bytes of it are written */
    size_t len = 0;

    if (asked.len == 0 || who->user.len == 0)
        return true;
    if (audience == NULL) /* a reload has taken it away meanwhile */
        return false;
    who->issuer = coat_span_of(set->issuer);
    who->audience = coat_span_of(audience);
    /* The clock that verifiers have, not the engine's, which may be ahead of it (SF-10). */
    who->now_ms = coat_clock_system(NULL);
    who->lifetime_ms = set->config->assertion_lifetime_ms;
    if (left_ms < who->lifetime_ms)
        who->lifetime_ms = left_ms > 0 ? left_ms : 1;
    if (coat_assertion_sign(coat_app_keys(app), who, text, sizeof text, &len) != COAT_OK)
        return false;
    coat_http_field(res, module ? "X-Auth-Assertion" : set->config->header_assertion,
                    (coat_span){(uint8_t *)text, len});
    if (module)
        coat_http_field_uint(res, "X-Auth-Assertion-Lifetime", seconds_left(who));
    sodium_memzero(text, len); /* a credential, if only for a minute */
    return true;
}

void
coat_route_jwks(coat_http_request *req)
{
    const coat_app_loop *at = req->loop_data;
    const coat_settings *set = atomic_load_explicit(&at->app->settings, memory_order_acquire);
    char text[COAT_JWKS_MAX];
    size_t len = 0;
    coat_http_response *res;

    if (set->config->assertion_audiences.count == 0) {
        coat_http_error(req, 404, "not_found");
        return;
    }
    if (coat_assertion_jwks(coat_app_keys(at->app), text, sizeof text, &len) != COAT_OK) {
        coat_http_error(req, 500, "internal");
        return;
    }
    res = coat_http_reply(req, 200);
    /* Short: a key that is no longer here must soon be forgotten everywhere. */
    coat_http_cache(res, "public, max-age=300");
    coat_http_send(res, COAT_HTTP_JWKS, (coat_span){(uint8_t *)text, len});
}
