/* SPDX-License-Identifier: Apache-2.0 */
#include "server/http/internal.h"

/* FA-11, in one place: what every response carries. */
#define EVERY_RESPONSE                                                                         \
    "X-Content-Type-Options: nosniff\r\n"                                                      \
    "Cross-Origin-Resource-Policy: same-origin\r\n"                                            \
    "Referrer-Policy: no-referrer\r\n"
#define CSP_BASE "frame-ancestors 'none'; object-src 'none'; base-uri 'none'"
#define CSP_PAGE                                                                               \
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; " CSP_BASE
#define CSP_OTHER "default-src 'none'; form-action 'none'; " CSP_BASE
#define HSTS "Strict-Transport-Security: max-age=31536000; includeSubDomains\r\n"

static const char *const type_names[COAT_HTTP_TYPES] = {
    [COAT_HTTP_EMPTY] = "",
    [COAT_HTTP_JSON] = "application/json; charset=utf-8",
    [COAT_HTTP_HTML] = "text/html; charset=utf-8",
    [COAT_HTTP_TEXT] = "text/plain; charset=utf-8",
    [COAT_HTTP_CSS] = "text/css; charset=utf-8",
    [COAT_HTTP_SVG] = "image/svg+xml; charset=utf-8",
    [COAT_HTTP_PNG] = "image/png",
    [COAT_HTTP_METRICS] = "text/plain; version=0.0.4; charset=utf-8",
    [COAT_HTTP_YAML] = "application/yaml; charset=utf-8",
    [COAT_HTTP_JWKS] = "application/jwk-set+json; charset=utf-8",
};

/* X(status, text, code) */
#define STATUS_MAP(X)                                                                          \
    X(200, "OK", "ok")                                                                         \
    X(201, "Created", "created")                                                               \
    X(202, "Accepted", "accepted")                                                             \
    X(204, "No Content", "no_content")                                                         \
    X(302, "Found", "found")                                                                   \
    X(303, "See Other", "see_other")                                                           \
    X(304, "Not Modified", "not_modified")                                                     \
    X(400, "Bad Request", "bad_request")                                                       \
    X(401, "Unauthorized", "not_signed_in")                                                    \
    X(403, "Forbidden", "forbidden")                                                           \
    X(404, "Not Found", "not_found")                                                           \
    X(405, "Method Not Allowed", "method_not_allowed")                                         \
    X(406, "Not Acceptable", "not_acceptable")                                                 \
    X(408, "Request Timeout", "request_timeout")                                               \
    X(409, "Conflict", "conflict")                                                             \
    X(413, "Content Too Large", "content_too_large")                                           \
    X(414, "URI Too Long", "uri_too_long")                                                     \
    X(415, "Unsupported Media Type", "unsupported_media_type")                                 \
    X(417, "Expectation Failed", "expectation_failed")                                         \
    X(422, "Unprocessable Content", "unprocessable")                                           \
    X(429, "Too Many Requests", "too_many_requests")                                           \
    X(431, "Request Header Fields Too Large", "header_too_large")                              \
    X(500, "Internal Server Error", "internal_error")                                          \
    X(501, "Not Implemented", "not_implemented")                                               \
    X(503, "Service Unavailable", "unavailable")                                               \
    X(505, "HTTP Version Not Supported", "http_version_not_supported")                         \
    X(507, "Insufficient Storage", "storage_full")

