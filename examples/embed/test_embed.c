/* SPDX-License-Identifier: Apache-2.0 */
/** The example as a browser meets it: argv[1] is the built program. */
#include "coat_test.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *program;
static pid_t child;
static int port;
static char cookie[128], page[8192];

static void
start(void)
{
    int ends[2];
    char line[64] = "";
    FILE *out;

    REQUIRE(pipe(ends) == 0);
    child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        (void)dup2(ends[1], 1);
        (void)close(ends[0]);
        (void)execl(program, program, "0", (char *)NULL);
        _exit(127);
    }
    (void)close(ends[1]);
    out = fdopen(ends[0], "r");
    REQUIRE(out != NULL && fgets(line, sizeof line, out) != NULL);
    REQUIRE(sscanf(line, "http://127.0.0.1:%5d/", &port) == 1);
    (void)fclose(out);
}

static void
stop(void)
{
    (void)kill(child, SIGTERM);
    (void)waitpid(child, NULL, 0);
}

/** One request with the cookie at hand; takes over a new one. @return the status */
static int
ask(const char *request, const char *body)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0), status = 0;
    size_t len = 0;
    ssize_t n;
    char *set;

    REQUIRE(connect(fd, (struct sockaddr *)&address, sizeof address) == 0);
    dprintf(fd, "%s HTTP/1.1\r\nHost: localhost\r\n", request);
    if (cookie[0] != '\0')
        dprintf(fd, "Cookie: %s\r\n", cookie);
    dprintf(fd, "Content-Length: %zu\r\n\r\n%s", strlen(body), body);
    (void)shutdown(fd, SHUT_WR);
    while (len < sizeof page - 1 && (n = read(fd, page + len, sizeof page - 1 - len)) > 0)
        len += (size_t)n;
    page[len] = '\0';
    (void)close(fd);
    set = strstr(page, "Set-Cookie: ");
    if (set != NULL)
        snprintf(cookie, sizeof cookie, "%.*s", (int)strcspn(set + 12, ";"), set + 12);
    if (set != NULL && strstr(page, "Max-Age=0") != NULL)
        cookie[0] = '\0';
    (void)sscanf(page, "HTTP/1.1 %3d", &status);
    return status;
}

static void
form(char *body, size_t cap)
{
    char *field = strstr(page, "name=csrf value=");

    REQUIRE(field != NULL);
    snprintf(body, cap, "csrf=%.64s", field + 16);
}

static void
visits(void)
{
    char body[128], guest[128], user[128];

    start();
    CHECK_INT(ask("GET /", ""), 200);
    CHECK(strstr(page, "Hello guest, visit 1.") != NULL);
    CHECK_INT(ask("GET /", ""), 200);
    CHECK(strstr(page, "Hello guest, visit 2.") != NULL);
    form(body, sizeof body);
    memcpy(guest, cookie, sizeof guest);

    CHECK_INT(ask("POST /in",
                  "csrf=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
                  "AAAA"),
              403);
    CHECK_INT(ask("POST /in", body), 303);
    CHECK(strcmp(guest, cookie) != 0);
    memcpy(user, cookie, sizeof user);
    CHECK_INT(ask("GET /", ""), 200);
    CHECK(strstr(page, "Hello ada, visit 3.") != NULL);
    form(body, sizeof body);

    memcpy(cookie, guest, sizeof cookie); /* the guest's token is dead */
    CHECK_INT(ask("GET /", ""), 200);
    CHECK(strstr(page, "Hello guest, visit 1.") != NULL);

    memcpy(cookie, user, sizeof cookie);
    CHECK_INT(ask("POST /out", body), 303);
    CHECK(cookie[0] == '\0');
    memcpy(cookie, user, sizeof cookie);
    CHECK_INT(ask("GET /", ""), 200);
    CHECK(strstr(page, "Hello guest, visit 1.") != NULL);
    CHECK_INT(ask("GET /nowhere", ""), 404);
    stop();
}

static const coat_test tests[] = {
    {"LC-1 LC-8: the embedding example counts visits, signs in and out", visits},
};

int
main(int argc, char **argv)
{
    program = argc > 1 ? argv[1] : "./embed";
    return coat_test_main(1, argv, tests, 1);
}
