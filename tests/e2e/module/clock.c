/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Preloaded into nginx and the daemon by tests: time is ahead, or the wall clock is wrong, by
 * the milliseconds that stand, as one or two int64, in the file COAT_TEST_CLOCK names. The
 * first is for both clocks and only grows, as CLOCK_BOOTTIME does; the second is for the wall
 * clock alone, which may be set back. Timers go on as ever, for CLOCK_MONOTONIC is left alone.
 * No part of a release.
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

enum { PASSED, WALL, CLOCKS };
/* What the file has not is 0, as is the rest of its page. */
static const volatile int64_t *ahead_ms;

__attribute__((constructor)) static void
begin(void)
{
    const char *path = getenv("COAT_TEST_CLOCK");
    int fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *map;

    if (fd < 0)
        return;
    map = mmap(NULL, CLOCKS * sizeof *ahead_ms, PROT_READ, MAP_SHARED, fd, 0);
    (void)close(fd);
    if (map != MAP_FAILED)
        ahead_ms = map;
}

static int64_t
shift_of(clockid_t id)
{
    if (ahead_ms == NULL)
        return 0;
    if (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)
        return ahead_ms[PASSED] + ahead_ms[WALL];
    return id == CLOCK_BOOTTIME ? ahead_ms[PASSED] : 0;
}

EXPORT int
clock_gettime(clockid_t id, struct timespec *ts)
{
    int64_t shift_ms = shift_of(id), ns;

    /* A real call, not dlsym(): a sanitizer may ask for the time before it can look up names.
     */
    if (syscall(SYS_clock_gettime, id, ts) != 0)
        return -1;
    ns = ts->tv_nsec + shift_ms % 1000 * 1000000 + 1000000000; /* it may be set back */
    ts->tv_sec += shift_ms / 1000 + ns / 1000000000 - 1;
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
