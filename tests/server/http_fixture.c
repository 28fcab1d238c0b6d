/* SPDX-License-Identifier: Apache-2.0 */
#include "http_fixture.h"

#include "core/chars.h"

#include <errno.h>
#include <jansson.h>
#include <sys/un.h>
#include <unistd.h>

static http_fixture *current;

static void
ok_text(coat_http_request *req, coat_span text)
{
    coat_http_send(coat_http_reply(req, 200), COAT_HTTP_TEXT, text);
}

static void
run(coat_http_request *req)
{
    current->runs++;
    ok_text(req, COAT_LIT("ran"));
}

static void
verify(coat_http_request *req)
{
    coat_http_send(coat_http_reply(req, 204), COAT_HTTP_EMPTY, (coat_span){NULL, 0});
}

static void
echo(coat_http_request *req)
{
    current->runs++;
    ok_text(req, req->body.len > 0 ? req->body : req->query);
}

static void
form(coat_http_request *req)
{
    const coat_params *params;
    coat_span value = {NULL, 0};
    json_t *json;

    current->runs++;
    if (coat_http_body(req) == COAT_HTTP_BODY_FORM) {
        if (coat_http_form(req, &params) != COAT_OK) {
            coat_http_error(req, 400, "bad_request");
            return;
        }
        (void)coat_params_get(params, "user", &value);
    } else if (coat_http_body(req) == COAT_HTTP_BODY_JSON) {
        if (coat_http_json(req, &json) != COAT_OK) {
            coat_http_error(req, 400, "bad_request");
            return;
        }
        value = coat_span_of(json_string_value(json_object_get(json, "user")));
    }
    ok_text(req, value);
}

static void
query(coat_http_request *req)
{
    const coat_params *params;
    coat_span value = {NULL, 0};

    if (coat_http_query(req, &params) != COAT_OK) {
        coat_http_error(req, 400, "bad_request");
        return;
    }
    (void)coat_params_get(params, "user", &value);
    ok_text(req, value);
}

static void
note_gone(coat_http_request *req)
{
    (void)req;
    current->gone++;
}

static void
hold(coat_http_request *req)
{
    req->on_gone = note_gone;
    current->held[current->held_count++] = req;
}

static void
big(coat_http_request *req)
{
    static char text[60000];

    memset(text, 'b', sizeof text);
    ok_text(req, (coat_span){(const uint8_t *)text, sizeof text});
}

static void
capture(coat_http_request *req)
{
    ok_text(req, req->captures[0]);
}

static void
redirect(coat_http_request *req)
{
    coat_http_redirect(coat_http_reply(req, 303), req->query);
}

static void
whoami(coat_http_request *req)
{
    char text[64];

    (void)snprintf(text, sizeof text, "%d %u %s", req->peer.has_cred, (unsigned)req->peer.uid,
                   req->listener->role == COAT_HTTP_ADMIN ? "admin" : "public");
    ok_text(req, coat_span_of(text));
}

static void
reflect(coat_http_request *req)
{
    coat_http_response *res = coat_http_reply(req, 200);

    coat_http_field(res, "X-Reflected", req->body);
    coat_http_send(res, COAT_HTTP_TEXT, req->body);
}

static void
allow(coat_http_request *req)
{
    coat_http_continue(req);
}

