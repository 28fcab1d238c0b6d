/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_TESTS_TLS_FIXTURE_H
#define COAT_TESTS_TLS_FIXTURE_H

/** Certificates made by openssl(1), and a server that keeps what it hears. */

#include "coat_test.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static char dir[90];

static void __attribute__((format(printf, 1, 2))) shell(const char *format, ...)
{
    char line[2000];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (system(line) != 0) {
        test_fail(__FILE__, __LINE__, "failed: %s", line);
        test_abort();
    }
}

/** NAME.pem for alternative names, signed by CA.pem. */
static void
make_certificate(const char *ca, const char *name, const char *names)
{
    shell(
        "cd %s && openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "
        "%s.key "
        "-subj /CN=test -out %s.csr 2>/dev/null && "
        "printf 'subjectAltName=%s\\n' > %s.ext && "
        "openssl x509 -req -in %s.csr -CA %s.pem -CAkey %s.key -CAcreateserial -extfile %s.ext "
        "-days 2 -out %s.pem 2>/dev/null",
        dir, name, name, names, name, name, ca, ca, name, name);
}

/** Authorities ca.pem and other-ca.pem; and what they have signed. */
static void
make_all(void)
{
    (void)snprintf(dir, sizeof dir, "%s", test_tmpdir());
    for (int i = 0; i < 2; i++)
        shell("cd %s && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes "
              "-days 2 "
              "-keyout %s.key -out %s.pem -subj /CN=%s 2>/dev/null",
              dir, i == 0 ? "ca" : "other-ca", i == 0 ? "ca" : "other-ca",
              i == 0 ? "ours" : "theirs");
    make_certificate("ca", "good", "DNS:localhost,IP:127.0.0.1");
    make_certificate("ca", "name", "DNS:db.example,DNS:c*.db.example,IP:10.0.0.1");
    shell(
        "cd %s && : > index.txt && echo 01 > serial && "
        "printf "
        "'[ca]\\ndefault_ca=d\\n[d]\\ndatabase=index.txt\\nserial=serial\\nnew_certs_dir=.\\n"
        "default_md=sha256\\npolicy=p\\nx509_extensions=e\\nunique_subject=no\\n[p]\\n"
        "commonName=supplied\\n[e]\\nsubjectAltName=DNS:localhost,IP:127.0.0.1\\n' > ca.cnf && "
        "cp good.key expired.key && openssl ca -batch -config ca.cnf -cert ca.pem -keyfile "
        "ca.key "
        "-startdate 20200101000000Z -enddate 20210101000000Z -in good.csr -out expired.pem "
        ">/dev/null 2>&1",
        dir);
    shell("cd %s && printf 's3same' > secret && chmod 600 secret", dir);
}

/* ---- a server that keeps what it hears ---- */

typedef struct listener {
    int fd, port;
    const char *says; /* at once, and to everything */
    uint8_t heard[65536];
    size_t len;
    pthread_t thread;
    _Atomic bool stopping;
} listener;

static void *
listen_main(void *arg)
{
    listener *l = arg;

    while (!atomic_load(&l->stopping)) {
        struct pollfd fd = {l->fd, POLLIN, 0};
        int client;
        ssize_t got = 1;

        if (poll(&fd, 1, 10) <= 0)
            continue;
        client = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC);
        (void)send(client, l->says, strlen(l->says), MSG_NOSIGNAL);
        while (got > 0 && !atomic_load(&l->stopping)) {
            struct pollfd in = {client, POLLIN, 0};

            if (poll(&in, 1, 10) <= 0)
                continue;
            got = read(client, l->heard + l->len, sizeof l->heard - l->len);
            l->len += got > 0 ? (size_t)got : 0;
            (void)send(client, l->says, strlen(l->says), MSG_NOSIGNAL);
        }
        (void)close(client);
    }
    return NULL;
}

static inline void
listener_start(listener *l, const char *says)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;

    memset(l, 0, sizeof *l);
    l->says = says;
    l->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    REQUIRE(bind(l->fd, (struct sockaddr *)&at, len) == 0 && listen(l->fd, 16) == 0);
    REQUIRE(getsockname(l->fd, (struct sockaddr *)&at, &len) == 0);
    l->port = ntohs(at.sin_port);
    REQUIRE(pthread_create(&l->thread, NULL, listen_main, l) == 0);
}

static inline void
listener_stop(listener *l)
{
    atomic_store(&l->stopping, true);
    (void)pthread_join(l->thread, NULL);
    (void)close(l->fd);
}

#endif
