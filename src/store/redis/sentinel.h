/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_STORE_REDIS_SENTINEL_H
#define COAT_STORE_REDIS_SENTINEL_H

/**
 * Redis Sentinel: which server is the primary just now.
 *
 *  sentinel_url.c  redis+sentinel://[USER@]HOST[:PORT],HOST[:PORT].../NAME[/DB]?KEY=VALUE&...
 *  sentinel.c      asks all sentinels at once, when a connection is to be begun
 *  sentry.c        asks now and then whether it still is that one
 *
 * What more than half of the sentinels say is taken at once. What fewer say is taken when the
 * others are gone or silent, unless they contradict one another. That it is a primary at all is
 * looked at on connecting (hello.c).
 */

#include "store/redis/resp.h"
#include "store/remote/stream.h"
#include "store/remote/url.h"

enum {
    SENTINELS_MAX = 16,
    SENTINEL_NAME_MAX = 64,
    SENTINEL_HOST_MAX = 255,
    SENTINEL_REPLY_MAX = 1024, /* bytes of a sentinel's replies */
    SENTINEL_ASK_MS = 800,     /* of REMOTE_CONNECT_MS: the rest is for the server */
    SENTINEL_GRACE_MS = 200,   /* for the others, once one has answered */
    SENTINEL_ENOUGH = 3,       /* fewer cannot lose one and still agree on a new primary */
    SENTRY_MS = 1000,
};

typedef struct redis_place {
    char host[SENTINEL_HOST_MAX + 1]; /* name or address; "": none */
    uint16_t port;
} redis_place;

/** Set when the store is opened. */
typedef struct redis_sentinels {
    size_t count; /* 0: the store is one server */
    redis_place at[SENTINELS_MAX];
    char name[SENTINEL_NAME_MAX + 1]; /* of the primary */
    const char *user;                 /* NULL: none */
    char password[REMOTE_SECRET_MAX + 1];
    const char *server_name; /* what certificates are for; NULL: the host */
    remote_tls_context *tls; /* NULL: plain. Borrowed, as the two above */
    bool plaintext;          /* without TLS the primary may be on another machine */
} redis_sentinels;

static inline bool
redis_place_equal(const redis_place *a, const redis_place *b)
{
    return a->port == b->port && strcmp(a->host, b->host) == 0;
}

/* ---- sentinel_url.c ---- */

/** Is the URL one of sentinels? */
bool redis_sentinel_is_url(const char *text);
/**
 * @param out  its places and name are set
 * @param url  all else; its path is the database
 */
coat_err redis_sentinel_parse(const char *text, redis_sentinels *out, remote_url *url,
                              const char **why);
/** The host of one that is on another machine; NULL: none is. */
const char *redis_sentinel_remote(const redis_sentinels *sentinels);

/* ---- sentinel.c ---- */

/** The reply to SENTINEL GET-MASTER-ADDR-BY-NAME. @return what is wrong; NULL: nothing */
const char *redis_sentinel_place(const resp_reply *reply, redis_place *out);
/** How a server at that place is connected to. Borrows from both. */
remote_address redis_sentinel_address(const redis_sentinels *sentinels,
                                      const redis_place *place);

typedef struct redis_ask redis_ask;
/**
 * @param place  the primary's; NULL: nobody knows, and `why`. Valid until return
 * @param sure   more than half of the sentinels say so
 */
typedef void (*redis_told)(void *ctx, const redis_place *place, bool sure, const char *why);

/** @retval COAT_OK  told() will be called once, later, unless the ask is dropped before */
coat_err redis_ask_begin(uv_loop_t *loop, const redis_sentinels *sentinels, redis_told told,
                         void *ctx, redis_ask **out);
void redis_ask_drop(redis_ask *ask); /* not after told(). NULL is a no-op */

#endif
