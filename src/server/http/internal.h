/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_SERVER_HTTP_INTERNAL_H
#define COAT_SERVER_HTTP_INTERNAL_H

/**
 * How the parts of the server hold together.
 *
 * server (one) -> loops (one per thread) -> ports (one per listener and loop), connections.
 * A connection is small. From the first byte of a request to the last of its answer it has an
 * exchange: buffer, parser, request, arena; a loop reuses the hottest one, so that a request
 * answered at once allocates nothing. Answers are built in the loop's batch buffer and written
 * at the end of a read; only what the kernel does not take at once is copied.
 */

#include "core/out.h"
#include "server/http/parser.h"
#include "server/http/server.h"
#include "server/http/wheel.h"
#include <uv.h>

#define COAT_BATCH_CAP (2 * COAT_HTTP_ANSWER_MAX)
#define COAT_BATCH_FLUSH 16384 /* write before answering more of a pipeline */
#define COAT_LINGER_MS 2000
#define COAT_LINGER_BYTES 65536
#define COAT_SPARES_MAX 64 /* unused exchanges and connections that a loop keeps */
#define COAT_DATE_CHARS 29

typedef struct coat_conn coat_conn;
typedef struct coat_loop coat_loop;

struct coat_http_response {
    coat_out out;
    size_t start; /* of this response in out */
    coat_http_request *req;
    unsigned status;
    bool bad;  /* a field that cannot be emitted */
    bool open; /* between reply and send */
    const char *cache, *csp;
    const char *reason; /* for the log */
};

typedef struct coat_exchange {
    coat_http_request req; /* first: an exchange is found by its request */
    coat_conn *conn;
    struct coat_exchange *next; /* spare */
    coat_parser parser;
    uint32_t base; /* of the request in bytes */
    uint32_t end;  /* of what was read */
    bool in_flight;
    bool has_query;
    coat_http_body_type body_type;
    coat_err body_err, query_err;
    bool body_parsed, query_parsed;
    coat_params *form, *query;
    struct json_t *json;
    size_t arena_used;
    coat_field fields[COAT_HTTP_FIELDS_MAX];
    _Alignas(16) uint8_t arena[COAT_HTTP_ARENA_MAX];
    uint8_t bytes[COAT_PARSER_BUFFER];
} coat_exchange;

_Static_assert(sizeof(coat_exchange) + 4096 <= 65536, "RX-1: 64 KiB per connection");

typedef enum coat_phase {
    COAT_PHASE_IDLE = 0, /* between requests */
    COAT_PHASE_FIRST,    /* connected, nothing sent yet */
    COAT_PHASE_HEADER,
    COAT_PHASE_BODY,
    COAT_PHASE_HANDLER, /* no deadline: handlers have their own */
    COAT_PHASE_WRITE,
    COAT_PHASE_LINGER, /* refused: let the client read the answer, drop what it sends */
} coat_phase;

struct coat_conn {
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } uv;
    coat_wheel_node timeout;
    coat_loop *loop;
    coat_exchange *ex;
    coat_conn *next, *prev; /* of the loop */
    const coat_http_listener *listener;
    uv_write_t write;
    char *pending; /* what the kernel did not take, while writing */
    uint32_t requests;
    uint32_t lingered;
    uint32_t source; /* slot in the table of sources, 0: none */
    uint8_t phase;
    bool processing; /* inside coat_conn_process() */
    bool reading;
    bool writing;
    bool close_after; /* no request is answered any more, close once all is written */
    bool refused;     /* linger before closing */
    bool continued;   /* 100 Continue was sent for this request */
    bool closing;
    bool closed; /* the handle is gone; only a request in flight keeps this */
    coat_http_peer peer;
};

/** A listener on one loop. */
typedef struct coat_port {
    uv_poll_t poll;
    coat_loop *loop;
    const coat_http_listener *conf;
    int fd;
    bool is_unix, open, paused;
} coat_port;

struct coat_loop {
    uv_loop_t uv;
    uv_async_t wake;
    uv_timer_t timer;
    uv_thread_t thread;
    coat_http_server *server;
    unsigned index;
    bool has_thread, started, stopping, stopped, ticking;
    unsigned task_seen;
    coat_err start_err;
    int spare_fd; /* for accepting an admin when there are no more descriptors */
    int64_t now_ms;
    int64_t stop_deadline_ms;
    void *data;
    coat_port *ports;
    coat_conn conns; /* ring */
    size_t conn_count;
    coat_conn *spare_conns;
    coat_exchange *spare_exchanges;
    unsigned spare_conn_count, spare_exchange_count;
    coat_http_response res;
    coat_conn *batch_owner; /* whose answers lie in the batch */
    size_t batch_len;
    uint64_t id_seed, id_count;
    time_t date_s;
    char date[COAT_DATE_CHARS + 1];
    coat_wheel wheel;
    coat_http_stats stats; /* written by this thread only; read by any, relaxed */
    char drop[4096];       /* bytes that nobody wants */
    char batch[COAT_BATCH_CAP];
};

#define COAT_COUNT(loop, what)                                                                 \
    __atomic_store_n(&(loop)->stats.what, (loop)->stats.what + 1, __ATOMIC_RELAXED)

