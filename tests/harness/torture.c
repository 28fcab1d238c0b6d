/* SPDX-License-Identifier: Apache-2.0 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* dl_iterate_phdr, dladdr */
#endif
#include "torture_seam.h"

#include "coat_test.h"

#include <execinfo.h>
#include <link.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What led to a call, its caller included, that makes it a place of its own. */
enum { DEPTH = 8, FRAMES_MAX = 24, PLACES_MAX = 4096, ROUNDS = 8, VISITS_MAX = 2000 };
/* After a failure: how long the loop waits in earnest, and what then passes at once. */
enum { PATIENCE_MS = 2, PATIENCE_MOST_MS = 200, LEAP_MS = 250, STEP_MS = 50 };

typedef struct place {
    uint64_t hash;
    const char *call;
    void *frames[DEPTH];
    int depth;
    int run;   /* the last counting run that came by */
    int times; /* how many did */
    bool visited;
} place;

typedef enum phase { IDLE, COUNTING, AT_PLACE, AT_NUMBER } phase;

static place places[PLACES_MAX];
static int place_count;
static _Atomic int now = IDLE; /* a phase */
static enum torture_kind kind;
static bool lasting; /* from then on */
static const place *target;
static long number, seen; /* of calls */
static _Atomic bool struck, recovering;
static _Atomic int patience_ms = PATIENCE_MS;
static atomic_flag busy = ATOMIC_FLAG_INIT;
static _Thread_local int spared; /* not 0: calls of this thread are the test's own */

/* ---- where libraries are ---- */

typedef struct range {
    uintptr_t from, to;
} range;

static range uv_range, loader_range;

static int
note_range(struct dl_phdr_info *info, size_t size, void *ctx)
{
    range *r = strstr(info->dlpi_name, "/libuv.so") != NULL   ? &uv_range
               : strstr(info->dlpi_name, "/ld-linux") != NULL ? &loader_range
                                                              : NULL;

    (void)size;
    (void)ctx;
    if (r == NULL)
        return 0;
    r->from = UINTPTR_MAX;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        uintptr_t at = info->dlpi_addr + p->p_vaddr;

        if (p->p_type != PT_LOAD)
            continue;
        r->from = at < r->from ? at : r->from;
        r->to = at + p->p_memsz > r->to ? at + p->p_memsz : r->to;
    }
    return 0;
}

static bool
is_in(const range *r, const void *at)
{
    return (uintptr_t)at >= r->from && (uintptr_t)at < r->to;
}

bool
torture_is_uv(void *caller)
{
    return is_in(&uv_range, caller);
}

void *
torture_real(const char *name)
{
    void *found;

    spared++;
    found = dlsym(RTLD_NEXT, name);
    spared--;
    if (found == NULL)
        abort();
    return found;
}

/* ---- places ---- */

static void *bottom; /* where a run returns to: what led there is the torturer's */

static __attribute__((noinline)) void
call(void (*what)(void))
{
    what();
    __asm__ volatile(""); /* no tail call */
}

static __attribute__((noinline)) void
find_bottom(void)
{
    void *frames[2];

    (void)backtrace(frames, 2); /* loads what it needs */
    bottom = __builtin_return_address(0);
}

static void
look_back(const char *call, void *caller, place *out)
{
    void *frames[FRAMES_MAX];
    int n = backtrace(frames, FRAMES_MAX), at = 0;

    *out = (place){.hash = 14695981039346656037U, .call = call};
    while (at < n && frames[at] != caller)
        at++;
    if (at == n) { /* no way back: the caller alone */
        frames[0] = caller;
        at = 0;
        n = 1;
    }
    for (; at < n && frames[at] != bottom && out->depth < DEPTH; at++) {
        out->frames[out->depth++] = frames[at];
        out->hash = (out->hash ^ (uintptr_t)frames[at]) * 1099511628211U;
    }
    out->hash = (out->hash ^ (uintptr_t)call) * 1099511628211U;
}

