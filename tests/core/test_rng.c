/* SPDX-License-Identifier: Apache-2.0 */
#include "core/rng.h"
#include "fixture.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* A source that follows a script: positive is a count of bytes to give, negative an errno. */
static const int *script;
static int calls;

static ssize_t
scripted(void *buf, size_t len, unsigned flags)
{
    int step = script[calls++];

    CHECK_INT(flags, 0); /* waiting for the seed, never GRND_NONBLOCK or GRND_INSECURE */
    if (step < 0) {
        errno = -step;
        return -1;
    }
    if (step <= 1000 && (size_t)step > len)
        step = (int)len;
    if (step <= 1000)
        memset(buf, 0xC0 + calls, (size_t)step);
    return step;
}

static const struct fill_case {
    const char *name;
    int script[8];
    coat_err want;
    int calls;
} fill_cases[] = {
    {"whole", {32}, COAT_OK, 1},
    {"seven at a time", {7, 7, 7, 7, 7}, COAT_OK, 5},
    {"interrupted first", {-EINTR, -EINTR, 32}, COAT_OK, 3},
    {"interrupted between", {7, -EINTR, 7, -EINTR, 32}, COAT_OK, 5},
    {"no such call", {-ENOSYS}, COAT_RNG_FAILED, 1},
    {"error", {-EIO}, COAT_RNG_FAILED, 1},
    {"would wait", {-EAGAIN}, COAT_RNG_FAILED, 1},
    {"bad address", {-EFAULT}, COAT_RNG_FAILED, 1},
    {"error after a part", {7, -EIO}, COAT_RNG_FAILED, 2},
    {"nothing", {0}, COAT_RNG_FAILED, 1},
    {"more than asked for", {1001}, COAT_RNG_FAILED, 1},
};

static void
short_and_failing(void)
{
    for (size_t i = 0; i < sizeof fill_cases / sizeof fill_cases[0]; i++) {
        const struct fill_case *c = &fill_cases[i];
        uint8_t buf[32];

        test_case(c->name);
        memset(buf, 0x11, sizeof buf);
        script = c->script;
        calls = 0;
        CHECK_ERR(coat_rng_fill(scripted, buf, sizeof buf), c->want);
        CHECK_INT(calls, c->calls);
        if (c->want == COAT_OK)
            CHECK(memchr(buf, 0x11, sizeof buf) == NULL); /* filled to the end */
        else
            CHECK(sodium_is_zero(buf, sizeof buf));
    }
}

static void
nothing_wanted(void)
{
    CHECK_ERR(coat_rng_fill(scripted, NULL, 0), COAT_OK);
}

static void
system_source(void)
{
    uint8_t a[600] = {0}, b[600] = {0}; /* above 256: getrandom may be short */

    CHECK_ERR(coat_rng_system(NULL, a, sizeof a), COAT_OK);
    CHECK_ERR(coat_rng_system(NULL, b, sizeof b), COAT_OK);
    CHECK(memcmp(a, b, sizeof a) != 0);
    CHECK(!sodium_is_zero(a + sizeof a - 32, 32));
}

static void
system_clock(void)
{
    int64_t a = coat_clock_system(NULL), b = coat_clock_system(NULL);

    CHECK(a > 1600000000000 && b >= a && b - a < 60000);
}

/* ---- ID-2: a fork repeats nothing ---- */

enum { WORKERS = 64 };

static void
worker(int out, long count)
{
    coat_tag_keys keys = {.key = {{1}}, .count = 1};

    for (long i = 0; i < count; i++) {
        coat_token token;

        if (coat_token_mint((coat_owner){{1}}, FIXTURE_NOW, &keys, coat_rng_system, NULL,
                            &token) != COAT_OK ||
            write(out, token.secret, 8) != 8)
            _exit(1);
    }
    _exit(0);
}

static int
compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static void
forks(void)
{
    long each = test_scaled(100000, 1000);
    size_t total = 0, cap = (size_t)each * WORKERS;
    uint64_t *all;
    uint8_t warm[16];

    test_not_under_valgrind("children leave with what they allocated");
    all = malloc(cap * sizeof *all);
    REQUIRE(all != NULL);
    REQUIRE_OK(coat_rng_system(NULL, warm, sizeof warm)); /* the parent has drawn before */
    for (int i = 0; i < WORKERS; i++) {
        int ends[2], status = -1;
        uint64_t value;
        pid_t pid;

        REQUIRE(pipe(ends) == 0);
        pid = test_fork();
        if (pid == 0)
            worker(ends[1], each);
        (void)close(ends[1]);
        while (total < cap && read(ends[0], &value, sizeof value) == (ssize_t)sizeof value)
            all[total++] = value;
        (void)close(ends[0]);
        REQUIRE(waitpid(pid, &status, 0) == pid);
        CHECK_INT(status, 0);
    }
    CHECK_INT(total, cap);
    qsort(all, total, sizeof *all, compare_u64);
    for (size_t i = 1; i < total; i++)
        CHECK(all[i] != all[i - 1]);
    free(all);
}

static const coat_test tests[] = {
    {"ID-2: short reads and EINTR are retried, failure gives nothing", short_and_failing},
    {"no bytes can always be had", nothing_wanted},
    {"ID-1 ID-2: the system's source fills whole buffers", system_source},
    {"ID-2: 64 forked workers draw no token twice", forks},
    {"the system clock gives milliseconds", system_clock},
};
COAT_TEST_MAIN(tests)
