/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/client.h"

#include "core/bytes.h"

#include <coatcheck/target.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum { ANSWER_MAX = 256 * 1024, TIMEOUT_S = 30 };

struct coat_client {
    coat_config *config;
    coat_local *local;
    const char *path;
};

static int
connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval timeout = {.tv_sec = TIMEOUT_S};
    int fd;

    if (strlen(path) >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
    if (connect(fd, (const struct sockaddr *)&address, sizeof address) != 0) {
        int saved = errno;

        (void)close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

coat_client *
coat_client_open(const coat_args *args, int *code)
{
    coat_client *client = calloc(1, sizeof *client);
    char message[512] = "";
    int fd;

    *code = COAT_EXIT_FAILED;
    if (client == NULL)
        return NULL;
    if (coat_init() != COAT_OK)
        goto fail;
    client->config = coat_args_config(args);
    if (client->config == NULL) {
        *code = COAT_EXIT_CONFIG;
        goto fail;
    }
    client->path = client->config->admin_socket;
    fd = connect_to(client->path);
    if (fd >= 0) {
        (void)close(fd);
        return client;
    }
    if (errno != ENOENT && errno != ECONNREFUSED && errno != ENOTDIR) {
        (void)fprintf(stderr, "coatcheck: %s: %s\n", client->path, strerror(errno));
        *code = COAT_EXIT_NO_DAEMON;
        goto fail;
    }
    if (coat_local_open(&args->input, &client->local, message, sizeof message) != COAT_OK) {
        (void)fprintf(stderr, "coatcheck: no daemon answers on %s, and without one: %s\n",
                      client->path, message);
        *code = COAT_EXIT_NO_DAEMON;
        goto fail;
    }
    client->path = coat_local_socket(client->local);
    return client;
fail:
    coat_client_close(client);
    return NULL;
}

coat_client *
coat_client_at(const char *path)
{
    coat_client *client = calloc(1, sizeof *client);

    if (client != NULL)
        client->path = path;
    return client;
}

pid_t
coat_client_peer(const coat_client *client)
{
    struct ucred peer = {.pid = 0};
    socklen_t len = sizeof peer;
    int fd = connect_to(client->path);

    if (fd < 0)
        return 0;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0)
        peer.pid = 0;
    (void)close(fd);
    return peer.pid;
}

void
coat_client_close(coat_client *client)
{
    if (client == NULL)
        return;
    coat_local_close(client->local);
    coat_config_free(client->config);
    free(client);
}

bool
coat_client_is_daemon(const coat_client *client)
{
    return client->local == NULL;
}

static bool
send_all(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        bytes += n;
        len -= (size_t)n;
    }
    return true;
}

/* The whole answer until the daemon closes: we asked it to. */
static char *
read_all(int fd, size_t *len)
{
    char *buf = malloc(ANSWER_MAX + 1);

    *len = 0;
    while (buf != NULL && *len < ANSWER_MAX) {
        ssize_t n = recv(fd, buf + *len, ANSWER_MAX - *len, 0);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            free(buf);
            return NULL;
        }
        if (n == 0)
            break;
        *len += (size_t)n;
    }
    if (buf != NULL)
        buf[*len] = '\0';
    return buf;
}

/** "HTTP/1.1 200 ..." and the body behind the empty line; our own server's words only. */
static unsigned
take_apart(char *answer, char **body)
{
    char *end = strstr(answer, "\r\n\r\n");

    if (strncmp(answer, "HTTP/1.1 ", 9) != 0 || end == NULL || strlen(answer) < 12)
        return 0;
    *body = end + 4;
    for (int i = 9; i < 12; i++)
        if (answer[i] < '0' || answer[i] > '9')
            return 0;
    return (unsigned)((answer[9] - '0') * 100 + (answer[10] - '0') * 10 + (answer[11] - '0'));
}

