/* SPDX-License-Identifier: Apache-2.0 */
#include "server/http/internal.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* Socket activation as in sd_listen_fds(3), without the library: descriptors from 3 on. */

#define FD_FIRST 3
#define FDS_MAX 16
#define NAME_MAX_CHARS 64

static char names[FDS_MAX][NAME_MAX_CHARS];
static size_t count;

static bool
parse_number(const char *text, uint64_t max, uint64_t *out)
{
    uint64_t value = 0;

    if (text == NULL || *text == '\0')
        return false;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9')
            return false;
        value = value * 10 + (uint64_t)(*text - '0');
        if (value > max)
            return false;
    }
    *out = value;
    return true;
}

static void
take_names(const char *text)
{
    for (size_t i = 0; i < count; i++) {
        const char *end = text != NULL ? strchrnul(text, ':') : NULL;
        size_t len = end != NULL ? (size_t)(end - text) : 0;

        (void)snprintf(names[i], sizeof names[i], "%zu", i); /* nameless: by its number */
        if (len > 0 && len < sizeof names[i]) {
            memcpy(names[i], text, len);
            names[i][len] = '\0';
        }
        text = end != NULL && *end == ':' ? end + 1 : NULL;
    }
}

size_t
coat_http_activation_take(void)
{
    uint64_t pid, fds;

    count = 0;
    if (parse_number(getenv("LISTEN_PID"), INT32_MAX, &pid) && pid == (uint64_t)getpid() &&
        parse_number(getenv("LISTEN_FDS"), FDS_MAX, &fds)) {
        count = (size_t)fds;
        take_names(getenv("LISTEN_FDNAMES"));
    }
    for (size_t i = 0; i < count; i++) {
        int flags = fcntl(FD_FIRST + (int)i, F_GETFL);

        (void)fcntl(FD_FIRST + (int)i, F_SETFD, FD_CLOEXEC);
        if (flags >= 0)
            (void)fcntl(FD_FIRST + (int)i, F_SETFL, flags | O_NONBLOCK);
    }
    (void)unsetenv("LISTEN_PID");
    (void)unsetenv("LISTEN_FDS");
    (void)unsetenv("LISTEN_FDNAMES");
    return count;
}

int
coat_activation_fd(const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0)
            return FD_FIRST + (int)i;
    return -1;
}