static place *
known_place(const place *p)
{
    for (int i = 0; i < place_count; i++)
        if (places[i].hash == p->hash)
            return &places[i];
    if (place_count == PLACES_MAX)
        return NULL;
    places[place_count] = *p;
    return &places[place_count++];
}

static int run_number; /* of counting runs */
static long runs;      /* of all kinds */
static bool warm;

static void
count_place(const char *call, void *caller)
{
    place p, *k;

    look_back(call, caller, &p);
    k = known_place(&p);
    if (k == NULL || k->run == run_number)
        return;
    k->run = run_number;
    k->times++;
}

static bool
is_target(const char *call, void *caller)
{
    place p;

    if (target->call != call || target->frames[0] != caller)
        return false;
    look_back(call, caller, &p);
    return p.hash == target->hash;
}

static bool
decide(const char *call, void *caller)
{
    seen++;
    if (now == COUNTING)
        count_place(call, caller);
    if (struck)
        return lasting;
    if (now == AT_PLACE)
        struck = is_target(call, caller);
    if (now == AT_NUMBER)
        struck = seen - 1 == number;
    if (struck && now == AT_NUMBER) {
        place p, *k;

        look_back(call, caller, &p);
        k = known_place(&p);
        if (k != NULL)
            k->visited = true;
    }
    return struck;
}

bool
torture_fails(enum torture_kind of, const char *call, void *caller)
{
    bool fails;

    if (now == IDLE || of != kind || spared > 0 || is_in(&loader_range, caller))
        return false;
    spared++;
    while (atomic_flag_test_and_set(&busy)) {
    }
    fails = decide(call, caller);
    atomic_flag_clear(&busy);
    spared--;
    return fails;
}

void
torture_spare(void)
{
    spared++;
}

void
torture_spare_no_more(void)
{
    spared--;
}

/* ---- time ---- */

int
torture_patience_ms(void)
{
    /* What is no failure is not made one by time that passes meanwhile. */
    return (struck || recovering) && (kind & TORTURE_PATIENT) == 0 ? patience_ms : -1;
}

int
torture_leap_ms(int timeout_ms)
{
    int least = recovering ? STEP_MS : LEAP_MS;

    return timeout_ms > least ? timeout_ms : least;
}

/** What is let pass in vain: the loop is then more patient, for a machine that is busy. */
void
torture_pass_ms(int64_t ms)
{
    torture_set_clocks(ms);
    if (recovering && patience_ms < PATIENCE_MOST_MS)
        patience_ms *= 2;
}

/* ---- runs ---- */

static const char *
name_of(const place *p)
{
    static char text[400];
    int len = snprintf(text, sizeof text, "%s %s:", lasting ? "from then on" : "once", p->call);

    for (int i = 0; i < p->depth && len < (int)sizeof text - 80; i++) {
        Dl_info info = {0};
        const char *file;

        (void)dladdr(p->frames[i], &info);
        file = info.dli_fname != NULL ? strrchr(info.dli_fname, '/') : NULL;
        len += snprintf(text + len, 80, " %.30s+0x%zx", file != NULL ? file + 1 : "?",
                        (size_t)((char *)p->frames[i] - (char *)info.dli_fbase));
    }
    return text;
}

static bool
run(const torture *t, phase how)
{
    bool was_struck, unnoticed;

    runs++;
    if (t->begin != NULL)
        t->begin();
    seen = 0;
    struck = false;
    patience_ms = PATIENCE_MS;
    now = how;
    call(t->run);
    now = IDLE;
    was_struck = struck;
    recovering = was_struck;
    struck = false;
    unnoticed =
        (kind & TORTURE_PATIENT) != 0 && (t->kinds & TORTURE_UNNOTICED) != 0 && !lasting;
    t->end(was_struck && !unnoticed);
    recovering = false;
    return was_struck;
}

