/* SPDX-License-Identifier: Apache-2.0 */
#include "wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

enum { BODY_DIGITS = 9 };

void
wire_die(const char *what)
{
    (void)fprintf(stderr, "%s: %s\n", program_invocation_short_name, what);
    exit(1);
}

int64_t
wire_clock_ns(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

int
wire_connect(const char *target)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct sockaddr_in in = {.sin_family = AF_INET};
    bool local = target[0] == '/';
    unsigned port = 0;
    char host[32];
    int fd = socket(local ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int err;

    if (fd < 0)
        wire_die("no socket");
    if (local) {
        (void)snprintf(un.sun_path, sizeof un.sun_path, "%s", target);
        err = connect(fd, (struct sockaddr *)&un, sizeof un);
    } else {
        if (sscanf(target, "%31[0-9.]:%5u", host, &port) != 2 || port > 65535 ||
            inet_pton(AF_INET, host, &in.sin_addr) != 1)
            wire_die("bad target");
        in.sin_port = htons((uint16_t)port);
        err = connect(fd, (struct sockaddr *)&in, sizeof in);
    }
    if (err != 0)
        wire_die("cannot connect");
    return fd;
}

/* Not sscanf(), which measures the whole answer first. */
static size_t
number(const char *text, size_t digits)
{
    size_t value = 0, i = 0;

    while (*text == ' ')
        text++;
    for (; i < digits && text[i] >= '0' && text[i] <= '9'; i++)
        value = 10 * value + (size_t)(text[i] - '0');
    if (i == 0)
        wire_die("bad Content-Length or status");
    return value;
}

size_t
wire_answer(const char *text, size_t len, unsigned *status)
{
    const char *end = memmem(text, len, "\r\n\r\n", 4);
    const char *field;
    size_t head, body = 0;

    if (end == NULL)
        return 0;
    head = (size_t)(end + 4 - text);
    if (strncmp(text, "HTTP/1.1 ", 9) != 0)
        wire_die("not an HTTP/1.1 answer");
    *status = (unsigned)number(text + 9, 3);
    field = memmem(text, head, "ontent-", 7); /* Content-Length, however it is written */
    while (field != NULL && strncasecmp(field + 7, "length:", 7) != 0)
        field = memmem(field + 7, head - (size_t)(field + 7 - text), "ontent-", 7);
    if (field != NULL)
        body = number(field + 14, BODY_DIGITS);
    else if (*status != 204 && *status != 304)
        wire_die("an answer without Content-Length");
    return len >= head + body ? head + body : 0;
}

char *
wire_file(const char *path, size_t *len)
{
    FILE *in = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    size_t cap = 1 << 16, have = 0, n;
    char *text = malloc(cap);

    if (in == NULL)
        wire_die("cannot read a file");
    while (text != NULL && (n = fread(text + have, 1, cap - 1 - have, in)) > 0) {
        have += n;
        if (have == cap - 1)
            text = realloc(text, cap *= 2);
    }
    if (text == NULL || ferror(in))
        wire_die("cannot read a file, or out of memory");
    if (in != stdin)
        (void)fclose(in);
    text[have] = '\0';
    *len = have;
    return text;
}
