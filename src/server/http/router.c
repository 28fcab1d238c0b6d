/* SPDX-License-Identifier: Apache-2.0 */
#include "server/http/internal.h"

static const char *const method_names[] = {"",    "GET",   "HEAD",   "POST",
                                           "PUT", "PATCH", "DELETE", "OPTIONS"};

/* One segment of the pattern against one of the path; both stand at its first byte. */
static bool
match_segment(const char **pattern, const uint8_t **path, const uint8_t *end,
              coat_http_request *req)
{
    const uint8_t *start = *path;

    if (**pattern != '{') {
        while (**pattern != '\0' && **pattern != '/') {
            if (*path == end || *(*path)++ != (uint8_t) * (*pattern)++)
                return false;
        }
        return *path == end || **path == '/';
    }
    while (*path < end && **path != '/')
        (*path)++;
    while (**pattern != '\0' && **pattern != '/')
        (*pattern)++;
    if (*path == start || req->capture_count == COAT_HTTP_CAPTURES_MAX)
        return false;
    req->captures[req->capture_count++] = (coat_span){start, (size_t)(*path - start)};
    return true;
}

static bool
match_pattern(const char *pattern, coat_span rest, coat_http_request *req)
{
    const uint8_t *path = rest.ptr, *end = rest.ptr + rest.len;

    req->capture_count = 0;
    while (*pattern == '/') {
        if (path == end || *path != '/')
            return false;
        pattern++;
        path++;
        if (!match_segment(&pattern, &path, end, req))
            return false;
    }
    return *pattern == '\0' && path == end;
}

/* "/ext/" followed by "*": whatever comes behind it, not decoded and not looked at. */
static bool
match_raw(const char *pattern, coat_span rest)
{
    size_t len = strlen(pattern);

    return len > 0 && pattern[len - 1] == '*' && rest.len >= len - 1 &&
           memcmp(rest.ptr, pattern, len - 1) == 0;
}

static bool
below_prefix(const coat_http_router *router, coat_span path, coat_span *rest)
{
    size_t len = strlen(router->prefix);

    if (path.len < len || memcmp(path.ptr, router->prefix, len) != 0)
        return false;
    *rest = (coat_span){path.ptr + len, path.len - len};
    return true;
}

static bool
serves(const coat_http_route *route, coat_http_method method)
{
    return route->method == method ||
           (route->method == COAT_HTTP_GET && method == COAT_HTTP_HEAD);
}

/** Methods of all routes that match the path, as a set; route if the method is among them. */
static uint32_t
find_route(const coat_http_router *router, coat_span path, bool raw, coat_http_request *req)
{
    uint32_t methods = 0;
    coat_span rest;

    if (!below_prefix(router, path, &rest))
        return 0;
    for (size_t i = 0; i < router->count; i++) {
        const coat_http_route *route = &router->routes[i];

        if (((route->flags & COAT_HTTP_RAW_REST) != 0) != raw ||
            !(raw ? match_raw(route->pattern, rest) : match_pattern(route->pattern, rest, req)))
            continue;
        if (serves(route, req->method)) {
            req->route = route;
            return 1;
        }
        methods |= 1u << route->method;
        if (route->method == COAT_HTTP_GET)
            methods |= 1u << COAT_HTTP_HEAD;
    }
    return methods;
}

static void
refuse(const coat_http_router *router, coat_http_request *req, unsigned status)
{
    if (router->transport != NULL)
        router->transport(req);
    coat_http_error(req, status, coat_http_status_code(status));
}

static void
answer_method(const coat_http_router *router, coat_http_request *req, uint32_t methods)
{
    char text[64];
    coat_out out = coat_out_init(text, sizeof text);
    coat_http_response *res;

    if (router->transport != NULL)
        router->transport(req);
    res = coat_http_reply(req, 405);
    for (size_t i = 1; i < sizeof method_names / sizeof method_names[0]; i++) {
        if ((methods & 1u << i) == 0)
            continue;
        if (out.len > 0)
            coat_out_str(&out, ", ");
        coat_out_str(&out, method_names[i]);
    }
    coat_http_field(res, "Allow", (coat_span){(const uint8_t *)text, out.len});
    coat_http_send_error(res, "method_not_allowed");
}