static const coat_http_route routes[] = {
    {COAT_HTTP_GET, "/verify", 0, verify},
    {COAT_HTTP_GET, "/run", 0, run},
    {COAT_HTTP_POST, "/run", COAT_HTTP_TAKES_FORM | COAT_HTTP_TAKES_NONE, run},
    {COAT_HTTP_POST, "/echo", COAT_HTTP_TAKES_FORM, echo},
    {COAT_HTTP_GET, "/echo", 0, echo},
    {COAT_HTTP_POST, "/form", COAT_HTTP_TAKES_FORM | COAT_HTTP_TAKES_JSON, form},
    {COAT_HTTP_POST, "/json", COAT_HTTP_TAKES_JSON, form},
    {COAT_HTTP_POST, "/none", 0, run},
    {COAT_HTTP_GET, "/query", 0, query},
    {COAT_HTTP_GET, "/hold", 0, hold},
    {COAT_HTTP_GET, "/big", 0, big},
    {COAT_HTTP_GET, "/items/{id}", 0, capture},
    {COAT_HTTP_DELETE, "/items/{id}", 0, capture},
    {COAT_HTTP_POST, "/items/{id}/end", COAT_HTTP_TAKES_FORM | COAT_HTTP_TAKES_NONE, capture},
    {COAT_HTTP_GET, "/redirect", 0, redirect},
    {COAT_HTTP_GET, "/whoami", 0, whoami},
    {COAT_HTTP_POST, "/reflect", COAT_HTTP_TAKES_FORM, reflect},
    {COAT_HTTP_GET, "/ext/*", COAT_HTTP_RAW_REST, echo},
};

static const coat_http_router router = {.prefix = "/auth",
                                        .routes = routes,
                                        .count = sizeof routes / sizeof routes[0],
                                        .policy = allow};

static void
log_event(void *ctx, const coat_http_event *event)
{
    http_fixture *f = ctx;

    f->logged++;
    f->last_status = event->status;
    (void)snprintf(f->last_reason, sizeof f->last_reason, "%s",
                   event->reason != NULL ? event->reason : "");
}

static coat_err
loop_start(void *ctx, struct uv_loop_s *loop, unsigned index, void **data)
{
    http_fixture *f = ctx;

    (void)loop;
    (void)index;
    f->starts++;
    *data = f;
    return COAT_OK;
}

static void
loop_stop(void *ctx, struct uv_loop_s *loop, unsigned index, void *data)
{
    http_fixture *f = ctx;

    (void)loop;
    (void)index;
    CHECK(data == f);
    f->stops++;
}

void
http_fixture_init(http_fixture *f)
{
    const char *dir = test_tmpdir();

    memset(f, 0, sizeof *f);
    current = f;
    for (size_t i = 0; i < 2; i++) {
        (void)snprintf(f->paths[i], sizeof f->paths[i], "unix:%s/%zu.sock", dir, i);
        f->listeners[i] = (coat_http_listener){
            .address = f->paths[i],
            .role = i == 0 ? COAT_HTTP_PUBLIC : COAT_HTTP_ADMIN,
            .owner = -1,
            .group = -1,
            .router = &router,
        };
    }
    f->conf = (coat_http_conf){.listeners = f->listeners,
                               .listener_count = 2,
                               .by_hand = true,
                               .ctx = f,
                               .loop_start = loop_start,
                               .loop_stop = loop_stop,
                               .log = log_event};
    coat_http_limits_default(&f->conf.limits);
}

void
http_fixture_start(http_fixture *f)
{
    char message[256] = "";

    if (coat_http_server_new(&f->conf, message, sizeof message, &f->server) != COAT_OK) {
        test_fail(__FILE__, __LINE__, "%s", message);
        test_abort();
    }
    REQUIRE_OK(coat_http_server_start(f->server));
}

void
http_fixture_fini(http_fixture *f)
{
    for (size_t i = 0; i < f->held_count; i++)
        verify(f->held[i]);
    coat_http_server_free(f->server);
    CHECK_INT(f->starts, f->stops);
}

void
http_fixture_spin(http_fixture *f)
{
    for (int i = 0; i < 12; i++)
        (void)coat_http_server_run(f->server, false);
}

void
http_fixture_pass(http_fixture *f, int64_t ms)
{
    for (int64_t end = f->now_ms + ms; f->now_ms < end;) {
        f->now_ms += 100;
        coat_http_server_tick(f->server, f->now_ms);
        (void)coat_http_server_run(f->server, false);
    }
    http_fixture_spin(f);
}

void
http_client_open(http_client *c, const http_fixture *f, size_t listener)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};

    c->len = 0;
    c->eof = c->reset = false;
    (void)snprintf(addr.sun_path, sizeof addr.sun_path, "%s", f->paths[listener] + 5);
    c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    REQUIRE(c->fd >= 0);
    REQUIRE(connect(c->fd, (const struct sockaddr *)&addr, sizeof addr) == 0);
}

