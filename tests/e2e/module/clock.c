/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Preloaded into nginx and the daemon by tests: wall clock and CLOCK_BOOTTIME are ahead by the
 * milliseconds that stand, as an int64, in the file COAT_TEST_CLOCK names. Timers go on as
 * ever, for CLOCK_MONOTONIC is left alone. No part of a release.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

static const volatile int64_t *ahead_ms;

__attribute__((constructor)) static void
begin(void)
{
    const char *path = getenv("COAT_TEST_CLOCK");
    int fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *map;

    if (fd < 0)
        return;
    map = mmap(NULL, sizeof *ahead_ms, PROT_READ, MAP_SHARED, fd, 0);
    (void)close(fd);
    if (map != MAP_FAILED)
        ahead_ms = map;
}

static int
is_shifted(clockid_t id)
{
    return id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE || id == CLOCK_BOOTTIME;
}

EXPORT int
clock_gettime(clockid_t id, struct timespec *ts)
{
    int64_t ns;

    /* A real call, not dlsym(): a sanitizer may ask for the time before it can look up names.
     */
    if (syscall(SYS_clock_gettime, id, ts) != 0)
        return -1;
    if (ahead_ms == NULL || !is_shifted(id))
        return 0;
    ns = ts->tv_nsec + *ahead_ms % 1000 * 1000000;
    ts->tv_sec += *ahead_ms / 1000 + ns / 1000000000;
    ts->tv_nsec = ns % 1000000000;
    return 0;
}

EXPORT int
gettimeofday(struct timeval *restrict tv, void *restrict tz)
{
    struct timespec ts;

    (void)tz;
    if (clock_gettime(CLOCK_REALTIME, &ts) != 0)
        return -1;
    *tv = (struct timeval){ts.tv_sec, ts.tv_nsec / 1000};
    return 0;
}

EXPORT time_t
time(time_t *out)
{
    struct timespec ts;

    if (clock_gettime(CLOCK_REALTIME, &ts) != 0)
        return (time_t)-1;
    if (out != NULL)
        *out = ts.tv_sec;
    return ts.tv_sec;
}
