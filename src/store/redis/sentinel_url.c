/* SPDX-License-Identifier: Apache-2.0 */
#include "store/redis/sentinel.h"

#include <stdio.h>

enum { DEFAULT_PORT = 26379 };

bool
redis_sentinel_is_url(const char *text)
{
    return strncmp(text, "redis+sentinel:", 15) == 0 ||
           strncmp(text, "rediss+sentinel:", 16) == 0;
}

static const char *
add_place(redis_sentinels *out, const remote_url *url)
{
    redis_place *at = &out->at[out->count];

    if (url->host == NULL)
        return "a host is missing; write redis+sentinel://HOST,HOST,HOST/NAME";
    if (out->count == SENTINELS_MAX)
        return "there are more than 16 sentinels";
    if (strlen(url->host) > SENTINEL_HOST_MAX)
        return "the host of a sentinel is too long";
    (void)snprintf(at->host, sizeof at->host, "%s", url->host);
    at->port = url->port != 0 ? url->port : DEFAULT_PORT;
    for (size_t i = 0; i < out->count; i++)
        if (redis_place_equal(&out->at[i], at))
            return "a sentinel is named twice";
    out->count++;
    return NULL;
}

/** Those that Sentinel allows in names. */
static const char *
take_name(redis_sentinels *out, remote_url *url)
{
    size_t len = strcspn(url->path, "/");

    if (len == 0)
        return "the name of the primary is missing, as its sentinels know it: .../NAME";
    if (len > SENTINEL_NAME_MAX)
        return "the name of the primary is too long";
    for (size_t i = 0; i < len; i++)
        if (strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-",
                   url->path[i]) == NULL)
            return "the name of the primary may have letters, digits and ._-";
    memcpy(out->name, url->path, len);
    out->name[len] = '\0';
    url->path += url->path[len] == '/' ? len + 1 : len;
    return NULL;
}

coat_err
redis_sentinel_parse(const char *text, redis_sentinels *out, remote_url *url, const char **why)
{
    char one[REMOTE_URL_MAX + 1];
    remote_url_list list;

    memset(out, 0, sizeof *out);
    if (!remote_url_split(text, &list)) {
        *why = "it is too long";
        return COAT_TOO_LARGE;
    }
    while (remote_url_next(&list, one)) {
        coat_err err = remote_url_parse(one, url, why);

        if (err != COAT_OK)
            return err;
        *why = add_place(out, url);
        if (*why != NULL)
            return COAT_INVALID;
    }
    *why = take_name(out, url);
    return *why == NULL ? COAT_OK : COAT_INVALID;
}

const char *
redis_sentinel_remote(const redis_sentinels *sentinels)
{
    for (size_t i = 0; i < sentinels->count; i++)
        if (!remote_host_is_local(sentinels->at[i].host))
            return sentinels->at[i].host;
    return NULL;
}
