/* SPDX-License-Identifier: Apache-2.0 */
#include "server/http/internal.h"

bool
coat_http_next(const coat_http_request *req, const char *name, size_t *at, coat_span *out)
{
    coat_span key = coat_span_of(name);

    for (size_t i = *at; i < req->field_count; i++) {
        if (coat_span_is_nocase(req->fields[i].name, key)) {
            *out = req->fields[i].value;
            *at = i + 1;
            return true;
        }
    }
    *at = req->field_count;
    return false;
}

size_t
coat_http_count(const coat_http_request *req, const char *name)
{
    coat_span value;
    size_t at = 0, n = 0;

    while (coat_http_next(req, name, &at, &value))
        n++;
    return n;
}

coat_http_found
coat_http_single(const coat_http_request *req, const char *name, coat_span *out)
{
    coat_span first, other;
    size_t at = 0;

    if (!coat_http_next(req, name, &at, &first))
        return COAT_HTTP_ABSENT;
    if (coat_http_next(req, name, &at, &other))
        return COAT_HTTP_REPEATED;
    *out = first;
    return COAT_HTTP_ONE;
}

static bool
list_has(coat_span list, coat_span token)
{
    coat_span item;

    while (coat_span_split(&list, ',', &item))
        if (coat_span_is_nocase(item, token))
            return true;
    return false;
}

bool
coat_http_lists(const coat_http_request *req, const char *name, const char *token)
{
    coat_span value;
    size_t at = 0;

    while (coat_http_next(req, name, &at, &value))
        if (list_has(value, coat_span_of(token)))
            return true;
    return false;
}

bool
coat_http_wants_html(const coat_http_request *req)
{
    coat_span value;

    return coat_http_single(req, "Accept", &value) == COAT_HTTP_ONE && coat_accept_html(value);
}