/* What came as body, and may it? 0 or the status of the refusal (CS-7, RX-6). */
static unsigned
check_body(coat_exchange *ex, uint32_t flags)
{
    const coat_http_request *req = &ex->req;
    bool takes = (flags & (COAT_HTTP_TAKES_FORM | COAT_HTTP_TAKES_JSON)) != 0;
    coat_http_found found;
    coat_span type = {NULL, 0};

    if (!takes && req->body.len == 0)
        return 0; /* fields about a body that stayed with the proxy say nothing here */
    if (!takes || coat_http_count(req, "Content-Encoding") != 0)
        return 415;
    found = coat_http_single(req, "Content-Type", &type);
    if (found == COAT_HTTP_REPEATED)
        return 400;
    type = coat_media_type(type);
    if ((flags & COAT_HTTP_TAKES_FORM) != 0 &&
        coat_span_is_nocase(type, COAT_LIT("application/x-www-form-urlencoded")))
        ex->body_type = COAT_HTTP_BODY_FORM;
    else if ((flags & COAT_HTTP_TAKES_JSON) != 0 &&
             coat_span_is_nocase(type, COAT_LIT("application/json")))
        ex->body_type = COAT_HTTP_BODY_JSON;
    else if (req->body.len > 0 || found == COAT_HTTP_ONE || (flags & COAT_HTTP_TAKES_NONE) == 0)
        return 415;
    return 0;
}

void
coat_http_continue(coat_http_request *req)
{
    req->route->handler(req);
}

static bool
is_safe(coat_http_method method)
{
    return method == COAT_HTTP_GET || method == COAT_HTTP_HEAD || method == COAT_HTTP_OPTIONS;
}

static void
run(const coat_http_router *router, coat_http_request *req)
{
    unsigned status = check_body((coat_exchange *)req, req->route->flags);

    if (status != 0)
        refuse(router, req, status);
    else if (router->policy != NULL)
        router->policy(req);
    else if (is_safe(req->method))
        coat_http_continue(req);
    else
        coat_http_error(req, 403, "forbidden");
}

/* In place of coat_url_path() where captures may be anything but control characters. */
static coat_err
decode_captures(coat_http_request *req)
{
    for (size_t i = 0; i < req->capture_count; i++) {
        coat_span raw = req->captures[i];
        uint8_t *buf = coat_http_alloc(req, raw.len);
        size_t len = 0;

        if (buf == NULL)
            return COAT_TOO_LARGE;
        for (size_t at = 0; at < raw.len; at++) {
            int value = raw.ptr[at];

            if (value == '%') {
                value = raw.len - at < 3 ? -1 : coat_char_hex2(raw.ptr + at + 1);
                at += 2;
            }
            if (value < 0x20 || value == 0x7f)
                return COAT_MALFORMED;
            buf[len++] = (uint8_t)value;
        }
        req->captures[i] = (coat_span){buf, len};
    }
    return COAT_OK;
}

/** Path and route of what no raw pattern has taken; adds to the methods that match. */
static coat_err
find_decoded(const coat_http_router *router, coat_span raw, coat_http_request *req,
             uint32_t *methods)
{
    uint8_t *buf = NULL;
    coat_err err;

    if (router->any_capture) {
        if (coat_url_segments(raw) != COAT_OK)
            return COAT_MALFORMED;
        *methods |= find_route(router, raw, false, req);
        return req->route != NULL ? decode_captures(req) : COAT_OK;
    }
    if (memchr(raw.ptr, '%', raw.len) != NULL)
        buf = coat_http_alloc(req, raw.len);
    err = coat_url_path(raw, buf, buf != NULL ? raw.len : 0, &req->path);
    if (err == COAT_OK)
        *methods |= find_route(router, req->path, false, req);
    return err;
}

void
coat_router_dispatch(const coat_http_router *router, coat_http_request *req)
{
    coat_span raw;
    uint32_t methods;

    if (req->target.len == 0 || req->target.ptr[0] != '/' ||
        coat_url_split(req->target, &raw, &req->query, &req->has_query) != COAT_OK) {
        /* OPTIONS * and CONNECT: nothing here answers for the server as a whole. */
        answer_method(router, req, 0);
        return;
    }
    req->path = raw;
    methods = find_route(router, raw, true, req);
    if (req->route == NULL) {
        if (find_decoded(router, raw, req, &methods) != COAT_OK) {
            req->route = NULL;
            refuse(router, req, 400);
            return;
        }
    }
    if (req->route != NULL)
        run(router, req);
    else if (methods != 0 || req->method == COAT_HTTP_OTHER)
        answer_method(router, req, methods);
    else
        refuse(router, req, 404);
}
