/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_SERVER_HTTP_HTTP_H
#define COAT_SERVER_HTTP_HTTP_H

/**
 * What routes see of HTTP: request, response, route table.
 *
 * A handler gets a request on the thread of its loop and ends it exactly once, before or after
 * it returns, on the same thread: coat_http_send(), coat_http_error() or coat_http_redirect().
 * Until then the request, its spans and its arena stay valid and unchanged, even if the client
 * has gone; ending a request whose client has gone is harmless. Afterwards they are gone.
 *
 *     static void
 *     show_session(coat_http_request *req)
 *     {
 *         coat_http_response *res = coat_http_reply(req, 200);
 *
 *         coat_http_field(res, "X-Auth-User", user);
 *         coat_http_send(res, COAT_HTTP_JSON, json_text);
 *     }
 *
 * A response is built in one go: between coat_http_reply() and its end nothing else may be
 * answered on this loop (one response under construction per loop).
 */

#include "core/bytes.h"
#include "server/http/params.h"
#include <coatcheck/forward.h>
#include <sys/types.h>

#define COAT_HTTP_LINE_MAX 8192
#define COAT_HTTP_HEADER_MAX 16384
#define COAT_HTTP_FIELDS_MAX 100
#define COAT_HTTP_BODY_MAX 16384
#define COAT_HTTP_ARENA_MAX 12288  /* per request, for handlers */
#define COAT_HTTP_ANSWER_MAX 65536 /* one response, head and body */
#define COAT_HTTP_CAPTURES_MAX 4
#define COAT_HTTP_ID_CHARS 16

typedef struct coat_http_request coat_http_request;
typedef struct coat_http_response coat_http_response;
typedef struct coat_http_route coat_http_route;
typedef struct coat_http_listener coat_http_listener;
struct json_t;
struct uv_loop_s;

typedef enum coat_http_method {
    COAT_HTTP_OTHER = 0, /* a valid token, but none of these */
    COAT_HTTP_GET,
    COAT_HTTP_HEAD,
    COAT_HTTP_POST,
    COAT_HTTP_PUT,
    COAT_HTTP_PATCH,
    COAT_HTTP_DELETE,
    COAT_HTTP_OPTIONS,
} coat_http_method;

typedef enum coat_http_type {
    COAT_HTTP_EMPTY = 0, /* no body, no Content-Type: 204, 303, 304 */
    COAT_HTTP_JSON,
    COAT_HTTP_HTML,
    COAT_HTTP_TEXT,
    COAT_HTTP_CSS,
    COAT_HTTP_SVG,
    COAT_HTTP_PNG,
    COAT_HTTP_METRICS, /* Prometheus text format 0.0.4 */
    COAT_HTTP_YAML,    /* the OpenAPI description */
    COAT_HTTP_JWKS,    /* JWK Set, RFC 7517 8.5.2 */
    COAT_HTTP_TYPES
} coat_http_type;

/** Who is at the other end of the connection. */
typedef struct coat_http_peer {
    coat_address address; /* !known on a Unix socket */
    uint16_t port;
    bool is_unix;
    bool has_cred; /* SO_PEERCRED answered: uid, gid, pid are set */
    uid_t uid;
    gid_t gid;
    pid_t pid;
} coat_http_peer;

/** Read-only for handlers but where it says otherwise. */
struct coat_http_request {
    coat_http_method method;
    coat_span method_text;
    coat_span target; /* origin-form as received, "/auth/login?x=1"; "*" for OPTIONS * */
    coat_span path;   /* decoded once, no dot segments, no empty segments but the last */
    coat_span query;  /* as received, without "?": coat_http_query() decodes it */
    bool has_query;
    coat_span host; /* as received: never build a URL from it (RD-2) */
    uint8_t minor;  /* HTTP/1.minor */
    bool keep_alive;
    const coat_field *fields;
    size_t field_count;
    coat_span body; /* decoded if it came chunked */
    coat_http_peer peer;
    const coat_http_listener *listener;
    const coat_http_route *route;               /* NULL in an error hook before routing */
    coat_span captures[COAT_HTTP_CAPTURES_MAX]; /* of {name} in the pattern, in order */
    size_t capture_count;
    char id[COAT_HTTP_ID_CHARS + 1]; /* X-Request-Id: ours, never the client's */
    void *loop_data;                 /* what loop_start() of the server gave for this loop */
    bool tls;   /* may be set by policy or handler: the client came by TLS (HSTS) */
    void *user; /* the handler's own */
    /** The handler's own; called once if the client goes before the answer. May be NULL. */
    void (*on_gone)(coat_http_request *req);
};

/* Fields. Names compare without case. */

typedef enum coat_http_found {
    COAT_HTTP_ABSENT = 0,
    COAT_HTTP_ONE,
    COAT_HTTP_REPEATED, /* out is left alone */
} coat_http_found;

/** The only value of a field that must not be repeated. */
coat_http_found coat_http_single(const coat_http_request *req, const char *name,
                                 coat_span *out);
size_t coat_http_count(const coat_http_request *req, const char *name);
/** Next field of that name at or after *at, which moves behind it. false: none left. */
bool coat_http_next(const coat_http_request *req, const char *name, size_t *at, coat_span *out);
/** A token in a comma-separated list field, over all its lines: Connection, TE, ... */
bool coat_http_lists(const coat_http_request *req, const char *name, const char *token);

/** Bytes that live as long as the request, aligned for anything; NULL if the arena is full. */
void *coat_http_alloc(coat_http_request *req, size_t size);
/** Has the client gone? The answer will be dropped, work may be cut short. */
bool coat_http_gone(const coat_http_request *req);

