/* SPDX-License-Identifier: Apache-2.0 */
/* From a configuration to a file that nginx accepts, and addresses that are free. */
#include "cli/gateway/gateway.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HTTP2_DIRECTIVE = 1025001 };

static const char *
text_or_null(const char *text)
{
    return text[0] != '\0' ? text : NULL;
}

char *
coat_gateway_text(const coat_gateway *g, const coat_config *config, char *message)
{
    coat_gateway_conf conf = {
        .options = &g->options,
        .config = config,
        .module = g->nginx.module,
        .dir = g->files.dir,
        .user = text_or_null(g->plan.worker.user),
        .group = text_or_null(g->plan.worker.group),
        .ca_file = g->nginx.ca_file,
        .pages_address = g->plan.pages_address,
        .gate_address = g->plan.gate_address,
        .http2_directive = g->nginx.version >= HTTP2_DIRECTIVE,
    };
    char *text = malloc(COAT_GATEWAY_TEXT_MAX);
    coat_out out = coat_out_init(text, COAT_GATEWAY_TEXT_MAX);

    (void)snprintf(message, COAT_GATEWAY_MESSAGE_MAX, "out of memory");
    if (text != NULL && coat_gateway_write(&conf, &out, message) == COAT_OK)
        return text;
    free(text);
    return NULL;
}

static bool
accepted_by_nginx(const coat_gateway *g)
{
    const char *argv[] = {g->nginx.path, "-t",         "-q", "-c",     g->files.candidate,
                          "-p",          g->files.dir, "-e", "stderr", NULL};
    char said[8192];
    int status = coat_gateway_run(argv, coat_gateway_env(false), said, sizeof said);

    if (status == 0) {
        (void)fputs(said, stderr); /* warnings */
        return true;
    }
    (void)fprintf(stderr, "coatcheck: nginx does not accept its configuration:\n%s%s", said,
                  said[0] != '\0' ? "" : "it says nothing\n");
    return false;
}

bool
coat_gateway_prepare(const coat_gateway *g, const coat_config *config)
{
    char message[COAT_GATEWAY_MESSAGE_MAX];
    char *text = coat_gateway_text(g, config, message);
    bool fine = text != NULL &&
                coat_gateway_files_write(&g->files, coat_span_of(text), message) == COAT_OK;

    free(text);
    if (!fine) {
        (void)fprintf(stderr, "coatcheck: %s\n", message);
        return false;
    }
    fine = accepted_by_nginx(g);
    if (!fine)
        (void)unlink(g->files.candidate);
    return fine;
}

/* ---- addresses ---- */

static socklen_t
address_of(const coat_gateway_listen *listen, struct sockaddr_storage *out)
{
    struct sockaddr_in *four = (struct sockaddr_in *)out;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)out;
    char host[64];
    bool bracketed = listen->text[0] == '[';
    size_t len = strcspn(listen->text + bracketed, bracketed ? "]" : ":");

    memset(out, 0, sizeof *out);
    if (len >= sizeof host)
        return 0;
    (void)snprintf(host, sizeof host, "%.*s", (int)len, listen->text + bracketed);
    if (bracketed) {
        six->sin6_family = AF_INET6;
        six->sin6_port = htons(listen->port);
        return inet_pton(AF_INET6, host, &six->sin6_addr) == 1 ? sizeof *six : 0;
    }
    four->sin_family = AF_INET;
    four->sin_port = htons(listen->port);
    return inet_pton(AF_INET, host, &four->sin_addr) == 1 ? sizeof *four : 0;
}

/* As nginx will do it. @return errno */
static int
try_bind(const coat_gateway_listen *listen_on)
{
    struct sockaddr_storage address;
    socklen_t len = address_of(listen_on, &address);
    int on = 1, error = 0;
    int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return errno;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (address.ss_family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (bind(fd, (const struct sockaddr *)&address, len) != 0 || listen(fd, 1) != 0)
        error = errno;
    (void)close(fd);
    return error;
}

static bool
is_free(const coat_gateway_listen *listen)
{
    int error = try_bind(listen);

    if (error == EADDRINUSE)
        (void)fprintf(stderr,
                      "coatcheck: %s is in use by another program; choose another address with "
                      "--listen\n",
                      listen->text);
    else if (error == EACCES)
        (void)fprintf(stderr,
                      "coatcheck: %s: ports below 1024 are for root, or need the capability "
                      "CAP_NET_BIND_SERVICE; choose another one with --listen\n",
                      listen->text);
    else if (error != 0)
        (void)fprintf(stderr, "coatcheck: %s: %s\n", listen->text, strerror(error));
    return error == 0;
}

bool
coat_gateway_ports_free(const coat_gateway_options *options)
{
    for (size_t i = 0; i < options->listen_count; i++)
        if (!is_free(&options->listens[i]))
            return false;
    for (size_t i = 0; i < options->redirect_count; i++)
        if (!is_free(&options->redirects[i]))
            return false;
    return true;
}