bool
http_client_send(http_client *c, const void *bytes, size_t len)
{
    const char *p = bytes;

    while (len > 0) {
        ssize_t n = send(c->fd, p, len, MSG_NOSIGNAL);

        if (n <= 0)
            return false;
        p += n;
        len -= (size_t)n;
    }
    return true;
}

void
http_client_read(http_client *c)
{
    while (c->len < sizeof c->in) {
        ssize_t n = recv(c->fd, c->in + c->len, sizeof c->in - c->len, 0);

        if (n < 0 && errno == ECONNRESET)
            c->reset = true;
        if (n == 0)
            c->eof = true;
        if (n <= 0)
            return;
        c->len += (size_t)n;
    }
}

void
http_client_talk(http_client *c, http_fixture *f, const char *text)
{
    http_fixture_spin(f);
    (void)http_client_send(c, text, strlen(text));
    http_fixture_spin(f);
    http_client_read(c);
}

void
http_client_close(http_client *c)
{
    (void)close(c->fd);
}

static bool
line_end(const char *text, size_t len, size_t from, size_t *end)
{
    const char *lf = from < len ? memchr(text + from, '\n', len - from) : NULL;

    if (lf == NULL || lf == text + from || lf[-1] != '\r')
        return false;
    *end = (size_t)(lf - text) - 1;
    return true;
}

static bool
field_valid(const char *text, size_t from, size_t end)
{
    size_t colon = from;

    while (colon < end && coat_char_is_token((uint8_t)text[colon]))
        colon++;
    if (colon == from || colon == end || text[colon] != ':')
        return false;
    for (size_t i = colon; i < end; i++)
        if (((uint8_t)text[i] < 0x20 && text[i] != '\t') || text[i] == 0x7f)
            return false;
    return true;
}

bool
http_answer_parse(const char *text, size_t len, bool head_request, http_answer *out)
{
    size_t at, end;
    coat_span value = {NULL, 0};
    uint64_t length = 0;

    *out = (http_answer){0};
    if (!line_end(text, len, 0, &end) || end < 13 || memcmp(text, "HTTP/1.1 ", 9) != 0)
        return false;
    for (size_t i = 9; i < 12; i++)
        out->status = out->status * 10 + (unsigned)(text[i] - '0');
    out->head.ptr = (const uint8_t *)text + end + 2;
    for (at = end + 2; line_end(text, len, at, &end) && end > at; at = end + 2)
        if (!field_valid(text, at, end))
            return false;
    if (end != at || at + 2 > len)
        return false;
    out->head.len = at - (size_t)(out->head.ptr - (const uint8_t *)text);
    if (http_answer_field(out, "Content-Length", &value) > 1)
        return false;
    if ((value.ptr != NULL) == (out->status == 204 || out->status < 200 || out->status == 304))
        return false;
    for (size_t i = 0; i < value.len; i++)
        length = length * 10 + (uint64_t)(value.ptr[i] - '0');
    if (head_request)
        length = 0;
    if (length > len - at - 2)
        return false;
    out->body = (coat_span){(const uint8_t *)text + at + 2, (size_t)length};
    out->total = at + 2 + (size_t)length;
    return true;
}

size_t
http_answer_field(const http_answer *answer, const char *name, coat_span *value)
{
    coat_span rest = answer->head, key = coat_span_of(name);
    size_t found = 0;

    while (rest.len > 0) {
        size_t end = coat_span_find(rest, '\r'), colon = coat_span_find(rest, ':');

        if (coat_span_is_nocase(coat_span_slice(rest, 0, colon), key)) {
            found++;
            *value = coat_span_trim(coat_span_slice(rest, colon + 1, end));
        }
        rest = coat_span_slice(rest, end + 2, rest.len);
    }
    return found;
}

int
http_client_answers(const http_client *c)
{
    http_answer answer;
    int n = 0;

    for (size_t at = 0; at < c->len; at += answer.total, n++)
        if (!http_answer_parse(c->in + at, c->len - at, false, &answer))
            return -1;
    return n;
}