typedef struct coat_sources coat_sources;
typedef struct coat_task {
    void (*fn)(void *arg, void *loop_data);
    void *arg;
    unsigned left;
} coat_task;

struct coat_http_server {
    coat_http_conf conf;
    unsigned loop_count;
    coat_loop *loops;
    int *fds; /* one per listener */
    uv_sem_t started;
    bool stop_wanted; /* atomic */
    uint32_t cap;
    uint32_t open, open_admin; /* atomic */
    coat_sources *sources;
    uv_mutex_t task_lock;
    uv_cond_t task_done;
    coat_task task;
    unsigned task_serial;
};

/* response.c: a response in a buffer; knows nothing of connections */
void coat_response_begin(coat_http_response *res, coat_http_request *req, coat_out out,
                         unsigned status, const char *date);
/** Complete it; too large or bad becomes a 500 in its place. */
void coat_response_end(coat_http_response *res, coat_http_type type, coat_span body);
/** The error schema (AU-7) in buf. */
coat_span coat_response_error_body(char *buf, size_t cap, const char *code, const char *message,
                                   const char *request_id);
const char *coat_http_status_text(unsigned status);
void coat_http_date(time_t when, char out[COAT_DATE_CHARS + 1]);

/* url.c */
/**
 * Path and query of a target in origin-form. The path is decoded exactly once, into buf if it
 * has escapes. @retval COAT_MALFORMED bad escape, encoded "/", control byte, dot or empty
 * segment
 */
coat_err coat_url_split(coat_span target, coat_span *path, coat_span *query, bool *has_query);
coat_err coat_url_path(coat_span raw, uint8_t *buf, size_t cap, coat_span *out) COAT_MUST_USE;
/** Only the rules about segments, for a path that stays as it is. */
coat_err coat_url_segments(coat_span path) COAT_MUST_USE;

/* json.c, negotiate.c */
coat_err coat_json_parse(coat_span text, struct json_t **out) COAT_MUST_USE;
bool coat_accept_html(coat_span accept);
/** Media type of a Content-Type without its parameters, trimmed. */
coat_span coat_media_type(coat_span value);

/* router.c */
void coat_router_dispatch(const coat_http_router *router, coat_http_request *req);

/* conn.c */
void coat_conn_open(coat_port *port, int fd, const coat_http_peer *peer, uint32_t source);
/** Parse and answer what has been read, then wait for whatever is next. */
void coat_conn_process(coat_conn *conn);
/** Its deadline has passed. */
void coat_conn_timeout(coat_conn *conn);
void coat_conn_close(coat_conn *conn);
/** Stopping: close it if it is idle, else after the answer. */
void coat_conn_stop(coat_conn *conn);
void coat_conn_free_spares(coat_loop *loop);

/* exchange.c */
coat_exchange *coat_exchange_take(coat_loop *loop, coat_conn *conn);
void coat_exchange_give(coat_loop *loop, coat_exchange *ex);
/** The request in ex is complete: answer it, now or later. */
void coat_exchange_run(coat_exchange *ex);
/** What follows cannot be understood: answer status and close. */
void coat_exchange_refuse(coat_exchange *ex, unsigned status, const char *reason);
/** Write the batch. */
void coat_conn_flush(coat_conn *conn);

/* loop.c */
coat_err coat_loop_init(coat_loop *loop, coat_http_server *server, unsigned index);
/** Hook, ports; on the loop's thread. */
coat_err coat_loop_start(coat_loop *loop);
/** Until it has been stopped. */
void coat_loop_run(coat_loop *loop);
/** The clock of timeouts: that of the loop, or the tests'. */
int64_t coat_loop_now(coat_loop *loop);
void coat_loop_tick(coat_loop *loop, int64_t now_ms);
/** Something will be due: a timeout, or a listener that was left alone. */
void coat_loop_want_ticks(coat_loop *loop);
void coat_loop_fini(coat_loop *loop);
/** A connection more, a connection less. */
void coat_loop_joined(coat_loop *loop, coat_conn *conn);
void coat_loop_left(coat_loop *loop, coat_conn *conn);

/* accept.c */
coat_err coat_port_open(coat_port *port);
void coat_port_close(coat_port *port);
void coat_port_resume(coat_port *port);

/* listen.c */
/** A bound and listening descriptor. */
coat_err coat_listen_bind(const coat_http_listener *conf, char *message, size_t cap,
                          int *fd) COAT_MUST_USE;
/** After closing: remove the path of a Unix socket, unless a successor listens there. */
void coat_listen_unlink(const coat_http_listener *conf);
bool coat_listen_is_unix(int fd);
uint16_t coat_listen_port(int fd);
/** Descriptor that the service manager passed under that name, -1: none. */
int coat_activation_fd(const char *name);

/* sources.c: connections per network, all loops */
coat_err coat_sources_new(uint32_t slots, uint32_t limit, coat_sources **out);
void coat_sources_free(coat_sources *sources);
/** @return slot to give back, 0: no slot was taken, *allowed tells whether to go on */
uint32_t coat_sources_take(coat_sources *sources, const coat_address *address, bool *allowed);
void coat_sources_give(coat_sources *sources, uint32_t slot);

#endif
