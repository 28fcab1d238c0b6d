/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_FUZZ_REDIS_H
#define COAT_FUZZ_REDIS_H

/** A kind of link that is greeted as Redis is, and has no network. */

#include "fuzz_remote.h"
#include "store/redis/redis.h"

static redis_link *the_link; /* the last one that was started */
static bool auth_is_due;     /* a password was sent on it, and not answered yet */

static inline void
start(remote_link *base)
{
    redis_link *link = (redis_link *)base;

    the_link = link;
    link->greeted = false;
    link->number = 0;
    link->reader = resp_reader_new();
    if (auth_is_due) /* queued here: redis_hello() would write the password at once */
        FUZZ_CHECK(redis_expect(link, NULL, 0, SCRIPT_COUNT) == COAT_OK);
    redis_hello(link);
}

static inline void
flush(remote_link *base)
{
    remote_buffer_free(&((redis_link *)base)->out);
}

static inline const struct remote_kind *
redis_without_network(void)
{
    static struct remote_kind kind;

    kind = redis_kind;
    kind.start = start;
    kind.flush = flush;
    return &kind;
}

static inline void
feed_redis(const void *bytes, size_t len, size_t step)
{
    feed(&the_link->base, redis_bytes, bytes, len, step);
}

static inline void
feed_text(const char *text, size_t step)
{
    feed_redis(text, strlen(text), step);
}

#endif
