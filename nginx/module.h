/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_NGX_MODULE_H
#define COAT_NGX_MODULE_H

/**
 * ngx_http_coatcheck_module: what its files share.
 *
 * - module.c: directives, life of the module; config.c, rules.c, merge.c: what they mean
 * - scan.c: the client's header, once: facts, and what only we may say is taken out
 * - access.c: the decision; cross.c: CSRF and CORS before it; asker.c: who asks
 * - cookies.c: the session cookie found, and kept from upstream
 * - table.c: the node table, mapped by each worker; unmap.c: a former one, unmapped beside the
 * loop
 * - question.c, ask.c, reply.c: a question to the daemon, asked, and its answer parsed strictly
 * - answer.c: what the client is told; identity.c: what the application is told
 * - assertion.c: signed assertions, kept for a few seconds
 * - filter.c: fields of every response
 * - watch.c: WebSockets and event streams end with their session
 *
 * One thread, the event loop of a worker; nothing here may block. All memory of a request comes
 * from its pool and ends with it.
 */

#include <coatcheck/cookie.h>
#include <coatcheck/forward.h>
#include <coatcheck/origin.h>
#include <coatcheck/table.h>

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include "core/chars.h"
#include "reply.h"

extern ngx_module_t ngx_http_coatcheck_module;

enum coat_ngx_limits {
    COAT_NGX_COOKIES = 3,      /* that are ours */
    COAT_NGX_COOKIE_LINES = 8, /* more Cookie lines than that are refused with 400 */
    COAT_NGX_NAMES_MAX = 24,   /* identity headers of all locations of a server together */
    COAT_NGX_REPLY_MAX = 16384,
    COAT_NGX_LIVE_MAX = 4096, /* the answer to /live */
    COAT_NGX_FACT_MAX =
        1024, /* longer values of Accept and the like are not put to the daemon */
    COAT_NGX_KEEPALIVE = 32,
    COAT_NGX_TIMEOUT_MS = 2000,
    COAT_NGX_ROLES = 16,
};

/** What upstream is told about the visitor. */
enum coat_ngx_field {
    COAT_NGX_USER,
    COAT_NGX_ROLES_FIELD,
    COAT_NGX_METHODS,
    COAT_NGX_SESSION,
    COAT_NGX_TIME,
    COAT_NGX_ASSERTION,
    COAT_NGX_FIELDS,
};

enum coat_ngx_mode { COAT_NGX_OFF, COAT_NGX_ON, COAT_NGX_OPTIONAL };
enum coat_ngx_csrf { COAT_NGX_CSRF_OFF, COAT_NGX_CSRF_ON, COAT_NGX_CSRF_SAME_SITE };

/** A node table as this worker has it; NULL while it is not there. */
typedef struct coat_ngx_table {
    ngx_str_t path;
    coat_table *table;
    ngx_msec_t tried;  /* when opening it failed last */
    ngx_msec_t looked; /* when it was seen last that this is the file at path */
    dev_t device;
    ino_t inode;
    int64_t time_ms;   /* the time in it */
    ngx_msec_t moved;  /* when that went on last */
    ngx_msec_t heard;  /* when the daemon answered last */
    ngx_uint_t opened; /* how often one was: so this one has another number */
    ngx_uint_t still;  /* it stands still: said once in the log */
    ngx_uint_t missed; /* it did: said once in the log */
} coat_ngx_table;

typedef struct coat_ngx_daemon {
    ngx_str_t name;
    ngx_addr_t address;
    ngx_uint_t keepalive;
    ngx_queue_t idle; /* connections of this worker that wait for a question */
    ngx_uint_t idle_count;
} coat_ngx_daemon;

/** A header's name as it is sent, in lower case, and nginx's hash of that. */
typedef struct coat_ngx_name {
    ngx_str_t text; /* empty: off */
    u_char *lower;
    ngx_uint_t hash;
} coat_ngx_name;

typedef struct coat_ngx_main {
    ngx_array_t tables;  /* of coat_ngx_table * */
    ngx_array_t daemons; /* of coat_ngx_daemon * */
    ngx_flag_t assertions;
} coat_ngx_main;

typedef struct coat_ngx_srv {
    ngx_flag_t used;       /* some location of this server does something */
    ngx_flag_t cross;      /* some location decides by where requests come from */
    ngx_uint_t name_count; /* identity headers to be taken out of each request */
    coat_ngx_name names[COAT_NGX_NAMES_MAX];
    uint64_t kinds; /* bit n: coat_ngx_kind() of one of them is n */
} coat_ngx_srv;