/* Empty for a status that is not in the map. */
static coat_span
status_line(unsigned status)
{
    switch (status) {
#define X(number, text, code)                                                                  \
    case number:                                                                               \
        return COAT_LIT("HTTP/1.1 " #number " " text "\r\n" EVERY_RESPONSE);
        STATUS_MAP(X)
#undef X
    default:
        return (coat_span){NULL, 0};
    }
}

const char *
coat_http_status_text(unsigned status)
{
    switch (status) {
#define X(number, text, code)                                                                  \
    case number:                                                                               \
        return text;
        STATUS_MAP(X)
#undef X
    default:
        return "Internal Server Error";
    }
}

const char *
coat_http_status_code(unsigned status)
{
    switch (status) {
#define X(number, text, code)                                                                  \
    case number:                                                                               \
        return code;
        STATUS_MAP(X)
#undef X
    default:
        return "internal_error";
    }
}

static void
put_two(char *out, int value)
{
    out[0] = (char)('0' + value / 10 % 10);
    out[1] = (char)('0' + value % 10);
}

void
coat_http_date(time_t when, char out[COAT_DATE_CHARS + 1])
{
    static const char days[] = "SunMonTueWedThuFriSat";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    struct tm tm;

    /* IMF-fixdate (RFC 9110 5.6.7), by hand: strftime would ask the locale. */
    (void)gmtime_r(&when, &tm);
    memcpy(out, days + 3 * (tm.tm_wday % 7), 3);
    memcpy(out + 3, ", 00 ", 5);
    memcpy(out + 8, months + 3 * (tm.tm_mon % 12), 3);
    memcpy(out + 11, " 0000 00:00:00 GMT", 19);
    put_two(out + 5, tm.tm_mday);
    put_two(out + 12, (tm.tm_year + 1900) / 100);
    put_two(out + 14, tm.tm_year + 1900);
    put_two(out + 17, tm.tm_hour);
    put_two(out + 20, tm.tm_min);
    put_two(out + 23, tm.tm_sec);
}

static void
put_head(coat_http_response *res, const char *date)
{
    coat_out_span(&res->out, status_line(res->status));
    coat_out_bytes(&res->out, "Date: ", 6);
    coat_out_bytes(&res->out, date, COAT_DATE_CHARS);
    coat_out_bytes(&res->out, "\r\nX-Request-Id: ", 16);
    coat_out_bytes(&res->out, res->req->id, COAT_HTTP_ID_CHARS);
    coat_out_bytes(&res->out, "\r\n", 2);
}

void
coat_response_begin(coat_http_response *res, coat_http_request *req, coat_out out,
                    unsigned status, const char *date)
{
    *res = (coat_http_response){
        .out = out, .start = out.len, .req = req, .status = status, .open = true};
    if (status_line(status).len == 0)
        res->status = 500;
    put_head(res, date);
}

static bool
is_token(coat_span text)
{
    uint8_t all = COAT_BYTE_TOKEN;

    for (size_t i = 0; i < text.len; i++)
        all &= coat_byte_class[text.ptr[i]];
    return text.len > 0 && all != 0;
}

static bool
is_framing(coat_span name)
{
    return coat_span_is_nocase(name, COAT_LIT("Content-Length")) ||
           coat_span_is_nocase(name, COAT_LIT("Transfer-Encoding")) ||
           coat_span_is_nocase(name, COAT_LIT("Connection")) ||
           coat_span_is_nocase(name, COAT_LIT("Content-Type"));
}

void
coat_http_field(coat_http_response *res, const char *name, coat_span value)
{
    coat_span key = coat_span_of(name);

    if (!is_token(key) || is_framing(key) || !coat_value_valid(value)) {
        res->bad = true;
        return;
    }
    coat_out_span(&res->out, key);
    coat_out_bytes(&res->out, ": ", 2);
    coat_out_span(&res->out, value);
    coat_out_bytes(&res->out, "\r\n", 2);
}

void
coat_http_field_str(coat_http_response *res, const char *name, const char *value)
{
    coat_http_field(res, name, coat_span_of(value));
}

void
coat_http_field_uint(coat_http_response *res, const char *name, uint64_t value)
{
    char digits[20];
    coat_out out = coat_out_init(digits, sizeof digits);

    coat_out_uint(&out, value);
    coat_http_field(res, name, (coat_span){(const uint8_t *)digits, out.len});
}

void
coat_http_cache(coat_http_response *res, const char *directives)
{
    res->cache = directives;
}

void
coat_http_csp(coat_http_response *res, const char *policy)
{
    res->csp = policy;
}

static void
put_tail(coat_http_response *res, coat_http_type type, size_t body_len)
{
    const coat_http_request *req = res->req;

    if (res->cache != NULL)
        coat_http_field_str(res, "Cache-Control", res->cache);
    else
        coat_out_span(&res->out, COAT_LIT("Cache-Control: no-store\r\n"));
    if (res->csp != NULL)
        coat_http_field_str(res, "Content-Security-Policy", res->csp);
    else if (type == COAT_HTTP_HTML)
        coat_out_span(&res->out, COAT_LIT("Content-Security-Policy: " CSP_PAGE "\r\n"));
    else
        coat_out_span(&res->out, COAT_LIT("Content-Security-Policy: " CSP_OTHER "\r\n"));
    if (req->tls)
        coat_out_span(&res->out, COAT_LIT(HSTS));
    if (type != COAT_HTTP_EMPTY) {
        coat_out_str(&res->out, "Content-Type: ");
        coat_out_str(&res->out, type_names[type]);
        coat_out_bytes(&res->out, "\r\n", 2);
    }
    if (res->status != 204 && res->status != 304) { /* RFC 9110 8.6 */
        coat_out_span(&res->out, COAT_LIT("Content-Length: "));
        coat_out_uint(&res->out, body_len);
        coat_out_bytes(&res->out, "\r\n", 2);
    }
    if (!req->keep_alive)
        coat_out_span(&res->out, COAT_LIT("Connection: close\r\n"));
    else if (req->minor == 0)
        coat_out_span(&res->out, COAT_LIT("Connection: keep-alive\r\n"));
    coat_out_bytes(&res->out, "\r\n", 2);
}

static bool
put_rest(coat_http_response *res, coat_http_type type, coat_span body)
{
    if (type == COAT_HTTP_EMPTY || type >= COAT_HTTP_TYPES)
        body.len = 0;
    put_tail(res, type < COAT_HTTP_TYPES ? type : COAT_HTTP_EMPTY, body.len);
    if (res->req->method != COAT_HTTP_HEAD && res->status != 204 && res->status != 304)
        coat_out_span(&res->out, body);
    return !res->bad && !res->out.over;
}

coat_span
coat_response_error_body(char *buf, size_t cap, const char *code, const char *message,
                         const char *request_id)
{
    coat_out out = coat_out_init(buf, cap);

    coat_out_str(&out, "{\"error\":{\"code\":\"");
    coat_out_str(&out, code);
    coat_out_str(&out, "\",\"message\":\"");
    coat_out_str(&out, message);
    coat_out_str(&out, "\"},\"request_id\":\"");
    coat_out_str(&out, request_id);
    coat_out_str(&out, "\"}\n");
    return (coat_span){(const uint8_t *)buf, out.len};
}

void
coat_response_end(coat_http_response *res, coat_http_type type, coat_span body)
{
    char text[256], date[COAT_DATE_CHARS];
    size_t date_at = res->start + status_line(res->status).len + 6;

    res->open = false;
    if (put_rest(res, type, body))
        return;
    /* Nothing of it may go out: begin again where it began. */
    memcpy(date, res->out.buf + date_at, sizeof date);
    res->out.len = res->start;
    res->out.over = res->bad = false;
    res->status = 500;
    res->reason = "unsendable_response";
    res->cache = res->csp = NULL;
    put_head(res, date);
    (void)put_rest(res, COAT_HTTP_JSON,
                   coat_response_error_body(text, sizeof text, "internal_error",
                                            "Internal Server Error", res->req->id));
}
