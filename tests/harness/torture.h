/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_TORTURE_H
#define COAT_TORTURE_H

/**
 * HD-4: whatever can fail does, at each place in turn, once or from then on.
 *
 * Allocation functions and system calls of the whole program, of the libraries as well, go
 * through torture_memory.c and torture_calls.c. A run is repeated for each place that it comes
 * by: a call, with the functions that have led to it. It fails at its first visit, and with
 * TORTURE_EACH at each. That no place is left which a run comes by is checked here.
 *
 * What is no failure can be had in the same way: calls that a signal interrupts, once, and
 * transfers of a single byte, once or from then on. libuv's own are among them.
 *
 * With COAT_TEST_SCALE=100 (make stress) nothing is sampled, and each visit fails unless there
 * are thousands.
 *
 * libuv ends the process when it is refused a larger table of watchers, or when a call on its
 * own epoll or wake-up descriptor fails; nothing is allowed by that, and it is left out.
 */

#include <stdbool.h>
#include <stdint.h>

enum torture_kind {
    TORTURE_MEMORY = 1 << 0,  /* allocations */
    TORTURE_CALLS = 1 << 1,   /* system calls, and what is as good as one */
    TORTURE_SIGNALS = 1 << 2, /* calls that can be interrupted are: EINTR */
    TORTURE_SHORT = 1 << 3,   /* reads and writes of files and sockets are of one byte */
    TORTURE_PATIENT = TORTURE_SIGNALS | TORTURE_SHORT,
    TORTURE_ALL = TORTURE_MEMORY | TORTURE_CALLS | TORTURE_PATIENT,
    /* Not kinds: */
    TORTURE_EACH = 1 << 4,      /* each visit, where a run costs next to nothing */
    TORTURE_UNNOTICED = 1 << 5, /* a signal or a short transfer is no error to who calls: after
                                   it end() is told that nothing was harmed. Where each transfer
                                   is short, time may run out. */
};

typedef struct torture {
    unsigned kinds;
    void (*begin)(void);      /* before each run, unharmed; may be NULL */
    void (*run)(void);        /* what is harmed */
    void (*end)(bool harmed); /* after each run, unharmed again: what must hold */
    long least;               /* places where memory or a call can fail, at least */
    long sample; /* places struck by default, where runs are slow; 0: all there are */
} torture;

/** All places and modes. Leaves the test (REQUIRE) where it cannot go on. */
void torture_all(const torture *t);
/** Within run: what the test itself does is spared. They nest. */
void torture_spare(void);
void torture_spare_no_more(void);

/**
 * The clocks of the program (all of clock_gettime) are set ahead. After a failure time also
 * passes at once where the program would wait in its loop for nothing but time.
 */
void torture_pass_ms(int64_t ms);

#endif
