/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_TEST_H
#define COAT_TEST_H

/**
 * A small test harness. A test program lists its tests and calls coat_test_main(); the output
 * is TAP. The name of a test starts with the requirements it holds: "LC-6 LC-7: a lost ...".
 *
 * CHECK* note a failure and go on; REQUIRE* end the test. test_case() names the row of a table
 * that is being tried, for the message.
 */

#include <coatcheck/base.h>
#include <stdio.h>
#include <sys/types.h>

typedef struct coat_test {
    const char *name;
    void (*run)(void);
} coat_test;

/** Runs all tests, or those whose name contains argv[1]. @return exit status */
int coat_test_main(int argc, char **argv, const coat_test *tests, size_t count);
#define COAT_TEST_MAIN(tests)                                                                  \
    int main(int argc, char **argv)                                                            \
    {                                                                                          \
        return coat_test_main(argc, argv, tests, sizeof(tests) / sizeof(tests)[0]);            \
    }

void test_case(const char *name); /* borrowed until the next call */
void test_fail(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
_Noreturn void test_abort(void);
/** Skip the running test, with a reason that is shown; only for what a machine lacks. */
_Noreturn void test_skip(const char *reason);

/** Skip this test under Valgrind (scripts/stress says so in COAT_VALGRIND). */
void test_not_under_valgrind(const char *reason);
bool test_equal_int(const char *file, int line, const char *what, long long got,
                    long long want);
bool test_equal_mem(const char *file, int line, const char *what, const void *got,
                    size_t got_len, const void *want, size_t want_len);
bool test_equal_err(const char *file, int line, const char *what, coat_err got, coat_err want);

#define CHECK(cond) ((cond) ? (void)0 : test_fail(__FILE__, __LINE__, "not true: %s", #cond))
#define REQUIRE(cond)                                                                          \
    do {                                                                                       \
        if (!(cond)) {                                                                         \
            test_fail(__FILE__, __LINE__, "not true: %s", #cond);                              \
            test_abort();                                                                      \
        }                                                                                      \
    } while (0)
#define CHECK_INT(got, want)                                                                   \
    ((void)test_equal_int(__FILE__, __LINE__, #got, (long long)(got), (long long)(want)))
#define CHECK_ERR(got, want) ((void)test_equal_err(__FILE__, __LINE__, #got, (got), (want)))
#define REQUIRE_OK(got)                                                                        \
    do {                                                                                       \
        if (!test_equal_err(__FILE__, __LINE__, #got, (got), COAT_OK))                         \
            test_abort();                                                                      \
    } while (0)
#define CHECK_MEM(got, got_len, want, want_len)                                                \
    ((void)test_equal_mem(__FILE__, __LINE__, #got, (got), (got_len), (want), (want_len)))
#define CHECK_STR(got, want)                                                                   \
    ((void)test_equal_mem(__FILE__, __LINE__, #got, (got), strlen(got), (want), strlen(want)))

/** How much of a heavy count to run: COAT_TEST_SCALE percent (default 1), at least floor. */
long test_scaled(long full, long floor);

/** Seeded generator (splitmix64): the same numbers in every run; prints its seed on failure. */
typedef struct test_rng {
    uint64_t state;
} test_rng;
uint64_t test_rng_next(test_rng *rng);
uint64_t test_rng_below(test_rng *rng, uint64_t limit);
/** A coat_rng_fn over a test_rng. */
coat_err test_rng_fill(void *ctx, uint8_t *buf, size_t len);
/** A coat_clock_fn over an int64_t. */
int64_t test_clock(void *ctx);
/**
 * fork() for a child that goes on with this program, after what was written is flushed. Refused
 * to a program with threads: a lock that another of them holds stays taken in the child for
 * ever.
 */
pid_t test_fork(void);
/** A fresh directory under TMPDIR, mode 0700, removed at exit; NUL-terminated, static ring. */
const char *test_tmpdir(void);
/** Write a file that only its owner may read, anew. */
void test_write_secret(const char *path, const char *text);

#endif
