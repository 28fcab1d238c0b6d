/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"
#include "store/redis/redis.h"

#include <string.h>

/* A URL becomes a store whose keys and channels have its own prefix and fit their names, and
 * that is spoken to without TLS only on this machine or where it says so. What is refused says
 * why in one line. */

static void
check_taken(const redis_store *store)
{
    const remote_url *url = &store->url;
    size_t len = strlen(store->prefix);
    char to[REDIS_CHANNEL_MAX];
    coat_handle instance;

    FUZZ_CHECK(len >= 2 && len <= REDIS_PREFIX_MAX + 1 && store->prefix[len - 1] == ':');
    FUZZ_CHECK(strpbrk(store->prefix, "{} \r\n*") == NULL);
    FUZZ_CHECK(strncmp(store->channels, store->prefix, len) == 0);
    memset(&instance, 0xff, sizeof instance);
    redis_channel(store, &instance, "0123456789012345678901234567890123456789", to);
    FUZZ_CHECK(strncmp(to, store->channels, strlen(store->channels)) == 0);
    FUZZ_CHECK(strlen(to) == strlen(store->channels) + 3 + 2 * sizeof instance.bytes + 41);
    FUZZ_CHECK(store->db <= 9999 && store->address.port != 0);
    FUZZ_CHECK((store->address.path == NULL) != (url->host == NULL));
    FUZZ_CHECK(store->address.path == NULL || strlen(store->address.path) <= REMOTE_PATH_MAX);
    if (store->address.tls == NULL && remote_url_param(url, "plaintext") == NULL)
        FUZZ_CHECK(store->sentinels.count > 0 ? redis_sentinel_remote(&store->sentinels) == NULL
                                              : remote_url_is_local(url));
    for (size_t i = 0; i < store->sentinels.count; i++)
        FUZZ_CHECK(store->sentinels.at[i].port != 0 && store->sentinels.tls == NULL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static redis_store store;
    char text[REMOTE_URL_MAX + 8], message[200] = "";
    coat_store_conf conf = {.url = text, .message = message, .message_cap = sizeof message};
    coat_err err;

    if (size >= sizeof text)
        return 0;
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    /* To read what a system has of certificates takes milliseconds. */
    if (strncmp(text, "rediss", 6) == 0 && strstr(text, "?ca-file=/nonexistent") == NULL)
        return 0;
    memset(&store, 0, sizeof store);
    err = redis_take_url(&store, &conf);
    if (err == COAT_OK)
        check_taken(&store);
    remote_tls_context_free(store.address.tls);
    if (err == COAT_OK)
        return 0;
    FUZZ_CHECK(strncmp(message, "store.url: ", 11) == 0 && message[11] != '\0');
    FUZZ_CHECK(strlen(message) < sizeof message && strpbrk(message, "\r\n") == NULL);
    return 0;
}
