/* SPDX-License-Identifier: Apache-2.0 */
/* Contradictions in what browsers and proxies see: cookie, origins, CORS, headers, paths. */
#include "server/config/internal.h"

#include <coatcheck/target.h>

static const coat_place *
place(const coat_builder *b, size_t index)
{
    return &b->config->priv->places[index];
}

/* The first of the cookie's keys that somebody set is most likely the culprit. */
static size_t
cookie_culprit(const coat_builder *b)
{
    static const size_t keys[] = {COAT_INDEX_cookie_domain,      COAT_INDEX_cookie_path,
                                  COAT_INDEX_cookie_secure,      COAT_INDEX_cookie_samesite,
                                  COAT_INDEX_cookie_partitioned, COAT_INDEX_cookie_name};

    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (place(b, keys[i])->source != COAT_SOURCE_DEFAULT)
            return keys[i];
    return COAT_INDEX_cookie_name;
}

static coat_err
validate_cookie(coat_builder *b)
{
    coat_cookie_conf cookie;
    char message[200];
    size_t index = cookie_culprit(b);

    coat_config_cookie(b->config, &cookie);
    if (coat_cookie_check(&cookie, NULL, message, sizeof message) != COAT_OK)
        return coat_config_fail(b, index, place(b, index), "%s", message);
    return COAT_OK;
}

static bool
origin_is_loopback(const char *origin)
{
    static const char *const hosts[] = {"://localhost", "://127.0.0.1", "://[::1]"};
    const char *host = strstr(origin, "://");

    for (size_t i = 0; host != NULL && i < sizeof hosts / sizeof hosts[0]; i++) {
        size_t len = strlen(hosts[i]);

        if (strncmp(host, hosts[i], len) == 0 && (host[len] == '\0' || host[len] == ':'))
            return true;
    }
    return false;
}

/* CK-8: without TLS a cookie is anybody's; only this machine may see it. */
static coat_err
validate_plaintext(coat_builder *b)
{
    const coat_config *c = b->config;

    if (!c->allow_plaintext && !c->cookie_secure)
        return coat_config_fail(b, COAT_INDEX_cookie_secure, place(b, COAT_INDEX_cookie_secure),
                                "false needs cookie.allow-plaintext, which is for development "
                                "on a loopback address");
    for (size_t i = 0; i < c->origins.count; i++) {
        const char *origin = c->origins.list[i];

        if (!c->allow_plaintext && strncmp(origin, "https:", 6) != 0)
            return coat_config_fail(b, COAT_INDEX_origins, place(b, COAT_INDEX_origins),
                                    "%.100s: browsers send our cookie to https only; write "
                                    "https, or set cookie.allow-plaintext for development",
                                    origin);
        if (c->allow_plaintext && !origin_is_loopback(origin))
            return coat_config_fail(b, COAT_INDEX_allow_plaintext,
                                    place(b, COAT_INDEX_allow_plaintext),
                                    "is for development: %.100s in public.origins is not on a "
                                    "loopback address",
                                    origin);
    }
    for (size_t i = 0; c->allow_plaintext && i < c->listeners.count; i++) {
        const coat_listener_conf *l = &c->listeners.list[i];

        if (l->kind == COAT_LISTEN_FD || (l->kind == COAT_LISTEN_TCP && !l->loopback))
            return coat_config_fail(b, COAT_INDEX_allow_plaintext,
                                    place(b, COAT_INDEX_allow_plaintext),
                                    "is for development: listener %.100s is not on a loopback "
                                    "address",
                                    l->address);
    }
    return COAT_OK;
}

static coat_err
validate_listeners(coat_builder *b)
{
    const coat_listeners *l = &b->config->listeners;

    for (size_t i = 0; i < l->count; i++)
        for (size_t j = 0; j < i; j++)
            if (strcmp(l->list[i].address, l->list[j].address) == 0 &&
                strstr(l->list[i].address, ":0") == NULL)
                return coat_config_fail(b, COAT_INDEX_listeners, place(b, COAT_INDEX_listeners),
                                        "names %.100s twice", l->list[i].address);
    return COAT_OK;
}