typedef struct coat_ngx_loc {
    ngx_uint_t mode;
    coat_ngx_table *table;
    coat_ngx_daemon *daemon;
    ngx_msec_t timeout;
    ngx_str_t base_path;
    coat_cookie_conf *cookie;
    coat_span cookie_names[COAT_NGX_COOKIES]; /* it and its companions: none goes upstream */
    ngx_flag_t pass_cookie;
    ngx_array_t *roles; /* of ngx_str_t; NULL: none needed */
    time_t max_age_s;   /* 0: any */
    ngx_flag_t activity;
    ngx_uint_t csrf;
    coat_origins *own;
    coat_origins *cors; /* count 0: off */
    ngx_str_t cors_methods, cors_headers, cors_exposed;
    time_t cors_max_age_s;
    ngx_str_t assertion; /* empty: off; "yes" or an audience */
    ngx_uint_t assertion_hash;
    coat_ngx_name fields[COAT_NGX_FIELDS];
    ngx_flag_t watch;
    ngx_http_complex_value_t *proto;
    ngx_flag_t proto_is_scheme; /* the default, known without a variable */
    ngx_flag_t needs_tls;       /* the cookie's name says that it comes over TLS only */
    ngx_str_t question; /* request line and Host, as far as this location decides them */
} coat_ngx_loc;

/** A Cookie line of the client, as it came and as it goes on. */
typedef struct coat_ngx_line {
    ngx_table_elt_t *known;  /* what nginx's own pointers and variables lead to */
    ngx_table_elt_t *listed; /* what is sent on; NULL: taken out */
    ngx_str_t original;
} coat_ngx_line;

typedef struct coat_ngx_ask coat_ngx_ask;
typedef struct coat_ngx_ctx coat_ngx_ctx;

enum coat_ngx_state { COAT_NGX_IDLE, COAT_NGX_ASKING, COAT_NGX_ANSWERED };

struct coat_ngx_ctx {
    ngx_http_request_t *r;
    /* From scan.c, for as long as the request lives. */
    coat_span agent, language;
    ngx_uint_t line_count;
    bool too_many_lines;
    bool facts_noted; /* only then there are more of them than the method */

    /* The decision; redone after an internal redirect. */
    bool decided; /* something was set for upstream that a redo has to take back */
    enum coat_ngx_state state;
    const char *verdict, *source;
    ngx_str_t values[COAT_NGX_FIELDS]; /* encoded */
    const char *refused;               /* "csrf" or "cors": only a 403 can come of it */
    coat_cors_answer cors;
    bool vary_origin, vary_site;
    bool fields_set, retry_set; /* those of an answer of our own */
    bool watching;              /* watch.c */
    ngx_uint_t set_cookie_count;
    coat_ngx_ask *ask, *live_ask;
    coat_reply *reply; /* NULL: none, or none that can be believed */

    /* From here on nothing is zeroed: each says when it is set. */
    coat_site_facts facts;               /* the method at once, the others when noted */
    coat_span cors_method, cors_headers; /* when noted */
    coat_cookie_found found;             /* by looking for them: our cookies */
    ngx_str_t set_cookie[2]; /* as counted: a rotated cookie, to be sent whatever follows */

    /* By watch.c, while watching. */
    ngx_queue_t watched;
    ngx_uint_t unsure; /* questions in a row that nobody could answer */
    ngx_str_t live_buf;
    ngx_str_t live_question;
    const coat_ngx_loc *watch_conf;

    /* The first line_count of each. */
    coat_ngx_line lines[COAT_NGX_COOKIE_LINES];
    coat_cookie_rest rests[COAT_NGX_COOKIE_LINES];
};

/* ---- config.c, rules.c, merge.c ---- */

