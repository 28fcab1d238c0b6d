/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_TEST_REFERENCE_H
#define COAT_TEST_REFERENCE_H

/**
 * The rules of a session once more, plain and slow, for comparison with coat_judge() and
 * coat_rotate_apply(). It knows secrets by number (generation 0 is the first, each successor
 * one more) and keeps a history instead of digests: when was which generation handed out, when
 * confirmed. What a secret may do follows from that history.
 */

#include <coatcheck/judge.h>

enum { REFERENCE_GENERATIONS = 64 };

typedef struct reference {
    int64_t idle_ms, absolute_end_ms, seen_ms, auth_ms;
    int64_t handed_ms[REFERENCE_GENERATIONS];    /* last hand-out; -1: never */
    int64_t confirmed_ms[REFERENCE_GENERATIONS]; /* became current; -1: not yet */
    uint64_t epoch;
} reference;

typedef struct reference_answer {
    coat_verdict verdict;
    coat_why why;
    bool rotate, confirm;
} reference_answer;

static inline int
reference_current(const reference *s)
{
    int g = 0;

    while (g + 1 < REFERENCE_GENERATIONS && s->confirmed_ms[g + 1] >= 0)
        g++;
    return g;
}

/** @param g  generation that is presented; -1: a secret that never was one of this session */
static inline reference_answer
reference_judge(const reference *s, int g, int64_t now, int64_t seen, int64_t max_age,
                const coat_policy *policy)
{
    int current = reference_current(s);
    bool known = false;
    reference_answer a = {COAT_VERDICT_NONE, COAT_WHY_NONE, false, false};

    if (seen < s->seen_ms)
        seen = s->seen_ms;
    if (s->epoch < policy->epoch_global) {
        a.why = COAT_WHY_EPOCH;
        return a;
    }
    if (now >= s->absolute_end_ms) {
        a.why = COAT_WHY_ABSOLUTE;
        return a;
    }
    if (now - seen >= s->idle_ms) {
        a.why = COAT_WHY_IDLE;
        return a;
    }
    if (g == current) {
        known = true;
        if (s->handed_ms[g + 1] >= 0)
            a.rotate = now - s->handed_ms[g + 1] >= policy->rotate_redeliver_ms;
        else
            a.rotate = now - s->confirmed_ms[g] >= policy->rotate_every_ms;
    } else if (g == current + 1 && s->handed_ms[g] >= 0) {
        known = true;
        a.confirm = true;
    } else if (g >= 0 && g == current - 1) {
        known = now - s->confirmed_ms[current] < policy->rotate_grace_ms;
    }
    a.verdict = known ? COAT_VERDICT_LIVE : COAT_VERDICT_STOLEN;
    a.why = known ? COAT_WHY_LIVE : COAT_WHY_REUSE;
    if (known && max_age != 0 && (s->auth_ms == 0 || now - s->auth_ms > max_age)) {
        a.verdict = COAT_VERDICT_STEP_UP;
        a.why = COAT_WHY_AGE;
    }
    return a;
}

static inline void
reference_apply(reference *s, int g, int64_t now, const reference_answer *a)
{
    if (a->rotate)
        s->handed_ms[g + 1] = now;
    if (a->confirm)
        s->confirmed_ms[g] = now;
}

#endif