static void
count_run(const torture *t)
{
    run_number++;
    (void)run(t, COUNTING);
}

static void
count_places(const torture *t)
{
    place_count = 0;
    run_number = 0;
    if (!warm)
        (void)run(t, IDLE); /* what is set up but once in a process */
    warm = true;
    count_run(t);
    CHECK(place_count < PLACES_MAX);
}

static void
strike(const torture *t, place *p)
{
    const char *name = name_of(p);

    test_case(name);
    if (getenv("COAT_TEST_VERBOSE") != NULL)
        fprintf(stderr, "# %s\n", name);
    target = p;
    p->visited = run(t, AT_PLACE);
}

/** Some places, evenly spread. */
static void
strike_sample(const torture *t, int sample)
{
    for (int i = 0; i < sample; i++)
        strike(t, &places[(int64_t)i * place_count / sample]);
}

/**
 * Each place, at its first visit. Some runs come by where others do not: a buffer has grown
 * before, a connection is made anew, two threads meet. So it is tried again and again, until
 * none is left that a run comes by, or only such as not each run does.
 */
static void
strike_places(const torture *t)
{
    int left = 1, always = 0;

    for (int round = 0; round < ROUNDS && left > 0; round++) {
        for (int i = 0; i < place_count; i++)
            if (!places[i].visited)
                strike(t, &places[i]);
        test_case("counting");
        count_run(t);
        left = always = 0;
        for (int i = 0; i < place_count; i++) {
            left += !places[i].visited && places[i].run == run_number;
            always += !places[i].visited && places[i].times == run_number;
        }
    }
    CHECK_INT(always, 0);
}

/** Each visit of each place, until a run comes to its end. */
static void
strike_visits(const torture *t)
{
    char text[40];
    bool more = true;

    for (number = 0; more; number++) {
        (void)snprintf(text, sizeof text, "%s, number %ld", lasting ? "from then on" : "once",
                       number);
        test_case(text);
        if (getenv("COAT_TEST_VERBOSE") != NULL)
            fprintf(stderr, "# %s\n", text);
        more = run(t, AT_NUMBER);
    }
}

static const char *
name_of_kind(void)
{
    switch (kind) {
    case TORTURE_MEMORY:
        return "memory";
    case TORTURE_SIGNALS:
        return "signals";
    case TORTURE_SHORT:
        return "short transfers";
    default:
        return "system calls";
    }
}

static void
strike_all(const torture *t)
{
    bool stress = test_scaled(100, 1) >= 100;
    bool each = (t->kinds & TORTURE_EACH) != 0;
    long least = (kind & TORTURE_PATIENT) != 0 ? 1 : t->least;
    int modes = kind == TORTURE_SIGNALS ? 1 : 2; /* who is interrupted tries again */

    count_places(t);
    if (place_count < least)
        test_fail(__FILE__, __LINE__, "%d places, expected %ld", place_count, least);
    each = each || (stress && seen <= VISITS_MAX);
    for (int mode = 0; mode < modes; mode++) {
        runs = 0;
        lasting = mode == 1;
        for (int i = 0; i < place_count; i++)
            places[i].visited = false;
        if (each)
            strike_visits(t);
        if (each || stress || t->sample == 0 || t->sample >= place_count)
            strike_places(t); /* what is left of them */
        else
            strike_sample(t, (int)t->sample);
        printf("# %s, %s: %d places, %ld visits, %ld runs\n", name_of_kind(),
               lasting ? "from then on" : "once", place_count, seen, runs);
    }
    test_case(NULL);
}

void
torture_all(const torture *t)
{
    call(find_bottom);
    (void)dl_iterate_phdr(note_range, NULL);
    warm = false;
    for (unsigned k = TORTURE_MEMORY; k <= TORTURE_SHORT; k <<= 1) {
        kind = (enum torture_kind)k;
        if ((t->kinds & k) != 0)
            strike_all(t);
    }
}
