/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_TESTS_SUITE_TAP_H
#define COAT_TESTS_SUITE_TAP_H

/** The store contract suite under the TAP harness: one test a case. */

#include "coat_test.h"

#include <coatcheck/store_suite.h>

enum { SUITE_CASES_MAX = 50 };

static coat_suite suite_conf;

static void
run_suite_case(size_t index)
{
    char fault[512];

    if (!coat_suite_run(&suite_conf, index, fault, sizeof fault))
        test_fail(__FILE__, __LINE__, "%s", fault);
}

#define SUITE_CASE(n)                                                                          \
    static void suite_case_##n(void)                                                           \
    {                                                                                          \
        run_suite_case(n);                                                                     \
    }
#define SUITE_TEN(X, t)                                                                        \
    X(t##0)                                                                                    \
    X(t##1)                                                                                    \
    X(t##2)                                                                                    \
    X(t##3)                                                                                    \
    X(t##4)                                                                                    \
    X(t##5)                                                                                    \
    X(t##6)                                                                                    \
    X(t##7)                                                                                    \
    X(t##8)                                                                                    \
    X(t##9)
#define SUITE_ALL(X)                                                                           \
    SUITE_TEN(X, ) SUITE_TEN(X, 1) SUITE_TEN(X, 2) SUITE_TEN(X, 3) SUITE_TEN(X, 4)
#define SUITE_NAME(n) suite_case_##n,

SUITE_ALL(SUITE_CASE)
static void (*const suite_case_runs[SUITE_CASES_MAX])(void) = {SUITE_ALL(SUITE_NAME)};

/** The suite's cases, followed by a program's own tests. */
static inline int
run_suite(int argc, char **argv, const coat_test *own, size_t own_count)
{
    static coat_test tests[SUITE_CASES_MAX + 40];
    size_t n = coat_suite_count();

    if (n > SUITE_CASES_MAX || own_count > 40)
        return 99;
    for (size_t i = 0; i < n; i++)
        tests[i] = (coat_test){coat_suite_name(i), suite_case_runs[i]};
    for (size_t i = 0; i < own_count; i++)
        tests[n + i] = own[i];
    return coat_test_main(argc, argv, tests, n + own_count);
}

#endif
