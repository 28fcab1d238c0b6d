/* SPDX-License-Identifier: Apache-2.0 */
/**
 * Sessions in a C program of your own: a web page that counts your visits, with sign-in and
 * sign-out. It embeds libcoatcheck, with the store in memory.
 *
 *   cc embed.c $(pkg-config --cflags --libs coatcheck) -o embed && ./embed 8080
 *
 * Passwords are left out (anybody may sign in as anybody), and HTTP is read as simply as a
 * demonstration may: one request a connection, on the loopback interface only.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* strcasestr */
#endif
#include <coatcheck/coatcheck.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct visit { /* one request and its answer */
    char request[8192];
    coat_engine *engine;
    coat_session *session; /* NULL: none */
    coat_span cookie;      /* the token as the browser sent it */
    char set_cookie[COAT_COOKIE_LINE_MAX + 1];
    char body[4096];
    int status;
} visit;

/* Without TLS there is no __Host- prefix and no Secure. Use the defaults behind TLS! */
static const coat_cookie_conf cookies = {.name = "id", .path = "/"};

static coat_span
span(const char *text)
{
    return (coat_span){(const uint8_t *)text, strlen(text)};
}

/** The session cookie, if exactly one value stands under its name. */
static void
find_cookie(visit *v)
{
    char *line = strcasestr(v->request, "\r\nCookie: ");
    coat_cookie_found found;
    coat_span text;

    if (line == NULL)
        return;
    line += 10;
    text = (coat_span){(uint8_t *)line, strcspn(line, "\r")};
    coat_cookie_find(&cookies, &text, 1, &found);
    if (!found.ambiguous && found.count == 1)
        v->cookie = found.value[0];
}

static void
send_token(visit *v, const char token[COAT_TOKEN_CHARS])
{
    coat_span value = {(const uint8_t *)token, COAT_TOKEN_CHARS};
    size_t len;

    if (coat_cookie_set(&cookies, value, -1, v->set_cookie, sizeof v->set_cookie, &len) !=
        COAT_OK)
        v->set_cookie[0] = '\0';
}

/** Who is this? A guest gets a session, too. @return false if that cannot be told now */
static bool
identify(visit *v)
{
    coat_context context = {0};
    char token[COAT_TOKEN_CHARS];
    bool set_token = false;
    coat_err err =
        coat_session_check(v->engine, v->cookie, &context, &v->session, &set_token, token);

    if (err == COAT_NO_SESSION) {
        err = coat_session_create(v->engine, span(""), span(""), span(""), &context,
                                  &v->session, token);
        set_token = err == COAT_OK;
    }
    if (set_token) /* a new session, or the successor of this token */
        send_token(v, token);
    return err == COAT_OK;
}

/** Run a call on this session. What it returns takes the place of the session. */
static bool
carry_out(visit *v, coat_call call)
{
    call.has_handle = call.op == COAT_CALL_PATCH;
    call.handle = *coat_session_handle(v->session);
    if (coat_engine_run(v->engine, &call) != COAT_OK) {
        v->status = coat_err_kind_of(call.result) == COAT_KIND_ANSWER ? 403 : 503;
        return false;
    }
    if (call.set_token)
        send_token(v, call.token_text);
    if (call.session != NULL) {
        coat_session_free(v->session);
        v->session = call.session;
    }
    return true;
}

/** Every form carries the session's CSRF token; see coat_site_check() for more. */
static bool
form_is_ours(visit *v)
{
    char *field = strstr(v->request, "csrf=");

    return field != NULL &&
           coat_session_csrf_check(
               v->engine, v->session,
               (coat_span){(uint8_t *)field + 5, strcspn(field + 5, "&")}) == COAT_OK;
}

static void
show(visit *v)
{
    const coat_record *record = coat_session_record(v->session);
    char csrf[COAT_CSRF_CHARS], patch[64];
    unsigned visits = 0;

    /* Application data is a JSON object; this one has a single member. Spans have no NUL. */
    snprintf(patch, sizeof patch, "%.*s", (int)record->data.len,
             (const char *)record->data.ptr);
    (void)sscanf(patch, "{\"visits\":%9u", &visits);
    snprintf(patch, sizeof patch, "{\"visits\":%u}", visits + 1);
    if (!carry_out(v, (coat_call){.op = COAT_CALL_PATCH, .data = span(patch)}) ||
        coat_session_csrf(v->engine, v->session, csrf) != COAT_OK)
        return;
    record = coat_session_record(v->session);
    snprintf(v->body, sizeof v->body,
             "<!doctype html><title>Visits</title><p>Hello %.*s, visit %u.\n"
             "<form method=post><input type=hidden name=csrf value=%.*s>"
             "<button formaction=/in>Sign in as ada</button>"
             "<button formaction=/out>Sign out</button></form>\n",
             record->user.len > 0 ? (int)record->user.len : 5,
             record->user.len > 0 ? (const char *)record->user.ptr : "guest", visits + 1,
             COAT_CSRF_CHARS, csrf);
    v->status = 200;
}

