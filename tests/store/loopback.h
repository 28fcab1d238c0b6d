/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_TESTS_LOOPBACK_H
#define COAT_TESTS_LOOPBACK_H

/** What the tests' own servers of all kinds have in common. */

#include <arpa/inet.h>
#include <stdint.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static inline void
server_sleep(void)
{
    (void)nanosleep(&(struct timespec){0, 5000000}, NULL);
}

/** A port that is free just now. */
static inline int
free_port(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), port = 0;

    if (bind(fd, (struct sockaddr *)&at, len) == 0 &&
        getsockname(fd, (struct sockaddr *)&at, &len) == 0)
        port = ntohs(at.sin_port);
    (void)close(fd);
    return port;
}

static inline int64_t
real_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

#endif