/* @return the answer's buffer (the caller's), NULL if there is none: printed */
static char *
exchange(coat_client *client, const char *method, const char *path, const char *body,
         unsigned *status, char **answer_body)
{
    char head[4096];
    size_t body_len = body != NULL ? strlen(body) : 0, len = 0;
    char *answer = NULL;
    int fd = connect_to(client->path);
    bool found_closed;
    int n = snprintf(
        head, sizeof head,
        "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%sContent-Length: "
        "%zu\r\n\r\n",
        method, path, body != NULL ? "Content-Type: application/json\r\n" : "", body_len);

    if (fd >= 0 && n > 0 && (size_t)n < sizeof head && send_all(fd, head, (size_t)n) &&
        send_all(fd, body != NULL ? body : "", body_len))
        answer = read_all(fd, &len);
    if (fd >= 0)
        (void)close(fd);
    found_closed = answer == NULL || len == 0;
    *status = answer != NULL ? take_apart(answer, answer_body) : 0;
    if (*status != 0)
        return answer;
    (void)fprintf(stderr, "coatcheck: no answer from %s%s\n", client->path,
                  found_closed ? ": perhaps you may not use it (admin.users)" : "");
    free(answer);
    return NULL;
}

unsigned
coat_client_ask(coat_client *client, const char *method, const char *path, json_t *body,
                json_t **answer)
{
    char *text = body != NULL ? json_dumps(body, JSON_COMPACT) : NULL, *found, *rest = NULL;
    unsigned status = 0;

    json_decref(body);
    *answer = NULL;
    found = exchange(client, method, path, text, &status, &rest);
    if (text != NULL)
        sodium_memzero(text, strlen(text)); /* a password, perhaps */
    free(text);
    if (found != NULL && *rest != '\0') {
        *answer = json_loads(rest, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
        if (*answer == NULL) { /* half an answer is none */
            (void)fprintf(stderr, "coatcheck: the answer from %s is cut or no JSON\n",
                          client->path);
            status = 0;
        }
    }
    free(found);
    return status;
}

unsigned
coat_client_text(coat_client *client, const char *path, char **text)
{
    unsigned status = 0;
    char *rest = NULL, *found = exchange(client, "GET", path, NULL, &status, &rest);

    *text = found != NULL ? strdup(rest) : NULL;
    free(found);
    return status;
}

char *
coat_client_path(const char *format, const char *value)
{
    char encoded[3 * 256 + 1], path[1024];
    size_t len = 0;

    if (coat_percent_encode(coat_span_of(value), encoded, sizeof encoded - 1, &len) != COAT_OK)
        return NULL;
    encoded[len] = '\0';
    if (strcmp(value, ".") == 0 || strcmp(value, "..") == 0) /* a name, not a way up */
        (void)snprintf(encoded, sizeof encoded, "%s", value[1] != '\0' ? "%2E%2E" : "%2E");
    const char *at = strstr(format, "%s");

    if (at == NULL || snprintf(path, sizeof path, "%.*s%s%s", (int)(at - format), format,
                               encoded, at + 2) >= (int)sizeof path)
        return NULL;
    return strdup(path);
}

static const struct {
    const char *code, *text;
} texts[] = {
    {"not_found", "there is no such account"},
    {"no_such_session", "there is no such session"},
    {"exists", "there is an account of this name already"},
    {"password_short", "too short: at least 15 characters"},
    {"password_long", "too long: at most 1024 bytes"},
    {"password_common", "on the list of the most common passwords"},
    {"password_context", "too close to the user name or the name of the site"},
    {"password_encoding", "not valid UTF-8"},
    {"invalid", "the name, the roles or the hash cannot be used"},
    {"audit_not_writable", "the audit log cannot be written, so nothing is changed"},
    {"store_full", "the store is full"},
    {"end_pending", "the store does not answer: refused on this machine from now on, and ended "
                    "everywhere as soon as it does"},
    {"same_store", "source and target are the same store"},
    {"other_store", "the daemon that runs uses another store than that of --from"},
    {"other_copy", "a copy into another store goes on already: it ends when the daemon ends"},
};

int
coat_client_fail(unsigned status, const json_t *answer, const char *what)
{
    const json_t *error = json_object_get(answer, "error");
    const char *code = json_string_value(json_object_get(error, "code"));
    const char *text = code;

    if (status == 0)
        return COAT_EXIT_NO_DAEMON;
    for (size_t i = 0; code != NULL && i < sizeof texts / sizeof texts[0]; i++)
        if (strcmp(texts[i].code, code) == 0)
            text = texts[i].text;
    if (code != NULL && strcmp(code, "configuration") == 0)
        text = json_string_value(json_object_get(error, "message"));
    (void)fprintf(stderr, "coatcheck: %s: %s\n", what, text != NULL ? text : "refused");
    return COAT_EXIT_FAILED;
}