static void
sign_in(visit *v)
{
    coat_call call = {.op = COAT_CALL_CREATE,
                      .user = span("ada"),
                      .methods = span("none"),
                      .token = v->cookie, /* the guest's session ends, its data stays */
                      .keep_data = true};

    if (carry_out(v, call))
        v->status = 303;
}

static void
sign_out(visit *v)
{
    size_t len;

    if (!carry_out(v, (coat_call){.op = COAT_CALL_END, .token = v->cookie}))
        return;
    if (coat_cookie_delete(&cookies, v->set_cookie, sizeof v->set_cookie, &len) == COAT_OK)
        v->status = 303;
}

static void
answer(visit *v)
{
    bool post = strncmp(v->request, "POST ", 5) == 0;

    find_cookie(v);
    v->status = 503; /* "cannot tell" is not "not signed in": the cookie stays */
    if (!identify(v))
        return;
    if (post && !form_is_ours(v))
        v->status = 403;
    else if (post && strncmp(v->request, "POST /in ", 9) == 0)
        sign_in(v);
    else if (post && strncmp(v->request, "POST /out ", 10) == 0)
        sign_out(v);
    else if (strncmp(v->request, "GET / ", 6) == 0)
        show(v);
    else
        v->status = 404;
}

static void
serve(coat_engine *engine, int client)
{
    static visit v;
    char *end = NULL;
    size_t len = 0;
    ssize_t n;

    memset(&v, 0, sizeof v);
    v.engine = engine;
    /* A form of ours has its token in the last field of a short body. */
    while ((end == NULL || (v.request[0] == 'P' && strlen(end) < 4 + 5 + COAT_CSRF_CHARS)) &&
           (n = read(client, v.request + len, sizeof v.request - 1 - len)) > 0) {
        len += (size_t)n;
        end = strstr(v.request, "\r\n\r\n");
    }
    answer(&v);
    dprintf(client, "HTTP/1.1 %d -\r\nConnection: close\r\nCache-Control: no-store\r\n",
            v.status);
    dprintf(client, "Content-Type: text/html; charset=utf-8\r\nContent-Length: %zu\r\n",
            strlen(v.body));
    if (v.set_cookie[0] != '\0')
        dprintf(client, "Set-Cookie: %s\r\n", v.set_cookie);
    dprintf(client, "%s\r\n%s", v.status == 303 ? "Location: /\r\n" : "", v.body);
    coat_session_free(v.session);
    close(client);
}

int
main(int argc, char **argv)
{
    coat_engine_conf conf;
    coat_store_conf store_conf = {.url = "memory:"}; /* or "lmdb:/var/lib/..." to keep them */
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)(argc > 1 ? strtoul(argv[1], NULL, 10) : 0)),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    unsigned short port = 0;
    coat_engine *engine;
    coat_keys *keys;
    coat_store *store;
    int listener = socket(AF_INET, SOCK_STREAM, 0);

    if (argc > 1 && sscanf(argv[1], "%5hu", &port) != 1)
        return 2;
    address.sin_port = htons(port);
    coat_engine_conf_default(&conf);
    /* Keys made here end with the program; coat_keys_parse() reads those of a key file. */
    if (coat_init() != COAT_OK || coat_store_open(&store_conf, &store) != COAT_OK ||
        coat_keys_generate(coat_clock_system(NULL), coat_rng_system, NULL, &keys) != COAT_OK)
        return 1;
    conf.keys = keys;
    conf.store = store;
    if (coat_engine_new(&conf, &engine) != COAT_OK)
        return 1;
    if (bind(listener, (struct sockaddr *)&address, size) != 0 || listen(listener, 16) != 0 ||
        getsockname(listener, (struct sockaddr *)&address, &size) != 0) {
        perror("listen");
        return 1;
    }
    printf("http://127.0.0.1:%d/\n", ntohs(address.sin_port));
    fflush(stdout);
    for (;;) {
        int client = accept(listener, NULL, NULL);

        if (client >= 0)
            serve(engine, client);
    }
}