/** The directives; module.c names them in its table. */
char *coat_ngx_set_table(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *coat_ngx_set_daemon(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *coat_ngx_set_base_path(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *coat_ngx_set_cookie(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *coat_ngx_set_require(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *coat_ngx_set_age(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *coat_ngx_set_origins(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *coat_ngx_set_words(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *coat_ngx_set_assertion(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *coat_ngx_set_header(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *coat_ngx_set_timeout(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *coat_ngx_set_word(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *coat_ngx_set_proto(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
void *coat_ngx_create_loc(ngx_conf_t *cf);
char *coat_ngx_merge_loc(ngx_conf_t *cf, void *parent, void *child);

/* ---- scan.c ---- */

/** Of a main request whose context is not at hand: an internal redirect has cleared it. */
coat_ngx_ctx *coat_ngx_ctx_again(ngx_http_request_t *r);
/** POST_READ: makes the context, reads the header, takes out what only we may say (FA-3). */
ngx_int_t coat_ngx_post_read(ngx_http_request_t *r);
/** Note what questions, CSRF and CORS need beside; once, since few requests need it. */
void coat_ngx_facts(ngx_http_request_t *r, coat_ngx_ctx *ctx);
/** Take out the identity headers once more: those that we set ourselves before a redirect. */
ngx_int_t coat_ngx_strip(ngx_http_request_t *r, const coat_ngx_srv *scf);
/** Add fields for upstream, each that has a name and a value. */
ngx_int_t coat_ngx_push(ngx_http_request_t *r, const coat_ngx_name *names,
                        const ngx_str_t *values, ngx_uint_t count);
/** Take one element out; and say that the list is not what nginx linked. */
ngx_int_t coat_ngx_unlist(ngx_http_request_t *r, const ngx_table_elt_t *element);
void coat_ngx_list_changed(ngx_http_request_t *r);

/* ---- cookies.c ---- */

/** Look through the Cookie lines, by this location's names: our cookies, and what else. */
void coat_ngx_cookies_look(const coat_ngx_loc *lcf, coat_ngx_ctx *ctx);
/**
 * Take out what was found to be ours, all others stay byte for byte (FA-7); undo it. The same
 * location has looked before.
 */
ngx_int_t coat_ngx_cookies_hide(ngx_http_request_t *r, const coat_ngx_loc *lcf,
                                coat_ngx_ctx *ctx);
ngx_int_t coat_ngx_cookies_restore(ngx_http_request_t *r, coat_ngx_ctx *ctx);

/* ---- access.c ---- */

ngx_int_t coat_ngx_access(ngx_http_request_t *r);
/** The client came by TLS, as far as nginx or coatcheck_proto can tell. */
bool coat_ngx_by_tls(ngx_http_request_t *r, const coat_ngx_loc *lcf);
/** Put the question about this request to the daemon; what to return from the access phase. */
ngx_int_t coat_ngx_put(ngx_http_request_t *r, const coat_ngx_loc *lcf, coat_ngx_ctx *ctx);

/* ---- asker.c ---- */

/** Room for what has to be put together about who asks, if it matters. */
typedef struct coat_ngx_asker {
    const ngx_http_request_t *r;
    const coat_ngx_ctx *ctx;
    coat_context context;
    char language[COAT_LANGUAGE_MAX], address[46];
} coat_ngx_asker;

/** Who asks, for a check: query->context if it is known on this connection, else query->from.
 */
void coat_ngx_asker_of(const ngx_http_request_t *r, const coat_ngx_ctx *ctx,
                       const coat_ngx_table *table, coat_ngx_asker *room,
                       coat_table_query *query);
/** What came out, for the next request of the connection. */
void coat_ngx_asker_keep(const ngx_http_request_t *r, const coat_ngx_ctx *ctx,
                         const coat_ngx_table *table, uint64_t context);

/* ---- identity.c ---- */

/** Values of a live session, from the table or from the daemon. */
ngx_int_t coat_ngx_identity_table(ngx_http_request_t *r, coat_ngx_ctx *ctx, coat_span token,
                                  const coat_table_answer *answer);
ngx_int_t coat_ngx_identity_reply(ngx_http_request_t *r, coat_ngx_ctx *ctx);
ngx_int_t coat_ngx_variables(ngx_conf_t *cf);

/* ---- table.c ---- */

/** The table if it is there, opened anew if the daemon has replaced it. */
coat_table *coat_ngx_table_of(coat_ngx_table *table, ngx_log_t *log);
/** The daemon has answered: then it also writes its table. */
void coat_ngx_table_heard(coat_ngx_table *table);
/** When a worker begins, and when it ends. */
void coat_ngx_tables_open(coat_ngx_main *main, ngx_log_t *log);
void coat_ngx_tables_close(coat_ngx_main *main);
/** Unmap a table that nothing refers to any more, on a thread of its own; or NULL. */
void coat_ngx_unmap(coat_table *table, ngx_log_t *log);
/** Wait until all that is done: when a worker ends. */
void coat_ngx_unmaps_end(void);
/** What this worker has computed lately; or NULL. */
coat_table_memo *coat_ngx_memo(void);
/** Wall clock of this turn of the loop. */
int64_t coat_ngx_now_ms(void);

/* ---- ask.c ---- */

/**
 * Called once, unless the question was cancelled before: with the daemon's whole answer, or
 * NULL. The bytes are in the buffer given to coat_ngx_ask_start().
 */
typedef void (*coat_ngx_told)(void *owner, const coat_reply *reply);

/**
 * Send a question; text and reply buffer are the owner's, and kept until it is told or cancels.
 * @return NULL: the daemon cannot be asked, and nobody will be told
 */
coat_ngx_ask *coat_ngx_ask_start(coat_ngx_daemon *daemon, ngx_str_t text, ngx_str_t buf,
                                 ngx_msec_t timeout, coat_ngx_told told, void *owner,
                                 ngx_log_t *log);
void coat_ngx_ask_cancel(coat_ngx_ask *ask);

/* ---- question.c ---- */

/** The question about this request: may it pass? Memory of the request. */
ngx_int_t coat_ngx_question_verify(ngx_http_request_t *r, const coat_ngx_loc *lcf,
                                   coat_ngx_ctx *ctx, ngx_str_t *out);
/** Is the session of this connection's token still live? */
ngx_int_t coat_ngx_question_live(ngx_http_request_t *r, const coat_ngx_loc *lcf,
                                 coat_ngx_ctx *ctx, ngx_str_t *out);
/** This request is refused (ctx->refused): put it on record, and tell what to answer. */
ngx_int_t coat_ngx_question_refused(ngx_http_request_t *r, const coat_ngx_loc *lcf,
                                    coat_ngx_ctx *ctx, ngx_str_t *out);

/* ---- answer.c ---- */

/** Each answers the client and returns what the access phase is to return. */
ngx_int_t coat_ngx_pass(ngx_http_request_t *r, const coat_reply *reply);
ngx_int_t coat_ngx_refuse(ngx_http_request_t *r);
ngx_int_t coat_ngx_unavailable(ngx_http_request_t *r);
ngx_int_t coat_ngx_preflight(ngx_http_request_t *r, const coat_ngx_loc *lcf, coat_ngx_ctx *ctx);
/** A field of the response; values are borrowed. */
ngx_int_t coat_ngx_out(ngx_http_request_t *r, const char *name, ngx_str_t value);

/* ---- cross.c ---- */

/** NGX_OK: go on. Else the client has been answered. */
ngx_int_t coat_ngx_cross(ngx_http_request_t *r, const coat_ngx_loc *lcf, coat_ngx_ctx *ctx);
ngx_int_t coat_ngx_cors_fields(ngx_http_request_t *r, const coat_ngx_loc *lcf,
                               coat_ngx_ctx *ctx);

/* ---- filter.c ---- */

void coat_ngx_filter_install(void);

/* ---- watch.c ---- */

/** Close this connection within two seconds of its session's end. @return NGX_ERROR: nobody
 * would: the response must not begin */
ngx_int_t coat_ngx_watch(ngx_http_request_t *r, const coat_ngx_loc *lcf, coat_ngx_ctx *ctx);
void coat_ngx_unwatch(coat_ngx_ctx *ctx);
ngx_int_t coat_ngx_watch_init(ngx_cycle_t *cycle);

/* ---- assertion.c ---- */

ngx_int_t coat_ngx_assertions_init(void);
void coat_ngx_assertions_close(void);
/** A kept assertion with enough time left, in ctx->values. @return false: ask the daemon */
bool coat_ngx_assertion_find(const coat_ngx_loc *lcf, coat_ngx_ctx *ctx,
                             const coat_handle *handle, ngx_pool_t *pool);
void coat_ngx_assertion_keep(const coat_ngx_loc *lcf, coat_ngx_ctx *ctx);

/* ---- little helpers ---- */

/** The request's context, also after an internal redirect; NULL: this server does not use us.
 */
static inline coat_ngx_ctx *
coat_ngx_ctx_of(ngx_http_request_t *r)
{
    coat_ngx_ctx *ctx = ngx_http_get_module_ctx(r->main, ngx_http_coatcheck_module);

    return ctx != NULL ? ctx : coat_ngx_ctx_again(r->main);
}

static inline coat_span
coat_ngx_span(ngx_str_t text)
{
    return (coat_span){text.data, text.len};
}

static inline ngx_str_t
coat_ngx_text(coat_span span)
{
    return (ngx_str_t){.len = span.len, .data = (u_char *)(uintptr_t)span.ptr};
}

/** At most so many bytes of it. */
static inline coat_span
coat_ngx_cut(coat_span span, size_t most)
{
    if (span.len > most)
        span.len = most;
    return span;
}

/**
 * A number below 64 that follows from a name's length and its first letter, in either case:
 * what distinguishes these, 0x20, is a multiple of 64 by then. Few of the fields that clients
 * send share one with a name that is looked for, so most of a header is passed at the price of
 * this.
 */
static inline unsigned
coat_ngx_kind(size_t len, uint8_t first)
{
    return (unsigned)(len + (size_t)40 * first) & 63;
}

/** One more name to be taken out of each request; there is room. */
static inline void
coat_ngx_add_name(coat_ngx_srv *scf, const coat_ngx_name *name)
{
    scf->names[scf->name_count++] = *name;
    scf->kinds |= coat_char_is_alnum(name->lower[0])
                      ? (uint64_t)1 << coat_ngx_kind(name->text.len, name->lower[0])
                      : ~(uint64_t)0; /* the client may spell it in several ways */
}

#define COAT_NGX_STR(s) ((ngx_str_t){.len = sizeof(s) - 1, .data = (u_char *)(uintptr_t)(s)})

#endif