/**
 * Parameters of the query, and the body as the route's flags allow it: decoded exactly once.
 * Parsed on first use, then kept for the request, so policy and handler may both ask.
 * @retval COAT_MALFORMED   bad escape, NUL, duplicate name: answer 400 (FA-11)
 * @retval COAT_TOO_LARGE   over 64 parameters, or the arena is full: 400
 * @retval COAT_INVALID     the body is of another type, see coat_http_body(): 415
 * coat_http_form() decodes in place: req->body is not to be used after it.
 */
coat_err coat_http_query(coat_http_request *req, const coat_params **out) COAT_MUST_USE;
coat_err coat_http_form(coat_http_request *req, const coat_params **out) COAT_MUST_USE;
/** Owned by the request. Duplicate keys, depth over 16, over 64 members: COAT_MALFORMED. */
coat_err coat_http_json(coat_http_request *req, struct json_t **out) COAT_MUST_USE;
/** Which of both did come. */
typedef enum coat_http_body_type {
    COAT_HTTP_BODY_NONE,
    COAT_HTTP_BODY_FORM,
    COAT_HTTP_BODY_JSON,
} coat_http_body_type;
coat_http_body_type coat_http_body(const coat_http_request *req);

/** Accept: does the client prefer text/html over application/json? Absent, "*": false. */
bool coat_http_wants_html(const coat_http_request *req);

/* Responses */

/** Begin the response to req: status line and the fields that every response has. */
coat_http_response *coat_http_reply(coat_http_request *req, unsigned status);
/**
 * Add a field. name is a constant of ours. A value with CR, LF, NUL or another control byte
 * turns the whole response into a 500 when it is sent: it cannot be emitted (FA-9).
 */
void coat_http_field(coat_http_response *res, const char *name, coat_span value);
void coat_http_field_str(coat_http_response *res, const char *name, const char *value);
void coat_http_field_uint(coat_http_response *res, const char *name, uint64_t value);
/** In place of the default "no-store": only for what is the same for everybody. */
void coat_http_cache(coat_http_response *res, const char *directives);
/** In place of the default Content-Security-Policy; it must keep FA-11's three directives. */
void coat_http_csp(coat_http_response *res, const char *policy);
/** End the request. Content-Length is ours, body is copied; HEAD sends none. */
void coat_http_send(coat_http_response *res, coat_http_type type, coat_span body);

/**
 * Answer with the error schema {"error":{"code","message"},"request_id"}, or with a page if the
 * client prefers HTML and the server has an error_page hook. code: stable, lower snake case.
 */
void coat_http_error(coat_http_request *req, unsigned status, const char *code);
/** The same with fields of one's own added before: res from coat_http_reply(). */
void coat_http_send_error(coat_http_response *res, const char *code);
/** 303 (or 302 for a navigation that verify refuses) with Location, percent-encoded (RD-2). */
void coat_http_redirect(coat_http_response *res, coat_span location);
/** Stable code that goes with a status when there is no better one: 404 -> "not_found". */
const char *coat_http_status_code(unsigned status);

/* Routes */

typedef void (*coat_http_handler)(coat_http_request *req);

/** What a route takes as body; nothing set: a body is refused with 415. */
#define COAT_HTTP_TAKES_FORM 0x01u
#define COAT_HTTP_TAKES_JSON 0x02u
#define COAT_HTTP_TAKES_NONE 0x04u /* with the above: an empty body will do as well */
/** The rest behind the pattern is not looked at (dialect of Envoy): pattern ends in "*". */
#define COAT_HTTP_RAW_REST 0x08u
/** From here on: the policy's own flags. */
#define COAT_HTTP_FLAG_USER 0x100u

/** One row; GET serves HEAD as well. Pattern: "/sessions/{handle}/end", below the prefix. */
struct coat_http_route {
    coat_http_method method;
    const char *pattern;
    uint32_t flags;
    coat_http_handler handler;
};

typedef struct coat_http_router {
    const char *prefix; /* "" or "/auth"; no trailing slash */
    const coat_http_route *routes;
    size_t count;
    /**
     * Called for every request that has matched a route, before its handler (CS-1): answers,
     * or goes on with coat_http_continue(), now or later. NULL: every unsafe method is denied.
     */
    void (*policy)(coat_http_request *req);
    /** Sets req->tls for errors that are answered before the policy is asked. May be NULL. */
    void (*transport)(coat_http_request *req);
    /* Match the path as it came, then decode each capture for itself, so that it may hold "/"
     * or be "..": for ids that others have chosen. Else the path is decoded first, once. */
    bool any_capture;
} coat_http_router;

/** Policy: run the handler of req->route. */
void coat_http_continue(coat_http_request *req);

/* Server: server.h starts it. */

typedef enum coat_http_role {
    COAT_HTTP_PUBLIC,
    COAT_HTTP_ADMIN, /* exempt from the caps for public connections, has room of its own */
} coat_http_role;

/** A place to listen, as configured; handlers find it in req->listener. */
struct coat_http_listener {
    const char *address; /* "127.0.0.1:8080", "[::1]:8080", "unix:/run/x.sock", "fd:NAME" */
    coat_http_role role;
    unsigned mode;    /* of a Unix socket, 0: 0600 */
    int owner, group; /* of a Unix socket, -1: leave */
    const coat_http_router *router;
    /** May this peer connect at all? Asked before a byte is read. NULL: everybody. */
    bool (*admit)(const coat_http_listener *listener, const coat_http_peer *peer);
    const void *user; /* the application's: dialect, trusted networks ... */
};

#endif
