/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"
#include "store/postgresql/postgresql.h"

#include <string.h>

/* A URL becomes parameters for libpq that leave nothing open: who is spoken to, as whom, and
 * how it is made sure; to another machine only with TLS that verifies, or where it says
 * plaintext. What is refused says why in one line. */

static const char *
param(const pg_conninfo *info, const char *key)
{
    const char *value = NULL;

    for (size_t i = 0; i < info->count; i++)
        if (strcmp(info->keys[i], key) == 0) {
            FUZZ_CHECK(value == NULL); /* said once */
            value = info->values[i];
        }
    return value;
}

static void
check_taken(const pg_store *store)
{
    static const char *const needed[] = {"host",     "port",     "user",   "dbname",
                                         "password", "passfile", "options"};
    const pg_conninfo *info = &store->conninfo;
    const char *mode = param(info, "sslmode");
    bool plain = remote_url_param(&store->url, "plaintext") != NULL;

    FUZZ_CHECK(info->count < PG_CONN_PARAMS_MAX - 1 && mode != NULL);
    for (size_t i = 0; i < sizeof needed / sizeof needed[0]; i++)
        FUZZ_CHECK(param(info, needed[i]) != NULL && param(info, needed[i])[0] != '\0');
    FUZZ_CHECK(strpbrk(param(info, "dbname"), "=/") == NULL);
    FUZZ_CHECK(strcmp(param(info, "passfile"), "/dev/null") == 0);
    if (strcmp(mode, "verify-full") == 0)
        FUZZ_CHECK(param(info, "sslrootcert") != NULL && param(info, "sslcert") != NULL);
    else
        FUZZ_CHECK(strcmp(mode, "disable") == 0 && (plain || remote_url_is_local(&store->url)));
    FUZZ_CHECK(strspn(store->schema, "abcdefghijklmnopqrstuvwxyz0123456789_") ==
               strlen(store->schema));
    FUZZ_CHECK(store->schema[0] != '\0' && strlen(store->schema) <= PG_NAME_MAX);
    FUZZ_CHECK(store->remote.links >= 1 && store->remote.links <= REMOTE_LINKS_MAX);
    FUZZ_CHECK((store->host == NULL) == (store->url.host == NULL));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static pg_store store;
    char text[REMOTE_URL_MAX + 8], message[200] = "";
    coat_store_conf conf = {.url = text, .message = message, .message_cap = sizeof message};

    if (size >= sizeof text)
        return 0;
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    memset(&store, 0, sizeof store);
    store.remote.links = 4;
    if (pg_take_url(&store, &conf) == COAT_OK) {
        check_taken(&store);
        return 0;
    }
    FUZZ_CHECK(strncmp(message, "store.url: ", 11) == 0);
    FUZZ_CHECK(strlen(message) < sizeof message && strpbrk(message, "\r\n") == NULL);
    return 0;
}