static coat_err
validate_targets(coat_builder *b)
{
    coat_origins allowed = coat_config_return_origins(b->config);
    const char *path = b->config->base_path;
    char buf[COAT_TARGET_MAX];
    size_t len = strlen(path);

    if (coat_target_check(coat_span_of(b->config->default_target), &allowed, buf, sizeof buf,
                          &len) != COAT_OK)
        return coat_config_fail(b, COAT_INDEX_default_target,
                                place(b, COAT_INDEX_default_target),
                                "\"%.100s\" is no path such as / and no target on one of "
                                "public.return-origins",
                                b->config->default_target);
    len = strlen(path);
    if (len == 0)
        return COAT_OK;
    if (path[0] != '/' || path[len - 1] == '/' || strstr(path, "//") != NULL ||
        strstr(path, "/.") != NULL ||
        strspn(path, "/-_.~abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") !=
            len)
        return coat_config_fail(b, COAT_INDEX_base_path, place(b, COAT_INDEX_base_path),
                                "\"%.64s\" is no base path such as /auth: a slash first, none "
                                "last, no dots, letters, digits and - _ ~ only",
                                path);
    return COAT_OK;
}

/* CO-1: what is granted is named, one by one. */
static coat_err
validate_cors(coat_builder *b)
{
    const struct {
        size_t index;
        const coat_strings *list;
        bool lower;
    } lists[] = {
        {COAT_INDEX_cors_methods, &b->config->cors_methods, false},
        {COAT_INDEX_cors_headers, &b->config->cors_headers, true},
        {COAT_INDEX_cors_exposed, &b->config->cors_exposed, false},
    };

    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
        for (size_t j = 0; j < lists[i].list->count; j++) {
            const char *text = lists[i].list->list[j];
            const coat_place *at = place(b, lists[i].index);

            if (strchr(text, '*') != NULL)
                return coat_config_fail(b, lists[i].index, at,
                                        "\"%.60s\": wildcards are not allowed, name each one",
                                        text);
            if (!coat_text_is_token(text))
                return coat_config_fail(b, lists[i].index, at, "\"%.60s\" is no token", text);
            for (const char *p = text; lists[i].lower && *p != '\0'; p++)
                if (*p >= 'A' && *p <= 'Z')
                    return coat_config_fail(b, lists[i].index, at,
                                            "\"%.60s\": write it in lower case", text);
        }
    return COAT_OK;
}

/* An identity header must not be one that HTTP or a proxy gives a meaning to. */
static bool
is_reserved(const char *name)
{
    static const char *const names[] = {
        "host",
        "cookie",
        "set-cookie",
        "authorization",
        "connection",
        "content-length",
        "content-type",
        "transfer-encoding",
        "te",
        "trailer",
        "upgrade",
        "expect",
        "location",
        "origin",
        "referer",
        "vary",
        "cache-control",
        "forwarded",
        "date",
        "server",
    };
    static const char *const prefixes[] = {"x-forwarded-", "x-original-",     "sec-",
                                           "proxy-",       "access-control-", "x-real-"};
    coat_span text = coat_span_of(name);

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (coat_span_is_nocase(text, coat_span_of(names[i])))
            return true;
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++) {
        coat_span prefix = coat_span_of(prefixes[i]);

        if (text.len >= prefix.len &&
            coat_span_is_nocase((coat_span){text.ptr, prefix.len}, prefix))
            return true;
    }
    return false;
}

static coat_err
validate_identity(coat_builder *b)
{
    static const size_t keys[] = {COAT_INDEX_header_user,    COAT_INDEX_header_roles,
                                  COAT_INDEX_header_methods, COAT_INDEX_header_session,
                                  COAT_INDEX_header_time,    COAT_INDEX_header_assertion};
    const coat_config *c = b->config;
    const char *names[] = {c->header_user,    c->header_roles, c->header_methods,
                           c->header_session, c->header_time,  c->header_assertion};

    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        if (names[i][0] == '\0')
            continue;
        if (!coat_text_is_token(names[i]))
            return coat_config_fail(b, keys[i], place(b, keys[i]), "\"%.64s\" is no field name",
                                    names[i]);
        if (is_reserved(names[i]))
            return coat_config_fail(b, keys[i], place(b, keys[i]),
                                    "%.64s has a meaning of its own; write X-Auth-...",
                                    names[i]);
        for (size_t j = 0; j < i; j++)
            if (coat_span_is_nocase(coat_span_of(names[i]), coat_span_of(names[j])))
                return coat_config_fail(b, keys[i], place(b, keys[i]), "%.64s is used twice",
                                        names[i]);
    }
    return COAT_OK;
}

coat_err
coat_config_validate_web(coat_builder *b)
{
    coat_err (*const checks[])(coat_builder *) = {
        validate_cookie,  validate_plaintext, validate_listeners,
        validate_targets, validate_cors,      validate_identity,
    };
    coat_err err = COAT_OK;

    for (size_t i = 0; i < sizeof checks / sizeof checks[0] && err == COAT_OK; i++)
        err = checks[i](b);
    return err;
}
