/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_SERVER_HTTP_SERVER_H
#define COAT_SERVER_HTTP_SERVER_H

/** Starting and stopping the HTTP server. Threads: all calls from one thread, unless said. */

#include "server/http/http.h"

typedef struct coat_http_server coat_http_server;

typedef struct coat_http_limits {
    uint32_t header_ms;         /* a complete header section within; default 10 s */
    uint32_t body_ms;           /* then a complete body within; default 10 s */
    uint32_t idle_ms;           /* keep-alive; default 60 s */
    uint32_t write_ms;          /* a client that does not read; default 10 s */
    uint32_t connections;       /* public, all loops; 0: from RLIMIT_NOFILE */
    uint32_t admin_connections; /* default 64, on top of the former */
    uint32_t per_source;        /* per IPv4 /32 or IPv6 /64; default 256, 0: no cap */
    uint32_t stop_ms; /* requests in flight may take that long at stop; default 10 s */
} coat_http_limits;

typedef struct coat_http_event {  /* for the access log and metrics */
    const coat_http_request *req; /* NULL: refused before there was a request */
    const coat_http_peer *peer;
    unsigned status;
    const char *reason; /* NULL, or why it was refused: "bad_request", "header_timeout" ... */
} coat_http_event;

typedef struct coat_http_conf {
    const coat_http_listener *listeners; /* borrowed until coat_http_server_free() */
    size_t listener_count;
    unsigned loops; /* 0: one per CPU, at most 64 */
    coat_http_limits limits;
    bool by_hand; /* tests: one loop, no thread: coat_http_server_run() drives it */
    void *ctx;    /* of all hooks */
    /** On the thread of the loop, before its first and after its last request. May be NULL. */
    coat_err (*loop_start)(void *ctx, struct uv_loop_s *loop, unsigned index, void **loop_data);
    /** Connections are closed: close handles of one's own, and answer or forget what is still
     *  in flight. No request may be touched after it. */
    void (*loop_stop)(void *ctx, struct uv_loop_s *loop, unsigned index, void *loop_data);
    /** Sends an error as a page, with coat_http_send(); false if it did not. May be NULL. */
    bool (*error_page)(void *ctx, coat_http_response *res, unsigned status, const char *code,
                       const char *message, const char *request_id);
    /** On the thread of the loop, for each answer. Must not block. May be NULL. */
    void (*log)(void *ctx, const coat_http_event *event);
} coat_http_conf;

void coat_http_limits_default(coat_http_limits *limits);

/**
 * Check the configuration and bind all listeners. Sets SIGPIPE to be ignored.
 * @param message  what is wrong and where, for the operator
 * @retval COAT_INVALID, COAT_IO, COAT_NO_MEMORY
 */
coat_err coat_http_server_new(const coat_http_conf *conf, char *message, size_t cap,
                              coat_http_server **out) COAT_MUST_USE;
/** Start the threads and accept. */
coat_err coat_http_server_start(coat_http_server *server) COAT_MUST_USE;
/**
 * Stop gracefully: accept no more, close idle connections, let requests in flight end within
 * stop_ms. Returns at once; any thread and signal-safe (uv_async_send).
 */
void coat_http_server_stop(coat_http_server *server);
/** Wait until all loops have ended. */
void coat_http_server_join(coat_http_server *server);
void coat_http_server_free(coat_http_server *server);

/** by_hand: one round of the loop; waits for events if wait. false: nothing left alive. */
bool coat_http_server_run(coat_http_server *server, bool wait);
/** by_hand: the clock of timeouts, in place of the loop's. Fires what is due. */
void coat_http_server_tick(coat_http_server *server, int64_t now_ms);

/** Run fn(arg, loop_data) on every loop, each on its own thread (reload). Any thread. */
coat_err coat_http_server_each(coat_http_server *server, void (*fn)(void *arg, void *loop_data),
                               void *arg) COAT_MUST_USE;

/** Port that "127.0.0.1:0" got, 0 if not TCP. */
uint16_t coat_http_server_port(const coat_http_server *server, size_t listener);

typedef struct coat_http_stats {
    uint64_t accepted, refused_cap, refused_source, accept_errors;
    uint64_t requests, bad_requests, timeouts, gone;
    uint64_t open, open_admin;
} coat_http_stats;

/** Sum over the loops. Any thread. */
void coat_http_server_stats(const coat_http_server *server, coat_http_stats *out);

/**
 * Descriptors of socket activation (LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES), made
 * close-on-exec; the variables are removed from the environment so that no child takes them for
 * its own. Call once, early, before there are threads. "fd:NAME" in a listener's address names
 * one.
 * @return how many there are
 */
size_t coat_http_activation_take(void);

/** From now on what jansson frees is wiped. Call once, before there are threads. */
void coat_http_json_wipes(void);

#endif
