/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Loaded into nginx before all else: how much CPU each turn of a worker's loop takes, from one
 * epoll_wait() to the next, and whether it slept meanwhile. Unlike what a client sees, neither
 * depends on what else the machine does. All workers add to one file, COAT_LOOP_METER, which
 * the reader may clear at any time; see loop.py.
 */

#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { STEP_US = 10, STEPS = 10000 }; /* the last one: 0.1 s or more */

typedef struct meter {
    _Atomic uint64_t slept, longest_ns;
    _Atomic uint64_t turns[STEPS]; /* by their CPU time */
} meter;

static meter *shared;
static int (*wait_for_events)(int, struct epoll_event *, int, int);

__attribute__((constructor)) static void
begin(void)
{
    const char *path = getenv("COAT_LOOP_METER");
    int fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *map = MAP_FAILED, *next = dlsym(RTLD_NEXT, "epoll_wait");

    __builtin_memcpy(&wait_for_events, &next, sizeof wait_for_events);
    if (fd >= 0) {
        map = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        (void)close(fd);
    }
    if (map != MAP_FAILED)
        shared = map;
}

static uint64_t
cpu_ns(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/** How often this thread has waited for something. */
static long
sleeps(void)
{
    struct rusage usage;

    (void)getrusage(RUSAGE_THREAD, &usage);
    return usage.ru_nvcsw;
}

static void
note(uint64_t ns, bool slept)
{
    uint64_t step = ns / (STEP_US * 1000), longest = atomic_load(&shared->longest_ns);

    atomic_fetch_add(&shared->turns[step < STEPS ? step : STEPS - 1], 1);
    if (slept)
        atomic_fetch_add(&shared->slept, 1);
    while (ns > longest && !atomic_compare_exchange_weak(&shared->longest_ns, &longest, ns))
        ;
}

__attribute__((visibility("default"))) int
epoll_wait(int poll, struct epoll_event *events, int count, int timeout_ms)
{
    static bool begun;
    static uint64_t from_ns;
    static long from_sleeps;
    int got;

    if (begun && shared != NULL)
        note(cpu_ns() - from_ns, sleeps() != from_sleeps);
    got = wait_for_events(poll, events, count, timeout_ms);
    begun = true;
    from_sleeps = sleeps();
    from_ns = cpu_ns();
    return got;
}
