/* SPDX-License-Identifier: Apache-2.0 */
/* sd_notify(3) by hand: one datagram. */
#include "core/out.h"
#include "server/process/process.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static bool
address_of(const char *path, struct sockaddr_un *addr, socklen_t *len)
{
    size_t n = strlen(path);

    if ((path[0] != '/' && path[0] != '@') || n < 2 || n >= sizeof addr->sun_path)
        return false;
    *addr = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(addr->sun_path, path, n);
    if (path[0] == '@')
        addr->sun_path[0] = '\0'; /* abstract name space */
    *len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
    return true;
}

void
coat_notify(const char *state, const char *status)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un addr;
    socklen_t addr_len;
    char text[512];
    coat_out out = coat_out_init(text, sizeof text);
    int fd;

    if (path == NULL || !address_of(path, &addr, &addr_len))
        return;
    coat_out_str(&out, state);
    if (strcmp(state, "RELOADING=1") == 0) {
        struct timespec ts;

        (void)clock_gettime(CLOCK_MONOTONIC, &ts);
        coat_out_str(&out, "\nMONOTONIC_USEC=");
        coat_out_uint(&out, (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000);
    }
    if (status != NULL) {
        coat_out_str(&out, "\nSTATUS=");
        coat_out_str(&out, status);
    }
    if (out.over)
        return;
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    (void)sendto(fd, text, out.len, MSG_NOSIGNAL, (const struct sockaddr *)&addr, addr_len);
    (void)close(fd);
}
