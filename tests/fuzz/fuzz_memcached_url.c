/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"
#include "store/memcached/memcached.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Input: a URL; then, behind a line feed, what is in the file of its password, which is named
 * "/s".
 *
 * A URL becomes servers that are all different, spoken to without TLS only on this machine or
 * where it says so, and a prefix that cannot end a key. What is refused says why in one line.
 */

static void
check_taken(const mc_store *store)
{
    bool plaintext = remote_url_param(&store->url, "plaintext") != NULL;

    FUZZ_CHECK(store->node_count >= 1 && store->node_count <= MC_NODES_MAX);
    FUZZ_CHECK(store->prefix[0] != '\0' && strpbrk(store->prefix, " \r\n\t") == NULL);
    FUZZ_CHECK((store->password[0] == '\0') == (store->user[0] == '\0'));
    for (uint32_t i = 0; i < store->node_count; i++) {
        const mc_node *node = store->nodes[i];

        FUZZ_CHECK(node->name[0] != '\0' && node->address.port != 0);
        FUZZ_CHECK(node->address.path != NULL || node->address.host != NULL);
        FUZZ_CHECK(node->address.path == NULL || strlen(node->address.path) <= REMOTE_PATH_MAX);
        if (node->address.path == NULL && node->address.tls == NULL)
            FUZZ_CHECK(plaintext || remote_host_is_local(node->address.host));
        for (uint32_t k = 0; k < i; k++)
            FUZZ_CHECK(strcmp(store->nodes[k]->name, node->name) != 0);
    }
}

static char secret[64];

static void
remove_secret(void)
{
    (void)unlink(secret);
}

static void
write_secret(const char *bytes, size_t len)
{
    int fd;

    if (secret[0] == '\0') {
        (void)snprintf(secret, sizeof secret, "/dev/shm/coat-fuzz-secret-%d", (int)getpid());
        FUZZ_CHECK(atexit(remove_secret) == 0);
    }
    fd = open(secret, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0600);
    FUZZ_CHECK(fd >= 0 && write(fd, bytes, len) == (ssize_t)len);
    (void)close(fd);
}

/** The URL with the name of the file in it, if it has one. @return false: it is too long */
static bool
name_secret(const char *text, size_t size, char out[static REMOTE_URL_MAX + 8])
{
    static const char mark[] = "password-file=/s";
    const char *line = memchr(text, '\n', size);
    size_t url = line != NULL ? (size_t)(line - text) : size;
    const char *at = memmem(text, url, mark, sizeof mark - 1);
    size_t front = at != NULL ? (size_t)(at - text) + sizeof mark - 3 : url;
    size_t rest = at != NULL ? url - front - 2 : 0;
    int n;

    if (at != NULL)
        write_secret(text + url + (line != NULL), size - url - (line != NULL));
    n = snprintf(out, REMOTE_URL_MAX + 8, "%.*s%s%.*s", (int)front, text,
                 at != NULL ? secret : "", (int)rest, text + front + (at != NULL ? 2 : 0));
    return n >= 0 && n < REMOTE_URL_MAX + 8;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[REMOTE_URL_MAX + 8], message[200] = "";
    coat_store_conf conf = {.url = text};
    mc_store *store;
    coat_err err;

    if (!name_secret(size > 0 ? (const char *)data : "", size, text))
        return 0;
    /* To read what a system has of certificates takes milliseconds. */
    if (strncmp(text, "memcacheds", 10) == 0 && strstr(text, "?ca-file=/nonexistent") == NULL)
        return 0;
    store = calloc(1, sizeof *store);
    FUZZ_CHECK(store != NULL);
    err = mc_servers_take(store, &conf, message, sizeof message);
    if (err == COAT_OK) {
        check_taken(store);
    } else {
        FUZZ_CHECK(strncmp(message, "store.url: ", 11) == 0 && message[11] != '\0');
        FUZZ_CHECK(strlen(message) < sizeof message && strpbrk(message, "\r\n") == NULL);
    }
    coat_memcached_ops.close(&store->base);
    return 0;
}
