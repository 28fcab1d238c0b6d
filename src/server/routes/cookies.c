/* SPDX-License-Identifier: Apache-2.0 */
/*
 * FA-7: the request's cookies but ours, as a field of a passing answer. Traefik and Envoy
 * cannot take a cookie out of a request; they put what we say here in the place of what the
 * client sent.
 */
#include "server/routes/routes.h"

bool
coat_cookies_field(coat_http_response *res, const coat_http_request *req,
                   const coat_settings *set)
{
    const coat_span names[] = {coat_span_of(set->cookie.name),
                               coat_span_of(set->pre_cookie.name),
                               coat_span_of(set->device_cookie.name)};
    const coat_listener_conf *listener = req->listener->user;
    COAT_UNSET char buf[COAT_COOKIE_HEADER_MAX]; /* len bytes of it are written */
    size_t len = 0, at = 0;
    coat_span line;

    while (coat_http_next(req, "Cookie", &at, &line)) {
        size_t from = len > 0 ? len + 2 : 0, more;

        if (line.len > sizeof buf || from > sizeof buf - line.len)
            return false;
        more = coat_cookie_strip(line, names, sizeof names / sizeof names[0], buf + from);
        if (more > 0 && from > 0)
            memcpy(buf + len, "; ", 2);
        len = more > 0 ? from + more : len;
    }
    if (len > 0)
        coat_http_field(res, "Cookie", (coat_span){(uint8_t *)buf, len});
    else if (listener->dialect == COAT_DIALECT_ENVOY) /* what is not there replaces nothing */
        coat_http_field_str(res, "X-Envoy-Auth-Headers-To-Remove", "cookie");
    return true;
}
